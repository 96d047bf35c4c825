"""Extended reports (RFC 3611): round trips for those who only receive.

# Not implemented: blocks other than receiver reference time and DLRR are kept as they are.
"""

import struct
from dataclasses import dataclass, field
from typing import TypeAlias

from ..core import LocalError, ParseError
from .rtcp_wire import U32, XR, pack_packet

REFERENCE_TIME, DLRR = 4, 5  # RFC 3611 sections 4.4 and 4.5
MAX_BLOCK_WORDS = 0xFFFF  # RFC 3611 section 3: the block length has 16 bits

_BLOCK_HEADER = struct.Struct("!BBH")
_Q = struct.Struct("!Q")
_SUB_BLOCK = struct.Struct("!LLL")


@dataclass(slots=True)
class ReceiverReferenceTime:
    """When this report left (RFC 3611 section 4.4).

    Args:
        ntp_timestamp: 64 bits, 32.32 fixed-point seconds.
    """

    ntp_timestamp: int


@dataclass(slots=True)
class DelaySinceLastReceiverReport:
    """DLRR: when reference times came (RFC 3611 section 4.5).

    Args:
        reports: (receiver's SSRC, LRR: middle 32 bits of its reference time, DLRR: units of 1/65536 s) each.
    """

    reports: list[tuple[int, int, int]] = field(default_factory=list)


@dataclass(slots=True)
class UnknownBlock:
    """A block that we do not interpret.

    Args:
        block_type: BT.
        type_specific: The octet behind it.
        body: Whole words.
    """

    block_type: int
    type_specific: int
    body: bytes


ReportBlockType: TypeAlias = ReceiverReferenceTime | DelaySinceLastReceiverReport | UnknownBlock


@dataclass(slots=True)
class ExtendedReport:
    """XR (RFC 3611 section 2).

    Args:
        ssrc: Who reports.
        blocks: In order.
    """

    ssrc: int
    blocks: list[ReportBlockType] = field(default_factory=list)

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        return pack_packet(XR, 0, U32.pack(self.ssrc) + b"".join([_pack_block(block) for block in self.blocks]))


def _pack_block(block: ReportBlockType) -> bytes:
    match block:
        case ReceiverReferenceTime(ntp_timestamp):
            return _BLOCK_HEADER.pack(REFERENCE_TIME, 0, 2) + _Q.pack(ntp_timestamp)
        case DelaySinceLastReceiverReport(reports):
            body = b"".join([_SUB_BLOCK.pack(ssrc, lrr, min(dlrr, 0xFFFFFFFF)) for ssrc, lrr, dlrr in reports])
            return _BLOCK_HEADER.pack(DLRR, 0, len(body) // 4) + body
        case UnknownBlock(block_type, type_specific, body):
            if len(body) % 4 or len(body) // 4 > MAX_BLOCK_WORDS:
                raise LocalError(f"a block of an extended report has whole words, not {len(body)} bytes")
            return _BLOCK_HEADER.pack(block_type, type_specific, len(body) // 4) + body


def parse_xr(data: bytes, start: int, end: int, _count: int) -> ExtendedReport:
    """Parse what follows the first word of an XR packet in `data[start:end]`.

    Raises:
        ParseError: `truncated`, or `bad-extended-report` for a block of a length that its type cannot have.
    """
    if start + 4 > end:
        raise ParseError("truncated", "extended report")
    found = ExtendedReport(U32.unpack_from(data, start)[0])
    at = start + 4
    while at < end:
        if at + 4 > end:
            raise ParseError("truncated", "block of an extended report")
        block_type, type_specific, words = _BLOCK_HEADER.unpack_from(data, at)
        body, at = at + 4, at + 4 + 4 * words
        if at > end:
            raise ParseError("truncated", "block of an extended report")
        if block_type == REFERENCE_TIME:
            if words != 2:
                raise ParseError("bad-extended-report", f"a reference time of {words} words")
            found.blocks.append(ReceiverReferenceTime(_Q.unpack_from(data, body)[0]))
        elif block_type == DLRR:
            if words % 3:
                raise ParseError("bad-extended-report", f"a DLRR block of {words} words")
            reports = [_SUB_BLOCK.unpack_from(data, sub) for sub in range(body, at, 12)]
            found.blocks.append(DelaySinceLastReceiverReport(reports))
        else:
            found.blocks.append(UnknownBlock(block_type, type_specific, data[body:at]))
    return found
