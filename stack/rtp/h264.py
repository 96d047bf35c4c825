"""H.264 in RTP, packetization modes 0 and 1: single NAL units, STAP-A and FU-A (RFC 6184).

# Not implemented: interleaved mode (STAP-B, MTAP, FU-B), RFC 6184 section 6.4.
"""

from base64 import b64decode
from collections.abc import Sequence

from ..core import LocalError, ParseError
from .nal import START_CODE, NalFormat, nal_unit_offsets, split_nal_units

NAL_SLICE, NAL_IDR, NAL_SPS, NAL_PPS, NAL_AUD = 1, 5, 7, 8, 9
STAP_A, FU_A = 24, 28

MAX_PARAMETER_SETS = 16  # encoders have one of each, a few after changes of resolution

_PARAMETER_SETS_FIRST = frozenset({NAL_SPS, NAL_AUD})


def _stap_a_header(nal_units: list[bytes]) -> bytes:
    # RFC 6184 section 5.7: F is the disjunction of all, NRI the maximum.
    forbidden = nri = 0
    for nal_unit in nal_units:
        forbidden |= nal_unit[0] & 0x80
        nri = max(nri, nal_unit[0] & 0x60)
    return bytes((forbidden | nri | STAP_A,))


NAL_FORMAT = NalFormat(
    header_bytes=1,
    type_shift=0,
    type_mask=0x1F,
    types=range(1, STAP_A),
    min_bytes=1,
    aggregation=STAP_A,
    fragmentation=FU_A,
    aggregation_header=_stap_a_header,
    slices=range(NAL_SLICE, NAL_IDR + 1),
    keyframe_slices=range(NAL_IDR, NAL_IDR + 1),
)
packetize, depacketize, is_keyframe = NAL_FORMAT.packetize, NAL_FORMAT.depacketize, NAL_FORMAT.is_keyframe


def packetize_single(frame: bytes, max_payload: int, frame_number: int = 0) -> list[bytes]:  # noqa: ARG001  other formats need it
    """Return one RTP payload per NAL unit: packetization mode 0 (RFC 6184 section 6.2).

    Args:
        frame: Annex B, of slices small enough.
        max_payload: Bytes per payload.
        frame_number: Does not matter here.

    Raises:
        LocalError: If it holds no NAL unit, one that does not fit, or one of a type that RFC 6184 uses for itself.
    """
    nal_units = split_nal_units(frame)
    if not nal_units:
        raise LocalError("no NAL unit: an Annex B byte stream is wanted")
    for nal_unit in nal_units:
        type_ = NAL_FORMAT.type_of(nal_unit[0])
        if type_ not in NAL_FORMAT.types or len(nal_unit) > max_payload:
            raise LocalError(f"a NAL unit of type {type_} and {len(nal_unit)} bytes cannot be sent alone")
    return nal_units


def begins_keyframe(payload: bytes) -> bool | None:
    """Tell whether a payload is the first of a keyframe; None if only its predecessor can tell."""
    types = NAL_FORMAT.types_begun(payload)
    if not types:
        return False
    if NAL_SPS in types and types[0] in _PARAMETER_SETS_FIRST:
        return True
    # A picture may begin with other NAL units, and its parameter sets may have come long before.
    return None if NAL_SLICE not in types else False


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
        return b"".join([START_CODE + nal_unit for _, nal_unit in ordered]) + access_unit
