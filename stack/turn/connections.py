"""TCP connections to peers, the server's part: RFC 6062 section 5.

The connections themselves belong to the caller; here is who may have one, what it is called, and who it is bound to.
"""

from dataclasses import dataclass
from typing import Final

from ..core import Address, Datagram, LocalError, ParseError
from ..stun import Class, Message
from . import wire
from .allocation import Allocation, Context, Refusal, Request
from .events import PeerConnectionBound, PeerConnectionReleased, PeerConnectionRequested

MAX_CONNECTIONS: Final = 32
"""Connections to peers in one allocation, bound or not: more than a client has peers, few enough for a process."""
CONNECT_TIMEOUT: Final = 30.0
"""Seconds for the caller to connect to a peer: RFC 6062 section 5.2 wants at least these."""
BIND_TIMEOUT: Final = 30.0
"""Seconds that a peer's connection waits for the client to bind one to it: RFC 6062 sections 5.2 and 5.3."""


@dataclass(slots=True, eq=False)
class _Connection:
    """A peer's connection; `request` is the Connect request while the caller connects."""

    connection_id: int
    allocation: Allocation
    relayed: Address
    peer: Address
    request: Request | None
    bound: bool = False


class Connections:
    """The connections to peers of a server."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._connections: dict[int, _Connection] = {}

    def connect(self, request: Request, allocation: Allocation, now: float) -> None:
        """Take a Connect request: RFC 6062 section 5.2.

        Raises:
            Refusal: 400, 403, 443, 446 or 508.
        """
        found = wire.address(request.message, wire.XOR_PEER_ADDRESS)
        if found is None or allocation.transport != "tcp":
            raise Refusal(400)
        peer = Address(found.host, found.port, "tcp")
        self._context.check_host(allocation, peer.host)
        if not self._context.reaches(peer):
            raise Refusal(403)
        if any(connection.peer == peer for connection in self._of(allocation)):
            raise Refusal(446)
        relayed = allocation.relays[wire.family_of(peer.host)]
        connection = self._add(allocation, relayed, peer, request, now + CONNECT_TIMEOUT)
        if connection is None:
            raise Refusal(508)
        self._context.events.append(PeerConnectionRequested(connection.connection_id, relayed, peer))

    def _of(self, allocation: Allocation) -> list[_Connection]:
        return [found for found in self._connections.values() if found.allocation is allocation]

    def _add(
        self, allocation: Allocation, relayed: Address, peer: Address, request: Request | None, deadline: float
    ) -> _Connection | None:
        """Return a connection with an id that cannot be guessed; None if there are too many."""
        if len(self._of(allocation)) >= MAX_CONNECTIONS:
            return None
        connection_id = 0
        while connection_id == 0 or connection_id in self._connections:
            connection_id = int.from_bytes(self._context.random_bytes(4), "big")
        connection = _Connection(connection_id, allocation, relayed, peer, request)
        self._connections[connection_id] = connection
        self._context.timers.set(connection_id, deadline)
        return connection

    def connected(self, connection_id: int, now: float) -> None:
        """Take the success of a connection that was asked for.

        Raises:
            LocalError: It was not.
        """
        connection = self._requested(connection_id)
        request, connection.request = connection.request, None
        self._context.timers.set(connection_id, now + BIND_TIMEOUT)
        if request is not None:
            response = Message(wire.CONNECT, Class.SUCCESS, request.message.transaction_id)
            wire.set_u32(response, wire.CONNECTION_ID, connection_id)
            self._context.answer(request, response)

    def failed(self, connection_id: int) -> None:
        """Take the failure of a connection that was asked for.

        Raises:
            LocalError: It was not.
        """
        connection = self._requested(connection_id)
        self._forget(connection)
        if connection.request is not None:
            self._context.refuse(connection.request, 447)

    def _requested(self, connection_id: int) -> _Connection:
        connection = self._connections.get(connection_id)
        if connection is None or connection.request is None:
            raise LocalError(f"no connection {connection_id} is asked for")
        return connection

    def accepted(self, allocation: Allocation, relayed: Address, peer: Address, now: float) -> int | None:
        """Take a peer's connection to a relayed address: RFC 6062 section 5.3; None if it must be closed at once."""
        dropped = self._context.dropped
        if allocation.permissions.get(peer.host, -1.0) <= now:
            dropped["no-permission"] += 1
            return None
        peer = Address(peer.host, peer.port, "tcp")
        connection = self._add(allocation, relayed, peer, None, now + BIND_TIMEOUT)
        if connection is None:
            dropped["too-many-connections"] += 1
            return None
        indication = Message(wire.CONNECTION_ATTEMPT, Class.INDICATION, self._context.random_bytes(12))
        wire.set_u32(indication, wire.CONNECTION_ID, connection.connection_id)
        wire.set_address(indication, wire.XOR_PEER_ADDRESS, peer)
        self._context.put(Datagram(indication.serialize(), allocation.client, allocation.local))
        return connection.connection_id

    def client_of(self, message: Message) -> Address | None:
        """Return who has the control connection that a ConnectionBind request belongs to, None if it is not clear."""
        try:
            connection = self._connections.get(wire.u32(message, wire.CONNECTION_ID) or 0)
        except ParseError:
            return None
        return None if connection is None else connection.allocation.client

    def bind(self, request: Request) -> None:
        """Take a ConnectionBind request: RFC 6062 section 5.4.

        Raises:
            Refusal: 400 or 441.
        """
        datagram = request.datagram
        connection = self._connections.get(wire.u32(request.message, wire.CONNECTION_ID) or 0)
        if datagram.local.transport != "tcp" or connection is None or connection.bound or connection.request:
            raise Refusal(400)
        if connection.allocation.username != request.who.username:
            raise Refusal(441)
        connection.bound = True
        self._context.timers.cancel(connection.connection_id)
        response = Message(wire.CONNECTION_BIND, Class.SUCCESS, request.message.transaction_id)
        wire.set_u32(response, wire.CONNECTION_ID, connection.connection_id)
        self._context.answer(request, response)
        self._context.events.append(PeerConnectionBound(connection.connection_id, datagram.remote, datagram.local))

    def lost(self, connection_id: int) -> None:
        """Forget a connection that the caller has closed, or one of whose ends is gone; harmless to repeat."""
        connection = self._connections.get(connection_id)
        if connection is not None:
            self._forget(connection)
            if connection.request is not None:
                self._context.refuse(connection.request, 447)

    def expire(self, connection_id: int) -> None:
        """Give up a connection that nobody has made, or bound, in time."""
        connection = self._connections.get(connection_id)
        if connection is None:
            return
        self._release(connection)
        if connection.request is not None:
            self._context.refuse(connection.request, 447)

    def release(self, relayed: Address) -> None:
        """Give up the connections of a relayed address."""
        for connection in [found for found in self._connections.values() if found.relayed == relayed]:
            self._release(connection)

    def close(self) -> None:
        """Give up all."""
        for connection in list(self._connections.values()):
            self._release(connection)

    def _release(self, connection: _Connection) -> None:
        self._forget(connection)
        self._context.events.append(PeerConnectionReleased(connection.connection_id))

    def _forget(self, connection: _Connection) -> None:
        del self._connections[connection.connection_id]
        self._context.timers.cancel(connection.connection_id)
