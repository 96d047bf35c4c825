"""What earlier transactions teach about a server's round-trip time: RFC 8489 section 6.2.1."""

from typing import Final

from .retransmission import RTO

RTO_LIFETIME: Final = 600.0
"""Seconds without a transaction after which what is known about a server is stale: ten minutes."""
MAX_RTOS: Final = 256
"""Servers remembered; a program asks a handful. The one that was quiet for longest is forgotten."""

_ALPHA: Final = 1 / 8  # RFC 6298 section 2.3
_BETA: Final = 1 / 4
_GRANULARITY: Final = 0.001  # seconds: RFC 8489 section 6.2.1 wants an accuracy of 1 ms


class RtoCache:
    """Initial retransmission timeouts by IP address of the server, computed as in RFC 6298.

    Args:
        minimum: Seconds; RFC 8489 section 6.2.1 wants an initial RTO of 500 ms at least.
    """

    __slots__ = ("_known", "_minimum")

    def __init__(self, minimum: float = RTO) -> None:
        self._minimum = minimum
        self._known: dict[str, tuple[float, float, float]] = {}  # smoothed round-trip time, variation, last time

    def __len__(self) -> int:
        """Return how many servers are remembered."""
        return len(self._known)

    def rto(self, host: str, now: float) -> float:
        """Return the RTO, in seconds, to begin a transaction with."""
        smoothed, variation, at = self._known.get(host, (0.0, 0.0, now))
        if now - at > RTO_LIFETIME:
            del self._known[host]
            return self._minimum
        return max(self._minimum, smoothed + max(_GRANULARITY, 4 * variation) if smoothed else 0.0)

    def measured(self, host: str, rtt: float | None, now: float) -> None:
        """Take the round-trip time of a transaction that ended; None keeps what is known fresh.

        By Karn's algorithm a transaction with a retransmission measures nothing: `Client.rtt` is None then.
        """
        known = self._known.pop(host, None)
        if known is not None and now - known[2] > RTO_LIFETIME:
            known = None
        if rtt is None and known is None:
            return
        if known is None:
            smoothed, variation = rtt or 0.0, (rtt or 0.0) / 2
        else:
            smoothed, variation, _ = known
            if rtt is not None:
                variation += _BETA * (abs(smoothed - rtt) - variation)
                smoothed += _ALPHA * (rtt - smoothed)
        if len(self._known) >= MAX_RTOS:
            del self._known[next(iter(self._known))]
        self._known[host] = (smoothed, variation, now)
