"""What a transceiver sends and receives: one encoding, or several of one source (simulcast, RFC 8853)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from .. import rtp
from ..core import RandomBytes
from ..rtp.simulcast import MAX_ENCODINGS
from .errors import ArgumentError, InvalidAccessError

MAX_LAYERS: Final = MAX_ENCODINGS
"""Encodings of one source, sent or received; what a description names beyond them is left out."""

MAX_RID: Final = 255
"""Characters of a rid: what an element of a header extension holds (RFC 8285 section 4.3)."""

_is_rid = re.compile(r"[A-Za-z0-9_-]+").fullmatch  # RFC 8851 section 10


@dataclass(frozen=True, slots=True)
class Encoding:
    """How we send (W3C RTCRtpEncodingParameters).

    Args:
        active: Whether anything is sent at all.
        max_bitrate: bit/s at most; None for what the path carries.
        max_framerate: Pictures per second at most; None for all.
        scale_resolution_down_by: Width and height are divided by this, 1 or more.
        priority: `very-low`, `low`, `medium` or `high`.
        rid: What tells it from the other encodings (RFC 8851 section 3); None where there is one only.
    """

    active: bool = True
    max_bitrate: int | None = None
    max_framerate: float | None = None
    scale_resolution_down_by: float = 1.0
    priority: str = "low"
    rid: str | None = None


@dataclass(eq=False, slots=True)
class Layer:
    """One encoding that we send.

    Attributes:
        encoding: How.
        ssrc: Of it.
        rtx_ssrc: Of its retransmissions.
        sender: The RTP sender while we may send.
        target_bitrate: What the path carries for it, bit/s; None before that is known, 0 if there is nothing left.
        paused_by_peer: Whether it is inactive because the peer's answer says so (`~`, RFC 8853 section 5.1).
        frame_size: Width and height of the last picture sent, pixels, as far as its encoder tells.
    """

    encoding: Encoding
    ssrc: int
    rtx_ssrc: int
    sender: rtp.Sender | None = field(default=None, repr=False)
    target_bitrate: int | None = None
    paused_by_peer: bool = False
    frame_size: tuple[int, int] | None = None

    @classmethod
    def create(cls, encoding: Encoding, random_bytes: RandomBytes) -> Self:
        """Make one with random SSRCs (RFC 3550 section 8.1)."""
        return cls(encoding, int.from_bytes(random_bytes(4), "big") or 1, int.from_bytes(random_bytes(4), "big") or 2)

    @property
    def rid(self) -> str | None:
        """Which encoding this is."""
        return self.encoding.rid


@dataclass(eq=False, slots=True)
class Reception:
    """One encoding that we receive.

    Attributes:
        rid: Which; None where there is one only.
        receiver: Its RTP receiver.
        payload_type: Of the last packet that came; None before the first.
        frame_size: Width and height of the last key frame, pixels, as far as that tells.
    """

    rid: str | None
    receiver: rtp.Receiver = field(repr=False)
    payload_type: int | None = None
    frame_size: tuple[int, int] | None = None


def check_rids(encodings: Sequence[Encoding]) -> None:
    """Refuse what tells encodings not apart (W3C WebRTC section 5.2, RFC 8851 section 10).

    Raises:
        ArgumentError: Rids are malformed, lack or are not different.
    """
    rids = [encoding.rid for encoding in encodings if encoding.rid is not None]
    if len(rids) not in {0, len(encodings)} or (len(encodings) > 1 and not rids):
        raise ArgumentError("each of several encodings needs a rid")
    if len(set(rids)) < len(rids):
        raise ArgumentError("two encodings have the same rid")
    for rid in rids:
        if not _is_rid(rid) or len(rid) > MAX_RID:
            raise ArgumentError(f"{rid[:20]!r} is no rid: 1 to {MAX_RID} letters, digits, '-' and '_'")


def check_encodings(encodings: Sequence[Encoding]) -> None:
    """Refuse what makes no sense (W3C WebRTC section 5.2).

    Raises:
        ArgumentError: See `check_rids`.
        InvalidAccessError: A number is out of range, or there are more than `MAX_LAYERS`.
    """
    check_rids(encodings)
    if len(encodings) > MAX_LAYERS:
        raise InvalidAccessError(f"more than {MAX_LAYERS} encodings")
    for encoding in encodings:
        if encoding.max_bitrate is not None and encoding.max_bitrate <= 0:
            raise InvalidAccessError(f"a largest bitrate of {encoding.max_bitrate} bit/s")
        if encoding.max_framerate is not None and encoding.max_framerate < 0:
            raise InvalidAccessError(f"a largest rate of {encoding.max_framerate} pictures per second")
        if encoding.scale_resolution_down_by < 1:
            raise InvalidAccessError("scaleResolutionDownBy is 1 or more (W3C WebRTC section 5.2)")
