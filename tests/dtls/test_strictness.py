"""What is ignored, what decides, and what nobody can learn from how we answer."""

import pytest

from stack import dtls
from stack.dtls import certificate as certificates
from stack.dtls import handshake, server
from stack.dtls.messages import ClientHello, ServerHello
from stack.dtls.wire import ExtensionType
from stack.testing import Link

from .support import connected, events_of, handshake_record, pair, records_of, started

SERVER_NAME, STATUS_REQUEST, SESSION_TICKET, CONNECTION_ID, GREASE = 0, 5, 35, 54, 0x8A8A


def hello_of(client):
    client.start(0.0)
    return ClientHello.parse(client.datagrams_to_send(0.0)[0][25:])


def answer_to(hello):
    """The ServerHello, of a server with default settings."""
    _, machine = pair()
    machine.start(0.0)
    machine.receive_datagram(handshake_record(1, hello.serialize()), 0.0)
    datagrams = machine.datagrams_to_send(0.0)
    assert not machine.dropped
    return ServerHello.parse(records_of(datagrams[0])[0][25:])


def test_names_sessions_tickets_and_connection_ids_are_not_taken_up():
    """No SNI, no resumption by identifier or ticket (RFC 5077), no connection IDs (RFC 9146), nothing unknown."""
    client, _ = pair()
    hello = hello_of(client)
    plain = answer_to(hello)
    hello.session_id = bytes(32)
    hello.extensions |= {
        SERVER_NAME: b"\x00\x0e\x00\x00\x0bexample.org",
        STATUS_REQUEST: b"\x01\x00\x00\x00\x00",
        SESSION_TICKET: bytes(192),
        CONNECTION_ID: b"\x02ab",
        GREASE: b"\x00",
    }
    hello.cipher_suites = (GREASE, *hello.cipher_suites)
    answer = answer_to(hello)
    assert answer.session_id == b""
    assert answer.extensions == plain.extensions
    assert answer.cipher_suite == plain.cipher_suite


def test_all_srtp_profiles_are_offered_the_best_first():
    client, _ = pair()
    assert hello_of(client).extensions[ExtensionType.USE_SRTP] == bytes.fromhex("0008 0007 0008 0001 0002 00")


def refuse(monkeypatch, module):
    """Let the comparison in constant time of a module say no; it must be what decides."""
    monkeypatch.setattr(module, "constant_time_equal", lambda *_: False)


@pytest.mark.parametrize("failing", ["client", "server"])
def test_finished_is_compared_in_constant_time(monkeypatch, failing):
    client, machine = pair()
    compare, ends = handshake.constant_time_equal, {"client": 1, "server": 0}
    calls = []

    def compared(*values):
        calls.append(values)
        # The server compares first.
        return compare(*values) and len(calls) - 1 != ends[failing]

    monkeypatch.setattr(handshake, "constant_time_equal", compared)
    link = started(Link(client, machine))
    link.run(seconds=5)
    assert failure_of_events(link.events[0 if failing == "client" else 1]) == "bad-finished"
    assert all(len(one) == len(other) == 12 for one, other in calls)


def failure_of_events(events):
    return next(event.error.reason for event in events if isinstance(event, dtls.Closed))


def test_fingerprints_are_compared_in_constant_time(monkeypatch):
    refuse(monkeypatch, certificates)
    client, machine = pair()
    started(Link(client, machine)).run(seconds=5)
    assert not client.handshake_complete


def test_cookies_are_compared_in_constant_time(monkeypatch):
    refuse(monkeypatch, server)
    client, machine = pair(config=dtls.Config(cookie_exchange=True))
    link = started(Link(client, machine))
    link.run(seconds=5)
    assert failure_of_events(link.events[0]) == "unexpected-message"  # asked for a cookie again and again


def test_every_wrong_bit_of_a_record_has_the_same_answer():
    """None: no alert, no end, one reason; the record itself still opens afterwards."""
    client, machine, link = connected()
    client.send(b"secret", link.now)
    (record,) = client.datagrams_to_send(link.now)
    events_of(machine)
    for bit in range(11 * 8, len(record) * 8):  # behind type, version, epoch and number
        if bit // 8 in {11, 12}:  # the length, which makes it another datagram
            continue
        forged = bytearray(record)
        forged[bit // 8] ^= 1 << bit % 8
        machine.receive_datagram(bytes(forged), link.now)
        assert machine.datagrams_to_send(link.now) == []
    assert machine.dropped == {"bad-record-mac": (len(record) - 13) * 8}
    assert events_of(machine) == []
    machine.receive_datagram(record, link.now)
    assert machine.take_application_data() == [b"secret"]


def test_no_secret_is_in_what_can_be_printed():
    """Neither in the representation of anything that holds one, nor in what an error says."""
    lines = []
    client, machine = pair(client={"keylog": lines.append})
    link = started(Link(client, machine))
    assert link.run(lambda: client.handshake_complete and machine.handshake_complete)
    master_secret = lines[0].split()[2]
    keys = client._handshake.keys
    holders = (client, client._handshake, keys, *client._writers, client._handshake._certificate)
    shown = " ".join(map(repr, holders))
    assert master_secret not in shown
    assert keys.client_key.hex() not in shown
    assert repr(keys.client_key) not in shown
