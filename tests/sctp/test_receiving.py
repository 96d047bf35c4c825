import struct

import pytest

from stack.core import PeerError
from stack.sctp import Closed, MessageReceived, wire

from .support import TAG, TSN, B, E, I, RawPeer, U


def test_rfc9260_6_2_the_second_packet_is_acknowledged_at_once_the_first_after_a_delay():
    peer = RawPeer()
    peer.send(peer.data(b"1"))
    assert peer.chunks() == []
    assert peer.a.next_timer() == peer.now + 0.1
    peer.send(peer.data(b"2", ssn=1))
    assert peer.acknowledged()[0] == 1
    peer.send(peer.data(b"3", ssn=2))
    assert peer.chunks() == []
    assert [kind for kind, _, _ in peer.skip(0.1)] == [wire.SACK]


def test_rfc9260_6_2_a_drain_after_many_packets_sends_one_sack():
    peer = RawPeer()
    for ssn in range(30):
        peer.send(peer.data(b"x", ssn=ssn))
    assert peer.kinds() == [wire.SACK]


def test_rfc9260_6_2_the_i_bit_asks_for_a_sack_at_once():
    peer = RawPeer()
    peer.send(peer.data(b"1", flags=B | E | I))
    assert peer.acknowledged()[0] == 0


def test_rfc9260_6_10_a_sack_rides_with_data():
    peer = RawPeer()
    peer.send(peer.data(b"1"))
    peer.a.send(0, 51, b"answer", peer.now)
    assert [kind for kind, _, _ in peer.one_packet()] == [wire.SACK, wire.DATA]


def test_rfc9260_6_2_1_gaps_and_duplicates_are_reported():
    peer = RawPeer()
    for tsn in (0, 2, 3, 6, 3, 0):
        peer.send(peer.data(b"x", tsn=tsn, flags=B | E | U))
    cumulative, _, gaps, duplicates = peer.acknowledged()
    assert (cumulative, gaps, duplicates) == (0, [(2, 3), (6, 6)], [3, 0])
    peer.send(peer.data(b"x", tsn=1, flags=B | E | U))
    assert peer.acknowledged() == (3, 4 * 1024 * 1024 - 65 * 5, [(3, 3)], [])


def test_gap_blocks_grow_and_join_from_all_sides():
    peer = RawPeer()
    for tsn, expected in [
        (9, [(10, 10)]),
        (5, [(6, 6), (10, 10)]),
        (8, [(6, 6), (9, 10)]),
        (6, [(6, 7), (9, 10)]),
        (7, [(6, 10)]),
        (2, [(3, 3), (6, 10)]),
        (12, [(3, 3), (6, 10), (13, 13)]),
    ]:
        peer.send(peer.data(tsn=tsn, flags=B | E | U))
        assert peer.acknowledged()[2] == expected


def test_rfc9260_6_6_ordered_messages_wait_for_their_turn_other_streams_do_not():
    peer = RawPeer()
    peer.send(peer.data(b"b", ssn=1, tsn=1))
    peer.send(peer.data(b"other", stream=7, tsn=2))
    peer.send(peer.data(b"unordered", ssn=0, tsn=3, flags=B | E | U))
    assert peer.messages() == [(7, b"other"), (0, b"unordered")]
    peer.send(peer.data(b"a", ssn=0, tsn=0))
    assert peer.messages() == [(0, b"a"), (0, b"b")]


def test_rfc9260_6_9_fragments_are_joined_in_any_order_of_arrival():
    fragments = [(B, b"one "), (0, b"two "), (0, b"three "), (E, b"four")]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [0, 3, 1, 2], [2, 1, 3, 0]):
        peer = RawPeer()
        for tsn in order:
            flags, payload = fragments[tsn]
            peer.send(peer.data(payload, tsn=tsn, flags=flags, ppid=53))
        assert peer.events() == [MessageReceived(0, 53, b"one two three four")]
        assert peer.acknowledged()[:3] == (3, 4 * 1024 * 1024, [])


def test_rfc9260_6_9_a_message_complete_beyond_a_gap_is_delivered():
    peer = RawPeer()
    peer.send(peer.data(b"2", tsn=3, flags=E, stream=5))
    peer.send(peer.data(b"1", tsn=2, flags=B, stream=5))
    assert peer.messages() == [(5, b"12")]
    peer.send(peer.data(b"x", tsn=0))
    peer.send(peer.data(b"y", tsn=1, ssn=1))
    assert peer.messages() == [(0, b"x"), (0, b"y")]
    assert peer.acknowledged()[0] == 3


def test_several_messages_bundled_in_one_packet():
    peer = RawPeer()
    peer.send(*[peer.data(bytes([n]) * n, ssn=n - 1) for n in range(1, 6)])
    assert peer.messages() == [(0, bytes([n]) * n) for n in range(1, 6)]


def test_tsns_and_ssns_wrap():
    init = wire.Init(TAG, 10**6, 9, 9, 0xFFFFFFFE, forward_tsn=True)
    peer = RawPeer(init=init)
    peer.tsn = 0xFFFFFFFE
    for number in range(70_000):
        peer.send(peer.data(b"%d" % number, ssn=number & 0xFFFF))
        if number % 1000 == 0:
            peer.chunks()
        assert peer.messages() == [(0, b"%d" % number)]
    value = [v for k, _, v in peer.chunks() if k == wire.SACK][-1]
    assert struct.unpack_from("!L", value)[0] == 0xFFFFFFFE + 69_999 & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("chunks", "reason"),
    [
        ([(0, b"middle", 0)], "fragment-without-begin"),
        ([(B, b"one", 0), (E, b"other ssn", 1)], "fragment-without-begin"),
        ([(B, b"one", 0), (B | E, b"new", 0)], "message-without-end"),
        ([(B | E, b"one", 0), (B | E, b"again", 0)], "old-ssn"),
        ([(B | E, b"two", 1), (B | E, b"again", 1)], "old-ssn"),
    ],
)
def test_fragments_that_do_not_belong_together_are_dropped(chunks, reason):
    peer = RawPeer()
    for flags, payload, ssn in chunks:
        peer.send(peer.data(payload, flags=flags, ssn=ssn))
    assert peer.a.dropped == {reason: 1}


def test_rfc9260_6_2_no_user_data_is_answered_by_abort():
    peer = RawPeer()
    peer.send(peer.data(b""))
    assert peer.events() == [Closed(PeerError("sctp", "no-user-data"))]
    ((kind, _, value),) = peer.one_packet()
    assert (kind, value) == (wire.ABORT, struct.pack("!HHL", wire.CAUSE_NO_USER_DATA, 8, TSN))


def test_rfc9260_6_5_an_invalid_stream_is_reported_and_its_tsn_counts():
    peer = RawPeer(streams=10)
    peer.send(peer.data(b"x", stream=10), peer.data(b"y", stream=9))
    chunks = peer.chunks()
    assert [value for kind, _, value in chunks if kind == wire.ERROR] == [struct.pack("!HHHH", 1, 8, 10, 0)]
    assert peer.messages() == [(9, b"y")]
    assert peer.a.dropped == {"invalid-stream": 1}


@pytest.mark.parametrize(("kind", "goes_on", "reported"), [(0x3F, 0, 0), (0x7F, 0, 1), (0xBF, 1, 0), (0xFF, 1, 1)])
def test_rfc9260_3_2_high_bits_of_an_unknown_chunk_decide(kind, goes_on, reported):
    peer = RawPeer()
    peer.send(wire.serialize_chunk(kind, 0, b"what"), peer.data(b"after"))
    assert len(peer.messages()) == goes_on
    assert peer.kinds().count(wire.ERROR) == reported
    assert peer.a.dropped == {"unknown-chunk": 1}


@pytest.mark.parametrize(
    ("tail", "reason"),
    [(b"\0\3\0\3", "bad-chunk-length"), (b"\0\3\0\x40", "bad-chunk-length"), (b"\0\3", "truncated")],
)
def test_what_is_good_before_a_malformed_chunk_is_used(tail, reason):
    peer = RawPeer()
    peer.send(peer.data(b"good"), tail)
    assert peer.messages() == [(0, b"good")]
    assert peer.a.dropped == {reason: 1}


def test_rfc9260_6_2_the_window_closes_while_nobody_takes_messages_and_opens_again():
    peer = RawPeer(max_message_size=2000)
    peer.a._inbound._limit, peer.a._inbound._limit_behind_gap = 20_000, 18_000
    for ssn in range(30):
        peer.send(peer.data(bytes(1000), ssn=ssn))
    assert peer.acknowledged()[1] == 0
    assert peer.a.dropped["receive-window-full"] > 0
    assert len(peer.messages()) == 19
    assert peer.a.next_timer() == pytest.approx(peer.now + 0.001)  # a window update
    (sack,) = peer.skip(0.001)
    assert struct.unpack_from("!LL", sack[2])[1] == 20_000


def test_rfc9260_6_2_what_fills_a_gap_is_taken_though_the_buffer_behind_it_is_full():
    peer = RawPeer(max_message_size=5_000)
    peer.a._inbound._limit, peer.a._inbound._limit_behind_gap = 20_000, 15_000
    for tsn in range(1, 40):
        peer.send(peer.data(bytes(1000), tsn=tsn, ssn=tsn))
    assert peer.a.dropped == {"receive-window-full": 25}
    peer.send(peer.data(bytes(1000), tsn=0))
    assert len(peer.messages()) == 15


# RFC 3758


def forward(peer, tsn, *pairs):
    return wire.serialize_forward_tsn(TSN + tsn, pairs)


def test_rfc3758_3_6_forward_tsn_skips_a_message():
    peer = RawPeer()
    peer.send(peer.data(b"next", tsn=1, ssn=1))
    assert peer.messages() == []
    peer.send(forward(peer, 0, (0, 0)))
    assert peer.messages() == [(0, b"next")]
    assert peer.acknowledged()[0] == 1


def test_rfc3758_3_6_forward_tsn_forgets_fragments():
    peer = RawPeer()
    peer.send(peer.data(b"begin", tsn=0, flags=B))
    peer.send(peer.data(b"mid", tsn=2, flags=0), peer.data(b"far", tsn=4, flags=0))
    peer.send(forward(peer, 3, (0, 0)))
    peer.send(forward(peer, 4))
    peer.send(peer.data(b"whole", tsn=5, ssn=1))
    assert peer.messages() == [(0, b"whole")]
    assert peer.acknowledged()[:3] == (5, 4 * 1024 * 1024, [])


def test_rfc3758_3_6_forward_tsn_delivers_what_waited_before_the_skipped_ssn():
    peer = RawPeer()
    peer.send(*[peer.data(bytes([n]), tsn=n, ssn=n) for n in (1, 2, 4)])
    peer.send(forward(peer, 3, (0, 3)))
    assert peer.messages() == [(0, b"\1"), (0, b"\2"), (0, b"\4")]


def test_rfc3758_3_6_an_old_forward_tsn_is_only_acknowledged():
    peer = RawPeer()
    peer.send(peer.data(b"x"), peer.data(b"y", ssn=1))
    peer.chunks()
    peer.send(forward(peer, 0, (0, 5)))
    assert peer.acknowledged()[0] == 1
    peer.send(peer.data(b"z", ssn=2))
    assert [data for _, data in peer.messages()] == [b"x", b"y", b"z"]


def test_rfc3758_3_6_a_forward_tsn_far_ahead_costs_nothing():
    peer = RawPeer()
    peer.send(peer.data(b"x", tsn=5))
    peer.send(forward(peer, 2**31 - 5))
    assert peer.messages() == [(0, b"x")]  # whole before it was given up
    assert peer.acknowledged()[1:3] == (4 * 1024 * 1024, [])
    assert not peer.a._inbound._store
