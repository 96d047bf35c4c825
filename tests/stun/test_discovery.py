"""NatDiscovery and BindingServer against NATs of every kind, in virtual time."""

import itertools
import random

import pytest

from stack.core import Address, Datagram, LocalError
from stack.stun import (
    BINDING,
    PEERS,
    Behavior,
    BindingServer,
    Class,
    Closed,
    Discovered,
    Expectation,
    Message,
    Nat,
    NatDiscovery,
    NatName,
    NatReport,
    TestCompleted,
    TestStarted,
    can_connect,
)
from stack.testing import seeded_random_bytes

from .support import Internet, NatBox

LOCAL, SECOND = Address("10.0.0.2", 5000), Address("10.0.0.2", 5001)
SERVER, ALTERNATE = Address("192.0.2.1", 3478), Address("192.0.2.2", 3479)
OTHER_SERVER = Address("198.51.100.1", 3478)
THREE = (Behavior.ENDPOINT_INDEPENDENT, Behavior.ADDRESS_DEPENDENT, Behavior.ADDRESS_AND_PORT_DEPENDENT)
INDEPENDENT, BY_ADDRESS, BY_PORT = THREE


def discovery(**kwargs):
    return NatDiscovery(SERVER, LOCAL, random_bytes=seeded_random_bytes(1), **kwargs)


class Silent(BindingServer):
    """A server, some of whose addresses do not answer."""

    deaf = ()

    def receive_datagram(self, datagram, now):
        if datagram.local not in self.deaf:
            super().receive_datagram(datagram, now)

    def datagrams_to_send(self, now):
        return [d for d in super().datagrams_to_send(now) if d.local not in self.deaf]


def world(box, machine=None, *, alternate=ALTERNATE, deaf=(), loss=None, software="served by us"):
    machine = machine or discovery()
    server = Silent(SERVER, alternate, software=software)
    server.deaf = deaf
    second = BindingServer(OTHER_SERVER)
    internet = Internet(
        (machine, box, {LOCAL.host}),
        (server, None, {SERVER.host, ALTERNATE.host}),
        (second, None, {OTHER_SERVER.host}),
        loss=loss,
    )
    machine.start(internet.now)
    internet.run()
    return internet


def found(*args, **kwargs):
    internet = world(*args, **kwargs)
    events = internet.events[0]
    assert isinstance(events[-1], Discovered), events
    assert internet.members[0][0].next_timer() is None
    return events[-1].report


NAMES = {INDEPENDENT: "full cone NAT", BY_ADDRESS: "address-restricted cone NAT", BY_PORT: "port-restricted cone NAT"}


@pytest.mark.parametrize(("mapping", "filtering"), list(itertools.product(THREE, THREE)))
def test_every_nat(mapping, filtering):
    report = found(NatBox(mapping, filtering))
    assert (report.mapping, report.filtering) == (mapping, filtering)
    assert report.behind_nat is True
    assert report.port_preserved is False
    assert report.name == (NAMES[filtering] if mapping is INDEPENDENT else "symmetric NAT")
    assert report.mapped == Address("203.0.113.9", 40001)
    assert report.other_address == ALTERNATE
    assert report.software == "served by us"
    assert report.rtt == pytest.approx(0.04)
    assert report.notes == []


@pytest.mark.parametrize(("mapping", "filtering"), list(itertools.product(THREE, THREE)))
def test_every_nat_with_loss(mapping, filtering):
    report = found(NatBox(mapping, filtering), loss=random.Random(2))
    assert (report.mapping, report.filtering) == (mapping, filtering)


@pytest.mark.parametrize(
    ("filtering", "name"),
    [(INDEPENDENT, "open internet"), (BY_ADDRESS, "symmetric firewall"), (BY_PORT, "symmetric firewall")],
)
def test_no_nat(filtering, name):
    report = found(NatBox(None, filtering))
    assert (report.behind_nat, report.name) == (False, name)
    assert (report.mapping, report.filtering) == (INDEPENDENT, filtering)
    assert report.port_preserved is True


def test_blocked():
    internet = world(NatBox(INDEPENDENT, INDEPENDENT, blocked=True))
    report = internet.events[0][-1].report
    assert (report.name, report.mapped, report.behind_nat, report.port_preserved) == ("UDP blocked", None, None, None)
    assert internet.now == 110.0
    assert report.notes == ["192.0.2.1:3478 did not answer."]
    assert set(report.expectations().values()) == {Expectation.RELAY}


def test_the_order_and_the_pace_of_the_tests():
    internet = world(NatBox(BY_PORT, BY_PORT))
    started = [event.test for event in internet.events[0] if isinstance(event, TestStarted)]
    assert started == ["connectivity", "filtering-2", "filtering-3", "mapping-2", "mapping-3"]
    completed = {event.test: event for event in internet.events[0] if isinstance(event, TestCompleted)}
    assert not completed["filtering-2"].answered
    assert completed["mapping-3"].mapped == Address("203.0.113.9", 40003)
    first_seen = {}
    for when, datagram in internet.sent:
        if datagram.local == LOCAL:
            first_seen.setdefault(Message.parse(datagram.data).transaction_id, when)
    times = sorted(first_seen.values())
    assert all(later - earlier > 0.0999 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("mapping", THREE)
def test_a_server_with_one_address_tells_that_there_is_a_nat(mapping):
    report = found(NatBox(mapping, BY_PORT), alternate=None)
    assert (report.name, report.mapping, report.filtering) == ("NAT", "unknown", "unknown")
    assert report.other_address is None
    assert "no second address" in report.notes[0]
    assert report.expectation(PEERS[NatName.OPEN_INTERNET]) is Expectation.DIRECT
    assert report.expectation(PEERS[NatName.SYMMETRIC]) is Expectation.UNCERTAIN


@pytest.mark.parametrize(
    ("mapping", "expected", "name"),
    [
        (INDEPENDENT, INDEPENDENT, "cone NAT"),
        (BY_ADDRESS, Behavior.DEPENDENT, "symmetric NAT"),
        (BY_PORT, Behavior.DEPENDENT, "symmetric NAT"),
    ],
)
def test_two_servers_tell_how_it_maps(mapping, expected, name):
    report = found(NatBox(mapping, BY_PORT), discovery(second_server=OTHER_SERVER), alternate=None)
    assert (report.mapping, report.filtering, report.name) == (expected, "unknown", name)


def test_a_first_server_that_is_silent():
    machine = discovery(second_server=OTHER_SERVER)
    report = found(NatBox(INDEPENDENT, BY_PORT), machine, deaf=[SERVER])
    assert report.mapped is not None
    assert "198.51.100.1:3478 was asked instead" in report.notes[0]


def test_a_second_server_that_is_silent_too():
    machine = discovery(second_server=Address("198.51.100.99", 1))
    report = found(NatBox(INDEPENDENT, BY_PORT), machine, alternate=None)
    assert report.mapping == "unknown"
    assert report.notes[-1] == "198.51.100.99:1 did not answer."


def test_an_alternate_address_that_is_dead_proves_nothing():
    deaf = [ALTERNATE, Address(ALTERNATE.host, SERVER.port)]
    report = found(NatBox(BY_PORT, INDEPENDENT), discovery(second_server=OTHER_SERVER), deaf=deaf)
    assert (report.mapping, report.filtering) == (Behavior.DEPENDENT, "unknown")
    assert report.notes[0] == "The server's second address, 192.0.2.2, does not answer."


@pytest.mark.parametrize(
    ("mapping", "deaf", "expected"),
    [
        (BY_PORT, Address(ALTERNATE.host, SERVER.port), Behavior.DEPENDENT),
        (INDEPENDENT, Address(ALTERNATE.host, SERVER.port), INDEPENDENT),
        (BY_PORT, ALTERNATE, Behavior.DEPENDENT),
    ],
)
def test_half_an_alternate_address(mapping, deaf, expected):
    assert found(NatBox(mapping, INDEPENDENT), deaf=[deaf]).mapping == expected


@pytest.mark.parametrize("hairpins", [False, True])
@pytest.mark.parametrize("filtering", THREE)
def test_hairpinning(hairpins, filtering):
    box = NatBox(INDEPENDENT, filtering, hairpins=hairpins)
    assert found(box, discovery(hairpinning=True)).hairpinning is hairpins
    assert found(NatBox(None, filtering), discovery(hairpinning=True)).hairpinning is None


@pytest.mark.parametrize("lifetime", [3.0, 28.0, 61.0, 119.0])
def test_the_lifetime_of_a_mapping(lifetime):
    machine = discovery(second_local=SECOND, max_lifetime=600.0)
    report = found(NatBox(INDEPENDENT, BY_PORT, lifetime=lifetime), machine)
    low, high = report.lifetime
    assert low <= lifetime < high
    assert high - low <= 5.0


def test_a_mapping_that_outlives_the_test():
    machine = discovery(second_local=SECOND, max_lifetime=100.0)
    assert found(NatBox(INDEPENDENT, BY_PORT, lifetime=200.0), machine).lifetime == (100.0, None)


def test_a_server_that_refuses_response_port():
    class Refusing(BindingServer):
        def _supported(self, local):
            return frozenset()

    machine = discovery(second_local=SECOND, max_lifetime=100.0)
    internet = Internet(
        (machine, NatBox(INDEPENDENT, BY_PORT), {LOCAL.host}),
        (Refusing(SERVER, ALTERNATE), None, {SERVER.host, ALTERNATE.host}),
    )
    machine.start(internet.now)
    internet.run()
    report = internet.events[0][-1].report
    assert report.lifetime is None
    assert "does not take RESPONSE-PORT" in report.notes[-1]
    assert report.filtering == "unknown"
    assert "could not be tested with this server" in report.notes[0]


class TestAnswersByHand:
    def begin(self, **kwargs):
        machine = discovery(**kwargs)
        machine.start(0.0)
        [request] = machine.datagrams_to_send(0.0)
        return machine, Message.parse(request.data)

    def answer(self, machine, request, remote=SERVER, message_class=Class.SUCCESS, method=BINDING, **attributes):
        response = Message(method, message_class, request.transaction_id, **attributes)
        machine.receive_datagram(Datagram(response.serialize(), remote, LOCAL), 0.1)
        return machine

    @pytest.mark.parametrize(
        ("kwargs", "reason"),
        [
            ({"remote": ALTERNATE, "xor_mapped_address": LOCAL}, "wrong-source"),
            ({"message_class": Class.REQUEST}, "not-a-response"),
            ({"message_class": Class.INDICATION}, "not-a-response"),
            ({"method": 3}, "not-a-response"),
            ({}, "missing-mapped-address"),
        ],
    )
    def test_what_is_dropped(self, kwargs, reason):
        machine = self.answer(*self.begin(), **kwargs)
        assert machine.dropped == {reason: 1}
        assert machine.next_timer() is not None

    @pytest.mark.parametrize(("data", "reason"), [(b"", "truncated"), (b"junk" * 10, "not-stun")])
    def test_noise(self, data, reason):
        machine, _ = self.begin()
        machine.receive_datagram(Datagram(data, SERVER, LOCAL), 0.1)
        assert machine.dropped == {reason: 1}

    def test_a_stranger(self):
        machine = self.answer(self.begin()[0], Message(BINDING, Class.SUCCESS, bytes(12)))
        assert machine.dropped == {"unknown-transaction": 1}

    def test_a_refusal(self):
        machine, request = self.begin()
        self.answer(machine, request, message_class=Class.ERROR, error_code=(401, "Unauthenticated"))
        events = [machine.next_event() for _ in range(3)]
        assert events[-1].report.notes == ["192.0.2.1:3478 refused to answer: 401 Unauthenticated."]
        assert machine.next_timer() is None

    def test_a_hairpin_brings_a_request_and_nothing_else(self):
        machine, request = self.begin(hairpinning=True)
        self.answer(machine, request, xor_mapped_address=Address("203.0.113.9", 1))
        machine.handle_timer(1.0)
        [hairpin] = machine.datagrams_to_send(1.0)
        assert hairpin.remote == Address("203.0.113.9", 1)
        self.answer(machine, Message.parse(hairpin.data), xor_mapped_address=LOCAL)
        assert machine.dropped == {"not-a-request": 1}

    def test_closing(self):
        machine, request = self.begin()
        machine.close(0.1)
        machine.close(0.2)
        assert machine.next_event() == TestStarted("connectivity", SERVER)
        assert machine.next_event() == Closed()
        assert machine.next_event() is None
        assert machine.next_timer() is None
        self.answer(machine, request, xor_mapped_address=LOCAL)
        assert machine.dropped == {"closed": 1}
        with pytest.raises(LocalError):
            machine.start(0.3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_lifetime": 10.0},
        {"max_lifetime": 10.0, "second_local": LOCAL},
        {"max_lifetime": -1.0, "second_local": SECOND},
        {"max_lifetime": 1e9, "second_local": SECOND},
        {"second_server": Address(SERVER.host, 1)},
        {"rto": 0.0},
        {"timeout": -1.0},
        {"software": "x" * 800},
    ],
)
def test_misuse(wrong):
    with pytest.raises(LocalError):
        discovery(**wrong)


def test_it_runs_once():
    machine = discovery()
    machine.start(0.0)
    with pytest.raises(LocalError):
        machine.start(0.0)


# -- what follows from it ----------------------------------------------------------------------------------------------


class Peer:
    """As much of ICE as decides whether two ends meet: checks, triggered checks, symmetric responses."""

    def __init__(self, box, host):
        self.box = box
        self.local = Address(host, 1000)
        self.reflexive = box.outbound(self.local, Address("192.0.2.1", 3478), 0.0)

    def meets(self, other):
        """Whether any check gets its response from where it went to."""
        checks = [(self, other, other.reflexive), (other, self, self.reflexive)] * 2
        for _ in range(30):
            if not checks:
                return False
            sender, receiver, to = checks.pop(0)
            source = sender.box.outbound(sender.local, to, 0.0)
            if receiver.box.inbound(to, source, 0.0) is None:
                continue
            answered_from = receiver.box.outbound(receiver.local, source, 0.0)
            if answered_from == to and sender.box.inbound(source, answered_from, 0.0) is not None:
                return True
            checks.append((receiver, sender, source))
        return False


ALL = [Nat(mapping, filtering) for mapping, filtering in itertools.product(THREE, THREE)]


@pytest.mark.parametrize(("one", "other"), list(itertools.product(ALL, ALL)))
def test_who_can_connect(one, other):
    a = Peer(NatBox(*one, host="203.0.113.1", lifetime=1e9), "10.0.0.1")
    b = Peer(NatBox(*other, host="203.0.113.2", lifetime=1e9), "10.1.0.1")
    assert can_connect(one, other) is a.meets(b)


def test_what_people_can_expect():
    def line(mapping, filtering):
        report = NatReport(LOCAL, Address("203.0.113.9", 1), mapping, filtering)
        return "".join(value[0] for value in report.expectations().values())

    # peers: open, firewall, full, address-restricted, port-restricted, symmetric, blocked
    assert line(INDEPENDENT, INDEPENDENT) == "ddddddr"
    assert line(INDEPENDENT, BY_ADDRESS) == "ddddddr"
    assert line(INDEPENDENT, BY_PORT) == "dddddrr"
    assert line(BY_PORT, BY_PORT) == "drddrrr"
    assert line(INDEPENDENT, Behavior.UNKNOWN) == "dddddur"
    assert line(Behavior.DEPENDENT, Behavior.UNKNOWN) == "drddrrr"
    assert line(Behavior.UNKNOWN, Behavior.UNKNOWN) == "duddu" + "ur"
