"""The estimator by itself, on paths of one line."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.bwe import Closed, Estimator, PacketResult, ProbeRequested, TargetBitrateChanged, Usage
from stack.bwe.outage import Outages
from stack.core import LocalError

from .support import SIZE, START, Feed, estimator, events_of


def queueing(capacity, delay=0.05, limit=float("inf")):
    """A path that carries `capacity` bit/s."""
    busy = [0.0]

    def path(sent, _):
        if busy[0] - sent > limit:
            return None
        busy[0] = max(busy[0], sent) + SIZE * 8 / capacity
        return busy[0] - sent + delay

    return path


def test_it_begins_with_the_start_bitrate_and_two_clusters():
    made = Estimator(min_bitrate=100_000, start_bitrate=400_000, max_bitrate=5_000_000)
    assert made.target_bitrate == 400_000
    assert made.pacing_rate == 1_000_000
    clusters = [event.cluster for event in events_of(made, ProbeRequested)]
    assert [cluster.bitrate for cluster in clusters] == [1_200_000, 2_400_000]
    assert all(cluster.packets == 5 for cluster in clusters)
    assert [cluster.size for cluster in clusters] == [2250, 4500]  # 15 ms


def test_bounds_set_before_the_first_packet_begin_anew():
    made = Estimator(max_bitrate=5_000_000)
    made.set_bounds(100_000, 1_000_000, 5_000_000)
    assert made.target_bitrate == 1_000_000
    assert [event.cluster.bitrate for event in events_of(made, ProbeRequested)] == [3_000_000, 6_000_000]


def test_a_stream_that_wants_more_begins_with_clusters_again():
    made = estimator(start_bitrate=400_000)
    feed = Feed(made, queueing(3_000_000))
    feed.run(1, rate=50_000)
    made._loss.bitrate = 70_000.0  # by what the little has lost
    made._rate.bitrate = 60_000.0  # by how late it was
    made.expect_more(feed.now)
    clusters = [event.cluster for event in events_of(made, ProbeRequested)]
    assert made.target_bitrate == 400_000
    assert made.acknowledged_bitrate is None
    assert [cluster.bitrate for cluster in clusters] == [1_200_000, 2_400_000]
    made.close(feed.now)
    made.expect_more(feed.now)
    assert events_of(made, ProbeRequested) == []


def test_bounds_set_later_hold_at_once_and_keep_the_estimate():
    made = estimator()
    made.packet_sent(1, SIZE, START)
    made.set_bounds(10_000, 20_000, 200_000)
    assert made.target_bitrate == 200_000
    made.set_bounds(250_000, 900_000, 1_000_000)
    assert made.target_bitrate == 300_000


@pytest.mark.parametrize("bounds", [(0, 1, 2), (2, 1, 3), (1, 3, 2), (1, 2, math.inf), (math.nan, 2, 3)])
def test_bounds_that_are_none(bounds):
    made = estimator()
    with pytest.raises(LocalError):
        made.set_bounds(*bounds)
    assert made.target_bitrate == 300_000
    with pytest.raises(LocalError):
        Estimator(min_bitrate=bounds[0], start_bitrate=bounds[1], max_bitrate=bounds[2])


def test_without_a_queue_it_rises_to_the_maximum():
    feed = Feed(estimator(max_bitrate=1_000_000))
    feed.run(25.0)
    assert feed.estimator.target_bitrate == 1_000_000
    assert feed.estimator.usage == Usage.NORMAL
    assert feed.estimator.rtt == pytest.approx(0.1, abs=0.06)
    assert feed.estimator.dropped.total() == 0


def test_a_growing_queue_is_answered_at_once():
    feed = Feed(estimator(start_bitrate=1_500_000), queueing(750_000))
    feed.run(0.8)
    assert feed.estimator.target_bitrate < 750_000
    feed.run(20.0)
    assert 600_000 < feed.estimator.target_bitrate < 850_000
    assert feed.estimator.queue_delay < 0.1


def test_the_clock_of_the_receiver_does_not_matter():
    near, far = (Feed(estimator(), queueing(600_000), offset=offset) for offset in (0.0, -3e5))
    near.run(10.0)
    far.run(10.0)
    assert near.estimator.target_bitrate == pytest.approx(far.estimator.target_bitrate, rel=0.02)


def test_a_clock_that_is_set_is_survived():
    feed = Feed(estimator(max_bitrate=1_000_000))
    feed.run(5.0)
    before = feed.estimator.target_bitrate
    feed.offset -= 1e6  # also how a reference time of 24 bits wraps
    feed.run(5.0)
    assert feed.estimator.target_bitrate >= before


def test_random_loss_below_two_percent_costs_nothing():
    feed = Feed(estimator(max_bitrate=1_000_000), lambda sent, number: None if number % 60 == 0 else 0.05)
    feed.run(25.0)
    assert feed.estimator.target_bitrate > 900_000
    assert 0.01 < feed.estimator.loss < 0.03


def test_losses_of_a_full_path_without_a_queue_bring_the_rate_down():
    policed = queueing(500_000, limit=0.005)  # a policer: what is too much is lost, nothing waits
    feed = Feed(estimator(start_bitrate=1_500_000), policed)
    feed.run(10.0)
    assert 300_000 < feed.estimator.target_bitrate < 650_000


def test_no_feedback_halves_the_rate_again_and_again():
    feed = Feed(estimator(min_bitrate=50_000, start_bitrate=1_000_000))
    feed.run(3.0)
    before = feed.estimator.target_bitrate
    feed.run(1.5, reports=False)
    assert feed.estimator.target_bitrate <= before / 2
    feed.run(8.0, reports=False)
    assert feed.estimator.target_bitrate == 50_000


def test_a_receiver_that_never_reports():
    feed = Feed(estimator(min_bitrate=50_000, start_bitrate=1_000_000))
    feed.run(1.4, reports=False)
    assert feed.estimator.target_bitrate == 1_000_000
    feed.run(0.2, reports=False)
    assert feed.estimator.target_bitrate == 500_000


@pytest.mark.parametrize(("late", "explained"), [(0.0, True), (-0.04, False)], ids=["a dead path", "a full queue"])
def test_a_run_of_losses_is_held_against_the_arrival_before_it(monkeypatch, late, explained):
    """Also where a report has begun long before: a full queue goes on delivering, so that what follows comes sooner."""
    answers, explains = [], Outages.explains
    monkeypatch.setattr(Outages, "explains", lambda *given: answers.append(explains(*given)))
    made = estimator()
    for number in range(50):
        made.packet_sent(number, SIZE, number * 0.01)
    made.feedback([(number, number * 0.01 + 0.1) for number in range(10)], 0.6)
    lost = range(30, 34)
    arrivals = ((number, number * 0.01 + 0.1 + (late if number > 33 else 0.0)) for number in range(10, 50))
    made.feedback([(number, None if number in lost else arrival) for number, arrival in arrivals], 0.7)
    assert answers == [explained]


def test_after_an_outage_the_old_rate_is_probed():
    feed = Feed(estimator(start_bitrate=1_000_000))
    feed.run(3.0)
    made, before = feed.estimator, feed.estimator.target_bitrate
    feed.run(2.0, reports=False)
    number = next(feed.numbers)
    made.packet_sent(number & 0xFFFF, SIZE, feed.now)
    made.feedback([PacketResult(number & 0xFFFF, feed.now + 500.05)], feed.now + 0.1)
    (event,) = events_of(made, ProbeRequested)
    assert event.cluster.bitrate == pytest.approx(before, rel=0.02)


def test_who_pauses_is_not_punished():
    feed = Feed(estimator(start_bitrate=1_000_000))
    feed.run(3.0)
    before, made = feed.estimator.target_bitrate, feed.estimator
    for _ in range(50):  # the last packets are never reported on, and none follow
        due = made.next_timer()
        if due is None:
            break
        made.handle_timer(due)
    assert made.next_timer() is None
    assert made.target_bitrate >= before / 2


def test_remb_is_a_ceiling():
    made = estimator()
    made.remb(120_000, START)
    assert made.target_bitrate == 120_000
    assert events_of(made) == [TargetBitrateChanged(120_000, 300_000)]
    made.remb(1, START)
    assert made.target_bitrate == 30_000  # never below the minimum
    made.remb(9e9, START)
    assert made.target_bitrate == 300_000


def test_reports_of_loss_decide_where_there_is_nothing_else():
    made = Estimator(start_bitrate=500_000, transport_feedback=False)
    assert events_of(made) == []  # no clusters: nobody would say what became of them
    made.packet_sent(1, SIZE, START)
    made.report_block(0.0, 0.1, START + 1)
    assert made.target_bitrate == 525_000
    made.report_block(0.05, None, START + 2)
    assert made.target_bitrate == 525_000
    made.report_block(0.2, 0.1, START + 3)
    assert made.target_bitrate == 472_500
    made.report_block(0.2, 0.1, START + 3.1)  # the last decrease cannot have shown yet
    assert made.target_bitrate == 472_500
    assert made.rtt == pytest.approx(0.1)
    made.packet_sent(2, SIZE, START + 4)
    made.handle_timer(made.next_timer())
    assert made.target_bitrate == 236_250


def test_with_transport_feedback_reports_of_loss_say_nothing_new():
    made = estimator()
    made.report_block(0.5, 0.1, START)
    assert made.target_bitrate == 300_000
    assert made.rtt == 0.1


def test_what_is_unusable_is_counted():
    made = estimator()
    made.packet_sent(1, SIZE, START)
    made.packet_sent(2, SIZE, START)
    made.feedback([(7, 1.0), (1, math.nan), (2, math.inf)], START + 1)
    made.report_block(1.5, 0.1, START + 1)
    made.report_block(math.nan, 0.1, START + 1)
    made.remb(math.nan, START + 1)
    made.remb(-1, START + 1)
    made.round_trip(-1.0, START + 1)
    made.feedback([], START + 1)
    assert made.dropped == {"unknown-packet": 1, "bad-time": 2, "bad-report": 2, "bad-remb": 2, "bad-rtt": 1}
    assert made.target_bitrate == 300_000


def test_a_packet_reported_twice_counts_once():
    made = estimator()
    for number in range(10):
        made.packet_sent(number, SIZE, START + number / 100)
    assert made.in_flight == 12_000
    made.feedback([(number, START + number / 100) for number in range(5)], START + 0.2)
    assert made.in_flight == 6_000
    made.feedback([(number, START + number / 100) for number in range(5)], START + 0.2)
    assert made.dropped == {"unknown-packet": 5}
    made.feedback([(5, None), (6, START + 0.06), (5, None)], START + 0.3)
    made.feedback([(5, START + 0.3)], START + 0.4)  # it was only late
    assert made.dropped == {"unknown-packet": 5}
    assert made.in_flight == 3_600


@pytest.mark.parametrize("first", [0, 40_000, 0xFFFF])
def test_numbers_begin_anywhere_and_wrap(first):
    made = estimator()
    for number in range(first, first + 10):
        made.packet_sent(number & 0xFFFF, SIZE, START)
    made.feedback([(number & 0xFFFF, 5.0) for number in range(first, first + 10)], START + 0.1)
    assert made.dropped.total() == 0
    assert made.in_flight == 0
    assert made.next_timer() is None  # nothing is awaited


def test_another_path_forgets_the_delays_of_the_old_one():
    feed = Feed(estimator(start_bitrate=1_000_000))
    feed.run(5.0)
    before = feed.estimator.target_bitrate
    feed.estimator.path_changed(feed.now)
    assert feed.estimator.rtt is None
    feed.path = lambda sent, number: 0.15
    feed.run(3.0)
    assert feed.estimator.target_bitrate >= before
    assert feed.estimator.queue_delay < 0.01


def test_changes_that_nobody_takes_are_merged():
    made = estimator()
    for step in range(200):
        made.remb(100_000 + 5000 * (step % 20), START + step)
    assert len(events_of(made, TargetBitrateChanged)) == 1


def test_misuse():
    made = estimator()
    for wrong in (lambda: made.packet_sent(1, 0, START), lambda: made.packet_sent(1, -5, START)):
        with pytest.raises(LocalError):
            wrong()
    made.close(START)
    made.close(START)
    assert events_of(made) == [Closed()]
    with pytest.raises(LocalError):
        made.packet_sent(1, SIZE, START)
    with pytest.raises(LocalError):
        made.set_bounds(1, 2, 3)
    made.feedback([(1, 1.0)], START)
    made.remb(1000, START)
    made.report_block(0.0, None, START)
    made.path_changed(START)
    assert made.dropped == {"closed": 3}
    assert (made.next_event(), made.next_timer()) == (None, None)


times = st.one_of(st.none(), st.floats(), st.floats(-1e6, 1e6), st.floats(0, 2))
steps = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 0xFFFF), st.integers(1, 1500)),
    st.tuples(st.just("feedback"), st.lists(st.tuples(st.integers(0, 0xFFFF), times), max_size=20)),
    st.tuples(st.just("answer"), st.integers(1, 30), times),
    st.tuples(st.just("report"), st.floats(), st.one_of(st.none(), st.floats())),
    st.tuples(st.just("remb"), st.floats()),
    st.tuples(st.just("timer"), st.floats(0, 3)),
    st.tuples(st.just("path"), st.booleans()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=60), st.booleans())
def test_whatever_is_reported_the_target_stays_in_bounds(commands, transport_feedback):
    made = Estimator(
        min_bitrate=50_000, start_bitrate=300_000, max_bitrate=2_000_000, transport_feedback=transport_feedback
    )
    now, sent = START, 0
    for command in commands:
        match command:
            case ("send", number, size):
                made.packet_sent(number, size, now, probe=number % 4 or None)
            case ("feedback", results):
                made.feedback(results, now)
            case ("answer", count, received):
                for number in range(sent, sent + count):
                    made.packet_sent(number & 0xFFFF, SIZE, now)
                    now += 0.003
                made.feedback([(n & 0xFFFF, received) for n in range(sent, sent + count)], now)
                sent += count
            case ("report", loss, rtt):
                made.report_block(loss, rtt, now)
            case ("remb", bitrate):
                made.remb(bitrate, now)
            case ("timer", seconds):
                now += seconds
                made.handle_timer(now)
            case _:
                made.path_changed(now)
        assert 50_000 <= made.target_bitrate <= 2_000_000
        assert made.pacing_rate >= made.target_bitrate
        assert made.in_flight >= 0
        due = made.next_timer()
        assert due is None or math.isfinite(due)


def test_packets_that_leave_together_are_noted_as_if_one_by_one():
    each, together = Estimator(), Estimator()
    packets = [((0xFFFD + number) & 0xFFFF, 1000 + number) for number in range(9)]
    for number, size in packets:
        each.packet_sent(number, size, START)
    together.packets_sent(packets, START)
    assert each.in_flight == together.in_flight == sum(size for _, size in packets)
    results = [(number, 10.0 + index * 0.001) for index, (number, _) in enumerate(packets)]
    for made in (each, together):
        made.feedback(results, START + 0.05)
        assert not made.dropped
        assert made.in_flight == 0
        with pytest.raises(LocalError):
            made.packets_sent([(20, 100), (21, 0)], START + 1)
        assert made.in_flight == 0
    assert each.target_bitrate == together.target_bitrate
    together.packets_sent([], START + 1)
    assert together.in_flight == 0
