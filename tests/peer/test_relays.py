"""Relays below ICE: what leaves through them is wrapped, what comes is unwrapped, and the agent knows of both."""

import pytest

from stack import ice, turn
from stack.core import Address, Datagram, LocalError
from stack.peer.relays import RelayAllocated, RelayLost, RelayMoved
from stack.testing import Conditions, Link
from tests.turn.support import PEER, SERVER

from .relay_support import (
    BASE,
    FAR,
    OVER_TCP,
    STREAM,
    THERE,
    FarEnd,
    Transport,
    TurnEnd,
    introduce,
    relays,
)

CHECK, MEDIA = b"\x00\x01 a check", b"\x80 media"


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def allocated(**options):
    """Relays with one allocation, what serves it, the link, and the relayed address."""
    machine, end = relays(**options), TurnEnd()
    link = Link(machine, end, Conditions(delay=0.01), keep_trace=True)
    machine.add_server(THERE, link.now)
    machine.add_base(BASE, link.now)
    assert not machine.settled
    assert link.run(lambda: of(link.events[0], RelayAllocated), seconds=5)
    assert machine.settled
    return machine, end, link, of(link.events[0], RelayAllocated)[0].relayed


def pass_on(machine, link, datagrams):
    """Send wrapped datagrams, and return what has come back through the relay after a while."""
    machine.outgoing += machine.wrap(datagrams, link.now)
    link.run(seconds=1)
    return machine.take()


def test_an_allocation_is_reported():
    _, _, link, relayed = allocated()
    (event,) = link.events[0]
    assert (event.base, event.mapped, event.server) == (BASE, BASE, THERE)
    assert relayed.host == SERVER.host


def test_what_comes_back_looks_as_if_it_came_to_a_socket():
    machine, end, link, relayed = allocated()
    back = pass_on(machine, link, [Datagram(CHECK, PEER, relayed), Datagram(MEDIA, PEER, relayed)])
    assert back == [Datagram(CHECK, PEER, relayed), Datagram(MEDIA, PEER, relayed)]
    assert machine.take() == []
    assert [(d.data, d.remote, d.local) for d in end.at_peers] == [(CHECK, PEER, relayed), (MEDIA, PEER, relayed)]


def test_what_is_no_relays_stays_as_it_is_and_the_order_too():
    machine, _, link, relayed = allocated()
    direct = Datagram(CHECK, PEER, BASE)
    wrapped = machine.wrap([direct, Datagram(CHECK, PEER, relayed), direct], link.now)
    assert wrapped[0] is direct
    assert wrapped[-1] is direct
    assert {d.remote for d in wrapped[1:-1]} == {SERVER}
    assert relays().wrap([direct], 0.0) == [direct]


def test_a_path_with_data_gets_a_channel_and_one_with_checks_does_not():
    machine, _, link, relayed = allocated()
    pass_on(machine, link, [Datagram(CHECK, PEER, relayed)])
    link.trace.clear()
    pass_on(machine, link, [Datagram(CHECK, PEER, relayed)])
    assert all(data[0] < 4 for _, _, data in link.trace)
    pass_on(machine, link, [Datagram(MEDIA, PEER, relayed)])
    link.trace.clear()
    assert pass_on(machine, link, [Datagram(MEDIA, PEER, relayed)]) == [Datagram(MEDIA, PEER, relayed)]
    assert all(0x40 <= data[0] < 0x50 for _, _, data in link.trace)


def test_binding_responses_are_the_agents_although_the_server_relays():
    machine, _, _, _ = allocated()
    assert not machine.owns(Datagram(b"\x01\x01 response", SERVER, BASE))
    assert machine.owns(Datagram(b"\x01\x04 response", SERVER, BASE))
    assert machine.owns(Datagram(b"\x40\x00 data", SERVER, BASE))
    assert not machine.owns(Datagram(b"\x40\x00 data", PEER, BASE))


def test_a_socket_that_is_gone_takes_its_allocations_along():
    machine, _, link, relayed = allocated()
    machine.remove_base(BASE, link.now)
    event = machine.next_event()
    assert (event.relayed, event.error.reason) == (relayed, "path-closed")
    assert not machine
    assert machine.next_timer() is None
    machine.receive_datagram(Datagram(b"\x40\x00\x00\x00", SERVER, BASE), link.now)
    assert machine.dropped["unknown-server"] == 1


@pytest.mark.parametrize("data", [bytes(100_000), b"\x80"])
def test_what_cannot_be_relayed_is_counted(data):
    machine, _, link, relayed = allocated()
    peer = PEER if len(data) > 1 else Address("2001:db8::9", 5)
    assert sum(len(datagram.data) for datagram in machine.wrap([Datagram(data, peer, relayed)], link.now)) < 200
    assert machine.dropped["not-relayed"] == 1


def test_a_server_that_never_answers_is_not_waited_for():
    machine = relays(timeout=5.0)
    machine.add_server(THERE, 0.0)
    machine.add_base(BASE, 0.0)
    while not machine.settled:
        now = machine.next_timer()
        machine.handle_timer(now)
        machine.datagrams_to_send(now)
    assert now == 5.0
    while (due := machine.next_timer()) is not None:
        machine.handle_timer(due)
    lost = machine.next_event()
    assert isinstance(lost, RelayLost)
    assert (lost.relayed, lost.error.layer) == (None, "turn")


def test_a_wrong_password_is_told():
    machine, end = relays(), TurnEnd()
    link = Link(machine, end)
    machine.add_server(type(THERE)(SERVER, "driver", "wrong"), link.now)
    machine.add_base(BASE, link.now)
    assert link.run(lambda: of(link.events[0], RelayLost), seconds=5)
    (lost,) = link.events[0]
    assert lost.relayed is None
    assert "wrong" not in repr(lost)


def test_only_servers_of_the_same_family_and_scope_are_asked():
    machine = relays()
    machine.add_server(THERE, 0.0)
    machine.add_base(Address("2001:db8::1", 5), 0.0)
    machine.add_base(Address("127.0.0.1", 5), 0.0)
    assert machine.datagrams_to_send(0.0) == []
    assert machine.settled


def test_over_a_stream_messages_are_framed():
    machine = relays()
    machine.add_stream(STREAM, OVER_TCP, 0.0)
    (request,) = machine.datagrams_to_send(0.0)
    assert (request.local, request.remote) == (STREAM, OVER_TCP.address)
    assert turn.StreamDeframer().push(request.data) != []
    with pytest.raises(LocalError, match="known already"):
        machine.add_stream(STREAM, OVER_TCP, 0.0)


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_rfc8489_10_a_server_that_points_elsewhere(protocol):
    machine = relays()
    if protocol == "udp":
        machine.add_server(THERE, 0.0)
        machine.add_base(BASE, 0.0)
    else:
        machine.add_stream(STREAM, OVER_TCP, 0.0)
    (relay,) = machine.table.values()
    machine.datagrams_to_send(0.0)
    other = Address("203.0.113.99", 3479)
    relay.client._events.append(turn.Redirected(other, None))
    machine.handle_timer(0.1)
    if protocol == "udp":
        assert [d.remote for d in machine.datagrams_to_send(0.1)] == [other]
    else:
        moved = machine.next_event()
        assert isinstance(moved, RelayMoved)
        assert moved.server.address == other._replace(transport="tcp")
        assert machine.datagrams_to_send(0.1) == []


def test_closing_gives_the_allocations_back_with_one_drain():
    machine, end, link, _ = allocated()
    machine.close(link.now)
    assert not machine
    link.run(seconds=1)
    assert end.server.allocations == 0
    machine.close(link.now)
    assert machine.datagrams_to_send(link.now) == []
    assert machine.next_timer() is None


# The transport: the agent, and relays for it.


def transport_link(*, near=None, dark=(), **options):
    """A transport, and the other side with the server; what goes between the `dark` addresses is lost."""
    near, far = near or Transport("near", controlling=True, **options), FarEnd()
    link = Link(near, far, Conditions(delay=0.02))
    near.add_turn_server(THERE, link.now)
    near.add_local_address(BASE, link.now)
    near.end_local_addresses(link.now)
    far.transport.add_local_address(FAR, link.now)
    far.transport.end_local_addresses(link.now)
    return near, far, link


def test_candidates_of_the_relay_and_of_the_turn_server_as_stun_server():
    near, _, link = transport_link()
    assert link.run(lambda: of(link.events[0], ice.GatheringCompleted), seconds=10)
    kinds = {candidate.type for candidate in near.agent.local_candidates}
    assert kinds == {"host", "relay"}  # the server sees the host's own address
    relay = next(c for c in near.agent.local_candidates if c.type == "relay")
    assert (relay.related_host, relay.related_port) == BASE[:2]


def test_with_relays_only_nothing_else_is_known_and_the_path_leads_through_one():
    near, far, link = transport_link(ice_transport_policy="relay")
    assert link.run(lambda: of(link.events[0], ice.GatheringCompleted), seconds=10)
    (relay,) = near.agent.local_candidates
    assert (relay.type, relay.related_host, relay.related_port) == ("relay", "0.0.0.0", 9)  # RFC 8839 section 5.1
    introduce(near, far.transport, link.now)
    assert link.run(lambda: near.agent.state == far.transport.agent.state == "completed", seconds=10)
    assert near.agent.selected_pair.local == relay.address
    assert far.transport.agent.selected_pair.remote == relay.address


def test_relays_only_from_the_first_address_on():
    near = Transport("near", controlling=True)
    near.relay_only = True
    transport_link(near=near)
    assert near.agent.local_candidates == []
    near.relay_only = False
    assert near.relay_only  # until the next gathering
    near.relay_only = True
    assert not near.policy_changes


def restart(near, far, link, then=lambda: None):
    """Both sides begin a new generation, and come to a path; return what was reported."""
    for number, transport in enumerate((near, far.transport)):
        transport.restart(ice.Parameters(f"next{number}{link.now:.0f}", "p" * 22), link.now)
    then()
    assert link.run(lambda: of(link.events[0], ice.GatheringCompleted), seconds=20)
    introduce(near, far.transport, link.now)
    assert link.run(lambda: near.agent.state == far.transport.agent.state == "completed", seconds=10)
    link.run(seconds=1)
    reported = list(link.events[0])
    link.events[0].clear()
    return reported


def connected_link(**options):
    near, far, link = transport_link(**options)
    assert link.run(lambda: of(link.events[0], ice.GatheringCompleted), seconds=10)
    introduce(near, far.transport, link.now)
    assert link.run(lambda: near.agent.state == far.transport.agent.state == "completed", seconds=10)
    link.events[0].clear()
    return near, far, link


def kinds(near):
    return sorted(candidate.type for candidate in near.agent.local_candidates)


class TestChangesBeforeARestart:
    """RFC 8829 section 4.1.18: what `setConfiguration` changes counts from the next gathering on."""

    def test_relays_only(self):
        near, far, link = connected_link()
        before = near.agent.selected_pair
        assert before.local == BASE
        near.relay_only = True
        assert not near.relay_only
        link.run(seconds=1)
        assert kinds(near) == ["host", "relay"]

        def then():
            assert near.relay_only
            assert near.agent.selected_pair is before  # data goes on
            (relay,) = near.agent.local_candidates
            assert (relay.type, relay.related_host, relay.related_port) == ("relay", "0.0.0.0", 9)

        restart(near, far, link, then)
        (pair,) = near.agent.pairs
        assert near.agent.selected_pair is pair
        assert pair.local_candidate.type == "relay"
        assert not near.agent._gatherer.has_pending
        link.run(seconds=30)
        assert near.agent.selected_pair is pair  # checks of the peer's to other addresses come to nothing

    def test_more_than_relays(self):
        near, far, link = connected_link(ice_transport_policy="relay")
        assert near.agent.selected_pair.local_candidate.type == "relay"
        near.relay_only = False
        restart(near, far, link, lambda: near.add_local_address(BASE, link.now))
        assert kinds(near) == ["host", "relay"]
        assert near.agent.selected_pair.local == BASE
        assert SERVER in near.agent._gatherer.servers

    def test_there_and_back(self):
        near, far, link = connected_link()
        near.relay_only = True
        restart(near, far, link)
        near.relay_only = False
        restart(near, far, link)
        assert near.agent.selected_pair.local == BASE

    @pytest.mark.parametrize("relay_only", [True, False])
    def test_a_restart_that_is_undone(self, relay_only):
        near, _, link = connected_link(ice_transport_policy="all" if relay_only else "relay")
        before, pair = kinds(near), near.agent.selected_pair
        near.relay_only = relay_only
        near.restart(ice.Parameters("next", "p" * 22), link.now)
        assert near.relay_only is relay_only
        if not relay_only:
            near.add_local_address(BASE, link.now)
        near.undo_restart(link.now)
        assert near.relay_only is not relay_only
        assert kinds(near) == before or not relay_only
        assert near.agent.selected_pair is pair
        assert near.policy_changes

    def test_a_server_that_is_not_used(self):
        near, far, link = connected_link()
        near.forget_server(SERVER, link.now)
        link.run(seconds=5)
        assert kinds(near) == ["host", "relay"]
        (lost,) = of(restart(near, far, link), RelayLost)
        assert lost.error is None  # it was given back
        assert kinds(near) == ["host"]
        assert not near.relays
        near.add_local_address(Address("198.51.100.8", 40000), link.now)
        assert not near.relays
        assert near.agent._gatherer.servers == []

    def test_a_server_that_carries_data_does_so_until_there_is_another_path(self):
        near, far, link = connected_link(ice_transport_policy="relay")
        relayed = near.agent.selected_pair.local
        near.forget_server(SERVER, link.now)
        near.relay_only = False
        for number, transport in enumerate((near, far.transport)):
            transport.restart(ice.Parameters(f"next{number}", "p" * 22), link.now)
        near.add_local_address(BASE, link.now)
        link.run(seconds=5)
        assert near.agent.selected_pair.local == relayed
        assert kinds(near) == ["host"]
        introduce(near, far.transport, link.now)
        assert link.run(lambda: near.agent.state == far.transport.agent.state == "completed", seconds=10)
        assert near.agent.selected_pair.local == BASE
        assert link.run(lambda: of(link.events[0], RelayLost), seconds=30)
        assert not near.relays

    def test_a_server_that_is_named_again_stays(self):
        near, far, link = connected_link()
        near.forget_server(SERVER, link.now)
        near.add_turn_server(THERE, link.now)
        assert of(restart(near, far, link), RelayLost) == []
        assert kinds(near) == ["host", "relay"]

    def test_a_server_that_nobody_knows(self):
        near, _, link = connected_link()
        near.forget_server(FAR, link.now)
        assert kinds(near) == ["host", "relay"]
        near.close(link.now)
        near.forget_server(SERVER, link.now)
        assert near.agent.state == "closed"


def test_a_restart_waits_for_servers_that_are_announced():
    near, _, link = transport_link()
    assert link.run(lambda: of(link.events[0], ice.GatheringCompleted), seconds=10)
    assert near.local_addresses_ended
    link.events[0].clear()
    near.expect_local_addresses()
    near.restart(ice.Parameters("next", "p" * 22), link.now)
    link.run(seconds=20)
    assert of(link.events[0], ice.GatheringCompleted) == []
    near.end_local_addresses(link.now)
    assert link.run(lambda: of(link.events[0], ice.GatheringCompleted), seconds=10)


def test_gathering_ends_after_the_relays_have():
    _, _, link = transport_link()
    assert link.run(lambda: of(link.events[0], ice.GatheringCompleted), seconds=10)
    kinds = [type(event).__name__ for event in link.events[0]]
    assert kinds.index("GatheringCompleted") > max(n for n, kind in enumerate(kinds) if kind == "CandidateGathered")


def test_a_lost_relay_is_no_candidate_any_more():
    near, _, link = transport_link()
    assert link.run(lambda: of(link.events[0], ice.GatheringCompleted), seconds=10)
    near.remove_local_address(BASE, link.now)
    link.drain()
    assert near.agent.local_candidates == []
    assert {event.candidate.type for event in of(link.events[0], ice.CandidateRemoved)} == {"host", "relay"}
    assert len(of(link.events[0], RelayLost)) == 1


def test_reasons_are_told_apart():
    near, _, link = transport_link()
    near.receive_datagram(Datagram(b"\x00", PEER, BASE), link.now)
    near.relays.receive_datagram(Datagram(b"\x00", PEER, BASE), link.now)
    assert near.dropped == {"truncated": 1, "relay-unknown-server": 1}
