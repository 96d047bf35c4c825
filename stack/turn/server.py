"""The TURN server, without sockets (RFC 8656 and 6062)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..core import Address, Datagram, Machine, ParseError, RandomBytes
from ..stun import BINDING, Authenticated, Authenticator, Class, Message, Refused, binding_response, userhash
from ..stun.limiter import Limiter
from . import wire
from .allocation import MAX_OUTGOING, Allocation, Channel, Context, Refusal, Request
from .allocator import Allocator
from .configuration import ServerConfiguration
from .connections import Connections
from .events import Closed, ServerEvent
from .responses import error_response

MAX_PERMISSIONS: Final = 256
"""Hosts with a permission in one allocation: more than the candidates that an ICE agent takes, for some agents."""
MAX_CHANNELS: Final = 256
"""Channels in one allocation."""
RATE: Final = 10.0
"""Answers per second that one source gets before it has authenticated, in the long run."""
BURST: Final = 40.0
"""Answers at once: some clients behind one NAT that begin together."""

_NEVER: Final = float("-inf")
_REFUSALS: Final = {400: "incomplete-credentials", 401: "unauthenticated", 438: "stale-nonce"}


class Server(Machine[Datagram, Datagram, ServerEvent]):
    """Relays between authenticated clients and the peers that they name.

    Datagrams come from and go to the socket that `local` names: one that clients use, or one that was asked for with
    `RelayRequested`. One server serves UDP, TCP and TLS clients at once, so that quotas hold for all of them: a
    message of a stream (`StreamDeframer`, `frame`) comes and goes with transport `tcp` in both addresses. TLS
    connections come to a port of their own.

    Args:
        configuration: What it does for whom.
        random_bytes: Source of nonces, ports and transaction ids.
        epoch: UNIX time at `now` = 0, by which time-limited credentials expire.
    """

    def __init__(self, configuration: ServerConfiguration, *, random_bytes: RandomBytes, epoch: float = 0.0) -> None:
        super().__init__()
        self._configuration = configuration
        self._random_bytes = random_bytes
        self._epoch = epoch
        hashes = {userhash(name, configuration.realm): name for name in configuration.users}
        self._authenticator = Authenticator(
            configuration.realm,
            configuration.passwords,
            random_bytes=random_bytes,
            algorithms=configuration.algorithms,
            username_of=hashes.get if configuration.username_anonymity else None,
            nonce_lifetime=configuration.nonce_lifetime,
        )
        self._context = Context(configuration, random_bytes, self._timers, self._events, self._dropped)
        self._permits = self._context.policy.permits
        self._connections = Connections(self._context)
        self._allocator = Allocator(self._context, self._connections.release)
        self._allocations = self._allocator.allocations
        self._relays = self._context.relays
        self._limiter = Limiter(RATE, BURST)
        self._closed = False
        self._handlers: dict[int, Callable[[Request, Allocation, float], None]] = {
            wire.REFRESH: self._allocator.refresh,
            wire.CREATE_PERMISSION: self._create_permission,
            wire.CHANNEL_BIND: self._channel_bind,
        }
        self._methods = {wire.ALLOCATE, *self._handlers}
        if configuration.tcp_relays:
            self._handlers[wire.CONNECT] = self._connections.connect
            self._methods |= {wire.CONNECT, wire.CONNECTION_BIND}

    @property
    def allocations(self) -> int:
        """How many allocations there are."""
        return len(self._allocations)

    def has_allocation(self, client: Address, local: Address) -> bool:
        """Tell whether a client has an allocation by the path from `client` to `local`."""
        return (client, local) in self._allocations

    # What the caller's sockets do

    def relay_opened(self, relayed: Address, now: float) -> None:
        """Say that the socket asked for with `RelayRequested` is bound.

        Raises:
            LocalError: It is not asked for, or not any more.
        """
        self._allocator.opened(relayed, self._clamp(now))

    def relay_failed(self, relayed: Address, now: float) -> None:
        """Say that the socket asked for cannot be bound; another port is asked for, some times.

        Raises:
            LocalError: It is not asked for, or not any more.
        """
        self._allocator.failed(relayed, self._clamp(now))

    def connection_lost(self, client: Address, local: Address, now: float) -> None:
        """Say that a client's TCP or TLS connection is gone; its allocation goes with it."""
        self._clamp(now)
        allocation = self._allocations.get((client, local))
        if allocation is not None:
            for relayed in list(allocation.expires):
                self._allocator.delete(relayed)

    def peer_connected(self, connection_id: int, now: float) -> None:
        """Say that the connection asked for with `PeerConnectionRequested` is there.

        Raises:
            LocalError: It is not asked for, or not any more.
        """
        self._connections.connected(connection_id, self._clamp(now))

    def peer_failed(self, connection_id: int, now: float) -> None:
        """Say that the connection asked for with `PeerConnectionRequested` cannot be had.

        Raises:
            LocalError: It is not asked for, or not any more.
        """
        self._clamp(now)
        self._connections.failed(connection_id)

    def peer_accepted(self, relayed: Address, peer: Address, now: float) -> int | None:
        """Say that a peer has connected to a relayed address.

        Returns:
            What the connection is called; None if it must be closed at once.
        """
        now = self._clamp(now)
        allocation = self._relays.get(relayed)
        return None if allocation is None else self._connections.accepted(allocation, relayed, peer, now)

    def peer_lost(self, connection_id: int, now: float) -> None:
        """Say that a peer's connection, or the client's that is bound to it, is gone; both have to be closed."""
        self._clamp(now)
        self._connections.lost(connection_id)

    # The machine

    def receive_datagram(self, datagram: Datagram, now: float) -> None:
        """Take what came from a client, or to a relayed address."""
        now = self._clamp(now)
        if self._closed:
            self.dropped["closed"] += 1
            return
        allocation = self._relays.get(datagram.local)
        if allocation is not None:
            self._receive_from_peer(allocation, datagram, now)
            return
        try:
            if wire.is_old_channel_data(datagram.data):
                self._receive_channel_data(datagram, now)
            else:
                self._receive_message(datagram, Message.parse(datagram.data), now)
        except ParseError as error:
            self.dropped[error.reason] += 1

    def receive_batch(self, batch: Sequence[Datagram], now: float) -> None:
        """Take several datagrams; the same as `receive_datagram` with each of them, only faster."""
        now = self._clamp(now)
        context = self._context
        outgoing, relays, allocations = context.outgoing, context.relays, self._allocations
        if self._closed or len(outgoing) + len(batch) > MAX_OUTGOING:
            for datagram in batch:
                self.receive_datagram(datagram, now)
            return
        # Channel data both ways, which is nearly all that a relay sees; the rest goes the long way.
        for datagram in batch:
            data, remote, local = datagram.data, datagram.remote, datagram.local
            allocation = relays.get(local)
            if allocation is not None:
                channel = allocation.channels.get(remote)
                if (
                    channel is not None
                    and channel.until > now
                    and allocation.permissions.get(remote.host, _NEVER) > now
                    and len(data) <= wire.MAX_DATA
                ):
                    message = wire.channel_data(channel.number, data)
                    outgoing.append(Datagram(message, allocation.client, allocation.local))
                    continue
            elif len(data) >= 4 and 0x40 <= data[0] <= 0x7F:
                allocation = allocations.get((remote, local))
                number, length = wire.unpack_channel(data)
                channel = None if allocation is None else allocation.numbers.get(number)
                if (
                    channel is not None
                    and allocation is not None
                    and channel.until > now
                    and not channel.hairpin
                    and len(data) >= 4 + length
                    and allocation.permissions.get(channel.peer.host, _NEVER) > now
                ):
                    outgoing.append(Datagram(data[4 : 4 + length], channel.peer, channel.relayed))
                    continue
            self.receive_datagram(datagram, now)

    def handle_timer(self, now: float) -> None:
        """Expire allocations, reservations and connections."""
        now = self._clamp(now)
        for name in self._timers.expire(now):
            if isinstance(name, int):
                self._connections.expire(name)
            else:
                self._allocator.expire(name, now)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Return what goes to clients and peers, each from its `local` socket."""
        self._clamp(now)
        outgoing = list(self._context.outgoing)
        self._context.outgoing.clear()
        return outgoing

    def close(self, now: float) -> None:
        """End all allocations at once; TURN has nothing to tell clients about it."""
        self._clamp(now)
        if self._closed:
            return
        self._closed = True
        self._connections.close()
        self._allocator.close()
        self._context.outgoing.clear()
        self._timers.clear()
        self._events.append(Closed())

    # Messages of clients

    def _receive_message(self, datagram: Datagram, message: Message, now: float) -> None:
        if message.message_class is Class.INDICATION and message.method == wire.SEND:
            self._receive_send(datagram, message, now)
        elif message.message_class is not Class.REQUEST:
            self.dropped["unexpected-message"] += 1
        elif message.method == BINDING:
            response = binding_response(message, datagram.remote)
            if response is not None:
                self._answer_stranger(datagram, response, now)
        elif message.method in self._methods:
            self._receive_request(datagram, message, now)
        else:
            self.dropped["unknown-method"] += 1

    def _receive_request(self, datagram: Datagram, message: Message, now: float) -> None:
        source = datagram.remote
        if message.method == wire.CONNECTION_BIND:
            # Nonces are of one client's address; RFC 6062 section 4.3 wants those of the control connection to do.
            source = self._connections.client_of(message) or source
        who = self._authenticator.authenticate(message, source, now)
        expires = message.method == wire.ALLOCATE  # what is allocated outlives its time-limited username
        if isinstance(who, Authenticated) and expires and self._is_expired(who.username, now):
            who = Refused(401, challenge=True)
        if isinstance(who, Refused):
            self.dropped[_REFUSALS[who.code]] += 1
            response = error_response(message, who.code)
            if who.challenge:
                self._authenticator.challenge(response, source, now)
            self._answer_stranger(datagram, response.serialize(fingerprint=message.has_fingerprint), now)
            return
        request = Request(message, datagram, who)
        try:
            if message.method == wire.ALLOCATE:
                self._allocator.allocate(request, now)
                return
            if wire.unknown_attributes(message):
                raise Refusal(420)  # noqa: TRY301  one place answers them all
            if message.method == wire.CONNECTION_BIND:
                self._connections.bind(request)
            else:
                self._handlers[message.method](request, self._allocator.find(request), now)
        except Refusal as refusal:
            self._context.refuse(request, refusal.code)
        except ParseError:
            self._context.refuse(request, 400)

    def _is_expired(self, username: str, now: float) -> bool:
        return self._configuration.is_expired(username, now + self._epoch)

    def _create_permission(self, request: Request, allocation: Allocation, now: float) -> None:
        hosts = {peer.host for peer in wire.addresses(request.datagram.data, wire.XOR_PEER_ADDRESS)}
        if not hosts:
            raise Refusal(400)
        for host in hosts:
            self._context.check_host(allocation, host)
        self._permit(allocation, hosts, now)
        self._context.answer(request, Message(wire.CREATE_PERMISSION, Class.SUCCESS, request.message.transaction_id))

    def _channel_bind(self, request: Request, allocation: Allocation, now: float) -> None:
        number = wire.channel(request.message)
        peer = wire.address(request.message, wire.XOR_PEER_ADDRESS)
        if number is None or peer is None or not wire.FIRST_CHANNEL <= number <= wire.LAST_OLD_CHANNEL:
            raise Refusal(400)
        if allocation.transport != "udp":
            raise Refusal(400)  # RFC 6062 has no channels
        self._context.check_host(allocation, peer.host)
        if not self._context.reaches(peer):
            raise Refusal(403)
        allocation.purge(now)
        bound = allocation.channels.get(peer)
        taken = allocation.numbers.get(number)
        if (taken is not None and taken.peer != peer) or (bound is not None and bound.number != number):
            raise Refusal(400)
        if bound is None and len(allocation.channels) >= MAX_CHANNELS:
            raise Refusal(508)
        self._permit(allocation, {peer.host}, now)
        relayed = allocation.relays[wire.family_of(peer.host)]
        hairpin = not self._permits(peer.host)
        channel = Channel(number, peer, relayed, now + wire.CHANNEL_LIFETIME, hairpin)
        allocation.channels[peer] = allocation.numbers[number] = channel
        self._context.answer(request, Message(wire.CHANNEL_BIND, Class.SUCCESS, request.message.transaction_id))

    def _permit(self, allocation: Allocation, hosts: Iterable[str], now: float) -> None:
        if len(allocation.permissions.keys() | hosts) > MAX_PERMISSIONS:
            allocation.purge(now)
            if len(allocation.permissions.keys() | hosts) > MAX_PERMISSIONS:
                raise Refusal(508)
        for host in hosts:
            allocation.permissions[host] = now + wire.PERMISSION_LIFETIME

    # Data

    def _receive_channel_data(self, datagram: Datagram, now: float) -> None:
        number, data = wire.parse_channel_data(datagram.data)
        allocation = self._allocations.get((datagram.remote, datagram.local))
        if allocation is None:
            self.dropped["no-allocation"] += 1
            return
        channel = allocation.numbers.get(number)
        if channel is None or channel.until <= now:
            self.dropped["unknown-channel"] += 1
        elif allocation.permissions.get(channel.peer.host, _NEVER) <= now:
            self.dropped["no-permission"] += 1
        elif channel.hairpin:
            self._hairpin(channel.peer, channel.relayed, data, now)
        else:
            self._context.put(Datagram(data, channel.peer, channel.relayed))

    def _receive_send(self, datagram: Datagram, message: Message, now: float) -> None:
        allocation = self._allocations.get((datagram.remote, datagram.local))
        peer = wire.address(message, wire.XOR_PEER_ADDRESS)
        data = wire.raw(message, wire.DATA)
        if allocation is None or allocation.transport != "udp":
            self.dropped["no-allocation"] += 1
        elif wire.unknown_attributes(message):
            self.dropped["unknown-attributes"] += 1
        elif peer is None or data is None:
            self.dropped["missing-attributes"] += 1
        elif allocation.permissions.get(peer.host, _NEVER) <= now:
            self.dropped["no-permission"] += 1
        else:
            relayed = allocation.relays[wire.family_of(peer.host)]
            if not self._permits(peer.host):
                self._hairpin(peer, relayed, data, now)
            elif peer.port == 0:
                self.dropped["forbidden-peer"] += 1
            else:
                self._context.put(Datagram(data, peer, relayed))

    def _hairpin(self, peer: Address, relayed: Address, data: bytes, now: float) -> None:
        """Hand data to another client of ours, without the detour through two sockets."""
        other = self._relays.get(peer) if self._configuration.relay_to_relay else None
        if other is None:
            self.dropped["forbidden-peer"] += 1
        else:
            self._receive_from_peer(other, Datagram(data, relayed, peer), now)

    def _receive_from_peer(self, allocation: Allocation, datagram: Datagram, now: float) -> None:
        peer, data = datagram.remote, datagram.data
        if allocation.permissions.get(peer.host, _NEVER) <= now:
            self.dropped["no-permission"] += 1
            return
        if len(data) > wire.MAX_DATA:
            self.dropped["too-long"] += 1
            return
        bound = allocation.channels.get(peer)
        if bound is not None and bound.until > now:
            message = wire.channel_data(bound.number, data)
        else:
            message = wire.relay_message(wire.DATA_INDICATION, self._random_bytes(12), peer, data)
        self._context.put(Datagram(message, allocation.client, allocation.local))

    def _answer_stranger(self, datagram: Datagram, response: bytes, now: float) -> None:
        """Answer without authentication: no more bytes than came, or not often (RFC 8656 section 21.4)."""
        if len(response) > len(datagram.data) and not self._limiter.allows(datagram.remote.host, now):
            self.dropped["rate-limited"] += 1
            return
        self._context.put(Datagram(response, datagram.remote, datagram.local))
