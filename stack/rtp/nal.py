"""What H.264 and H.265 have in common in RTP: NAL units alone, several in one payload, one in several (RFC 6184, 7798).

Access units are Annex B byte streams. What `depacketize` returns has four-byte start codes throughout.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..core import LocalError, ParseError

MAX_AGGREGATED_BYTES = 0xFFFF  # RFC 6184 section 5.7.1, RFC 7798 section 4.4.2: a NAL unit's size has 16 bits
START_CODE = b"\0\0\0\1"

_FIND = b"\0\0\1"
_U16 = struct.Struct("!H").pack


def nal_unit_offsets(access_unit: bytes) -> list[tuple[int, int]]:
    """Return (start, end) of every NAL unit of an Annex B byte stream, start codes and trailing zeros excluded."""
    find = access_unit.find
    offsets: list[tuple[int, int]] = []
    at = find(_FIND)
    while at >= 0:
        start = at + 3
        at = find(_FIND, start)
        end = len(access_unit) if at < 0 else at
        while end > start and not access_unit[end - 1]:
            end -= 1
        if end > start:
            offsets.append((start, end))
    return offsets


def split_nal_units(access_unit: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B byte stream."""
    return [access_unit[start:end] for start, end in nal_unit_offsets(access_unit)]


@dataclass(frozen=True, slots=True)
class NalFormat:
    """How one codec writes its NAL units' headers, and by that its payloads.

    Args:
        header_bytes: Octets of a header.
        type_shift: Where the type begins in the first of them, in bits from the right.
        type_mask: The type's bits, shifted to the right.
        types: Of NAL units; the types behind them are the payload format's own.
        min_bytes: Octets of the smallest NAL unit.
        aggregation: Type of a payload of several NAL units.
        fragmentation: Type of a payload with a part of one.
        aggregation_header: Makes the header of a payload of these NAL units.
        slices: Types of the NAL units that hold a picture.
        keyframe_slices: Those among them of a picture that needs no other.
    """

    header_bytes: int
    type_shift: int
    type_mask: int
    types: range
    min_bytes: int
    aggregation: int
    fragmentation: int
    aggregation_header: Callable[[list[bytes]], bytes]
    slices: range
    keyframe_slices: range

    def type_of(self, header: int) -> int:
        """Return the type in the first octet of a header."""
        return header >> self.type_shift & self.type_mask

    def _header(self, like: bytes, type_: int) -> bytes:
        """Return a header with another type."""
        first = like[0] & ~(self.type_mask << self.type_shift) | type_ << self.type_shift
        return bytes((first,)) + like[1 : self.header_bytes]

    def is_keyframe(self, frame: bytes) -> bool:
        """Tell whether an Annex B access unit can be decoded without others: its first slice decides."""
        at = frame.find(_FIND)
        while 0 <= at < len(frame) - 3:
            type_ = self.type_of(frame[at + 3])
            if type_ in self.slices:
                return type_ in self.keyframe_slices
            at = frame.find(_FIND, at + 3)
        return False

    def types_begun(self, payload: bytes) -> list[int]:
        """Return the types of the NAL units that begin in an RTP payload, as far as it goes."""
        if len(payload) < self.min_bytes:
            return []
        type_, at = self.type_of(payload[0]), self.header_bytes
        if type_ == self.fragmentation:
            return [payload[at] & self.type_mask] if len(payload) > at and payload[at] & 0x80 else []
        if type_ != self.aggregation:
            return [type_]
        types = []
        while at + 2 < len(payload):
            types.append(self.type_of(payload[at + 2]))
            at += 2 + (payload[at] << 8 | payload[at + 1])
        return types

    def packetize(self, frame: bytes, max_payload: int, frame_number: int = 0) -> list[bytes]:  # noqa: ARG002  other formats need it
        """Split an access unit into RTP payloads; the last one takes the marker.

        NAL units that fit one payload together are aggregated, those that fit none are fragmented.

        Args:
            frame: Annex B.
            max_payload: Bytes per payload, at least two more than a header has.
            frame_number: Does not matter here.

        Raises:
            LocalError: If it holds no NAL unit, or one of a type that the payload format uses for itself.
        """
        if max_payload < self.header_bytes + 2:
            raise LocalError(f"{max_payload} bytes cannot hold a fragment")
        offsets = nal_unit_offsets(frame)
        if not offsets:
            raise LocalError("no NAL unit: an Annex B byte stream is wanted")
        payloads: list[bytes] = []
        waiting: list[bytes] = []
        waiting_bytes = self.header_bytes
        for start, end in offsets:
            type_, size = self.type_of(frame[start]), end - start
            if type_ not in self.types or size < self.min_bytes:
                raise LocalError(f"a NAL unit of type {type_} and {size} bytes cannot be sent")
            if waiting and (waiting_bytes + 2 + size > max_payload or size > MAX_AGGREGATED_BYTES):
                payloads.append(self._aggregate(waiting))
                waiting, waiting_bytes = [], self.header_bytes
            if size <= max_payload:
                waiting.append(frame[start:end])
                waiting_bytes += 2 + size
            else:
                payloads += self._fragment(frame, start, end, max_payload)
        if waiting:
            payloads.append(self._aggregate(waiting))
        return payloads

    def _aggregate(self, nal_units: list[bytes]) -> bytes:
        if len(nal_units) == 1:
            return nal_units[0]
        parts = [self.aggregation_header(nal_units)]
        for nal_unit in nal_units:
            parts += [_U16(len(nal_unit)), nal_unit]
        return b"".join(parts)

    def _fragment(self, frame: bytes, start: int, end: int, max_payload: int) -> list[bytes]:
        begin, type_ = start + self.header_bytes, self.type_of(frame[start])
        size = max_payload - self.header_bytes - 1
        head = self._header(frame[start:begin], self.fragmentation)
        middle = head + bytes((type_,))
        payloads = [middle + frame[at : min(at + size, end)] for at in range(begin, end, size)]
        payloads[0] = head + bytes((0x80 | type_,)) + payloads[0][len(middle) :]
        payloads[-1] = head + bytes((0x40 | type_,)) + payloads[-1][len(middle) :]
        return payloads

    def depacketize(self, payloads: Sequence[bytes]) -> bytes:
        """Return the Annex B access unit that complete, ordered payloads carry.

        Raises:
            ParseError: `truncated`, `bad-aggregate`, `bad-fragment` or `unsupported-nal-type`.
        """
        parts: list[bytes] = []
        shift, mask = self.type_shift, self.type_mask  # and not `type_of`: this is done for every packet
        fragmented: tuple[bytes, int] | None = None  # header of the fragments under way, type of their NAL unit
        for payload in payloads:
            if len(payload) < self.min_bytes:
                raise ParseError("truncated", "payload")
            type_ = payload[0] >> shift & mask
            if type_ == self.fragmentation:
                fragmented = self._join_fragment(payload, fragmented, parts)
                continue
            if fragmented is not None:
                raise ParseError("bad-fragment", "not ended")
            if type_ == self.aggregation:
                self._split_aggregate(payload, parts)
            elif type_ in self.types:
                parts += [START_CODE, payload]
            else:
                raise ParseError("unsupported-nal-type", str(type_))
        if fragmented is not None or not parts:
            raise ParseError("bad-fragment", "not ended")
        return b"".join(parts)

    def _join_fragment(
        self, payload: bytes, fragmented: tuple[bytes, int] | None, parts: list[bytes]
    ) -> tuple[bytes, int] | None:
        at = self.header_bytes
        if len(payload) <= at:
            raise ParseError("truncated", "fragmentation unit")
        flags = payload[at]
        type_ = flags & self.type_mask
        if type_ not in self.types:
            raise ParseError("unsupported-nal-type", str(type_))
        this = payload[:at], type_
        if flags & 0x80:
            # RFC 6184 section 5.8, RFC 7798 section 4.4.3: start and end must not both be set.
            if fragmented is not None or flags & 0x40:
                raise ParseError("bad-fragment", "start inside a NAL unit")
            parts += [START_CODE, self._header(payload, type_)]
        elif this != fragmented:
            raise ParseError("bad-fragment", "no start")
        parts.append(payload[at + 1 :])
        return None if flags & 0x40 else this

    def _split_aggregate(self, payload: bytes, parts: list[bytes]) -> None:
        at, end = self.header_bytes, len(payload)
        if at == end:
            raise ParseError("bad-aggregate", "empty")
        while at < end:
            start = at + 2
            stop = start + (payload[at] << 8 | payload[at + 1]) if start <= end else end + 1
            if stop > end or stop - start < self.min_bytes:
                raise ParseError("bad-aggregate", "size of a NAL unit")
            type_ = self.type_of(payload[start])
            if type_ not in self.types:
                raise ParseError("unsupported-nal-type", str(type_))
            parts += [START_CODE, payload[start:stop]]
            at = stop
