"""The ICE agent: RFC 8445 with trickle (RFC 8838), patience (RFC 8863) and consent (RFC 7675).

The agent owns no sockets: addresses of bound sockets come in with `add_local_address`, datagrams go out with the
local address that they leave from.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from ..core import Address, Datagram, LocalError, ParseError
from ..stun import BINDING, Class, Message, short_term_key
from . import statistics
from .candidate import (
    Candidate,
    Parameters,
    check_parameters,
    hide_related,
    ip_of,
    remote_address,
    why_unreachable,
    why_unusable,
)
from .checklist import Checklist, Pair, PairState
from .config import MAX_STUN_SERVERS
from .events import Closed, ResolutionRequested, State
from .liveness import OUTAGE
from .local import LocalSide
from .milestones import Milestones
from .nomination import Nominations
from .pairing import KEEPALIVE, NOMINATE, PAC
from .resolution import is_mdns_name

_GENERATION: Final = (
    "_local_parameters",
    "_partners",
    "_passwords",
    "_tie_breaker",
    "_remote_parameters",
    "_remote_candidates",
    "_local_candidates",
    "_nominations",
    "_milestones",
    "_checklist",
    "_paths",
    "_nominated",
    "_moved_to",
    "_local_ended",
    "_remote_ended",
    "_gathered",
    "_checking",
    "_was_connected",
    "_in_outage",
    "_patient",
    "_without",
)
"""What belongs to one generation, and comes back with it; each is replaced and not changed by a restart."""


class Agent(LocalSide):
    """Finds, chooses and keeps a path to the other side.

    Args:
        controlling: Initial role; the offerer's: RFC 8445 section 6.1.1.
        random_bytes: Source of credentials, tie-breaker, transaction ids and intervals.
        config: Numbers.

    Attributes:
        selected_pair: The pair to send data on: the nominated one, or the best valid one before; None if data must not
            be sent.
        outgoing: What the next drain returns.
    """

    # What it is now.

    @property
    def state(self) -> State:
        """The state last reported by `StateChanged`."""
        return self._state

    @property
    def controlling(self) -> bool:
        """The role."""
        return self._controlling

    @property
    def local_parameters(self) -> Parameters:
        """Credentials to signal."""
        return self._local_parameters

    @property
    def remote_parameters(self) -> Parameters | None:
        """The other side's credentials."""
        return self._remote_parameters

    @property
    def local_candidates(self) -> list[Candidate]:
        """Local candidates of this generation as they may be signalled, peer-reflexive ones too, hidden ones not."""
        return [candidate.signalled() for candidate in self._local_candidates.values() if not candidate.hidden]

    @property
    def remote_candidates(self) -> list[Candidate]:
        """Remote candidates of this generation, peer-reflexive ones too."""
        return list(self._remote_candidates.values())

    @property
    def pairs(self) -> list[Pair]:
        """The checklist, best pair first."""
        return sorted(self._checklist.pairs, key=lambda pair: -pair.priority)

    @property
    def rtt(self) -> float | None:
        """Smoothed round-trip time of the selected pair, seconds."""
        return self.selected_pair.rtt if self.selected_pair else None

    def accepts(self, local: Address, remote: Address) -> bool:
        """Tell whether data on this path may be taken: the peer has authenticated itself on it.

        A check that came before the peer's description did so too, with the password that only the peer was told.
        """
        return (local, remote) in self._paths or (local, remote) in self._early

    def takes(self, now: float, local: Address, remote: Address) -> bool:
        """Tell what `accepts` does, for data that came now, and if so, take note of it as `data_received` does."""
        if (local, remote) not in self._paths and (local, remote) not in self._early:
            return False
        self.data_received(now, local, remote)
        return True

    def statistics(self) -> "statistics.Statistics":
        """Return what is known about candidates, pairs and their history, as plain values."""
        return statistics.collect(self)

    # Commands.

    def set_controlling(self, controlling: bool) -> None:
        """Take a role before the checks begin.

        Raises:
            LocalError: Remote parameters are set already, or the agent is closed.
        """
        self._check_open()
        if self._remote_parameters is not None:
            raise LocalError("the role is fixed once the remote parameters are set")
        self._controlling = controlling

    def add_stun_server(self, address: Address, now: float) -> None:
        """Ask a STUN server for reflexive addresses of all host candidates, present and future.

        Raises:
            LocalError: Not an address, known already, too many, after `end_local_addresses`, or the agent is lite.
        """
        self._check_open()
        if self._local_ended:
            raise LocalError("no servers after end_local_addresses, except after restart")
        if self._config.lite:
            raise LocalError("a lite agent has host candidates only: RFC 8445 section 5.2")
        if ip_of(address.host) is None or not 0 < address.port <= 0xFFFF:
            raise LocalError(f"{address} is no address of a STUN server")
        if address in self._gatherer.servers:
            raise LocalError(f"{address} is known already")
        if len(self._gatherer.servers) >= MAX_STUN_SERVERS:
            raise LocalError(f"more than {MAX_STUN_SERVERS} STUN servers")
        now = self._clamp(now)
        self._gatherer.add_server(address)
        self._advance(now)

    def end_local_addresses(self, now: float) -> None:
        """Say that all addresses and servers are known; `GatheringCompleted` follows when all queries are over.

        An address that appears later can be added nevertheless.

        Raises:
            LocalError: The agent is closed.
        """
        self._check_open()
        now = self._clamp(now)
        self._local_ended = True
        self._advance(now)

    def set_remote_parameters(self, parameters: Parameters, now: float) -> None:
        """Take the other side's credentials; checks begin as soon as there is a pair. The same ones again are ignored.

        Raises:
            LocalError: They cannot be used, or others were set before: that needs `restart` first.
        """
        self._check_open()
        check_parameters(parameters)
        if self._remote_parameters is not None:
            if (parameters.ufrag, parameters.pwd) != (self._remote_parameters.ufrag, self._remote_parameters.pwd):
                raise LocalError("other remote parameters: restart first")
            return
        now = self._clamp(now)
        self._remote_parameters = parameters
        self._partners[self._local_parameters.ufrag] = parameters.ufrag
        self._nominations.negotiated = parameters.renomination and self._local_parameters.renomination
        lite = self._config.lite
        if lite != parameters.lite and self._controlling is lite:
            self._switch_role()  # a full agent controls a lite one: RFC 8445 section 6.1.1
        self._milestones.reach("remote_parameters", now)
        self._timers.set(PAC, now + self._config.pac_timeout)
        self._pair_all(now)
        for early in self._early.values():
            if early.remote_ufrag == parameters.ufrag:
                self._learn(early, now)
        self._early.clear()
        self._advance(now)

    def add_remote_candidate(self, candidate: Candidate, now: float) -> None:
        """Take one of the other side's candidates, early or late; what cannot be used is counted in `dropped`.

        Raises:
            LocalError: The agent is closed.
        """
        self._check_open()
        now = self._clamp(now)
        reason = why_unusable(candidate)
        if reason is not None:
            self.dropped[reason] += 1
        elif is_mdns_name(candidate.host):
            self._wait_for_name(candidate)
        else:
            self._take_remote_candidate(candidate, now)
        self._advance(now)

    def name_resolved(self, name: str, hosts: Sequence[str], now: float) -> None:
        """Answer `ResolutionRequested`; an answer that nobody waits for any more is ignored.

        Args:
            name: As it was asked for.
            hosts: IP addresses. More than one is ambiguous, as good as none: section 3.2.2 of the mDNS draft.
            now: The time.

        Raises:
            LocalError: The agent is closed.
        """
        self._check_open()
        now = self._clamp(now)
        known = set(hosts)
        for candidate in self._resolution.take(name):
            if len(known) == 1:
                self._take_remote_candidate(replace(candidate, host=hosts[0]), now)
            else:
                self.dropped["candidate-unresolved"] += 1
        self._advance(now)

    def _wait_for_name(self, candidate: Candidate) -> None:
        try:
            name = self._resolution.add(candidate)
        except OverflowError:
            self.dropped["too-many-names"] += 1
            return
        if name is not None:
            self._events.append(ResolutionRequested(name))

    def _take_remote_candidate(self, candidate: Candidate, now: float) -> None:
        reason = why_unreachable(candidate.host)
        if reason is None and self._is_foreign_loopback(candidate):
            reason = "candidate-loopback"
        if reason is not None:
            self.dropped[reason] += 1
            return
        address = remote_address(candidate)
        known = self._remote_candidates.get(address)
        full = known is None and len(self._remote_candidates) >= self._config.max_remote_candidates
        if full and not self._make_room(self._peer_reflexive()):
            return
        if known is None or known.type == "prflx" or known.priority < candidate.priority:
            self._put_remote_candidate(candidate, now)  # else redundant: RFC 8445 section 5.1.3

    def _is_foreign_loopback(self, candidate: Candidate) -> bool:
        ip = ip_of(candidate.host)
        if ip is None or not ip.is_loopback or self._config.allow_loopback or not self._bases:
            return False
        return not any((local := ip_of(base.host)) is not None and local.is_loopback for base in self._bases)

    def end_of_remote_candidates(self, now: float) -> None:
        """Take note that the other side has no more candidates: RFC 8838 section 14.

        Raises:
            LocalError: The agent is closed.
        """
        self._check_open()
        now = self._clamp(now)
        self._remote_ended = True
        self._advance(now)

    def forget_stun_server(self, address: Address) -> None:
        """Ask a STUN server no more from the next restart on; one that is not known is ignored.

        Raises:
            LocalError: The agent is closed.
        """
        self._check_open()
        self._gatherer.remove_server(address)

    def restart(self, now: float, parameters: Parameters | None = None, *, without: Collection[Address] = ()) -> None:
        """Begin again with new credentials, on the same sockets and relays: RFC 8445 section 9.

        Data goes on over the selected pair, whose consent is kept fresh, until a pair of the new generation is valid.
        Candidates are reported again; servers can be added until `end_local_addresses`.

        Args:
            now: The time.
            parameters: Our new credentials if they were signalled already; made here if None.
            without: Local addresses that the new generation does not use: they are neither signalled nor checked from,
                and what relays know of them is not told. Data goes on over one that is in use.

        Raises:
            LocalError: The agent is closed, or the credentials cannot be used.
        """
        self._check_open()
        if parameters is not None:
            check_parameters(parameters)
        now = self._clamp(now)
        if self._remote_parameters is not None or not self._before_restart:
            self._before_restart = {name: getattr(self, name) for name in _GENERATION}
            self._selected_before = self.selected_pair
        old_ufrag = self._local_parameters.ufrag
        self._local_parameters = self._new_parameters(parameters)
        self._partners = {ours: theirs for ours, theirs in self._partners.items() if ours == old_ufrag}
        self._passwords = {
            old_ufrag: self._passwords[old_ufrag],
            self._local_parameters.ufrag: short_term_key(self._local_parameters.pwd),
        }
        self._tie_breaker = int.from_bytes(self._random_bytes(8), "big")
        self._remote_parameters = None
        self._remote_candidates = {}
        self._resolution.clear()
        self._early.clear()
        self._nominations = Nominations()
        self._milestones = Milestones(started=now)
        self._restarts += 1
        self._checklist = Checklist(self._config.max_pairs)
        self._checks.forget(keep=self.selected_pair)
        self._paths = {(self.selected_pair.local, self.selected_pair.remote)} if self.selected_pair else set()
        self._nominated = self._nominating = self._moved_to = None
        self._nominate_by = None
        for name in (NOMINATE, PAC, KEEPALIVE, OUTAGE):
            self._timers.cancel(name)
        self._local_ended = self._remote_ended = self._gathered = False
        self._checking = self._was_connected = self._in_outage = False
        self._patient = True
        self._local_candidates = {}
        self._without = frozenset(without)
        for base in self._bases.values():
            if self._relays.get(base.address) in self._without:
                hide_related(base)
            if base.address not in self._without:
                self._put_local_candidate(base)
        self._gatherer.restart(self._without)
        if self._state == "failed":
            self._set_state("new")
        self._advance(now)

    def undo_restart(self, now: float) -> None:
        """Go back to the generation before the last `restart`, whose offer was rolled back (RFC 8829 section 5.7).

        Sockets that have come or gone since then count. Whoever calls this knows that the other side goes back too.

        Raises:
            LocalError: The agent is closed or was not restarted.
        """
        self._check_open()
        if not self._before_restart:
            raise LocalError("there is no restart to undo")
        now = self._clamp(now)
        for name, value in self._before_restart.items():
            setattr(self, name, value)
        self._before_restart = {}
        self._nominating = self._nominate_by = None
        self._early.clear()
        if self.selected_pair is not self._selected_before:  # one of the new generation was valid already
            self.selected_pair = None
            self._reselect(now)
        known = {candidate.base for candidate in self._local_candidates.values()}
        for base in [base for base in self._bases.values() if base.address not in known | self._without]:
            self._put_local_candidate(base)
            for remote in list(self._remote_candidates.values()):
                self._pair_up(base, remote, now)
        self._forget_bases(known - self._bases.keys(), now)
        self._advance(now)

    def data_received(self, now: float, local: Address | None = None, remote: Address | None = None) -> None:
        """Take note that data came; cheap, to be called for each datagram.

        Args:
            now: The time.
            local: The socket that it came to; with `remote`, the agent notices that the other side has moved to
                another path. The selected pair's if None.
            remote: Where it came from.
        """
        if now > self._now:  # as `_clamp` does
            self._now = now
        selected = self.selected_pair
        if selected is None:
            return
        if remote is not None and (remote != selected.remote or local != selected.local):
            self._on_use_elsewhere(selected, data=True)
            return
        liveness = self._liveness
        liveness.waiting_since = None
        if liveness.suspected_at is not None or self._consent.silent:
            liveness.heard()
            self._consent.heard()
            self._advance(self._now)

    def data_sent(self, now: float) -> None:
        """Take note that data leaves over the selected pair; cheap, to be called for each batch."""
        if now > self._now:  # as `_clamp` does
            self._now = now
        selected, liveness = self.selected_pair, self._liveness
        if liveness.waiting_since is None and selected is not None and not self._config.lite:
            liveness.sent(self._now, selected.rtt)

    def path_closed(self, local: Address, remote: Address, now: float) -> None:
        """Take note that the stream between two addresses has ended or could not be opened: RFC 6544 section 7.1.

        Args:
            local: The local address of its datagrams.
            remote: Their remote address.
            now: The time.
        """
        now = self._clamp(now)
        self._paths.discard((local, remote))
        selected = self.selected_pair
        for pair in (self._checklist.get(local, remote), selected):  # during a restart these are two
            if pair is not None and (pair.local, pair.remote) == (local, remote):
                self._checks.forget_pair(pair)
                if pair.valid or pair.state is PairState.IN_PROGRESS:
                    self._invalidate(pair)
        if selected is not None and not selected.valid:
            self._on_path_gone(now)
        else:
            self._reselect(now)
        self._advance(now)

    def close(self, now: float) -> None:
        """Stop at once."""
        self._clamp(now)
        if self._state == "closed":
            return
        self.selected_pair = self._nominated = self._nominating = self._moved_to = None
        self._resolution.clear()
        self._checks.forget()
        self._gatherer.stop()
        self._early.clear()
        self._paths.clear()
        self.outgoing.clear()
        self._timers.clear()
        self._set_state("closed")
        self._events.append(Closed())

    # Input and output.

    def receive_datagram(self, datagram: Datagram, now: float) -> None:
        """Take a STUN datagram that arrived on one of the sockets."""
        now = self._clamp(now)
        if self._state == "closed":
            self.dropped["closed"] += 1
            return
        if datagram.local not in self._bases:
            self.dropped["unknown-local-address"] += 1
            return
        try:
            message = Message.parse(datagram.data)
        except ParseError as error:
            self.dropped[error.reason] += 1
            return
        if message.method != BINDING:
            self.dropped["unknown-method"] += 1
        elif message.message_class is Class.REQUEST:
            if self._state == "failed":
                self.dropped["failed"] += 1  # an answer would be consent to what only a restart may bring back
            else:
                self._on_request(message, datagram, now)
        elif message.message_class is not Class.INDICATION:  # an indication has done its work by arriving
            self._on_response(message, datagram, now)
        self._advance(now)

    def handle_timer(self, now: float) -> None:
        """Start and repeat checks and queries, nominate, ask for consent, give up: whatever is due."""
        now = self._clamp(now)
        for name in self._timers.expire(now):
            if isinstance(name, bytes):
                self._on_transaction_timer(name, now)
            else:
                self._on_path_timer(name, now)
        self._advance(now)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Return what must go out now."""
        self._clamp(now)
        outgoing, self.outgoing = self.outgoing, []
        return outgoing
