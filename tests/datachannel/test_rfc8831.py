"""RFC 8831, section by section: what it asks for, each rule once; where we depart from it the test says so."""

import pytest

from stack.core import LocalError
from stack.datachannel import ChannelClosed, ChannelClosing, Endpoint, Message, ResetRequested

from .support import Pair, drain

RELIABILITIES = [
    {},
    {"max_retransmits": 0},
    {"max_retransmits": 5},
    {"max_packet_life_time": 150},
]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("limits", RELIABILITIES)
def test_section_6_4_the_properties_hold_in_both_directions(ordered, limits):
    pair = Pair()
    near, far = pair.open(ordered=ordered, **limits)
    for end, channel in ((pair.a, near), (pair.b, far)):
        pair.sent[end].clear()
        end.send(channel, b"x", pair.now)
        pair.pump()
        assert pair.sent[end] == [Message(near.id, 53, b"x", ordered=ordered, **limits)]


@pytest.mark.parametrize("priority", [128, 256, 512, 1024, 0, 65535])
def test_section_6_4_a_priority_is_two_bytes_and_goes_with_every_message(priority):
    pair = Pair()
    near, far = pair.open(priority=priority)
    assert far.priority == priority
    pair.a.send(near, "x", pair.now)
    pair.b.send(far, "x", pair.now)
    pair.pump()
    assert {message.priority for end in (pair.a, pair.b) for message in pair.sent[end]} == {priority}


def test_section_6_4_labels_and_protocols_are_optional_and_need_not_be_unique():
    pair = Pair()
    channels = [pair.open(label)[1] for label in ("", "same", "same")]
    assert [channel.label for channel in channels] == ["", "same", "same"]
    assert [channel.protocol for channel in channels] == ["", "", ""]
    assert len({channel.id for channel in channels}) == 3


def test_section_6_4_labels_and_protocols_of_65535_bytes_arrive():
    pair = Pair()
    _, far = pair.open("é" * 32767 + "x", protocol="p" * 65535)
    assert (len(far.label.encode()), len(far.protocol)) == (65535, 65535)
    for options in ({"label": "é" * 32768}, {"label": "", "protocol": "p" * 65536}):
        with pytest.raises(LocalError, match="65536 bytes in UTF-8"):
            pair.a.open(now=pair.now, **options)


def test_section_6_5_reusing_the_stream_of_a_channel_fails():
    pair = Pair()
    pair.open()
    with pytest.raises(LocalError, match="id 0 is used"):
        pair.a.open("x", negotiated=True, id=0, now=pair.now)


def test_section_6_5_an_in_band_channel_avoids_the_streams_that_were_negotiated():
    pair = Pair()
    pair.a.open("x", negotiated=True, id=0, now=pair.now)
    pair.a.open("y", negotiated=True, id=4, now=pair.now)
    assert [pair.a.open("z", now=pair.now).id for _ in range(2)] == [2, 6]


def test_section_6_5_out_of_ids_is_an_error_until_one_is_free_again():
    pair = Pair(connected=False)
    for end in (pair.a, pair.b):
        end.set_connected(pair.now, streams=6)
    near = [pair.open()[0] for _ in range(3)]
    assert [channel.id for channel in near] == [0, 2, 4]
    with pytest.raises(LocalError, match="no stream id is left"):
        pair.a.open("one more", now=pair.now)
    assert len(pair.a.channels) == 3
    pair.a.close_channel(near[1], pair.now)
    with pytest.raises(LocalError, match="no stream id is left"):
        pair.a.open("not yet", now=pair.now)
    pair.pump()
    again, _ = pair.open("again")
    assert again.id == 2


@pytest.mark.parametrize(
    ("data", "ppid", "wire"),
    [("s", 51, b"s"), (b"b", 53, b"b"), ("", 56, b"\0"), (b"", 57, b"\0")],
)
def test_section_6_6_the_ppid_tells_strings_from_binary_and_empty_ones_are_one_zero_byte(data, ppid, wire):
    pair = Pair()
    near, _ = pair.open()
    pair.sent[pair.a].clear()
    pair.a.send(near, data, pair.now)
    pair.pump()
    assert pair.sent[pair.a] == [Message(0, ppid, wire)]
    assert pair.received(pair.b) == [data]


@pytest.mark.parametrize(("ppid", "expected"), [(56, ""), (57, b"")])
@pytest.mark.parametrize("data", [b"\0", b"", b"whatever \xff"])
def test_section_6_6_the_content_of_an_empty_message_is_ignored(ppid, expected, data):
    pair = Pair()
    pair.open()
    pair.b.receive_message(0, ppid, data, pair.now)
    assert [event.data for event in drain(pair.b)] == [expected]


def test_section_6_6_one_message_is_one_user_message_whatever_its_size():
    pair = Pair(max_message_size=0)
    near, _ = pair.open()
    pair.sent[pair.a].clear()
    messages = [bytes(size) for size in (1, 16384, 16385, 262144, 1 << 20)]
    for data in messages:
        pair.a.send(near, data, pair.now)
    pair.pump()
    assert [len(message.data) for message in pair.sent[pair.a]] == [len(data) for data in messages]
    assert pair.received(pair.b) == messages


def test_section_6_6_the_negotiated_size_counts_bytes_and_not_characters():
    pair = Pair(max_message_size=4)
    near, _ = pair.open()
    pair.a.send(near, "éé", pair.now)
    with pytest.raises(LocalError, match="5 bytes, the peer takes 4"):
        pair.a.send(near, "ééx", pair.now)


def test_section_6_6_a_message_with_an_unknown_ppid_is_dropped_and_the_channel_lives():
    """Deviates: the section would close the channel."""
    pair = Pair()
    _, far = pair.open()
    pair.b.receive_message(0, 58, b"x", pair.now)
    assert pair.b.dropped == {"unknown-ppid": 1}
    assert far.state == "open"


def test_section_6_7_closing_resets_the_outgoing_stream_and_the_peer_resets_its_own():
    pair = Pair()
    near, far = pair.open()
    pair.events[pair.a].clear()
    pair.events[pair.b].clear()
    pair.a.close_channel(near, pair.now)
    pair.pump()
    assert pair.events[pair.a] == [ResetRequested(0), ChannelClosed(near)]
    assert pair.events[pair.b] == [ChannelClosing(far), ResetRequested(0), ChannelClosed(far)]


def test_section_6_7_what_was_sent_goes_before_the_reset():
    pair = Pair()
    near, _ = pair.open()
    for number in range(3):
        pair.a.send(near, str(number), pair.now)
    pair.a.close_channel(near, pair.now)
    assert len(pair.a.datagrams_to_send(pair.now)) == 3
    assert ResetRequested(0) in drain(pair.a)


@pytest.mark.parametrize("crossing", [True, False])
def test_section_6_7_both_sides_may_close_at_once_and_the_stream_is_free_afterwards(crossing):
    pair = Pair()
    near, far = pair.open("old")
    pair.a.close_channel(near, pair.now)
    if not crossing:
        pair.pump()
    pair.b.close_channel(far, pair.now)
    pair.pump()
    assert near.state == far.state == "closed"
    closed = [event for events in pair.events.values() for event in events if isinstance(event, ChannelClosed)]
    assert closed == [ChannelClosed(near), ChannelClosed(far)]
    again, there = pair.open("new")
    assert (again.id, there.id) == (0, 0)
    pair.a.send(again, "fresh", pair.now)
    pair.pump()
    assert pair.received(pair.b) == ["fresh"]


def test_section_6_7_hundreds_of_channels_close_from_both_sides_and_their_ids_return():
    pair = Pair()
    near = [pair.a.open(str(number), now=pair.now) for number in range(300)]
    far = [pair.b.open(str(number), now=pair.now) for number in range(300)]
    pair.pump()
    for channel in near[::2]:
        pair.a.close_channel(channel, pair.now)
    for channel in pair.announced(pair.b)[1::2]:
        pair.b.close_channel(channel, pair.now)
    pair.pump()
    assert {channel.state for channel in near} == {"closed"}
    assert {channel.state for channel in far} == {"open"}
    assert len(pair.a.channels) == len(pair.b.channels) == 300
    again = [pair.a.open("again", now=pair.now).id for _ in range(300)]
    assert again == [2 * number for number in range(300)]
    pair.pump()
    assert not pair.a.dropped
    assert not pair.b.dropped


def test_a_latest_value_channel_says_so_with_every_message_and_the_peer_need_not_know():
    pair = Pair()
    near, far = pair.open()
    near.latest = True
    pair.a.send(near, "1", pair.now)
    near.latest = False
    pair.a.send(near, "2", pair.now)
    pair.pump()
    assert [message.latest for message in pair.sent[pair.a]] == [False, True, False]
    assert not far.latest


def test_what_a_holder_hands_on_at_once_is_not_queued():
    end = Endpoint(is_dtls_client=True)
    end.set_connected(1.0)
    channel = end.open("x", now=1.0)
    assert len(end.outbox) == 1  # the OPEN
    assert end.compose(channel, b"x") == Message(0, 53, b"x")
    assert len(end.outbox) == 1
    end.close_channel(channel, 1.0)
    with pytest.raises(LocalError, match="not open"):
        end.compose(channel, b"x")
