"""Connectivity checks under way: RFC 8445 section 7.2."""

from dataclasses import dataclass, field
from typing import Final

from ..core import Datagram, Timers
from ..stun import BINDING, Class, Message, Retransmission
from .candidate import candidate_priority
from .checklist import Pair
from .nomination import put_nomination

MAX_CHECKS: Final = 256
"""Checks waiting for a response. Each pair has one that is retransmitted; the rest are cancelled or consent checks."""

_CHECK_RC = 9  # 100 ms doubled: the ninth leaves after 25.5 s, which covers the same 39.5 s as RFC 8489's seven


@dataclass(slots=True, eq=False)
class Check:
    """A Binding request on a pair.

    Args:
        transaction_id: 12 bytes.
        pair: What is checked.
        data: The request.
        schedule: When it is sent again or given up.
        controlling: Role at the time.
        use_candidate: Whether it nominates.
        once: Whether it is sent once only, and the lack of a response means nothing by itself: RFC 7675 section 5.1.
        cancelled: A response still counts, the lack of one does not: RFC 8445 section 7.3.1.4.
    """

    transaction_id: bytes
    pair: Pair
    data: bytes = field(repr=False)
    schedule: Retransmission
    controlling: bool
    use_candidate: bool
    once: bool = False
    cancelled: bool = False

    def datagram(self) -> Datagram:
        """Return one more transmission."""
        self.pair.requests_sent += 1
        return Datagram(self.data, self.pair.remote, self.pair.local)


def build_request(
    pair: Pair,
    transaction_id: bytes,
    tie_breaker: int,
    *,
    controlling: bool,
    use_candidate: bool,
    nomination: int = 0,
) -> bytes:
    """Return a Binding request for a check: RFC 8445 sections 7.1 and 7.2.2."""
    message = Message(
        BINDING,
        Class.REQUEST,
        transaction_id,
        username=pair.username,
        priority=candidate_priority("prflx", pair.base.local_preference, transport=pair.base.transport),
        use_candidate=use_candidate,
    )
    if nomination:
        put_nomination(message, nomination)
    if controlling:
        message.ice_controlling = tie_breaker
    else:
        message.ice_controlled = tie_breaker
    return message.serialize(key=pair.key)


class Checks:
    """The table of checks by transaction id; their deadlines are in `timers` under the transaction id.

    Args:
        timers: Of the machine.
    """

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._checks: dict[bytes, Check] = {}

    def __len__(self) -> int:
        return len(self._checks)

    def get(self, transaction_id: bytes) -> Check | None:
        """Return the check of a response."""
        return self._checks.get(transaction_id)

    def add(self, check: Check) -> None:
        """Wait for a response. The oldest check that nothing depends on makes room when the table is full."""
        if len(self._checks) >= MAX_CHECKS:
            spare = (c for c in self._checks.values() if c.cancelled or c.once)
            self.remove(next(spare, None) or next(iter(self._checks.values())))
        self._checks[check.transaction_id] = check
        self._timers.set(check.transaction_id, check.schedule.deadline)

    def remove(self, check: Check) -> None:
        """Stop waiting."""
        self._checks.pop(check.transaction_id, None)
        self._timers.cancel(check.transaction_id)

    def cancel(self, pair: Pair) -> None:
        """Cancel what is being retransmitted on a pair."""
        for check in self._checks.values():
            if check.pair is pair and not check.cancelled and not check.once:
                check.cancelled = True
                self._timers.set(check.transaction_id, check.schedule.end)

    def forget_pair(self, pair: Pair) -> None:
        """Forget all checks on a pair."""
        for check in [check for check in self._checks.values() if check.pair is pair]:
            self.remove(check)

    def forget(self, *, keep: Pair | None = None) -> None:
        """Forget all checks but those on the pair to keep, which are cancelled."""
        for check in list(self._checks.values()):
            if check.pair is not keep:
                self.remove(check)
        if keep is not None:
            self.cancel(keep)

    def expire(self, transaction_id: bytes, now: float) -> tuple[Check | None, bool]:
        """Handle the deadline of a check.

        Returns:
            The check, None if it is gone; and whether it must be sent again, else it has ended.
        """
        check = self._checks.get(transaction_id)
        if check is None:
            return None, False
        if not check.cancelled and check.schedule.expire(now):
            self._timers.set(transaction_id, check.schedule.deadline)
            return check, True
        self.remove(check)
        return check, False


def check_schedule(now: float, rto: float, timeout: float) -> Retransmission:
    """Return the retransmission schedule of a connectivity check."""
    return Retransmission(now, rto, _CHECK_RC, timeout)


def single_schedule(now: float, timeout: float) -> Retransmission:
    """Return the schedule of what is sent once: consent checks, and all checks over TCP (RFC 6544 section 7.1)."""
    return Retransmission(now, timeout, 1, timeout)
