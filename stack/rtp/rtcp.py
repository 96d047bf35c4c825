"""RTCP compounds: what stands in a datagram, parsed and written.

RFC 3550 section 6. Reduced-size compounds (RFC 5506) parse like any other. The packets themselves are in
`rtcp_reports`, `rtcp_feedback`, `extended_reports`, `transport_feedback` and `congestion_feedback`.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..core import LocalError, ParseError
from .congestion_feedback import CongestionFeedback, StreamArrivals, parse_congestion_feedback
from .extended_reports import (
    DelaySinceLastReceiverReport,
    ExtendedReport,
    ReceiverReferenceTime,
    UnknownBlock,
    parse_xr,
)
from .rtcp_feedback import (
    MAX_BITRATE,
    MAX_REMB_SSRCS,
    FullIntraRequest,
    Nack,
    PictureLossIndication,
    Remb,
    parse_fir,
    parse_nack,
    parse_remb,
)
from .rtcp_reports import (
    CNAME,
    MAX_TEXT_BYTES,
    ApplicationDefined,
    Bye,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    parse_app,
    parse_bye,
    parse_rr,
    parse_sdes,
    parse_sr,
)
from .rtcp_wire import APP, BYE, HEADER, MAX_COUNT, PSFB, RR, RTPFB, SDES, SR, TWO_SSRCS, XR, pack_packet
from .transport_feedback import TransportFeedback

__all__ = [
    "CNAME",
    "MAX_BITRATE",
    "MAX_COUNT",
    "MAX_REMB_SSRCS",
    "MAX_TEXT_BYTES",
    "ApplicationDefined",
    "Bye",
    "CongestionFeedback",
    "DelaySinceLastReceiverReport",
    "ExtendedReport",
    "FullIntraRequest",
    "Nack",
    "PictureLossIndication",
    "ReceiverReferenceTime",
    "ReceiverReport",
    "Remb",
    "ReportBlock",
    "RtcpPacket",
    "SenderReport",
    "SourceDescription",
    "StreamArrivals",
    "TransportFeedback",
    "UnknownBlock",
    "UnknownPacket",
    "is_rtcp",
    "parse",
    "serialize",
]


@dataclass(slots=True)
class UnknownPacket:
    """A well-formed packet of a kind we do not interpret (other feedback, other types).

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
        return pack_packet(self.packet_type, self.count, self.body)


RtcpPacket: TypeAlias = (
    SenderReport
    | ReceiverReport
    | SourceDescription
    | Bye
    | ApplicationDefined
    | ExtendedReport
    | Nack
    | PictureLossIndication
    | FullIntraRequest
    | Remb
    | TransportFeedback
    | CongestionFeedback
    | UnknownPacket
)


def is_rtcp(datagram: bytes) -> bool:
    """Tell an RTCP datagram from an RTP one that shares its port (RFC 5761 section 4)."""
    return len(datagram) > 1 and 192 <= datagram[1] <= 223


def parse(data: bytes) -> list[RtcpPacket]:
    """Parse a compound, of any size and order (RFC 5506 section 3.2).

    Raises:
        ParseError: `truncated`, `bad-version`, `bad-packet-type`, `bad-padding`, `bad-feedback`, `bad-remb`,
            `bad-transport-feedback`, `bad-congestion-feedback`, `bad-extended-report`.
    """
    packets: list[RtcpPacket] = []
    offset, size = 0, len(data)
    if not size:
        raise ParseError("truncated", "empty")
    while offset < size:
        if offset + 4 > size:
            raise ParseError("truncated", "header")
        first, packet_type, words = HEADER.unpack_from(data, offset)
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
        parser = _PARSERS.get(packet_type)
        if parser is None:
            packets.append(UnknownPacket(packet_type, first & 0x1F, data[offset + 4 : stop]))
        else:
            packets.append(parser(data, offset + 4, stop, first & 0x1F))
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
        return pack_packet(RTPFB, packet.FMT, body + bytes(-len(body) % 4))
    return packet.serialize()


def _parse_rtpfb(data: bytes, start: int, end: int, fmt: int) -> RtcpPacket:
    if start + 8 > end:
        raise ParseError("bad-feedback", "no SSRCs")
    if fmt == Nack.FMT:
        return parse_nack(data, start, end)
    if fmt == TransportFeedback.FMT:
        return TransportFeedback.parse_body(data, start, end)
    if fmt == CongestionFeedback.FMT:
        return parse_congestion_feedback(data, start, end)
    return UnknownPacket(RTPFB, fmt, data[start:end])


def _parse_psfb(data: bytes, start: int, end: int, fmt: int) -> RtcpPacket:
    if start + 8 > end:
        raise ParseError("bad-feedback", "no SSRCs")
    if fmt == PictureLossIndication.FMT:
        return PictureLossIndication(*TWO_SSRCS.unpack_from(data, start))
    if fmt == FullIntraRequest.FMT:
        return parse_fir(data, start, end)
    if fmt == Remb.FMT and data[start + 8 : start + 12] == Remb.IDENTIFIER:
        return parse_remb(data, start, end)
    return UnknownPacket(PSFB, fmt, data[start:end])


_PARSERS: dict[int, Callable[[bytes, int, int, int], RtcpPacket]] = {
    SR: parse_sr,
    RR: parse_rr,
    SDES: parse_sdes,
    BYE: parse_bye,
    APP: parse_app,
    RTPFB: _parse_rtpfb,
    PSFB: _parse_psfb,
    XR: parse_xr,
}
