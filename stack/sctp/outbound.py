"""The sending half: fragmentation, the queue of outstanding chunks, SACKs, retransmission, partial reliability.

Inside, TSNs are integers that never wrap; they meet the wire modulo 2**32. The outstanding queue holds consecutive
TSNs, so that a chunk's place is its TSN minus the first one's.
"""

import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..core import ParseError
from .context import LOSS_TIMER, PACE_TIMER, PROBE_TIMER, T3, Context
from .gaps import parse_gaps, subtract
from .partial_reliability import PartialReliability
from .recovery import PACING_GAIN, SLOW_START_GAIN, LossDetector, Pacer
from .rto import RetransmissionTimeout
from .sent import ABANDONED, ACKED, IN_FLIGHT, LOST, Sent
from .streams import Message, OutboundStream, Scheduler
from .wire import (
    DATA,
    DATA_CHUNK,
    FLAG_BEGIN,
    FLAG_END,
    FLAG_IMMEDIATE,
    FLAG_UNORDERED,
    PADDING,
    SACK_BODY,
    PacketWriter,
)

if TYPE_CHECKING:
    from .congestion import CongestionControl

MAX_OUTSTANDING_CHUNKS: Final = 16384
"""Chunks sent and not acknowledged cumulatively: gap ack blocks reach 65535 TSNs, receivers' bitmaps less far, and
16384 full packets are more than any receiver's window."""

_pack_data = DATA_CHUNK.pack
_MASK: Final = 0xFFFFFFFF


class Outbound(PartialReliability):
    """Everything between `send` and the wire.

    Args:
        context: Shared with the other parts.
        initial_tsn: First TSN.

    Attributes:
        cumulative_tsn: Cumulative TSN ack point.
        next_tsn: TSN of the next new chunk.
        flight: Bytes in flight.
        peer_rwnd: The peer's advertised window, bytes.
        partial_reliability: Whether the peer understands FORWARD-TSN.
        last_acknowledged: When something new was acknowledged last.
    """

    __slots__ = (
        "_gaps",
        "_heard",
        "_limited",
        "_losses",
        "_lost",
        "_may_exceed",
        "_pacer",
        "_probe_from",
        "_probed",
        "_retransmitted",
        "_scan",
        "_timed_at",
        "congestion",
        "last_acknowledged",
        "peer_rwnd",
        "rto",
    )

    def __init__(self, context: Context, initial_tsn: int) -> None:
        self._context = context
        self.scheduler = Scheduler()
        self.congestion: CongestionControl
        self.rto: RetransmissionTimeout
        self.cumulative_tsn = initial_tsn - 1
        self.next_tsn = initial_tsn
        self.flight = 0
        self.peer_rwnd = 0
        self.partial_reliability = False
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
        self._limited = False  # whether cwnd ended the last drain
        self._heard = False  # whether a SACK came since T3 was started
        self._advanced = initial_tsn - 1  # Advanced.Peer.Ack.Point (RFC 3758 section 3.5)
        self._abandoned_until = initial_tsn - 1
        self._forward_due = False
        self._forward_sent_at = float("-inf")
        self._begin_path(-1)

    def _begin_path(self, newest: int) -> None:
        """Know nothing of the path; `newest` is the last packet that is known to have arrived."""
        config = self._context.config
        self.congestion = config.congestion(config.max_payload)
        self.rto = RetransmissionTimeout(config.rto_initial, config.rto_min, config.rto_max)
        self._losses = LossDetector(self.rto, self.congestion.on_spurious)
        self._losses.newest = newest
        self._pacer = Pacer(config.max_payload)

    def path_changed(self) -> None:
        """Begin anew on another path: send at once what the old one has swallowed, or the last chunk to find out.

        Source: RFC 9000 section 9.4, since an SCTP association below which the path changes has no section of its own.
        """
        dark = self.rto.backed_off and not self._heard
        self._begin_path(self._losses.newest)
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
        return not self._sent and self._current is None and not self.scheduler.queued

    @property
    def can_send(self) -> bool:
        """Whether something waits and the congestion window has room."""
        return self.flight < self.congestion.cwnd and (
            bool(self._lost) or self._current is not None or bool(self.scheduler)
        )

    def stream_drained(self, stream: OutboundStream) -> bool:
        """Tell whether all that the stream was given has been acknowledged or given up."""
        return (
            not stream.queue
            and (self._current is None or self._current.stream is not stream)
            and stream.last_tsn <= self.cumulative_tsn
        )

    # Sending

    def transmit(self, now: float, writer: PacketWriter) -> None:
        """Put into packets what the windows allow: what was lost, FORWARD-TSN, then new data.

        Source: RFC 9260 section 6.1.
        """
        if self._lost:
            self._send_lost(now, writer)
        if self._forward_due:
            self._send_forward_tsn(now, writer)
        if not self._lost and (self._current is not None or self.scheduler):
            self._send_new(now, writer)
            if self._forward_due:  # the message that was being sent has expired
                self._send_forward_tsn(now, writer)
        if self._sent and T3 not in self._context.timers:
            self._context.timers.set(T3, now + self.rto.rto)
            self._heard = False

    def _start_probe_timer(self, now: float) -> None:
        """Watch the tail; while the timer runs, `_probe_from` moves it without work per packet."""
        self._probe_from = now
        timeout = self._losses.probe_timeout
        if timeout is not None and not self._probed:
            self._context.timers.set_default(PROBE_TIMER, now + timeout)

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
        return min(cwnd, self.flight + int(self._pacer.credit))

    def _send_new(self, now: float, writer: PacketWriter) -> None:
        if not self.flight and now - self._last_sent_at > self.rto.rto:
            self.congestion.on_idle(int((now - self._last_sent_at) / self.rto.rto))
        before, flight = len(self._sent), self.flight
        self._limited = False
        ceiling = self._ceiling(now)
        while True:
            message = self._current
            if message is None:
                message = self.scheduler.next(now)
                if message is None:
                    break
                if message.ordered:
                    message.ssn = message.stream.next_ssn
                    message.stream.next_ssn = message.ssn + 1 & 0xFFFF
                message.first_tsn = self.next_tsn
                self._current = message
            elif message.expires is not None and now > message.expires and self.partial_reliability:
                self._abandon(message)
                continue
            if not self._send_fragments(message, writer, ceiling, now):
                break
            self._current = None
            self._context.stats.messages_sent += 1
        self._spend(self.flight - flight, now)
        if len(self._sent) > before:
            self._last_sent_at = now
            self._start_probe_timer(now)
            if self._timed is None:
                self._timed = self._sent[before]
                self._timed_at = now

    def _send_fragments(self, message: Message, writer: PacketWriter, ceiling: int, now: float) -> bool:
        """Send fragments of `message` until `ceiling` bytes are in flight; return whether all are sent."""
        data, stream, ppid, ssn = message.data, message.stream, message.ppid, message.ssn
        total, offset = len(data), message.offset
        tsn, flight, rwnd = self.next_tsn, self.flight, self.peer_rwnd
        sent = self._sent
        stop = tsn + MAX_OUTSTANDING_CHUNKS - len(sent)
        step = self._context.config.max_payload
        stream_id, add, append = stream.id, writer.add, sent.append
        unordered = 0 if message.ordered else FLAG_UNORDERED
        flags = unordered if offset else unordered | FLAG_BEGIN
        more = bool(self.scheduler)
        while offset < total and tsn < stop:
            if flight >= ceiling:
                self._limited = True
                break
            end = offset + step
            if end >= total:
                end = total
                flags |= FLAG_END
            length = end - offset + 16
            size = length + 3 & ~3
            if flight + size > rwnd and flight:  # an empty flight may probe a closed window (RFC 9260 section 6.1 A)
                break
            flight += size
            if flight >= ceiling or (end == total and not more) or flight + size > rwnd:
                # Nothing follows in this drain, so the SACK should not be delayed (RFC 9260 section 6.1, section 6.2).
                flags |= FLAG_IMMEDIATE
            chunk = _pack_data(DATA, flags, length, tsn & _MASK, stream_id, ssn, ppid) + data[offset:end]
            if length & 3:
                chunk += PADDING[length & 3]
            append(Sent(chunk, size, message, add(chunk), now))
            tsn += 1
            offset = end
            flags = unordered
        if offset != message.offset:
            self.scheduler.sent(stream, offset - message.offset)
            message.offset = offset
            stream.last_tsn = tsn - 1
            self.next_tsn = tsn
            self.flight = flight
        return offset == total

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

    # Acknowledgement

    def receive_sack(self, data: bytes, offset: int, end: int, now: float) -> bool:
        """Process the value of a SACK chunk, `data[offset:end]`; return whether it acknowledged something new.

        Source: RFC 9260 section 6.2.1 and section 6.3.2.

        Raises:
            ParseError: `truncated`, `stale-sack`, `sack-beyond-sent`.
        """
        if end - offset < SACK_BODY.size:
            raise ParseError("truncated", "SACK")
        wire, a_rwnd, gap_count, duplicate_count = SACK_BODY.unpack_from(data, offset)
        if end - offset < 12 + 4 * (gap_count + duplicate_count):
            raise ParseError("truncated")
        advance = wire - self.cumulative_tsn & _MASK
        if advance >= self.next_tsn - self.cumulative_tsn:
            raise ParseError("stale-sack" if advance & 0x80000000 else "sack-beyond-sent")
        self.peer_rwnd = a_rwnd
        self._heard = True
        flight, newest = self.flight, self._losses.newest
        acknowledged = self._acknowledge_cumulative(advance, now) if advance else 0
        if gap_count or self._gaps:
            self._receive_gaps(data, offset + 12, gap_count, newest, now)
            acknowledged = max(flight - self.flight, 0)
            self._detect_losses(now)
        timed = self._timed
        if timed is not None and timed.state == ACKED:
            self._timed = None
            if timed.transmissions == 1:  # Karn's algorithm (RFC 9260 section 6.3.1, rule C5)
                self.rto.update(now - self._timed_at)
        if advance:
            self.last_acknowledged = now
            self.congestion.on_acknowledged(acknowledged, self.cumulative_tsn, now, limited=self._limited)
            self._probed = False
            if self._sent:
                self._context.timers.set(T3, now + self.rto.rto)
                self._heard = False
                self._start_probe_timer(now)
            else:
                self._cancel_timers()
        if self._abandoned_until > self.cumulative_tsn:
            self._advance_peer_ack_point()
            if now - self._forward_sent_at >= (self.rto.srtt or self.rto.rto):
                self._forward_due = True  # RFC 3758 section 3.5 C3, not more often than once per round trip (F2)
        return bool(acknowledged or advance)

    def _cancel_timers(self) -> None:
        timers = self._context.timers
        timers.cancel(T3)
        timers.cancel(PROBE_TIMER)
        timers.cancel(LOSS_TIMER)

    def _acknowledge_cumulative(self, advance: int, now: float) -> int:
        first = self._sent[0]
        if first.state != ACKED and first.packet < self._losses.newest and first.transmissions == 1:
            self._losses.overtaken(first.sent_at, now, judged=first.state == LOST)
        popleft = self._sent.popleft
        acknowledged = 0
        sent = None
        for _ in range(advance):
            sent = popleft()
            if sent.state == IN_FLIGHT:
                acknowledged += sent.size
            sent.state = ACKED
        for chunk in (first, sent):
            if chunk is not None:
                self._losses.arrived(chunk.packet, chunk.sent_at, now, again=chunk.transmissions > 1)
        self.flight -= acknowledged
        self.cumulative_tsn += advance
        return acknowledged

    def _receive_gaps(self, data: bytes, offset: int, count: int, newest: int, now: float) -> None:
        """Update what is known to have arrived out of order; the work is proportional to what changed."""
        base = self.cumulative_tsn
        gaps = parse_gaps(struct.unpack_from(f"!{2 * count}H", data, offset), base, self.next_tsn - 1 - base)
        known = self._gaps
        if known and known[0][0] <= base:
            known = [(max(start, base + 1), end) for start, end in known if end > base]
        self._gaps = gaps
        same = len(known) - 1  # mostly the last block has grown, or another one came behind it
        if same > 0 and gaps[:same] == known[:same]:
            gaps, known = gaps[same:], known[same:]
        sent = self._sent
        for start, end in subtract(gaps, known):
            for tsn in range(start, end + 1):
                self._acknowledge(sent[tsn - base - 1], newest, now)
        last = gaps[-1][1] if gaps else base
        for start, end in subtract(known, gaps):
            # Reneging (RFC 9260 section 6.2.1): only below the highest block, since a receiver may leave out others.
            for tsn in range(start, min(end, last) + 1):
                reneged = sent[tsn - base - 1]
                if reneged.state == ACKED:
                    # It may be an older SACK, overtaken: only what arrives from now on shows that this was lost.
                    reneged.state, reneged.packet, reneged.sent_at = IN_FLIGHT, self._context.writer.number, now
                    self.flight += reneged.size
                    self._scan = min(self._scan, tsn)

    def _acknowledge(self, sent: Sent, newest: int, now: float) -> None:
        """Take that a chunk arrived beyond a gap, `newest` being the newest packet that was known before."""
        again = sent.transmissions > 1
        if sent.packet < newest and not again and sent.state != ACKED:
            self._losses.overtaken(sent.sent_at, now, judged=sent.state == LOST)
        if sent.state == IN_FLIGHT:
            self.flight -= sent.size
        if sent.state != ABANDONED:
            sent.state = ACKED
        if again or sent.packet > self._losses.newest:
            self._losses.arrived(sent.packet, sent.sent_at, now, again=again)

    def _detect_losses(self, now: float) -> None:
        """Mark as lost what later packets have overtaken, by their number or for too long; `LossDetector` says when.

        Deviates: RFC 9260 section 7.2.4 counts SACKs, one per packet that arrives beyond a gap. A receiver that
        batches sends one SACK for many packets; packets are counted instead (as RFC 9002 section 6.1.1), which is the
        same while there is a SACK for each. It also finds retransmissions that were lost again, without a timeout.
        """
        losses = self._losses
        threshold, newest, delay = losses.threshold, losses.newest, losses.delay
        base = self.cumulative_tsn + 1
        scan = max(self._scan, base)
        queue, limit = self._sent, self.next_tsn
        latest = -1
        deadline = float("inf")
        while scan < limit:
            sent = queue[scan - base]
            if sent.state == IN_FLIGHT and sent.transmissions == 1:
                if sent.packet > threshold and (sent.packet >= newest or sent.sent_at + delay > now):
                    if sent.packet < newest:
                        deadline = sent.sent_at + delay
                    break
                latest = max(latest, sent.packet)
                self._lose(sent)
            scan += 1
            limit = self.next_tsn
        self._scan = scan
        retransmitted = self._retransmitted
        while retransmitted:
            packet, sent = retransmitted[0]
            if sent.state == IN_FLIGHT and sent.packet == packet:
                if packet > threshold and (packet >= newest or sent.sent_at + delay > now):
                    if packet < newest:
                        deadline = min(deadline, sent.sent_at + delay)
                    break
                latest = max(latest, packet)
                self._lose(sent)
            retransmitted.popleft()
        if deadline < float("inf"):
            self._context.timers.set(LOSS_TIMER, deadline)
        else:
            self._context.timers.cancel(LOSS_TIMER)
        if latest >= 0:
            losses.lost()
            self._context.stats.fast_retransmits += 1
            self._may_exceed = True
            self.congestion.on_lost(latest, self._context.writer.number, self.next_tsn - 1, now)

    def timer_handlers(self) -> dict[object, Callable[[float], None]]:
        """Return what to call when which timer is due; T3 is the association's."""
        return {
            LOSS_TIMER: self.handle_loss_timer,
            PROBE_TIMER: self.handle_probe_timer,
            PACE_TIMER: lambda _now: None,  # the drain that follows goes on with the burst
        }

    def handle_loss_timer(self, now: float) -> None:
        """What was overtaken for too long is lost."""
        if self._sent:
            self._detect_losses(now)

    def handle_probe_timer(self, now: float) -> None:
        """Nothing was acknowledged for two round trips: send the last chunk again, so that the answer shows the losses.

        Deviates: RFC 8985 section 7.3 prefers new data; what waits here waits for the window. Section 7.4 reduces the
        window when the probe repaired a loss; here that is left to losses that the answer shows.

        Source: RFC 8985 section 7.
        """
        timeout = self._losses.probe_timeout
        if not self._sent or self._lost or self._probed or timeout is None:
            return
        if self._probe_from + timeout > now:
            self._context.timers.set(PROBE_TIMER, self._probe_from + timeout)
            return
        self._send_last_again()

    def _send_last_again(self) -> None:
        last = self._sent[-1]
        limit = last.message.max_retransmits
        if last.state != IN_FLIGHT or (limit is not None and last.transmissions > limit):
            return
        self._probed = self._may_exceed = True
        self._context.stats.probes += 1
        self._lose(last)

    def _lose(self, sent: Sent) -> None:
        """Mark a chunk for retransmission, or give its message up."""
        if sent.state == IN_FLIGHT:
            self.flight -= sent.size
        if sent is self._timed:
            self._timed = None
        sent.state = LOST
        limit = sent.message.max_retransmits
        if limit is not None and sent.transmissions > limit and self.partial_reliability:
            self._abandon(sent.message)
        else:
            self._lost.append(sent)

    def handle_t3(self, now: float) -> bool:
        """T3-rtx expired: everything outstanding counts as lost. Return whether that is an error of the association.

        Source: RFC 9260 section 6.3.3 and section 6.1 A (probing a closed window is no error while SACKs come).
        """
        if not self._sent:
            return False
        self._context.stats.timeouts += 1
        probing = not self.peer_rwnd and self._heard
        self.rto.back_off()
        self.congestion.on_timeout(now)
        self._lose_all()
        return not probing

    def _lose_all(self) -> None:
        self._lost.clear()
        self._retransmitted.clear()
        self._context.timers.cancel(LOSS_TIMER)
        self._may_exceed = True
        self._scan = self.next_tsn
        outstanding = list(self._sent)
        for sent in outstanding:
            if sent.state in {IN_FLIGHT, LOST}:
                self._lose(sent)
        if not self._lost:
            # All is acknowledged by gap blocks and yet the ack point stands still: do not believe the blocks.
            for sent in outstanding:
                if sent.state == ACKED:
                    self._lose(sent)
            self._gaps.clear()
        if self._abandoned_until > self.cumulative_tsn:
            self._forward_due = True
