"""Local addresses: sockets and allocations that come and go. See `Agent`."""

from ..core import Address, LocalError
from .candidate import (
    MAX_NETWORK_COST,
    Candidate,
    default_local_preference,
    foundation,
    host_candidate,
    ip_of,
    is_unicast,
    relayed_candidate,
)
from .config import MAX_LOCAL_CANDIDATES
from .connectivity import Connectivity
from .events import CandidateRemoved
from .tcp import ACTIVE_PORT


class LocalSide(Connectivity):
    """What the shell says about its sockets."""

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
        """Take a socket that was bound to `address`; reports its host candidate unless it is hidden.

        It may come at any time. After `end_local_addresses` it is paired with what the other side has signalled, which
        learns of it by the checks.

        Args:
            address: Its address, not a wildcard. An active TCP candidate has port 9 (RFC 6544 section 4.5): the shell
                opens a connection for the first datagram to each remote address, and gives what arrives on it this
                local address.
            now: The time.
            local_preference: 0..65535, different for each, see `local_preferences`. If None, each address is less
                preferred than the ones before, and less than all on cheaper networks.
            interface: Name of the network interface, for messages.
            network_cost: 0..1023; a cheaper path is preferred.
            tcp_type: `active` or `passive` (a listening socket), TCP only.
            mdns_name: Signalled in place of the address.
            hidden: Checks leave from it, but it is never signalled: RFC 8828 section 5.2.

        Raises:
            LocalError: Not such an address, known already, too many, or a wrong argument.
        """
        self._check_open()
        self._check_new_base(address, network_cost, local_preference)
        _check_tcp(address, tcp_type)
        if self._config.lite and tcp_type == "active":
            raise LocalError("a lite agent has passive TCP candidates only: RFC 6544 section 4.4")
        now = self._clamp(now)
        if local_preference is None:
            local_preference = default_local_preference(len(self._bases), network_cost)
        base = host_candidate(address, local_preference, tcp_type)
        base.interface, base.network_cost = interface, network_cost
        base.mdns_name, base.hidden = mdns_name, hidden
        self._add_base(base, now)
        if base.transport == "udp":  # Not implemented: server-reflexive candidates over TCP, RFC 6544 section 5.2
            self._gatherer.add_base(base)
        self._advance(now)

    def add_relayed_address(
        self,
        relayed: Address,
        now: float,
        *,
        base: Address,
        mapped: Address | None = None,
        server: Address | None = None,
        protocol: str = "udp",
        network_cost: int = 0,
    ) -> None:
        """Take an allocation on a TURN server; reports its candidate.

        Datagrams whose local address is `relayed` are to leave and arrive through the relay.

        Args:
            relayed: The relayed transport address.
            now: The time.
            base: The socket that the server is reached from. When it is removed, so is the allocation.
            mapped: How the server sees that socket, signalled as related address; None does not reveal it.
            server: The server.
            protocol: `udp`, `tcp` or `tls`, between us and the server.
            network_cost: 0..1023.

        Raises:
            LocalError: Not such an address, known already, too many, a wrong argument, or the agent is lite.
        """
        self._check_open()
        self._check_new_base(relayed, network_cost, None)
        if protocol not in {"udp", "tcp", "tls"} or relayed.transport != "udp":
            raise LocalError("a relay is reached over udp, tcp or tls, and relays UDP")
        if self._config.lite:
            raise LocalError("a lite agent has host candidates only: RFC 8445 section 5.2")
        now = self._clamp(now)
        preference = default_local_preference(len(self._bases), network_cost)
        candidate = relayed_candidate(relayed, protocol, preference, mapped)
        candidate.foundation = foundation(f"relay-{protocol}", base.host, server.host if server else "", "udp")
        candidate.network_cost, candidate.server = network_cost, server
        via = self._bases.get(base)
        candidate.interface = via.interface if via else ""
        self._relays[relayed] = base
        self._add_base(candidate, now)
        self._advance(now)

    def remove_local_address(self, address: Address, now: float) -> None:
        """Take note that a socket or an allocation is gone; an address that is not known is ignored.

        Its candidates are reported as removed, its pairs and queries are forgotten. When it was in use, the best other
        valid pair takes over at once; if there is none, all that is left is checked again.

        Raises:
            LocalError: The agent is closed.
        """
        self._check_open()
        now = self._clamp(now)
        gone = {address} | {relayed for relayed, base in self._relays.items() if base == address}
        gone &= self._bases.keys()
        if not gone:
            return
        for local in gone:
            self._gatherer.remove_base(self._bases.pop(local))
            self._relays.pop(local, None)
        self._forget_bases(gone, now)
        self._advance(now)

    def _forget_bases(self, gone: set[Address], now: float) -> None:
        for key, candidate in list(self._local_candidates.items()):
            if candidate.base in gone:
                del self._local_candidates[key]
                if not candidate.hidden and candidate.type != "prflx":
                    self._events.append(CandidateRemoved(candidate.signalled()))
        self._paths = {path for path in self._paths if path[0] not in gone}
        self._early = {path: early for path, early in self._early.items() if path[0] not in gone}
        selected = self.selected_pair
        for pair in [pair for pair in self._checklist.pairs if pair.local in gone]:
            self._checklist.remove(pair)
            self._checks.forget_pair(pair)
            self._nominations.forget(pair)
            self._disuse(pair)
        if selected is not None and selected.local in gone:
            self._checks.forget_pair(selected)
            self._on_path_gone(now)

    def _add_base(self, base: Candidate, now: float) -> None:
        base.known_at = now
        self._bases[base.address] = base
        self._put_local_candidate(base)
        for remote in list(self._remote_candidates.values()):
            self._pair_up(base, remote, now)

    def _check_open(self) -> None:
        if self._state == "closed":
            raise LocalError("the ICE agent is closed")

    def _check_new_base(self, address: Address, network_cost: int, local_preference: int | None) -> None:
        ip = ip_of(address.host)
        if ip is None or not is_unicast(ip) or not 0 < address.port <= 0xFFFF:
            raise LocalError(f"{address} is no address of a socket that others can send to")
        if address in self._bases:
            raise LocalError(f"{address} is known already")
        if len(self._local_candidates) >= MAX_LOCAL_CANDIDATES:
            raise LocalError(f"more than {MAX_LOCAL_CANDIDATES} local candidates")
        if not 0 <= network_cost <= MAX_NETWORK_COST:
            raise LocalError(f"a network cost is 0 to {MAX_NETWORK_COST}")
        if local_preference is not None and not 0 <= local_preference <= 0xFFFF:
            raise LocalError("a local preference is 0 to 65535")


def _check_tcp(address: Address, tcp_type: str | None) -> None:
    if address.transport == "udp":
        if tcp_type is not None:
            raise LocalError("a UDP candidate has no TCP type")
    elif address.transport != "tcp" or tcp_type not in {"active", "passive"}:
        raise LocalError("a TCP candidate is active or passive")
    elif tcp_type == "active" and address.port != ACTIVE_PORT:
        raise LocalError("an active TCP candidate has port 9: RFC 6544 section 4.5")
