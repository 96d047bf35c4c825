from stack.core import Address, Datagram
from stack.ice import CandidateGathered, PairSelected, Parameters, StateChanged
from stack.stun import Class, Message

from .support import STUN_SERVER, A, B, Nat, Network, drain_events, introduce, request, two


def connected(**kwargs):
    a, b = two()
    network = Network(a, b, **kwargs)
    for machine, address in ((a, A), (b, B)):
        machine.add_local_address(address, network.now)
        machine.end_local_addresses(network.now)
    introduce(a, b, network.now)
    assert network.run(lambda: a.state == b.state == "completed")
    for side in network.events:
        side.clear()
    return a, b, network


def states(events):
    return [e.state for e in events if isinstance(e, StateChanged)]


def test_a_restart_changes_credentials_and_keeps_the_path_until_there_is_a_new_one():
    a, b, network = connected()
    old, pair = a.local_parameters, a.selected_pair
    a.restart(network.now)
    assert a.local_parameters != old
    assert a.remote_parameters is None
    assert a.selected_pair is pair
    assert a.accepts(A, B)
    assert a.pairs == []
    assert a.remote_candidates == []
    network.run(seconds=20)
    assert a.selected_pair is pair
    assert a.state == "connected"
    b.restart(network.now)
    for machine in (a, b):
        machine.end_local_addresses(network.now)
    introduce(a, b, network.now)
    assert network.run(lambda: a.state == b.state == "completed")
    assert a.selected_pair is not pair
    assert a.selected_pair.nominated
    assert a.accepts(A, B)


def test_what_a_restart_reports():
    a, _, network = connected()
    a.restart(network.now)
    events = drain_events(a)
    assert [e.candidate.address for e in events if isinstance(e, CandidateGathered)] == [A]
    assert states(events) == ["connected"]
    assert not any(isinstance(e, PairSelected) for e in events)


def test_consent_goes_on_with_the_old_credentials_during_a_restart():
    a, b, network = connected()
    a.restart(network.now)
    network.trace.clear()
    network.run(seconds=60)
    assert a.state == "connected"
    assert b.state == "completed"
    messages = [(who, Message.parse(d.data)) for _, who, d in network.trace]
    assert {who for who, m in messages if m.message_class is Class.SUCCESS} == {0, 1}


def test_requests_with_the_old_credentials_are_answered_but_teach_nothing():
    a, b, network = connected()
    old = request(a, username=f"{a.local_parameters.ufrag}:{b.local_parameters.ufrag}")
    a.restart(network.now)
    a.set_remote_parameters(b.local_parameters, network.now)
    elsewhere = Address("10.0.0.77", 7)
    a.receive_datagram(Datagram(old, elsewhere, A), network.now)
    answer = Message.parse(a.datagrams_to_send(network.now)[0].data)
    assert answer.message_class is Class.SUCCESS
    assert a.remote_candidates == []
    assert not a.accepts(A, elsewhere)


def test_requests_of_two_generations_at_once_are_not_answered():
    """What libwebrtc sends from its new ports until it has our answer; it comes again with the right credentials."""
    a, b, network = connected()
    elsewhere, theirs = Address("10.0.0.77", 7), b.local_parameters
    first, mixed = a.local_parameters.ufrag, request(a, username=f"{a.local_parameters.ufrag}:new")
    a.receive_datagram(Datagram(mixed, elsewhere, A), network.now)
    assert a.datagrams_to_send(network.now) == []
    a.restart(network.now)
    a.receive_datagram(Datagram(mixed, elsewhere, A), network.now)
    assert a.datagrams_to_send(network.now) == []
    assert a.dropped["other-generation"] == 2
    early = request(a, username=f"{a.local_parameters.ufrag}:new")  # the new generation on both sides
    a.receive_datagram(Datagram(early, elsewhere, A), network.now)
    assert Message.parse(a.datagrams_to_send(network.now)[0].data).message_class is Class.SUCCESS
    a.set_remote_parameters(Parameters("new", "p" * 22), network.now)
    assert a.accepts(A, elsewhere)
    back = request(a, username=f"{a.local_parameters.ufrag}:{theirs.ufrag}")
    a.receive_datagram(Datagram(back, elsewhere, A), network.now)
    assert a.dropped["other-generation"] == 3
    assert a.local_parameters.ufrag != first


def test_a_lost_path_during_a_restart_is_not_the_end():
    a, b, network = connected()
    network.passes = lambda source, target: False
    a.restart(network.now)
    network.run(seconds=40)
    assert a.selected_pair is None
    assert a.state == "new"
    assert b.state == "failed"
    network.passes = lambda source, target: True
    b.restart(network.now)
    for machine in (a, b):
        machine.end_local_addresses(network.now)
    introduce(a, b, network.now)
    assert network.run(lambda: a.state == b.state == "completed")


def test_a_restart_after_failure():
    a, b, network = connected()
    network.passes = lambda source, target: False
    assert network.run(lambda: a.state == b.state == "failed")
    network.passes = lambda source, target: True
    for side in network.events:
        side.clear()
    for machine in (a, b):
        machine.restart(network.now)
        machine.end_local_addresses(network.now)
    introduce(a, b, network.now)
    assert network.run(lambda: a.state == b.state == "completed")
    assert states(network.events[0]) == ["new", "checking", "connected", "completed"]


def test_a_restart_onto_another_network():
    a, b, network = connected()
    elsewhere = Address("10.5.0.1", 5)
    network.passes = lambda source, target: A not in {source, target}
    for machine in (a, b):
        machine.restart(network.now)
    a.add_local_address(elsewhere, network.now)
    for machine in (a, b):
        machine.end_local_addresses(network.now)
    introduce(a, b, network.now)
    assert network.run(lambda: a.selected_pair.local == elsewhere and b.selected_pair.remote == elsewhere, seconds=5)
    assert "failed" not in states(network.events[0])


def test_servers_are_asked_again():
    a, b = two()
    network = Network(a, b, nats=[Nat("203.0.113.1"), None], servers=(STUN_SERVER,))
    a.add_local_address(A, network.now)
    a.add_stun_server(STUN_SERVER, network.now)
    network.run(seconds=1)
    assert [c.type for c in a.local_candidates] == ["host", "srflx"]
    a.restart(network.now)
    assert [c.type for c in a.local_candidates] == ["host"]
    network.run(seconds=1)
    assert [c.type for c in a.local_candidates] == ["host", "srflx"]
