"""The attributes this stack acts on: one function each, found by name in the tables at the end.

A malformed value raises, because guessing would connect to the wrong place or trust the wrong key. The exceptions are
lines whose own specification says to ignore them: these are kept with the unknown attributes.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from ..core import ParseError
from .candidate import IGNORED_REASONS, Candidate
from .grammar import (
    MAX_CANDIDATES,
    MAX_FEEDBACK,
    MAX_ICE_OPTIONS,
    MAX_UINT32,
    MAX_UINT64,
    TOKEN_GRAMMAR,
    excerpt,
    integer,
    is_plain_integer,
    is_token,
    remembered,
)
from .media import MediaDescription
from .values import (
    DIRECTIONS,
    STATIC_FORMATS,
    Attribute,
    Codec,
    Connection,
    ExtMap,
    Feedback,
    Fingerprint,
    Group,
    Msid,
    Rid,
    Rtcp,
    Simulcast,
    SimulcastId,
    SsrcDescription,
    SsrcGroup,
)

if TYPE_CHECKING:
    from .session import SessionDescription

ValueParser = Callable[[Any, str], None]
FlagParser = Callable[[Any], None]
Parser = TypeVar("Parser", ValueParser, FlagParser)

_HASH_SIZES: Final = {"md2": 16, "md5": 16, "sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}
KEPT_WHEN_MALFORMED: Final = frozenset({"fmtp", "maxptime", "msid-semantic", "ptime", "rid", "simulcast"})
"""Attributes without which everything still works, or whose specification says to ignore malformed lines."""

_ROLES: Final = frozenset({"actpass", "active", "passive", "holdconn"})
_is_hex_bytes = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*").fullmatch
# Deviates: RFC 8839 section 5.4 allows only ice-char; "-", "_", "#" and "=" are in use and browsers accept them.
_is_ufrag = re.compile(r"[A-Za-z0-9+/\-_#=]{4,256}").fullmatch
_is_password = re.compile(r"[A-Za-z0-9+/\-_#=]{22,256}").fullmatch
_is_tls_id = re.compile(r"[A-Za-z0-9+/\-_]{20,255}").fullmatch
_is_duration = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,3})?").fullmatch
_is_parameter_name = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*").fullmatch
_is_rid = re.compile(r"[A-Za-z0-9_-]+").fullmatch
_is_simulcast_id = re.compile(r"~?[A-Za-z0-9_-]+").fullmatch
_match_extmap = re.compile(r"([1-9][0-9]{0,3})(?:/(sendrecv|sendonly|recvonly|inactive))? ([!-~]+)(?: (.*))?").fullmatch
_match_rid = re.compile(r"([A-Za-z0-9_-]+) (send|recv)(?: (.+))?").fullmatch
_match_rtpmap = re.compile(
    rf"(0|[1-9][0-9]{{0,2}}) ({TOKEN_GRAMMAR})/([1-9][0-9]{{0,9}})(?:/([1-9][0-9]{{0,2}}))? *"
).fullmatch
_Rtpmap: TypeAlias = tuple[str, int, str, int, int | None]
_Fmtp: TypeAlias = tuple[str, str, dict[str, str | None]]


class Level:
    """What the attributes of one level are parsed into.

    Args:
        target: The session or the section.
    """

    __slots__ = ("attributes", "extmap_ids", "target")

    def __init__(self, target: "SessionDescription | MediaDescription") -> None:
        self.target = target
        self.extmap_ids: set[int] = set()
        self.attributes = target.attributes

    def set_once(self, field: str, name: str, value: object) -> None:
        """Set a field for which two different values would leave open which of them counts."""
        old = getattr(self.target, field)
        if old is not None and old != value:
            raise ParseError("duplicate-attribute", f"a second a={name} with another value")
        setattr(self.target, field, value)

    def keep(self, name: str, value: str) -> None:
        """Keep a line as it is, for whoever may understand it."""
        self.attributes.append(Attribute(name, value))

    def finish(self) -> None:
        """Bring together what several lines said."""


class SessionLevel(Level):
    """The session level."""

    __slots__ = ("session",)

    def __init__(self, session: "SessionDescription") -> None:
        super().__init__(session)
        self.session = session


class MediaLevel(Level):
    """One section, and what must be collected before it can be put together: formats may precede their `rtpmap`.

    Args:
        media: The section.
        mids: Those of the sections before.
    """

    __slots__ = ("_feedback", "_feedback_values", "_fmtps", "_rtpmaps", "is_rtp", "media", "mids", "rids", "ssrcs")

    def __init__(self, media: MediaDescription, mids: set[str]) -> None:
        super().__init__(media)
        self.media = media
        self.mids = mids
        self.is_rtp = "RTP/" in media.protocol
        self.ssrcs: dict[int, SsrcDescription] = {}
        self.rids: dict[str, Rid] = {}
        self._feedback: list[tuple[str, Feedback]] = []
        self._feedback_values: set[Feedback] = set()
        self._rtpmaps: dict[str, tuple[_Rtpmap, str]] = {}
        self._fmtps: list[_Fmtp] = []

    def parse_rtpmap(self, value: str) -> None:
        """RFC 8866 section 6.6."""
        if not self.is_rtp:
            self.keep("rtpmap", value)
            return
        fields = _rtpmap(value)
        payload_type = fields[0]
        if payload_type not in self._rtpmaps:
            self._rtpmaps[payload_type] = fields, value
        elif self._rtpmaps[payload_type][0] != fields:
            raise ParseError("duplicate-attribute", f"payload type {payload_type} has two meanings")

    def parse_fmtp(self, value: str) -> None:
        """RFC 8866 section 6.15."""
        self._fmtps.append(_fmtp(value))

    def parse_feedback(self, value: str) -> None:
        """RFC 4585 section 4.2."""
        item = _feedback(value)
        values = self._feedback_values
        if item[1] not in values:
            if len(values) == MAX_FEEDBACK:
                raise ParseError("too-many-feedback", f"more than {MAX_FEEDBACK} kinds in a section")
            values.add(item[1])
        self._feedback.append(item)

    def finish(self) -> None:
        """Build the formats from their lines; lines of formats that are not offered are kept."""
        media = self.media
        media.ssrcs = list(self.ssrcs.values())
        media.rids = list(self.rids.values())
        media.other_lines.sort(key=lambda item: item[0])
        codecs: dict[str, Codec] = {}
        if self.is_rtp:
            rtpmaps = self._rtpmaps
            for payload_type in media.formats:
                entry = rtpmaps.pop(payload_type, None)
                if entry is not None:
                    _, number, name, clock_rate, channels = entry[0]
                    codecs[payload_type] = Codec(number, name, clock_rate, channels, {}, [])
                elif int(payload_type) in STATIC_FORMATS:
                    codecs[payload_type] = Codec(int(payload_type), *STATIC_FORMATS[int(payload_type)])
            media.codecs = list(codecs.values())
        for _, value in self._rtpmaps.values():
            self.keep("rtpmap", value)
        for payload_type, text, parameters in self._fmtps:
            codec = codecs.get(payload_type)
            if codec is not None and parameters:
                codec.parameters.update(parameters)
            elif codec is not None and text and codec.raw_parameters is None:
                codec.raw_parameters = text
            else:
                self.keep("fmtp", f"{payload_type} {text}" if text else payload_type)
        self._distribute_feedback(codecs)

    def _distribute_feedback(self, codecs: dict[str, Codec]) -> None:
        given_to_all: set[Feedback] = set()
        for payload_type, feedback in self._feedback:
            codec = codecs.get(payload_type)
            if codec is not None:
                if feedback not in codec.feedback:
                    codec.feedback.append(feedback)
            elif payload_type == "*" and codecs:
                if feedback not in given_to_all:
                    given_to_all.add(feedback)
                    for each in codecs.values():
                        if feedback not in each.feedback:
                            each.feedback.append(feedback)
            else:
                kind, parameter = feedback
                self.keep("rtcp-fb", f"{payload_type} {kind} {parameter}" if parameter else f"{payload_type} {kind}")


@remembered
def _rtpmap(value: str) -> _Rtpmap:
    """Return payload type as text and number, encoding name, clock rate and channels."""
    match = _match_rtpmap(value)
    if match is None:
        raise ParseError("bad-rtpmap", excerpt(value))
    payload_type, name, clock_rate, channels = match.groups()
    if int(clock_rate) > MAX_UINT32 or int(payload_type) > 127:
        raise ParseError("bad-rtpmap", f"payload type or clock rate in {excerpt(value)}")
    return payload_type, int(payload_type), name, int(clock_rate), int(channels) if channels else None


@remembered
def _fmtp(value: str) -> _Fmtp:
    """Return payload type, text, and the parameters, which are empty if the text is not a list of them."""
    payload_type, _, text = value.partition(" ")
    text = text.strip()
    parameters: dict[str, str | None] = {}
    for part in text.split(";"):
        name, equals, parameter = part.strip().partition("=")
        if equals:
            parameters[name] = parameter
        elif _is_parameter_name(name):
            parameters[name] = None
        elif name:
            return payload_type, text, {}
    return payload_type, text, parameters


@remembered
def _feedback(value: str) -> tuple[str, Feedback]:
    """Return payload type and feedback."""
    payload_type, _, text = value.partition(" ")
    kind, _, parameter = text.partition(" ")
    if not is_token(kind):
        raise ParseError("bad-rtcp-fb", f"no type in {excerpt(value)}")
    return payload_type, Feedback(kind, parameter.strip() or None)


def parse_connection(value: str, reason: str) -> Connection:
    """Parse the value of `c=`.

    Raises:
        ParseError: `reason`.
    """
    fields = value.split(" ")
    if len(fields) != 3 or not is_token(fields[0]) or not is_token(fields[1]) or not fields[2]:
        raise ParseError(reason, f"{excerpt(value)} is not network type, address type and address")
    return Connection(*fields)


def _parse_fingerprint(level: Level, value: str) -> None:
    level.target.fingerprints.append(_fingerprint(value))


@remembered  # each section of a description repeats it
def _fingerprint(value: str) -> Fingerprint:
    algorithm, _, digest = value.strip(" ").partition(" ")
    algorithm = algorithm.lower()
    if not is_token(algorithm) or not _is_hex_bytes(digest):
        raise ParseError("bad-fingerprint", f"{excerpt(value)} is not an algorithm and bytes in hexadecimal")
    size = (len(digest) + 1) // 3
    if _HASH_SIZES.get(algorithm, size) != size:
        raise ParseError("bad-fingerprint", f"{size} bytes are no {algorithm}")
    return Fingerprint(algorithm, digest.upper())


def _parse_setup(level: Level, value: str) -> None:
    if value not in _ROLES:
        raise ParseError("bad-setup", f"role {excerpt(value)}")
    level.set_once("setup", "setup", value)


def _parse_ice_ufrag(level: Level, value: str) -> None:
    if not _is_ufrag(value):
        raise ParseError("bad-ice-ufrag", "not 4 to 256 of the characters allowed")
    level.set_once("ice_ufrag", "ice-ufrag", value)


def _parse_ice_pwd(level: Level, value: str) -> None:
    if not _is_password(value):
        raise ParseError("bad-ice-pwd", "not 22 to 256 of the characters allowed")
    level.set_once("ice_pwd", "ice-pwd", value)


def _parse_ice_options(level: Level, value: str) -> None:
    # Deviates: RFC 8839 section 5.6 separates with spaces; libdatachannel up to 0.22 wrote "ice2,trickle".
    options = value.replace(",", " ").split()
    # Deviates: it allows only ice-char in them; libwebrtc wrote "goog-sped-v1".
    if not options or not all(map(is_token, options)):
        raise ParseError("bad-ice-options", excerpt(value))
    known = level.target.ice_options
    for option in options:
        if option not in known:
            if len(known) == MAX_ICE_OPTIONS:
                raise ParseError("too-many-ice-options", f"more than {MAX_ICE_OPTIONS}")
            known.append(option)


def _parse_ice_pacing(level: Level, value: str) -> None:
    if not (value.isascii() and value.isdigit() and 0 < len(value) <= 10):  # RFC 8839 section 5.5
        raise ParseError("bad-ice-pacing", f"{excerpt(value)} is not a number of milliseconds")
    level.set_once("ice_pacing", "ice-pacing", int(value))


def _parse_extmap(level: Level, value: str) -> None:
    fields = _extmap(value)
    identifier = fields[0]
    if identifier in level.extmap_ids and identifier <= 256:
        raise ParseError("bad-extmap", f"identifier {identifier} is there twice")
    level.extmap_ids.add(identifier)
    level.target.extmaps.append(ExtMap(*fields))


@remembered
def _extmap(value: str) -> tuple[int, str, str | None, str]:
    match = _match_extmap(value)
    if match is None:
        raise ParseError("bad-extmap", f"{excerpt(value)} is not identifier, direction and URI")
    number, direction, uri, attributes = match.groups()
    identifier = int(number)
    # RFC 8285 section 7: several extensions may compete for one identifier of the range from 4096.
    if identifier > 256 and not 4096 <= identifier <= 4351:
        raise ParseError("bad-extmap", f"identifier {identifier} is reserved")
    return identifier, uri, direction, attributes or ""


def _parse_group(level: SessionLevel, value: str) -> None:
    semantics, *items = value.rstrip(" ").split(" ")
    if not is_token(semantics) or not all(map(is_token, items)):
        raise ParseError("bad-group", excerpt(value))
    level.session.groups.append(Group(semantics, items))


def _parse_msid_semantic(level: SessionLevel, value: str) -> None:
    if level.session.msid_semantic is None:
        level.session.msid_semantic = value.strip()
    else:
        level.keep("msid-semantic", value)


def _parse_mid(level: MediaLevel, value: str) -> None:
    if not is_token(value):
        raise ParseError("bad-mid", excerpt(value))
    if value != level.media.mid and value in level.mids:
        raise ParseError("duplicate-mid", f"{excerpt(value)} belongs to an earlier section")
    level.set_once("mid", "mid", value)
    level.mids.add(value)


def _parse_candidate(level: MediaLevel, value: str) -> None:
    try:
        candidate = Candidate.parse_value(value)
    except ParseError as error:
        if error.reason not in IGNORED_REASONS:
            raise
        level.keep("candidate", value)
        return
    candidates = level.media.candidates
    if len(candidates) == MAX_CANDIDATES:
        raise ParseError("too-many-candidates", f"more than {MAX_CANDIDATES}")
    candidates.append(candidate)


def _parse_rtcp(level: MediaLevel, value: str) -> None:
    port, space, address = value.partition(" ")
    rtcp = Rtcp(integer(port, "bad-rtcp", "port", 0, 65535), parse_connection(address, "bad-rtcp") if space else None)
    level.set_once("rtcp", "rtcp", rtcp)


def _parse_tls_id(level: MediaLevel, value: str) -> None:
    if not _is_tls_id(value):
        raise ParseError("bad-tls-id", "not 20 to 255 of the characters allowed")
    level.set_once("tls_id", "tls-id", value)


def _parse_sctp_port(level: MediaLevel, value: str) -> None:
    if not is_plain_integer(value) or int(value) > 65535:
        raise ParseError("bad-sctp-port", f"{excerpt(value)} is not a port")
    level.set_once("sctp_port", "sctp-port", int(value))


def _parse_max_message_size(level: MediaLevel, value: str) -> None:
    if not is_plain_integer(value) or int(value) > MAX_UINT64:
        raise ParseError("bad-max-message-size", f"{excerpt(value)} is not a size")
    level.set_once("max_message_size", "max-message-size", int(value))


def _parse_sctp_init(level: MediaLevel, value: str) -> None:
    level.set_once("sctp_init", "sctp-init", value)  # whoever has no use for it need not know what is in it


def _parse_msid(level: MediaLevel, value: str) -> None:
    # Deviates: RFC 8830 section 2 allows token-char and 64 of them; GStreamer's ids hold "@", others are longer.
    ids = value.strip(" ").split(" ")
    if not 1 <= len(ids) <= 2 or not all(ids) or not value.isprintable():
        raise ParseError("bad-msid", excerpt(value))
    level.media.msids.append(Msid(*ids))


def _parse_ssrc(level: MediaLevel, value: str) -> None:
    number, _, rest = value.partition(" ")
    name, colon, text = rest.partition(":")
    ssrc = integer(number, "bad-ssrc", "source", 0, MAX_UINT32)
    if not is_token(name):
        raise ParseError("bad-ssrc", f"attribute {excerpt(rest)}")
    source = level.ssrcs.get(ssrc)
    if source is None:
        source = level.ssrcs[ssrc] = SsrcDescription(ssrc)
    new = text if colon else None
    if source.attributes.setdefault(name, new) != new:
        if name == "cname":
            raise ParseError("duplicate-attribute", f"a second cname for {ssrc}")
        level.keep("ssrc", value)


def _parse_ssrc_group(level: MediaLevel, value: str) -> None:
    semantics, *numbers = value.rstrip(" ").split(" ")
    if not is_token(semantics) or not numbers:
        raise ParseError("bad-ssrc-group", excerpt(value))
    ssrcs = [integer(number, "bad-ssrc-group", "source", 0, MAX_UINT32) for number in numbers]
    level.media.ssrc_groups.append(SsrcGroup(semantics, ssrcs))


def _parse_rid(level: MediaLevel, value: str) -> None:
    rid = _rid(value)
    if rid is None or rid.id in level.rids:
        level.keep("rid", value)  # RFC 8851 section 6.2 discards the line, not the description
    else:
        level.rids[rid.id] = rid


def _rid(value: str) -> Rid | None:
    match = _match_rid(value)
    if match is None:
        return None
    rid = Rid(match[1], match[2])
    for position, part in enumerate(match[3].split(";") if match[3] else ()):
        name, equals, text = part.partition("=")
        if not _is_rid(name) or name in rid.restrictions:
            return None
        if name == "pt":
            rid.formats = text.split(",")
            if position or not all(map(is_token, rid.formats)):
                return None
        else:
            rid.restrictions[name] = text if equals else None
    return rid


def _parse_simulcast(level: MediaLevel, value: str) -> None:
    simulcast = _simulcast(value)
    if simulcast is None or level.media.simulcast is not None:
        level.keep("simulcast", value)  # earlier drafts had another syntax, and without simulcast media still flows
    else:
        level.media.simulcast = simulcast


def _simulcast(value: str) -> Simulcast | None:
    fields = value.split(" ")
    directions, lists = fields[::2], fields[1::2]
    if len(directions) != len(lists) or sorted(directions) not in (["send"], ["recv"], ["recv", "send"]):
        return None
    streams = {
        direction: [alternatives.split(",") for alternatives in text.split(";")]
        for direction, text in zip(directions, lists, strict=True)
    }
    if not all(_is_simulcast_id(text) for stream in streams.values() for ids in stream for text in ids):
        return None
    return Simulcast(
        **{
            direction: [[SimulcastId(text.removeprefix("~"), text[0] == "~") for text in ids] for ids in stream]
            for direction, stream in streams.items()
        }
    )


def _duration(name: str) -> ValueParser:
    def parse(level: MediaLevel, value: str) -> None:
        if _is_duration(value) and float(value) and getattr(level.media, name) is None:
            setattr(level.media, name, float(value))
        else:
            level.keep(name, value)

    return parse


def _flag(field: str) -> FlagParser:
    def parse(level: Level) -> None:
        setattr(level.target, field, True)

    return parse


def _direction(direction: str) -> FlagParser:
    def parse(level: Level) -> None:
        level.set_once("direction", direction, direction)

    return parse


_SHARED_VALUES: Final[dict[str, ValueParser]] = {
    "extmap": _parse_extmap,
    "fingerprint": _parse_fingerprint,
    "ice-options": _parse_ice_options,
    "ice-pwd": _parse_ice_pwd,
    "ice-ufrag": _parse_ice_ufrag,
    "setup": _parse_setup,
}
_SHARED_FLAGS: Final[dict[str, FlagParser]] = {
    "end-of-candidates": _flag("end_of_candidates"),
    "extmap-allow-mixed": _flag("extmap_allow_mixed"),
    **{direction: _direction(direction) for direction in DIRECTIONS},
}


def _table(parsers: Mapping[str, Parser]) -> dict[str, Parser]:
    return {f"a={name}": parser for name, parser in parsers.items()}


SESSION_VALUES: Final = _table(
    {**_SHARED_VALUES, "group": _parse_group, "ice-pacing": _parse_ice_pacing, "msid-semantic": _parse_msid_semantic}
)
SESSION_FLAGS: Final = _table({**_SHARED_FLAGS, "ice-lite": _flag("ice_lite")})
MEDIA_VALUES: Final = _table(
    {
        **_SHARED_VALUES,
        "candidate": _parse_candidate,
        "fmtp": MediaLevel.parse_fmtp,
        "max-message-size": _parse_max_message_size,
        "maxptime": _duration("maxptime"),
        "mid": _parse_mid,
        "msid": _parse_msid,
        "ptime": _duration("ptime"),
        "rid": _parse_rid,
        "rtcp": _parse_rtcp,
        "rtcp-fb": MediaLevel.parse_feedback,
        "rtpmap": MediaLevel.parse_rtpmap,
        "sctp-init": _parse_sctp_init,
        "sctp-port": _parse_sctp_port,
        "simulcast": _parse_simulcast,
        "ssrc": _parse_ssrc,
        "ssrc-group": _parse_ssrc_group,
        "tls-id": _parse_tls_id,
    }
)
MEDIA_FLAGS: Final = _table(
    {
        **_SHARED_FLAGS,
        "bundle-only": _flag("bundle_only"),
        "rtcp-mux": _flag("rtcp_mux"),
        "rtcp-mux-only": _flag("rtcp_mux_only"),
        "rtcp-rsize": _flag("rtcp_rsize"),
    }
)
