"""Which addresses of this machine can be offered to a peer, in which order, and on which ports.

`AddressPolicy` says what is wanted, `local_addresses` what there is of it, `bind_in_range` takes a port for it.
"""

import errno
import ipaddress
import random
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeVar

from ..core import LocalError
from .system_addresses import CACHED, Addresses, IpAddress, system_addresses

Mode = Literal["all", "default-route", "default-route-hidden", "proxy"]
Result = TypeVar("Result")

MAX_ADDRESSES: Final = 32
"""Host addresses used for one connection; a machine with more has virtual ones that no peer can reach."""

MAX_PORT_TRIES: Final = 256
"""Ports of a range that are tried for one socket: if that many are taken by chance, the range is full."""

COSTS: Final[Mapping[str, int]] = MappingProxyType(
    {"loopback": 0, "ethernet": 0, "wifi": 10, "unknown": 50, "vpn": 60, "cellular": 900}
)
"""Network cost per kind, 0 to 999: what libwebrtc signals as `network-cost`; a VPN comes after what it runs over."""

KINDS: Final = (
    ("lo", "loopback"),
    ("lo[0-9]*", "loopback"),
    ("wl*", "wifi"),
    ("ath*", "wifi"),
    ("wwan*", "cellular"),
    ("ww[px]*", "cellular"),
    ("rmnet*", "cellular"),
    ("pdp_ip*", "cellular"),
    ("ppp*", "cellular"),
    ("tun*", "vpn"),
    ("tap*", "vpn"),
    ("utun*", "vpn"),
    ("wg*", "vpn"),
    ("ipsec*", "vpn"),
    ("tailscale*", "vpn"),
    ("eth*", "ethernet"),
    ("en*", "ethernet"),
)
"""Interface names by pattern, first match: asked when the system does not say what an interface is."""

_FAR_AWAY: Final = {4: "198.41.0.4", 6: "2001:503:ba3e::2:30"}  # a.root-servers.net: no network of ours has it
_SITE_LOCAL: Final = ipaddress.ip_network("fec0::/10")
_IPV4_COMPATIBLE: Final = ipaddress.ip_network("::/96")
_NET: Final = Path("/sys/class/net")
_ROUTE: Final = Path("/proc/net/route")
_IPV6_ROUTE: Final = Path("/proc/net/ipv6_route")
_ANY: Final = "0" * 32  # the address :: as ipv6_route has it
_ROUTE_UP: Final = 0x1  # RTF_UP
_ROUTE_UP_OR_REJECT: Final = 0x201  # RTF_UP | RTF_REJECT
_SIOCGIFFLAGS: Final = 0x8913
_IFREQ: Final = struct.Struct("16sH22x")
_UP_AND_RUNNING: Final = 0x41  # IFF_UP | IFF_RUNNING
_TEMPORARY: Final = 0x01  # IFA_F_TEMPORARY
_UNUSABLE: Final = 0x68  # IFA_F_DADFAILED | IFA_F_DEPRECATED | IFA_F_TENTATIVE


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """One address of one interface.

    Args:
        host: The address, textual.
        interface: Name of the interface.
        is_loopback: Whether only this machine can reach it.
        kind: `ethernet`, `wifi`, `cellular`, `vpn`, `loopback` or `unknown`.
        cost: Network cost, 0 to 999; lower is better.
        hidden: To be bound but never told to the peer: RFC 8828 section 5.2, modes 3 and 4.
        outgoing: Interface that what is sent from here has to leave by, if it has a default route of its own: the
            kernel's choice does not look at the source address, and would send all by the best one. Else empty.
    """

    host: str
    interface: str
    is_loopback: bool
    kind: str = "unknown"
    cost: int = 0
    hidden: bool = False
    outgoing: str = ""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which addresses and ports a connection may use.

    Args:
        mode: RFC 8828 section 5.2. `all`: mode 1, every interface. `default-route`: mode 2, the addresses that the
            default route uses and the private ones of the same interfaces. `default-route-hidden`: mode 3, the former
            without signalling host candidates. `proxy`: mode 4, no UDP of our own, relays over TCP or TLS only.
        families: 4, 6 or both.
        allow_interfaces: Name patterns (`eth*`); when there are any, other interfaces are left out.
        deny_interfaces: Name patterns of interfaces to leave out.
        allow_networks: Networks (`10.0.0.0/8`); when there are any, addresses outside of them are left out.
        deny_networks: Networks whose addresses are left out.
        use_loopback: `fallback`: only when there is nothing else, so that two programs on a machine without a network
            still connect; `always`, `never`.
        ports: First and last local port, both included; None for any.
        kinds: Pairs of a name pattern and a kind that go before what the system says, first match.
        costs: Network cost by kind where it differs from `COSTS`.

    Raises:
        LocalError: A value makes no sense.
    """

    mode: Mode = "all"
    families: tuple[int, ...] = (4, 6)
    allow_interfaces: tuple[str, ...] = ()
    deny_interfaces: tuple[str, ...] = ()
    allow_networks: tuple[str, ...] = ()
    deny_networks: tuple[str, ...] = ()
    use_loopback: Literal["fallback", "always", "never"] = "fallback"
    ports: tuple[int, int] | None = None
    kinds: tuple[tuple[str, str], ...] = ()
    costs: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.mode not in {"all", "default-route", "default-route-hidden", "proxy"}:
            raise LocalError(f"{self.mode!r} is no mode: all, default-route, default-route-hidden or proxy")
        if self.use_loopback not in {"fallback", "always", "never"}:
            raise LocalError(f"use_loopback is fallback, always or never, not {self.use_loopback!r}")
        if not set(self.families) <= {4, 6} or not self.families:
            raise LocalError("families are 4 and 6, one at least")
        if self.ports is not None and not 0 < self.ports[0] <= self.ports[1] < 65536:
            raise LocalError("ports are the first and the last one, 1 to 65535")
        for network in (*self.allow_networks, *self.deny_networks):
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise LocalError(f"{network!r} is not a network: {error}") from error
        if any(not 0 <= cost <= 999 for cost in self.costs.values()):
            raise LocalError("a network cost is 0 to 999")

    @property
    def uses_udp(self) -> bool:
        """Whether UDP sockets may be bound: RFC 8828 section 5.2, mode 4."""
        return self.mode != "proxy"

    def allows(self, interface: str, address: IpAddress) -> bool:
        """Tell whether the lists let an address pass."""
        if address.version not in self.families or _matches(interface, self.deny_interfaces):
            return False
        if self.allow_interfaces and not _matches(interface, self.allow_interfaces):
            return False
        if _is_inside(address, self.deny_networks):
            return False
        return not self.allow_networks or _is_inside(address, self.allow_networks)

    def kind_of(self, interface: str) -> str:
        """Return what kind of network an interface leads to."""
        return (
            _first_match(interface, self.kinds)
            or _system_kind(interface)
            or _first_match(interface, KINDS)
            or "unknown"
        )

    def cost_of(self, kind: str) -> int:
        """Return the network cost of a kind."""
        return self.costs.get(kind, COSTS.get(kind, COSTS["unknown"]))

    def candidate_ports(self) -> Sequence[int]:
        """Return the local ports to try: 0 for any, else ports of the range in random order (RFC 6056)."""
        if self.ports is None:
            return (0,)
        ports = range(self.ports[0], self.ports[1] + 1)
        return random.sample(ports, min(len(ports), MAX_PORT_TRIES))


DEFAULT_POLICY: Final = AddressPolicy()


def bind_in_range(policy: AddressPolicy, bind: Callable[[int], Result]) -> Result:
    """Return what `bind` makes with the first port of the policy's range that is free.

    `bind_in_range(policy, lambda port: UdpSocket(host, loop, on_batch, port))`

    Args:
        policy: Has the range.
        bind: Called with a port (0 for any); raises OSError when it cannot have it.

    Raises:
        OSError: No port of the range is free, or the address cannot be bound at all.
    """
    refused = OSError(errno.EADDRINUSE, "no port of the range is free")
    for port in policy.candidate_ports():
        try:
            return bind(port)
        except OSError as error:
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
            refused = error
    raise refused


def local_addresses(policy: AddressPolicy = DEFAULT_POLICY) -> list[LocalAddress]:
    """Return the addresses to bind for host candidates (RFC 8445 section 5.1.1.1), the best ones first.

    Interfaces that are down are left out, and so are link-local addresses (without their zone a peer cannot use them),
    addresses that are not unique or deprecated, and those that tell who we are where the system has temporary ones.
    The order is that of the network cost, and among equals that of RFC 8421 section 4: families take turns.
    """
    found, routed = system_addresses(), _default_routes()
    chosen = list(_usable(found, routed, policy, loopback=False))
    if policy.mode != "all":
        chosen = _on_default_route(chosen, policy)
    if policy.use_loopback == "always" or (policy.use_loopback == "fallback" and not chosen):
        chosen += _usable(found, routed, policy, loopback=True)
    return _ordered(chosen)[:MAX_ADDRESSES]


def _usable(
    found: Addresses, routed: set[tuple[str, int]], policy: AddressPolicy, *, loopback: bool
) -> Iterator[LocalAddress]:
    for name, addresses in found.items():
        entries = [
            (address, flags)
            for address, flags in addresses
            if _is_usable(address) and address.is_loopback is loopback and policy.allows(name, address)
        ]
        if not entries or not _is_up(name):
            continue
        kind = policy.kind_of(name)
        cost = policy.cost_of(kind)
        for address in _private_first(entries):
            outgoing = name if (name, address.version) in routed else ""
            yield LocalAddress(_text(address), name, loopback, kind, cost, outgoing=outgoing)


@lru_cache(maxsize=CACHED)
def _text(address: IpAddress) -> str:
    return str(address)


@lru_cache(maxsize=CACHED)
def _is_usable(address: IpAddress) -> bool:
    if address.is_link_local or address.is_unspecified or address.is_multicast:
        return False
    if address.version == 4 or address.is_loopback:
        return True
    return address.ipv4_mapped is None and address not in _SITE_LOCAL and address not in _IPV4_COMPATIBLE


def _private_first(entries: Sequence[tuple[IpAddress, int]]) -> list[IpAddress]:
    """Leave out IPv6 addresses that are not usable yet or any more, and those that temporary ones stand for."""
    usable = [entry for entry in entries if entry[0].version == 4 or not entry[1] & _UNUSABLE]
    temporary = {_prefix(address) for address, flags in usable if flags & _TEMPORARY and address.version == 6}
    return [
        address
        for address, flags in usable
        if not temporary or address.version == 4 or flags & _TEMPORARY or _prefix(address) not in temporary
    ]


def _prefix(address: IpAddress) -> bytes:
    return address.packed[:8]  # those that make temporary addresses always have 64 bits: RFC 4862


def _on_default_route(entries: Sequence[LocalAddress], policy: AddressPolicy) -> list[LocalAddress]:
    """Return what RFC 8828 section 5.2 allows in modes 2 to 4."""
    routed = {host for version in policy.families if (host := default_route_address(version)) is not None}
    interfaces = {entry.interface for entry in entries if entry.host in routed}
    hidden = policy.mode != "default-route"
    chosen = []
    for entry in entries:
        private = not hidden and entry.interface in interfaces and ipaddress.ip_address(entry.host).is_private
        if private or entry.host in routed:
            chosen.append(replace(entry, hidden=hidden))
    return chosen


def default_route_address(version: int) -> str | None:
    """Return the address that the kernel would send from to somewhere far away (RFC 8828 section 6.1); nothing is sent.

    Args:
        version: 4 or 6.
    """
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_FAR_AWAY[version], 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _ordered(entries: Iterable[LocalAddress]) -> list[LocalAddress]:
    by_cost = sorted(entries, key=attrgetter("is_loopback", "cost"))
    ordered = []
    for _, group in groupby(by_cost, key=attrgetter("is_loopback", "cost")):
        members = list(group)
        ordered += _interleaved([m for m in members if ":" not in m.host], [m for m in members if ":" in m.host])
    return ordered


def _interleaved(four: list[LocalAddress], six: list[LocalAddress]) -> list[LocalAddress]:
    """Mix the families: a head start for IPv6, then in turns."""
    if not four or not six:
        return four or six
    head = (len(four) + len(six)) // len(four)
    mixed = six[:head]
    rest = six[head:]
    for index in range(max(len(four), len(rest))):
        mixed += four[index : index + 1] + rest[index : index + 1]
    return mixed


# -- what the system says --------------------------------------------------------------------------------------------


def _is_up(interface: str) -> bool:
    """Tell whether packets can leave by an interface: an address stays when a cable is pulled."""
    if sys.platform != "linux":
        return True
    import fcntl  # not on Windows

    request = _IFREQ.pack(interface.encode()[:15], 0)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            (_, flags) = _IFREQ.unpack(fcntl.ioctl(probe, _SIOCGIFFLAGS, request))
    except OSError:
        return True  # it does not say; a socket that leads nowhere does little harm
    return bool(flags & _UP_AND_RUNNING == _UP_AND_RUNNING)


def _read(path: Path) -> str:
    """Return a small file of the kernel's: a third of what `Path.read_text` takes."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  see above
        return file.read().decode()


def _default_routes() -> set[tuple[str, int]]:
    """Return the interfaces and families that have a default route in the main table; empty where that is unknown."""
    routes = set()
    for path, version, start, destination, mask, flags in ((_ROUTE, 4, "", 1, 7, 3), (_IPV6_ROUTE, 6, _ANY, 0, 1, 8)):
        try:
            lines = _read(path).splitlines()
        except OSError:
            continue
        for row in [line.split() for line in lines if line.startswith(start)]:
            if len(row) > flags and not (row[destination] + row[mask]).strip("0"):
                interface = row[0] if version == 4 else row[-1]
                if int(row[flags], 16) & _ROUTE_UP_OR_REJECT == _ROUTE_UP:
                    routes.add((interface, version))
    return routes


def _system_kind(interface: str) -> str:
    """Return the kind of an interface as Linux knows it; empty when it does not."""
    folder = _NET / interface
    try:
        return _kind_of_device(folder, folder.stat().st_ino)
    except OSError:
        return ""


@lru_cache(maxsize=CACHED)
def _kind_of_device(folder: Path, _device: int) -> str:
    """Return the kind of a device, which is another one when its folder is (`_device`, the inode)."""
    if (folder / "wireless").exists() or (folder / "phy80211").exists():
        return "wifi"
    if (folder / "tun_flags").exists():
        return "vpn"
    try:
        uevent = _read(folder / "uevent")
    except OSError:
        return ""
    types = {"wwan": "cellular", "wlan": "wifi", "wireguard": "vpn", "ppp": "cellular"}
    for line in uevent.splitlines():
        if line.startswith("DEVTYPE="):
            return types.get(line.removeprefix("DEVTYPE="), "")
    return ""


def _matches(interface: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(interface, pattern) for pattern in patterns)


def _is_inside(address: IpAddress, networks: Iterable[str]) -> bool:
    return any(address in ipaddress.ip_network(network) for network in networks)


def _first_match(interface: str, kinds: Iterable[tuple[str, str]]) -> str:
    return next((kind for pattern, kind in kinds if fnmatchcase(interface, pattern)), "")
