"""Signaling messages: JSON objects with a `type`, over the WebSocket.

From the page: `offer {sdp}`, `candidate {candidate, sdpMid, sdpMLineIndex}` (candidate null or empty: no more),
`bye`. From the car: `hello`, `answer {sdp}`, `candidate`, `busy {message}`, `seat-free`, `bye {reason}`,
`error {reason, message}`.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ..core import ParseError

MAX_MESSAGE: Final = 65_536  # bytes; a browser's offer with every codec is 8 kB
MAX_CANDIDATE: Final = 1024  # characters; the longest legal candidate line is a quarter of that
MAX_MID: Final = 64  # characters; browsers use one or two


@dataclass(slots=True)
class Offer:
    """The page offers a session.

    Args:
        sdp: Its description; not looked into here.
    """

    sdp: str


@dataclass(slots=True)
class Candidate:
    """One of the page's candidates, or None for "no more".

    Args:
        candidate: `candidate:...`, or None.
        sdp_mid: The media section by name, or None.
        sdp_m_line_index: The media section by number, or None.
    """

    candidate: str | None
    sdp_mid: str | None = None
    sdp_m_line_index: int | None = None


@dataclass(slots=True)
class Bye:
    """The page goes away."""


Message: TypeAlias = Offer | Candidate | Bye


def parse(text: str) -> Message:
    """Read one message of the page.

    Raises:
        ParseError: `too-large`, `bad-json`, `not-an-object`, `unknown-type`, `bad-offer` or `bad-candidate`.
    """
    if len(text) > MAX_MESSAGE:
        raise ParseError("too-large", f"{len(text)} characters; at most {MAX_MESSAGE} are taken")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParseError("bad-json", str(error)) from error
    if not isinstance(value, dict):
        raise ParseError("not-an-object", f"a JSON object is needed, not {type(value).__name__}")
    kind = value.get("type")
    if kind == "offer":
        sdp = value.get("sdp")
        if not isinstance(sdp, str) or not sdp:
            raise ParseError("bad-offer", "`sdp` must be a text")
        return Offer(sdp)
    if kind == "candidate":
        return _candidate(value)
    if kind == "bye":
        return Bye()
    raise ParseError("unknown-type", f"{str(kind)[:40]!r}; there are offer, candidate and bye")


def _candidate(value: dict[str, Any]) -> Candidate:
    text, mid, index = value.get("candidate"), value.get("sdpMid"), value.get("sdpMLineIndex")
    if text is not None and (not isinstance(text, str) or len(text) > MAX_CANDIDATE):
        raise ParseError("bad-candidate", "`candidate` must be a short text or null")
    if mid is not None and (not isinstance(mid, str) or len(mid) > MAX_MID):
        raise ParseError("bad-candidate", "`sdpMid` must be a short text or null")
    if index is not None and (type(index) is not int or not 0 <= index < 256):
        raise ParseError("bad-candidate", "`sdpMLineIndex` must be a small number or null")
    if text and mid is None and index is None:
        raise ParseError("bad-candidate", "one of `sdpMid` and `sdpMLineIndex` is needed")
    return Candidate(text or None, mid, index)
