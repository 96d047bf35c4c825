"""Empties the queue that an overuse has left in the path.

# Deviates: draft-ietf-rmcat-gcc section 5.5 goes on at 85 % of what arrives, so that a queue of 300 ms takes two
seconds to empty. A stream that somebody drives a vehicle by cannot wait for that: for a moment much less is sent.
"""

from .queue_delay import QueueDelay
from .rate_control import RateControl

WORTH = 0.040  # seconds in queues; less empties by itself
EMPTY = 0.015  # seconds in queues that jitter and frames make at any rate
WITHIN = 0.3  # seconds in which the queue should be gone
LEAST = 0.3  # of what arrives: below, the stream would stand still
SLACK = 0.3  # seconds, and a round trip, that it may take longer
LONGEST = 3.0  # seconds, even while it helps
SUDDEN = 0.045  # seconds in queues, at least, and
SUDDEN_GROWTH = 0.015  # seconds more than in the last report, while
SUDDEN_SHARE = 0.85  # of the target arrives, or less: the path has lost capacity
FAILED_PAUSE = 10.0  # seconds without draining after it has not helped: the queue is of others, or there is none
SURPLUS = 1.1  # times what is sent arrives, or more: then a queue does empty, and what arrives is what the path carries
EMPTIED = 0.9  # of it is sent after success: the 85 % were meant to empty the queue, which is done
REFINED = 0.95  # of that


class Drain:
    """A rate below the target for a bounded time.

    Attributes:
        active: Whether it is on.
        bitrate: Bit/s while it is.
        ended_at: When it last ended, seconds.
    """

    __slots__ = (
        "_before",
        "_began",
        "_capacity",
        "_carried",
        "_deadline",
        "_next_at",
        "active",
        "bitrate",
        "ended_at",
    )

    def __init__(self) -> None:
        self.active = False
        self.bitrate = 0.0
        self._began = 0.0
        self._deadline = 0.0
        self._next_at = float("-inf")
        self._before = 0.0
        self._capacity = self._carried = 1.0
        self.ended_at = float("-inf")

    def sudden(self, queue: QueueDelay, target: float, arriving: float, now: float) -> bool:
        """Tell whether a queue grows so fast that the trend need not be awaited.

        Args:
            queue: What waits in the path.
            target: Bit/s that may be sent.
            arriving: Bit/s of the last sample of what arrives.
            now: Seconds.
        """
        before, self._before = self._before, queue.delay
        return (
            not self.active
            and now >= self._next_at
            and queue.delay > SUDDEN
            and queue.delay - before > SUDDEN_GROWTH
            and arriving < SUDDEN_SHARE * target
        )

    def competing(self, now: float) -> bool:
        """Tell whether a queue was lately not emptied by sending less, so that others must fill it."""
        return now < self._next_at

    def update(
        self,
        queue: QueueDelay,
        rate: RateControl,
        arriving: float | None,
        in_flight: int,
        now: float,
        *,
        decreased: bool,
    ) -> bool:
        """Begin, go on or end.

        Args:
            queue: What waits in the path, as of the last report.
            rate: The rate control, whose rate is refined while the queue shows what the path carries.
            arriving: Bit/s of the last sample of what arrives.
            in_flight: Bytes that are sent and not reported; what more than a round trip of them is, waits.
            now: Seconds.
            decreased: Whether the rate was decreased just now.

        Returns:
            Whether it has just ended.
        """
        delay = queue.delay
        if not self.active:
            if not decreased or delay <= WORTH or not arriving or now < self._next_at:
                return False
            self.active = True
            self._began = now
            self._capacity = self._carried = arriving
            self._deadline = now + self._ahead(delay, in_flight, rate) / (1.0 - LEAST) + WITHIN + rate.rtt + SLACK
        ahead = self._ahead(delay, in_flight, rate)
        if delay < EMPTY and ahead < WORTH:
            self._end(now)
            rate.bitrate = max(rate.bitrate, EMPTIED * self._capacity)
            return True
        if arriving and arriving > SURPLUS * self.bitrate and delay > 2 * EMPTY and now > self._began + rate.rtt:
            self._capacity = arriving
            self._carried = min(self._carried, arriving)
            self._deadline = min(now + WITHIN + rate.rtt + SLACK, self._began + LONGEST)
            rate.bitrate = min(rate.bitrate, REFINED * arriving)
        if now >= self._deadline:
            self._fail(queue, rate, now)
            return True
        self.bitrate = self._capacity * max(LEAST, 1.0 - ahead / WITHIN)
        return False

    def _fail(self, queue: QueueDelay, rate: RateControl, now: float) -> None:
        """It has not helped: what is left is not ours, and neither is what was given up for it."""
        self._end(now)
        self._next_at = now + FAILED_PAUSE
        rate.bitrate = max(rate.bitrate, self._carried)
        queue.rebase()

    def _end(self, now: float) -> None:
        self.active = False
        self.ended_at = now

    def _ahead(self, delay: float, in_flight: int, rate: RateControl) -> float:
        """Seconds that what is sent now will wait: what was sent since the report comes before it."""
        return max(delay, in_flight * 8 / self._capacity - rate.min_rtt)
