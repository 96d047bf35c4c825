"""Asks a TURN server for two allocations and sends data from one to the other."""

import asyncio
import os
import ssl
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from ..core import Address, ParseError, PeerError
from ..turn import (
    Allocated,
    Client,
    ClientEvent,
    Closed,
    PermissionCreated,
    PermissionFailed,
    StreamDeframer,
    Uri,
    frame,
)

PACKETS: Final = 5
"""Round trips through the relay."""
PACKET_TIME: Final = 1.0
"""Seconds to wait for one of them."""
TICK: Final = 0.02
"""Seconds between two looks at a timer, when nothing comes."""
END_TIME: Final = 0.5
"""Seconds that giving back an allocation may take."""


class CheckError(Exception):
    """The server is not usable; the text says why."""


@dataclass(slots=True)
class Report:
    """What was found.

    Args:
        server: Where the server is.
        relayed: Our address there.
        mapped: Our address as it sees it.
        lifetime: Of the allocation, seconds.
        rtt: Of a request to the server, seconds.
        relay_rtt: Through the relay and back, seconds; the median.
        sent: Packets through the relay.
        received: Of these what came back.
        relay_error: Why nothing came back, empty if something did.
    """

    server: Address
    relayed: Address
    mapped: Address | None
    lifetime: int
    rtt: float = 0.0
    relay_rtt: float = 0.0
    sent: int = 0
    received: int = 0
    relay_error: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        values = asdict(self)
        for name in ("server", "relayed", "mapped"):
            values[name] = None if values[name] is None else str(getattr(self, name))
        return values


class _Path(asyncio.DatagramProtocol, asyncio.Protocol):
    """One client on a socket of its own."""

    def __init__(self, server: Address, user: str, password: str, *, stream: bool) -> None:
        self.client = Client(server, user, password, random_bytes=os.urandom, reliable=stream)
        self._deframer = StreamDeframer() if stream else None
        self._transport: Any = None
        self._heard = asyncio.Event()
        self.events: list[ClientEvent] = []
        self.data: list[tuple[bytes, Address]] = []
        self.lost = ""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = self.lost or f"the connection is gone{f': {error}' if error else ''}"
        self._heard.set()

    def error_received(self, error: Exception) -> None:
        self.lost = f"nobody listens there: {error}"
        self._heard.set()

    def datagram_received(self, data: bytes, _address: object) -> None:
        self._receive([data])

    def data_received(self, data: bytes) -> None:
        try:
            self._receive(self._deframer.push(data) if self._deframer is not None else [data])
        except ParseError as error:
            self.lost = f"that is no TURN server: {error.reason}"
            self._heard.set()

    def _receive(self, messages: list[bytes]) -> None:
        for message in messages:
            self.client.receive_datagram(message, time.monotonic())
        self._heard.set()

    def pump(self) -> None:
        """Send what is due and take what there is."""
        now = time.monotonic()
        self.client.handle_timer(now)
        for data in self.client.datagrams_to_send(now):
            if self._deframer is None:
                self._transport.sendto(data)
            else:
                self._transport.write(frame(data))
        while (event := self.client.next_event()) is not None:
            self.events.append(event)
        self.data += self.client.take_data()

    async def until(self, done: Callable[[], Any], seconds: float = float("inf")) -> bool:
        """Run until `done`, or the time is over."""
        end = time.monotonic() + seconds
        while True:
            self.pump()
            if done():
                return True
            if self.lost:
                raise CheckError(self.lost)
            for event in self.events:
                if isinstance(event, Closed):
                    raise CheckError(_explain(event.error))
            if time.monotonic() > end:
                return False
            self._heard.clear()
            try:
                async with asyncio.timeout(TICK):
                    await self._heard.wait()
            except TimeoutError:
                continue

    def find(self, *kinds: type) -> Any:
        """Return the first event of a kind."""
        return next((event for event in self.events if isinstance(event, kinds)), None)

    def has(self, data: bytes, peer: Address) -> bool:
        """Tell whether a peer has sent this."""
        return (data, peer) in self.data

    def itself(self) -> "_Path":
        """Return itself, as asyncio wants a protocol."""
        return self

    async def close(self) -> None:
        """Give the allocation back."""
        self.client.close(time.monotonic())
        try:
            await self.until(lambda: self.find(Closed), END_TIME)
        except CheckError:
            pass
        finally:
            self._transport.close()


def _explain(error: PeerError | None) -> str:
    reason = "" if error is None else error.reason
    return {
        "timeout": "no answer; is UDP to that port let through?",
        "unauthorized": "user name or password is wrong",
        "quota-reached": "this user has all the allocations it may have",
        "insufficient-capacity": "the server has no room for more allocations",
    }.get(reason, str(error))


async def check_server(
    uri: Uri,
    user: str,
    password: str,
    *,
    insecure: bool = False,
    timeout: float = 10.0,  # noqa: ASYNC109  of all
) -> Report:
    """Allocate twice, and send packets from one allocation to the other and back.

    Args:
        uri: The server.
        user: User name.
        password: Its password.
        insecure: Take any certificate.
        timeout: Seconds for all of it.

    Raises:
        CheckError: There is no allocation to be had.
    """
    paths: list[_Path] = []
    try:
        async with asyncio.timeout(timeout):
            return await _check(uri, user, password, insecure, paths)
    except TimeoutError:
        raise CheckError(f"no answer from {uri} within {timeout:g} s") from None
    except ssl.SSLCertVerificationError as error:
        problem = f"its certificate is not good: {error.verify_message}; --insecure takes it all the same"
        raise CheckError(problem) from error
    except OSError as error:
        raise CheckError(f"no way to {uri.host} port {uri.port}: {error.strerror or error}") from error
    finally:
        for path in paths:
            await path.close()


async def _check(uri: Uri, user: str, password: str, insecure: bool, paths: list[_Path]) -> Report:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(uri.host, uri.port, type=2 if uri.transport == "udp" else 1)
    server = Address(str(found[0][4][0]), int(found[0][4][1]), "udp" if uri.transport == "udp" else "tcp")
    context: ssl.SSLContext | None = None
    if uri.secure:
        context = ssl.create_default_context()
        if insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for _ in range(2):
        path = _Path(server, user, password, stream=server.transport == "tcp")
        if server.transport == "udp":
            if uri.secure:
                raise CheckError("TURN over DTLS is not implemented; try ?transport=tcp")
            await loop.create_datagram_endpoint(path.itself, remote_addr=server[:2])
        else:
            name = uri.host if uri.secure else None
            await loop.create_connection(path.itself, *server[:2], ssl=context, server_hostname=name)
        paths.append(path)
    for path in paths:
        path.client.start(time.monotonic())
        await path.until(partial(path.find, Allocated))
    first, second = paths
    allocated: Allocated = first.find(Allocated)
    report = Report(server, allocated.relayed, allocated.mapped, allocated.lifetime)
    await _relay(first, second, report)
    return report


async def _relay(first: _Path, second: _Path, report: Report) -> None:
    begin = time.monotonic()
    relayed = [path.find(Allocated).relayed for path in (first, second)]
    for path, peer in zip((first, second), reversed(relayed), strict=True):
        path.client.create_permission(peer.host, time.monotonic())
        await path.until(partial(path.find, PermissionCreated, PermissionFailed))
        report.rtt = report.rtt or time.monotonic() - begin
        failed = path.find(PermissionFailed)
        if failed is not None:
            report.relay_error = f"the server does not relay to itself: {failed.error.detail or failed.error.reason}"
            return
    times = []
    for number in range(PACKETS):
        report.sent += 1
        payload = f"relay check {number}".encode()
        begin = time.monotonic()
        first.client.send(payload, relayed[1], begin)
        first.pump()
        there = await second.until(partial(second.has, payload, relayed[0]), PACKET_TIME)
        if there:
            second.client.send(payload, relayed[0], time.monotonic())
            second.pump()
        if there and await first.until(partial(first.has, payload, relayed[1]), PACKET_TIME):
            times.append(time.monotonic() - begin)
    report.received = len(times)
    if times:
        report.relay_rtt = sorted(times)[len(times) // 2]
    else:
        report.relay_error = "allocations are given, but nothing comes through them"
