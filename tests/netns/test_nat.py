"""Two peers behind routers that translate addresses, as the kernel does it."""

import asyncio

import pytest

from .call import call

pytestmark = pytest.mark.interop


def home(lab, name, kind, behind=None):
    """A machine behind a router of its own."""
    machine = lab.add(name)
    lab.join(machine, lab.nat(f"{name}-router", kind, behind))
    return machine


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("masquerade", "masquerade"),
        ("full-cone", "full-cone"),
        ("full-cone", "random"),
        ("random", "full-cone"),
        ("masquerade", "full-cone"),
    ],
)
async def test_a_direct_path_through_two_routers(lab, server, one, other):
    async with call(home(lab, "alice", one), home(lab, "bob", other), server.stun) as made:
        await made.connected()
        assert await made.flow() > 10


async def test_a_direct_path_through_the_routers_of_a_carrier(lab, server):
    carriers = [lab.nat(f"carrier{n}", "masquerade") for n in range(2)]
    alice, bob = (home(lab, f"peer{n}", "masquerade", carrier) for n, carrier in enumerate(carriers))
    async with call(alice, bob, server.stun) as made:
        await made.connected()
        assert await made.flow() > 10


async def test_two_machines_behind_one_router_need_no_server(lab):
    router = lab.nat("router", "masquerade")
    alice, bob = lab.add("alice"), lab.add("bob")
    for machine in (alice, bob):
        lab.join(machine, router)
    async with call(alice, bob, ()) as made:
        await made.connected()
        assert await made.flow() > 10


async def test_there_is_no_direct_path_where_ports_cannot_be_guessed(lab, server):
    """What the tests with relays rely on."""
    async with call(home(lab, "alice", "random"), home(lab, "bob", "random"), server.stun) as made:
        with pytest.raises(TimeoutError):
            await made.connected(3)


@pytest.mark.parametrize(
    ("nats", "servers"), [(("random", "random"), "turn"), (("udp-blocked", "masquerade"), "turn_over_tcp")]
)
async def test_a_relay_carries_it_where_nothing_else_can(lab, server, nats, servers):
    alice, bob = (home(lab, name, nat) for name, nat in zip(("alice", "bob"), nats, strict=True))
    async with call(alice, bob, getattr(server, servers)) as made:
        await made.connected()
        assert await made.flow() > 10


async def test_nothing_of_a_lab_is_left(lab):
    from .lab import Lab, run

    before = run("ip", "netns", "list")
    with Lab() as other:
        home(other, "alice", "masquerade")
        assert len(run("ip", "netns", "list").splitlines()) == len(before.splitlines()) + 3
    assert run("ip", "netns", "list") == before
    await asyncio.sleep(0)
