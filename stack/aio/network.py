"""What a connection has of the network: sockets per local address, servers, names; kept in step with the machine's.

Sockets are bound at once, so that host candidates wait for nothing; names are looked up and streams opened in a task.
When addresses come or go, sockets do, and the connection finds another path without a word to the peer.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from .. import stun, turn
from ..core import Address, Datagram, LocalError, ParseError
from ..peer import InvalidAccessError, PeerConnection, SdpSyntaxError
from ..peer.relays import TurnServer
from .descriptions import RTCConfiguration, RTCIceServer
from .interfaces import LocalAddress, bind_in_range, local_addresses
from .mdns import Resolver
from .network_monitor import Monitored, Watch, prepare
from .streams import StreamSockets
from .udp import UdpSocket

logger = logging.getLogger(__name__)

DNS_TIMEOUT: Final = 5.0
"""Seconds to look up a server."""
MAX_SERVER_ADDRESSES: Final = 4
"""Addresses of one name that are used: both families, twice."""
RECONNECT_DELAY: Final = 5.0
"""Seconds until a stream to a TURN server that ended is opened again; doubled each time, up to a minute."""
MAX_RECONNECT_DELAY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A STUN or TURN server as its URL names it.

    Args:
        url: As it was given.
        host: Name or address.
        port: Its port.
        relay: Whether it is a TURN server.
        protocol: `udp`, `tcp` or `tls`.
        username: For TURN.
        credential: For TURN.
    """

    url: str
    host: str
    port: int
    relay: bool
    protocol: str
    username: str = ""
    credential: str = ""

    def __repr__(self) -> str:  # no secret in a log
        return f"Server({self.url!r})"


def parse_servers(servers: Sequence[RTCIceServer]) -> list[Server]:
    """Read `RTCConfiguration.iceServers` (W3C WebRTC section 4.4.1.2, RFC 7064, RFC 7065).

    Raises:
        SdpSyntaxError: A URL is none of STUN or TURN.
        InvalidAccessError: A TURN server has no username or credential.
    """
    found = []
    for server in servers:
        for url in [server.urls] if isinstance(server.urls, str) else server.urls:
            try:
                found.append(_parse_server(url, server))
            except ParseError as error:
                raise SdpSyntaxError(
                    f"{url!r} is no ICE server: write stun:host, turn:host or turns:host, with :port and, for turn, "
                    "?transport=tcp where wanted"
                ) from error
    return found


def _parse_server(url: str, server: RTCIceServer) -> Server:
    if not url.lower().startswith("turn"):
        found = stun.parse_uri(url)
        return Server(url, found.host, found.port, relay=False, protocol="tls" if found.secure else "udp")
    at = turn.parse_uri(url)
    if not server.username or not server.credential:
        raise InvalidAccessError(f"{url}: a TURN server needs username and credential")
    if at.transport not in {"udp", "tcp"} or (at.secure and at.transport == "udp"):
        raise ParseError("not-a-turn-uri", "transport")  # Not implemented: TURN over DTLS.
    protocol = "tls" if at.secure else at.transport
    return Server(url, at.host, at.port, True, protocol, server.username, server.credential)


@dataclass(slots=True)
class _Local:
    """What belongs to one local address."""

    entry: LocalAddress
    udp: UdpSocket | None
    streams: tuple[Address, ...] = ()


class Network:
    """All sockets below one peer connection.

    Args:
        machine: The connection.
        configuration: Servers, and which addresses may be used.
        on_batch: Called with the datagrams of one wakeup.
        flush: Called when something was told to the machine outside of `on_batch`.
        spawn: Runs a task that ends with the connection.

    Attributes:
        sockets: UDP sockets by address.
        on_unknown_name: Called with the URL of a server whose name is not known, and why.
    """

    def __init__(
        self,
        machine: PeerConnection,
        configuration: RTCConfiguration,
        *,
        on_batch: Callable[[list[Datagram]], None],
        flush: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        self._machine, self._configuration = machine, configuration
        self._servers = parse_servers(configuration.iceServers)
        self._unasked: list[Server] = []  # that `configure` has named since
        self._on_batch, self._flush, self._spawn = on_batch, flush, spawn
        self._asked: dict[Server, list[Address]] = {}
        self._offered: set[Address] = set()  # host candidates, which there are none of while only relays are used
        self.on_unknown_name: Callable[[str, str], object] = lambda _url, _reason: None
        self.sockets: dict[Address, UdpSocket] = {}
        self._locals: dict[str, _Local] = {}
        self._streams: StreamSockets | None = None
        self._turn_streams: dict[Address, tuple[Server, TurnServer, str]] = {}
        self._turn_addresses: list[tuple[Server, Address]] = []
        self._reconnects: dict[tuple[str, Address], int] = {}
        self._timers: set[asyncio.TimerHandle] = set()
        self._prepared: Monitored | None = None
        self._watch: Watch | None = None
        self._resolver: Resolver | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        with suppress(RuntimeError):  # made before the loop runs
            asyncio.get_running_loop().call_soon(self._prepare)

    def _prepare(self) -> None:
        """Find the addresses in the first turn of the loop: an answerer has nothing to do until there is an offer."""
        if self._configuration.continualGathering and not self.is_open and not self._closed:
            with suppress(OSError):  # whoever needs them asks again, and hears why not
                self._prepared = prepare(self._configuration.addresses, asyncio.get_running_loop())

    @property
    def turn_servers(self) -> int:
        """How many TURN servers were given."""
        return sum(server.relay for server in self._servers)

    @property
    def _relay_only(self) -> bool:
        return self._machine.transport.path.relay_only

    @property
    def is_open(self) -> bool:
        """Whether sockets were bound."""
        return self._loop is not None

    # -- local addresses ---------------------------------------------------------------------------------------

    def open(self, now: float) -> None:
        """Bind a socket per local address, watch for changes, and ask the servers; again for a restart of ICE."""
        if self.is_open:
            return
        loop = self._loop = asyncio.get_running_loop()
        policy = self._configuration.addresses
        if self._configuration.continualGathering:
            self._watch = Watch(self._on_addresses_changed, policy, loop)
        for entry in self._watch.addresses if self._watch else local_addresses(policy):
            self._add(entry, now)
        if self._servers:
            self._spawn(self._ask_servers(self._servers), "ice-servers")
        else:
            self._machine.end_local_addresses(now)

    def _add(self, entry: LocalAddress, now: float) -> None:
        loop, policy, host = self._loop, self._configuration.addresses, entry.host
        if loop is None:
            return
        try:
            udp = None
            if policy.uses_udp:
                udp = bind_in_range(
                    policy,
                    lambda port: UdpSocket(
                        host,
                        loop,
                        self._on_batch,
                        port,
                        interface=entry.outgoing,
                        probing=self._configuration.pathMtu is not None,
                    ),
                )
            local = self._locals[host] = _Local(entry, udp)
            if udp is not None:
                self.sockets[udp.address] = udp
                self._offer(entry, udp.address, now)
            if self._configuration.iceTcp and not self._relay_only:
                local.streams = self._listen(entry, now)
        except (OSError, LocalError) as error:
            logger.info("no candidate on %s: %s", host, error)

    def _offer(self, entry: LocalAddress, address: Address, now: float, tcp_type: str | None = None) -> None:
        name = None
        if self._configuration.mdnsCandidates and not entry.hidden and not self._relay_only:
            name = self._names().publish(entry.host)
        if not self._relay_only:
            self._offered.add(address)
        self._machine.add_local_address(
            address,
            now,
            interface=entry.interface,
            network_cost=entry.cost,
            tcp_type=tcp_type,
            mdns_name=name,
            hidden=entry.hidden,
        )

    def _listen(self, entry: LocalAddress, now: float) -> tuple[Address, ...]:
        streams = self._stream_sockets()
        passive = bind_in_range(self._configuration.addresses, lambda port: streams.listen(entry.host, port))
        active = streams.add_active(entry.host)
        self._offer(entry, passive, now, "passive")
        self._offer(entry, active, now, "active")
        return passive, active

    def _on_addresses_changed(self, entries: list[LocalAddress]) -> None:
        """Follow the machine's network: what is gone first, so that data takes another path at once."""
        if self._closed:
            return
        now = time.monotonic()
        found = {entry.host: entry for entry in entries}
        for host in [host for host in self._locals if host not in found]:
            logger.info("%s is gone", host)
            self._remove(host, now)
        added = [entry for entry in entries if entry.host not in self._locals]
        for entry in added:
            logger.info("%s on %s is new", entry.host, entry.interface)
            self._add(entry, now)
        if self._resolver is not None:
            self._resolver.rejoin(entries)
        for entry in added:
            for server, address in self._turn_addresses:
                self._connect(server, address, entry.host, now)
        self._flush()

    def _remove(self, host: str, now: float) -> None:
        local = self._locals.pop(host)
        if local.udp is not None:
            address = local.udp.address
            self._offered.discard(address)
            del self.sockets[address]
            local.udp.close()
            self._machine.remove_local_address(address, now)
        for address in local.streams:
            self._stream_sockets().remove(address)
            self._machine.remove_local_address(address, now)
        for address in [address for address in self._turn_streams if address.host == host]:
            del self._turn_streams[address]
            self._stream_sockets().remove(address)
            self._machine.stream_closed(address, now)

    # -- servers -----------------------------------------------------------------------------------------------

    def configure(self, configuration: RTCConfiguration) -> None:
        """Use these servers, and no others, from the next gathering on (RFC 8829 section 4.1.18).

        Raises:
            SdpSyntaxError: A URL is none of STUN or TURN.
            InvalidAccessError: A TURN server has no username or credential.
        """
        servers, now = parse_servers(configuration.iceServers), time.monotonic()
        self._machine.transport.path.relay_only = configuration.iceTransportPolicy == "relay"
        before, self._servers, self._configuration = self._servers, servers, configuration
        if not self.is_open:
            return
        for gone in [server for server in before if server not in servers]:
            for address in self._asked.pop(gone, []):
                if not any(address in asked for asked in self._asked.values()):
                    self._machine.forget_server(address, now)
        self._turn_addresses = [(server, address) for server, address in self._turn_addresses if server in servers]
        known = [server for server in self._unasked if server in servers]
        self._unasked = known + [server for server in servers if server not in before + known]

    @contextmanager
    def new_servers(self) -> Iterator[None]:
        """Have a restart of ICE, if one begins inside, wait for what `configure` has changed."""
        agent, path, now = self._machine.transport.ice, self._machine.transport.path, time.monotonic()
        if not self.is_open or not (self._unasked or path.policy_changes):
            yield
            return
        before, ended = agent.local_parameters, path.local_addresses_ended
        path.expect_local_addresses()
        try:
            yield
        finally:
            restarted = agent.local_parameters != before
            if restarted and not path.relay_only:
                self._offer_hosts(now)
            if restarted and self._unasked:
                servers, self._unasked = self._unasked, []
                self._spawn(self._ask_servers(servers), "ice-servers")
            elif ended:
                self._machine.end_local_addresses(now)

    def _offer_hosts(self, now: float) -> None:
        """Offer what was left out while only relays were used."""
        for local in self._locals.values():
            if local.udp is not None and local.udp.address not in self._offered:
                self._offer(local.entry, local.udp.address, now)
            if self._configuration.iceTcp and not local.streams:
                local.streams = self._listen(local.entry, now)

    async def _ask_servers(self, servers: list[Server]) -> None:
        await asyncio.gather(*(self._ask(server) for server in servers))
        self._machine.end_local_addresses(time.monotonic())
        self._flush()

    async def _ask(self, server: Server) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DNS_TIMEOUT):
                found = await loop.getaddrinfo(server.host, server.port, type=2)  # SOCK_DGRAM
        except (OSError, TimeoutError) as error:
            reason = str(error) or "no answer"
            logger.warning("%s: the name is not known: %s", server.url, reason)
            self.on_unknown_name(server.url, reason)
            return
        transport = "udp" if server.protocol == "udp" else "tcp"
        for *_, target in found[:MAX_SERVER_ADDRESSES]:
            address = Address(str(target[0]), int(target[1]), transport)
            try:
                self._use(server, address)
            except LocalError as error:  # two names of one server, or more of them than anybody needs
                logger.info("%s at %s is left out: %s", server.url, address, error)
        self._flush()

    def stun_url(self, address: Address) -> str | None:
        """Return the URL of a STUN server at this address; None if there is none, or it is a TURN server."""
        asked = self._asked.items()
        return next((server.url for server, at in asked if address in at and not server.relay), None)

    def _use(self, server: Server, address: Address) -> None:
        now = time.monotonic()
        if server not in self._servers:  # `configure` came while its name was looked up
            return
        self._asked.setdefault(server, []).append(address)
        if not server.relay:
            if server.protocol == "udp":
                self._machine.add_stun_server(address, now)
            else:  # Not implemented: a server-reflexive candidate over TCP is of use with simultaneous open only.
                logger.info("%s: STUN over TLS finds no candidate", server.url)
        elif server.protocol == "udp":
            self._machine.add_turn_server(TurnServer(address, server.username, server.credential), now)
        else:
            self._turn_addresses.append((server, address))
            for host in list(self._locals):
                self._connect(server, address, host, now)

    # -- streams -----------------------------------------------------------------------------------------------

    def _stream_sockets(self) -> StreamSockets:
        if self._streams is None:
            self._streams = StreamSockets(
                asyncio.get_running_loop(),
                self._on_batch,
                on_closed=self._on_stream_closed,
                ca_file=self._configuration.caFile,
            )
        return self._streams

    def _connect(self, server: Server, address: Address, host: str, now: float, tls_name: str | None = None) -> None:
        """Open a stream to a TURN server, if there is a way from this local address."""
        if (":" in host) != (":" in address.host) or host.startswith("127.") != address.host.startswith("127."):
            return
        turn_server = TurnServer(address, server.username, server.credential, server.protocol)
        name = (tls_name or server.host) if server.protocol == "tls" else None
        try:
            base = self._stream_sockets().connect_turn(host, address, name)
            self._turn_streams[base] = server, turn_server, host
            self._machine.add_turn_stream(base, turn_server, now)
        except (OSError, LocalError) as error:
            logger.info("%s from %s: %s", server.url, host, error)

    def relay_moved(self, moved: TurnServer, domain: str | None) -> None:
        """Open streams to the server that another one has named."""
        server = next((s for s, at in self._turn_addresses if at.port and s.protocol == moved.protocol), None)
        if server is not None:
            for host in list(self._locals):
                self._connect(server, moved.address, host, time.monotonic(), domain)
            self._flush()

    def relay_given_back(self, server: TurnServer) -> None:
        """Close the streams to a server on which there is no allocation any more."""
        for base in [base for base, (_, used, _) in self._turn_streams.items() if used == server]:
            del self._turn_streams[base]
            self._stream_sockets().remove(base)

    def _on_stream_closed(self, local: Address, remote: Address) -> None:
        now = time.monotonic()
        known = self._turn_streams.pop(local, None)
        if known is None:
            self._machine.path_closed(local, remote, now)
        else:
            server, _, host = known
            logger.info("%s: the connection from %s ended", server.url, local)
            self._machine.stream_closed(local, now)
            if server in self._servers:
                self._reconnect_later(server, remote, host)
        self._flush()

    def _reconnect_later(self, server: Server, address: Address, host: str) -> None:
        if self._closed or self._loop is None:
            return
        times = self._reconnects[host, address] = self._reconnects.get((host, address), -1) + 1
        delay = min(RECONNECT_DELAY * 2.0**times, MAX_RECONNECT_DELAY)

        def again() -> None:
            self._timers.discard(handle)
            if host in self._locals and server in self._servers:
                self._connect(server, address, host, time.monotonic())
                self._flush()

        handle = self._loop.call_later(delay, again)
        self._timers.add(handle)

    # -- names -------------------------------------------------------------------------------------------------

    def _names(self) -> Resolver:
        if self._resolver is None:
            self._resolver = Resolver([local.entry for local in self._locals.values()])
        return self._resolver

    def resolve(self, name: str) -> None:
        """Look up the `.local` name of a remote candidate."""
        self._spawn(self._resolve(name), "mdns")

    async def _resolve(self, name: str) -> None:
        hosts = [] if self._relay_only else await self._names().resolve(name)
        self._machine.name_resolved(name, hosts, time.monotonic())
        self._flush()

    # -- data --------------------------------------------------------------------------------------------------

    def send(self, datagrams: list[Datagram]) -> None:
        """Send datagrams from the sockets that they name, in order."""
        start, end = 0, len(datagrams)
        while start < end:
            local = datagrams[start].local
            stop = start + 1
            while stop < end and datagrams[stop].local == local:
                stop += 1
            run = datagrams if stop - start == end else datagrams[start:stop]
            sock = self.sockets.get(local)
            if sock is not None:
                sock.send(run)
            elif self._streams is not None and local.transport == "tcp":
                self._streams.send(run)
            start = stop

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Free everything; idempotent."""
        self._closed = True
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()
        if self._prepared is not None:
            self._prepared.end_unless_used()
        for closable in (self._watch, self._resolver, self._streams, *self.sockets.values()):
            if closable is not None:
                closable.close()
