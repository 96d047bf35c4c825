"""What a TURN server remembers of its clients (RFC 8656 section 6), and how it answers them."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Final

from ..core import Address, Datagram, RandomBytes, Timers
from ..stun import Authenticated, Message
from . import wire
from .configuration import ServerConfiguration
from .events import ServerEvent
from .policy import PeerPolicy
from .responses import error_response

MAX_OUTGOING: Final = 8192
"""Datagrams between two drains; live data, so the oldest goes first."""


@dataclass(slots=True)
class Request:
    """A request that was authenticated."""

    message: Message
    datagram: Datagram
    who: Authenticated


class Refusal(Exception):  # noqa: N818  it is an answer more than an error
    """Answer a request with this error code."""

    def __init__(self, code: int) -> None:
        self.code = code


@dataclass(slots=True, eq=False)
class Channel:
    """One binding of a channel, with what its data needs.

    Args:
        number: The channel number.
        peer: Where its data goes.
        relayed: Where from.
        until: When it expires.
        hairpin: Whether the peer is on the server itself, so that it has to be a relayed address.
    """

    number: int
    peer: Address
    relayed: Address
    until: float
    hairpin: bool


@dataclass(slots=True, eq=False)
class Allocation:
    """One client's allocation; times are when something expires.

    Args:
        client: The client's address.
        local: Ours that it talks to.
        username: Whose it is.
        transaction_id: Of the request that created it.
        relays: Relayed address by family; two in a dual allocation.
        expires: When each relayed address does.
        token: Of the port that was reserved along with it, if any.
        address_error: Why there is no second relayed address though one was wanted, or 0.
        permissions: Expiry by host.
        channels: By peer.
        numbers: The same by channel number.
    """

    client: Address
    local: Address
    username: str
    transaction_id: bytes
    relays: dict[int, Address]
    expires: dict[Address, float]
    token: bytes = b""
    address_error: int = 0
    permissions: dict[str, float] = field(default_factory=dict)
    channels: dict[Address, Channel] = field(default_factory=dict)
    numbers: dict[int, Channel] = field(default_factory=dict)

    @property
    def transport(self) -> str:
        """Between the server and peers: `udp` or `tcp`."""
        return next(iter(self.relays.values())).transport

    def purge(self, now: float) -> None:
        """Forget what has expired."""
        self.permissions = {host: until for host, until in self.permissions.items() if until > now}
        self._keep({peer: channel for peer, channel in self.channels.items() if channel.until > now})

    def forget_family(self, family: int) -> None:
        """Forget one relayed address and what depends on it."""
        relayed = self.relays.pop(family)
        del self.expires[relayed]
        self.permissions = {host: until for host, until in self.permissions.items() if wire.family_of(host) != family}
        self._keep({peer: channel for peer, channel in self.channels.items() if channel.relayed != relayed})

    def _keep(self, channels: dict[Address, Channel]) -> None:
        self.channels = channels
        self.numbers = {channel.number: channel for channel in channels.values()}


class Context:
    """What the parts of a server share.

    Args:
        configuration: Of the server.
        random_bytes: Its source of ports, tokens and ids.
        timers: Its timers.
        events: Its events.
        dropped: Its counters.
    """

    def __init__(
        self,
        configuration: ServerConfiguration,
        random_bytes: RandomBytes,
        timers: Timers,
        events: deque[ServerEvent],
        dropped: Counter[str],
    ) -> None:
        self.configuration = configuration
        self.random_bytes = random_bytes
        self.timers = timers
        self.events = events
        self.dropped = dropped
        self.outgoing: deque[Datagram] = deque()
        self.relays: dict[Address, Allocation] = {}
        self.hosts = {wire.family_of(host): host for host in configuration.relay_hosts}
        own = (*configuration.relay_hosts, *configuration.own_hosts)
        self.policy = PeerPolicy(configuration.allowed_peers, configuration.denied_peers, own)

    def put(self, datagram: Datagram) -> None:
        """Have a datagram sent."""
        if len(self.outgoing) >= MAX_OUTGOING:
            self.outgoing.popleft()
            self.dropped["send-queue-full"] += 1
        self.outgoing.append(datagram)

    def answer(self, request: Request, response: Message) -> None:
        """Send a response that only the server can have made."""
        who, datagram = request.who, request.datagram
        response.software = self.configuration.software or None
        data = response.serialize(key=who.key, sha256=who.sha256, fingerprint=request.message.has_fingerprint)
        self.put(Datagram(data, datagram.remote, datagram.local))

    def refuse(self, request: Request, code: int) -> None:
        """Send an error response."""
        self.answer(request, error_response(request.message, code))

    def check_host(self, allocation: Allocation, host: str) -> None:
        """Check that a host may be a peer of an allocation.

        Raises:
            Refusal: 443 or 403.
        """
        if wire.family_of(host) not in allocation.relays:
            raise Refusal(443)
        ourselves = host == allocation.local.host and not self.policy.names(host)
        if not self.is_hairpin(host) and (ourselves or not self.policy.permits(host)):
            raise Refusal(403)

    def reaches(self, peer: Address) -> bool:
        """Tell whether data may go to a peer: a host that policy permits, or a relayed address of another client.

        On the server's own addresses that is all: what else listens there is none of a client's business.
        """
        if self.policy.permits(peer.host):
            return peer.port != 0
        return self.configuration.relay_to_relay and peer in self.relays

    def is_hairpin(self, host: str) -> bool:
        """Tell whether another client may be reached at a host through its relayed address."""
        return self.configuration.relay_to_relay and host in self.hosts.values()
