"""Live video encoders: low delay, no B-frames, keyframes only on demand.

A keyframe is asked for by the receiver (PLI, FIR), so the GOP is infinite: periodic keyframes would only cost
bandwidth and delay. Parameter sets travel with every keyframe, since a receiver may join or lose any packet.
"""

import fractions
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import av
import numpy as np
import numpy.typing as npt

from ..core import LocalError

Image: TypeAlias = npt.NDArray[np.uint8]
"""An RGB image of shape (height, width, 3)."""

MIN_BITRATE: Final = 50_000  # bit/s; below that libx264 and libvpx miss the target by far at any size that is useful
MAX_BITRATE: Final = 50_000_000  # bit/s; beyond what level 5.1 would let a receiver expect
MAX_DIMENSION: Final = 4096  # pixels; the widest that H.264 level 5.1 and every libvpx build take
_INFINITE_GOP: Final = 1 << 15  # frames, 18 minutes at 30/s; libavcodec has no value for "never"
# Neither wrapper of libavcodec takes a new bit rate while it runs (measured: setting it changes nothing), so a change
# means a new encoder, and that means a keyframe. Small changes are not worth one, and a raise can wait.
_LOWER_BY: Final = 0.85  # a target below this share of the current one is taken
_RAISE_BY: Final = 1.25  # a target above this multiple of the current one is taken
_LOWER_AFTER: Final = 1.0  # seconds of video between a change and a lower rate
_RAISE_AFTER: Final = 4.0  # seconds of video between a change and a higher rate
_NO_PICTURE_TYPE: Final = av.video.frame.PictureType.NONE
_INTRA: Final = av.video.frame.PictureType.I


class VideoEncoder(ABC):
    """One stream of encoded frames. Not thread-safe: use it from one worker.

    Args:
        width: Pixels, even.
        height: Pixels, even.
        fps: Frames per second that the rate control expects.
        bitrate: Target, bit/s.

    Attributes:
        mime: `video/H264` or `video/VP8`.
        bitrate: Target in use, bit/s.
        keyframe: Whether the last frame encoded was a keyframe.

    Raises:
        LocalError: If a dimension, the rate or the bit rate is not usable.
    """

    mime: str

    def __init__(self, width: int, height: int, fps: int = 30, bitrate: int = 1_500_000) -> None:
        for name, size in (("width", width), ("height", height)):
            if not 16 <= size <= MAX_DIMENSION or size % 2:
                raise LocalError(f"{name} must be even and from 16 to {MAX_DIMENSION}, not {size}")
        if not 1 <= fps <= 240:
            raise LocalError(f"fps must be from 1 to 240, not {fps}")
        self.width, self.height, self.fps = width, height, fps
        self.bitrate = _clamp_bitrate(bitrate)
        self.keyframe = False
        self._wanted = self.bitrate
        self._frames = 0  # since this context was opened; frame count is the encoder's clock
        self._pts = 0
        self._context: Any = self._open()

    @abstractmethod
    def _open(self) -> Any:
        """Open a codec context for `self.bitrate`."""

    def set_bitrate(self, bitrate: int) -> None:
        """Ask for another bit rate.

        It is taken with the next keyframe, or with the next frame if it is far enough from the one in use and the
        last change is long enough ago, because the change costs a keyframe.

        Args:
            bitrate: bit/s; clamped to `MIN_BITRATE`..`MAX_BITRATE`.
        """
        self._wanted = _clamp_bitrate(bitrate)

    def encode(self, frame: "Image | av.VideoFrame", *, keyframe: bool = False) -> bytes:
        """Encode one frame; what comes back belongs to exactly this frame.

        Args:
            frame: RGB array of shape (height, width, 3), or any `av.VideoFrame` (scaled and converted if needed).
            keyframe: Make this one decodable without any other.

        Returns:
            An H.264 access unit in Annex B form, or a VP8 frame. Empty if the rate control skipped the frame.

        Raises:
            LocalError: If an array has another shape or type.
        """
        picture = self._picture(frame)
        if self._rate_is_due(keyframe=keyframe):
            self.bitrate = self._wanted
            self._context = self._open()
            self._frames = 0
        picture.pts = self._pts
        picture.time_base = fractions.Fraction(1, self.fps)
        # A decoded frame remembers its type, and would force one here.
        picture.pict_type = _INTRA if keyframe or self._frames == 0 else _NO_PICTURE_TYPE
        self._pts += 1
        self._frames += 1
        packets = self._context.encode(picture)
        self.keyframe = any(packet.is_keyframe for packet in packets)
        return b"".join(bytes(packet) for packet in packets)

    def _rate_is_due(self, *, keyframe: bool) -> bool:
        if self._wanted == self.bitrate:
            return False
        seconds = self._frames / self.fps
        return (
            keyframe
            or (self._wanted < self.bitrate * _LOWER_BY and seconds >= _LOWER_AFTER)
            or (self._wanted > self.bitrate * _RAISE_BY and seconds >= _RAISE_AFTER)
        )

    def _picture(self, frame: "Image | av.VideoFrame") -> av.VideoFrame:
        if isinstance(frame, np.ndarray):
            if frame.shape != (self.height, self.width, 3) or frame.dtype != np.uint8:
                raise LocalError(f"wanted uint8 ({self.height}, {self.width}, 3), not {frame.dtype} {frame.shape}")
            frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
        return frame.reformat(width=self.width, height=self.height, format="yuv420p")

    def _create_context(self, codec: str, options: dict[str, str]) -> Any:
        context: Any = av.CodecContext.create(codec, "w")
        context.width, context.height, context.pix_fmt = self.width, self.height, "yuv420p"
        context.framerate = fractions.Fraction(self.fps)
        context.time_base = fractions.Fraction(1, self.fps)
        context.bit_rate = self.bitrate
        context.gop_size = _INFINITE_GOP
        context.max_b_frames = 0
        # Frame threads would hold frames back, and one thread is enough up to 720p.
        context.thread_count = 1
        context.options = options
        return context


class H264Encoder(VideoEncoder):
    """Constrained baseline H.264 by libx264: what every browser decodes.

    Not implemented: hardware encoders (h264_v4l2m2m and its like); give their output to an encoded track directly.
    """

    mime = "video/H264"

    def _open(self) -> Any:
        return self._create_context(
            "libx264",
            {
                "preset": "superfast",
                "tune": "zerolatency",
                "profile": "baseline",
                "forced-idr": "1",
                # A quarter of a second of buffer: a keyframe must not take longer than that on the wire.
                "maxrate": str(self.bitrate),
                "bufsize": str(self.bitrate // 4),
                "x264-params": "repeat-headers=1:scenecut=0:keyint=infinite:log-level=none",
            },
        )


class VP8Encoder(VideoEncoder):
    """VP8 by libvpx in its realtime mode."""

    mime = "video/VP8"

    def _open(self) -> Any:
        return self._create_context(
            "libvpx",
            {
                "deadline": "realtime",
                "cpu-used": "8",
                "error-resilient": "default",
                "lag-in-frames": "0",
                "auto-alt-ref": "0",
                "undershoot-pct": "100",
                "overshoot-pct": "15",
                # In percent of an average frame: the first picture must not take a second on the wire.
                "max-intra-rate": "400",
            },
        )


_ENCODERS: Final[dict[str, Callable[[int, int, int, int], VideoEncoder]]] = {
    "video/h264": H264Encoder,
    "video/vp8": VP8Encoder,
}


def create_encoder(mime: str, width: int, height: int, fps: int = 30, bitrate: int = 1_500_000) -> VideoEncoder:
    """Return an encoder for `video/H264` or `video/VP8` (in any case).

    Raises:
        LocalError: If there is none for `mime`, or an argument is not usable.
    """
    try:
        encoder = _ENCODERS[mime.lower()]
    except KeyError:
        raise LocalError(f"no encoder for {mime!r}; there are video/H264 and video/VP8") from None
    return encoder(width, height, fps, bitrate)


def _clamp_bitrate(bitrate: float) -> int:
    if bitrate != bitrate:  # noqa: PLR0124  NaN is the one value that differs from itself
        raise LocalError("bitrate must be a number")
    return int(max(MIN_BITRATE, min(MAX_BITRATE, bitrate)))
