"""A client for one Binding query: what is my address as the server sees it?"""

from dataclasses import dataclass
from typing import TypeAlias

from ..core import Address, LocalError, Machine, ParseError, PeerError, RandomBytes
from ..core.machine import check_seconds
from .message import BINDING, Class, Message
from .retransmission import RC, RTO, Retransmission

_RETRANSMIT = "retransmit"


@dataclass(slots=True)
class Responded:
    """The server answered with success; the last event.

    Args:
        message: Its answer.
        mapped_address: Our address as the server sees it.
    """

    message: Message
    mapped_address: Address


@dataclass(slots=True)
class Failed:
    """The server answered with an error, or with something that is no answer; the last event.

    Args:
        error: `error-response`, `unknown-attributes` or `missing-mapped-address`.
        message: The answer.
    """

    error: PeerError
    message: Message


@dataclass(slots=True)
class TimedOut:
    """Nothing came back; the last event."""


@dataclass(slots=True)
class Closed:
    """`close` was called before there was an answer; the last event."""


Event: TypeAlias = Responded | Failed | TimedOut | Closed


class Client(Machine[bytes, bytes, Event]):
    """Asks one server once, with the retransmissions of RFC 8489 section 6.2.1, without authentication.

    Args:
        random_bytes: Source of the transaction id.
        rto: Initial retransmission timeout, seconds.
        rc: How often the request is sent at most.
        software: Value of SOFTWARE, none if empty.

    Raises:
        LocalError: `rto` or `rc` is not positive.
    """

    def __init__(self, *, random_bytes: RandomBytes, rto: float = RTO, rc: int = RC, software: str = "") -> None:
        super().__init__()
        self._rto = check_seconds("rto", rto)
        if rc < 1:
            raise LocalError("rc is at least 1")
        self._rc = rc
        self._transaction_id = random_bytes(12)
        self._request = Message(BINDING, Class.REQUEST, self._transaction_id, software=software or None).serialize()
        self._schedule: Retransmission | None = None
        self._ended = False
        self._due = False

    @property
    def transmissions(self) -> int:
        """How often the request was sent."""
        return self._schedule.transmissions if self._schedule else 0

    def start(self, now: float) -> None:
        """Send the request.

        Raises:
            LocalError: It was started or closed before.
        """
        now = self._clamp(now)
        if self._schedule is not None or self._ended:
            raise LocalError("a STUN client asks once")
        self._schedule = Retransmission(now, self._rto, self._rc)
        self._timers.set(_RETRANSMIT, self._schedule.deadline)
        self._due = True

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take what came from the server."""
        self._clamp(now)
        if self._ended:
            self.dropped["closed"] += 1
            return
        try:
            message = Message.parse(datagram)
        except ParseError as error:
            self.dropped[error.reason] += 1
            return
        if message.method != BINDING or message.message_class < Class.SUCCESS:
            self.dropped["not-a-response"] += 1
        elif message.transaction_id != self._transaction_id or self._schedule is None:
            self.dropped["unknown-transaction"] += 1
        else:
            self._end(_outcome(message))

    def handle_timer(self, now: float) -> None:
        """Retransmit, or give up."""
        now = self._clamp(now)
        if not self._timers.expire(now) or self._schedule is None:
            return
        if self._schedule.expire(now):
            self._timers.set(_RETRANSMIT, self._schedule.deadline)
            self._due = True
        else:
            self._end(TimedOut())

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return the request if it is due."""
        self._clamp(now)
        if not self._due:
            return []
        self._due = False
        return [self._request]

    def close(self, now: float) -> None:
        """Stop asking."""
        self._clamp(now)
        if not self._ended:
            self._end(Closed())

    def _end(self, event: Event) -> None:
        self._ended = True
        self._due = False
        self._timers.clear()
        self._events.append(event)


def _outcome(message: Message) -> Event:
    """Judge a response: RFC 8489 sections 6.3.3 and 6.3.4."""
    if message.unknown_comprehension_required:
        return Failed(PeerError("stun", "unknown-attributes"), message)
    if message.message_class is Class.ERROR:
        code = message.error_code
        return Failed(PeerError("stun", "error-response", f"{code[0]} {code[1]}" if code else ""), message)
    mapped = message.xor_mapped_address or message.mapped_address
    if mapped is None:
        return Failed(PeerError("stun", "missing-mapped-address"), message)
    return Responded(message, mapped)
