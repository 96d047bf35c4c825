"""The TCP and TLS connections of a TURN server: those of clients, those of peers, and two of them spliced."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Final, Protocol

from ..core import Address, Datagram, ParseError
from ..turn import StreamDeframer, frame

MAX_EARLY: Final = 16384
"""Bytes that may come with the last flight of a TLS handshake: a request or two, for nothing is known of the client."""
MAX_WRITE_BUFFER: Final = 1 << 20
"""Bytes that wait to be written to one client, past which live data for it is dropped: some seconds of video."""
MAX_REPLY_BUFFER: Final = 64 * 1024
"""Bytes of responses beyond that, past which a client that reads nothing is cut off."""
SPLICE_BUFFER: Final = 256 * 1024
"""Bytes that wait to be written to one end of a splice, past which the other is not read: RFC 6062 section 3."""
HANDSHAKE_TIME: Final = 10.0
"""Seconds for the TLS handshake."""

_CHANNEL_DATA = 0x40
_DATA_INDICATION = b"\x00\x17"


class Owner(Protocol):
    """What a stream wants of the server it belongs to."""

    def on_stream_opened(self, stream: "ClientStream") -> bool:
        """Take note of a connection; return whether it may stay."""

    def on_stream_messages(self, batch: list[Datagram]) -> None:
        """Take what a client has sent."""

    def on_stream_closed(self, stream: "ClientStream") -> None:
        """Take note of the end of a connection."""

    def on_peer_closed(self, stream: "PeerStream") -> None:
        """Take note of the end of a peer's connection."""

    def spawn(self, coroutine: "asyncio.Future[None]") -> None:
        """Keep a task until it ends."""

    def count(self, reason: str, number: int = 1) -> None:
        """Count what is dropped."""


def address_of(name: Sequence[object]) -> Address:
    """Return a socket's name as the address of a stream."""
    return Address(str(name[0]).partition("%")[0], int(str(name[1])), "tcp")


class _Splice(asyncio.Protocol):
    """One connection whose bytes go to another one once it has a partner."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.partner: _Splice | None = None

    def splice(self, partner: "_Splice") -> None:
        """Pass bytes on to `partner` from now on; call it on both."""
        self.partner = partner
        if self.transport is not None:
            self.transport.set_write_buffer_limits(SPLICE_BUFFER)
            self.transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Write bytes."""
        if self.transport is not None:
            self.transport.write(data)

    def pause_writing(self) -> None:
        """Stop reading from the partner: this end is slow."""
        if self.partner is not None and self.partner.transport is not None:
            self.partner.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read from the partner again."""
        if self.partner is not None and self.partner.transport is not None:
            self.partner.transport.resume_reading()

    def close(self) -> None:
        """Close when everything is written."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()


class ClientStream(_Splice):
    """A client's connection: TURN messages, until it is bound to a peer's connection.

    Args:
        owner: The server.
        tls: What to do TLS with, or None.

    Attributes:
        remote: The client.
        local: Our end.
        last_heard: Time of the loop at which something came.
    """

    def __init__(self, owner: Owner, tls: ssl.SSLContext | None) -> None:
        super().__init__()
        self._owner = owner
        self._tls = tls
        self._deframer = StreamDeframer()
        self.remote = self.local = Address("", 0, "tcp")
        self.last_heard = 0.0
        self.is_ready = tls is None
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, with TLS where it is wanted."""
        if self.transport is not None or not isinstance(transport, asyncio.Transport):
            return  # the second time, after the handshake
        self.transport = transport
        self.remote = address_of(transport.get_extra_info("peername") or ("", 0))
        self.local = address_of(transport.get_extra_info("sockname") or ("", 0))
        self.last_heard = asyncio.get_running_loop().time()
        transport.set_write_buffer_limits(MAX_WRITE_BUFFER)
        if not self._owner.on_stream_opened(self):
            transport.abort()
        elif self._tls is not None:
            transport.pause_reading()
            self._owner.spawn(asyncio.ensure_future(self._start_tls(self._tls)))

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        transport = self.transport
        if transport is None:
            return
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_TIME
            )
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError):
            self._owner.count("tls-handshake")
            transport.abort()
            self.connection_lost(None)
            return
        if secured is None or self.transport is None:  # it was closed meanwhile
            self._owner.count("tls-handshake")
            self.connection_lost(None)
            return
        secured.set_write_buffer_limits(MAX_WRITE_BUFFER)
        self.transport, self.is_ready = secured, True
        early, self._early = self._early, b""
        self.data_received(early)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client; those right behind its handshake come before the answer can leave, and wait."""
        if not self.is_ready:
            self._early += data
            if len(self._early) > MAX_EARLY:
                self._owner.count("stream-too-early")
                self.abort()
            return
        if self.partner is not None:
            self.partner.write(data)
            return
        self.last_heard = asyncio.get_running_loop().time()
        try:
            messages = self._deframer.push(data)
        except ParseError as error:
            self._owner.count(f"stream-{error.reason}")
            self.abort()
            return
        if messages:
            remote, local = self.remote, self.local
            self._owner.on_stream_messages([Datagram(message, remote, local) for message in messages])

    def connection_lost(self, _error: Exception | None) -> None:
        """Take note of the end."""
        if self.transport is None:
            return
        self.transport = None
        self._owner.on_stream_closed(self)

    def send(self, messages: Sequence[bytes]) -> None:
        """Send messages, in one write; live data that the client does not read fast enough is dropped."""
        transport = self.transport
        if transport is None or not self.is_ready or self.partner is not None:
            self._owner.count("stream-closed", len(messages))
            return
        waiting = transport.get_write_buffer_size()
        if waiting > MAX_WRITE_BUFFER:
            kept = [data for data in messages if data[0] < _CHANNEL_DATA and data[:2] != _DATA_INDICATION]
            self._owner.count("stream-full", len(messages) - len(kept))
            if waiting > MAX_WRITE_BUFFER + MAX_REPLY_BUFFER + 65536:
                transport.abort()
                return
            messages = kept
        if self._tls is None:
            transport.write(b"".join([frame(data) for data in messages]))
            return
        for data in messages:  # in records of their own: coturn's client takes a record for a message
            transport.write(frame(data))


class PeerStream(_Splice):
    """A peer's connection, which is not read before it is bound: so the peer's own window holds it back.

    Args:
        owner: The server.
        connection_id: What the machine calls it.
    """

    def __init__(self, owner: Owner, connection_id: int) -> None:
        super().__init__()
        self._owner = owner
        self.connection_id = connection_id

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the partner."""
        if isinstance(transport, asyncio.Transport):
            self.transport = transport
            transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on to the client."""
        if self.partner is not None:
            self.partner.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        """Take note of the end."""
        self.transport = None
        self._owner.on_peer_closed(self)


def relay_socket(host: str, port: int, *, listening: bool) -> socket.socket:
    """Return a TCP socket bound to a relayed address, beside others that are bound to it.

    Raises:
        OSError: It cannot be had.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        if listening:
            bound.listen()
    except OSError:
        bound.close()
        raise
    return bound
