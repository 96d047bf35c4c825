"""What SACKs and timers say of what was sent: acknowledged, lost, or to be sent again."""

import struct
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..core import ParseError
from .context import LOSS_TIMER, PACE_TIMER, PROBE_TIMER, T3
from .gaps import parse_gaps, subtract
from .partial_reliability import PartialReliability
from .sent import ABANDONED, ACKED, IN_FLIGHT, LOST, Sent
from .wire import SACK_BODY

if TYPE_CHECKING:
    from .congestion import CongestionControl
    from .recovery import LossDetector
    from .rto import RetransmissionTimeout

VANISHING: Final = 4
"""Transmissions of one large chunk that must be lost before the path counts as a black hole for its size (RFC 8899
section 4.3): with 5 % of random loss that happens once in 160,000."""

WIDE_WINDOW: Final = 65536
"""Bytes of the peer's receive window above which its SACKs need not be read at once."""

_MASK: Final = 0xFFFFFFFF
_unpack_plain = struct.Struct("!LL").unpack_from  # the first two words of `SACK_BODY`


class Acknowledgement(PartialReliability):
    """The part of `Outbound` that takes SACKs and decides what is sent again."""

    __slots__ = (
        "_gaps",
        "_heard",
        "_limited",
        "_losses",
        "_lost",
        "_may_exceed",
        "_probe_from",
        "_probed",
        "_retransmitted",
        "_scan",
        "_timed_at",
        "congestion",
        "last_acknowledged",
        "peer_rwnd",
        "rto",
        "vanished",
    )

    _gaps: list[tuple[int, int]]
    _heard: bool
    _limited: bool
    _losses: "LossDetector"
    _lost: deque[Sent]
    _may_exceed: bool
    _probe_from: float
    _probed: bool
    _retransmitted: deque[tuple[int, Sent]]
    _scan: int
    _timed_at: float
    congestion: "CongestionControl"
    last_acknowledged: float
    peer_rwnd: int
    rto: "RetransmissionTimeout"
    vanished: bool

    def _start_probe_timer(self, now: float) -> None:
        """Watch the tail; while the timer runs, `_probe_from` moves it without work per packet."""
        self._probe_from = now
        timeout = self._losses.probe_timeout
        if timeout is not None and not self._probed:
            self._context.timers.set_default(PROBE_TIMER, now + timeout)

    def plain_advance(self, data: bytes, offset: int, end: int) -> int:
        """Return by how much a SACK moves the ack point if that is all that it says, -1 if it says more.

        What is plain can wait, and a later one that is plain says it too: nothing is lost, the window is wide.
        """
        if end - offset != SACK_BODY.size or self._gaps or self.rto.srtt is None:
            return -1
        wire, a_rwnd = _unpack_plain(data, offset)
        advance: int = wire - self.cumulative_tsn & _MASK
        return advance if a_rwnd >= WIDE_WINDOW and advance < self.next_tsn - self.cumulative_tsn else -1

    def receive_sack(self, data: bytes, offset: int, end: int, now: float, *, others: bool = False) -> bool:
        """Process the value of a SACK chunk, `data[offset:end]`; return whether it acknowledged something new.

        Args:
            data: The packet.
            offset: Where the value begins.
            end: Where it ends.
            now: When it came, seconds.
            others: Whether it stands for earlier ones too, so that nobody knows any more when they came.

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
        gaps = bool(gap_count or self._gaps)
        if gaps:
            self._receive_gaps(data, offset + 12, gap_count, newest, now)
            acknowledged = max(flight - self.flight, 0)
        if acknowledged:
            self.congestion.on_delivered(
                acknowledged,
                self._losses.latest if self._losses.measured_at == now else None,
                self._losses.newest,
                self._context.writer.number,
                now,
                limited=self._limited,
            )
        if gaps:
            self._detect_losses(now)
        if self._timed is not None and self._timed.state == ACKED:
            self._measure(self._timed, now, others=others)
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
        elif acknowledged:
            # Deviates: RFC 9260 section 6.3.2, R3 waits for the ack point. What is lost again is found by time here,
            # so that T3 is left for silence: 1 % of loss would call for it every second.
            self._context.timers.set(T3, now + self.rto.rto)
            self._heard = False
        if self._abandoned_until > self.cumulative_tsn:
            self._advance_peer_ack_point()
            if now - self._forward_sent_at >= (self.rto.srtt or self.rto.rto):
                self._forward_due = True  # RFC 3758 section 3.5 C3, not more often than once per round trip (F2)
        return bool(acknowledged or advance)

    def _measure(self, timed: Sent, now: float, *, others: bool) -> None:
        """Take the round trip of the chunk that was timed, now that it is acknowledged."""
        self._timed = None
        if others:
            if self._losses.measured_at == now:
                self.rto.update(self._losses.latest)  # of the newest chunk, which none of the earlier SACKs told of
        elif timed.transmissions == 1:  # Karn's algorithm (RFC 9260 section 6.3.1, rule C5)
            self.rto.update(now - self._timed_at)

    def _cancel_timers(self) -> None:
        self._context.timers.cancel(T3, PROBE_TIMER, LOSS_TIMER)

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
        self._losses.arrived(first.packet, first.sent_at, now, again=first.transmissions > 1)
        if sent is not None and sent is not first:
            self._losses.arrived(sent.packet, sent.sent_at, now, again=sent.transmissions > 1)
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
                    # It may be an older SACK, overtaken: only what arrives from now on shows that this was lost. It
                    # is no newer than what has arrived, so that its arrival measures nothing.
                    reneged.state, reneged.packet, reneged.sent_at = IN_FLIGHT, self._losses.newest, now
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
        latest, size = -1, 0
        deadline = float("inf")
        while scan < limit:
            sent = queue[scan - base]
            if sent.state == IN_FLIGHT and sent.transmissions == 1:
                if sent.packet > threshold and (sent.packet >= newest or sent.sent_at + delay > now):
                    if sent.packet < newest:
                        deadline = sent.sent_at + delay
                    break
                latest = max(latest, sent.packet)
                size += sent.size
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
                size += sent.size
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
            self.congestion.on_lost(latest, self._context.writer.number, self.next_tsn - 1, now, size)

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
        if sent.transmissions >= VANISHING and sent.size > self._context.config.max_packet_size:
            self.vanished = True
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
