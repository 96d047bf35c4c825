"""RTP packets (RFC 3550 section 5) with RFC 8285 header extensions."""

import struct
from dataclasses import dataclass, field

from ..core import LocalError, ParseError
from .extensions import parse_extensions, serialize_extensions

HEADER_BYTES = 12
MAX_CSRCS = 15  # RFC 3550 section 5.1: CC has four bits

_FIXED = struct.Struct("!BBHLL")
_PACK = _FIXED.pack
_UNPACK = _FIXED.unpack_from
_EXTENSION_HEADER = struct.Struct("!HH").unpack_from


@dataclass(slots=True)
class Packet:
    """One RTP packet.

    Args:
        payload_type: 0..127.
        marker: The M bit; for video, the last packet of a frame.
        sequence_number: 0..65535.
        timestamp: Media clock, 32 bits.
        ssrc: 32 bits.
        csrcs: At most 15.
        extensions: Header extensions, identifier to raw value.
        payload: Without padding.
        padding: Octets of padding, the count included; 0 for none.
    """

    payload_type: int = 0
    marker: bool = False
    sequence_number: int = 0
    timestamp: int = 0
    ssrc: int = 0
    csrcs: tuple[int, ...] = ()
    extensions: dict[int, bytes] = field(default_factory=dict)
    payload: bytes = b""
    padding: int = 0

    @classmethod
    def parse(cls, data: bytes) -> "Packet":
        """Parse a datagram.

        An extension of a profile other than RFC 8285's is skipped.

        Raises:
            ParseError: `truncated`, `bad-version`, `bad-padding` or `bad-extension`.
        """
        size = len(data)
        if size < HEADER_BYTES:
            raise ParseError("truncated", f"{size} bytes")
        first, second, sequence_number, timestamp, ssrc = _UNPACK(data)
        if first == 0x80:
            return cls(second & 0x7F, second > 127, sequence_number, timestamp, ssrc, (), {}, data[HEADER_BYTES:], 0)
        if first >> 6 != 2:
            raise ParseError("bad-version", str(first >> 6))
        offset = HEADER_BYTES
        csrcs: tuple[int, ...] = ()
        if first & 0x0F:
            count = first & 0x0F
            offset += 4 * count
            if offset > size:
                raise ParseError("truncated", "CSRC list")
            csrcs = struct.unpack_from(f"!{count}L", data, HEADER_BYTES)
        extensions: dict[int, bytes] = {}
        if first & 0x10:
            if offset + 4 > size:
                raise ParseError("truncated", "header extension")
            profile, words = _EXTENSION_HEADER(data, offset)
            start = offset + 4
            offset = start + 4 * words
            if offset > size:
                raise ParseError("truncated", "header extension")
            extensions = parse_extensions(profile, data, start, offset)
        padding = 0
        if first & 0x20:
            padding = data[-1]
            if not 1 <= padding <= size - offset:
                raise ParseError("bad-padding", str(padding))
        return cls(
            second & 0x7F,
            second > 127,
            sequence_number,
            timestamp,
            ssrc,
            csrcs,
            extensions,
            data[offset : size - padding],
            padding,
        )

    def serialize(self) -> bytes:
        """Return the packet's bytes.

        Raises:
            LocalError: If a field does not fit its place on the wire.
        """
        if len(self.csrcs) > MAX_CSRCS or not 0 <= self.padding <= 255 or not 0 <= self.payload_type <= 127:
            raise LocalError("CSRCs, padding or payload type out of range")
        extension = serialize_extensions(self.extensions)
        first = 0x80 | bool(self.padding) << 5 | bool(extension) << 4 | len(self.csrcs)
        try:
            header = _PACK(
                first, self.marker << 7 | self.payload_type, self.sequence_number, self.timestamp, self.ssrc
            ) + struct.pack(f"!{len(self.csrcs)}L", *self.csrcs)
        except struct.error as error:
            raise LocalError(str(error)) from error
        parts = [header, extension, self.payload]
        if self.padding:
            parts += [bytes(self.padding - 1), bytes((self.padding,))]
        return b"".join(parts)


def build_header(
    marker_payload_type: int, sequence_number: int, timestamp: int, ssrc: int, extension: bytes = b""
) -> bytes:
    """Return a header without CSRCs, for senders in a hurry: nothing is checked but the widths.

    Args:
        marker_payload_type: The marker in bit 7, the payload type below.
        sequence_number: 16 bits.
        timestamp: 32 bits.
        ssrc: 32 bits.
        extension: What `serialize_extensions` returned.
    """
    if extension:
        return _PACK(0x90, marker_payload_type, sequence_number, timestamp, ssrc) + extension
    return _PACK(0x80, marker_payload_type, sequence_number, timestamp, ssrc)
