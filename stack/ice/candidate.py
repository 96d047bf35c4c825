"""Candidates, their priorities and foundations, and credentials: RFC 8445 sections 5.1, 5.3 and 6.1.2.3."""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final
from zlib import crc32

from ..core import Address, LocalError, RandomBytes

TYPE_PREFERENCES: Final = {"host": 126, "prflx": 110, "srflx": 100, "relay": 0}  # RFC 8445 section 5.1.2.2
TCP_TYPE_PREFERENCES: Final = {"host": 90, "prflx": 80, "srflx": 70, "relay": 0}
"""Every UDP candidate but a relayed one before every TCP candidate: RFC 6544 section 4.2 leaves the numbers open."""
TCP_DIRECTIONS: Final = {"active": 6, "passive": 4, "so": 2}  # RFC 6544 section 4.2, when there are NATs
DISCARD_PORT: Final = 9  # of active candidates: RFC 6544 section 4.5
COMPONENT: Final = 1  # everything is multiplexed on one component: RFC 9143, RFC 5761

_UFRAG_BYTES = 6  # 48 bits; RFC 8445 section 5.3 wants 24
_PASSWORD_BYTES = 18  # 144 bits; it wants 128
_MAX_CREDENTIAL = 256  # RFC 8839 section 5.4


@dataclass(slots=True)
class Parameters:
    """One side's credentials: RFC 8445 section 5.3.

    Args:
        ufrag: Username fragment.
        pwd: Password.
        lite: Whether that side is a lite implementation.
        renomination: Whether that side takes nominations by their number (draft-thatcher-ice-renomination).
    """

    ufrag: str
    pwd: str = field(repr=False)
    lite: bool = False
    renomination: bool = False


def generate_parameters(random_bytes: RandomBytes) -> Parameters:
    """Make new credentials out of ice-chars, which are the letters of base64: RFC 8839 section 5.1."""
    ufrag, pwd = (b64encode(random_bytes(size)).decode() for size in (_UFRAG_BYTES, _PASSWORD_BYTES))
    return Parameters(ufrag, pwd)


def check_parameters(parameters: Parameters) -> None:
    """Refuse credentials that cannot be used.

    Raises:
        LocalError: A part is empty or too long, or the ufrag has a colon.
    """
    if not 0 < len(parameters.ufrag) <= _MAX_CREDENTIAL or ":" in parameters.ufrag:
        raise LocalError("the remote ufrag has 1 to 256 characters and no colon")
    if not 0 < len(parameters.pwd) <= _MAX_CREDENTIAL:
        raise LocalError("the remote password has 1 to 256 characters")


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

    @property
    def address(self) -> Address:
        """The transport address."""
        return Address(self.host, self.port, self.transport)

    @property
    def base(self) -> Address:
        """What a local candidate sends from: RFC 8445 section 5.1.1.2."""
        if self.type in {"srflx", "prflx"} and self.related_host is not None and self.related_port is not None:
            return Address(self.related_host, self.related_port, self.transport)
        return self.address

    @property
    def local_preference(self) -> int:
        """The local preference inside the priority of a candidate made by this agent."""
        return self.priority >> 8 & 0xFFFF


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
    preferences = TYPE_PREFERENCES if transport == "udp" else TCP_TYPE_PREFERENCES
    return preferences[candidate_type] << 24 | local_preference << 8 | (256 - component)


def pair_priority(controlling: int, controlled: int) -> int:
    """Return the priority of a pair out of those of its candidates: RFC 8445 section 6.1.2.3."""
    low, high = (controlling, controlled) if controlling < controlled else (controlled, controlling)
    return (low << 32) + (high << 1) + (controlling > controlled)


def foundation(candidate_type: str, base_host: str, server_host: str, transport: str) -> str:
    """Return the same short text for the same arguments: RFC 8445 section 5.1.1.3."""
    return str(crc32(f"{candidate_type} {base_host} {server_host} {transport}".encode()))


def host_candidate(address: Address, local_preference: int, tcp_type: str | None = None) -> Candidate:
    """Make a host candidate for a socket bound to `address`, for TCP with the direction in its preference."""
    if tcp_type is not None:
        local_preference = TCP_DIRECTIONS[tcp_type] << 13 | local_preference >> 3  # RFC 6544 section 4.2
    return Candidate(
        foundation("host", address.host, "", address.transport),
        COMPONENT,
        address.transport,
        candidate_priority("host", local_preference, transport=address.transport),
        address.host,
        address.port,
        "host",
        tcp_type=tcp_type,
    )


def relayed_candidate(
    relayed: Address, mapped: Address | None, server: Address | None, protocol: str, local_preference: int
) -> Candidate:
    """Make a `relay` candidate; of two, the one whose server is reached over UDP is better, and TCP before TLS."""
    rank = {"udp": 3, "tcp": 2}.get(protocol, 1)
    hidden = Address(unspecified(relayed.host), 0)
    related = mapped or hidden
    return Candidate(
        foundation("relay", relayed.host, f"{server} {protocol}", "udp"),
        COMPONENT,
        "udp",
        candidate_priority("relay", rank << 14 | local_preference >> 2),
        relayed.host,
        relayed.port,
        "relay",
        related.host,
        related.port,
    )


def reflexive_candidate(candidate_type: str, mapped: Address, base: Candidate, server_host: str = "") -> Candidate:
    """Make an `srflx` or local `prflx` candidate: what a host candidate looks like from outside."""
    return Candidate(
        foundation(candidate_type, base.host, server_host, base.transport),
        base.component,
        base.transport,
        candidate_priority(candidate_type, base.local_preference, base.component, base.transport),
        mapped.host,
        mapped.port,
        candidate_type,
        base.host,
        base.port,
        base.tcp_type,
    )


def unspecified(host: str) -> str:
    """Return the address that says nothing, of the same family as `host`."""
    return "::" if ":" in host else "0.0.0.0"  # noqa: S104  nothing is bound to it


@lru_cache(maxsize=1024)  # a session asks again and again about the same dozen of addresses
def ip_of(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that `host` spells, or None."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def why_unusable(candidate: Candidate) -> str | None:
    """Return the slug of why a remote candidate cannot be paired, or None if it can."""
    if candidate.component != COMPONENT:
        return "candidate-component"
    transport = candidate.transport.lower()
    if transport != "udp" and (transport != "tcp" or candidate.tcp_type not in TCP_DIRECTIONS):
        return "candidate-transport"
    if candidate.type not in TYPE_PREFERENCES:
        return "candidate-type"
    if not 0 < candidate.priority < 2**32:
        return "candidate-priority"
    if not 0 < candidate.port <= 0xFFFF:
        return "candidate-address"
    ip = ip_of(candidate.host)
    if ip is None:
        return None if is_mdns_name(candidate.host) else "candidate-not-ip"
    return None if is_unicast(ip) else "candidate-address"


_MDNS_NAME = re.compile(r"[0-9a-z]([0-9a-z-]{0,61}[0-9a-z])?\.local", re.IGNORECASE)


def is_mdns_name(host: str) -> bool:
    """Tell whether `host` is one label and `.local`: draft-ietf-mmusic-mdns-ice-candidates section 3.2.1."""
    return _MDNS_NAME.fullmatch(host) is not None


def is_unicast(ip: IPv4Address | IPv6Address) -> bool:
    """Tell whether one host can have this address. IPv4-mapped ones are excluded by RFC 8445 section 5.1.1.1."""
    mapped = isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None
    return not (ip.is_unspecified or ip.is_multicast or mapped or str(ip) == "255.255.255.255")


def can_pair(local: str, remote: str, *, allow_loopback: bool) -> bool:
    """Tell whether packets can go from one address to the other: RFC 8445 section 6.1.2.2."""
    a, b = ip_of(local), ip_of(remote)
    if a is None or b is None or a.version != b.version:
        return False
    if a.version == 6 and a.is_link_local != b.is_link_local:
        return False
    return a.is_loopback == b.is_loopback or allow_loopback
