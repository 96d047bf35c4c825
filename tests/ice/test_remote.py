"""Candidates that the other side signals: names, floods, addresses that nobody should send to."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import Address
from stack.ice import Candidate, ResolutionRequested
from stack.ice.resolution import is_mdns_name

from .support import A, B, agent, deliver, drain_events, host, request
from .test_requests import PEER

NAME = "6e3cfb4d-7a6c-4a5e-8c8c-0d6ad2ab7f68.local"


def listening(**config):
    machine = agent(**config)
    machine.add_local_address(A, 0.0)
    machine.set_remote_parameters(PEER, 0.0)
    drain_events(machine)
    return machine


def named(name=NAME, port=5000, **changes):
    return host(Address(name, port), **changes)


def test_a_name_is_asked_for_once():
    machine = listening()
    machine.add_remote_candidate(named(), 0.0)
    machine.add_remote_candidate(named(NAME.upper(), 5001), 0.0)
    assert [e for e in drain_events(machine) if isinstance(e, ResolutionRequested)] == [ResolutionRequested(NAME)]
    assert machine.remote_candidates == []
    machine.name_resolved(NAME, ["10.0.0.2"], 1.0)
    assert [c.address for c in machine.remote_candidates] == [Address("10.0.0.2", 5000), Address("10.0.0.2", 5001)]
    assert len(machine.pairs) == 2
    assert not machine.dropped


@pytest.mark.parametrize(
    ("hosts", "reason"),
    [
        ([], "candidate-unresolved"),
        (["10.0.0.2", "10.0.0.3"], "candidate-unresolved"),
        (["nonsense"], "candidate-not-ip"),
        (["224.0.0.1"], "candidate-address"),
        (["127.0.0.1"], "candidate-loopback"),
    ],
)
def test_answers_that_do_not_help(hosts, reason):
    machine = listening()
    machine.add_remote_candidate(named(), 0.0)
    machine.name_resolved(NAME, hosts, 1.0)
    assert machine.dropped == {reason: 1}
    assert machine.remote_candidates == []
    machine.name_resolved(NAME, ["10.0.0.2"], 2.0)  # nobody waits for it any more
    assert machine.remote_candidates == []


def test_the_same_address_twice_is_one_answer():
    machine = listening()
    machine.add_remote_candidate(named(), 0.0)
    machine.name_resolved(NAME, ["10.0.0.2", "10.0.0.2"], 1.0)
    assert len(machine.remote_candidates) == 1


@pytest.mark.parametrize("name", ["printer.local", "a.b.local", f"x{NAME}", f"{NAME}\n", "example.org", ".local"])
def test_other_names_are_not_resolved(name):
    machine = listening()
    machine.add_remote_candidate(named(name), 0.0)
    assert machine.dropped == {"candidate-not-ip": 1}
    assert drain_events(machine) == []
    assert not is_mdns_name(name)


def test_a_name_that_is_being_resolved_puts_off_failure():
    machine = listening(pac_timeout=1.0)
    machine.add_remote_candidate(named(), 0.0)
    machine.handle_timer(1.0)
    assert machine.state == "new"
    machine.name_resolved(NAME, [], 2.0)
    assert machine.state == "failed"


def test_a_restart_forgets_names():
    machine = listening()
    machine.add_remote_candidate(named(), 0.0)
    machine.restart(1.0)
    machine.name_resolved(NAME, ["10.0.0.2"], 1.0)
    assert machine.remote_candidates == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("0.0.0.0", "candidate-address"),
        ("0.0.0.1", "candidate-address"),
        ("::", "candidate-address"),
        ("224.0.0.251", "candidate-address"),
        ("ff02::fb", "candidate-address"),
        ("255.255.255.255", "candidate-address"),
        ("::ffff:127.0.0.1", "candidate-address"),
        ("127.0.0.1", "candidate-loopback"),
        ("127.9.9.9", "candidate-loopback"),
        ("::1", "candidate-loopback"),
    ],
)
@pytest.mark.parametrize("kind", [{}, {"transport": "tcp", "tcp_type": "passive"}])
def test_nothing_is_sent_where_no_peer_can_be(bad, reason, kind):
    machine = listening()
    machine.add_local_address(Address("10.0.0.1", 9, "tcp"), 0.0, tcp_type="active")
    machine.add_remote_candidate(host(Address(bad, 5), **kind), 0.0)
    assert machine.dropped == {reason: 1}
    assert machine.datagrams_to_send(0.0) == []


def test_our_own_address_may_be_the_peers():
    machine = listening()
    machine.add_remote_candidate(host(Address(A.host, 4444)), 0.0)
    assert [d.remote for d in machine.datagrams_to_send(0.0)] == [Address(A.host, 4444)]


def test_a_flood_of_candidates_makes_no_flood_of_checks():
    machine = listening()
    for number in range(10_000):
        machine.add_remote_candidate(
            host(Address(f"10.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}", 5)), 0.0
        )
    assert len(machine.remote_candidates) == 64
    assert machine.dropped == {"too-many-candidates": 9936}
    assert len(machine.pairs) == 64
    for tick in range(100):
        machine.handle_timer(tick * 0.01)
    assert len(machine.datagrams_to_send(1.0)) <= 1 + 1 / 0.05


def test_a_flood_of_forged_checks_is_counted_and_changes_nothing():
    machine = listening()
    machine.add_remote_candidate(host(B), 0.0)
    machine.datagrams_to_send(0.0)
    forged = request(machine, key=b"guess")
    for number in range(1000):
        deliver(machine, forged, 0.01, remote=Address("10.9.9.9", 1 + number))
    assert machine.dropped == {"bad-integrity": 1000}
    assert len(machine.remote_candidates) == len(machine.pairs) == 1
    assert not machine.accepts(A, Address("10.9.9.9", 1))


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Candidate,
        foundation=st.text(max_size=8),
        component=st.integers(0, 300),
        transport=st.sampled_from(["udp", "TCP", "sctp", ""]),
        priority=st.integers(-1, 2**33),
        host=st.sampled_from(["10.0.0.2", "::1", "0.0.0.0", NAME, "fe80::1%eth0"]) | st.text(max_size=20),
        port=st.integers(-1, 70_000),
        type=st.sampled_from(["host", "srflx", "prflx", "relay", "x"]),
        tcp_type=st.sampled_from([None, "active", "passive", "so", "?"]),
    )
)
def test_any_candidate_is_taken_or_counted(candidate):
    machine = listening()
    machine.add_local_address(Address("10.0.0.1", 9, "tcp"), 0.0, tcp_type="active")
    machine.add_remote_candidate(candidate, 0.0)
    machine.handle_timer(1.0)
    waiting = [e for e in drain_events(machine) if isinstance(e, ResolutionRequested)]
    assert machine.dropped.total() + len(machine.remote_candidates) + len(waiting) == 1
