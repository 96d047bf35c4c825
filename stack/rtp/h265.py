"""H.265 in RTP: single NAL units, aggregation packets and fragmentation units (RFC 7798).

Access units are Annex B byte streams. What `depacketize` returns has four-byte start codes throughout.

# Not implemented: decoding order numbers (sprop-max-don-diff above 0) and PACI packets (RFC 7798 section 4.4.4).
"""

import struct
from collections.abc import Sequence

from ..core import LocalError, ParseError
from .h264 import nal_unit_offsets

NAL_VPS, NAL_SPS, NAL_PPS, NAL_AUD = 32, 33, 34, 35
FIRST_IRAP, LAST_IRAP = 16, 23  # ITU-T H.265 table 7-1: pictures at which decoding can begin
LAST_VCL = 31
AP, FU = 48, 49  # RFC 7798 section 4.4

MAX_AGGREGATED_BYTES = 0xFFFF  # RFC 7798 section 4.4.2: a NAL unit's size has 16 bits

_START_CODE = b"\0\0\0\1"
_FIND = b"\0\0\1"
_U16 = struct.Struct("!H").pack
_PARAMETER_SETS_FIRST = frozenset({NAL_VPS, NAL_SPS, NAL_AUD})


def is_keyframe(access_unit: bytes) -> bool:
    """Tell whether an Annex B access unit is an IRAP picture: its first slice segment decides."""
    at = access_unit.find(_FIND)
    while 0 <= at < len(access_unit) - 3:
        kind = access_unit[at + 3] >> 1 & 0x3F
        if kind <= LAST_VCL:
            return FIRST_IRAP <= kind <= LAST_IRAP
        at = access_unit.find(_FIND, at + 3)
    return False


def _payload_kinds(payload: bytes) -> list[int]:
    """Return the types of the NAL units in or begun by an RTP payload, as far as it goes."""
    if len(payload) < 3:
        return []
    kind = payload[0] >> 1 & 0x3F
    if kind == FU:
        return [payload[2] & 0x3F]
    if kind != AP:
        return [kind]
    kinds, at = [], 2
    while at + 2 < len(payload):
        kinds.append(payload[at + 2] >> 1 & 0x3F)
        at += 2 + (payload[at] << 8 | payload[at + 1])
    return kinds


def packetize(access_unit: bytes, max_payload: int) -> list[bytes]:
    """Split an access unit into RTP payloads; the last one takes the marker.

    Args:
        access_unit: Annex B.
        max_payload: Bytes per payload, at least 4.

    Raises:
        LocalError: If it holds no NAL unit, or one of a type that RFC 7798 uses for itself.
    """
    if max_payload < 4:
        raise LocalError(f"{max_payload} bytes cannot hold a fragment")
    offsets = nal_unit_offsets(access_unit)
    if not offsets:
        raise LocalError("no NAL unit: an Annex B byte stream is wanted")
    payloads: list[bytes] = []
    waiting: list[bytes] = []
    waiting_bytes = 2
    for start, end in offsets:
        kind, size = access_unit[start] >> 1 & 0x3F, end - start
        if kind >= AP or size < 3:
            raise LocalError(f"a NAL unit of type {kind} and {size} bytes cannot be sent")
        if waiting and (waiting_bytes + 2 + size > max_payload or size > MAX_AGGREGATED_BYTES):
            payloads.append(_aggregate(waiting))
            waiting, waiting_bytes = [], 2
        if size <= max_payload:
            waiting.append(access_unit[start:end])
            waiting_bytes += 2 + size
        else:
            _fragment(access_unit, start, end, max_payload, payloads)
    if waiting:
        payloads.append(_aggregate(waiting))
    return payloads


def _aggregate(nal_units: list[bytes]) -> bytes:
    if len(nal_units) == 1:
        return nal_units[0]
    # RFC 7798 section 4.4.2: F is the disjunction of all, LayerId and TID the lowest.
    forbidden = 0
    layer, temporal = 63, 7
    parts = [b""]
    for nal_unit in nal_units:
        forbidden |= nal_unit[0] & 0x80
        layer = min(layer, (nal_unit[0] & 1) << 5 | nal_unit[1] >> 3)
        temporal = min(temporal, nal_unit[1] & 7)
        parts += [_U16(len(nal_unit)), nal_unit]
    parts[0] = bytes((forbidden | AP << 1 | layer >> 5, (layer & 0x1F) << 3 | temporal))
    return b"".join(parts)


def _fragment(access_unit: bytes, start: int, end: int, max_payload: int, payloads: list[bytes]) -> None:
    first, second = access_unit[start], access_unit[start + 1]
    head = bytes((first & 0x81 | FU << 1, second))
    kind, size = first >> 1 & 0x3F, max_payload - 3
    begin = start + 2
    for at in range(begin, end, size):
        flags = (0x80 if at == begin else 0) | (0x40 if at + size >= end else 0)
        payloads.append(head + bytes((flags | kind,)) + access_unit[at : min(at + size, end)])


def depacketize(payloads: Sequence[bytes]) -> bytes:
    """Return the Annex B access unit that complete, ordered payloads carry.

    Raises:
        ParseError: `truncated`, `bad-aggregate`, `bad-fragment` or `unsupported-nal-type`.
    """
    parts: list[bytes] = []
    fragmented: bytes | None = None  # header of the NAL unit under way
    for payload in payloads:
        if len(payload) < 3:
            raise ParseError("truncated", "payload")
        kind = payload[0] >> 1 & 0x3F
        if kind == FU:
            fragmented = _join_fragment(payload, fragmented, parts)
            continue
        if fragmented is not None:
            raise ParseError("bad-fragment", "not ended")
        if kind == AP:
            _split_aggregate(payload, parts)
        elif kind < AP:
            parts += [_START_CODE, payload]
        else:
            raise ParseError("unsupported-nal-type", str(kind))
    if fragmented is not None or not parts:
        raise ParseError("bad-fragment", "not ended")
    return b"".join(parts)


def _join_fragment(payload: bytes, fragmented: bytes | None, parts: list[bytes]) -> bytes | None:
    flags, kind = payload[2], payload[2] & 0x3F
    if kind >= AP:
        raise ParseError("unsupported-nal-type", str(kind))
    header = bytes((payload[0] & 0x81 | kind << 1, payload[1]))
    if flags & 0x80:
        # RFC 7798 section 4.4.3: start and end must not both be set.
        if fragmented is not None or flags & 0x40:
            raise ParseError("bad-fragment", "start inside a NAL unit")
        parts += [_START_CODE, header]
    elif header != fragmented:
        raise ParseError("bad-fragment", "no start")
    parts.append(payload[3:])
    return None if flags & 0x40 else header


def _split_aggregate(payload: bytes, parts: list[bytes]) -> None:
    at, end = 2, len(payload)
    while at < end:
        start = at + 2
        stop = start + (payload[at] << 8 | payload[at + 1]) if start <= end else end + 1
        if stop > end or stop - start < 3:
            raise ParseError("bad-aggregate", "size of a NAL unit")
        if payload[start] >> 1 & 0x3F >= AP:
            raise ParseError("unsupported-nal-type", str(payload[start] >> 1 & 0x3F))
        parts += [_START_CODE, payload[start:stop]]
        at = stop


class H265:
    """The payload format `video/H265` as `stack.rtp.payload` wants it."""

    mime = "video/h265"
    is_video = True

    @staticmethod
    def packetize(frame: bytes, max_payload: int, frame_number: int = 0) -> list[bytes]:  # noqa: ARG004  other formats need it
        """Return the payloads of an access unit."""
        return packetize(frame, max_payload)

    @staticmethod
    def depacketize(payloads: Sequence[bytes]) -> bytes:
        """Return the access unit of a frame's payloads."""
        return depacketize(payloads)

    @staticmethod
    def is_keyframe(frame: bytes) -> bool:
        """Tell whether an access unit can be decoded without others."""
        return is_keyframe(frame)

    @staticmethod
    def begins_keyframe(payload: bytes) -> bool | None:
        """Tell whether a payload is the first of a keyframe; None if only its predecessor can tell."""
        kinds = _payload_kinds(payload)
        if not kinds or (payload[0] >> 1 & 0x3F == FU and not payload[2] & 0x80):
            return False
        if kinds[0] in _PARAMETER_SETS_FIRST and (NAL_VPS in kinds or NAL_SPS in kinds):
            return True
        if any(kind < FIRST_IRAP for kind in kinds):
            return False
        return None
