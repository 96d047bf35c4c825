"""What the simulator must show: the issue's bounds, RFC 8867's expectations, and the page in the documentation."""

from pathlib import Path

import pytest

from . import cases

PAGE = Path(__file__).parents[2] / "docs" / "tables" / "bwe.md"


@pytest.mark.parametrize(
    "options",
    [{}, {"jitter": cases.JITTER}, {"jitter": cases.JITTER, "interval": 0.1}, {"jitter": cases.JITTER, "delay": 0.02}],
)
def test_a_step_link_is_used_without_a_queue_and_a_halved_capacity_is_met_within_a_second(options):
    outcome = cases.steps(**options)
    assert outcome.used >= 0.80
    assert outcome.queue <= 0.100
    assert outcome.down <= 1.0
    assert outcome.loss < 0.005


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_the_bounds_do_not_depend_on_the_seed(seed):
    outcome = cases.steps(jitter=cases.JITTER, seed=seed)
    assert outcome.used >= 0.80
    assert outcome.queue <= 0.100
    assert outcome.down <= 1.0


@pytest.mark.parametrize("delay", [0.05, 0.1])
def test_5_1_a_single_flow_follows_the_capacity(delay):
    outcome = cases.variable_capacity(delay)
    assert outcome.used > 0.8
    assert outcome.queue < 0.1
    assert outcome.down < 1.0
    assert outcome.up < 5.0


def test_5_2_two_flows_follow_it_and_share_it():
    outcome = cases.variable_capacity_two_flows()
    assert outcome.used > 0.8
    assert outcome.queue < 0.1
    assert max(outcome.shares) < 1.5 * min(outcome.shares)


def test_5_3_reports_in_full_queues_do_no_harm():
    outcome = cases.congested_feedback()
    assert outcome.used > 0.8
    assert outcome.queue < 0.1


def test_5_4_flows_that_come_later_get_their_share():
    outcome = cases.competing_flows()
    assert outcome.used > 0.8
    assert outcome.queue < 0.1
    assert max(outcome.shares) < 1.5 * min(outcome.shares)


def test_5_5_no_flow_starves_because_it_comes_from_afar():
    outcome = cases.round_trip_fairness()
    assert outcome.used > 0.8
    assert outcome.queue < 0.1
    assert min(outcome.shares) > 0.4 * max(outcome.shares)


@pytest.mark.parametrize("queue", [0.3, 1.0])
def test_5_6_beside_a_long_tcp_flow_the_minimum_is_kept(queue):
    outcome = cases.long_tcp(queue)
    assert outcome.shares[0] > cases.RFC_BOUNDS[0]
    assert outcome.tcp > 0.5 * cases.MBIT


def test_5_7_short_tcp_flows_do_not_starve_media():
    outcome = cases.short_tcp()
    assert min(outcome.shares) > 2 * cases.RFC_BOUNDS[0]
    assert outcome.loss < 0.01


def test_5_8_who_pauses_gets_its_share_back():
    outcome = cases.pause_and_resume()
    assert outcome.used > 0.8
    assert max(outcome.shares) < 1.5 * min(outcome.shares)


def test_a_longer_path_is_not_taken_for_a_queue():
    outcome = cases.round_trip_changes()
    assert outcome.used > 0.7
    assert outcome.queue < 0.1


def test_losses_that_are_the_paths_own():
    assert cases.random_loss(0.02).used > 0.75
    assert cases.random_loss(0.1).used > 0.4
    assert cases.loss_bursts().used > 0.75


@pytest.mark.parametrize("case", [cases.lte, cases.wifi])
def test_paths_that_never_stand_still(case):
    outcome = case()
    assert outcome.used > 0.65
    assert outcome.queue < 0.1


def test_an_outage_of_reports_is_survived():
    outcome = cases.black_hole()
    assert outcome.used > 0.7
    assert outcome.queue < 0.1


@pytest.mark.parametrize("seconds", [0.15, 0.3, 0.5])
@pytest.mark.parametrize(("rate", "seed"), [(2, 1), (4, 1), (4, 2), (8, 3)])
def test_a_path_that_was_dead_for_a_moment_is_used_again_at_once(seconds, rate, seed):
    outcome = cases.outage(seconds, rate * cases.MBIT, seed)
    assert outcome.up <= 0.3
    assert outcome.queue < 0.1


def test_an_application_that_begins_to_use_its_target():
    outcome = cases.application_limited()
    assert outcome.used > 0.8
    assert outcome.queue < 0.1


def test_it_is_deterministic():
    first, second = cases.black_hole(), cases.black_hole.__wrapped__()
    assert first == second


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == cases.page(), "write it again: python -m tests.bwe.cases > docs/tables/bwe.md"
