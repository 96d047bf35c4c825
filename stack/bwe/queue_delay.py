"""How long packets wait in queues of the path: the one-way delay above its lowest."""

BASE_WINDOW = 10.0  # seconds; clocks that drift by 100 ppm are 1 ms apart after that
MAX_JUMP = 10.0  # seconds by which delays may differ; more is a clock that was set


class QueueDelay:
    """The least delay of each report, above the least of the last ten to twenty seconds.

    The least of a report, because jitter and the burst of a frame only ever add to it.

    Attributes:
        delay: Seconds.
    """

    __slots__ = ("_base", "_base_before", "_latest", "_turn", "delay")

    def __init__(self) -> None:
        self.delay = 0.0
        self._base = self._base_before = float("inf")
        self._latest = 0.0
        self._turn = float("-inf")

    def update(self, one_way: float, now: float) -> None:
        """Take the least difference of arrival and departure in a report, seconds of two clocks."""
        if abs(one_way - self._latest) > MAX_JUMP:
            self._base = self._base_before = float("inf")
        self._latest = one_way
        if now >= self._turn:
            self._turn = now + BASE_WINDOW
            self._base_before, self._base = self._base, one_way
        self._base = min(self._base, one_way)
        self.delay = one_way - min(self._base, self._base_before)

    def rebase(self) -> None:
        """Take the present delay for the path's own: it did not become less when it should have."""
        self._base = self._base_before = self._latest
        self.delay = 0.0
