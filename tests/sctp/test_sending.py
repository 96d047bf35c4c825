import struct

import pytest

from stack.core import LocalError, PeerError
from stack.sctp import Closed, wire
from stack.sctp.congestion import Reno
from stack.sctp.gaps import subtract
from stack.sctp.rto import RetransmissionTimeout
from stack.testing import Conditions

from .support import B, E, I, RawPeer, U, connected

FULL = 1132  # user data of a full packet


def data_chunks(peer):
    """Drain; (tsn, stream, ssn, ppid, flags, size) of each DATA chunk."""
    found = []
    for kind, flags, value in peer.chunks():
        if kind == wire.DATA:
            tsn, stream, ssn, ppid = struct.unpack_from("!LHHL", value)
            found.append((tsn - peer.peer_tsn & 0xFFFFFFFF, stream, ssn, ppid, flags, len(value) - 12))
    return found


def send(peer, size=100, stream=0, **options):
    peer.a.send(stream, 51, bytes(size), peer.now, **options)


# Fragmentation and bundling


def test_rfc9260_6_9_a_message_is_fragmented_into_full_packets():
    peer = RawPeer()
    peer.a.send(3, 53, bytes(2 * FULL + 10), peer.now)
    packets = peer.a.datagrams_to_send(peer.now)
    assert [len(p) for p in packets] == [1160, 1160, 40]
    send(peer)
    values = [wire.chunks_of(p)[0] for p in packets]
    assert [(flags, struct.unpack_from("!LHHL", v)[1:]) for _, flags, v in values] == [
        (B, (3, 0, 53)),
        (0, (3, 0, 53)),
        (E | I, (3, 0, 53)),
    ]


def test_rfc9260_6_10_small_messages_share_a_packet():
    peer = RawPeer()
    for _ in range(12):
        send(peer, 99)
    packets = peer.packets()
    assert [len(p) for p in packets] == [9, 3]


def test_rfc9260_6_6_unordered_messages_take_no_sequence_number():
    peer = RawPeer()
    send(peer)
    send(peer, ordered=False)
    send(peer)
    assert [(ssn, flags & U) for _, _, ssn, _, flags, _ in data_chunks(peer)] == [(0, 0), (0, U), (1, 0)]


def test_rfc9260_6_2_the_last_chunk_of_a_drain_asks_for_its_sack():
    peer = RawPeer()
    for _ in range(3):
        send(peer, 3000)
    flags = [chunk[4] & I for chunk in data_chunks(peer)]
    assert flags == [0] * 8 + [I]


def test_a_small_message_does_not_wait_for_a_bulk_stream():
    peer = RawPeer()
    for _ in range(50):
        send(peer, 16384, stream=1)
    peer.chunks()
    send(peer, 10, stream=2)
    streams = []
    sent = 10
    while 2 not in streams:
        peer.send(peer.sack(sent))
        streams += [chunk[1] for chunk in data_chunks(peer)]
        sent += len(streams) - (sent - 10)
    assert len(streams) <= 2 * 15 + 1  # the message that is on the wire is finished, then it is its turn


def test_rfc8831_6_4_priorities_are_weights():
    link = connected()
    for stream, priority in ((1, 128), (2, 256), (3, 512)):
        for _ in range(300):
            link.machines[0].send(stream, 51, bytes(1000), link.now, priority=priority)
    link.run(lambda: len(link.events[1]) >= 350, seconds=60)
    first = [e.stream_id for e in link.events[1][:350]]
    assert [first.count(n) for n in (1, 2, 3)] == pytest.approx([50, 100, 200], abs=5)


# Windows


def test_rfc9260_7_2_1_the_initial_window_is_ten_packets_and_slow_start_doubles():
    peer = RawPeer()
    for _ in range(20):
        send(peer, 16384)
    assert len(peer.sent_tsns()) == 10
    peer.send(peer.sack(10))
    assert 19 <= len(peer.sent_tsns()) <= 21


def test_rfc9260_7_2_1_the_window_grows_only_when_it_was_the_limit():
    peer = RawPeer()
    for sent in range(1, 50):
        send(peer, 1000)
        peer.chunks()
        peer.send(peer.sack(sent))
    assert peer.a.cwnd == 10 * FULL


def test_rfc9260_6_1_a_the_peers_window_is_respected_and_probed():
    peer = RawPeer(a_rwnd=3000)
    send(peer, 16384)
    assert len(peer.sent_tsns()) == 2
    peer.send(peer.sack(2, rwnd=0))
    assert peer.sent_tsns() == [2]  # the probe
    peer.send(peer.sack(2, rwnd=0))
    assert peer.sent_tsns() == []
    for _ in range(30):
        chunks = peer.skip(peer.a.rto)
        assert [k for k, _, _ in chunks] in ([wire.DATA], [wire.DATA, wire.HEARTBEAT], [wire.HEARTBEAT, wire.DATA], [])
        peer.send(peer.sack(2, rwnd=0))
    assert peer.events() == []  # section 6.1 A: it is no error while the peer answers
    peer.send(peer.sack(3, rwnd=100_000))
    assert peer.sent_tsns() != []


def test_rfc9260_7_2_1_an_idle_window_decays():
    peer = RawPeer()
    send(peer, 16384)
    sent = 0
    while new := len(peer.sent_tsns()):
        sent += new
        peer.send(peer.sack(sent))
    assert peer.a.cwnd > 10 * FULL
    peer.skip(5)
    send(peer, 10)
    peer.chunks()
    assert peer.a.cwnd == 4 * FULL


# Acknowledgement and loss


def test_rfc9260_6_3_1_round_trips_are_measured_and_not_of_retransmissions():
    peer = RawPeer()
    send(peer)
    peer.chunks()
    peer.now += 0.3
    peer.send(peer.sack(1))
    assert (peer.a.srtt, peer.a.rto) == (pytest.approx(0.3), pytest.approx(0.9))
    send(peer)
    peer.chunks()
    peer.skip(0.61)  # the probe
    peer.skip(0.91)  # T3
    peer.now += 0.1
    peer.send(peer.sack(2))
    assert peer.a.srtt == pytest.approx(0.3)
    assert peer.a.rto == pytest.approx(1.8)  # section 6.3.3 E2, until the next measurement


def test_rfc9260_6_3_1_formulas():
    rto = RetransmissionTimeout(0.5, 0.2, 10.0)
    rto.update(1.0)
    assert (rto.srtt, rto.rto) == (1.0, 3.0)
    rto.update(2.0)
    assert rto.srtt == pytest.approx(1.125)
    assert rto.rto == pytest.approx(1.125 + 4 * (0.75 * 0.5 + 0.25 * 1.0))
    for _ in range(10):
        rto.back_off()
    assert rto.rto == 10.0
    for _ in range(100):
        rto.update(0.001)
    assert rto.rto == 0.2


def test_rfc9260_6_3_3_t3_retransmits_one_packet_and_the_rest_as_acknowledgements_come():
    peer = RawPeer()
    send(peer, 5 * FULL)
    assert peer.sent_tsns() == [0, 1, 2, 3, 4]
    assert peer.a.next_timer() == peer.now + 0.5
    chunks = peer.skip(0.5)
    assert len(chunks) == 1
    assert peer.a.cwnd == FULL
    assert peer.a.stats.timeouts == 1
    peer.send(peer.sack(1))
    assert peer.sent_tsns() == [1, 2]
    peer.send(peer.sack(5))
    assert peer.sent_tsns() == []
    assert peer.a.outstanding_bytes == 0
    assert peer.a.next_timer() > peer.now + 20  # only the heartbeat is left


def test_rfc9260_6_3_2_t3_restarts_when_the_ack_point_advances():
    peer = RawPeer()
    send(peer, 3 * FULL)
    peer.chunks()
    peer.now += 0.4
    peer.send(peer.sack(1))
    assert peer.now + peer.a.rto == peer.a._timers.deadline("T3")


def test_rfc9260_7_2_4_fast_retransmit_after_three_packets_beyond_the_gap():
    peer = RawPeer()
    send(peer, 10 * FULL)
    peer.chunks()
    window = peer.a.cwnd
    for end in (2, 3):
        peer.send(peer.sack(0, gaps=[(2, end)]))
        assert 0 not in peer.sent_tsns()
    peer.send(peer.sack(0, gaps=[(2, 4)]))
    assert peer.sent_tsns()[0] == 0
    assert (peer.a.ssthresh, peer.a.cwnd) == (window // 2, window // 2)
    assert peer.a.stats.fast_retransmits == 1
    peer.send(peer.sack(0, gaps=[(2, 10)]))
    assert peer.a.cwnd == window // 2  # once per flight


def test_section_7_2_4_a_sack_for_many_packets_counts_as_many():
    peer = RawPeer()
    send(peer, 10 * FULL)
    peer.chunks()
    peer.send(peer.sack(3, gaps=[(2, 5)]))  # TSN 3 is missing, 4..7 arrived
    assert peer.sent_tsns() == [3]


def test_a_lost_retransmission_is_found_without_a_timeout():
    peer = RawPeer()
    send(peer, 100 * FULL)
    peer.chunks()
    peer.send(peer.sack(0, gaps=[(2, 10)]))
    resent = peer.sent_tsns()
    assert resent[0] == 0
    new = [tsn for tsn in resent if tsn >= 10]
    assert len(new) >= 3
    peer.send(peer.sack(0, gaps=[(2, new[-1] + 1)]))
    assert 0 in peer.sent_tsns()
    assert peer.a.stats.timeouts == 0


def test_rfc9260_6_2_1_reneged_chunks_are_retransmitted_in_the_end():
    peer = RawPeer()
    send(peer, 3 * FULL)
    peer.chunks()
    peer.send(peer.sack(0, gaps=[(2, 3)]))
    assert peer.a.outstanding_bytes == FULL + 16
    peer.send(peer.sack(0, gaps=[(3, 3)]))
    assert peer.a.outstanding_bytes == 2 * (FULL + 16)
    peer.skip(0.6)
    peer.send(peer.sack(1))
    assert 1 in peer.sent_tsns()


def test_t3_does_not_believe_gap_blocks_when_nothing_else_is_missing():
    peer = RawPeer()
    send(peer, 2 * FULL)
    peer.chunks()
    peer.send(peer.sack(0, gaps=[(1, 2)]))  # nonsense: the first would have advanced the ack point
    assert peer.a.outstanding_bytes == 0
    assert wire.DATA in [kind for kind, _, _ in peer.skip(0.6)]


@pytest.mark.parametrize(("sent", "reason"), [(0, "stale-sack"), (5, "sack-beyond-sent")])
def test_rfc9260_6_2_1_impossible_sacks_are_dropped(sent, reason):
    peer = RawPeer()
    send(peer, 2 * FULL)
    peer.chunks()
    peer.send(peer.sack(1))
    peer.send(peer.sack(sent))
    assert peer.a.dropped == {reason: 1}
    assert peer.a.outstanding_bytes == FULL + 16


def test_unsorted_overlapping_and_endless_gap_blocks_do_no_harm():
    peer = RawPeer()
    send(peer, 6 * FULL)
    peer.chunks()
    peer.send(peer.sack(0, gaps=[(4, 2), (3, 4), (2, 5), (4, 65535), (0, 1)]))
    assert peer.sent_tsns() == [0, 1]
    assert peer.a.outstanding_bytes == 2 * (FULL + 16)
    peer.send(peer.sack(6))
    assert peer.a.outstanding_bytes == 0


def test_a_sack_that_is_cut_is_dropped():
    peer = RawPeer()
    chunk = peer.sack(0, gaps=[(2, 2)])
    peer.send(wire.serialize_chunk(wire.SACK, 0, chunk[4:-4]))
    peer.send(wire.serialize_chunk(wire.SACK, 0, chunk[4:12]))
    assert peer.a.dropped == {"truncated": 2}


def test_rfc9260_8_1_a_silent_peer_is_given_up():
    peer = RawPeer()
    send(peer)
    peer.chunks()
    peer.skip(200)
    assert peer.events() == [Closed(PeerError("sctp", "peer-unreachable"))]
    assert peer.a.next_timer() is None


def test_ranges_are_subtracted():
    assert subtract([(1, 10)], []) == [(1, 10)]
    assert subtract([(1, 10)], [(3, 4), (6, 6)]) == [(1, 2), (5, 5), (7, 10)]
    assert subtract([(1, 2), (5, 9)], [(2, 5), (9, 20)]) == [(1, 1), (6, 8)]
    assert subtract([(5, 6)], [(1, 9)]) == []
    assert subtract([(1, 3), (7, 9)], [(4, 6)]) == [(1, 3), (7, 9)]


# Partial reliability (RFC 3758, RFC 7496)


def forward_tsns(peer, chunks):
    found = []
    for kind, _, value in chunks:
        if kind == wire.FORWARD_TSN:
            tsn, pairs = wire.parse_forward_tsn(value, 0, len(value))
            found.append((tsn - peer.peer_tsn, pairs))
    return found


def test_rfc7496_3_2_no_retransmission_but_a_forward_tsn():
    peer = RawPeer()
    send(peer, 2 * FULL, stream=4, max_retransmits=0)
    peer.chunks()
    chunks = peer.skip(0.5)
    assert forward_tsns(peer, chunks) == [(1, [(4, 0)])]
    assert wire.DATA not in [kind for kind, _, _ in chunks]
    assert peer.a.stats.abandoned == 1
    peer.send(peer.sack(2))
    assert peer.a.next_timer() > peer.now + 20


def test_rfc7496_3_2_limited_retransmissions():
    peer = RawPeer()
    send(peer, 10, max_retransmits=2)
    peer.chunks()
    kinds = [kind for kind, _, _ in peer.skip(5)]
    assert kinds.count(wire.DATA) == 2
    assert wire.FORWARD_TSN in kinds


def test_rfc7496_3_1_lifetime_ends_retransmission():
    peer = RawPeer()
    send(peer, 10, lifetime=0.4, ordered=False)
    peer.chunks()
    assert forward_tsns(peer, peer.skip(0.5)) == [(0, [])]  # unordered: no stream is listed


def test_rfc3758_3_5_a_message_that_expired_in_the_queue_takes_no_tsn():
    peer = RawPeer()
    send(peer, 10 * FULL)
    send(peer, 10, lifetime=0.1)
    send(peer, 11)
    assert len(peer.sent_tsns()) == 10
    peer.now += 0.2
    peer.send(peer.sack(10))
    assert [chunk[5] for chunk in data_chunks(peer)] == [11]
    assert peer.a.total_buffered == 0


def test_the_message_that_opens_a_stream_can_be_left_out_of_what_is_buffered():
    peer = RawPeer()
    peer.a.send(1, 50, bytes(60 * FULL), peer.now)
    send(peer, 1000, stream=1)
    whole = peer.a.buffered_amount(1)
    assert peer.a.buffered_amount(1, besides=50) == 1000
    assert peer.sent_tsns()  # the first part of it
    assert peer.a.buffered_amount(1) < whole
    assert peer.a.buffered_amount(1, besides=50) == 1000
    assert peer.a.buffered_amount(1, besides=51) == peer.a.buffered_amount(1)
    assert peer.a.buffered_amount(2, besides=50) == 0


def test_rfc3758_3_5_a_message_that_expired_half_sent_is_skipped_whole():
    peer = RawPeer()
    send(peer, 60 * FULL, stream=1, lifetime=0.1)
    assert len(peer.sent_tsns()) == 10
    peer.send(peer.sack(10))
    new = len(peer.sent_tsns())
    peer.send(peer.sack(10 + new))  # all fragments acknowledged, the rest not sent
    peer.now += 0.2
    assert forward_tsns(peer, peer.chunks()) == [(10 + new, [(1, 0)])]
    assert peer.a.buffered_amount(1) == 0
    peer.send(peer.sack(10 + new + 1))
    send(peer, 10, stream=1)
    assert [(chunk[0], chunk[2]) for chunk in data_chunks(peer)] == [(11 + new, 1)]


def test_rfc3758_3_5_forward_tsn_is_repeated_while_it_is_not_acknowledged():
    peer = RawPeer()
    send(peer, 10, max_retransmits=0)
    peer.chunks()
    assert forward_tsns(peer, peer.skip(0.5)) == [(0, [(0, 0)])]
    assert forward_tsns(peer, peer.skip(1.0)) == [(0, [(0, 0)])]
    peer.send(peer.sack(0))
    assert len(forward_tsns(peer, peer.skip(2.0))) == 1


def test_rfc3758_3_3_1_without_support_everything_is_reliable():
    peer = RawPeer(init=wire.Init(0x11111111, 100_000, 9, 9, 1000))
    send(peer, 10, max_retransmits=0)
    send(peer, 10, lifetime=0.1)
    peer.chunks()
    chunks = peer.skip(0.5)
    assert [kind for kind, _, _ in chunks] == [wire.DATA, wire.DATA]


def test_rfc3758_a_message_that_arrived_counts_for_nothing_when_another_is_given_up():
    peer = RawPeer()
    send(peer, FULL, stream=1, max_retransmits=0)
    send(peer, FULL, stream=2)
    send(peer, FULL, stream=3, max_retransmits=0)
    peer.chunks()
    peer.send(peer.sack(0, gaps=[(2, 2)]))
    assert forward_tsns(peer, peer.skip(0.5)) == [(0, [(1, 0)])]
    peer.send(peer.sack(2))
    assert forward_tsns(peer, peer.chunks()) == [(2, [(3, 0)])]


# Local errors


@pytest.mark.parametrize(
    ("reason", "arguments", "options"),
    [
        ("no-such-stream", (65535, 51, b"x"), {}),
        ("no-such-stream", (-1, 51, b"x"), {}),
        ("empty-message", (0, 51, b""), {}),
        ("bad-argument", (0, -1, b"x"), {}),
        ("bad-argument", (0, 51, b"x"), {"priority": 0}),
        ("bad-argument", (0, 51, b"x"), {"lifetime": -1}),
        ("bad-argument", (0, 51, b"x"), {"lifetime": float("nan")}),
        ("bad-argument", (0, 51, b"x"), {"max_retransmits": -1}),
    ],
)
def test_wrong_arguments(reason, arguments, options):
    peer = RawPeer()
    with pytest.raises(LocalError, match=reason):
        peer.a.send(*arguments, peer.now, **options)
    assert peer.chunks() == []


@pytest.mark.parametrize(
    "settings",
    [
        {"local_port": 0},
        {"max_packet_size": 1161},
        {"max_packet_size": 400},
        {"outbound_streams": 0},
        {"max_message_size": 5_000_000},
        {"rto_min": 1.0},
        {"delayed_ack": 0.0},
    ],
)
def test_wrong_settings(settings):
    with pytest.raises(LocalError):
        RawPeer(**settings)


# Congestion control by itself


def test_rfc9260_7_2_2_congestion_avoidance_adds_a_packet_per_window():
    reno = Reno(1000)
    reno.on_lost(0, 10, 100, 0.0)
    reno.on_acknowledged(0, 100, 0.0, limited=True)
    assert (reno.in_recovery, reno.cwnd) == (False, 5000)
    reno.on_acknowledged(1, 101, 0.0, limited=True)  # cwnd <= ssthresh is still slow start
    for tsn in range(4):
        reno.on_acknowledged(1000, 102 + tsn, 0.0, limited=True)
    assert reno.cwnd == 5001
    reno.on_acknowledged(1001, 110, 0.0, limited=True)
    assert reno.cwnd == 6001
    reno.on_acknowledged(50_000, 111, 0.0, limited=False)
    assert reno.cwnd == 6001


def test_rfc9260_7_2_3_losses_halve_once_per_flight_and_timeouts_start_over():
    reno = Reno(1000)
    reno.on_lost(5, 20, 100, 0.0)
    reno.on_lost(19, 30, 110, 0.0)
    assert (reno.cwnd, reno.in_recovery) == (5000, True)
    reno.on_lost(20, 40, 120, 0.0)  # sent after the window was halved
    assert reno.cwnd == 4000
    reno.on_timeout(0.0)
    assert (reno.cwnd, reno.ssthresh, reno.in_recovery) == (1000, 4000, False)
    reno.on_idle(3)
    assert reno.cwnd == 1000


def test_rfc9260_6_10_control_chunks_come_before_data_in_every_packet():
    control = set()

    def tamper(_sender, _index, data):
        kinds = [kind for kind, _, _ in wire.chunks_of(data)]
        is_data = [kind in {wire.DATA, wire.I_DATA} for kind in kinds]
        assert is_data == sorted(is_data), kinds
        if True in is_data:
            control.update(kind for kind in kinds if kind not in {wire.DATA, wire.I_DATA})
        return [data]

    for seed in range(4):
        settings = {"interleaving": seed % 2 == 0}
        conditions = Conditions(delay=0.02, loss=0.1, jitter=0.01)
        link = connected(conditions, seed=seed, tamper=tamper, a=settings)
        for number in range(60):
            for machine in link.machines:
                machine.send(1, 51, bytes(3000), link.now, lifetime=0.1)
                machine.send(2, 51, bytes(300), link.now, ordered=False, max_retransmits=0)
                machine.send(3 + number, 51, b"x", link.now)
                machine.reset_streams([3 + number], link.now)
            link.run(seconds=0.05)
    assert {wire.SACK, wire.RE_CONFIG, wire.FORWARD_TSN, wire.I_FORWARD_TSN} <= control
