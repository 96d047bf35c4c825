"""Requests, responses, and when transactions begin: the third part of the agent. See `Agent`."""

from typing import Final

from ..core import Address, Datagram
from ..stun import Class, Message
from . import requests
from .candidate import Candidate, ip_of, is_unicast, pair_priority, reflexive_candidate
from .checklist import Pair, PairState
from .checks import Check
from .config import MAX_LOCAL_CANDIDATES
from .events import CandidateGathered, GatheringCompleted, ServerFailed
from .gathering import Query
from .nomination import nomination_of
from .pairing import KEEPALIVE, KEEPALIVE_INTERVAL, PACE
from .paths import Paths

MAX_EARLY_CHECKS: Final = 32
"""Paths remembered that were checked before the remote parameters came; more than a peer has candidates."""


class Connectivity(Paths):
    """The third part of the agent."""

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
        if self._partners.get(ufrag, remote_ufrag) != remote_ufrag:
            # Deviates: RFC 8445 section 7.3 looks at our fragment only. After a restart libwebrtc checks from its new
            # ports with what it knows of us from before; answered, such a pair stays selected there with our old
            # credentials, and every check of our new generation is refused. The peer asks again with the right ones.
            self.dropped["other-generation"] += 1
            return
        if message.unknown_comprehension_required:
            self._refuse(message, datagram, 420, "unknown-attributes", key)
            return
        lite = self._config.lite
        verdict = requests.judge_roles(message, self._tie_breaker, controlling=self._controlling and not lite)
        if verdict == "refuse" or (verdict == "switch" and lite):
            self._refuse(message, datagram, 487, "role-conflict", key)
            return
        if message.priority is None and remote not in self._remote_candidates:
            self._refuse(message, datagram, 400, "missing-priority", key)
            return
        if verdict == "switch":
            self._switch_role()
        self._emit(Datagram(requests.success_answer(message, remote, key), remote, local))
        selected = self.selected_pair
        if selected is not None and (selected.local, selected.remote) == (local, remote):
            self._consent.heard()
            self._liveness.heard()
        if ufrag != self._local_parameters.ufrag:
            return  # of the generation before a restart: it keeps the other side's consent fresh, no more
        pair = self._checklist.get(local, remote)
        if selected is not None and pair is not None and pair.valid and pair is not selected:
            self._on_use_elsewhere(selected, data=False)
        early = requests.EarlyCheck(
            local, remote, message.priority or 0, message.use_candidate, remote_ufrag, nomination_of(message)
        )
        if self._remote_parameters is not None:
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
            candidate = self._add_peer_reflexive(local, remote, check.priority, now)
            if candidate is None:
                return
        self._accept(local, remote)
        base, use_candidate = self._bases[local], check.use_candidate and not self._controlling
        pair = self._checklist.get(local, remote)
        if pair is not None and use_candidate:
            pair.use_candidate_at = now
        if self._is_wanted(pair, check, candidate, use_candidate=use_candidate, now=now):
            pair = pair or self._form_pair(base, candidate, now)
        else:
            use_candidate = False
            if pair is None or pair.valid or pair.state is PairState.IN_PROGRESS:
                self._count_request(pair, now)
                return
        if pair is None:
            return
        self._count_request(pair, now)
        if self._config.lite:
            self._make_valid(pair, now)
            self._nominate(pair, now, check.nomination)
        elif pair.state is PairState.SUCCEEDED and self._consent.fresh(pair, now):
            if use_candidate:
                self._nominate(pair, now, check.nomination)
        else:
            if use_candidate:
                pair.nomination_requested, pair.use_candidate_at = True, now
                pair.nomination_value = check.nomination
            self._checks.cancel(pair)
            pair.state = PairState.WAITING
            self._checklist.trigger(pair)

    def _is_wanted(
        self,
        pair: Pair | None,
        check: requests.EarlyCheck,
        candidate: Candidate,
        *,
        use_candidate: bool,
        now: float,
    ) -> bool:
        """Tell whether a request has a consequence beyond its answer."""
        nominated = self._nominated
        if self._config.lite and not use_candidate:
            return False  # RFC 8445 section 7.3.2
        if nominated is None:
            return True
        if use_candidate:
            if pair is not None and pair is nominated:
                return self._moved_to is not None  # the other side finds that it works
            priority = pair.priority if pair else pair_priority(candidate.priority, self._bases[check.local].priority)
            return self._supersedes(priority, check.nomination, now)
        if pair is not None:
            return False
        known = {other.remote.host for other in self._checklist.pairs}
        return len(self._checklist) <= self._config.spare_pairs or check.remote.host not in known

    def _count_request(self, pair: Pair | None, now: float) -> None:
        if pair is None:
            return
        pair.requests_received += 1
        pair.responses_sent += 1
        if self._config.lite:
            pair.responded_at = now
            if pair is self.selected_pair:
                self._consent.requested(now)

    # Starting transactions, one each Ta.

    def _advance(self, now: float) -> None:
        """Do what has become possible; every input ends with this."""
        if self._state == "closed":
            return
        if not self._is_checked:
            self._agree_without_checks(now)
        self._consider_nomination(now)
        if now >= self._next_start and self._start_one(now):
            self._next_start = now + self._pacing
        if self._gatherer.has_pending or self._next_check() is not None:
            self._timers.set(PACE, self._next_start)
        else:
            self._timers.cancel(PACE)
        if self._local_ended and not self._gathered and self._gatherer.done:
            self._gathered = True
            self._milestones.reach("gathered", now)
            self._events.append(GatheringCompleted())
        self._update_state()

    def _agree_without_checks(self, now: float) -> None:
        """Use the best pair, as two lite agents do: RFC 8445 section 8.2."""
        best: Pair | None = None
        for base in [base for base in self._bases.values() if base.transport == "udp"]:
            for remote in list(self._remote_candidates.values()):
                pair = self._form_pair(base, remote, now)
                if pair is not None and (best is None or pair.priority > best.priority):
                    best = pair
        if best is not None and best is not self._nominated:
            best.responded_at = now
            self._make_valid(best, now)
            self._nominated = None
            self._nominate(best, now)

    def _next_check(self) -> Pair | None:
        return None if self._state == "failed" or self._config.lite else self._checklist.next_check()

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

    def _on_transaction_timer(self, transaction_id: bytes, now: float) -> None:
        check, again = self._checks.expire(transaction_id, now)
        if check is None:
            query, again = self._gatherer.expire(transaction_id, now)
            if query is not None and again:
                self._emit(query.datagram())
            elif query is not None:
                self._events.append(ServerFailed(query.server, query.base.address, 0, "no-answer"))
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
        if pair not in self._checklist and pair is not self.selected_pair:
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
        elif code == 403 and pair is self.selected_pair:  # RFC 7675 section 5.2
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
        self._invalidate(check.pair)
        self._reselect(now)
        self._trim()

    def _on_check_succeeded(self, check: Check, message: Message, now: float) -> None:
        """Make the pair valid: RFC 8445 section 7.2.5.3."""
        pair = check.pair
        pair.responses_received += 1
        pair.responded_at = now
        if check.schedule.transmissions == 1:  # else nobody knows which one was answered: Karn
            pair.add_rtt_sample(now - check.schedule.started)
        if pair is self.selected_pair:
            self._consent.responded(now)
            self._liveness.calm()
            self._in_outage = False
        if pair not in self._checklist:
            return
        if check.once and pair.valid:
            self._consider_moving(now)
            self._consider_renomination(pair, now)
            return
        if check.use_candidate or pair is not self._nominating:  # an earlier check says nothing about a nomination
            self._checks.cancel(pair)
        if message.xor_mapped_address is not None:
            mapped = message.xor_mapped_address._replace(transport=pair.local.transport)
            pair.local_candidate = self._local_candidate_of(pair, mapped, now)
            pair.update_priority(controlling=self._controlling)
        self._checklist.unfreeze(pair.foundation)
        self._make_valid(pair, now)
        if check.use_candidate and check.controlling and self._controlling and pair is self._nominating:
            self._nominate(pair, now)
        elif pair.nomination_requested and not self._controlling:
            self._nominate(pair, now, pair.nomination_value)
        else:
            self._reselect(now)
            self._consider_moving(now)
            self._trim()

    def _local_candidate_of(self, pair: Pair, mapped: Address, now: float) -> Candidate:
        """Find the local candidate that the other side saw, or discover it: RFC 8445 section 7.2.5.3.1."""
        base = pair.base
        known = self._local_candidates.get((mapped, base.address, False))
        if known is not None:
            return known
        if len(self._local_candidates) >= MAX_LOCAL_CANDIDATES:
            self.dropped["too-many-candidates"] += 1
            return base
        candidate = reflexive_candidate("prflx", mapped, base)
        candidate.known_at = now
        self._local_candidates[self._key(candidate)] = candidate
        return candidate

    def _on_server_response(self, query: Query, message: Message, datagram: Datagram, now: float) -> None:
        if (datagram.remote, datagram.local) != (query.server, query.base.address):
            self.dropped["asymmetric-response"] += 1
            return
        mapped, reason = message.xor_mapped_address, ""
        if message.message_class is Class.ERROR or message.unknown_comprehension_required:
            reason = "error-response"
        elif mapped is None or (ip := ip_of(mapped.host)) is None or not is_unicast(ip) or not mapped.port:
            reason = "missing-mapped-address"
        self._gatherer.finish(message.transaction_id, None if reason else mapped)
        if reason:
            self.dropped[reason] += 1
            code = message.error_code[0] if message.error_code else 0
            self._events.append(ServerFailed(query.server, query.base.address, code, reason))
        elif mapped is not None:
            self._add_server_reflexive(query, mapped, now)

    def _add_server_reflexive(self, query: Query, mapped: Address, now: float) -> None:
        candidate = reflexive_candidate("srflx", mapped, query.base, query.server)
        concealed = query.base.hidden or query.base.mdns_name is not None
        if self._key(candidate) in self._local_candidates or (mapped == query.base.address and not concealed):
            return  # redundant: RFC 8445 section 5.1.3
        if len(self._local_candidates) >= MAX_LOCAL_CANDIDATES:
            self.dropped["too-many-candidates"] += 1
            return
        candidate.known_at = now
        self._put_local_candidate(candidate)
        if self.selected_pair is None:
            self._timers.set_default(KEEPALIVE, now + KEEPALIVE_INTERVAL)

    def _put_local_candidate(self, candidate: Candidate) -> None:
        used = {known.priority for known in self._local_candidates.values()}
        while candidate.priority in used:  # each has its own local preference: RFC 8445 section 5.1.2.1
            candidate.priority -= 1 << 8
        self._local_candidates[self._key(candidate)] = candidate
        self._milestones.reach("first_candidate", self._now)
        if not candidate.hidden:
            self._events.append(CandidateGathered(candidate.signalled()))


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
