import pytest

from stack.core import Address
from stack.ice import (
    CandidateGathered,
    Closed,
    GatheringCompleted,
    PairSelected,
    PairState,
    PairValidated,
    Parameters,
    RoleChanged,
    StateChanged,
)
from stack.stun import Class, Message
from stack.testing import Conditions, Link

from .support import A, B, Network, agent, drain_events, host, introduce, start, two

ROUND_TRIP = Conditions(delay=0.05)


def names(events):
    return [e.state if isinstance(e, StateChanged) else type(e).__name__ for e in events]


def connected(seed=1, conditions=ROUND_TRIP, **config):
    a, b = two(seed, **config)
    link = Link(a, b, conditions, seed=seed, keep_trace=True)
    start(a, b, link.now)
    link.run(lambda: a.state == b.state == "completed")
    return a, b, link


def checks_of(link, sender):
    messages = [(time, Message.parse(data)) for time, who, data in link.trace if who == sender]
    return [(round(time - 1000, 3), message) for time, message in messages if message.message_class is Class.REQUEST]


def test_the_first_pair_is_valid_after_one_round_trip():
    a, b = two()
    link = Link(a, b, ROUND_TRIP)
    start(a, b, link.now)
    assert link.run(lambda: a.selected_pair and b.selected_pair)
    assert round(link.now - 1000, 6) == 0.1
    assert a.selected_pair.local == A
    assert a.selected_pair.remote == B
    assert a.accepts(A, B)
    assert not a.accepts(A, A)


def test_what_is_reported():
    a, _, link = connected()
    expected = ["CandidateGathered", "GatheringCompleted", "checking", "PairValidated", "PairSelected"]
    expected += ["connected", "completed"]
    assert names(link.events[0]) == expected
    assert names(link.events[1]) == expected
    assert a.rtt is not None
    assert abs(a.rtt - 0.1) < 1e-6
    assert a.selected_pair.nominated
    assert not a.dropped


def test_nomination_follows_validation_at_once():
    _, b, link = connected()
    nominations = [time for time, message in checks_of(link, 0) if message.use_candidate]
    assert nominations == [0.1]
    assert round(link.now - 1000, 3) == 0.2
    assert not any(message.use_candidate for _, message in checks_of(link, 1))
    assert b.selected_pair.nominated


def test_the_attributes_of_a_check():
    a, b, link = connected()
    time, check = checks_of(link, 0)[0]
    assert time == 0
    assert check.username == f"{b.local_parameters.ufrag}:{a.local_parameters.ufrag}"
    assert check.priority == 110 << 24 | 65535 << 8 | 255
    assert check.ice_controlling is not None
    assert check.ice_controlled is None
    assert check.has_fingerprint
    assert check.verify_integrity(b.local_parameters.pwd.encode())


def percentile(values, share):
    return sorted(values)[int(len(values) * share)]


def test_with_ten_percent_loss_the_first_valid_pair_comes_within_three_round_trips():
    times = []
    for seed in range(100):
        a, b = two(seed)
        link = Link(a, b, Conditions(delay=0.05, loss=0.1), seed=seed)
        start(a, b, link.now)
        assert link.run(lambda a=a, b=b: a.selected_pair and b.selected_pair)
        times.append(link.now - 1000)
    assert percentile(times, 0.95) < 0.3


def times_to_connect(hosts, passes, pacing=None, loss=0.1, seeds=100):
    times = []
    for seed in range(seeds):
        a, b = two(seed, **({} if pacing is None else {"pacing_interval": pacing}))
        network = Network(a, b, loss=loss, seed=seed)
        for side, machine in enumerate((a, b)):
            for number in range(hosts):
                machine.add_local_address(Address(f"10.{number}.0.{side + 1}", 1000), network.now)
        network.passes = passes
        network.signal()
        assert network.run(lambda a=a, b=b: bool(a.selected_pair and b.selected_pair))
        times.append(network.now - 1000)
    return times


def everywhere(source, target):
    return True


def in_one_network(source, target):
    return source.host.split(".")[1] == target.host.split(".")[1]


@pytest.mark.parametrize("pacing", [None, 0.02])
@pytest.mark.parametrize("passes", [everywhere, in_one_network])
def test_four_hosts_on_each_side_connect_within_three_round_trips_in_spite_of_loss(passes, pacing):
    assert percentile(times_to_connect(4, passes, pacing, loss=0, seeds=1), 0) == pytest.approx(0.1)
    assert percentile(times_to_connect(4, passes, pacing), 0.95) < 0.3


@pytest.mark.parametrize(("pacing", "seconds"), [(None, 0.1 + 15 * 0.05), (0.02, 0.1 + 15 * 0.02)])
def test_the_last_of_sixteen_pairs_is_reached_as_soon_as_the_pacing_lets_it(pacing, seconds):
    def in_the_last_network(source, target):
        return source.host.startswith("10.3.") and target.host.startswith("10.3.")

    (time,) = times_to_connect(4, in_the_last_network, pacing, loss=0, seeds=1)
    assert time <= seconds + 1e-6


def test_the_larger_pacing_of_both_sides_counts():
    a = agent(pacing_interval=0.005)
    assert a.local_parameters.pacing_interval == 0.005
    assert agent().local_parameters.pacing_interval is None
    for theirs, expected in ((None, 0.05), (0.02, 0.02), (0.001, 0.005)):
        a = agent(pacing_interval=0.005)
        a.set_remote_parameters(Parameters("peer", "x" * 22, pacing_interval=theirs), 0.0)
        assert a.statistics().pacing_interval == expected


def test_with_thirty_percent_loss_it_completes_in_the_end():
    for seed in range(20):
        a, b, link = connected(seed, Conditions(delay=0.05, loss=0.3, jitter=0.02, duplicate=0.1))
        assert a.state == b.state == "completed", seed
        assert link.now < 1020


def test_candidates_may_come_one_by_one_and_before_the_parameters():
    a, b = two()
    network = Network(a, b)
    a.add_remote_candidate(host(B), 1000.0)
    assert a.state == "new"
    a.add_local_address(A, 1000.0)
    b.add_local_address(B, 1000.0)
    network.run(seconds=1)
    assert network.trace == []
    a.set_remote_parameters(b.local_parameters, network.now)
    assert a.state == "checking"
    b.set_remote_parameters(a.local_parameters, network.now)
    b.add_remote_candidate(host(A), network.now)
    assert network.run(lambda: a.selected_pair and b.selected_pair and a.selected_pair.nominated)
    assert a.state == b.state == "connected"
    for machine in (a, b):
        machine.end_of_remote_candidates(network.now)
        machine.end_local_addresses(network.now)
    assert a.state == b.state == "completed"


def test_checks_that_come_before_the_parameters_are_answered_and_remembered():
    a, b = two()
    network = Network(a, b)
    a.add_local_address(A, network.now)
    b.add_local_address(B, network.now)
    b.set_remote_parameters(a.local_parameters, network.now)
    b.add_remote_candidate(host(A), network.now)
    assert network.run(lambda: b.selected_pair is not None, seconds=0.11)  # one round trip
    assert a.selected_pair is None
    assert a.pairs == []
    network.run(seconds=1)
    assert a.accepts(A, B)  # the other side has shown our password; its data may overtake its description
    a.set_remote_parameters(b.local_parameters, network.now)
    assert a.accepts(A, B)
    assert a.remote_candidates[0].type == "prflx"
    assert [pair.remote for pair in a.pairs] == [B]
    before = network.now
    assert network.run(lambda: a.selected_pair is not None)
    assert round(network.now - before, 6) == 0.1


def test_early_checks_of_somebody_else_are_forgotten():
    a, b, c = agent("a"), agent("b", controlling=False), agent("c", controlling=False)
    network = Network(a, b)
    a.add_local_address(A, network.now)
    b.add_local_address(B, network.now)
    b.set_remote_parameters(a.local_parameters, network.now)
    b.add_remote_candidate(host(A), network.now)
    network.run(seconds=1)
    assert a.accepts(A, B)
    a.set_remote_parameters(c.local_parameters, network.now)
    assert a.pairs == []
    assert not a.accepts(A, B)


def test_a_signalled_candidate_replaces_the_peer_reflexive_one():
    a, b = two()
    network = Network(a, b)
    a.add_local_address(A, network.now)
    b.add_local_address(B, network.now)
    a.set_remote_parameters(b.local_parameters, network.now)
    b.set_remote_parameters(a.local_parameters, network.now)
    b.add_remote_candidate(host(A), network.now)
    network.run(lambda: bool(a.pairs))
    before = a.pairs[0].priority
    assert a.pairs[0].remote_candidate.type == "prflx"
    a.add_remote_candidate(host(B), network.now)
    assert len(a.pairs) == 1
    assert a.pairs[0].remote_candidate.type == "host"
    assert a.pairs[0].priority > before
    a.add_remote_candidate(host(B, 5), network.now)  # redundant, with lower priority
    assert a.pairs[0].remote_candidate.priority == host(B).priority


def test_spellings_of_an_address_are_one_address():
    a = agent()
    a.add_remote_candidate(host(Address("2001:DB8:0::1", 5)), 0.0)
    a.add_remote_candidate(host(Address("2001:db8::1", 5)), 0.0)
    assert [candidate.host for candidate in a.remote_candidates] == ["2001:db8::1"]


def test_candidates_that_cannot_be_used_are_counted():
    a = agent()
    a.add_local_address(A, 0.0)
    a.add_remote_candidate(host(Address("x.local", 5)), 0.0)
    a.add_remote_candidate(host(Address("127.0.0.1", 5)), 0.0)
    a.add_remote_candidate(host(B, component=2), 0.0)
    assert a.dropped == {"candidate-not-ip": 1, "candidate-loopback": 1, "candidate-component": 1}
    assert a.remote_candidates == []


def test_loopback_with_a_local_loopback_address():
    a = agent()
    a.add_local_address(Address("127.0.0.1", 1), 0.0)
    a.add_local_address(A, 0.0)
    a.add_remote_candidate(host(Address("127.0.0.1", 5)), 0.0)
    a.set_remote_parameters(agent("b").local_parameters, 0.0)
    assert [(pair.local.host, pair.remote.host) for pair in a.pairs] == [("127.0.0.1", "127.0.0.1")]
    assert not a.dropped


def test_ordinary_checks_are_paced_and_repeated():
    a = agent(pacing_interval=0.02)
    b = agent("b", controlling=False, pacing_interval=0.01)
    network = Network(a, b)
    a.add_local_address(A, network.now)
    a.set_remote_parameters(b.local_parameters, network.now)
    for number in range(3):
        a.add_remote_candidate(host(Address(f"10.9.0.{number + 1}", 9), foundation=str(number)), network.now)
    network.run(seconds=60)
    by_target = {}
    for time, _, datagram in network.trace:
        by_target.setdefault(datagram.remote.host, []).append(round(time - 1000, 3))
    assert [times[0] for times in by_target.values()] == [0, 0.02, 0.04]
    assert by_target["10.9.0.1"] == [0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 12.7, 25.5]
    assert {pair.state for pair in a.pairs} == {PairState.FAILED}


def test_the_better_of_two_paths_is_nominated_when_it_answers_soon():
    a, b = two()
    network = Network(a, b)
    slow, fast = Address("10.0.1.1", 1), Address("10.0.2.1", 1)
    a.add_local_address(A, network.now)
    b.add_local_address(slow, network.now)  # the first one is preferred, but its check is lost
    b.add_local_address(fast, network.now)
    lost = []

    def passes(source, target):
        first = {source, target} == {A, slow} and len(lost) < 3
        if first:
            lost.append(source)
        return not first

    network.passes = passes
    network.signal()
    assert network.run(lambda: a.selected_pair is not None)
    assert a.selected_pair.remote == fast
    assert network.run(lambda: a.selected_pair.nominated and b.selected_pair.nominated)
    assert a.selected_pair.remote == b.selected_pair.local == slow


def test_nomination_does_not_wait_long_for_a_better_path():
    a, b = two()
    network = Network(a, b)
    dead, alive = Address("10.0.1.1", 1), Address("10.0.2.1", 1)
    a.add_local_address(A, network.now)
    b.add_local_address(dead, network.now)
    b.add_local_address(alive, network.now)
    network.passes = lambda source, target: dead not in {source, target}
    network.signal()
    assert network.run(lambda: a.selected_pair is not None)
    valid_at = network.now
    assert network.run(lambda: a.selected_pair.nominated)
    assert a.selected_pair.remote == alive
    assert round(network.now - valid_at, 3) == 0.2  # 100 ms of patience and one round trip
    assert [pair.remote for pair in a.pairs] == [dead, alive]  # the other one is still tried, as a spare
    network.run(seconds=60)
    assert [pair.state for pair in a.pairs] == [PairState.FAILED, PairState.SUCCEEDED]


def test_both_controlling():
    a, b = agent("a"), agent("b")
    link = Link(a, b, ROUND_TRIP)
    start(a, b, link.now)
    assert link.run(lambda: a.state == b.state == "completed")
    assert a.controlling != b.controlling
    assert link.now - 1000 < 0.5
    changes = [e for side in link.events for e in side if isinstance(e, RoleChanged)]
    assert changes == [RoleChanged(controlling=False)]


def test_both_controlled():
    for seed in range(6):
        a, b = agent(f"a{seed}", controlling=False), agent(f"b{seed}", controlling=False)
        link = Link(a, b, ROUND_TRIP)
        start(a, b, link.now)
        assert link.run(lambda a=a, b=b: a.state == b.state == "completed")
        assert a.controlling != b.controlling


def test_a_lite_peer_makes_us_controlling():
    a, b = agent("a", controlling=False), agent("b")
    parameters = b.local_parameters
    parameters.lite = True
    a.set_remote_parameters(parameters, 0.0)
    assert a.controlling
    assert drain_events(a) == [RoleChanged(controlling=True)]


def test_a_peer_with_aggressive_nomination():
    """RFC 5245: every check nominates; of several nominated pairs the one of highest priority wins."""
    low, high = Address("10.0.1.1", 1), Address("10.0.2.1", 1)
    a, b = two()
    network = Network(a, b)
    a.add_local_address(A, network.now)
    b.add_local_address(high, network.now)
    b.add_local_address(low, network.now)
    delayed = [True]
    network.passes = lambda source, target: not (delayed[0] and high in {source, target})
    network.signal()
    assert network.run(lambda: b.selected_pair is not None and b.selected_pair.nominated)
    assert b.selected_pair.local == low
    delayed[0] = False
    best = next(pair for pair in [*a.pairs, a._form_pair(a._bases[A], host(high), network.now)] if pair.remote == high)
    a._nominated, a._nominating = None, best
    a._checklist.trigger(best)
    a.handle_timer(network.now)
    assert network.run(lambda: b.selected_pair.local == high)
    assert b.selected_pair.nominated
    assert b.state == "connected"


def test_link_local_and_families_are_not_mixed():
    a = agent()
    for number, text in enumerate(("10.0.0.1", "fe80::1", "2001:db8::1")):
        a.add_local_address(Address(text, 1000 + number), 0.0)
    a.set_remote_parameters(agent("b").local_parameters, 0.0)
    for text in ("10.0.0.2", "fe80::2", "2001:db8::2"):
        a.add_remote_candidate(host(Address(text, 5)), 0.0)
    assert sorted((pair.local.host, pair.remote.host) for pair in a.pairs) == [
        ("10.0.0.1", "10.0.0.2"),
        ("2001:db8::1", "2001:db8::2"),
        ("fe80::1", "fe80::2"),
    ]


def test_it_fails_only_after_the_patience_of_rfc_8863():
    a, b = two()
    link = Link(a, b, ROUND_TRIP, tamper=lambda sender, index, data: [])
    start(a, b, link.now)
    assert link.run(lambda: a.state == "failed" and b.state == "failed")
    assert round(link.now - 1000, 3) == 39.5
    assert a.next_timer() is None
    assert a.selected_pair is None
    assert names(link.events[0])[-2:] == ["checking", "failed"]


def test_without_candidates_it_fails_too():
    a, b = two()
    a.set_remote_parameters(b.local_parameters, 0.0)
    assert a.next_timer() == 39.5
    a.handle_timer(39.5)
    assert drain_events(a) == [StateChanged("failed")]


def test_a_late_peer_is_still_found():
    a, b = two()
    network = Network(a, b)
    a.add_local_address(A, network.now)
    a.set_remote_parameters(b.local_parameters, network.now)
    a.add_remote_candidate(host(B), network.now)
    a.end_of_remote_candidates(network.now)
    network.run(seconds=20)  # the other side's user thinks it over
    b.add_local_address(B, network.now)
    b.set_remote_parameters(a.local_parameters, network.now)
    b.add_remote_candidate(host(A), network.now)
    before = network.now
    assert network.run(lambda: a.selected_pair and b.selected_pair)
    assert network.now - before < 0.25


def test_closing():
    a, b, link = connected()
    a.close(link.now)
    events = drain_events(a)
    assert events == [StateChanged("closed"), Closed()]
    assert a.next_timer() is None
    assert a.selected_pair is None
    assert a.rtt is None
    assert not a.accepts(A, B)
    assert a.datagrams_to_send(link.now) == []
    assert b.state == "completed"


def test_gathering_events_in_order():
    a = agent()
    a.add_local_address(A, 0.0, interface="eth0")
    a.end_local_addresses(0.0)
    a.end_local_addresses(0.0)
    events = drain_events(a)
    assert names(events) == ["CandidateGathered", "GatheringCompleted"]
    assert isinstance(events[0], CandidateGathered)
    assert events[0].candidate.address == A
    assert isinstance(events[1], GatheringCompleted)
    assert [c.type for c in a.local_candidates] == ["host"]


def test_pairs_are_listed_best_first():
    a, b = two()
    network = Network(a, b)
    for port in (1, 2, 3):
        b.add_local_address(Address("10.0.0.2", port), network.now)
    a.add_local_address(A, network.now)
    network.signal()
    assert [pair.remote.port for pair in a.pairs] == [1, 2, 3]
    network.run(seconds=5)
    validated = [e.pair for e in network.events[0] if isinstance(e, PairValidated)]
    assert validated[0] is a.selected_pair
    assert [e.pair for e in network.events[0] if isinstance(e, PairSelected)] == [a.selected_pair]


def test_the_same_parameters_again_change_nothing():
    a, b, link = connected()
    introduce(a, b, link.now)
    link.run(seconds=1)
    assert names(link.events[0])[-1] == "completed"
    assert a.state == "completed"
