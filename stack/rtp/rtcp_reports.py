"""Reports, descriptions and goodbyes: SR, RR, SDES, BYE and APP (RFC 3550 section 6)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..core import LocalError, ParseError
from .rtcp_wire import APP, BYE, RR, SDES, SR, U32, pack_packet

MAX_TEXT_BYTES = 255  # RFC 3550 section 6.5: item lengths have eight bits

CNAME, NAME, EMAIL, PHONE, LOC, TOOL, NOTE, PRIV = range(1, 9)  # RFC 3550 section 6.5
RTP_STREAM_ID, REPAIRED_RTP_STREAM_ID = 12, 13  # RFC 8852 section 4
SDES_MID = 15  # RFC 9143 section 15.2

APP_NAME_BYTES = 4  # RFC 3550 section 6.7

_SENDER_INFO = struct.Struct("!LQLLL")
_BLOCK = struct.Struct("!LLLLLL")


@dataclass(slots=True)
class ReportBlock:
    """What a receiver says about one stream (RFC 3550 section 6.4.1).

    Args:
        ssrc: The stream.
        fraction_lost: 0..255, in 1/256, since the previous report.
        packets_lost: Cumulative, signed 24 bits, clamped when written.
        highest_sequence_number: Extended, 32 bits.
        jitter: Interarrival jitter, timestamp units.
        lsr: Middle 32 bits of the NTP timestamp of the last SR; 0 if there was none.
        dlsr: Delay since that SR, units of 1/65536 s.
    """

    ssrc: int
    fraction_lost: int = 0
    packets_lost: int = 0
    highest_sequence_number: int = 0
    jitter: int = 0
    lsr: int = 0
    dlsr: int = 0


@dataclass(slots=True)
class SenderReport:
    """SR (RFC 3550 section 6.4.1).

    Args:
        ssrc: The sender.
        ntp_timestamp: 64 bits, 32.32 fixed-point seconds.
        rtp_timestamp: The same instant on the media clock.
        packet_count: Packets sent.
        octet_count: Payload octets sent.
        reports: What it receives, at most 31.
    """

    ssrc: int
    ntp_timestamp: int
    rtp_timestamp: int
    packet_count: int
    octet_count: int
    reports: list[ReportBlock] = field(default_factory=list)

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        info = _SENDER_INFO.pack(self.ssrc, self.ntp_timestamp, self.rtp_timestamp, self.packet_count, self.octet_count)
        return pack_packet(SR, len(self.reports), info + _pack_blocks(self.reports))


@dataclass(slots=True)
class ReceiverReport:
    """RR (RFC 3550 section 6.4.2).

    Args:
        ssrc: Who reports.
        reports: At most 31.
    """

    ssrc: int
    reports: list[ReportBlock] = field(default_factory=list)

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        return pack_packet(RR, len(self.reports), U32.pack(self.ssrc) + _pack_blocks(self.reports))


@dataclass(slots=True)
class SourceDescription:
    """SDES (RFC 3550 section 6.5).

    Args:
        chunks: (ssrc, items) each; an item is (type, raw text of at most 255 bytes).
    """

    chunks: list[tuple[int, list[tuple[int, bytes]]]] = field(default_factory=list)

    @classmethod
    def of_cname(cls, ssrc: int, cname: str, mid: str | None = None, rid: str | None = None) -> "SourceDescription":
        """Return the usual one: a single source with its CNAME, and MID and RtpStreamId where it has them."""
        items = [(CNAME, cname.encode())]
        if mid is not None:
            items.append((SDES_MID, mid.encode()))
        if rid is not None:
            items.append((RTP_STREAM_ID, rid.encode()))
        return cls([(ssrc, items)])

    def text(self, ssrc: int, item: int) -> str | None:
        """Return the first item of type `item` about `ssrc`, or None."""
        for chunk_ssrc, items in self.chunks:
            if chunk_ssrc == ssrc:
                for kind, text in items:
                    if kind == item:
                        return text.decode(errors="replace")
        return None

    def cname(self, ssrc: int) -> str | None:
        """Return the CNAME of `ssrc`, or None."""
        return self.text(ssrc, CNAME)

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        parts = []
        for ssrc, items in self.chunks:
            chunk = U32.pack(ssrc) + b"".join([bytes((kind, len(text))) + text for kind, text in items])
            parts.append(chunk + bytes(4 - len(chunk) % 4))
        return pack_packet(SDES, len(self.chunks), b"".join(parts))


@dataclass(slots=True)
class Bye:
    """BYE (RFC 3550 section 6.6).

    Args:
        ssrcs: Who leaves, at most 31.
        reason: Why, for people; at most 255 bytes of UTF-8.
    """

    ssrcs: list[int]
    reason: str = ""

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        body = struct.pack(f"!{len(self.ssrcs)}L", *self.ssrcs)
        if self.reason:
            text = self.reason.encode()
            body += bytes((len(text),)) + text
            body += bytes(-len(body) % 4)
        return pack_packet(BYE, len(self.ssrcs), body)


@dataclass(slots=True)
class ApplicationDefined:
    """APP (RFC 3550 section 6.7).

    Args:
        ssrc: Who sends it.
        name: Four ASCII characters that say whose packet it is.
        subtype: 0..31, the name's owner knows what.
        data: Whole words.
    """

    ssrc: int
    name: str
    subtype: int = 0
    data: bytes = b""

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        name = self.name.encode("latin-1")
        if len(name) != APP_NAME_BYTES:
            raise LocalError(f"the name of an APP packet has four characters: {self.name!r}")
        return pack_packet(APP, self.subtype, U32.pack(self.ssrc) + name + self.data)


def _pack_blocks(blocks: Sequence[ReportBlock]) -> bytes:
    return b"".join(
        [
            _BLOCK.pack(
                b.ssrc,
                b.fraction_lost << 24 | max(-0x800000, min(b.packets_lost, 0x7FFFFF)) & 0xFFFFFF,
                b.highest_sequence_number & 0xFFFFFFFF,
                min(b.jitter, 0xFFFFFFFF),
                b.lsr,
                min(b.dlsr, 0xFFFFFFFF),
            )
            for b in blocks
        ]
    )


def _parse_blocks(data: bytes, offset: int, end: int, count: int) -> list[ReportBlock]:
    if offset + 24 * count > end:
        raise ParseError("truncated", "report blocks")
    blocks = []
    for at in range(offset, offset + 24 * count, 24):
        ssrc, lost, highest, jitter, lsr, dlsr = _BLOCK.unpack_from(data, at)
        cumulative = lost & 0xFFFFFF
        if cumulative & 0x800000:
            cumulative -= 0x1000000
        blocks.append(ReportBlock(ssrc, lost >> 24, cumulative, highest, jitter, lsr, dlsr))
    return blocks


def parse_sr(data: bytes, start: int, end: int, count: int) -> SenderReport:
    """Parse what follows the first word of an SR in `data[start:end]`."""
    if start + 24 > end:
        raise ParseError("truncated", "sender information")
    ssrc, ntp, rtp, packets, octets = _SENDER_INFO.unpack_from(data, start)
    return SenderReport(ssrc, ntp, rtp, packets, octets, _parse_blocks(data, start + 24, end, count))


def parse_rr(data: bytes, start: int, end: int, count: int) -> ReceiverReport:
    """Parse what follows the first word of an RR in `data[start:end]`."""
    if start + 4 > end:
        raise ParseError("truncated", "receiver report")
    return ReceiverReport(U32.unpack_from(data, start)[0], _parse_blocks(data, start + 4, end, count))


def parse_sdes(data: bytes, start: int, end: int, count: int) -> SourceDescription:
    """Parse what follows the first word of an SDES packet in `data[start:end]`."""
    chunks = []
    offset = start
    for _ in range(count):
        if offset + 5 > end:
            raise ParseError("truncated", "chunk")
        ssrc = U32.unpack_from(data, offset)[0]
        offset += 4
        items: list[tuple[int, bytes]] = []
        while offset < end and data[offset]:
            text = offset + 2
            if text > end or text + data[offset + 1] > end:
                raise ParseError("truncated", "item")
            items.append((data[offset], data[text : text + data[offset + 1]]))
            offset = text + data[offset + 1]
        if offset >= end:
            raise ParseError("truncated", "chunk without its end")
        offset = start + ((offset - start) // 4 + 1) * 4
        chunks.append((ssrc, items))
    return SourceDescription(chunks)


def parse_bye(data: bytes, start: int, end: int, count: int) -> Bye:
    """Parse what follows the first word of a BYE in `data[start:end]`."""
    offset = start + 4 * count
    if offset > end:
        raise ParseError("truncated", "BYE")
    reason = ""
    if offset < end:
        if offset + 1 + data[offset] > end:
            raise ParseError("truncated", "reason")
        reason = data[offset + 1 : offset + 1 + data[offset]].decode(errors="ignore")
    return Bye(list(struct.unpack_from(f"!{count}L", data, start)), reason)


def parse_app(data: bytes, start: int, end: int, count: int) -> ApplicationDefined:
    """Parse what follows the first word of an APP packet in `data[start:end]`."""
    if start + 8 > end:
        raise ParseError("truncated", "APP")
    name = data[start + 4 : start + 8].decode("latin-1")
    return ApplicationDefined(U32.unpack_from(data, start)[0], name, count, data[start + 8 : end])
