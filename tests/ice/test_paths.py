"""Several paths: networks that come and go, relays, TCP, names, and a path in use that goes dark."""

import itertools

import pytest

from stack.core import Address, Datagram, LocalError
from stack.ice import (
    CandidateGathered,
    CandidateRemoved,
    GatheringCompleted,
    PairSelected,
    Parameters,
    ResolutionRequested,
    RestartNeeded,
    candidate_priority,
)
from stack.stun import Class, Message, short_term_key

from .support import A, B, Network, agent, deliver, drain_events, host, request, sent, two

A2 = Address("10.8.0.1", 4001)
RELAYED = Address("198.51.100.9", 50000)


def kinds(events, kind):
    return [event for event in events if isinstance(event, kind)]


class TwoNetworks:
    """`a` has two networks, `b` has one; data flows both ways every 20 ms."""

    def __init__(self, *, controlling=True, delay=0.05, loss=0.0, seed=1, **config):
        self.a = agent(f"a{seed}", controlling=controlling, **config)
        self.b = agent(f"b{seed}", controlling=not controlling, **config)
        self.network = Network(self.a, self.b, delay=delay, loss=loss, seed=seed)
        self.dark = set()
        self.network.passes = lambda source, target: not self.dark & {source.host, target.host}
        for address in (A, A2):
            self.a.add_local_address(address, self.network.now, interface="wifi" if address == A else "lte")
        self.b.add_local_address(B, self.network.now)
        self.heard = []
        self.network.signal()
        assert self.network.run(lambda: self.nominated and len(self.valid()) == 2, seconds=5)
        assert self.a.selected_pair.local == A
        self.talk(1.0)

    @property
    def nominated(self):
        pairs = [machine.selected_pair for machine in (self.a, self.b)]
        return all(pair is not None and pair.nominated for pair in pairs)

    def valid(self):
        return [pair for pair in self.a.pairs if pair.valid]

    def talk(self, seconds, *, until=None):
        """Each side sends data over its selected pair; what arrives is accepted by the other side or not."""
        network, flying, end = self.network, [], self.network.now + seconds
        while network.now < end:
            for machine, other in ((self.a, self.b), (self.b, self.a)):
                pair = machine.selected_pair
                if pair is not None:
                    machine.data_sent(network.now)
                    if network.passes(pair.local, pair.remote):
                        flying.append((network.now + network.delay, other, pair))
            network.run(seconds=0.02)
            for entry in [entry for entry in flying if entry[0] <= network.now]:
                flying.remove(entry)
                _, machine, pair = entry
                if machine.accepts(pair.remote, pair.local) and network.passes(pair.local, pair.remote):
                    machine.data_received(network.now, pair.remote, pair.local)
                    self.heard.append((network.now, machine))
            if until is not None and until():
                return True
        return until is None


def gap(world, since):
    """The longest time without data for one of the two sides, from `since` to now."""
    longest = 0.0
    for machine in (world.a, world.b):
        times = [since, *(at for at, who in world.heard if who is machine and at > since), world.network.now]
        longest = max(longest, *(later - earlier for earlier, later in itertools.pairwise(times)))
    return longest


@pytest.mark.parametrize("controlling", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_a_path_that_goes_dark_is_left_within_a_second(controlling, seed):
    world = TwoNetworks(controlling=controlling, seed=seed)
    since = world.network.now
    world.dark.add(A.host)
    world.talk(5.0)
    assert gap(world, since) < 1.0
    assert world.a.selected_pair.local == A2
    assert (world.b.selected_pair.remote, world.nominated) == (A2, True)
    assert world.a.state == world.b.state == "connected"
    assert not kinds(world.network.events[0], RestartNeeded)


@pytest.mark.parametrize("seed", range(5))
def test_a_path_that_loses_a_tenth_is_not_left(seed):
    world = TwoNetworks(seed=seed)
    world.network.loss = 0.1
    before = len(kinds(world.network.events[0], PairSelected))
    world.talk(30.0)
    assert len(kinds(world.network.events[0], PairSelected)) == before


def test_without_data_the_next_consent_check_finds_out():
    world = TwoNetworks()
    since = world.network.now
    world.dark.add(A.host)
    assert world.network.run(lambda: world.nominated and world.a.selected_pair.local == A2, seconds=10)
    assert world.network.now - since < 6.0 + 1.0


def test_in_rest_there_is_little_to_pay_for_it():
    world = TwoNetworks()
    world.network.trace.clear()
    world.network.run(seconds=60)
    requests = [
        d for _, who, d in world.network.trace if who == 0 and Message.parse(d.data).message_class is Class.REQUEST
    ]
    assert len(requests) <= 60 / 4 + 60 / 10 + 2  # consent on one pair, the backup each ten seconds


def test_a_socket_that_is_gone_is_replaced_at_once():
    world = TwoNetworks()
    world.talk(3.0)
    since = world.network.now
    world.dark.add(A.host)
    world.a.remove_local_address(A, since)
    assert world.a.selected_pair.local == A2
    world.talk(3.0)
    assert gap(world, since) < 1.0
    assert [event.candidate.address for event in kinds(world.network.events[0], CandidateRemoved)] == [A]
    assert world.nominated


def test_the_last_socket_that_is_gone_and_another_one_that_comes():
    a, b = two()
    network = Network(a, b)
    a.add_local_address(A, network.now)
    b.add_local_address(B, network.now)
    network.signal()
    assert network.run(lambda: a.selected_pair and a.selected_pair.nominated)
    network.run(seconds=1)
    a.remove_local_address(A, network.now)
    assert a.selected_pair is None
    assert a.state == "disconnected"
    network.run(seconds=5)
    assert [event.reason for event in kinds(network.events[0], RestartNeeded)] == ["no-path"]
    a.add_local_address(A2, network.now)  # nobody signals it: the other side learns it from the check
    assert network.run(lambda: a.selected_pair is not None and b.selected_pair.remote == A2, seconds=10)
    assert network.run(lambda: a.selected_pair.nominated, seconds=1)
    assert a.state == "connected"


def test_nobody_comes_to_the_rescue():
    world = TwoNetworks(consent_timeout=10.0, pac_timeout=5.0)
    world.dark.add(B.host)
    world.talk(30.0)
    assert world.a.state == world.b.state == "failed"
    assert [event.reason for event in kinds(world.network.events[0], RestartNeeded)] == ["path-silent"]
    assert world.a.next_timer() is None


def test_addresses_after_the_end_are_reported_and_tried():
    machine = agent()
    machine.add_local_address(A, 0.0)
    machine.end_local_addresses(0.0)
    machine.set_remote_parameters(Parameters("peer", "the password of the peer"), 0.0)
    machine.add_remote_candidate(host(B), 0.0)
    machine.end_of_remote_candidates(0.0)
    machine.add_local_address(A2, 1.0)
    events = drain_events(machine)
    assert [e.candidate.address for e in kinds(events, CandidateGathered)] == [A, A2]
    assert len(kinds(events, GatheringCompleted)) == 1
    assert {pair.local for pair in machine.pairs} == {A, A2}
    machine.handle_timer(1.05)
    assert A2 in {datagram.local for datagram in machine.datagrams_to_send(1.05)}


def test_removing_what_is_not_there():
    machine = agent()
    with pytest.raises(LocalError):
        machine.remove_local_address(A, 0.0)


# Cheaper and better paths


@pytest.mark.parametrize("renomination", [True, False])
def test_a_cheaper_network_that_comes_back_is_taken_if_both_sides_can(renomination):
    a = agent("a", renomination=renomination)
    b = agent("b", controlling=False, renomination=renomination)
    network = Network(a, b)
    a.add_local_address(A2, network.now, network_cost=900)
    b.add_local_address(B, network.now)
    network.signal()
    assert network.run(lambda: a.selected_pair and a.selected_pair.nominated)
    network.run(seconds=2)
    a.add_local_address(A, network.now, network_cost=10)
    network.run(seconds=60)
    assert a.selected_pair.local == (A if renomination else A2)
    assert b.selected_pair.remote == a.selected_pair.local
    selections = len(kinds(network.events[0], PairSelected))
    network.run(seconds=300)
    assert len(kinds(network.events[0], PairSelected)) == selections  # and there it stays


def test_the_last_nomination_wins_whatever_the_order_of_arrival():
    machine = agent(controlling=False, renomination=True)
    for address in (A, A2):
        machine.add_local_address(address, 0.0)
    machine.set_remote_parameters(Parameters("peer", "the password of the peer", renomination=True), 0.0)
    machine.add_remote_candidate(host(B), 0.0)
    for number, local in ((2, A2), (1, A)):
        message = Message.parse(request(machine, use_candidate=True, ice_controlling=9, ice_controlled=None))
        message.attributes[0xC001] = number.to_bytes(4, "big")
        data = message.serialize(key=short_term_key(machine.local_parameters.pwd))
        deliver(machine, data, 0.1, local=local)
    requested = {pair.local: pair.nomination_requested for pair in machine.pairs}
    assert requested == {A2: True, A: False}


# Relays


def test_a_relayed_candidate_is_the_last_resort():
    machine = agent()
    machine.add_local_address(A, 0.0)
    machine.add_relayed_address(RELAYED, 0.0, base=A, mapped=Address("203.0.113.1", 7), server=B)
    ours, relay = (event.candidate for event in drain_events(machine))
    assert (relay.type, relay.address, relay.related_host, relay.related_port) == ("relay", RELAYED, "203.0.113.1", 7)
    assert relay.priority < candidate_priority("srflx", 0) < ours.priority
    machine.add_relayed_address(RELAYED._replace(port=50001), 0.0, base=A, server=B, protocol="tls")
    over_tls = drain_events(machine)[0].candidate
    assert over_tls.priority < relay.priority
    assert (over_tls.related_host, over_tls.related_port) == ("0.0.0.0", 0)
    with pytest.raises(LocalError):
        machine.add_relayed_address(RELAYED, 0.0, base=A)


def test_checks_leave_from_the_relayed_address():
    machine = agent()
    machine.add_relayed_address(RELAYED, 0.0, base=A)
    machine.set_remote_parameters(Parameters("peer", "the password of the peer"), 0.0)
    machine.add_remote_candidate(host(B), 0.0)
    assert [(d.local, d.remote) for d in machine.datagrams_to_send(0.0)] == [(RELAYED, B)]


# TCP (RFC 6544)

LISTENING = Address("10.0.0.2", 7000, "tcp")
ACTIVE = Address("10.0.0.1", 9, "tcp")


def test_rfc6544_active_meets_passive():
    a, b = two()
    a.add_local_address(ACTIVE, 0.0, tcp_type="active")
    b.add_local_address(LISTENING, 0.0, tcp_type="passive")
    ours, theirs = (drain_events(machine)[0].candidate for machine in (a, b))
    assert (ours.transport, ours.tcp_type, ours.port) == ("tcp", "active", 9)
    assert theirs.priority < candidate_priority("srflx", 0)
    a.set_remote_parameters(b.local_parameters, 0.0)
    b.set_remote_parameters(a.local_parameters, 0.0)
    a.add_remote_candidate(theirs, 0.0)
    b.add_remote_candidate(ours, 0.0)
    assert b.pairs == []  # only who connects checks first
    (check,) = a.datagrams_to_send(0.0)
    assert (check.local, check.remote) == (ACTIVE, LISTENING)
    connection = Address("10.0.0.1", 41000, "tcp")  # as the listener sees it
    b.receive_datagram(Datagram(check.data, connection, LISTENING), 0.05)
    for datagram in b.datagrams_to_send(0.05):
        assert datagram.remote == connection
        a.receive_datagram(Datagram(datagram.data, LISTENING, ACTIVE), 0.1)
    assert (a.selected_pair.local, a.selected_pair.remote) == (ACTIVE, LISTENING)
    for datagram in a.datagrams_to_send(0.1):
        b.receive_datagram(Datagram(datagram.data, connection, LISTENING), 0.15)
    assert (b.selected_pair.local, b.selected_pair.remote) == (LISTENING, connection)


def test_rfc6544_checks_over_tcp_are_sent_once():
    machine = agent()
    machine.add_local_address(ACTIVE, 0.0, tcp_type="active")
    machine.set_remote_parameters(Parameters("peer", "the password of the peer"), 0.0)
    machine.add_remote_candidate(host(LISTENING, transport="tcp", tcp_type="passive"), 0.0)
    count = len(sent(machine, 0.0))
    while (due := machine.next_timer()) is not None and due < 39.0:
        machine.handle_timer(due)
        count += len(sent(machine, due))
    assert count == 1


@pytest.mark.parametrize(
    ("address", "tcp_type"), [(A, "active"), (LISTENING, None), (LISTENING, "so"), (LISTENING, "active")]
)
def test_rfc6544_what_is_no_candidate(address, tcp_type):
    machine = agent()
    with pytest.raises(LocalError):
        machine.add_local_address(address, 0.0, tcp_type=tcp_type)
    assert machine.local_candidates == []


def test_udp_and_tcp_on_one_port_are_two_candidates():
    machine = agent()
    machine.add_remote_candidate(host(B), 0.0)
    machine.add_remote_candidate(host(B, transport="tcp", tcp_type="passive"), 0.0)
    assert {candidate.transport for candidate in machine.remote_candidates} == {"udp", "tcp"}


# Names and addresses that are not shown

NAME = "6e3cfb4d-7a6c-4a5e-8c8c-0d6ad2ab7f68.local"


def named(**changes):
    return host(Address(NAME, 5), **changes)


def test_a_name_is_resolved_and_paired():
    machine = agent()
    machine.add_local_address(A, 0.0)
    machine.set_remote_parameters(Parameters("peer", "the password of the peer"), 0.0)
    drain_events(machine)
    machine.add_remote_candidate(named(), 0.0)
    machine.add_remote_candidate(named(port=6), 0.0)
    assert [event.name for event in kinds(drain_events(machine), ResolutionRequested)] == [NAME]
    assert machine.pairs == []
    machine.name_resolved(NAME.upper(), [B.host], 0.1)
    assert sorted(pair.remote for pair in machine.pairs) == [Address(B.host, 5), Address(B.host, 6)]
    machine.name_resolved(NAME, ["10.0.0.99"], 0.2)  # nobody asked any more
    assert len(machine.pairs) == 2


def test_names_that_lead_nowhere():
    machine = agent()
    machine.add_local_address(A, 0.0)
    machine.add_remote_candidate(named(), 0.0)
    machine.name_resolved(NAME, [], 0.0)
    for hosts in (["127.0.0.1"], ["224.0.0.251"], ["nonsense"]):
        machine.add_remote_candidate(named(), 0.0)
        machine.name_resolved(NAME, hosts, 0.0)
    assert machine.remote_candidates == []
    assert machine.dropped == {
        "candidate-not-resolved": 1,
        "candidate-loopback": 1,
        "candidate-address": 1,
        "candidate-not-ip": 1,
    }


def test_a_name_in_place_of_the_address():
    machine = agent()
    machine.add_local_address(A, 0.0, mdns_name=NAME)
    (event,) = drain_events(machine)
    assert (event.candidate.host, event.candidate.port) == (NAME, A.port)
    assert [candidate.host for candidate in machine.local_candidates] == [NAME]
    machine.set_remote_parameters(Parameters("peer", "the password of the peer"), 0.0)
    machine.add_remote_candidate(host(B), 0.0)
    assert [pair.local for pair in machine.pairs] == [A]


def test_rfc8828_a_hidden_address_is_used_and_not_shown():
    machine = agent()
    machine.add_local_address(A, 0.0, hidden=True)
    assert drain_events(machine) == []
    assert machine.local_candidates == []
    machine.set_remote_parameters(Parameters("peer", "the password of the peer"), 0.0)
    machine.add_remote_candidate(host(B), 0.0)
    assert [pair.local for pair in machine.pairs] == [A]
    machine.remove_local_address(A, 0.0)
    assert not kinds(drain_events(machine), CandidateRemoved)


# Lite (RFC 8445 section 2.5)


def test_rfc8445_a_lite_agent_answers_and_never_asks():
    a, b = agent("a"), agent("b", lite=True)
    network = Network(a, b)
    a.add_local_address(A, network.now)
    b.add_local_address(B, network.now)
    assert b.local_parameters.lite
    assert not b.controlling
    network.signal()
    assert network.run(lambda: a.selected_pair and b.selected_pair and b.selected_pair.nominated)
    network.run(seconds=60)
    ours = [Message.parse(d.data).message_class for _, who, d in network.trace if who == 1]
    assert set(ours) == {Class.SUCCESS}
    assert a.selected_pair.remote == B
    assert b.selected_pair.remote == A
    assert a.state == b.state == "connected"
    network.passes = lambda source, target: False
    network.run(seconds=60)
    assert a.state == b.state == "failed"


def test_rfc8445_the_full_agent_takes_control_of_a_lite_one():
    a = agent(controlling=False)
    a.set_remote_parameters(Parameters("peer", "the password of the peer", lite=True), 0.0)
    assert a.controlling
    lite = agent(lite=True)
    lite.set_controlling(True)
    assert not lite.controlling
