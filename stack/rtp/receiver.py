"""Receives one RTP stream and its retransmissions: frames, reports, requests for what is missing."""

from collections.abc import Callable, Mapping, Sequence

from ..core import LocalError, Machine, ParseError, RandomBytes, unwrap16
from .events import ByeReceived, Closed, FrameReceived, ReceiverEvent
from .extensions import ExtensionMap
from .jitter_buffer import JitterBuffer
from .nack import MAX_MISSING, MissingPackets
from .packet import Packet
from .payload import PayloadFormat, payload_format
from .rtcp import (
    MAX_BITRATE,
    MAX_TEXT_BYTES,
    Bye,
    FullIntraRequest,
    Nack,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    is_rtcp,
    parse,
    serialize,
)
from .stats import MAX_MISORDER, ReceiverStatistics

RTCP_INTERVAL = 1.0  # seconds, randomised by 0.5 .. 1.5 (RFC 3550 section 6.3.1); RFC 4585 allows less than 5
REPAIR_MAX_WAIT = 0.3  # seconds, video: a few round trips for retransmissions, then a keyframe is the faster repair
REORDERING_MAX_WAIT = 0.06  # seconds, audio and what nobody repairs: longer than reordering; decoders conceal the rest
KEYFRAME_REQUEST_INTERVAL = 0.5  # seconds between PLI or FIR: a request, an encoder and a keyframe take about as long
KEYFRAME_GRACE = 0.2  # seconds for the first keyframe to come of itself
SILENCE = 2.0  # seconds without packets after which asking for keyframes stops
INITIAL_RTT = 0.1  # seconds, until somebody knows better
MAX_PENDING_EVENTS = 256  # when nobody takes them: eight seconds of video; the oldest go


def _check_codecs(
    codecs: Mapping[int, tuple[str, int]], rtx: Mapping[int, int]
) -> tuple[dict[int, PayloadFormat], bool, int]:
    """Return the formats by payload type, whether they are video, and their clock rate."""
    formats = {payload_type: payload_format(mime) for payload_type, (mime, _) in codecs.items()}
    kinds = {format_.is_video for format_ in formats.values()}
    rates = {clock_rate for _, clock_rate in codecs.values()}
    if len(kinds) != 1 or len(rates) != 1 or min(rates) <= 0:
        raise LocalError("the codecs of a stream are all video or all audio, of one clock rate")
    if not set(rtx.values()) <= set(codecs):
        raise LocalError("retransmissions of a payload type that is not received")
    return formats, kinds.pop(), rates.pop()


class Receiver(Machine[bytes, bytes, ReceiverEvent]):
    """One RTP stream on its way in.

    Args:
        local_ssrc: SSRC of our reports.
        remote_ssrc: The stream's; None to learn it from the first packet with a payload type in `codecs`.
        codecs: Payload type to (MIME type, clock rate in Hz); all video or all audio.
        rtx: Payload type of retransmissions to the payload type that they repeat.
        extension_map: The negotiated header extensions.
        random_bytes: Source of report times.
        cname: Canonical name of this endpoint, at most 255 bytes.
        nack: Whether `nack` was negotiated.
        pli: Whether `nack pli` was negotiated.
        fir: Whether `ccm fir` was negotiated; used only without `pli`.
        remb: Whether `goog-remb` was negotiated.
        transport_cc: Whether `transport-cc` was negotiated, which takes the place of REMB.
        reduced_size: Whether `a=rtcp-rsize` was negotiated (RFC 5506).
        max_wait: Seconds a frame may wait for packets missing before it; None for what suits medium and repair.

    Attributes:
        remote_ssrc: The stream's SSRC, None until learned.
        rtx_ssrc: SSRC of its retransmissions, None until learned.
        stats: Reception statistics.
        rtt: Round trip in seconds, for the repetition of NACKs; set it when something knows it.
        remote_cname: CNAME of the sender, None until told.
        last_sender_report: The last SR and when it came, or None.
    """

    def __init__(
        self,
        *,
        local_ssrc: int,
        remote_ssrc: int | None = None,
        codecs: Mapping[int, tuple[str, int]],
        rtx: Mapping[int, int] | None = None,
        extension_map: ExtensionMap | None = None,
        random_bytes: RandomBytes,
        cname: str,
        nack: bool = False,
        pli: bool = False,
        fir: bool = False,
        remb: bool = False,
        transport_cc: bool = False,
        reduced_size: bool = False,
        max_wait: float | None = None,
    ) -> None:
        super().__init__()
        if len(cname.encode()) > MAX_TEXT_BYTES:
            raise LocalError("the CNAME is too long")
        formats, self._video, clock_rate = _check_codecs(codecs, rtx or {})
        if max_wait is None:
            max_wait = REPAIR_MAX_WAIT if self._video and nack else REORDERING_MAX_WAIT
        if not 0.0 <= max_wait < float("inf"):
            raise LocalError(f"{max_wait} s is not a time to wait")
        self.local_ssrc = local_ssrc
        self.remote_ssrc = remote_ssrc
        self.rtx_ssrc: int | None = None
        self.extension_map = extension_map or ExtensionMap()
        self.stats = ReceiverStatistics(clock_rate)
        self.rtt = INITIAL_RTT
        self.remote_cname: str | None = None
        self.last_sender_report: tuple[SenderReport, float] | None = None
        self._formats = formats
        self._rtx = dict(rtx or {})
        self._random_bytes = random_bytes
        self._cname = cname
        self._nack = nack
        self._pli = pli
        self._fir = fir and not pli
        self._remb = remb and not transport_cc
        self._reduced_size = reduced_size
        self._buffer = JitterBuffer(formats, max_wait)
        self._missing = MissingPackets()
        self._nack_now: list[int] = []
        self._troubled = False  # something is missing, or was at the last look: the timers need care
        self._keyframe_wanted = False  # by the application or after a loss, not yet asked for
        self._keyframe_due = False  # goes out with the next drain
        self._last_keyframe_request = float("-inf")
        self._fir_number = 0
        self._bitrate: int | None = None
        self._bitrate_due = self._report_due = False
        self._last_packet = float("-inf")
        self._closed = self._bye_due = False
        self._handlers: dict[type, Callable[..., None]] = {
            SenderReport: self._on_sender_report,
            SourceDescription: self._on_source_description,
            Bye: self._on_bye,
        }

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take one RTP packet, or one RTCP compound (RFC 5761 section 4 tells them apart)."""
        try:
            if is_rtcp(datagram):
                self.receive_rtcp(parse(datagram), now)
                return
            packet = Packet.parse(datagram)
        except ParseError as error:
            self._clamp(now)
            self.dropped[error.reason] += 1
            return
        self.receive_packet(packet, now)

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

    def receive_packet(self, packet: Packet, now: float) -> None:
        """Take one RTP packet already parsed, of this stream or its retransmissions."""
        now = self._clamp(now)
        if self._closed:
            self.dropped["closed"] += 1
            return
        payload_type = packet.payload_type
        if payload_type in self._formats:
            if self.remote_ssrc is None:
                self.remote_ssrc = packet.ssrc
            if packet.ssrc == self.remote_ssrc:
                self._on_media(packet, now)
            else:
                self.dropped["unknown-ssrc"] += 1
        elif payload_type in self._rtx:
            self._on_rtx(packet, now)
        else:
            self.dropped["unknown-payload-type"] += 1

    def _on_media(self, packet: Packet, now: float) -> None:
        stats = self.stats
        highest = stats.highest
        counted = stats.received(packet.sequence_number, packet.timestamp, len(packet.payload), now)
        if counted is None:
            self.dropped["bad-sequence-number"] += 1
            return
        extended, restarted = counted
        if restarted:
            self._on_restart(extended, now)
        elif extended > highest + 1:
            if self._nack:
                self._note_missing(highest + 1, extended, now)
        elif self._missing:
            self._missing.remove(extended)
        self._last_packet = now
        self._insert(extended, packet, now)

    def _on_rtx(self, packet: Packet, now: float) -> None:
        if self.rtx_ssrc is None and packet.ssrc != self.remote_ssrc:
            self.rtx_ssrc = packet.ssrc
        if packet.ssrc != self.rtx_ssrc:
            self.dropped["unknown-ssrc"] += 1
            return
        payload = packet.payload
        if not payload:
            return  # padding, sent to probe the path
        highest = self.stats.highest
        if len(payload) < 2 or highest < 0:
            self.dropped["bad-rtx"] += 1
            return
        # RFC 4588 section 4: the original sequence number precedes the original payload.
        sequence_number = payload[0] << 8 | payload[1]
        extended = unwrap16(sequence_number, highest)
        if extended > highest + MAX_MISORDER:
            self.dropped["bad-rtx"] += 1
            return
        if extended in self._missing:
            self.stats.packets_recovered += 1
            self._missing.remove(extended)
        packet.payload = payload[2:]
        packet.payload_type = self._rtx[packet.payload_type]
        packet.sequence_number = sequence_number
        packet.ssrc = self.remote_ssrc or 0
        self._last_packet = now
        self._insert(extended, packet, now)

    def _on_restart(self, extended: int, now: float) -> None:
        self._buffer.restart(extended - MAX_MISORDER)
        self._missing.clear()
        self._timers.set_default("report", now + self._report_interval() / 2)

    def _note_missing(self, first: int, end: int, now: float) -> None:
        buffer, missing = self._buffer, self._missing
        for extended in range(max(first, end - MAX_MISSING, buffer.floor), end):
            if extended not in buffer:
                missing.add(extended, now, buffer.max_wait)

    def _insert(self, extended: int, packet: Packet, now: float) -> None:
        buffer = self._buffer
        awaiting = buffer.awaiting_keyframe
        reason = buffer.insert(extended, packet, now)
        if reason is not None:
            self.dropped[reason] += 1
        self._after_buffer(now, awaiting=awaiting)

    def _after_buffer(self, now: float, *, awaiting: bool) -> None:
        """Report frames, and set the timers by what the jitter buffer and the list of missing packets want now."""
        buffer = self._buffer
        for frame in buffer.take_frames():
            self.stats.frames_received += 1
            self._emit(frame)
            if frame.keyframe:
                self._keyframe_wanted = False
                self._timers.cancel("keyframe")
        deadline = buffer.deadline()
        troubled = deadline is not None or len(self._missing) > 0
        if troubled or self._troubled:
            self._missing.remove_before(buffer.floor)
            self._set_timer("gap", deadline)
            self._set_timer("nack", self._missing.deadline())
            self._troubled = troubled
        self.stats.frames_dropped = buffer.frames_dropped
        if buffer.awaiting_keyframe:
            if awaiting:
                self._timers.set_default("keyframe", now + KEYFRAME_GRACE)
            else:
                self._want_keyframe(now)

    def _set_timer(self, name: str, deadline: float | None) -> None:
        if deadline is None:
            self._timers.cancel(name)
        else:
            self._timers.set(name, deadline)

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

    def handle_timer(self, now: float) -> None:
        """Ask for what is missing, give up what took too long, make reports due."""
        now = self._clamp(now)
        for name in self._timers.expire(now):
            if name == "report":
                self._report_due = True
                self._timers.set("report", now + self._report_interval())
            elif name == "nack":
                wanted = self._missing.due(now, self.rtt)
                self._nack_now = sorted({*self._nack_now, *wanted})[-MAX_MISSING:]
                self._set_timer("nack", self._missing.deadline())
            elif name == "gap":
                awaiting = self._buffer.awaiting_keyframe
                while (deadline := self._buffer.deadline()) is not None and deadline <= now:
                    self._buffer.give_up()
                self._after_buffer(now, awaiting=awaiting)
            elif name == "keyframe":
                repeat = self._buffer.awaiting_keyframe and now - self._last_packet < SILENCE
                if repeat or self._keyframe_wanted:
                    self._want_keyframe(now)

    def _report_interval(self) -> float:
        return RTCP_INTERVAL * (0.5 + int.from_bytes(self._random_bytes(2), "big") / 65536.0)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return at most one RTCP compound: the report and the feedback that are due."""
        now = self._clamp(now)
        feedback = self._feedback()
        if not (feedback or self._report_due or self._bye_due):
            return []
        if self._report_due or self._bye_due or not self._reduced_size:
            # RFC 4585 section 3.1: a minimal compound has a report, empty when no regular one is due, and the CNAME.
            description = SourceDescription.of_cname(self.local_ssrc, self._cname)
            feedback = [self._report(now), description, *feedback]
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
            self.stats.plis += 1
            if self._pli:
                found.append(PictureLossIndication(self.local_ssrc, remote))
            else:
                self._fir_number = (self._fir_number + 1) & 0xFF
                found.append(FullIntraRequest(self.local_ssrc, [(remote, self._fir_number)]))
        if self._bitrate is not None and (self._bitrate_due or self._report_due):
            self._bitrate_due = False
            found.append(Remb(self.local_ssrc, self._bitrate, [remote]))
        return found

    def close(self, now: float) -> None:
        """Say BYE with the next drain if anything was received, and end."""
        self._clamp(now)
        if self._closed:
            return
        self._closed = True
        self._bye_due = self.stats.highest >= 0
        self._report_due = self._bitrate_due = self._keyframe_due = False
        self._nack_now = []
        self._bitrate = None
        self._buffer.restart(0)
        self._missing.clear()
        self._timers.clear()
        self._events.append(Closed())

    def _emit(self, event: FrameReceived | ByeReceived) -> None:
        if len(self._events) >= MAX_PENDING_EVENTS:
            self._events.popleft()
            self.dropped["event-queue-full"] += 1
        self._events.append(event)

    def _on_sender_report(self, report: SenderReport, now: float) -> None:
        if report.ssrc == self.remote_ssrc:
            self.last_sender_report = (report, now)

    def _on_source_description(self, description: SourceDescription, _now: float) -> None:
        if self.remote_ssrc is not None:
            self.remote_cname = description.cname(self.remote_ssrc) or self.remote_cname

    def _on_bye(self, bye: Bye, _now: float) -> None:
        if self.remote_ssrc is not None and self.remote_ssrc in bye.ssrcs:
            self._emit(ByeReceived(self.remote_ssrc, bye.reason))
