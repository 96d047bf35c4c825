"""H.265 in RTP: single NAL units, aggregation packets and fragmentation units (RFC 7798).

# Not implemented: decoding order numbers (sprop-max-don-diff above 0) and PACI packets (RFC 7798 section 4.4.4).
"""

from .nal import NalFormat

NAL_VPS, NAL_SPS, NAL_AUD = 32, 33, 35
FIRST_IRAP, LAST_IRAP = 16, 23  # ITU-T H.265 table 7-1: pictures at which decoding can begin
LAST_VCL = 31
AP, FU = 48, 49  # RFC 7798 section 4.4

_PARAMETER_SETS_FIRST = frozenset({NAL_VPS, NAL_SPS, NAL_AUD})


def _ap_header(nal_units: list[bytes]) -> bytes:
    # RFC 7798 section 4.4.2: F is the disjunction of all, LayerId and TID the lowest.
    forbidden = 0
    layer, temporal = 63, 7
    for nal_unit in nal_units:
        forbidden |= nal_unit[0] & 0x80
        layer = min(layer, (nal_unit[0] & 1) << 5 | nal_unit[1] >> 3)
        temporal = min(temporal, nal_unit[1] & 7)
    return bytes((forbidden | AP << 1 | layer >> 5, (layer & 0x1F) << 3 | temporal))


NAL_FORMAT = NalFormat(
    header_bytes=2,
    type_shift=1,
    type_mask=0x3F,
    types=range(AP),
    min_bytes=3,
    aggregation=AP,
    fragmentation=FU,
    aggregation_header=_ap_header,
    slices=range(LAST_VCL + 1),
    keyframe_slices=range(FIRST_IRAP, LAST_IRAP + 1),
)
packetize, depacketize, is_keyframe = NAL_FORMAT.packetize, NAL_FORMAT.depacketize, NAL_FORMAT.is_keyframe


def begins_keyframe(payload: bytes) -> bool | None:
    """Tell whether a payload is the first of a keyframe; None if only its predecessor can tell."""
    types = NAL_FORMAT.types_begun(payload)
    if not types:
        return False
    if types[0] in _PARAMETER_SETS_FIRST and (NAL_VPS in types or NAL_SPS in types):
        return True
    return False if any(type_ < FIRST_IRAP for type_ in types) else None
