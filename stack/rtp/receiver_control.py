"""The RTCP side of a receiver: its reports and requests, and what the sender tells."""

from collections.abc import Callable, Mapping

from ..core import LocalError, RandomBytes
from .events import ByeReceived, ReceiverEvent
from .nack import MissingPackets
from .rtcp import (
    MAX_BITRATE,
    MAX_TEXT_BYTES,
    Bye,
    DelaySinceLastReceiverReport,
    ExtendedReport,
    FullIntraRequest,
    Nack,
    PictureLossIndication,
    ReceiverReferenceTime,
    ReceiverReport,
    Remb,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    serialize,
)
from .stats import ReceiverStatistics, ntp_timestamp
from .stream_control import INITIAL_RTT, StreamControl

KEYFRAME_REQUEST_INTERVAL = 0.5  # seconds between PLI or FIR: a request, an encoder and a keyframe take about as long
MAX_PENDING_EVENTS = 256  # when nobody takes them: eight seconds of video; the oldest go


class ReceiverControl(StreamControl[ReceiverEvent]):
    """What `Receiver` is built on: everything but packets and frames. Arguments as there."""

    def __init__(
        self,
        *,
        local_ssrc: int,
        remote_ssrc: int | None,
        clock_rate: int,
        random_bytes: RandomBytes,
        cname: str,
        pli: bool,
        fir: bool,
        remb: bool,
        rrtr: bool,
        reduced_size: bool,
        ntp_offset: float,
    ) -> None:
        super().__init__(
            clock_rate=clock_rate,
            random_bytes=random_bytes,
            ntp_offset=ntp_offset,
            max_events=MAX_PENDING_EVENTS,
        )
        if len(cname.encode()) > MAX_TEXT_BYTES:
            raise LocalError("the CNAME is too long")
        self.local_ssrc = local_ssrc
        self.remote_ssrc = remote_ssrc
        self.stats = ReceiverStatistics(clock_rate)
        self.rtt = INITIAL_RTT
        self.remote_cname: str | None = None
        self.last_sender_report: tuple[SenderReport, float] | None = None
        self._cname = cname
        self._pli = pli
        self._fir = fir and not pli
        self._remb = remb
        self._rrtr = rrtr
        self._reduced_size = reduced_size
        self._missing = MissingPackets()
        self._nack_now: list[int] = []
        self._keyframe_wanted = False  # by the application or after a loss, not yet asked for
        self._keyframe_due = False  # goes out with the next drain
        self._last_keyframe_request = float("-inf")
        self._fir_number = 0
        self._bitrate: int | None = None
        self._bitrate_due = False

    def _rtcp_handlers(self) -> Mapping[type, Callable[..., None]]:
        return {
            SenderReport: self._on_sender_report,
            SourceDescription: self._on_source_description,
            ExtendedReport: self._on_extended_report,
            Bye: self._on_bye,
        }

    def ntp_time(self, timestamp: int) -> float | None:
        """Return when the sender captured what has this RTP timestamp; None before its first report.

        Streams of one CNAME share the clock: frames of the same NTP time belong together (RFC 3550 section 6.4.1).

        Args:
            timestamp: Media clock, 32 bits.

        Returns:
            NTP time of the sender's clock, seconds.
        """
        if self.last_sender_report is None:
            return None
        report, _ = self.last_sender_report
        ticks = (timestamp - report.rtp_timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        return report.ntp_timestamp / 4294967296.0 + ticks / self._clock_rate

    def _want_keyframe(self, now: float) -> None:
        if not (self._pli or self._fir):
            return
        allowed = self._last_keyframe_request + KEYFRAME_REQUEST_INTERVAL
        if now < allowed:
            self._keyframe_wanted = True
            self._timers.set("keyframe", allowed)
            return
        self._keyframe_wanted = False
        self._keyframe_due = True
        self._last_keyframe_request = now
        # Asked again if it does not come.
        self._timers.set("keyframe", now + KEYFRAME_REQUEST_INTERVAL)

    def request_keyframe(self, now: float) -> None:
        """Ask the sender for a keyframe, not more often than every `KEYFRAME_REQUEST_INTERVAL`.

        Raises:
            LocalError: If neither PLI nor FIR was negotiated, nothing was received yet, or the receiver is closed.
        """
        if self._closed:
            raise LocalError("the receiver is closed")
        if not (self._pli or self._fir):
            raise LocalError("neither PLI nor FIR was negotiated")
        if self.remote_ssrc is None:
            raise LocalError("there is nobody to ask: the SSRC is not known")
        self._want_keyframe(self._clamp(now))

    @property
    def sends_remb(self) -> bool:
        """Whether `request_bitrate` is possible."""
        return self._remb and not self._closed

    def request_bitrate(self, bitrate: int, now: float) -> None:
        """Tell the sender by REMB not to exceed `bitrate` (bit/s), now and with every report.

        Raises:
            LocalError: If REMB was not negotiated or the bit rate is out of range, or the receiver is closed.
        """
        if self._closed or not self._remb or not 0 < bitrate <= MAX_BITRATE:
            raise LocalError("REMB was not negotiated, or the bit rate is out of range")
        self._clamp(now)
        self._bitrate = bitrate
        self._bitrate_due = True

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return at most one RTCP compound: the report and the feedback that are due."""
        now = self._clamp(now)
        feedback = self._feedback()
        if not (feedback or self._report_due or self._bye_due):
            return []
        if self._report_due or self._bye_due or not self._reduced_size:
            # RFC 4585 section 3.1: a minimal compound has a report, empty when no regular one is due, and the CNAME.
            report: list[RtcpPacket] = [self._report(now), SourceDescription.of_cname(self.local_ssrc, self._cname)]
            if self._rrtr and self._report_due:
                reference = ReceiverReferenceTime(ntp_timestamp(now + self._ntp_offset))
                report.append(ExtendedReport(self.local_ssrc, [reference]))
            feedback = report + feedback
        if self._bye_due:
            feedback.append(Bye([self.local_ssrc]))
        self._report_due = self._bye_due = False
        return [serialize(feedback)]

    def _report(self, now: float) -> ReceiverReport:
        if self.remote_ssrc is None or self.stats.highest < 0 or not self._report_due:
            return ReceiverReport(self.local_ssrc)
        lsr = dlsr = 0
        if self.last_sender_report is not None:
            report, arrival = self.last_sender_report
            lsr = report.ntp_timestamp >> 16 & 0xFFFFFFFF
            dlsr = int((now - arrival) * 65536.0)
        return ReceiverReport(self.local_ssrc, [self.stats.report(self.remote_ssrc, lsr, dlsr)])

    def _feedback(self) -> list[RtcpPacket]:
        remote = self.remote_ssrc
        found: list[RtcpPacket] = []
        if remote is None:
            return found
        if self._nack_now:
            found.append(Nack(self.local_ssrc, remote, [number & 0xFFFF for number in self._nack_now]))
            self._nack_now = []
            self.stats.nacks += 1
        if self._keyframe_due:
            self._keyframe_due = False
            if self._pli:
                self.stats.plis += 1
                found.append(PictureLossIndication(self.local_ssrc, remote))
            else:
                self.stats.firs += 1
                self._fir_number = (self._fir_number + 1) & 0xFF
                found.append(FullIntraRequest(self.local_ssrc, [(remote, self._fir_number)]))
        if self._bitrate is not None and (self._bitrate_due or self._report_due):
            self._bitrate_due = False
            found.append(Remb(self.local_ssrc, self._bitrate, [remote]))
        return found

    def _on_sender_report(self, report: SenderReport, now: float) -> None:
        if report.ssrc == self.remote_ssrc:
            self.last_sender_report = (report, now)

    def _on_source_description(self, description: SourceDescription, _now: float) -> None:
        if self.remote_ssrc is not None:
            self.remote_cname = description.cname(self.remote_ssrc) or self.remote_cname

    def _on_extended_report(self, report: ExtendedReport, now: float) -> None:
        for block in report.blocks:
            if not isinstance(block, DelaySinceLastReceiverReport) or not self._rrtr:
                continue
            for ssrc, lrr, dlrr in block.reports:
                if ssrc == self.local_ssrc and lrr:
                    self._on_round_trip(lrr, dlrr, now)

    def _on_round_trip(self, lrr: int, dlrr: int, now: float) -> None:
        rtt = self._round_trip(lrr, dlrr, now)
        if rtt is not None:
            self.rtt = self.stats.rtt = rtt
            self.stats.total_rtt += rtt
            self.stats.rtt_measurements += 1

    def _on_bye(self, bye: Bye, _now: float) -> None:
        if self.remote_ssrc is not None and self.remote_ssrc in bye.ssrcs:
            self._emit(ByeReceived(self.remote_ssrc, bye.reason))
