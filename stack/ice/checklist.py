"""Candidate pairs and the order in which they are checked: RFC 8445 section 6.1."""

from collections import deque
from collections.abc import Iterable, Sequence
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


MAX_TRIGGERED_IN_A_ROW: Final = 2
"""Triggered checks while ordinary ones wait: two symmetric NATs that filter nothing trigger without an end."""

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
        nomination_value: NOMINATION of that request, 0 without.
        use_candidate_at: When the controlling side asked for it last.
        rtt: Smoothed round-trip time in seconds, None before the first sample.
        last_rtt: The last sample.
        total_rtt: The sum of all samples.
        rtt_samples: How many there were.
        responded_at: When the last valid response came.
        formed_at: When the pair was made.
        checked_at: When the first check left.
        validated_at: When the first valid response came.
        nominated_at: When it was nominated last.
        requests_sent: Binding requests, with retransmissions.
        responses_received: Valid success responses.
        requests_received: Authenticated Binding requests.
        responses_sent: Success responses.
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
    nomination_value: int = 0
    use_candidate_at: float = float("-inf")
    rtt: float | None = None
    last_rtt: float | None = None
    total_rtt: float = 0.0
    rtt_samples: int = 0
    responded_at: float = float("-inf")
    formed_at: float | None = None
    checked_at: float | None = None
    validated_at: float | None = None
    nominated_at: float | None = None
    requests_sent: int = 0
    responses_received: int = 0
    requests_received: int = 0
    responses_sent: int = 0

    def __post_init__(self) -> None:
        self.local = self.base.address
        self.remote = self.remote_candidate.address
        self.local_candidate = self.base

    @property
    def foundation(self) -> tuple[str, str]:
        """Foundations of both candidates: RFC 8445 section 6.1.2.6."""
        return self.base.foundation, self.remote_candidate.foundation

    @property
    def finished(self) -> bool:
        """Whether its check has a result."""
        return self.state not in _UNFINISHED

    def update_priority(self, *, controlling: bool) -> None:
        """Compute the priority for this role."""
        ours, theirs = self.local_candidate.priority, self.remote_candidate.priority
        self.priority = pair_priority(ours, theirs) if controlling else pair_priority(theirs, ours)

    def add_rtt_sample(self, sample: float) -> None:
        """Smooth `rtt` with a sample in seconds."""
        self.last_rtt = sample
        self.total_rtt += sample
        self.rtt_samples += 1
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
        self._in_a_row = 0  # triggered checks since the last ordinary one

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

    def trigger(self, pair: Pair, *, first: bool = False) -> None:
        """Queue a pair to be checked before ordinary ones (RFC 8445 section 6.1.4.1); `first` before all others."""
        if first and pair in self._triggered:
            self._triggered.remove(pair)
        if first:
            self._triggered.appendleft(pair)
        elif pair not in self._triggered:
            self._triggered.append(pair)

    def next_check(self) -> Pair | None:
        """Return the pair to check next without taking it: RFC 8445 section 6.1.4.2."""
        # Deviates: there the triggered ones always come first, and may starve the pair that works.
        if self._triggered and self._in_a_row < MAX_TRIGGERED_IN_A_ROW:
            return self._triggered[0]
        self._thaw()
        waiting = [p for p in self._pairs.values() if p.state is PairState.WAITING and p not in self._triggered]
        if self._triggered and not waiting:
            return self._triggered[0]
        return max(waiting, key=lambda pair: pair.priority, default=None)

    def take(self, pair: Pair) -> None:
        """Take note that `pair`, from `next_check`, is being checked."""
        if pair in self._triggered:
            self._triggered.remove(pair)
            self._in_a_row += 1
        else:
            self._in_a_row = 0
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

    def best_valid(self, since: float, *, but: Pair | None = None) -> Pair | None:
        """Return the valid pair of highest priority that has responded after `since`, other than `but`."""
        valid = (p for p in self._pairs.values() if p.valid and p.responded_at > since and p is not but)
        return max(valid, key=lambda pair: pair.priority, default=None)

    def trim(self, used: Sequence[Pair], spares: int) -> list[Pair]:
        """Keep the pairs in use and a few spares for when they break, and return the pairs taken out.

        Spares are as many valid pairs, and as many not yet checked, as `spares` says: first those that have neither
        an end nor the other in common with what is kept already, then the ones of highest priority.
        """
        # Deviates: RFC 8445 section 8.1.2 keeps none; a dead path could then be replaced by signalling only.
        keep = list(used)
        others = [pair for pair in self._pairs.values() if pair not in used]
        valid = [pair for pair in others if pair.valid]
        unfinished = [pair for pair in others if not pair.valid and not pair.finished]
        failed = [pair for pair in others if not pair.valid and pair.finished]
        hosts = {host for pair in used for host in (pair.base.host, pair.remote.host)}
        for group, room in ((valid, spares), (unfinished, spares), (failed, spares - len(valid))):
            for _ in range(min(room, len(group))):
                best = max(group, key=lambda p: ((p.base.host not in hosts) + (p.remote.host not in hosts), p.priority))
                group.remove(best)
                keep.append(best)
                hosts |= {best.base.host, best.remote.host}
        gone = [pair for pair in self._pairs.values() if pair not in keep]
        for pair in gone:
            self.remove(pair)
        return gone
