"""Which pair is used: nomination, selection, consent, and what is done when a path goes dark. See `Agent`."""

from typing import Final

from .checklist import Pair, PairState
from .consent import CONSENT_CHECK, CONSENT_EXPIRY, DISCONNECTED, SPARE_CHECK
from .events import PairSelected, PairValidated, RestartNeeded
from .liveness import OUTAGE, PROBE, SILENCE, UNANSWERED
from .pairing import KEEPALIVE, KEEPALIVE_INTERVAL, NOMINATE, PAC, Pairing

_RENOMINATION_GAP: Final = 3.0  # seconds; see `_supersedes`
_NOMINATION_RTTS: Final = 3  # a better pair that takes longer than this is not better
_ELSEWHERE_AFTER: Final = 0.5  # seconds without an answer, when data comes over another pair than the selected one


class Paths(Pairing):
    """The second part of the agent."""

    # Nomination.

    def _consider_nomination(self, now: float) -> None:
        """Nominate the best valid pair once no better one is to be expected: RFC 8445 section 8.1.1."""
        if not self._controlling or self._nominated or self._nominating or self._config.lite:
            self._timers.cancel(NOMINATE)
            return
        best = self._checklist.best_valid(now - self._config.consent_timeout)
        if best is None:
            self._timers.cancel(NOMINATE)
            return
        if self._nominate_by is None:
            patience = self._config.nomination_wait
            self._nominate_by = now + (patience if best.rtt is None else min(patience, _NOMINATION_RTTS * best.rtt))
        if now < self._nominate_by and self._checklist.has_unfinished_above(best.priority):
            self._timers.set(NOMINATE, self._nominate_by)
            return
        self._timers.cancel(NOMINATE)
        self._begin_nomination(best)
        self._checklist.trigger(best, first=True)

    def _begin_nomination(self, pair: Pair) -> None:
        self._nominating = pair
        self._nominations.next_value()

    def _nominate(self, pair: Pair, now: float, value: int = 0) -> None:
        """Conclude with this pair: RFC 8445 section 8.1.2."""
        pair.nomination_requested = False
        if self._controlling or self._supersedes(pair.priority, value, now):
            if self._nominated is not None:
                self._nominated.nominated = False
            pair.nominated, pair.nominated_at = True, now
            self._nominations.changed(now)
            self._milestones.reach("nominated", now)
            if self._nominations.negotiated:
                self._nominations.received = max(self._nominations.received, value)
            self._nominated, self._nominating, self._moved_to = pair, None, None
        self._reselect(now)
        self._trim()

    def _supersedes(self, priority: int, value: int, now: float) -> bool:
        """Tell whether a newly nominated pair takes the place of the one nominated before.

        With renomination the last one wins, by its number if it has one: sections 3 and 4 of the draft. Else the
        highest priority wins (RFC 8445 section 8.1.1), unless the pair in use has gone silent, or the other side has
        ceased to nominate it: browsers do so with every check on the pair they use, at least each 2.5 s.
        """
        current = self._nominated
        if current is None:
            return True
        if self._nominations.negotiated:
            return value >= self._nominations.received
        if priority > current.priority or current is not self.selected_pair:
            return True
        if self._consent.silent or self._liveness.suspected_at is not None:
            return True
        return now - current.use_candidate_at > _RENOMINATION_GAP

    def _consider_renomination(self, pair: Pair, now: float) -> None:
        """Nominate a pair that has just answered if it is clearly better than the nominated one."""
        selected = self.selected_pair
        if not (self._controlling and self._nominations.negotiated) or self._nominating is not None:
            return
        if selected is None or selected is not self._nominated or pair is selected or not pair.valid:
            return
        if self._liveness.suspected_at is None and self._nominations.is_clearly_better(pair, selected, now):
            self._begin_nomination(pair)
            self._checklist.trigger(pair, first=True)

    def _trim(self) -> None:
        """Leave only what is used and some spare pairs, once a pair is nominated."""
        if self._nominated is None:
            return
        using = (self.selected_pair, self._nominated, self._nominating, self._moved_to)
        used = [pair for pair in using if pair is not None and pair in self._checklist]
        for gone in self._checklist.trim(used, self._config.spare_pairs):
            self._forget_pair(gone)

    # Selection.

    def _reselect(self, now: float) -> None:
        selected = self.selected_pair
        for chosen in (self._moved_to, self._nominated):
            if chosen is None or chosen is selected or not self._is_checked:
                continue
            if not self._consent.fresh(chosen, now):
                self._invalidate(chosen)  # it went dark, and consent for it has expired meanwhile
        best = self._moved_to or self._nominated
        best = best or self._checklist.best_valid(now - self._config.consent_timeout)
        if best is None and selected is not None and selected not in self._checklist:
            return  # a restart is under way: the old pair serves until there is a new one
        if best is selected:
            return
        self.selected_pair = best
        self._liveness.calm()
        if best is None:
            self._consent.stop()
            return
        self._was_connected = True
        self._events.append(PairSelected(best))
        if self._is_checked:
            self._consent.start(best, now)
            if not self._config.lite:
                self._consent.next_spare_check(now)

    @property
    def _is_checked(self) -> bool:
        """Whether there is at least one side that checks; two lite ones do not: RFC 8445 section 6.1.1."""
        return not (self._config.lite and self._remote_parameters is not None and self._remote_parameters.lite)

    def _make_valid(self, pair: Pair, now: float) -> None:
        pair.state = PairState.SUCCEEDED
        self._milestones.reach("first_valid", now)
        self._accept(pair.local, pair.remote)
        if not pair.valid:
            pair.valid = True
            if pair.validated_at is None:
                pair.validated_at = now
            self._events.append(PairValidated(pair))

    def _invalidate(self, pair: Pair) -> None:
        """Take note that a pair does not work."""
        pair.state = PairState.FAILED
        pair.valid = pair.nominated = pair.nomination_requested = False
        self._disuse(pair)

    def _disuse(self, pair: Pair) -> None:
        if pair is self._nominating:
            self._nominating = None
        if pair is self._nominated:
            self._nominated = self._nominate_by = None
        if pair is self._moved_to:
            self._moved_to = None

    def _on_consent_lost(self, now: float) -> None:
        """Stop sending on the selected pair: RFC 7675 section 5.1."""
        pair = self.selected_pair
        if pair is None:
            return
        restarting = pair not in self._checklist
        self._invalidate(pair)
        probed_since = self._liveness.suspected_at
        if probed_since is not None:
            for spare in self._spares():
                if spare.responded_at < probed_since:  # asked many times since then
                    self._invalidate(spare)
        self._paths.discard((pair.local, pair.remote))
        self._checks.forget_pair(pair)
        self.selected_pair = None
        self._consent.stop()
        self._liveness.calm()
        self._reselect(now)
        if self.selected_pair is None and not restarting:
            self._patient = False
            self._report_outage("no-valid-pair")

    def _on_path_gone(self, now: float) -> None:
        """Go on over another valid pair after the selected one has vanished, or look for one."""
        self.selected_pair = None
        self._consent.stop()
        self._liveness.calm()
        spare = self._checklist.best_valid(now - self._config.consent_timeout)
        if spare is not None:
            self._move_to(spare, now)
            return
        for pair in self._checklist.pairs:
            if pair.state in {PairState.FAILED, PairState.SUCCEEDED}:
                pair.state = PairState.WAITING
                self._checklist.trigger(pair)
        self._patient = True
        self._timers.set(PAC, now + self._config.consent_timeout)
        self._report_outage("no-valid-pair")

    def _report_outage(self, reason: str) -> None:
        if not self._in_outage:
            self._in_outage = True
            self._events.append(RestartNeeded(reason))

    # What is done when a path goes dark.

    def _suspect(self, now: float, since: float, *, by_silence: bool) -> None:
        """Begin to probe the selected pair; `since` is when something left that was not answered."""
        selected = self.selected_pair
        if selected is None or self._config.lite or self._liveness.suspected_at is not None:
            return
        self._liveness.suspect(now, since, selected.rtt, by_silence=by_silence)
        self._probe(now)

    def _on_use_elsewhere(self, selected: Pair, *, data: bool) -> None:
        """Data or a check came over another pair: perhaps the other side has found this one dark."""
        now, liveness = self._now, self._liveness
        if liveness.hint(now, selected.rtt):
            self._suspect(now, liveness.waiting_since or now, by_silence=True)
        elif data and now - selected.responded_at > max(_ELSEWHERE_AFTER, 2 * (selected.rtt or 0)):
            self._suspect(now, now, by_silence=False)

    def _probe(self, now: float) -> None:
        # Deviates: RFC 7675 section 5.1 has 4 s at least between consent checks. These are connectivity checks, a few
        # of them, on a path that is most probably dead.
        selected = self.selected_pair
        if selected is None or self._liveness.suspected_at is None:
            return
        self._send_check(selected, now, once=True)
        if self._liveness.probed(now, selected.rtt):
            for pair in self._spares():
                self._send_check(pair, now, once=True)
        self._consider_moving(now)

    def _spares(self) -> list[Pair]:
        """Return the pairs to fall back to, those that have worked first."""
        spares = [pair for pair in self._checklist.pairs if pair.finished and pair is not self.selected_pair]
        spares.sort(key=lambda pair: (pair.valid, pair.priority), reverse=True)
        return spares[: 2 * self._config.spare_pairs]

    def _check_spares(self, now: float) -> None:
        """Ask the spare pairs whether they still work."""
        for pair in self._spares():
            if pair.valid and not self._consent.fresh(pair, now):
                self._invalidate(pair)
            self._send_check(pair, now, once=True)
        self._consent.next_spare_check(now)

    def _consider_moving(self, now: float) -> None:
        """Move to a spare pair that answers while the selected one does not."""
        selected, suspected_at = self.selected_pair, self._liveness.suspected_at
        if selected is None or suspected_at is None or not self._liveness.is_dark(now, selected.rtt):
            return
        spare = self._checklist.best_valid(suspected_at, but=selected)
        if spare is not None:
            self._move_to(spare, now)

    def _move_to(self, pair: Pair, now: float) -> None:
        """Send data over another valid pair at once; as controlling side, nominate it too.

        Without renomination, RFC 8445 section 8.1.1 allows one nomination only.
        """
        # Deviates: browsers, and this agent, take another USE-CANDIDATE for a pair in place of one that went silent.
        self._moved_to = pair
        if self._controlling:
            self._begin_nomination(pair)
        self._send_check(pair, now, once=not self._controlling)  # tells the other side at once, whoever sends data
        self._reselect(now)

    # Timers and state.

    def _on_path_timer(self, name: object, now: float) -> None:
        selected = self.selected_pair
        if name == PAC:
            self._patient = False
        elif name == KEEPALIVE:
            self._on_keepalive(now)
        elif selected is None:
            return
        elif name == CONSENT_CHECK:
            self._send_check(selected, now, once=True)
            self._consent.sent(now)
            self._liveness.asked(now, selected.rtt)
        elif name == CONSENT_EXPIRY:
            self._on_consent_lost(now)
        elif name == DISCONNECTED:
            self._consent.silent = True
        elif name == SPARE_CHECK:
            self._check_spares(now)
        elif name == UNANSWERED:
            self._suspect(now, self._liveness.asked_at, by_silence=False)
        elif name == SILENCE:
            since = self._liveness.waiting_since
            if self._liveness.is_silent(now, selected.rtt) and since is not None:
                self._suspect(now, since, by_silence=True)
        elif name == PROBE:
            self._probe(now)
        elif name == OUTAGE and self._liveness.suspected_at is not None:
            self._report_outage("path-silent")

    def _on_keepalive(self, now: float) -> None:
        if self.selected_pair is None and self._state != "failed":
            self._emit(*self._gatherer.keepalives())
            self._timers.set(KEEPALIVE, now + KEEPALIVE_INTERVAL)

    def _fail(self) -> None:
        self._checks.forget()
        self._paths.clear()
        self._resolution.clear()
        self._liveness.calm()
        for name in (NOMINATE, PAC, KEEPALIVE):
            self._timers.cancel(name)
        self._set_state("failed")

    def _update_state(self) -> None:
        if self._state == "failed":
            return
        if self.selected_pair is None:
            waiting = self._remote_parameters is None or self._checklist.unfinished() or len(self._resolution)
            if not waiting and not self._patient:
                self._fail()
            elif self._was_connected:
                self._set_state("disconnected")
            else:
                self._set_state("checking" if self._checking else "new")
        elif self._consent.silent:
            self._set_state("disconnected")
        elif (self._nominated or self._moved_to) and self._gathered and self._remote_ended:
            self._set_state("completed")
        else:
            self._set_state("connected")
