"""The ICE agent: RFC 8445 with trickle (RFC 8838), patience (RFC 8863) and consent (RFC 7675).

The agent owns no sockets: addresses of bound sockets come in with `add_local_address`, datagrams go out with the
local address that they leave from.
"""

from collections.abc import Sequence
from dataclasses import replace

from ..core import Address, Datagram, LocalError, ParseError
from ..stun import BINDING, Class, Message, short_term_key
from .bases import MAX_NETWORK_COST, Base, default_preference
from .candidate import (
    DISCARD_PORT,
    Candidate,
    Parameters,
    check_parameters,
    generate_parameters,
    host_candidate,
    ip_of,
    is_unicast,
    relayed_candidate,
    why_unusable,
)
from .checklist import Checklist, Pair
from .config import MAX_LOCAL_CANDIDATES, MAX_STUN_SERVERS, MAX_UNRESOLVED
from .connectivity import Connectivity
from .consent import CONSENT_CHECK, CONSENT_EXPIRY, DISCONNECTED
from .events import CandidateRemoved, Closed, ResolutionRequested, State
from .liveness import PROBE, SILENCE
from .selection import BACKUP, KEEPALIVE, NOMINATE, PAC


class Agent(Connectivity):
    """Finds, chooses and keeps a path to the other side.

    Args:
        controlling: Initial role; the offerer's: RFC 8445 section 6.1.1.
        random_bytes: Source of credentials, tie-breaker, transaction ids and intervals.
        config: Numbers.
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
        """Local candidates of this generation as they are signalled, peer-reflexive ones too."""
        shown = ((self._bases.get(known.base), known) for known in self._local_candidates.values())
        signalled = (known if base is None else base.signalled(known) for base, known in shown)
        return [candidate for candidate in signalled if candidate is not None]

    @property
    def remote_candidates(self) -> list[Candidate]:
        """Remote candidates of this generation, peer-reflexive ones too."""
        return list(self._remote_candidates.values())

    @property
    def pairs(self) -> list[Pair]:
        """The checklist, best pair first."""
        return sorted(self._checklist.pairs, key=lambda pair: -pair.priority)

    @property
    def selected_pair(self) -> Pair | None:
        """The pair to send data on: the nominated one, or the best valid one before; None if data must not be sent."""
        return self._selected

    @property
    def rtt(self) -> float | None:
        """Smoothed round-trip time of the selected pair, seconds."""
        return self._selected.rtt if self._selected else None

    def accepts(self, local: Address, remote: Address) -> bool:
        """Tell whether data on this path may be taken: the peer has authenticated itself on it."""
        return (local, remote) in self._paths

    # Commands.

    def set_controlling(self, controlling: bool) -> None:
        """Take a role before the checks begin.

        Raises:
            LocalError: Remote parameters are set already, or the agent is closed.
        """
        self._check_open()
        if self._remote_parameters is not None:
            raise LocalError("the role is fixed once the remote parameters are set")
        self._controlling = controlling and not self._config.lite  # RFC 8445 section 6.1.1

    def add_local_address(
        self,
        address: Address,
        now: float,
        *,
        local_preference: int | None = None,
        interface: str = "",
        network_cost: int = 0,
        tcp_type: str | None = None,
        mdns_name: str | None = None,
        hidden: bool = False,
    ) -> None:
        """Take a socket that was bound to `address`; reports its host candidate.

        Addresses may come at any time, also after `end_local_addresses` when a network appears: their candidates are
        reported and they are tried with all remote candidates at once, which needs no signalling.

        Args:
            address: Its address, not a wildcard. With the transport `tcp`, a listener's, or port 9 for an active one:
                whoever sends the datagrams opens a connection for each remote address then (RFC 6544 section 4.5).
            now: The time.
            local_preference: 0..65535, different for each; by cost, then in the order of arrival if None.
            interface: Name of the network interface, for messages.
            network_cost: How much we would rather use another network, 0..999.
            tcp_type: `active` or `passive`, TCP only.
            mdns_name: A name to signal in place of the address: draft-ietf-mmusic-mdns-ice-candidates.
            hidden: Whether not to signal it at all: RFC 8828 section 5.2, mode 3.

        Raises:
            LocalError: Not such an address, known already, too many, or another argument is out of its range.
        """
        self._check_open()
        if (address.transport == "tcp") != (tcp_type in {"active", "passive"}):
            raise LocalError("an address for TCP is active or passive, one for UDP neither")  # Not implemented: S-O
        if tcp_type == "active" and address.port != DISCARD_PORT:
            raise LocalError(f"an active address has port {DISCARD_PORT}: RFC 6544 section 4.5")
        preference = self._check_address(address, interface, local_preference, network_cost)
        candidate = host_candidate(address, preference, tcp_type)
        self._add_base(Base(candidate, interface, network_cost, hidden, mdns_name), now)

    def add_relayed_address(
        self,
        relayed: Address,
        now: float,
        *,
        base: Address,
        mapped: Address | None = None,
        server: Address | None = None,
        protocol: str = "udp",
        local_preference: int | None = None,
        network_cost: int = 0,
    ) -> None:
        """Take an allocation on a TURN server; datagrams from and to `relayed` go through it, by somebody else's work.

        Args:
            relayed: The relayed transport address.
            now: The time.
            base: The socket that leads to the server.
            mapped: The address of `base` as the server sees it, signalled as related address; None not to tell.
            server: The server.
            protocol: `udp`, `tcp` or `tls`, between us and the server.
            local_preference: See `add_local_address`.
            network_cost: See `add_local_address`.

        Raises:
            LocalError: See `add_local_address`.
        """
        self._check_open()
        if relayed.transport != "udp" or protocol not in {"udp", "tcp", "tls"}:
            raise LocalError("relayed addresses are UDP's, and the server is reached over udp, tcp or tls")
        known = self._bases.get(base)
        interface = known.interface if known else ""
        cost = known.network_cost if known else network_cost
        preference = self._check_address(relayed, interface, local_preference, cost)
        candidate = relayed_candidate(relayed, mapped, server, protocol, preference)
        self._add_base(Base(candidate, interface, cost), now)

    def _check_address(self, address: Address, interface: str, preference: int | None, cost: int) -> int:
        ip = ip_of(address.host)
        if ip is None or not is_unicast(ip) or not 0 < address.port <= 0xFFFF:
            raise LocalError(f"{address} {interface} is no address of a socket that others can send to")
        if address in self._bases:
            raise LocalError(f"{address} is known already")
        if len(self._local_candidates) >= MAX_LOCAL_CANDIDATES:
            raise LocalError(f"more than {MAX_LOCAL_CANDIDATES} local candidates")
        if preference is not None and not 0 <= preference <= 0xFFFF:
            raise LocalError("a local preference is 0 to 65535")
        if not 0 <= cost <= MAX_NETWORK_COST:
            raise LocalError(f"a network cost is 0 to {MAX_NETWORK_COST}")
        return default_preference(cost, self._added) if preference is None else preference

    def _add_base(self, base: Base, now: float) -> None:
        now = self._clamp(now)
        self._added += 1
        candidate = base.candidate
        self._bases[candidate.address] = base
        self._local_candidates[candidate.address, candidate.address] = candidate
        self._report(candidate)
        if candidate.type == "host" and candidate.transport == "udp" and not self._config.lite:
            self._gatherer.add_base(candidate)
        for remote in list(self._remote_candidates.values()):
            self._form_pair(base, remote, now)
        self._advance(now)

    def remove_local_address(self, address: Address, now: float) -> None:
        """Take note that a socket or an allocation is gone, and with it its candidates, checks and pairs.

        If it was in use, the best other pair that works takes over at once; if there is none, all others are tried.

        Raises:
            LocalError: It is not known, or the agent is closed.
        """
        self._check_open()
        if address not in self._bases:
            raise LocalError(f"{address} is not known")
        now = self._clamp(now)
        base = self._bases[address]
        for key in [key for key, known in self._local_candidates.items() if key[1] == address]:
            shown = base.signalled(self._local_candidates.pop(key))
            if shown is not None:
                self._events.append(CandidateRemoved(shown))
        del self._bases[address]
        self._gatherer.remove_base(base.candidate)
        for pair in [pair for pair in self._checklist.pairs if pair.local == address]:
            self._checks.drop(pair)
            self._forget_validity(pair)
            self._checklist.remove(pair)
        self._paths = {path for path in self._paths if path[0] != address}
        self._early = {path: early for path, early in self._early.items() if path[0] != address}
        if self._selected is not None and self._selected.local == address:
            self._checks.drop(self._selected)
            self._lose_selected(now)
        self._advance(now)

    def add_stun_server(self, address: Address, now: float) -> None:
        """Ask a STUN server for reflexive addresses of all host candidates, present and future.

        Raises:
            LocalError: Not an address, known already, or too many.
        """
        self._check_open()
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
        """Say that all addresses and servers of the present are there; `GatheringCompleted` follows the last query.

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
        if parameters.lite and not self._controlling and not self._config.lite:  # RFC 8445 section 6.1.1
            self._switch_role()
        self._timers.set(PAC, now + self._config.pac_timeout)
        for base in self._bases.values():
            for remote in list(self._remote_candidates.values()):
                self._form_pair(base, remote, now)
        for early in self._early.values():
            if early.remote_ufrag == parameters.ufrag:
                self._learn(early, now)
        self._early.clear()
        self._advance(now)

    def add_remote_candidate(self, candidate: Candidate, now: float) -> None:
        """Take one of the other side's candidates; what cannot be used is counted in `dropped`.

        Raises:
            LocalError: The agent is closed.
        """
        self._check_open()
        now = self._clamp(now)
        reason = why_unusable(candidate)
        if reason is not None:
            self.dropped[reason] += 1
            return
        if ip_of(candidate.host) is None:
            self._ask_for_name(candidate)
        else:
            self._take_remote_candidate(candidate, now)
        self._advance(now)

    def _ask_for_name(self, candidate: Candidate) -> None:
        if len(self._unresolved) >= MAX_UNRESOLVED:
            self.dropped["too-many-names"] += 1
            return
        name = candidate.host.lower()
        known = any(waiting.host == name for waiting in self._unresolved)
        self._unresolved.append(replace(candidate, host=name))
        if not known:
            self._events.append(ResolutionRequested(name))

    def name_resolved(self, name: str, hosts: Sequence[str], now: float) -> None:
        """Answer a `ResolutionRequested`.

        Args:
            name: The name.
            hosts: Its IP addresses, none if it is not known.
            now: The time.

        Raises:
            LocalError: The agent is closed.
        """
        self._check_open()
        now = self._clamp(now)
        waiting = [candidate for candidate in self._unresolved if candidate.host == name.lower()]
        self._unresolved = [candidate for candidate in self._unresolved if candidate.host != name.lower()]
        if waiting and not hosts:
            self.dropped["candidate-not-resolved"] += 1
        for candidate in waiting:
            for host in hosts:
                resolved = replace(candidate, host=host)
                if ip_of(host) is None or (reason := why_unusable(resolved)) is not None:
                    self.dropped["candidate-not-ip" if ip_of(host) is None else reason or ""] += 1
                else:
                    self._take_remote_candidate(resolved, now)
        self._advance(now)

    def _take_remote_candidate(self, candidate: Candidate, now: float) -> None:
        ip = ip_of(candidate.host)
        address = Address(str(ip), candidate.port, candidate.transport.lower())
        if ip is not None and ip.is_loopback and not self._config.allow_loopback and self._bases:
            loopbacks = (local for base in self._bases if (local := ip_of(base.host)) is not None)
            if not any(local.is_loopback for local in loopbacks):
                self.dropped["candidate-loopback"] += 1
                return
        known = self._remote_candidates.get(address)
        if known is None and len(self._remote_candidates) >= self._config.max_remote_candidates:
            self.dropped["too-many-candidates"] += 1
            return
        if known is not None and known.type != "prflx" and known.priority >= candidate.priority:
            return  # redundant: RFC 8445 section 5.1.3
        self._put_remote_candidate(candidate, now)

    def end_of_remote_candidates(self, now: float) -> None:
        """Take note that the other side has no more candidates: RFC 8838 section 14.

        Raises:
            LocalError: The agent is closed.
        """
        self._check_open()
        now = self._clamp(now)
        self._remote_ended = True
        self._advance(now)

    def restart(self, now: float, parameters: Parameters | None = None) -> None:
        """Begin again with new credentials, on the same sockets: RFC 8445 section 9.

        Data goes on over the selected pair, whose consent is kept fresh, until a pair of the new generation is valid.
        Candidates are reported again; `GatheringCompleted` follows after `end_local_addresses`.

        Args:
            now: The time.
            parameters: The new credentials, if they were signalled already; made up if None.

        Raises:
            LocalError: The agent is closed, or the credentials cannot be used.
        """
        self._check_open()
        if parameters is not None:
            check_parameters(parameters)
        now = self._clamp(now)
        old_ufrag = self._local_parameters.ufrag
        self._local_parameters = self._own(parameters or generate_parameters(self._random_bytes))
        self._passwords = {
            old_ufrag: self._passwords[old_ufrag],
            self._local_parameters.ufrag: short_term_key(self._local_parameters.pwd),
        }
        self._tie_breaker = int.from_bytes(self._random_bytes(8), "big")
        self._remote_parameters = None
        self._remote_candidates.clear()
        self._unresolved.clear()
        self._early.clear()
        self._checklist = Checklist(self._config.max_pairs)
        self._checks.forget(keep=self._selected)
        self._paths = {(self._selected.local, self._selected.remote)} if self._selected else set()
        self._nominated = self._nominating = None
        self._nominate_by = None
        for name in (NOMINATE, PAC, KEEPALIVE, BACKUP):
            self._timers.cancel(name)
        self._better, self._nominations = None, 0
        self._outage = self._outage and self._selected is None
        self._local_ended = self._remote_ended = self._gathered = False
        self._checking = False
        self._patient = True
        self._local_candidates = {(address, address): base.candidate for address, base in self._bases.items()}
        for base in self._bases.values():
            self._report(base.candidate)
        self._gatherer.restart()
        if self._state == "failed":
            self._set_state("new")
        self._advance(now)

    def data_received(self, now: float, local: Address, remote: Address) -> None:
        """Take note that data came from the other side: if it came over the selected pair, that works."""
        selected = self._selected
        if selected is not None and selected.remote == remote and selected.local == local:
            self._liveness.heard_at = now
        if self._consent.silent:
            now = self._clamp(now)
            self._consent.heard()
            self._advance(now)

    def data_sent(self, now: float) -> None:
        """Take note that data leaves over the selected pair; if nothing comes back the path is looked at."""
        if self._selected is not None and not self._no_checks:
            self._liveness.sent(now, self._selected.rtt)

    def close(self, now: float) -> None:
        """Stop at once."""
        self._clamp(now)
        if self._state == "closed":
            return
        self._selected = self._nominated = self._nominating = None
        self._checks.forget()
        self._gatherer.stop()
        self._unresolved.clear()
        self._early.clear()
        self._paths.clear()
        self._outgoing.clear()
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
            elif name == CONSENT_CHECK and self._selected is not None:
                self._send_check(self._selected, now, consent=True)
                self._consent.sent(now)
                self._liveness.expect(now, self._selected.rtt)
            elif name == DISCONNECTED:
                self._consent.silent = self._selected is not None
            elif name == SILENCE:
                self._on_silence(now)
            elif name == PROBE:
                self._on_probe_timer(now)
            elif name == BACKUP:
                self._on_backup_timer(now)
            elif name == CONSENT_EXPIRY:
                self._on_consent_lost(now)
            elif name == PAC:
                self._patient = False
            elif name == KEEPALIVE:
                self._on_keepalive(now)
        self._advance(now)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Return what must go out now."""
        self._clamp(now)
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def _check_open(self) -> None:
        if self._state == "closed":
            raise LocalError("the ICE agent is closed")
