"""Which addresses of this machine can be offered to a peer."""

import ipaddress
from dataclasses import dataclass
from typing import Final

import ifaddr

MAX_ADDRESSES: Final = 32
"""Host addresses used for one connection; a machine with more has virtual ones that no peer can reach."""


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """One address of one interface."""

    host: str
    interface: str
    is_loopback: bool


def local_addresses() -> list[LocalAddress]:
    """Return the addresses to bind for host candidates (RFC 8445 section 5.1.1.1).

    Loopback is used only when there is nothing else, so that two programs on a machine without a network still
    connect. Link-local addresses are left out: without their zone a peer cannot use them.
    """
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            host = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            try:
                address = ipaddress.ip_address(host)
            except ValueError:
                continue
            if address.is_link_local or address.is_unspecified or address.is_multicast:
                continue
            found.append(LocalAddress(str(address), adapter.name, address.is_loopback))
    routable = [entry for entry in found if not entry.is_loopback]
    return (routable or found)[:MAX_ADDRESSES]
