"""Session descriptions, fragments and candidates as text, and the tools that look at descriptions.

Invariants: `parse` raises nothing but `ParseError`, with a slug and, for a line, its number. What it returns can be
written, and reading that gives the same again, unless formats without `rtpmap` and wildcards grew past the limits.
`lint` and reading with a list for errors raise only for what is too large; what the latter returns can be explained
and compared, with no difference to itself, and is equal to what strict reading returns where that succeeds.
"""

import re

from stack.core import ParseError
from stack.sdp import MAX_LINES, MAX_SIZE, Candidate, Fragment, LineError, SessionDescription, format_of
from stack.sdp.diff import diff
from stack.sdp.explain import explain
from stack.sdp.lint import MAX_FINDINGS, lint

WITHOUT_LINE = {"too-large", "too-many-lines"}
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
        if error.reason not in WITHOUT_LINE and not (
            isinstance(error, LineError) and error.detail.startswith(f"line {error.line_number}: ")
        ):
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


def check_fragment(data: bytes) -> None:
    """Reading and writing what is trickled."""
    try:
        fragment = Fragment.parse(_text(data))
    except ParseError as error:
        if not is_slug(error.reason):
            raise ValueError(f"{error.reason!r} is no slug") from error
        return
    if fragment == Fragment():
        return
    written = fragment.serialize()
    if Fragment.parse(written) != fragment:
        raise ValueError("written and read again it says something else")


def check_tools(data: bytes) -> None:
    """Reading leniently, typing formats, explaining, checking and comparing."""
    text = _text(data)
    errors = []
    try:
        session = SessionDescription.parse(text, errors=errors)
    except ParseError as error:
        if error.reason not in {*WITHOUT_LINE, "too-many-media"}:
            raise ValueError(f"{error.reason} ends it") from error
        return
    if not errors and SessionDescription.parse(text) != session:
        raise ValueError("read leniently it says something else")
    findings = lint(text) + lint(text, "offer") + lint(text, "answer")
    if len(findings) > 3 * MAX_FINDINGS or any(not finding.message or finding.line < 1 for finding in findings):
        raise ValueError("too many findings, or one without message or line")
    if len([finding for finding in findings if finding.rule.startswith("syntax-")]) < min(len(errors), MAX_FINDINGS):
        raise ValueError("an error is no finding")
    if not all(passage.points or passage.title for passage in explain(session)):
        raise ValueError("nothing to say")
    if diff(session, session):
        raise ValueError("it differs from itself")
    for media in session.media:
        _look(media)


def _look(media):
    for name in ("label", "content", "frame_rate", "image_attributes", "sctp_maps", "cryptos"):
        getattr(media, name)
    for codec in media.codecs:
        try:
            format_of(codec)
        except ParseError as error:
            if error.reason != "bad-fmtp":
                raise ValueError(f"{error.reason} of a format") from error
    for candidate in media.candidates:
        for number in (candidate.generation, candidate.network_id, candidate.network_cost):
            if number is not None and number < 0:
                raise ValueError("a negative number")


TARGETS = {
    "sdp-description": check_description,
    "sdp-candidate": check_candidate,
    "sdp-fragment": check_fragment,
    "sdp-tools": check_tools,
}
