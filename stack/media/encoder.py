"""Live video encoders: low delay, no B-frames, keyframes only on demand.

A keyframe is asked for by the receiver (PLI, FIR), so the GOP is infinite: periodic keyframes would only cost
bandwidth and delay. Parameter sets travel with every keyframe, since a receiver may join or lose any packet.
"""

import contextlib
import fractions
import os
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, TypeAlias

import av
import numpy as np
import numpy.typing as npt

from ..core import LocalError
from . import scheduling
from .frames import VIDEO_CLOCK_RATE, EncodedFrame
from .pictures import own_picture

Image: TypeAlias = npt.NDArray[np.uint8]
"""An RGB image of shape (height, width, 3)."""

MIN_BITRATE: Final = 50_000  # bit/s; below that libx264 and libvpx miss the target by far at any size that is useful
MAX_BITRATE: Final = 50_000_000  # bit/s; beyond what level 5.1 would let a receiver expect
MAX_DIMENSION: Final = 4096  # pixels; the widest that H.264 level 5.1 and every libvpx build take
MAX_IN_FLIGHT: Final = 16
"""Pictures inside of an encoder; hardware holds a few back. Past that the oldest count as lost."""

MAX_THREADS: Final = 4  # of one encoder; more cost more in overhead than they gain below 4K
_INFINITE_GOP: Final = 1 << 15  # frames, 18 minutes at 30/s; libavcodec has no value for "never"
# An encoder that takes no new rate while it runs must be opened again for one, and that means a keyframe. Small
# changes are not worth one, and a raise can wait. Until a lower rate is taken, pictures are left out to keep to it.
_LOWER_BY: Final = 0.85  # a target below this share of the current one is taken
_RAISE_BY: Final = 1.25  # a target above this multiple of the current one is taken
_LOWER_AFTER: Final = 1.0  # seconds of video between a change and a lower rate
_RAISE_AFTER: Final = 4.0  # seconds of video between a change and a higher rate
_SHAPED_BELOW: Final = 0.95  # a target below this share of the current one makes us leave out pictures
_BACKLOG: Final = 0.25  # seconds of the target rate that may be sent too early while pictures are left out
_ADJUST_BY: Final = 0.02  # a smaller change than this is not worth telling even an encoder that takes it
_REOPEN_BY: Final = 1.5  # a keyframe that is due anyway is used to size the rate control anew past this ratio
# Seconds of rate that x264 may be ahead: a keyframe takes up to 0.65 of it on the wire. Measured with noise at 1 and
# 2 Mbit/s: with 0.25 s only 0.8 of the rate is used, with 0.4 s 0.95 and with 0.67 s 0.97.
_BUFFER: Final = 0.4
# Seconds of rate that libvpx may be ahead. Measured with noise that it cannot shrink enough: while it may leave out
# pictures 0.6 s keep the rate and 1 s misses it by a quarter; while it may not, 0.6 s misses it by far.
_VPX_BUFFER: Final = 1.0
_VPX_BUFFER_WITH_DROPS: Final = 0.6
# How far above and below the rate that it was opened for a running encoder may go: beyond that its buffer, which has a
# size in bits, is too short or too long.
_HEADROOM: Final = 2  # of x264, which is told the larger one when it is opened
_VPX_RANGE: Final = 8
_VPX_CLOCK: Final = 90_000  # ticks a second: a frame has hundreds at any rate in that range
_RATE_SMOOTHING: Final = 0.1  # share of a new interval in the measured frame rate: about ten frames of memory
_FPS_TOLERANCE: Final = 1.1  # measured frame rates off by less leave the rate control as it is
_NO_PICTURE_TYPE: Final = av.video.frame.PictureType.NONE
_INTRA: Final = av.video.frame.PictureType.I


class VideoEncoder(ABC):
    """One stream of encoded frames. Not thread-safe: use it from one worker.

    Args:
        width: Pixels, even.
        height: Pixels, even.
        fps: Frames per second that the rate control expects; it adapts to the timestamps that come.
        bitrate: Target, bit/s.
        codec: libavcodec's name of the encoder.
        drops_frames: Whether libvpx may leave out pictures where it cannot keep the rate otherwise.

    Attributes:
        mime: For example `video/H264`.
        codec: As above.
        bitrate: Target in use, bit/s.
        keyframe: Whether the last frame encoded was a keyframe.
        skipped: Pictures left out to keep to a bit rate that the encoder has not taken yet.

    Raises:
        LocalError: If a dimension, the rate or the bit rate is not usable, or the encoder does not open.
    """

    mime: ClassVar[str]
    retargets: ClassVar[bool] = False
    """Whether the rate of the running encoder can be changed, which then costs no keyframe."""

    headroom: ClassVar[int] = 1
    """How far above the rate that it was opened for a running encoder that retargets may go."""

    footroom: ClassVar[int] = 1000
    """How far below."""

    delays: ClassVar[bool] = False
    """Whether frames may come out later than their pictures go in."""

    default_codec: ClassVar[str]
    pixel_format: str = "yuv420p"

    def __init__(
        self,
        width: int,
        height: int,
        fps: int = 30,
        bitrate: int = 1_500_000,
        *,
        codec: str | None = None,
        drops_frames: bool = False,
    ) -> None:
        for name, size in (("width", width), ("height", height)):
            if not 16 <= size <= MAX_DIMENSION or size % 2:
                raise LocalError(f"{name} must be even and from 16 to {MAX_DIMENSION}, not {size}")
        if not 1 <= fps <= 240:
            raise LocalError(f"fps must be from 1 to 240, not {fps}")
        self.width, self.height, self.fps = width, height, fps
        self.codec = codec or self.default_codec
        self.drops_frames = drops_frames
        self.bitrate = _clamp_bitrate(bitrate)
        self.keyframe = False
        self.skipped = 0
        self._wanted = self.bitrate
        self._frames = 0  # since the last change of rate; frame count is the encoder's clock
        self._pts = -1
        self._ticks = 1  # of the encoder's clock for a frame
        self._time_base = fractions.Fraction(1, fps)  # of that clock
        self._interval: float | None = None  # seconds between pictures, smoothed
        self._intervals = 0  # measured
        self._last_timestamp: int | None = None
        self._backlog = 0.0  # bits sent beyond the wanted rate
        self._in_flight: dict[int, tuple[int, float | None]] = {}
        self._opened_bitrate = 0
        self._first = True
        self._context: Any = self._open()

    @abstractmethod
    def _options(self, bitrate: int) -> dict[str, str]:
        """Return the options of the codec for a rate, bit/s."""

    def set_bitrate(self, bitrate: int) -> None:
        """Ask for another bit rate.

        libx264 and libvpx take it with the next frame. Other encoders must be opened again, which costs a keyframe:
        they take it with the next keyframe, or with the next frame if it is far enough from the one in use and the last
        change is long enough ago; until then pictures are left out to keep to a lower rate.

        Args:
            bitrate: bit/s; clamped to `MIN_BITRATE`..`MAX_BITRATE`.
        """
        self._wanted = _clamp_bitrate(bitrate)

    def encode(self, frame: "Image | av.VideoFrame", *, keyframe: bool = False) -> bytes:
        """Encode one frame; what comes back belongs to exactly this frame, if the encoder holds none back.

        Args:
            frame: RGB array of shape (height, width, 3), or any `av.VideoFrame` (scaled and converted if needed).
            keyframe: Make this one decodable without any other.

        Returns:
            The encoded frame. Empty if it was left out to keep the bit rate.

        Raises:
            LocalError: If an array has another shape or type.
        """
        return b"".join(encoded.data for encoded in self._encode(frame, 0, None, keyframe=keyframe))

    def encode_frame(
        self,
        frame: "Image | av.VideoFrame",
        timestamp: int,
        *,
        keyframe: bool = False,
        capture_time: float | None = None,
    ) -> list[EncodedFrame]:
        """Encode one frame of which the time is known, so that the bit rate holds at any frame rate.

        Args:
            frame: As for `encode`.
            timestamp: 90 kHz, 32 bits.
            keyframe: As for `encode`.
            capture_time: Handed on.

        Returns:
            What the encoder has finished: usually this frame; hardware may be some frames behind.

        Raises:
            LocalError: If an array has another shape or type.
        """
        if self._last_timestamp is not None:
            seconds = ((timestamp - self._last_timestamp) & 0xFFFFFFFF) / VIDEO_CLOCK_RATE
            if 0 < seconds < 1:  # a longer pause says nothing about the rate
                self._intervals += 1
                old = seconds if self._interval is None else self._interval
                self._interval = old + max(_RATE_SMOOTHING, 1 / self._intervals) * (seconds - old)
        self._last_timestamp = timestamp
        return self._encode(frame, timestamp, capture_time, keyframe=keyframe)

    def _encode(
        self, frame: "Image | av.VideoFrame", timestamp: int, capture_time: float | None, *, keyframe: bool
    ) -> list[EncodedFrame]:
        picture = self._picture(frame)
        keyframe = keyframe or self._first
        self._follow_bitrate(keyframe=keyframe)
        if self._must_skip(keyframe=keyframe):
            self.skipped += 1
            self._frames += 1
            self.keyframe = False
            return []
        self._pts += self._ticks
        picture.pts = self._pts
        picture.time_base = self._time_base
        # A decoded frame remembers its type, and would force one here.
        picture.pict_type = _INTRA if keyframe or self._first else _NO_PICTURE_TYPE
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            del self._in_flight[next(iter(self._in_flight))]
        self._in_flight[self._pts] = (timestamp, capture_time)
        self._frames += 1
        self._first = False
        found = self._collect(self._context.encode(picture))
        if keyframe and not found and not self.delays:
            self._first = True  # the rate control dropped it, so it is still owed
        return found

    def _collect(self, packets: list[Any]) -> list[EncodedFrame]:
        found = []
        for packet in packets:
            timestamp, capture_time = self._in_flight.pop(packet.pts, (None, None))
            if timestamp is None:
                continue
            data = self._finish(bytes(packet), keyframe=packet.is_keyframe)
            found.append(EncodedFrame(data, timestamp, packet.is_keyframe, capture_time, self.mime))
            if not packet.is_keyframe:  # their size is not the rate control's choice
                self._backlog += len(data) * 8
        self.keyframe = any(frame.keyframe for frame in found)
        return found

    def _finish(self, data: bytes, *, keyframe: bool) -> bytes:  # noqa: ARG002  some formats have something to add
        return data

    # -- bit rate ----------------------------------------------------------------------------------------------

    def _for_the_clock(self, bitrate: int) -> int:
        """What to tell a rate control that counts frames at `fps` when they come at another rate."""
        measured = self.fps if self._interval is None else 1 / self._interval
        ratio = self.fps / measured
        if 1 / _FPS_TOLERANCE < ratio < _FPS_TOLERANCE:
            return bitrate
        return int(bitrate * max(0.25, min(16.0, ratio)))

    def _follow_bitrate(self, *, keyframe: bool) -> None:
        effective = self._for_the_clock(self._wanted)
        if self.retargets:
            off_center = not 1 / _REOPEN_BY < effective / self._opened_bitrate < _REOPEN_BY
            highest, lowest = self._opened_bitrate * self.headroom, self._opened_bitrate // self.footroom
            seconds = self._seconds()
            too_high, too_low = effective > highest and seconds >= _RAISE_AFTER, effective < lowest
            if (keyframe and off_center) or too_high or (too_low and seconds >= _LOWER_AFTER):
                self._reopen()
                return
            reached = max(min(effective, highest), lowest)
            self._retarget(reached)
            self.bitrate = self._wanted * reached // effective
        elif self._rate_is_due(effective, keyframe=keyframe):
            self._reopen()

    def _retarget(self, bitrate: int) -> None:
        """Have the running encoder take a rate, bit/s; only of those that retarget."""
        if abs(bitrate - self._context.bit_rate) > _ADJUST_BY * self._context.bit_rate:
            self._context.bit_rate = bitrate

    def _seconds(self) -> float:
        """How much video there was since the rate was last changed at the cost of a keyframe."""
        return self._frames * (1 / self.fps if self._interval is None else self._interval)

    def _rate_is_due(self, effective: int, *, keyframe: bool) -> bool:
        in_use = self._opened_bitrate
        if abs(effective - in_use) <= _ADJUST_BY * in_use:
            return False
        seconds = self._seconds()
        return (
            keyframe
            or (effective < in_use * _LOWER_BY and seconds >= _LOWER_AFTER)
            or (effective > in_use * _RAISE_BY and seconds >= _RAISE_AFTER)
        )

    def _reopen(self) -> None:
        self.bitrate = self._wanted
        self._frames = 0
        self._backlog = 0.0
        self._first = True
        self._in_flight.clear()
        self._context = self._open()

    def _must_skip(self, *, keyframe: bool) -> bool:
        """Leave out pictures while the encoder runs at a higher rate than wanted."""
        if self.retargets or keyframe or self._first or self._wanted >= _SHAPED_BELOW * self.bitrate:
            self._backlog = 0.0
            return False
        interval = 1 / self.fps if self._interval is None else self._interval
        self._backlog = max(0.0, self._backlog - self._wanted * interval)
        return self._backlog > self._wanted * _BACKLOG

    # -- opening -----------------------------------------------------------------------------------------------

    def _initial_bitrate(self, bitrate: int) -> int:
        """What to open the codec with, bit/s."""
        return bitrate

    def _picture(self, frame: "Image | av.VideoFrame") -> av.VideoFrame:
        if isinstance(frame, np.ndarray):
            if frame.shape != (self.height, self.width, 3) or frame.dtype != np.uint8:
                raise LocalError(f"wanted uint8 ({self.height}, {self.width}, 3), not {frame.dtype} {frame.shape}")
            frame = av.VideoFrame.from_ndarray(frame, format="rgb24")
        return own_picture(frame, self.width, self.height, self.pixel_format)

    def _create(self) -> Any:
        """Return libavcodec's context, not opened yet."""
        return av.CodecContext.create(self.codec, "w")

    def _open(self) -> Any:
        bitrate = self._for_the_clock(self.bitrate)
        self._opened_bitrate = bitrate
        try:
            context = self._create()
            context.width, context.height, context.pix_fmt = self.width, self.height, self.pixel_format
            context.framerate = fractions.Fraction(self.fps)
            context.time_base = self._time_base
            context.bit_rate = self._initial_bitrate(bitrate)
            context.gop_size = _INFINITE_GOP
            context.max_b_frames = 0
            # Frame threads would hold frames back; slices do not. One thread is enough up to 720p.
            context.thread_type = "SLICE"
            large = self.width * self.height > 1280 * 720
            context.thread_count = min(MAX_THREADS, os.cpu_count() or 1) if large else 1
            context.options = self._options(bitrate)
            context.open()
        except (av.FFmpegError, av.codec.codec.UnknownCodecError, ValueError, NotImplementedError) as error:
            raise LocalError(f"the encoder {self.codec} does not open: {error}") from error
        return context


class H264Encoder(VideoEncoder):
    """Constrained baseline H.264 by libx264: what every browser decodes.

    x264 changes the rate of a running encoder if it was opened with a constant one (`maxrate` equal to the bit rate),
    and then to anything below that; opened with an average one it ignores the change (measured, and said in its
    ratecontrol.c). So it is opened for twice the rate and told the real one before the first picture.
    """

    mime = "video/H264"
    default_codec = "libx264"
    retargets = True
    headroom = _HEADROOM

    def _open(self) -> Any:
        context = super()._open()
        context.bit_rate = self._opened_bitrate
        return context

    def _initial_bitrate(self, bitrate: int) -> int:
        return bitrate * _HEADROOM

    def _options(self, bitrate: int) -> dict[str, str]:
        return {
            "preset": "superfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "forced-idr": "1",
            "maxrate": str(bitrate * _HEADROOM),
            "bufsize": str(int(bitrate * _BUFFER)),
            "x264-params": "repeat-headers=1:scenecut=0:keyint=infinite:log-level=none",
        }


class VP8Encoder(VideoEncoder):
    """VP8 by libvpx in its realtime mode.

    Its wrapper takes no new rate while it runs (measured, and said in libavcodec's libvpxenc.c, which reconfigures the
    largest quantizer only). But libvpx gives a frame as many bits as its rate allows for the frame's time, so instead
    of the rate the clock is changed: half as long a frame gets half as many bits. That costs no keyframe.
    """

    mime = "video/VP8"
    default_codec = "libvpx"
    retargets = True
    headroom = footroom = _VPX_RANGE

    def _open(self) -> Any:
        self._ticks = _VPX_CLOCK // self.fps
        self._time_base = fractions.Fraction(1, self.fps * self._ticks)
        return super()._open()

    def _retarget(self, bitrate: int) -> None:
        self._ticks = max(round(_VPX_CLOCK / self.fps * bitrate / self._opened_bitrate), 1)

    def _options(self, bitrate: int) -> dict[str, str]:
        return {
            "deadline": "realtime",
            # Negative: this speed. Positive ones use up a share of the frame's time, however little would do
            # (measured with VP8 at 640x360: 5.8 ms instead of 3.8 for 0.1 dB).
            "cpu-used": "-5",
            "error-resilient": "default",
            "lag-in-frames": "0",
            "auto-alt-ref": "0",
            # A constant rate: without it libvpx sends up to 1.8 times what it should (measured with noise).
            "minrate": str(bitrate),
            "maxrate": str(bitrate),
            "bufsize": str(int(bitrate * (_VPX_BUFFER_WITH_DROPS if self.drops_frames else _VPX_BUFFER))),
            "drop-threshold": "30" if self.drops_frames else "0",  # percent of that buffer
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            # In percent of an average frame: the first picture must not take a second on the wire.
            "max-intra-rate": "400",
        }


class VP9Encoder(VP8Encoder):
    """VP9 by libvpx in its realtime mode: a quarter fewer bits than VP8 at twice its CPU."""

    mime = "video/VP9"
    default_codec = "libvpx-vp9"

    def _options(self, bitrate: int) -> dict[str, str]:
        return {**super()._options(bitrate), "cpu-used": "-8", "row-mt": "1"}


class AV1Encoder(VideoEncoder):
    """AV1 by SVT-AV1, low-delay and constant rate. It runs some threads of its own."""

    mime = "video/AV1"
    default_codec = "libsvtav1"

    def _open(self) -> Any:
        # The library writes its settings to stderr; it has no option that says otherwise.
        os.environ.setdefault("SVT_LOG", "1")
        with scheduling.kept():
            return super()._open()

    def _options(self, bitrate: int) -> dict[str, str]:  # noqa: ARG002  the context has it
        return {"preset": "11", "svtav1-params": "rc=2:pred-struct=1:rtc=1:lp=1"}

    def __del__(self) -> None:
        context = getattr(self, "_context", None)
        if context is not None:  # it complains on stderr when it is not told of the end
            with contextlib.suppress(Exception):
                context.encode(None)


def _clamp_bitrate(bitrate: float) -> int:
    if bitrate != bitrate:  # noqa: PLR0124  NaN is the one value that differs from itself
        raise LocalError("bitrate must be a number")
    return int(max(MIN_BITRATE, min(MAX_BITRATE, bitrate)))
