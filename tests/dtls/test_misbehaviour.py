"""Peers that send their messages in another order, leave some out, or repeat some: the state machine holds."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack import dtls
from stack.dtls.handshake import FAILURES
from stack.dtls.reassembly import Message
from stack.testing import Link

from .support import pair, started

FLIGHTS = {"client": (1, 3), "server": (0, 5)}  # which of its flights, and how many messages that has without Finished


def misbehave(machine, chosen, order, *, renumber):
    """Let one flight of a machine consist of the messages with these indexes; its Finished is what it was."""
    after_handshake, made = machine._after_handshake, 0

    def changed(now):
        nonlocal made
        flight = machine._handshake.flight
        if flight is not None:
            if made == chosen:
                messages, first = [flight.messages[index] for index in order], flight.messages[0].sequence
                if renumber:
                    messages = [Message(m.type, first + n, m.body) for n, m in enumerate(messages)]
                    if flight.finished is not None:
                        flight.finished = Message(flight.finished.type, first + len(order), flight.finished.body)
                flight.messages = messages
            made += 1
        after_handshake(now)

    machine._after_handshake = changed


def run(role, order, *, renumber):
    client, server = pair(config=dtls.Config(handshake_timeout=3))
    misbehave(client if role == "client" else server, FLIGHTS[role][0], order, renumber=renumber)
    link = started(Link(client, server))
    link.run(lambda: client.handshake_complete and server.handshake_complete, seconds=10)
    return client, server, link


@st.composite
def orders(draw, role):
    count = FLIGHTS[role][1]
    return draw(st.lists(st.integers(0, count - 1), max_size=count + 2))


def check_numbered_as_sent(role, order):
    client, server, link = run(role, order, renumber=True)
    if order == list(range(FLIGHTS[role][1])):
        assert client.handshake_complete
        assert server.handshake_complete
        return
    assert not client.handshake_complete
    assert not server.handshake_complete
    for events in link.events:
        assert [type(event) for event in events] == [dtls.Closed]
        assert events[0].error.reason in {*FAILURES, "timeout", "peer-alert"}
    judge = link.events[1 if role == "client" else 0][0].error
    assert judge.reason in {"unexpected-message", "timeout", "bad-finished", "bad-signature", "no-certificate-request"}
    assert judge.reason != "timeout" or is_a_beginning(order, FLIGHTS[role][1])


def is_a_beginning(order, count):
    """A peer that only stops early is waited for, as one whose rest is lost."""
    return order == list(range(len(order))) and len(order) < count


@pytest.mark.parametrize("role", ["client", "server"])
def test_every_permutation_and_every_omission(role):
    messages = range(FLIGHTS[role][1])
    for order in itertools.permutations(messages):
        check_numbered_as_sent(role, list(order))
    for count in messages:
        for order in itertools.combinations(messages, count):
            check_numbered_as_sent(role, list(order))


@settings(max_examples=150, deadline=None)
@given(orders("client"))
def test_messages_of_a_client_permuted_left_out_or_repeated(order):
    check_numbered_as_sent("client", order)


@settings(max_examples=150, deadline=None)
@given(orders("server"))
def test_messages_of_a_server_permuted_left_out_or_repeated(order):
    check_numbered_as_sent("server", order)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["client", "server"]), st.data())
def test_messages_with_their_own_numbers_may_come_in_any_order(role, data):
    """As a network reorders and duplicates: all must be there, and nothing else matters."""
    count = FLIGHTS[role][1]
    order = data.draw(st.permutations(range(count))) + data.draw(st.lists(st.integers(0, count - 1), max_size=3))
    client, server, _ = run(role, order, renumber=False)
    assert client.handshake_complete
    assert server.handshake_complete
    assert client.export_keying_material(b"x", 20) == server.export_keying_material(b"x", 20)
