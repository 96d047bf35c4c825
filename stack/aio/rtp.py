"""RTCRtpTransceiver, RTCRtpSender and RTCRtpReceiver."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..peer import CODECS, Codec, InvalidAccessError, NotSupportedError, Transceiver
from .codecs import create_encoder
from .tracks import EncodedFrame, EncodedMediaTrack, MediaStreamError, MediaStreamTrack, RemoteStreamTrack

if TYPE_CHECKING:
    from .peer_connection import RTCPeerConnection

VIDEO_CLOCK: Final = 90000  # Hz, of every video payload format (RFC 3551 section 5)

DEFAULT_VIDEO_BITRATE: Final = 1_500_000
"""bit/s for pictures that we encode, until the path says otherwise: 720p at rest, 360p in motion."""


@dataclass(frozen=True, slots=True)
class RTCRtpCodecCapability:
    """A codec (W3C RTCRtpCodecCapability)."""

    mimeType: str
    clockRate: int
    channels: int | None = None
    parameters: dict[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class RTCRtpCapabilities:
    """Codecs that can be sent or received, best first."""

    codecs: list[RTCRtpCodecCapability]


def _capability(codec: Codec) -> RTCRtpCodecCapability:
    return RTCRtpCodecCapability(codec.mime_type, codec.clock_rate, codec.channels, dict(codec.parameters))


def _capabilities(kind: str) -> RTCRtpCapabilities:
    if kind not in CODECS:
        raise InvalidAccessError(f"kind must be 'audio' or 'video', not {kind!r}")
    return RTCRtpCapabilities([_capability(codec) for codec in CODECS[kind]])


class RTCRtpSender:
    """Sends a track."""

    def __init__(
        self, connection: "RTCPeerConnection", transceiver: Transceiver, track: MediaStreamTrack | None
    ) -> None:
        self._connection = connection
        self._transceiver = transceiver
        self._track = track
        self._task: asyncio.Task[None] | None = None
        self._keyframe = False
        self._bitrate = DEFAULT_VIDEO_BITRATE
        self._negotiated: str | None = None

    getCapabilities = staticmethod(_capabilities)

    @property
    def kind(self) -> str:
        """`audio` or `video`."""
        return self._transceiver.kind

    @property
    def track(self) -> MediaStreamTrack | None:
        """What is sent."""
        return self._track

    async def replaceTrack(self, track: MediaStreamTrack | None) -> None:
        """Send another track, without negotiation (W3C replaceTrack)."""
        self.replace(track)

    def replace(self, track: MediaStreamTrack | None) -> None:
        """The synchronous form of `replaceTrack`."""
        if track is not None and track.kind != self.kind:
            raise InvalidAccessError(f"this sender is for {self.kind}, the track is {track.kind}")
        self._track = track
        if self._negotiated is not None:
            mime = self._negotiated
            self.halt()
            self.start(mime)

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

    def on_keyframe_request(self) -> None:
        """The peer wants a key frame."""
        self._keyframe = True
        if isinstance(self._track, EncodedMediaTrack):
            self._track.request_keyframe()

    def on_target_bitrate(self, bitrate: float) -> None:
        """The path carries this many bit/s."""
        self._bitrate = int(bitrate)
        if isinstance(self._track, EncodedMediaTrack):
            self._track.set_target_bitrate(bitrate)

    async def _run(self, track: MediaStreamTrack, mime: str) -> None:
        with contextlib.suppress(MediaStreamError):
            if isinstance(track, EncodedMediaTrack):
                track.start(mime)
                while True:
                    frame = await track.recv()
                    self._connection.send_frame(self._transceiver, frame)
            if self.kind != "video":
                raise NotSupportedError(f"cannot encode {mime}: send an EncodedMediaTrack of kind audio instead")
            await self._encode(track, mime)

    async def _encode(self, track: MediaStreamTrack, mime: str) -> None:
        loop = asyncio.get_running_loop()
        encoder: Any = None
        self._keyframe = True
        executor = ThreadPoolExecutor(1, "encoder")
        try:
            while True:
                picture = await track.recv()
                if encoder is None or (encoder.width, encoder.height) != (picture.width, picture.height):
                    encoder = create_encoder(mime, picture.width, picture.height, self._bitrate)
                encoder.set_bitrate(self._bitrate)
                keyframe, self._keyframe = self._keyframe, False
                timestamp = round(picture.pts * picture.time_base * VIDEO_CLOCK) & 0xFFFFFFFF
                data = await loop.run_in_executor(executor, _encode, encoder, picture, keyframe)
                if data:
                    self._connection.send_frame(self._transceiver, EncodedFrame(data, timestamp, encoder.keyframe))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def _encode(encoder: Any, picture: Any, keyframe: bool) -> bytes:
    data: bytes = encoder.encode(picture, keyframe=keyframe)
    return data


class RTCRtpReceiver:
    """Receives a track."""

    def __init__(self, connection: "RTCPeerConnection", transceiver: Transceiver) -> None:
        self._transceiver = transceiver
        self._track = RemoteStreamTrack(transceiver.kind, "", lambda: connection.request_keyframe(transceiver))

    getCapabilities = staticmethod(_capabilities)

    @property
    def track(self) -> RemoteStreamTrack:
        """What the peer sends."""
        return self._track

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
        """What we want; assign to change it with the next negotiation."""
        return self.machine.direction

    @direction.setter
    def direction(self, direction: str) -> None:
        self._connection.set_direction(self.machine, direction)

    @property
    def currentDirection(self) -> str | None:
        """What was negotiated."""
        return self.machine.current_direction

    @property
    def stopped(self) -> bool:
        """Whether it was rejected."""
        return self.machine.stopped

    def setCodecPreferences(self, codecs: list[RTCRtpCodecCapability]) -> None:
        """Choose which codecs to negotiate, best first; from `RTCRtpSender.getCapabilities`.

        Raises:
            InvalidAccessError: If one is not among the capabilities.
        """
        known = {(c.mime_type, tuple(c.parameters.items())): c for c in CODECS[self.kind]}
        try:
            chosen = [known[codec.mimeType, tuple(codec.parameters.items())] for codec in codecs]
        except KeyError as error:
            raise InvalidAccessError(f"{error.args[0][0]} is not among the capabilities") from error
        self._connection.set_codec_preferences(self.machine, chosen)
