"""Time-based loss detection, tail-loss probes and pacing (RFC 8985, RFC 9002)."""

import pytest

from stack.sctp import MessageReceived, wire
from stack.sctp.recovery import BURST_PACKETS, LossDetector
from stack.sctp.rto import RetransmissionTimeout
from stack.testing import Conditions

from .support import RawPeer, connected

FULL = 1132
ROUND_TRIP = 0.1


def messages(link):
    return sum(isinstance(event, MessageReceived) for event in link.events[1])


def measured(peer):
    """Let the association measure a round trip of 100 ms; return the chunks acknowledged since."""
    peer.a.send(0, 51, b"x", peer.now)
    peer.chunks()
    peer.now += ROUND_TRIP
    peer.send(peer.sack(1))
    assert peer.a.srtt == pytest.approx(ROUND_TRIP)
    assert peer.chunks() == []
    return 1


def detector(srtt=ROUND_TRIP):
    rto = RetransmissionTimeout(0.5, 0.2, 10.0)
    rto.update(srtt)
    return LossDetector(rto, lambda: None)


def test_rfc8985_7_a_lost_last_packet_is_sent_again_after_two_round_trips_and_not_after_t3():
    peer = RawPeer()
    measured(peer)
    sent_at = peer.now
    peer.a.send(0, 51, bytes(3 * FULL), peer.now)
    assert peer.sent_tsns() == [1, 2, 3]
    assert peer.a.next_timer() == pytest.approx(sent_at + 2 * ROUND_TRIP)
    peer.now = peer.a.next_timer()
    peer.a.handle_timer(peer.now)
    assert peer.sent_tsns() == [3]
    assert (peer.a.stats.probes, peer.a.stats.timeouts) == (1, 0)


def test_rfc8985_7_a_tail_is_probed_once_and_then_left_to_t3():
    peer = RawPeer()
    measured(peer)
    peer.a.send(0, 51, b"x", peer.now)
    peer.chunks()
    t3 = peer.a._timers.deadline("T3")
    assert [kind for kind, _, _ in peer.skip(t3 - peer.now - 0.001)] == [wire.DATA]
    assert peer.a.stats.probes == 1


def test_rfc8985_7_4_what_the_answer_to_a_probe_shows_is_repaired_without_t3():
    peer = RawPeer()
    acknowledged = measured(peer)
    peer.a.send(0, 51, bytes(3 * FULL), peer.now)
    peer.chunks()
    peer.skip(2 * ROUND_TRIP + 0.001)
    peer.now += ROUND_TRIP
    peer.send(peer.sack(acknowledged, gaps=[(3, 3)]))
    assert peer.sent_tsns() == [1, 2]
    assert peer.a.stats.timeouts == 0


def test_rfc7496_3_2_a_message_that_may_not_be_sent_again_is_no_probe():
    peer = RawPeer()
    measured(peer)
    peer.a.send(0, 51, b"x", peer.now, max_retransmits=0)
    peer.chunks()
    assert peer.skip(peer.a.rto - 0.001) == []
    assert peer.a.stats.probes == 0


def test_a_lost_last_message_costs_two_round_trips_more():
    lost = []

    def tamper(sender, index, data):
        if sender == 0 and lost == ["armed"]:
            lost.append(index)
            return []
        return [data]

    link = connected(Conditions(delay=0.02), tamper=tamper)
    for _ in range(5):
        link.machines[0].send(1, 51, b"measure", link.now)
        link.run(seconds=1)
    lost.append("armed")
    before, start = messages(link), link.now
    link.machines[0].send(1, 51, b"the last", link.now)
    assert link.run(lambda: messages(link) == before + 1)
    assert link.now - start < 0.02 + 2.2 * 0.04
    assert link.machines[0].stats.timeouts == 0


def test_rfc9002_6_1_2_what_was_overtaken_is_lost_after_nine_eighths_of_a_round_trip():
    peer = RawPeer()
    acknowledged = measured(peer)
    peer.a.send(0, 51, bytes(2 * FULL), peer.now)
    assert peer.sent_tsns() == [1, 2]
    sent_at = peer.now
    peer.now += ROUND_TRIP
    peer.send(peer.sack(acknowledged, gaps=[(2, 2)]))
    assert peer.sent_tsns() == []
    assert peer.a.next_timer() == pytest.approx(sent_at + 9 / 8 * ROUND_TRIP)
    peer.now = peer.a.next_timer()
    peer.a.handle_timer(peer.now)
    assert peer.sent_tsns() == [1]
    assert peer.a.stats.fast_retransmits == 1


def test_rfc8985_6_2_once_reordering_was_seen_three_later_packets_are_no_loss():
    peer = RawPeer()
    acknowledged = measured(peer)
    for _ in range(8):
        peer.a.send(0, 51, bytes(FULL), peer.now)
    assert len(peer.sent_tsns()) == 8
    peer.now += ROUND_TRIP
    peer.send(peer.sack(acknowledged, gaps=[(2, 2)]))
    peer.send(peer.sack(acknowledged + 2))  # the first was late, and not lost
    peer.send(peer.sack(acknowledged + 2, gaps=[(2, 6)]))
    assert peer.sent_tsns() == []
    assert peer.a.stats.retransmits == 0


def test_rfc8985_6_2_step_4_the_window_is_learned_bounded_and_forgotten():
    losses = detector()
    losses.arrived(10, 0.0, ROUND_TRIP, again=False)
    assert (losses.newest, losses.threshold) == (10, 7)
    losses.overtaken(0.0, ROUND_TRIP + 0.04, judged=False)
    assert losses.window == pytest.approx(0.05)
    assert losses.threshold == -1
    losses.overtaken(0.0, 5.0, judged=False)
    assert losses.window == pytest.approx(ROUND_TRIP)
    for _ in range(100):
        losses.lost()
    assert (losses.window, losses.threshold) == (0.0, 7)


def test_rfc8985_6_2_step_2_an_answer_too_soon_shows_a_retransmission_that_was_not_needed():
    losses = detector()
    losses.arrived(10, 0.0, 0.5 * ROUND_TRIP, again=True)
    assert (losses.newest, losses.window) == (-1, pytest.approx(ROUND_TRIP / 4))
    losses.arrived(11, 0.0, ROUND_TRIP, again=True)
    assert losses.newest == 11


@pytest.mark.parametrize("jitter", [0.005, 0.02, 0.05])
def test_a_link_that_reorders_causes_hardly_any_retransmission_once_it_is_known(jitter):
    link = connected(Conditions(delay=0.025, jitter=jitter), seed=3)
    for number in range(120):
        link.machines[0].send(1, 51, bytes(16384), link.now)
        if number == 20:
            link.run(lambda: messages(link) == 21)
            learned = link.machines[0].stats.retransmits
    assert link.run(lambda: messages(link) == 120, seconds=300)
    stats = link.machines[0].stats
    assert learned < 50  # of 280: a window full, once
    assert stats.retransmits - learned < 10  # of 1600 packets
    assert stats.timeouts == 0


def test_a_window_that_jumps_is_not_sent_at_once():
    link = connected(Conditions(delay=0.05), keep_trace=True)
    a = link.machines[0]
    a.send(1, 51, b"measure", link.now)
    link.run(seconds=0.12)
    a._outbound.congestion.cwnd = 400 * FULL
    start = link.now
    for _ in range(20):
        a.send(1, 51, bytes(16384), link.now)
    assert link.run(lambda: messages(link) == 21)
    times = [time for time, sender, data in link.trace if sender == 0 and time >= start and len(data) > FULL]
    assert times.count(start) <= 2 * BURST_PACKETS + 1
    assert max(times.count(time) for time in set(times)) <= 2 * BURST_PACKETS + 1
    assert times[-1] - start < 0.1  # and yet within one round trip


def test_a_drain_that_the_pacer_ended_sets_a_timer_and_the_second_drain_is_empty():
    peer = RawPeer()
    measured(peer)
    peer.a._outbound.congestion.cwnd = 400 * FULL
    peer.a.send(0, 51, bytes(200 * FULL), peer.now)
    first = len(peer.sent_tsns())
    assert 0 < first < 200
    assert peer.sent_tsns() == []
    due = peer.a.next_timer()
    assert peer.now < due <= peer.now + 0.01
    peer.now = due
    peer.a.handle_timer(peer.now)
    assert peer.sent_tsns()


def test_a_small_message_does_not_wait_for_the_pacer_and_is_paid_for_later():
    peer = RawPeer()
    measured(peer)
    outbound = peer.a._outbound
    outbound.congestion.cwnd = 400 * FULL
    peer.a.send(0, 51, bytes(40 * FULL), peer.now)
    for _ in range(40):
        peer.sent_tsns()
        if outbound.drained or not peer.a.total_buffered:
            break
        peer.now = peer.a.next_timer()
        peer.a.handle_timer(peer.now)
    credit = outbound._pacer.credit
    assert credit < 2 * FULL  # none to speak of
    for sent in range(1, 5):
        peer.a.send(0, 51, bytes(FULL - 100), peer.now)
        assert len(peer.sent_tsns()) == 1
        assert outbound._pacer.credit < credit - sent * (FULL - 100)
    # What asks for more has to wait for what was taken.
    peer.a.send(0, 51, bytes(40 * FULL), peer.now)
    assert peer.sent_tsns() == []
    assert peer.now < peer.a.next_timer() <= peer.now + 0.05


def test_rfc4015_3_the_window_is_restored_when_what_was_judged_lost_was_only_late():
    peer = RawPeer()
    acknowledged = measured(peer)
    for _ in range(9):
        peer.a.send(0, 51, bytes(FULL), peer.now)
    assert len(peer.sent_tsns()) == 9
    before = peer.a.cwnd
    peer.now += ROUND_TRIP
    peer.send(peer.sack(acknowledged, gaps=[(4, 9)]))
    assert peer.a.cwnd < before
    assert peer.a._outbound.congestion.in_recovery
    peer.send(peer.sack(acknowledged + 9))  # before anything was sent again
    assert peer.a.cwnd >= before
    assert not peer.a._outbound.congestion.in_recovery
    assert peer.a.stats.retransmits == 0


def test_rfc4015_3_a_reduction_for_a_real_loss_stays():
    peer = RawPeer()
    acknowledged = measured(peer)
    for _ in range(9):
        peer.a.send(0, 51, bytes(FULL), peer.now)
    peer.chunks()
    peer.now += ROUND_TRIP
    peer.send(peer.sack(acknowledged, gaps=[(2, 9)]))
    assert peer.sent_tsns() == [1]
    reduced = peer.a.cwnd
    peer.now += ROUND_TRIP
    peer.send(peer.sack(acknowledged + 9))
    assert peer.a.cwnd == reduced
    assert not peer.a._outbound.congestion.in_recovery
