"""A transceiver: one m-section's sender and receiver (RFC 8829 section 3.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from .. import rtp
from ..core import RandomBytes
from .codecs import CODECS, Codec, NegotiatedCodec
from .extensions import Form

DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")


def direction_of(*, send: bool, receive: bool) -> str:
    """Return the SDP direction for what is wanted."""
    if send:
        return "sendrecv" if receive else "sendonly"
    return "recvonly" if receive else "inactive"


def sends(direction: str | None) -> bool:
    """Whether a direction includes sending, seen from whose direction it is."""
    return direction in {"sendrecv", "sendonly"}


def receives(direction: str | None) -> bool:
    """Whether a direction includes receiving, seen from whose direction it is."""
    return direction in {"sendrecv", "recvonly"}


def reverse(direction: str) -> str:
    """Return the same direction seen from the other end."""
    return {"sendonly": "recvonly", "recvonly": "sendonly"}.get(direction, direction)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How we send (W3C RTCRtpEncodingParameters).

    Args:
        active: Whether anything is sent at all.
        max_bitrate: bit/s at most; None for what the path carries.
        max_framerate: Pictures per second at most; None for all.
        scale_resolution_down_by: Width and height are divided by this, 1 or more.
        priority: `very-low`, `low`, `medium` or `high`.
    """

    active: bool = True
    max_bitrate: int | None = None
    max_framerate: float | None = None
    scale_resolution_down_by: float = 1.0
    priority: str = "low"


@dataclass(eq=False, slots=True)
class Transceiver:
    """State of one m-section of kind audio or video.

    Attributes:
        kind: `audio` or `video`.
        direction: What we want.
        current_direction: What was negotiated, None before.
        mid: Its `a=mid`, None until it is in a description.
        mline_index: Its place in the descriptions.
        stopping: Whether it is to end: the next description rejects its section (W3C stop).
        stopped: Whether it has ended: it was rejected, or its end was negotiated.
        has_sent: Whether it was negotiated to send before, so that addTrack makes another one.
        is_peers: Whether an offer of the peer's made it and nobody here has asked for it since.
        stream_id: Our msid's stream part.
        track_id: Our msid's track part.
        ssrc: Of what we send.
        rtx_ssrc: Of the retransmissions we send.
        preferences: Codecs we are willing to use, best first.
        preferences_set: Whether the application chose them; their order then goes before the offerer's.
        codecs: What was negotiated, best first.
        sender: The RTP sender while we may send.
        receiver: The RTP receiver while the peer may send.
        timestamp_offset: Added to the timestamps of what we send: RFC 3550 section 5.1 wants a random origin.
        has_track: Whether there is something to send.
        source_id: Id of that, which may have been replaced since `track_id` was told; empty for `track_id`.
        added_by_track: Whether addTrack made it; only then may it take up an offered section (RFC 8829 section 5.10).
        encoding: How we send.
        target_bitrate: What the path carries for it, bit/s; None before that is known.
        received_payload_type: Of the last packet that came; None before the first.
        extensions: Negotiated header extensions, URI to id.
        encrypted: Which of them are encrypted (RFC 6904), URIs.
        reports: Which reports on single packets were agreed, see `reports`; None for none.
        remote_ssrcs: What the peer's description says it sends with.
        remote_streams: Stream ids of the peer's msid.
        remote_track_id: Track id of the peer's msid.
    """

    kind: str
    direction: str
    stream_id: str
    track_id: str
    ssrc: int
    rtx_ssrc: int
    timestamp_offset: int = 0
    has_track: bool = False
    source_id: str = ""
    added_by_track: bool = False
    current_direction: str | None = None
    mid: str | None = None
    mline_index: int | None = None
    stopping: bool = False
    stopped: bool = False
    has_sent: bool = False
    is_peers: bool = False
    preferences: list[Codec] = field(default_factory=list, repr=False)
    preferences_set: bool = False
    codecs: list[NegotiatedCodec] = field(default_factory=list, repr=False)
    encoding: Encoding = field(default_factory=Encoding)
    target_bitrate: int | None = None
    received_payload_type: int | None = None
    extensions: dict[str, int] = field(default_factory=dict)
    encrypted: frozenset[str] = frozenset()
    reports: str | None = None
    remote_ssrcs: tuple[int, ...] = ()
    remote_streams: tuple[str, ...] = ()
    remote_track_id: str = ""
    sender: rtp.Sender | None = field(default=None, repr=False)
    receiver: rtp.Receiver | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.preferences:
            self.preferences = list(CODECS[self.kind])

    @property
    def extension_forms(self) -> dict[Form, int]:
        """The negotiated header extensions with whether they are encrypted."""
        return {Form(uri, uri in self.encrypted): number for uri, number in self.extensions.items()}

    @extension_forms.setter
    def extension_forms(self, forms: Mapping[Form, int]) -> None:
        self.extensions = {form.uri: number for form, number in forms.items()}
        self.encrypted = frozenset(form.uri for form in forms if form.encrypted)

    @property
    def msids(self) -> list[tuple[str, str | None]]:
        """What our description says we send (RFC 8830): a stream and a track."""
        return [(self.stream_id, self.track_id)]

    @classmethod
    def create(cls, kind: str, direction: str, random_bytes: RandomBytes) -> Self:
        """Make a transceiver with random identifiers (RFC 3550 section 8.1 for the SSRCs)."""
        return cls(
            kind,
            direction,
            stream_id=_uuid(random_bytes),
            track_id=_uuid(random_bytes),
            ssrc=int.from_bytes(random_bytes(4), "big") or 1,
            rtx_ssrc=int.from_bytes(random_bytes(4), "big") or 2,
            timestamp_offset=int.from_bytes(random_bytes(4), "big"),
        )


def _uuid(random_bytes: RandomBytes) -> str:
    text = random_bytes(16).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
