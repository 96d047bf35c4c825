"""The lines of a description, from text into values: RFC 8866 section 9."""

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from ..core import ParseError
from .attributes import (
    KEPT_WHEN_MALFORMED,
    MEDIA_FLAGS,
    MEDIA_VALUES,
    SESSION_FLAGS,
    SESSION_VALUES,
    FlagParser,
    Level,
    MediaLevel,
    SessionLevel,
    ValueParser,
    parse_connection,
)
from .errors import LineError
from .grammar import (
    MAX_LINE_LENGTH,
    MAX_LINES,
    MAX_MEDIA,
    MAX_SIZE,
    MAX_UINT64,
    excerpt,
    integer,
    is_protocol,
    is_token,
)
from .media import MediaDescription
from .values import Attribute, Bandwidth, Connection, Origin, Timing

if TYPE_CHECKING:
    from .session import SessionDescription

_ORDER: Final = {
    "v": 0,
    "o": 1,
    "s": 2,
    "i": 3,
    "u": 4,
    "e": 5,
    "p": 6,
    "c": 7,
    "b": 8,
    "t": 9,
    "r": 9,
    "z": 9,
    "k": 10,
}
Errors: TypeAlias = list[LineError] | None
_REPEATED: Final = frozenset("epbtrz")
_unfit_characters = re.compile(r"[\r\x00\ud800-\udfff]")
_is_payload_type = re.compile(r"0|[1-9][0-9]?|1[01][0-9]|12[0-7]").fullmatch


def parse_into(session: "SessionDescription", text: str, errors: Errors = None) -> None:
    """Fill a new `session` from `text`.

    Args:
        session: What to fill.
        text: The description.
        errors: Where to put what is wrong with single lines, which are then left out; None to raise it.

    Raises:
        LineError: A line is wrong, and `errors` is None; or there are too many sections.
        ParseError: The text as a whole is too large.
    """
    lines = split_lines(text, errors)
    _parse_levels(session, lines, _parse_header(session, lines, errors), errors)


def parse_fragment_into(session: "SessionDescription", text: str) -> None:
    """Fill a new `session` from a text without header: RFC 8840 section 9.2.

    Raises:
        ParseError: As `parse_into`.
    """
    lines = split_lines(text, None)
    if lines == [""]:
        lines = []
    for index, line in enumerate(lines):
        if line[:2] == "a=":  # RFC 8840 section 9.2 has receivers ignore the case of attributes
            name, colon, value = line.partition(":")
            lines[index] = name.lower() + colon + value
    _parse_levels(session, lines, 0, None)


def _parse_levels(session: "SessionDescription", lines: list[str], index: int, errors: Errors) -> None:
    """Parse the attributes of the session, from line `index`, and the sections."""
    level: Level = SessionLevel(session)
    index = _parse_attributes(level, lines, index, errors)
    mids: set[str] = set()
    while index < len(lines):
        if len(session.media) == MAX_MEDIA:
            raise LineError("too-many-media", index + 1, lines[index], f"more than {MAX_MEDIA} sections")
        try:
            media = _parse_media_line(lines[index][2:])
        except ParseError as error:
            _report(errors, error, index + 1, lines[index])
            index += 1
            while index < len(lines) and lines[index][:2] != "m=":  # whose section would the attributes be?
                index += 1
            continue
        session.media.append(media)
        level = MediaLevel(media, mids)
        index = _parse_attributes(level, lines, index + 1, errors)
        level.finish()


def _report(errors: Errors, error: ParseError, number: int, line: str) -> None:
    """Say where `error` happened."""
    located = LineError(error.reason, number, line, error.detail)
    if errors is None:
        raise located from None
    errors.append(located)


def split_lines(text: str, errors: Errors) -> list[str]:
    """Return the lines, after the checks that concern the text as a whole.

    Raises:
        ParseError: The text is too large; or, if `errors` is None, a line has what no line can hold.
    """
    if len(text) > MAX_SIZE:
        raise ParseError("too-large", f"{len(text)} characters, {MAX_SIZE} allowed")
    text = text.replace("\r\n", "\n").rstrip("\n")
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        raise ParseError("too-many-lines", f"{len(lines)} lines, {MAX_LINES} allowed")
    if "\r" in text or "\0" in text or not _is_encodable(text) or len(text) > MAX_LINE_LENGTH:
        for number, line in enumerate(lines, 1):
            error = _unfit(line)
            if error is not None:
                _report(errors, error, number, line.encode(errors="backslashreplace").decode())
                lines[number - 1] = _unfit_characters.sub("", line)[:MAX_LINE_LENGTH]
    return lines


def _unfit(line: str) -> ParseError | None:
    if "\r" in line or "\0" in line or not _is_encodable(line):
        return ParseError("bad-character", "a CR without LF, a NUL or half of a surrogate pair")
    if len(line) > MAX_LINE_LENGTH:
        return ParseError("line-too-long", f"more than {MAX_LINE_LENGTH} characters")
    return None


def _is_encodable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parse_header(session: "SessionDescription", lines: list[str], errors: Errors) -> int:
    """Parse what precedes the first attribute or section, and return its index.

    The order is enforced, as RFC 8866 section 5 has it: other implementations refuse what is out of order too.
    """
    rank = -1
    times = 0
    for index, line in enumerate(lines):
        letter = line[:1]
        if line[1:2] == "=" and letter in {"a", "m"}:
            break
        try:
            place = _place(line, rank, times)
            rank = max(rank, place)
            times += letter == "t"
            _parse_header_line(session, letter, line[2:], first_time=times == 1)
        except ParseError as error:
            _report(errors, error, index + 1, line)
    else:
        index = len(lines)
    if not times:
        missing = "v=" if rank < 0 else "o=" if rank < 1 else "s=" if rank < 2 else "t="
        _report(errors, ParseError("missing-line", f"no {missing} before it"), index + 1, "")
    return index


def _place(line: str, rank: int, times: int) -> int:
    """Return where in the header a line belongs, if it may stand behind those of `rank`."""
    letter = line[:1]
    if line[1:2] != "=":
        raise ParseError("bad-line", f"{excerpt(line)} is not of the form x=")
    place = _ORDER.get(letter, -1)
    if place < 0:
        raise ParseError("bad-line", f"unknown type {excerpt(letter)}")
    if place < rank or (place == rank and letter not in _REPEATED) or (rank < 2 and place != rank + 1):
        raise ParseError("bad-order", f"{letter}= is not expected here")
    if letter in {"r", "z"} and not times:
        raise ParseError("bad-order", f"{letter}= before t=")
    return place


def _parse_header_line(session: "SessionDescription", letter: str, value: str, *, first_time: bool) -> None:
    if letter == "v":
        if value != "0":
            raise ParseError("bad-version", f"{excerpt(value)} is not 0")
    elif letter == "o":
        session.origin = _parse_origin(value)
    elif letter == "s":
        session.name = value
    elif letter == "c":
        session.connection = _parse_connection(value)
    elif letter == "b":
        session.bandwidth.append(_parse_bandwidth(value))
    elif letter == "t" and first_time:
        start, _, stop = value.partition(" ")
        session.timing = Timing(
            integer(start, "bad-timing", "start", 0, MAX_UINT64), integer(stop, "bad-timing", "stop", 0, MAX_UINT64)
        )
    else:
        session.other_lines.append((letter, value))


def _parse_attributes(level: Level, lines: list[str], start: int, errors: Errors) -> int:
    """Parse lines from `start` up to the next `m=`, and return its index."""
    values, flags, other = _MEDIA if isinstance(level, MediaLevel) else _SESSION
    value_of, flag_of, keep = values.get, flags.get, level.attributes.append
    for index in range(start, len(lines)):
        line = lines[index]
        name, colon, value = line.partition(":")  # the tables' names begin with a=, which spares a slice per line
        try:
            if colon:
                parse_value = value_of(name)
                if parse_value is not None:
                    parse_value(level, value)
                    continue
            else:
                parse_flag = flag_of(name)
                if parse_flag is not None:
                    parse_flag(level)
                    continue
            kind = line[:2]
            if kind == "a=":
                keep(_unknown(name[2:], value if colon else None, needs_value=name in values))
            elif kind == "m=":
                return index
            else:
                other(level, line)
        except ParseError as error:
            if not _is_good_without_spaces(level, line):
                _report(errors, error, index + 1, line)
    return len(lines)


def _is_good_without_spaces(level: Level, line: str) -> bool:
    """Parse a line that was wrong without the white space at its end, and tell whether that helped."""
    # Deviates: RFC 8866 section 9 allows none, but gateways that put lines together leave some.
    stripped = line.rstrip(" \t")
    if stripped == line:
        return False
    try:
        _parse_attributes(level, [stripped], 0, None)
    except LineError:
        return False
    return True


def _unknown(name: str, value: str | None, *, needs_value: bool) -> Attribute:
    if needs_value and name not in KEPT_WHEN_MALFORMED:
        raise ParseError(f"bad-{name}", "there is no value")
    if not is_token(name):
        raise ParseError("bad-attribute", f"name {excerpt(name)}")
    return Attribute(name, value)


def _refuse_line(_level: Level, line: str) -> None:
    if line[:1] in _ORDER and line[1:2] == "=":
        raise ParseError("bad-order", "not after a=")
    raise ParseError("bad-line", f"{excerpt(line)} is not a line of a session")


def _parse_media_header_line(level: MediaLevel, line: str) -> None:
    # Deviates: RFC 8866 section 5 wants these before a=, but pages insert b= anywhere and browsers accept it.
    media = level.media
    kind, value = line[:2], line[2:]
    if kind == "c=":
        if media.connection is None:
            media.connection = _parse_connection(value)
        else:
            media.other_lines.append(("c", value))
    elif kind == "b=":
        media.bandwidth.append(_parse_bandwidth(value))
    elif kind == "i=" and media.title is None:
        media.title = value
    elif kind == "k=":
        media.other_lines.append(("k", value))
    else:
        raise ParseError("bad-line", f"{excerpt(line)} is not a line of a section, or there twice")


def _parse_media_line(value: str) -> MediaDescription:
    fields = value.rstrip(" ").split(" ")
    if len(fields) < 4:
        raise ParseError("bad-media", f"fields are missing in {excerpt(value)}")
    kind, port_text, protocol, *formats = fields
    if not is_token(kind) or not is_protocol(protocol):
        raise ParseError("bad-media", f"media or protocol in {excerpt(value)}")
    port, slash, count = port_text.partition("/")
    media = MediaDescription(
        kind,
        integer(port, "bad-media", "port", 0, 65535),
        protocol,
        formats,
        integer(count, "bad-media", "number of ports", 1, 65535) if slash else None,
        connection=None,
    )
    is_format = _is_payload_type if "RTP/" in protocol else is_token
    if not all(map(is_format, formats)) or len(set(formats)) != len(formats):
        raise ParseError("bad-media", f"a format is malformed or there twice in {excerpt(value)}")
    return media


def _parse_origin(value: str) -> Origin:
    fields = value.split(" ")
    if len(fields) != 6 or not all(fields) or not is_token(fields[3]) or not is_token(fields[4]):
        raise ParseError("bad-origin", f"{excerpt(value)} is not six fields")
    return Origin(
        fields[0],
        integer(fields[1], "bad-origin", "session id", 0, MAX_UINT64),
        integer(fields[2], "bad-origin", "session version", 0, MAX_UINT64),
        *fields[3:],
    )


def _parse_connection(value: str) -> Connection:
    return parse_connection(value, "bad-connection")


def _parse_bandwidth(value: str) -> Bandwidth:
    modifier, _, number = value.partition(":")
    if not is_token(modifier):
        raise ParseError("bad-bandwidth", f"modifier {excerpt(modifier)}")
    return Bandwidth(modifier, integer(number, "bad-bandwidth", "bandwidth", 0, MAX_UINT64))


_Tables: TypeAlias = tuple[dict[str, ValueParser], dict[str, FlagParser], ValueParser]
_SESSION: Final[_Tables] = (SESSION_VALUES, SESSION_FLAGS, _refuse_line)
_MEDIA: Final[_Tables] = (MEDIA_VALUES, MEDIA_FLAGS, _parse_media_header_line)
