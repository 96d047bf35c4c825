"""A client for one Binding query: what is my address as the server sees it?"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from ..core import Address, LocalError, Machine, ParseError, PeerError, RandomBytes
from ..core.machine import check_seconds
from .long_term import LongTermCredential
from .message import BINDING, Class, Message
from .retransmission import RC, RTO, Retransmission
from .short_term import ShortTermCredential

TI: Final = 39.5
"""Seconds to wait for a response over TCP and TLS: RFC 8489 section 6.2.2."""
MAX_CHALLENGES: Final = 3
"""Challenges answered: one, and stale nonces after it; a server with more of them would have us run in circles."""

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
        error: `error-response`, `unknown-attributes` or `missing-mapped-address`; with a credential also
            `integrity-violated`, `missing-nonce`, `bid-down`, `no-common-algorithm`.
        message: The answer.
    """

    error: PeerError
    message: Message


@dataclass(slots=True)
class Redirected:
    """The server sends us to another one, to be asked over the same transport (RFC 8489 section 10); the last event.

    Whoever follows must not go to a server that it asked within the last five minutes.

    Args:
        server: Where to ask.
        domain: The name in that server's certificate over TLS; the one of the first server if None.
        message: The answer.
    """

    server: Address
    domain: str | None
    message: Message


@dataclass(slots=True)
class TimedOut:
    """Nothing came back; the last event."""


@dataclass(slots=True)
class Unreachable:
    """The network said that there is no way, or the connection broke; the last event."""


@dataclass(slots=True)
class Closed:
    """`close` was called before there was an answer; the last event."""


Event: TypeAlias = Responded | Failed | Redirected | TimedOut | Unreachable | Closed


class Client(Machine[bytes, bytes, Event]):
    """Asks one server once.

    Over UDP with the retransmissions of RFC 8489 section 6.2.1. Over TCP and TLS a datagram is one message, and it is
    sent once (section 6.2.2).

    Args:
        random_bytes: Source of transaction ids.
        rto: Initial retransmission timeout, seconds; from an `RtoCache` if the server was asked before.
        rc: How often the request is sent at most.
        software: Value of SOFTWARE, none if empty.
        reliable: Whether it goes over TCP or TLS.
        timeout: When to give up, seconds after a request; as the RFC computes it from `rto` and `rc` if None, or `TI`
            when reliable.
        credential: An account at the server, or what was agreed for this session; None for the public ones.

    Raises:
        LocalError: `rto`, `rc` or `timeout` is not positive, or `software` does not fit.
    """

    def __init__(
        self,
        *,
        random_bytes: RandomBytes,
        rto: float = RTO,
        rc: int = RC,
        software: str = "",
        reliable: bool = False,
        timeout: float | None = None,
        credential: LongTermCredential | ShortTermCredential | None = None,
    ) -> None:
        super().__init__()
        self._random_bytes = random_bytes
        self._rto = check_seconds("rto", rto)
        if rc < 1:
            raise LocalError("rc is at least 1")
        self._rc = 1 if reliable else rc
        self._reliable = reliable
        self._timeout = check_seconds("timeout", timeout) if timeout is not None else TI if reliable else None
        self._software = software or None
        self._credential = credential
        self._challenges = 0
        self._unauthentic: Message | None = None
        self._transaction_id, self._request = self._build()
        self._schedule: Retransmission | None = None
        self._rtt: float | None = None
        self._ended = False
        self._due = False

    @property
    def transmissions(self) -> int:
        """How often the request was sent."""
        return self._schedule.transmissions if self._schedule else 0

    @property
    def rtt(self) -> float | None:
        """Seconds from request to response; None before it, and when a retransmission makes it unclear."""
        return self._rtt

    def start(self, now: float) -> None:
        """Send the request.

        Raises:
            LocalError: It was started or closed before.
        """
        now = self._clamp(now)
        if self._schedule is not None or self._ended:
            raise LocalError("a STUN client asks once")
        self._send(now)

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take what came from the server."""
        now = self._clamp(now)
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
            if self._schedule.transmissions == 1:
                self._rtt = now - self._schedule.started
            self._receive_response(message, now)

    def handle_timer(self, now: float) -> None:
        """Retransmit, or give up."""
        now = self._clamp(now)
        if not self._timers.expire(now) or self._schedule is None:
            return
        if self._schedule.expire(now):
            self._timers.set(_RETRANSMIT, self._schedule.deadline)
            self._due = True
        elif self._unauthentic is not None:
            self._end(Failed(PeerError("stun", "integrity-violated"), self._unauthentic))
        else:
            self._end(TimedOut())

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return the request if it is due."""
        self._clamp(now)
        if not self._due:
            return []
        self._due = False
        return [self._request]

    def transport_failed(self, now: float) -> None:
        """Stop asking: there was a hard ICMP error, or the connection broke."""
        self._clamp(now)
        if not self._ended:
            self._end(Unreachable())

    def close(self, now: float) -> None:
        """Stop asking."""
        self._clamp(now)
        if not self._ended:
            self._end(Closed())

    def _build(self) -> tuple[bytes, bytes]:
        transaction_id = self._random_bytes(12)
        request = Message(BINDING, Class.REQUEST, transaction_id, software=self._software)
        return transaction_id, self._credential.serialize(request) if self._credential else request.serialize()

    def _send(self, now: float) -> None:
        self._schedule = Retransmission(now, self._rto, self._rc, self._timeout)
        self._timers.set(_RETRANSMIT, self._schedule.deadline)
        self._due = True

    def _receive_response(self, message: Message, now: float) -> None:
        credential = self._credential
        if isinstance(credential, LongTermCredential):
            code = (message.error_code or (0, ""))[0]
            if code == 438 or (code == 401 and not credential.challenged):
                self._answer_challenge(credential, message, now)
                return
            if not credential.challenged or code == 401:  # the server wants nothing, or does not take the password
                credential = None
        if credential is not None and not credential.verify(message):
            self._receive_unauthentic(message)
            return
        self._end(_outcome(message))

    def _answer_challenge(self, credential: LongTermCredential, message: Message, now: float) -> None:
        self._challenges += 1
        why = "error-response" if self._challenges > MAX_CHALLENGES else credential.challenge(message)
        if why is not None:
            self._end(Failed(PeerError("stun", why), message))
            return
        self._transaction_id, self._request = self._build()
        self._rtt = None
        self._send(now)

    def _receive_unauthentic(self, message: Message) -> None:
        """RFC 8489 sections 9.1.4 and 9.2.5: over UDP somebody else may have sent it."""
        self.dropped["bad-integrity"] += 1
        self._rtt = None
        self._unauthentic = message
        if self._reliable:
            self._end(Failed(PeerError("stun", "integrity-violated"), message))

    def _end(self, event: Event) -> None:
        self._ended = True
        self._due = False
        self._timers.clear()
        self._events.append(event)


def _outcome(message: Message) -> Event:
    if message.unknown_comprehension_required:
        return Failed(PeerError("stun", "unknown-attributes"), message)
    if message.message_class is Class.ERROR:
        code = message.error_code
        if code is not None and code[0] == 300 and message.alternate_server is not None:
            return Redirected(message.alternate_server, message.alternate_domain, message)
        return Failed(PeerError("stun", "error-response", f"{code[0]} {code[1]}" if code else ""), message)
    mapped = message.xor_mapped_address or message.mapped_address
    if mapped is None:
        return Failed(PeerError("stun", "missing-mapped-address"), message)
    return Responded(message, mapped)
