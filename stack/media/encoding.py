"""A track of pictures or samples as an encoded track: the encoder runs on a thread of its own."""

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import av

from ..core import LocalError
from ..rtp.payload import payload_format
from .audio import DEFAULT_OPUS_BITRATE, AudioEncoder
from .encoder import VideoEncoder
from .frames import (
    VIDEO_CLOCK_RATE,
    EncodedFrame,
    FrameLimiter,
    FrameQueue,
    MediaStreamError,
    clock_rate,
    rtp_timestamp,
)
from .hardware import create_encoder
from .pictures import black, silence
from .tracks import EncodedMediaTrack, MediaStreamTrack

MAX_RAW_PICTURES: Final = 2
"""Pictures that wait for the encoder: one would stall it whenever the source is late, more is only delay."""

MAX_RAW_SOUNDS: Final = 25
"""Frames of sound that wait for the encoder, half a second: it is hundreds of times faster than sound comes."""

MAX_FAILURES: Final = 3
"""Pictures in a row on which an encoder may fail before the track does; from the first on, hardware is left alone."""

DEFAULT_VIDEO_BITRATE: Final = 1_500_000
"""bit/s for pictures that we encode, until the path says otherwise: 720p at rest, 360p in motion."""

MIN_SIZE: Final = 16  # pixels, of a scaled picture's side: what encoders take


@dataclass(slots=True)
class _Raw:
    frame: Any
    arrived: float
    enabled: bool


class EncodingTrack(EncodedMediaTrack):
    """Encodes what another track delivers. The sender makes one for every track that is not encoded.

    The source is read as fast as it delivers; when the encoder falls behind, the oldest pictures are dropped. Stopping
    this track leaves the source alone; when the source ends, so does this.

    Args:
        source: A track of `av.VideoFrame` or `av.AudioFrame`; or of `av.Packet` in the codec that is negotiated, which
            are passed on as they are, with `pts` and `time_base`.
        bitrate: bit/s to begin with, None for 1.5 Mbit/s of video and 64 kbit/s of sound; at 0 it waits for more.
        max_bitrate: Never more than this (W3C `maxBitrate`), bit/s.
        max_framerate: Pictures per second at most (W3C `maxFramerate`).
        scale_resolution_down_by: Divides width and height (W3C `scaleResolutionDownBy`), at least 1.

    Attributes:
        max_bitrate: As above; may be changed at any time, like the next two.
        max_framerate: As above.
        scale_resolution_down_by: As above.
        limited: Pictures left out because of `max_framerate`.

    Raises:
        LocalError: If the scale is below 1, or the rate is not positive.
    """

    def __init__(
        self,
        source: MediaStreamTrack,
        *,
        bitrate: int | None = None,
        max_bitrate: int | None = None,
        max_framerate: float | None = None,
        scale_resolution_down_by: float = 1.0,
    ) -> None:
        if scale_resolution_down_by < 1:
            raise LocalError(f"scale_resolution_down_by must be at least 1, not {scale_resolution_down_by}")
        if max_framerate is not None and max_framerate <= 0:
            raise LocalError(f"max_framerate must be positive, not {max_framerate}")
        self.kind = source.kind
        super().__init__()
        video = source.kind == "video"
        self.max_bitrate = max_bitrate
        self.max_framerate = max_framerate
        self.scale_resolution_down_by = scale_resolution_down_by
        self.limited = 0
        self._sender_scale = 1.0  # what setParameters wants
        self._sender_framerate: float | None = None
        self._source = source
        if bitrate is None:
            bitrate = DEFAULT_VIDEO_BITRATE if video else DEFAULT_OPUS_BITRATE
        self._bitrate = bitrate
        self._raw: FrameQueue[_Raw] = FrameQueue(MAX_RAW_PICTURES if video else MAX_RAW_SOUNDS, chained=False)
        self._limiter = FrameLimiter()
        self._out: deque[EncodedFrame] = deque()
        self._keyframe = True
        self._negotiated: str | None = None
        self._pump: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._video: VideoEncoder | None = None  # the encoders are touched by the worker only
        self._audio: AudioEncoder | None = None
        self._failures = 0

    @property
    def dropped(self) -> int:
        """Frames of the source that the encoder was too slow for."""
        return self._raw.dropped

    @property
    def encoder(self) -> str:
        """The encoder in use by libavcodec's name; empty before the first picture, and for sound."""
        return "" if self._video is None else self._video.codec

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """Width and height of what is encoded, pixels; None before the first picture, and for sound."""
        return None if self._video is None else _size(self._video)

    def start(self, mime: str) -> None:
        """Encode into `mime` from now on."""
        self._negotiated = mime
        self._keyframe = True

    def request_keyframe(self) -> None:
        """Make the next picture decodable without the ones before it."""
        self._keyframe = True

    def set_target_bitrate(self, bitrate: float) -> None:
        """Follow what the path carries, bit/s. At 0 no picture is encoded; the first one after that is a keyframe."""
        if not self._bitrate:
            self._keyframe = True
        self._bitrate = int(bitrate)

    def set_limits(self, scale_resolution_down_by: float, max_framerate: float | None) -> None:
        """Take smaller pictures, or fewer of them, from the next one on; beside what the track's own settings say."""
        self._sender_scale, self._sender_framerate = scale_resolution_down_by, max_framerate

    async def recv(self) -> EncodedFrame:
        """Return the next encoded frame.

        Raises:
            MediaStreamError: The track or its source has ended.
            LocalError: There is no encoder for what was negotiated.
        """
        if self._negotiated is None:
            raise LocalError("call start with a MIME type first")
        loop = asyncio.get_running_loop()
        while not self._out:
            if self.readyState == "ended":
                raise MediaStreamError("the track has ended")
            if self._pump is None:
                self._pump = loop.create_task(self._read(), name="encoder-source")
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, f"encoder-{self.kind}")
            try:
                raw = await self._raw.get()
            except MediaStreamError:
                error = self._error
                self.stop()
                if error is not None:
                    raise error from None
                raise
            if isinstance(raw.frame, av.Packet):
                self._out += _passed_on(raw, self._negotiated)
                continue
            keyframe, self._keyframe = self._keyframe, False
            encode = self._encode_video if self.kind == "video" else self._encode_audio
            self._out.extend(await loop.run_in_executor(self._executor, encode, raw, self._negotiated, keyframe))
        return self._out.popleft()

    def stop(self) -> None:
        """End this track and its thread, which finishes the frame it is at; the source is left alone."""
        super().stop()
        self._raw.items.clear()
        self._raw.close()
        if self._pump is not None:
            self._pump.cancel()
        if self._executor is not None:
            self._executor.shutdown(wait=False)  # a cancelled job would cancel whoever waits in `recv`
            self._executor = None

    async def _read(self) -> None:
        """Take what the source delivers, so that pictures wait here, where the oldest are dropped."""
        source = self._source
        try:
            while True:
                frame = await source.recv()
                now = time.monotonic()
                limit = self._framerate_limit()
                if limit is not None and self.kind == "video" and not isinstance(frame, av.Packet):
                    seconds = now if frame.pts is None else float(frame.pts * frame.time_base)
                    if not self._limiter.admits(seconds, limit):
                        self.limited += 1
                        continue
                if self._bitrate or isinstance(frame, av.Packet):
                    self._raw.put(_Raw(frame, now, source.enabled))
                await asyncio.sleep(0)  # a source that never waits must not keep everybody else from running
        except MediaStreamError:
            pass
        except Exception as error:  # noqa: BLE001  whoever calls `recv` gets it
            self._error = error
        finally:
            self._raw.close()

    def _framerate_limit(self) -> float | None:
        return min((rate for rate in (self.max_framerate, self._sender_framerate) if rate is not None), default=None)

    # -- on the worker -----------------------------------------------------------------------------------------

    def _encode_video(self, raw: _Raw, mime: str, keyframe: bool) -> list[EncodedFrame]:
        frame, bitrate = raw.frame, self._allowed_bitrate()
        scale = self.scale_resolution_down_by * self._sender_scale
        width, height = _even(frame.width / scale), _even(frame.height / scale)
        encoder = self._video
        try:
            if encoder is None or encoder.mime.lower() != mime.lower() or _size(encoder) != (width, height):
                fps = 30 if encoder is None else encoder.fps
                encoder = create_encoder(
                    mime, width, height, fps, bitrate, hardware=not self._failures, drops_frames=True
                )
                self._video = encoder
            encoder.set_bitrate(bitrate)
            picture = frame if raw.enabled else black(width, height)
            seconds = raw.arrived if frame.pts is None else frame.pts * frame.time_base
            timestamp = round(seconds * VIDEO_CLOCK_RATE) & 0xFFFFFFFF
            encoded = encoder.encode_frame(picture, timestamp, keyframe=keyframe, capture_time=raw.arrived)
        except av.FFmpegError:
            self._failures += 1
            self._video = None
            self._keyframe = True
            if self._failures > MAX_FAILURES:
                raise
            return []
        return encoded

    def _encode_audio(self, raw: _Raw, mime: str, keyframe: bool) -> list[EncodedFrame]:  # noqa: ARG002  all are alike
        frame = raw.frame
        if self._audio is None or self._audio.mime.lower() != mime.lower():
            layout = "mono" if len(frame.layout.channels) == 1 else "stereo"
            self._audio = AudioEncoder(mime, self._allowed_bitrate(), layout)
        self._audio.set_bitrate(self._allowed_bitrate())
        if not raw.enabled:
            muted = silence(frame.format.name, frame.layout.name, frame.samples, frame.sample_rate)
            muted.pts, muted.time_base = frame.pts, frame.time_base
            frame = muted
        encoded = self._audio.encode(frame)
        for one in encoded:
            one.capture_time = raw.arrived
        return encoded

    def _allowed_bitrate(self) -> int:
        return self._bitrate if self.max_bitrate is None else min(self._bitrate, self.max_bitrate)


def _passed_on(raw: _Raw, mime: str) -> list[EncodedFrame]:
    """What a source has encoded by itself; nothing while it is not `enabled`, as there is no black in every codec."""
    packet = raw.frame
    if not raw.enabled or not packet.size:
        return []
    if packet.pts is None or not packet.time_base:
        raise LocalError("a packet needs a pts and a time_base")
    data = bytes(packet)
    timestamp = rtp_timestamp(packet.pts, packet.time_base, clock_rate(mime))
    # Packets made of bytes do not know whether they are keyframes.
    return [EncodedFrame(data, timestamp, payload_format(mime).is_keyframe(data), raw.arrived, mime)]


def _even(size: float) -> int:
    return max(MIN_SIZE, int(size) // 2 * 2)


def _size(encoder: VideoEncoder) -> tuple[int, int]:
    return encoder.width, encoder.height
