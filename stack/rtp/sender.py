"""Sends one RTP stream: packets, sender reports, retransmissions, and what the other end asks for."""

import struct
from collections import deque
from collections.abc import Callable, Sequence

from ..core import LocalError, Machine, ParseError, RandomBytes
from .events import (
    BitrateEstimated,
    ByeReceived,
    Closed,
    KeyframeRequested,
    SenderEvent,
    TransportFeedbackReceived,
)
from .extensions import (
    ABS_CAPTURE_TIME,
    ABS_SEND_TIME,
    MID,
    PLAYOUT_DELAY,
    REPAIRED_RID,
    RID,
    TRANSPORT_CC,
    ExtensionMap,
    ExtensionWriter,
    pack_abs_capture_time,
    pack_playout_delay,
    pack_text,
)
from .payload import payload_format
from .rtcp import (
    MAX_TEXT_BYTES,
    Bye,
    FullIntraRequest,
    Nack,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    parse,
    serialize,
)
from .stats import SenderStatistics, compact_ntp, ntp_timestamp
from .transport_feedback import TransportFeedback

DEFAULT_MAX_PAYLOAD = 1100  # bytes; with header, extensions, RTX and SRTP it stays below 1200, which passes everywhere
MAX_FRAME_BYTES = 2 << 20  # a 2 MB frame is minutes of a mobile uplink; more is a mistake
MAX_QUEUED_PACKETS = 4096  # two frames of the largest size; the queue is empty after every drain
HISTORY_PACKETS = 2048  # for retransmission: HISTORY_SECONDS of 18 Mbit/s; a power of two
HISTORY_SECONDS = 1.0  # later a live frame is worth nothing
RETRANSMISSION_RATIO = 0.5  # octets that may be sent again per octet sent: more would feed a congestion
RETRANSMISSION_BURST = 100_000  # octets: a lost keyframe can be repaired at once
INITIAL_RTT = 0.1  # seconds, until a report tells
MAX_RTT = 10.0  # seconds; a report that says more is wrong
KEYFRAME_REQUEST_INTERVAL = 0.3  # seconds between keyframe requests: encoders need time, keyframes are large
RTCP_INTERVAL = 1.0  # seconds, randomised by 0.5 .. 1.5 (RFC 3550 section 6.3.1); RFC 4585 allows less than 5
CAPTURE_TIME_INTERVAL = 1.0  # seconds between absolute capture times, which receivers interpolate
MAX_PENDING_EVENTS = 1024  # when nobody takes them; the oldest go

_FIXED = struct.Struct("!BBHLL").pack
_U16 = struct.Struct("!H").pack
_MASK = HISTORY_PACKETS - 1


class _Outgoing:
    """A packet on its way, and afterwards in the history."""

    __slots__ = ("capture_time", "kept", "resent_at", "second", "sent_at", "sequence_number", "timestamp")

    def __init__(
        self, second: int, sequence_number: int, timestamp: int, payload: bytes, capture_time: float | None
    ) -> None:
        self.second = second  # marker and payload type
        self.sequence_number = sequence_number
        self.timestamp = timestamp
        self.kept = payload  # with RTX the payload; without it, once sent, the whole packet
        self.capture_time = capture_time
        self.sent_at = 0.0
        self.resent_at = float("-inf")


class Sender(Machine[bytes, bytes, SenderEvent]):
    """One RTP stream on its way out.

    Args:
        ssrc: Of the stream.
        payload_type: Of the stream.
        clock_rate: Media clock, Hz.
        mime: Codec, for example `video/H264`.
        cname: Canonical name of this endpoint, at most 255 bytes.
        random_bytes: Source of the first sequence number and of report times.
        mid: Value of the MID extension, if mapped.
        rid: Value of the RID extension, if mapped.
        extension_map: The negotiated header extensions.
        rtx_ssrc: Of the retransmission stream, if negotiated together with `rtx_payload_type`.
        rtx_payload_type: See `rtx_ssrc`. Without both, packets are sent again as they were.
        max_payload: Bytes of payload per packet.
        ntp_offset: Seconds to add to `now` to get NTP time.
        next_transport_sequence: Gives the transport's next transport-wide sequence number, if that is negotiated.
        playout_delay: (minimum, maximum) in seconds that the receiver should keep to, if the extension is mapped.

    Attributes:
        stats: Counters and the other end's view.
    """

    def __init__(
        self,
        *,
        ssrc: int,
        payload_type: int,
        clock_rate: int,
        mime: str,
        cname: str,
        random_bytes: RandomBytes,
        mid: str | None = None,
        rid: str | None = None,
        extension_map: ExtensionMap | None = None,
        rtx_ssrc: int | None = None,
        rtx_payload_type: int | None = None,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        ntp_offset: float = 0.0,
        next_transport_sequence: Callable[[], int] | None = None,
        playout_delay: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        if len(cname.encode()) > MAX_TEXT_BYTES or (rtx_ssrc is None) != (rtx_payload_type is None):
            raise LocalError("the CNAME is too long, or RTX lacks its SSRC or its payload type")
        if clock_rate <= 0 or not 0 <= payload_type <= 127:
            raise LocalError("the clock rate or the payload type is out of range")
        self._format = payload_format(mime)
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self.payload_type = payload_type
        self.stats = SenderStatistics()
        self._rtx_payload_type = rtx_payload_type or 0
        self._clock_rate = clock_rate
        self._cname = cname
        self._random_bytes = random_bytes
        self._max_payload = max_payload
        self._ntp_offset = ntp_offset
        self._set_up_extensions(extension_map or ExtensionMap(), mid, rid, playout_delay, next_transport_sequence)
        # RFC 3711 section 3.3.1: below 2**15, so that loss at the start cannot make the receiver miss a rollover.
        self._sequence_number = int.from_bytes(random_bytes(2), "big") & 0x7FFF
        self._rtx_sequence_number = int.from_bytes(random_bytes(2), "big") & 0x7FFF
        self._queue: deque[_Outgoing] = deque()
        self._resend: deque[_Outgoing] = deque()
        self._history: list[_Outgoing | None] = [None] * HISTORY_PACKETS
        self._allowance = float(RETRANSMISSION_BURST)
        self._frames = 0
        self._clock: tuple[float, int] | None = None  # an instant and its RTP timestamp
        self._last_capture_time = float("-inf")
        self._last_keyframe_request = float("-inf")
        self._keyframe_reason = ""
        self._fir_number: int | None = None
        self._reporter: int | None = None
        self._report_due = False
        self._reported: tuple[int, int] = (-1, -1)  # packets sent at the last two reports
        self._closed = False
        self._bye_due = False
        self._handlers = self._rtcp_handlers()

    def _rtcp_handlers(self) -> dict[type, Callable[..., None]]:
        return {
            ReceiverReport: self._on_report,
            SenderReport: self._on_report,
            Nack: self._on_nack,
            PictureLossIndication: self._on_pli,
            FullIntraRequest: self._on_fir,
            Remb: self._on_remb,
            TransportFeedback: self._on_transport_feedback,
            Bye: self._on_bye,
        }

    def _set_up_extensions(
        self,
        extension_map: ExtensionMap,
        mid: str | None,
        rid: str | None,
        playout_delay: tuple[float, float] | None,
        next_transport_sequence: Callable[[], int] | None,
    ) -> None:
        common: dict[int, bytes] = {}
        if mid is not None and MID in extension_map:
            common[extension_map[MID]] = pack_text(mid)
        if playout_delay is not None and PLAYOUT_DELAY in extension_map:
            common[extension_map[PLAYOUT_DELAY]] = pack_playout_delay(*playout_delay)
        media, rtx = dict(common), dict(common)
        if rid is not None and RID in extension_map:
            media[extension_map[RID]] = pack_text(rid)
        if rid is not None and REPAIRED_RID in extension_map:
            rtx[extension_map[REPAIRED_RID]] = pack_text(rid)
        self._constant = media
        self._abs_send_time = extension_map.get(ABS_SEND_TIME)
        self._transport_cc = extension_map.get(TRANSPORT_CC) if next_transport_sequence else None
        self._capture_time_id = extension_map.get(ABS_CAPTURE_TIME)
        self._next_transport_sequence = next_transport_sequence
        self._writer = ExtensionWriter(media, self._abs_send_time, self._transport_cc)
        self._rtx_writer = ExtensionWriter(rtx, self._abs_send_time, self._transport_cc)

    @property
    def rtt(self) -> float | None:
        """Last round trip, seconds; None before the first report."""
        return self.stats.rtt

    @property
    def queued_packets(self) -> int:
        """Packets that the next drain will send, retransmissions included."""
        return len(self._queue) + len(self._resend)

    @property
    def next_sequence_number(self) -> int:
        """Sequence number of the next packet of the stream, 16 bits."""
        return self._sequence_number

    def send_frame(
        self,
        data: bytes,
        timestamp: int,
        now: float,
        *,
        keyframe: bool | None = None,
        capture_time: float | None = None,
    ) -> None:
        """Packetize a frame and queue its packets.

        Args:
            data: An Annex B access unit, a VP8 frame, an Opus packet.
            timestamp: Media clock; taken modulo 2**32. RFC 3550 section 5.1 wants its origin to be random.
            now: Seconds.
            keyframe: Whether it is one; looked up in the frame if None.
            capture_time: When it was captured, seconds of the same clock as `now`.

        Raises:
            LocalError: If the sender is closed, or the frame is empty, too large or not of this codec.
        """
        if self._closed:
            raise LocalError("the sender is closed")
        if not 0 < len(data) <= MAX_FRAME_BYTES:
            raise LocalError(f"a frame has 1 to {MAX_FRAME_BYTES} bytes, not {len(data)}")
        payloads = self._format.packetize(data, self._max_payload, self._frames)
        if len(payloads) > MAX_QUEUED_PACKETS:
            raise LocalError(f"{len(payloads)} packets are too many for one frame")
        now = self._clamp(now)
        if self._format.is_video:
            is_keyframe = self._format.is_keyframe(data) if keyframe is None else keyframe
            if is_keyframe:
                self._keyframe_reason = ""
                self._timers.cancel("keyframe")
            marker = 0x80
        else:
            # RFC 3551 section 4.1: the first packet of a talkspurt.
            marker = 0 if self._frames else 0x80
        if len(self._queue) + len(payloads) > MAX_QUEUED_PACKETS:
            self._make_room(len(payloads), now)
        self._enqueue(payloads, timestamp & 0xFFFFFFFF, marker, self._capture_time_to_send(capture_time, now))
        if self._clock is None:
            # RFC 3550 section 6.2: between two, the first report may go out at once.
            self._report_due = True
            self._timers.set("report", now + self._report_interval())
        self._clock = (now if capture_time is None else capture_time, timestamp & 0xFFFFFFFF)
        self._frames += 1
        self.stats.frames_sent += 1

    def _capture_time_to_send(self, capture_time: float | None, now: float) -> float | None:
        if capture_time is None or self._capture_time_id is None:
            return None
        if now < self._last_capture_time + CAPTURE_TIME_INTERVAL:
            return None
        self._last_capture_time = now
        return capture_time

    def _enqueue(self, payloads: list[bytes], timestamp: int, marker: int, capture_time: float | None) -> None:
        sequence_number = self._sequence_number
        payload_type = self.payload_type
        last = len(payloads) - 1
        for index, payload in enumerate(payloads):
            second = payload_type | marker if index == last else payload_type
            self._queue.append(_Outgoing(second, sequence_number, timestamp, payload, capture_time))
            sequence_number = (sequence_number + 1) & 0xFFFF
            capture_time = None
        self._sequence_number = sequence_number

    def _make_room(self, wanted: int, now: float) -> None:
        """Drop the oldest frames; the receiver sees the gap, and the encoder is asked for a keyframe."""
        queue = self._queue
        while len(queue) + wanted > MAX_QUEUED_PACKETS:
            timestamp = queue[0].timestamp
            while queue and queue[0].timestamp == timestamp:
                queue.popleft()
                self.dropped["send-queue-full"] += 1
        if self._format.is_video:
            self._want_keyframe("send-queue-full", now)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return RTP packets, retransmissions first, then RTCP."""
        now = self._clamp(now)
        out: list[bytes] = []
        if self._resend:
            self._send_again(out, now)
        if self._queue:
            self._send_queue(out, now)
        if self._bye_due:
            self._bye_due = False
            report = [self._report(now), SourceDescription.of_cname(self.ssrc, self._cname)]
            out.append(serialize([*report, Bye([self.ssrc])]))
        elif self._report_due:
            out.append(serialize([self._report(now), SourceDescription.of_cname(self.ssrc, self._cname)]))
        self._report_due = False
        return out

    def _send_queue(self, out: list[bytes], now: float) -> None:
        queue, history, writer = self._queue, self._history, self._writer
        prefix, pad = writer.prefix(now + self._ntp_offset), writer.pad
        first = 0x90 if prefix else 0x80
        ssrc, transport_sequence = self.ssrc, self._next_transport_sequence
        keep_payload = self.rtx_ssrc is not None
        numbered = self._transport_cc is not None and transport_sequence is not None
        octets = 0
        packets = len(queue)
        while queue:
            packet = queue.popleft()
            payload = packet.kept
            sequence_number = packet.sequence_number
            if packet.capture_time is not None:
                header = self._header_with_capture_time(packet, now)
                datagram = header + payload
            elif numbered and transport_sequence is not None:
                datagram = b"".join(
                    (
                        _FIXED(first, packet.second, sequence_number, packet.timestamp, ssrc),
                        prefix,
                        _U16(transport_sequence() & 0xFFFF),
                        pad,
                        payload,
                    )
                )
            else:
                datagram = b"".join(
                    (_FIXED(first, packet.second, sequence_number, packet.timestamp, ssrc), prefix, payload)
                )
            out.append(datagram)
            octets += len(payload)
            packet.sent_at = now
            if not keep_payload:
                packet.kept = datagram
            history[sequence_number & _MASK] = packet
        self.stats.packets_sent += packets
        self.stats.bytes_sent += octets
        self._allowance = min(RETRANSMISSION_BURST, self._allowance + RETRANSMISSION_RATIO * octets)

    def _header_with_capture_time(self, packet: _Outgoing, now: float) -> bytes:
        constant = dict(self._constant)
        if self._capture_time_id is not None and packet.capture_time is not None:
            constant[self._capture_time_id] = pack_abs_capture_time(packet.capture_time + self._ntp_offset)
        writer = ExtensionWriter(constant, self._abs_send_time, self._transport_cc)
        return self._header(writer, packet, packet.second, packet.sequence_number, self.ssrc, now)

    def _header(
        self, writer: ExtensionWriter, packet: _Outgoing, second: int, sequence_number: int, ssrc: int, now: float
    ) -> bytes:
        extension = writer.prefix(now + self._ntp_offset)
        if self._transport_cc is not None and self._next_transport_sequence is not None:
            extension += _U16(self._next_transport_sequence() & 0xFFFF) + writer.pad
        return _FIXED(0x90 if extension else 0x80, second, sequence_number, packet.timestamp, ssrc) + extension

    def _send_again(self, out: list[bytes], now: float) -> None:
        while self._resend:
            packet = self._resend.popleft()
            self.stats.retransmitted += 1
            self.stats.retransmitted_bytes += len(packet.kept)
            if self.rtx_ssrc is None:
                # As it was, to the bit: SRTP must never see two packets with one index (RFC 3711 section 9.1).
                out.append(packet.kept)
                continue
            second = packet.second & 0x80 | self._rtx_payload_type
            header = self._header(self._rtx_writer, packet, second, self._rtx_sequence_number, self.rtx_ssrc, now)
            out.append(b"".join((header, _U16(packet.sequence_number), packet.kept)))
            self._rtx_sequence_number = (self._rtx_sequence_number + 1) & 0xFFFF

    def _report_interval(self) -> float:
        return RTCP_INTERVAL * (0.5 + int.from_bytes(self._random_bytes(2), "big") / 65536.0)

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

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take one RTCP compound; what concerns other streams in it is passed over."""
        try:
            packets = parse(datagram)
        except ParseError as error:
            self._clamp(now)
            self.dropped[error.reason] += 1
            return
        self.receive_rtcp(packets, now)

    def receive_rtcp(self, packets: Sequence[RtcpPacket], now: float) -> None:
        """Take a compound already parsed: parse once, hand it to every stream of the transport."""
        now = self._clamp(now)
        if self._closed:
            self.dropped["closed"] += 1
            return
        for packet in packets:
            handler = self._handlers.get(type(packet))
            if handler is not None:
                handler(packet, now)

    def handle_timer(self, now: float) -> None:
        """Make reports and deferred keyframe requests due."""
        now = self._clamp(now)
        for name in self._timers.expire(now):
            if name == "report":
                self._report_due = True
                self._timers.set("report", now + self._report_interval())
            elif name == "keyframe" and self._keyframe_reason:
                self._want_keyframe(self._keyframe_reason, now)

    def close(self, now: float) -> None:
        """Let what is queued go out at the next drain, say BYE, and end."""
        self._clamp(now)
        if self._closed:
            return
        self._closed = True
        self._bye_due = self._clock is not None  # RFC 3550 section 6.3.7: no BYE from who never sent
        self._report_due = False
        self._timers.clear()
        self._events.append(Closed())

    def _emit(self, event: SenderEvent) -> None:
        if len(self._events) >= MAX_PENDING_EVENTS:
            self._events.popleft()
            self.dropped["event-queue-full"] += 1
        self._events.append(event)

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
            # RFC 3550 section 6.4.1: A - LSR - DLSR; rounding can make it slightly negative.
            units = (compact_ntp(now + self._ntp_offset) - block.lsr - block.dlsr) & 0xFFFFFFFF
            rtt = (units - 0x100000000 if units >= 0x80000000 else units) / 65536.0
            if -0.1 < rtt <= MAX_RTT:
                stats.rtt = max(rtt, 0.0)

    def _on_nack(self, nack: Nack, now: float) -> None:
        if nack.media_ssrc != self.ssrc:
            return
        self.stats.nacks += 1
        rtt = INITIAL_RTT if self.stats.rtt is None else self.stats.rtt
        for sequence_number in nack.sequence_numbers:
            packet = self._history[sequence_number & _MASK]
            if packet is None or packet.sequence_number != sequence_number or now - packet.sent_at > HISTORY_SECONDS:
                self.dropped["nack-too-old"] += 1
            elif now - packet.resent_at < rtt or packet.resent_at == now:
                self.dropped["nack-repeated"] += 1
            elif self._allowance < len(packet.kept):
                self.dropped["retransmission-limit"] += 1
            else:
                self._allowance -= len(packet.kept)
                packet.resent_at = now
                self._resend.append(packet)

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

    def _on_bye(self, bye: Bye, _now: float) -> None:
        if self._reporter is not None and self._reporter in bye.ssrcs:
            self._emit(ByeReceived(self._reporter, bye.reason))
            self._reporter = None
