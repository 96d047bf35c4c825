"""A call goes on when the network below it changes: interfaces die or go, NATs reboot."""

import pytest

from stack.testing import ADDRESS_RESTRICTED, FULL_CONE, PORT_RESTRICTED, SYMMETRIC, Conditions

from .peers import PeerCall
from .support import TURN, Internet, Kind

HOME = Kind("home", (PORT_RESTRICTED,))
GOES_ON_WITHIN = 1.0  # seconds
REMOVED_WITHIN = 0.4  # who removes it says so by a check on another pair
RELAYED_WITHIN = 1.0  # relays make longer round trips, and those are what silence is measured by
SURVIVES_WITHIN = 2.5  # two seconds of silence, then a restart of ICE over signaling


class Phone:
    """A phone on a wireless network at home and on a mobile one behind a carrier's NAT, in a call with a car."""

    def __init__(self, *, offers, seed=0, behavior=PORT_RESTRICTED, relays=(None, None), video=False):
        self.network = Internet(seed=seed)
        self.wifi_nat = self.network.nat("home", "198.51.100.101", behavior=behavior)
        self.mobile_nat = self.network.nat("carrier", "198.51.100.102", behavior=behavior)
        self.host = self.network.host("phone")
        near, far = Conditions(delay=0.01), Conditions(delay=0.03, jitter=0.005)
        self.wifi = self.host.add_interface("wifi", self.wifi_nat.inside, "192.168.1.2", conditions=near)
        self.mobile = self.host.add_interface("4g", self.mobile_nat.inside, "10.64.0.2", conditions=far)
        car, (self.car_nat,) = self.network.place(Kind("car's", (behavior,)), "car")
        hosts = (self.host, car) if offers else (car, self.host)
        self.call = PeerCall(self.network, hosts, seed=seed, relays=relays, costs={"wifi": 10, "4g": 900}, video=video)
        self.shell = self.call.a if offers else self.call.b
        assert self.call.connect()
        self.call.chat(5.0)
        assert relays != (None, None) or self.interface_in_use == "wifi"

    @property
    def interface_in_use(self):
        pair = self.shell.connection.transport.ice.selected_pair
        return next((name for name, address in self.shell.sockets.items() if pair and pair.local == address), None)

    def gap_after(self, change, seconds=10.0):
        """How long messages stay away at most after a change."""
        begin = self.network.now
        change()
        self.call.chat(seconds)
        return self.call.longest_gap(begin)


@pytest.fixture(params=[True, False], ids=["phone offers", "car offers"])
def phone(request):
    return Phone(offers=request.param)


def test_the_interface_in_use_dies_without_a_word(phone):
    gap = phone.gap_after(lambda: setattr(phone.wifi, "dark", True))
    assert gap < GOES_ON_WITHIN
    assert phone.interface_in_use == "4g"


def test_the_interface_in_use_is_removed(phone):
    def remove():
        phone.host.remove_interface("wifi")
        phone.shell.unbind("wifi")

    gap = phone.gap_after(remove)
    assert gap < REMOVED_WITHIN
    assert phone.interface_in_use == "4g"


def test_another_interface_comes_and_the_only_one_goes(phone):
    phone.shell.unbind("4g")
    phone.host.remove_interface("4g")
    phone.call.chat(1.0)
    phone.host.add_interface("5g", phone.mobile_nat.inside, "10.64.0.3", conditions=Conditions(delay=0.03))
    phone.shell.bind(phone.host.interfaces["5g"])
    phone.call.chat(2.0)

    def remove():
        phone.host.remove_interface("wifi")
        phone.shell.unbind("wifi")

    assert phone.gap_after(remove) < GOES_ON_WITHIN
    assert phone.interface_in_use == "5g"


def test_the_nat_of_the_interface_in_use_forgets_its_mappings(phone):
    """Nobody is told; the mobile network is still there."""
    assert phone.gap_after(phone.wifi_nat.reboot) < GOES_ON_WITHIN


@pytest.mark.parametrize("offers", [True, False])
@pytest.mark.parametrize("behavior", [None, ADDRESS_RESTRICTED, FULL_CONE])
def test_a_nat_forgets_its_mappings_and_the_other_side_sees_the_new_one(offers, behavior):
    """What comes from a new port of a known peer makes a peer-reflexive candidate: RFC 8445 section 7.3.1.3."""
    network = Internet()
    phone, (nat,) = network.place(HOME, "phone")
    car, _ = network.place(Kind("car's", (behavior,) if behavior else ()), "car")
    call = PeerCall(network, (phone, car) if offers else (car, phone))
    assert call.connect()
    call.chat(2.0)
    begin = network.now
    nat.reboot()
    call.chat(5.0)
    assert call.longest_gap(begin) < GOES_ON_WITHIN


@pytest.mark.parametrize("offers", [True, False])
def test_the_only_nats_filter_by_port_and_one_forgets(offers):
    """Neither side's packets get in any more: a restart it is, and SCTP does not wait for its backed-off timer."""
    network = Internet()
    phone, (nat,) = network.place(HOME, "phone")
    car, _ = network.place(HOME, "car")
    call = PeerCall(network, (phone, car) if offers else (car, phone))
    assert call.connect()
    call.chat(2.0)
    begin = network.now
    nat.reboot()
    call.chat(10.0)
    assert call.longest_gap(begin) < SURVIVES_WITHIN


def test_a_nat_forgets_its_mappings_and_no_way_is_left(phone):
    """The car's only NAT: both sides are where the other one does not know, and only signaling can tell."""
    gap = phone.gap_after(phone.car_nat.reboot, seconds=20.0)
    assert gap < SURVIVES_WITHIN


@pytest.mark.parametrize("offers", [True, False])
def test_the_interface_in_use_dies_and_only_relays_are_left(offers):
    phone = Phone(offers=offers, behavior=SYMMETRIC, relays=(TURN, TURN))
    assert "relay" in phone.call.path
    assert phone.gap_after(lambda: setattr(phone.wifi, "dark", True)) < RELAYED_WITHIN


@pytest.mark.parametrize("offers", [True, False], ids=["phone offers", "car offers"])
@pytest.mark.parametrize("change", ["dark", "removed", "forgotten"])
def test_video_goes_on_both_ways(offers, change):
    """A decoder needs a key frame after the gap; it counts as an outage until that one is there."""
    phone = Phone(offers=offers, video=True)
    assert all(len(shell.frames) > 100 for shell in (phone.call.a, phone.call.b))
    begin = phone.network.now

    def happen():
        if change == "dark":
            phone.wifi.dark = True
        elif change == "removed":
            phone.host.remove_interface("wifi")
            phone.shell.unbind("wifi")
        else:
            phone.wifi_nat.reboot()

    phone.gap_after(happen)
    assert phone.call.longest_freeze(begin) < GOES_ON_WITHIN
    assert phone.interface_in_use == "4g" or change == "forgotten"
