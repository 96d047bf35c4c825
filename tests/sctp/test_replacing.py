"""Latest-value sends: a message takes the place of a waiting one."""

import pytest

from stack.core import LocalError
from stack.sctp import MAX_SEND_BUFFER, MessageReceived, wire
from stack.testing import Conditions

from .support import RawPeer, connected

FULL = 1132


def payloads(peer):
    return [value[12:] for kind, _, value in peer.chunks() if kind == wire.DATA]


def blocked():
    """A peer with a closed congestion window, so that what is sent waits."""
    peer = RawPeer()
    peer.a.send(0, 51, bytes(10 * FULL), peer.now)
    assert len(peer.sent_tsns()) == 10
    return peer


def test_a_waiting_message_is_replaced_where_it_stands():
    peer = blocked()
    peer.a.send(1, 51, b"old", peer.now, replace_key="speed")
    peer.a.send(1, 51, b"between", peer.now)
    peer.a.send(1, 53, b"newer", peer.now, replace_key="speed")
    assert peer.a.buffered_amount(1) == len(b"newer" + b"between")
    peer.send(peer.sack(10))
    assert payloads(peer) == [b"newer", b"between"]
    assert peer.a.total_buffered == 0


def test_nothing_is_replaced_without_the_same_key_on_the_same_stream():
    peer = blocked()
    peer.a.send(1, 51, b"a", peer.now, replace_key=1)
    peer.a.send(1, 51, b"b", peer.now, replace_key=2)
    peer.a.send(1, 51, b"c", peer.now)
    peer.a.send(1, 51, b"d", peer.now)
    peer.a.send(2, 51, b"e", peer.now, replace_key=1)
    peer.send(peer.sack(10))
    assert sorted(payloads(peer)) == [b"a", b"b", b"c", b"d", b"e"]


def test_the_options_are_those_of_the_newer_message():
    peer = blocked()
    peer.a.send(1, 51, b"old", peer.now, replace_key=1, lifetime=0.01)
    peer.a.send(1, 51, b"new", peer.now, replace_key=1, ordered=False)
    peer.now += 0.1
    peer.send(peer.sack(10))
    ((_, flags, value),) = [chunk for chunk in peer.chunks() if chunk[0] == wire.DATA]
    assert (value[12:], flags & 4) == (b"new", 4)


def test_what_has_left_is_not_replaced_and_what_expired_neither():
    peer = RawPeer()
    peer.a.send(1, 51, b"first", peer.now, replace_key=1)
    assert payloads(peer) == [b"first"]
    peer.a.send(1, 51, bytes(20 * FULL), peer.now, replace_key=1)
    peer.chunks()  # some of it
    peer.a.send(1, 51, b"third", peer.now, replace_key=1)
    assert peer.a.buffered_amount(1) > 5
    peer = blocked()
    peer.a.send(1, 51, b"expires", peer.now, replace_key=1, lifetime=0.01)
    peer.now += 1
    peer.send(peer.sack(10))
    assert payloads(peer) == []
    peer.a.send(1, 51, b"alive", peer.now, replace_key=1)
    assert payloads(peer) == [b"alive"]


def test_a_full_buffer_still_takes_what_replaces():
    peer = RawPeer(connect=False)
    peer.a.send(1, 51, bytes(1000), peer.now, replace_key=1)
    peer.a.send(2, 51, bytes(MAX_SEND_BUFFER - 1000), peer.now)
    with pytest.raises(LocalError, match="send-buffer-full"):
        peer.a.send(1, 51, bytes(1001), peer.now, replace_key=1)
    peer.a.send(1, 51, bytes(999), peer.now, replace_key=1)
    assert (peer.a.buffered_amount(1), peer.a.total_buffered) == (999, MAX_SEND_BUFFER - 1)


def test_a_key_that_cannot_be_one_is_refused():
    peer = RawPeer()
    with pytest.raises(LocalError, match="bad-argument"):
        peer.a.send(1, 51, b"x", peer.now, replace_key=([],))
    assert peer.a.total_buffered == 0


def test_replacing_does_not_search_what_waits():
    peer = blocked()
    for number in range(20_000):
        peer.a.send(1, 51, b"%d" % number, peer.now, replace_key=number % 5000)
    stream = peer.a._outbound.scheduler.stream(1)
    assert len(stream.queue) == len(stream.replaceable) == 5000


def test_a_narrow_link_always_carries_the_newest_value():
    link = connected(Conditions(delay=0.05, rate=50_000, queue=3000))
    a = link.machines[0]
    delays = []
    for _ in range(300):
        a.send(1, 51, b"%.4f" % link.now + bytes(500), link.now, ordered=False, max_retransmits=0, replace_key=0)
        before = len(link.events[1])
        link.run(seconds=0.02)
        delays += [
            link.now - float(event.data[:9]) for event in link.events[1][before:] if isinstance(event, MessageReceived)
        ]
    assert len(delays) > 30
    assert max(delays) < 2.5  # and not the 24 s that everything would take
    assert a.total_buffered <= 509
