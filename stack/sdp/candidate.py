"""ICE candidates as text: RFC 8839 section 5.1, with `tcptype` of RFC 6544 section 4.5."""

import re
from dataclasses import dataclass, field
from typing import Final

from ..core import ParseError
from .grammar import MAX_LINE_LENGTH, TOKEN_GRAMMAR, excerpt, integer, is_host, is_token

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
        candidate = cls(foundation, int(component), protocol, int(priority), host, int(port), kind)
        if not 1 <= candidate.component <= 256:
            raise ParseError("bad-candidate", f"component {component} is not from 1 to 256")
        if not 1 <= candidate.priority <= MAX_PRIORITY:
            raise ParseError("bad-candidate", f"priority {priority} is not from 1 to {MAX_PRIORITY}")
        if candidate.port > 65535 or (not candidate.port and protocol == "udp"):
            raise ParseError("bad-candidate", f"port {port} is not from 1 to 65535")
        if protocol not in TRANSPORTS:
            raise ParseError("unknown-transport", excerpt(transport))
        if kind not in CANDIDATE_TYPES:
            raise ParseError("unknown-candidate-type", excerpt(kind))
        pairs = pairs.rstrip(" ")
        if pairs:
            candidate._parse_pairs(pairs[1:].split(" "))
        return candidate

    def _parse_pairs(self, fields: list[str]) -> None:
        if len(fields) % 2:
            raise ParseError("bad-candidate-extension", f"{excerpt(fields[-1])} has no value")
        if not all(fields[1::2]):  # two spaces in a row: written behind the known ones, it would not be read again
            raise ParseError("bad-candidate-extension", "an empty value")
        extensions = self.extensions
        for name, value in zip(fields[::2], fields[1::2], strict=True):
            if name == "raddr" and self.related_host is None:
                if not is_host(value):
                    raise ParseError("bad-candidate", f"raddr {excerpt(value)}")
                self.related_host = value
            elif name == "rport" and self.related_port is None:
                self.related_port = integer(value, "bad-candidate", "rport", 0, 65535)
            elif name == "tcptype" and self.tcp_type is None:
                if value not in TCP_TYPES:
                    raise ParseError("bad-candidate-extension", f"tcptype {excerpt(value)}")
                self.tcp_type = value
            elif name == "ufrag" and self.ufrag is None:
                self.ufrag = value
            elif is_token(name):
                extensions.append((name, value))
            else:
                raise ParseError("bad-candidate-extension", f"name {excerpt(name)}")

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
