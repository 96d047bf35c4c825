"""The orderly end of an association (RFC 9260 section 9.2)."""

import struct
from typing import Final

from ..core import ParseError
from .context import CLOSE_TIMER, T2, Context, State
from .inbound import Inbound
from .outbound import Outbound
from .wire import SHUTDOWN, SHUTDOWN_ACK, serialize_chunk

_SACK_TAIL: Final = struct.Struct("!LHH")


class Shutdown:
    """SHUTDOWN and SHUTDOWN ACK, ours and the peer's.

    Args:
        context: Shared with the other parts.
        outbound: The sending half: the shutdown waits until it is drained.

    Attributes:
        due: Whether the next drain sends the chunk of the state.
    """

    __slots__ = ("_context", "_outbound", "due")

    def __init__(self, context: Context, outbound: Outbound) -> None:
        self._context = context
        self._outbound = outbound
        self.due = False

    def begin(self, now: float) -> None:
        """Begin to close; a deadline bounds how long that takes."""
        context = self._context
        context.timers.set_default(CLOSE_TIMER, now + context.config.close_deadline)
        if context.state is State.ESTABLISHED:
            context.enter(State.SHUTDOWN_PENDING)

    def forget(self) -> None:
        """The peer has restarted: what it asked for and what we were doing is over; our own wish begins anew.

        Source: RFC 9260 section 5.2.4, action A.
        """
        self.due = False
        self._context.timers.cancel(T2)

    def receive(self, data: bytes, offset: int, end: int, now: float) -> None:
        """Process the value of a SHUTDOWN chunk.

        Raises:
            ParseError: `truncated`, or what `Outbound.receive_sack` raises.
        """
        if end - offset < 4:
            raise ParseError("truncated", "SHUTDOWN")
        context = self._context
        context.timers.set_default(CLOSE_TIMER, now + context.config.close_deadline)
        if context.state in {State.ESTABLISHED, State.SHUTDOWN_PENDING}:
            context.enter(State.SHUTDOWN_RECEIVED)
        elif context.state is State.SHUTDOWN_SENT:
            context.enter(State.SHUTDOWN_ACK_SENT)
            self.due = True
        elif context.state is State.SHUTDOWN_ACK_SENT:
            self.due = True
        # It carries a cumulative TSN ack: like a SACK without blocks, the window as it was.
        sack = data[offset : offset + 4] + _SACK_TAIL.pack(self._outbound.peer_rwnd, 0, 0)
        self._outbound.receive_sack(sack, 0, len(sack), now)

    def transmit(self, inbound: Inbound, now: float) -> None:
        """Take the next step if nothing is outstanding, and send its chunk, again if T2 said so."""
        context = self._context
        if self._outbound.drained:
            if context.state is State.SHUTDOWN_PENDING:
                context.enter(State.SHUTDOWN_SENT)
                self.due = True
            elif context.state is State.SHUTDOWN_RECEIVED:
                context.enter(State.SHUTDOWN_ACK_SENT)
                self.due = True
        if not self.due:
            return
        self.due = False
        if context.state is State.SHUTDOWN_SENT:
            value = (inbound.cumulative_tsn & 0xFFFFFFFF).to_bytes(4, "big")
            context.writer.add(serialize_chunk(SHUTDOWN, 0, value))
        else:
            context.writer.add(serialize_chunk(SHUTDOWN_ACK, 0))
        context.timers.set(T2, now + self._outbound.rto.rto)

    def handle_t2(self) -> None:
        """T2-shutdown expired: send again."""
        self._outbound.rto.back_off()
        self.due = True
