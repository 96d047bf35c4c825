"""draft-thatcher-ice-renomination-01: the nominated pair may change."""

import pytest

from stack.core import Address
from stack.ice import PairSelected
from stack.ice.nomination import Nominations, nomination_of, put_nomination
from stack.stun import BINDING, Class, Message

from .support import A, B, TwoPaths, agent, deliver, request
from .test_requests import PEER, Parameters, response

BOTH = Parameters(PEER.ufrag, PEER.pwd, renomination=True)
CONTROLLING = {"ice_controlled": None, "ice_controlling": 1, "use_candidate": True}


def nominations(network):
    """(value, host) of every nomination that has left."""
    found = []
    for _, _, datagram in network.trace:
        message = Message.parse(datagram.data)
        if message.use_candidate:
            found.append((nomination_of(message), datagram.local.host))
    return found


def selections(network, side=0):
    return [e.pair.local.host for e in network.events[side] if isinstance(e, PairSelected)]


def test_the_attribute():
    message = Message(BINDING, Class.REQUEST, bytes(12))
    assert nomination_of(message) == 0
    put_nomination(message, 0x123456)
    parsed = Message.parse(message.serialize())
    assert nomination_of(parsed) == 0x123456
    assert not parsed.unknown_comprehension_required
    message.attributes[0xC001] = b"\xff\0\0\7"  # the upper byte says nothing
    assert nomination_of(Message.parse(message.serialize())) == 7
    message.attributes[0xC001] = b"\1"
    assert nomination_of(Message.parse(message.serialize())) == 0


def test_values_grow_and_stop_at_24_bits():
    state = Nominations()
    assert [state.next_value(), state.next_value()] == [1, 2]
    state.sent = 0xFFFFFF
    assert state.next_value() == 0xFFFFFF


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("theirs", [True, False])
def test_only_if_both_sides_say_so(ours, theirs):
    machine = agent(renomination=ours)
    assert machine.local_parameters.renomination is ours
    machine.add_local_address(A, 0.0)
    machine.set_remote_parameters(BOTH if theirs else PEER, 0.0)
    assert machine.statistics().renomination is (ours and theirs)


def test_a_much_faster_path_is_nominated_anew():
    network = TwoPaths(renomination=True, delays=(0.02, 0.1)).settle()
    assert network.networks() == [0, 0]
    network.delays = [0.1, 0.02]
    network.talk(120)
    assert network.networks() == [1, 1]
    for side, machine in enumerate(network.agents):
        assert len(selections(network, side)) == 1
        assert machine.selected_pair.nominated
        assert sum(pair.nominated for pair in machine.pairs) == 1
    assert [value for value, _ in nominations(network)] == [1, 2]


@pytest.mark.parametrize("delays", [(0.05, 0.045), (0.01, 0.006), (0.05, 0.05)])
def test_a_little_faster_is_not_better(delays):
    network = TwoPaths(renomination=True, delays=(0.05, 0.2)).settle()
    network.delays = list(delays)
    network.talk(120)
    assert network.networks() == [0, 0]
    assert selections(network) == []


def test_a_path_that_gets_faster_and_slower_again_is_left_alone():
    network = TwoPaths(renomination=True).settle()
    for number in range(12):
        network.delays = [0.05, 0.01 if number % 2 else 0.2]
        network.talk(12)
    assert len(selections(network)) <= 1


def test_a_cheaper_network_is_preferred_even_if_it_is_slower():
    network = TwoPaths(renomination=True, costs=(900, 10), delays=(0.02, 0.06))
    assert network.run(lambda: all(machine.state == "completed" for machine in network.agents))
    network.talk(80)
    assert network.networks() == [1, 1]


def test_without_renomination_a_working_path_stays():
    network = TwoPaths(delays=(0.02, 0.1)).settle()
    network.delays = [0.1, 0.02]
    network.talk(120)
    assert network.networks() == [0, 0]


class TestControlled:
    def nominated(self, renomination=True):
        machine = agent(controlling=False, renomination=renomination)
        machine.add_local_address(A, 0.0)
        machine.set_remote_parameters(BOTH, 0.0)
        self.other = Address("10.0.0.3", 3)
        for number, remote in enumerate((B, self.other)):
            check = deliver(
                machine, request(machine, **CONTROLLING | {"use_candidate": None}), 0.1 * number, remote=remote
            )[-1]
            deliver(machine, response(check), 0.1 * number, remote=remote)
        assert len([pair for pair in machine.pairs if pair.valid]) == 2
        return machine

    def nominate(self, machine, remote, value, now):
        message = Message.parse(request(machine, **CONTROLLING))
        if value:
            put_nomination(message, value)
        key = machine.local_parameters.pwd.encode()
        deliver(machine, message.serialize(key=key), now, remote=remote)
        return machine.selected_pair.remote

    def test_the_last_nomination_wins(self):
        machine = self.nominated()
        assert self.nominate(machine, B, 1, 1.0) == B
        assert self.nominate(machine, self.other, 2, 1.1) == self.other
        assert self.nominate(machine, B, 3, 1.2) == B
        assert [pair.remote for pair in machine.pairs if pair.nominated] == [B]

    def test_an_old_one_that_comes_late_does_not(self):
        machine = self.nominated()
        assert self.nominate(machine, B, 2, 1.0) == B
        assert self.nominate(machine, self.other, 1, 1.1) == B
        assert self.nominate(machine, self.other, 0, 1.2) == B  # section 4: any value before none

    def test_without_values_the_last_one_wins_too(self):
        machine = self.nominated()
        assert self.nominate(machine, B, 0, 1.0) == B
        assert self.nominate(machine, self.other, 0, 1.1) == self.other

    def test_without_renomination_values_mean_nothing(self):
        machine = self.nominated(renomination=False)
        first = self.nominate(machine, B, 1, 1.0)
        assert self.nominate(machine, self.other, 2, 1.1) == first
