"""`turn:` and `turns:` URIs: RFC 7065."""

import re
from typing import NamedTuple

from ..core import ParseError
from ..stun import MAX_URI

_URI = re.compile(
    r"(?P<scheme>turns?):(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<host>[a-z0-9._~%!$&'()*+,;=-]+))(?::(?P<port>[0-9]*))?"
    r"(?:\?transport=(?P<transport>[a-z0-9._~-]+))?",
    re.IGNORECASE,
)


class Uri(NamedTuple):
    """Where a TURN server is.

    Args:
        host: A name or an IP address, without brackets.
        port: 3478, or 5349 for `turns:`, when the URI has none.
        transport: `udp`, `tcp` or an extension; without one `udp`, and `tcp` for `turns:`.
        secure: Whether it is `turns:`.
    """

    host: str
    port: int
    transport: str
    secure: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'turns' if self.secure else 'turn'}:{host}:{self.port}?transport={self.transport}"


def parse_uri(text: str) -> Uri:
    """Read a URI by RFC 7065 section 3.1.

    Raises:
        ParseError: `not-a-turn-uri`.
    """
    match = _URI.fullmatch(text) if len(text) <= MAX_URI else None
    if match is None:
        raise ParseError("not-a-turn-uri")
    secure = match["scheme"].lower() == "turns"
    digits = match["port"] or ("5349" if secure else "3478")
    port = int(digits) if len(digits) <= 5 else 0
    if not 0 < port < 65536:
        raise ParseError("not-a-turn-uri", "port out of range")
    transport = (match["transport"] or ("tcp" if secure else "udp")).lower()
    return Uri((match["ipv6"] or match["host"]).lower(), port, transport, secure)
