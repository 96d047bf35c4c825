"""Session descriptions and candidates as text.

Invariants: `parse` raises nothing but `ParseError`, with a slug and, for a line, its number. What it returns can be
written, and reading that gives the same again, unless formats without `rtpmap` and wildcards grew past the limits.
"""

import re

from stack.core import ParseError
from stack.sdp import MAX_LINES, MAX_SIZE, Candidate, SessionDescription

WITHOUT_LINE = {"too-large", "too-many-lines", "bad-character"}
is_slug = re.compile(r"[a-z]+(-[a-z0-9]+)*").fullmatch


def _text(data):
    return data.decode("utf-8", "surrogateescape")


def check_description(data: bytes) -> None:
    """Reading and writing a whole description."""
    try:
        parsed = SessionDescription.parse(_text(data))
    except ParseError as error:
        if not is_slug(error.reason):
            raise ValueError(f"{error.reason!r} is no slug") from error
        if error.reason not in WITHOUT_LINE and not re.match(r"line [1-9][0-9]*: ", error.detail):
            raise ValueError(f"{error} names no line") from error
        return
    written = parsed.serialize()
    if len(written) > MAX_SIZE or written.count("\n") > MAX_LINES:
        return
    if SessionDescription.parse(written) != parsed:
        raise ValueError("written and read again it says something else")
    if SessionDescription.parse(written).serialize() != written:
        raise ValueError("the canonical form is not stable")
    for media in parsed.media:
        parsed.ice_parameters_of(media)
        parsed.ice_options_of(media)
        if parsed.direction_of(media) not in {"sendrecv", "sendonly", "recvonly", "inactive"}:
            raise ValueError(f"{parsed.direction_of(media)!r} is no direction")


def check_candidate(data: bytes) -> None:
    """Reading and writing one candidate."""
    try:
        candidate = Candidate.parse(_text(data))
    except ParseError as error:
        if not is_slug(error.reason):
            raise ValueError(f"{error.reason!r} is no slug") from error
        return
    written = candidate.serialize()
    if not written.isprintable():
        raise ValueError("control characters got through")
    if Candidate.parse(written) != candidate:
        raise ValueError("written and read again it says something else")


TARGETS = {"sdp-description": check_description, "sdp-candidate": check_candidate}
