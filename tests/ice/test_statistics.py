import json
from dataclasses import asdict

from stack.core import Address
from stack.ice import Statistics, explain

from .support import A, B, TwoPaths, agent, deliver, host, request
from .test_requests import PEER


def test_statistics_are_plain_and_complete():
    network = TwoPaths().settle()
    for side, machine in enumerate(network.agents):
        statistics = machine.statistics()
        assert isinstance(statistics, Statistics)
        assert json.loads(json.dumps(asdict(statistics), allow_nan=False)) == asdict(statistics)
        assert statistics.controlling is (side == 0)
        assert statistics.state == "completed"
        assert [c.interface for c in statistics.local_candidates] == ["if1", "if2"]
        selected = [pair for pair in statistics.pairs if pair.selected]
        assert [pair.nominated for pair in selected] == [True]
        pair = selected[0]
        assert pair.formed_at <= pair.checked_at < pair.validated_at < pair.nominated_at <= pair.responded_at
        assert abs(pair.rtt - 0.1) < 0.01
        assert pair.requests_sent >= pair.responses_received >= 3


def test_a_fresh_agent_can_be_explained():
    machine = agent()
    statistics = machine.statistics()
    assert statistics.now is None
    assert statistics.pairs == []
    json.dumps(asdict(statistics), allow_nan=False)
    assert "no local candidate" in explain(machine.statistics())


def test_asking_changes_nothing():
    network = TwoPaths().settle()
    machine = network.agents[0]
    before = asdict(machine.statistics()), machine.next_timer()
    explain(machine.statistics())
    assert (asdict(machine.statistics()), machine.next_timer()) == before
    assert machine.datagrams_to_send(network.now) == []
    assert machine.next_event() is None


def test_the_report():
    network = TwoPaths().settle()
    network.agents[0].add_remote_candidate(host(B, component=2), network.now)
    text = explain(network.agents[0].statistics())
    assert text == explain(network.agents[0])
    assert "ICE agent: completed, controlling" in text
    assert "host 10.1.0.1:1000/udp on if1" in text
    assert "selected nominated" in text
    assert "dropped: candidate-component 1" in text
    assert "hint" not in text
    assert all(len(line) < 250 for line in text.splitlines())


def test_kinds_of_candidates_in_the_report():
    machine = agent()
    machine.add_local_address(Address("2001:db8::1", 9, "tcp"), 0.0, tcp_type="active")
    machine.add_local_address(A, 0.0, hidden=True)
    server = Address("198.51.100.9", 3478)
    machine.add_relayed_address(Address("198.51.100.9", 5), 0.0, base=A, server=server, protocol="tls")
    text = explain(machine.statistics())
    assert "host [2001:db8::1]:9/tcp active" in text
    assert "(hidden)" in text
    assert "by tls of 198.51.100.9:3478" in text


def checking():
    machine = agent()
    machine.add_local_address(A, 0.0)
    machine.set_remote_parameters(PEER, 0.0)
    machine.add_remote_candidate(host(B), 0.0)
    machine.handle_timer(1.0)
    return machine


def test_hints():
    machine = checking()
    assert "no check was ever answered" in explain(machine.statistics())
    deliver(machine, request(machine), 1.0)
    assert "checks arrive, but ours are never answered" in explain(machine.statistics())
    deliver(machine, request(machine, key=b"wrong"), 1.0)
    assert "credentials that do not match" in explain(machine.statistics())
    machine = agent()
    machine.add_local_address(A, 0.0)
    assert "the other side's description has not arrived" in explain(machine.statistics())
    machine.set_remote_parameters(PEER, 0.0)
    machine.add_remote_candidate(host(Address("2001:db8::2", 5)), 0.0)
    assert "no local candidate can reach a remote one" in explain(machine.statistics())
    name = "6e3cfb4d-7a6c-4a5e-8c8c-0d6ad2ab7f68.local"
    machine.add_remote_candidate(host(Address(name, 5)), 0.0)
    assert "mDNS names" in explain(machine.statistics())
    network = TwoPaths().settle()
    network.dark = {(n, side) for n in (0, 1) for side in (0, 1)}
    network.talk(13)
    assert "gone silent" in explain(network.agents[0].statistics())
