"""Session descriptions (RFC 8866) as WebRTC uses them: text to values and back, without loss.

>>> session = SessionDescription.parse(text)
>>> session.media[0].candidates
>>> session.serialize()
"""

from .candidate import Candidate
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
    "MAX_CANDIDATES",
    "MAX_LINES",
    "MAX_LINE_LENGTH",
    "MAX_MEDIA",
    "MAX_SIZE",
    "Attribute",
    "Bandwidth",
    "Candidate",
    "Codec",
    "Connection",
    "ExtMap",
    "Feedback",
    "Fingerprint",
    "Group",
    "MediaDescription",
    "Msid",
    "Origin",
    "Rid",
    "Rtcp",
    "SessionDescription",
    "Simulcast",
    "SimulcastId",
    "SsrcDescription",
    "SsrcGroup",
    "Timing",
]
