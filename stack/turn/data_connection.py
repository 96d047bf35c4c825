"""A client's data connection: one ConnectionBind, then nothing but the peer's bytes (RFC 6062 sections 4.3 to 4.5)."""

from typing import Final

from ..core import LocalError, Machine, ParseError, PeerError, RandomBytes
from ..stun import RC, RTO, Class, LongTermCredential, Message, Retransmission
from . import wire
from .events import Closed, DataConnectionBound, DataConnectionEvent
from .transaction import MAX_STALE, REASONS

BIND_TIMEOUT: Final = Retransmission(0.0, RTO, RC).end
"""Seconds for the server to answer: as long as any request over a stream, RFC 8489 section 6.2.2."""
MAX_RECEIVED: Final = 1 << 20
"""Bytes of the peer that wait for `take_data`; pause reading before. A stream cannot lose any, so it ends."""
MAX_OUTGOING: Final = 1 << 20
"""Bytes between two drains; ask `buffered` before sending more."""

_DEADLINE = "deadline"


class DataConnection(Machine[bytes, bytes, DataConnectionEvent]):
    """One TCP or TLS connection to the server, bound to a connection to a peer. Get one of `Client.data_connection`.

    Bytes in and out are those of the stream, cut anywhere. Once `DataConnectionBound` has come, the caller may also
    leave the machine out, after taking `take_data` one last time.

    Args:
        connection_id: Of the peer's connection.
        credential: That of the allocation.
        random_bytes: Source of transaction ids.
    """

    def __init__(self, connection_id: int, credential: LongTermCredential, *, random_bytes: RandomBytes) -> None:
        super().__init__()
        self._connection_id = connection_id
        self._credential = credential
        self._random_bytes = random_bytes
        self._phase = "new"
        self._transaction_id = b""
        self._stale = 0
        self._protected = False
        self._deframer: _OneMessage = _OneMessage()
        self._received = bytearray()
        self._outgoing = bytearray()

    @property
    def is_bound(self) -> bool:
        """Whether bytes go to the peer now."""
        return self._phase == "bound"

    @property
    def buffered(self) -> int:
        """Bytes that wait for `datagrams_to_send`."""
        return len(self._outgoing)

    def start(self, now: float) -> None:
        """Ask the server to bind this connection, which must be open.

        Raises:
            LocalError: It was started or closed before.
        """
        now = self._clamp(now)
        if self._phase != "new":
            raise LocalError("a data connection is bound once")
        self._phase = "binding"
        self._timers.set(_DEADLINE, now + BIND_TIMEOUT)
        self._request()

    def send(self, data: bytes, now: float) -> None:
        """Send bytes to the peer.

        Raises:
            LocalError: The connection is not bound, or more than `MAX_OUTGOING` bytes would wait.
        """
        self._clamp(now)
        if self._phase != "bound":
            raise LocalError("the connection is not bound")
        if len(self._outgoing) + len(data) > MAX_OUTGOING:
            raise LocalError("too much waits to be sent")
        self._outgoing += data

    def take_data(self) -> bytes:
        """Return what the peer has sent since the last call."""
        data = bytes(self._received)
        self._received.clear()
        return data

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take the next bytes of the stream."""
        self._clamp(now)
        if self._phase == "bound":
            self._receive_data(datagram)
            return
        if self._phase != "binding":
            self.dropped["closed"] += 1
            return
        try:
            found = self._deframer.push_one(datagram)
            if found is not None:
                self._receive_response(Message.parse(found))
        except ParseError as error:
            self.dropped[error.reason] += 1
            self._end(PeerError("turn", error.reason))

    def handle_timer(self, now: float) -> None:
        """Give up."""
        if self._timers.expire(self._clamp(now)):
            self._end(PeerError("turn", "timeout"))

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return what goes on the connection."""
        self._clamp(now)
        if not self._outgoing:
            return []
        outgoing = bytes(self._outgoing)
        self._outgoing.clear()
        return [outgoing]

    def close(self, now: float) -> None:
        """End at once; the caller closes the connection, and the server that to the peer."""
        self._clamp(now)
        if self._phase != "closed":
            self._end(None)

    def _request(self) -> None:
        self._transaction_id = self._random_bytes(12)
        message = Message(wire.CONNECTION_BIND, Class.REQUEST, self._transaction_id)
        wire.set_u32(message, wire.CONNECTION_ID, self._connection_id)
        self._protected = self._credential.challenged
        self._outgoing += self._credential.serialize(message)

    def _receive_response(self, message: Message) -> None:
        if message.transaction_id != self._transaction_id or message.message_class < Class.SUCCESS:
            self.dropped["unexpected-message"] += 1
            self._end(PeerError("turn", "unexpected-message"))
            return
        code, text = (message.error_code or (0, "")) if message.message_class is Class.ERROR else (0, "")
        if code in {401, 438}:
            self._receive_challenge(message, code)
        elif self._protected and not self._credential.verify(message):
            self.dropped["bad-integrity"] += 1
            self._end(PeerError("turn", "integrity-violated"))
        elif message.message_class is Class.ERROR:
            self._end(PeerError("turn", REASONS.get(code, "error-response"), f"{code} {text}"))
        else:
            self._phase = "bound"
            self._timers.clear()
            self._events.append(DataConnectionBound())
            self._receive_data(self._deframer.rest())

    def _receive_challenge(self, message: Message, code: int) -> None:
        self._stale += code == 438
        exhausted = self._stale > MAX_STALE or (code == 401 and self._protected)
        problem = REASONS[code] if exhausted else self._credential.challenge(message)
        if problem is not None:
            self._end(PeerError("turn", problem))
        else:
            self._request()

    def _receive_data(self, data: bytes) -> None:
        if len(self._received) + len(data) > MAX_RECEIVED:
            self.dropped["receive-queue-full"] += 1
            self._end(PeerError("turn", "receive-queue-full"))
        else:
            self._received += data

    def _end(self, error: PeerError | None) -> None:
        self._phase = "closed"
        self._timers.clear()
        self._outgoing.clear()
        self._events.append(Closed(error))


class _OneMessage(wire.StreamDeframer):
    """Cuts one message out at a time: what is behind the response may be none."""

    __slots__ = ()

    def push_one(self, data: bytes) -> bytes | None:
        """Take bytes and return the first message, once it is complete.

        Raises:
            ParseError: See `stun.Deframer`.
        """
        buffer = self._buffer
        buffer += data
        sizes = self._sizes(buffer, 0)
        if sizes is None or sizes[1] > len(buffer):
            return None
        found = bytes(buffer[: sizes[0]])
        del buffer[: sizes[1]]
        return found

    def rest(self) -> bytes:
        """Return what was pushed and not returned."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest
