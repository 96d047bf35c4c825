"""When a whole frame is handed on: at once, or smoothed by as much delay as the measured jitter needs.

A frame's delay is how long after its place on the media clock it became whole. The smallest delay seen lately is that
of an undisturbed path; the target is what nearly every frame needs beyond that. A frame is due at its place on the
media clock, plus the smallest delay, plus the target.
"""

from collections import deque

from ..core import LocalError, unwrap32
from .events import FrameReceived

WINDOW = 200  # frames whose delays are remembered: seven seconds of video, four of audio
QUANTILE = 0.95  # of the frames are in time; the rest is handed on as it comes
SHRINK = 0.02  # of the way, per frame: a smaller target is approached slowly, a larger one at once
MAX_FRAMES = 256  # that wait; four seconds of audio, so that the bound is that of time
RESET = 10.0  # seconds; a delay that differs more from the last one is a new media clock


class Playout:
    """Delays frames by an adaptive target.

    Args:
        clock_rate: Media clock, Hz.
        minimum: Seconds of target at least.
        maximum: Seconds of target at most.

    Attributes:
        target: Present target, seconds.
        delay_sum: Seconds that all frames handed on have waited, together.
        target_sum: The same of the targets at the time.
        emitted: How many those are.
    """

    __slots__ = (
        "_base",
        "_clock_rate",
        "_delays",
        "_frames",
        "_last",
        "_maximum",
        "_minimum",
        "delay_sum",
        "emitted",
        "target",
        "target_sum",
    )

    def __init__(self, clock_rate: int, minimum: float, maximum: float) -> None:
        if not 0.0 <= minimum <= maximum < RESET:
            raise LocalError(f"a playout delay of {minimum} to {maximum} s")
        self._clock_rate = clock_rate
        self._minimum, self._maximum = minimum, maximum
        self.target = minimum
        self.delay_sum = self.target_sum = 0.0
        self.emitted = 0
        self._last: int | None = None  # extended timestamp
        self._delays: deque[float] = deque(maxlen=WINDOW)
        self._base = 0.0
        self._frames: deque[tuple[float, FrameReceived]] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, frame: FrameReceived, now: float) -> None:
        """Take a whole frame, in decoding order."""
        extended = frame.timestamp if self._last is None else unwrap32(frame.timestamp, self._last)
        self._last = extended
        delay = now - extended / self._clock_rate
        if self._delays and abs(delay - self._delays[-1]) > RESET:
            self._delays.clear()
        self._delays.append(delay)
        ordered = sorted(self._delays)
        self._base = ordered[0]
        wanted = ordered[int((len(ordered) - 1) * QUANTILE)] - self._base
        wanted = min(max(wanted, self._minimum), self._maximum)
        self.target = wanted if wanted > self.target else self.target + (wanted - self.target) * SHRINK
        due = extended / self._clock_rate + self._base + self.target
        # Never later than the target after its arrival, and never before the frame before it.
        due = min(due, now + self.target)
        if self._frames:
            due = max(due, self._frames[-1][0])
        self._frames.append((due, frame))

    def take(self, now: float) -> list[FrameReceived]:
        """Return the frames that are due, and those for which there is no room."""
        frames = self._frames
        out = []
        while frames and (frames[0][0] <= now or len(frames) > MAX_FRAMES):
            _, frame = frames.popleft()
            self.delay_sum += max(0.0, now - frame.receive_time)
            self.target_sum += self.target
            self.emitted += 1
            out.append(frame)
        return out

    def deadline(self) -> float | None:
        """Return when the next frame is due, or None."""
        return self._frames[0][0] if self._frames else None

    def clear(self) -> None:
        """Forget everything that waits."""
        self._frames.clear()
