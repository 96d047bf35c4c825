"""Whole peer connections through NATs: a data channel opens, and messages pass."""

import pytest

from stack.testing import Conditions, NatBehavior

from .peers import PeerCall
from .support import KINDS, TURN, TURN_TCP, Internet, Kind

BY_NAME = {kind.name: kind for kind in KINDS}
DIRECT = [
    ("public", "public", ("host", "host")),
    ("port-restricted", "public", ("srflx", "host")),
    ("port-restricted", "port-restricted", ("srflx", "srflx")),
    ("symmetric", "address-restricted", ("prflx", "srflx")),
    ("home behind carrier NAT", "full cone", ("srflx", "srflx")),
]
RELAYED = [
    ("symmetric", "symmetric"),
    ("port-restricted", "symmetric"),
    ("home behind symmetric carrier NAT", "home behind carrier NAT"),
]


def call(a, b, *, seed=0, conditions=None, **options):
    network = Internet(seed=seed)
    hosts = [network.place(BY_NAME[kind], name, conditions=conditions)[0] for kind, name in ((a, "a"), (b, "b"))]
    return PeerCall(network, hosts, seed=seed, **options)


@pytest.mark.parametrize(("a", "b", "path"), DIRECT)
def test_messages_pass_directly(a, b, path):
    connected = call(a, b)
    assert connected.connect()
    assert connected.exchange()
    assert connected.path == path


@pytest.mark.parametrize(("a", "b"), RELAYED)
def test_messages_pass_through_a_relay(a, b):
    connected = call(a, b, relays=(TURN, TURN))
    assert connected.connect()
    assert connected.exchange()
    assert "relay" in connected.path


@pytest.mark.parametrize("seed", range(5))
def test_messages_pass_over_bad_lines(seed):
    conditions = Conditions(delay=0.03, jitter=0.02, loss=0.05, burst=0.01, reorder=0.05, duplicate=0.02)
    connected = call("port-restricted", "port-restricted", seed=seed, conditions=conditions)
    assert connected.connect()
    connected.chat(2.0)  # a hundred messages each way, of which the lines lose a sixth
    assert all(len(shell.arrivals) > 50 for shell in (connected.a, connected.b))


def test_where_udp_is_blocked_messages_pass_through_a_relay_over_a_stream():
    network = Internet()
    network.add_turn_over_tcp()
    blocked, _ = network.place(Kind("firewall", (NatBehavior(blocks_udp=True),)), "a")
    other, _ = network.place(BY_NAME["symmetric"], "b")
    connected = PeerCall(network, (blocked, other), relays=(TURN_TCP, TURN))
    assert connected.connect()
    assert connected.exchange()
    assert connected.path[0] == "relay"
    assert network.lost["udp-blocked"] > 0


def test_ends_are_told_and_relays_given_back():
    connected = call("symmetric", "symmetric", relays=(TURN, TURN))
    assert connected.connect()
    assert connected.network.turn.machine.allocations > 0
    connected.a.connection.close(connected.network.now)
    connected.network.run(seconds=1.0)
    assert connected.b.connection.connection_state == "closed"
    connected.b.connection.close(connected.network.now)
    connected.network.run(seconds=5.0)
    assert connected.network.turn.machine.allocations == 0
    assert connected.network.turn.sockets == {TURN}
