"""What a peer or a caller may do wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import LocalError, PeerError
from stack.datachannel import (
    ArgumentError,
    ChannelClosed,
    ChannelClosing,
    Closed,
    Endpoint,
    Open,
    ResetRequested,
    serialize,
)

from .support import Pair, drain

OPEN = serialize(Open("x"))


def server():
    end = Endpoint(is_dtls_client=False)
    end.set_connected(1.0)
    return end


@pytest.mark.parametrize(
    ("ppid", "data", "reason"),
    [
        (51, b"\xff", "bad-utf8"),
        (51, b"\xed\xa0\x80", "bad-utf8"),
        (52, b"x", "deprecated-ppid"),
        (54, b"x", "deprecated-ppid"),
        (0, b"x", "unknown-ppid"),
        (55, b"x", "unknown-ppid"),
        (0xFFFFFFFF, b"", "unknown-ppid"),
    ],
)
def test_a_bad_message_is_dropped_and_the_channel_lives(ppid, data, reason):
    end = server()
    end.receive_message(0, 50, OPEN, 1.0)
    drain(end)
    end.receive_message(0, ppid, data, 1.0)
    assert end.dropped == {reason: 1}
    end.receive_message(0, 51, b"fine", 1.0)
    assert [event.data for event in drain(end)] == ["fine"]


@pytest.mark.parametrize(("ppid", "expected"), [(51, ""), (53, b""), (56, ""), (57, b"")])
def test_an_empty_message_is_an_empty_message(ppid, expected):
    end = server()
    end.receive_message(0, 50, OPEN, 1.0)
    drain(end)
    end.receive_message(0, ppid, b"", 1.0)
    assert [event.data for event in drain(end)] == [expected]


@pytest.mark.parametrize("ppid", [51, 53, 56, 57, 0])
def test_a_message_on_an_unused_stream_is_dropped(ppid):
    end = server()
    end.receive_message(8, ppid, b"x", 1.0)
    assert end.dropped == {"unknown-stream": 1}
    assert drain(end) == []


def test_nothing_is_taken_before_the_association_is_up():
    end = Endpoint(is_dtls_client=False)
    channel = end.open("x", negotiated=True, id=0, now=1.0)
    end.receive_message(0, 53, b"x", 1.0)
    end.receive_message(2, 50, OPEN, 1.0)
    assert end.dropped == {"not-connected": 2}
    assert end.channels == (channel,)


def test_a_message_on_a_closing_channel_is_dropped():
    pair = Pair()
    near, _ = pair.open()
    pair.a.close_channel(near, 10.0)
    pair.a.receive_message(0, 53, b"x", 10.0)
    assert pair.a.dropped == {"channel-closing": 1}


@pytest.mark.parametrize(
    ("stream_id", "data", "reason"),
    [
        (0, b"", "truncated"),
        (0, OPEN[:-1], "truncated"),
        (0, OPEN + b"y", "trailing-bytes"),
        (0, b"\x09", "bad-message-type"),
        (0, b"\x03\x44" + OPEN[2:], "bad-channel-type"),
        (0, OPEN[:-1] + b"\xff", "bad-utf8"),
        (1, OPEN, "wrong-parity"),
    ],
)
def test_a_bad_open_is_answered_with_a_reset(stream_id, data, reason):
    end = server()
    end.receive_message(stream_id, 50, data, 1.0)
    assert end.dropped == {reason: 1}
    assert drain(end) == [ResetRequested(stream_id)]
    assert end.datagrams_to_send(1.0) == []
    assert end.channels == ()
    end.receive_message(0, 50, OPEN, 1.0)
    if stream_id == 0:
        assert end.dropped["stream-in-use"] == 1, "until the reset is done"
        end.outgoing_reset_done(0, 1.0)
        end.receive_message(0, 50, OPEN, 1.0)
    assert end.channels[0].state == "open"


@pytest.mark.parametrize(("data", "reason"), [(OPEN, "stream-in-use"), (b"\x09", "bad-message-type")])
def test_a_bad_open_on_a_used_stream_closes_its_channel(data, reason):
    pair = Pair()
    _, far = pair.open()
    pair.events[pair.b].clear()
    pair.b.receive_message(0, 50, data, 10.0)
    pair.b.receive_message(0, 50, data, 10.0)
    assert pair.b.dropped == {reason: 2}
    pair.pump()
    error = PeerError("datachannel", reason)
    assert pair.events[pair.b] == [ChannelClosing(far), ResetRequested(0), ChannelClosed(far, error)]


@pytest.mark.parametrize("stream_id", [65535, 70000, -1])
def test_a_stream_that_cannot_be(stream_id):
    end = server()
    end.receive_message(stream_id, 50, OPEN, 1.0)
    end.receive_message(stream_id, 50, b"", 1.0)
    assert end.dropped == {"bad-stream-id": 1, "truncated": 1}
    assert drain(end) == []


@pytest.mark.parametrize("stream_id", [0, 1, 6])
def test_an_ack_that_nobody_waits_for(stream_id):
    pair = Pair()
    pair.open()
    pair.b.receive_message(stream_id, 50, b"\x02", 10.0)
    assert pair.b.dropped == {"unexpected-ack": 1}


def test_an_open_while_closing_is_dropped():
    end = server()
    end.receive_message(0, 50, OPEN, 1.0)
    end.close(1.0)
    end.receive_message(2, 50, OPEN, 1.0)
    assert end.dropped == {"closing": 1}
    assert len(end.channels) == 1


def test_channels_beyond_the_negotiated_streams_fail():
    end = Endpoint(is_dtls_client=True)
    channels = [end.open("x", now=1.0) for _ in range(3)]
    end.set_connected(1.0, streams=4)
    assert [channel.state for channel in channels] == ["open", "open", "closed"]
    assert ChannelClosed(channels[2], PeerError("datachannel", "no-stream")) in drain(end)
    with pytest.raises(LocalError, match="no stream id is left"):
        end.open("x", now=1.0)
    with pytest.raises(LocalError, match=r"must be 0\.\.3"):
        end.open("x", negotiated=True, id=4, now=1.0)
    end.receive_message(5, 50, OPEN, 1.0)
    assert end.dropped == {"bad-stream-id": 1}


def test_channels_without_an_id_fail_when_the_role_leaves_none():
    end = Endpoint(max_channels=2)
    end.set_connected(1.0, streams=1)
    first, second = end.open("x", now=1.0), end.open("y", now=1.0)
    end.set_role(True)
    assert (first.state, second.state) == ("open", "closed")
    assert drain(end)[-1] == ChannelClosed(second, PeerError("datachannel", "no-stream"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_retransmits": 1, "max_packet_life_time": 1}, "not both"),
        ({"max_retransmits": -1}, "must be 0"),
        ({"protocol": "p" * 65536}, "protocol has 65536"),
        ({"priority": -1}, "priority"),
        ({"negotiated": True}, "needs an id"),
        ({"negotiated": True, "id": 65535}, "must be 0"),
        ({"negotiated": True, "id": -1}, "must be 0"),
        ({"negotiated": True, "id": 0}, "id 0 is used"),
        ({"negotiated": True, "id": 2}, "id 2 is used"),
    ],
)
def test_open_refuses_what_cannot_be(options, words):
    pair = Pair()
    pair.open()
    closing, _ = pair.open()
    pair.a.close_channel(closing, 10.0)
    drain(pair.a)
    before = pair.a.channels
    with pytest.raises(LocalError, match=words) as caught:
        pair.a.open("x", now=10.0, **options)
    assert isinstance(caught.value, ArgumentError) == isinstance(caught.value, TypeError) == ("is used" not in words)
    assert pair.a.channels == before
    assert pair.a.datagrams_to_send(10.0) == []
    assert drain(pair.a) == []


def test_an_id_means_nothing_unless_negotiated():
    pair = Pair()
    assert pair.a.open("x", id=77, now=10.0).id == 0


def test_send_refuses_what_cannot_be():
    pair = Pair(max_message_size=10)
    near, far = pair.open()
    with pytest.raises(LocalError, match="11 bytes, the peer takes 10"):
        pair.a.send(near, b"x" * 11, 10.0)
    with pytest.raises(LocalError, match="12 bytes"):
        pair.a.send(near, "é" * 6, 10.0)
    with pytest.raises(LocalError, match="lone surrogate"):
        pair.a.send(near, "\ud800", 10.0)
    with pytest.raises(LocalError, match="not open here"):
        pair.a.send(far, b"", 10.0)
    assert pair.a.datagrams_to_send(10.0) == []
    pair.a.send(near, b"x" * 10, 10.0)
    assert len(pair.a.datagrams_to_send(10.0)) == 1


def test_the_message_size_can_be_changed_and_be_unlimited():
    pair = Pair()
    near, _ = pair.open()
    assert pair.a.max_message_size == 262144
    pair.a.set_max_message_size(0)
    assert pair.a.max_message_size == 0
    pair.a.send(near, bytes(1 << 20), 10.0)
    pair.pump()
    assert len(pair.received(pair.b)[0]) == 1 << 20
    with pytest.raises(LocalError, match="negative"):
        pair.a.set_max_message_size(-1)


@pytest.mark.parametrize("number", [0, -1, 65536])
def test_the_number_of_channels_has_bounds(number):
    with pytest.raises(LocalError, match="max_channels"):
        Endpoint(max_channels=number)


steps = st.one_of(
    st.tuples(
        st.just("message"),
        st.integers(0, 6),
        st.sampled_from([50, 50, 51, 52, 53, 56, 57, 99]),
        st.sampled_from([OPEN, b"\x02", b"", b"\xff", b"text", OPEN[:5]]),
    ),
    st.tuples(st.sampled_from(["reset", "done", "open", "close", "negotiate", "send"]), st.integers(0, 6)),
    st.tuples(st.sampled_from(["connect", "end", "timer"])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=40))
def test_whatever_happens_the_books_are_in_order(script):
    """No exception but LocalError for misuse; every channel ends once; nothing comes behind the terminal event."""
    end, now, events = Endpoint(is_dtls_client=True), 1.0, []
    for step in script:
        now += 0.5
        try:
            match step:
                case ("message", stream_id, ppid, data):
                    end.receive_message(stream_id, ppid, data, now)
                case ("reset", stream_id):
                    end.stream_reset_by_peer(stream_id, now)
                case ("done", stream_id):
                    end.outgoing_reset_done(stream_id, now)
                case ("open", _):
                    end.open("x", now=now)
                case ("negotiate", stream_id):
                    end.open("x", negotiated=True, id=stream_id, now=now)
                case ("close", n) if n < len(end.channels):
                    end.close_channel(end.channels[n], now)
                case ("send", n) if n < len(end.channels):
                    end.send(end.channels[n], b"x", now)
                case ("connect",):
                    end.set_connected(now)
                case ("end",):
                    end.close(now)
                case ("timer",):
                    end.handle_timer(now)
        except LocalError:
            pass
        end.datagrams_to_send(now)
        assert end.datagrams_to_send(now) == []
        events += drain(end)
        ids = [channel.id for channel in end.channels]
        assert len(set(ids)) == len(ids)
        assert all(channel.state != "closed" for channel in end.channels)
    ended = [event.channel for event in events if isinstance(event, ChannelClosed)]
    assert len(set(map(id, ended))) == len(ended)
    assert all(channel.state == "closed" for channel in ended)
    if any(isinstance(event, Closed) for event in events):
        assert isinstance(events[-1], Closed)
        assert end.channels == ()
        assert end.next_timer() is None
