"""How large a packet the path carries: probes that cost nothing when they are lost (RFC 8899, RFC 4820)."""

import struct
from typing import Final

from .context import MTU_TIMER, Context, State
from .outbound import Outbound
from .wire import HEADER_SIZE, HEARTBEAT, PAD, serialize_chunk

MAX_PROBES: Final = 3  # RFC 8899 section 5.1.2: so many of one size may be lost before it counts as too large
RAISE_SECONDS: Final = 600.0  # PMTU_RAISE_TIMER (RFC 8899 section 5.1.1): when a search begins again
RETRY_SECONDS: Final = 60.0  # the same after a black hole: the path has changed, and may again
SEARCH_STEP: Final = 32  # bytes: a search ends when it knows the size to within this, 3 % of a small packet
MINIMUM_TIMEOUT: Final = 0.1  # seconds to wait for an answer at least: a receiver in Python may be busy

_INFO: Final = struct.Struct("!HHLQ")  # heartbeat info parameter: the size, and a nonce
_INFO_TYPE: Final = 1  # RFC 9260 section 3.3.5


class PathMtu:
    """Datagram packetization layer path MTU discovery: the search, and the way back when large packets vanish.

    A probe is a HEARTBEAT and a PAD chunk that fills the packet; who answers the one has received the other. The
    largest size is tried first, since most paths carry it; then the search halves what is left.

    Args:
        context: Shared with the other parts; its `packet_size` is what this moves.
        outbound: The sending half.

    Source: RFC 8899 section 5 and section 6.2.
    """

    __slots__ = ("_base", "_context", "_count", "_due", "_outbound", "_pending", "_size", "_too_large", "searching")

    def __init__(self, context: Context, outbound: Outbound) -> None:
        self._context = context
        self._outbound = outbound
        self._base = context.config.max_packet_size
        self.searching = False
        self._size = 0  # of the probe under way, 0 for none
        self._too_large = 0
        self._count = 0
        self._due = False
        self._pending = b""  # the HEARTBEAT that is not answered
        self.restart()

    def restart(self) -> None:
        """Know nothing of the path: packets have the size to begin with, and a search begins with the first data."""
        limit = self._context.config.path_mtu_limit
        self._context.timers.cancel(MTU_TIMER)
        self._pending = b""
        self._due = False
        self._size = self._count = 0
        self._too_large = limit + 4 if limit is not None else 0
        self.searching = limit is not None and limit > self._base
        self._use(self._base)

    def _use(self, size: int) -> None:
        context = self._context
        if size != context.packet_size:
            context.packet_size = size
            context.writer.set_limit(size)
            self._outbound.set_packet_size()

    def transmit(self, now: float) -> None:
        """Send the probe that is due, in a packet of its own; fall back if large packets have vanished."""
        context, outbound = self._context, self._outbound
        if outbound.vanished and context.packet_size > self._base:
            self.restart()
            self.searching = False
            context.timers.set(MTU_TIMER, now + RETRY_SECONDS)
        outbound.vanished = False
        if context.state is not State.ESTABLISHED or outbound.rto.srtt is None or not self.searching:
            return
        if not self._size:
            self._next_size(now)
        if self._due:
            self._due = False
            self._count += 1
            nonce = int.from_bytes(context.random_bytes(8), "big")
            self._pending = _INFO.pack(_INFO_TYPE, _INFO.size, self._size, nonce)
            probe = serialize_chunk(HEARTBEAT, 0, self._pending)
            probe += serialize_chunk(PAD, 0, bytes(self._size - HEADER_SIZE - len(probe) - 4))
            context.writer.flush()
            context.writer.add(probe)
            context.timers.set(MTU_TIMER, now + max(outbound.rto.rto, MINIMUM_TIMEOUT))

    def _next_size(self, now: float) -> None:
        """Choose what to probe next, or end the search."""
        confirmed, limit = self._context.packet_size, self._too_large - 4
        first = limit == self._context.config.path_mtu_limit
        size = limit if first else (confirmed + self._too_large) // 2 & ~3
        if size <= confirmed or self._too_large - confirmed < SEARCH_STEP:
            self.searching = False
            self._context.timers.set(MTU_TIMER, now + RAISE_SECONDS)
            return
        self._size, self._count, self._due = size, 0, True

    def receive_ack(self, value: bytes) -> bool:
        """Take the value of a HEARTBEAT ACK; return whether it answers a probe."""
        if not self._pending or value != self._pending:
            return False
        self._pending = b""
        self._context.timers.cancel(MTU_TIMER)
        self._use(self._size)
        self._size = 0
        return True

    def handle_timer(self) -> None:
        """A probe was not answered, or it is time for another search."""
        limit = self._context.config.path_mtu_limit
        if not self.searching:
            if limit is not None:
                self.searching = True
                self._too_large = limit + 4
        elif self._count < MAX_PROBES:
            self._due = True
        else:
            self._pending = b""
            self._too_large = self._size
            self._size = 0
