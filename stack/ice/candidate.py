"""Candidates, their priorities and foundations, and credentials: RFC 8445 sections 5.1, 5.3 and 6.1.2.3."""

from base64 import b64encode
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from typing import Final
from zlib import crc32

from ..core import Address, LocalError, RandomBytes
from .tcp import tcp_local_preference

TYPE_PREFERENCES: Final = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}  # RFC 8445 section 5.1.2.2
COMPONENT: Final = 1  # everything is multiplexed on one component: RFC 9143, RFC 5761
MAX_NETWORK_COST: Final = 1023
"""The highest cost of a network: ten bits of a local preference. Browsers go up to 999."""

# RFC 6544 section 4.2: UDP before TCP for media, whatever the type, and relays last. The numbers are browsers' ones.
_TCP_TYPE_PREFERENCES: Final = {"host": 90, "prflx": 80, "srflx": 70, "relay": 0}
_RELAY_PREFERENCES: Final = {"udp": 2, "tcp": 1, "tls": 0}  # by the protocol between us and the server
_UFRAG_BYTES = 6  # 48 bits; RFC 8445 section 5.3 wants 24
_PASSWORD_BYTES = 18  # 144 bits; it wants 128
_MAX_CREDENTIAL = 256  # RFC 8839 section 5.4
_ORDER_BITS = 6  # of a local preference, below the cost: as many addresses as MAX_LOCAL_CANDIDATES
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_DISCARD = 9  # RFC 8839 section 5.1: the port of a related address that is not revealed


@dataclass(slots=True)
class Parameters:
    """One side's credentials and what it can do: RFC 8445 section 5.3.

    Args:
        ufrag: Username fragment.
        pwd: Password.
        lite: Whether that side is a lite implementation.
        renomination: Whether it knows the ice-option `renomination`.
        pacing_interval: The Ta that it proposes, seconds; None is the default of RFC 8445 section 14.2.
    """

    ufrag: str
    pwd: str = field(repr=False)
    lite: bool = False
    renomination: bool = False
    pacing_interval: float | None = None


def generate_parameters(random_bytes: RandomBytes) -> Parameters:
    """Make new credentials out of ice-chars, which are the letters of base64: RFC 8839 section 5.1."""
    ufrag, pwd = (b64encode(random_bytes(size)).decode() for size in (_UFRAG_BYTES, _PASSWORD_BYTES))
    return Parameters(ufrag, pwd)


def check_parameters(parameters: Parameters) -> None:
    """Refuse credentials that cannot be used.

    Raises:
        LocalError: A part is empty or too long, or the ufrag has a colon, or the pacing is no time.
    """
    if not 0 < len(parameters.ufrag) <= _MAX_CREDENTIAL or ":" in parameters.ufrag:
        raise LocalError("the remote ufrag has 1 to 256 characters and no colon")
    if not 0 < len(parameters.pwd) <= _MAX_CREDENTIAL:
        raise LocalError("the remote password has 1 to 256 characters")
    if parameters.pacing_interval is not None and not 0 <= parameters.pacing_interval < 60:
        raise LocalError("the remote pacing is less than a minute")


@dataclass(slots=True)
class Candidate:
    """A candidate: RFC 8445 section 5.3, fields as in RFC 8839 section 5.1.

    Args:
        foundation: Equal for candidates of the same type, base address, server and transport.
        component: 1.
        transport: `udp` or `tcp`, in lower case.
        priority: 1..2**31-1.
        host: IP address, or a name that has not been resolved.
        port: UDP or TCP port.
        type: `host`, `srflx`, `prflx` or `relay`.
        related_host: Address of the base for reflexive candidates, mapped address for relayed ones.
        related_port: Its port.
        tcp_type: `active`, `passive` or `so`, TCP only.
        interface: Name of the network interface; local ones only, like all that follows, and never signalled.
        network_cost: What a packet costs on that network, 0..1023.
        mdns_name: Signalled instead of the address.
        hidden: Never signalled at all.
        sent_from: The base, where the related address does not tell.
        server: The server that a reflexive or relayed one was learnt from.
        relay_protocol: `udp`, `tcp` or `tls`, between us and the TURN server.
        known_at: When it became known.
    """

    foundation: str
    component: int
    transport: str
    priority: int
    host: str
    port: int
    type: str
    related_host: str | None = None
    related_port: int | None = None
    tcp_type: str | None = None
    interface: str = field(default="", compare=False)
    network_cost: int = field(default=0, compare=False)
    mdns_name: str | None = field(default=None, compare=False)
    hidden: bool = field(default=False, compare=False)
    sent_from: Address | None = field(default=None, compare=False)
    server: Address | None = field(default=None, compare=False)
    relay_protocol: str = field(default="", compare=False)
    known_at: float | None = field(default=None, compare=False)

    @property
    def address(self) -> Address:
        """The transport address."""
        return Address(self.host, self.port, self.transport)

    @property
    def base(self) -> Address:
        """What a local candidate sends from: RFC 8445 section 5.1.1.2."""
        return self.sent_from or self.address

    @property
    def local_preference(self) -> int:
        """The local preference inside the priority of a candidate made by this agent."""
        return self.priority >> 8 & 0xFFFF

    def signalled(self) -> "Candidate":
        """Return the candidate as the other side may see it: with a name where the address is not to be shown."""
        return self if self.mdns_name is None or self.type != "host" else replace(self, host=self.mdns_name)


def candidate_priority(
    candidate_type: str, local_preference: int, component: int = COMPONENT, transport: str = "udp"
) -> int:
    """Return the priority of RFC 8445 section 5.1.2.1.

    Args:
        candidate_type: `host`, `srflx`, `prflx` or `relay`.
        local_preference: 0..65535.
        component: 1..256.
        transport: `udp` or `tcp`.
    """
    preferences = TYPE_PREFERENCES if transport == "udp" else _TCP_TYPE_PREFERENCES
    return preferences[candidate_type] << 24 | local_preference << 8 | (256 - component)


def pair_priority(controlling: int, controlled: int) -> int:
    """Return the priority of a pair out of those of its candidates: RFC 8445 section 6.1.2.3."""
    low, high = (controlling, controlled) if controlling < controlled else (controlled, controlling)
    return (low << 32) + (high << 1) + (controlling > controlled)


def default_local_preference(order: int, network_cost: int) -> int:
    """Return the local preference of an address for which the caller has none: cheap networks first, then in order.

    Args:
        order: How many addresses there were before.
        network_cost: 0..1023.
    """
    return (MAX_NETWORK_COST - network_cost) << _ORDER_BITS | max(0, (1 << _ORDER_BITS) - 1 - order)


def foundation(candidate_type: str, base_host: str, server_host: str, transport: str) -> str:
    """Return the same short text for the same arguments: RFC 8445 section 5.1.1.3."""
    return str(crc32(f"{candidate_type} {base_host} {server_host} {transport}".encode()))


def host_candidate(address: Address, local_preference: int, tcp_type: str | None = None) -> Candidate:
    """Make a host candidate for a socket bound to `address`."""
    if tcp_type is not None:
        local_preference = tcp_local_preference(tcp_type, local_preference)
    return Candidate(
        foundation("host", address.host, "", address.transport),
        COMPONENT,
        address.transport,
        candidate_priority("host", local_preference, COMPONENT, address.transport),
        address.host,
        address.port,
        "host",
        tcp_type=tcp_type,
    )


def reflexive_candidate(
    candidate_type: str, mapped: Address, base: Candidate, server: Address | None = None
) -> Candidate:
    """Make an `srflx` or local `prflx` candidate: what a base looks like from outside."""
    concealed = base.hidden or base.mdns_name is not None
    return Candidate(
        foundation(candidate_type, base.host, server.host if server else "", base.transport),
        base.component,
        base.transport,
        candidate_priority(candidate_type, base.local_preference, base.component, base.transport),
        mapped.host,
        mapped.port,
        candidate_type,
        _unspecified(mapped.host) if concealed else base.host,
        _DISCARD if concealed else base.port,
        base.tcp_type,
        interface=base.interface,
        network_cost=base.network_cost,
        hidden=candidate_type == "prflx" and base.hidden,
        sent_from=base.address,
        server=server,
    )


def relayed_candidate(relayed: Address, protocol: str, local_preference: int, mapped: Address | None) -> Candidate:
    """Make a candidate for an allocation on a TURN server: RFC 8445 section 5.1.1.2."""
    return Candidate(
        "",
        COMPONENT,
        relayed.transport,
        _RELAY_PREFERENCES[protocol] << 24 | local_preference << 8 | (256 - COMPONENT),
        relayed.host,
        relayed.port,
        "relay",
        _unspecified(relayed.host) if mapped is None else mapped.host,
        _DISCARD if mapped is None else mapped.port,
        relay_protocol=protocol,
    )


def hide_related(candidate: Candidate) -> None:
    """Have a candidate say nothing of the address behind it: RFC 8839 section 5.1."""
    candidate.related_host, candidate.related_port = _unspecified(candidate.host), _DISCARD


def _unspecified(host: str) -> str:
    return "::" if ":" in host else "0.0.0.0"  # noqa: S104  the related address that says nothing


@lru_cache(maxsize=1024)  # a session asks again and again about the same dozen of addresses
def ip_of(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that `host` spells, or None."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def remote_address(candidate: Candidate) -> Address:
    """Return the address of a usable remote candidate in its canonical form."""
    return Address(str(ip_of(candidate.host)), candidate.port, candidate.transport.lower())


def why_unusable(candidate: Candidate) -> str | None:
    """Return the slug of why a remote candidate cannot be paired, or None if it can; a name may be resolved yet."""
    transport = candidate.transport.lower()
    if candidate.component != COMPONENT:
        return "candidate-component"
    if transport not in {"udp", "tcp"}:
        return "candidate-transport"
    if transport == "tcp" and candidate.tcp_type not in {"active", "passive"}:
        return "candidate-tcp-type"  # Not implemented: RFC 6544's simultaneous open, which no browser has
    if candidate.type not in TYPE_PREFERENCES:
        return "candidate-type"
    if not 0 < candidate.port <= 0xFFFF:
        return "candidate-address"
    if not 0 < candidate.priority < 2**32:
        return "candidate-priority"
    return None


def why_unreachable(host: str) -> str | None:
    """Return the slug of why nothing can be sent to this remote host, or None."""
    ip = ip_of(host)
    if ip is None:
        return "candidate-not-ip"
    return None if is_unicast(ip) else "candidate-address"


def is_unicast(ip: IPv4Address | IPv6Address) -> bool:
    """Tell whether one host can have this address. IPv4-mapped ones are excluded by RFC 8445 section 5.1.1.1."""
    if isinstance(ip, IPv6Address):
        return not (ip.is_unspecified or ip.is_multicast or ip.ipv4_mapped is not None)
    # RFC 6890: 0.0.0.0/8 is this network, 240.0.0.0/4 is reserved and has the limited broadcast in it.
    return not (ip.is_multicast or ip.is_reserved or ip in _THIS_NETWORK)


def can_pair(local: str, remote: str, *, allow_loopback: bool) -> bool:
    """Tell whether packets can go from one address to the other: RFC 8445 section 6.1.2.2."""
    a, b = ip_of(local), ip_of(remote)
    if a is None or b is None or a.version != b.version:
        return False
    if a.version == 6 and a.is_link_local != b.is_link_local:
        return False
    return a.is_loopback == b.is_loopback or allow_loopback
