"""A batch of datagrams does what its datagrams do one by one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack import dtls

from .support import connected, events_of, pair, plain_record

GCM, CHACHA = 0xC02B, 0xCCA9
SUITES = pytest.mark.parametrize("suite", [GCM, CHACHA])
HARMS = ("forge", "repeat", "swap", "cut", "join", "strange", "close", "epoch")
STRANGE = [b"", b"\x17", bytes(60), plain_record(21, b"\x02\x28"), plain_record(23, b"hello")]


def ends(suite):
    """Two servers in the same state, the client that both are connected to, and the time."""
    config = dtls.Config(cipher_suites=(suite,), replay_window=64)
    (client, one, link), (_, other, _) = (connected(config=config) for _ in range(2))
    return client, one, other, link.now


def outcome(server, now):
    return server.take_application_data(), server.dropped, events_of(server), server.datagrams_to_send(now)


def forged(datagram):
    return datagram[:-1] + bytes(byte ^ 1 for byte in datagram[-1:])


def damage(datagrams, harm, closing):
    for place, kind in harm:
        at = place % len(datagrams)
        if kind == "forge":
            datagrams[at] = forged(datagrams[at])
        elif kind == "repeat":
            datagrams.insert(at + 1, datagrams[at])
        elif kind == "swap":
            datagrams.insert(0, datagrams.pop(at))
        elif kind == "cut":
            datagrams[at] = datagrams[at][: len(datagrams[at]) * 2 // 3]
        elif kind == "join":
            datagrams[at : at + 2] = [b"".join(datagrams[at : at + 2])]
        elif kind == "strange":
            datagrams.insert(at, STRANGE[place % len(STRANGE)])
        elif kind == "close":
            datagrams.insert(at, closing)
        else:
            datagrams[at] = datagrams[at][:4] + b"\x02" + datagrams[at][5:]


@SUITES
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 50)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 100), st.sampled_from(HARMS)), max_size=8),
)
def test_a_batch_does_what_its_datagrams_do(suite, runs, harm):
    client, one, other, now = ends(suite)
    datagrams = []
    for count, size in runs:
        for number in range(count):
            client.send(number.to_bytes(2, "big") + bytes(size), now)
        datagrams += client.datagrams_to_send(now)
    client.close(now)
    (closing,) = client.datagrams_to_send(now)
    datagrams = datagrams or [b""]
    damage(datagrams, harm, closing)
    one.receive_batch(datagrams, now)
    for datagram in datagrams:
        other.receive_datagram(datagram, now)
    assert outcome(one, now) == outcome(other, now)


@SUITES
def test_a_forged_record_in_a_batch_is_dropped_and_takes_nobodys_place(suite):
    client, server, _, now = ends(suite)
    contents = [b"%d" % number for number in range(20)]
    for content in contents:
        client.send(content, now)
    datagrams = client.datagrams_to_send(now)
    far = datagrams[-1][:8] + b"\x7f" + datagrams[-1][9:]  # would move the window far ahead
    server.receive_batch([far, *map(forged, datagrams)], now)
    assert server.take_application_data() == []
    assert server.dropped == {"bad-record-mac": 21}
    server.receive_batch(datagrams, now)
    assert server.take_application_data() == contents
    server.receive_batch(datagrams, now)
    assert server.take_application_data() == []
    assert server.dropped == {"bad-record-mac": 21, "replayed": 20}


def test_data_of_a_batch_waits_within_the_limits():
    config = dtls.Config(max_pending_application_data=10, max_pending_application_bytes=100)
    client, server, link = connected(config=config)
    for number in range(12):
        client.send(bytes([number]), link.now)
    server.receive_batch(client.datagrams_to_send(link.now), link.now)
    assert server.take_application_data() == [bytes([number]) for number in range(10)]
    for _ in range(3):
        client.send(bytes(40), link.now)
    server.receive_batch(client.datagrams_to_send(link.now), link.now)
    assert server.take_application_data() == [bytes(40)] * 2
    assert server.dropped == {"application-data-overflow": 3}


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_a_batch_during_the_handshake(before):
    """Data that overtakes the Finished, and data before there are keys."""
    results = []
    for in_batch in (True, False):
        client, server, _ = connected()
        client.send(b"data", 0)
        data = client.datagrams_to_send(0)
        client, server = pair()
        client.start(0)
        server.start(0)
        for _ in range(before):
            for datagram in client.datagrams_to_send(0):
                server.receive_datagram(datagram, 0)
            for datagram in server.datagrams_to_send(0):
                client.receive_datagram(datagram, 0)
        batch = [*data, *reversed(client.datagrams_to_send(0)), *data]
        if in_batch:
            server.receive_batch(batch, 0)
        else:
            for datagram in batch:
                server.receive_datagram(datagram, 0)
        results.append((server.handshake_complete, *outcome(server, 0)))
    assert results[0] == results[1]
