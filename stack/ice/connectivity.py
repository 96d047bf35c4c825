"""The checks of both sides: requests, responses, pairs, and the pace of new transactions.

One component of one data stream, which is what bundled WebRTC needs. `Agent` adds what the application calls.
"""

from dataclasses import replace
from typing import Final

from ..core import Address, Datagram
from ..stun import Class, Message, short_term_key
from . import requests
from .bases import Base
from .candidate import COMPONENT, Candidate, can_pair, ip_of, is_unicast, pair_priority, reflexive_candidate
from .checklist import MAX_BACKUPS, Pair, PairState
from .checks import Check, build_request, check_schedule
from .config import MAX_LOCAL_CANDIDATES
from .events import CandidateGathered, GatheringCompleted, RoleChanged
from .gathering import Query
from .selection import KEEPALIVE, PACE, Selection

MAX_EARLY_CHECKS: Final = 32
"""Paths remembered that were checked before the remote parameters came; more than a peer has candidates."""
MAX_PATHS: Final = 256
"""Paths that data is accepted from. Only the authenticated peer can add one; NAT rebinding adds one each."""

_KEEPALIVE_INTERVAL: Final = 15.0  # Tr: RFC 8445 section 11


class Connectivity(Selection):
    """The checks of both sides; see `Agent`."""

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
            self._liveness.heard_at = now
            if self._no_checks:
                selected.responded_at = now
                self._consent.responded(now)
            self._consent.heard()
        if ufrag != self._local_parameters.ufrag:
            return  # of the generation before a restart: it keeps the other side's consent fresh, no more
        nomination = requests.nomination_of(message) if message.use_candidate else None
        early = requests.EarlyCheck(
            local, remote, message.priority or 0, message.use_candidate, remote_ufrag, nomination
        )
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
        before = float("-inf") if pair is None else pair.use_candidate_at
        if pair is not None and use_candidate:
            pair.use_candidate_at = now
        numbered = use_candidate and self._renomination and check.nomination is not None
        if numbered and check.nomination is not None:
            if check.nomination < self._nominations:
                use_candidate = False  # overtaken by a later one: draft-thatcher-ice-renomination section 4
            self._nominations = max(self._nominations, check.nomination)
        if self._nominated is not None:
            priority = pair.priority if pair else pair_priority(candidate.priority, base.candidate.priority)
            use_candidate = use_candidate and (numbered or self._supersedes(priority, now, before))
            if pair is self._nominated or not (use_candidate or self._wants_backup(pair)):
                self._count_request(pair)
                return
        pair = pair or self._form_pair(base, candidate, now, learnt=True)
        if pair is None:
            return
        self._count_request(pair)
        if check.use_candidate:
            pair.use_candidate_at = now
        if self._no_checks:
            self._validate_without_check(pair, now, use_candidate=use_candidate)
            return
        if pair.state is PairState.SUCCEEDED and self._consent.fresh(pair, now):
            if use_candidate:
                self._nominate(pair, now)
            return
        pair.nomination_requested = pair.nomination_requested or use_candidate
        self._checks.cancel(pair)
        pair.state = PairState.WAITING
        self._checklist.trigger(pair)

    def _wants_backup(self, pair: Pair | None) -> bool:
        """Tell whether a path that the other side checks is worth a check of ours although a pair is nominated."""
        if self._no_checks or (pair is not None and pair.valid):
            return False
        return sum(1 for known in self._checklist.pairs if known is not self._nominated) < MAX_BACKUPS

    def _validate_without_check(self, pair: Pair, now: float, *, use_candidate: bool) -> None:
        """Lite: the other side's check is all there is (RFC 8445 section 7.3.2)."""
        pair.state, pair.responded_at = PairState.SUCCEEDED, now
        self._validate(pair, now)
        if use_candidate:
            self._nominate(pair, now)
        else:
            self._reselect(now)

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
        candidate = Candidate(name, COMPONENT, remote.transport, priority, remote.host, remote.port, "prflx")
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

    def _put_remote_candidate(self, candidate: Candidate, now: float) -> None:
        candidate = replace(candidate, host=str(ip_of(candidate.host)), transport=candidate.transport.lower())
        address = candidate.address
        self._remote_candidates[address] = candidate
        for pair in self._checklist.pairs:
            if pair.remote == address:  # peer-reflexive until now: RFC 8838 section 11
                pair.remote_candidate = candidate
                pair.update_priority(controlling=self._controlling)
        for base in self._bases.values():
            self._form_pair(base, candidate, now)

    def _form_pair(self, base: Base, remote: Candidate, now: float, *, learnt: bool = False) -> Pair | None:
        """Make the pair if it can be and is not there yet; None if it cannot be.

        Args:
            base: Our end.
            remote: The other end.
            now: The time.
            learnt: Whether the other side has sent a check there.
        """
        parameters = self._remote_parameters
        if parameters is None or self._state == "failed":
            return None
        ours = base.candidate
        known = self._checklist.get(ours.address, remote.address)
        if known is not None:
            return known
        if not can_pair(ours.host, remote.host, allow_loopback=self._config.allow_loopback):
            return None
        if ours.transport != remote.transport or not (learnt or _directions_fit(ours, remote)):
            return None
        username = f"{parameters.ufrag}:{self._local_parameters.ufrag}"
        pair = Pair(ours, remote, username, short_term_key(parameters.pwd))
        pair.network_cost, pair.created_at = base.network_cost, now
        pair.update_priority(controlling=self._controlling)
        evicted = self._checklist.add(pair)
        if evicted is not None:
            self.dropped["too-many-pairs"] += 1
            self._checks.drop(evicted)
        self._checking = True
        return pair if evicted is not pair else None

    def _recheck(self, now: float) -> None:
        """Try all paths again, those too that were given up: RFC 8445 has a restart for it, which needs signalling."""
        for base in self._bases.values():
            for remote in list(self._remote_candidates.values()):
                pair = self._form_pair(base, remote, now)
                if pair is not None and pair is not self._selected and pair.state is PairState.FAILED:
                    pair.state = PairState.WAITING

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
        return None if self._state == "failed" or self._no_checks else self._checklist.next_check()

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

    def _send_check(self, pair: Pair, now: float, *, consent: bool = False, probe: bool = False) -> None:
        config, controlling = self._config, self._controlling
        nominating = controlling and pair is self._nominating and not (consent or probe)
        # Repeated on the pair in use, as browsers do: a peer whose NAT has forgotten us learns our new address by it.
        use_candidate = nominating or (controlling and pair is self._nominated)
        if consent or probe:
            schedule = check_schedule(now, config.consent_timeout, config.consent_timeout, once=True)
        else:
            self._checks.cancel(pair)
            rto = max(config.rto, config.pacing_interval * self._checklist.unfinished())  # RFC 8445 section 14.3
            # Nobody answers a nomination for that long: another valid pair had better be nominated.
            timeout = config.disconnected_after if nominating else config.check_timeout
            schedule = check_schedule(now, rto, timeout, once=pair.local.transport == "tcp")
        transaction_id = self._random_bytes(12)
        data = build_request(
            pair,
            transaction_id,
            self._tie_breaker,
            controlling=controlling,
            use_candidate=use_candidate,
            nomination=self._nominations if self._renomination else None,
        )
        pair.checked_at = pair.checked_at or now
        check = Check(transaction_id, pair, data, schedule, controlling, use_candidate, consent, probe)
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
        elif not check.cancelled and not check.once:
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
        elif not check.cancelled and not check.once:
            self._on_check_failed(check, now)

    def _on_role_conflict(self, check: Check) -> None:
        """Repair what the other side has detected: RFC 8445 section 7.2.5.1."""
        if check.controlling == self._controlling:
            self._switch_role()
        self._tie_breaker = int.from_bytes(self._random_bytes(8), "big")
        pair = check.pair
        if check.once or check.cancelled or pair not in self._checklist:
            return
        if pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.WAITING
        self._checklist.trigger(pair)

    def _on_check_failed(self, check: Check, now: float) -> None:
        """Mark the pair: RFC 8445 section 7.2.5.2."""
        self._forget_validity(check.pair)
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
            self._liveness.heard_at = now
            self._liveness.stop()
            self._restart_told = False
        if check.consent or pair not in self._checklist:
            return
        if check.use_candidate or pair is not self._nominating:  # an earlier check says nothing about a nomination
            self._checks.cancel(pair)
        if message.xor_mapped_address is not None:
            mapped = message.xor_mapped_address._replace(transport=pair.local.transport)
            pair.local_candidate = self._local_candidate_of(pair, mapped)
            pair.update_priority(controlling=self._controlling)
        pair.state = PairState.SUCCEEDED
        self._checklist.unfreeze(pair.foundation)
        self._accept(pair.local, pair.remote)
        self._validate(pair, now)
        if pair is self._nominated:
            return
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
        self._report(candidate)
        if self._selected is None:
            self._timers.set_default(KEEPALIVE, now + _KEEPALIVE_INTERVAL)

    def _report(self, candidate: Candidate) -> None:
        base = self._bases.get(candidate.base)
        shown = candidate if base is None else base.signalled(candidate)
        if shown is not None:
            self._events.append(CandidateGathered(shown))

    def _on_keepalive(self, now: float) -> None:
        if self._selected is None and self._state != "failed":
            self._emit(*self._gatherer.keepalives())
            self._timers.set(KEEPALIVE, now + _KEEPALIVE_INTERVAL)


def _directions_fit(ours: Candidate, theirs: Candidate) -> bool:
    """Tell whether a check may go out: over TCP only from the side that connects (RFC 6544 section 6.2)."""
    return ours.transport == "udp" or (ours.tcp_type == "active" and theirs.tcp_type == "passive")


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
