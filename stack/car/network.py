"""Which address of this machine others in the network reach."""

import ipaddress
import socket
from typing import Final

_ANYWHERE: Final = ("192.0.2.1", 9)  # RFC 5737 section 3: never reached; no packet is sent, only a route is asked for


def lan_address() -> str:
    """Return this machine's address on its default route, or the loopback address if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANYWHERE)
            found: str = probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"
    return "127.0.0.1" if ipaddress.ip_address(found).is_unspecified else found
