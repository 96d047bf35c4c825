"""The TURN client: one allocation at one server over one path (RFC 8656)."""

from collections import deque
from collections.abc import Collection
from copy import copy
from typing import Final, Literal

from ..core import Address, LocalError, Machine, ParseError, PeerError, RandomBytes
from ..core.machine import check_seconds
from ..stun import RC, RTO, Class, LongTermCredential, Message
from . import wire
from .data_connection import DataConnection
from .events import (
    ChannelBound,
    ChannelFailed,
    ClientEvent,
    Closed,
    Connected,
    ConnectFailed,
    ConnectionAttempted,
    DataReceived,
    IcmpReceived,
    PermissionCreated,
    PermissionFailed,
    Redirected,
)
from .transaction import MAX_STALE, REASONS, Transaction, number, read_allocation, schedule_of

MAX_PERMISSIONS: Final = 128
"""Hosts with a permission: more than the remote candidates that an ICE agent takes."""
MAX_CHANNELS: Final = 128
"""Bound channels: as many as permissions."""
MAX_CONNECTING: Final = 32
"""Connect requests at a time: as many connections as our server allows in one allocation."""
MAX_OUTGOING: Final = 4096
"""Datagrams between two drains; live data, so the oldest goes first."""
MAX_RECEIVED: Final = 4096
"""Payloads that wait for `take_data`; live data, so the oldest goes first."""
MAX_HELD: Final = 64
"""Payloads that wait for a permission: some round trips of connectivity checks; the oldest goes first."""
MAX_REPORTS: Final = 256
"""Events that wait to be taken, past which what indications say is dropped; the caller takes them in each round."""
CLOSE_TIMEOUT: Final = 1.5
"""Seconds that `close` waits for the server to confirm: one request and one retransmission at the default RTO."""
REFRESH_MARGIN: Final = 60.0
"""Seconds before the expiry of anything by which it is renewed: RFC 8656 section 8 suggests a minute."""
JITTER: Final = 0.1
"""Part of an interval by which a renewal may come earlier, so that clients of a restarted server spread out."""

_Phase = Literal["new", "allocating", "allocated", "closing", "closed"]
_LIFETIME = "refresh"
_END = "end"


class Client(Machine[bytes, bytes, ClientEvent]):
    """Gets a relayed transport address from a server, keeps it alive, and relays data over it.

    Datagrams in and out are what is exchanged with the server. Over TCP and TLS they are messages: see
    `StreamDeframer` and `frame`.

    Args:
        server: Its address; only to notice redirections to where we have been.
        username: Of the long-term credential.
        password: Of the long-term credential.
        random_bytes: Source of transaction ids and jitter.
        requested_transport: Between server and peers: `wire.UDP`, or `wire.TCP` on a reliable path (RFC 6062).
        requested_family: 4 or 6 for the relayed address; None leaves it to the server, which takes IPv4.
        additional_family: Ask for an IPv6 address beside the IPv4 one (RFC 8656 section 7.1); not with
            `requested_family`.
        lifetime: Seconds to ask for; the server has the last word.
        reliable: Whether the path is TCP or TLS: nothing is retransmitted then.
        rto: Initial retransmission timeout, seconds.
        rc: How often a request is sent at most.
        software: Value of SOFTWARE, none if empty.
        tried: Servers that have redirected us here: a redirection to one of them is an error.

    Raises:
        LocalError: An argument is out of its range.
    """

    def __init__(
        self,
        server: Address,
        username: str,
        password: str,
        *,
        random_bytes: RandomBytes,
        requested_transport: int = wire.UDP,
        requested_family: int | None = None,
        additional_family: bool = False,
        lifetime: int = wire.DEFAULT_LIFETIME,
        reliable: bool = False,
        rto: float = RTO,
        rc: int = RC,
        software: str = "",
        tried: Collection[Address] = (),
    ) -> None:
        super().__init__()
        if requested_transport not in {wire.UDP, wire.TCP} or (requested_transport == wire.TCP and not reliable):
            raise LocalError("UDP can be relayed, and TCP over TCP or TLS")
        if requested_family not in {None, 4, 6} or (additional_family and requested_family is not None):
            raise LocalError("an address family is 4 or 6, and an additional one goes with no other")
        if not 0 < lifetime < 2**32 or rc < 1:
            raise LocalError("lifetime and rc are positive")
        self._server = server
        self._tried = {server, *tried}
        self._credential = LongTermCredential(username, password)
        self._random_bytes = random_bytes
        self._transport = requested_transport
        self._family = requested_family
        self._wants_additional = additional_family
        self._lifetime = lifetime
        self._reliable = reliable
        self._rto = check_seconds("rto", rto)
        self._rc = rc
        self._software = software
        self._phase: _Phase = "new"
        self._relayed: Address | None = None
        self._mapped: Address | None = None
        self._families: tuple[int, ...] = ()
        self._transactions: dict[bytes, Transaction] = {}
        self._permissions: dict[str, bool] = {}
        self._channels: dict[Address, int] = {}
        self._bound: set[Address] = set()
        self._peers: dict[int, Address] = {}
        self._next_channel = wire.FIRST_CHANNEL
        self._outgoing: deque[bytes] = deque()
        self._received: deque[DataReceived] = deque()
        self._held: deque[DataReceived] = deque()
        self._connecting: set[Address] = set()

    @property
    def relayed(self) -> Address | None:
        """The relayed transport address, None while there is none."""
        return self._relayed

    @property
    def mapped(self) -> Address | None:
        """Our address as the server sees it, None while unknown."""
        return self._mapped

    @property
    def permissions(self) -> frozenset[str]:
        """Hosts with a permission that the server has confirmed."""
        return frozenset(host for host, installed in self._permissions.items() if installed)

    @property
    def channels(self) -> frozenset[Address]:
        """Peers whose data travels over channels."""
        return frozenset(self._bound)

    def start(self, now: float) -> None:
        """Ask for the allocation.

        Raises:
            LocalError: It was started or closed before.
        """
        now = self._clamp(now)
        if self._phase != "new":
            raise LocalError("a TURN client allocates once")
        self._phase = "allocating"
        self._request(wire.ALLOCATE, None, now)

    def create_permission(self, host: str, now: float) -> None:
        """Let peers at `host` reach us, from when the server has agreed until the end; harmless to repeat.

        Raises:
            LocalError: There is no allocation, `host` is no address of its family, or there are too many.
        """
        now = self._clamp(now)
        self._check_peer(host)
        if host in self._permissions:
            return
        if len(self._permissions) >= MAX_PERMISSIONS:
            raise LocalError("too many permissions")
        self._permissions[host] = False
        self._request(wire.CREATE_PERMISSION, host, now)

    def bind_channel(self, peer: Address, now: float) -> None:
        """Have data to and from `peer` travel with less overhead; creates the permission too.

        Raises:
            LocalError: There is no allocation, `peer` is no address of its family, or there are too many.
        """
        now = self._clamp(now)
        self._check_peer(peer.host)
        wire.check_port(peer)
        if self._transport != wire.UDP:
            raise LocalError("there are no channels for TCP")
        if peer in self._channels:
            return
        if len(self._channels) >= MAX_CHANNELS or self._next_channel > wire.LAST_CHANNEL:
            raise LocalError("too many channels")
        self.create_permission(peer.host, now)
        # Numbers are not used twice: RFC 8656 section 12 wants five minutes between two bindings of one.
        self._channels[peer] = self._next_channel
        self._peers[self._next_channel] = peer
        self._next_channel += 1
        self._request(wire.CHANNEL_BIND, peer, now)

    def send(self, data: bytes, peer: Address, now: float) -> None:
        """Send data to a peer, over a channel where one is bound. It waits while the permission is not there yet.

        Raises:
            LocalError: There is no allocation, `create_permission` was not called for the peer's host, or the data
                is longer than `MAX_DATA`.
        """
        self._clamp(now)
        if self._phase != "allocated":
            raise LocalError("there is no allocation")
        if len(data) > wire.MAX_DATA:
            raise LocalError(f"{len(data)} bytes do not fit in a TURN message")
        if peer in self._bound:
            self._put(wire.channel_data(self._channels[peer], data))
            return
        installed = self._permissions.get(peer.host)
        if installed is None:
            raise LocalError(f"no permission was asked for {peer.host}")
        if self._transport != wire.UDP:
            raise LocalError("data of TCP goes over a connection of its own")
        wire.check_port(peer)
        if installed:
            self._put(wire.relay_message(wire.SEND, self._random_bytes(12), peer, data))
        else:
            if len(self._held) >= MAX_HELD:
                self._held.popleft()
                self.dropped["held-queue-full"] += 1
            self._held.append(DataReceived(data, peer))

    def connect(self, peer: Address, now: float) -> None:
        """Have the server open a TCP connection to a peer; `Connected` or `ConnectFailed` follows (RFC 6062).

        After a failure wait 10 seconds before the next try: RFC 6062 section 4.3.

        Raises:
            LocalError: There is no allocation for TCP, `peer` is no address of its family, it is being connected to,
                or there are too many.
        """
        now = self._clamp(now)
        self._check_peer(peer.host)
        wire.check_port(peer)
        if self._transport != wire.TCP:
            raise LocalError("this allocation is for UDP")
        peer = Address(peer.host, peer.port, "tcp")
        if peer in self._connecting or len(self._connecting) >= MAX_CONNECTING:
            raise LocalError(f"{peer} is being connected to, or too many peers are")
        self._connecting.add(peer)
        self._request(wire.CONNECT, peer, now)

    def data_connection(self, connection_id: int) -> DataConnection:
        """Return what to run over a new connection to the server, for data of one peer.

        Args:
            connection_id: Of `Connected` or `ConnectionAttempted`.
        """
        # A copy, for each connection has nonces of its own.
        return DataConnection(connection_id, copy(self._credential), random_bytes=self._random_bytes)

    def take_data(self) -> list[DataReceived]:
        """Return what peers have sent since the last call, in order."""
        received = list(self._received)
        self._received.clear()
        return received

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take what came from the server: one datagram, or one message of a stream."""
        now = self._clamp(now)
        if self._phase == "closed":
            self.dropped["closed"] += 1
            return
        try:
            if wire.is_channel_data(datagram):
                self._receive_channel_data(datagram)
                return
            message = Message.parse(datagram)
            if message.message_class >= Class.SUCCESS:
                self._receive_response(message, datagram, now)
            elif message.message_class is Class.INDICATION and message.method == wire.DATA_INDICATION:
                self._receive_indication(message)
            elif message.message_class is Class.INDICATION and message.method == wire.CONNECTION_ATTEMPT:
                self._receive_attempt(message)
            else:
                self.dropped["unexpected-message"] += 1
        except ParseError as error:
            self.dropped[error.reason] += 1

    def handle_timer(self, now: float) -> None:
        """Retransmit, renew, or give up."""
        now = self._clamp(now)
        for name in self._timers.expire(now):
            if self._phase == "closed":
                return
            if name == _END:
                self._end(None)
            elif name == _LIFETIME:
                self._request(wire.REFRESH, None, now)
            elif isinstance(name, Address) and name in self._channels:
                self._request(wire.CHANNEL_BIND, name, now)
            elif isinstance(name, str) and name in self._permissions:
                self._request(wire.CREATE_PERMISSION, name, now)
            elif isinstance(name, bytes) and name in self._transactions:
                self._retransmit(name, now)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return what goes to the server."""
        self._clamp(now)
        outgoing, self._outgoing = list(self._outgoing), deque()
        return outgoing

    def close(self, now: float) -> None:
        """Give the allocation back; `Closed` comes when the server has confirmed, or after `CLOSE_TIMEOUT`.

        While the allocation is still being asked for the end comes at once; what the server may have allocated by
        then expires there.
        """
        now = self._clamp(now)
        if self._phase in {"closing", "closed"}:
            return
        if self._phase != "allocated":
            self._end(None)
            return
        self._phase = "closing"
        self._timers.clear()
        self._transactions.clear()
        self._held.clear()
        self._timers.set(_END, now + CLOSE_TIMEOUT)
        self._request(wire.REFRESH, None, now)

    # Requests

    def _request(self, method: int, subject: str | Address | None, now: float, old: Transaction | None = None) -> None:
        """Begin a transaction, or begin one again after a challenge."""
        transaction_id = self._random_bytes(12)
        message = Message(method, Class.REQUEST, transaction_id)
        if method == wire.ALLOCATE:
            message.attributes[wire.REQUESTED_TRANSPORT] = bytes((self._transport, 0, 0, 0))
            if self._family is not None:
                wire.set_family(message, self._family)
            if self._wants_additional:
                wire.set_family(message, 6, wire.ADDITIONAL_ADDRESS_FAMILY)
        if method in {wire.ALLOCATE, wire.REFRESH}:
            wire.set_u32(message, wire.LIFETIME, 0 if self._phase == "closing" else self._lifetime)
            message.software = self._software or None
        if isinstance(subject, Address):
            if method == wire.CHANNEL_BIND:
                wire.set_channel(message, self._channels[subject])
            wire.set_address(message, wire.XOR_PEER_ADDRESS, subject)
        elif subject is not None:
            wire.set_address(message, wire.XOR_PEER_ADDRESS, Address(subject, 0))
        request = self._credential.serialize(message)
        schedule = schedule_of(now, self._rto, self._rc, self._reliable)
        transaction = Transaction(method, subject, request, schedule, protected=self._credential.challenged)
        if old is not None:
            transaction.stale = old.stale
        self._transactions[transaction_id] = transaction
        self._timers.set(transaction_id, schedule.deadline)
        self._put(request)

    def _retransmit(self, transaction_id: bytes, now: float) -> None:
        transaction = self._transactions[transaction_id]
        if transaction.schedule.expire(now):
            self._timers.set(transaction_id, transaction.schedule.deadline)
            self._put(transaction.request)
        else:
            del self._transactions[transaction_id]
            # RFC 8489 section 9.2.5: no timeout if all that came was forged
            reason = "integrity-violated" if transaction.violated else "timeout"
            self._fail(transaction, PeerError("turn", reason))

    # Responses

    def _receive_response(self, message: Message, datagram: bytes, now: float) -> None:
        transaction = self._transactions.get(message.transaction_id)
        if transaction is None or transaction.method != message.method:
            self.dropped["unknown-transaction"] += 1
            return
        error = message.error_code
        code = error[0] if error is not None else 0
        is_error = message.message_class is Class.ERROR
        if is_error and error is None:
            self.dropped["missing-error-code"] += 1
            return
        challenge = is_error and code in {401, 438}
        # A server cannot protect a challenge, and everything else it can once we have answered one.
        if transaction.protected and not challenge and not self._credential.verify(message):
            self._distrust(message.transaction_id, transaction)
            return
        self._forget(message.transaction_id)
        if challenge:
            self._receive_challenge(transaction, message, code, now)
        elif wire.unknown_attributes(message):
            self._fail(transaction, PeerError("turn", "unknown-attributes-in-response"))
        elif error is not None and is_error:
            self._receive_error(transaction, message, code, error[1])
        else:
            self._succeed(transaction, message, datagram, now)

    def _distrust(self, transaction_id: bytes, transaction: Transaction) -> None:
        self.dropped["bad-integrity"] += 1
        transaction.violated = True
        if self._reliable:  # RFC 8489 section 9.2.5: nothing better can come
            self._forget(transaction_id)
            self._fail(transaction, PeerError("turn", "integrity-violated"))

    def _forget(self, transaction_id: bytes) -> None:
        del self._transactions[transaction_id]
        self._timers.cancel(transaction_id)

    def _receive_challenge(self, transaction: Transaction, message: Message, code: int, now: float) -> None:
        transaction.stale += code == 438
        exhausted = transaction.stale > MAX_STALE or (code == 401 and transaction.protected)
        problem = None if exhausted else self._credential.challenge(message)
        if exhausted or problem is not None:
            self._fail(transaction, PeerError("turn", problem or REASONS[code]))
        else:
            self._request(transaction.method, transaction.subject, now, transaction)

    def _receive_error(self, transaction: Transaction, message: Message, code: int, text: str) -> None:
        alternate = message.alternate_server
        error = PeerError("turn", REASONS.get(code, "error-response"), f"{code} {text}")
        if code == 300 and transaction.method == wire.ALLOCATE and alternate is not None:
            if alternate in self._tried:
                error = PeerError("turn", "redirect-loop", str(alternate))
            else:
                self._events.append(Redirected(alternate, message.alternate_domain))
        if code == 437 and transaction.method != wire.ALLOCATE:
            self._end(None if self._phase == "closing" else error)  # RFC 8656 section 5: it no longer exists
        else:
            self._fail(transaction, error)

    def _fail(self, transaction: Transaction, error: PeerError) -> None:
        subject = transaction.subject
        if self._phase == "closing":
            self._end(None)
        elif isinstance(subject, Address) and transaction.method == wire.CONNECT:
            self._connecting.discard(subject)
            self._events.append(ConnectFailed(subject, error))
        elif isinstance(subject, Address):
            self._unbind(subject, error)
        elif subject is not None:
            del self._permissions[subject]
            for peer in [peer for peer in self._channels if peer.host == subject]:
                self._unbind(peer, error)
            kept = deque(item for item in self._held if item.peer.host != subject)
            self.dropped["permission-failed"] += len(self._held) - len(kept)
            self._held = kept
            self._events.append(PermissionFailed(subject, error))
        else:
            self._end(error)

    def _unbind(self, peer: Address, error: PeerError) -> None:
        del self._peers[self._channels.pop(peer)]
        self._bound.discard(peer)
        self._timers.cancel(peer)
        for transaction_id in [key for key, value in self._transactions.items() if value.subject == peer]:
            self._forget(transaction_id)
        self._events.append(ChannelFailed(peer, error))

    def _succeed(self, transaction: Transaction, message: Message, datagram: bytes, now: float) -> None:
        subject = transaction.subject
        if transaction.method == wire.ALLOCATE:
            self._allocated(message, datagram, now)
        elif transaction.method == wire.REFRESH:
            if self._phase == "closing":
                self._end(None)
            else:
                self._renew(_LIFETIME, number(message, wire.LIFETIME) or self._lifetime, now)
        elif isinstance(subject, Address) and transaction.method == wire.CONNECT:
            self._connected(transaction, subject, message)
        elif isinstance(subject, Address):
            self._renew(subject, wire.CHANNEL_LIFETIME, now)
            if subject not in self._bound:
                self._bound.add(subject)
                self._events.append(ChannelBound(subject))
            self._permit(subject.host)
        elif subject is not None:
            self._renew(subject, wire.PERMISSION_LIFETIME, now)
            self._permit(subject)

    def _allocated(self, message: Message, datagram: bytes, now: float) -> None:
        try:
            event = read_allocation(message, datagram, "tcp" if self._transport == wire.TCP else "udp")
        except ParseError as error:
            self._end(PeerError("turn", error.reason))
            return
        if not self._wants_additional:
            event.additional = None
        relays = (event.relayed, event.additional)
        self._families = tuple(wire.family_of(found.host) for found in relays if found is not None)
        if self._family not in {None, self._families[0]}:
            self._end(PeerError("turn", "wrong-address-family"))  # RFC 8656 section 7.3
            return
        self._phase = "allocated"
        self._relayed, self._mapped = event.relayed, event.mapped
        self._renew(_LIFETIME, event.lifetime, now)
        self._events.append(event)

    def _connected(self, transaction: Transaction, peer: Address, message: Message) -> None:
        connection_id = number(message, wire.CONNECTION_ID)
        if connection_id is None:
            self._fail(transaction, PeerError("turn", "missing-attributes"))
            return
        self._connecting.discard(peer)
        self._events.append(Connected(peer, connection_id))

    def _permit(self, host: str) -> None:
        """Take a permission as installed and send what waited for it."""
        if self._permissions.get(host) is not False:
            return
        self._permissions[host] = True
        self._events.append(PermissionCreated(host))
        waiting = deque[DataReceived]()
        for data, peer in self._held:
            if peer.host != host:
                waiting.append(DataReceived(data, peer))
            elif peer in self._bound:
                self._put(wire.channel_data(self._channels[peer], data))
            else:
                self._put(wire.relay_message(wire.SEND, self._random_bytes(12), peer, data))
        self._held = waiting

    def _renew(self, name: str | Address, lifetime: float, now: float) -> None:
        """Set the timer for the next renewal: a minute before the expiry, or at half of what is short, and jitter."""
        interval = lifetime - min(REFRESH_MARGIN, lifetime / 2)
        chance = int.from_bytes(self._random_bytes(2), "big") / 65536
        self._timers.set(name, now + interval * (1 - JITTER * chance))

    # Data

    def _receive_channel_data(self, datagram: bytes) -> None:
        number, data = wire.parse_channel_data(datagram)
        peer = self._peers.get(number)
        if peer is None:
            self.dropped["unknown-channel"] += 1
        else:
            self._deliver(data, peer)

    def _receive_indication(self, message: Message) -> None:
        peer = wire.address(message, wire.XOR_PEER_ADDRESS)
        data = wire.raw(message, wire.DATA)
        if wire.unknown_attributes(message):
            self.dropped["unknown-attributes"] += 1
        elif peer is None or (data is None and wire.ICMP not in message.attributes):
            self.dropped["missing-attributes"] += 1
        elif peer.host not in self._permissions:
            self.dropped["no-permission"] += 1
        elif data is not None:
            self._deliver(data, peer)
        elif (icmp := wire.icmp(message)) is not None:
            self._report(IcmpReceived(peer, *icmp))

    def _receive_attempt(self, message: Message) -> None:
        peer = wire.address(message, wire.XOR_PEER_ADDRESS)
        connection_id = wire.u32(message, wire.CONNECTION_ID)
        if self._transport != wire.TCP:
            self.dropped["unexpected-message"] += 1
        elif wire.unknown_attributes(message):
            self.dropped["unknown-attributes"] += 1
        elif peer is None or connection_id is None:
            self.dropped["missing-attributes"] += 1
        elif peer.host not in self._permissions:
            self.dropped["no-permission"] += 1
        else:
            self._report(ConnectionAttempted(Address(peer.host, peer.port, "tcp"), connection_id))

    def _report(self, event: IcmpReceived | ConnectionAttempted) -> None:
        """Report what anybody who can forge an indication can cause, unless too much of it waits already."""
        if len(self._events) >= MAX_REPORTS:
            self.dropped["event-queue-full"] += 1
        else:
            self._events.append(event)

    def _deliver(self, data: bytes, peer: Address) -> None:
        if len(self._received) >= MAX_RECEIVED:
            self._received.popleft()
            self.dropped["receive-queue-full"] += 1
        self._received.append(DataReceived(data, peer))

    def _put(self, datagram: bytes) -> None:
        if len(self._outgoing) >= MAX_OUTGOING:
            self._outgoing.popleft()
            self.dropped["send-queue-full"] += 1
        self._outgoing.append(datagram)

    def _check_peer(self, host: str) -> None:
        if self._phase != "allocated":
            raise LocalError("there is no allocation")
        if wire.family_of(host) not in self._families:
            raise LocalError(f"{host} is not of the family of {self._relayed}")

    def _end(self, error: PeerError | None) -> None:
        self._phase = "closed"
        self._timers.clear()
        self._transactions.clear()
        for table in (self._permissions, self._channels, self._bound, self._peers, self._connecting):
            table.clear()
        self._outgoing.clear()
        self._held.clear()
        self._relayed = None
        self._events.append(Closed(error))
