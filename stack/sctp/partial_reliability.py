"""Giving messages up: RFC 3758 and the policies of RFC 7496."""

from collections import deque
from itertools import islice

from .context import Context
from .sent import ABANDONED, IN_FLIGHT, Sent
from .streams import Message, Scheduler
from .wire import HEADER_SIZE, PacketWriter, serialize_forward_tsn, serialize_i_forward_tsn


class PartialReliability:
    """The part of `Outbound` that gives messages up and tells the peer."""

    __slots__ = (
        "_abandoned_until",
        "_advanced",
        "_begun",
        "_context",
        "_current",
        "_forward_due",
        "_forward_sent_at",
        "_last_sent_at",
        "_sent",
        "_timed",
        "cumulative_tsn",
        "flight",
        "interleaving",
        "next_tsn",
        "partial_reliability",
        "scheduler",
    )

    _abandoned_until: int
    _advanced: int
    _begun: int
    _context: Context
    _current: Message | None
    _forward_due: bool
    _forward_sent_at: float
    _last_sent_at: float
    _sent: deque[Sent]
    _timed: Sent | None
    cumulative_tsn: int
    flight: int
    interleaving: bool
    next_tsn: int
    partial_reliability: bool
    scheduler: Scheduler

    def _abandon(self, message: Message) -> None:
        """Give a message up, with all its fragments.

        Source: RFC 3758 section 3.5 A3, RFC 7496 section 3.1 and section 3.2.
        """
        if message.abandoned:
            return
        message.abandoned = True
        self._context.stats.abandoned += 1
        stream = message.stream
        if stream.current is message:
            stream.current = None
            self._begun -= len(message.data)
            if self._current is message:
                self._current = None
            self.scheduler.sent(stream, len(message.data) - message.offset)
            self.scheduler.paid(message, 0)
            # What was sent may all be acknowledged; a TSN that is never sent gives FORWARD-TSN something to pass, so
            # that the receiver forgets the first fragments.
            self._sent.append(Sent(b"", 0, message, self._context.writer.number, self._last_sent_at))
            message.last_tsn = stream.last_tsn = self.next_tsn
            self.next_tsn += 1
        base = self.cumulative_tsn + 1
        for sent in islice(self._sent, max(message.first_tsn - base, 0), message.last_tsn - base + 1):
            if sent.message is not message:  # interleaved
                continue
            if sent.state == IN_FLIGHT:
                self.flight -= sent.size
            if sent is self._timed:
                self._timed = None
            sent.state = ABANDONED
        tsn = message.last_tsn
        self._abandoned_until = max(self._abandoned_until, tsn)
        self._advance_peer_ack_point()

    def _advance_peer_ack_point(self) -> None:
        """Move Advanced.Peer.Ack.Point; the peer must be told if that gets it further.

        Source: RFC 3758 section 3.5 C1 and C2.
        """
        cumulative = self.cumulative_tsn
        point = max(self._advanced, cumulative)
        for sent in islice(self._sent, point - cumulative, None):
            if sent.state != ABANDONED:
                break
            point += 1
        if point > max(self._advanced, cumulative):
            self._forward_due = True
        self._advanced = point

    def _send_forward_tsn(self, now: float, writer: PacketWriter) -> None:
        self._forward_due = False
        if self._advanced <= self.cumulative_tsn:
            return
        self._forward_sent_at = now
        entry = 8 if self.interleaving else 4
        limit = (self._context.packet_size - HEADER_SIZE - 8) // entry
        skipped: dict[tuple[int, bool], int] = {}
        point = self.cumulative_tsn
        for sent in islice(self._sent, self._advanced - point):
            message = sent.message
            if message.ordered or self.interleaving:
                key = message.stream.id, message.ordered
                if key not in skipped and len(skipped) == limit:
                    break
                skipped[key] = message.ssn
            point += 1
        if self.interleaving:
            entries = [(stream, not ordered, mid) for (stream, ordered), mid in skipped.items()]
            writer.add(serialize_i_forward_tsn(point, entries))
        else:
            writer.add(serialize_forward_tsn(point, ((stream, ssn) for (stream, _), ssn in skipped.items())))
