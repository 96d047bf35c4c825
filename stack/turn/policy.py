"""Where a server may relay to: RFC 8656 sections 21.2.2 and 21.3.2, RFC 6156 section 9."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from ..core import LocalError

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = IPv6Network("::/96")


class PeerPolicy:
    """Tells which hosts may be peers. All that is not a public unicast address is refused, unless allowed by name.

    Args:
        allowed: Networks that may be reached although they are loopback, private and so on, for example `10.0.0.0/8`.
        denied: Further networks that may not; they win over `allowed`.
        own: The server's own addresses: refused too.

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

    def allows(self, host: str) -> bool:
        """Tell whether `host` is in a network that is allowed by name."""
        return any(ip_address(host) in network for network in self._allowed)

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
        if any(host in network for network in self._allowed):
            return True
        special = host.is_multicast or host.is_reserved or host.is_unspecified or host.is_link_local
        if isinstance(host, IPv6Address):
            special = special or host.is_site_local
        return host.is_global and not special and host not in self._own


def _embedded(host: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(host, IPv4Address):
        return []
    found = [host.ipv4_mapped, host.sixtofour, *(host.teredo or ())]
    if host in _COMPATIBLE or any(host in network for network in _NAT64):
        found.append(IPv4Address(int(host) & 0xFFFFFFFF))
    return [address for address in found if address is not None]
