"""TURN relays below ICE: one client per socket and server, and each allocation a local address like a socket's.

What leaves from a relayed address is wrapped for its server here, and what a server passes on is unwrapped, so that
ICE and everything above see two ends and no relay.
"""

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, TypeAlias

from .. import turn
from ..core import Address, Datagram, LocalError, Machine, PeerError, RandomBytes

MAX_RELAYS: Final = 16
"""Allocations asked for at a time: two servers from some interfaces. Each costs a socket at the server."""
MAX_TURN_SERVERS: Final = 8
"""Servers that are used from every UDP socket."""
RETRY_INTERVAL: Final = 30.0
"""Seconds before an allocation that the server keeps forgetting is asked for again."""

_BINDING: Final = frozenset({b"\x00\x01", b"\x00\x11", b"\x01\x01", b"\x01\x11"})  # all classes: RFC 8489 section 5


@dataclass(frozen=True, slots=True)
class TurnServer:
    """A TURN server and who we are to it.

    Args:
        address: Where it is; its transport is `tcp` for TCP and TLS.
        username: Of the long-term credential.
        credential: Its password.
        protocol: `udp`, `tcp` or `tls`, as it goes to the server; peers are reached over UDP always.
    """

    address: Address
    username: str
    credential: str = field(repr=False)
    protocol: str = "udp"


@dataclass(slots=True)
class RelayAllocated:
    """A server relays for us: `relayed` is a local address now.

    Args:
        relayed: Where peers reach us.
        base: The socket or stream whose traffic the server relays.
        mapped: That, as the server sees it.
        server: The server.
    """

    relayed: Address
    base: Address
    mapped: Address | None
    server: TurnServer


@dataclass(slots=True)
class RelayLost:
    """An allocation came to an end, or to nothing.

    Args:
        relayed: The address that is gone; None if there never was one.
        server: The server.
        error: Why; None if it was given back.
    """

    relayed: Address | None
    server: TurnServer
    error: PeerError | None


@dataclass(slots=True)
class RelayMoved:
    """A server reached over a stream wants another one to be used: open a stream to it (RFC 8489 section 10)."""

    server: TurnServer
    domain: str | None


RelayEvent: TypeAlias = RelayAllocated | RelayLost | RelayMoved


@dataclass(slots=True, eq=False)
class _Relay:
    base: Address
    server: TurnServer
    client: turn.Client
    tried: tuple[Address, ...]
    started: float
    relayed: Address | None = None
    channels: set[Address] = field(default_factory=set)  # asked for


class Relays(Machine[Datagram, Datagram, RelayEvent]):
    """All allocations of one connection.

    Args:
        random_bytes: Source of transaction ids and jitter.
        timeout: Seconds after which gathering no longer waits for a server; it may still answer later.

    Attributes:
        table: The relays, by the address from where and the one of the server.
        outgoing: What the next drain returns.
    """

    def __init__(self, *, random_bytes: RandomBytes, timeout: float) -> None:
        super().__init__()
        self._random_bytes = random_bytes
        self._timeout = timeout
        self._bases: list[Address] = []
        self._servers: list[TurnServer] = []
        self._retired: set[Address] = set()  # servers that have allocations yet and are not to have any
        self.table: dict[tuple[Address, Address], _Relay] = {}
        self._by_relayed: dict[Address, _Relay] = {}
        self._received: list[Datagram] = []
        self.outgoing: list[Datagram] = []
        self._retried: dict[tuple[Address, Address], float] = {}
        self._closed = False

    def __bool__(self) -> bool:
        return bool(self.table)

    @property
    def bases(self) -> set[Address]:
        """From where servers are reached."""
        return {relay.base for relay in self.table.values()}

    @property
    def settled(self) -> bool:
        """Whether gathering has nothing more to expect: every server has answered or had its time."""
        return all(relay.relayed or self._now >= relay.started + self._timeout for relay in self.table.values())

    @property
    def dropped(self) -> Counter[str]:
        """Of all clients, those that are gone too."""
        total = Counter(self._dropped)
        for relay in self.table.values():
            total.update(relay.client.dropped)
        return total

    # -- sockets and servers -----------------------------------------------------------------------------------

    def add_base(self, base: Address, now: float) -> None:
        """Use a UDP socket for all servers, present and future."""
        now = self._clamp(now)
        if base in self._bases:
            return
        self._bases.append(base)
        for server in self._servers:
            self._start(base, server, now)

    def add_server(self, server: TurnServer, now: float) -> None:
        """Use a server that is reached over UDP, from all sockets, present and future.

        Raises:
            LocalError: It is not reached over UDP, is known already, or there are too many.
        """
        now = self._clamp(now)
        if server.protocol != "udp" or server.address.transport != "udp":
            raise LocalError(f"{server.address} is not reached over UDP: open a stream to it, then add the stream")
        if any(known.address == server.address for known in self._servers):
            raise LocalError(f"{server.address} is known already")
        if len(self._servers) >= MAX_TURN_SERVERS:
            raise LocalError(f"more than {MAX_TURN_SERVERS} TURN servers")
        self._servers.append(server)
        self._retired.discard(server.address)
        for base in self._bases:
            self._start(base, server, now)

    def add_stream(self, base: Address, server: TurnServer, now: float, tried: tuple[Address, ...] = ()) -> None:
        """Use a stream that was opened to a server.

        Raises:
            LocalError: One of the addresses is not that of a stream, or the stream is known.
        """
        now = self._clamp(now)
        if base.transport != "tcp" or server.address.transport != "tcp" or server.protocol == "udp":
            raise LocalError("the addresses and the protocol of a stream are TCP's")
        if (base, server.address) in self.table:
            raise LocalError(f"the stream from {base} to {server.address} is known already")
        self._retired.discard(server.address)
        self._start(base, server, now, tried)

    def forget_server(self, address: Address) -> None:
        """Make no more allocations on a server; those that there are wait for `release`. It may be unknown."""
        self._servers = [server for server in self._servers if server.address != address]
        if any(relay.server.address == address for relay in self.table.values()):
            self._retired.add(address)

    @property
    def retired(self) -> list[Address]:
        """Relayed addresses on servers that were forgotten."""
        return [relay.relayed for relay in self._of_retired() if relay.relayed is not None]

    def release(self, now: float, *, but: Address | None) -> None:
        """Give back what is on servers that were forgotten.

        Args:
            now: The time.
            but: A relayed address that is in use yet.
        """
        now = self._clamp(now)
        for relay in self._of_retired():
            if relay.relayed is None or relay.relayed != but:
                relay.client.close(now)
                self._take_events(relay, now)
        self._retired &= {relay.server.address for relay in self.table.values()}

    def _of_retired(self) -> list[_Relay]:
        return [relay for relay in self.table.values() if relay.server.address in self._retired]

    def remove_base(self, base: Address, now: float) -> None:
        """Take note that a socket or stream is gone, and with it what was relayed over it."""
        self._clamp(now)
        if base in self._bases:
            self._bases.remove(base)
        for relay in [relay for relay in self.table.values() if relay.base == base]:
            self._lose(relay, PeerError("turn", "path-closed", f"the path from {base} is gone"))

    def _start(self, base: Address, server: TurnServer, now: float, tried: tuple[Address, ...] = ()) -> None:
        if self._closed or (base, server.address) in self.table or not _reaches(base, server.address):
            return
        if len(self.table) >= MAX_RELAYS:
            self._dropped["too-many-relays"] += 1
            return
        client = turn.Client(
            server.address,
            server.username,
            server.credential,
            random_bytes=self._random_bytes,
            requested_family=6 if ":" in base.host else None,
            reliable=server.protocol != "udp",
            tried=tried,
        )
        client.start(now)
        self.table[base, server.address] = _Relay(base, server, client, tried, now)
        self._timers.set((base, server.address), now + self._timeout)

    # -- traffic -----------------------------------------------------------------------------------------------

    def owns(self, datagram: Datagram) -> bool:
        """Tell whether a datagram comes from a server in its role as relay; it may be our STUN server too."""
        return (datagram.local, datagram.remote) in self.table and datagram.data[:2] not in _BINDING

    def receive_datagram(self, datagram: Datagram, now: float) -> None:
        """Take what came from a server; `take` has what a peer sent through it."""
        now = self._clamp(now)
        relay = self.table.get((datagram.local, datagram.remote))
        if relay is None:
            self._dropped["unknown-server"] += 1
            return
        relay.client.receive_datagram(datagram.data, now)
        relayed = relay.relayed
        for data, peer in relay.client.take_data():
            if relayed is not None:
                self._received.append(Datagram(data, peer, relayed))
        self._take_events(relay, now)

    def take(self) -> list[Datagram]:
        """Return and forget what peers have sent, as if it had come to a socket at the relayed address."""
        received, self._received = self._received, []
        return received

    def wrap(self, datagrams: list[Datagram], now: float) -> list[Datagram]:
        """Return datagrams as they leave: those from a relayed address go to its server; the order stays."""
        now = self._clamp(now)
        by_relayed = self._by_relayed
        if not by_relayed:
            return datagrams
        out: list[Datagram] = []
        for datagram in datagrams:
            relay = by_relayed.get(datagram.local)
            if relay is None:
                out.append(datagram)
            else:
                self._relay(relay, datagram, now)
                self._drain(relay, out, now)
        return out

    def _relay(self, relay: _Relay, datagram: Datagram, now: float) -> None:
        client, peer, data = relay.client, datagram.remote, datagram.data
        try:
            if peer not in relay.channels:
                client.create_permission(peer.host, now)
                if data and data[0] > 3:  # no STUN: this path carries data, and deserves a channel (RFC 7983)
                    client.bind_channel(peer, now)
                    relay.channels.add(peer)
            client.send(data, peer, now)
        except LocalError:  # of another family, too many, or too long
            self._dropped["not-relayed"] += 1

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """What the clients themselves have to tell their servers."""
        now = self._clamp(now)
        out, self.outgoing = self.outgoing, []
        for relay in self.table.values():
            self._drain(relay, out, now)
        return out

    @staticmethod
    def _drain(relay: _Relay, out: list[Datagram], now: float) -> None:
        base, server = relay.base, relay.server.address
        stream = server.transport == "tcp"
        out.extend(
            Datagram(turn.frame(data) if stream else data, server, base) for data in relay.client.datagrams_to_send(now)
        )

    def handle_timer(self, now: float) -> None:
        """Pass time to the clients."""
        now = self._clamp(now)
        self._timers.expire(now)  # they only wake whoever asks for `settled`
        for relay in list(self.table.values()):
            relay.client.handle_timer(now)
            self._take_events(relay, now)

    def next_timer(self) -> float | None:
        """The earliest of all clients."""
        if not self.table:
            return self._timers.next_deadline()
        times = [self._timers.next_deadline(), *(relay.client.next_timer() for relay in self.table.values())]
        return min((time for time in times if time is not None), default=None)

    # -- what became of them -----------------------------------------------------------------------------------

    def _take_events(self, relay: _Relay, now: float) -> None:
        while (event := relay.client.next_event()) is not None:
            match event:
                case turn.Allocated(relayed, mapped):
                    relay.relayed = relayed
                    self._by_relayed[relayed] = relay
                    self._timers.cancel((relay.base, relay.server.address))
                    self._events.append(RelayAllocated(relayed, relay.base, mapped, relay.server))
                case turn.Redirected(server, domain):
                    self._redirect(relay, server, domain, now)
                    return
                case turn.PermissionFailed():
                    self._dropped["permission-failed"] += 1
                case turn.ChannelFailed():  # indications do it too, and asking again would fail again
                    self._dropped["channel-failed"] += 1
                case turn.Closed(error):
                    self._ended(relay, error, now)
                    return
                case _:
                    pass

    def _redirect(self, relay: _Relay, target: Address, domain: str | None, now: float) -> None:
        """Go where the server points: RFC 8489 section 10."""
        server = dataclasses.replace(relay.server, address=target._replace(transport=relay.server.address.transport))
        tried = (*relay.tried, relay.server.address)
        self._forget(relay)
        if relay.server.protocol == "udp":
            self._start(relay.base, server, now, tried)
        else:
            self._events.append(RelayMoved(server, domain))

    def _ended(self, relay: _Relay, error: PeerError | None, now: float) -> None:
        forgotten = error is not None and error.reason == "allocation-mismatch" and relay.relayed is not None
        self._lose(relay, error)
        key = relay.base, relay.server.address
        if forgotten and now - self._retried.get(key, float("-inf")) >= RETRY_INTERVAL:  # the server has restarted
            self._retried[key] = now  # as many as there are paths to servers
            self._start(relay.base, relay.server, now, relay.tried)

    def _lose(self, relay: _Relay, error: PeerError | None) -> None:
        self._forget(relay)
        self._events.append(RelayLost(relay.relayed, relay.server, error))

    def _forget(self, relay: _Relay) -> None:
        key = relay.base, relay.server.address
        self.table.pop(key, None)
        self._timers.cancel(key)
        if relay.relayed is not None:
            self._by_relayed.pop(relay.relayed, None)
        self._dropped.update(relay.client.dropped)

    def close(self, now: float) -> None:
        """Give all allocations back; the requests leave with the next drain, and nobody waits for their answers."""
        now = self._clamp(now)
        if self._closed:
            return
        self._closed = True
        for relay in list(self.table.values()):
            relay.client.close(now)
            self._drain(relay, self.outgoing, now)
            self._forget(relay)
        self._timers.clear()


def _reaches(base: Address, server: Address) -> bool:
    """Tell whether packets from one can get to the other: same family, and loopback stays among itself."""
    ours, theirs = ip_address(base.host), ip_address(server.host)
    return ours.version == theirs.version and ours.is_loopback == theirs.is_loopback
