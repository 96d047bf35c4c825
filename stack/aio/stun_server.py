"""A STUN server on asyncio: UDP on up to four address and port combinations, TCP beside it, and TLS."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from ..core import Address, Datagram, ParseError
from ..stun import RATE, BindingServer, Deframer
from .udp import UdpSocket

MAX_STREAMS: Final = 1024
"""TCP and TLS connections at a time."""
MAX_STREAMS_PER_HOST: Final = 64
"""Of these from one address: people behind one NAT, with a few each."""
MAX_WRITE_BUFFER: Final = 64 * 1024
"""Bytes of responses that wait for a client; one that asks and does not read is cut off beyond that."""
IDLE_TIME: Final = 120.0
"""Seconds of silence after which a connection is closed: RFC 8489 section 6.2.2 leaves closing to the client."""
HANDSHAKE_TIME: Final = 10.0
"""Seconds for the TLS handshake."""
PORT_TRIES: Final = 20
"""Attempts at finding a port that is free on all addresses, when any will do."""


class StunServer:
    """Sockets around a `stun.BindingServer`.

    Args:
        primary: Where people ask first; port 0 takes any that is free on both hosts, and so below.
        alternate: The other address and the other port for RFC 5780, None without.
        tcp: Whether to listen on TCP too, at the same addresses and ports.
        tls: Certificate and key, to listen with TLS on the primary host, None without.
        tls_port: Where.
        software: Value of SOFTWARE, none if empty.
        rate: Responses per second for one source in the long run; twice as many at once.
        public_hosts: See `stun.BindingServer`.

    Attributes:
        answered: Responses sent.
    """

    def __init__(
        self,
        primary: Address,
        alternate: Address | None = None,
        *,
        tcp: bool = True,
        tls: ssl.SSLContext | None = None,
        tls_port: int = 5349,
        software: str = "",
        rate: float = RATE,
        public_hosts: Mapping[str, str] | None = None,
    ) -> None:
        self._primary = primary
        self._alternate = alternate
        self._tcp = tcp
        self._tls = tls
        self._tls_port = tls_port
        self._software = software
        self._rate = rate
        self._public_hosts = public_hosts
        self._dropped: Counter[str] = Counter()
        self.answered = 0
        self._machine: BindingServer | None = None
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[Address, UdpSocket] = {}
        self._listeners: list[asyncio.Server] = []
        self._streams: dict[tuple[Address, Address], _Stream] = {}
        self._per_host: Counter[str] = Counter()
        self._sweeper: asyncio.TimerHandle | None = None
        self._tls_address: Address | None = None

    @property
    def addresses(self) -> list[Address]:
        """Where it listens on UDP, the primary address first; TCP is at the same ones."""
        return list(self._sockets)

    @property
    def tls_address(self) -> Address | None:
        """Where it listens with TLS, or None."""
        return self._tls_address

    async def start(self) -> None:
        """Open the sockets.

        Raises:
            OSError: One cannot be had; then none is open.
            LocalError: The addresses do not fit each other.
        """
        # Checked before any socket is there: with ports that differ, for 0 stands for two different ones.
        primary, alternate = self._primary, self._alternate
        checked = alternate if alternate is None or alternate.port else alternate._replace(port=primary.port ^ 1)
        BindingServer(primary, checked)
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise
        self._sweep()

    async def close(self) -> None:
        """Close everything; idempotent."""
        if self._machine is not None:
            self._machine.close(self._loop.time())
        if self._sweeper is not None:
            self._sweeper.cancel()
        for udp in self._sockets.values():
            udp.close()
        for listener in self._listeners:
            listener.close()
        for stream in list(self._streams.values()):
            stream.close()
        await asyncio.gather(*(listener.wait_closed() for listener in self._listeners))
        self._listeners.clear()

    # -- opening -------------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        primary, alternate = self._primary, self._alternate
        hosts = [primary.host] if alternate is None else [primary.host, alternate.host]
        first = await self._open_port(hosts, primary.port)
        if alternate is not None:
            alternate = alternate._replace(port=await self._open_port(hosts, alternate.port))
        self._machine = BindingServer(
            primary._replace(port=first),
            alternate,
            software=self._software,
            public_hosts=self._public_hosts,
            rate=self._rate,
            burst=max(1.0, 2 * self._rate),
        )
        if self._tls is not None:
            listener = await self._loop.create_server(
                self._stream,
                primary.host,
                self._tls_port,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_TIME,
            )
            self._listeners.append(listener)
            self._tls_address = Address(primary.host, listener.sockets[0].getsockname()[1], "tcp")

    async def _open_port(self, hosts: list[str], port: int) -> int:
        """Open one port on all hosts, with UDP and TCP, and return its number."""
        for attempt in range(PORT_TRIES):
            sockets: list[UdpSocket] = []
            listeners: list[asyncio.Server] = []
            chosen = port
            try:
                for host in hosts:
                    udp = UdpSocket(host, self._loop, self._on_batch, chosen)
                    sockets.append(udp)
                    chosen = udp.address.port
                    if self._tcp:
                        listeners.append(await self._loop.create_server(self._stream, host, chosen))
            except OSError:
                for udp in sockets:
                    udp.close()
                for listener in listeners:
                    listener.close()
                if port or attempt == PORT_TRIES - 1:
                    raise
                continue
            self._sockets.update({udp.address: udp for udp in sockets})
            self._listeners += listeners
            return chosen
        raise OSError("no port is free on all addresses")

    # -- traffic -------------------------------------------------------------------------------------------------------

    def _on_batch(self, batch: list[Datagram]) -> None:
        machine = self._machine
        if machine is None:
            return
        now = self._loop.time()
        for datagram in batch:
            machine.receive_datagram(datagram, now)
        responses = machine.datagrams_to_send(now)
        self.answered += len(responses)
        by_socket: dict[Address, list[Datagram]] = {}
        for response in responses:
            by_socket.setdefault(response.local, []).append(response)
        for local, datagrams in by_socket.items():
            udp = self._sockets.get(local)
            if udp is not None:
                udp.send(datagrams)
                continue
            for datagram in datagrams:
                stream = self._streams.get((local, datagram.remote))
                if stream is not None:
                    stream.send(datagram.data)

    @property
    def dropped(self) -> Counter[str]:
        """What the machine, the sockets and the streams have dropped, by reason."""
        total = Counter(self._dropped)
        for part in (self._machine, *self._sockets.values()):
            if part is not None:
                total.update(part.dropped)
        return total

    # -- streams -------------------------------------------------------------------------------------------------------

    def _stream(self) -> "_Stream":
        return _Stream(self._on_opened, self._on_batch, self._on_closed, self._dropped)

    def _on_opened(self, stream: "_Stream") -> bool:
        host = stream.remote.host
        if len(self._streams) >= MAX_STREAMS or self._per_host[host] >= MAX_STREAMS_PER_HOST:
            self._dropped["too-many-streams"] += 1
            return False
        self._per_host[host] += 1
        self._streams[stream.local, stream.remote] = stream
        return True

    def _on_closed(self, stream: "_Stream") -> None:
        if self._streams.get((stream.local, stream.remote)) is stream:
            del self._streams[stream.local, stream.remote]
            self._per_host[stream.remote.host] -= 1
            self._per_host += Counter()  # forgets those that are zero

    def _sweep(self) -> None:
        silent_since = self._loop.time() - IDLE_TIME
        for stream in list(self._streams.values()):
            if stream.last_heard < silent_since:
                stream.close()
        self._sweeper = self._loop.call_later(IDLE_TIME / 4, self._sweep)


class _Stream(asyncio.Protocol):
    """One connection of a client.

    Args:
        on_opened: Called once it is there; returns whether it may stay.
        on_batch: Called with what came.
        on_closed: Called at the end.
        dropped: Where to count what cannot be used.
    """

    def __init__(
        self,
        on_opened: Callable[["_Stream"], bool],
        on_batch: Callable[[list[Datagram]], None],
        on_closed: Callable[["_Stream"], None],
        dropped: Counter[str],
    ) -> None:
        self._on_opened = on_opened
        self._on_batch = on_batch
        self._on_closed = on_closed
        self._dropped = dropped
        self._deframer = Deframer()
        self._transport: asyncio.Transport | None = None
        self.local = self.remote = Address("", 0, "tcp")
        self.last_heard = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            return
        self._transport = transport
        self.remote = _tcp_address(transport.get_extra_info("peername"))
        self.local = _tcp_address(transport.get_extra_info("sockname"))
        self.last_heard = asyncio.get_running_loop().time()
        if not self._on_opened(self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        self.last_heard = asyncio.get_running_loop().time()
        try:
            messages = self._deframer.push(data)
        except ParseError as error:
            self._dropped[error.reason] += 1
            self.close()
            return
        self._on_batch([Datagram(message, self.remote, self.local) for message in messages])

    def connection_lost(self, _error: Exception | None) -> None:
        self._on_closed(self)

    def send(self, data: bytes) -> None:
        if self._transport is None:
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_WRITE_BUFFER:
            self._dropped["slow-reader"] += 1
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _tcp_address(name: tuple[str, int] | None) -> Address:
    host, port = name[:2] if name else ("", 0)
    return Address(host.partition("%")[0], port, "tcp")
