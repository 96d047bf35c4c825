"""A peer with two networks loses the one that it uses, and goes on over the other one."""

import asyncio
import time

import pytest

from .call import call

pytestmark = pytest.mark.interop

LONGEST_GAP = 1.0
"""Seconds without data or without video that a handover may take at most; 0.1 to 0.5 of it were measured."""


@pytest.fixture
def phone(lab):
    """A machine with a wireless network and a mobile one, the former with the better route."""
    machine = lab.add("phone")
    machine.home, machine.carrier = lab.nat("home", "masquerade"), lab.nat("carrier", "masquerade")
    lab.join(machine, machine.home, "wifi", metric=100)
    lab.join(machine, machine.carrier, "lte", metric=700)
    return machine


@pytest.fixture
def car(lab):
    """A machine behind a router of its own."""
    machine = lab.add("car")
    lab.join(machine, lab.nat("garage", "masquerade"))
    return machine


def link_down(phone):
    """The phone sees that its wireless network is gone."""
    phone.ip("link", "set", "wifi", "down")


def black_hole(phone):
    """It sees nothing, but nothing gets through."""
    phone.home.black_hole("wan")


async def gap_until_it_flows(made, seconds=40):
    """Return for how long nothing came through, once it does again."""
    longest, start = 0.0, time.monotonic()
    while time.monotonic() - start < seconds:
        await asyncio.sleep(0.5)
        gap, count = await made.gaps()
        longest = max(longest, gap)
        if count > 20:
            return longest
    raise AssertionError(f"nothing came through for {seconds} s: {made.reports[-3:]}")


@pytest.mark.parametrize("offering", ["phone", "car"])
@pytest.mark.parametrize("cut", [link_down, black_hole])
async def test_it_goes_on_over_the_other_network(server, phone, car, cut, offering):
    machines = (phone, car) if offering == "phone" else (car, phone)
    async with call(*machines, server.stun, video=True) as made:
        await made.connected()
        await made.flow()  # the first frames
        assert await made.flow() > 10
        assert made.frames > 5
        made.freeze = 0.0
        cut(phone)
        assert await gap_until_it_flows(made) < LONGEST_GAP
        await made.flow()
        assert made.frames > 5
        assert made.freeze < LONGEST_GAP
