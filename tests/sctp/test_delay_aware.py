"""The controller that tells loss by congestion from loss at random: on its own, alone on a link, and beside others."""

import pytest

from stack.sctp import Config, Cubic, DelayAwareCubic, Reno
from stack.sctp.delay_aware import DRAIN_ROUNDS, LOSS_LIMIT, QUEUE_LIMIT, SHARED_SECONDS
from stack.testing import Conditions

from .matrix import throughput
from .sharing import backlog, share

FULL = 1000
BASE = 0.05
SACKS = 100  # per round trip


class Path:
    """Feeds a controller with round trips, so many SACKs per round trip."""

    def __init__(self):
        self.control = DelayAwareCubic(FULL)
        self.now = 100.0
        self.packet = 0

    def round(self, delay=0.0, *, limited=True, lost=0):
        """One round trip, `delay` seconds of queue in it; `lost` bytes of it are lost."""
        control = self.control
        self.now += BASE + delay
        size = control.cwnd // SACKS
        for number in range(self.packet, self.packet + SACKS):
            last = number + 2 * SACKS - 1 - number % SACKS  # so that the next round ends with the last SACK of the next
            control.on_delivered(size, BASE + delay, number, last, self.now, limited=limited)
        self.packet += SACKS
        if lost:
            control.on_lost(self.packet - 1, self.packet, self.packet, self.now, lost)
        control.on_acknowledged(FULL, self.packet, self.now, limited=limited)
        return control


def in_avoidance():
    """A path whose controller has left slow start, the queue drained since."""
    path = Path()
    path.round()
    path.round()
    path.round(0.01)
    path.round()
    assert path.control.cwnd >= path.control.ssthresh
    return path


def test_it_is_the_default():
    assert Config().congestion is DelayAwareCubic


def test_a_loss_without_a_queue_is_no_congestion():
    path = in_avoidance()
    before = path.control.cwnd
    control = path.round(lost=FULL)
    assert control.cwnd >= before
    assert not control.in_recovery


def test_rfc9438_4_6_a_loss_with_a_queue_is():
    path = in_avoidance()
    path.round(0.01)
    before = path.control.cwnd
    path.control.on_lost(path.packet, path.packet + 1, path.packet, path.now, FULL)
    assert path.control.cwnd == pytest.approx(0.7 * before, rel=0.01)
    assert path.control.in_recovery


def test_before_a_round_trip_is_known_a_loss_is_congestion():
    control = DelayAwareCubic(FULL)
    control.on_lost(1, 10, 10, 0.0, FULL)
    assert control.cwnd == 7 * FULL


@pytest.mark.parametrize("queue", [0.0, 0.01])
def test_after_a_timeout_slow_start_goes_on_to_where_a_queue_was_met(queue):
    path = Path()
    path.round()
    path.round(queue, limited=False)
    window = path.control.cwnd
    path.control.on_timeout(path.now)
    assert path.control.cwnd == FULL
    assert (path.control.ssthresh > window) == (queue == 0.0)


def test_rfc4015_3_a_reduction_is_taken_back_if_there_is_no_queue():
    for queue, restored in ((0.004, True), (0.02, False)):
        path = in_avoidance()
        path.round(queue)
        before = path.control.cwnd
        path.control.on_lost(path.packet, path.packet + 1, path.packet, path.now, FULL)
        path.control.on_spurious()
        assert (path.control.cwnd == before) == restored


def test_many_losses_are_congestion_without_a_queue():
    path = in_avoidance()
    windows = []
    for _ in range(6):
        windows.append(path.control.cwnd)
        path.round(lost=int(3 * LOSS_LIMIT * path.control.cwnd))
    assert path.control.cwnd < windows[0]


def test_rfc9406_4_2_slow_start_ends_when_a_queue_builds_up():
    path = Path()
    for _ in range(3):
        path.round()
    doubled = path.control.cwnd
    assert doubled >= 40 * FULL
    path.round(0.008)
    assert path.control.ssthresh <= path.control.cwnd
    before = path.control.cwnd
    path.round(0.008)
    assert path.control.cwnd < 1.5 * before


def test_an_own_queue_that_is_too_long_is_halved():
    path = in_avoidance()
    limit = path.control.queue_limit
    assert limit == pytest.approx(BASE / 2)
    before = path.control.cwnd
    path.round(1.1 * limit)
    drained = path.control.cwnd
    assert drained < before
    for _ in range(DRAIN_ROUNDS):
        path.round()
    assert drained < path.control.cwnd <= before
    assert path.control.base == pytest.approx(BASE)


def test_a_queue_that_does_not_drain_is_somebody_elses_and_left_to_cubic():
    path = in_avoidance()
    before = path.control.cwnd
    for _ in range(1 + DRAIN_ROUNDS):
        path.round(0.05)
    restored = path.control.cwnd
    assert restored >= before
    until = path.now + SHARED_SECONDS - 1
    while path.now < until:
        path.round(0.05)
        assert path.control.cwnd >= restored


def test_a_loss_while_the_queue_drains_is_not_forgotten():
    path = in_avoidance()
    before = path.control.cwnd
    path.round(0.05)
    drained = path.control.cwnd
    path.control.on_lost(path.packet, path.packet + 1, path.packet, path.now, FULL)
    assert path.control.cwnd == drained  # it is low already
    for _ in range(DRAIN_ROUNDS):
        path.round(0.05)
    assert path.control.cwnd < 0.8 * before


def test_the_base_round_trip_follows_a_path_that_has_become_longer():
    path = in_avoidance()
    for _ in range(1000):
        path.round(0.03, limited=False)
    assert path.control.base == pytest.approx(BASE + 0.03)


def test_low_and_high_round_trips_bound_the_queue():
    control = DelayAwareCubic(FULL)
    control.on_delivered(FULL, 0.001, 1, 2, 1.0, limited=True)
    assert control.queue_limit == QUEUE_LIMIT[0]
    control = DelayAwareCubic(FULL)
    control.on_delivered(FULL, 0.9, 1, 2, 1.0, limited=True)
    assert control.queue_limit == QUEUE_LIMIT[1]


# On links


def test_one_percent_of_random_loss_costs_twenty_times_less_than_with_reno():
    link = Conditions(delay=0.025, loss=0.01)
    (reno,) = share([Reno], link, 4)
    (ours,) = share([DelayAwareCubic], link, 2)
    assert reno < 4
    assert ours > 20 * reno


@pytest.mark.parametrize("queue", [16_000, 120_000])  # a half and four round trips
@pytest.mark.parametrize("other", [Reno, Cubic])
def test_beside_others_it_takes_no_more_than_cubic_would(other, queue):
    link = Conditions(delay=0.025, rate=5_000_000, queue=queue)
    ours, theirs = share([DelayAwareCubic, other], link, 20, warm_up=6)
    assert 0.2 < ours / (ours + theirs) < 0.65
    assert ours + theirs > 4.4


def test_two_of_them_share():
    link = Conditions(delay=0.025, rate=5_000_000, queue=120_000)
    first, second = share([DelayAwareCubic] * 2, link, 30, warm_up=15, starts=[0.0, 5.0])
    assert 0.25 < second / (first + second) < 0.75


def test_alone_it_does_not_fill_a_deep_queue():
    link = Conditions(delay=0.025, rate=10_000_000, queue=1_000_000)  # 800 ms
    waits = []
    (rate,) = share([DelayAwareCubic], link, 20, warm_up=3, on_step=lambda link: waits.append(backlog(link)))
    assert rate > 9
    assert max(waits) < 0.05
    assert sorted(waits)[len(waits) // 2] < 0.03


@pytest.mark.parametrize(("delay", "rate"), [(0.005, 20e6), (0.025, 5e6), (0.1, 5e6)])
def test_on_a_clean_link_it_is_not_slower_than_reno(delay, rate):
    queue = max(int(rate * delay / 4), 30_000)
    link = Conditions(delay=delay, rate=rate, queue=queue)
    (reno,), (ours,) = (share([controller], link, 5) for controller in (Reno, DelayAwareCubic))
    assert ours > 0.95 * reno


def test_the_matrix_measures_what_the_default_does():
    assert throughput(DelayAwareCubic, 0.025, 0.01, seconds=2) > 4 * throughput(Reno, 0.025, 0.01, seconds=2)
