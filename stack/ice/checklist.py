"""Candidate pairs and the order in which they are checked: RFC 8445 section 6.1."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ..core import Address
from .candidate import Candidate, pair_priority


class PairState(StrEnum):
    """State of a pair: RFC 8445 section 6.1.2.6, spelt as in W3C statistics."""

    FROZEN = "frozen"
    WAITING = "waiting"
    IN_PROGRESS = "in-progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


MAX_BACKUPS: Final = 4
"""Pairs that are kept working beside the nominated one: a second network of each side, and a relay."""

_UNFINISHED = frozenset({PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS})
_RTT_WEIGHT = 0.125  # of a new sample: RFC 6298 section 2


@dataclass(slots=True, eq=False)
class Pair:
    """A path: a local base and a remote address.

    RFC 8445 section 7.2.5.3.2 puts another pair in the valid list when the local candidate turns out to be reflexive.
    Both have the same base and the same remote address, so that here it is one object: `local_candidate` and
    `priority` change when the check succeeds.

    Args:
        base: The host or relayed candidate that the checks leave from.
        remote_candidate: The other end.
        username: USERNAME of checks.
        key: Password of checks.

    Attributes:
        local: Address of the socket to send from.
        remote: Address to send to.
        local_candidate: How the other side sees the base.
        priority: RFC 8445 section 6.1.2.3.
        state: Of the checks.
        valid: A check succeeded, and none that matters has failed since.
        nominated: It was chosen for data.
        nomination_requested: The controlling side wants it; decided when the check succeeds.
        use_candidate_at: When the controlling side asked for it last.
        rtt: Smoothed round-trip time in seconds, None before the first sample.
        responded_at: When the last valid response came.
        requests_sent: Binding requests, with retransmissions.
        responses_received: Valid success responses.
        requests_received: Authenticated Binding requests.
        responses_sent: Success responses.
        network_cost: Of the local network, 0..999; less is better.
        created_at: When it was formed.
        checked_at: When it was checked first.
        validated_at: When a check succeeded first.
        nominated_at: When it was nominated first.
    """

    base: Candidate
    remote_candidate: Candidate
    username: str = field(repr=False)
    key: bytes = field(repr=False)
    local: Address = field(init=False)
    remote: Address = field(init=False)
    local_candidate: Candidate = field(init=False)
    priority: int = 0
    state: PairState = PairState.FROZEN
    valid: bool = False
    nominated: bool = False
    nomination_requested: bool = False
    use_candidate_at: float = float("-inf")
    rtt: float | None = None
    responded_at: float = float("-inf")
    requests_sent: int = 0
    responses_received: int = 0
    requests_received: int = 0
    responses_sent: int = 0
    network_cost: int = 0
    created_at: float | None = None
    checked_at: float | None = None
    validated_at: float | None = None
    nominated_at: float | None = None

    def __post_init__(self) -> None:
        self.local = self.base.address
        self.remote = self.remote_candidate.address
        self.local_candidate = self.base

    @property
    def foundation(self) -> tuple[str, str]:
        """Foundations of both candidates: RFC 8445 section 6.1.2.6."""
        return self.base.foundation, self.remote_candidate.foundation

    def update_priority(self, *, controlling: bool) -> None:
        """Compute the priority for this role."""
        ours, theirs = self.local_candidate.priority, self.remote_candidate.priority
        self.priority = pair_priority(ours, theirs) if controlling else pair_priority(theirs, ours)

    def add_rtt_sample(self, sample: float) -> None:
        """Smooth `rtt` with a sample in seconds."""
        self.rtt = sample if self.rtt is None else self.rtt + _RTT_WEIGHT * (sample - self.rtt)


class Checklist:
    """The pairs of one generation and the queue of triggered checks.

    Args:
        limit: Pairs at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pairs: dict[tuple[Address, Address], Pair] = {}
        self._triggered: deque[Pair] = deque()

    def __contains__(self, pair: Pair) -> bool:
        return self._pairs.get((pair.local, pair.remote)) is pair

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def pairs(self) -> Iterable[Pair]:
        """All pairs, in no particular order."""
        return self._pairs.values()

    def get(self, local: Address, remote: Address) -> Pair | None:
        """Return the pair of a path."""
        return self._pairs.get((local, remote))

    def add(self, pair: Pair) -> Pair | None:
        """Put a pair in; frozen unless its foundation is free to be checked: RFC 8838 sections 11 and 12.

        Returns:
            What had to go because the list is full: another pair, or `pair` itself; None if nothing.
        """
        evicted = None
        if len(self._pairs) >= self._limit:
            idle = [p for p in self._pairs.values() if not p.valid and p.state is not PairState.IN_PROGRESS]
            evicted = min(idle, key=lambda p: (p.state is not PairState.FAILED, p.priority), default=pair)
            if evicted is pair or (evicted.state is not PairState.FAILED and evicted.priority >= pair.priority):
                return pair
            self.remove(evicted)
        same = [p for p in self._pairs.values() if p.foundation == pair.foundation]
        states = {p.state for p in same}
        topmost = all(pair.priority > p.priority for p in same)
        busy = PairState.WAITING in states or PairState.IN_PROGRESS in states
        free = topmost or not busy or PairState.SUCCEEDED in states
        pair.state = PairState.WAITING if free else PairState.FROZEN
        self._pairs[pair.local, pair.remote] = pair
        return evicted

    def remove(self, pair: Pair) -> None:
        """Take a pair out."""
        del self._pairs[pair.local, pair.remote]
        if pair in self._triggered:
            self._triggered.remove(pair)

    def trigger(self, pair: Pair) -> None:
        """Queue a pair to be checked before all ordinary ones: RFC 8445 section 6.1.4.1."""
        if pair not in self._triggered:
            self._triggered.append(pair)

    def next_check(self) -> Pair | None:
        """Return the pair to check next without taking it: RFC 8445 section 6.1.4.2."""
        if self._triggered:
            return self._triggered[0]
        self._thaw()
        waiting = [pair for pair in self._pairs.values() if pair.state is PairState.WAITING]
        return max(waiting, key=lambda pair: pair.priority, default=None)

    def take(self, pair: Pair) -> None:
        """Take note that `pair`, from `next_check`, is being checked."""
        if self._triggered and self._triggered[0] is pair:
            self._triggered.popleft()
        if pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.IN_PROGRESS

    def _thaw(self) -> None:
        states = {pair.state for pair in self._pairs.values()}
        if PairState.FROZEN not in states or PairState.WAITING in states:
            return
        busy = {pair.foundation for pair in self._pairs.values() if pair.state is PairState.IN_PROGRESS}
        frozen = [pair for pair in self._pairs.values() if pair.state is PairState.FROZEN]
        for pair in sorted(frozen, key=lambda pair: -pair.priority):
            if pair.foundation not in busy:
                busy.add(pair.foundation)
                pair.state = PairState.WAITING

    def unfreeze(self, foundation: tuple[str, str]) -> None:
        """Let all pairs of a foundation be checked, one of which succeeded: RFC 8445 section 7.2.5.3.3."""
        for pair in self._pairs.values():
            if pair.state is PairState.FROZEN and pair.foundation == foundation:
                pair.state = PairState.WAITING

    def unfinished(self) -> int:
        """Return how many pairs have no result yet."""
        return sum(pair.state in _UNFINISHED for pair in self._pairs.values())

    def has_unfinished_above(self, priority: int) -> bool:
        """Tell whether a pair of higher priority has no result yet."""
        return any(pair.priority > priority and pair.state in _UNFINISHED for pair in self._pairs.values())

    def best_valid(self, since: float) -> Pair | None:
        """Return the valid pair of highest priority that has responded after `since`."""
        valid = (pair for pair in self._pairs.values() if pair.valid and pair.responded_at > since)
        return max(valid, key=lambda pair: pair.priority, default=None)

    def conclude(self, nominated: Pair) -> list[Pair]:
        """Stop checking, but for a few pairs that may take over, and return the pairs taken out.

        Source: RFC 8445 section 8.1.2.
        """
        backups = self._backups(nominated)
        gone = [pair for pair in self._pairs.values() if not pair.valid and pair not in backups]
        for pair in gone:
            self.remove(pair)
        for pair in backups:
            if pair.state is PairState.FROZEN:
                pair.state = PairState.WAITING
        return gone

    def _backups(self, nominated: Pair) -> list[Pair]:
        """Return the best pairs that share as little as can be with the nominated one and with each other."""
        ends = {nominated.local.host, nominated.remote.host}
        chosen: list[Pair] = []
        for pair in sorted(self._pairs.values(), key=lambda pair: -pair.priority):
            if len(chosen) == MAX_BACKUPS:
                break
            if pair is not nominated and not ends.issuperset(found := {pair.local.host, pair.remote.host}):
                ends |= found
                chosen.append(pair)
        return chosen
