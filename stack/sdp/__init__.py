"""Session descriptions (RFC 8866) as WebRTC uses them: text to values and back, without loss.

>>> session = SessionDescription.parse(text)
>>> session.media[0].candidates
>>> session.serialize()
"""

from .candidate import Candidate
from .details import Crypto, ImageAttribute, SctpMap
from .errors import LineError
from .formats import (
    H264,
    Av1,
    FlexFec,
    Format,
    Opus,
    ProfileLevelId,
    Red,
    Rtx,
    TelephoneEvent,
    Vp8,
    Vp9,
    format_of,
)
from .fragment import Fragment
from .grammar import MAX_CANDIDATES, MAX_LINE_LENGTH, MAX_LINES, MAX_MEDIA, MAX_SIZE
from .media import MediaDescription
from .session import SessionDescription
from .values import (
    DIRECTIONS,
    Attribute,
    Bandwidth,
    Codec,
    Connection,
    ExtMap,
    Feedback,
    Fingerprint,
    Group,
    Msid,
    Origin,
    Rid,
    Rtcp,
    Simulcast,
    SimulcastId,
    SsrcDescription,
    SsrcGroup,
    Timing,
)

__all__ = [
    "DIRECTIONS",
    "H264",
    "MAX_CANDIDATES",
    "MAX_LINES",
    "MAX_LINE_LENGTH",
    "MAX_MEDIA",
    "MAX_SIZE",
    "Attribute",
    "Av1",
    "Bandwidth",
    "Candidate",
    "Codec",
    "Connection",
    "Crypto",
    "ExtMap",
    "Feedback",
    "Fingerprint",
    "FlexFec",
    "Format",
    "Fragment",
    "Group",
    "ImageAttribute",
    "LineError",
    "MediaDescription",
    "Msid",
    "Opus",
    "Origin",
    "ProfileLevelId",
    "Red",
    "Rid",
    "Rtcp",
    "Rtx",
    "SctpMap",
    "SessionDescription",
    "Simulcast",
    "SimulcastId",
    "SsrcDescription",
    "SsrcGroup",
    "TelephoneEvent",
    "Timing",
    "Vp8",
    "Vp9",
    "format_of",
]
