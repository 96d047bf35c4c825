"""Feedback on one stream: NACK, PLI (RFC 4585 section 6), FIR (RFC 5104 section 4.3.1) and REMB."""

import struct
from dataclasses import dataclass, field
from typing import ClassVar

from ..core import LocalError, ParseError
from .rtcp_wire import PSFB, RTPFB, TWO_SSRCS, U32, pack_packet

MAX_REMB_SSRCS = 255  # draft-alvestrand-rmcat-remb-03 section 2.2: Num SSRC has eight bits
MAX_BITRATE = (1 << 64) - 1  # a REMB beyond 64 bits is an overflow, not a bit rate

_NACK = struct.Struct("!HH")


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
        parts = [TWO_SSRCS.pack(self.sender_ssrc, self.media_ssrc)]
        pid, blp = self.sequence_numbers[0], 0
        for sequence_number in self.sequence_numbers[1:]:
            distance = (sequence_number - pid) & 0xFFFF
            if 1 <= distance <= 16:
                blp |= 1 << (distance - 1)
            elif distance:
                parts.append(_NACK.pack(pid, blp))
                pid, blp = sequence_number, 0
        parts.append(_NACK.pack(pid, blp))
        return pack_packet(RTPFB, self.FMT, b"".join(parts))


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
        return pack_packet(PSFB, self.FMT, TWO_SSRCS.pack(self.sender_ssrc, self.media_ssrc))


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
        entries = [TWO_SSRCS.pack(ssrc, (number & 0xFF) << 24) for ssrc, number in self.requests]
        return pack_packet(PSFB, self.FMT, b"".join([TWO_SSRCS.pack(self.sender_ssrc, 0), *entries]))


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
        return pack_packet(PSFB, self.FMT, TWO_SSRCS.pack(self.sender_ssrc, 0) + self.IDENTIFIER + rate + ssrcs)


def parse_nack(data: bytes, start: int, end: int) -> Nack:
    """Parse what follows the first word of a NACK in `data[start:end]`."""
    if start + 12 > end or (end - start) % 4:
        raise ParseError("bad-feedback", "NACK without entries")
    sender_ssrc, media_ssrc = TWO_SSRCS.unpack_from(data, start)
    missing: list[int] = []
    for at in range(start + 8, end, 4):
        pid, blp = _NACK.unpack_from(data, at)
        missing.append(pid)
        while blp:
            lowest = blp & -blp
            missing.append((pid + lowest.bit_length()) & 0xFFFF)
            blp ^= lowest
    return Nack(sender_ssrc, media_ssrc, missing)


def parse_fir(data: bytes, start: int, end: int) -> FullIntraRequest:
    """Parse what follows the first word of a FIR in `data[start:end]`."""
    if start + 16 > end or (end - start) % 8:
        raise ParseError("bad-feedback", "FIR")
    sender_ssrc = U32.unpack_from(data, start)[0]
    entries = [TWO_SSRCS.unpack_from(data, at) for at in range(start + 8, end, 8)]
    return FullIntraRequest(sender_ssrc, [(ssrc, number >> 24) for ssrc, number in entries])


def parse_remb(data: bytes, start: int, end: int) -> Remb:
    """Parse what follows the first word of a REMB in `data[start:end]`."""
    if start + 16 > end:
        raise ParseError("bad-remb", "short")
    rate = U32.unpack_from(data, start + 12)[0]
    count, exponent, mantissa = rate >> 24, rate >> 18 & 0x3F, rate & 0x3FFFF
    if start + 16 + 4 * count != end:
        raise ParseError("bad-remb", f"{count} SSRCs do not fill it")
    if mantissa << exponent > MAX_BITRATE:
        raise ParseError("bad-remb", "overflow")
    ssrcs = list(struct.unpack_from(f"!{count}L", data, start + 16))
    return Remb(U32.unpack_from(data, start)[0], mantissa << exponent, ssrcs)
