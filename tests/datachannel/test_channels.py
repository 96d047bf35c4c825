"""Channels from open to closed: RFC 8831 section 6, RFC 8832 section 6."""

import pytest

from stack.core import LocalError, PeerError
from stack.datachannel import (
    Ack,
    ChannelAnnounced,
    ChannelClosed,
    ChannelClosing,
    ChannelOpened,
    Closed,
    Endpoint,
    Message,
    MessageReceived,
    Open,
    ResetRequested,
    parse,
    serialize,
)

from .support import Pair, drain


def test_open_in_band():
    pair = Pair()
    channel = pair.a.open("chat", protocol="p", ordered=False, max_retransmits=2, priority=512, now=10.0)
    assert (channel.id, channel.state) == (0, "open")
    pair.pump()
    far = pair.announced(pair.b)[0]
    request, answer = pair.sent[pair.a][0], pair.sent[pair.b][0]
    assert request == Message(0, 50, serialize(Open("chat", "p", False, 2, None, 512)), priority=512)
    assert answer == Message(0, 50, b"\x02", priority=512)
    assert isinstance(parse(answer.data), Ack)
    for name in ("id", "label", "protocol", "ordered", "max_retransmits", "max_packet_life_time", "priority", "state"):
        assert getattr(far, name) == getattr(channel, name)
    assert not far.negotiated
    assert pair.events[pair.a] == [ChannelOpened(channel)]
    assert pair.events[pair.b] == [ChannelAnnounced(far), ChannelOpened(far)]


def test_the_client_takes_even_ids_and_the_server_odd_ones():
    pair = Pair()
    assert [pair.a.open("", now=10.0).id for _ in range(3)] == [0, 2, 4]
    assert [pair.b.open("", now=10.0).id for _ in range(3)] == [1, 3, 5]
    pair.pump()
    assert [channel.id for channel in pair.announced(pair.a)] == [1, 3, 5]
    assert not pair.a.dropped
    assert not pair.b.dropped


def test_a_channel_waits_for_the_role_and_for_the_association():
    end = Endpoint()
    channel = end.open("early", now=1.0)
    assert (channel.id, channel.state) == (None, "connecting")
    with pytest.raises(LocalError, match="not open"):
        end.send(channel, "too early", 1.0)
    end.set_role(False)
    assert (channel.id, channel.state) == (1, "connecting")
    assert end.datagrams_to_send(1.0) == []
    end.set_connected(2.0)
    assert channel.state == "open"
    assert drain(end) == [ChannelOpened(channel)]
    assert [message.stream_id for message in end.datagrams_to_send(2.0)] == [1]


def test_the_role_may_come_last():
    end = Endpoint()
    end.open("taken", negotiated=True, id=0, now=1.0)
    channel = end.open("early", now=1.0)
    end.set_connected(2.0)
    assert channel.state == "connecting"
    end.set_role(True)
    end.set_role(True)
    assert (channel.id, channel.state) == (2, "open")
    assert [message.stream_id for message in end.datagrams_to_send(2.0)] == [2]
    with pytest.raises(LocalError, match="role"):
        end.set_role(False)


def test_a_negotiated_channel_sends_nothing_to_open():
    pair = Pair(connected=False)
    near = pair.a.open("x", negotiated=True, id=7, ordered=False, now=10.0)
    far = pair.b.open("x", negotiated=True, id=7, ordered=False, now=10.0)
    for end in (pair.a, pair.b):
        end.set_connected(10.0)
    assert (near.state, far.state) == ("open", "open")
    pair.a.send(near, b"1", 10.0)
    pair.b.send(far, "2", 10.0)
    pair.pump()
    assert pair.sent[pair.a] == [Message(7, 53, b"1", ordered=False)]
    assert pair.received(pair.a) == ["2"]
    assert pair.received(pair.b) == [b"1"]


@pytest.mark.parametrize(
    ("data", "ppid", "wire"),
    [("text", 51, b"text"), ("é", 51, b"\xc3\xa9"), (b"bytes", 53, b"bytes"), ("", 56, b"\0"), (b"", 57, b"\0")],
)
def test_what_a_message_looks_like(data, ppid, wire):
    pair = Pair()
    channel, _ = pair.open()
    pair.a.send(channel, data, 10.0)
    pair.pump()
    assert pair.sent[pair.a][-1] == Message(0, ppid, wire)
    assert pair.received(pair.b) == [data]


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_anything_like_bytes_is_sent_as_a_copy(kind):
    pair = Pair()
    channel, _ = pair.open()
    pair.a.send(channel, kind(b"abc"), 10.0)
    pair.pump()
    assert pair.received(pair.b) == [b"abc"]
    assert type(pair.sent[pair.a][-1].data) is bytes


@pytest.mark.parametrize("option", [{"max_retransmits": 0}, {"max_packet_life_time": 150}])
def test_messages_carry_the_reliability_of_their_channel(option):
    pair = Pair()
    channel, far = pair.open(ordered=False, priority=128, **option)
    pair.a.send(channel, b"x", 10.0)
    pair.b.send(far, b"x", 10.0)
    pair.pump()
    for end in (pair.a, pair.b):
        assert pair.sent[end][-1] == Message(0, 53, b"x", ordered=False, priority=128, **option)


def test_an_unordered_channel_sends_in_order_until_the_ack():
    pair = Pair()
    channel = pair.a.open("x", ordered=False, now=10.0)
    pair.a.send(channel, b"before", 10.0)
    pair.pump()
    pair.a.send(channel, b"after", 10.0)
    pair.pump()
    assert [message.ordered for message in pair.sent[pair.a]] == [True, True, False]
    assert pair.received(pair.b) == [b"before", b"after"]


def test_any_message_does_what_the_ack_does():
    end = Endpoint(is_dtls_client=True)
    end.set_connected(1.0)
    channel = end.open("x", ordered=False, now=1.0)
    end.receive_message(0, 51, b"hello", 1.0)
    end.send(channel, b"x", 1.0)
    assert [message.ordered for message in end.datagrams_to_send(1.0)] == [True, False]
    end.receive_message(0, 50, b"\x02", 1.0)
    assert end.dropped == {"unexpected-ack": 1}


def test_a_message_may_be_taken_without_the_queue():
    end = Endpoint(is_dtls_client=True)
    end.set_connected(1.0)
    channel = end.open("x", now=1.0)
    end.next_event()
    assert end.take_message(0, 51, b"text", 1.0) == MessageReceived(channel, "text")
    assert end.take_message(0, 57, b"\0", 1.0) == MessageReceived(channel, b"")
    assert end.take_message(0, 51, b"\xff", 1.0) is end.take_message(0, 99, b"x", 1.0) is None
    assert (channel.messages_received, channel.bytes_received) == (2, 4)
    assert end.dropped == {"bad-utf8": 1, "unknown-ppid": 1}
    assert end.next_event() is None


# Closing


def test_close_resets_both_streams():
    pair = Pair()
    near, far = pair.open()
    for events in pair.events.values():
        events.clear()
    pair.a.send(near, b"last", 10.0)
    pair.a.close_channel(near, 10.0)
    pair.a.close_channel(near, 10.0)
    assert near.state == "closing"
    with pytest.raises(LocalError, match="not open"):
        pair.a.send(near, b"too late", 10.0)
    pair.pump()
    assert pair.received(pair.b) == [b"last"]
    assert pair.events[pair.a] == [ResetRequested(0), ChannelClosed(near)]
    assert pair.events[pair.b][1:] == [ChannelClosing(far), ResetRequested(0), ChannelClosed(far)]
    assert (near.state, far.state) == ("closed", "closed")
    assert pair.a.channels == pair.b.channels == ()
    pair.a.close_channel(near, 10.0)
    assert drain(pair.a) == []


def test_the_id_is_used_again_after_both_resets():
    pair = Pair()
    near, _ = pair.open("first")
    pair.a.close_channel(near, 10.0)
    assert pair.a.open("beside", now=10.0).id == 2
    pair.pump()
    again, far = pair.open("again")
    assert again.id == far.id == 0
    assert not pair.a.dropped
    assert not pair.b.dropped


def test_both_close_at_once():
    pair = Pair()
    near, far = pair.open()
    pair.a.close_channel(near, 10.0)
    pair.b.close_channel(far, 10.0)
    pair.pump()
    assert ChannelClosed(near) in pair.events[pair.a]
    assert ChannelClosed(far) in pair.events[pair.b]
    assert [e for e in pair.events[pair.a] if isinstance(e, ResetRequested)] == [ResetRequested(0)]


@pytest.mark.parametrize("peer_first", [True, False])
def test_a_channel_is_closed_when_both_resets_are_done_in_any_order(peer_first):
    pair = Pair()
    near, _ = pair.open()
    pair.a.close_channel(near, 10.0)
    steps = [pair.a.stream_reset_by_peer, pair.a.outgoing_reset_done]
    for step in steps if peer_first else steps[::-1]:
        assert near.state == "closing"
        step(0, 10.0)
    assert near.state == "closed"


def test_a_reset_instead_of_the_ack_refuses_the_channel():
    end = Endpoint(is_dtls_client=True)
    end.set_connected(1.0)
    channel = end.open("x", now=1.0)
    end.stream_reset_by_peer(0, 1.0)
    end.outgoing_reset_done(0, 1.0)
    error = PeerError("datachannel", "open-refused")
    assert drain(end)[1:] == [ChannelClosing(channel), ResetRequested(0), ChannelClosed(channel, error)]


def test_a_reset_of_an_unused_stream_means_nothing():
    pair = Pair()
    pair.a.stream_reset_by_peer(4, 10.0)
    pair.a.outgoing_reset_done(4, 10.0)
    assert drain(pair.a) == []


def test_a_channel_that_was_never_announced_closes_at_once():
    end = Endpoint()
    waiting, negotiated = end.open("x", now=1.0), end.open("y", negotiated=True, id=3, now=1.0)
    end.stream_reset_by_peer(3, 1.0)
    assert negotiated.state == "connecting"
    end.close_channel(waiting, 1.0)
    end.close_channel(negotiated, 1.0)
    assert drain(end) == [ChannelClosed(waiting), ChannelClosed(negotiated)]
    end.set_role(True)
    end.set_connected(1.0)
    assert end.datagrams_to_send(1.0) == []
    assert drain(end) == []


def test_the_peer_reuses_a_stream_before_our_reset_is_confirmed():
    pair = Pair()
    near, far = pair.open("old")
    pair.a.close_channel(near, 10.0)
    pair.pump(resets=False)
    pair.b.stream_reset_by_peer(0, 10.0)
    assert far.state == "closing"
    # The confirmation of b's reset is lost; a has both resets and opens the stream anew.
    pair.b.receive_message(0, 50, serialize(Open("new")), 10.0)
    pair.b.outgoing_reset_done(0, 10.0)
    pair.pump(resets=False)
    assert far.state == "closed"
    assert [channel.label for channel in pair.announced(pair.b)] == ["old", "new"]
    assert pair.b.channels[0].state == "open"


def test_the_association_is_gone():
    pair = Pair()
    near, _ = pair.open()
    waiting = Endpoint()
    queued = waiting.open("x", now=1.0)
    error = PeerError("sctp", "timeout")
    pair.a.send(near, b"never leaves", 10.0)
    pair.a.abort(10.0, error)
    pair.a.abort(10.0)
    waiting.abort(1.0)
    assert drain(pair.a) == [ChannelClosed(near, error), Closed(error)]
    assert drain(waiting) == [ChannelClosed(queued), Closed(None)]
    assert pair.a.datagrams_to_send(10.0) == []
    with pytest.raises(LocalError, match="closed"):
        pair.a.open("late", now=10.0)
    with pytest.raises(LocalError, match="not open"):
        pair.a.send(near, b"", 10.0)
    pair.a.receive_message(0, 51, b"x", 10.0)
    pair.a.receive_message(2, 50, serialize(Open("x")), 10.0)
    assert pair.a.dropped == {"closed": 2}
    pair.a.set_connected(11.0)
    assert drain(pair.a) == []


def test_close_waits_for_the_channels():
    pair = Pair()
    near, far = pair.open()
    pair.a.close(10.0)
    pair.a.close(10.0)
    with pytest.raises(LocalError, match="closed"):
        pair.a.open("late", now=10.0)
    assert pair.a.next_timer() == 15.0
    pair.b.open("crossing", now=10.0)
    pair.pump()
    assert pair.events[pair.a][-2:] == [ChannelClosed(near), Closed(None)]
    assert far.state == "closed"
    assert pair.a.next_timer() is None


def test_close_does_not_wait_for_ever():
    pair = Pair()
    near, _ = pair.open()
    pair.a.close(10.0)
    pair.pump(resets=False)
    pair.a.handle_timer(14.9)
    assert near.state == "closing"
    pair.a.handle_timer(15.0)
    assert drain(pair.a) == [ChannelClosed(near), Closed(None)]
    assert pair.a.next_timer() is None


def test_close_without_channels_ends_at_once():
    for connected in (True, False):
        pair = Pair(connected=connected)
        if not connected:
            pair.a.open("x", now=10.0)
        pair.a.close(10.0)
        assert drain(pair.a)[-1] == Closed(None)
        assert pair.a.next_timer() is None
