"""TCP and TLS connections that carry datagrams: ICE-TCP (RFC 6544, framed by RFC 4571) and TURN over TCP and TLS.

Everything above sees `core.Datagram`s whose addresses have the transport `tcp`; which connection one belongs to is the
pair (local, remote). Sockets are raw and non-blocking as in `udp`: a wakeup reads until nothing is there and hands up
one list. TLS runs in memory between socket and frames, so that both kinds have the same limits and the same end.

Live data must not wait behind a slow connection: a full queue drops the oldest frames of it, as a router would. STUN
is kept, because over a stream nobody repeats it (RFC 8489 section 6.2.2).
"""

import asyncio
import logging
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from ..core import Address, Datagram, LocalError
from ..turn import StreamDeframer
from .stream_connection import Connection, FrameDeframer, Tls, error_slug, tls_context

logger = logging.getLogger(__name__)

TCP: Final = "tcp"
ACTIVE_PORT: Final = 9  # RFC 6544 section 4.5

MAX_LISTENERS: Final = 64
"""Listening sockets, and active bases as well: two per address that is used, with room."""

MAX_CONNECTIONS: Final = 128
"""Connections of one `StreamSockets`: what pairs of a checklist may need (RFC 8445 section 6.1.2.5 has 100)."""

MAX_CONNECTIONS_PER_LISTENER: Final = 32
"""Accepted connections of one listener: a peer opens one per address it has, and strangers may do so too."""

MAX_ACCEPTS: Final = 16
"""Connections accepted per wakeup, so that a flood of them cannot starve the loop."""

SEND_BUFFER: Final = 128 * 1024
"""Asked of the kernel, which would otherwise take megabytes: seconds of live data that nobody could drop any more."""

UNACKNOWLEDGED_TIMEOUT: Final = 30.0
"""Seconds after which the kernel gives up a peer that acknowledges nothing, as consent does (RFC 7675 section 5.1)."""

ACCEPT_PAUSE: Final = 1.0
"""Seconds without accepting when the process has no file descriptor left; else the loop would spin."""

_TCP_USER_TIMEOUT: Final = 18


class _Listener:
    """A socket that accepts connections.

    Args:
        owner: Whose it is.
        sock: Listening, non-blocking.
        address: Where.
    """

    __slots__ = ("_loop", "_owner", "_pause", "_sock", "address", "count")

    def __init__(self, owner: "StreamSockets", sock: socket.socket, address: Address) -> None:
        self._owner, self._loop, self._sock, self.address = owner, owner.loop, sock, address
        self.count = 0
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock, self._on_readable)

    def _on_readable(self) -> None:
        for _ in range(MAX_ACCEPTS):
            try:
                sock, source = self._sock.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError as error:
                self._owner.dropped[error_slug(error)] += 1
                self._loop.remove_reader(self._sock)
                self._pause = self._loop.call_later(ACCEPT_PAUSE, self._resume)
                return
            self._owner.on_accepted(self, sock, source)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._on_readable)

    def close(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()


class StreamSockets:
    """The TCP and TLS sockets below one peer connection.

    Args:
        loop: The loop that watches them.
        on_batch: Called with the datagrams of one wakeup.
        on_closed: Called with the local and the remote address of a connection that ended or failed, never from
            within a call of ours, and never for one that was closed here.
        ca_file: PEM file of the authorities to trust for TLS instead of the system's.
        verify: Whether the server of a TLS connection must show a certificate for its name. Turn it off only for tests.

    Attributes:
        dropped: Datagrams, connections and attempts lost, by reason.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_batch: Callable[[list[Datagram]], None],
        *,
        on_closed: Callable[[Address, Address], None] | None = None,
        ca_file: str | None = None,
        verify: bool = True,
    ) -> None:
        self.loop = loop
        self.dropped: Counter[str] = Counter()
        self._on_batch, self._on_closed = on_batch, on_closed
        self._ca_file, self._verify = ca_file, verify
        self._listeners: dict[Address, _Listener] = {}
        self._active: set[Address] = set()
        self._connections: dict[tuple[Address, Address], Connection] = {}
        self._closed = False

    # -- opening -----------------------------------------------------------------------------------------------

    def listen(self, host: str, port: int = 0) -> Address:
        """Accept ICE-TCP connections: a passive candidate (RFC 6544 section 3).

        Args:
            host: Local address, textual.
            port: Local port, 0 for any.

        Raises:
            OSError: It cannot be bound.
            LocalError: Closed, or too many.
        """
        self._check_open(len(self._listeners))
        sock = _socket(host, port)
        try:
            sock.listen(MAX_CONNECTIONS_PER_LISTENER)
        except OSError:
            sock.close()
            raise
        address = Address(host, sock.getsockname()[1], TCP)
        self._listeners[address] = _Listener(self, sock, address)
        return address

    def add_active(self, host: str) -> Address:
        """Return the base of an active candidate: the first datagram from it to an address opens a connection.

        Raises:
            LocalError: Closed, or too many.
        """
        self._check_open(len(self._active))
        address = Address(host, ACTIVE_PORT, TCP)
        self._active.add(address)
        return address

    def connect_turn(self, local_host: str, server: Address, tls_name: str | None = None) -> Address:
        """Begin to connect to a TURN server; datagrams may be sent at once and wait until it stands.

        Args:
            local_host: Local address, textual.
            server: The server's address.
            tls_name: The name that its certificate must have, for TLS; None for plain TCP.

        Returns:
            The local address of the connection.

        Raises:
            OSError: It cannot be bound, or the server's network cannot be reached, or `ca_file` cannot be read.
            LocalError: Closed, or too many connections.
        """
        self._check_open(0)
        if len(self._connections) >= MAX_CONNECTIONS:
            raise LocalError("too many connections")
        remote = Address(server.host, server.port, TCP)
        tls = None if tls_name is None else Tls(tls_context(self._ca_file, self._verify), tls_name)
        sock = _connecting(local_host, remote)
        local = Address(local_host, sock.getsockname()[1], TCP)
        self._add(Connection(self, sock, (local, remote), accepted=False, deframer=StreamDeframer(), tls=tls))
        return local

    def _check_open(self, count: int) -> None:
        if self._closed:
            raise LocalError("closed")
        if count >= MAX_LISTENERS:
            raise LocalError("too many local addresses")

    def _add(self, connection: Connection) -> None:
        self._connections[connection.key] = connection

    # -- data --------------------------------------------------------------------------------------------------

    @property
    def connections(self) -> list[tuple[Address, Address]]:
        """Local and remote address of each connection, those that do not stand yet included."""
        return list(self._connections)

    def knows(self, local: Address) -> bool:
        """Tell whether a local address is one of these sockets'."""
        return local in self._listeners or local in self._active or any(key[0] == local for key in self._connections)

    def send(self, datagrams: Sequence[Datagram]) -> None:
        """Send datagrams, in order per connection. Never blocks; what cannot leave is counted."""
        start, end = 0, len(datagrams)
        while start < end:
            first = datagrams[start]
            stop = start + 1
            while stop < end and datagrams[stop].remote == first.remote and datagrams[stop].local == first.local:
                stop += 1
            connection = self._connections.get((first.local, first.remote)) or self._open(first.local, first.remote)
            if connection is not None:
                connection.send(datagrams if stop - start == end else datagrams[start:stop])
            start = stop

    def _open(self, local: Address, remote: Address) -> Connection | None:
        """Open the connection of an active pair; None, and counted, if that is not possible."""
        if local not in self._active:
            self.dropped["no-connection"] += 1
            return None
        if len(self._connections) >= MAX_CONNECTIONS:
            self.dropped["too-many-connections"] += 1
            return None
        try:
            sock = _connecting(local.host, remote)
        except OSError as error:
            self.dropped[error_slug(error)] += 1
            self._report_closed((local, remote))
            return None
        connection = Connection(self, sock, (local, remote), accepted=False, deframer=FrameDeframer())
        self._add(connection)
        return connection

    def deliver(self, batch: list[Datagram]) -> None:
        """Hand up what a connection has read."""
        self._on_batch(batch)

    def on_accepted(self, listener: _Listener, sock: socket.socket, source: Any) -> None:
        """Take a connection that a listener has accepted, or refuse it."""
        key = (listener.address, Address(source[0].partition("%")[0], source[1], TCP))
        if len(self._connections) >= MAX_CONNECTIONS or listener.count >= MAX_CONNECTIONS_PER_LISTENER:
            self.dropped["too-many-connections"] += 1
            sock.close()
            return
        try:
            sock.setblocking(False)
            _tune(sock)
        except OSError as error:  # it has been reset already
            self.dropped[error_slug(error)] += 1
            sock.close()
            return
        listener.count += 1
        self._add(Connection(self, sock, key, accepted=True, deframer=FrameDeframer()))

    # -- closing -----------------------------------------------------------------------------------------------

    def on_connection_failed(self, connection: Connection, reason: str) -> None:
        """Forget a connection that has ended by itself."""
        self.dropped[reason] += 1
        logger.debug("connection %s - %s: %s", *connection.key, reason)
        self._forget(connection)
        self._report_closed(connection.key)

    def _forget(self, connection: Connection) -> None:
        if self._connections.pop(connection.key, None) is not None and connection.key[0] in self._listeners:
            self._listeners[connection.key[0]].count -= 1

    def _report_closed(self, key: tuple[Address, Address]) -> None:
        if not self._closed:
            self.loop.call_soon(self._call_closed, *key)

    def _call_closed(self, local: Address, remote: Address) -> None:
        if self._on_closed is not None and not self._closed:
            self._on_closed(local, remote)

    def disconnect(self, local: Address, remote: Address) -> None:
        """Close one connection, if there is one."""
        connection = self._connections.get((local, remote))
        if connection is not None:
            connection.close()
            self._forget(connection)

    def remove(self, local: Address) -> None:
        """Close the listener, the active base or the TURN connection at a local address, and its connections."""
        listener = self._listeners.pop(local, None)
        if listener is not None:
            listener.close()
        self._active.discard(local)
        for key in [key for key in self._connections if key[0] == local]:
            self.disconnect(*key)

    def close(self) -> None:
        """Close everything; idempotent."""
        self._closed = True
        for listener in self._listeners.values():
            listener.close()
        for connection in self._connections.values():
            connection.close()
        self._listeners.clear()
        self._active.clear()
        self._connections.clear()


def _socket(host: str, port: int) -> socket.socket:
    """Return a bound, non-blocking socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if os.name == "posix" and port:  # a port of ours whose old connections linger; elsewhere it means another thing
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def _connecting(local_host: str, remote: Address) -> socket.socket:
    """Return a socket that has begun to connect."""
    sock = _socket(local_host, 0)
    try:
        _tune(sock)
        with suppress(BlockingIOError):  # it has begun
            sock.connect(remote[:2])
    except OSError:
        sock.close()
        raise
    return sock


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, int(UNACKNOWLEDGED_TIMEOUT))
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, int(UNACKNOWLEDGED_TIMEOUT * 1000))
