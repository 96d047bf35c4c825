"""The transport-wide congestion control feedback message (draft-holmer-rmcat-transport-wide-cc-extensions-01).

Each packet of a range of transport-wide sequence numbers has a symbol: 0 not received, 1 received with a delta of one
octet, 2 received with a delta of two octets. Symbols are packed into 16-bit chunks: runs, vectors of 14 one-bit
symbols, vectors of 7 two-bit symbols. Deltas follow, in units of 250 us.
"""

import struct
from dataclasses import dataclass, field
from typing import ClassVar

from ..core import LocalError, ParseError

DELTA_UNIT = 0.00025  # seconds
TICKS_PER_REFERENCE = 256  # deltas in one unit of the reference time, which is 64 ms
MAX_STATUSES = 0xFFFF  # the packet status count has 16 bits
MIN_DELTA, MAX_DELTA = -0x8000, 0x7FFF  # the large delta is signed 16 bits

_MAX_RUN = 0x1FFF
_PREFIX = struct.Struct("!LLHH")
_PREFIX_BYTES = 16  # SSRCs, base, count, reference time and feedback count
_U16 = struct.Struct("!H")
_S16 = struct.Struct("!h")


@dataclass(slots=True)
class TransportFeedback:
    """When which packets of a transport arrived.

    Args:
        sender_ssrc: Who reports.
        media_ssrc: A stream of the transport reported on.
        base_sequence_number: Transport-wide sequence number of the first status, 16 bits.
        reference_time: Signed 24 bits, units of 64 ms; an arbitrary origin.
        feedback_count: Counts feedback messages modulo 256.
        deltas: One per packet from `base_sequence_number` on: ticks of 250 us since the previous packet received (the
            first since the reference time), None if it was not received.
    """

    FMT: ClassVar[int] = 15
    sender_ssrc: int
    media_ssrc: int
    base_sequence_number: int
    reference_time: int
    feedback_count: int
    deltas: list[int | None] = field(default_factory=list)

    def arrivals(self) -> list[tuple[int, float | None]]:
        """Return (transport-wide sequence number, arrival in seconds of the receiver's clock or None) for all."""
        ticks = self.reference_time * TICKS_PER_REFERENCE
        found: list[tuple[int, float | None]] = []
        for index, delta in enumerate(self.deltas):
            sequence_number = (self.base_sequence_number + index) & 0xFFFF
            if delta is None:
                found.append((sequence_number, None))
            else:
                ticks += delta
                found.append((sequence_number, ticks * DELTA_UNIT))
        return found

    def body(self) -> bytes:
        """Return the message after its RTCP header, without padding.

        Raises:
            LocalError: If there are no statuses or too many, or a value does not fit.
        """
        if not 1 <= len(self.deltas) <= MAX_STATUSES:
            raise LocalError(f"{len(self.deltas)} packet statuses")
        symbols = [0 if delta is None else 1 if 0 <= delta <= 255 else 2 for delta in self.deltas]
        try:
            parts = [
                _PREFIX.pack(self.sender_ssrc, self.media_ssrc, self.base_sequence_number, len(self.deltas)),
                (self.reference_time & 0xFFFFFF).to_bytes(3, "big"),
                bytes((self.feedback_count & 0xFF,)),
                *_chunks(symbols),
                *[
                    bytes((delta,)) if 0 <= delta <= 255 else _S16.pack(delta)
                    for delta in self.deltas
                    if delta is not None
                ],
            ]
        except struct.error as error:
            raise LocalError(str(error)) from error
        return b"".join(parts)

    @classmethod
    def parse_body(cls, data: bytes, start: int, end: int) -> "TransportFeedback":
        """Parse what follows the RTCP header in `data[start:end]`; padding may follow the deltas.

        Raises:
            ParseError: `truncated`, or `bad-transport-feedback` for a reserved symbol or no statuses.
        """
        if start + _PREFIX_BYTES > end:
            raise ParseError("truncated", "transport feedback")
        sender_ssrc, media_ssrc, base, count = _PREFIX.unpack_from(data, start)
        if not count:
            raise ParseError("bad-transport-feedback", "no packet statuses")
        reference = int.from_bytes(data[start + 12 : start + 15], "big", signed=True)
        symbols, offset = _parse_chunks(data, start + _PREFIX_BYTES, end, count)
        deltas: list[int | None] = []
        for symbol in symbols:
            if symbol == 0:
                deltas.append(None)
                continue
            if symbol == 3:
                raise ParseError("bad-transport-feedback", "reserved symbol")
            if offset + symbol > end:
                raise ParseError("truncated", "receive deltas")
            deltas.append(data[offset] if symbol == 1 else _S16.unpack_from(data, offset)[0])
            offset += symbol
        return cls(sender_ssrc, media_ssrc, base, reference, data[start + 15], deltas)


def _parse_chunks(data: bytes, offset: int, end: int, count: int) -> tuple[list[int], int]:
    symbols: list[int] = []
    while len(symbols) < count:
        if offset + 2 > end:
            raise ParseError("truncated", "packet chunks")
        chunk = data[offset] << 8 | data[offset + 1]
        offset += 2
        if chunk < 0x8000:
            symbols += [chunk >> 13] * (chunk & _MAX_RUN)
            if not chunk & _MAX_RUN:
                raise ParseError("bad-transport-feedback", "empty run")
        elif chunk < 0xC000:
            symbols += [chunk >> shift & 1 for shift in range(13, -1, -1)]
        else:
            symbols += [chunk >> shift & 3 for shift in range(12, -1, -2)]
    del symbols[count:]
    return symbols, offset


def _chunks(symbols: list[int]) -> list[bytes]:
    chunks: list[bytes] = []
    at, size = 0, len(symbols)
    while at < size:
        symbol = symbols[at]
        run = 1
        while at + run < size and run < _MAX_RUN and symbols[at + run] == symbol:
            run += 1
        narrow = symbols[at : at + 14]
        if run >= 14 or at + run == size or (run >= 7 and 2 in narrow):
            chunks.append(_U16.pack(symbol << 13 | run))
            at += run
        elif 2 not in narrow:
            bits = sum(s << (13 - i) for i, s in enumerate(narrow))
            chunks.append(_U16.pack(0x8000 | bits))
            at += 14
        else:
            bits = sum(s << (12 - 2 * i) for i, s in enumerate(narrow[:7]))
            chunks.append(_U16.pack(0xC000 | bits))
            at += 7
    return chunks
