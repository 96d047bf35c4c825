"""Records, alerts, application data and limits of a connection that is up."""

import pytest

from stack import dtls
from stack.core import LocalError, PeerError
from stack.dtls import config as config_module
from stack.dtls import connection as connection_module
from stack.dtls import record as record_module
from stack.dtls.wire import Alert
from stack.testing import Link

from .support import connected, events_of, failure_of, handshake_record, pair, plain_record, started


def sent(machine, now=2000.0):
    return machine.datagrams_to_send(now)


def protected_alert(machine, level, description):
    return machine._writers[1].protect(21, [bytes((level, description))])[0]


# -- application data --------------------------------------------------------------------------------------------


def test_a_batch_is_queued_whole_or_not_at_all():
    client, server, link = connected(config=dtls.Config(max_queued_application_data=3))
    with pytest.raises(LocalError, match="too much"):
        client.send_batch([b"1", b"2", b"3", b"4"], link.now)
    with pytest.raises(LocalError, match="16384"):
        client.send_batch([b"1", bytes(16385)], link.now)
    assert sent(client) == []
    client.send_batch([b"1", b"2", b"3"], link.now)
    server.receive_batch(sent(client), link.now)
    assert server.take_application_data() == [b"1", b"2", b"3"]


@pytest.mark.parametrize("size", [0, 1, 1200, 16384])
def test_a_record_by_itself_is_like_one_of_several(size):
    records = []
    for count in (1, 2):
        client, _, link = connected()
        client.send_batch([bytes(size)] * count, link.now)
        records.append(sent(client)[0])
    assert records[0] == records[1]


def test_one_record_per_datagram_in_order():
    client, server, link = connected()
    payloads = [bytes([n]) * (n * 100 % 1300) for n in range(50)]
    for payload in payloads:
        client.send(payload, link.now)
    datagrams = client.datagrams_to_send(link.now)
    assert [len(d) for d in datagrams] == [len(p) + 37 for p in payloads]
    for data in datagrams:
        server.receive_datagram(data, link.now)
    assert server.take_application_data() == payloads
    assert server.take_application_data() == []


def test_several_records_in_one_datagram():
    client, server, link = connected()
    client.send(b"one", link.now)
    client.send(b"two", link.now)
    server.receive_datagram(b"".join(sent(client)), link.now)
    assert server.take_application_data() == [b"one", b"two"]


def test_a_bad_record_does_not_take_its_neighbours_along():
    client, server, link = connected()
    for payload in (b"one", b"two", b"three"):
        client.send(payload, link.now)
    one, two, three = sent(client)
    server.receive_datagram(one + two[:-1] + bytes((two[-1] ^ 1,)) + three, link.now)
    assert server.take_application_data() == [b"one", b"three"]
    assert server.dropped == {"bad-record-mac": 1}


def test_data_that_overtakes_the_finished_is_kept_and_given_out_after_it():
    client, server = pair()
    client.start(0)
    server.start(0)
    for sender, receiver in ((client, server), (server, client), (client, server)):
        for datagram in sender.datagrams_to_send(0):
            receiver.receive_datagram(datagram, 0)
    server.send(b"early", 0)
    flight, data = server.datagrams_to_send(0)
    for overtaking in (data, flight):
        assert client.take_application_data() == []
        client.receive_datagram(overtaking, 0)
    assert client.handshake_complete
    assert client.take_application_data() == [b"early"]


def test_send_is_refused_when_it_cannot_work():
    client, _ = pair()
    with pytest.raises(LocalError, match="new"):
        client.send(b"x", 0)
    client, _, link = connected()
    with pytest.raises(LocalError, match="16384"):
        client.send(bytes(2**14 + 1), link.now)
    client.send(bytes(2**14), link.now)
    client.close(link.now)
    with pytest.raises(LocalError, match="closed"):
        client.send(b"x", link.now)


# -- bad records ---------------------------------------------------------------------------------------------------


def data_record(now):
    client, server, _ = connected()
    client.send(b"payload", now)
    return server, sent(client)[0]


DAMAGES = [
    ("empty", lambda r: b""),
    ("truncated", lambda r: r[:5]),
    ("truncated", lambda r: r[:-1]),
    ("bad-content-type", lambda r: b"\x18" + r[1:]),
    ("bad-content-type", lambda r: b"\x80" * 100),
    ("bad-version", lambda r: r[:1] + b"\xfe\xff" + r[3:]),
    ("bad-version", lambda r: r[:1] + b"\x03\x03" + r[3:]),
    ("bad-record-mac", lambda r: r[:-1] + bytes((r[-1] ^ 1,))),
    ("bad-record-mac", lambda r: r[:10] + bytes((r[10] ^ 2,)) + r[11:]),
    ("bad-record-mac", lambda r: b"\x15" + r[1:]),
    ("short-record", lambda r: r[:11] + b"\x00\x17" + r[13:36]),
    ("short-record", lambda r: r[:11] + b"\x00\x00"),
    ("unexpected-epoch", lambda r: r[:3] + b"\x00\x02" + r[5:]),
    ("unexpected-epoch", lambda r: r[:3] + b"\x00\x00" + r[5:]),
    ("record-overflow", lambda r: r[:11] + (2**14 + 25).to_bytes(2, "big") + bytes(2**14 + 25)),
    ("old-epoch", lambda r: handshake_record(11, bytes(10))),
    ("unauthenticated-alert", lambda r: plain_record(21, b"\x02\x28")),
    ("unauthenticated-alert", lambda r: plain_record(21, b"\x01\x00")),
]


@pytest.mark.parametrize(("reason", "damage"), DAMAGES)
def test_bad_records_are_dropped_and_counted(reason, damage):
    server, record = data_record(2000)
    server.receive_datagram(damage(record), 2000)
    assert server.dropped == {reason: 1}
    assert server.take_application_data() == []
    assert sent(server) == []
    server.receive_datagram(record, 2000)
    assert server.take_application_data() == [b"payload"]


PLAINTEXT_DAMAGES = [
    ("unprotected-application-data", plain_record(23, b"hello")),
    ("bad-alert", plain_record(21, b"\x02")),
    ("bad-alert", plain_record(21, b"\x03\x28")),
    ("bad-change-cipher-spec", plain_record(20, b"\x02")),
    ("bad-fragment", plain_record(22, b"")),
    ("bad-fragment", plain_record(22, bytes(11))),
    ("bad-fragment", plain_record(22, b"\x01\x00\x00\x05\x00\x00\x00\x00\x03\x00\x00\x03abc")),
    ("bad-fragment", plain_record(22, b"\x01\x00\x00\x05\x00\x00\x00\x00\x03\x00\x00\x00")),
    ("record-overflow", plain_record(22, bytes(2**14 + 1))),
    ("unexpected-epoch", plain_record(22, bytes(30), epoch=2)),
    ("message-too-long", plain_record(22, b"\x01\x00\x40\x01\x00\x00\x00\x00\x00\x00\x00\x01x")),
    ("message-too-far-ahead", plain_record(22, b"\x01\x00\x00\x05\x00\x08\x00\x00\x00\x00\x00\x01x")),
]


@pytest.mark.parametrize(("reason", "record"), PLAINTEXT_DAMAGES)
@pytest.mark.parametrize("role", [0, 1])
def test_bad_plaintext_records_do_not_disturb_a_handshake(role, reason, record):
    ends = pair()
    link = started(Link(*ends))
    ends[role].receive_datagram(record, link.now)
    assert ends[role].dropped == {reason: 1}
    assert link.run(lambda: all(end.handshake_complete for end in ends), seconds=5)


def test_fragments_that_contradict_each_other_are_dropped():
    _, server = pair()
    server.start(0)
    server.receive_datagram(plain_record(22, b"\x01\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x01x"), 0)
    server.receive_datagram(plain_record(22, b"\x01\x00\x00\x06\x00\x00\x00\x00\x01\x00\x00\x01x"), 0)
    server.receive_datagram(plain_record(22, b"\x02\x00\x00\x05\x00\x00\x00\x00\x01\x00\x00\x01x"), 0)
    assert server.dropped == {"bad-fragment": 2}


# -- replay --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", [0xC02B, 0xCCA9])
def test_replay_window(suite):
    client, server, link = connected(config=dtls.Config(replay_window=64, cipher_suites=(suite,)))
    for n in range(200):
        client.send(bytes([n]), link.now)
    datagrams = sent(client)
    for n in (0, 100, 50, 37, 100, 50, 36, 0, 101, 199, 136, 135):
        server.receive_datagram(datagrams[n], link.now)
    assert [d[0] for d in server.take_application_data()] == [0, 100, 50, 37, 101, 199, 136]
    assert server.dropped == {"replayed": 2, "too-old": 3}


def test_the_longest_jump_ahead_costs_nothing():
    client, server, link = connected()
    client._writers[1].number += 2**46
    client.send(b"x", link.now)
    server.receive_datagram(sent(client)[0], link.now)
    assert server.take_application_data() == [b"x"]


def test_a_forged_number_does_not_move_the_window():
    server, record = data_record(2000)
    forged = record[:5] + b"\x7f" + record[6:]
    server.receive_datagram(forged, 2000)
    server.receive_datagram(record, 2000)
    assert server.take_application_data() == [b"payload"]


# -- the end -------------------------------------------------------------------------------------------------------


def test_close_sends_data_then_close_notify_and_the_peer_answers():
    client, server, link = connected()
    client.send(b"last words", link.now)
    client.close(link.now)
    datagrams = sent(client)
    assert [d[0] for d in datagrams] == [23, 21]
    assert events_of(client) == [dtls.Closed(None)]
    for data in datagrams:
        server.receive_datagram(data, link.now)
    assert events_of(server) == [dtls.Closed(None)]
    assert server.take_application_data() == [b"last words"]
    assert server.state == client.state == "closed"


def test_close_notify_is_answered():
    client, server, link = connected()
    client.close(link.now)
    server.receive_datagram(sent(client)[0], link.now)
    answer = sent(server)
    assert len(answer) == 1
    assert answer[0][0] == 21
    assert sent(server) == []


def test_close_lets_the_last_flight_go_first():
    client, server = pair()
    client.start(0)
    server.start(0)
    for sender, receiver in ((client, server), (server, client), (client, server)):
        for datagram in sender.datagrams_to_send(0):
            receiver.receive_datagram(datagram, 0)
    server.close(0)
    for datagram in server.datagrams_to_send(0):
        client.receive_datagram(datagram, 0)
    assert [type(event) for event in events_of(client)] == [dtls.HandshakeCompleted, dtls.Closed]


def test_taking_the_terminal_event_first_forgoes_the_alert():
    client, _, link = connected()
    client.send(b"x", link.now)
    client.close(link.now)
    assert events_of(client) == [dtls.Closed(None)]
    assert sent(client) == []


@pytest.mark.parametrize("role", [0, 1])
def test_close_before_start_is_silent(role):
    machine = pair()[role]
    machine.close(5)
    machine.close(6)
    assert sent(machine) == []
    assert events_of(machine) == [dtls.Closed(None)]
    with pytest.raises(LocalError):
        machine.start(7)
    machine.receive_datagram(b"\x16", 8)
    assert machine.dropped == {"closed": 1}


def test_close_during_the_handshake_tells_the_peer():
    client, server = pair()
    link = started(Link(client, server))
    link.step()
    client.close(link.now)
    link.run(seconds=5)
    assert link.events == ([dtls.Closed(None)], [dtls.Closed(None)])


def test_a_fatal_alert_of_the_peer():
    client, server, link = connected()
    server.receive_datagram(protected_alert(client, 2, Alert.INTERNAL_ERROR), link.now)
    assert events_of(server)[-1] == dtls.Closed(PeerError("dtls", "peer-alert", "internal_error"))
    assert sent(server) == []


def test_alerts_without_a_name():
    client, server, link = connected()
    server.receive_datagram(protected_alert(client, 2, 200), link.now)
    assert events_of(server)[-1].error == PeerError("dtls", "peer-alert", "200")


def test_warnings_are_ignored():
    client, server, link = connected()
    server.receive_datagram(protected_alert(client, 1, Alert.NO_RENEGOTIATION), link.now)
    assert server.state == "connected"


def test_fatal_alert_in_plaintext_ends_a_handshake():
    client, _ = pair()
    client.start(0)
    client.receive_datagram(plain_record(21, b"\x02\x28"), 0)
    assert events_of(client) == [dtls.Closed(PeerError("dtls", "peer-alert", "handshake_failure"))]


@pytest.mark.parametrize(("role", "kind"), [(0, 0), (1, 1)])
def test_renegotiation_is_refused_once_per_drain(role, kind):
    ends = connected()[:2]
    asked, asking = ends[role], ends[1 - role]
    request = handshake_record(kind, b"")[13:]
    for record in asking._writers[1].protect(22, [request] * 3):
        asked.receive_datagram(record, 2000)
    alerts = sent(asked)
    assert asked.dropped == {"renegotiation": 3}
    assert len(alerts) == 1
    asking.receive_datagram(alerts[0], 2000)
    assert asking.state == asked.state == "connected"


def test_handshake_messages_after_the_handshake_lead_nowhere():
    client, server, link = connected()
    for record in client._writers[1].protect(22, [handshake_record(20, bytes(12), sequence=9)[13:]]):
        server.receive_datagram(record, link.now)
    assert server.dropped == {"late-message": 1}


# -- limits --------------------------------------------------------------------------------------------------------


def test_limit_held_datagrams():
    client, server = pair()
    client.start(0)
    hello = client.datagrams_to_send(0)[0]
    limit = connection_module.MAX_HELD_DATAGRAMS
    for _ in range(limit + 3):
        server.receive_datagram(b"\x16junk", 0)
    server.receive_datagram(hello, 0)
    assert server.dropped == {"held-overflow": 4}
    server.start(0)
    assert server.dropped == {"held-overflow": 4, "truncated": limit - 1}
    assert len(server.datagrams_to_send(0)) == 1


def test_limit_future_records():
    _, server = pair()
    server.start(0)
    limit = connection_module.MAX_FUTURE_RECORDS
    for n in range(limit + 2):
        server.receive_datagram(plain_record(23, bytes(40), record=n, epoch=1), 0)
    assert len(server._future) == limit
    assert server.dropped == {"future-epoch-overflow": 2}


@pytest.mark.parametrize(
    "values",
    [{"max_pending_application_data": 3}, {"max_pending_application_bytes": 3000}],
    ids=lambda v: next(iter(v)),
)
def test_limit_pending_application_data(values):
    client, server, link = connected(server={"config": dtls.Config(**values)})
    for _ in range(5):
        client.send(bytes(1000), link.now)
    for data in sent(client):
        server.receive_datagram(data, link.now)
    assert server.dropped == {"application-data-overflow": 2}
    assert len(server.take_application_data()) == 3
    client.send(b"again", link.now)
    server.receive_datagram(sent(client)[0], link.now)
    assert server.take_application_data() == [b"again"]


def test_limit_queued_application_data():
    client, _, link = connected(config=dtls.Config(max_queued_application_data=3))
    for _ in range(3):
        client.send(b"x", link.now)
    with pytest.raises(LocalError, match="drained"):
        client.send(b"x", link.now)
    assert len(sent(client)) == 3
    client.send(b"x", link.now)


def test_default_limits_are_the_named_ones():
    config = dtls.Config()
    assert config.max_pending_application_data == config_module.MAX_PENDING_APPLICATION_DATA
    assert config.max_pending_application_bytes == config_module.MAX_PENDING_APPLICATION_BYTES
    assert config.max_queued_application_data == config_module.MAX_QUEUED_APPLICATION_DATA


def test_limit_records_per_epoch():
    client, server, link = connected()
    client._writers[1].number = (1 << 48) + record_module.MAX_RECORDS_PER_EPOCH - 2
    client.send(b"x", link.now)
    assert len(sent(client)) == 1
    client.send(b"y", link.now)
    last = sent(client)
    assert [d[0] for d in last] == [23, 21]
    assert failure_of(client) == "sequence-exhausted"
    for data in last:
        server.receive_datagram(data, link.now)
    assert events_of(server)[-1] == dtls.Closed(None)


@pytest.mark.parametrize(
    "values",
    [
        {"mtu": config_module.MIN_MTU - 1},
        {"replay_window": 63},
        {"initial_timeout": 0},
        {"handshake_timeout": float("inf")},
        {"cipher_suites": (0xC009,)},
        {"cipher_suites": ()},
        {"groups": (30,)},
    ],
    ids=lambda v: next(iter(v)),
)
def test_config_is_checked(values):
    with pytest.raises(LocalError):
        dtls.Config(**values)


def test_start_twice():
    client, _ = pair()
    client.start(0)
    with pytest.raises(LocalError, match="begun"):
        client.start(0)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 700])
def test_large_batches_of_any_sizes_keep_their_order(count):
    client, server, link = connected()
    sent = [bytes((n & 0xFF,)) * (n // 100 * 7 % 50) for n in range(count)]
    for data in sent:
        client.send(data, link.now)
    numbers = []
    for datagram in client.datagrams_to_send(link.now):
        numbers.append(int.from_bytes(datagram[5:11], "big"))
        server.receive_datagram(datagram, link.now)
    assert numbers == list(range(numbers[0], numbers[0] + count))
    assert server.take_application_data() == sent
    assert not server.dropped
