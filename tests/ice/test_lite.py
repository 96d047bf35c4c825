"""A lite agent: RFC 8445 sections 2.5, 6.1.1, 7.3.2 and 8.2; RFC 7675 section 4."""

import pytest

from stack.core import Address, LocalError
from stack.ice import PairSelected, RoleChanged, StateChanged
from stack.stun import Class, Message
from stack.testing import Conditions, Link

from .support import STUN_SERVER, A, B, agent, deliver, drain_events, host, introduce, request, start
from .test_requests import PEER, Parameters


def connected(controlling=(True, False)):
    full, lite = agent("full", controlling=controlling[0]), agent("lite", controlling=controlling[1], lite=True)
    cut = set()
    link = Link(
        full,
        lite,
        Conditions(delay=0.05),
        keep_trace=True,
        tamper=lambda sender, index, data: [] if sender in cut else [data],
    )
    start(full, lite, link.now)
    assert link.run(lambda: full.state == lite.state == "completed")
    link.cut = cut
    return full, lite, link


def requests_of(link, sender):
    messages = [Message.parse(data) for _, who, data in link.trace if who == sender]
    return [message for message in messages if message.message_class is Class.REQUEST]


@pytest.mark.parametrize("controlling", [(True, False), (False, True), (True, True), (False, False)])
def test_a_full_agent_controls_and_checks_and_a_lite_one_answers(controlling):
    full, lite, link = connected(controlling)
    assert full.controlling
    assert not lite.controlling
    assert requests_of(link, 0)
    assert requests_of(link, 1) == []
    assert lite.selected_pair.nominated
    assert lite.selected_pair.remote == A
    assert lite.accepts(B, A)
    changes = [[e.controlling for e in side if isinstance(e, RoleChanged)] for side in link.events]
    assert changes == [[] if controlling[0] else [True], [False] if controlling[1] else []]


def test_its_consent_is_that_it_is_asked():
    full, lite, link = connected()
    link.run(seconds=120)
    assert full.state == lite.state == "completed"
    link.cut.add(0)
    cut_at = link.now
    assert link.run(lambda: lite.state == "disconnected")
    assert 5 < link.now - cut_at < 12
    assert link.run(lambda: lite.state == "failed")
    assert 23 < link.now - cut_at < 31
    assert lite.selected_pair is None
    assert lite.next_timer() is None
    assert requests_of(link, 1) == []


def test_it_recovers_when_it_is_asked_again():
    _, lite, link = connected()
    link.cut |= {0, 1}
    assert link.run(lambda: lite.state == "disconnected")
    link.cut.clear()
    assert link.run(lambda: lite.state == "completed", seconds=8)


def test_data_may_go_only_after_use_candidate():
    machine = agent(controlling=False, lite=True)
    machine.add_local_address(A, 0.0)
    machine.set_remote_parameters(PEER, 0.0)
    controlling = {"ice_controlled": None, "ice_controlling": 1}
    (answer,) = deliver(machine, request(machine, **controlling), 1.0)
    assert answer.message_class is Class.SUCCESS
    assert machine.selected_pair is None
    assert machine.accepts(A, B)
    deliver(machine, request(machine, use_candidate=True, **controlling), 1.1)
    assert machine.selected_pair.remote == B
    deliver(machine, request(machine, use_candidate=True, **controlling), 1.2)
    assert [type(e) for e in drain_events(machine)].count(PairSelected) == 1


def test_a_request_before_the_parameters():
    machine = agent(controlling=True, lite=True)
    machine.add_local_address(A, 0.0)
    controlling = {"ice_controlled": None, "ice_controlling": 1, "use_candidate": True}
    (answer,) = deliver(machine, request(machine, **controlling), 1.0)
    assert answer.message_class is Class.SUCCESS
    machine.set_remote_parameters(PEER, 1.1)
    assert machine.selected_pair.remote == B


def test_a_peer_that_wants_to_be_controlled_is_refused():
    machine = agent(controlling=False, lite=True)
    machine.add_local_address(A, 0.0)
    machine.set_remote_parameters(PEER, 0.0)
    (answer,) = deliver(machine, request(machine, ice_controlled=1), 0.0)
    assert answer.error_code[0] == 487
    assert machine.dropped == {"role-conflict": 1}
    assert not machine.controlling


def test_it_fails_when_nobody_nominates():
    machine = agent(controlling=False, lite=True)
    machine.add_local_address(A, 0.0)
    machine.set_remote_parameters(PEER, 0.0)
    machine.add_remote_candidate(host(B), 0.0)
    assert machine.datagrams_to_send(0.0) == []
    assert machine.pairs == []
    machine.handle_timer(39.5)
    assert machine.state == "failed"


def test_two_lite_agents_agree_without_any_check():
    a, b = agent("a", lite=True), agent("b", controlling=False, lite=True)
    link = Link(a, b, keep_trace=True)
    for machine, hosts in ((a, ("10.0.0.1", "2001:db8::1")), (b, ("10.0.0.2", "2001:db8::2"))):
        for text in hosts:
            machine.add_local_address(Address(text, 5000), link.now)
        machine.end_local_addresses(link.now)
    introduce(a, b, link.now)
    link.run(seconds=100)
    assert link.trace == []
    assert a.state == b.state == "completed"
    assert (a.selected_pair.local, a.selected_pair.remote) == (b.selected_pair.remote, b.selected_pair.local)
    assert a.controlling
    assert not b.controlling
    assert a.accepts(a.selected_pair.local, a.selected_pair.remote)
    assert a.next_timer() is None or a.next_timer() > link.now


def test_two_lite_agents_with_nothing_in_common_fail():
    a = agent(lite=True)
    a.add_local_address(A, 0.0)
    a.set_remote_parameters(Parameters("peer", "x" * 22, lite=True), 0.0)
    a.add_remote_candidate(host(Address("2001:db8::2", 5)), 0.0)
    a.handle_timer(39.5)
    assert a.state == "failed"
    assert [e.state for e in drain_events(a) if isinstance(e, StateChanged)][-1] == "failed"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m.add_stun_server(STUN_SERVER, 0.0),
        lambda m: m.add_relayed_address(Address("198.51.100.9", 5), 0.0, base=A),
        lambda m: m.add_local_address(Address("10.0.0.1", 9, "tcp"), 0.0, tcp_type="active"),
    ],
)
def test_host_candidates_only(wrong):
    machine = agent(lite=True)
    with pytest.raises(LocalError):
        wrong(machine)
    machine.add_local_address(Address("10.0.0.1", 5, "tcp"), 0.0, tcp_type="passive")
    assert [c.type for c in machine.local_candidates] == ["host"]


def test_it_says_that_it_is_lite():
    assert agent(lite=True, renomination=True).local_parameters.lite
    assert not agent(lite=True, renomination=True).local_parameters.renomination
