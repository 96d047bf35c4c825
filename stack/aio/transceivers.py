"""Tracks and transceivers of `RTCPeerConnection`: the W3C API around what the machine says of media."""

import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from ..peer import Codec, Configuration, Encoding, InvalidAccessError, Transceiver, events
from .configured import Configured
from .descriptions import RTCConfiguration
from .rtp import RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver
from .rtp_parameters import (
    RTCRtpEncodingParameters,
    RTCRtpTransceiverInit,
    check_direction,
    send_encodings,
    stream_ids,
)
from .sent_encoding import check_source
from .stats import RTCStatsReport, select
from .tracks import EncodedFrame, EncodedMediaTrack, MediaStreamTrack
from .transports import Transports

if TYPE_CHECKING:
    import asyncio


class Transceivers(Configured):
    """What `RTCPeerConnection` sends and receives.

    Args:
        configuration: Of the connection.
        machine: Settings of the layers below.
    """

    def __init__(self, configuration: RTCConfiguration, machine: Configuration | None) -> None:
        super().__init__(configuration, machine)
        self._transceivers: dict[int, RTCRtpTransceiver] = {}
        self._transports: Transports | None = None

    def addTrack(self, track: MediaStreamTrack, *streams: Any) -> RTCRtpSender:
        """Send a track; takes effect with the next negotiation.

        Args:
            track: What to send.
            streams: To which streams it belongs, so that the peer can play together what does: strings, or anything
                with an `id`; without any, to one of its own.

        Raises:
            InvalidStateError: The connection is closed.
            InvalidAccessError: The track is sent already.
            TypeError: An id of a stream is none: 1 to 255 characters without spaces.
        """
        self._check_open()
        if any(t.sender.track is track for t in self._transceivers.values()):
            raise InvalidAccessError("this track is being sent already")
        machine = self._machine.add_track(
            track.kind,
            streams=stream_ids(streams),
            track_id=track.id,
            one_encoding=isinstance(track, EncodedMediaTrack),
        )
        transceiver = self._wrap_transceiver(machine)
        transceiver.sender.replace(track)
        self._driver.schedule_flush()
        return transceiver.sender

    def removeTrack(self, sender: RTCRtpSender) -> None:
        """Send a track no more (W3C removeTrack); takes effect with the next negotiation.

        Raises:
            InvalidStateError: The connection is closed.
            InvalidAccessError: The sender is not of this connection.
        """
        self._check_open()
        if sender._connection is not self:  # noqa: SLF001  each knows what is inside the other
            raise InvalidAccessError("this sender is not of this connection")
        transceiver = next((t for t in self._transceivers.values() if t.sender is sender), None)
        if transceiver is None or sender.track is None:  # it was stopped, or removed before
            return
        self._machine.remove_track(transceiver.machine)
        sender.replace(None)
        self._driver.schedule_flush()

    def addTransceiver(
        self,
        trackOrKind: MediaStreamTrack | str,
        direction: str | RTCRtpTransceiverInit = "sendrecv",
        *,
        streams: Sequence[Any] = (),
        sendEncodings: Sequence[RTCRtpEncodingParameters] = (),
    ) -> RTCRtpTransceiver:
        """Add a transceiver for a track or a kind (W3C addTransceiver).

        Args:
            trackOrKind: What to send, or `audio` or `video`.
            direction: `sendrecv`, `sendonly`, `recvonly` or `inactive`; or an `RTCRtpTransceiverInit`, which says what
                follows as well.
            streams: As for `addTrack`.
            sendEncodings: How to send. Several of pictures, each with a `rid`, are sent at a time (simulcast).

        Raises:
            InvalidStateError: The connection is closed.
            TypeError: The kind, the direction or an id of a stream is none; rids are malformed, lack or are not
                different.
            InvalidAccessError: A number of an encoding makes no sense.
            NotSupportedError: The track is encoded already, so that it cannot be had in several sizes.
        """
        self._check_open()
        init = direction
        if not isinstance(init, RTCRtpTransceiverInit):
            init = RTCRtpTransceiverInit(init, streams, sendEncodings)
        track = trackOrKind if isinstance(trackOrKind, MediaStreamTrack) else None
        kind = track.kind if track is not None else str(trackOrKind)
        check_direction(init.direction)
        if kind not in {"audio", "video"}:
            raise TypeError(f"kind must be 'audio' or 'video', not {kind!r}")
        encodings = send_encodings(kind, init.sendEncodings)
        check_source(track, len(encodings))
        machine = self._machine.add_transceiver(
            kind,
            init.direction,
            streams=stream_ids(init.streams),
            track_id=track.id if track else "",
            has_track=track is not None,
            encodings=encodings,
        )
        transceiver = self._wrap_transceiver(machine)
        if track is not None:
            transceiver.sender.replace(track)
        self._driver.schedule_flush()
        return transceiver

    def getTransceivers(self) -> list[RTCRtpTransceiver]:
        """All transceivers."""
        return [self._wrap_transceiver(machine) for machine in self._machine.transceivers]

    def getSenders(self) -> list[RTCRtpSender]:
        """The senders of all transceivers."""
        return [transceiver.sender for transceiver in self.getTransceivers()]

    def getReceivers(self) -> list[RTCRtpReceiver]:
        """The receivers of all transceivers."""
        return [transceiver.receiver for transceiver in self.getTransceivers()]

    # -- statistics --------------------------------------------------------------------------------------------

    async def getStats(self, selector: MediaStreamTrack | None = None) -> RTCStatsReport:
        """Return W3C's statistics by their ids (webrtc-stats); those of one track only with a selector."""
        report = self.statistics()
        if selector is None:
            return RTCStatsReport(report)
        for transceiver in self._transceivers.values():
            if transceiver.sender.track is selector:
                return select(report, transceiver.machine, sending=True)
            if transceiver.receiver.track is selector:
                return select(report, transceiver.machine, sending=False)
        raise InvalidAccessError("this track is neither sent nor received here")

    def statistics(self) -> dict[str, dict[str, Any]]:
        """What `getStats` returns, at once."""
        return self._machine.statistics(time.time() * 1000)

    # -- events ------------------------------------------------------------------------------------------------

    def _media_handlers(self) -> dict[type, Callable[[Any], object]]:
        return {
            events.TrackAdded: self._on_track,
            events.TrackRemoved: self._on_track_removed,
            events.TransceiverStopped: self._on_transceiver_stopped,
            events.MediaReceived: self._on_media,
            events.SendingStarted: self._on_sending_started,
            events.SendingStopped: self._on_sending_stopped,
            events.KeyframeRequested: self._on_keyframe_requested,
            events.TargetBitrateChanged: self._on_target_bitrate,
        }

    def _on_track(self, event: events.TrackAdded) -> None:
        transceiver = self._wrap_transceiver(event.transceiver)
        transceiver.receiver.renew(self)
        self.dispatch("track", transceiver.receiver.track)

    def _on_track_removed(self, event: events.TrackRemoved) -> None:
        self._wrap_transceiver(event.transceiver).receiver.track.stop()

    def _on_transceiver_stopped(self, event: events.TransceiverStopped) -> None:
        wrapper = self._transceivers.pop(id(event.transceiver), None)
        if wrapper is not None:
            wrapper.sender.halt()
            wrapper.receiver.track.stop()

    def _on_media(self, event: events.MediaReceived) -> None:
        frame = event.frame
        self._wrap_transceiver(event.transceiver).receiver.track.deliver(
            frame.mime, EncodedFrame(frame.data, frame.timestamp, frame.keyframe, frame.receive_time)
        )

    def _on_sending_started(self, event: events.SendingStarted) -> None:
        self._wrap_transceiver(event.transceiver).sender.start(event.mime_type)

    def _on_sending_stopped(self, event: events.SendingStopped) -> None:
        self._wrap_transceiver(event.transceiver).sender.halt()

    def _on_keyframe_requested(self, event: events.KeyframeRequested) -> None:
        self._wrap_transceiver(event.transceiver).sender.on_keyframe_request(event.rid)

    def _on_target_bitrate(self, event: events.TargetBitrateChanged) -> None:
        self._wrap_transceiver(event.transceiver).sender.on_target_bitrate(event.rid, event.bitrate)

    # -- called by senders and receivers -----------------------------------------------------------------------

    def transports(self) -> Transports:
        """What everything runs over, made when somebody wants to look."""
        if self._transports is None:
            self._transports = Transports(self._machine)
        return self._transports

    def run_sender(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run a sender's loop as a task of this connection."""
        return self._driver.spawn(coroutine, "rtp-sender")

    def send_frame(
        self, transceiver: Transceiver, frame: EncodedFrame, rid: str | None, size: tuple[int, int] | None
    ) -> None:
        """Send an encoded frame of a track, of one of its encodings."""
        self._machine.send_frame(
            transceiver,
            frame.data,
            frame.timestamp,
            self._driver.now(),
            keyframe=frame.keyframe,
            capture_time=frame.capture_time,
            rid=rid,
            size=size,
        )
        self._driver.flush()

    def request_keyframe(self, transceiver: Transceiver) -> None:
        """Ask the peer for a key frame."""
        if transceiver.receiver is not None and not self._driver.closed:
            transceiver.receiver.request_keyframe(self._driver.now())
            self._driver.schedule_flush()

    def set_direction(self, transceiver: Transceiver, direction: str) -> None:
        """Change a transceiver's direction."""
        self._machine.set_direction(transceiver, direction)
        self._driver.schedule_flush()

    def set_streams(self, transceiver: Transceiver, streams: Sequence[Any]) -> None:
        """Have what a transceiver sends belong to other streams."""
        self._machine.set_streams(transceiver, stream_ids(streams))
        self._driver.schedule_flush()

    def set_encodings(self, transceiver: Transceiver, encodings: Sequence[Encoding]) -> None:
        """Change how a transceiver sends."""
        self._machine.set_encodings(transceiver, encodings)
        self._driver.schedule_flush()

    def stop_transceiver(self, transceiver: Transceiver) -> None:
        """End a transceiver with the next negotiation."""
        self._machine.stop_transceiver(transceiver)
        self._driver.schedule_flush()

    def set_codec_preferences(self, transceiver: Transceiver, codecs: list[Codec]) -> None:
        """Choose a transceiver's codecs."""
        self._machine.set_codec_preferences(transceiver, codecs)

    def _wrap_transceiver(self, machine: Transceiver) -> RTCRtpTransceiver:
        wrapper = self._transceivers.get(id(machine))
        if wrapper is None:
            wrapper = self._transceivers[id(machine)] = RTCRtpTransceiver(self, machine, None)
        return wrapper
