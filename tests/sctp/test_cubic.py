"""CUBIC (RFC 9438) and the matrix that compares controllers."""

import pytest

from stack.sctp import Config, Cubic, Reno
from stack.testing import Conditions

from . import matrix
from .support import connected

FULL = 1000


def in_avoidance(window, w_max=None):
    """A controller in congestion avoidance at `window` packets after a loss at `w_max`."""
    control = Cubic(FULL)
    control.cwnd = int((w_max or window / 0.7) * FULL)
    control.on_lost(1, 10, 10, 0.0)
    control.on_acknowledged(0, 10, 0.0, limited=True)  # leaves recovery
    return control


def grow(control, seconds, *, round_trip=0.1, start=0.0):
    for step in range(round(seconds / round_trip)):
        control.on_acknowledged(control.cwnd, 1000 + step, start + step * round_trip, limited=True)


def test_rfc9438_4_6_a_loss_leaves_seven_tenths_once_per_flight():
    control = in_avoidance(70, 100)
    assert (control.cwnd, control.ssthresh) == (70_000, 70_000)
    control.on_lost(5, 20, 20, 0.1)
    assert control.cwnd == 70_000
    control.on_lost(10, 30, 30, 0.2)
    assert control.cwnd == 49_000


def test_rfc9438_4_2_the_window_returns_to_its_maximum_after_k_and_is_flat_there():
    control = in_avoidance(700, 1000)
    k = (300 / 0.4) ** (1 / 3)
    grow(control, k)
    assert control.cwnd == pytest.approx(1000 * FULL, rel=0.03)
    before = control.cwnd
    grow(control, 1.0, start=k)
    assert control.cwnd - before < 10 * FULL


def test_rfc9438_4_2_growth_depends_on_time_and_not_on_the_round_trip():
    windows = []
    for round_trip in (0.02, 0.2):
        control = in_avoidance(700, 1000)
        grow(control, 12.0, round_trip=round_trip)
        windows.append(control.cwnd)
    assert windows[0] == pytest.approx(windows[1], rel=0.05)
    assert windows[0] > 1000 * FULL


def test_rfc9438_4_3_a_small_window_grows_at_least_like_reno():
    control = in_avoidance(7, 10)
    grow(control, 0.5, round_trip=0.01)
    assert control.cwnd > 30 * FULL


def test_rfc9438_4_7_fast_convergence_lowers_the_maximum_of_who_lost_earlier():
    control = in_avoidance(70, 100)
    control.on_lost(10, 30, 30, 0.2)
    assert control._w_max == pytest.approx(70 * 1.7 / 2)


def test_rfc9438_4_8_a_timeout_starts_over():
    control = in_avoidance(70, 100)
    control.on_timeout(1.0)
    assert (control.cwnd, control.ssthresh) == (FULL, 49_000)
    control.on_acknowledged(FULL, 50, 1.1, limited=True)
    assert control.cwnd == 2 * FULL  # slow start


def test_rfc9438_5_8_a_window_that_is_not_used_does_not_grow():
    control = in_avoidance(70, 100)
    for step in range(100):
        control.on_acknowledged(5 * FULL, 100 + step, step * 0.1, limited=False)
    assert control.cwnd == 70_000
    control.on_acknowledged(5 * FULL, 300, 10.0, limited=True)
    assert control.cwnd < 71_000


def test_cubic_carries_messages_over_a_lossy_link():
    config = {"congestion": Cubic}
    link = connected(Conditions(delay=0.02, loss=0.02), a=config, b=config)
    for _ in range(60):
        link.machines[0].send(1, 53, bytes(16384), link.now)
    assert link.run(lambda: len(link.events[1]) == 60, seconds=120)
    assert type(link.machines[0]._outbound.congestion) is Cubic
    assert Config(congestion=Cubic).congestion is Cubic


def test_cubic_uses_a_long_path_with_few_losses_better_than_reno():
    reno, cubic = (matrix.throughput(controller, 0.1, 0.001, seconds=20.0) for controller in (Reno, Cubic))
    assert cubic > 1.1 * reno


def test_the_matrix_is_deterministic():
    cells = [matrix.throughput(Reno, 0.025, 0.01, seconds=1.0) for _ in range(2)]
    delays = [matrix.delay_of_messages(Reno, 0.025, 0.05, count=100) for _ in range(2)]
    assert cells[0] == cells[1] > 0.5
    assert delays[0] == delays[1] >= 0.0
