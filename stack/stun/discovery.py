"""Finding out what the NAT in front of a socket does: RFC 5780 section 4."""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from ..core import Address, Datagram, LocalError, Machine, ParseError, RandomBytes
from ..core.machine import check_seconds
from .behavior import set_change_request, set_response_port
from .client import Closed
from .message import BINDING, Class, Message
from .nat import Behavior, NatReport
from .retransmission import RC, RTO, Retransmission

CONNECT_TIMEOUT: Final = 10.0
"""Seconds without an answer after which UDP counts as blocked.

Deviates: RFC 8489 section 6.2.1 has 39.5; five requests in ten seconds do not all get lost where UDP passes.
"""
TEST_TIMEOUT: Final = 4.0
"""Seconds to wait for a response that a filter may hold back: four requests, so that loss is not taken for a filter."""
PACE: Final = 0.1
"""Seconds between new transactions: RFC 5780 section 5 allows ten in a second."""
FIRST_LIFETIME: Final = 30.0
"""Seconds of the first try at a mapping's lifetime; many NATs are not far from it."""
LIFETIME_PRECISION: Final = 5.0
"""Seconds between the two ends of the answer, where the search stops."""
MAX_LIFETIME: Final = 3600.0
"""Seconds that the search goes up to at most; keepalives are far more frequent than that."""

_BEGIN: Final = "begin"
_WAIT: Final = "wait"


@dataclass(slots=True)
class TestStarted:
    """A request went out.

    Args:
        test: `connectivity`, `filtering-2`, `filtering-3`, `mapping-2`, `mapping-3`, `second-server`, `hairpinning`,
            `lifetime-refresh` or `lifetime`; the numbers are those of RFC 5780 sections 4.3 and 4.4.
        remote: Where to.
    """

    __test__ = False  # it is no test of pytest's
    test: str
    remote: Address


@dataclass(slots=True)
class TestCompleted:
    """A test has its answer, or none came.

    Args:
        test: As in `TestStarted`.
        answered: Whether a response came.
        mapped: Our address in it.
    """

    __test__ = False
    test: str
    answered: bool
    mapped: Address | None = None


@dataclass(slots=True)
class Discovered:
    """All tests are done; the last event."""

    report: NatReport


Event: TypeAlias = TestStarted | TestCompleted | Discovered | Closed


class _Probe(NamedTuple):
    """One request of a test."""

    test: str
    remote: Address
    local: Address
    change_ip: bool = False
    change_port: bool = False
    response_port: int | None = None
    timeout: float = TEST_TIMEOUT

    def accepts(self, source: Address) -> bool:
        """Tell whether a response comes from where it was asked for: a server may ignore CHANGE-REQUEST."""
        other_host, other_port = source.host != self.remote.host, source.port != self.remote.port
        return other_host is self.change_ip and other_port is self.change_port


class _Answer(NamedTuple):
    """What came back, and at which socket."""

    message: Message
    local: Address
    mapped: Address | None


@dataclass(slots=True)
class _Transaction:
    probe: _Probe
    place: int
    request: bytes
    schedule: Retransmission
    due: bool = True


_Script: TypeAlias = Generator[list[_Probe] | float, list[_Answer | None], None]


class NatDiscovery(Machine[Datagram, Datagram, Event]):
    """Runs the tests of RFC 5780 on one socket and reports once.

    The filtering tests come before the mapping tests, which would open the filters. The socket should be new, so that
    the NAT has no state for it (RFC 5780 section 4.1).

    Args:
        server: A STUN server. One without OTHER-ADDRESS tells that UDP passes and what the mapped address is.
        local: The socket's address, a real one and no wildcard, to be compared with the mapped one.
        random_bytes: Source of transaction ids.
        second_server: Another server on another host, asked when the first one has no OTHER-ADDRESS, is silent, or its
            other address is. Two servers tell whether mapping depends on the address.
        second_local: A second socket on the same host, for the lifetime test.
        hairpinning: Whether to test that; the request goes to our own mapped address.
        max_lifetime: Search for the lifetime of a mapping up to so many seconds; 0 leaves it out. It takes longer
            than that.
        rto: Initial retransmission timeout, seconds.
        timeout: Seconds without an answer after which UDP counts as blocked.
        software: Value of SOFTWARE, none if empty.

    Raises:
        LocalError: The addresses do not fit each other, or a time is not usable.
    """

    def __init__(
        self,
        server: Address,
        local: Address,
        *,
        random_bytes: RandomBytes,
        second_server: Address | None = None,
        second_local: Address | None = None,
        hairpinning: bool = False,
        max_lifetime: float = 0.0,
        rto: float = RTO,
        timeout: float = CONNECT_TIMEOUT,
        software: str = "",
    ) -> None:
        super().__init__()
        if not 0 <= max_lifetime <= MAX_LIFETIME:
            raise LocalError(f"max_lifetime is 0 to {MAX_LIFETIME:.0f} seconds")
        if max_lifetime and (second_local is None or second_local == local):
            raise LocalError("the lifetime test needs a second socket")
        if second_server is not None and second_server.host == server.host:
            raise LocalError("two servers on one host tell no more than one")
        self._rto = check_seconds("rto", rto)
        self._timeout = check_seconds("timeout", timeout)
        Message(BINDING, Class.REQUEST, bytes(12), software=software).serialize()  # now, not in a test
        self._server = server
        self._second_server = second_server
        self._local = local
        self._second_local = second_local
        self._hairpinning = hairpinning
        self._max_lifetime = max_lifetime
        self._software = software or None
        self._random_bytes = random_bytes
        self._report = NatReport(local)
        self._script: _Script = self._tests()
        self._started = self._ended = False
        self._waiting: deque[tuple[int, _Probe]] = deque()
        self._answers: list[_Answer | None] = []
        self._unanswered = 0
        self._next_begin = float("-inf")
        self._transactions: dict[bytes, _Transaction] = {}

    def start(self, now: float) -> None:
        """Begin.

        Raises:
            LocalError: It was started or closed before.
        """
        now = self._clamp(now)
        if self._started or self._ended:
            raise LocalError("a discovery runs once")
        self._started = True
        self._continue(next(self._script), now)

    def receive_datagram(self, datagram: Datagram, now: float) -> None:
        """Take what came to one of the sockets."""
        now = self._clamp(now)
        if self._ended:
            self.dropped["closed"] += 1
            return
        try:
            message = Message.parse(datagram.data)
        except ParseError as error:
            self.dropped[error.reason] += 1
            return
        transaction = self._transactions.get(message.transaction_id)
        if message.method != BINDING:
            self.dropped["not-a-response"] += 1
        elif transaction is None:
            self.dropped["unknown-transaction"] += 1
        elif transaction.probe.test == "hairpinning":  # our own request comes back
            if message.message_class is not Class.REQUEST or datagram.local != self._local:
                self.dropped["not-a-request"] += 1
            else:
                self._complete(message.transaction_id, _Answer(message, datagram.local, datagram.remote), now)
        elif message.message_class < Class.SUCCESS:
            self.dropped["not-a-response"] += 1
        elif message.message_class is Class.SUCCESS and not transaction.probe.accepts(datagram.remote):
            self.dropped["wrong-source"] += 1
        else:
            self._receive_response(transaction, message, datagram, now)

    def handle_timer(self, now: float) -> None:
        """Retransmit, give up on a response, or begin what is paced."""
        now = self._clamp(now)
        for name in self._timers.expire(now):
            if name == _BEGIN:
                self._begin(now)
            elif name == _WAIT:
                self._advance([], now)
            elif isinstance(name, bytes):
                transaction = self._transactions[name]
                if transaction.schedule.expire(now):
                    transaction.due = True
                    self._timers.set(name, transaction.schedule.deadline)
                else:
                    self._complete(name, None, now)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Return the requests that are due."""
        self._clamp(now)
        datagrams = []
        for transaction in self._transactions.values():
            if transaction.due:
                transaction.due = False
                probe = transaction.probe
                datagrams.append(Datagram(transaction.request, probe.remote, probe.local))
        return datagrams

    def close(self, now: float) -> None:
        """Stop; at once and without a report."""
        self._clamp(now)
        if not self._ended:
            self._end(Closed())

    # -- transactions ------------------------------------------------------------------------------------------------

    def _continue(self, wanted: list[_Probe] | float, now: float) -> None:
        """Do what the script wants next: probes side by side, or a pause."""
        if isinstance(wanted, float):
            self._timers.set(_WAIT, now + wanted)
            return
        self._waiting.extend(enumerate(wanted))
        self._answers = [None] * len(wanted)
        self._unanswered = len(wanted)
        self._begin(now)

    def _advance(self, answers: list[_Answer | None], now: float) -> None:
        try:
            wanted = self._script.send(answers)
        except StopIteration:
            self._end(Discovered(self._report))
        else:
            self._continue(wanted, now)

    def _begin(self, now: float) -> None:
        while self._waiting and now >= self._next_begin:
            place, probe = self._waiting.popleft()
            self._next_begin = now + PACE
            transaction_id = self._random_bytes(12)
            request = Message(BINDING, Class.REQUEST, transaction_id, software=self._software)
            if probe.change_ip or probe.change_port:
                set_change_request(request, ip=probe.change_ip, port=probe.change_port)
            if probe.response_port is not None:
                set_response_port(request, probe.response_port)
            schedule = Retransmission(now, self._rto, RC, probe.timeout)
            self._transactions[transaction_id] = _Transaction(probe, place, request.serialize(), schedule)
            self._timers.set(transaction_id, schedule.deadline)
            self._events.append(TestStarted(probe.test, probe.remote))
        if self._waiting:
            self._timers.set(_BEGIN, self._next_begin)

    def _receive_response(self, transaction: _Transaction, message: Message, datagram: Datagram, now: float) -> None:
        mapped = None
        if message.message_class is Class.SUCCESS and not message.unknown_comprehension_required:
            mapped = message.xor_mapped_address or message.mapped_address
            if mapped is None:
                self.dropped["missing-mapped-address"] += 1
                return
        if transaction.schedule.transmissions == 1 and transaction.probe.test == "connectivity":
            self._report.rtt = now - transaction.schedule.started
        self._complete(message.transaction_id, _Answer(message, datagram.local, mapped), now)

    def _complete(self, transaction_id: bytes, answer: _Answer | None, now: float) -> None:
        transaction = self._transactions.pop(transaction_id)
        self._timers.cancel(transaction_id)
        self._answers[transaction.place] = answer
        mapped = answer.mapped if answer else None
        self._events.append(TestCompleted(transaction.probe.test, answer is not None, mapped))
        self._unanswered -= 1
        if not self._unanswered:
            self._advance(self._answers, now)

    def _end(self, event: Event) -> None:
        self._ended = True
        self._script.close()
        self._timers.clear()
        self._transactions.clear()
        self._waiting.clear()
        self._events.append(event)

    # -- the tests ---------------------------------------------------------------------------------------------------

    def _tests(self) -> _Script:
        report, server = self._report, self._server
        first = yield from self._ask("connectivity", server, timeout=self._timeout)
        if first is None and self._second_server is not None:
            report.notes.append(f"{server} did not answer; {self._second_server} was asked instead.")
            server, self._second_server = self._second_server, None
            first = yield from self._ask("connectivity", server, timeout=self._timeout)
        if first is None or first.mapped is None:
            report.notes.append(_why_not(server, first))
            return
        mapped = report.mapped = first.mapped
        report.software = first.message.software or ""
        if not report.behind_nat:
            report.mapping = Behavior.ENDPOINT_INDEPENDENT  # RFC 5780 section 4.3
        other = first.message.other_address
        if other is not None and other.host != server.host and other.port != server.port:
            report.other_address = other
            yield from self._behavior(server, other, mapped)
        else:
            report.notes.append(
                f"{server} has no second address (RFC 5780), so how packets are filtered could not be tested."
            )
        if report.mapping is Behavior.UNKNOWN and self._second_server is not None:
            yield from self._ask_second_server(self._second_server, mapped)
        if report.behind_nat and self._hairpinning:
            report.hairpinning = (yield from self._ask("hairpinning", mapped)) is not None
        if report.behind_nat and self._max_lifetime and self._second_local is not None:
            yield from self._lifetime(server, self._second_local)

    def _ask(
        self, test: str, remote: Address, *, timeout: float = TEST_TIMEOUT
    ) -> Generator[list[_Probe] | float, list[_Answer | None], _Answer | None]:
        answers = yield [_Probe(test, remote, self._local, timeout=timeout)]
        return answers[0]

    def _behavior(self, server: Address, other: Address, mapped: Address) -> _Script:
        report = self._report
        both, port = yield [
            _Probe("filtering-2", server, self._local, change_ip=True, change_port=True),
            _Probe("filtering-3", server, self._local, change_port=True),
        ]
        two = yield from self._ask("mapping-2", Address(other.host, server.port))
        three = None
        if two is None or two.mapped != mapped:
            three = yield from self._ask("mapping-3", other)
        seen = [answer.mapped if answer is not None else None for answer in (two, three)]
        if seen == [None, None]:
            report.notes.append(f"The server's second address, {other.host}, does not answer.")
        elif report.behind_nat:
            report.mapping = _mapping(mapped, *seen)
        if both is not None and both.mapped is not None:
            report.filtering = Behavior.ENDPOINT_INDEPENDENT
        elif both is not None or seen == [None, None]:
            report.notes.append("How packets are filtered could not be tested with this server.")
        elif port is not None and port.mapped is not None:
            report.filtering = Behavior.ADDRESS_DEPENDENT
        else:
            report.filtering = Behavior.ADDRESS_AND_PORT_DEPENDENT

    def _ask_second_server(self, second: Address, mapped: Address) -> _Script:
        answer = yield from self._ask("second-server", second)
        if answer is None or answer.mapped is None:
            self._report.notes.append(_why_not(second, answer))
        elif answer.mapped == mapped:
            self._report.mapping = Behavior.ENDPOINT_INDEPENDENT
        else:
            self._report.mapping = Behavior.DEPENDENT

    def _lifetime(self, server: Address, second_local: Address) -> _Script:
        """Search by RFC 5780 section 4.6: doubling while the mapping lives, then halving the interval."""
        low, high = 0.0, None
        wait = min(FIRST_LIFETIME, self._max_lifetime)
        while True:
            fresh = yield from self._ask("lifetime-refresh", server)
            if fresh is None or fresh.mapped is None:
                self._report.notes.append("The server fell silent during the lifetime test.")
                return
            yield wait
            [late] = yield [_Probe("lifetime", server, second_local, response_port=fresh.mapped.port)]
            if late is not None and late.mapped is None:
                self._report.notes.append(f"{server} does not take RESPONSE-PORT, so lifetimes could not be tested.")
                return
            if late is not None and late.local == self._local:
                low = wait
            else:
                high = wait
            self._report.lifetime = (low, high)
            if low >= self._max_lifetime or (high is not None and high - low <= LIFETIME_PRECISION):
                return
            wait = min(wait * 2, self._max_lifetime) if high is None else (low + high) / 2


def _mapping(first: Address, two: Address | None, three: Address | None) -> Behavior:
    """Judge by RFC 5780 section 4.3; `two` and `three` are None where no response came."""
    if two == first or (two is None and three == first):
        return Behavior.ENDPOINT_INDEPENDENT
    if two is None or three is None:
        return Behavior.DEPENDENT
    return Behavior.ADDRESS_DEPENDENT if three == two else Behavior.ADDRESS_AND_PORT_DEPENDENT


def _why_not(server: Address, answer: _Answer | None) -> str:
    if answer is None:
        return f"{server} did not answer."
    error = answer.message.error_code
    return f"{server} refused to answer{f': {error[0]} {error[1]}' if error else ''}."
