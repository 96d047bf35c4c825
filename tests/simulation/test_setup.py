"""How long it takes from the answer to the first path, in round trips."""

import pytest

from stack import ice
from stack.testing import Conditions

from .peers import PeerCall
from .support import KINDS, STUN, Internet, Side

ROUND_TRIP = 0.1
SEEDS = range(100)
LINE = ROUND_TRIP / 4  # each way there are two lines
BY_NAME = {kind.name: kind for kind in KINDS}


class Gathered:
    """Two agents that have all their candidates, and have told each other nothing yet."""

    def __init__(self, kind, seed):
        self.network = Internet(seed=seed)
        line = Conditions(delay=LINE)
        self.hosts = [self.network.place(kind, name, conditions=line)[0] for name in "ab"]
        self.sides = [Side(name, controlling=name == "a", seed=seed) for name in "ab"]
        self.processes = [host.run(side) for host, side in zip(self.hosts, self.sides, strict=True)]
        for process, side in zip(self.processes, self.sides, strict=True):
            side.add_local_address(process.bind(process.host.address(5000)), self.network.now)
            side.add_stun_server(STUN, self.network.now)
            side.end_local_addresses(self.network.now)
        gathered = self.network.run(lambda: all(self.has(n, ice.GatheringCompleted) for n in (0, 1)))
        assert gathered

    def has(self, index, kind):
        return any(isinstance(event, kind) for event in self.processes[index].events)

    def introduce(self, index):
        """Tell one side what the other one has signalled."""
        agent, other = self.sides[index].agent, self.sides[1 - index].agent
        agent.set_remote_parameters(other.local_parameters, self.network.now)
        for candidate in other.local_candidates:
            if candidate.type != "prflx":
                agent.add_remote_candidate(candidate, self.network.now)
        agent.end_of_remote_candidates(self.network.now)

    def time_to(self, kind, seconds=20.0):
        begin = self.network.now
        happened = self.network.run(lambda: self.has(0, kind), seconds=seconds)
        assert happened
        return self.network.now - begin


def time_to_first_path(kind, *, loss=0.0, seed=0):
    """Seconds that the offerer takes from the answer to its first valid pair; the answer takes half a round trip."""
    call = Gathered(BY_NAME[kind], seed)
    of_one_line = 1 - (1 - loss) ** 0.5
    for host in call.hosts:
        host.interface.set_conditions(Conditions(delay=LINE, loss=of_one_line))
    call.introduce(1)
    call.network.run(seconds=ROUND_TRIP / 2)
    call.introduce(0)
    return call.time_to(ice.PairValidated)


def test_without_loss_one_round_trip():
    assert time_to_first_path("public") <= ROUND_TRIP + 1e-9


def test_through_nats_one_pacing_interval_more():
    """RFC 8445 section 14.2: the check of the host pair goes first, and the next one 50 ms later."""
    assert time_to_first_path("port-restricted") <= ROUND_TRIP + ice.Config().pacing_interval + 1e-9


@pytest.mark.parametrize("kind", ["public", "port-restricted"])
def test_with_a_tenth_lost_less_than_three_round_trips(kind):
    times = sorted(time_to_first_path(kind, loss=0.1, seed=seed) for seed in SEEDS)
    assert times[len(times) * 95 // 100] < 3 * ROUND_TRIP
    assert times[-1] > times[0]  # something was lost at all


# Whole peer connections: descriptions, and an answer that has all candidates.


def time_from_answer_to_path(kind, *, loss=0.0, seed=0):
    """Seconds that an offering connection takes from the answer to its first valid pair."""
    network = Internet(seed=seed)
    hosts = [network.place(BY_NAME[kind], name, conditions=Conditions(delay=LINE))[0] for name in "ab"]
    call = PeerCall(network, hosts, seed=seed, signaling=ROUND_TRIP / 2)
    offerer, held = call.a, []
    take_description, take_candidate = offerer.on_description, offerer.on_candidate
    offerer.on_description = lambda answer: held.append((take_description, answer))
    offerer.on_candidate = lambda candidate: held.append((take_candidate, candidate))
    assert network.run(lambda: held and held[-1] == (take_candidate, None))
    assert offerer.connection.ice_gathering_state == "complete"
    for host in hosts:
        host.interface.set_conditions(Conditions(delay=LINE, loss=1 - (1 - loss) ** 0.5))
    begin = network.now
    for take, value in held:
        take(value)
    assert network.run(lambda: any(pair.valid for pair in offerer.connection.transport.ice.pairs), seconds=20.0)
    return network.now - begin


def test_without_loss_a_connection_takes_one_round_trip():
    assert time_from_answer_to_path("public") <= ROUND_TRIP + 1e-9


def test_through_nats_a_connection_takes_one_pacing_interval_more():
    assert time_from_answer_to_path("port-restricted") <= ROUND_TRIP + ice.Config().pacing_interval + 1e-9


@pytest.mark.parametrize("kind", ["public", "port-restricted"])
def test_with_a_tenth_lost_a_connection_takes_less_than_three_round_trips(kind):
    times = sorted(time_from_answer_to_path(kind, loss=0.1, seed=seed) for seed in SEEDS)
    assert times[len(times) * 95 // 100] < 3 * ROUND_TRIP
    assert times[-1] > times[0]
