"""Encoded frames, their clocks, and the bounded queue that every live track has. Needs nothing but Python."""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Generic, TypeVar

VIDEO_CLOCK_RATE: Final = 90_000  # Hz, of every video payload format (RFC 3551 section 5)
VIDEO_TIME_BASE: Final = Fraction(1, VIDEO_CLOCK_RATE)
TIMESTAMP_MASK: Final = 0xFFFFFFFF

AUDIO_CLOCK_RATES: Final = {
    "audio/opus": 48_000,  # RFC 7587 section 4.1: whatever the sampling rate is
    "audio/pcmu": 8_000,
    "audio/pcma": 8_000,
    "audio/g722": 8_000,  # RFC 3551 section 4.5.2: an old mistake that stays
}
"""Hz of the RTP timestamp by MIME type in lower case."""

REMINDER: Final = 30  # frames refused for want of a keyframe until it is asked for again, a second of video

_T = TypeVar("_T")


class MediaStreamError(Exception):
    """The track has ended."""


@dataclass(slots=True)
class EncodedFrame:
    """One encoded access unit.

    Args:
        data: The bytes: Annex B for H.264 and H.265, a frame for VP8 and VP9, a temporal unit for AV1, a packet for
            audio.
        timestamp: In units of the codec's clock (90 kHz for video, `clock_rate` tells it), 32 bits, may wrap.
        keyframe: Whether it decodes without earlier ones.
        capture_time: When it was captured, seconds of `time.monotonic`; None if unknown.
        mime: What it is encoded with, for example `video/H264`; empty if only its track knows.
    """

    data: bytes
    timestamp: int
    keyframe: bool = False
    capture_time: float | None = None
    mime: str = field(default="", compare=False)


def clock_rate(mime: str) -> int:
    """Return the RTP clock in Hz of a MIME type in any case."""
    return AUDIO_CLOCK_RATES.get(mime.lower(), VIDEO_CLOCK_RATE)


def rtp_timestamp(pts: int, time_base: Fraction, rate: int = VIDEO_CLOCK_RATE) -> int:
    """Return a presentation time in units of an RTP clock, 32 bits.

    Args:
        pts: In units of `time_base`.
        time_base: Seconds per unit.
        rate: Hz.
    """
    return round(pts * time_base * rate) & TIMESTAMP_MASK


class TimestampUnwrapper:
    """Turns 32-bit timestamps that wrap into numbers that do not."""

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, timestamp: int) -> int:
        """Return `timestamp` plus the wraps since the first one; steps of up to half the range go either way."""
        if self._last is None:
            self._last = timestamp
        else:
            self._last += ((timestamp - self._last + 0x80000000) & TIMESTAMP_MASK) - 0x80000000
        return self._last


class FrameLimiter:
    """Decides which frames to keep so that no more than so many a second remain (W3C `maxFramerate`)."""

    # A frame that comes this much of an interval early still counts as due: cameras jitter.
    _TOLERANCE: Final = 0.1

    def __init__(self) -> None:
        self._due = -math.inf

    def admits(self, time: float, max_framerate: float | None) -> bool:
        """Whether to keep the frame of this time.

        Args:
            time: Of the frame, seconds on its own clock.
            max_framerate: Frames per second, None for no limit.
        """
        if max_framerate is None:
            self._due = time
            return True
        interval = 1 / max_framerate
        if self._due - 2 * interval <= time < self._due - self._TOLERANCE * interval:
            return False
        # The grid goes on from where it was, unless the source paused or began anew.
        on_grid = abs(time - self._due) <= interval
        self._due = (self._due if on_grid else time) + interval
        return True


class FrameQueue(Generic[_T]):
    """Frames between a source and a slower reader: bounded, and the oldest go first.

    Frames of encoded video build on each other (`chained`), so what follows a gap is useless up to a keyframe: a full
    queue is emptied, frames are refused until a keyframe comes, and `on_gap` is called to ask for one.

    Args:
        limit: Frames that may wait.
        chained: Whether a frame is of no use without the one before it.
        on_gap: Called when only a keyframe can go on, and again for every second of frames that are none.

    Attributes:
        items: What waits, oldest first.
        dropped: Frames thrown away since the start.
        closed: Whether no more will come.
        taker: Is shown each frame that nothing waits before, and returns whether it took it; else it waits for `get`.
    """

    def __init__(self, limit: int, *, chained: bool, on_gap: Callable[[], None] = lambda: None) -> None:
        self.items: deque[_T] = deque()
        self.dropped = 0
        self.closed = False
        self.taker: Callable[[_T], bool] | None = None
        self._limit = limit
        self._chained = chained
        self._on_gap = on_gap
        self._gap = False
        self._refused = 0  # frames since the gap began
        self._arrived = asyncio.Event()

    def put(self, item: _T, *, keyframe: bool = True) -> None:
        """Add a frame; ignored after `close`."""
        if self.closed:
            return
        if self._chained and self._gap and not keyframe:
            self.dropped += 1
            self._refused += 1
            if self._refused % REMINDER == 0:
                self._on_gap()
            return
        self._gap = False
        if self.taker is not None and not self.items and self.taker(item):
            return
        if len(self.items) >= self._limit:
            if not self._chained:
                self.items.popleft()
                self.dropped += 1
            else:
                self.dropped += len(self.items)
                self.items.clear()
                if not keyframe:
                    self.dropped += 1
                    self._gap, self._refused = True, 0
                    self._on_gap()
                    return
        self.items.append(item)
        self._arrived.set()

    def await_keyframe(self) -> None:
        """Take nothing until a keyframe comes: a new reader of encoded video can begin with nothing else."""
        self._gap, self._refused = True, 0

    async def get(self) -> _T:
        """Return the oldest frame, waiting for one.

        Raises:
            MediaStreamError: The queue is closed and empty.
        """
        while not self.items:
            if self.closed:
                raise MediaStreamError("the track has ended")
            self._arrived.clear()
            await self._arrived.wait()
        return self.items.popleft()

    def close(self) -> None:
        """Wake up everybody: what waits can still be taken, then `get` raises."""
        self.closed = True
        self._arrived.set()
