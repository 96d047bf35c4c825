"""What an agent consists of, how candidates become pairs, and how a check leaves: the first part of the agent.

The agent is one machine in four parts, each a class on top of the one before: `Pairing` here, `Paths` (which pair is
used), `Connectivity` (requests, responses, pacing), `Agent` (what the application calls).

One component of one data stream, which is what bundled WebRTC needs.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..core import Address, Datagram, Machine, RandomBytes
from ..stun import short_term_key
from .candidate import COMPONENT, Candidate, Parameters, can_pair, generate_parameters, remote_address
from .checklist import Checklist, Pair, PairState
from .checks import Check, Checks, build_request, check_schedule, single_schedule
from .config import (
    DEFAULT_PACING,
    MAX_OUTGOING,
    MAX_PATHS,
    MAX_PEER_REFLEXIVE,
    MAX_PEER_REFLEXIVE_PER_HOST,
    Config,
)
from .consent import Consent
from .events import Event, RoleChanged, State, StateChanged
from .gathering import Gatherer
from .liveness import Liveness
from .milestones import Milestones
from .nomination import Nominations
from .resolution import Resolution
from .tcp import checks_can_begin, opposite

if TYPE_CHECKING:
    from .requests import EarlyCheck

PACE: Final = "pace"
NOMINATE: Final = "nominate"
PAC: Final = "pac"
KEEPALIVE: Final = "keepalive"
KEEPALIVE_INTERVAL: Final = 15.0  # Tr: RFC 8445 section 11


class Pairing(Machine[Datagram, Datagram, Event]):
    """State of an agent, its pairs and its checks; see `Agent`."""

    def __init__(self, *, controlling: bool, random_bytes: RandomBytes, config: Config | None = None) -> None:
        super().__init__()
        self._random_bytes = random_bytes
        self._config = config or Config()
        self._controlling = controlling
        self._tie_breaker = int.from_bytes(random_bytes(8), "big")
        self._state: State = "new"
        self._local_parameters = self._new_parameters()
        self._passwords = {self._local_parameters.ufrag: short_term_key(self._local_parameters.pwd)}
        self._remote_parameters: Parameters | None = None
        self._partners: dict[str, str] = {}  # username fragments: ours of a generation, and theirs of the same
        self._bases: dict[Address, Candidate] = {}
        self._relays: dict[Address, Address] = {}  # the socket of each relayed address
        self._without: frozenset[Address] = frozenset()  # local addresses that this generation does not use
        self._local_candidates: dict[tuple[Address, Address, bool], Candidate] = {}  # see `_key`
        self._remote_candidates: dict[Address, Candidate] = {}
        self._resolution = Resolution()
        self._early: dict[tuple[Address, Address], EarlyCheck] = {}
        self._checklist = Checklist(self._config.max_pairs)
        self._checks = Checks(self._timers)
        self._gatherer = Gatherer(random_bytes, self._timers, self._config)
        self._consent = Consent(random_bytes, self._timers, self._config)
        self._liveness = Liveness(self._timers)
        self._nominations = Nominations()
        self._paths: set[tuple[Address, Address]] = set()
        self.selected_pair: Pair | None = None
        self._nominated: Pair | None = None
        self._nominating: Pair | None = None
        self._moved_to: Pair | None = None
        self._nominate_by: float | None = None
        self._next_start = float("-inf")
        self._local_ended = self._remote_ended = self._gathered = False
        self._checking = self._was_connected = self._in_outage = False
        self._patient = True
        self.outgoing: list[Datagram] = []
        self._milestones = Milestones()
        self._started_at: float | None = None
        self._restarts = 0
        self._before_restart: dict[str, Any] = {}  # see `Agent.undo_restart`
        self._selected_before: Pair | None = None

    def _clamp(self, now: float) -> float:
        now = super()._clamp(now)
        if self._started_at is None:
            self._started_at = self._milestones.started = now
        return now

    def _new_parameters(self, credentials: Parameters | None = None) -> Parameters:
        """Return our parameters for a new generation, with fresh credentials unless there are some."""
        config, credentials = self._config, credentials or generate_parameters(self._random_bytes)
        parameters = Parameters(credentials.ufrag, credentials.pwd)
        parameters.lite = config.lite
        parameters.renomination = config.renomination and not config.lite
        if config.pacing_interval != DEFAULT_PACING:
            parameters.pacing_interval = config.pacing_interval
        return parameters

    @property
    def _pacing(self) -> float:
        """Ta: the larger of both sides' ones, RFC 8445 section 14.2."""
        remote = self._remote_parameters
        if remote is None:
            return self._config.pacing_interval
        theirs = remote.pacing_interval
        return max(self._config.pacing_interval, DEFAULT_PACING if theirs is None else theirs)

    # Candidates.

    @staticmethod
    def _key(candidate: Candidate) -> tuple[Address, Address, bool]:
        """Return where a local candidate is kept: by address and base.

        A reflexive candidate may have the very address of a base that is not to be shown.
        """
        address, base = candidate.address, candidate.base
        return address, base, candidate.type == "srflx" and address == base

    def _add_peer_reflexive(self, local: Address, remote: Address, priority: int, now: float) -> Candidate | None:
        learnt = self._peer_reflexive()
        same_host = [candidate for candidate in learnt if candidate.host == remote.host]
        crowded = same_host if len(same_host) >= MAX_PEER_REFLEXIVE_PER_HOST else learnt
        full = len(self._remote_candidates) >= self._config.max_remote_candidates
        full = full or len(learnt) >= MAX_PEER_REFLEXIVE or crowded is same_host
        if full and not self._make_room(crowded):
            return None
        # RFC 8445 section 7.3.1.3: a foundation that no other remote candidate has; colons cannot be signalled.
        name, tcp_type = f"prflx:{remote}", opposite(self._bases[local].tcp_type)
        candidate = Candidate(
            name, COMPONENT, remote.transport, priority, remote.host, remote.port, "prflx", tcp_type=tcp_type
        )
        candidate.known_at = now
        self._milestones.reach("first_remote_candidate", now)
        self._remote_candidates[remote] = candidate
        return candidate

    def _peer_reflexive(self) -> list[Candidate]:
        return [candidate for candidate in self._remote_candidates.values() if candidate.type == "prflx"]

    def _make_room(self, crowd: Iterable[Candidate]) -> bool:
        """Give up one of these remote candidates: the oldest that failed, or that has not been answered on yet.

        What is valid or in use stays, and then nothing is given up.
        """
        self.dropped["too-many-candidates"] += 1
        used = {pair for pair in (self.selected_pair, self._nominated, self._nominating, self._moved_to) if pair}
        best: tuple[bool, bool] | None = None
        victim: Candidate | None = None
        for candidate in crowd:  # oldest first
            pairs = [pair for pair in self._checklist.pairs if pair.remote == candidate.address]
            if any(pair.valid or pair in used for pair in pairs):
                continue
            wanted = any(pair.nomination_requested for pair in pairs)
            rank = wanted, any(pair.state is not PairState.FAILED for pair in pairs)
            if best is None or rank < best:
                best, victim = rank, candidate
        if victim is None:
            return False
        del self._remote_candidates[victim.address]
        self._paths = {path for path in self._paths if path[1] != victim.address}
        for pair in [pair for pair in self._checklist.pairs if pair.remote == victim.address]:
            self._checklist.remove(pair)
            self._forget_pair(pair)
        return True

    def _put_remote_candidate(self, candidate: Candidate, now: float) -> None:
        address = remote_address(candidate)
        candidate = replace(
            candidate,
            host=address.host,
            transport=address.transport,
            interface="",  # what only its own side can know
            network_cost=0,
            server=None,
            relay_protocol="",
            known_at=now,
        )
        self._milestones.reach("first_remote_candidate", now)
        self._remote_candidates[address] = candidate
        for pair in self._checklist.pairs:
            if pair.remote == address:  # peer-reflexive until now: RFC 8838 section 11
                pair.remote_candidate = candidate
                pair.update_priority(controlling=self._controlling)
        for base in self._bases.values():
            self._pair_up(base, candidate, now)

    def _accept(self, local: Address, remote: Address) -> None:
        if (local, remote) in self._paths:
            return
        if len(self._paths) >= MAX_PATHS:
            self.dropped["too-many-paths"] += 1
        else:
            self._paths.add((local, remote))

    # Pairs.

    def _pair_all(self, now: float) -> None:
        """Pair every base with every remote candidate."""
        for base in list(self._bases.values()):
            for remote in list(self._remote_candidates.values()):
                self._pair_up(base, remote, now)

    def _pair_up(self, base: Candidate, remote: Candidate, now: float) -> None:
        """Make a pair to be checked, where the RFCs want one: lite agents have none, and TCP needs an active end."""
        if not self._config.lite and checks_can_begin(base.tcp_type, remote.tcp_type):
            self._form_pair(base, remote, now)

    def _form_pair(self, base: Candidate, remote: Candidate, now: float) -> Pair | None:
        """Make the pair if it can be and is not there yet; None if it cannot be."""
        parameters = self._remote_parameters
        if parameters is None or self._state == "failed":
            return None
        known = self._checklist.get(base.address, remote.address)
        if known is not None:
            return known
        if base.transport != remote.transport or base.address in self._without:
            return None
        if not can_pair(base.host, remote.host, allow_loopback=self._config.allow_loopback):
            return None
        username = f"{parameters.ufrag}:{self._local_parameters.ufrag}"
        pair = Pair(base, remote, username, short_term_key(parameters.pwd))
        pair.formed_at = now
        pair.update_priority(controlling=self._controlling)
        evicted = self._checklist.add(pair)
        if evicted is not None:
            self.dropped["too-many-pairs"] += 1
            if evicted is not pair:
                self._forget_pair(evicted)
        self._checking = True
        return pair if evicted is not pair else None

    def _forget_pair(self, pair: Pair) -> None:
        """Forget what is kept about a pair that is not in the checklist any more; late answers do no harm."""
        self._checks.cancel(pair)
        self._nominations.forget(pair)

    def _switch_role(self) -> None:
        self._controlling = not self._controlling
        self._nominating = None
        self._nominate_by = None
        for pair in self._checklist.pairs:
            pair.update_priority(controlling=self._controlling)
        self._events.append(RoleChanged(self._controlling))

    # Checks.

    def _send_check(self, pair: Pair, now: float, *, once: bool = False) -> None:
        """Send a check; `once` is for consent, probes and spare pairs."""
        config, controlling = self._config, self._controlling
        nominating = controlling and pair is self._nominating and not once
        if once:
            schedule = single_schedule(now, config.consent_timeout)
        else:
            self._checks.cancel(pair)
            # Nobody answers a nomination for that long: another valid pair had better be nominated.
            timeout = config.disconnected_after if nominating else config.check_timeout
            rto = max(config.rto, self._pacing * self._checklist.unfinished())  # RFC 8445 section 14.3
            tcp = pair.base.transport == "tcp"
            schedule = single_schedule(now, timeout) if tcp else check_schedule(now, rto, timeout)
        transaction_id = self._random_bytes(12)
        data = build_request(
            pair,
            transaction_id,
            self._tie_breaker,
            controlling=controlling,
            use_candidate=nominating,
            nomination=self._nominations.sent if nominating and self._nominations.negotiated else 0,
        )
        check = Check(transaction_id, pair, data, schedule, controlling, nominating, once)
        if pair.checked_at is None:
            pair.checked_at = now
        self._checks.add(check)
        self._milestones.reach("first_check", now)
        self._emit(check.datagram())

    def _emit(self, *datagrams: Datagram) -> None:
        for datagram in datagrams:
            if len(self.outgoing) >= MAX_OUTGOING:
                self.dropped["outgoing-full"] += 1
            else:
                self.outgoing.append(datagram)

    def _set_state(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._events.append(StateChanged(state))
