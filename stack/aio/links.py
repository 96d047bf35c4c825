"""Link header fields (RFC 8288 section 3), and the ICE servers that WHIP and WHEP name in them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from .descriptions import RTCIceServer

MAX_LINKS: Final = 64
"""Links that are read of one response: a service names a STUN server and a few addresses of its TURN servers."""

_next_part = re.compile(
    r"<([^<>]*)>"  # a target
    r"|;\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*(?:=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s\",;<>]*)))?"  # or a parameter
    r"|(,)"  # or the end of a link
).finditer
_unescape = re.compile(r"\\(.)").sub
_is_server = re.compile(r"(?:stuns?|turns?):[!-~]+", re.IGNORECASE).fullmatch


@dataclass(slots=True)
class Link:
    """One link.

    Attributes:
        target: The URI, as written.
        parameters: By name in lower case; the first one of a name counts (RFC 8288 section 3.3).
    """

    target: str
    parameters: dict[str, str] = field(default_factory=dict)


def parse_links(fields: Iterable[str]) -> list[Link]:
    """Return the links of some header fields, at most `MAX_LINKS`; what is malformed is left out.

    Args:
        fields: The values of all Link fields of a message.
    """
    links: list[Link] = []
    for text in fields:
        current: Link | None = None
        for match in _next_part(text):
            target, name, quoted, plain, comma = match.groups()
            if target is not None:
                if len(links) == MAX_LINKS:
                    return links
                current = Link(target.strip())
                links.append(current)
            elif comma:
                current = None
            elif current is not None:
                value = _unescape(r"\1", quoted) if quoted is not None else plain or ""
                current.parameters.setdefault(name.lower(), value)
    return links


def ice_servers(fields: Iterable[str]) -> list[RTCIceServer]:
    """Return the ICE servers among links: `rel="ice-server"`, draft-ietf-wish-whip section 4.6.

    Servers whose credential is no password are left out: nothing here could use them.
    """
    servers = []
    for link in parse_links(fields):
        parameters = link.parameters
        is_password = parameters.get("credential-type", "password").lower() == "password"
        if "ice-server" in parameters.get("rel", "").lower().split() and is_password and _is_server(link.target):
            servers.append(RTCIceServer(link.target, parameters.get("username"), parameters.get("credential")))
    return servers
