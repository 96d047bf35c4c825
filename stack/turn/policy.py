"""Where a server may relay to: RFC 8656 sections 21.2.2 and 21.3.2, RFC 6156 section 9."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from ..core import LocalError

# Our own list, not `is_global`: what that says depends on the version of Python.
SPECIAL: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
"""IPv4 networks that are not public unicast: the IANA registry of special-purpose addresses, multicast, reserved."""
GLOBAL6: Final = IPv6Network("2000::/3")
"""All that IANA has given out as IPv6 global unicast; the rest is refused as a whole."""
SPECIAL6: Final = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
"""What is special within `GLOBAL6`; 2002::/16 is 6to4, which RFC 7526 has withdrawn."""

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_LOW = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))  # RFC 4291 section 2.5.5.1, RFC 2765 section 2.1
_ISATAP = frozenset((0x00005EFE, 0x02005EFE))  # RFC 5214 section 6.1


class PeerPolicy:
    """Tells which hosts may be peers. All that is not a public unicast address is refused, unless allowed by name.

    Args:
        allowed: Networks that may be reached although they are loopback, private and so on, for example `10.0.0.0/8`.
        denied: Further networks that may not; they win over `allowed`.
        own: The server's own addresses: refused, unless `allowed` names exactly that address, as in `10.0.0.1/32`.

    Raises:
        LocalError: That is no network, or no address.
    """

    def __init__(self, allowed: Iterable[str] = (), denied: Iterable[str] = (), own: Iterable[str] = ()) -> None:
        try:
            self._allowed = [ip_network(text) for text in allowed]
            self._denied = [ip_network(text) for text in denied]
            self._own = {ip_address(host) for host in own}
        except ValueError as error:
            raise LocalError(str(error)) from error
        # A relay asks for every packet of every peer; the bound is for servers that see many.
        self.permits = lru_cache(maxsize=4096)(self._permits)

    def names(self, host: str) -> bool:
        """Tell whether exactly this host is allowed, not only a network that it is in."""
        return self._names(ip_address(host))

    def _names(self, host: IPv4Address | IPv6Address) -> bool:
        return any(network.prefixlen == host.max_prefixlen and host in network for network in self._allowed)

    def _permits(self, host: str) -> bool:
        """Tell whether data may go to and come from `host`."""
        try:
            found = ip_address(host)
        except ValueError:
            return False
        # What an IPv6 address leads to by translation or tunnel counts as much as itself.
        ways = [found, *_embedded(found)]
        if any(way in network for way in ways for network in self._denied):
            return False
        return all(self._permits_one(way) for way in ways)

    def _permits_one(self, host: IPv4Address | IPv6Address) -> bool:
        if host in self._own:
            return self._names(host)
        return _is_public(host) or any(host in network for network in self._allowed)


def _is_public(host: IPv4Address | IPv6Address) -> bool:
    if isinstance(host, IPv4Address):
        return not any(host in network for network in SPECIAL)
    return host in GLOBAL6 and not any(host in network for network in SPECIAL6)


def _embedded(host: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(host, IPv4Address):
        return []
    number = int(host)
    found = [host.ipv4_mapped, host.sixtofour, *(host.teredo or ())]
    if any(host in network for network in (*_LOW, *_NAT64)) or number >> 32 & 0xFFFFFFFF in _ISATAP:
        found.append(IPv4Address(number & 0xFFFFFFFF))
    return [address for address in found if address is not None]
