"""When a chunk counts as lost, and how fast new ones may leave: time-based loss detection, probes, pacing."""

from collections.abc import Callable
from typing import Final

from .rto import RetransmissionTimeout

PACKET_THRESHOLD: Final = 3  # RFC 9260 section 7.2.4: the third miss indication means loss
TIME_THRESHOLD: Final = 1 / 8  # of a round trip: what RFC 9002 section 6.1.2 waits beyond one
GRANULARITY: Final = 0.001  # seconds: timers of event loops are no finer
MINIMUM_PROBE_TIMEOUT: Final = 0.01  # seconds: a receiver in Python may be busy for that long
TOO_SOON: Final = 3 / 4  # of the shortest round trip: what is answered sooner was not what was answered
FORGETTING: Final = 15 / 16  # what an episode of real loss leaves of the reordering window; RFC 8985 forgets after 16

BURST_PACKETS: Final = 16  # may always leave at once: a UDP socket buffer holds 90, the queue of a slow router 20
BURST_TIME: Final = 0.004  # seconds at the pacing rate that may leave at once: below such round trips nothing is paced
SLOW_START_GAIN: Final = 2.0  # windows per round trip, as slow start doubles
PACING_GAIN: Final = 1.25  # the same in congestion avoidance (RFC 9002 section 7.7)


class LossDetector:
    """Judges whether what was not acknowledged is lost or late.

    Until reordering is seen three later packets mean loss; from then on only time counts, with a window that was
    learned from how late packets came. In both cases what a later packet overtook is lost after 9/8 of a round trip.

    Args:
        rto: Knows the round trip time.
        spurious: Called when it turns out that a chunk was judged lost and was only late.

    Attributes:
        latest: Round trip of the newest packet, seconds.
        measured_at: When that was measured.
        newest: Highest number of a packet known to have arrived, -1 for none.
        window: How long beyond a round trip packets were late, seconds; 0 while no reordering was seen.

    Source: RFC 8985 section 6.2; RFC 9002 section 6.1.
    """

    __slots__ = ("_rto", "_spurious", "latest", "measured_at", "newest", "window")

    def __init__(self, rto: RetransmissionTimeout, spurious: Callable[[], None]) -> None:
        self._rto = rto
        self._spurious = spurious
        self.latest = 0.0
        self.measured_at = float("-inf")
        self.newest = -1
        self.window = 0.0

    def arrived(self, packet: int, sent_at: float, now: float, *, again: bool) -> None:
        """Take that a packet arrived; `again` says that it carried a retransmission.

        An answer to a retransmission that comes sooner than any round trip answers the original.

        Source: RFC 8985 section 6.2, step 2.
        """
        too_soon = self._rto.srtt is not None and now - sent_at < TOO_SOON * self._rto.minimum_rtt
        if again and too_soon:
            self._widen(2 * self.window)
            self._spurious()
        elif packet > self.newest:
            self.newest = packet
            if not (again or too_soon):  # what a SACK that was overtaken seemed to take back counts from then
                self.latest = now - sent_at
                self.measured_at = now

    def overtaken(self, sent_at: float, now: float, *, judged: bool) -> None:
        """Take that a first transmission arrived after one that was sent later; `judged` says it was held for lost."""
        if judged:
            self._spurious()
        self._widen(1.25 * (now - sent_at - self._round_trip()))

    def _widen(self, window: float) -> None:
        """Use at least this window, within a quarter and a whole round trip (RFC 8985 section 6.2, step 4)."""
        srtt = self._rto.srtt or self._rto.rto
        self.window = min(max(self.window, window, srtt / 4), srtt)

    def lost(self) -> None:
        """Take that a flight lost something: the path may have ceased to reorder."""
        self.window *= FORGETTING
        if self.window < GRANULARITY:
            self.window = 0.0

    @property
    def threshold(self) -> int:
        """Packets up to this number are lost unless they have arrived; -1 if the count says nothing."""
        return -1 if self.window else self.newest - PACKET_THRESHOLD

    @property
    def delay(self) -> float:
        """Seconds after which a packet is lost if a later one has arrived."""
        round_trip = self._round_trip()
        return round_trip + max(self.window, round_trip * TIME_THRESHOLD, GRANULARITY)

    def _round_trip(self) -> float:
        srtt = self._rto.srtt
        return self._rto.rto if srtt is None else max(srtt, self.latest)

    @property
    def probe_timeout(self) -> float | None:
        """Seconds without an acknowledgement after which the last chunk is sent again; None before a measurement.

        Source: RFC 8985 section 7.2.
        """
        srtt = self._rto.srtt
        if srtt is None:
            return None
        return 2 * srtt if 2 * srtt > MINIMUM_PROBE_TIMEOUT else MINIMUM_PROBE_TIMEOUT


class Pacer:
    """Spreads what a window allows at once, after idleness or a jump of the window, over the round trip.

    Args:
        packet_size: User data of a full packet, bytes.

    Attributes:
        packet_size: The same, as it is now.
        credit: Bytes that may leave now.

    Source: RFC 9002 section 7.7.
    """

    __slots__ = ("_at", "_burst", "_rate", "credit", "packet_size")

    def __init__(self, packet_size: int) -> None:
        self.packet_size = packet_size
        self._burst = float(BURST_PACKETS * packet_size)
        self._rate = 0.0  # bytes per second
        self._at = float("-inf")
        self.credit = self._burst  # bytes that may leave now; below zero after the last packet of a burst

    def refill(self, rate: float, now: float) -> None:
        """Add what the time since the last call is worth at `rate`, bytes per second."""
        self._rate = rate
        credit, most = self.credit + rate * (now - self._at), rate * BURST_TIME
        if most < self._burst:
            most = self._burst
        self.credit = credit if credit < most else most
        self._at = now

    def deadline(self, now: float) -> float:
        """Return when there is credit again for some packets."""
        return now + max((2 * self.packet_size - self.credit) / self._rate, GRANULARITY)
