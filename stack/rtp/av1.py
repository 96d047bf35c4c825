"""AV1 in RTP (RTP Payload Format For AV1, Alliance for Open Media, version 1.0).

Frames are temporal units in the low-overhead bitstream format. What `depacketize` returns begins with a temporal
delimiter, and every OBU has its size: what encoders make.

# Not implemented: choosing among the layers of a scalable stream; dependency descriptors are passed through.
"""

from collections.abc import Sequence

from ..core import LocalError, ParseError

OBU_SEQUENCE_HEADER, OBU_TEMPORAL_DELIMITER, OBU_FRAME_HEADER, OBU_FRAME = 1, 2, 3, 6
OBU_TILE_LIST, OBU_PADDING = 8, 15

MAX_LEB128_BYTES = 8  # AV1 bitstream specification section 4.10.5
MAX_COUNTED_ELEMENTS = 3  # section 4.4: W has two bits

_Z, _Y, _W_SHIFT, _N = 0x80, 0x40, 4, 0x08
_HAS_SIZE, _HAS_EXTENSION = 0x02, 0x04
_DELIMITER = bytes((OBU_TEMPORAL_DELIMITER << 3 | _HAS_SIZE, 0))
# Section 5: temporal delimiters should be removed, tile lists must not be sent, padding need not be.
_NOT_SENT = frozenset({OBU_TEMPORAL_DELIMITER, OBU_TILE_LIST, OBU_PADDING})
_SMALLEST_FRAGMENT = 8  # octets of an OBU that are worth a packet's rest


def _leb128(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(MAX_LEB128_BYTES):
        if at + index >= len(data):
            raise ParseError("truncated", "size of an OBU")
        octet = data[at + index]
        value |= (octet & 0x7F) << 7 * index
        if octet < 0x80:
            return value, at + index + 1
    raise ParseError("bad-obu", "size of an OBU")


def split_obus(temporal_unit: bytes) -> list[bytes]:
    """Return the OBUs of a temporal unit, each without its size field.

    Raises:
        ParseError: `truncated` or `bad-obu`.
    """
    obus: list[bytes] = []
    at, end = 0, len(temporal_unit)
    while at < end:
        header = temporal_unit[at]
        if header & 0x80:
            raise ParseError("bad-obu", "forbidden bit")
        start = at + (2 if header & _HAS_EXTENSION else 1)
        if start > end:
            raise ParseError("truncated", "OBU header")
        head = bytes((header & ~_HAS_SIZE,)) + temporal_unit[at + 1 : start]
        size = end - start
        if header & _HAS_SIZE:
            size, start = _read_leb128(temporal_unit, start)
        if start + size > end:
            raise ParseError("truncated", "OBU")
        obus.append(head + temporal_unit[start : start + size])
        at = start + size
    return obus


def _kind(obu: bytes) -> int:
    return obu[0] >> 3 & 15


def is_keyframe(frame: bytes) -> bool:
    """Tell whether a temporal unit has a sequence header and begins with a key frame."""
    try:
        obus = split_obus(frame)
    except ParseError:
        return False
    sequence = False
    for obu in obus:
        kind = _kind(obu)
        sequence = sequence or kind == OBU_SEQUENCE_HEADER
        if kind in {OBU_FRAME, OBU_FRAME_HEADER}:
            at = 2 if obu[0] & _HAS_EXTENSION else 1
            # show_existing_frame is 0 and frame_type is KEY_FRAME, which is 0 (AV1 section 5.9.2).
            return sequence and at < len(obu) and not obu[at] & 0xE0
    return False


def packetize(frame: bytes, max_payload: int, frame_number: int = 0) -> list[bytes]:  # noqa: ARG001  other formats need it
    """Split a temporal unit into RTP payloads; the last one takes the marker.

    Args:
        frame: OBUs in the low-overhead bitstream format.
        max_payload: Bytes per payload, at least 16.
        frame_number: Does not matter here.

    Raises:
        LocalError: If it is not a temporal unit, has nothing to send, or payloads are too small.
    """
    if max_payload < 16:
        raise LocalError(f"{max_payload} bytes cannot hold a fragment")
    try:
        obus = [obu for obu in split_obus(frame) if _kind(obu) not in _NOT_SENT]
    except ParseError as error:
        raise LocalError(f"not a temporal unit: {error}") from error
    if not obus:
        raise LocalError("a temporal unit without OBUs to send")
    first = _N if is_keyframe(frame) else 0
    payloads: list[bytes] = []
    elements: list[bytes] = []
    room = max_payload - 1
    continued = False  # the packet's first element goes on with an OBU of the packet before
    for obu in obus:
        at = 0
        while at < len(obu):
            # Every element may need its size: how many there are is not known before the packet is full.
            rest = len(obu) - at
            take = min(rest, room - len(_leb128(max(0, room))))
            if take < rest and take < _SMALLEST_FRAGMENT:
                payloads.append(_payload(elements, first, continues=at > 0 and not elements, continued=continued))
                first, elements, room, continued = 0, [], max_payload - 1, at > 0
                continue
            elements.append(obu[at : at + take])
            room -= take + len(_leb128(take))
            at += take
            if at < len(obu):
                payloads.append(_payload(elements, first, continues=True, continued=continued))
                first, elements, room, continued = 0, [], max_payload - 1, True
    if elements:
        payloads.append(_payload(elements, first, continues=False, continued=continued))
    return payloads


def _payload(elements: list[bytes], first: int, *, continues: bool, continued: bool) -> bytes:
    count = len(elements)
    counted = count if count <= MAX_COUNTED_ELEMENTS else 0
    header = (_Z if continued else 0) | (_Y if continues else 0) | counted << _W_SHIFT | first
    parts = [bytes((header,))]
    for index, element in enumerate(elements):
        if not counted or index < count - 1:
            parts.append(_leb128(len(element)))
        parts.append(element)
    return b"".join(parts)


def _elements(payload: bytes) -> list[bytes]:
    """Return the OBU elements of a payload (section 4.3)."""
    count = payload[0] >> _W_SHIFT & 3
    found: list[bytes] = []
    at, end = 1, len(payload)
    while at < end:
        size = end - at
        if not count or len(found) < count - 1:
            size, at = _read_leb128(payload, at)
            if at + size > end:
                raise ParseError("truncated", "OBU element")
        found.append(payload[at : at + size])
        at += size
    if not found or (count and len(found) != count):
        raise ParseError("bad-aggregate", f"{len(found)} elements, {count} announced")
    return found


def depacketize(payloads: Sequence[bytes]) -> bytes:
    """Return the temporal unit that complete, ordered payloads carry.

    Raises:
        ParseError: `truncated`, `bad-aggregate`, `bad-fragment` or `bad-obu`.
    """
    obus: list[bytes] = []
    pending: list[bytes] = []
    for payload in payloads:
        if len(payload) < 2:
            raise ParseError("truncated", "empty payload")
        if bool(payload[0] & _Z) != bool(pending):
            raise ParseError("bad-fragment", "an OBU without its start or its end")
        elements = _elements(payload)
        pending.append(elements[0])
        for element in elements[1:]:
            obus.append(b"".join(pending))
            pending = [element]
        if not payload[0] & _Y:
            obus.append(b"".join(pending))
            pending = []
    if pending or not obus:
        raise ParseError("bad-fragment", "not ended")
    return _DELIMITER + b"".join([_with_size(obu) for obu in obus if obu])


def _with_size(obu: bytes) -> bytes:
    header = obu[0]
    if header & 0x80:
        raise ParseError("bad-obu", "forbidden bit")
    start = 2 if header & _HAS_EXTENSION else 1
    if start > len(obu):
        raise ParseError("truncated", "OBU header")
    if header & _HAS_SIZE:
        # Section 4.4 says that the size field should not be there, not that it must not.
        size, body = _read_leb128(obu, start)
        if body + size != len(obu):
            raise ParseError("bad-obu", "size of an OBU")
        return obu
    return bytes((header | _HAS_SIZE,)) + obu[1:start] + _leb128(len(obu) - start) + obu[start:]


def begins_keyframe(payload: bytes) -> bool:
    """Tell whether a payload is the first of a coded video sequence: N, or a sequence header first."""
    if len(payload) < 2 or payload[0] & _Z:
        return False
    if payload[0] & _N:
        return True
    try:
        first = _elements(payload)[0]
    except ParseError:
        return False
    return bool(first) and _kind(first) == OBU_SEQUENCE_HEADER
