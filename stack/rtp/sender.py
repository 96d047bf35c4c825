"""Sends one RTP stream: packets, sender reports, retransmissions, and what the other end asks for."""

import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from ..core import LocalError, RandomBytes
from .events import Closed
from .extensions import ExtensionMap
from .flexfec import RepairStream
from .history import History, Sent
from .outgoing import Frame, Outgoing, PacketKind
from .payload import payload_format
from .red import RedEncoder
from .rtcp import MAX_TEXT_BYTES, Bye, SourceDescription, serialize
from .sender_control import SenderControl
from .sender_headers import Headers

DEFAULT_MAX_PAYLOAD = 1100  # bytes; with header, extensions, RTX and SRTP it stays below 1200, which passes everywhere
MAX_FRAME_BYTES = 2 << 20  # a 2 MB frame is minutes of a mobile uplink; more is a mistake
MAX_QUEUED_PACKETS = 4096  # two frames of the largest size; the queue is empty after every drain
MAX_QUEUED_REPAIRS = 256  # repair packets of a paced stream, which are taken with the next packets; the oldest go
MAX_PADDING_BYTES = 50_000  # of one call: a probe of 15 ms at 26 Mbit/s
MAX_PADDING_PER_PACKET = 224  # octets; the padding count has eight bits, and whole words leave SRTP's room alone

_HEADER_BYTES = 12
_FIXED = struct.Struct("!BBHLL").pack
_U16 = struct.Struct("!H").pack


class Sender(SenderControl):
    """One RTP stream on its way out.

    Packets leave in one of two ways. `datagrams_to_send` returns all that waits, at once. Or a pacer outside of this
    layer takes `packets_to_send`, orders and delays them, has `serialize` make each packet's bytes when it leaves, and
    `datagrams_to_send` is left with RTCP.

    Args:
        ssrc: Of the stream.
        payload_type: Of the stream.
        clock_rate: Media clock, Hz.
        mime: Codec, for example `video/H264`.
        parameters: Of its `a=fmtp` line, or None.
        red_payload_type: Of redundant audio (RFC 2198), if negotiated: every frame carries the last ones once more.
        red_distance: How many of those.
        fec_ssrc: Of the FlexFEC stream, if negotiated together with `fec_payload_type`; see `protect`.
        fec_payload_type: See `fec_ssrc`.
        fec_browser: Whether FlexFEC is that of browsers, `flexfec-03`, instead of RFC 8627's.
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
        parameters: Mapping[str, str] | None = None,
        red_payload_type: int | None = None,
        red_distance: int = 1,
        fec_ssrc: int | None = None,
        fec_payload_type: int | None = None,
        fec_browser: bool = True,
    ) -> None:
        rtx, fec = (rtx_ssrc, rtx_payload_type), (fec_ssrc, fec_payload_type)
        _check_arguments(cname, clock_rate, payload_type, red_payload_type, rtx, fec)
        self._format = payload_format(mime, parameters)
        super().__init__(
            ssrc=ssrc,
            rtx_ssrc=rtx_ssrc,
            clock_rate=clock_rate,
            is_video=self._format.is_video,
            random_bytes=random_bytes,
            ntp_offset=ntp_offset,
        )
        self.payload_type = payload_type
        self._rtx_payload_type = rtx_payload_type or 0
        self._cname, self._mid, self._rid = cname, mid, rid
        self._max_payload = max_payload
        self._headers = Headers(
            extension_map or ExtensionMap(),
            mid=mid,
            rid=rid,
            playout_delay=playout_delay,
            next_transport_sequence=next_transport_sequence,
            ntp_offset=ntp_offset,
        )
        self._sequence_number = _first_sequence_number(random_bytes)
        self._rtx_sequence_number = _first_sequence_number(random_bytes)
        self._queue: deque[Frame] = deque()
        self._queued_packets = self._frames = 0
        self._last_timestamp = 0  # of the last packet that left
        self._red_payload_type = red_payload_type
        self._red = RedEncoder(red_distance) if red_payload_type is not None and not self._is_video else None
        self._fec = (
            None if fec_ssrc is None else RepairStream(fec_ssrc, fec_payload_type or 0, ssrc, browser=fec_browser)
        )
        self._repairs: deque[bytes] = deque(maxlen=MAX_QUEUED_REPAIRS)

    @property
    def queued_packets(self) -> int:
        """Packets that the next drain will send, retransmissions included."""
        return self._queued_packets + len(self._resend)

    @property
    def next_sequence_number(self) -> int:
        """Sequence number of the next packet of the stream, 16 bits."""
        return self._sequence_number & 0xFFFF

    def send_frame(
        self,
        data: bytes,
        timestamp: int,
        now: float,
        *,
        keyframe: bool | None = None,
        capture_time: float | None = None,
        extensions: Mapping[str, bytes] | None = None,
    ) -> None:
        """Packetize a frame and queue its packets.

        Args:
            data: An Annex B access unit, a VP8 frame, an Opus packet.
            timestamp: Media clock; taken modulo 2**32. RFC 3550 section 5.1 wants its origin to be random.
            now: Seconds.
            keyframe: Whether it is one; looked up in the frame if None.
            capture_time: When it was captured, seconds of the same clock as `now`.
            extensions: URI to value of header extensions that this frame's packets take beside the stream's, as far
                as they were negotiated: an orientation, an audio level, a dependency descriptor.

        Raises:
            LocalError: If the sender is closed, or the frame is empty, too large or not of this codec.
        """
        if self._closed:
            raise LocalError("the sender is closed")
        if not 0 < len(data) <= MAX_FRAME_BYTES:
            raise LocalError(f"a frame has 1 to {MAX_FRAME_BYTES} bytes, not {len(data)}")
        payloads = self._format.packetize(data, self._max_payload, self._frames)
        payload_type = None
        if self._red is not None:
            payload_type = self._red_payload_type
            payloads = [self._red.encode(self.payload_type, timestamp & 0xFFFFFFFF, payloads[0])]
        if keyframe is None:
            keyframe = self._is_video and self._format.is_keyframe(data)
        self.send_payloads(
            payloads,
            timestamp,
            now,
            keyframe=keyframe,
            capture_time=capture_time,
            extensions=extensions,
            payload_type=payload_type,
        )

    def send_payloads(
        self,
        payloads: Sequence[bytes],
        timestamp: int,
        now: float,
        *,
        keyframe: bool = False,
        capture_time: float | None = None,
        extensions: Mapping[str, bytes] | None = None,
        payload_type: int | None = None,
        marker: bool | None = None,
    ) -> None:
        """Queue a frame already packetized, which saves the work where many senders send the same frame.

        Args:
            payloads: What the payload format's `packetize` returned; kept, not copied.
            timestamp: See `send_frame`.
            now: Seconds.
            keyframe: Whether it is a keyframe.
            capture_time: See `send_frame`.
            extensions: See `send_frame`.
            payload_type: Another than the stream's, for what shares its SSRC: telephone events, comfort noise.
            marker: Of the last packet; None for what RFC 3551 section 4.1 says.

        Raises:
            LocalError: If the sender is closed, the payload type is out of range, or there are no payloads or too many.
        """
        if self._closed:
            raise LocalError("the sender is closed")
        count = len(payloads)
        if not 1 <= count <= MAX_QUEUED_PACKETS:
            raise LocalError(f"a frame has 1 to {MAX_QUEUED_PACKETS} packets, not {count}")
        if payload_type is not None and not 0 <= payload_type <= 127:
            raise LocalError(f"a payload type of {payload_type}")
        now = self._clamp(now)
        if self._is_video and keyframe:
            self.stats.key_frames_sent += 1
            self._keyframe_reason = ""
            self._timers.cancel("keyframe")
        if marker is None:
            # RFC 3551 section 4.1: the last packet of a picture, and only the first packet of a talkspurt.
            marker = self._is_video or not self._frames
        if self._queued_packets + count > MAX_QUEUED_PACKETS:
            self._make_room(count, now)
        timestamp &= 0xFFFFFFFF
        own = None
        if extensions or capture_time is not None:
            own = self._headers.of_frame(extensions, capture_time, now)
        second = marker << 7 | (self.payload_type if payload_type is None else payload_type)
        self._queue.append(Frame(payloads, timestamp, second, keyframe, now, capture_time, own))
        self._queued_packets += count
        if self._clock is None:
            # RFC 3550 section 6.2: between two, the first report may go out at once.
            self._report_due = True
            self._timers.set("report", now + self._report_interval())
        self._clock = (now if capture_time is None else capture_time, timestamp)
        self._frames += 1
        self.stats.frames_sent += 1

    def protect(self, ratio: float) -> None:
        """Send repair packets from the next frame on.

        That is for links whose round trip makes retransmissions too late; it costs `ratio` of the bit rate.

        Args:
            ratio: Repair packets per packet, 0 (none, as in the beginning) to 1; any frame gets at least one.

        Raises:
            LocalError: If FlexFEC was not negotiated or the ratio is out of range.
        """
        if self._fec is None or not 0.0 <= ratio <= 1.0:
            raise LocalError("FlexFEC was not negotiated, or the ratio is not 0..1")
        self._fec.ratio = ratio

    def _make_room(self, wanted: int, now: float) -> None:
        """Drop the oldest frames; the receiver sees a gap, and the encoder is asked for a keyframe."""
        while self._queued_packets + wanted > MAX_QUEUED_PACKETS:
            count = len(self._queue.popleft().payloads)
            self._queued_packets -= count
            self._sequence_number += count
            self.dropped["send-queue-full"] += count
        if self._is_video:
            self._want_keyframe("send-queue-full", now)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return RTP packets, retransmissions first, then RTCP."""
        now = self._clamp(now)
        self._headers.taken = []  # nobody asks
        out: list[bytes] = []
        while self._resend:
            sent, _ = self._resend.popleft()
            out.append(self._send_again(sent, now))
        while self._repairs and self._fec is not None:
            out.append(self._repair_packet(self._fec, self._repairs.popleft(), now))
        if self._queue:
            out += self.frames_to_send(now)[0]
        if self._bye_due or self._report_due:
            compound = [self._report(now), SourceDescription.of_cname(self.ssrc, self._cname, self._mid, self._rid)]
            compound += self._extended_report(now)
            if self._bye_due:
                compound.append(Bye([self.ssrc]))
            out.append(serialize(compound))
            self._bye_due = self._report_due = False
        return out

    @property
    def has_output(self) -> bool:
        """Whether `packets_to_send` would return something."""
        return bool(self._queue or self._resend or self._repairs)

    @property
    def octets_at_once(self) -> int:
        """Octets of all that waits, with headers, if it may leave by `frames_to_send`; else 0.

        That is so for frames without repair packets; not for keyframes, which a pacer lets leave in their own way.
        """
        is_protected = self._fec is not None and self._fec.ratio > 0
        if is_protected or self._resend or self._repairs or any(frame.keyframe for frame in self._queue):
            return 0
        size = sum([len(payload) for frame in self._queue for payload in frame.payloads])
        return size + self._queued_packets * (_HEADER_BYTES + self._headers.media.size)

    def frames_to_send(self, now: float) -> tuple[list[bytes], list[int]]:
        """Take the frames that wait as packets that leave now, for a pacer that would let all of them pass.

        Returns:
            The packets, and their transport-wide sequence numbers, 16 bits, unless those are not negotiated.
        """
        now = self._clamp(now)
        headers, ssrc, keep_payload = self._headers, self.ssrc, self.rtx_ssrc is not None
        writer, next_number = headers.media, headers.next_number
        prefix, pad = writer.prefix(now + self._ntp_offset), writer.pad
        first = 0x90 if prefix else 0x80
        out: list[bytes] = []
        taken = headers.taken = []
        sent: list[Sent] = []
        octets = size = 0
        fec = self._fec if self._fec is not None and self._fec.ratio > 0 else None
        for frame in self._queue:
            self._last_timestamp = timestamp = frame.timestamp
            left = len(frame.payloads)
            self.stats.total_packet_send_delay += left * (now - frame.queued_at)
            for payload in frame.payloads:
                left -= 1
                second = frame.second & 0x7F if left else frame.second
                number = self._sequence_number & 0xFFFF
                self._sequence_number += 1
                if frame.extensions is not None:
                    own = headers.of_packet(frame.extensions, first=left + 1 == len(frame.payloads), last=not left)
                    datagram = headers.header(second, number, timestamp, ssrc, now, own=own) + payload
                elif next_number is not None:
                    shared = next_number() & 0xFFFF
                    taken.append(shared)
                    datagram = b"".join(
                        (_FIXED(first, second, number, timestamp, ssrc), prefix, _U16(shared), pad, payload)
                    )
                else:
                    datagram = b"".join((_FIXED(first, second, number, timestamp, ssrc), prefix, payload))
                out.append(datagram)
                octets += len(payload)
                size += len(datagram)
                sent.append((number, second, timestamp, payload if keep_payload else datagram, now))
                if fec is not None:
                    out += [self._repair_packet(fec, repair, now) for repair in fec.protect(datagram, last=not left)]
        self._queue.clear()
        self._queued_packets = 0
        self._count(len(sent), octets, size - octets)
        self._history.add(sent, octets)
        return out, taken

    def _count(self, packets: int, octets: int, header_octets: int) -> None:
        stats = self.stats
        stats.packets_sent += packets
        stats.bytes_sent += octets
        stats.header_bytes_sent += header_octets

    def _send_again(self, sent: Sent, now: float) -> bytes:
        number, second, timestamp, kept, _ = sent
        self.stats.retransmitted += 1
        self.stats.retransmitted_bytes += len(kept)
        if self.rtx_ssrc is None:
            # As it was, to the bit: SRTP must never see two packets with one index (RFC 3711 section 9.1).
            return kept
        self.stats.retransmitted_bytes += 2  # the original sequence number is payload (RFC 4588 section 4)
        return self._rtx_header(second & 0x80, timestamp, self.rtx_ssrc, now) + _U16(number) + kept

    def _rtx_header(self, marker: int, timestamp: int, ssrc: int, now: float) -> bytes:
        number = self._rtx_sequence_number & 0xFFFF
        self._rtx_sequence_number += 1
        header = self._headers.header(marker | self._rtx_payload_type, number, timestamp, ssrc, now, rtx=True)
        self.stats.header_bytes_sent += len(header)
        return header

    def _repair_packet(self, fec: RepairStream, payload: bytes, now: float) -> bytes:
        self.stats.fec_packets_sent += 1
        self.stats.fec_bytes_sent += len(payload)
        header = self._headers.header(fec.payload_type, 0, self._last_timestamp, fec.ssrc, now)
        return fec.packet(header, payload)

    def map_extensions(
        self, extension_map: ExtensionMap, next_transport_sequence: Callable[[], int] | None = None
    ) -> None:
        """Write other header extensions from now on: a negotiation has changed them. Arguments as above.

        What a frame that waits has of its own keeps its numbers.
        """
        self._headers.map(extension_map, next_transport_sequence)

    def use_codec(
        self,
        *,
        payload_type: int,
        clock_rate: int,
        mime: str,
        parameters: Mapping[str, str] | None = None,
        rtx_ssrc: int | None = None,
        rtx_payload_type: int | None = None,
    ) -> None:
        """Send frames of another codec from now on: a negotiation has changed it. Arguments as above.

        Sequence numbers go on. What waits goes out under the payload type that it has; what has left is not sent again,
        since a retransmission would be taken for the codec that is in use (RFC 4588 section 8.1).

        Raises:
            LocalError: If they are out of range, or of another kind of media.
        """
        fec = None, None
        _check_arguments(self._cname, clock_rate, payload_type, None, (rtx_ssrc, rtx_payload_type), fec)
        format_ = payload_format(mime, parameters)
        if format_.is_video is not self._is_video:
            raise LocalError(f"{mime} is another kind of media")
        self._format, self.payload_type = format_, payload_type
        if clock_rate != self._clock_rate:  # RFC 7160 section 4.1: reports are of the clock in use
            self._clock_rate, self._clock = clock_rate, None
        self.rtx_ssrc, self._rtx_payload_type = rtx_ssrc, rtx_payload_type or 0
        self._history = History()
        self._resend.clear()

    # -- packets for a pacer ---------------------------------------------------------------------------------------

    def packets_to_send(self, now: float) -> list[Outgoing]:
        """Take what waits, retransmissions first, as packets without bytes: for a pacer, who has them serialized.

        Repair packets are known only once the frame that they protect was serialized: they come with the next call.
        """
        now = self._clamp(now)
        overhead = _HEADER_BYTES + self._headers.media.size
        media_kind = PacketKind.VIDEO if self._is_video else PacketKind.AUDIO
        out = [self._outgoing_again(sent, queued_at) for sent, queued_at in self._resend]
        self._resend.clear()
        while self._repairs and self._fec is not None:
            packet = Outgoing(PacketKind.VIDEO, self._fec.ssrc, self._last_timestamp, self._repairs.popleft())
            packet.size, packet.queued_at = overhead + len(packet.payload) + 4, now
            out.append(packet)
        for frame in self._queue:
            last = len(frame.payloads) - 1
            for index, payload in enumerate(frame.payloads):
                packet = Outgoing(media_kind, self.ssrc, frame.timestamp, payload, 0, index == 0, index == last)
                packet.keyframe, packet.queued_at = frame.keyframe, frame.queued_at
                packet.capture_time, packet.extensions = frame.capture_time, frame.extensions
                packet.size = overhead + len(payload)
                packet.second = frame.second if index == last else frame.second & 0x7F
                out.append(packet)
        self._queue.clear()
        self._queued_packets = 0
        return out

    def _outgoing_again(self, sent: Sent, queued_at: float, kind: PacketKind = PacketKind.RETRANSMISSION) -> Outgoing:
        number, second, timestamp, kept, _ = sent
        size = len(kept)
        if self.rtx_ssrc is not None:
            size += _HEADER_BYTES + self._headers.rtx.size + 2
        packet = Outgoing(kind, self.rtx_ssrc or self.ssrc, timestamp, kept, queued_at=queued_at)
        packet.size, packet.sequence_number, packet.second = size, number, second
        return packet

    def padding(self, size: int, now: float) -> list[Outgoing]:
        """Return about `size` octets of packets that tell the receiver nothing new, to probe what the path carries.

        With RTX they are recent packets once more, which repairs what was lost, and where those do not fit packets of
        padding only. Without RTX they are of padding only, in the stream itself. Before the first frame there are none.

        Raises:
            LocalError: If the sender is closed, or `size` is not 1..`MAX_PADDING_BYTES`.
        """
        now = self._clamp(now)
        if self._closed or not 0 < size <= MAX_PADDING_BYTES:
            raise LocalError(f"the sender is closed, or {size} octets are no probe")
        if not self.stats.packets_sent:
            return []
        out: list[Outgoing] = []
        if self.rtx_ssrc is not None:
            for sent in self._history.newest(size // MAX_PADDING_PER_PACKET):
                packet = self._outgoing_again(sent, now, PacketKind.PADDING)
                if packet.size <= size:
                    out.append(packet)
                    size -= packet.size
        writer = self._headers.media if self.rtx_ssrc is None else self._headers.rtx
        overhead = _HEADER_BYTES + writer.size
        while size > overhead:
            count = min(MAX_PADDING_PER_PACKET, size - overhead)
            packet = Outgoing(PacketKind.PADDING, self.rtx_ssrc or self.ssrc, 0, b"", count, queued_at=now)
            packet.size = overhead + count
            out.append(packet)
            size -= packet.size
        return out

    def serialize(self, packet: Outgoing, now: float) -> bytes:
        """Return the bytes of a packet that leaves now; fills in what `Outgoing` has only then.

        Args:
            packet: Of this sender's `packets_to_send` or `padding`, once.
            now: Seconds.

        Raises:
            LocalError: If the sender is closed and its BYE has gone, or the packet is not one of its own.
        """
        fec_ssrc = self._fec.ssrc if self._fec is not None else None
        if packet.ssrc not in {self.ssrc, self.rtx_ssrc, fec_ssrc} or (self._closed and not self._bye_due):
            raise LocalError("not a packet of this sender, or the sender is closed")
        now = self._clamp(now)
        headers = self._headers
        headers.taken = []
        if packet.padding:
            datagram = self._padding_packet(packet, now)
        elif self._fec is not None and packet.ssrc == fec_ssrc:
            datagram = self._repair_packet(self._fec, packet.payload, now)
        elif packet.kind in {PacketKind.RETRANSMISSION, PacketKind.PADDING} and packet.sequence_number is not None:
            sent = (packet.sequence_number, packet.second, packet.timestamp, packet.payload, 0.0)
            datagram = self._send_again(sent, now)
        else:
            datagram = self._media_packet(packet, now)
            self.stats.total_packet_send_delay += max(0.0, now - packet.queued_at)
        packet.size = len(datagram)
        packet.sequence_number = datagram[2] << 8 | datagram[3]
        packet.transport_sequence_number = headers.taken[0] if headers.taken else None
        return datagram

    def _media_packet(self, packet: Outgoing, now: float) -> bytes:
        number = self._sequence_number & 0xFFFF
        self._sequence_number += 1
        own = None
        if packet.extensions is not None:
            own = self._headers.of_packet(packet.extensions, first=packet.first, last=packet.last)
        header = self._headers.header(packet.second, number, packet.timestamp, self.ssrc, now, own=own)
        datagram = header + packet.payload
        self._last_timestamp = packet.timestamp
        octets = len(packet.payload)
        self._count(1, octets, len(header))
        if self._fec is not None:
            self._repairs += self._fec.protect(datagram, last=packet.last)
        kept = datagram if self.rtx_ssrc is None else packet.payload
        self._history.add([(number, packet.second, packet.timestamp, kept, now)], octets)
        return datagram

    def _padding_packet(self, packet: Outgoing, now: float) -> bytes:
        tail = bytes(packet.padding - 1) + bytes((packet.padding,))
        self.stats.padding_packets += 1
        self.stats.padding_bytes += packet.padding
        self.stats.header_bytes_sent += packet.padding
        packet.timestamp = self._last_timestamp
        if self.rtx_ssrc is not None:
            header = self._rtx_header(0, packet.timestamp, self.rtx_ssrc, now)
        else:
            number = self._sequence_number & 0xFFFF
            self._sequence_number += 1
            header = self._headers.header(self.payload_type, number, packet.timestamp, self.ssrc, now)
            self._count(1, 0, len(header))
        datagram = bytes((header[0] | 0x20,)) + header[1:] + tail
        if self.rtx_ssrc is None:
            self._history.add([(number, self.payload_type, packet.timestamp, datagram, now)], 0)
        return datagram

    def discard(self, packets: Sequence[Outgoing], now: float) -> None:
        """Give up packets that a pacer will not let leave.

        The receiver sees a gap, so that it does not take what follows for complete, and the encoder is asked for a
        keyframe.
        """
        now = self._clamp(now)
        media = sum(
            packet.ssrc == self.ssrc and packet.sequence_number is None and not packet.padding for packet in packets
        )
        self.dropped["send-queue-full"] += len(packets)
        if media:
            self._sequence_number += 1
            if self._is_video and not self._closed:
                self._want_keyframe("send-queue-full", now)

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


def _check_arguments(
    cname: str,
    clock_rate: int,
    payload_type: int,
    red_payload_type: int | None,
    *repair_streams: tuple[int | None, int | None],
) -> None:
    if len(cname.encode()) > MAX_TEXT_BYTES or clock_rate <= 0:
        raise LocalError("the CNAME is too long, or the clock rate is out of range")
    if any((ssrc is None) != (number is None) for ssrc, number in repair_streams):
        raise LocalError("RTX or FlexFEC lacks its SSRC or its payload type")
    for number in (payload_type, red_payload_type, *(number for _, number in repair_streams)):
        if number is not None and not 0 <= number <= 127:
            raise LocalError(f"a payload type of {number}")


def _first_sequence_number(random_bytes: RandomBytes) -> int:
    # RFC 3711 section 3.3.1: below 2**15, so that loss at the start cannot make the receiver miss a rollover.
    return int.from_bytes(random_bytes(2), "big") & 0x7FFF
