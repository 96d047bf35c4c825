"""When a request over UDP is sent again: RFC 8489 section 6.2.1."""

from typing import Final

RTO: Final = 0.5
"""Initial retransmission timeout, seconds."""
RC: Final = 7
"""How often a request is sent at most."""
RM: Final = 16
"""How many initial RTOs to wait after the last transmission."""


class Retransmission:
    """The schedule of one request that was just sent for the first time.

    The RTO doubles with each transmission. With the RFC's numbers a transaction ends after 79 RTO = 39.5 s.

    Args:
        now: When it was sent.
        rto: Initial RTO, seconds.
        rc: How often it is sent at most.
        timeout: When to give up, seconds after the first transmission; from `rto`, `rc` and RM if None.

    Attributes:
        started: When it was sent for the first time.
        transmissions: How often it has been sent.
        deadline: When to call `expire`.
        end: When the transaction times out.
    """

    __slots__ = ("_interval", "_rc", "deadline", "end", "started", "transmissions")

    def __init__(self, now: float, rto: float = RTO, rc: int = RC, timeout: float | None = None) -> None:
        self.started = now
        self.transmissions = 1
        self._rc = rc
        self._interval = rto
        self.end = now + (rto * (2 ** (rc - 1) - 1 + RM) if timeout is None else timeout)
        self.deadline = min(now + rto, self.end) if rc > 1 else self.end

    def expire(self, now: float) -> bool:
        """Move on at `deadline`: return True if the request must be sent again now, False if it has timed out."""
        if now >= self.end or self.transmissions >= self._rc:
            return False
        self.transmissions += 1
        self._interval *= 2
        self.deadline = min(now + self._interval, self.end) if self.transmissions < self._rc else self.end
        return True
