"""The congestion control feedback message (RFC 8888 section 3.1): arrival and ECN mark of every packet."""

import struct
from dataclasses import dataclass, field
from typing import ClassVar

from ..core import LocalError, ParseError
from .rtcp_wire import RTPFB, U32, pack_packet

OFFSET_UNIT = 1 / 1024  # seconds (RFC 8888 section 3.1, ATO)
OVER_RANGE, UNAVAILABLE = 0x1FFE, 0x1FFF  # RFC 8888 section 3.1
MAX_METRICS = 16384  # RFC 8888 section 3.1: a quarter of the sequence numbers

_STREAM = struct.Struct("!LHH")
_TIMESTAMP_UNIT = 1 / 65536  # seconds


@dataclass(slots=True)
class StreamArrivals:
    """What arrived of one stream.

    Args:
        ssrc: The stream.
        begin_sequence_number: Of the first metric, 16 bits.
        metrics: One per sequence number: None if it has not arrived, else (ECN mark 0..3, offset before the report's
            timestamp in units of 1/1024 s, 0..0x1FFF).
    """

    ssrc: int
    begin_sequence_number: int
    metrics: list[tuple[int, int] | None] = field(default_factory=list)


@dataclass(slots=True)
class CongestionFeedback:
    """When which packets arrived, with which ECN marks.

    Args:
        sender_ssrc: Who reports.
        report_timestamp: Middle 32 bits of an NTP time.
        streams: One entry per stream.
    """

    FMT: ClassVar[int] = 11
    sender_ssrc: int
    report_timestamp: int
    streams: list[StreamArrivals] = field(default_factory=list)

    def arrivals(self) -> list[tuple[int, int, float | None, int]]:
        """Return (SSRC, sequence number, arrival in seconds of the receiver's clock modulo 65536 s or None, ECN mark).

        A packet whose arrival time is unavailable or out of range counts as arrived at the bound of what can be said.
        """
        end = self.report_timestamp * _TIMESTAMP_UNIT
        found: list[tuple[int, int, float | None, int]] = []
        for stream in self.streams:
            for index, metric in enumerate(stream.metrics):
                number = stream.begin_sequence_number + index & 0xFFFF
                if metric is None:
                    found.append((stream.ssrc, number, None, 0))
                else:
                    offset = 0 if metric[1] == UNAVAILABLE else metric[1]
                    found.append((stream.ssrc, number, end - offset * OFFSET_UNIT, metric[0]))
        return found

    def serialize(self) -> bytes:
        """Return the packet's bytes."""
        parts = [U32.pack(self.sender_ssrc)]
        for stream in self.streams:
            if len(stream.metrics) > MAX_METRICS:
                raise LocalError(f"{len(stream.metrics)} packets of one stream in one report")
            words = [_metric(metric) for metric in stream.metrics]
            if len(words) & 1:
                words.append(0)
            parts += [
                _STREAM.pack(stream.ssrc, stream.begin_sequence_number, len(stream.metrics)),
                struct.pack(f"!{len(words)}H", *words),
            ]
        parts.append(U32.pack(self.report_timestamp))
        return pack_packet(RTPFB, self.FMT, b"".join(parts))


def _metric(metric: tuple[int, int] | None) -> int:
    if metric is None:
        return 0
    ecn, offset = metric
    if not 0 <= ecn <= 3 or not 0 <= offset <= UNAVAILABLE:
        raise LocalError(f"an ECN mark of {ecn} or an offset of {offset} does not fit")
    return 0x8000 | ecn << 13 | offset


def parse_congestion_feedback(data: bytes, start: int, end: int) -> CongestionFeedback:
    """Parse what follows the first word of the message in `data[start:end]`.

    Raises:
        ParseError: `truncated`, or `bad-congestion-feedback` for more metrics than a report may have.
    """
    if start + 8 > end:
        raise ParseError("truncated", "congestion control feedback")
    timestamp_at = end - 4
    found = CongestionFeedback(U32.unpack_from(data, start)[0], U32.unpack_from(data, timestamp_at)[0])
    at = start + 4
    while at < timestamp_at:
        if at + 8 > timestamp_at:
            raise ParseError("truncated", "report block")
        ssrc, begin, count = _STREAM.unpack_from(data, at)
        at += 8
        if count > MAX_METRICS:
            raise ParseError("bad-congestion-feedback", f"{count} packets of one stream")
        if at + 2 * count > timestamp_at:
            raise ParseError("truncated", "packet metric blocks")
        words = struct.unpack_from(f"!{count}H", data, at)
        metrics = [(word >> 13 & 3, word & UNAVAILABLE) if word & 0x8000 else None for word in words]
        found.streams.append(StreamArrivals(ssrc, begin, metrics))
        at += 2 * (count + (count & 1))
    return found
