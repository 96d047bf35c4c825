"""`stun:` and `stuns:` URIs: RFC 7064."""

import re
from typing import NamedTuple

from ..core import ParseError

MAX_URI = 2048
"""Characters: longer than any host name, and what browsers take as an address."""


def uri_pattern(scheme: str, behind: str = "") -> re.Pattern[str]:
    """Return the grammar of RFC 7064 section 3.1 for a scheme, secure or not, with what may stand behind it."""
    host = r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<host>[a-z0-9._~%!$&'()*+,;=-]+))"
    return re.compile(rf"(?P<scheme>{scheme}s?):{host}(?::(?P<port>[0-9]*))?{behind}", re.IGNORECASE)


def match_uri(pattern: re.Pattern[str], text: str, reason: str) -> tuple[re.Match[str], str, int, bool]:
    """Return the match, the host, the port and whether it is the secure scheme.

    Raises:
        ParseError: `reason`.
    """
    match = pattern.fullmatch(text) if len(text) <= MAX_URI else None
    if match is None:
        raise ParseError(reason)
    secure = match["scheme"].lower().endswith("s")
    digits = match["port"] or ("5349" if secure else "3478")
    port = int(digits) if len(digits) <= 5 else 0
    if not 0 < port < 65536:
        raise ParseError(reason, "port out of range")
    return match, (match["ipv6"] or match["host"]).lower(), port, secure


_URI = uri_pattern("stun")


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
    return Uri(*match_uri(_URI, text, "not-a-stun-uri")[1:])
