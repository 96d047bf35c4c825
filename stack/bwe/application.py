"""Tells whether the application sends less than it may, so that the path is not tested by what it sends."""

USED = 0.65  # of the target: sending less is application-limited, as libwebrtc has it
WINDOW = 0.5  # seconds of budget that frames of uneven size may save up or overdraw
START, STOP = 0.8, 0.5  # of that budget


class ApplicationLimited:
    """A budget that fills with 65 % of the target and empties with what is sent.

    Attributes:
        limited: Whether the application limits.
    """

    __slots__ = ("_budget", "_updated_at", "limited")

    def __init__(self) -> None:
        self.limited = False
        self._budget = 0.0
        self._updated_at: float | None = None

    def sent(self, size: int, target: float, now: float) -> None:
        """Count `size` bytes, and the time until `now`, against a target in bit/s."""
        rate = target * (USED / 8.0)
        full = rate * WINDOW
        last = self._updated_at
        self._updated_at = now
        budget = self._budget + (0.0 if last is None else (now - last) * rate) - size
        self._budget = budget = full if budget > full else max(budget, -full)
        if self.limited:
            self.limited = budget > STOP * full
        else:
            self.limited = budget > START * full
