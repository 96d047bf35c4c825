"""RTCRtpTransceiver, RTCRtpSender and RTCRtpReceiver."""

import secrets
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..peer import (
    CODECS,
    Codec,
    Encoding,
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    NotSupportedError,
    Transceiver,
)
from ..peer.codecs import HEADER_EXTENSIONS
from ..peer.transceiver import DIRECTIONS
from .stats import RTCStatsReport, select
from .tracks import EncodedMediaTrack, MediaStreamError, MediaStreamTrack, RemoteStreamTrack
from .transports import RTCDtlsTransport

if TYPE_CHECKING:
    import asyncio

    from .peer_connection import RTCPeerConnection

DEFAULT_VIDEO_BITRATE: Final = 1_500_000
"""bit/s for pictures that we encode, until the path says otherwise: 720p at rest, 360p in motion."""


class Done:
    """What may be awaited though it is done: W3C has a promise there, and nothing takes time here."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_DONE: Final = Done()


@dataclass(frozen=True, slots=True)
class RTCRtpCodecCapability:
    """A codec (W3C RTCRtpCodecCapability)."""

    mimeType: str
    clockRate: int
    channels: int | None = None
    parameters: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """What comes behind `audio/` or `video/`."""
        return self.mimeType.partition("/")[2]


@dataclass(frozen=True, slots=True)
class RTCRtpHeaderExtensionCapability:
    """A header extension (W3C RTCRtpHeaderExtensionCapability).

    Args:
        uri: As in `a=extmap`.
    """

    uri: str


@dataclass(slots=True)
class RTCRtpEncodingParameters:
    """How a stream is sent (W3C RTCRtpEncodingParameters).

    Args:
        active: Whether it is sent at all.
        maxBitrate: bit/s at most; None for what the path carries.
        maxFramerate: Pictures per second at most; None for all.
        scaleResolutionDownBy: Width and height are divided by this, 1 or more.
        priority: `very-low`, `low`, `medium` or `high`.
    """

    active: bool = True
    maxBitrate: int | None = None
    maxFramerate: float | None = None
    scaleResolutionDownBy: float = 1.0
    priority: str = "low"


@dataclass(slots=True)
class RTCRtpSendParameters:
    """What `RTCRtpSender.getParameters` returns, to be changed and given to `setParameters`.

    Args:
        transactionId: Of this reading; only the latest one may be written back.
        encodings: One.
        codecs: What was negotiated, best first; read only.
    """

    transactionId: str
    encodings: list[RTCRtpEncodingParameters]
    codecs: list["RTCRtpCodecCapability"]


@dataclass(frozen=True, slots=True)
class RTCRtpCapabilities:
    """What can be sent or received (W3C RTCRtpCapabilities).

    Args:
        codecs: Best first.
        headerExtensions: Of RTP.
    """

    codecs: list[RTCRtpCodecCapability] = field(default_factory=list)
    headerExtensions: list[RTCRtpHeaderExtensionCapability] = field(default_factory=list)


def _capability(codec: Codec) -> RTCRtpCodecCapability:
    return RTCRtpCodecCapability(codec.mime_type, codec.clock_rate, codec.channels, dict(codec.parameters))


def _capabilities(kind: str) -> RTCRtpCapabilities:
    """Return what can be sent and received of a kind (W3C getCapabilities).

    Args:
        kind: `audio` or `video`.

    Raises:
        InvalidAccessError: Another kind.
    """
    if kind not in CODECS:
        raise InvalidAccessError(f"kind must be 'audio' or 'video', not {kind!r}")
    extensions = [RTCRtpHeaderExtensionCapability(uri) for uri in HEADER_EXTENSIONS[kind]]
    return RTCRtpCapabilities([_capability(codec) for codec in CODECS[kind]], extensions)


def check_direction(direction: str) -> None:
    """Refuse what is no direction, as a browser refuses what is not in an enumeration."""
    if direction not in DIRECTIONS:
        raise TypeError(f"direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}")


def stream_id(streams: Sequence[Any]) -> str:
    """Return the id of the stream; empty if there is none, for a random one."""
    if len(streams) > 1:
        raise NotSupportedError(f"{len(streams)} streams: a track belongs to one at the most")
    return "".join(stream if isinstance(stream, str) else str(stream.id) for stream in streams)


def to_encoding(given: RTCRtpEncodingParameters) -> Encoding:
    """Return what the machine calls it."""
    return Encoding(given.active, given.maxBitrate, given.maxFramerate, given.scaleResolutionDownBy, given.priority)


class RTCRtpSender:
    """Sends a track."""

    def __init__(
        self, connection: "RTCPeerConnection", transceiver: Transceiver, track: MediaStreamTrack | None
    ) -> None:
        self._connection = connection
        self._transceiver = transceiver
        self._track = track
        self._task: asyncio.Task[None] | None = None
        self._source: EncodedMediaTrack | None = None  # the track itself, or what encodes it
        self._bitrate = DEFAULT_VIDEO_BITRATE
        self._negotiated: str | None = None
        self._transaction: str | None = None  # of the parameters that may be written back

    getCapabilities = staticmethod(_capabilities)

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
        self._track = track
        self._transceiver.has_track = track is not None
        self._transceiver.source_id = track.id if track is not None else ""
        if self._negotiated is not None:
            mime = self._negotiated
            self.halt()
            self.start(mime)

    def getParameters(self) -> RTCRtpSendParameters:
        """Return how the track is sent (W3C getParameters)."""
        self._transaction = secrets.token_hex(8)
        encoding = self._transceiver.encoding
        return RTCRtpSendParameters(
            self._transaction,
            [
                RTCRtpEncodingParameters(
                    encoding.active,
                    encoding.max_bitrate,
                    encoding.max_framerate,
                    encoding.scale_resolution_down_by,
                    encoding.priority,
                )
            ],
            [_capability(item.codec) for item in self._transceiver.codecs],
        )

    async def setParameters(self, parameters: RTCRtpSendParameters) -> None:
        """Change how the track is sent, at once and without negotiation (W3C setParameters).

        Raises:
            InvalidStateError: The parameters are not those that `getParameters` returned last, or the sender has ended.
            InvalidModificationError: There is not one encoding, or what is read only was changed.
            InvalidAccessError: A number makes no sense.
        """
        self._check_open()
        if self._transaction is None or parameters.transactionId != self._transaction:
            raise InvalidStateError("call getParameters, change what it returns, and give that back")
        if len(parameters.encodings) != 1:
            raise InvalidModificationError("there is one encoding: simulcast is not negotiated")
        if parameters.codecs != [_capability(item.codec) for item in self._transceiver.codecs]:
            raise InvalidModificationError("codecs are read only: setCodecPreferences changes them")
        self._connection.set_encoding(self._transceiver, to_encoding(parameters.encodings[0]))
        self._transaction = None
        self._limit()

    def _limit(self) -> None:
        if self._source is not None:
            encoding = self._transceiver.encoding
            self._source.set_limits(encoding.scale_resolution_down_by, encoding.max_framerate)

    async def getStats(self) -> RTCStatsReport:
        """Return the statistics of this sender (W3C getStats)."""
        return select(self._connection.statistics(), self._transceiver, sending=True)

    # -- called by the connection ------------------------------------------------------------------------------

    def start(self, mime: str) -> None:
        """The negotiation lets us send `mime`."""
        self._negotiated = mime
        if self._track is not None and self._task is None:
            self._task = self._connection.run_sender(self._run(self._track, mime))

    def halt(self) -> None:
        """Stop sending."""
        self._negotiated = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._source = None

    def on_keyframe_request(self) -> None:
        """The peer wants a key frame."""
        if self._source is not None:
            self._source.request_keyframe()

    def on_target_bitrate(self, bitrate: float) -> None:
        """The path carries this many bit/s."""
        self._bitrate = int(bitrate)
        if self._source is not None:
            self._source.set_target_bitrate(bitrate)

    async def _run(self, track: MediaStreamTrack, mime: str) -> None:
        encoded = track if isinstance(track, EncodedMediaTrack) else _encoding(track, mime, self._bitrate)
        self._source = encoded
        try:
            encoded.start(mime)
            self._limit()
            while True:
                frame = await encoded.recv()
                self._connection.send_frame(self._transceiver, frame)
        except MediaStreamError:
            return
        finally:
            if encoded is not track:
                encoded.stop()


def _encoding(track: MediaStreamTrack, mime: str, video_bitrate: int) -> EncodedMediaTrack:
    """Return `track` encoded by us.

    Raises:
        NotSupportedError: The extra `media` is not installed.
    """
    try:
        from ..media import EncodingTrack
    except ImportError as error:
        raise NotSupportedError(f"cannot encode {mime}: {error}; send an EncodedMediaTrack instead") from error
    return EncodingTrack(track, bitrate=video_bitrate if track.kind == "video" else None)


class RTCRtpReceiver:
    """Receives a track."""

    def __init__(self, connection: "RTCPeerConnection", transceiver: Transceiver) -> None:
        self._connection = connection
        self._transceiver = transceiver
        self._track = RemoteStreamTrack(transceiver.kind, "", lambda: connection.request_keyframe(transceiver))

    getCapabilities = staticmethod(_capabilities)

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

    def renew(self, connection: "RTCPeerConnection") -> None:
        """Give out a fresh track after an earlier one has ended."""
        if self._track.readyState == "ended":
            transceiver = self._transceiver
            self._track = RemoteStreamTrack(transceiver.kind, "", lambda: connection.request_keyframe(transceiver))
        if self._transceiver.remote_track_id:
            self._track.id = self._transceiver.remote_track_id


class RTCRtpTransceiver:
    """A sender and a receiver that share an m-section."""

    def __init__(self, connection: "RTCPeerConnection", machine: Transceiver, track: MediaStreamTrack | None) -> None:
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
