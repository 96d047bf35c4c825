"""Which path is found through which NATs, against what RFC 4787's terms let one expect (RFC 5128 section 3.3)."""

from itertools import product
from pathlib import Path

import pytest

from stack import ice
from stack.testing import Conditions, Dependence, NatBehavior

from .nat_table import behind_firewall, behind_one_nat, describe, page
from .support import KINDS, TURN, TURN_TCP, AgentCall, Internet, Kind, call_between

PAGE = Path(__file__).parents[2] / "docs" / "tables" / "nat.md"
INDEPENDENT = Dependence.ENDPOINT_INDEPENDENT
BY_PORT = Dependence.ADDRESS_AND_PORT_DEPENDENT
WITH_RELAY_WITHIN = 1.2  # seconds, a quarter of a second of them for gathering and signaling
PAIRS = list(product(KINDS, repeat=2))


def hole_can_be_punched(a, b):
    """Whether packets pass both ways without a relay.

    What a NAT filters by is where its host has sent to, and that is where the other side was seen by the STUN server.
    So a side is let in if it comes from there; or from another port there, if ports are not looked at. A side whose
    own port is another one for each peer cannot be sent to first: it has to be the one that gets in.
    """
    if a.mapping is INDEPENDENT and b.mapping is INDEPENDENT:
        return True
    return any(side.mapping is INDEPENDENT and side.filtering is not BY_PORT for side in (a, b))


def type_of(kind):
    """The candidate that the other side knows a host by: a port that no server has seen is peer-reflexive."""
    if not kind.nats:
        return "host"
    return "srflx" if kind.mapping is INDEPENDENT else "prflx"


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=lambda kind: kind.name)
def test_every_pair_of_nats(a, b):
    call = call_between(a, b, relay=TURN)
    assert call.connect()
    path = call.path
    if hole_can_be_punched(a, b):
        assert path == (type_of(a), type_of(b))
    else:
        assert "relay" in path


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=lambda kind: kind.name)
def test_without_relay_it_is_direct_or_nothing(a, b):
    call = call_between(a, b)
    assert call.connect(8.0) is hole_can_be_punched(a, b)
    assert (call.path is not None) is hole_can_be_punched(a, b)


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=lambda kind: kind.name)
def test_a_relay_is_found_within_about_a_second_whatever_the_nats_do(a, b):
    """Between NATs that filter nothing and map by port each check makes a candidate, and each candidate a check."""
    call = call_between(a, b, relay=TURN)
    begin = call.now
    assert call.connect()
    assert call.now - begin < WITH_RELAY_WITHIN
    assert all(len(agent.remote_candidates) < 2 * ice.MAX_PEER_REFLEXIVE_PER_HOST for agent in call.agents)


@pytest.mark.parametrize("filtering", Dependence)
@pytest.mark.parametrize("carrier", [False, True])
def test_one_site_depends_on_hairpinning(filtering, carrier):
    assert behind_one_nat(filtering, hairpinning=True, carrier=carrier) == "srflx, srflx"
    assert behind_one_nat(filtering, hairpinning=False, carrier=carrier) == "relay"
    assert behind_one_nat(filtering, hairpinning=False, carrier=carrier, relay=None) == "none"


def test_neighbours_that_reach_each_other_need_nothing_of_the_nat():
    network = Internet()
    nat = network.nat("NAT", "198.51.100.200")
    hosts = [network.host(name, f"192.168.1.{name}", realm=nat.inside) for name in ("2", "3")]
    call = AgentCall(network, *hosts)
    assert call.connect()
    assert call.path == ("host", "host")


def test_where_udp_is_blocked_only_a_relay_over_a_stream_helps():
    assert behind_firewall(relays=(TURN, TURN)) == "none"
    assert behind_firewall(relays=(TURN_TCP, TURN)) == "relay"


def test_a_relay_is_not_taken_where_a_direct_path_is_slow():
    network = Internet(server_delay=0.001)
    slow = Conditions(delay=0.2)
    kind = Kind("home", (NatBehavior(),))
    call = AgentCall(network, *[network.place(kind, name, conditions=slow)[0] for name in "ab"], relay=TURN)
    assert call.connect()
    assert describe(call.path) == "srflx, srflx"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == page(), "write it again: python -m tests.simulation.nat_table > docs/tables/nat.md"
