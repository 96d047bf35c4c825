"""The protocol half of the agent: checks, requests, responses, nomination, selection, state.

One component of one data stream, which is what bundled WebRTC needs. `Agent` adds what the application calls.
"""

from dataclasses import replace
from typing import Final

from ..core import Address, Datagram, Machine, RandomBytes
from ..stun import Class, Message, short_term_key
from . import requests
from .candidate import (
    COMPONENT,
    Candidate,
    Parameters,
    can_pair,
    generate_parameters,
    ip_of,
    is_unicast,
    pair_priority,
    reflexive_candidate,
)
from .checklist import Checklist, Pair, PairState
from .checks import Check, Checks, build_request, check_schedule
from .config import MAX_LOCAL_CANDIDATES, MAX_OUTGOING, Config
from .consent import Consent
from .events import (
    CandidateGathered,
    Event,
    GatheringCompleted,
    PairSelected,
    PairValidated,
    RoleChanged,
    State,
    StateChanged,
)
from .gathering import Gatherer, Query

MAX_EARLY_CHECKS: Final = 32
"""Paths remembered that were checked before the remote parameters came; more than a peer has candidates."""
MAX_PATHS: Final = 256
"""Paths that data is accepted from. Only the authenticated peer can add one; NAT rebinding adds one each."""

PACE: Final = "pace"
NOMINATE: Final = "nominate"
PAC: Final = "pac"
KEEPALIVE: Final = "keepalive"
_KEEPALIVE_INTERVAL: Final = 15.0  # Tr: RFC 8445 section 11
_RENOMINATION_GAP: Final = 3.0  # seconds; see `_supersedes`
_NOMINATION_RTTS: Final = 3  # a better pair that takes longer than this is not better


class Connectivity(Machine[Datagram, Datagram, Event]):
    """State of an agent, and its reactions to the network; see `Agent`."""

    def __init__(self, *, controlling: bool, random_bytes: RandomBytes, config: Config | None = None) -> None:
        super().__init__()
        self._random_bytes = random_bytes
        self._config = config or Config()
        self._controlling = controlling
        self._tie_breaker = int.from_bytes(random_bytes(8), "big")
        self._state: State = "new"
        self._local_parameters = generate_parameters(random_bytes)
        self._passwords = {self._local_parameters.ufrag: short_term_key(self._local_parameters.pwd)}
        self._remote_parameters: Parameters | None = None
        self._bases: dict[Address, Candidate] = {}
        self._local_candidates: dict[tuple[Address, Address], Candidate] = {}  # by address and base
        self._remote_candidates: dict[Address, Candidate] = {}
        self._early: dict[tuple[Address, Address], requests.EarlyCheck] = {}
        self._checklist = Checklist(self._config.max_pairs)
        self._checks = Checks(self._timers)
        self._gatherer = Gatherer(random_bytes, self._timers, self._config)
        self._consent = Consent(random_bytes, self._timers, self._config)
        self._paths: set[tuple[Address, Address]] = set()
        self._selected: Pair | None = None
        self._nominated: Pair | None = None
        self._nominating: Pair | None = None
        self._nominate_by: float | None = None
        self._next_start = float("-inf")
        self._local_ended = self._remote_ended = self._gathered = False
        self._checking = False
        self._patient = True
        self._outgoing: list[Datagram] = []

    # The other side's requests.

    def _on_request(self, message: Message, datagram: Datagram, now: float) -> None:
        local, remote = datagram.local, datagram.remote
        refusal = requests.authenticate(message, self._passwords)
        if refusal is not None:
            code, reason = refusal
            self.dropped[reason] += 1
            answer = requests.unauthenticated_answer(message, code, len(datagram.data))
            if answer is not None:
                self._emit(Datagram(answer, remote, local))
            return
        ufrag, _, remote_ufrag = (message.username or "").partition(":")
        key = self._passwords[ufrag]
        if message.unknown_comprehension_required:
            self._refuse(message, datagram, 420, "unknown-attributes", key)
            return
        verdict = requests.judge_roles(message, self._tie_breaker, controlling=self._controlling)
        if verdict == "refuse":
            self._refuse(message, datagram, 487, "role-conflict", key)
            return
        if message.priority is None and remote not in self._remote_candidates:
            self._refuse(message, datagram, 400, "missing-priority", key)
            return
        if verdict == "switch":
            self._switch_role()
        self._emit(Datagram(requests.success_answer(message, remote, key), remote, local))
        selected = self._selected
        if selected is not None and (selected.local, selected.remote) == (local, remote):
            self._consent.heard()
        if ufrag != self._local_parameters.ufrag:
            return  # of the generation before a restart: it keeps the other side's consent fresh, no more
        early = requests.EarlyCheck(local, remote, message.priority or 0, message.use_candidate, remote_ufrag)
        if self._remote_parameters is not None and self._remote_parameters.ufrag == remote_ufrag:
            self._learn(early, now)
        elif (local, remote) in self._early or len(self._early) < MAX_EARLY_CHECKS:
            known = self._early.get((local, remote))
            early.use_candidate |= known is not None and known.use_candidate and known.remote_ufrag == remote_ufrag
            self._early[local, remote] = early
        else:
            self.dropped["too-many-early-checks"] += 1

    def _refuse(self, message: Message, datagram: Datagram, code: int, reason: str, key: bytes) -> None:
        self.dropped[reason] += 1
        self._emit(Datagram(requests.error_answer(message, code, key), datagram.remote, datagram.local))

    def _learn(self, check: requests.EarlyCheck, now: float) -> None:
        """Draw the conclusions from an authentic request: RFC 8445 sections 7.3.1.3 to 7.3.1.5."""
        local, remote = check.local, check.remote
        candidate = self._remote_candidates.get(remote)
        if candidate is None:
            candidate = self._add_peer_reflexive(remote, check.priority)
            if candidate is None:
                return
        self._accept(local, remote)
        base, use_candidate = self._bases[local], check.use_candidate and not self._controlling
        pair = self._checklist.get(local, remote)
        if pair is not None and use_candidate:
            pair.use_candidate_at = now
        if self._nominated is not None:
            if not use_candidate or pair is self._nominated:
                self._count_request(pair)
                return
            priority = pair.priority if pair else pair_priority(candidate.priority, base.priority)
            if not self._supersedes(priority, now):
                return
        pair = pair or self._form_pair(base, candidate)
        if pair is None:
            return
        self._count_request(pair)
        if pair.state is PairState.SUCCEEDED and self._consent.fresh(pair, now):
            if use_candidate:
                self._nominate(pair, now)
            return
        if use_candidate:
            pair.nomination_requested, pair.use_candidate_at = True, now
        self._checks.cancel(pair)
        pair.state = PairState.WAITING
        self._checklist.trigger(pair)

    @staticmethod
    def _count_request(pair: Pair | None) -> None:
        if pair is not None:
            pair.requests_received += 1
            pair.responses_sent += 1

    def _add_peer_reflexive(self, remote: Address, priority: int) -> Candidate | None:
        if len(self._remote_candidates) >= self._config.max_remote_candidates:
            self.dropped["too-many-candidates"] += 1
            return None
        # RFC 8445 section 7.3.1.3: a foundation that no other remote candidate has; colons cannot be signalled.
        name = f"prflx:{remote}"
        candidate = Candidate(name, COMPONENT, "udp", priority, remote.host, remote.port, "prflx")
        self._remote_candidates[remote] = candidate
        return candidate

    def _accept(self, local: Address, remote: Address) -> None:
        if (local, remote) in self._paths:
            return
        if len(self._paths) >= MAX_PATHS:
            self.dropped["too-many-paths"] += 1
        else:
            self._paths.add((local, remote))

    # Pairs.

    def _put_remote_candidate(self, candidate: Candidate) -> None:
        address = Address(str(ip_of(candidate.host)), candidate.port)
        candidate = replace(candidate, host=address.host)
        self._remote_candidates[address] = candidate
        for pair in self._checklist.pairs:
            if pair.remote == address:  # peer-reflexive until now: RFC 8838 section 11
                pair.remote_candidate = candidate
                pair.update_priority(controlling=self._controlling)
        if self._nominated is None:
            for base in self._bases.values():
                self._form_pair(base, candidate)

    def _form_pair(self, base: Candidate, remote: Candidate) -> Pair | None:
        """Make the pair if it can be and is not there yet; None if it cannot be."""
        parameters = self._remote_parameters
        if parameters is None or self._state == "failed":
            return None
        known = self._checklist.get(base.address, remote.address)
        if known is not None:
            return known
        if not can_pair(base.host, remote.host, allow_loopback=self._config.allow_loopback):
            return None
        username = f"{parameters.ufrag}:{self._local_parameters.ufrag}"
        pair = Pair(base, remote, username, short_term_key(parameters.pwd))
        pair.update_priority(controlling=self._controlling)
        evicted = self._checklist.add(pair)
        if evicted is not None:
            self.dropped["too-many-pairs"] += 1
        self._checking = True
        return pair if evicted is not pair else None

    def _switch_role(self) -> None:
        self._controlling = not self._controlling
        self._nominating = None
        self._nominate_by = None
        for pair in self._checklist.pairs:
            pair.update_priority(controlling=self._controlling)
        self._events.append(RoleChanged(self._controlling))

    # Starting transactions, one each Ta.

    def _advance(self, now: float) -> None:
        """Do what has become possible; every input ends with this."""
        if self._state == "closed":
            return
        self._consider_nomination(now)
        if now >= self._next_start and self._start_one(now):
            self._next_start = now + self._config.pacing_interval
        if self._gatherer.has_pending or self._next_check() is not None:
            self._timers.set(PACE, self._next_start)
        else:
            self._timers.cancel(PACE)
        if self._local_ended and not self._gathered and self._gatherer.done:
            self._gathered = True
            self._events.append(GatheringCompleted())
        self._update_state()

    def _next_check(self) -> Pair | None:
        return None if self._state == "failed" else self._checklist.next_check()

    def _start_one(self, now: float) -> bool:
        pair = self._next_check()
        if pair is not None:
            self._checklist.take(pair)
            self._send_check(pair, now)
            return True
        if self._gatherer.has_pending:
            self._emit(self._gatherer.start_next(now))
            return True
        return False

    def _send_check(self, pair: Pair, now: float, *, consent: bool = False) -> None:
        config, controlling = self._config, self._controlling
        nominating = controlling and pair is self._nominating and not consent
        if consent:
            schedule = check_schedule(now, config.consent_timeout, config.consent_timeout)  # once only
        else:
            self._checks.cancel(pair)
            rto = max(config.rto, config.pacing_interval * self._checklist.unfinished())  # RFC 8445 section 14.3
            # Nobody answers a nomination for that long: another valid pair had better be nominated.
            schedule = check_schedule(now, rto, config.disconnected_after if nominating else config.check_timeout)
        transaction_id = self._random_bytes(12)
        data = build_request(pair, transaction_id, self._tie_breaker, controlling=controlling, use_candidate=nominating)
        check = Check(transaction_id, pair, data, schedule, controlling, nominating, consent)
        self._checks.add(check)
        self._emit(check.datagram())

    def _on_transaction_timer(self, transaction_id: bytes, now: float) -> None:
        check, again = self._checks.expire(transaction_id, now)
        if check is None:
            query = self._gatherer.expire(transaction_id, now)
            if query is not None:
                self._emit(query)
        elif again:
            self._emit(check.datagram())
        elif not check.cancelled and not check.consent:
            self._on_check_failed(check, now)

    # The other side's responses.

    def _on_response(self, message: Message, datagram: Datagram, now: float) -> None:
        """Process a response: RFC 8445 section 7.2.5."""
        check = self._checks.get(message.transaction_id)
        if check is None:
            query = self._gatherer.get(message.transaction_id)
            if query is None:
                self.dropped["unknown-transaction"] += 1
            else:
                self._on_server_response(query, message, datagram, now)
            return
        pair = check.pair
        if not message.verify_integrity(pair.key):
            self.dropped["bad-integrity"] += 1
            return
        self._checks.remove(check)
        if pair not in self._checklist and pair is not self._selected:
            self.dropped["stale-check"] += 1
            return
        reason = _why_failed(message, datagram, pair)
        if reason is None:
            self._on_check_succeeded(check, message, now)
            return
        self.dropped[reason] += 1
        code = message.error_code[0] if message.error_code else 0
        if code == 487:
            self._on_role_conflict(check)
        elif code == 403 and pair is self._selected:  # RFC 7675 section 5.2
            self._on_consent_lost(now)
        elif not check.cancelled and not check.consent:
            self._on_check_failed(check, now)

    def _on_role_conflict(self, check: Check) -> None:
        """Repair what the other side has detected: RFC 8445 section 7.2.5.1."""
        if check.controlling == self._controlling:
            self._switch_role()
        self._tie_breaker = int.from_bytes(self._random_bytes(8), "big")
        pair = check.pair
        if check.consent or check.cancelled or pair not in self._checklist:
            return
        if pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.WAITING
        self._checklist.trigger(pair)

    def _on_check_failed(self, check: Check, now: float) -> None:
        """Mark the pair: RFC 8445 section 7.2.5.2."""
        pair = check.pair
        pair.state = PairState.FAILED
        pair.valid = pair.nominated = pair.nomination_requested = False
        if pair is self._nominating:
            self._nominating = None
        if pair is self._nominated:
            self._nominated = None
        self._reselect(now)

    def _on_check_succeeded(self, check: Check, message: Message, now: float) -> None:
        """Make the pair valid: RFC 8445 section 7.2.5.3."""
        pair = check.pair
        pair.responses_received += 1
        pair.responded_at = now
        if check.schedule.transmissions == 1:  # else nobody knows which one was answered: Karn
            pair.add_rtt_sample(now - check.schedule.started)
        if pair is self._selected:
            self._consent.responded(now)
        if check.consent or pair not in self._checklist:
            return
        if check.use_candidate or pair is not self._nominating:  # an earlier check says nothing about a nomination
            self._checks.cancel(pair)
        if message.xor_mapped_address is not None:
            pair.local_candidate = self._local_candidate_of(pair, message.xor_mapped_address)
            pair.update_priority(controlling=self._controlling)
        pair.state = PairState.SUCCEEDED
        self._checklist.unfreeze(pair.foundation)
        self._accept(pair.local, pair.remote)
        if not pair.valid:
            pair.valid = True
            self._events.append(PairValidated(pair))
        if (check.use_candidate and check.controlling and self._controlling) or (
            pair.nomination_requested and not self._controlling
        ):
            self._nominate(pair, now)
        else:
            self._reselect(now)

    def _local_candidate_of(self, pair: Pair, mapped: Address) -> Candidate:
        """Find the local candidate that the other side saw, or discover it: RFC 8445 section 7.2.5.3.1."""
        base = pair.base
        known = self._local_candidates.get((mapped, base.address))
        if known is not None:
            return known
        if len(self._local_candidates) >= MAX_LOCAL_CANDIDATES:
            self.dropped["too-many-candidates"] += 1
            return base
        candidate = reflexive_candidate("prflx", mapped, base)
        self._local_candidates[mapped, base.address] = candidate
        return candidate

    def _on_server_response(self, query: Query, message: Message, datagram: Datagram, now: float) -> None:
        if (datagram.remote, datagram.local) != (query.server, query.base.address):
            self.dropped["asymmetric-response"] += 1
            return
        mapped = message.xor_mapped_address
        if message.message_class is Class.ERROR or message.unknown_comprehension_required:
            self.dropped["error-response"] += 1
            mapped = None
        elif mapped is None or (ip := ip_of(mapped.host)) is None or not is_unicast(ip) or not mapped.port:
            self.dropped["missing-mapped-address"] += 1
            mapped = None
        self._gatherer.finish(message.transaction_id, mapped)
        if mapped is None or (mapped, query.base.address) in self._local_candidates:
            return  # nothing learnt, or redundant: RFC 8445 section 5.1.3
        if len(self._local_candidates) >= MAX_LOCAL_CANDIDATES:
            self.dropped["too-many-candidates"] += 1
            return
        candidate = reflexive_candidate("srflx", mapped, query.base, query.server.host)
        used = {known.priority for known in self._local_candidates.values()}
        while candidate.priority in used:  # several servers, several mappings: RFC 8445 section 5.1.2.1
            candidate.priority -= 1 << 8
        self._local_candidates[mapped, query.base.address] = candidate
        self._events.append(CandidateGathered(candidate))
        if self._selected is None:
            self._timers.set_default(KEEPALIVE, now + _KEEPALIVE_INTERVAL)

    def _on_keepalive(self, now: float) -> None:
        if self._selected is None and self._state != "failed":
            self._emit(*self._gatherer.keepalives())
            self._timers.set(KEEPALIVE, now + _KEEPALIVE_INTERVAL)

    # Nomination, selection, state.

    def _consider_nomination(self, now: float) -> None:
        """Nominate the best valid pair once no better one is to be expected: RFC 8445 section 8.1.1."""
        if not self._controlling or self._nominated or self._nominating:
            self._timers.cancel(NOMINATE)
            return
        best = self._checklist.best_valid(now - self._config.consent_timeout)
        if best is None:
            return
        if self._nominate_by is None:
            patience = self._config.nomination_wait
            self._nominate_by = now + (patience if best.rtt is None else min(patience, _NOMINATION_RTTS * best.rtt))
        if now < self._nominate_by and self._checklist.has_unfinished_above(best.priority):
            self._timers.set(NOMINATE, self._nominate_by)
            return
        self._timers.cancel(NOMINATE)
        self._nominating = best
        self._checklist.trigger(best)

    def _nominate(self, pair: Pair, now: float) -> None:
        """Conclude with this pair: RFC 8445 section 8.1.2."""
        pair.nominated = True
        pair.nomination_requested = False
        self._nominating = None
        if self._supersedes(pair.priority, now):
            self._nominated = pair
        for gone in self._checklist.conclude():
            self._checks.cancel(gone)
        self._reselect(now)

    def _supersedes(self, priority: int, now: float) -> bool:
        """Tell whether a newly nominated pair takes the place of the one nominated before.

        The highest priority wins (RFC 8445 section 8.1.1), unless the pair in use has gone silent, or the other side
        has ceased to nominate it: browsers do so with every check on the pair they use, at least each 2.5 s.
        """
        current = self._nominated
        if current is None or priority > current.priority or self._consent.silent:
            return True
        return now - current.use_candidate_at > _RENOMINATION_GAP

    def _reselect(self, now: float) -> None:
        best = self._nominated or self._checklist.best_valid(now - self._config.consent_timeout)
        selected = self._selected
        if best is None and selected is not None and selected not in self._checklist:
            return  # a restart is under way: the old pair serves until there is a new one
        if best is selected:
            return
        self._selected = best
        if best is None:
            self._consent.stop()
        else:
            self._consent.start(best, now)
            self._events.append(PairSelected(best))

    def _on_consent_lost(self, now: float) -> None:
        """Stop sending on the selected pair: RFC 7675 section 5.1."""
        pair = self._selected
        if pair is None:
            return
        restarting, nominated = pair not in self._checklist, pair is self._nominated
        pair.state = PairState.FAILED
        pair.valid = pair.nominated = False
        self._selected = self._nominated = None
        self._paths.discard((pair.local, pair.remote))
        self._consent.stop()
        if pair is self._nominating:
            self._nominating = None
        if not nominated:
            self._reselect(now)
        if self._selected is None and not restarting:
            self._fail()

    def _fail(self) -> None:
        self._checks.forget()
        self._paths.clear()
        for name in (NOMINATE, PAC, KEEPALIVE):
            self._timers.cancel(name)
        self._set_state("failed")

    def _update_state(self) -> None:
        if self._state == "failed":
            return
        if self._selected is None:
            hopeless = self._remote_parameters is not None and not self._checklist.unfinished()
            if hopeless and not self._patient:
                self._fail()
            else:
                self._set_state("checking" if self._checking else "new")
        elif self._consent.silent:
            self._set_state("disconnected")
        elif self._nominated is not None and self._gathered and self._remote_ended:
            self._set_state("completed")
        else:
            self._set_state("connected")

    def _set_state(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._events.append(StateChanged(state))

    def _emit(self, *datagrams: Datagram) -> None:
        for datagram in datagrams:
            if len(self._outgoing) >= MAX_OUTGOING:
                self.dropped["outgoing-full"] += 1
            else:
                self._outgoing.append(datagram)


def _why_failed(message: Message, datagram: Datagram, pair: Pair) -> str | None:
    """Return the drop reason of an authentic response that is no success: RFC 8445 section 7.2.5.2."""
    if (datagram.local, datagram.remote) != (pair.local, pair.remote):
        return "asymmetric-response"
    if message.unknown_comprehension_required:
        return "unknown-attributes"
    if message.message_class is Class.ERROR:
        return "error-response"
    if message.xor_mapped_address is None:
        return "missing-mapped-address"
    return None
