"""Tests that hit the named limits; the contract suite runs them too."""

import pytest

from stack.core import Address, Datagram, LocalError
from stack.ice import (
    MAX_CANDIDATES_PER_NAME,
    MAX_CHECKS,
    MAX_EARLY_CHECKS,
    MAX_LOCAL_CANDIDATES,
    MAX_NAMES,
    MAX_OUTGOING,
    MAX_PATHS,
    MAX_PEER_REFLEXIVE,
    MAX_PEER_REFLEXIVE_PER_HOST,
    MAX_STUN_SERVERS,
    MAX_TRIGGERED_IN_A_ROW,
    Parameters,
    ResolutionRequested,
)
from stack.stun import BINDING, Class, Message

from .support import STUN_SERVER, A, B, agent, answer_all, deliver, drain_events, host, request, sent

REMOTE = Parameters("peer", "a password of the peer")


def remote(number):
    return Address(f"10.1.{number >> 8}.{number & 255}", 5000)


def connecting(**config):
    machine = agent(**config)
    machine.add_local_address(A, 0.0)
    machine.set_remote_parameters(REMOTE, 0.0)
    return machine


def local_candidates():
    machine = agent()
    for port in range(1, MAX_LOCAL_CANDIDATES + 1):
        machine.add_local_address(Address("10.0.0.1", port), 0.0)
    with pytest.raises(LocalError):
        machine.add_local_address(Address("10.0.0.1", 60000), 0.0)
    assert len(machine.local_candidates) == MAX_LOCAL_CANDIDATES


def reflexive_candidates():
    machine = agent()
    for port in range(1, MAX_LOCAL_CANDIDATES):
        machine.add_local_address(Address("10.0.0.1", port), 0.0)
    machine.add_stun_server(STUN_SERVER, 0.0)
    now, answered = 0.0, 0
    while answered < 2:
        for datagram in machine.datagrams_to_send(now):
            tid = Message.parse(datagram.data).transaction_id
            mapped = Address("192.0.2.1", datagram.local.port)
            answer = Message(BINDING, Class.SUCCESS, tid, xor_mapped_address=mapped).serialize()
            machine.receive_datagram(Datagram(answer, STUN_SERVER, datagram.local), now)
            answered += 1
        now = machine.next_timer()
        machine.handle_timer(now)
    assert len(machine.local_candidates) == MAX_LOCAL_CANDIDATES
    assert machine.dropped == {"too-many-candidates": 1}


def stun_servers():
    machine = agent()
    for port in range(1, MAX_STUN_SERVERS + 1):
        machine.add_stun_server(Address("198.51.100.1", port), 0.0)
    with pytest.raises(LocalError):
        machine.add_stun_server(Address("198.51.100.1", 60000), 0.0)


def remote_candidates():
    machine = agent(max_remote_candidates=2)
    for number in range(3):
        machine.add_remote_candidate(host(remote(number)), 0.0)
    assert len(machine.remote_candidates) == 2
    assert machine.dropped == {"too-many-candidates": 1}


def peer_reflexive_candidates():
    machine = connecting(max_remote_candidates=2)
    for number in range(3):
        answers = deliver(machine, request(machine), 0.0, remote=remote(number))
        assert answers[0].message_class is Class.SUCCESS
    assert [candidate.host for candidate in machine.remote_candidates] == [remote(1).host, remote(2).host]
    assert machine.dropped == {"too-many-candidates": 1}
    machine.add_remote_candidate(host(B), 0.0)  # what is signalled takes the place of what was learnt, not of itself
    machine.add_remote_candidate(host(remote(7)), 0.0)
    machine.add_remote_candidate(host(remote(8)), 0.0)
    assert [candidate.host for candidate in machine.remote_candidates] == [B.host, remote(7).host]
    assert machine.dropped == {"too-many-candidates": 4}


def learn(machine, addresses):
    """Take a check from each of these addresses; what it learns of them."""
    for address in addresses:
        deliver(machine, request(machine), 0.0, remote=address)
    assert {pair.remote for pair in machine.pairs} == {candidate.address for candidate in machine.remote_candidates}
    return {candidate.address for candidate in machine.remote_candidates}


def peer_reflexive_candidates_of_a_host():
    machine = connecting()
    ports = [Address("192.0.2.1", 1000 + number) for number in range(MAX_PEER_REFLEXIVE_PER_HOST + 3)]
    elsewhere = Address("192.0.2.2", 1000)
    assert learn(machine, [elsewhere, *ports]) == {elsewhere, *ports[3:]}  # the oldest of the same host went
    assert machine.dropped == {"too-many-candidates": 3}
    assert not machine.accepts(A, ports[2])
    assert machine.accepts(A, ports[3])


def peer_reflexive_candidates_of_all_hosts():
    machine = connecting()
    addresses = [remote(number) for number in range(MAX_PEER_REFLEXIVE + 1)]
    assert learn(machine, addresses) == set(addresses[1:])
    assert machine.dropped == {"too-many-candidates": 1}


def valid_peer_reflexive_candidates_stay():
    machine = connecting(controlling=False)  # nobody nominates
    ports = [Address("192.0.2.1", 1000 + number) for number in range(MAX_PEER_REFLEXIVE_PER_HOST)]
    checked = {"ice_controlled": None, "ice_controlling": 1}
    for port in ports:
        machine.receive_datagram(Datagram(request(machine, **checked), port, A), 0.0)
    answer_all(machine, 0.0, REMOTE.pwd.encode(), seconds=2.0)
    assert sum(pair.valid for pair in machine.pairs) == MAX_PEER_REFLEXIVE_PER_HOST
    deliver(machine, request(machine, **checked), 2.0, remote=Address("192.0.2.1", 999))
    assert [candidate.address for candidate in machine.remote_candidates] == ports
    assert machine.dropped == {"too-many-candidates": 1}


def triggered_checks():
    machine = connecting()
    for number in range(4):
        machine.add_remote_candidate(host(remote(number), 1000 - number, foundation=str(number)), 0.0)
    learnt = [remote(100 + number) for number in range(8)]
    order = [datagram.remote for datagram in machine.datagrams_to_send(0.0)]
    for address in learnt:
        machine.receive_datagram(Datagram(request(machine), address, A), 0.0)
    machine.datagrams_to_send(0.0)
    now = 0.0
    while len(order) < 9:
        now += 0.05
        machine.handle_timer(now)
        fresh = [datagram.remote for datagram in machine.datagrams_to_send(now)]
        order += [address for address in fresh if address not in order]
    ordinary = [index for index, address in enumerate(order) if address not in learnt]
    assert ordinary == [0, *range(1 + MAX_TRIGGERED_IN_A_ROW, 9, 1 + MAX_TRIGGERED_IN_A_ROW)]


def pairs():
    machine = connecting(max_pairs=2)
    machine.add_remote_candidate(host(remote(0), 10), 0.0)  # the first one is being checked, and stays
    machine.add_remote_candidate(host(remote(1), 20), 0.0)
    machine.add_remote_candidate(host(remote(2), 30), 0.0)
    machine.add_remote_candidate(host(remote(3), 5), 0.0)
    assert [pair.remote for pair in machine.pairs] == [remote(2), remote(0)]
    assert machine.dropped == {"too-many-pairs": 2}


def checks():
    machine = connecting()
    now, begun = 0.0, set()
    for number in range(MAX_CHECKS + 20):
        now += 0.051
        machine.handle_timer(now)
        deliver(machine, request(machine, tid=number.to_bytes(12, "big")), now)
        for message in sent(machine, now):
            begun.add(message.transaction_id)
        assert len(machine._checks) <= MAX_CHECKS
    assert len(machine._checks) == MAX_CHECKS


def early_checks():
    machine = agent()
    machine.add_local_address(A, 0.0)
    for number in range(MAX_EARLY_CHECKS + 1):
        assert deliver(machine, request(machine), 0.0, remote=remote(number))[0].message_class is Class.SUCCESS
    assert machine.dropped == {"too-many-early-checks": 1}
    machine.set_remote_parameters(REMOTE, 0.0)
    assert len(machine.pairs) == MAX_EARLY_CHECKS


def paths():
    machine = connecting(max_pairs=1000)
    locals_ = [Address("10.0.0.1", 2000 + number) for number in range(MAX_PATHS // MAX_PEER_REFLEXIVE)]
    remotes = [remote(number) for number in range(MAX_PEER_REFLEXIVE)]
    for local in locals_:
        machine.add_local_address(local, 0.0)
        for address in remotes:
            deliver(machine, request(machine), 0.0, local=local, remote=address)
    assert not machine.dropped
    deliver(machine, request(machine), 0.0, remote=remotes[0])
    assert machine.dropped == {"too-many-paths": 1}
    assert machine.accepts(locals_[-1], remotes[-1])
    assert not machine.accepts(A, remotes[0])


def outgoing():
    machine = connecting()
    for _ in range(MAX_OUTGOING + 3):
        machine.receive_datagram(Datagram(request(machine), B, A), 0.0)
    assert len(machine.datagrams_to_send(0.0)) == MAX_OUTGOING
    # One of what was refused or sent is the triggered check; all else are answers.
    assert machine.dropped["outgoing-full"] == 4


def relayed_candidates():
    machine = agent()
    for port in range(1, MAX_LOCAL_CANDIDATES + 1):
        machine.add_relayed_address(Address("198.51.100.1", port), 0.0, base=A)
    with pytest.raises(LocalError):
        machine.add_relayed_address(Address("198.51.100.1", 60000), 0.0, base=A)
    assert len({candidate.priority for candidate in machine.local_candidates}) == MAX_LOCAL_CANDIDATES


def name(number):
    return f"{number:08x}-0000-4000-8000-000000000000.local"


def names():
    machine = connecting()
    for number in range(MAX_NAMES + 1):
        machine.add_remote_candidate(host(Address(name(number), 5)), 0.0)
    asked = [event.name for event in drain_events(machine) if isinstance(event, ResolutionRequested)]
    assert asked == [name(number) for number in range(MAX_NAMES)]
    assert machine.dropped == {"too-many-names": 1}


def candidates_per_name():
    machine = connecting()
    for port in range(1, MAX_CANDIDATES_PER_NAME + 2):
        machine.add_remote_candidate(host(Address(name(0), port)), 0.0)
    assert machine.dropped == {"too-many-names": 1}
    machine.name_resolved(name(0), ["10.0.0.2"], 0.0)
    assert len(machine.remote_candidates) == MAX_CANDIDATES_PER_NAME


def spare_pairs():
    machine = connecting(spare_pairs=2)
    for number in range(10):
        machine.add_remote_candidate(host(remote(number), 100 + number, foundation=str(number)), 0.0)
    answer_all(machine, 0.0, REMOTE.pwd.encode(), seconds=1.0)
    assert machine.selected_pair.nominated
    assert len(machine.pairs) <= 1 + 2 + 2  # valid ones, and not yet checked ones
    answer_all(machine, 1.0, REMOTE.pwd.encode(), seconds=1.0)
    assert len(machine.pairs) == 1 + 2


LIMITS = {
    "MAX_LOCAL_CANDIDATES-relayed": relayed_candidates,
    "MAX_NAMES": names,
    "MAX_CANDIDATES_PER_NAME": candidates_per_name,
    "spare_pairs": spare_pairs,
    "MAX_LOCAL_CANDIDATES": local_candidates,
    "MAX_LOCAL_CANDIDATES-reflexive": reflexive_candidates,
    "MAX_STUN_SERVERS": stun_servers,
    "max_remote_candidates": remote_candidates,
    "max_remote_candidates-reflexive": peer_reflexive_candidates,
    "MAX_PEER_REFLEXIVE_PER_HOST": peer_reflexive_candidates_of_a_host,
    "MAX_PEER_REFLEXIVE_PER_HOST-valid": valid_peer_reflexive_candidates_stay,
    "MAX_PEER_REFLEXIVE": peer_reflexive_candidates_of_all_hosts,
    "MAX_TRIGGERED_IN_A_ROW": triggered_checks,
    "max_pairs": pairs,
    "MAX_CHECKS": checks,
    "MAX_EARLY_CHECKS": early_checks,
    "MAX_PATHS": paths,
    "MAX_OUTGOING": outgoing,
}
