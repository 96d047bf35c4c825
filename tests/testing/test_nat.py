"""The mappings of a NAT, without a network: RFC 4787's requirements, seen from outside."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core import Address, DropPacket, LocalError
from stack.testing import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    Dependence,
    NatBehavior,
    NatTable,
)
from stack.testing.nat import MAX_PERMITTED

INSIDE = Address("192.168.1.2", 5000)
OTHER_INSIDE = Address("192.168.1.3", 5000)
OUTER = "198.51.100.1"
PEER = Address("203.0.113.1", 1000)
SAME_HOST = Address("203.0.113.1", 2000)
STRANGER = Address("203.0.113.9", 1000)


def table(behavior=PORT_RESTRICTED, hosts=None, seed=1, **changes):
    values = {name: getattr(behavior, name) for name in NatBehavior.__slots__} | changes
    return NatTable(NatBehavior(**values), hosts or {4: OUTER}, random.Random(seed))


def why_not(nat, source, target, now=0.0):
    with pytest.raises(DropPacket) as caught:
        nat.inbound(source, target, now)
    return caught.value.reason


@pytest.mark.parametrize("mapping", Dependence)
def test_rfc_4787_req_1_a_mapping_depends_on_what_it_says(mapping):
    nat = table(mapping=mapping)
    to_peer, to_port, to_stranger = (nat.outbound(INSIDE, target, 0.0) for target in (PEER, SAME_HOST, STRANGER))
    assert nat.outbound(INSIDE, PEER, 1.0) == to_peer
    assert (to_peer == to_stranger) is (mapping is Dependence.ENDPOINT_INDEPENDENT)
    assert (to_peer == to_port) is (mapping is not Dependence.ADDRESS_AND_PORT_DEPENDENT)


@pytest.mark.parametrize(
    ("behavior", "lets_in"),
    [
        (FULL_CONE, {PEER, SAME_HOST, STRANGER}),
        (ADDRESS_RESTRICTED, {PEER, SAME_HOST}),
        (PORT_RESTRICTED, {PEER}),
        (SYMMETRIC, {PEER}),
    ],
)
def test_rfc_4787_req_8_a_filter_lets_in_whom_it_says(behavior, lets_in):
    nat = table(behavior)
    external = nat.outbound(INSIDE, PEER, 0.0)
    for source in (PEER, SAME_HOST, STRANGER):
        if source in lets_in:
            assert nat.inbound(source, external, 0.0) == INSIDE
        else:
            assert why_not(nat, source, external) == "nat-filtered"


def test_nobody_gets_in_where_there_is_no_mapping():
    assert why_not(table(FULL_CONE), PEER, Address(OUTER, 4000)) == "nat-no-mapping"


@pytest.mark.parametrize("refresh", [False, True])
def test_rfc_4787_req_6_outbound_keeps_a_mapping_inbound_only_where_wanted(refresh):
    nat = table(FULL_CONE, timeout=120.0, inbound_refresh=refresh)
    external = nat.outbound(INSIDE, PEER, 0.0)
    assert nat.outbound(INSIDE, PEER, 100.0) == external
    assert nat.inbound(PEER, external, 219.0) == INSIDE
    if refresh:
        assert nat.inbound(PEER, external, 230.0) == INSIDE
    else:
        assert why_not(nat, PEER, external, 220.0) == "nat-no-mapping"
        assert nat.outbound(INSIDE, PEER, 220.0) != external


def test_who_was_not_sent_to_for_long_is_filtered_although_the_mapping_lives():
    nat = table(timeout=100.0)
    external = nat.outbound(INSIDE, PEER, 0.0)
    nat.outbound(INSIDE, STRANGER, 90.0)
    assert why_not(nat, PEER, external, 110.0) == "nat-filtered"
    assert nat.inbound(STRANGER, external, 110.0) == INSIDE


def test_streams_live_longer_and_have_ports_of_their_own():
    nat = table(timeout=30.0, port_preservation=True)
    stream, remote = INSIDE._replace(transport="tcp"), PEER._replace(transport="tcp")
    assert nat.outbound(stream, remote, 0.0) == Address(OUTER, 5000, "tcp")
    assert nat.outbound(INSIDE, PEER, 0.0) == Address(OUTER, 5000)
    assert nat.inbound(remote, Address(OUTER, 5000, "tcp"), 7000.0) == stream
    assert why_not(nat, PEER, Address(OUTER, 5000), 7000.0) == "nat-no-mapping"


def test_a_preserved_port_goes_to_the_first_and_nobody_shares_it():
    nat = table(port_preservation=True)
    assert nat.outbound(INSIDE, PEER, 0.0) == Address(OUTER, 5000)
    second = nat.outbound(OTHER_INSIDE, PEER, 0.0)
    assert second.port != 5000
    assert nat.inbound(PEER, second, 0.0) == OTHER_INSIDE


def test_a_preserved_port_is_free_again_when_its_mapping_is_over():
    nat = table(port_preservation=True, timeout=60.0)
    nat.outbound(INSIDE, PEER, 0.0)
    assert nat.outbound(OTHER_INSIDE, PEER, 60.0) == Address(OUTER, 5000)


@pytest.mark.parametrize("port", [5000, 5001])
def test_parity_is_preserved_where_wanted(port):
    nat = table(SYMMETRIC, port_parity=True)
    for index in range(50):
        external = nat.outbound(Address("192.168.1.2", port), Address("203.0.113.1", index + 1), 0.0)
        assert external.port % 2 == port % 2


def test_the_table_is_bounded_and_makes_room_of_what_is_over():
    nat = table(SYMMETRIC, max_mappings=3, timeout=100.0)
    for port in (1, 2, 3):
        nat.outbound(INSIDE, Address("203.0.113.1", port), port)
    with pytest.raises(DropPacket, match="nat-full"):
        nat.outbound(INSIDE, STRANGER, 4.0)
    assert len(nat) == 3
    assert nat.outbound(INSIDE, STRANGER, 101.0)
    assert len(nat) == 3


def test_ports_run_out():
    nat = table(SYMMETRIC, ports=(2000, 2003))
    ports = {nat.outbound(INSIDE, Address("203.0.113.1", port), 0.0).port for port in (1, 2, 3, 4)}
    assert ports == {2000, 2001, 2002, 2003}
    with pytest.raises(DropPacket, match="nat-ports-exhausted"):
        nat.outbound(INSIDE, STRANGER, 0.0)


def test_one_mapping_lets_in_a_bounded_number_and_forgets_the_oldest():
    nat = table()
    external = nat.outbound(INSIDE, PEER, 0.0)
    for port in range(1, MAX_PERMITTED):
        nat.outbound(INSIDE, Address("203.0.113.2", port), 0.0)
    assert nat.inbound(PEER, external, 0.0) == INSIDE
    nat.outbound(INSIDE, STRANGER, 0.0)
    assert why_not(nat, PEER, external) == "nat-filtered"
    assert nat.inbound(STRANGER, external, 0.0) == INSIDE


def test_after_a_reboot_nothing_is_known():
    nat = table(FULL_CONE)
    external = nat.outbound(INSIDE, PEER, 0.0)
    nat.clear()
    assert why_not(nat, PEER, external) == "nat-no-mapping"
    assert nat.outbound(INSIDE, PEER, 0.0) != external


def test_a_family_without_external_host_is_filtered_and_not_translated():
    nat = table()
    inside, peer = Address("2001:db8::2", 5000), Address("2001:db8:1::1", 1000)
    assert nat.outbound(inside, peer, 0.0) == inside
    assert nat.inbound(peer, inside, 0.0) == inside
    assert why_not(nat, peer._replace(port=9), inside) == "nat-filtered"


def test_udp_may_be_blocked_and_streams_pass():
    nat = table(blocks_udp=True)
    with pytest.raises(DropPacket, match="udp-blocked"):
        nat.outbound(INSIDE, PEER, 0.0)
    assert why_not(nat, PEER, Address(OUTER, 5000)) == "udp-blocked"
    assert nat.outbound(INSIDE._replace(transport="tcp"), PEER._replace(transport="tcp"), 0.0)


@pytest.mark.parametrize("wrong", [{"ports": (0, 9)}, {"ports": (9, 9)}, {"max_mappings": 0}, {"timeout": 0.0}])
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(LocalError):
        NatBehavior(**wrong)


internal = st.builds(Address, st.sampled_from(["192.168.1.2", "192.168.1.3"]), st.integers(1, 3))
remote = st.builds(Address, st.sampled_from(["203.0.113.1", "203.0.113.2"]), st.integers(1, 3))


@given(
    mapping=st.sampled_from(Dependence),
    filtering=st.sampled_from(Dependence),
    preservation=st.booleans(),
    sends=st.lists(st.tuples(internal, remote), max_size=30),
    probes=st.lists(remote, min_size=1, max_size=3),
)
def test_invariants_of_any_nat(mapping, filtering, preservation, sends, probes):
    nat = table(mapping=mapping, filtering=filtering, port_preservation=preservation)
    external = {}
    for source, target in sends:
        outer = nat.outbound(source, target, 0.0)
        assert external.setdefault((source, mapping.key(target)), outer) == outer  # stable
        assert nat.inbound(target, outer, 0.0) == source  # whoever was sent to can answer
    assert len(set(external.values())) == len(external)  # nobody shares
    for (source, key), outer in external.items():
        contacted = {filtering.key(to) for by, to in sends if by == source and mapping.key(to) == key}
        for probe in probes:
            if filtering.key(probe) in contacted:
                assert nat.inbound(probe, outer, 0.0) == source
            else:
                assert why_not(nat, probe, outer) == "nat-filtered"
