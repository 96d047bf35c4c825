import pytest

from stack.core import Address, Datagram
from stack.ice import CandidateGathered, GatheringCompleted, ServerFailed
from stack.stun import BINDING, Class, Message

from .support import STUN_SERVER, A, B, Nat, Network, agent, drain_events, two

SECOND_SERVER = Address("198.51.100.2", 3478)


def gathering(**config):
    machine = agent(**config)
    machine.add_local_address(A, 0.0)
    machine.add_stun_server(STUN_SERVER, 0.0)
    machine.end_local_addresses(0.0)
    (query,) = machine.datagrams_to_send(0.0)
    drain_events(machine)
    return machine, Message.parse(query.data)


def answered(machine, query, *, remote=STUN_SERVER, message_class=Class.SUCCESS, **attributes):
    data = Message(BINDING, message_class, query.transaction_id, **attributes).serialize(fingerprint=False)
    machine.receive_datagram(Datagram(data, remote, A), 0.02)
    return drain_events(machine)


def test_a_reflexive_candidate():
    machine, query = gathering()
    assert not query.has_integrity
    events = answered(machine, query, xor_mapped_address=Address("203.0.113.1", 7))
    assert [type(e) for e in events] == [CandidateGathered, GatheringCompleted]
    candidate = events[0].candidate
    assert (candidate.type, candidate.address, candidate.base) == ("srflx", Address("203.0.113.1", 7), A)
    assert (candidate.related_host, candidate.related_port) == A[:2]
    assert candidate.priority == 1694498815
    assert candidate.foundation != machine.local_candidates[0].foundation


def test_without_a_nat_it_is_redundant():
    machine, query = gathering()
    assert [type(e) for e in answered(machine, query, xor_mapped_address=A)] == [GatheringCompleted]
    assert not machine.dropped


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"message_class": Class.ERROR, "error_code": (300, "Try Alternate")}, "error-response"),
        ({"software": "x"}, "missing-mapped-address"),
        ({"xor_mapped_address": Address("0.0.0.0", 1)}, "missing-mapped-address"),
        ({"xor_mapped_address": Address("10.0.0.1", 0)}, "missing-mapped-address"),
    ],
)
def test_answers_that_teach_nothing(attributes, reason):
    machine, query = gathering()
    code = attributes["error_code"][0] if "error_code" in attributes else 0
    assert answered(machine, query, **attributes) == [
        ServerFailed(STUN_SERVER, A, code, reason),
        GatheringCompleted(),
    ]
    assert machine.dropped == {reason: 1}
    assert len(machine.local_candidates) == 1


def test_an_answer_from_elsewhere_is_dropped():
    machine, query = gathering()
    assert answered(machine, query, remote=B, xor_mapped_address=B) == []
    assert machine.dropped == {"asymmetric-response": 1}
    assert len(answered(machine, query, xor_mapped_address=B)) == 2


def test_a_dead_server_is_asked_again_and_given_up():
    machine, _ = gathering()
    times, events = [0.0], []
    while not events:
        now = machine.next_timer()
        machine.handle_timer(now)
        times += [now] * len(machine.datagrams_to_send(now))
        events = drain_events(machine)
    assert times == [0, 0.5, 1.5, 3.5]
    assert now == 5.0
    assert events == [ServerFailed(STUN_SERVER, A, 0, "no-answer"), GatheringCompleted()]


def test_every_address_asks_every_server_of_its_family_paced():
    machine = agent()
    network = Network(machine, servers=(STUN_SERVER, SECOND_SERVER))
    machine.add_stun_server(STUN_SERVER, network.now)
    machine.add_local_address(A, network.now)
    machine.add_local_address(Address("2001:db8::1", 5), network.now)
    machine.add_local_address(Address("127.0.0.1", 5), network.now)
    machine.add_local_address(B, network.now)
    machine.add_stun_server(SECOND_SERVER, network.now)
    machine.end_local_addresses(network.now)
    network.run(seconds=2)
    asked = [(round(t - 1000, 3), d.local, d.remote) for t, _, d in network.trace]
    assert asked == [
        (0, A, STUN_SERVER),
        (0.05, B, STUN_SERVER),
        (0.1, A, SECOND_SERVER),
        (0.15, B, SECOND_SERVER),
    ]
    assert network.events[0][-1] == GatheringCompleted()


def test_two_servers_behind_a_symmetric_nat_give_two_candidates_of_different_priority():
    machine = agent()
    network = Network(machine, nats=[Nat("203.0.113.1", symmetric=True)], servers=(STUN_SERVER, SECOND_SERVER))
    machine.add_local_address(A, network.now)
    machine.add_stun_server(STUN_SERVER, network.now)
    machine.add_stun_server(SECOND_SERVER, network.now)
    network.run(seconds=1)
    found = [c for c in machine.local_candidates if c.type == "srflx"]
    assert len({c.priority for c in found}) == len({c.foundation for c in found}) == 2


def test_nat_bindings_are_kept_alive_until_there_is_a_path():
    a, b = two()
    network = Network(a, b, nats=[Nat("203.0.113.1"), None], servers=(STUN_SERVER,))
    a.add_local_address(A, network.now)
    a.add_stun_server(STUN_SERVER, network.now)
    network.run(seconds=1)
    network.trace.clear()
    network.run(seconds=40)
    kept = [Message.parse(d.data) for _, _, d in network.trace if d.remote == STUN_SERVER]
    assert [m.message_class for m in kept] == [Class.INDICATION] * 2
    b.add_local_address(Address("192.0.2.9", 9), network.now)
    network.signal()
    assert network.run(lambda: a.selected_pair is not None)
    network.trace.clear()
    network.run(seconds=60)
    assert [d for _, _, d in network.trace if d.remote == STUN_SERVER] == []


@pytest.mark.parametrize(
    ("nats", "connects"),
    [
        ((Nat("203.0.113.1"), None), True),
        ((Nat("203.0.113.1"), Nat("203.0.113.2")), True),
        ((Nat("203.0.113.1", restricted=False), Nat("203.0.113.2", symmetric=True)), True),
        ((Nat("203.0.113.1"), Nat("203.0.113.2", symmetric=True)), False),  # needs a relay
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_through_nats(nats, connects, seed):
    nats = [nat and Nat(nat.host, nat.restricted, nat.symmetric) for nat in nats]
    a, b = two(seed)
    network = Network(a, b, nats=nats, servers=(STUN_SERVER,), loss=0.1, seed=seed)
    hosts = [Address("10.0.0.1", 1), Address("10.0.1.1", 2) if nats[1] else Address("192.0.2.2", 2)]
    for machine, address in zip((a, b), hosts, strict=True):
        machine.add_local_address(address, network.now)
        machine.add_stun_server(STUN_SERVER, network.now)
        machine.end_local_addresses(network.now)
    assert network.run(lambda: all(any(isinstance(e, GatheringCompleted) for e in side) for side in network.events))
    network.signal()
    assert network.run(lambda: bool(a.selected_pair and b.selected_pair), seconds=30) is connects
    if connects:
        assert network.run(lambda: bool(a.selected_pair.nominated and b.selected_pair.nominated))
        assert a.selected_pair.local == hosts[0]
        assert a.selected_pair.local_candidate.type in {"srflx", "prflx"}
        assert b.accepts(b.selected_pair.local, b.selected_pair.remote)
