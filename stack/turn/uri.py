"""`turn:` and `turns:` URIs: RFC 7065."""

from typing import NamedTuple

from ..stun.uri import match_uri, uri_pattern

_URI = uri_pattern("turn", r"(?:\?transport=(?P<transport>[a-z0-9._~-]+))?")


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
    match, host, port, secure = match_uri(_URI, text, "not-a-turn-uri")
    transport = (match["transport"] or ("tcp" if secure else "udp")).lower()
    return Uri(host, port, transport, secure)
