"""H.264 in RTP, packetization modes 0 and 1: single NAL units, STAP-A and FU-A (RFC 6184).

Access units are Annex B byte streams. What `depacketize` returns has four-byte start codes throughout.

# Not implemented: interleaved mode (STAP-B, MTAP, FU-B), RFC 6184 section 6.4.
"""

import struct
from base64 import b64decode
from collections.abc import Sequence

from ..core import LocalError, ParseError

NAL_SLICE, NAL_IDR, NAL_SEI, NAL_SPS, NAL_PPS, NAL_AUD = 1, 5, 6, 7, 8, 9
STAP_A, FU_A = 24, 28

MAX_PARAMETER_SETS = 16  # encoders have one of each, a few after changes of resolution
MAX_AGGREGATED_BYTES = 0xFFFF  # RFC 6184 section 5.7.1: a NAL unit's size has 16 bits

_START_CODE = b"\0\0\0\1"
_FIND = b"\0\0\1"
_U16 = struct.Struct("!H")
_PARAMETER_SETS_FIRST = frozenset({NAL_SPS, NAL_AUD})


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


def is_keyframe(access_unit: bytes) -> bool:
    """Tell whether an Annex B access unit is an IDR picture: its first slice decides."""
    at = access_unit.find(_FIND)
    while 0 <= at < len(access_unit) - 3:
        kind = access_unit[at + 3] & 0x1F
        if 1 <= kind <= NAL_IDR:
            return kind == NAL_IDR
        at = access_unit.find(_FIND, at + 3)
    return False


def _payload_kinds(payload: bytes) -> list[int]:
    """Return the types of the NAL units in or begun by an RTP payload, as far as it goes."""
    if not payload:
        return []
    kind = payload[0] & 0x1F
    if kind == FU_A:
        return [payload[1] & 0x1F] if len(payload) > 1 else []
    if kind != STAP_A:
        return [kind]
    kinds, at = [], 1
    while at + 2 < len(payload):
        kinds.append(payload[at + 2] & 0x1F)
        at += 2 + (payload[at] << 8 | payload[at + 1])
    return kinds


def is_keyframe_payload(payload: bytes) -> bool:
    """Tell whether an RTP payload holds a part of an IDR picture, or the sequence parameter set before one."""
    return any(kind in {NAL_IDR, NAL_SPS} for kind in _payload_kinds(payload))


def packetize(access_unit: bytes, max_payload: int) -> list[bytes]:
    """Split an access unit into RTP payloads; the last one takes the marker.

    NAL units that fit one payload together are aggregated, those that fit none are fragmented.

    Args:
        access_unit: Annex B.
        max_payload: Bytes per payload, at least 3.

    Raises:
        LocalError: If it holds no NAL unit, or one of a type that RFC 6184 uses for itself.
    """
    if max_payload < 3:
        raise LocalError(f"{max_payload} bytes cannot hold a fragment")
    offsets = nal_unit_offsets(access_unit)
    if not offsets:
        raise LocalError("no NAL unit: an Annex B byte stream is wanted")
    payloads: list[bytes] = []
    waiting: list[bytes] = []
    waiting_bytes = 1
    for start, end in offsets:
        header = access_unit[start]
        if not 1 <= header & 0x1F <= 23:
            raise LocalError(f"a NAL unit of type {header & 0x1F} cannot be sent")
        size = end - start
        if waiting and (waiting_bytes + 2 + size > max_payload or size > MAX_AGGREGATED_BYTES):
            payloads.append(_aggregate(waiting))
            waiting, waiting_bytes = [], 1
        if size <= max_payload:
            waiting.append(access_unit[start:end])
            waiting_bytes += 2 + size
        else:
            _fragment(access_unit, start, end, max_payload, payloads)
    if waiting:
        payloads.append(_aggregate(waiting))
    return payloads


def packetize_single(access_unit: bytes, max_payload: int) -> list[bytes]:
    """Return one RTP payload per NAL unit: packetization mode 0 (RFC 6184 section 6.2).

    Args:
        access_unit: Annex B, of slices small enough.
        max_payload: Bytes per payload.

    Raises:
        LocalError: If it holds no NAL unit, one that does not fit, or one of a type that RFC 6184 uses for itself.
    """
    nal_units = split_nal_units(access_unit)
    if not nal_units:
        raise LocalError("no NAL unit: an Annex B byte stream is wanted")
    for nal_unit in nal_units:
        if not 1 <= nal_unit[0] & 0x1F <= 23 or len(nal_unit) > max_payload:
            raise LocalError(f"a NAL unit of type {nal_unit[0] & 0x1F} and {len(nal_unit)} bytes cannot be sent alone")
    return nal_units


def _aggregate(nal_units: list[bytes]) -> bytes:
    if len(nal_units) == 1:
        return nal_units[0]
    # RFC 6184 section 5.7: F is the disjunction of all, NRI the maximum.
    forbidden = nri = 0
    parts = [b""]
    for nal_unit in nal_units:
        forbidden |= nal_unit[0] & 0x80
        nri = max(nri, nal_unit[0] & 0x60)
        parts += [_U16.pack(len(nal_unit)), nal_unit]
    parts[0] = bytes((forbidden | nri | STAP_A,))
    return b"".join(parts)


def _fragment(access_unit: bytes, start: int, end: int, max_payload: int, payloads: list[bytes]) -> None:
    header = access_unit[start]
    indicator, kind = header & 0xE0 | FU_A, header & 0x1F
    size = max_payload - 2
    middle = bytes((indicator, kind))
    first = len(payloads)
    payloads += [middle + access_unit[at : min(at + size, end)] for at in range(start + 1, end, size)]
    payloads[first] = bytes((indicator, kind | 0x80)) + payloads[first][2:]
    payloads[-1] = bytes((indicator, kind | 0x40)) + payloads[-1][2:]


def depacketize(payloads: Sequence[bytes]) -> bytes:
    """Return the Annex B access unit that complete, ordered payloads carry.

    Raises:
        ParseError: `truncated`, `bad-aggregate`, `bad-fragment` or `unsupported-nal-type`.
    """
    parts: list[bytes] = []
    fragmented = -1  # header octet of the NAL unit under way
    for payload in payloads:
        if not payload:
            raise ParseError("truncated", "empty payload")
        kind = payload[0] & 0x1F
        if kind == FU_A:
            fragmented = _join_fragment(payload, fragmented, parts)
            continue
        if fragmented >= 0:
            raise ParseError("bad-fragment", "not ended")
        if kind == STAP_A:
            _split_aggregate(payload, parts)
        elif 1 <= kind <= 23:
            parts += [_START_CODE, payload]
        else:
            raise ParseError("unsupported-nal-type", str(kind))
    if fragmented >= 0 or not parts:
        raise ParseError("bad-fragment", "not ended")
    return b"".join(parts)


def _join_fragment(payload: bytes, fragmented: int, parts: list[bytes]) -> int:
    if len(payload) < 2:
        raise ParseError("truncated", "fragmentation unit")
    fu_header = payload[1]
    header = payload[0] & 0xE0 | fu_header & 0x1F
    if not 1 <= fu_header & 0x1F <= 23:
        raise ParseError("unsupported-nal-type", str(fu_header & 0x1F))
    if fu_header & 0x80:
        if fragmented >= 0 or fu_header & 0x40:
            raise ParseError("bad-fragment", "start inside a NAL unit")
        parts += [_START_CODE, bytes((header,))]
    elif header != fragmented:
        raise ParseError("bad-fragment", "no start")
    parts.append(payload[2:])
    return -1 if fu_header & 0x40 else header


def _split_aggregate(payload: bytes, parts: list[bytes]) -> None:
    at, end = 1, len(payload)
    if at == end:
        raise ParseError("bad-aggregate", "empty")
    while at < end:
        start = at + 2
        stop = start + (payload[at] << 8 | payload[at + 1]) if start <= end else end + 1
        if stop > end or stop == start:
            raise ParseError("bad-aggregate", "size of a NAL unit")
        if not 1 <= payload[start] & 0x1F <= 23:
            raise ParseError("unsupported-nal-type", str(payload[start] & 0x1F))
        parts += [_START_CODE, payload[start:stop]]
        at = stop


class ParameterSets:
    """Remembers parameter sets, so that a keyframe that lacks them can be given them.

    Encoders that write them only once leave who joins later, or lost the first packet, without a picture.

    Args:
        nal_units: What is known beforehand, for example from `sprop-parameter-sets`.
    """

    __slots__ = ("_known",)

    def __init__(self, nal_units: Sequence[bytes] = ()) -> None:
        self._known: dict[tuple[int, bytes], bytes] = {}
        for nal_unit in nal_units:
            self._note(nal_unit)

    @classmethod
    def of_sprop(cls, text: str) -> "ParameterSets":
        """Return those of a `sprop-parameter-sets` parameter (RFC 6184 section 8.1).

        Raises:
            ParseError: `bad-parameter-sets`.
        """
        try:
            return cls([b64decode(part, validate=True) for part in text.split(",") if part])
        except ValueError as error:
            raise ParseError("bad-parameter-sets", text) from error

    def _note(self, nal_unit: bytes) -> None:
        kind = nal_unit[0] & 0x1F if nal_unit else 0
        if kind not in {NAL_SPS, NAL_PPS}:
            return
        # What tells sets apart stands at their beginning: an SPS's id behind profile and level, a PPS's first.
        key = (kind, nal_unit[4:5] if kind == NAL_SPS else nal_unit[1:2])
        if key not in self._known and len(self._known) >= MAX_PARAMETER_SETS:
            self._known.pop(next(iter(self._known)))
        self._known[key] = nal_unit

    def __len__(self) -> int:
        return len(self._known)

    def complete(self, access_unit: bytes) -> bytes:
        """Return the access unit, with the parameter sets before it if it is a keyframe that has none."""
        kinds = set()
        for start, end in nal_unit_offsets(access_unit):
            kind = access_unit[start] & 0x1F
            kinds.add(kind)
            if kind in {NAL_SPS, NAL_PPS}:
                self._note(access_unit[start:end])
        if NAL_IDR not in kinds or NAL_SPS in kinds:
            return access_unit
        ordered = sorted(self._known.items(), key=lambda item: item[0][0])
        return b"".join([_START_CODE + nal_unit for _, nal_unit in ordered]) + access_unit


class H264:
    """The payload format `video/H264` as `stack.rtp.payload` wants it.

    Args:
        packetization_mode: 0 for single NAL units only, or 1 (RFC 6184 section 6). Either way both are read.
    """

    mime = "video/h264"
    is_video = True

    def __init__(self, packetization_mode: int = 1) -> None:
        self._mode = packetization_mode

    def packetize(self, frame: bytes, max_payload: int, frame_number: int = 0) -> list[bytes]:  # noqa: ARG002  other formats need it
        """Return the payloads of an access unit."""
        return packetize(frame, max_payload) if self._mode else packetize_single(frame, max_payload)

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
        if not kinds or (payload[0] & 0x1F == FU_A and not payload[1] & 0x80):
            return False
        if NAL_SPS in kinds and kinds[0] in _PARAMETER_SETS_FIRST:
            return True
        # A picture may begin with other NAL units, and its parameter sets may have come long before.
        return None if NAL_SLICE not in kinds else False
