"""Receives one RTP stream and its retransmissions: frames, reports, requests for what is missing."""

from collections.abc import Collection, Mapping

from ..core import LocalError, ParseError, RandomBytes, serial32_gt, unwrap16
from .events import Closed
from .extensions import (
    ABS_CAPTURE_TIME,
    AUDIO_LEVEL,
    DEPENDENCY_DESCRIPTOR,
    PLAYOUT_DELAY,
    VIDEO_ORIENTATION,
    ExtensionMap,
)
from .flexfec import FecDecoder
from .jitter_buffer import JitterBuffer
from .nack import MAX_MISSING
from .packet import Packet
from .payload import PayloadFormat, payload_format
from .playout import Playout
from .receiver_control import ReceiverControl
from .red import RedBlock
from .red import parse as parse_red
from .rtcp import is_rtcp, parse
from .stats import MAX_MISORDER, InboundStatistics

REPAIR_MAX_WAIT = 0.3  # seconds, video: a few round trips for retransmissions, then a keyframe is the faster repair
LONG_REPAIR_MAX_WAIT = 1.0  # seconds; where a round trip takes longer than half of this, nothing can be repaired
REORDERING_MAX_WAIT = 0.06  # seconds, audio and what nobody repairs: longer than reordering; decoders conceal the rest
KEYFRAME_GRACE = 0.2  # seconds for the first keyframe to come of itself
SILENCE = 2.0  # seconds without packets after which asking for keyframes stops
FRAME_EXTENSIONS = (AUDIO_LEVEL, VIDEO_ORIENTATION, ABS_CAPTURE_TIME, PLAYOUT_DELAY, DEPENDENCY_DESCRIPTOR)
"""Header extensions that tell about a frame and are handed on with it."""


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


def _frame_uris(extension_map: ExtensionMap) -> dict[int, str]:
    """Return identifier to URI of what frames are to tell."""
    return {extension_map[uri]: uri for uri in FRAME_EXTENSIONS if uri in extension_map}


class Receiver(ReceiverControl):
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
        max_wait: Seconds a frame may wait for packets missing before it; None for what suits medium, repair and round
            trip.
        rrtr: Whether to ask for round trips by XR (`a=rtcp-fb:* rrtr`, RFC 3611 section 4.4).
        ntp_offset: Seconds to add to `now` to get NTP time; matters to `rrtr` only.
        red: Payload types of redundant audio (RFC 2198).
        fec_payload_type: Of FlexFEC, if negotiated.
        fec_browser: Whether FlexFEC is that of browsers, `flexfec-03`, instead of RFC 8627's.
        smoothing: (minimum, maximum) of the seconds that frames are delayed to even out jitter, by as much as it was
            measured to need. None hands every frame on in the instant it is whole.

    Attributes:
        remote_ssrc: The stream's SSRC, None until learned.
        rtx_ssrc: SSRC of its retransmissions, None until learned.
        stats: Reception statistics.
        rtt: Round trip in seconds, for the repetition of NACKs; set it when something knows it.
        remote_cname: CNAME of the sender, None until told.
        last_sender_report: The last SR and when it came, or None; `ntp_time` reckons with it.
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
        rrtr: bool = False,
        ntp_offset: float = 0.0,
        smoothing: tuple[float, float] | None = None,
        red: Collection[int] = (),
        fec_payload_type: int | None = None,
        fec_browser: bool = True,
    ) -> None:
        formats, video, clock_rate = _check_codecs(codecs, rtx or {})
        super().__init__(
            local_ssrc=local_ssrc,
            remote_ssrc=remote_ssrc,
            clock_rate=clock_rate,
            random_bytes=random_bytes,
            cname=cname,
            pli=pli,
            fir=fir,
            remb=remb and not transport_cc,
            rrtr=rrtr,
            reduced_size=reduced_size,
            ntp_offset=ntp_offset,
        )
        self._repairs = max_wait is None and video and nack
        if max_wait is None:
            max_wait = REPAIR_MAX_WAIT if video and nack else REORDERING_MAX_WAIT
        if not 0.0 <= max_wait < float("inf"):
            raise LocalError(f"{max_wait} s is not a time to wait")
        self.rtx_ssrc: int | None = None
        self.extension_map = extension_map or ExtensionMap()
        self._frame_uris = _frame_uris(self.extension_map)
        self._formats = formats
        self._rtx = dict(rtx or {})
        self._nack = nack
        self._buffer = JitterBuffer(formats, max_wait, self._frame_uris)
        self._playout = None if smoothing is None else Playout(clock_rate, *smoothing)
        self._troubled = False  # something is missing, or was at the last look: the timers need care
        self._last_packet = float("-inf")
        self._red = frozenset(red)
        self._last_timestamp: int | None = None  # of the newest audio frame handed on
        self._fec_payload_type = fec_payload_type
        self._fec = None if fec_payload_type is None else FecDecoder(browser=fec_browser)

    def renegotiate(
        self, codecs: Mapping[int, tuple[str, int]], rtx: Mapping[int, int], extension_map: ExtensionMap
    ) -> None:
        """Take more codecs, and other header extensions, from now on. Arguments as above.

        Payload types that were agreed before keep their meaning (RFC 3264 section 8.3.2).

        Raises:
            LocalError: If the codecs are of another kind of media, or another clock rate.
        """
        formats, video, clock_rate = _check_codecs(codecs, rtx)
        if video is not next(iter(self._formats.values())).is_video or clock_rate != self._clock_rate:
            raise LocalError("another kind of media, or another clock rate")
        self._formats.update(formats)
        self._rtx.update(rtx)
        self.extension_map = extension_map
        self._frame_uris.clear()
        self._frame_uris.update(_frame_uris(extension_map))

    def statistics(self) -> InboundStatistics:
        """Return what is known now."""
        stats, playout = self.stats, self._playout
        report = self.last_sender_report[0] if self.last_sender_report is not None else None
        return InboundStatistics(
            ssrc=self.remote_ssrc,
            packets_received=stats.packets_received,
            packets_lost=stats.packets_lost,
            jitter=stats.jitter / self._clock_rate,
            bytes_received=stats.bytes_received,
            header_bytes_received=stats.header_bytes_received,
            last_packet_received=stats.last_packet,
            frames_received=stats.frames_received,
            frames_dropped=stats.frames_dropped,
            key_frames_received=stats.keyframes_received,
            packets_discarded=self._buffer.packets_discarded + self.dropped["late"] + self.dropped["duplicate"],
            packets_recovered=stats.packets_recovered,
            retransmitted_packets_received=stats.retransmitted_packets,
            retransmitted_bytes_received=stats.retransmitted_bytes,
            fec_packets_received=stats.fec_packets,
            fec_packets_recovered=stats.fec_recovered,
            nack_count=stats.nacks,
            pli_count=stats.plis,
            fir_count=stats.firs,
            round_trip_time=stats.rtt,
            total_round_trip_time=stats.total_rtt,
            round_trip_time_measurements=stats.rtt_measurements,
            jitter_buffer_delay=playout.delay_sum if playout is not None else 0.0,
            jitter_buffer_target_delay=playout.target_sum if playout is not None else 0.0,
            jitter_buffer_emitted_count=playout.emitted if playout is not None else stats.frames_received,
            remote_packets_sent=None if report is None else report.packet_count,
            remote_bytes_sent=None if report is None else report.octet_count,
            remote_timestamp=None if report is None else report.ntp_timestamp / 4294967296.0,
        )

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
        self.receive_packet(packet, now, datagram)

    def receive_packet(self, packet: Packet, now: float, datagram: bytes | None = None) -> None:
        """Take one RTP packet already parsed, of this stream or what repairs it.

        Args:
            packet: It; kept and changed.
            now: When it arrived, seconds.
            datagram: It as it came: for statistics, and forward error correction needs the stream's own packets.
        """
        now = self._clamp(now)
        if self._closed:
            self.dropped["closed"] += 1
            return
        if datagram is not None:
            self.stats.header_bytes_received += len(datagram) - len(packet.payload)
        payload_type = packet.payload_type
        if self._fec is not None:
            if payload_type == self._fec_payload_type:
                self._on_repair(self._fec, packet, now)
                return
            if datagram is not None and payload_type in self._formats:
                self._on_repaired(self._fec.receive_source(datagram), now)
        if payload_type in self._formats or payload_type in self._red:
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
        blocks: list[RedBlock] = []
        if packet.payload_type in self._red:
            try:
                blocks = parse_red(packet.payload)
            except ParseError as error:
                self.dropped[error.reason] += 1
                return
            packet.payload_type, packet.payload = blocks[-1].payload_type, blocks[-1].data
            if packet.payload_type not in self._formats:
                self.dropped["unknown-payload-type"] += 1
                return
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
            self._missing.overtaken(extended, now)
        self._last_packet = stats.last_packet = now
        for distance in range(len(blocks) - 1, 0, -1):
            self._on_redundant(extended - distance, blocks[-1 - distance], packet, now)
        self._insert(extended, packet, now)

    def _on_redundant(self, extended: int, block: RedBlock, packet: Packet, now: float) -> None:
        """Put an earlier frame into its place, if it is missing there."""
        buffer = self._buffer
        timestamp = packet.timestamp - block.timestamp_offset & 0xFFFFFFFF
        if block.payload_type not in self._formats or not block.data:
            return
        if buffer.awaiting_first or extended < buffer.floor or extended in buffer or buffer.has_timestamp(timestamp):
            return
        if self._last_timestamp is not None and not serial32_gt(timestamp, self._last_timestamp):
            return  # the sender's redundancy is of other packets than those right before
        if extended in self._missing:
            self._missing.remove(extended)
        self.stats.fec_recovered += 1
        earlier = Packet(block.payload_type, False, extended & 0xFFFF, timestamp, packet.ssrc, payload=block.data)
        self._insert(extended, earlier, now)

    def _on_repair(self, fec: FecDecoder, packet: Packet, now: float) -> None:
        self.stats.fec_packets += 1
        try:
            recovered = fec.receive_repair(packet.payload, packet.csrcs)
        except ParseError as error:
            self.dropped[error.reason] += 1
            return
        self._on_repaired(recovered, now)

    def _on_repaired(self, datagrams: list[bytes], now: float) -> None:
        """Take packets that forward error correction recovered."""
        for datagram in datagrams:
            try:
                packet = Packet.parse(datagram)
            except ParseError:
                self.dropped["bad-fec"] += 1
                continue
            highest = self.stats.highest
            if packet.payload_type not in self._formats or packet.ssrc != self.remote_ssrc or highest < 0:
                continue
            extended = unwrap16(packet.sequence_number, highest)
            if extended > highest + MAX_MISORDER or extended in self._buffer or extended < self._buffer.floor:
                continue
            self._missing.remove(extended)
            self.stats.fec_recovered += 1
            self._insert(extended, packet, now)

    def _on_rtx(self, packet: Packet, now: float) -> None:
        if self.rtx_ssrc is None and packet.ssrc != self.remote_ssrc:
            self.rtx_ssrc = packet.ssrc
        if packet.ssrc != self.rtx_ssrc:
            self.dropped["unknown-ssrc"] += 1
            return
        payload = packet.payload
        self.stats.retransmitted_packets += 1
        self.stats.retransmitted_bytes += len(payload)
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
        if self._repairs:
            # Long enough for a request and, that lost, another.
            buffer.max_wait = min(max(REPAIR_MAX_WAIT, missing.tolerance + 2.5 * self.rtt), LONG_REPAIR_MAX_WAIT)
        for extended in range(max(first, end - MAX_MISSING, buffer.floor), end):
            if extended not in buffer:
                missing.add(extended, now, buffer.max_wait, LONG_REPAIR_MAX_WAIT if self._repairs else 0.0)

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
        frames = buffer.take_frames()
        if not (frames or self._troubled or awaiting or self._missing) and buffer.calm:
            return  # the ordinary case: a packet in the middle of a frame
        for frame in frames:
            self.stats.frames_received += 1
            self._last_timestamp = frame.timestamp
            if self._playout is None:
                self._emit(frame)
            else:
                self._playout.put(frame, frame.receive_time)
            if frame.keyframe:
                self.stats.keyframes_received += 1
                self._keyframe_wanted = False
                self._timers.cancel("keyframe")
        if self._playout is not None:
            self._hand_on(self._playout, now)
        deadline = self._gap_deadline()
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

    def _gap_deadline(self) -> float | None:
        """When the present gap is given up: not while the answer to one of its first requests may be on its way."""
        deadline = self._buffer.deadline()
        if deadline is None or not self._repairs:
            return deadline
        hope = self._missing.hope(self._buffer.waits_for)
        return deadline if hope is None else max(deadline, hope)

    def _set_timer(self, name: str, deadline: float | None) -> None:
        if deadline is None:
            self._timers.cancel(name)
        else:
            self._timers.set(name, deadline)

    def _hand_on(self, playout: Playout, now: float) -> None:
        for frame in playout.take(now):
            self._emit(frame)
        self._set_timer("playout", playout.deadline())

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
                while (deadline := self._gap_deadline()) is not None and deadline <= now:
                    self._buffer.give_up()
                self._after_buffer(now, awaiting=awaiting)
            elif name == "playout" and self._playout is not None:
                self._hand_on(self._playout, now)
            elif name == "keyframe":
                repeat = self._buffer.awaiting_keyframe and now - self._last_packet < SILENCE
                if repeat or self._keyframe_wanted:
                    self._want_keyframe(now)

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
        if self._playout is not None:
            self._playout.clear()
        self._timers.clear()
        self._events.append(Closed())
