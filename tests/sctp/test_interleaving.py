"""I-DATA, I-FORWARD-TSN and the scheduler that uses them (RFC 8260)."""

import random
import struct

import pytest

from stack.core import PeerError
from stack.sctp import Closed, MessageReceived, wire
from stack.sctp.handshake import Cookie, Peer, parse_cookie, serialize_cookie
from stack.testing import Conditions

from .support import TAG, TSN, B, E, RawPeer, U, connected

STEP = 1128  # user data of a full packet
BOTH = b"\x82\xc0\x40\xc2"


def interleaving(*, extensions=BOTH, a_rwnd=1_000_000, **settings):
    """A peer that supports I-DATA."""
    init = wire.Init(TAG, a_rwnd, 65535, 65535, TSN, forward_tsn=True, extensions=extensions)
    return RawPeer(init=init, **settings)


def i_data(peer):
    """Drain; (tsn, stream, mid, flags without I, last word, size) of each I-DATA chunk."""
    found = []
    for kind, flags, value in peer.chunks():
        assert kind != wire.DATA
        if kind == wire.I_DATA:
            tsn, stream, reserved, mid, word = struct.unpack_from("!LHHLL", value)
            assert reserved == 0
            found.append((tsn - peer.peer_tsn & 0xFFFFFFFF, stream, mid, flags & 7, word, len(value) - 16))
    return found


def open_window(peer):
    """Let the congestion window be no limit."""
    peer.a._outbound.congestion.cwnd = 1 << 24
    return peer


def messages(events):
    return [(e.stream_id, e.data) for e in events if isinstance(e, MessageReceived)]


# Negotiation


@pytest.mark.parametrize(("ours", "extensions", "kind"), [
    (True, BOTH, wire.I_DATA),
    (True, b"\x82\xc0", wire.DATA),
    (False, BOTH, wire.DATA),
])  # fmt: skip
def test_rfc8260_2_2_1_i_data_is_used_if_both_support_it(ours, extensions, kind):
    peer = interleaving(extensions=extensions, interleaving=ours)
    peer.a.send(0, 51, b"x", peer.now)
    assert peer.kinds() == [kind]


def test_rfc8260_2_2_1_two_associations_agree_whoever_associates():
    for a, b, kind in ((True, True, wire.I_DATA), (True, False, wire.DATA), (False, True, wire.DATA)):
        link = connected(a={"interleaving": a}, b={"interleaving": b}, keep_trace=True)
        for machine in link.machines:
            machine.send(0, 51, b"x", link.now)
        link.run(seconds=0.1)
        kinds = {k for _, _, data in link.trace for k, _, _ in wire.chunks_of(data)}
        assert kinds & {wire.DATA, wire.I_DATA} == {kind}


def test_the_cookie_remembers_it():
    peer = Peer(1, 2, 3, 4, 5, forward_tsn=True, reconfig=False, interleaving=True)
    assert parse_cookie(serialize_cookie(Cookie(1.0, 2, 3, 4, 5, peer), b"key"), b"key").peer == peer


@pytest.mark.parametrize("extensions", [BOTH, b"\x82\xc0"])
def test_rfc8260_2_2_3_the_other_kind_of_data_is_a_protocol_violation(extensions):
    peer = interleaving(extensions=extensions)
    peer.send(peer.data() if extensions == BOTH else peer.i_data())
    assert peer.events() == [Closed(PeerError("sctp", "wrong-kind-of-data"))]
    ((kind, _, value),) = peer.chunks()
    assert (kind, struct.unpack_from("!H", value)[0]) == (wire.ABORT, wire.CAUSE_PROTOCOL_VIOLATION)


@pytest.mark.parametrize("extensions", [BOTH, b"\x82\xc0"])
def test_rfc8260_2_3_1_the_other_kind_of_forward_tsn_is_a_protocol_violation(extensions):
    peer = interleaving(extensions=extensions)
    wrong = wire.serialize_forward_tsn(TSN, []) if extensions == BOTH else wire.serialize_i_forward_tsn(TSN, [])
    peer.send(wrong)
    assert peer.events() == [Closed(PeerError("sctp", "wrong-kind-of-data"))]


# Sending


def test_rfc8260_2_1_fragments_have_a_message_identifier_and_a_number():
    peer = interleaving()
    peer.a.send(3, 53, bytes(2 * STEP + 10), peer.now)
    packets = peer.a.datagrams_to_send(peer.now)
    assert [len(p) for p in packets] == [1160, 1160, 44]
    peer.a.send(3, 53, b"x", peer.now)
    peer.a.send(3, 51, b"y", peer.now, ordered=False)
    assert i_data(peer) == [(3, 3, 1, B | E, 53, 1), (4, 3, 0, B | E | U, 51, 1)]  # both kinds count for themselves
    values = [wire.chunks_of(p)[0][2] for p in packets]
    assert [struct.unpack_from("!HHLL", v, 4) for v in values] == [(3, 0, 0, 53), (3, 0, 0, 1), (3, 0, 0, 2)]


def test_rfc8260_3_6_streams_take_turns_packet_by_packet():
    peer = interleaving()
    peer.a.send(1, 51, bytes(4 * STEP), peer.now)
    peer.a.send(2, 51, bytes(4 * STEP), peer.now)
    assert [chunk[1] for chunk in i_data(peer)] == [1, 2] * 4


def test_rfc8260_3_6_a_stream_that_is_alone_is_not_interrupted_by_its_own_messages():
    peer = interleaving()
    for _ in range(2):
        peer.a.send(1, 51, bytes(3 * STEP), peer.now)
    assert [(mid, word) for _, _, mid, _, word, _ in i_data(peer)] == [(0, 51), (0, 1), (0, 2), (1, 51), (1, 1), (1, 2)]


def test_rfc8260_3_6_a_small_message_does_not_wait_for_a_fragment_train():
    peer = interleaving()
    peer.a.send(1, 51, bytes(100 * STEP), peer.now)
    assert len(i_data(peer)) == 10
    peer.a.send(2, 51, b"stop", peer.now)
    peer.send(peer.sack(1))
    assert next(chunk[1] for chunk in i_data(peer)) == 2


def test_rfc8260_3_6_weights_divide_the_bytes_of_large_messages():
    link = connected(Conditions(delay=0.01, rate=10_000_000, queue=60_000))
    a = link.machines[0]
    for stream, priority in ((1, 128), (2, 256), (3, 512), (4, 1024)):
        for _ in range(12):
            a.send(stream, 51, bytes(200_000), link.now, priority=priority)
    link.run(seconds=2.5)
    sent = [12 * 200_000 - a.buffered_amount(stream) for stream in (1, 2, 3, 4)]
    assert a.buffered_amount(4) > 0
    assert [bytes_ / sent[0] for bytes_ in sent] == pytest.approx([1, 2, 4, 8], rel=0.05)


@pytest.mark.parametrize("interleaved", [True, False])
def test_latency_of_a_control_message_beside_a_file(interleaved):
    settings = {"interleaving": interleaved}
    link = connected(Conditions(delay=0.02, rate=2_000_000, queue=10_000), a=settings, b=settings)
    a = link.machines[0]
    for _ in range(20):
        a.send(1, 53, bytes(256_000), link.now)
    link.run(seconds=2)
    delays = []
    for _ in range(10):
        a.send(2, 51, bytes(20), start := link.now, ordered=False)
        assert link.run(lambda: any(stream == 2 for stream, _ in messages(link.events[1])), seconds=30)
        link.events[1].clear()
        delays.append(link.now - start)
        link.run(seconds=0.3)
    if interleaved:
        assert max(delays) < 0.02 + 0.04 + 0.12  # the link, its queue, and a loss at most
    else:
        assert max(delays) > 0.3  # the rest of a message of 256 kB


def test_what_was_begun_may_fill_half_the_peers_buffer_and_then_one_goes_on_alone():
    peer = open_window(interleaving(a_rwnd=40_000))
    for stream in range(5):
        peer.a.send(stream, 51, bytes(15_000), peer.now)
    seen = []
    sent = 0
    while chunks := i_data(peer):
        seen += [chunk[1] for chunk in chunks]
        sent += len(chunks)
        peer.send(peer.sack(sent, rwnd=40_000))
    counts = {stream: seen.count(stream) for stream in range(5)}
    assert counts == dict.fromkeys(range(5), 14)
    begun, most = set(), 0
    for at, stream in enumerate(seen):
        begun.add(stream)
        if stream not in seen[at + 1 :]:
            begun.discard(stream)
        most = max(most, len(begun))
    assert most == 2


# Receiving


def test_rfc8260_2_2_3_messages_are_put_together_by_their_own_numbers():
    peer = interleaving()
    peer.send(
        peer.i_data(b"a0", stream=1, flags=B, ppid=53),
        peer.i_data(b"b0", stream=2, flags=B),
        peer.i_data(b"a1", stream=1, fsn=1, flags=0),
        peer.i_data(b"whole", stream=3),
        peer.i_data(b"b1", stream=2, fsn=1, flags=E),
        peer.i_data(b"a2", stream=1, fsn=2, flags=E),
    )
    assert peer.events() == [
        MessageReceived(3, 51, b"whole"),
        MessageReceived(2, 51, b"b0b1"),
        MessageReceived(1, 53, b"a0a1a2"),
    ]
    assert peer.a._inbound.held == 0


def test_rfc8260_2_2_3_a_message_is_complete_in_whatever_order_its_fragments_come():
    rng = random.Random(1)
    for _ in range(30):
        peer = interleaving()
        chunks = [
            peer.i_data(b"%d" % n, stream=s, mid=m, fsn=n, flags=B * (n == 0) | E * (n == 4) | U * (s == 2))
            for m in range(2)
            for n in range(5)
            for s in (1, 2)
        ]
        rng.shuffle(chunks)
        for chunk in chunks:
            peer.send(chunk)
        found = peer.messages()
        assert sorted(found) == [(1, b"01234")] * 2 + [(2, b"01234")] * 2
        inbound = peer.a._inbound
        assert (inbound.held, inbound._reassembly.held, len(inbound._reassembly), inbound.has_gap) == (0, 0, 0, False)
        assert peer.acknowledged()[0] == 19


def test_rfc8260_2_2_3_order_is_that_of_the_message_identifiers_and_they_have_32_bits():
    peer = interleaving()
    peer.a._inbound._streams.clear()
    peer.send(peer.i_data(b"2", mid=2), peer.i_data(b"1", mid=1), peer.i_data(b"now", mid=7, flags=B | E | U))
    assert peer.messages() == [(0, b"now")]
    peer.send(peer.i_data(b"0", mid=0))
    assert peer.messages() == [(0, b"0"), (0, b"1"), (0, b"2")]
    peer.a._inbound._streams[0].next_ssn = 0xFFFFFFFF
    peer.send(peer.i_data(b"next", mid=0), peer.i_data(b"last", mid=0xFFFFFFFF))
    assert peer.messages() == [(0, b"last"), (0, b"next")]


def test_fragments_that_contradict_each_other_are_dropped():
    peer = interleaving()
    peer.send(peer.i_data(b"0", flags=0, fsn=0))  # the first without B
    peer.send(peer.i_data(b"0", flags=B), peer.i_data(b"0", flags=B))  # the first twice
    peer.send(peer.i_data(b"3", flags=E, fsn=3), peer.i_data(b"4", flags=0, fsn=4))  # behind the last
    peer.send(peer.i_data(b"2", flags=E, fsn=2))  # another last
    assert peer.a.dropped == {"bad-fragment": 4}
    peer.send(peer.i_data(b"9", flags=0, fsn=9, mid=5), peer.i_data(b"1", flags=E, fsn=1, mid=5))
    assert peer.a.dropped == {"bad-fragment": 5}  # a last one, and there is one beyond it
    assert len(peer.a._inbound._reassembly) == 2
    assert peer.messages() == []


def test_a_short_or_empty_i_data_chunk():
    peer = interleaving()
    peer.send(wire.serialize_chunk(wire.I_DATA, B | E, bytes(15)))
    assert peer.a.dropped == {"truncated": 1}
    peer.send(peer.i_data(b""))
    assert peer.events() == [Closed(PeerError("sctp", "no-user-data"))]


def test_i_data_for_a_stream_that_is_none_is_reported():
    peer = interleaving(inbound_streams=4)
    peer.send(peer.i_data(stream=4))
    assert peer.a.dropped == {"invalid-stream": 1}
    assert wire.ERROR in peer.kinds()


# Partial reliability and resets


def test_rfc8260_2_3_1_what_is_given_up_is_told_by_i_forward_tsn():
    peer = interleaving()
    peer.a.send(4, 51, bytes(2 * STEP), peer.now, max_retransmits=0)
    peer.a.send(5, 51, bytes(10), peer.now, max_retransmits=0, ordered=False)
    peer.chunks()
    chunks = peer.skip(0.5)
    ((kind, _, value),) = chunks
    assert kind == wire.I_FORWARD_TSN
    tsn, skipped = wire.parse_i_forward_tsn(value, 0, len(value))
    assert (tsn - peer.peer_tsn & 0xFFFFFFFF, skipped) == (2, [(4, False, 0), (5, True, 0)])


def test_rfc8260_2_3_1_a_message_that_is_given_up_among_others_takes_none_of_them_along():
    peer = open_window(interleaving())
    peer.a.send(1, 51, bytes(20 * STEP), peer.now)
    peer.a.send(2, 51, bytes(20 * STEP), peer.now, lifetime=0.1)
    first = i_data(peer)
    assert {chunk[1] for chunk in first} == {1, 2}
    peer.skip(0.45)
    rest = peer.skip(1.0)
    assert peer.a.stats.abandoned == 1
    streams = {struct.unpack_from("!H", value, 4)[0] for kind, _, value in rest if kind == wire.I_DATA}
    assert streams <= {1}


def test_rfc8260_2_3_1_a_skipped_message_is_forgotten():
    peer = interleaving()
    peer.send(peer.i_data(b"0", flags=B, stream=1), peer.i_data(b"u", flags=B | U, stream=1, mid=3))
    peer.send(peer.i_data(b"next", stream=1, mid=1), peer.i_data(b"kept", flags=B | U, stream=1, mid=4))
    assert peer.messages() == []
    peer.send(wire.serialize_i_forward_tsn(TSN + 4, [(1, False, 0), (1, True, 3), (70, False, 1)]))
    assert peer.messages() == [(1, b"next")]
    inbound = peer.a._inbound
    assert (len(inbound._reassembly), inbound.cumulative_tsn & 0xFFFFFFFF) == (1, TSN + 4)
    peer.send(peer.i_data(b"late", flags=E, fsn=1, stream=1, mid=0, tsn=5))
    assert peer.a.dropped == {"old-ssn": 1}
    peer.send(peer.i_data(b"!", flags=E | U, fsn=1, stream=1, mid=4, tsn=6))
    assert peer.messages() == [(1, b"kept!")]
    assert (inbound.held, inbound._reassembly.held) == (0, 0)


def test_rfc8260_2_3_1_a_late_fragment_of_a_skipped_unordered_message_is_not_kept():
    peer = interleaving()
    peer.send(wire.serialize_i_forward_tsn(TSN, [(1, True, 0)]))  # its first fragment was lost
    peer.send(peer.i_data(b"late", stream=1, mid=0, fsn=1, flags=E | U, tsn=1))
    assert peer.a.dropped == {"old-ssn": 1}
    assert peer.a._inbound._reassembly.held == 0
    peer.send(peer.i_data(b"ne", stream=1, mid=1, flags=B | U, tsn=2))
    peer.send(peer.i_data(b"xt", stream=1, mid=1, fsn=1, flags=E | U, tsn=3))
    assert peer.messages() == [(1, b"next")]


def test_rfc8260_2_3_2_a_reset_sets_both_message_identifiers_to_zero():
    link = connected()
    a = link.machines[0]
    for ordered in (True, False):
        a.send(1, 51, b"before", link.now, ordered=ordered)
    a.reset_streams([1], link.now)
    link.run(seconds=1)
    stream = a._outbound.scheduler.stream(1)
    assert (stream.next_ssn, stream.next_unordered) == (0, 0)
    a.send(1, 51, b"after", link.now)
    link.run(seconds=1)
    assert messages(link.events[1])[-1] == (1, b"after")


# Limits


def test_unfinished_messages_do_not_close_the_window():
    peer = interleaving(a_rwnd=1_000_000)
    for stream in range(10):
        peer.send(peer.i_data(bytes(1000), stream=stream, flags=B))
    assert peer.acknowledged()[1] == 4 * 1024 * 1024
    for _ in range(2):
        peer.send(peer.i_data(bytes(1000), stream=11, flags=B | E | U))
    assert peer.acknowledged()[1] < 4 * 1024 * 1024


@pytest.mark.parametrize("seed", range(4))
def test_many_large_messages_at_once_through_a_small_window(seed):
    settings = {"a_rwnd": 120_000, "max_message_size": 100_000}
    link = connected(Conditions(delay=0.01, loss=0.03), a=settings, b=settings, seed=seed)
    sizes = dict.fromkeys(range(12), 90000)
    for stream, size in sizes.items():
        link.machines[0].send(stream, 51, bytes(size), link.now)
    assert link.run(lambda: len(messages(link.events[1])) == 12, seconds=120)
    assert {stream: len(data) for stream, data in messages(link.events[1])} == sizes
