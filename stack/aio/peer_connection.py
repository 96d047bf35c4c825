"""RTCPeerConnection: the W3C API over asyncio, a thin shell around `stack.peer.PeerConnection`.

`Driver` runs the machine; here are the names, and the events as callbacks. Nothing is decided here that the machine
could decide.
"""

import asyncio
import dataclasses
import logging
import os
import secrets
import time
from collections.abc import Callable, Coroutine
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self

from .. import datachannel, dtls, ice, turn
from ..peer import Codec, Encoding, InvalidAccessError, InvalidStateError, PeerConnection, Transceiver, events
from ..peer import Configuration as MachineConfiguration
from ..peer.relays import RelayLost, RelayMoved
from ..peer.signaling import Description
from .data_channel import PRIORITIES, RTCDataChannel
from .descriptions import RTCConfiguration, RTCIceCandidate, RTCIceCandidateError, RTCSessionDescription
from .driver import Driver
from .events import EventTarget
from .logs import EventLog, PacketLog, key_log_writer
from .rtp import RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver
from .stats import RTCStatsReport, select
from .tracks import EncodedFrame, MediaStreamTrack
from .transports import RTCSctpTransport, Transports

logger = logging.getLogger(__name__)

NTP_EPOCH: Final = 2_208_988_800
"""Seconds from 1900 to 1970."""

GATHERING_TIMEOUT: Final = 5.0
"""Seconds that `setLocalDescription` waits for candidates when nobody listens for them one by one."""


STATE_CHANGES: Final = frozenset(
    {
        events.IceGatheringStateChanged,
        events.IceConnectionStateChanged,
        events.ConnectionStateChanged,
        datachannel.ChannelOpened,
    }
)
"""After these a transport may be in another state too."""

NOT_REACHED: Final = 701
"""W3C's errorCode of a server that gave no answer (W3C WebRTC section 4.8.3)."""


@lru_cache(maxsize=1)
def _shared_certificate(day: int) -> dtls.Certificate:  # noqa: ARG001  the day is the cache's key
    """One certificate per process and day: signing one costs more than a handshake, and RFC 8827 allows reuse."""
    return dtls.Certificate.generate(os.urandom, now_unix=time.time())


class RTCPeerConnection(EventTarget):
    """A connection to a peer.

    Events: `icecandidate` (RTCIceCandidate or None at the end), `negotiationneeded`, `signalingstatechange`,
    `icegatheringstatechange`, `iceconnectionstatechange`, `connectionstatechange`, `datachannel` (RTCDataChannel),
    `track` (RemoteStreamTrack), `icecandidateerror` (RTCIceCandidateError), `icerestartneeded` (ours: no path is left
    that both sides know; call `restartIce` where you can signal), `error` (why the connection failed, as text; or the
    exception that ended a source).

    When nothing listens to `icecandidate`, candidates are not trickled: `setLocalDescription` waits for all of them,
    so that `localDescription` can be sent as it is.

    Args:
        configuration: ICE servers.
        machine: Settings of the layers below, see `stack.peer.Configuration`.
    """

    def __init__(
        self, configuration: RTCConfiguration | None = None, *, machine: MachineConfiguration | None = None
    ) -> None:
        super().__init__()
        self._configuration = configuration or RTCConfiguration()
        self._packet_log: PacketLog | None = None
        self._event_log: EventLog | None = None
        if self._configuration.eventLog is not None:
            self._event_log = EventLog(self._configuration.eventLog, secrets.token_hex(4))
        self._machine = PeerConnection(
            certificate=self._certificate(),
            random_bytes=os.urandom,
            configuration=self._settings(machine),
        )
        self._machine.session.wants_data = self._configuration.alwaysNegotiateDataChannels
        self._driver = Driver(
            self._machine, self._configuration, self._report, self._check_thresholds, self._report_error
        )
        self._channels: dict[int, RTCDataChannel] = {}
        self._draining: set[RTCDataChannel] = set()
        self._transceivers: dict[int, RTCRtpTransceiver] = {}
        self._transports: Transports | None = None
        self._gathered = asyncio.Event()
        self._held: list[Callable[[], object]] | None = (
            None  # events that come after what `setLocalDescription` returns
        )
        self._handlers: dict[type, Callable[[Any], object]] = {
            datachannel.MessageReceived: self._on_message,
            datachannel.ChannelAnnounced: self._on_channel_announced,
            datachannel.ChannelOpened: self._on_channel_opened,
            datachannel.ChannelClosing: self._on_channel_closing,
            datachannel.ChannelClosed: self._on_channel_closed,
            events.SignalingStateChanged: lambda _: self.dispatch("signalingstatechange"),
            events.IceGatheringStateChanged: lambda _: self._later(lambda: self.dispatch("icegatheringstatechange")),
            events.IceConnectionStateChanged: lambda _: self.dispatch("iceconnectionstatechange"),
            events.NegotiationNeeded: self._on_negotiation_needed,
            events.ConnectionStateChanged: self._on_connection_state,
            events.IceCandidateGathered: self._on_candidate,
            events.TrackAdded: self._on_track,
            events.TrackRemoved: self._on_track_removed,
            events.TransceiverStopped: self._on_transceiver_stopped,
            events.MediaReceived: self._on_media,
            events.SendingStarted: self._on_sending_started,
            events.SendingStopped: self._on_sending_stopped,
            events.KeyframeRequested: self._on_keyframe_requested,
            events.TargetBitrateChanged: self._on_target_bitrate,
            ice.ResolutionRequested: lambda event: self._driver.network.resolve(event.name),
            RelayMoved: lambda event: self._driver.network.relay_moved(event.server, event.domain),
            RelayLost: self._on_relay_lost,
            ice.RestartNeeded: lambda event: self.dispatch("icerestartneeded", event.reason),
        }
        self.error: str | None = None

    def _certificate(self) -> dtls.Certificate:
        given, now = self._configuration.certificates, time.time()
        if not given:
            return _shared_certificate(int(now // 86400))
        for certificate in given:
            if certificate.certificate.expires > now:
                return certificate.certificate
        raise InvalidAccessError("every certificate of the configuration has expired")  # W3C section 4.4.1.1

    def _settings(self, machine: MachineConfiguration | None) -> MachineConfiguration:
        ours = self._configuration
        settings = machine or MachineConfiguration(ntp_offset=ntp_offset(), playout_delay=ours.playoutDelay)
        changes: dict[str, Any] = {}
        if machine is None:
            changes["bundle_policy"] = ours.bundlePolicy
        if ours.iceTransportPolicy == "relay":
            changes["ice_transport_policy"] = "relay"
        if ours.bitrates is not None:
            changes["bitrates"] = ours.bitrates
        key_log = ours.keyLog or os.environ.get("SSLKEYLOGFILE")
        if key_log and settings.keylog is None:
            changes["keylog"] = key_log_writer(key_log)
        if ours.packetLog is not None:
            self._packet_log = changes["packet_log"] = PacketLog(ours.packetLog)
        return dataclasses.replace(settings, **changes)

    # -- W3C attributes ----------------------------------------------------------------------------------------

    @property
    def signalingState(self) -> str:
        """W3C RTCSignalingState."""
        return self._machine.signaling_state

    @property
    def iceGatheringState(self) -> str:
        """`new`, `gathering` or `complete`."""
        return self._machine.ice_gathering_state

    @property
    def iceConnectionState(self) -> str:
        """W3C RTCIceConnectionState."""
        return self._machine.ice_connection_state

    @property
    def connectionState(self) -> str:
        """W3C RTCPeerConnectionState."""
        return self._machine.connection_state

    @property
    def localDescription(self) -> RTCSessionDescription | None:
        """Ours, with the candidates known so far."""
        return _description(self._machine.local_description)

    @property
    def remoteDescription(self) -> RTCSessionDescription | None:
        """The peer's."""
        return _description(self._machine.remote_description)

    @property
    def currentLocalDescription(self) -> RTCSessionDescription | None:
        """Ours of the last exchange that was completed."""
        return _description(self._machine.current_local_description)

    @property
    def pendingLocalDescription(self) -> RTCSessionDescription | None:
        """Ours of the exchange under way."""
        return _description(self._machine.pending_local_description)

    @property
    def currentRemoteDescription(self) -> RTCSessionDescription | None:
        """The peer's of the last exchange that was completed."""
        return _description(self._machine.current_remote_description)

    @property
    def pendingRemoteDescription(self) -> RTCSessionDescription | None:
        """The peer's of the exchange under way."""
        return _description(self._machine.pending_remote_description)

    @property
    def canTrickleIceCandidates(self) -> bool | None:
        """Whether the peer takes candidates one by one; None before its first description."""
        return self._machine.peer_can_trickle

    @property
    def sctp(self) -> RTCSctpTransport | None:
        """The transport of the data channels, and by it those below; None while no channel is wanted (W3C sctp)."""
        return self.transports().sctp

    # -- channels and tracks -----------------------------------------------------------------------------------

    def createDataChannel(
        self,
        label: str,
        maxPacketLifeTime: int | None = None,
        maxRetransmits: int | None = None,
        ordered: bool = True,
        protocol: str = "",
        negotiated: bool = False,
        id: int | None = None,
        *,
        priority: str = "low",
        latest: bool = False,
    ) -> RTCDataChannel:
        """Open a data channel (W3C createDataChannel).

        Args:
            label: Name, up to 65535 bytes of UTF-8.
            maxPacketLifeTime: For how many milliseconds a message is tried; not together with `maxRetransmits`.
            maxRetransmits: How often a message is sent again at the most.
            ordered: Whether messages come in order.
            protocol: Subprotocol, up to 65535 bytes of UTF-8.
            negotiated: Whether the peer opens the same channel by itself; then `id` is needed.
            id: Stream, 0..65534; of no meaning unless `negotiated`.
            priority: Weight among the channels: `very-low`, `low`, `medium` or `high` (W3C webrtc-priority).
            latest: Ours: whether a message replaces what has not left yet, see `RTCDataChannel.latest`.

        Raises:
            InvalidStateError: The connection is closed.
            TypeError: An argument is out of range, or both limits are set.
            OperationError: The id is used, no id is left, or there are too many channels.
        """
        if priority not in PRIORITIES:
            raise TypeError(f"priority must be one of {', '.join(PRIORITIES)}, not {priority!r}")
        channel = self._machine.create_data_channel(
            label,
            self._driver.now(),
            protocol=protocol,
            ordered=ordered,
            max_retransmits=maxRetransmits,
            max_packet_life_time=maxPacketLifeTime,
            negotiated=negotiated,
            channel_id=id,
            priority=PRIORITIES[priority],
        )
        channel.latest = latest
        self._driver.schedule_flush()
        return self._wrap_channel(channel)

    def addTrack(self, track: MediaStreamTrack, *_streams: Any) -> RTCRtpSender:
        """Send a track; takes effect with the next negotiation."""
        if any(t.sender.track is track for t in self._transceivers.values()):
            raise InvalidAccessError("this track is being sent already")
        machine = self._machine.add_track(track.kind, track_id=track.id)
        transceiver = self._wrap_transceiver(machine)
        transceiver.sender.replace(track)
        self._driver.schedule_flush()
        return transceiver.sender

    def removeTrack(self, sender: RTCRtpSender) -> None:
        """Send a track no more (W3C removeTrack); takes effect with the next negotiation.

        Raises:
            InvalidAccessError: The sender is not of this connection.
        """
        transceiver = next((t for t in self._transceivers.values() if t.sender is sender), None)
        if transceiver is None:
            raise InvalidAccessError("this sender is not of this connection")
        self._machine.remove_track(transceiver.machine)
        sender.replace(None)
        self._driver.schedule_flush()

    def addTransceiver(
        self, trackOrKind: MediaStreamTrack | str, direction: str = "sendrecv", **_init: Any
    ) -> RTCRtpTransceiver:
        """Add a transceiver for a track or a kind (W3C addTransceiver)."""
        track = trackOrKind if isinstance(trackOrKind, MediaStreamTrack) else None
        kind = track.kind if track is not None else str(trackOrKind)
        machine = self._machine.add_transceiver(
            kind, direction, track_id=track.id if track else "", has_track=track is not None
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

    # -- negotiation -------------------------------------------------------------------------------------------

    async def createOffer(self) -> RTCSessionDescription:
        """Describe what we want (RFC 8829 section 5.2)."""
        created = self._machine.create_offer()
        return RTCSessionDescription(created.sdp, created.type)

    async def createAnswer(self) -> RTCSessionDescription:
        """Describe what we accept (RFC 8829 section 5.3)."""
        created = self._machine.create_answer()
        return RTCSessionDescription(created.sdp, created.type)

    async def setLocalDescription(self, sessionDescription: RTCSessionDescription | None = None) -> None:
        """Apply what createOffer or createAnswer returned, or without an argument create and apply it."""
        given = None if sessionDescription is None else Description(sessionDescription.type, sessionDescription.sdp)
        self._machine.set_local_description(given, self._driver.now())
        self._log_description("local", self._machine.local_description)
        if self._machine.wants_sockets:
            self._gathered.clear()
            self._driver.gather()
        self._hold()
        self._driver.flush()
        if not self.listeners("icecandidate") and self.iceGatheringState == "gathering":
            try:
                async with asyncio.timeout(GATHERING_TIMEOUT):
                    await self._gathered.wait()
            except TimeoutError:
                logger.warning("gathering took longer than %s s; going on with what was found", GATHERING_TIMEOUT)

    async def setRemoteDescription(self, sessionDescription: RTCSessionDescription) -> None:
        """Apply the peer's description."""
        given = Description(sessionDescription.type, sessionDescription.sdp)
        self._machine.set_remote_description(given, self._driver.now())
        self._log_description("remote", given)
        self._driver.flush()

    def _log_description(self, whose: str, description: Description | None) -> None:
        if self._event_log is not None and description is not None:
            self._event_log.write("signaling", f"{whose}-description-set", type=description.type, sdp=description.sdp)

    def restartIce(self) -> None:
        """Look for new paths with the next offer, which `negotiationneeded` asks for (W3C restartIce).

        Until one is found the old path is used.
        """
        self._machine.restart_ice()
        self._driver.schedule_flush()

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

    def iceReport(self) -> ice.Statistics:
        """Return all candidates and pairs with their history; `stack.ice.explain` puts it into words."""
        report = self._machine.transport.ice.statistics()
        report.turn_servers = self._driver.network.turn_servers
        return report

    def explain(self, *, colour: bool = False) -> str:
        """Return in plain words why this is not connected, or how it is: print it when in doubt."""
        return self._machine.explain(colour=colour)

    async def addIceCandidate(self, candidate: RTCIceCandidate | None = None) -> None:
        """Take a trickled candidate; None ends them."""
        if candidate is None:
            self._machine.add_remote_candidate(None, self._driver.now())
        else:
            self._machine.add_remote_candidate(
                candidate.candidate, self._driver.now(), ufrag=candidate.usernameFragment or None
            )
        self._driver.schedule_flush()

    async def close(self) -> None:
        """Close: tell the peer, stop everything, free sockets, tasks and threads. Takes no round trip."""
        if self._driver.closed:
            return
        for transceiver in list(self._transceivers.values()):
            transceiver.sender.halt()
            transceiver.receiver.track.stop()
        await self._driver.close()
        self._gathered.set()
        self.remove_all_listeners()
        for log in (self._packet_log, self._event_log):
            if log is not None:
                log.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- events ------------------------------------------------------------------------------------------------

    def _report(self, event: events.Event) -> None:
        if self._event_log is not None:
            self._event_log.report(event)
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)
        if self._transports is not None and type(event) in STATE_CHANGES:
            self._transports.update()

    def _report_error(self, error: BaseException) -> None:
        """Make sure that an exception in a task of ours is heard."""
        if not self._driver.closed and self.listeners("error"):
            self.dispatch("error", error)
        else:
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a task of the peer connection failed", "exception": error}
            )

    def _check_thresholds(self) -> bool:
        """Fire `bufferedamountlow` where it is due; return whether a handler may have sent something."""
        fired = False
        for channel in list(self._draining):
            fired = channel.check_threshold() or fired
            if not channel.above_threshold:  # a handler may have filled it again
                self._draining.discard(channel)
        return fired

    def _on_message(self, event: datachannel.MessageReceived) -> None:
        channel = self._channels.get(id(event.channel))
        if channel is not None:
            channel.deliver(event.data)

    def _on_channel_announced(self, event: datachannel.ChannelAnnounced) -> None:
        self.dispatch("datachannel", self._wrap_channel(event.channel))

    def _on_channel_opened(self, event: datachannel.ChannelOpened) -> None:
        self._wrap_channel(event.channel).dispatch("open")

    def _on_channel_closing(self, event: datachannel.ChannelClosing) -> None:
        self._wrap_channel(event.channel).dispatch("closing")

    def _on_channel_closed(self, event: datachannel.ChannelClosed) -> None:
        channel = self._channels.pop(id(event.channel), None)
        if channel is not None:
            self._draining.discard(channel)
            if event.error is not None and channel.listeners("error"):
                channel.dispatch("error", str(event.error))
            channel.dispatch("close")

    def _on_negotiation_needed(self, _event: events.NegotiationNeeded) -> None:
        if self._machine.needs_negotiation:  # it may have come about meanwhile, or not be possible now
            self.dispatch("negotiationneeded")

    def _on_candidate(self, event: events.IceCandidateGathered) -> None:
        found = event.candidate
        if found is None:
            self._gathered.set()
            self._later(lambda: self.dispatch("icecandidate", None))
            return
        candidate = RTCIceCandidate(found.serialize(), event.mid, event.mline_index, found.ufrag)
        self._later(lambda: self.dispatch("icecandidate", candidate))

    def _hold(self) -> None:
        """Keep what gathering finds until this turn of the loop is over.

        W3C has candidates after `setLocalDescription` is done, so that whoever awaits it signals the description first.
        """
        if self._held is None and self.listeners("icecandidate"):
            self._held = []
            asyncio.get_running_loop().call_soon(self._release)

    def _later(self, report: Callable[[], object]) -> None:
        if self._held is None:
            report()
        else:
            self._held.append(report)

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for report in held:
            report()

    def _on_relay_lost(self, event: RelayLost) -> None:
        if event.error is None or event.error.reason == "path-closed":  # we have taken the socket away ourselves
            return
        address, reason = event.server.address, str(event.error)
        logger.warning("TURN server %s over %s: %s", address, event.server.protocol, reason)
        code = next((code for code, slug in turn.REASONS.items() if slug == event.error.reason), NOT_REACHED)
        failure = RTCIceCandidateError(f"turn:{address}", code, reason)
        self.dispatch("icecandidateerror", failure)

    def _on_connection_state(self, event: events.ConnectionStateChanged) -> None:
        if event.error is not None:
            self.error = str(event.error)
            logger.warning("connection failed: %s", self.error)
            if self.listeners("error"):
                self.dispatch("error", self.error)
        if event.state == "closed" or self._machine.transport.dtls_state == "failed":
            # No way back, as there is from a failed ICE: whoever waits for a frame must hear of it.
            for transceiver in list(self._transceivers.values()):
                transceiver.sender.halt()
                transceiver.receiver.track.stop()
        self.dispatch("connectionstatechange")

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
        self._wrap_transceiver(event.transceiver).sender.on_keyframe_request()

    def _on_target_bitrate(self, event: events.TargetBitrateChanged) -> None:
        self._wrap_transceiver(event.transceiver).sender.on_target_bitrate(event.bitrate)

    # -- called by channels and senders ------------------------------------------------------------------------

    def send_message(self, wrapper: RTCDataChannel, channel: datachannel.Channel, data: bytes | str) -> None:
        """Queue a message of a channel."""
        if self._driver.closed:
            raise InvalidStateError("the peer connection is closed")
        self._machine.send(channel, data, self._driver.now())
        if not wrapper.above_threshold and wrapper.bufferedAmount > wrapper.bufferedAmountLowThreshold:
            wrapper.above_threshold = True
            self._draining.add(wrapper)
        self._driver.schedule_flush()

    def buffered_amount(self, channel: datachannel.Channel) -> int:
        """Bytes of a channel that have not left yet."""
        return self._machine.buffered_amount(channel)

    def close_channel(self, channel: datachannel.Channel) -> None:
        """Close a channel."""
        self._machine.close_channel(channel, self._driver.now())
        self._driver.schedule_flush()

    def transports(self) -> Transports:
        """What everything runs over, made when somebody wants to look."""
        if self._transports is None:
            self._transports = Transports(self._machine)
        return self._transports

    def run_sender(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run a sender's loop as a task of this connection."""
        return self._driver.spawn(coroutine, "rtp-sender")

    def send_frame(self, transceiver: Transceiver, frame: EncodedFrame) -> None:
        """Send an encoded frame of a track."""
        self._machine.send_frame(
            transceiver,
            frame.data,
            frame.timestamp,
            self._driver.now(),
            keyframe=frame.keyframe,
            capture_time=frame.capture_time,
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

    def set_encoding(self, transceiver: Transceiver, encoding: Encoding) -> None:
        """Change how a transceiver sends."""
        self._machine.set_encoding(transceiver, encoding)
        self._driver.schedule_flush()

    def stop_transceiver(self, transceiver: Transceiver) -> None:
        """End a transceiver with the next negotiation."""
        self._machine.stop_transceiver(transceiver)
        self._driver.schedule_flush()

    def set_codec_preferences(self, transceiver: Transceiver, codecs: list[Codec]) -> None:
        """Choose a transceiver's codecs."""
        self._machine.set_codec_preferences(transceiver, codecs)

    # -- wrappers ----------------------------------------------------------------------------------------------

    def _wrap_channel(self, channel: datachannel.Channel) -> RTCDataChannel:
        wrapper = self._channels.get(id(channel))
        if wrapper is None:
            wrapper = self._channels[id(channel)] = RTCDataChannel(self, channel)
        return wrapper

    def _wrap_transceiver(self, machine: Transceiver) -> RTCRtpTransceiver:
        wrapper = self._transceivers.get(id(machine))
        if wrapper is None:
            wrapper = self._transceivers[id(machine)] = RTCRtpTransceiver(self, machine, None)
        return wrapper


def ntp_offset() -> float:
    """Return what to add to `time.monotonic()` for NTP time, seconds since 1900 (RFC 3550 section 4)."""
    return time.time() - time.monotonic() + NTP_EPOCH


def _description(description: Description | None) -> RTCSessionDescription | None:
    return None if description is None else RTCSessionDescription(description.sdp, description.type)
