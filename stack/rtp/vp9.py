"""VP9 in RTP (RFC 9628).

Frames are written in flexible mode, each as one picture that refers to the picture before it. Layers that others send
are read: the layer frames of a picture follow one another in the frame that comes out, as decoders want them.

# Not implemented: writing spatial or temporal layers; choosing among those that come.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..core import LocalError, ParseError

DESCRIPTOR_BYTES = 4  # flags, a 15-bit picture ID and one reference, as `packetize` writes it at most
MAX_REFERENCES = 3  # RFC 9628 section 4.2: up to three P_DIFF

_I, _P, _L, _F, _B, _E, _V, _Z = 0x80, 0x40, 0x20, 0x10, 0x08, 0x04, 0x02, 0x01
_PREVIOUS_PICTURE = 1 << 1  # P_DIFF of one, N clear


@dataclass(slots=True)
class Descriptor:
    """The VP9 payload descriptor (RFC 9628 section 4.2).

    Args:
        start: B, the payload begins a layer frame.
        end: E, the payload ends a layer frame.
        predicted: P, the layer frame refers to another picture.
        flexible: F, references stand in the descriptor.
        not_a_reference: Z, no higher layer refers to this one.
        picture_id: 15 bits (7 are read as they are), or None.
        layer: (TID, U, SID, D), or None.
        tl0_picture_index: 8 bits, or None.
        references: P_DIFF, at most three.
        resolutions: (width, height) per spatial layer from the scalability structure.
    """

    start: bool = False
    end: bool = False
    predicted: bool = False
    flexible: bool = False
    not_a_reference: bool = False
    picture_id: int | None = None
    layer: tuple[int, bool, int, bool] | None = None
    tl0_picture_index: int | None = None
    references: list[int] = field(default_factory=list)
    resolutions: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def parse(cls, payload: bytes) -> tuple["Descriptor", int]:
        """Parse the descriptor at the start of `payload`.

        Returns:
            The descriptor and its size in bytes.

        Raises:
            ParseError: `truncated`, or `bad-descriptor` for more references than there may be.
        """
        try:
            first = payload[0]
            found = cls(bool(first & _B), bool(first & _E), bool(first & _P), bool(first & _F), bool(first & _Z))
            at = 1
            if first & _I:
                found.picture_id = payload[at] & 0x7F
                if payload[at] & 0x80:
                    at += 1
                    found.picture_id = found.picture_id << 8 | payload[at]
                at += 1
            if first & _L:
                layer = payload[at]
                found.layer = (layer >> 5, bool(layer & 0x10), layer >> 1 & 7, bool(layer & 1))
                at += 1
                if not first & _F:
                    found.tl0_picture_index = payload[at]
                    at += 1
            if first & _F and first & _P:
                more = True
                while more:
                    if len(found.references) == MAX_REFERENCES:
                        raise ParseError("bad-descriptor", "more than three references")
                    found.references.append(payload[at] >> 1)
                    more = bool(payload[at] & 1)
                    at += 1
            if first & _V:
                at = found._parse_structure(payload, at)
        except IndexError as error:
            raise ParseError("truncated", "payload descriptor") from error
        if at >= len(payload):
            raise ParseError("truncated", "nothing behind the payload descriptor")
        return found, at

    def _parse_structure(self, payload: bytes, at: int) -> int:
        """Parse the scalability structure and return the offset behind it (RFC 9628 section 4.2.1)."""
        first = payload[at]
        at += 1
        if first & 0x10:
            for _ in range((first >> 5) + 1):
                self.resolutions.append((payload[at] << 8 | payload[at + 1], payload[at + 2] << 8 | payload[at + 3]))
                at += 4
        if first & 0x08:
            pictures = payload[at]
            at += 1
            for _ in range(pictures):
                at += 1 + (payload[at] >> 2 & 3)
        return at


def is_keyframe(frame: bytes) -> bool:
    """Tell whether a frame is a key frame, by its uncompressed header (VP9 bitstream specification section 6.2)."""
    if not frame or frame[0] >> 6 != 2:
        return False
    # Profile 3 has a reserved bit before show_existing_frame and frame_type, which must both be 0.
    return not frame[0] & (0x06 if frame[0] & 0x30 == 0x30 else 0x0C)


def packetize(frame: bytes, max_payload: int, frame_number: int = 0) -> list[bytes]:
    """Split a frame into RTP payloads; the last one takes the marker.

    Args:
        frame: One VP9 frame or superframe.
        max_payload: Bytes per payload, at least 5.
        frame_number: Counts frames; modulo 2**15 the picture ID.

    Raises:
        LocalError: If the frame is empty or payloads are too small.
    """
    size = max_payload - DESCRIPTOR_BYTES
    if size < 1 or not frame:
        raise LocalError(f"{len(frame)} bytes cannot be sent in payloads of {max_payload}")
    keyframe = is_keyframe(frame)
    flags = _I | _F | (0 if keyframe else _P)
    rest = (0x8000 | frame_number & 0x7FFF).to_bytes(2, "big") + (b"" if keyframe else bytes((_PREVIOUS_PICTURE,)))
    last = (len(frame) - 1) // size * size
    return [
        bytes((flags | (_B if not at else 0) | (_E if at == last else 0),)) + rest + frame[at : at + size]
        for at in range(0, len(frame), size)
    ]


def depacketize(payloads: Sequence[bytes]) -> bytes:
    """Return the frame that complete, ordered payloads carry: all layer frames of one picture.

    Raises:
        ParseError: `truncated`, `bad-descriptor`, `bad-start` if layer frames do not begin and end where they should,
            `bad-picture-id` if payloads belong to different pictures.
    """
    parts: list[bytes] = []
    picture_id: int | None = None
    inside = False
    for index, payload in enumerate(payloads):
        descriptor, at = Descriptor.parse(payload)
        if descriptor.start == inside:
            raise ParseError("bad-start", f"payload {index}")
        inside = not descriptor.end
        if index == 0:
            picture_id = descriptor.picture_id
        elif descriptor.picture_id != picture_id:
            raise ParseError("bad-picture-id", f"payload {index}")
        parts.append(payload[at:])
    if inside or not parts:
        raise ParseError("bad-start", "a layer frame is not ended")
    return b"".join(parts)


def begins_keyframe(payload: bytes) -> bool:
    """Tell whether a payload is the first of a key frame: it begins its lowest layer and refers to nothing."""
    try:
        descriptor, at = Descriptor.parse(payload)
    except ParseError:
        return False
    lowest = descriptor.layer is None or descriptor.layer[2] == 0
    return descriptor.start and lowest and not descriptor.predicted and is_keyframe(payload[at:])
