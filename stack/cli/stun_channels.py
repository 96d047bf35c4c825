"""One way to a STUN server, over UDP, TCP or TLS, for one question after another."""

import asyncio
import ssl
from abc import ABC, abstractmethod
from pathlib import Path

from ..core import Address, ParseError
from ..stun import Client, Deframer
from ..stun import Event as StunEvent
from .common import NO_ANSWER, CommandError


class Channel(ABC):
    """A connected socket.

    Args:
        remote: The server.
        transport: `udp`, `tcp` or `tls`.

    Attributes:
        local: Our end.
    """

    def __init__(self, remote: Address, transport: str) -> None:
        self.remote = remote
        self.transport = transport
        self.local = Address("", 0)
        self._incoming: asyncio.Queue[bytes | None] = asyncio.Queue()  # None: the way is closed

    @abstractmethod
    def _send(self, data: bytes) -> None:
        """Send one message."""

    @abstractmethod
    async def close(self) -> None:
        """Close the socket."""

    async def ask(self, client: Client) -> StunEvent:
        """Run one client to its end and return its event."""
        loop = asyncio.get_running_loop()
        client.start(loop.time())
        while (event := client.next_event()) is None:
            for request in client.datagrams_to_send(loop.time()):
                self._send(request)
            try:
                async with asyncio.timeout_at(client.next_timer()):
                    data = await self._incoming.get()
            except TimeoutError:
                client.handle_timer(loop.time())
                continue
            if data is None:
                client.transport_failed(loop.time())
            else:
                client.receive_datagram(data, loop.time())
        return event


class _UdpChannel(Channel, asyncio.DatagramProtocol):
    def __init__(self, remote: Address) -> None:
        super().__init__(remote, "udp")
        self._socket: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # it is one
        self._socket = transport
        self.local = Address(*transport.get_extra_info("sockname")[:2])

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        self._incoming.put_nowait(data)

    def error_received(self, _exc: Exception) -> None:
        self._incoming.put_nowait(None)

    def _send(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.sendto(data)

    async def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class _StreamChannel(Channel, asyncio.Protocol):
    def __init__(self, remote: Address, transport: str) -> None:
        super().__init__(remote, transport)
        self._socket: asyncio.Transport | None = None
        self._deframer = Deframer()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # it is one
        self._socket = transport
        self.local = Address(*transport.get_extra_info("sockname")[:2])

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._deframer.push(data):
                self._incoming.put_nowait(message)
        except ParseError:
            self._incoming.put_nowait(None)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._incoming.put_nowait(None)

    def _send(self, data: bytes) -> None:
        if self._socket is not None:
            self._socket.write(data)

    async def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


async def open_channel(remote: Address, transport: str, name: str, ca_file: Path | None, patience: float) -> Channel:
    """Open a way to a server.

    Args:
        remote: The server.
        transport: `udp`, `tcp` or `tls`.
        name: What its certificate must name, for TLS.
        ca_file: Certificates to trust instead of the system's, or None.
        patience: Seconds to connect.

    Raises:
        CommandError: There is no way.
    """
    loop = asyncio.get_running_loop()
    where = f"{remote.host} port {remote.port} over {transport.upper()}"
    try:
        if transport == "udp":
            return (await loop.create_datagram_endpoint(lambda: _UdpChannel(remote), remote_addr=remote[:2]))[1]
        context = ssl.create_default_context(cafile=ca_file) if transport == "tls" else None
        async with asyncio.timeout(patience):
            return (
                await loop.create_connection(
                    lambda: _StreamChannel(remote, transport),
                    remote.host,
                    remote.port,
                    ssl=context,
                    server_hostname=name if context else None,
                )
            )[1]
    except TimeoutError as error:
        raise CommandError(
            f"no connection to {where} within {patience:g} s; a firewall may drop it", NO_ANSWER
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise CommandError(
            f"the certificate of {where} is not good for {name}: {error.verify_message}. "
            "For one of your own, --ca-file."
        ) from error
    except ssl.SSLError as error:
        raise CommandError(f"no TLS with {where}: {error.reason or error}. Is it the TLS port, 5349?") from error
    except OSError as error:
        raise CommandError(f"no connection to {where}: {error.strerror or error}") from error
