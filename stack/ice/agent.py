"""The ICE agent: RFC 8445 with trickle (RFC 8838), patience (RFC 8863) and consent (RFC 7675).

The agent owns no sockets: addresses of bound sockets come in with `add_local_address`, datagrams go out with the
local address that they leave from.
"""

from ..core import Address, Datagram, LocalError, ParseError
from ..stun import BINDING, Class, Message, short_term_key
from .candidate import (
    Candidate,
    Parameters,
    check_parameters,
    generate_parameters,
    host_candidate,
    ip_of,
    is_unicast,
    why_unusable,
)
from .checklist import Checklist, Pair
from .config import MAX_LOCAL_CANDIDATES, MAX_STUN_SERVERS
from .connectivity import KEEPALIVE, NOMINATE, PAC, Connectivity
from .consent import CONSENT_CHECK, CONSENT_EXPIRY, DISCONNECTED
from .events import CandidateGathered, Closed, State


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
        """Local candidates of this generation, peer-reflexive ones too."""
        return list(self._local_candidates.values())

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
        self._controlling = controlling

    def add_local_address(
        self, address: Address, now: float, *, local_preference: int | None = None, interface: str = ""
    ) -> None:
        """Take a UDP socket that was bound to `address`; reports its host candidate.

        Args:
            address: Its address, not a wildcard.
            now: The time.
            local_preference: 0..65535, different for each; each address less preferred than the ones before if None.
            interface: Name of the network interface, for messages.

        Raises:
            LocalError: Not such an address, known already, too many, or after `end_local_addresses`.
        """
        self._check_gathering()
        ip = ip_of(address.host)
        if ip is None or not is_unicast(ip) or not 0 < address.port <= 0xFFFF:
            raise LocalError(f"{address} {interface} is no address of a socket that others can send to")
        if address in self._bases:
            raise LocalError(f"{address} is known already")
        if len(self._local_candidates) >= MAX_LOCAL_CANDIDATES:
            raise LocalError(f"more than {MAX_LOCAL_CANDIDATES} local candidates")
        if local_preference is not None and not 0 <= local_preference <= 0xFFFF:
            raise LocalError("a local preference is 0 to 65535")
        now = self._clamp(now)
        base = host_candidate(address, 0xFFFF - len(self._bases) if local_preference is None else local_preference)
        self._bases[address] = base
        self._local_candidates[address, address] = base
        self._events.append(CandidateGathered(base))
        self._gatherer.add_base(base)
        for remote in list(self._remote_candidates.values()):
            self._form_pair(base, remote)
        self._advance(now)

    def add_stun_server(self, address: Address, now: float) -> None:
        """Ask a STUN server for reflexive addresses of all host candidates, present and future.

        Raises:
            LocalError: Not an address, known already, too many, or after `end_local_addresses`.
        """
        self._check_gathering()
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
        """Say that no more addresses and servers come; `GatheringCompleted` follows when all queries are over.

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
        if parameters.lite and not self._controlling:  # RFC 8445 section 6.1.1
            self._switch_role()
        self._timers.set(PAC, now + self._config.pac_timeout)
        for base in self._bases.values():
            for remote in list(self._remote_candidates.values()):
                self._form_pair(base, remote)
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
        ip = ip_of(candidate.host)
        address = Address(str(ip), candidate.port)
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
        self._put_remote_candidate(candidate)
        self._advance(now)

    def end_of_remote_candidates(self, now: float) -> None:
        """Take note that the other side has no more candidates: RFC 8838 section 14.

        Raises:
            LocalError: The agent is closed.
        """
        self._check_open()
        now = self._clamp(now)
        self._remote_ended = True
        self._advance(now)

    def restart(self, now: float) -> None:
        """Begin again with new credentials, on the same sockets: RFC 8445 section 9.

        Data goes on over the selected pair, whose consent is kept fresh, until a pair of the new generation is valid.
        Candidates are reported again; addresses and servers can be added until `end_local_addresses`.

        Raises:
            LocalError: The agent is closed.
        """
        self._check_open()
        now = self._clamp(now)
        old_ufrag = self._local_parameters.ufrag
        self._local_parameters = generate_parameters(self._random_bytes)
        self._passwords = {
            old_ufrag: self._passwords[old_ufrag],
            self._local_parameters.ufrag: short_term_key(self._local_parameters.pwd),
        }
        self._tie_breaker = int.from_bytes(self._random_bytes(8), "big")
        self._remote_parameters = None
        self._remote_candidates.clear()
        self._early.clear()
        self._checklist = Checklist(self._config.max_pairs)
        self._checks.forget(keep=self._selected)
        self._paths = {(self._selected.local, self._selected.remote)} if self._selected else set()
        self._nominated = self._nominating = None
        self._nominate_by = None
        for name in (NOMINATE, PAC, KEEPALIVE):
            self._timers.cancel(name)
        self._local_ended = self._remote_ended = self._gathered = False
        self._checking = False
        self._patient = True
        self._local_candidates = {(address, address): base for address, base in self._bases.items()}
        self._events.extend(CandidateGathered(base) for base in self._bases.values())
        self._gatherer.restart()
        if self._state == "failed":
            self._set_state("new")
        self._advance(now)

    def data_received(self, now: float) -> None:
        """Take note that data came over the selected pair, which ends the state `disconnected`."""
        now = self._clamp(now)
        if self._consent.silent:
            self._consent.heard()
            self._advance(now)

    def close(self, now: float) -> None:
        """Stop at once."""
        self._clamp(now)
        if self._state == "closed":
            return
        self._selected = self._nominated = self._nominating = None
        self._checks.forget()
        self._gatherer.stop()
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
            elif name == DISCONNECTED:
                self._consent.silent = self._selected is not None
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

    def _check_gathering(self) -> None:
        self._check_open()
        if self._local_ended:
            raise LocalError("no addresses and servers after end_local_addresses, except after restart")
