"""RFC 8832 section 6, sentence by sentence."""

import pytest

from stack.core import PeerError
from stack.datachannel import ChannelAnnounced, ChannelClosed, Endpoint, Open, ResetRequested, parse, serialize

from .support import Pair, drain

OPEN = serialize(Open("x", ordered=False, max_retransmits=0))


def test_dcep_messages_are_ordered_and_reliable_whatever_the_channel_is():
    pair = Pair()
    pair.open(ordered=False, max_retransmits=0)
    for end in (pair.a, pair.b):
        (message,) = pair.sent[end]
        assert (message.ppid, message.ordered) == (50, True)
        assert (message.max_retransmits, message.max_packet_life_time) == (None, None)


def test_dcep_messages_go_on_the_stream_of_their_channel():
    pair = Pair()
    for _ in range(3):
        pair.open()
    assert [message.stream_id for message in pair.sent[pair.a]] == [0, 2, 4]
    assert [message.stream_id for message in pair.sent[pair.b]] == [0, 2, 4]


@pytest.mark.parametrize(("is_client", "ids"), [(True, [0, 2, 4]), (False, [1, 3, 5])])
def test_the_client_is_even_and_the_server_odd(is_client, ids):
    end = Endpoint(is_dtls_client=is_client)
    end.set_connected(1.0)
    assert [end.open("x", now=1.0).id for _ in range(3)] == ids


@pytest.mark.parametrize("is_client", [True, False])
def test_an_open_that_breaks_the_odd_even_rule_gets_a_reset_and_no_ack(is_client):
    end = Endpoint(is_dtls_client=is_client)
    end.set_connected(1.0)
    end.receive_message(int(not is_client), 50, OPEN, 1.0)
    assert drain(end) == [ResetRequested(int(not is_client))]
    assert end.datagrams_to_send(1.0) == []
    assert end.dropped == {"wrong-parity": 1}


def test_an_open_on_a_used_stream_closes_that_channel():
    pair = Pair()
    _, far = pair.open()
    pair.b.receive_message(0, 50, OPEN, pair.now)
    assert far.state == "closing"
    assert pair.b.dropped == {"stream-in-use": 1}


def test_a_reset_without_an_ack_is_a_failure_and_the_stream_can_be_opened_again():
    pair = Pair()
    channel = pair.a.open("refused", now=pair.now)
    pair.a.datagrams_to_send(pair.now)  # b never sees it
    pair.a.stream_reset_by_peer(0, pair.now)
    pair.pump()
    assert ChannelClosed(channel, PeerError("datachannel", "open-refused")) in pair.events[pair.a]
    assert channel.error == PeerError("datachannel", "open-refused")
    again, _ = pair.open("again")
    assert again.id == 0


def test_user_data_may_follow_the_open_at_once_and_is_ordered_until_something_comes_back():
    pair = Pair()
    channel = pair.a.open("x", ordered=False, max_packet_life_time=100, now=pair.now)
    for data in (b"1", "2", ""):
        pair.a.send(channel, data, pair.now)
    pair.pump()
    first, *rest = pair.sent[pair.a]
    assert isinstance(parse(first.data), Open)
    assert [message.ordered for message in rest] == [True] * 3
    assert pair.received(pair.b) == [b"1", "2", ""]
    pair.a.send(channel, b"after", pair.now)
    pair.pump()
    assert not pair.sent[pair.a][-1].ordered


def test_the_side_that_was_asked_need_not_wait_for_anything():
    pair = Pair()
    _, far = pair.open(ordered=False)
    pair.b.send(far, b"x", pair.now)
    pair.pump()
    assert not pair.sent[pair.b][-1].ordered


def test_data_on_a_stream_that_nobody_opened_is_dropped():
    """Deviates: the RFC would close the channel, but a negotiated one may only not be open here yet."""
    pair = Pair()
    pair.b.receive_message(0, 51, b"early", pair.now)
    assert pair.b.dropped == {"unknown-stream": 1}
    assert drain(pair.b) == []
    pair.open()
    assert not [event for event in pair.events[pair.b] if isinstance(event, ResetRequested)]


def test_both_sides_open_at_once():
    pair = Pair()
    ours, theirs = pair.a.open("a", now=pair.now), pair.b.open("b", now=pair.now)
    pair.a.send(ours, "from a", pair.now)
    pair.b.send(theirs, "from b", pair.now)
    pair.pump()
    assert [channel.label for channel in pair.announced(pair.a)] == ["b"]
    assert [channel.label for channel in pair.announced(pair.b)] == ["a"]
    assert (pair.received(pair.a), pair.received(pair.b)) == (["from b"], ["from a"])


def test_an_open_that_the_peer_repeats_after_both_resets_is_a_new_channel():
    pair = Pair()
    near, _ = pair.open("first")
    pair.a.close_channel(near, pair.now)
    pair.pump()
    pair.open("second")
    announced = [event.channel.label for event in pair.events[pair.b] if isinstance(event, ChannelAnnounced)]
    assert announced == ["first", "second"]
