"""A transceiver: one m-section's sender and receiver (RFC 8829 section 3.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from .. import rtp
from ..core import RandomBytes
from .codecs import CODECS, Codec, NegotiatedCodec
from .errors import ArgumentError
from .extensions import Form
from .layers import Encoding, Layer, Reception
from .selection import Selection

DIRECTIONS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")

MAX_STREAMS: Final = 16
"""Streams that a track of ours belongs to: each is a line in every description, and nobody needs more than some."""

MAX_STREAM_ID: Final = 255
"""Characters of its id. RFC 8830 section 2 has 64 of a token; ids that other stacks give are longer, or hold an `@`."""


def check_streams(stream_ids: Sequence[str]) -> None:
    """Refuse what cannot be written into a description.

    Raises:
        ArgumentError: An id is empty, too long or has spaces, or there are too many.
    """
    if len(stream_ids) > MAX_STREAMS:
        raise ArgumentError(f"a track belongs to {MAX_STREAMS} streams at the most, not {len(stream_ids)}")
    for stream_id in stream_ids:
        if not 1 <= len(stream_id) <= MAX_STREAM_ID or not stream_id.isprintable() or " " in stream_id:
            raise ArgumentError(f"{stream_id[:20]!r} is no id of a stream: 1 to {MAX_STREAM_ID} characters, no spaces")


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
        stream_ids: Our msids' stream parts: the streams that the track belongs to, at least one.
        track_id: Our msid's track part.
        ssrc: Of our reports; the first encoding has it too, unless the negotiation brought others.
        layers: The encodings that we send, at least one, in the order of W3C's sendEncodings.
        simulcast: Whether rids tell them apart: they are offered, or agreed.
        one_encoding: Whether what is sent cannot be had in several sizes, as it is encoded already.
        preferences: Codecs we are willing to use, best first.
        preferences_set: Whether the application chose them; their order then goes before the offerer's.
        codecs: What was negotiated, best first.
        receptions: What the peer may send, by rid; by None if it is one encoding.
        selection: Which of several is shown.
        timestamp_offset: Added to the timestamps of what we send: RFC 3550 section 5.1 wants a random origin.
        has_track: Whether there is something to send.
        source_id: Id of that, which may have been replaced since `track_id` was told; empty for `track_id`.
        added_by_track: Whether addTrack made it; only then may it take up an offered section (RFC 8829 section 5.10).
        extensions: Negotiated header extensions, URI to id.
        encrypted: Which of them are encrypted (RFC 6904), URIs.
        reports: Which reports on single packets were agreed, see `reports`; None for none.
        remote_ssrcs: What the peer's description says it sends with.
        remote_rids: The encodings that the peer sends, as agreed; none if it is one.
        remote_streams: Stream ids of the peer's msid.
        remote_track_id: Track id of the peer's msid.
    """

    kind: str
    direction: str
    stream_ids: tuple[str, ...]
    track_id: str
    ssrc: int
    layers: list[Layer]
    simulcast: bool = False
    one_encoding: bool = False
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
    extensions: dict[str, int] = field(default_factory=dict)
    encrypted: frozenset[str] = frozenset()
    reports: str | None = None
    remote_ssrcs: tuple[int, ...] = ()
    remote_rids: tuple[str, ...] = ()
    remote_streams: tuple[str, ...] = ()
    remote_track_id: str = ""
    receptions: dict[str | None, Reception] = field(default_factory=dict, repr=False)
    selection: Selection | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.preferences:
            self.preferences = list(CODECS[self.kind])

    @property
    def sender(self) -> rtp.Sender | None:
        """The RTP sender of the first encoding while we may send: then the others have one too."""
        return self.layers[0].sender

    @property
    def receiver(self) -> rtp.Receiver | None:
        """The RTP receiver of the encoding that is shown, while the peer may send."""
        shown = None if self.selection is None else self.receptions.get(self.selection.current)
        if shown is None:
            shown = next(iter(self.receptions.values()), None)
        return None if shown is None else shown.receiver

    @property
    def max_bitrate(self) -> int | None:
        """bit/s at most of all encodings that are active; None if one of them has no limit."""
        limits = [layer.encoding.max_bitrate for layer in self.layers if layer.encoding.active or len(self.layers) == 1]
        return None if None in limits else sum(limit for limit in limits if limit is not None)

    def layer(self, rid: str | None) -> Layer | None:
        """Return the encoding with a rid."""
        return next((layer for layer in self.layers if layer.rid == rid), None)

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
        """What our description says we send (RFC 8830): streams, and the track that belongs to them."""
        return [(stream_id, self.track_id) for stream_id in self.stream_ids]

    @classmethod
    def create(cls, kind: str, direction: str, random_bytes: RandomBytes) -> Self:
        """Make a transceiver with random identifiers (RFC 3550 section 8.1 for the SSRCs)."""
        stream_id, track_id = new_id(random_bytes), new_id(random_bytes)
        layer = Layer.create(Encoding(), random_bytes)
        timestamp_offset = int.from_bytes(random_bytes(4), "big")
        return cls(kind, direction, (stream_id,), track_id, layer.ssrc, [layer], timestamp_offset=timestamp_offset)


def new_id(random_bytes: RandomBytes) -> str:
    """Return a random id of a stream or a track, in the form of RFC 9562."""
    text = random_bytes(16).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
