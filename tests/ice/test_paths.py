"""A path goes dark, and another one takes over."""

import itertools

import pytest

from stack.core import Address
from stack.ice import CandidateRemoved, PairSelected, PairState, RestartNeeded, StateChanged

from .support import TwoPaths, drain_events


def longest_gap(network, side, since):
    times = [since, *(t for t in network.arrivals[side] if t > since)]
    return max(later - earlier for earlier, later in itertools.pairwise(times))


def test_spare_pairs_are_kept():
    network = TwoPaths().settle()
    for machine in network.agents:
        assert sorted(pair.local.host[:4] for pair in machine.pairs if pair.valid) == ["10.1", "10.2"]
    assert network.networks() == [0, 0]


def test_what_keeping_them_costs():
    network = TwoPaths(talkers=()).settle()
    network.trace.clear()
    network.run(seconds=100)
    per_second = len(network.trace) / 100
    # Each side: a consent check each 5 s, checks of at most three spare pairs each 10 s, and the answers to these.
    assert per_second < 2 * 2 * (1 / 5 + 3 / 10) * 1.1


@pytest.mark.parametrize("renomination", [False, True])
@pytest.mark.parametrize("talkers", [(0, 1), (0,), (1,)])
@pytest.mark.parametrize("seed", range(4))
def test_a_dark_path_is_replaced_within_a_second(renomination, talkers, seed):
    network = TwoPaths(seed=seed, renomination=renomination, talkers=talkers).settle(15 + seed / 3)
    dark_at = network.now
    network.dark = {(0, 0), (0, 1)}
    network.talk(2)
    for sender in talkers:
        assert network.gap(1 - sender, dark_at + 0.06) < 1, sender  # what flew when it went dark still arrived
        assert network.networks()[sender] == 1
    network.talk(40)
    assert network.networks() == [1, 1]
    assert not any(isinstance(e, RestartNeeded) for side in network.events for e in side)
    assert all(network.agents[side].state == "completed" for side in (0, 1))
    for side in (0, 1):
        assert sum(isinstance(e, PairSelected) for e in network.events[side]) == 1  # and it stays there


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("direction", [0, 1])
def test_a_path_that_is_dark_in_one_direction(told, direction):
    network = TwoPaths(told=told).settle()
    dark_at = network.now
    network.dark = {(0, direction)}
    network.talk(8)
    assert network.networks()[direction] == 1
    gap = network.gap(1 - direction, dark_at + 0.06)
    assert gap < (1 if told else 7)  # else only a consent check, each 5 s, can tell


@pytest.mark.parametrize("seed", range(5))
def test_loss_is_not_darkness(seed):
    network = TwoPaths(seed=seed, loss=0.1).settle(60)
    network.talk(60)
    assert not any(isinstance(e, PairSelected) for side in network.events for e in side)


def test_one_way_data_costs_few_probes_and_moves_nothing():
    network = TwoPaths(talkers=(0,)).settle()
    network.trace.clear()
    network.talk(30)
    assert len(network.trace) / 30 < 8
    assert not any(isinstance(e, PairSelected) for side in network.events for e in side)


def test_a_removed_address_is_replaced_at_once():
    network = TwoPaths().settle()
    a, b = network.agents
    gone_at = network.now
    a.remove_local_address(network.locals[0][0], network.now)
    assert a.selected_pair.local == network.locals[0][1]
    assert a.state == "completed"
    events = drain_events(a)
    assert isinstance(events[0], CandidateRemoved)
    assert events[0].candidate.address == network.locals[0][0]
    network.dark = {(0, 0), (0, 1)}
    network.talk(3)
    assert network.gap(1, gone_at + 0.06) < 0.1
    assert network.gap(0, gone_at + 0.06) < 1
    assert b.selected_pair.nominated


@pytest.mark.parametrize("side", [0, 1])
def test_who_removes_an_address_says_so_although_no_data_leaves(side):
    """A check on the pair that it moves to is the hint for which the other side looks before its time."""
    network = TwoPaths().settle()
    gone_at = network.now
    network.agents[side].remove_local_address(network.locals[side][0], gone_at)
    network.dark = {(0, 0), (0, 1)}
    network.talkers = {1 - side}
    network.talk(3)
    assert network.gap(side, gone_at + 0.06) < 0.6  # three round trips of silence, one and a half of probes


@pytest.mark.parametrize("delay", [0.005, 0.025])
def test_a_hint_is_worth_less_silence(delay):
    network = TwoPaths(delays=(delay, delay)).settle()
    gone_at = network.now
    network.agents[1].remove_local_address(network.locals[1][0], gone_at)
    network.dark = {(0, 0), (0, 1)}
    network.talkers = {0}
    network.talk(3)
    assert network.gap(1, gone_at + delay + 0.01) < 0.4


def test_a_hint_without_silence_moves_nothing():
    network = TwoPaths().settle()
    a, b = network.agents
    for _ in range(50):
        for pair in b.pairs:
            b._send_check(pair, network.now, once=True)
        network.talk(0.1)
    assert not any(isinstance(e, PairSelected) for side in network.events for e in side)
    assert a.selected_pair.requests_received > 50


@pytest.mark.parametrize(("delay", "after"), [(0.05, 2.0), (0.4, 4.8)])
def test_a_restart_is_asked_for_after_two_seconds_or_six_round_trips(delay, after):
    network = TwoPaths(delays=(delay, delay)).settle(30)
    dark_at = network.now
    network.dark = {(n, side) for n in (0, 1) for side in (0, 1)}
    network.talk(10, until=lambda: all(RestartNeeded("path-silent") in side for side in network.events))
    asked = network.now - dark_at
    assert after <= asked < after + 2 * delay + 0.1


def test_a_moment_in_a_tunnel_is_no_outage():
    network = TwoPaths().settle()
    for _ in range(5):
        network.dark = {(n, side) for n in (0, 1) for side in (0, 1)}
        network.talk(1.5)
        network.dark = set()
        network.talk(1.0)
    assert not any(isinstance(e, RestartNeeded) for side in network.events for e in side)


def test_without_another_path_a_restart_is_asked_for_once():
    network = TwoPaths().settle()
    network.dark = {(n, side) for n in (0, 1) for side in (0, 1)}
    network.talk(40)
    for side, machine in enumerate(network.agents):
        assert [e.reason for e in network.events[side] if isinstance(e, RestartNeeded)] == ["path-silent"]
        assert [e.state for e in network.events[side] if isinstance(e, StateChanged)] == ["disconnected", "failed"]
        assert machine.next_timer() is None


def test_the_last_address_goes_and_another_comes():
    network = TwoPaths().settle()
    a, b = network.agents
    for address in network.locals[0]:
        a.remove_local_address(address, network.now)
    assert a.selected_pair is None
    assert a.state == "disconnected"
    assert a.pairs == []
    network.talk(3)
    events = network.events[0]
    assert [e.reason for e in events if isinstance(e, RestartNeeded)] == ["no-valid-pair"]
    late = Address("10.2.0.1", 7777)
    a.add_local_address(late, network.now)
    network.talk(2)
    assert a.selected_pair.local == late
    assert b.selected_pair.remote == late
    assert b.selected_pair.remote_candidate.type == "prflx"
    assert a.state == b.state == "completed"


def test_without_any_address_it_fails_in_the_end():
    network = TwoPaths().settle()
    a, _ = network.agents
    for address in network.locals[0]:
        a.remove_local_address(address, network.now)
    network.talk(31)
    assert a.state == "failed"
    a.remove_local_address(network.locals[0][0], network.now)  # unknown by now: no harm


def test_a_late_address_becomes_a_spare_pair():
    network = TwoPaths(delays=(0.05, 0.05)).settle()
    a, b = network.agents
    a.remove_local_address(network.locals[0][1], network.now)
    late = Address("10.2.0.1", 7777)
    a.add_local_address(late, network.now)
    network.talk(15)
    network.dark = {(0, 0), (0, 1)}
    network.talk(1.2)
    assert a.selected_pair.local == late
    assert b.selected_pair.remote == late


def test_a_dark_path_that_comes_back_is_a_spare_pair_again():
    network = TwoPaths().settle()
    network.dark = {(0, 0), (0, 1)}
    network.talk(60)
    a = network.agents[0]
    assert [pair.state for pair in a.pairs if not pair.valid] == [PairState.FAILED] * len(
        [pair for pair in a.pairs if not pair.valid]
    )
    network.dark = set()
    network.talk(15)
    network.dark = {(1, 0), (1, 1)}
    dark_at = network.now
    network.talk(2)
    assert network.networks() == [0, 0]
    assert max(network.gap(side, dark_at + 0.06) for side in (0, 1)) < 1


@pytest.mark.parametrize("delays", [(0.1, 0.1), (0.01, 0.1)])
def test_other_round_trip_times(delays):
    network = TwoPaths(delays=delays).settle()
    dark_at = network.now
    network.dark = {(network.networks()[0], side) for side in (0, 1)}
    network.talk(3)
    assert max(network.gap(side, dark_at + max(delays) + 0.01) for side in (0, 1)) < 1.5
    assert longest_gap(network, 0, dark_at) < 1.5
