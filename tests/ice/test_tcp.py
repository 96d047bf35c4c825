"""RFC 6544: candidates over TCP. A stream's messages are datagrams whose addresses say `tcp`."""

import pytest

from stack.core import Address, LocalError
from stack.ice import PairState, candidate_priority
from stack.ice.tcp import checks_can_begin
from stack.stun import Class, Message

from .support import A, B, agent, answer_all, deliver, host, request, sent
from .test_requests import PEER, PEER_KEY, response

ACTIVE = Address("10.0.0.1", 9, "tcp")
PASSIVE = Address("10.0.0.1", 5001, "tcp")
THEIRS = Address("10.0.0.2", 5002, "tcp")


def passive(address=THEIRS, **changes):
    return host(address, 1000, transport="tcp", tcp_type="passive", **changes)


def checking(**config):
    """An agent with an active candidate whose first check has left over a connection of its own."""
    machine = agent(**config)
    machine.add_local_address(ACTIVE, 0.0, tcp_type="active")
    machine.set_remote_parameters(PEER, 0.0)
    machine.add_remote_candidate(passive(), 0.0)
    (datagram,) = machine.datagrams_to_send(0.0)
    assert (datagram.local, datagram.remote) == (ACTIVE, THEIRS)
    return machine, Message.parse(datagram.data)


@pytest.mark.parametrize(
    ("local", "remote", "possible"),
    [
        (None, None, True),
        ("active", "passive", True),
        ("passive", "active", False),  # pruned: the other side opens the connection
        ("active", "active", False),
        ("passive", "passive", False),
        (None, "passive", False),
        ("active", None, False),
    ],
)
def test_which_types_are_paired(local, remote, possible):
    assert checks_can_begin(local, remote) is possible


def test_priorities():
    machine = agent()
    machine.add_local_address(A, 0.0)
    machine.add_local_address(ACTIVE, 0.0, tcp_type="active", local_preference=65535)
    machine.add_local_address(PASSIVE, 0.0, tcp_type="passive", local_preference=65535)
    udp, active, listener = machine.local_candidates
    assert udp.priority > candidate_priority("srflx", 65535) > active.priority > listener.priority
    assert active.local_preference == 6 << 13 | 8191  # RFC 6544 section 4.2
    assert listener.local_preference == 4 << 13 | 8191
    assert (active.transport, active.tcp_type, active.port) == ("tcp", "active", 9)
    assert len({candidate.foundation for candidate in machine.local_candidates}) == 2


def test_two_hosts_never_have_the_same_priority():
    machine = agent()
    for number in range(4):
        machine.add_local_address(Address(f"10.0.0.1{number}", 9, "tcp"), 0.0, tcp_type="active")
    assert len({candidate.priority for candidate in machine.local_candidates}) == 4


def test_an_active_candidate_checks_a_passive_one():
    machine, check = checking()
    mapped = Address("10.0.0.1", 43210)  # the port that the connection happens to have
    deliver(machine, response(check, xor_mapped_address=mapped), 0.1, local=ACTIVE, remote=THEIRS)
    pair = machine.selected_pair
    assert (pair.local, pair.remote) == (ACTIVE, THEIRS)
    assert (pair.local_candidate.type, pair.local_candidate.port) == ("prflx", 43210)
    assert (pair.local_candidate.transport, pair.local_candidate.tcp_type) == ("tcp", "active")
    assert pair.local_candidate.priority == check.priority
    assert machine.accepts(ACTIVE, THEIRS)
    assert not machine.accepts(Address(*ACTIVE[:2]), Address(*THEIRS[:2]))


def test_a_check_over_tcp_is_sent_once_and_times_out():
    machine, _ = checking(check_timeout=10.0)
    machine.end_of_remote_candidates(0.0)
    assert machine.next_timer() == 10.0
    machine.handle_timer(10.0)
    assert sent(machine, 10.0) == []
    assert machine.pairs[0].state is PairState.FAILED


def test_a_passive_candidate_waits_for_a_connection():
    machine = agent()
    machine.add_local_address(PASSIVE, 0.0, tcp_type="passive")
    machine.set_remote_parameters(PEER, 0.0)
    machine.add_remote_candidate(host(Address("10.0.0.2", 9), 1000, transport="TCP", tcp_type="active"), 0.0)
    assert machine.pairs == []
    source = Address("10.0.0.2", 50123, "tcp")
    answer, check = deliver(machine, request(machine), 1.0, local=PASSIVE, remote=source)
    assert answer.message_class is Class.SUCCESS
    (pair,) = machine.pairs
    assert (pair.local, pair.remote) == (PASSIVE, source)
    assert (pair.remote_candidate.type, pair.remote_candidate.tcp_type) == ("prflx", "active")
    deliver(machine, response(check, xor_mapped_address=Address(*PASSIVE[:2])), 1.1, local=PASSIVE, remote=source)
    assert machine.selected_pair is pair
    assert pair.local_candidate.type == "host"


def test_udp_and_tcp_of_the_same_numbers_are_kept_apart():
    machine = agent()
    machine.add_local_address(Address("10.0.0.1", 5001), 0.0)
    machine.add_local_address(PASSIVE, 0.0, tcp_type="passive")
    assert len(machine.local_candidates) == 2
    machine.add_remote_candidate(host(Address(*THEIRS[:2])), 0.0)
    machine.add_remote_candidate(passive(), 0.0)
    assert {c.address.transport for c in machine.remote_candidates} == {"udp", "tcp"}


def test_a_connection_that_cannot_be_opened_fails_its_pair_at_once():
    machine, check = checking()
    machine.path_closed(ACTIVE, THEIRS, 0.5)
    assert machine.pairs[0].state is PairState.FAILED
    deliver(machine, response(check), 0.6, local=ACTIVE, remote=THEIRS)
    assert machine.selected_pair is None
    assert machine.dropped == {"unknown-transaction": 1}
    machine.path_closed(ACTIVE, THEIRS, 0.7)
    machine.path_closed(A, B, 0.7)  # nobody's
    assert machine.pairs[0].state is PairState.FAILED


def test_a_connection_that_breaks_is_opened_anew():
    machine, check = checking()
    deliver(machine, response(check), 0.1, local=ACTIVE, remote=THEIRS)
    machine.datagrams_to_send(0.1)
    assert machine.selected_pair is not None
    machine.path_closed(ACTIVE, THEIRS, 5.0)
    assert machine.selected_pair is None
    assert machine.state == "disconnected"
    (again,) = sent(machine, 5.0)  # RFC 6544 section 11.1: the shell opens a connection for it
    deliver(machine, response(again), 5.1, local=ACTIVE, remote=THEIRS)
    assert machine.selected_pair is not None
    assert machine.state == "connected"


def test_a_broken_connection_gives_way_to_another_pair_at_once():
    machine, check = checking()
    deliver(machine, response(check), 0.01, local=ACTIVE, remote=THEIRS)
    now = answer_all(machine, 0.02, PEER_KEY)
    assert machine.selected_pair.nominated
    machine.add_local_address(A, now)
    machine.add_remote_candidate(host(B, 500), now)
    now = answer_all(machine, now, PEER_KEY)
    assert machine.selected_pair.local == ACTIVE
    machine.path_closed(ACTIVE, THEIRS, now)
    assert machine.selected_pair.local == A
    answer_all(machine, now, PEER_KEY)
    assert machine.selected_pair.nominated


@pytest.mark.parametrize(
    ("address", "tcp_type"),
    [
        (ACTIVE, None),
        (ACTIVE, "so"),
        (PASSIVE, "active"),
        (A, "passive"),
        (Address("10.0.0.1", 5, "sctp"), None),
    ],
)
def test_misuse(address, tcp_type):
    machine = agent()
    with pytest.raises(LocalError):
        machine.add_local_address(address, 0.0, tcp_type=tcp_type)
    assert machine.local_candidates == []
