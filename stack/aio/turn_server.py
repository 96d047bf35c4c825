"""A TURN server on asyncio: UDP, TCP and TLS listeners, relay sockets, one machine, one timer, one flush per batch."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import ifaddr

from ..core import Address, Datagram, LocalError
from ..turn import (
    PeerConnectionBound,
    PeerConnectionReleased,
    PeerConnectionRequested,
    RelayReleased,
    RelayRequested,
    Server,
    ServerConfiguration,
    ServerEvent,
)
from .machine_timer import MachineTimer
from .turn_streams import ClientStream, PeerStream, address_of, relay_socket
from .udp import UdpSocket

logger = logging.getLogger(__name__)

MAX_STREAMS: Final = 1024
"""TCP and TLS connections of clients at a time, whatever state they are in."""
MAX_STREAMS_PER_HOST: Final = 128
"""Of these from one address: several users behind one NAT."""
IDLE_TIME: Final = 30.0
"""Seconds after which a connection without an allocation is closed, if nothing came."""
SWEEP_INTERVAL: Final = 5.0
"""Seconds between two looks for idle connections."""
CONNECT_TIME: Final = 30.0
"""Seconds to connect to a peer: RFC 6062 section 5.2."""
CLOSE_TIME: Final = 1.0
"""Seconds that `close` gives connections to write what they have."""
MAX_ACCEPTS: Final = 16
"""Connections taken from one relayed address in one turn of the loop."""
MAX_ROUNDS: Final = 8
"""Times in one flush that answers to events may cause events; the rest comes with the next turn of the loop."""

Transport = Literal["udp", "tcp", "tls"]


@dataclass(frozen=True, slots=True)
class Listener:
    """Where clients reach the server.

    Args:
        transport: How.
        host: An IP address; `0.0.0.0` and `::` are all of this machine that it has now.
        port: 0 for any.
    """

    transport: Transport
    host: str
    port: int = 3478

    def __str__(self) -> str:
        return (
            f"{self.transport}://[{self.host}]:{self.port}"
            if ":" in self.host
            else (f"{self.transport}://{self.host}:{self.port}")
        )


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """How a `TurnServer` is set up.

    Args:
        configuration: What it does for whom. The addresses of this machine are added to its `own_hosts`.
        listeners: Where clients reach it.
        tls: Certificate and key, where a listener is `tls`.
        bind_hosts: What to bind for an address in `relay_hosts` that a NAT in front of this machine has, by that.
    """

    configuration: ServerConfiguration
    listeners: Sequence[Listener]
    tls: ssl.SSLContext | None = None
    bind_hosts: Mapping[str, str] = field(default_factory=dict)


class ListenError(OSError):
    """A listener cannot be opened.

    Attributes:
        listener: Which.
    """

    def __init__(self, listener: Listener, error: OSError) -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.listener = listener


class TurnServer:
    """A TURN server on sockets.

    Args:
        settings: How it is set up.
        report: Called with each event of the machine.

    Attributes:
        addresses: Where it listens, once started.
    """

    def __init__(self, settings: TurnSettings, report: Callable[[ServerEvent], None] | None = None) -> None:
        if not settings.listeners:
            raise LocalError("a TURN server needs a listener")
        if settings.tls is None and any(listener.transport == "tls" for listener in settings.listeners):
            raise LocalError("a TLS listener needs a certificate")
        self._settings = settings
        self._report = report
        given = settings.configuration
        own = dict.fromkeys((*given.own_hosts, *machine_hosts(), *settings.bind_hosts.values()))
        self._server = Server(
            replace(given, own_hosts=tuple(own)), random_bytes=os.urandom, epoch=time.time() - time.monotonic()
        )
        self.addresses: list[Listener] = []
        self._udp: dict[Address, UdpSocket] = {}
        self._acceptors: dict[Address, socket.socket] = {}
        self._listeners: list[asyncio.Server] = []
        self._streams: dict[tuple[Address, Address], ClientStream] = {}
        self._hosts: Counter[str] = Counter()
        self._peers: dict[int, PeerStream] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self._dropped: Counter[str] = Counter()
        self._timer = MachineTimer(self._server.next_timer, self.now, self._on_due)
        self._sweeper: asyncio.TimerHandle | None = None
        self._gone = asyncio.Event()
        self._flushing = self._again = self._closed = False

    now = staticmethod(time.monotonic)

    @property
    def allocations(self) -> int:
        """How many allocations there are."""
        return self._server.allocations

    @property
    def connections(self) -> int:
        """How many TCP and TLS connections clients have."""
        return len(self._streams)

    @property
    def dropped(self) -> Counter[str]:
        """What was dropped, by reason: of the machine, of sockets as `udp-reason`, of connections."""
        total = self._server.dropped + self._dropped
        for sock in self._udp.values():
            total.update({f"udp-{reason}": number for reason, number in sock.dropped.items()})
        return total

    # -- listening ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open all listeners.

        Raises:
            ListenError: One of them cannot be opened; then none is open.
        """
        for listener in self._settings.listeners:
            try:
                if listener.transport == "udp":
                    self._listen_udp(listener)
                else:
                    await self._listen_streams(listener)
            except OSError as error:
                await self.close()
                raise ListenError(listener, error) from error

    def _listen_udp(self, listener: Listener) -> None:
        # A socket for each address, so that answers leave from where they were asked.
        wildcard = listener.host in {"0.0.0.0", "::"}  # noqa: S104  compared, not bound
        family = 6 if ":" in listener.host else 4
        hosts = machine_hosts(family) if wildcard else [listener.host]
        port = listener.port
        for host in hosts:
            sock = UdpSocket(host, asyncio.get_running_loop(), self._on_batch, port)
            port = sock.address.port
            self._udp[sock.address] = sock
            self.addresses.append(Listener("udp", host, port))

    async def _listen_streams(self, listener: Listener) -> None:
        tls = self._settings.tls if listener.transport == "tls" else None
        server = await asyncio.get_running_loop().create_server(
            lambda: ClientStream(self, tls), listener.host, listener.port, start_serving=True
        )
        self._listeners.append(server)
        for bound in server.sockets:
            host, port = bound.getsockname()[:2]
            self.addresses.append(Listener(listener.transport, host, port))

    # -- the pump ----------------------------------------------------------------------------------------------

    def _on_batch(self, batch: list[Datagram]) -> None:
        self._server.receive_batch(batch, self.now())
        self._flush()

    def _on_due(self, now: float) -> None:
        self._server.handle_timer(now)
        self._flush()

    def _flush(self) -> None:
        """Send what is due, do what the machine wants, arm the timer."""
        if self._flushing or self._closed:
            return
        self._flushing, self._again = True, False
        try:
            for _ in range(MAX_ROUNDS):
                datagrams = self._server.datagrams_to_send(self.now())
                if datagrams:
                    self._transmit(datagrams)  # before events: a response goes out before its connection is spliced
                if not self._dispatch() and not datagrams:
                    break
            else:
                self._again = True
        finally:
            self._flushing = False
        if self._again:
            asyncio.get_running_loop().call_soon(self._flush)
        self._timer.arm()

    def _transmit(self, datagrams: list[Datagram]) -> None:
        start, end = 0, len(datagrams)
        while start < end:
            first = datagrams[start]
            local, remote = first.local, first.remote
            stop = start + 1
            if local.transport == "udp":
                while stop < end and (datagrams[stop].local is local or datagrams[stop].local == local):
                    stop += 1
                sock = self._udp.get(local)
                if sock is not None:
                    sock.send(datagrams if stop - start == end else datagrams[start:stop])
            else:
                while stop < end and datagrams[stop].remote == remote and datagrams[stop].local == local:
                    stop += 1
                stream = self._streams.get((remote, local))
                if stream is not None:
                    stream.send([datagram.data for datagram in datagrams[start:stop]])
            start = stop

    def _dispatch(self) -> bool:
        busy = False
        while (event := self._server.next_event()) is not None:
            busy = True
            match event:
                case RelayRequested(relayed):
                    self._open(relayed)
                case RelayReleased(relayed):
                    self._release(relayed)
                case PeerConnectionRequested(connection_id, relayed, peer):
                    self.spawn(asyncio.ensure_future(self._connect(connection_id, relayed, peer)))
                case PeerConnectionBound(connection_id, client, local):
                    self._splice(connection_id, client, local)
                case PeerConnectionReleased(connection_id):
                    self._close_peer(connection_id)
            if self._report is not None:
                self._report(event)
        return busy

    # -- relayed addresses -------------------------------------------------------------------------------------

    def _bound(self, relayed: Address) -> Address:
        return relayed._replace(host=self._settings.bind_hosts.get(relayed.host, relayed.host))

    def _open(self, relayed: Address) -> None:
        host, port, transport = self._bound(relayed)
        loop = asyncio.get_running_loop()
        try:
            if transport == "udp":
                sock = UdpSocket(host, loop, self._on_batch, port)
                sock.address = relayed  # what comes in is to the address that peers know
                self._udp[relayed] = sock
            else:
                acceptor = relay_socket(host, port, listening=True)
                self._acceptors[relayed] = acceptor
                loop.add_reader(acceptor, self._accept, relayed, acceptor)
        except OSError as error:
            logger.info("no relay at %s: %s", relayed, error)
            self._answer_relay(self._server.relay_failed, relayed)
        else:
            self._answer_relay(self._server.relay_opened, relayed)

    def _answer_relay(self, answer: Callable[[Address, float], None], relayed: Address) -> None:
        try:
            answer(relayed, self.now())
        except LocalError:  # it took too long; what was opened is released by an event
            logger.info("nobody waits for a relay at %s any more", relayed)

    def _release(self, relayed: Address) -> None:
        sock = self._udp.pop(relayed, None)
        if sock is not None:
            self._dropped.update({f"udp-{reason}": number for reason, number in sock.dropped.items()})
            sock.close()
        acceptor = self._acceptors.pop(relayed, None)
        if acceptor is not None:
            asyncio.get_running_loop().remove_reader(acceptor)
            acceptor.close()

    # -- clients' connections ----------------------------------------------------------------------------------

    def on_stream_opened(self, stream: ClientStream) -> bool:
        """Take note of a connection; return whether it may stay."""
        host = stream.remote.host
        if self._closed or len(self._streams) >= MAX_STREAMS or self._hosts[host] >= MAX_STREAMS_PER_HOST:
            self.count("too-many-connections")
            return False
        self._hosts[host] += 1
        self._streams[stream.remote, stream.local] = stream
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_INTERVAL, self._sweep)
        return True

    def on_stream_messages(self, batch: list[Datagram]) -> None:
        """Take what a client has sent."""
        self._on_batch(batch)

    def on_stream_closed(self, stream: ClientStream) -> None:
        """Take note of the end of a connection, and end what depends on it."""
        path = (stream.remote, stream.local)
        if self._streams.get(path) is not stream:
            return
        del self._streams[path]
        self._hosts[stream.remote.host] -= 1
        if not self._hosts[stream.remote.host]:
            del self._hosts[stream.remote.host]
        self._gone.set()
        if isinstance(stream.partner, PeerStream):
            stream.partner.close()
        self._server.connection_lost(*path, self.now())
        self._flush()

    def _sweep(self) -> None:
        """Close connections that do nothing."""
        self._sweeper = None
        since = asyncio.get_running_loop().time() - IDLE_TIME
        for path, stream in list(self._streams.items()):
            if stream.partner is None and stream.last_heard < since and not self._server.has_allocation(*path):
                self.count("idle-connection")
                stream.abort()
        if self._streams and not self._closed:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_INTERVAL, self._sweep)

    # -- peers' connections ------------------------------------------------------------------------------------

    async def _connect(self, connection_id: int, relayed: Address, peer: Address) -> None:
        loop = asyncio.get_running_loop()
        stream = PeerStream(self, connection_id)
        target = self._bound(peer) if peer in self._acceptors else peer
        try:
            bound = self._bound(relayed)
            sock = relay_socket(bound.host, bound.port, listening=False)
            try:
                async with asyncio.timeout(CONNECT_TIME):
                    await loop.sock_connect(sock, target[:2])
                await loop.create_connection(lambda: stream, sock=sock)
            except BaseException:
                sock.close()
                raise
        except (OSError, TimeoutError) as error:
            logger.info("no connection from %s to %s: %s", relayed, peer, error)
            with contextlib.suppress(LocalError):  # the allocation may be gone
                self._server.peer_failed(connection_id, self.now())
        else:
            self._peers[connection_id] = stream
            try:
                self._server.peer_connected(connection_id, self.now())
            except LocalError:
                stream.abort()
        self._flush()

    def _accept(self, relayed: Address, acceptor: socket.socket) -> None:
        for _ in range(MAX_ACCEPTS):
            try:
                sock, name = acceptor.accept()
            except OSError:  # nobody waits any more, or there are no more files
                break
            sock.setblocking(False)
            self.spawn(asyncio.ensure_future(self._welcome(relayed, address_of(name), sock)))

    async def _welcome(self, relayed: Address, peer: Address, sock: socket.socket) -> None:
        stream = PeerStream(self, 0)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, sock)
        connection_id = self._server.peer_accepted(relayed, peer, self.now())
        if connection_id is None:
            stream.abort()
        else:
            stream.connection_id = connection_id
            self._peers[connection_id] = stream
        self._flush()

    def _splice(self, connection_id: int, client: Address, local: Address) -> None:
        stream, peer = self._streams.get((client, local)), self._peers.get(connection_id)
        if stream is None or peer is None:
            self._close_peer(connection_id)
            self._server.peer_lost(connection_id, self.now())
            return
        stream.splice(peer)
        peer.splice(stream)

    def on_peer_closed(self, stream: PeerStream) -> None:
        """Take note of the end of a peer's connection, and end the client's that is bound to it."""
        self._peers.pop(stream.connection_id, None)
        self._gone.set()
        if stream.partner is not None:
            stream.partner.close()
        self._server.peer_lost(stream.connection_id, self.now())
        self._flush()

    def _close_peer(self, connection_id: int) -> None:
        peer = self._peers.pop(connection_id, None)
        if peer is not None:
            peer.close()

    # -- the rest ----------------------------------------------------------------------------------------------

    def count(self, reason: str, number: int = 1) -> None:
        """Count what is dropped."""
        self._dropped[reason] += number

    def spawn(self, coroutine: "asyncio.Future[None]") -> None:
        """Keep a task until it ends."""
        self._tasks.add(coroutine)
        coroutine.add_done_callback(self._on_task_done)

    def _on_task_done(self, task: "asyncio.Future[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a connection failed", exc_info=error)

    async def close(self) -> None:
        """End all allocations and connections; takes `CLOSE_TIME` at most. Idempotent."""
        if self._closed:
            return
        for server in self._listeners:
            server.close()
        self._server.close(self.now())
        self._dispatch()
        self._closed = True
        self._timer.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for sock in self._udp.values():
            sock.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        connections = [*self._streams.values(), *self._peers.values()]
        for connection in connections:
            connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIME):
                while self._streams or self._peers:
                    self._gone.clear()
                    await self._gone.wait()
        for connection in connections:
            connection.abort()
        await asyncio.sleep(0)


def machine_hosts(family: int | None = None) -> list[str]:
    """Return the addresses that this machine has now, loopback included.

    Args:
        family: 4 or 6, None for both.
    """
    found = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            address = ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
            if family in {None, address.version} and not address.is_link_local:
                found.append(str(address))
    return list(dict.fromkeys(found))
