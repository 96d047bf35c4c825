"""The retransmission timeout (RFC 9260 section 6.3.1)."""

from typing import Final

_ALPHA: Final = 1 / 8  # RTO.Alpha (RFC 9260 section 16)
_BETA: Final = 1 / 4  # RTO.Beta


class RetransmissionTimeout:
    """Smoothed round trip time and the timeout that follows from it.

    Args:
        initial: RTO before the first measurement, seconds.
        minimum: Lower bound, seconds.
        maximum: Upper bound, seconds.

    Attributes:
        rto: Current timeout, seconds.
        backed_off: Whether it has expired since the last measurement.
        srtt: Smoothed round trip time, seconds; None before the first measurement.
        minimum_rtt: Shortest round trip so far, seconds; infinite before the first measurement.
    """

    __slots__ = ("_maximum", "_minimum", "_rttvar", "backed_off", "minimum_rtt", "rto", "srtt")

    def __init__(self, initial: float, minimum: float, maximum: float) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._rttvar = 0.0
        self.rto = initial
        self.backed_off = False
        self.srtt: float | None = None
        self.minimum_rtt = float("inf")

    def update(self, rtt: float) -> None:
        """Take a measured round trip time, seconds.

        Source: RFC 9260 section 6.3.1, rules C2 to C7.
        """
        if rtt < self.minimum_rtt:
            self.minimum_rtt = rtt
        srtt = self.srtt
        if srtt is None:
            self.srtt = srtt = rtt
            self._rttvar = rtt / 2
        else:
            off = srtt - rtt if srtt > rtt else rtt - srtt
            self._rttvar += _BETA * (off - self._rttvar)
            self.srtt = srtt = srtt + _ALPHA * (rtt - srtt)
        self.backed_off = False
        rto = srtt + 4 * self._rttvar
        self.rto = self._minimum if rto < self._minimum else self._maximum if rto > self._maximum else rto

    def back_off(self) -> None:
        """Double the timeout after an expiry.

        Source: RFC 9260 section 6.3.3, rule E2.
        """
        self.backed_off = True
        self.rto = min(self.rto * 2, self._maximum)
