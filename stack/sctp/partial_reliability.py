"""Giving messages up: RFC 3758 and the policies of RFC 7496."""

from collections import deque
from itertools import islice

from .context import Context
from .sent import ABANDONED, IN_FLIGHT, Sent
from .streams import Message, Scheduler
from .wire import HEADER_SIZE, PacketWriter, serialize_forward_tsn


class PartialReliability:
    """The part of `Outbound` that gives messages up and tells the peer."""

    __slots__ = (
        "_abandoned_until",
        "_advanced",
        "_context",
        "_current",
        "_forward_due",
        "_forward_sent_at",
        "_last_sent_at",
        "_sent",
        "_timed",
        "cumulative_tsn",
        "flight",
        "next_tsn",
        "partial_reliability",
        "scheduler",
    )

    _abandoned_until: int
    _advanced: int
    _context: Context
    _current: Message | None
    _forward_due: bool
    _forward_sent_at: float
    _last_sent_at: float
    _sent: deque[Sent]
    _timed: Sent | None
    cumulative_tsn: int
    flight: int
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
        if message is self._current:
            self._current = None
            self.scheduler.sent(stream, len(message.data) - message.offset)
            if not message.offset:  # chosen, but no fragment went: its sequence number is free again
                if message.ordered:
                    stream.next_ssn = message.ssn
                return
            # What was sent may all be acknowledged; a TSN that is never sent gives FORWARD-TSN something to pass, so
            # that the receiver forgets the first fragments.
            self._sent.append(Sent(b"", 0, message, self._context.writer.number, self._last_sent_at))
            stream.last_tsn = self.next_tsn
            self.next_tsn += 1
        first = max(message.first_tsn - self.cumulative_tsn - 1, 0)
        tsn = self.cumulative_tsn + first
        for sent in islice(self._sent, first, None):
            if sent.message is not message:
                break
            tsn += 1
            if sent.state == IN_FLIGHT:
                self.flight -= sent.size
            if sent is self._timed:
                self._timed = None
            sent.state = ABANDONED
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
        limit = (self._context.config.max_packet_size - HEADER_SIZE - 8) // 4
        skipped: dict[int, int] = {}
        point = self.cumulative_tsn
        for sent in islice(self._sent, self._advanced - point):
            message = sent.message
            if message.ordered:
                if message.stream.id not in skipped and len(skipped) == limit:
                    break
                skipped[message.stream.id] = message.ssn
            point += 1
        writer.add(serialize_forward_tsn(point, skipped.items()))
