"""CUBIC that judges losses by the delay that comes with them, and bounds the queue that it makes itself."""

from collections import deque
from typing import Final

from .cubic import BETA, Cubic

BASE_WINDOW: Final = 30.0
"""Seconds: the base round trip is the shortest of this window and the one before it. A path that became longer without
`path_changed` costs loss tolerance for so long."""

RECENT: Final = 8  # round trips that a loss is judged by: enough for one without jitter among them
SLOW_START_DELAY: Final = (0.004, 0.016)  # RFC 9406 section 4.2: an eighth of the round trip, within these seconds
LOSS_DELAY: Final = 0.002  # seconds, or a 32nd of the round trip: a shorter queue is none that overflows
LOSS_LIMIT: Final = 0.1
"""Share of lost bytes from which losses mean congestion whatever the delay: links that lose more at random are rare,
and a policer, which has no queue, is found by it."""

QUEUE_LIMIT: Final = (0.02, 0.1)
"""Half the base round trip, within these seconds, is what an own queue may delay the others. It keeps a bottleneck busy
while the window varies, and below 20 ms it would measure the scheduling of the processes at both ends."""

DRAIN_ROUNDS: Final = 3  # one that was sent before, one that drains the queue, one that sees it drained
DRAIN_SHARE: Final = 0.8  # of what fills the path: a queue of our own is gone after a round
SHARED_SECONDS: Final = 10.0  # for which a queue that did not drain is taken for somebody else's
MINIMUM_PACKETS: Final = 4
RATES: Final = 4  # rounds whose highest delivery rate counts


class DelayAwareCubic(Cubic):
    """CUBIC for links that lose at random: a loss counts as congestion only if packets were queueing, or many are lost.

    A full bottleneck has a full queue, which shows in the round trip before it overflows; radio links lose packets
    without one. So what competes through a queue gets from this controller what it gets from CUBIC, and a link that
    loses one packet in a hundred is filled all the same.

    It also watches the queue. Slow start ends when one builds up. Later, when the delay has grown too long, the window
    is lowered for three round trips: if the queue drains, it was our own, and the window goes on from half of it; if
    not, somebody else fills it, and the window is put back for CUBIC to compete.

    Args:
        packet_size: User data of a full packet (PMDCS), bytes.

    Source: RFC 9438; RFC 9406 section 4.2 for the end of slow start. Deviates: RFC 9438 section 4.6 takes every loss
    for congestion.
    """

    __slots__ = (
        "_base",
        "_base_before",
        "_base_until",
        "_began",
        "_delivered",
        "_draining",
        "_loss_rate",
        "_lost",
        "_rates",
        "_recent",
        "_round_end",
        "_round_rtt",
        "_samples",
        "_saved",
        "_shared_until",
    )

    def __init__(self, packet_size: int) -> None:
        super().__init__(packet_size)
        self._base = float("inf")  # shortest round trip of this window
        self._base_before = float("inf")  # and of the one before
        self._base_until = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._round_end = -1  # the round ends when this packet is acknowledged
        self._began = 0.0  # when it began
        self._delivered = 0  # bytes in it
        self._lost = 0
        self._round_rtt = float("inf")  # shortest of it
        self._samples = 0
        self._rates: deque[float] = deque(maxlen=RATES)  # bytes per second
        self._loss_rate = 0.0
        self._draining = 0  # rounds that are left of it
        self._saved = 0  # cwnd before it, less what losses have cost since
        self._shared_until = float("-inf")

    @property
    def base(self) -> float:
        """Round trip of the path without a queue, seconds; infinite before the first measurement."""
        return min(self._base, self._base_before)

    @property
    def _queue(self) -> float:
        """Seconds that packets have waited lately; infinite before the first measurement."""
        return min(self._recent) - self.base if self._recent else float("inf")

    @property
    def _is_calm(self) -> bool:
        """Whether nothing that was measured speaks of congestion."""
        queueing = bool(self._recent) and self._queue > max(LOSS_DELAY, self.base / 32)
        return not queueing and self._loss_rate <= LOSS_LIMIT

    @property
    def queue_limit(self) -> float:
        """Seconds that an own queue may delay."""
        low, high = QUEUE_LIMIT
        return min(max(self.base / 2, low), high)

    def on_acknowledged(self, acknowledged: int, cumulative_tsn: int, now: float, *, limited: bool) -> None:
        """Leave fast recovery; the window grows by what is delivered, in order or not.

        Source: RFC 9260 section 7.2.4, point 5.
        """
        if self.in_recovery:
            super().on_acknowledged(acknowledged, cumulative_tsn, now, limited=limited)

    def on_delivered(
        self, size: int, rtt: float | None, newest: int, next_packet: int, now: float, *, limited: bool
    ) -> None:
        """Grow the window, and judge the queue once per round trip.

        Deviates: RFC 9260 section 7.2.1 lets the window grow only when the cumulative TSN advances; where packets get
        lost all the time it rarely does.
        """
        self._delivered += size
        if rtt is not None:
            self._measured(rtt, now)
        if not self.in_recovery and not self._draining:
            if not limited:
                self._epoch = None  # as `_pause` does
            elif self.cwnd < self.ssthresh:
                self._start_slowly(size)
            else:
                self._grow(size, now)
        if newest >= self._round_end:
            self._end_round(now, limited=limited)
            self._round_end = next_packet

    def _start_slowly(self, size: int) -> None:
        """Double once per round trip, until packets queue.

        Deviates: RFC 9406 section 4.2 goes on for some rounds with less growth, in case the delay was jitter; the
        shortest of some round trips in a row is not jitter.
        """
        low, high = SLOW_START_DELAY
        if len(self._recent) == RECENT and self._queue > min(max(self.base / 8, low), high):
            self.ssthresh = self.cwnd
            self._undo = None
        else:
            self.cwnd += size

    def _measured(self, rtt: float, now: float) -> None:
        self._recent.append(rtt)
        self._samples += 1
        if rtt < self._round_rtt:
            self._round_rtt = rtt
        if now > self._base_until:
            self._base_until = now + BASE_WINDOW
            self._base_before, self._base = self._base, rtt
        elif rtt < self._base:
            self._base = rtt

    def _end_round(self, now: float, *, limited: bool) -> None:
        if now > self._began and self._delivered:
            self._rates.append(self._delivered / (now - self._began))
            share = self._lost / (self._lost + self._delivered)
            self._loss_rate += (share - self._loss_rate) / 4
        if self._draining:
            self._draining -= 1
            if not self._draining:
                self._drained(self._round_rtt - self.base, now)
        elif (
            self._samples >= RECENT
            and limited
            and self.cwnd >= self.ssthresh
            and not self.in_recovery
            and self._round_rtt - self.base > self.queue_limit
            and now >= self._shared_until
        ):
            self._drain()
        self._began = now
        self._delivered = self._lost = self._samples = 0
        self._round_rtt = float("inf")

    def _drain(self) -> None:
        """Let the queue run empty, to see whose it is."""
        self._saved = self.cwnd
        self._draining = DRAIN_ROUNDS
        self._reduce(self.cwnd)
        self.cwnd = self._window(self.base * DRAIN_SHARE)

    def _drained(self, queue: float, now: float) -> None:
        if queue > 3 / 4 * self.queue_limit:
            self._shared_until = now + SHARED_SECONDS
            self.cwnd = max(self.cwnd, self._saved)
        else:
            self.cwnd = max(self.cwnd, min(self._window(self.base + self.queue_limit / 2), self._saved))
        self.ssthresh = self.cwnd

    def _window(self, seconds: float) -> int:
        """Return what is delivered in so many seconds, bytes."""
        return max(int(max(self._rates, default=0.0) * seconds), MINIMUM_PACKETS * self._pmdcs)

    def on_lost(self, packet: int, next_packet: int, highest_tsn: int, now: float, size: int = 0) -> None:
        """Reduce the window as CUBIC, unless the loss came without a queue."""
        self._lost += size
        if self._recent and self._is_calm:
            return
        if self._draining:  # the window is low already: it must not come back as it was
            if packet >= self._recovery_packet:
                self._recovery_packet = next_packet
                self._saved = int(BETA * self._saved)
            return
        super().on_lost(packet, next_packet, highest_tsn, now, size)

    def on_spurious(self) -> None:
        """Take the last reduction back, unless the queue says that it was right, whatever was late besides.

        Source: RFC 4015 section 3.
        """
        if self._queue > self.queue_limit / 2:
            self._undo = None
        super().on_spurious()

    def on_timeout(self, now: float) -> None:
        """Start over from one packet, and double up to where a queue was met last.

        Deviates: RFC 9438 section 4.8 takes silence for congestion and doubles to 70 % of the window at most. Without a
        queue it was an outage, or the loss of all of few SACKs; slow start ends when a queue builds up anyway.
        """
        ssthresh, calm = self.ssthresh, self._is_calm
        super().on_timeout(now)
        self._draining = 0
        if calm:
            self.ssthresh = ssthresh
