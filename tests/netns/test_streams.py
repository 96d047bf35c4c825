"""Relays over TCP and TLS where UDP is not allowed: our sockets and our client, coturn as the server."""

import asyncio
import sys

import pytest

from .conftest import NAME, PASSWORD, USER
from .lab import PUBLIC

pytestmark = pytest.mark.interop

ECHO = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(2)
relayed = sys.argv[1], int(sys.argv[2])
for size in (1, 2, 3, 1200):
    sock.sendto(bytes(size), relayed)
    data, source = sock.recvfrom(2000)
    assert (data, source) == (bytes(size), relayed), (data, source)
print("ok")
"""


async def report(program, kind):
    async with asyncio.timeout(10):
        line = await program.reports.get()
    assert kind in line, line
    return line[kind]


@pytest.fixture
def office(lab):
    """A machine behind a firewall that lets no UDP pass; and its address."""
    machine = lab.add("office")
    return machine, lab.join(machine, lab.nat("firewall", "udp-blocked"))


def options(local, port, name, ca_file):
    return {
        "local": local,
        "host": f"{PUBLIC}.1",
        "port": port,
        "name": name,
        "ca_file": ca_file,
        "user": USER,
        "password": PASSWORD,
    }


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_a_relay_over_a_stream(lab, server, office, tls):
    machine, local = office
    peer = lab.add("peer")
    peer_host = lab.attach(peer)
    relayer = await machine.program("relayer")
    try:
        port, name = (5349, NAME) if tls else (3478, None)
        relayer.tell("start", **options(local, port, name, server.ca_file if tls else None))
        relayed = await report(relayer, "relayed")
        assert relayed[0] == f"{PUBLIC}.1"
        relayer.tell("permit", host=peer_host)
        await report(relayer, "permitted")
        echo = await asyncio.to_thread(peer.run, sys.executable, "-c", ECHO, relayed[0], str(relayed[1]))
        assert echo == "ok\n"
    finally:
        await relayer.end()


async def test_a_server_that_is_somebody_else(server, office):
    machine, local = office
    relayer = await machine.program("relayer")
    try:
        relayer.tell("start", **options(local, 5349, "other.example", server.ca_file))
        assert await report(relayer, "closed") == {"certificate-refused": 1}
    finally:
        await relayer.end()
