"""How often one source gets an answer, so that a forged source address earns its owner little."""

from ipaddress import ip_address
from typing import Final

MAX_SOURCES: Final = 4096
"""Sources remembered; the one that was quiet for longest is forgotten."""
RATE: Final = 50.0
"""Answers per second for one source in the long run: many people share the address of a carrier's NAT."""
BURST: Final = 100.0
"""Answers at once."""


class Limiter:
    """A token bucket for each IPv4 address, and for each IPv6 network of 64 bits.

    Args:
        rate: Tokens per second.
        burst: Tokens at the beginning, and at most.
    """

    __slots__ = ("_burst", "_rate", "_sources")

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self._rate = rate
        self._burst = burst
        self._sources: dict[str | int, tuple[float, float]] = {}

    def __len__(self) -> int:
        """Return how many sources are remembered."""
        return len(self._sources)

    def allows(self, host: str, now: float) -> bool:
        """Take one token, if there is one."""
        source: str | int = host
        if ":" in host:
            source = int(ip_address(host.partition("%")[0])) >> 64
        tokens, since = self._sources.pop(source, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        allowed = tokens >= 1.0
        if len(self._sources) >= MAX_SOURCES:
            del self._sources[next(iter(self._sources))]
        self._sources[source] = (tokens - 1.0 if allowed else tokens, now)
        return allowed
