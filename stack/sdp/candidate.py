"""ICE candidates as text: RFC 8839 section 5.1, with `tcptype` of RFC 6544 section 4.5."""

import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ..core import ParseError
from .grammar import MAX_LINE_LENGTH, TOKEN_GRAMMAR, excerpt, integer, is_digits, is_host, is_token, remembered

TRANSPORTS: Final = frozenset({"udp", "tcp"})
MAX_PRIORITY: Final = 0x7FFFFFFF
CANDIDATE_TYPES: Final = frozenset({"host", "srflx", "prflx", "relay"})
TCP_TYPES: Final = frozenset({"active", "passive", "so"})
IGNORED_REASONS: Final = frozenset({"unknown-transport", "unknown-candidate-type", "bad-candidate-extension"})
"""Reasons for which a description keeps the line as unknown instead of failing: RFC 8839 section 5.1 is extensible."""

_match_candidate = re.compile(
    rf"([A-Za-z0-9+/]{{1,32}}) ([0-9]{{1,3}}) ({TOKEN_GRAMMAR}) ([0-9]{{1,10}}) ([^ ]+) ([0-9]{{1,5}})"
    rf" typ ({TOKEN_GRAMMAR})((?: .*)?)"
).fullmatch


@dataclass(slots=True)
class Candidate:
    """One ICE candidate.

    Attributes:
        foundation: 1 to 32 characters.
        component: 1 to 256; 1 is RTP (or everything, with rtcp-mux or data channels), 2 is RTCP.
        transport: `udp` or `tcp`.
        priority: 1 to 2**31 - 1.
        host: IPv4 address, IPv6 address, or domain name (`.local` for mDNS), as written.
        port: 1 to 65535; TCP candidates that only connect may have 0.
        type: `host`, `srflx`, `prflx` or `relay`.
        related_host: `raddr`, or None.
        related_port: `rport`, or None.
        tcp_type: `active`, `passive` or `so`, or None.
        ufrag: Which ICE generation it belongs to, or None.
        extensions: Other name and value pairs, in order.
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
    ufrag: str | None = None
    extensions: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> "Candidate":
        """Parse `candidate:...`, with or without `a=` before it.

        Raises:
            ParseError: `bad-candidate`; `unknown-transport`, `unknown-candidate-type` or `bad-candidate-extension`
                if it is one that RFC 8839 section 5.1 wants ignored.
        """
        value = text.removeprefix("a=")
        if not value.startswith("candidate:"):
            raise ParseError("bad-candidate", f"no candidate: prefix in {excerpt(text)}")
        return cls.parse_value(value[10:])

    @classmethod
    def parse_value(cls, value: str) -> "Candidate":
        """Parse what follows `candidate:`.

        Raises:
            ParseError: As `parse`.
        """
        if len(value) > MAX_LINE_LENGTH or not value.isprintable():
            raise ParseError("bad-candidate", "too long, or control characters")
        match = _match_candidate(value)
        if match is None:
            raise ParseError("bad-candidate", f"{excerpt(value)} does not follow RFC 8839 section 5.1")
        foundation, component, transport, priority, host, port, kind, pairs = match.groups()
        if not is_host(host):
            raise ParseError("bad-candidate", f"address {excerpt(host)}")
        protocol = transport.lower()
        number, rank, place = int(component), int(priority), int(port)
        if not 1 <= number <= 256:
            raise ParseError("bad-candidate", f"component {component} is not from 1 to 256")
        if not 1 <= rank <= MAX_PRIORITY:
            raise ParseError("bad-candidate", f"priority {priority} is not from 1 to {MAX_PRIORITY}")
        if place > 65535 or (not place and protocol == "udp"):
            raise ParseError("bad-candidate", f"port {port} is not from 1 to 65535")
        if protocol not in TRANSPORTS:
            raise ParseError("unknown-transport", excerpt(transport))
        if kind not in CANDIDATE_TYPES:
            raise ParseError("unknown-candidate-type", excerpt(kind))
        candidate = cls(foundation, number, protocol, rank, host, place, kind, extensions=[])
        pairs = pairs.rstrip(" ")
        if pairs:
            (
                candidate.related_host,
                candidate.related_port,
                candidate.tcp_type,
                candidate.ufrag,
                extensions,
            ) = _pairs(pairs)
            candidate.extensions += extensions
        return candidate

    def extension(self, name: str) -> str | None:
        """Return the value of the first extension with this name, or None."""
        return next((value for known, value in self.extensions if known == name), None)

    @property
    def generation(self) -> int | None:
        """How often libwebrtc had restarted ICE when it gathered this, from 0; None if it is not told."""
        return _number(self.extension("generation"))

    @property
    def network_id(self) -> int | None:
        """Which of its networks libwebrtc found this on, counted from 1; None if it is not told."""
        return _number(self.extension("network-id"))

    @property
    def network_cost(self) -> int | None:
        """How dear libwebrtc takes the network to be, 0 to 999 (10: Wi-Fi, 900: cellular); None if it is not told."""
        return _number(self.extension("network-cost"))

    def serialize(self) -> str:
        """Return `candidate:...`, without `a=`."""
        text = (
            f"candidate:{self.foundation} {self.component} {self.transport} {self.priority} {self.host} {self.port} "
            f"typ {self.type}"
        )
        if self.related_host is not None:
            text += f" raddr {self.related_host}"
        if self.related_port is not None:
            text += f" rport {self.related_port}"
        if self.tcp_type is not None:
            text += f" tcptype {self.tcp_type}"
        if self.ufrag is not None:
            text += f" ufrag {self.ufrag}"
        for name, value in self.extensions:
            text += f" {name} {value}"
        return text


_Pairs: TypeAlias = tuple[str | None, int | None, str | None, str | None, tuple[tuple[str, str], ...]]


@remembered
def _pairs(text: str) -> _Pairs:
    """Return raddr, rport, tcptype, ufrag, and the other extensions."""
    fields = text[1:].split(" ")
    if len(fields) % 2:
        raise ParseError("bad-candidate-extension", f"{excerpt(fields[-1])} has no value")
    if not all(fields[1::2]):  # two spaces in a row: written behind the known ones, it would not be read again
        raise ParseError("bad-candidate-extension", "an empty value")
    host = port = tcp_type = ufrag = None
    extensions: list[tuple[str, str]] = []
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if name == "raddr" and host is None:
            if not is_host(value):
                raise ParseError("bad-candidate", f"raddr {excerpt(value)}")
            host = value
        elif name == "rport" and port is None:
            port = integer(value, "bad-candidate", "rport", 0, 65535)
        elif name == "tcptype" and tcp_type is None:
            if value not in TCP_TYPES:
                raise ParseError("bad-candidate-extension", f"tcptype {excerpt(value)}")
            tcp_type = value
        elif name == "ufrag" and ufrag is None:
            ufrag = value
        elif is_token(name):
            extensions.append((name, value))
        else:
            raise ParseError("bad-candidate-extension", f"name {excerpt(name)}")
    return host, port, tcp_type, ufrag, tuple(extensions)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and is_digits(text) else None
