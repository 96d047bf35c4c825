"""Probing an idle path (RFC 9260 section 8.3)."""

import struct
from typing import Final

from ..core import ParseError
from .context import HEARTBEAT_TIMER, Context, State
from .outbound import Outbound
from .wire import HEARTBEAT, serialize_chunk

_INFO: Final = struct.Struct("!HHdQ")  # heartbeat info parameter: when it was sent, and a nonce
_INFO_TYPE: Final = 1  # RFC 9260 section 3.3.5


class Heartbeat:
    """One HEARTBEAT at a time, when nothing was acknowledged for an interval.

    Args:
        context: Shared with the other parts.
        outbound: The sending half; it learns the round trip time.
    """

    __slots__ = ("_context", "_outbound", "_pending")

    def __init__(self, context: Context, outbound: Outbound) -> None:
        self._context = context
        self._outbound = outbound
        self._pending = b""  # value of the HEARTBEAT that has not been answered

    def start(self, now: float) -> None:
        """Start the timer."""
        self._context.timers.set(HEARTBEAT_TIMER, now + self._context.config.heartbeat_interval)

    def handle_timer(self, now: float) -> bool:
        """Probe if the path was idle; return whether the last probe was not answered."""
        context = self._context
        if context.state is not State.ESTABLISHED:
            return False
        self.start(now)
        if now - self._outbound.last_acknowledged < context.config.heartbeat_interval:
            self._pending = b""
            return False
        unanswered = bool(self._pending)
        nonce = int.from_bytes(context.random_bytes(8), "big")
        self._pending = _INFO.pack(_INFO_TYPE, _INFO.size, now, nonce)
        context.queue(serialize_chunk(HEARTBEAT, 0, self._pending))
        return unanswered

    def receive_ack(self, value: bytes, now: float) -> None:
        """Take the value of a HEARTBEAT ACK.

        Raises:
            ParseError: `unexpected-chunk` unless it echoes the last HEARTBEAT.
        """
        if not self._pending or value != self._pending:
            raise ParseError("unexpected-chunk", "HEARTBEAT ACK")
        self._pending = b""
        self._outbound.rto.update(now - _INFO.unpack(value)[2])
