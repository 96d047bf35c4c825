"""`stun:` and `stuns:` URIs: RFC 7064."""

import re
from typing import NamedTuple

from ..core import ParseError

MAX_URI = 2048
"""Characters: longer than any host name, and what browsers take as an address."""

_URI = re.compile(
    r"(?P<scheme>stuns?):(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<host>[a-z0-9._~%!$&'()*+,;=-]+))(?::(?P<port>[0-9]*))?",
    re.IGNORECASE,
)


class Uri(NamedTuple):
    """Where a STUN server is.

    Args:
        host: A name or an IP address, without brackets.
        port: 3478, or 5349 for `stuns:`, when the URI has none.
        secure: Whether it is `stuns:`.
    """

    host: str
    port: int
    secure: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'stuns' if self.secure else 'stun'}:{host}:{self.port}"


def parse_uri(text: str) -> Uri:
    """Read a URI by RFC 7064 section 3.1.

    Raises:
        ParseError: `not-a-stun-uri`.
    """
    match = _URI.fullmatch(text) if len(text) <= MAX_URI else None
    if match is None:
        raise ParseError("not-a-stun-uri")
    secure = match["scheme"].lower() == "stuns"
    digits = match["port"] or ("5349" if secure else "3478")
    port = int(digits) if len(digits) <= 5 else 0
    if not 0 < port < 65536:
        raise ParseError("not-a-stun-uri", "port out of range")
    return Uri((match["ipv6"] or match["host"]).lower(), port, secure)
