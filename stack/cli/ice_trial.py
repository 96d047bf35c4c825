"""Two peer connections of this machine, connected to each other through the servers that are to be tried."""

import asyncio
import logging
import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..aio import RTCConfiguration, RTCIceCandidate, RTCIceCandidateError, RTCPeerConnection
from ..aio.configured import NOT_REACHED
from ..aio.network import DNS_TIMEOUT, MAX_SERVER_ADDRESSES, Server, parse_servers
from ..core import Address
from ..stun import Client, Failed, Responded, Unreachable
from .common import CommandError
from .stun_channels import open_channel

if TYPE_CHECKING:
    from ..ice import Statistics

LOOK_INTERVAL: Final = 0.02
"""Seconds between two looks at whether all is done, for what no event tells."""
STUN_PATIENCE: Final = 5.0
"""Seconds that a STUN server has to answer, as long as ICE waits for it."""
UNAUTHORIZED: Final = 401
_TLS_REASONS: Final = ("certificate-refused", "tls-failed")
_ENDS: Final = {
    "ECONNREFUSED": "nobody listens there",
    "EHOSTUNREACH": "there is no way to that host",
    "ENETUNREACH": "there is no way to that network",
    "connect-timeout": "no connection; a firewall may drop it",
    "certificate-refused": "its certificate is not good for that name; for one of your own, --ca-file",
    "ended": "the server ended the connection; is it the right port?",
    "tls-failed": "TLS failed; is it the TLS port, 5349 or 443?",
}
_NETWORK: Final = "stack.aio.network"  # these say what no event has: names, addresses, TLS, why a connection ended
_STREAMS: Final = "stack.aio.streams"
_TLS: Final = "stack.aio.stream_connection"


@dataclass(slots=True)
class ServerResult:
    """What became of one server.

    Args:
        url: As it was given.
        text: For people: its answer, or what is wrong.
        ok: Whether it was of use; None if it was not asked.
        code: Error code of STUN, 701 for no answer; None without an error.
        addresses: Addresses that it gave us.
    """

    url: str
    text: str
    ok: bool | None
    code: int | None = None
    addresses: list[str] = field(default_factory=list)


class _Notes(logging.Handler):
    """Keeps what the sockets have to say, and keeps it from standard error."""

    def __init__(self, notes: list[str], ends: dict[str, str]) -> None:
        super().__init__(logging.DEBUG)
        self._notes, self._ends = notes, ends
        self._logger = logging.getLogger("stack")

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name == _STREAMS:
            remote, _, reason = text.partition(" - ")[2].rpartition(": ")
            self._ends.setdefault(remote, reason)
        elif record.name not in {_NETWORK, _TLS} or record.levelno < logging.INFO or text.endswith(" ended"):
            return
        elif text not in self._notes:
            self._notes.append(text)

    def __enter__(self) -> None:
        self._level, self._propagate = self._logger.level, self._logger.propagate
        self._logger.addHandler(self)
        self._logger.setLevel(logging.DEBUG)
        self._logger.propagate = False

    def __exit__(self, *_error: object) -> None:
        self._logger.removeHandler(self)
        self._logger.setLevel(self._level)
        self._logger.propagate = self._propagate


class Trial:
    """One attempt; see `run`.

    Args:
        configuration: Of both connections.

    Attributes:
        times: Seconds from the start to `dtls` and `open`.
        notes: What the sockets below had to say.
        error: Why the connection failed, if it said so.

    Raises:
        LocalError: The configuration makes no sense.
    """

    def __init__(self, configuration: RTCConfiguration) -> None:
        self.configuration = configuration
        self.servers = parse_servers(configuration.iceServers)
        self.times: dict[str, float] = {}
        self.notes: list[str] = []
        self.error: str | None = None
        self._stun: dict[str, ServerResult] = {}
        self._addresses: dict[str, list[Address]] = {}
        self._failures: list[RTCIceCandidateError] = []
        self._ends: dict[str, str] = {}
        self._ready = asyncio.Event()
        self.reports: dict[str, Statistics] = {}

    @property
    def connected(self) -> bool:
        """Whether the data channel opened."""
        return "open" in self.times

    async def run(self, patience: float) -> None:
        """Connect, and stop when all is known, or after `patience` seconds."""
        with _Notes(self.notes, self._ends):
            await asyncio.gather(self._connect(patience), *(self._look_at(server) for server in self.servers))
        if any(result.ok for result in self._stun.values()):
            for report in self.reports.values():  # ICE cannot tell a server that saw no NAT from one that is silent
                report.stun_servers = 0

    # -- the connection ----------------------------------------------------------------------------------------

    async def _connect(self, patience: float) -> None:
        loop = asyncio.get_running_loop()
        async with RTCPeerConnection(self.configuration) as one, RTCPeerConnection(self.configuration) as two:
            start = loop.time()

            def reached(name: str) -> None:
                self.times.setdefault(name, loop.time() - start)

            def on_state() -> None:
                if one.connectionState == "connected":
                    reached("dtls")

            one.on("connectionstatechange", on_state)
            one.on("icecandidateerror", self._failures.append)
            for pc, other in ((one, two), (two, one)):
                pc.on("error", lambda _: None)  # else nobody hears it, and the event loop complains
                pc.on("icecandidate", self._to(other))
            one.createDataChannel("trial").on("open", lambda: reached("open"))
            try:
                async with asyncio.timeout(patience):
                    await _negotiate(one, two)
                    self._ready.set()
                    while not self._is_over(one):  # noqa: ASYNC110  no one event says it
                        await asyncio.sleep(LOOK_INTERVAL)
            except TimeoutError:
                pass
            self.error = one.error
            self.reports = {"offering": one.iceReport(), "answering": two.iceReport()}

    def _to(self, other: RTCPeerConnection) -> Any:
        async def trickle(candidate: RTCIceCandidate | None) -> None:
            await self._ready.wait()
            if other.signalingState != "closed":
                await other.addIceCandidate(candidate)

        return trickle

    def _is_over(self, one: RTCPeerConnection) -> bool:
        if one.iceConnectionState == "failed" or one.connectionState == "failed":
            return True
        if self.connected and one.iceConnectionState == "completed":
            return True
        return one.iceGatheringState == "complete" and all(c.hidden for c in one.iceReport().local_candidates)

    # -- servers -----------------------------------------------------------------------------------------------

    async def _look_at(self, server: Server) -> None:
        """Find out what the connection does not tell: whether the name is known, whether a STUN server answers."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DNS_TIMEOUT):
                found = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            why = getattr(error, "strerror", None) or "no answer of the DNS"
            self._stun[server.url] = ServerResult(
                server.url, f"cannot find {server.host}: {why}", ok=False, code=NOT_REACHED
            )
            return
        transport = "udp" if server.protocol == "udp" else "tcp"
        addresses = [Address(str(at[0]), int(at[1]), transport) for *_, at in found[:MAX_SERVER_ADDRESSES]]
        self._addresses[server.url] = list(dict.fromkeys(addresses))
        if not server.relay:
            self._stun[server.url] = await self._ask(server, addresses[0])

    async def _ask(self, server: Server, address: Address) -> ServerResult:
        configuration = self.configuration
        if configuration.iceTransportPolicy == "relay" or not configuration.addresses.uses_udp:
            return ServerResult(server.url, "not asked: only relays may be used", ok=None)
        if server.protocol != "udp":
            return ServerResult(server.url, "not asked: STUN over TLS finds no candidate", ok=None)
        try:
            channel = await open_channel(address, "udp", server.host, None, STUN_PATIENCE)
        except CommandError as error:
            return ServerResult(server.url, str(error), ok=False, code=NOT_REACHED)
        try:
            client = Client(random_bytes=os.urandom, timeout=STUN_PATIENCE)
            event = await channel.ask(client)
        finally:
            await channel.close()
        match event:
            case Responded(_, mapped):
                text = f"sees us at {mapped}, {1e3 * (client.rtt or 0):.1f} ms"
                return ServerResult(server.url, text, ok=True, addresses=[str(mapped)])
            case Failed(refusal, _):
                return ServerResult(server.url, f"refused: {refusal.detail or refusal.reason}", ok=False, code=400)
            case Unreachable():
                return ServerResult(server.url, f"nobody listens at {address}", ok=False, code=NOT_REACHED)
        return ServerResult(
            server.url, f"no answer within {STUN_PATIENCE:g} s; is UDP blocked?", ok=False, code=NOT_REACHED
        )

    def results(self) -> list[ServerResult]:
        """Return what became of each server."""
        return [self._stun.get(server.url) or self._relay_result(server) for server in self.servers]

    def _relay_result(self, server: Server) -> ServerResult:
        known = {str(address) for addresses in self._addresses.values() for address in addresses}
        own = {str(address) for address in self._addresses.get(server.url, [])}
        candidates = self.reports["offering"].local_candidates if self.reports else []
        relayed = [
            candidate
            for candidate in candidates
            if candidate.type == "relay"
            and candidate.relay_protocol == server.protocol
            and (candidate.server in own or candidate.server not in known)  # the latter: it has sent us on
        ]
        if relayed:
            at = [str(Address(candidate.host, candidate.port)) for candidate in relayed]
            return ServerResult(server.url, f"relays at {', '.join(at)}", ok=True, addresses=at)
        for failure in self._failures:
            if failure.url.removeprefix("turn:") in own and failure.errorCode != NOT_REACHED:
                wrong = failure.errorCode == UNAUTHORIZED
                text = "user name or password is wrong" if wrong else failure.errorText
                return ServerResult(server.url, text, ok=False, code=failure.errorCode)
        for reason in (self._ends[address] for address in own if address in self._ends):
            code = None if reason in _TLS_REASONS else NOT_REACHED
            return ServerResult(server.url, _ENDS.get(reason, f"the connection ended: {reason}"), ok=False, code=code)
        return ServerResult(server.url, "no answer; is its port let through?", ok=False, code=NOT_REACHED)


async def _negotiate(one: RTCPeerConnection, two: RTCPeerConnection) -> None:
    await one.setLocalDescription()
    if one.localDescription is not None:
        await two.setRemoteDescription(one.localDescription)
    await two.setLocalDescription()
    if two.localDescription is not None:
        await one.setRemoteDescription(two.localDescription)
