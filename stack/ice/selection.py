"""Which pair is used: nomination, selection, consent, and what happens when the pair in use goes dark.

State of an agent and what does not depend on the messages; `Connectivity` adds the checks, `Agent` the commands.
"""

from typing import TYPE_CHECKING, Final

from ..core import Address, Datagram, Machine, RandomBytes
from ..stun import short_term_key
from .candidate import Candidate, Parameters, generate_parameters
from .checklist import Checklist, Pair, PairState
from .checks import Checks
from .config import MAX_OUTGOING, Config
from .consent import Consent
from .events import Event, PairSelected, PairValidated, RestartNeeded, State, StateChanged
from .gathering import Gatherer
from .liveness import Liveness

if TYPE_CHECKING:
    from .bases import Base
    from .requests import EarlyCheck

PACE: Final = "pace"
NOMINATE: Final = "nominate"
PAC: Final = "pac"
KEEPALIVE: Final = "keepalive"
BACKUP: Final = "backup"
_RENOMINATION_GAP: Final = 3.0  # seconds of a beginning; see `_supersedes`
_NOMINATION_PERIOD: Final = 7.0  # seconds within which who nominates two pairs all the time does so again
_NOMINATION_RTTS: Final = 3  # a better pair that takes longer than this is not better
_BETTER_RTT: Final = 0.8  # of the selected pair's: what is worth a renomination
_BETTER_BY: Final = 0.010  # seconds, at least
_BETTER_TIMES: Final = 3  # in a row, so that one slow answer moves nothing
_SILENCE_TOLD: Final = 2.0  # seconds without an answer on any path after which a restart is asked for


class Selection(Machine[Datagram, Datagram, Event]):
    """State of an agent, and the choice among its pairs; see `Agent`."""

    def __init__(self, *, controlling: bool, random_bytes: RandomBytes, config: Config | None = None) -> None:
        super().__init__()
        self._random_bytes = random_bytes
        self._config = config or Config()
        self._controlling = controlling and not self._config.lite
        self._tie_breaker = int.from_bytes(random_bytes(8), "big")
        self._state: State = "new"
        self._local_parameters = self._own(generate_parameters(random_bytes))
        self._passwords = {self._local_parameters.ufrag: short_term_key(self._local_parameters.pwd)}
        self._remote_parameters: Parameters | None = None
        self._bases: dict[Address, Base] = {}
        self._added = 0  # addresses so far, for their order
        self._local_candidates: dict[tuple[Address, Address], Candidate] = {}  # by address and base
        self._remote_candidates: dict[Address, Candidate] = {}
        self._unresolved: list[Candidate] = []
        self._early: dict[tuple[Address, Address], EarlyCheck] = {}
        self._checklist = Checklist(self._config.max_pairs)
        self._checks = Checks(self._timers)
        self._gatherer = Gatherer(random_bytes, self._timers, self._config)
        self._consent = Consent(random_bytes, self._timers, self._config)
        self._liveness = Liveness(self._timers)
        self._paths: set[tuple[Address, Address]] = set()
        self._selected: Pair | None = None
        self._nominated: Pair | None = None
        self._nominating: Pair | None = None
        self._nominate_by: float | None = None
        self._nominations = 0  # sent; or the highest one received
        self._better: tuple[Pair, int] | None = None
        self._outage = self._restart_told = False
        self._next_start = float("-inf")
        self._local_ended = self._remote_ended = self._gathered = False
        self._checking = False
        self._patient = True
        self._outgoing: list[Datagram] = []

    def _own(self, parameters: Parameters) -> Parameters:
        config = self._config
        return Parameters(parameters.ufrag, parameters.pwd, lite=config.lite, renomination=config.renomination)

    @property
    def _renomination(self) -> bool:
        remote = self._remote_parameters
        return self._config.renomination and remote is not None and remote.renomination

    def _send_check(self, pair: Pair, now: float, *, consent: bool = False, probe: bool = False) -> None:
        raise NotImplementedError

    def _recheck(self, now: float) -> None:
        raise NotImplementedError

    # Nomination

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
        self._begin_nomination(best)

    def _begin_nomination(self, pair: Pair) -> None:
        self._timers.cancel(NOMINATE)
        self._nominating = pair
        self._nominations += 1
        self._checklist.trigger(pair)

    def _nominate(self, pair: Pair, now: float) -> None:
        """Conclude with this pair: RFC 8445 section 8.1.2."""
        pair.nominated = True
        pair.nominated_at = pair.nominated_at or now
        pair.nomination_requested = False
        self._nominating = None
        # With numbered nominations the last one wins, and `_learn` has looked at the number.
        if self._renomination or self._controlling or self._supersedes(pair.priority, now):
            self._nominated = pair
        for gone in self._checklist.conclude(pair):
            self._checks.cancel(gone)
        self._timers.set_default(BACKUP, now + self._config.backup_interval)
        self._reselect(now)

    def _supersedes(self, priority: int, now: float, before: float = float("-inf")) -> bool:
        """Tell whether a pair nominated now takes the place of the one nominated before.

        At the beginning the highest priority wins (RFC 8445 section 8.1.1): an aggressive peer nominates all it checks.
        Later a nomination means that the other side has moved, unless it is known to nominate both all the time.
        """
        current = self._nominated
        if current is None or priority > current.priority or self._consent.silent or self._liveness.probing:
            return True
        settled = current.nominated_at is not None and now - current.nominated_at > _RENOMINATION_GAP
        return settled and now - before > _NOMINATION_PERIOD

    # Selection

    def _validate(self, pair: Pair, now: float) -> None:
        if not pair.valid:
            pair.valid = True
            pair.validated_at = pair.validated_at or now
            self._events.append(PairValidated(pair))

    def _reselect(self, now: float) -> None:
        best = self._nominated or self._checklist.best_valid(now - self._config.consent_timeout)
        selected = self._selected
        if best is None and selected is not None and selected not in self._checklist:
            return  # a restart is under way: the old pair serves until there is a new one
        if best is not selected:
            self._select(best, now)

    def _select(self, pair: Pair | None, now: float) -> None:
        self._selected = pair
        self._better = None
        self._liveness.stop()
        if pair is None:
            self._consent.stop()
            return
        self._outage = self._restart_told = False
        self._liveness.heard_at = now
        self._consent.start(pair, now, watch=not self._no_checks)
        self._events.append(PairSelected(pair))

    @property
    def _no_checks(self) -> bool:
        """Whether we never send checks: then consent is what the other side's checks say."""
        return self._config.lite

    def _forget_validity(self, pair: Pair) -> None:
        pair.state = PairState.FAILED
        pair.valid = pair.nominated = pair.nomination_requested = False
        if pair is self._nominating:
            self._nominating = None
        if pair is self._nominated:
            self._nominated = None

    def _switch(self, pair: Pair, now: float) -> None:
        """Leave the selected pair for another one that works; the controlling side nominates it at once."""
        self._nominated = self._nominating = None
        self._select(pair, now)
        if self._controlling:
            self._begin_nomination(pair)

    def _on_consent_lost(self, now: float) -> None:
        """Stop sending on the selected pair: RFC 7675 section 5.1."""
        pair = self._selected
        if pair is None:
            return
        restarting, nominated = pair not in self._checklist, pair is self._nominated
        self._forget_validity(pair)
        self._selected = None
        self._paths.discard((pair.local, pair.remote))
        self._consent.stop()
        self._liveness.stop()
        if not nominated:
            self._reselect(now)
        if self._selected is None and not restarting:
            self._need_restart("consent-expired")
            self._fail()

    def _lose_selected(self, now: float) -> None:
        """The socket of the selected pair is gone: take the next best path, or look for one."""
        self._nominated = self._nominating = None
        best = self._checklist.best_valid(now - self._config.consent_timeout)
        if best is not None:
            self._switch(best, now)
            return
        self._select(None, now)
        self._outage = True
        self._patient = True
        self._timers.set(PAC, now + self._config.consent_timeout)
        self._need_restart("no-path")
        self._recheck(now)

    def _need_restart(self, reason: str) -> None:
        if not self._restart_told:
            self._restart_told = True
            self._events.append(RestartNeeded(reason))

    # Darkness

    def _on_silence(self, now: float) -> None:
        """Nothing was heard for a while although we send: find out which paths work."""
        if self._selected is None or self._no_checks:
            return
        if self._liveness.doubtful(now):
            self._probe(now)

    def _probe(self, now: float) -> None:
        """Ask on all paths; `_on_probe_timer` looks at what came of it."""
        selected = self._selected
        if selected is None or self._no_checks or self._liveness.probing:
            return
        self._liveness.begin(now, selected.rtt)
        for pair in list(self._checklist.pairs):
            if pair is not selected and pair.state is not PairState.IN_PROGRESS:
                self._send_check(pair, now, probe=True)
        self._send_check(selected, now, probe=True)

    def _on_probe_timer(self, now: float) -> None:
        selected, liveness = self._selected, self._liveness
        if selected is None:
            liveness.stop()
        elif not liveness.probing:  # a consent check has no answer
            self._probe(now)
        elif liveness.probe_again(now):
            self._send_check(selected, now, probe=True)
        else:
            self._conclude_probing(selected, now)

    def _conclude_probing(self, selected: Pair, now: float) -> None:
        best = self._checklist.best_valid(self._liveness.began)
        if best is not None and best is not selected:
            silent = [p for p in self._checklist.pairs if p.valid and p.responded_at < self._liveness.began]
            for pair in silent:
                self._forget_validity(pair)
            self._switch(best, now)
            return
        if now - self._liveness.first >= _SILENCE_TOLD:
            self._need_restart("path-silent")
        self._recheck(now)
        self._probe(now)

    def _on_backup_timer(self, now: float) -> None:
        """Look after the pairs that may take over, and move to one that is clearly better, if both sides can."""
        if self._nominated is None or self._state == "failed" or self._no_checks:
            return
        for pair in list(self._checklist.pairs):
            if pair is not self._selected and pair.state is not PairState.IN_PROGRESS:
                self._send_check(pair, now, probe=True)
        self._consider_better(now)
        self._timers.set(BACKUP, now + self._config.backup_interval)

    def _consider_better(self, now: float) -> None:
        """Renominate on lower network cost or better round-trip time (draft-thatcher-ice-renomination)."""
        selected = self._selected
        if not self._controlling or not self._renomination or selected is None or selected.rtt is None:
            return
        fresh = now - 2 * self._config.backup_interval
        rivals = [pair for pair in self._checklist.pairs if pair.valid and pair.responded_at > fresh and pair.rtt]
        better = [pair for pair in rivals if pair is not selected and _is_better(pair, selected)]
        best = min(better, key=lambda pair: (pair.network_cost, pair.rtt or 0.0), default=None)
        if best is None:
            self._better = None
            return
        times = self._better[1] + 1 if self._better is not None and self._better[0] is best else 1
        self._better = best, times
        if times >= _BETTER_TIMES and self._nominating is None:
            self._better = None
            self._begin_nomination(best)

    # State

    def _fail(self) -> None:
        self._checks.forget()
        self._paths.clear()
        self._liveness.stop()
        self._outage = False
        for name in (NOMINATE, PAC, KEEPALIVE, BACKUP):
            self._timers.cancel(name)
        self._set_state("failed")

    def _update_state(self) -> None:
        if self._state == "failed":
            return
        if self._selected is None:
            hopeless = self._remote_parameters is not None and not self._checklist.unfinished()
            if hopeless and not self._patient:
                self._fail()
            elif self._outage:
                self._set_state("disconnected")
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


def _is_better(pair: Pair, selected: Pair) -> bool:
    """Tell whether moving is worth it: a cheaper network, or the same and a clearly shorter round trip."""
    if pair.network_cost != selected.network_cost:
        return pair.network_cost < selected.network_cost
    ours, theirs = selected.rtt or 0.0, pair.rtt or 0.0
    return theirs < _BETTER_RTT * ours and ours - theirs > _BETTER_BY
