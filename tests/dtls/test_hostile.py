"""Peers that want to cost much: little memory is held, little is sent, and a handshake behind them still succeeds."""

import tracemalloc

import pytest

from stack import dtls
from stack.dtls import server
from stack.dtls.connection import MAX_HELD_DATAGRAMS
from stack.dtls.reassembly import MAX_FRAGMENTS_PER_MESSAGE, MAX_HANDSHAKE_MESSAGE, MAX_MESSAGES_AHEAD
from stack.testing import Link

from .support import events_of, handshake_record, pair, plain_record, started

MEMORY = 512 * 1024  # bytes that a hostile peer may make one connection hold; the largest honest message has 16 KiB
CLIENT_HELLO, CERTIFICATE = 1, 11


def fragment(kind, length, sequence, offset, data):
    sizes = [length.to_bytes(3, "big"), sequence.to_bytes(2, "big"), offset.to_bytes(3, "big")]
    return bytes((kind,)) + b"".join(sizes) + len(data).to_bytes(3, "big") + data


def held_after(machine, datagrams):
    """The most bytes that taking the datagrams has needed at any time, beside themselves; nothing may answer."""
    datagrams = list(datagrams)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for data in datagrams:
        machine.receive_datagram(data, 0.0)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert machine.datagrams_to_send(0.0) == []
    return most - before


def waiting_server():
    """A server that nobody has spoken to, and the client that will."""
    client, machine = pair()
    machine.start(0.0)
    return client, machine


def check_connects(client, machine):
    """It has no wounds: the honest client, whose messages have the numbers that are due, gets through."""
    client.start(0.0)
    for sender, receiver in ((client, machine), (machine, client)) * 2:
        for data in sender.datagrams_to_send(0.0):
            receiver.receive_datagram(data, 0.0)
    assert client.handshake_complete
    assert machine.handshake_complete


@pytest.mark.parametrize("length", [MAX_HANDSHAKE_MESSAGE + 1, 2**20, 2**24 - 1])
def test_a_length_of_16_mib(length):
    client, machine = waiting_server()
    record = plain_record(22, fragment(CLIENT_HELLO, length, 0, 0, b"x" * 1000))
    assert held_after(machine, [record] * 1000) < MEMORY
    assert machine.dropped == {"message-too-long": 1000}
    check_connects(client, machine)


def test_as_many_long_messages_as_it_takes():
    """The most that one connection holds in reassembly, whatever comes behind."""
    _, machine = waiting_server()
    pieces = [fragment(CERTIFICATE, MAX_HANDSHAKE_MESSAGE, sequence, 0, b"x") for sequence in range(1, 1000)]
    held = held_after(machine, [plain_record(22, piece) for piece in pieces])
    assert MAX_MESSAGES_AHEAD * MAX_HANDSHAKE_MESSAGE * 0.8 < held < MEMORY
    assert machine.dropped == {"message-too-far-ahead": 999 - (MAX_MESSAGES_AHEAD - 1)}


def test_endless_fragments():
    """Single bytes with gaps between them, over and over, as many as fit into each datagram."""
    client, machine = waiting_server()
    count, each = 200, 80
    offsets = [2 * n % MAX_HANDSHAKE_MESSAGE for n in range(count * each)]
    pieces = [fragment(CERTIFICATE, MAX_HANDSHAKE_MESSAGE, 5, offset, b"x") for offset in offsets]
    records = [plain_record(22, b"".join(pieces[n : n + each])) for n in range(0, len(pieces), each)]
    assert max(map(len, records)) < 1200
    assert held_after(machine, records) < MEMORY
    # Those that came first are known when they come again; all others are too many, and end the look at their datagram.
    too_many = [
        any(offset >= 2 * MAX_FRAGMENTS_PER_MESSAGE for offset in offsets[n : n + each])
        for n in range(0, len(offsets), each)
    ]
    assert machine.dropped == {"too-many-fragments": sum(too_many)}
    check_connects(client, machine)


def test_thousands_of_hellos_make_one_flight(monkeypatch):
    """A server makes its keys and signs once. Whatever hello comes second, it is a repetition of the first."""
    made = []
    generate = server.generate_key_exchange
    monkeypatch.setattr(server, "generate_key_exchange", lambda *a: made.append(a) or generate(*a))
    client, machine = waiting_server()
    client.start(0.0)
    hello = client.datagrams_to_send(0.0)[0][25:]
    sent = 0
    for number in range(3000):
        body = hello[:2] + number.to_bytes(32, "big") + hello[34:]
        machine.receive_datagram(handshake_record(CLIENT_HELLO, body, record=number), 0.0)
        sent += len(machine.datagrams_to_send(0.0))
    assert (len(made), sent) == (1, 1)
    assert machine.dropped == {"repeated-message": 2999}
    assert len(machine._reassembler._partials) == 0


def test_thousands_of_hellos_without_the_cookie_make_no_key(monkeypatch):
    """Each is answered by less than it was long, and nothing about it is remembered."""
    monkeypatch.setattr(server, "generate_key_exchange", lambda *a: pytest.fail("made a key"))
    client, machine = pair(server={"config": dtls.Config(cookie_exchange=True)})
    machine.start(0.0)
    client.start(0.0)
    hello = client.datagrams_to_send(0.0)[0][25:]
    for number in range(3000):
        record = handshake_record(CLIENT_HELLO, hello, sequence=number, record=number)
        machine.receive_datagram(record, 0.0)
        answers = machine.datagrams_to_send(0.0)
        assert len(b"".join(answers)) < len(record)
    assert len(machine._handshake._transcript) == 0
    assert machine.state == "connecting"
    assert events_of(machine) == []


def test_thousands_of_hellos_before_the_start():
    _, machine = pair()
    assert held_after(machine, [handshake_record(CLIENT_HELLO, bytes(1000), record=n) for n in range(3000)]) < MEMORY
    assert machine.dropped == {"held-overflow": 3000 - MAX_HELD_DATAGRAMS}


@pytest.mark.parametrize("role", ["client", "server"])
def test_what_a_handshake_holds_that_nobody_goes_on_with(role):
    """A connection has sent its flight and hears no more, until it gives up."""
    machines = [machine for seed in range(100) for machine in pair(seed) if machine.role == role]
    peers = [machine for seed in range(100) for machine in pair(seed) if machine.role != role]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for machine, peer in zip(machines, peers, strict=True):
        for end in (peer, machine):
            end.start(0.0)
        for data in peer.datagrams_to_send(0.0):
            machine.receive_datagram(data, 0.0)
        machine.datagrams_to_send(0.0)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (after - before) / len(machines) < 40 * 1024
    for machine in machines:
        while (due := machine.next_timer()) is not None:
            machine.handle_timer(due)
            machine.datagrams_to_send(due)
        assert events_of(machine)[-1].error.reason == "timeout"


def test_a_flood_of_forged_records_in_a_connection():
    client, machine = pair()
    link = started(Link(client, machine))
    assert link.run(lambda: client.handshake_complete and machine.handshake_complete)
    forged = [
        b"\x17\xfe\xfd\x00\x01" + number.to_bytes(6, "big") + b"\x04\x00" + bytes(1024) for number in range(1, 3001)
    ]
    assert held_after(machine, forged) < MEMORY
    assert machine.dropped["bad-record-mac"] == 3000
    client.send(b"still here", link.now)
    link.run(seconds=1)
    assert machine.take_application_data() == [b"still here"]
