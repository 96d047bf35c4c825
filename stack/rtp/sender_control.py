"""The RTCP side of a sender: its reports, and what the other end says and asks for."""

from collections import deque
from collections.abc import Callable, Mapping

from ..core import ParseError, RandomBytes
from .events import (
    BitrateEstimated,
    ByeReceived,
    CongestionFeedbackReceived,
    KeyframeRequested,
    SenderEvent,
    TransportFeedbackReceived,
)
from .history import History, Sent
from .rtcp import (
    Bye,
    CongestionFeedback,
    DelaySinceLastReceiverReport,
    ExtendedReport,
    FullIntraRequest,
    Nack,
    PictureLossIndication,
    ReceiverReferenceTime,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    parse,
)
from .stats import SenderStatistics, ntp_timestamp
from .stream_control import INITIAL_RTT, StreamControl
from .transport_feedback import TransportFeedback

MAX_REFERENCE_TIMES = 16  # receivers of one stream that ask for their round trip; of more the oldest go unanswered
KEYFRAME_REQUEST_INTERVAL = 0.3  # seconds between keyframe requests: encoders need time, keyframes are large
MAX_PENDING_EVENTS = 1024  # when nobody takes them; the oldest go


class SenderControl(StreamControl[SenderEvent]):
    """What `Sender` is built on: everything but frames and packets.

    Args:
        ssrc: Of the stream.
        rtx_ssrc: Of its retransmissions, or None.
        clock_rate: Media clock, Hz.
        is_video: Whether keyframes can be asked for.
        random_bytes: Source of report times.
        ntp_offset: Seconds to add to `now` to get NTP time.
    """

    def __init__(
        self,
        *,
        ssrc: int,
        rtx_ssrc: int | None,
        clock_rate: int,
        is_video: bool,
        random_bytes: RandomBytes,
        ntp_offset: float,
    ) -> None:
        super().__init__(
            clock_rate=clock_rate,
            random_bytes=random_bytes,
            ntp_offset=ntp_offset,
            max_events=MAX_PENDING_EVENTS,
        )
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self.stats = SenderStatistics()
        self._is_video = is_video
        self._history = History()
        self._resend: deque[tuple[Sent, float]] = deque()
        self._clock: tuple[float, int] | None = None  # an instant and its RTP timestamp
        self._last_keyframe_request = float("-inf")
        self._keyframe_reason = ""
        self._fir_number: int | None = None
        self._reporter: int | None = None
        self._reference_times: dict[int, tuple[int, float]] = {}
        self._reported: tuple[int, int] = (-1, -1)  # packets sent at the last two reports

    def _rtcp_handlers(self) -> Mapping[type, Callable[..., None]]:
        return {
            ReceiverReport: self._on_report,
            SenderReport: self._on_report,
            ExtendedReport: self._on_extended_report,
            Nack: self._on_nack,
            PictureLossIndication: self._on_pli,
            FullIntraRequest: self._on_fir,
            Remb: self._on_remb,
            TransportFeedback: self._on_transport_feedback,
            CongestionFeedback: self._on_congestion_feedback,
            Bye: self._on_bye,
        }

    @property
    def rtt(self) -> float | None:
        """Last round trip, seconds; None before the first report."""
        return self.stats.rtt

    def _report(self, now: float) -> RtcpPacket:
        before, self._reported = self._reported, (self._reported[1], self.stats.packets_sent)
        if self._clock is None or before[0] == self.stats.packets_sent:
            return ReceiverReport(self.ssrc)  # RFC 3550 section 6.4: nothing sent since the report before the last
        instant, timestamp = self._clock
        timestamp += round((now - instant) * self._clock_rate)
        return SenderReport(
            self.ssrc,
            ntp_timestamp(now + self._ntp_offset),
            timestamp & 0xFFFFFFFF,
            self.stats.packets_sent & 0xFFFFFFFF,
            self.stats.bytes_sent & 0xFFFFFFFF,
        )

    def _extended_report(self, now: float) -> list[RtcpPacket]:
        """RFC 3611 section 4.5: tell receivers when their reference times came."""
        if not self._reference_times:
            return []
        reports = [
            (ssrc, reference, int((now - arrival) * 65536.0))
            for ssrc, (reference, arrival) in self._reference_times.items()
        ]
        self._reference_times.clear()
        return [ExtendedReport(self.ssrc, [DelaySinceLastReceiverReport(reports)])]

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take one RTCP compound; what concerns other streams in it is passed over."""
        try:
            packets = parse(datagram)
        except ParseError as error:
            self._clamp(now)
            self.dropped[error.reason] += 1
            return
        self.receive_rtcp(packets, now)

    def handle_timer(self, now: float) -> None:
        """Make reports and deferred keyframe requests due."""
        now = self._clamp(now)
        for name in self._timers.expire(now):
            if name == "report":
                self._history.forget(now)
                self._report_due = True
                self._timers.set("report", now + self._report_interval())
            elif name == "keyframe" and self._keyframe_reason:
                self._want_keyframe(self._keyframe_reason, now)

    def _on_report(self, report: ReceiverReport | SenderReport, now: float) -> None:
        for block in report.reports:
            if block.ssrc == self.ssrc:
                self._reporter = report.ssrc
                self._on_report_block(block, now)

    def _on_report_block(self, block: ReportBlock, now: float) -> None:
        stats = self.stats
        stats.fraction_lost = block.fraction_lost / 256.0
        stats.packets_lost = block.packets_lost
        stats.jitter = block.jitter / self._clock_rate
        if block.lsr:
            rtt = self._round_trip(block.lsr, block.dlsr, now)
            if rtt is not None:
                stats.rtt = rtt
                stats.total_rtt += rtt
                stats.rtt_measurements += 1

    def _on_extended_report(self, report: ExtendedReport, now: float) -> None:
        for block in report.blocks:
            if isinstance(block, ReceiverReferenceTime):
                self._reference_times.pop(report.ssrc, None)
                if len(self._reference_times) >= MAX_REFERENCE_TIMES:
                    self._reference_times.pop(next(iter(self._reference_times)))
                self._reference_times[report.ssrc] = (block.ntp_timestamp >> 16 & 0xFFFFFFFF, now)

    def _on_nack(self, nack: Nack, now: float) -> None:
        if nack.media_ssrc != self.ssrc:
            return
        self.stats.nacks += 1
        rtt = INITIAL_RTT if self.stats.rtt is None else self.stats.rtt
        for sequence_number in nack.sequence_numbers:
            sent, reason = self._history.take(sequence_number, now, rtt)
            if sent is None:
                self.dropped[reason] += 1
            else:
                self._resend.append((sent, now))

    def _on_pli(self, pli: PictureLossIndication, now: float) -> None:
        if pli.media_ssrc == self.ssrc:
            self.stats.plis += 1
            self._want_keyframe("pli", now)

    def _on_fir(self, fir: FullIntraRequest, now: float) -> None:
        for ssrc, number in fir.requests:
            if ssrc != self.ssrc:
                continue
            self.stats.firs += 1
            # RFC 5104 section 4.3.1.1: the same number is a repetition of the same command.
            if number != self._fir_number:
                self._fir_number = number
                self._want_keyframe("fir", now)

    def _want_keyframe(self, reason: str, now: float) -> None:
        allowed = self._last_keyframe_request + KEYFRAME_REQUEST_INTERVAL
        if now < allowed:
            # Not forgotten: a keyframe sent meanwhile cancels it.
            self._keyframe_reason = reason
            self._timers.set_default("keyframe", allowed)
            return
        self._keyframe_reason = ""
        self._timers.cancel("keyframe")
        self._last_keyframe_request = now
        self.stats.keyframes_requested += 1
        self._emit(KeyframeRequested(reason))

    def _on_remb(self, remb: Remb, _now: float) -> None:
        if not remb.ssrcs or self.ssrc in remb.ssrcs:
            self._emit(BitrateEstimated(remb.bitrate))

    def _on_transport_feedback(self, feedback: TransportFeedback, _now: float) -> None:
        if feedback.media_ssrc in {0, self.ssrc, self.rtx_ssrc}:
            self._emit(TransportFeedbackReceived(feedback))

    def _on_congestion_feedback(self, feedback: CongestionFeedback, _now: float) -> None:
        if any(stream.ssrc in {self.ssrc, self.rtx_ssrc} for stream in feedback.streams):
            self._emit(CongestionFeedbackReceived(feedback))

    def _on_bye(self, bye: Bye, _now: float) -> None:
        if self._reporter is not None and self._reporter in bye.ssrcs:
            self._emit(ByeReceived(self._reporter, bye.reason))
            self._reporter = None
