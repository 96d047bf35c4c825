"""Gives out relayed transport addresses: RFC 8656 sections 7.2 and 8.2, RFC 6062 section 5.1."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..core import Address, LocalError
from ..stun import Class, Message
from . import wire
from .allocation import Allocation, Context, Refusal, Request
from .events import AllocationCreated, RelayReleased, RelayRequested
from .responses import ERRORS

RELAY_ATTEMPTS: Final = 8
"""Ports that are tried for one allocation when the caller finds them taken."""
RELAY_TIMEOUT: Final = 5.0
"""Seconds for the caller to open a socket, after which the client is told that there is none."""
RESERVATION_LIFETIME: Final = 30.0
"""Seconds that a reserved port is held: the least that RFC 8656 section 7.2 allows."""

_TRANSPORTS: Final = {wire.UDP: "udp", wire.TCP: "tcp"}
_UDP_ONLY: Final = (wire.DONT_FRAGMENT, wire.EVEN_PORT, wire.RESERVATION_TOKEN)

Path = tuple[Address, Address]
"""The client's address and ours."""


@dataclass(slots=True, eq=False)
class _Pending:
    """An Allocate request that waits for sockets, which are opened one after the other.

    plan is what the current attempt wants, opened how much of it there is.
    """

    request: Request
    lifetime: int
    host: str
    transport: str = "udp"
    even: bool = False
    reserve: bool = False
    second: str = ""
    plan: list[Address] = field(default_factory=list)
    opened: list[Address] = field(default_factory=list)
    attempts: int = 0
    address_error: int = 0

    @property
    def path(self) -> Path:
        return self.request.datagram.remote, self.request.datagram.local


class Allocator:
    """The allocations of a server, and those on their way.

    Args:
        context: Of the server.
        on_deleted: Called with each relayed address that is given up.

    Attributes:
        allocations: By path.
    """

    def __init__(self, context: Context, on_deleted: Callable[[Address], None]) -> None:
        self._context = context
        self._on_deleted = on_deleted
        self.allocations: dict[Path, Allocation] = {}
        self._relays = context.relays
        self._asked: dict[Address, _Pending] = {}
        self._waiting: dict[Path, _Pending] = {}
        self._reserved: dict[bytes, Address] = {}
        self._usage: Counter[str] = Counter()

    def find(self, request: Request) -> Allocation:
        """Return the allocation that a request is about.

        Raises:
            Refusal: 437 or 441.
        """
        allocation = self.allocations.get((request.datagram.remote, request.datagram.local))
        if allocation is None:
            raise Refusal(437)
        if allocation.username != request.who.username:
            raise Refusal(441)
        return allocation

    def allocate(self, request: Request, now: float) -> None:
        """Do the checks of RFC 8656 section 7.2, in its order.

        Raises:
            Refusal: One of them fails.
        """
        message, path = request.message, (request.datagram.remote, request.datagram.local)
        transaction_id, username = message.transaction_id, request.who.username
        allocation, waiting = self.allocations.get(path), self._waiting.get(path)
        if allocation is not None and (allocation.transaction_id, allocation.username) == (transaction_id, username):
            self._answer(request, allocation, now)
            return
        if waiting is not None and waiting.request.message.transaction_id == transaction_id:
            self._context.dropped["retransmission"] += 1
            return
        if allocation is not None or waiting is not None:
            raise Refusal(437)
        pending, token = self._read(request)
        configuration = self._context.configuration
        account = configuration.account(username)
        if self._usage[account] >= configuration.max_allocations_per_user:
            raise Refusal(486)
        reserving = len(self._reserved) - (token is not None)
        if len(self.allocations) + len(self._waiting) + reserving + pending.reserve >= configuration.max_allocations:
            raise Refusal(508)
        self._usage[account] += 1
        self._waiting[path] = pending
        if token is None:
            self._seek(pending, now)
        else:
            self._context.timers.cancel(token)
            pending.plan = pending.opened = [self._reserved.pop(token)]
            self._finish(pending, now)

    def _read(self, request: Request) -> tuple[_Pending, bytes | None]:
        """Return what is wanted, and the token of the reservation to use, if any."""
        message = request.message
        transport = wire.u32(message, wire.REQUESTED_TRANSPORT)
        if transport is None:
            raise Refusal(400)
        name = _TRANSPORTS.get(transport >> 24)
        if name is None or (name == "tcp" and not self._context.configuration.tcp_relays):
            raise Refusal(442)
        if name == "tcp" and (
            request.datagram.local.transport != "tcp" or any(found in message.attributes for found in _UDP_ONLY)
        ):
            raise Refusal(400)
        if wire.unknown_attributes(message):
            raise Refusal(420)
        lifetime = granted(message, self._context.configuration.max_lifetime) or wire.DEFAULT_LIFETIME
        pending = _Pending(request, lifetime, "", name)
        family = wire.family(message)
        additional = wire.family(message, wire.ADDITIONAL_ADDRESS_FAMILY)
        even = wire.raw(message, wire.EVEN_PORT)
        token = wire.raw(message, wire.RESERVATION_TOKEN)
        if token is not None:
            if even is not None or family is not None or additional is not None:
                raise Refusal(400)
            if token not in self._reserved:
                raise Refusal(508)
            return pending, token
        if (family is not None and additional is not None) or additional not in {None, 6}:
            raise Refusal(400)
        hosts = self._context.hosts
        host = hosts.get(4 if family is None else family)
        if host is None:
            raise Refusal(440)
        if even is not None and len(even) != 1:
            raise Refusal(400)
        pending.host, pending.even = host, even is not None
        pending.reserve = even is not None and even[0] & 0x80 != 0
        if pending.reserve and additional is not None:
            raise Refusal(400)
        if additional is not None:
            pending.second = hosts.get(6, "")
            pending.address_error = 0 if pending.second else 440
        return pending, None

    # Sockets

    def opened(self, relayed: Address, now: float) -> None:
        """Take a socket that was asked for.

        Raises:
            LocalError: It was not.
        """
        pending = self._take(relayed)
        pending.opened.append(relayed)
        if relayed not in pending.plan:
            self._finish(pending, now)
        elif len(pending.opened) < len(pending.plan):
            self._ask(pending, pending.plan[len(pending.opened)], now)
        elif pending.second:
            self._seek_second(pending, now)
        else:
            self._finish(pending, now)

    def failed(self, relayed: Address, now: float) -> None:
        """Try another port, some times.

        Raises:
            LocalError: It was not asked for.
        """
        pending = self._take(relayed)
        if relayed in pending.plan:
            self._release(pending)
            self._seek(pending, now)
        else:
            self._seek_second(pending, now)

    def _take(self, relayed: Address) -> _Pending:
        pending = self._asked.pop(relayed, None)
        if pending is None:
            raise LocalError(f"no relay is asked for at {relayed}")
        self._context.timers.cancel(relayed)
        return pending

    def _ask(self, pending: _Pending, relayed: Address, now: float) -> None:
        self._asked[relayed] = pending
        self._context.timers.set(relayed, now + RELAY_TIMEOUT)
        self._context.events.append(RelayRequested(relayed))

    def _is_free(self, relayed: Address) -> bool:
        return (
            relayed.port <= self._context.configuration.ports[1]
            and relayed not in self._relays
            and relayed not in self._asked
            and relayed not in self._reserved.values()
        )

    def _port(self) -> int:
        """Return a port at random: RFC 6056."""
        first, last = self._context.configuration.ports
        return first + int.from_bytes(self._context.random_bytes(4), "big") % (last - first + 1)

    def _seek(self, pending: _Pending, now: float) -> None:
        """Ask for the relayed address, or the pair of them."""
        while pending.attempts < RELAY_ATTEMPTS:
            pending.attempts += 1
            port = self._port()
            if pending.even and port & 1:
                port += -1 if port > self._context.configuration.ports[0] else 1
            plan = [Address(pending.host, port, pending.transport)]
            if pending.reserve:
                plan.append(Address(pending.host, port + 1))
            if all(self._is_free(relayed) for relayed in plan):
                pending.plan = plan
                self._ask(pending, plan[0], now)
                return
        self._give_up(pending)

    def _seek_second(self, pending: _Pending, now: float) -> None:
        """Ask for the address of the other family; the client has to do without it if there is none."""
        while pending.attempts < 2 * RELAY_ATTEMPTS:
            pending.attempts += 1
            relayed = Address(pending.second, self._port(), pending.transport)
            if self._is_free(relayed):
                self._ask(pending, relayed, now)
                return
        pending.address_error = 508
        self._finish(pending, now)

    def _release(self, pending: _Pending) -> None:
        self._context.events.extend(map(RelayReleased, pending.opened))
        pending.opened = []

    def _give_up(self, pending: _Pending) -> None:
        self._release(pending)
        del self._waiting[pending.path]
        self._return_quota(pending.request.who.username)
        self._context.refuse(pending.request, 508)

    def _finish(self, pending: _Pending, now: float) -> None:
        """Make the allocation."""
        context, request = self._context, pending.request
        del self._waiting[pending.path]
        token = b""
        if pending.reserve:
            token = context.random_bytes(8)
            self._reserved[token] = pending.opened.pop()
            context.timers.set(token, now + RESERVATION_LIFETIME)
        relays = {wire.family_of(relayed.host): relayed for relayed in pending.opened}
        username, expires = request.who.username, now + pending.lifetime
        allocation = Allocation(
            *pending.path,
            username,
            request.message.transaction_id,
            relays,
            dict.fromkeys(pending.opened, expires),
            token,
            pending.address_error,
        )
        self.allocations[pending.path] = allocation
        for relayed in pending.opened:
            self._relays[relayed] = allocation
            context.timers.set(relayed, expires)
            context.events.append(AllocationCreated(allocation.client, relayed, username))
        self._answer(request, allocation, now)

    # Requests

    def _answer(self, request: Request, allocation: Allocation, now: float) -> None:
        response = Message(
            wire.ALLOCATE, Class.SUCCESS, request.message.transaction_id, xor_mapped_address=allocation.client
        )
        for relayed in allocation.relays.values():
            wire.add_address(response, wire.XOR_RELAYED_ADDRESS, relayed)
        wire.set_u32(response, wire.LIFETIME, max(1, round(max(allocation.expires.values()) - now)))
        if allocation.token:
            response.attributes[wire.RESERVATION_TOKEN] = allocation.token
        if allocation.address_error:
            wire.set_address_error(response, 6, allocation.address_error, ERRORS[allocation.address_error])
        self._context.answer(request, response)

    def refresh(self, request: Request, allocation: Allocation, now: float) -> None:
        """Renew an allocation, or one family of it, or give it back: RFC 8656 section 8.2.

        Raises:
            Refusal: 443.
        """
        family = wire.family(request.message)
        if family is not None and family not in allocation.relays:
            raise Refusal(443)
        lifetime = granted(request.message, self._context.configuration.max_lifetime)
        lifetime = wire.DEFAULT_LIFETIME if lifetime is None else lifetime
        for version, relayed in list(allocation.relays.items()):
            if family not in {None, version}:
                continue
            if lifetime == 0:
                self.delete(relayed)
            else:
                allocation.expires[relayed] = now + lifetime
                self._context.timers.set(relayed, now + lifetime)
        response = Message(wire.REFRESH, Class.SUCCESS, request.message.transaction_id)
        wire.set_u32(response, wire.LIFETIME, lifetime)
        self._context.answer(request, response)

    # The end

    def expire(self, name: object, now: float) -> None:
        """Do what is due for a timer that went off."""
        if isinstance(name, bytes):
            self._context.events.append(RelayReleased(self._reserved.pop(name)))
        elif isinstance(name, Address) and name in self._asked:
            pending = self._asked.pop(name)
            self._context.events.append(RelayReleased(name))
            if name in pending.plan:
                self._give_up(pending)
            else:
                pending.address_error = 508
                self._finish(pending, now)
        elif isinstance(name, Address) and name in self._relays:
            self.delete(name)

    def delete(self, relayed: Address) -> None:
        """Give up a relayed address, and with the last one the allocation."""
        allocation = self._relays.pop(relayed)
        self._on_deleted(relayed)
        self._context.timers.cancel(relayed)
        self._context.events.append(RelayReleased(relayed))
        if len(allocation.relays) > 1:
            allocation.forget_family(wire.family_of(relayed.host))
            return
        del self.allocations[allocation.client, allocation.local]
        self._return_quota(allocation.username)

    def close(self) -> None:
        """Release everything."""
        half_open = [relayed for pending in self._waiting.values() for relayed in pending.opened]
        for relayed in (*half_open, *self._asked, *self._relays, *self._reserved.values()):
            self._context.events.append(RelayReleased(relayed))
        for table in (self._asked, self._relays, self.allocations, self._waiting, self._reserved, self._usage):
            table.clear()

    def _return_quota(self, username: str) -> None:
        account = self._context.configuration.account(username)
        self._usage[account] -= 1
        if self._usage[account] <= 0:
            del self._usage[account]


def granted(message: Message, most: int) -> int | None:
    """Return the lifetime to give, 0 if the request says so: RFC 8656 section 8.2."""
    wanted = wire.u32(message, wire.LIFETIME)
    if wanted is None or wanted == 0:
        return wanted
    return max(wire.DEFAULT_LIFETIME, min(wanted, most))
