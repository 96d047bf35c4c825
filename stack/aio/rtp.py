"""RTCRtpTransceiver, RTCRtpSender and RTCRtpReceiver."""

import secrets
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

from ..peer import CODECS, InvalidModificationError, InvalidStateError, Transceiver
from .rtp_parameters import (
    RTCRtpCodecCapability,
    RTCRtpSendParameters,
    capabilities,
    capability,
    check_direction,
    of_encoding,
    to_encoding,
)
from .sent_encoding import SentEncoding, check_source, sources
from .stats import RTCStatsReport, select
from .tracks import EncodedMediaTrack, MediaStreamTrack, RemoteStreamTrack
from .transports import RTCDtlsTransport

if TYPE_CHECKING:
    from .transceivers import Transceivers


class Done:
    """What may be awaited though it is done: W3C has a promise there, and nothing takes time here."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_DONE: Final = Done()


class RTCRtpSender:
    """Sends a track."""

    def __init__(self, connection: "Transceivers", transceiver: Transceiver, track: MediaStreamTrack | None) -> None:
        self._connection = connection
        self._transceiver = transceiver
        self._track = track
        self._sent: dict[str | None, SentEncoding] = {}  # by rid
        self._negotiated: str | None = None
        self._transaction: str | None = None  # of the parameters that may be written back

    getCapabilities = staticmethod(capabilities)

    @property
    def kind(self) -> str:
        """`audio` or `video`."""
        return self._transceiver.kind

    @property
    def track(self) -> MediaStreamTrack | None:
        """What is sent."""
        return self._track

    @property
    def transport(self) -> RTCDtlsTransport:
        """What everything of this connection runs over."""
        return self._connection.transports().dtls

    def replaceTrack(self, track: MediaStreamTrack | None) -> Done:
        """Send another track, at once and without negotiation (W3C replaceTrack). It may be awaited, and need not be.

        Raises:
            TypeError: The track is of another kind.
            InvalidStateError: The connection is closed, or the transceiver stopped.
            NotSupportedError: The track is encoded, and several encodings were agreed: it cannot be had in other sizes.
        """
        self._check_open()
        self.replace(track)
        return _DONE

    def _check_open(self) -> None:
        if self._connection.signalingState == "closed" or self._transceiver.stopping:
            raise InvalidStateError("this sender has ended")

    def replace(self, track: MediaStreamTrack | None) -> None:
        """Send another track."""
        if track is not None and track.kind != self.kind:
            raise TypeError(f"this sender is for {self.kind}, the track is {track.kind}")
        check_source(track, len(self._transceiver.layers))
        self._transceiver.one_encoding = isinstance(track, EncodedMediaTrack)
        self._track = track
        self._transceiver.has_track = track is not None
        self._transceiver.source_id = track.id if track is not None else ""
        if self._negotiated is not None:
            mime = self._negotiated
            self.halt()
            self.start(mime)

    def setStreams(self, *streams: Any) -> None:
        """Have the track belong to other streams, with the next negotiation (W3C setStreams).

        Args:
            streams: As for `addTrack`.

        Raises:
            InvalidStateError: The connection is closed.
            TypeError: An id of a stream is none.
        """
        if self._connection.signalingState == "closed":
            raise InvalidStateError("the connection is closed")
        self._connection.set_streams(self._transceiver, streams)

    def getParameters(self) -> RTCRtpSendParameters:
        """Return how the track is sent (W3C getParameters)."""
        self._transaction = secrets.token_hex(8)
        return RTCRtpSendParameters(
            self._transaction,
            [of_encoding(layer.encoding) for layer in self._transceiver.layers],
            [capability(item.codec) for item in self._transceiver.codecs],
        )

    async def setParameters(self, parameters: RTCRtpSendParameters) -> None:
        """Change how the track is sent, at once and without negotiation (W3C setParameters).

        Raises:
            InvalidStateError: The parameters are not those that `getParameters` returned last, or the sender has ended.
            InvalidModificationError: There are more encodings or fewer, or what is read only was changed.
            InvalidAccessError: A number makes no sense.
        """
        self._check_open()
        if self._transaction is None or parameters.transactionId != self._transaction:
            raise InvalidStateError("call getParameters, change what it returns, and give that back")
        if parameters.codecs != [capability(item.codec) for item in self._transceiver.codecs]:
            raise InvalidModificationError("codecs are read only: setCodecPreferences changes them")
        encodings = [to_encoding(given) for given in parameters.encodings]
        self._connection.set_encodings(self._transceiver, encodings)
        self._transaction = None
        for sent in self._sent.values():
            sent.limit()

    async def getStats(self) -> RTCStatsReport:
        """Return the statistics of this sender (W3C getStats)."""
        return select(self._connection.statistics(), self._transceiver, sending=True)

    # -- called by the connection ------------------------------------------------------------------------------

    def start(self, mime: str) -> None:
        """The negotiation lets us send `mime`."""
        self._negotiated = mime
        if self._track is None or self._sent:
            return
        layers = self._transceiver.layers
        for layer, source in zip(layers, sources(self._connection, self._track, len(layers)), strict=True):
            self._sent[layer.rid] = SentEncoding(self._connection, self._transceiver, layer, source, mime)

    def halt(self) -> None:
        """Stop sending."""
        self._negotiated = None
        for sent in self._sent.values():
            sent.stop()
        self._sent.clear()

    def on_keyframe_request(self, rid: str | None) -> None:
        """The peer wants a key frame of an encoding."""
        if rid in self._sent:
            self._sent[rid].request_keyframe()

    def on_target_bitrate(self, rid: str | None, bitrate: float) -> None:
        """The path carries this many bit/s of an encoding."""
        if rid in self._sent:
            self._sent[rid].set_target_bitrate(bitrate)


class RTCRtpReceiver:
    """Receives a track."""

    def __init__(self, connection: "Transceivers", transceiver: Transceiver) -> None:
        self._connection = connection
        self._transceiver = transceiver
        self._track = RemoteStreamTrack(transceiver.kind, "", lambda: connection.request_keyframe(transceiver))

    getCapabilities = staticmethod(capabilities)

    @property
    def transport(self) -> RTCDtlsTransport:
        """What everything of this connection runs over."""
        return self._connection.transports().dtls

    async def getStats(self) -> RTCStatsReport:
        """Return the statistics of this receiver (W3C getStats)."""
        return select(self._connection.statistics(), self._transceiver, sending=False)

    @property
    def track(self) -> RemoteStreamTrack:
        """What the peer sends."""
        return self._track

    @property
    def streams(self) -> tuple[str, ...]:
        """Ids of the peer's streams that the track belongs to: what has the same one is to be played together."""
        return self._transceiver.remote_streams

    def renew(self, connection: "Transceivers") -> None:
        """Give out a fresh track after an earlier one has ended."""
        if self._track.readyState == "ended":
            transceiver = self._transceiver
            self._track = RemoteStreamTrack(transceiver.kind, "", lambda: connection.request_keyframe(transceiver))
        if self._transceiver.remote_track_id:
            self._track.id = self._transceiver.remote_track_id


class RTCRtpTransceiver:
    """A sender and a receiver that share an m-section."""

    def __init__(self, connection: "Transceivers", machine: Transceiver, track: MediaStreamTrack | None) -> None:
        self._connection = connection
        self.machine = machine
        self.sender = RTCRtpSender(connection, machine, track)
        self.receiver = RTCRtpReceiver(connection, machine)

    @property
    def kind(self) -> str:
        """`audio` or `video`."""
        return self.machine.kind

    @property
    def mid(self) -> str | None:
        """The m-section's identification."""
        return self.machine.mid

    @property
    def direction(self) -> str:
        """What we want, or `stopped`; assign to change it with the next negotiation."""
        return "stopped" if self._is_over or self.machine.stopping else self.machine.direction

    @direction.setter
    def direction(self, direction: str) -> None:
        check_direction(direction)
        self._connection.set_direction(self.machine, direction)

    @property
    def currentDirection(self) -> str | None:
        """What was negotiated, or `stopped`; None before."""
        return "stopped" if self.stopped else self.machine.current_direction

    @property
    def stopped(self) -> bool:
        """Whether it has ended."""
        return self._is_over or self.machine.stopped

    @property
    def _is_over(self) -> bool:
        return self._connection.signalingState == "closed"

    def stop(self) -> Done:
        """End this transceiver; its section is rejected by the next negotiation (W3C stop). It need not be awaited."""
        self._connection.stop_transceiver(self.machine)
        self.sender.halt()
        self.receiver.track.stop()
        return _DONE

    def setCodecPreferences(self, codecs: list[RTCRtpCodecCapability]) -> None:
        """Choose which codecs to negotiate, best first; from `RTCRtpSender.getCapabilities`. None of them for all.

        Raises:
            InvalidStateError: The connection is closed.
            InvalidModificationError: One is not among the capabilities.
        """
        known = {(c.mime_type.lower(), frozenset(c.parameters.items())): c for c in CODECS[self.kind]}
        try:
            chosen = [known[codec.mimeType.lower(), frozenset(codec.parameters.items())] for codec in codecs]
        except KeyError as error:
            raise InvalidModificationError(f"{error.args[0][0]} is not among the capabilities") from error
        chosen = chosen or list(CODECS[self.kind])
        self._connection.set_codec_preferences(self.machine, chosen)
