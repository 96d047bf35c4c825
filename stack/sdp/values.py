"""The small values that descriptions are made of."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")
"""RFC 8866 section 6.7."""


class Attribute(NamedTuple):
    """An `a=` line that this layer does not take apart.

    Attributes:
        name: Before the colon.
        value: After the colon, or None if there was no colon.
    """

    name: str
    value: str | None = None


@dataclass(slots=True)
class Origin:
    """Who made the description, and which version of it this is: `o=`, RFC 8866 section 5.2.

    The defaults are the placeholders of RFC 8829 section 5.2.1.
    """

    username: str = "-"
    session_id: int = 0
    session_version: int = 0
    net_type: str = "IN"
    addr_type: str = "IP4"
    address: str = "0.0.0.0"  # noqa: S104  a placeholder in text; nothing is bound to it


@dataclass(slots=True)
class Connection:
    """`c=`, RFC 8866 section 5.7. The defaults are the placeholders of RFC 8829 section 5.2.1."""

    net_type: str = "IN"
    addr_type: str = "IP4"
    address: str = "0.0.0.0"  # noqa: S104  a placeholder in text; nothing is bound to it


@dataclass(slots=True)
class Timing:
    """`t=`, RFC 8866 section 5.9: NTP seconds, 0 and 0 for a session that is always there."""

    start: int = 0
    stop: int = 0


@dataclass(slots=True)
class Bandwidth:
    """`b=`, RFC 8866 section 5.8.

    Attributes:
        modifier: `AS` (kilobits per second), `TIAS` (bits per second), or another.
        value: In the modifier's unit.
    """

    modifier: str
    value: int


@dataclass(slots=True)
class Group:
    """`a=group`, RFC 5888 section 5.

    Attributes:
        semantics: `BUNDLE` (RFC 9143 section 7.2.1), `LS`, or another.
        items: The `mid` of each member.
    """

    semantics: str
    items: list[str] = field(default_factory=list)


class Fingerprint(NamedTuple):
    """`a=fingerprint`, RFC 8122 section 5.

    Attributes:
        algorithm: In lower case, for example `sha-256`.
        value: Bytes in upper-case hexadecimal, separated by colons.
    """

    algorithm: str
    value: str


@dataclass(slots=True)
class Rtcp:
    """`a=rtcp`, RFC 3605 section 2.1.

    Attributes:
        port: Where RTCP is received when it is not multiplexed.
        connection: Its address, or None if the line names only a port.
    """

    port: int
    connection: Connection | None = None


@dataclass(slots=True)
class ExtMap:
    """`a=extmap`, RFC 8285 section 5.

    Attributes:
        id: 1 to 256, or 4096 to 4351 in offers with more extensions than fit (RFC 8285 section 7).
        uri: Which header extension.
        direction: One of `DIRECTIONS`, or None if the line has none.
        attributes: What follows the URI, as written.
    """

    id: int
    uri: str
    direction: str | None = None
    attributes: str = ""


class Feedback(NamedTuple):
    """One value of `a=rtcp-fb`, RFC 4585 section 4.2.

    Attributes:
        kind: For example `nack`, `ccm`, `transport-cc`.
        parameter: For example `pli`; None if there is none.
    """

    kind: str
    parameter: str | None = None


@dataclass(slots=True)
class Codec:
    """One format of an RTP section: its `a=rtpmap`, `a=fmtp` and `a=rtcp-fb` lines together.

    Attributes:
        payload_type: 0 to 127.
        name: Encoding name as written; compare without case.
        clock_rate: Hz.
        channels: As written; None if absent, which means 1 for audio.
        parameters: Of `a=fmtp`, in order and as written; None for a name without a value.
        feedback: Of `a=rtcp-fb`, with what the wildcard gave to every format.
        raw_parameters: The text of an `a=fmtp` line that is not a list of parameters, for example `0-15` of
            telephone-event or `111/111` of red.
    """

    payload_type: int
    name: str
    clock_rate: int
    channels: int | None = None
    parameters: dict[str, str | None] = field(default_factory=dict)
    feedback: list[Feedback] = field(default_factory=list)
    raw_parameters: str | None = None


class Msid(NamedTuple):
    """`a=msid`, RFC 8830 section 2.

    Attributes:
        stream: MediaStream id; `-` if the track is in no stream.
        track: MediaStreamTrack id, or None.
    """

    stream: str
    track: str | None = None


@dataclass(slots=True)
class SsrcDescription:
    """All `a=ssrc` lines of one source, RFC 5576 section 4.1.

    Attributes:
        ssrc: The source, 32 bits.
        attributes: Source-level attributes such as `cname`, in order; None for one without a value.
    """

    ssrc: int
    attributes: dict[str, str | None] = field(default_factory=dict)


@dataclass(slots=True)
class SsrcGroup:
    """`a=ssrc-group`, RFC 5576 section 4.2.

    Attributes:
        semantics: `FID`, `FEC-FR`, `SIM`, or another.
        ssrcs: The members, in order.
    """

    semantics: str
    ssrcs: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Rid:
    """`a=rid`, RFC 8851 section 4.

    Attributes:
        id: The restriction identifier.
        direction: `send` or `recv`.
        formats: What `pt=` lists; empty if every format may be used.
        restrictions: Such as `max-width`, in order; None for one without a value.
    """

    id: str
    direction: str
    formats: list[str] = field(default_factory=list)
    restrictions: dict[str, str | None] = field(default_factory=dict)


class SimulcastId(NamedTuple):
    """One alternative of a simulcast stream, RFC 8853 section 5.1."""

    rid: str
    paused: bool = False


@dataclass(slots=True)
class Simulcast:
    """`a=simulcast`, RFC 8853 section 5.1: per direction a list of streams, each a list of alternatives."""

    send: list[list[SimulcastId]] = field(default_factory=list)
    recv: list[list[SimulcastId]] = field(default_factory=list)


STATIC_FORMATS: Final[dict[int, tuple[str, int, int | None]]] = {
    0: ("PCMU", 8000, None),
    3: ("GSM", 8000, None),
    4: ("G723", 8000, None),
    8: ("PCMA", 8000, None),
    9: ("G722", 8000, None),
    13: ("CN", 8000, None),
    15: ("G728", 8000, None),
    18: ("G729", 8000, None),
    26: ("JPEG", 90000, None),
    34: ("H263", 90000, None),
}
"""Name, clock rate and channels of payload types that need no `a=rtpmap` (RFC 3551 section 6), as far as in use."""
