"""The parts of the estimator, each by itself."""

import random

import pytest

from stack.bwe import ProbeCluster, Usage
from stack.bwe.application import ApplicationLimited
from stack.bwe.delay import MAX_THRESHOLD, MIN_THRESHOLD, DelayDetector
from stack.bwe.drain import Drain
from stack.bwe.loss import LossController, ReportedLoss
from stack.bwe.outage import MIN_GAP, MIN_LOST, Outages
from stack.bwe.probing import Probing
from stack.bwe.queue_delay import QueueDelay
from stack.bwe.rate_control import RateControl
from stack.bwe.throughput import AcknowledgedBitrate


def detect(detector, delay, packets=200, gap=0.01, start=0.0):
    """Feed packets `gap` apart that take `delay(time)`."""
    verdicts = []
    for number in range(packets):
        sent = start + number * gap
        detector.packet(sent, sent + delay(sent))
        verdicts.append(detector.usage)
    return verdicts


def test_a_steady_delay_is_normal():
    assert set(detect(DelayDetector(), lambda sent: 0.05)) == {Usage.NORMAL}


def test_a_rising_delay_is_overuse_and_a_falling_one_underuse():
    detector = DelayDetector()
    verdicts = detect(detector, lambda sent: 0.05 + 0.2 * sent, packets=60)
    assert verdicts.index(Usage.OVERUSE) < 40
    verdicts = detect(detector, lambda sent: 0.17 - 0.2 * (sent - 0.6), packets=60, start=0.6)
    assert Usage.UNDERUSE in verdicts


def test_jitter_alone_is_not_overuse():
    rng = random.Random(1)
    verdicts = detect(DelayDetector(), lambda sent: 0.05 + abs(rng.gauss(0, 0.003)), packets=3000)
    assert verdicts.count(Usage.OVERUSE) < 60


def test_the_threshold_adapts_within_its_bounds():
    detector = DelayDetector()
    detect(detector, lambda sent: 0.05, packets=1000)
    assert detector.threshold == MIN_THRESHOLD
    detect(detector, lambda sent: 0.05 + 0.03 * (sent - 10), packets=300, start=10.0)
    assert MIN_THRESHOLD < detector.threshold < MAX_THRESHOLD


def test_a_step_of_the_delay_does_not_move_the_threshold():
    detector = DelayDetector()
    detect(detector, lambda sent: 0.05, packets=300)
    before = detector.threshold
    detect(detector, lambda sent: 0.5, packets=12, start=3.0)
    assert detector.threshold < before + 20


def test_packets_held_up_together_are_one_group():
    """A radio that sends every 20 ms makes bursts; within one nothing queues."""
    verdicts = detect(DelayDetector(), lambda sent: 0.05 + (-sent) % 0.02, packets=2000, gap=0.003)
    assert verdicts.count(Usage.OVERUSE) < 20


def test_detection_survives_reordering_gaps_and_clocks_that_jump():
    detector = DelayDetector()
    detect(detector, lambda sent: 0.05)
    for sent, received in ((2.0, 1e6), (2.01, -1e6), (2.02, 2.07), (1.0, 2.08), (500.0, 500.05), (500.02, 400.0)):
        detector.packet(sent, received)
    assert set(detect(detector, lambda sent: 0.05, start=501.0)) == {Usage.NORMAL}


def test_long_runs_keep_their_precision():
    detector = DelayDetector()
    detect(detector, lambda sent: 0.05, packets=400, gap=3.0 / 1.01)  # twenty minutes
    assert abs(detector.trend) < 1e-6
    assert Usage.OVERUSE in detect(detector, lambda sent: 0.05 + 0.2 * (sent - 1200), packets=80, start=1200.0)


def feed(throughput, rate, seconds, start=0.0):
    at = start
    while at < start + seconds:
        throughput.packet(at, 1200)
        at += 1200 * 8 / rate
    return at


def test_throughput_is_what_arrives():
    throughput = AcknowledgedBitrate()
    end = feed(throughput, 1e6, 0.2)
    assert throughput.bitrate is None
    end = feed(throughput, 1e6, 2.0, end)
    assert throughput.bitrate == pytest.approx(1e6, rel=0.05)
    end = feed(throughput, 4e5, 1.5, end)
    assert throughput.bitrate == pytest.approx(4e5, rel=0.15)
    assert throughput.sample == pytest.approx(4e5, rel=0.1)


def test_throughput_follows_faster_when_a_change_is_expected():
    slow, fast = AcknowledgedBitrate(), AcknowledgedBitrate()
    for throughput in (slow, fast):
        end = feed(throughput, 1e6, 2.0)
        if throughput is fast:
            throughput.expect_change()
        feed(throughput, 3e6, 0.35, end)
    assert fast.bitrate > slow.bitrate


@pytest.mark.parametrize("paused", [0.2, 0.4])
def test_a_pause_of_the_path_is_no_lower_throughput(paused):
    """What was held up comes at once when it goes on; a sample that ends with its first packet would be a tenth."""
    throughput, samples = AcknowledgedBitrate(), []
    end = feed(throughput, 1e6, 2.0)
    for number in range(100):
        due = end + number * 1200 * 8 / 1e6
        throughput.packet(max(due, end + paused), 1200)
        samples.append(throughput.sample)
    assert min(samples) > 0.8e6
    assert throughput.bitrate == pytest.approx(1e6, rel=0.1)


def test_throughput_of_packets_that_are_few():
    """Each comes after a silence; there are samples all the same."""
    throughput = AcknowledgedBitrate()
    end = feed(throughput, 1e6, 2.0)
    feed(throughput, 4e4, 3.0, end)
    assert throughput.sample == pytest.approx(4e4, rel=0.25)


def test_throughput_after_silence_begins_anew():
    throughput = AcknowledgedBitrate()
    end = feed(throughput, 1e6, 2.0)
    feed(throughput, 1e6, 1.0, end + 60.0)
    assert throughput.bitrate == pytest.approx(1e6, rel=0.05)
    throughput.packet(-1e6, 1200)
    throughput.packet(-1e6 + 0.01, 1200)
    assert throughput.bitrate == pytest.approx(1e6, rel=0.05)


def test_rate_control_takes_85_percent_of_what_arrives_once_per_round_trip():
    rate = RateControl(1e6)
    rate.rtt = 0.2
    assert rate.update(Usage.OVERUSE, 8e5, 1.0)
    assert rate.bitrate == pytest.approx(6.8e5)
    assert not rate.update(Usage.OVERUSE, 7e5, 1.15)
    assert rate.bitrate == pytest.approx(6.8e5)
    assert rate.update(Usage.OVERUSE, 7e5, 1.21)
    assert rate.bitrate == pytest.approx(5.95e5)
    assert not rate.update(Usage.UNDERUSE, 7e5, 1.3)
    assert rate.bitrate == pytest.approx(5.95e5)


def test_rate_control_grows_by_factors_first_and_slowly_near_the_capacity():
    far, near = RateControl(1e6), RateControl(1e6)
    near.update(Usage.OVERUSE, 1e6, 0.0)
    near.bitrate = 1e6
    for rate in (far, near):
        for step in range(21):
            rate.update(Usage.NORMAL, 1e6, 1.0 + step * 0.05)
    assert far.bitrate == pytest.approx(1.08e6, rel=0.01)
    assert near.bitrate == pytest.approx(1e6 + near.additive_increase(), rel=0.02)


def test_rate_control_does_not_leave_what_arrives_far_behind():
    rate = RateControl(1e6)
    for step in range(1000):
        rate.update(Usage.NORMAL, 4e5, step * 0.1)
    assert rate.bitrate == pytest.approx(1e6)  # it does not fall either
    rate.bitrate = 3e5
    for step in range(1000, 2000):
        rate.update(Usage.NORMAL, 4e5, step * 0.1)
    assert rate.bitrate == pytest.approx(6.1e5)


def losses(controller, share, rate=1e6, ceiling=1e6, seconds=10.0, start=0.0, rng=None):
    """Observe a share of losses at the rate the controller allows; return that."""
    rng = rng or random.Random(3)
    now = start
    while now < start + seconds:
        allowed = controller.bitrate or ceiling
        sent = min(rate, allowed)
        packets = max(int(sent * 0.25 / 9600), 1)
        lost = sum(rng.random() < share(sent) for _ in range(packets))
        if controller.feedback(packets, lost, packets * 1200, now, now + 0.25):
            controller.update(ceiling, sent * (1 - lost / packets), now + 0.25)
        now += 0.25
    return controller.bitrate


def test_without_loss_losses_do_not_limit():
    assert losses(LossController(), lambda rate: 0.0) is None


def test_loss_beyond_a_capacity_finds_the_capacity():
    found = losses(LossController(), lambda rate: max(0.0, 1 - 6e5 / rate), seconds=20.0)
    assert 5e5 < found < 7.5e5


def test_a_little_loss_at_every_rate_is_the_paths_own():
    assert (losses(LossController(), lambda rate: 0.02, seconds=20.0) or 1e6) > 8e5


def test_heavy_loss_is_never_the_paths_own():
    assert losses(LossController(), lambda rate: 0.4, seconds=20.0) < 3e5


def test_after_the_losses_the_rate_comes_back():
    controller = LossController()
    losses(controller, lambda rate: 0.3)
    losses(controller, lambda rate: 0.0, start=10.0, seconds=8.0)
    assert controller.bitrate is None
    assert controller.average_loss == 0.0


def test_fractions_of_reports():
    rule = ReportedLoss()
    assert rule.update(1e6, 0.0, 0.1, 1.0) == pytest.approx(1.05e6)
    assert rule.update(1e6, 0.05, 0.1, 2.0) == 1e6
    assert rule.update(1e6, 0.5, 0.1, 3.0) == pytest.approx(7.5e5)
    assert rule.update(1e6, 0.5, 0.1, 3.2) == 1e6


def test_the_queue_is_what_is_above_the_least_delay():
    queue = QueueDelay()
    for now in range(100):
        queue.update(7.05 + (0.03 if now % 7 else 0.0), now / 10)
    assert queue.delay == pytest.approx(0.03)
    queue.rebase()
    assert queue.delay == 0.0
    queue.update(7.11, 10.0)
    assert queue.delay == pytest.approx(0.03)
    for now in range(1000):
        queue.update(7.11, 10.0 + now / 10)  # the path is longer now
    assert queue.delay == 0.0
    queue.update(-400.0, 120.0)
    assert queue.delay == 0.0


def test_application_limited_has_two_thresholds():
    application = ApplicationLimited()
    for step in range(100):
        application.sent(200, 1e6, step * 0.01)  # 160 kbit/s of 1 Mbit/s
    assert application.limited
    for step in range(100, 120):
        application.sent(1300, 1e6, step * 0.01)
    assert application.limited
    for step in range(120, 200):
        application.sent(1300, 1e6, step * 0.01)
    assert not application.limited


def measure(arrival_gap, *, lost=(), count=10):
    probing = Probing()
    cluster = probing.cluster(1_920_000, 0.0)
    assert isinstance(cluster, ProbeCluster)
    for number in range(count):
        if number not in lost:
            probing.packet(cluster.id, 1200, number * 0.005, 1.0 + number * arrival_gap)
    return probing.results()


def test_a_cluster_that_the_path_carries():
    (result,) = measure(0.005)
    assert result.bitrate == pytest.approx(1_920_000)
    assert not result.saturated


def test_a_cluster_that_fills_the_path_measures_it():
    (result,) = measure(0.010)
    assert result.bitrate == pytest.approx(0.95 * 960_000)
    assert result.saturated


NOTHING = [
    measure(0.001),  # faster than it was sent
    measure(0.0),
    measure(0.3),
    measure(0.005, count=3),
    measure(0.01, lost=range(8)),
]


@pytest.mark.parametrize("results", NOTHING)
def test_clusters_that_tell_nothing(results):
    assert results == []


def test_clusters_are_awaited_for_a_while():
    probing = Probing()
    probing.cluster(1e6, 0.0)
    assert probing.waiting
    probing.expire(1.0)
    assert probing.waiting
    probing.expire(10.0)
    assert not probing.waiting
    probing.packet(1, 1200, 0.0, 0.0)  # too late
    assert probing.results() == []


def drained(arriving_while):
    """A drain of a queue of 200 ms, while `arriving_while(bitrate)` arrives; return (rate, drain, seconds)."""
    queue, rate, drain = QueueDelay(), RateControl(8.5e5), Drain()
    rate.rtt = rate.min_rtt = 0.1
    queue.update(0.05, 0.0)
    delay, now = 0.2, 1.0
    queue.update(0.05 + delay, now)
    assert not drain.update(queue, rate, 1e6, 12_500, now, decreased=True)
    while drain.active:
        now += 0.05
        arriving = arriving_while(drain.bitrate)
        delay = max(0.0, delay - 0.05 * (arriving - drain.bitrate) / 1e6)
        queue.update(0.05 + delay, now)
        drain.update(queue, rate, arriving, 12_500, now, decreased=False)
    return rate, drain, now - 1.0


def test_a_queue_of_our_own_is_emptied_soon():
    rate, drain, seconds = drained(lambda bitrate: 1e6)
    assert seconds < 1.2
    assert not drain.competing(3.0)
    assert rate.bitrate == pytest.approx(9e5)


def test_a_queue_of_others_is_left_to_them():
    rate, drain, seconds = drained(lambda bitrate: bitrate)
    assert seconds < 1.2
    assert drain.competing(3.0)
    assert rate.bitrate == pytest.approx(1e6)  # what was given up for nothing is taken back


class TestOutages:
    """Sent each 10 ms, and 50 ms on the way."""

    def test_losses_of_a_moment_in_which_nothing_arrives_are_explained(self):
        outages = Outages()
        outages.arrived(1.0, 51.05)
        assert outages.explains(14, 1.15, 51.2)

    def test_losses_of_a_full_queue_are_not(self):
        """What follows comes sooner after what was before than it was sent."""
        outages = Outages()
        outages.arrived(1.0, 51.35)
        assert not outages.explains(14, 1.15, 51.36)

    def test_few_or_short_ones_are_not_looked_at(self):
        outages = Outages()
        outages.arrived(1.0, 51.05)
        assert not outages.explains(MIN_LOST - 1, 1.15, 51.2)
        assert not outages.explains(5, 1.0 + MIN_GAP - 0.001, 51.2)

    def test_packets_that_get_through_do_not_end_it_but_a_second_does(self):
        outages = Outages()
        answers = []
        for number in range(12):
            at = 1.0 + 0.1 * number
            outages.arrived(at, at + 0.05)
            answers.append(outages.explains(9, at + 0.1, at + 0.15))
        assert answers == [True] * 10 + [False] * 2

    def test_what_comes_again_and_again_is_the_path(self):
        outages = Outages()
        answers = []
        for at in (1.0, 3.0, 5.9, 6.1, 9.0):
            outages.arrived(at, at + 0.05)
            answers.append(outages.explains(9, at + 0.1, at + 0.15))
        assert answers == [True, False, False, True, False]
