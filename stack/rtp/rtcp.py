"""RTCP packets: reports, descriptions, goodbyes and feedback, and compounds of them.

RFC 3550 section 6, RFC 4585 section 6, RFC 5104 section 4.3.1, draft-alvestrand-rmcat-remb. Reduced-size compounds
(RFC 5506) parse like any other.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from ..core import LocalError, ParseError
from .transport_feedback import TransportFeedback

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = 200, 201, 202, 203, 204, 205, 206, 207

MAX_COUNT = 31  # RFC 3550 section 6.4.1: RC and SC have five bits
MAX_TEXT_BYTES = 255  # RFC 3550 section 6.5: item lengths have eight bits
MAX_REMB_SSRCS = 255  # draft-alvestrand-rmcat-remb-03 section 2.2: Num SSRC has eight bits
MAX_BITRATE = (1 << 64) - 1  # a REMB beyond 64 bits is an overflow, not a bit rate

CNAME = 1  # RFC 3550 section 6.5.1

_HEADER = struct.Struct("!BBH")
_U32 = struct.Struct("!L")
_TWO_SSRCS = struct.Struct("!LL")
_SENDER_INFO = struct.Struct("!LQLLL")
_BLOCK = struct.Struct("!LLLLLL")
_NACK = struct.Struct("!HH")


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
        return _packet(SR, len(self.reports), info + _pack_blocks(self.reports))


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
        return _packet(RR, len(self.reports), _U32.pack(self.ssrc) + _pack_blocks(self.reports))


@dataclass(slots=True)
class SourceDescription:
    """SDES (RFC 3550 section 6.5).

    Args:
        chunks: (ssrc, items) each; an item is (type, raw text of at most 255 bytes).
    """

    chunks: list[tuple[int, list[tuple[int, bytes]]]] = field(default_factory=list)

    @classmethod
    def of_cname(cls, ssrc: int, cname: str) -> "SourceDescription":
        """Return the usual one: a single source with its CNAME."""
        return cls([(ssrc, [(CNAME, cname.encode())])])

    def cname(self, ssrc: int) -> str | None:
        """Return the CNAME of `ssrc`, or None."""
        for chunk_ssrc, items in self.chunks:
            if chunk_ssrc == ssrc:
                for kind, text in items:
                    if kind == CNAME:
                        return text.decode(errors="replace")
        return None

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        parts = []
        for ssrc, items in self.chunks:
            chunk = _U32.pack(ssrc) + b"".join([bytes((kind, len(text))) + text for kind, text in items])
            parts.append(chunk + bytes(4 - len(chunk) % 4))
        return _packet(SDES, len(self.chunks), b"".join(parts))


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
        return _packet(BYE, len(self.ssrcs), body)


@dataclass(slots=True)
class Nack:
    """Generic NACK (RFC 4585 section 6.2.1).

    Args:
        sender_ssrc: Who asks.
        media_ssrc: The stream.
        sequence_numbers: What is missing, 16 bits each.
    """

    FMT: ClassVar[int] = 1
    sender_ssrc: int
    media_ssrc: int
    sequence_numbers: list[int]

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        if not self.sequence_numbers:
            raise LocalError("a NACK names at least one packet")
        parts = [_TWO_SSRCS.pack(self.sender_ssrc, self.media_ssrc)]
        pid, blp = self.sequence_numbers[0], 0
        for sequence_number in self.sequence_numbers[1:]:
            distance = (sequence_number - pid) & 0xFFFF
            if 1 <= distance <= 16:
                blp |= 1 << (distance - 1)
            elif distance:
                parts.append(_NACK.pack(pid, blp))
                pid, blp = sequence_number, 0
        parts.append(_NACK.pack(pid, blp))
        return _packet(RTPFB, self.FMT, b"".join(parts))


@dataclass(slots=True)
class PictureLossIndication:
    """PLI (RFC 4585 section 6.3.1).

    Args:
        sender_ssrc: Who asks.
        media_ssrc: The stream.
    """

    FMT: ClassVar[int] = 1
    sender_ssrc: int
    media_ssrc: int

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        return _packet(PSFB, self.FMT, _TWO_SSRCS.pack(self.sender_ssrc, self.media_ssrc))


@dataclass(slots=True)
class FullIntraRequest:
    """FIR (RFC 5104 section 4.3.1).

    Args:
        sender_ssrc: Who asks.
        requests: (stream, command sequence number 0..255) each.
    """

    FMT: ClassVar[int] = 4
    sender_ssrc: int
    requests: list[tuple[int, int]]

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        entries = [_TWO_SSRCS.pack(ssrc, (number & 0xFF) << 24) for ssrc, number in self.requests]
        return _packet(PSFB, self.FMT, b"".join([_TWO_SSRCS.pack(self.sender_ssrc, 0), *entries]))


@dataclass(slots=True)
class Remb:
    """Receiver estimated maximum bit rate (draft-alvestrand-rmcat-remb-03 section 2.2).

    Args:
        sender_ssrc: Who estimates.
        bitrate: bit/s; written with 18 significant bits, rounded down.
        ssrcs: The streams that share it, at most 255.
    """

    FMT: ClassVar[int] = 15
    IDENTIFIER: ClassVar[bytes] = b"REMB"
    sender_ssrc: int
    bitrate: int
    ssrcs: list[int] = field(default_factory=list)

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        if not 0 <= self.bitrate <= MAX_BITRATE or len(self.ssrcs) > MAX_REMB_SSRCS:
            raise LocalError("the bit rate or the number of SSRCs does not fit a REMB")
        exponent = max(0, self.bitrate.bit_length() - 18)
        rate = (len(self.ssrcs) << 24 | exponent << 18 | self.bitrate >> exponent).to_bytes(4, "big")
        ssrcs = struct.pack(f"!{len(self.ssrcs)}L", *self.ssrcs)
        return _packet(PSFB, self.FMT, _TWO_SSRCS.pack(self.sender_ssrc, 0) + self.IDENTIFIER + rate + ssrcs)


@dataclass(slots=True)
class UnknownPacket:
    """A well-formed packet of a kind we do not interpret (APP, XR, other feedback).

    Args:
        packet_type: PT.
        count: The five bits that hold a count, a subtype or FMT.
        body: What follows the first word, padding removed.
    """

    packet_type: int
    count: int
    body: bytes

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        return _packet(self.packet_type, self.count, self.body)


RtcpPacket: TypeAlias = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Bye
    | Nack
    | PictureLossIndication
    | FullIntraRequest
    | Remb
    | TransportFeedback
    | UnknownPacket
)


def is_rtcp(datagram: bytes) -> bool:
    """Tell an RTCP datagram from an RTP one that shares its port (RFC 5761 section 4)."""
    return len(datagram) > 1 and 192 <= datagram[1] <= 223


def parse(data: bytes) -> list[RtcpPacket]:
    """Parse a compound, of any size and order (RFC 5506 section 3.2).

    Raises:
        ParseError: `truncated`, `bad-version`, `bad-packet-type`, `bad-padding`, `bad-feedback`, `bad-remb`,
            `bad-transport-feedback`.
    """
    packets: list[RtcpPacket] = []
    offset, size = 0, len(data)
    if not size:
        raise ParseError("truncated", "empty")
    while offset < size:
        if offset + 4 > size:
            raise ParseError("truncated", "header")
        first, packet_type, words = _HEADER.unpack_from(data, offset)
        if first >> 6 != 2:
            raise ParseError("bad-version", str(first >> 6))
        if not 192 <= packet_type <= 223:
            raise ParseError("bad-packet-type", str(packet_type))
        end = offset + 4 * (words + 1)
        if end > size:
            raise ParseError("truncated", f"packet type {packet_type}")
        stop = end
        if first & 0x20:
            padding = data[end - 1]
            # RFC 3550 section 6.4.1: only the last packet of a compound may be padded, by a multiple of four.
            # Deviates: libwebrtc pads transport feedback by one to three octets, wherever it stands.
            regular = end == size and not padding % 4
            odd = padding < 4 and packet_type == RTPFB and first & 0x1F == TransportFeedback.FMT
            if not padding or padding > end - offset - 4 or not (regular or odd):
                raise ParseError("bad-padding", str(padding))
            stop = end - padding
        packets.append(_PARSERS.get(packet_type, _parse_unknown)(data, offset + 4, stop, packet_type, first & 0x1F))
        offset = end
    return packets


def serialize(packets: Sequence[RtcpPacket]) -> bytes:
    """Return the compound of `packets`.

    Raises:
        LocalError: If a field does not fit its place on the wire.
    """
    try:
        return b"".join([_serialize(packet) for packet in packets])
    except (struct.error, ValueError) as error:
        raise LocalError(f"a field is out of range: {error}") from error


def _serialize(packet: RtcpPacket) -> bytes:
    if isinstance(packet, TransportFeedback):
        body = packet.body()
        return _packet(RTPFB, packet.FMT, body + bytes(-len(body) % 4))
    return packet.serialize()


def _packet(packet_type: int, count: int, body: bytes) -> bytes:
    if not 0 <= count <= MAX_COUNT or len(body) % 4:
        raise LocalError(f"{count} entries in {len(body)} bytes: at most {MAX_COUNT}, in whole words, fit a packet")
    return _HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body


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


def _parse_sr(data: bytes, start: int, end: int, _type: int, count: int) -> SenderReport:
    if start + 24 > end:
        raise ParseError("truncated", "sender information")
    ssrc, ntp, rtp, packets, octets = _SENDER_INFO.unpack_from(data, start)
    return SenderReport(ssrc, ntp, rtp, packets, octets, _parse_blocks(data, start + 24, end, count))


def _parse_rr(data: bytes, start: int, end: int, _type: int, count: int) -> ReceiverReport:
    if start + 4 > end:
        raise ParseError("truncated", "receiver report")
    return ReceiverReport(_U32.unpack_from(data, start)[0], _parse_blocks(data, start + 4, end, count))


def _parse_sdes(data: bytes, start: int, end: int, _type: int, count: int) -> SourceDescription:
    chunks = []
    offset = start
    for _ in range(count):
        if offset + 5 > end:
            raise ParseError("truncated", "chunk")
        ssrc = _U32.unpack_from(data, offset)[0]
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


def _parse_bye(data: bytes, start: int, end: int, _type: int, count: int) -> Bye:
    offset = start + 4 * count
    if offset > end:
        raise ParseError("truncated", "BYE")
    reason = ""
    if offset < end:
        if offset + 1 + data[offset] > end:
            raise ParseError("truncated", "reason")
        reason = data[offset + 1 : offset + 1 + data[offset]].decode(errors="ignore")
    return Bye(list(struct.unpack_from(f"!{count}L", data, start)), reason)


def _parse_nack(data: bytes, start: int, end: int) -> Nack:
    if start + 12 > end or (end - start) % 4:
        raise ParseError("bad-feedback", "NACK without entries")
    sender_ssrc, media_ssrc = _TWO_SSRCS.unpack_from(data, start)
    missing: list[int] = []
    for at in range(start + 8, end, 4):
        pid, blp = _NACK.unpack_from(data, at)
        missing.append(pid)
        while blp:
            lowest = blp & -blp
            missing.append((pid + lowest.bit_length()) & 0xFFFF)
            blp ^= lowest
    return Nack(sender_ssrc, media_ssrc, missing)


def _parse_fir(data: bytes, start: int, end: int) -> FullIntraRequest:
    if start + 16 > end or (end - start) % 8:
        raise ParseError("bad-feedback", "FIR")
    sender_ssrc = _U32.unpack_from(data, start)[0]
    entries = [_TWO_SSRCS.unpack_from(data, at) for at in range(start + 8, end, 8)]
    return FullIntraRequest(sender_ssrc, [(ssrc, number >> 24) for ssrc, number in entries])


def _parse_remb(data: bytes, start: int, end: int) -> Remb:
    if start + 16 > end:
        raise ParseError("bad-remb", "short")
    rate = _U32.unpack_from(data, start + 12)[0]
    count, exponent, mantissa = rate >> 24, rate >> 18 & 0x3F, rate & 0x3FFFF
    if start + 16 + 4 * count != end:
        raise ParseError("bad-remb", f"{count} SSRCs do not fill it")
    if mantissa << exponent > MAX_BITRATE:
        raise ParseError("bad-remb", "overflow")
    ssrcs = list(struct.unpack_from(f"!{count}L", data, start + 16))
    return Remb(_U32.unpack_from(data, start)[0], mantissa << exponent, ssrcs)


def _parse_rtpfb(data: bytes, start: int, end: int, packet_type: int, fmt: int) -> RtcpPacket:
    if start + 8 > end:
        raise ParseError("bad-feedback", "no SSRCs")
    if fmt == Nack.FMT:
        return _parse_nack(data, start, end)
    if fmt == TransportFeedback.FMT:
        return TransportFeedback.parse_body(data, start, end)
    return _parse_unknown(data, start, end, packet_type, fmt)


def _parse_psfb(data: bytes, start: int, end: int, packet_type: int, fmt: int) -> RtcpPacket:
    if start + 8 > end:
        raise ParseError("bad-feedback", "no SSRCs")
    if fmt == PictureLossIndication.FMT:
        return PictureLossIndication(*_TWO_SSRCS.unpack_from(data, start))
    if fmt == FullIntraRequest.FMT:
        return _parse_fir(data, start, end)
    if fmt == Remb.FMT and data[start + 8 : start + 12] == Remb.IDENTIFIER:
        return _parse_remb(data, start, end)
    return _parse_unknown(data, start, end, packet_type, fmt)


def _parse_unknown(data: bytes, start: int, end: int, packet_type: int, count: int) -> UnknownPacket:
    return UnknownPacket(packet_type, count, data[start:end])


_PARSERS: dict[int, Callable[[bytes, int, int, int, int], RtcpPacket]] = {
    SR: _parse_sr,
    RR: _parse_rr,
    SDES: _parse_sdes,
    BYE: _parse_bye,
    RTPFB: _parse_rtpfb,
    PSFB: _parse_psfb,
}
