"""The sending half: fragmentation, the queue of outstanding chunks, SACKs, retransmission, partial reliability.

Inside, TSNs are integers that never wrap; they meet the wire modulo 2**32. The outstanding queue holds consecutive
TSNs, so that a chunk's place is its TSN minus the first one's.
"""

from collections import deque
from typing import Final

from .acknowledgement import Acknowledgement
from .context import PACE_TIMER, T3, Context
from .recovery import PACING_GAIN, SLOW_START_GAIN, LossDetector, Pacer
from .rto import RetransmissionTimeout
from .sent import IN_FLIGHT, LOST, Sent
from .streams import Message, OutboundStream, Scheduler
from .wire import (
    DATA,
    DATA_CHUNK,
    DATA_HEADER_SIZE,
    FLAG_BEGIN,
    FLAG_END,
    FLAG_IMMEDIATE,
    FLAG_UNORDERED,
    HEADER_SIZE,
    I_DATA,
    I_DATA_CHUNK,
    I_DATA_HEADER_SIZE,
    PADDING,
    PacketWriter,
)

MAX_ANYWAY: Final = 4  # messages that are sent before a SACK is read, so few that with headers they fit in two packets
MAX_OUTSTANDING_CHUNKS: Final = 16384
"""Chunks sent and not acknowledged cumulatively: gap ack blocks reach 65535 TSNs, receivers' bitmaps less far, and
16384 full packets are more than any receiver's window."""

MAX_BEGUN_SHARE: Final = 2
"""With interleaving, the messages that were begun and not finished may fill the peer's buffer by one part in this many:
none of them can be taken before its end has come, and a buffer full of beginnings never empties."""

MIN_EARLY_BYTES: Final = 64  # of user data beside COOKIE ECHO: a smaller first fragment is not worth its header
MAX_EARLY_CHUNKS: Final = 16  # beside COOKIE ECHO: a packet of tiny messages holds 50, and a lost one loses them all

_pack_data = DATA_CHUNK.pack
_pack_i_data = I_DATA_CHUNK.pack
_MASK: Final = 0xFFFFFFFF
_WHOLE: Final = FLAG_BEGIN | FLAG_END


class Outbound(Acknowledgement):
    """Everything between `send` and the wire.

    Args:
        context: Shared with the other parts.
        initial_tsn: First TSN.

    Attributes:
        cumulative_tsn: Cumulative TSN ack point.
        next_tsn: TSN of the next new chunk.
        flight: Bytes in flight.
        peer_rwnd: The peer's advertised window, bytes.
        partial_reliability: Whether the peer understands FORWARD-TSN, or with interleaving I-FORWARD-TSN.
        interleaving: Whether I-DATA is sent (RFC 8260).
        last_acknowledged: When something new was acknowledged last.
        vanished: Whether large packets are lost again and again, so that the path may carry no such packets any more.
        streams: Stream ids below this can be sent on: the wish until the association is up, then what was agreed.
    """

    __slots__ = ("_begun_limit", "_pacer", "_step", "streams")

    def __init__(self, context: Context, initial_tsn: int) -> None:
        self._context = context
        self.streams = context.config.outbound_streams
        self.scheduler = Scheduler()
        self.interleaving = False
        self.partial_reliability = False
        self.peer_rwnd = 0
        self._begun = 0
        self._begun_limit = 0
        self._step = 0
        self.begin(initial_tsn)

    def begin(self, initial_tsn: int) -> None:
        """Forget what was sent: the next TSN is `initial_tsn`. What waits in the queues stays."""
        self.cumulative_tsn = initial_tsn - 1
        self.next_tsn = initial_tsn
        self.flight = 0
        self.last_acknowledged = float("-inf")
        self._sent: deque[Sent] = deque()
        self._current: Message | None = None
        self._lost: deque[Sent] = deque()
        self._retransmitted: deque[tuple[int, Sent]] = deque()
        self._gaps: list[tuple[int, int]] = []  # TSN ranges that the last SACK reported, ends included
        self._scan = initial_tsn  # first transmissions below this were examined for loss
        self._losses: LossDetector
        self._pacer: Pacer
        self._probed = False  # whether the tail was probed since something was acknowledged
        self._probe_from = 0.0  # when something was sent or acknowledged last
        self._may_exceed = False  # one chunk may go whatever cwnd says (RFC 9260 section 7.2.4, point 3)
        self._timed: Sent | None = None  # the chunk whose round trip is being measured
        self._timed_at = 0.0
        self._last_sent_at = float("inf")  # nothing sent yet: never idle
        self.vanished = False  # whether a chunk larger than the first packet size was lost again and again
        self._limited = False  # whether cwnd ended the last drain
        self._heard = False  # whether a SACK came since T3 was started
        self._advanced = initial_tsn - 1  # Advanced.Peer.Ack.Point (RFC 3758 section 3.5)
        self._abandoned_until = initial_tsn - 1
        self._forward_due = False
        self._forward_sent_at = float("-inf")
        self._begin_path(-1)

    def agree(self, *, streams: int, a_rwnd: int, partial_reliability: bool, interleaving: bool) -> None:
        """Take what the handshake has agreed on: streams, the peer's window in bytes, and the extensions to use."""
        self.streams = streams
        refused = self.scheduler.refuse(streams)
        if refused:
            self._context.dropped["no-such-stream"] += refused
        self.peer_rwnd = a_rwnd
        self.partial_reliability = partial_reliability
        self.interleaving = interleaving
        self._begun_limit = a_rwnd // MAX_BEGUN_SHARE
        self.set_packet_size()

    def set_packet_size(self) -> None:
        """Cut messages for the packet size that the context has now."""
        size = self._context.packet_size - HEADER_SIZE
        self._step = size - (I_DATA_HEADER_SIZE if self.interleaving else DATA_HEADER_SIZE)
        self.congestion.on_packet_size(size - DATA_HEADER_SIZE)
        self._pacer.packet_size = size

    def _begin_path(self, newest: int) -> None:
        """Know nothing of the path; `newest` is the last packet that is known to have arrived."""
        config = self._context.config
        payload = self._context.packet_size - HEADER_SIZE - DATA_HEADER_SIZE
        self.congestion = config.congestion(payload)
        self.rto = RetransmissionTimeout(config.rto_initial, config.rto_min, config.rto_max)
        self._losses = LossDetector(self.rto, self.congestion.on_spurious)
        self._losses.newest = newest
        self._pacer = Pacer(payload)

    def path_changed(self) -> None:
        """Begin anew on another path: send at once what the old one has swallowed, or the last chunk to find out.

        Source: RFC 9000 section 9.4, since an SCTP association below which the path changes has no section of its own.
        """
        dark = self.rto.backed_off and not self._heard
        self._begin_path(self._losses.newest)
        self.set_packet_size()
        self._timed = None
        self._cancel_timers()
        self._context.timers.cancel(PACE_TIMER)
        self._probed = False
        if dark:
            self._lose_all()
        elif self._sent:
            self._send_last_again()

    @property
    def drained(self) -> bool:
        """Whether nothing waits and nothing is outstanding."""
        return not self._sent and not self.scheduler.buffered

    @property
    def outstanding(self) -> int:
        """Chunks that were sent and are not acknowledged cumulatively."""
        return len(self._sent)

    @property
    def can_send(self) -> bool:
        """Whether something waits and the congestion window has room."""
        return self.flight < self.congestion.cwnd and (
            bool(self._lost) or self._current is not None or bool(self.scheduler.ready)
        )

    @property
    def sends_anyway(self) -> bool:
        """Whether all that waits is a few small messages, which may leave whatever the next SACK says."""
        waiting, room = self.scheduler, 2 * self._step + self.flight
        return (
            0 < waiting.buffered <= self._step
            and waiting.queued <= MAX_ANYWAY
            and room < self.congestion.cwnd
            and room < self.peer_rwnd
            and not self._lost
            and not self._forward_due
            and not self._gaps
        )

    def stream_drained(self, stream: OutboundStream) -> bool:
        """Tell whether all that the stream was given has been acknowledged or given up."""
        return not stream.queue and stream.current is None and stream.last_tsn <= self.cumulative_tsn

    def restart(self, initial_tsn: int) -> None:
        """Begin anew with sequence numbers: what was sent and not acknowledged is forgotten, what waits is sent.

        A message that was begun is begun again, with all its fragments.

        Source: RFC 9260 section 5.2.4.1, RFC 6525 section 5.2.4.
        """
        self._cancel_timers()
        self._context.timers.cancel(PACE_TIMER)
        for stream in self.scheduler.streams.values():
            stream.next_ssn = stream.next_unordered = 0
            stream.last_tsn = -1
            stream.resetting = False
            if stream.current is not None:
                self.scheduler.begin_again(stream)
        self._begun = 0
        self.begin(initial_tsn)

    # Sending

    def transmit_early(self, writer: PacketWriter, now: float, *, again: bool) -> None:
        """Put data into the packet that has COOKIE ECHO in it already, and no more than fits.

        Until the peer answers no other packet may leave, so T1 and not T3 watches over it; `again` says that T1 did.

        Source: RFC 9260 section 5.1, C and section 6.
        """
        if again and self._sent:
            self._lose_all()
            self._send_lost(now, writer)
        header = I_DATA_HEADER_SIZE if self.interleaving else DATA_HEADER_SIZE
        step, number = self._step, writer.number
        while self._current is None and len(self._sent) < MAX_EARLY_CHUNKS and writer.room >= header + MIN_EARLY_BYTES:
            message = self.scheduler.next(now)
            if message is None:
                break
            self._step = min(writer.room - header & ~3, step)
            self._begin(message)
            stop = min(self._step, len(message.data))
            self._send_fragments(message, stop, writer, self.congestion.cwnd, now)
            if message.offset == len(message.data):
                self._finish(message)
            if self._current is None:
                self.scheduler.paid(message, stop)
            if writer.number != number:
                break
        self._step = step
        for name in (T3, PACE_TIMER):
            self._context.timers.cancel(name)

    def transmit(self, now: float, writer: PacketWriter, *, anyway: bool = False) -> None:
        """Put into packets what the windows allow: what was lost, FORWARD-TSN, then new data.

        Args:
            now: Current time, seconds.
            writer: Where to put it.
            anyway: Whether `sends_anyway` was true just now, so that there is nothing to pace.

        Source: RFC 9260 section 6.1.
        """
        if self._forward_due:
            self._send_forward_tsn(now, writer)
        if self._lost:
            self._send_lost(now, writer)
        if not self._lost and (self._current is not None or self.scheduler.ready):
            self._send_new(now, writer, anyway=anyway)
        if self._forward_due:  # something has expired meanwhile
            writer.flush()  # control chunks go before DATA (RFC 9260 section 6.10)
            self._send_forward_tsn(now, writer)
        if self._sent and self._context.timers.set_default(T3, now + self.rto.rto):
            self._heard = False

    def _ceiling(self, now: float) -> int:
        """Return how much may be in flight after this drain: the window, or less where a burst would be too long."""
        congestion, srtt = self.congestion, self.rto.srtt
        cwnd = congestion.cwnd
        if not srtt:
            return cwnd
        gain = SLOW_START_GAIN if cwnd < congestion.ssthresh else PACING_GAIN
        if congestion.in_recovery:
            gain = 1.0  # else retransmissions come on top of what still fills the queue
        self._pacer.refill(gain * cwnd / srtt, now)
        paced = self.flight + int(self._pacer.credit)
        return cwnd if cwnd < paced else paced

    def _send_new(self, now: float, writer: PacketWriter, *, anyway: bool) -> None:
        if not self.flight and now - self._last_sent_at > self.rto.rto:
            self.congestion.on_idle(int((now - self._last_sent_at) / self.rto.rto))
        before, flight = len(self._sent), self.flight
        self._limited = False
        ceiling = self.congestion.cwnd if anyway else self._ceiling(now)
        scheduler, full = self.scheduler, self._step + DATA_HEADER_SIZE
        while True:
            message = self._current
            if message is None:
                if not scheduler.ready:
                    break
                # What is chosen now cannot be replaced any more, so nothing is before it can leave.
                if self.flight >= ceiling:
                    self._limited = True
                    break
                if len(self._sent) >= MAX_OUTSTANDING_CHUNKS or (self.flight and self.flight + full > self.peer_rwnd):
                    break
                message = scheduler.next(now)
                if message is None:
                    break
                if message.first_tsn < 0:
                    if len(message.data) <= self._step:
                        self._send_whole(message, writer, ceiling, now)
                        continue
                    self._begin(message)
            if message.expires is not None and now > message.expires and self.partial_reliability:
                self._abandon(message)
                continue
            whole, begin = len(message.data), message.offset
            exclusive = message is self._current
            stop = whole if exclusive or not scheduler.ready else min(begin + self._step, whole)
            blocked = not self._send_fragments(message, stop, writer, ceiling, now)
            if message.offset == whole:
                self._finish(message)
                scheduler.paid(message, whole if exclusive else whole - begin)
            elif not exclusive:
                scheduler.paid(message, message.offset - begin)
            if blocked:
                break
        self._spend(self.flight - flight, now)
        if len(self._sent) > before:
            self._last_sent_at = now
            self._start_probe_timer(now)
            if self._timed is None:
                self._timed = self._sent[before]
                self._timed_at = now

    def _begin(self, message: Message) -> None:
        """Number a message that sends its first fragment, and decide whether it may be interrupted."""
        self._number(message)
        size = len(message.data)
        if size > self._step:
            message.stream.current = message
            if not self.interleaving or self._begun + size > self._begun_limit:
                self._current = message
            self._begun += size
        elif not self.interleaving:
            self._current = message

    def _number(self, message: Message) -> None:
        stream, interleaving = message.stream, self.interleaving
        mask = _MASK if interleaving else 0xFFFF
        if message.ordered:
            message.ssn = stream.next_ssn
            stream.next_ssn = message.ssn + 1 & mask
        elif interleaving:
            message.ssn = stream.next_unordered
            stream.next_unordered = message.ssn + 1 & mask
        message.first_tsn = self.next_tsn

    def _finish(self, message: Message) -> None:
        """Take that the last fragment was sent."""
        stream = message.stream
        if stream.current is message:
            stream.current = None
            self._begun -= len(message.data)
        if self._current is message:
            self._current = None
        self._context.stats.messages_sent += 1

    def _send_whole(self, message: Message, writer: PacketWriter, ceiling: int, now: float) -> None:
        """Send a message that one chunk holds, for which the windows have room: the short way, as most are small.

        Source: RFC 9260 section 6.9, RFC 8260 section 2.2.
        """
        self._number(message)
        data, stream, tsn, scheduler = message.data, message.stream, self.next_tsn, self.scheduler
        length = len(data) + (I_DATA_HEADER_SIZE if self.interleaving else DATA_HEADER_SIZE)
        size = length + 3 & ~3
        self.flight = flight = self.flight + size
        flags = _WHOLE if message.ordered else _WHOLE | FLAG_UNORDERED
        if not (stream.queue or scheduler.ready) or flight >= ceiling or flight + size > self.peer_rwnd:
            flags |= FLAG_IMMEDIATE  # as in `_send_fragments`
        if self.interleaving:
            header = _pack_i_data(I_DATA, flags, length, tsn & _MASK, stream.id, 0, message.ssn, message.ppid)
        else:
            header = _pack_data(DATA, flags, length, tsn & _MASK, stream.id, message.ssn, message.ppid)
        chunk = header + data + PADDING[length & 3]
        self._sent.append(Sent(chunk, size, message, writer.add(chunk), now))
        message.offset = len(data)
        message.last_tsn = stream.last_tsn = tsn
        self.next_tsn = tsn + 1
        scheduler.sent_whole(message)
        self._context.stats.messages_sent += 1

    def _send_fragments(self, message: Message, stop: int, writer: PacketWriter, ceiling: int, now: float) -> bool:
        """Send `message` up to byte `stop` or until `ceiling` bytes are in flight; return whether `stop` was reached.

        Source: RFC 9260 section 6.9, RFC 8260 section 2.2.
        """
        data, stream, ppid, ssn = message.data, message.stream, message.ppid, message.ssn
        total, offset, fragment = len(data), message.offset, message.fragment
        tsn, flight, rwnd = self.next_tsn, self.flight, self.peer_rwnd
        sent, interleaving = self._sent, self.interleaving
        last = tsn + MAX_OUTSTANDING_CHUNKS - len(sent)
        header, step = (I_DATA_HEADER_SIZE if interleaving else DATA_HEADER_SIZE), self._step
        stream_id, add, append = stream.id, writer.add, sent.append
        unordered = 0 if message.ordered else FLAG_UNORDERED
        flags = unordered if offset else unordered | FLAG_BEGIN
        more = bool(stream.queue or self.scheduler.ready)
        while offset < stop and tsn < last:
            if flight >= ceiling:
                self._limited = True
                break
            end = offset + step
            if end >= total:
                end = total
                flags |= FLAG_END
            length = end - offset + header
            size = length + 3 & ~3
            if flight + size > rwnd and flight:  # an empty flight may probe a closed window (RFC 9260 section 6.1 A)
                break
            flight += size
            if flight >= ceiling or (end == total and not more) or flight + size > rwnd:
                # Nothing follows in this drain, so the SACK should not be delayed (RFC 9260 section 6.1, section 6.2).
                flags |= FLAG_IMMEDIATE
            if interleaving:
                last_word = ppid if flags & FLAG_BEGIN else fragment
                chunk = _pack_i_data(I_DATA, flags, length, tsn & _MASK, stream_id, 0, ssn, last_word)
                fragment += 1
            else:
                chunk = _pack_data(DATA, flags, length, tsn & _MASK, stream_id, ssn, ppid)
            chunk += data[offset:end]
            if length & 3:
                chunk += PADDING[length & 3]
            append(Sent(chunk, size, message, add(chunk), now))
            tsn += 1
            offset = end
            flags = unordered
        if offset != message.offset:
            self.scheduler.sent(stream, offset - message.offset)
            message.offset, message.fragment = offset, fragment
            message.last_tsn = stream.last_tsn = tsn - 1
            self.next_tsn = tsn
            self.flight = flight
        return offset >= stop

    def _send_lost(self, now: float, writer: PacketWriter) -> None:
        lost, stats = self._lost, self._context.stats
        flight, ceiling = self.flight, self._ceiling(now)
        may_exceed, self._may_exceed = self._may_exceed, False
        while lost:
            sent = lost[0]
            message = sent.message
            if sent.state != LOST:
                lost.popleft()
                continue
            if message.expires is not None and now > message.expires and self.partial_reliability:
                self._abandon(message)
                continue
            if self.flight >= ceiling and not may_exceed:
                break
            may_exceed = False
            lost.popleft()
            sent.packet = writer.add(sent.chunk)
            sent.sent_at = now
            sent.state = IN_FLIGHT
            sent.transmissions += 1
            self.flight += sent.size
            self._retransmitted.append((sent.packet, sent))
            self._last_sent_at = now
            stats.retransmits += 1
            if sent is self._sent[0]:  # RFC 9260 section 7.2.4, point 4
                self._context.timers.set(T3, now + self.rto.rto)
        self._limited = bool(lost)
        self._spend(self.flight - flight, now)

    def _spend(self, size: int, now: float) -> None:
        """Take that `size` bytes were sent; if the pacer was what ended that, come back when it has credit again."""
        self._pacer.credit -= size
        if self._limited and self.flight < self.congestion.cwnd:
            self._context.timers.set(PACE_TIMER, self._pacer.deadline(now))
