"""VP8 in RTP (RFC 7741).

# Not implemented: one payload per partition; frames are cut where a payload is full (RFC 7741 section 4.4 allows it).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..core import LocalError, ParseError

DESCRIPTOR_BYTES = 4  # with a 15-bit picture ID, as `serialize` writes it


@dataclass(slots=True)
class Descriptor:
    """The VP8 payload descriptor (RFC 7741 section 4.2).

    Args:
        start: S, the payload begins a partition.
        partition: PID, 0..7 (RFC 7741: three bits).
        non_reference: N, the frame can be dropped.
        picture_id: 15 bits (7 are read as they are), or None.
        tl0_picture_index: 8 bits, or None.
        temporal_layer: (TID, Y), or None.
        key_index: 5 bits, or None.
    """

    start: bool = False
    partition: int = 0
    non_reference: bool = False
    picture_id: int | None = None
    tl0_picture_index: int | None = None
    temporal_layer: tuple[int, bool] | None = None
    key_index: int | None = None

    def serialize(self) -> bytes:
        """Return the descriptor; picture IDs take two octets.

        Raises:
            LocalError: If a field does not fit.
        """
        layered = self.temporal_layer is not None or self.key_index is not None
        extended = self.picture_id is not None or self.tl0_picture_index is not None or layered
        if not 0 <= self.partition <= 7:
            raise LocalError(f"partition {self.partition}")
        out = bytearray((extended << 7 | self.non_reference << 5 | self.start << 4 | self.partition,))
        if extended:
            out.append(
                (self.picture_id is not None) << 7
                | (self.tl0_picture_index is not None) << 6
                | (self.temporal_layer is not None) << 5
                | (self.key_index is not None) << 4
            )
            if self.picture_id is not None:
                if not 0 <= self.picture_id <= 0x7FFF:
                    raise LocalError(f"picture ID {self.picture_id}")
                out += (0x8000 | self.picture_id).to_bytes(2, "big")
            if self.tl0_picture_index is not None:
                out.append(self.tl0_picture_index & 0xFF)
            if layered:
                tid, y = self.temporal_layer or (0, False)
                out.append((tid & 3) << 6 | y << 5 | (self.key_index or 0) & 0x1F)
        return bytes(out)

    @classmethod
    def parse(cls, payload: bytes) -> tuple["Descriptor", int]:
        """Parse the descriptor at the start of `payload`.

        Returns:
            The descriptor and its size in bytes.

        Raises:
            ParseError: `truncated` if the descriptor or the payload behind it is missing.
        """
        try:
            first = payload[0]
            found = cls(bool(first & 0x10), first & 7, bool(first & 0x20))
            at = 1
            if first & 0x80:
                flags = payload[1]
                at = 2
                if flags & 0x80:
                    found.picture_id = payload[at] & 0x7F
                    if payload[at] & 0x80:
                        at += 1
                        found.picture_id = found.picture_id << 8 | payload[at]
                    at += 1
                if flags & 0x40:
                    found.tl0_picture_index = payload[at]
                    at += 1
                if flags & 0x30:
                    layer = payload[at]
                    at += 1
                    if flags & 0x20:
                        found.temporal_layer = (layer >> 6, bool(layer & 0x20))
                    if flags & 0x10:
                        found.key_index = layer & 0x1F
        except IndexError as error:
            raise ParseError("truncated", "payload descriptor") from error
        if at >= len(payload):
            raise ParseError("truncated", "nothing behind the payload descriptor")
        return found, at


def packetize(frame: bytes, max_payload: int, frame_number: int = 0) -> list[bytes]:
    """Split a frame into RTP payloads; the last one takes the marker.

    Args:
        frame: One VP8 frame.
        max_payload: Bytes per payload, at least 5.
        frame_number: Counts frames; modulo 2**15 the picture ID.

    Raises:
        LocalError: If the frame is empty or payloads are too small.
    """
    size = max_payload - DESCRIPTOR_BYTES
    if size < 1 or not frame:
        raise LocalError(f"{len(frame)} bytes cannot be sent in payloads of {max_payload}")
    picture_id = frame_number & 0x7FFF
    first = Descriptor(start=True, picture_id=picture_id).serialize()
    others = Descriptor(picture_id=picture_id).serialize()
    payloads = [others + frame[at : at + size] for at in range(size, len(frame), size)]
    return [first + frame[:size], *payloads]


def depacketize(payloads: Sequence[bytes]) -> bytes:
    """Return the frame that complete, ordered payloads carry.

    Raises:
        ParseError: `truncated`, `bad-start` if the first does not begin the frame or another does, `bad-picture-id`
            if they belong to different pictures.
    """
    parts: list[bytes] = []
    picture_id: int | None = None
    for index, payload in enumerate(payloads):
        descriptor, at = Descriptor.parse(payload)
        if (descriptor.start and descriptor.partition == 0) != (index == 0):
            raise ParseError("bad-start", f"payload {index}")
        if index == 0:
            picture_id = descriptor.picture_id
        elif descriptor.picture_id != picture_id:
            raise ParseError("bad-picture-id", f"payload {index}")
        parts.append(payload[at:])
    if not parts:
        raise ParseError("truncated", "no payloads")
    return b"".join(parts)


def is_keyframe(frame: bytes) -> bool:
    """Tell whether a frame is a key frame: the P bit is 0 (RFC 7741 section 4.3)."""
    return bool(frame) and not frame[0] & 1


def begins_keyframe(payload: bytes) -> bool:
    """Tell whether an RTP payload is the first of a key frame."""
    try:
        descriptor, at = Descriptor.parse(payload)
    except ParseError:
        return False
    return descriptor.start and descriptor.partition == 0 and not payload[at] & 1
