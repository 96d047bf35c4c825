"""Tells the sender of a whole transport when its packets arrived, per stream, with their ECN marks (RFC 8888).

What `transport_cc` does for senders that number the transport's packets, this does for those that do not.
"""

from ..core import LocalError, unwrap16
from .congestion_feedback import OFFSET_UNIT, OVER_RANGE, UNAVAILABLE, CongestionFeedback, StreamArrivals
from .feedback_generator import FeedbackGenerator
from .packet import Packet
from .stats import compact_ntp

REPORT_INTERVAL = 0.1  # seconds; RFC 8888 section 4: 50 to 100 ms are a fair compromise of overhead and latency
REPEATED = 16  # packets of the report before that are reported again: a lost report, a straggler
MAX_STREAMS = 64  # of one transport; a peer that invents more is not followed past that
MAX_ARRIVALS_PER_STREAM = 2048  # between two reports: a hundred times what a stream of 2.5 Mbit/s has
MAX_METRICS_PER_REPORT = 400  # two octets each make 0.8 kB: one datagram
MAX_STREAMS_PER_REPORT = 30  # twelve octets each at least: with the metrics still one datagram
MAX_GAP = 1000  # sequence numbers; a longer jump is a restart, and reporting what lies between would say nothing

CE = 3  # RFC 3168 section 5: congestion experienced


class _Stream:
    __slots__ = ("arrivals", "begin", "highest")

    def __init__(self, extended: int) -> None:
        self.arrivals: dict[int, tuple[float, int]] = {}
        self.begin = self.highest = extended


class CongestionFeedbackGenerator(FeedbackGenerator):
    """Collects arrivals of one transport and reports them ten times a second.

    Feed it RTP datagrams, or, cheaper, numbers of packets parsed elsewhere.

    Args:
        ssrc: Sender SSRC of the feedback: any local one.
        ntp_offset: Seconds to add to `now` to get NTP time.
        interval: Seconds between reports.
    """

    def __init__(self, *, ssrc: int, ntp_offset: float = 0.0, interval: float = REPORT_INTERVAL) -> None:
        super().__init__(ssrc, interval)
        self._ntp_offset = ntp_offset
        self._streams: dict[int, _Stream] = {}

    def receive_packet(self, packet: Packet, now: float) -> None:
        """Take an RTP packet already parsed, without an ECN mark."""
        self.receive_arrival(packet.ssrc, packet.sequence_number, now)

    def receive_arrival(self, ssrc: int, sequence_number: int, now: float, ecn: int = 0) -> None:
        """Note that a packet arrived.

        Args:
            ssrc: Its stream.
            sequence_number: 16 bits.
            now: When, seconds.
            ecn: The two ECN bits of its IP header.

        Raises:
            LocalError: If the sequence number or the mark does not fit.
        """
        if not 0 <= sequence_number <= 0xFFFF or not 0 <= ecn <= 3:
            raise LocalError(f"a sequence number of {sequence_number} or an ECN mark of {ecn} does not fit")
        now = self._clamp(now)
        if self._closed:
            self.dropped["closed"] += 1
            return
        stream = self._streams.get(ssrc)
        if stream is None:
            if len(self._streams) >= MAX_STREAMS and not self._forget_a_stream():
                self.dropped["too-many-streams"] += 1
                return
            stream = self._streams[ssrc] = _Stream(sequence_number + 0x10000)
        extended = unwrap16(sequence_number, stream.highest)
        if abs(extended - stream.highest) > MAX_GAP:
            stream = self._streams[ssrc] = _Stream(extended)
        known = stream.arrivals.get(extended)
        if known is not None:
            self.dropped["duplicate"] += 1
            if ecn == CE:
                # RFC 8888 section 3.1: the first arrival counts, but a mark of any copy does.
                stream.arrivals[extended] = (known[0], CE)
            return
        if len(stream.arrivals) >= MAX_ARRIVALS_PER_STREAM:
            self.dropped["arrivals-full"] += 1
            return
        stream.arrivals[extended] = (now, ecn)
        stream.highest = max(stream.highest, extended)
        stream.begin = min(stream.begin, extended)
        self._timers.set_default("report", now + self._interval)

    def _forget_a_stream(self) -> bool:
        """Forget the oldest that has nothing to report, and tell whether there was one."""
        idle = next((ssrc for ssrc, stream in self._streams.items() if stream.begin > stream.highest), None)
        if idle is not None:
            del self._streams[idle]
        return idle is not None

    def _reports(self, now: float) -> list[CongestionFeedback]:
        blocks: list[StreamArrivals] = []
        reports: list[CongestionFeedback] = []
        metrics = 0
        for ssrc, stream in self._streams.items():
            for block in self._blocks(ssrc, stream, now):
                metrics += len(block.metrics)
                if blocks and (metrics > MAX_METRICS_PER_REPORT or len(blocks) >= MAX_STREAMS_PER_REPORT):
                    reports.append(self._report(blocks, now))
                    blocks, metrics = [], len(block.metrics)
                blocks.append(block)
        if blocks:
            reports.append(self._report(blocks, now))
        return reports

    def _blocks(self, ssrc: int, stream: _Stream, now: float) -> list[StreamArrivals]:
        if stream.begin > stream.highest:
            return []  # nothing new
        arrivals = stream.arrivals
        # What was reported as received must stay so in reports that overlap (RFC 8888 section 3.1): the last few stay.
        first = min(arrivals)
        begin = max(first, stream.begin - REPEATED)
        blocks = []
        while begin <= stream.highest:
            end = min(stream.highest + 1, begin + MAX_METRICS_PER_REPORT)
            metrics = [self._metric(arrivals.get(number), now) for number in range(begin, end)]
            blocks.append(StreamArrivals(ssrc, begin & 0xFFFF, metrics))
            begin = end
        stream.begin = stream.highest + 1
        keep = stream.begin - REPEATED
        for number in [number for number in arrivals if number < keep]:
            del arrivals[number]
        return blocks

    @staticmethod
    def _metric(arrival: tuple[float, int] | None, now: float) -> tuple[int, int] | None:
        if arrival is None:
            return None
        offset = round((now - arrival[0]) / OFFSET_UNIT)
        return arrival[1], min(offset, OVER_RANGE) if offset >= 0 else UNAVAILABLE

    def _report(self, blocks: list[StreamArrivals], now: float) -> CongestionFeedback:
        return CongestionFeedback(self.ssrc, compact_ntp(now + self._ntp_offset), blocks)

    def _forget_all(self) -> None:
        self._streams.clear()
