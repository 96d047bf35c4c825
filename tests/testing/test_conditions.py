"""What a line does to datagrams."""

import itertools
import random

import pytest

from stack.core import DropPacket
from stack.testing import Conditions, Pipe


def fates(conditions, count=20_000, size=100, seed=1):
    """For each datagram when it arrives, or why not; one a millisecond."""
    pipe, rng, found = Pipe(conditions), random.Random(seed), []
    for index in range(count):
        try:
            found.append(pipe.carry(size, index / 1000, rng))
        except DropPacket as drop:
            found.append(drop.reason)
    return found


def runs(lost):
    """Lengths of the runs of True."""
    lengths, length = [], 0
    for value in [*lost, False]:
        if value:
            length += 1
        elif length:
            lengths.append(length)
            length = 0
    return lengths


def test_a_plain_line_only_delays_and_draws_no_chance():
    rng = random.Random(1)
    before = rng.getstate()
    assert Pipe(Conditions(delay=0.02)).carry(100, 5.0, rng) == [5.02]
    assert rng.getstate() == before


def test_loss_is_as_often_as_asked_for():
    assert fates(Conditions(loss=0.1)).count("link-loss") == pytest.approx(2000, rel=0.1)


def test_bursts_are_as_often_and_as_long_as_asked_for():
    lost = [fate == "link-loss" for fate in fates(Conditions(burst=0.01, burst_length=5.0))]
    lengths = runs(lost)
    assert sum(lengths) / len(lengths) == pytest.approx(5.0, rel=0.15)
    assert len(lengths) == pytest.approx(0.01 * lost.count(False), rel=0.2)


def test_loss_inside_and_outside_of_bursts_differ():
    fate = fates(Conditions(loss=0.02, burst=0.02, burst_length=10.0, burst_loss=0.5))
    inside = 0.02 * 10 / (1 + 0.02 * 10)  # part of the time in bursts, in the long run
    expected = inside * 0.5 + (1 - inside) * 0.02
    assert fate.count("link-loss") / len(fate) == pytest.approx(expected, rel=0.15)


def test_what_is_held_back_is_overtaken():
    arrivals = [fate[0] for fate in fates(Conditions(reorder=0.1, reorder_delay=0.0025), count=1000)]
    late = [index for index, arrives in enumerate(arrivals) if arrives > index / 1000 + 0.011]
    assert len(late) == pytest.approx(100, rel=0.3)
    assert all(arrivals[index] > arrivals[index + 1] for index in late if index + 1 not in late and index < 999)


def test_copies_arrive_each_at_its_time():
    copies = [fate for fate in fates(Conditions(duplicate=0.2, jitter=0.005), count=1000) if len(fate) == 2]
    assert len(copies) == pytest.approx(200, rel=0.3)
    assert all(first != second for first, second in copies)


def test_a_bottleneck_spaces_datagrams_and_its_queue_is_bounded():
    fate = fates(Conditions(delay=0.0, rate=400_000, queue=1000), count=100)  # 2 ms each, offered every 1 ms
    arrived = [item[0] for item in fate if item != "queue-full"]
    assert fate.count("queue-full") > 30
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrived)]
    assert min(gaps) >= 0.002 - 1e-9
    assert max(arrives - index / 1000 for index, (arrives,) in enumerate(fate[:11])) <= 0.022 + 1e-9


def test_conditions_may_change_while_it_is_used():
    pipe, rng = Pipe(Conditions(delay=0.01)), random.Random(1)
    pipe.conditions = Conditions(delay=0.3)
    assert pipe.carry(1, 0.0, rng) == [0.3]
