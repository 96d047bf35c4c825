"""What a machine notices of its own network, and names on it."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

pytestmark = pytest.mark.interop


@asynccontextmanager
async def watching(node):
    program = await node.program("watcher")
    try:
        yield program
    finally:
        await program.end()


async def next_addresses(program, seconds=5):
    async with asyncio.timeout(seconds):
        return (await program.reports.get())["addresses"]


@pytest.fixture
def phone(lab):
    """A machine with a wireless network and a mobile one, the former with the better route; and its addresses."""
    machine = lab.add("phone")
    wifi = lab.join(machine, lab.nat("home", "masquerade"), "wifi", metric=100)
    lte = lab.join(machine, lab.nat("carrier", "random"), "lte", metric=700)
    return machine, wifi, lte


async def test_links_that_go_and_come_are_noticed(phone):
    machine, wifi, lte = phone
    async with watching(machine) as program:
        first = await program.reports.get()
        assert first == {"addresses": [[wifi, "wifi"], [lte, "lte"]], "polling": False}
        start = time.monotonic()
        machine.ip("link", "set", "wifi", "down")
        assert await next_addresses(program) == [[lte, "lte"]]
        assert time.monotonic() - start < 1
        machine.ip("link", "set", "wifi", "up")
        assert await next_addresses(program) == [[wifi, ""], [lte, "lte"]]  # its route is gone with the link
        machine.ip("route", "add", "default", "dev", "wifi", "metric", "100")
        assert await next_addresses(program) == [[wifi, "wifi"], [lte, "lte"]]
        machine.ip("address", "delete", f"{lte}/24", "dev", "lte")
        assert await next_addresses(program) == [[wifi, "wifi"]]


async def test_a_cable_that_is_pulled_is_noticed(phone, lab):
    machine, wifi, lte = phone
    async with watching(machine) as program:
        await program.reports.get()
        router = next(node for node in lab.nodes if node.name.endswith("home"))
        router.ip("link", "set", "port2", "down")  # the other end: the address stays, and nothing can leave
        assert await next_addresses(program) == [[lte, "lte"]]
        router.ip("link", "set", "port2", "up")
        assert [host for host, _ in await next_addresses(program)] == [wifi, lte]


async def test_an_ipv6_address_counts_once_it_is_known_to_be_unique(lab):
    machine, other = lab.add("machine", ipv6=True), lab.add("other", ipv6=True)
    lab.cable(machine, "eth0", other, "eth0")
    async with watching(machine) as program:
        assert await next_addresses(program) == []
        machine.ip("address", "add", "2001:db8::1/64", "dev", "eth0")
        assert await next_addresses(program) == [["2001:db8::1", ""]]


@pytest.mark.parametrize("family", [4, 6])
async def test_a_name_is_found_by_a_machine_on_the_same_link(lab, family):
    one, other = lab.add("one", ipv6=family == 6), lab.add("other", ipv6=family == 6)
    lab.cable(one, "eth0", other, "eth0")
    hosts = ("10.0.0.1", "10.0.0.2") if family == 4 else ("2001:db8::1", "2001:db8::2")
    for machine, host in zip((one, other), hosts, strict=True):
        machine.ip("address", "add", f"{host}/{24 if family == 4 else 64}", "dev", "eth0", *(["nodad"] * (family == 6)))
    if family == 6:
        await asyncio.sleep(2)  # link-local addresses, from which multicast leaves, are tentative for as long
    async with watching(one) as publisher, watching(other) as asker:
        name = await publisher.ask("publish", host=hosts[0])
        assert await asker.ask("resolve", name=name) == [hosts[0]]


async def test_a_name_does_not_leave_its_link(phone, lab):
    machine, wifi, lte = phone
    router = next(node for node in lab.nodes if node.name.endswith("home"))
    neighbour = lab.add("neighbour")
    lab.join(neighbour, router)
    async with watching(machine) as publisher, watching(neighbour) as asker:
        names = [await publisher.ask("publish", host=host) for host in (wifi, lte)]
        found = [await asker.ask("resolve", name=name) for name in names]
        assert found == [[wifi], []]
