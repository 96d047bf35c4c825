"""The TURN server, without sockets (RFC 8656)."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..core import Address, Datagram, LocalError, Machine, ParseError, RandomBytes
from ..stun import BINDING, Authenticated, Authenticator, Class, Message, Refused, binding_response, userhash
from . import wire
from .configuration import ServerConfiguration
from .events import AllocationCreated, Closed, RelayReleased, RelayRequested, ServerEvent
from .limiter import Limiter
from .policy import PeerPolicy

MAX_PERMISSIONS: Final = 256
"""Hosts with a permission in one allocation: more than the candidates that an ICE agent takes, for some agents."""
MAX_CHANNELS: Final = 256
"""Channels in one allocation."""
MAX_OUTGOING: Final = 8192
"""Datagrams between two drains; live data, so the oldest goes first."""
RELAY_ATTEMPTS: Final = 8
"""Ports that are tried for one allocation when the caller finds them taken."""
RELAY_TIMEOUT: Final = 5.0
"""Seconds for the caller to open a socket, after which the client is told that there is none."""

if TYPE_CHECKING:
    from collections.abc import Callable

_ERRORS: Final = {
    400: "Bad Request",
    401: "Unauthenticated",
    403: "Forbidden",
    420: "Unknown Attribute",
    437: "Allocation Mismatch",
    438: "Stale Nonce",
    440: "Address Family not Supported",
    441: "Wrong Credentials",
    442: "Unsupported Transport Protocol",
    443: "Peer Address Family Mismatch",
    486: "Allocation Quota Reached",
    508: "Insufficient Capacity",
}
_NEVER: Final = float("-inf")
_REFUSALS: Final = {400: "incomplete-credentials", 401: "unauthenticated", 438: "stale-nonce"}
_ADDITIONAL_IPV6_REFUSED: Final = b"\x02\0\x04\x28" + _ERRORS[440].encode()


@dataclass(slots=True)
class _Request:
    """A request that was authenticated."""

    message: Message
    datagram: Datagram
    who: Authenticated


@dataclass(slots=True)
class _Pending:
    """An Allocate request that waits for a relay socket."""

    request: _Request
    host: str
    even: bool
    lifetime: int
    attempts: int = 0


@dataclass(slots=True)
class _Allocation:
    """RFC 8656 section 6. Times are when something expires."""

    client: Address
    local: Address
    relayed: Address
    username: str
    transaction_id: bytes
    expires: float
    family: int
    permissions: dict[str, float] = field(default_factory=dict)
    peers: dict[int, Address] = field(default_factory=dict)
    channels: dict[Address, tuple[int, float]] = field(default_factory=dict)

    def purge(self, now: float) -> None:
        """Forget what has expired."""
        self.permissions = {host: until for host, until in self.permissions.items() if until > now}
        self.channels = {peer: entry for peer, entry in self.channels.items() if entry[1] > now}
        self.peers = {number: peer for peer, (number, _) in self.channels.items()}


class _Refusal(Exception):  # noqa: N818  it is an answer more than an error
    """Answer a request with this error code."""

    def __init__(self, code: int) -> None:
        self.code = code


class Server(Machine[Datagram, Datagram, ServerEvent]):
    """Relays between authenticated clients and the peers that they name.

    Datagrams come from and go to the socket that `local` names: the one that clients use, or one that was asked for
    with `RelayRequested`. One server serves one transport: TCP clients (with `StreamDeframer` and `frame` around each
    connection) get another `Server`, so that a client's address and port mean one client.

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
        self._hosts = {wire.family_of(host): host for host in configuration.relay_hosts}
        hashes = {userhash(name, configuration.realm): name for name in configuration.users}
        self._authenticator = Authenticator(
            configuration.realm,
            configuration.passwords,
            random_bytes=random_bytes,
            algorithms=configuration.algorithms,
            username_of=hashes.get if configuration.username_anonymity else None,
            nonce_lifetime=configuration.nonce_lifetime,
        )
        own = (*configuration.relay_hosts, *configuration.own_hosts)
        self._policy = PeerPolicy(configuration.allowed_peers, configuration.denied_peers, own)
        self._limiter = Limiter()
        self._allocations: dict[tuple[Address, Address], _Allocation] = {}
        self._relays: dict[Address, _Allocation] = {}
        self._pending: dict[Address, _Pending] = {}
        self._waiting: dict[tuple[Address, Address], _Pending] = {}
        self._usage: Counter[str] = Counter()
        self._outgoing: deque[Datagram] = deque()
        self._closed = False
        self._handlers: dict[int, Callable[[_Request, _Allocation, float], None]] = {
            wire.REFRESH: self._refresh,
            wire.CREATE_PERMISSION: self._create_permission,
            wire.CHANNEL_BIND: self._channel_bind,
        }

    @property
    def allocations(self) -> int:
        """How many allocations there are."""
        return len(self._allocations)

    def relay_opened(self, relayed: Address, now: float) -> None:
        """Say that the socket asked for with `RelayRequested` is bound.

        Raises:
            LocalError: It is not asked for, or not any more.
        """
        now = self._clamp(now)
        pending = self._take_pending(relayed)
        request = pending.request
        client, local = request.datagram.remote, request.datagram.local
        username = request.who.username
        allocation = _Allocation(
            client,
            local,
            relayed,
            username,
            request.message.transaction_id,
            now + pending.lifetime,
            wire.family_of(relayed.host),
        )
        self._allocations[client, local] = self._relays[relayed] = allocation
        self._timers.set(relayed, allocation.expires)
        self._events.append(AllocationCreated(client, relayed, username))
        self._allocated(request, allocation, now)

    def relay_failed(self, relayed: Address, now: float) -> None:
        """Say that the socket asked for cannot be bound; another port is asked for, some times.

        Raises:
            LocalError: It is not asked for, or not any more.
        """
        now = self._clamp(now)
        self._seek(self._take_pending(relayed), now)

    def connection_lost(self, client: Address, local: Address, now: float) -> None:
        """Say that a client's TCP or TLS connection is gone; its allocation goes with it."""
        self._clamp(now)
        allocation = self._allocations.get((client, local))
        if allocation is not None:
            self._delete(allocation)

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

    def handle_timer(self, now: float) -> None:
        """Expire allocations."""
        now = self._clamp(now)
        for relayed in self._timers.expire(now):
            if not isinstance(relayed, Address):
                continue
            if relayed in self._pending:
                pending = self._take_pending(relayed)
                self._events.append(RelayReleased(relayed))
                self._give_up(pending)
            elif relayed in self._relays:
                self._delete(self._relays[relayed])

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Return what goes to clients and peers, each from its `local` socket."""
        self._clamp(now)
        outgoing = list(self._outgoing)
        self._outgoing.clear()
        return outgoing

    def close(self, now: float) -> None:
        """End all allocations at once; TURN has nothing to tell clients about it."""
        self._clamp(now)
        if self._closed:
            return
        self._closed = True
        for relayed in (*self._pending, *self._relays):
            self._events.append(RelayReleased(relayed))
        for table in (self._pending, self._relays, self._allocations, self._waiting, self._usage):
            table.clear()
        self._outgoing.clear()
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
        elif message.method == wire.ALLOCATE or message.method in self._handlers:
            self._receive_request(datagram, message, now)
        else:
            self.dropped["unknown-method"] += 1

    def _receive_request(self, datagram: Datagram, message: Message, now: float) -> None:
        who = self._authenticator.authenticate(message, datagram.remote, now)
        expires = message.method == wire.ALLOCATE  # what is allocated outlives its time-limited username
        if isinstance(who, Authenticated) and expires and self._is_expired(who.username, now):
            who = Refused(401, challenge=True)
        if isinstance(who, Refused):
            self.dropped[_REFUSALS[who.code]] += 1
            response = self._error(message, who.code)
            if who.challenge:
                self._authenticator.challenge(response, datagram.remote, now)
            self._answer_stranger(datagram, response.serialize(fingerprint=message.has_fingerprint), now)
            return
        request = _Request(message, datagram, who)
        try:
            if wire.unknown_attributes(message):
                self._refuse(request, 420)
            elif message.method == wire.ALLOCATE:
                self._allocate(request, now)
            else:
                self._handlers[message.method](request, self._allocation_of(request), now)
        except _Refusal as refusal:
            self._refuse(request, refusal.code)
        except ParseError:
            self._refuse(request, 400)

    def _is_expired(self, username: str, now: float) -> bool:
        return self._configuration.is_expired(username, now + self._epoch)

    def _allocation_of(self, request: _Request) -> _Allocation:
        allocation = self._allocations.get((request.datagram.remote, request.datagram.local))
        if allocation is None:
            raise _Refusal(437)
        if allocation.username != request.who.username:
            raise _Refusal(441)
        return allocation

    def _allocate(self, request: _Request, now: float) -> None:
        """Do the checks of RFC 8656 section 7.2, in its order."""
        message, key = request.message, (request.datagram.remote, request.datagram.local)
        transaction_id = message.transaction_id
        allocation, waiting = self._allocations.get(key), self._waiting.get(key)
        username = request.who.username
        if allocation is not None and (allocation.transaction_id, allocation.username) == (transaction_id, username):
            self._allocated(request, allocation, now)
            return
        if waiting is not None and waiting.request.message.transaction_id == transaction_id:
            self.dropped["retransmission"] += 1
            return
        if allocation is not None or waiting is not None:
            raise _Refusal(437)
        transport = wire.u32(message, wire.REQUESTED_TRANSPORT)
        if transport is None:
            raise _Refusal(400)
        if transport >> 24 != wire.UDP:
            raise _Refusal(442)
        host, even = self._relay_wanted(message)
        lifetime = self._granted(message) or wire.DEFAULT_LIFETIME
        account = self._configuration.account(username)
        if self._usage[account] >= self._configuration.max_allocations_per_user:
            raise _Refusal(486)
        if len(self._allocations) + len(self._pending) >= self._configuration.max_allocations:
            raise _Refusal(508)
        pending = self._waiting[key] = _Pending(request, host, even, lifetime)
        self._usage[account] += 1
        self._seek(pending, now)

    def _relay_wanted(self, message: Message) -> tuple[str, bool]:
        """Return the host to relay from, and whether the port has to be even."""
        attributes = message.attributes
        family = wire.family(message)
        additional = wire.family(message, wire.ADDITIONAL_ADDRESS_FAMILY)
        even = wire.raw(message, wire.EVEN_PORT)
        if wire.RESERVATION_TOKEN in attributes:
            # Not implemented: reserved ports; so no token is valid.
            raise _Refusal(508 if even is None and family is None and additional is None else 400)
        if (family is not None and additional is not None) or additional not in {None, 6}:
            raise _Refusal(400)
        host = self._hosts.get(4 if family is None else family)
        if host is None:
            raise _Refusal(440)
        if even is not None and len(even) != 1:
            raise _Refusal(400)
        if even is not None and even[0] & 0x80:
            raise _Refusal(508 if additional is None else 400)
        return host, even is not None

    def _seek(self, pending: _Pending, now: float) -> None:
        """Ask the caller for a socket on a port taken at random: RFC 8656 section 7.2, RFC 6056."""
        first, last = self._configuration.ports
        while pending.attempts < RELAY_ATTEMPTS:
            pending.attempts += 1
            port = first + int.from_bytes(self._random_bytes(4), "big") % (last - first + 1)
            if pending.even and port & 1:
                port = port - 1 if port > first else port + 1
            relayed = Address(pending.host, port)
            if port <= last and relayed not in self._relays and relayed not in self._pending:
                self._pending[relayed] = pending
                self._waiting[pending.request.datagram.remote, pending.request.datagram.local] = pending
                self._timers.set(relayed, now + RELAY_TIMEOUT)
                self._events.append(RelayRequested(relayed))
                return
        self._give_up(pending)

    def _give_up(self, pending: _Pending) -> None:
        request = pending.request
        self._waiting.pop((request.datagram.remote, request.datagram.local), None)
        self._return_quota(request.who.username)
        self._refuse(request, 508)

    def _take_pending(self, relayed: Address) -> _Pending:
        pending = self._pending.pop(relayed, None)
        if pending is None:
            raise LocalError(f"no relay is asked for at {relayed}")
        del self._waiting[pending.request.datagram.remote, pending.request.datagram.local]
        self._timers.cancel(relayed)
        return pending

    def _allocated(self, request: _Request, allocation: _Allocation, now: float) -> None:
        response = Message(
            wire.ALLOCATE, Class.SUCCESS, request.message.transaction_id, xor_mapped_address=allocation.client
        )
        wire.set_address(response, wire.XOR_RELAYED_ADDRESS, allocation.relayed)
        wire.set_u32(response, wire.LIFETIME, max(1, round(allocation.expires - now)))
        if wire.ADDITIONAL_ADDRESS_FAMILY in request.message.attributes:
            # Not implemented: two addresses in one allocation.
            response.attributes[wire.ADDRESS_ERROR_CODE] = _ADDITIONAL_IPV6_REFUSED
        self._answer(request, response)

    def _refresh(self, request: _Request, allocation: _Allocation, now: float) -> None:
        if wire.family(request.message) not in {None, allocation.family}:
            raise _Refusal(443)
        lifetime = self._granted(request.message)
        if lifetime == 0:
            self._delete(allocation)
        else:
            lifetime = lifetime or wire.DEFAULT_LIFETIME
            allocation.expires = now + lifetime
            self._timers.set(allocation.relayed, allocation.expires)
        response = Message(wire.REFRESH, Class.SUCCESS, request.message.transaction_id)
        wire.set_u32(response, wire.LIFETIME, lifetime)
        self._answer(request, response)

    def _granted(self, message: Message) -> int | None:
        """Return the lifetime to give, 0 if the request says so: RFC 8656 section 8.2."""
        wanted = wire.u32(message, wire.LIFETIME)
        if wanted is None or wanted == 0:
            return wanted
        return max(wire.DEFAULT_LIFETIME, min(wanted, self._configuration.max_lifetime))

    def _create_permission(self, request: _Request, allocation: _Allocation, now: float) -> None:
        hosts = {peer.host for peer in wire.addresses(request.datagram.data, wire.XOR_PEER_ADDRESS)}
        if not hosts:
            raise _Refusal(400)
        for host in hosts:
            self._check_host(allocation, host)
        self._permit(allocation, hosts, now)
        self._answer(request, Message(wire.CREATE_PERMISSION, Class.SUCCESS, request.message.transaction_id))

    def _channel_bind(self, request: _Request, allocation: _Allocation, now: float) -> None:
        number = wire.channel(request.message)
        peer = wire.address(request.message, wire.XOR_PEER_ADDRESS)
        if number is None or peer is None or not wire.FIRST_CHANNEL <= number <= wire.LAST_OLD_CHANNEL:
            raise _Refusal(400)
        self._check_host(allocation, peer.host)
        if not self._reaches(peer):
            raise _Refusal(403)
        allocation.purge(now)
        bound = allocation.channels.get(peer)
        if allocation.peers.get(number, peer) != peer or (bound is not None and bound[0] != number):
            raise _Refusal(400)
        if bound is None and len(allocation.channels) >= MAX_CHANNELS:
            raise _Refusal(508)
        self._permit(allocation, {peer.host}, now)
        allocation.channels[peer] = (number, now + wire.CHANNEL_LIFETIME)
        allocation.peers[number] = peer
        self._answer(request, Message(wire.CHANNEL_BIND, Class.SUCCESS, request.message.transaction_id))

    def _check_host(self, allocation: _Allocation, host: str) -> None:
        if wire.family_of(host) != allocation.family:
            raise _Refusal(443)
        hairpin = self._configuration.relay_to_relay and host in self._hosts.values()
        ourselves = host == allocation.local.host and not self._policy.allows(host)
        if not hairpin and (ourselves or not self._policy.permits(host)):
            raise _Refusal(403)

    def _permit(self, allocation: _Allocation, hosts: set[str], now: float) -> None:
        if len(allocation.permissions.keys() | hosts) > MAX_PERMISSIONS:
            allocation.purge(now)
            if len(allocation.permissions.keys() | hosts) > MAX_PERMISSIONS:
                raise _Refusal(508)
        for host in hosts:
            allocation.permissions[host] = now + wire.PERMISSION_LIFETIME

    # Data

    def _reaches(self, peer: Address) -> bool:
        """Tell whether data may go to a peer: a host that policy permits, or a relayed address of another client.

        On the server's own addresses that is all: what else listens there is none of a client's business.
        """
        if self._policy.permits(peer.host):
            return peer.port != 0
        return self._configuration.relay_to_relay and peer in self._relays

    def _receive_channel_data(self, datagram: Datagram, now: float) -> None:
        number, data = wire.parse_channel_data(datagram.data)
        allocation = self._allocations.get((datagram.remote, datagram.local))
        if allocation is None:
            self.dropped["no-allocation"] += 1
            return
        peer = allocation.peers.get(number)
        if peer is None or allocation.channels[peer][1] <= now:
            self.dropped["unknown-channel"] += 1
        else:
            self._relay(allocation, peer, data, now)

    def _receive_send(self, datagram: Datagram, message: Message, now: float) -> None:
        allocation = self._allocations.get((datagram.remote, datagram.local))
        peer = wire.address(message, wire.XOR_PEER_ADDRESS)
        data = wire.raw(message, wire.DATA)
        if allocation is None:
            self.dropped["no-allocation"] += 1
        elif wire.unknown_attributes(message):
            self.dropped["unknown-attributes"] += 1
        elif peer is None or data is None:
            self.dropped["missing-attributes"] += 1
        else:
            self._relay(allocation, peer, data, now)

    def _relay(self, allocation: _Allocation, peer: Address, data: bytes, now: float) -> None:
        if allocation.permissions.get(peer.host, _NEVER) <= now:
            self.dropped["no-permission"] += 1
        elif not self._reaches(peer):
            self.dropped["forbidden-peer"] += 1
        else:
            self._put(Datagram(data, peer, allocation.relayed))

    def _receive_from_peer(self, allocation: _Allocation, datagram: Datagram, now: float) -> None:
        peer, data = datagram.remote, datagram.data
        if allocation.permissions.get(peer.host, _NEVER) <= now:
            self.dropped["no-permission"] += 1
            return
        if len(data) > wire.MAX_DATA:
            self.dropped["too-long"] += 1
            return
        bound = allocation.channels.get(peer)
        if bound is not None and bound[1] > now:
            message = wire.channel_data(bound[0], data)
        else:
            message = wire.relay_message(wire.DATA_INDICATION, self._random_bytes(12), peer, data)
        self._put(Datagram(message, allocation.client, allocation.local))

    # Answers

    def _error(self, message: Message, code: int) -> Message:
        return Message(
            message.method,
            Class.ERROR,
            message.transaction_id,
            error_code=(code, _ERRORS[code]),
            unknown_attributes=wire.unknown_attributes(message) if code == 420 else None,
        )

    def _refuse(self, request: _Request, code: int) -> None:
        self._answer(request, self._error(request.message, code))

    def _answer(self, request: _Request, response: Message) -> None:
        who, datagram = request.who, request.datagram
        response.software = self._configuration.software or None
        data = response.serialize(key=who.key, sha256=who.sha256, fingerprint=request.message.has_fingerprint)
        self._put(Datagram(data, datagram.remote, datagram.local))

    def _answer_stranger(self, datagram: Datagram, response: bytes, now: float) -> None:
        """Answer without authentication: no more bytes than came, or not often (RFC 8656 section 21.4)."""
        if len(response) > len(datagram.data) and not self._limiter.allows(datagram.remote.host, now):
            self.dropped["rate-limited"] += 1
            return
        self._put(Datagram(response, datagram.remote, datagram.local))

    def _put(self, datagram: Datagram) -> None:
        if len(self._outgoing) >= MAX_OUTGOING:
            self._outgoing.popleft()
            self.dropped["send-queue-full"] += 1
        self._outgoing.append(datagram)

    def _delete(self, allocation: _Allocation) -> None:
        del self._allocations[allocation.client, allocation.local]
        del self._relays[allocation.relayed]
        self._timers.cancel(allocation.relayed)
        self._return_quota(allocation.username)
        self._events.append(RelayReleased(allocation.relayed))

    def _return_quota(self, username: str) -> None:
        account = self._configuration.account(username)
        self._usage[account] -= 1
        if self._usage[account] <= 0:
            del self._usage[account]
