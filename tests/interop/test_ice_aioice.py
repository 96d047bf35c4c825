"""Our ICE agent on real sockets against aioice's connection: both roles and conflicts of them, trickle, relays."""

import asyncio
import contextlib
import os
import time

import aioice
import pytest

from stack import ice, sdp
from stack.aio.interfaces import AddressPolicy, local_addresses
from stack.aio.udp import UdpSocket
from stack.core import Datagram
from stack.peer.candidates import to_ice, to_sdp
from tests.support.ending import at_most

from .turn_servers import PASSWORD, USER

pytestmark = [pytest.mark.interop, pytest.mark.timeout(30)]

PATIENCE = 15.0  # seconds for a connection; it takes well under one
TRICKLE = 0.1  # seconds between candidates that come late
STUN_BELOW = 4  # first byte of a datagram: RFC 7983


class OurSide:
    """An agent and its sockets on the real clock."""

    def __init__(self, *, controlling, **config):
        self.agent = ice.Agent(controlling=controlling, random_bytes=os.urandom, config=ice.Config(**config))
        self.sockets, self.events = {}, []
        self.inbox = asyncio.Queue()
        self.timer = None
        self.changed = asyncio.Event()

    def gather(self):
        loop = asyncio.get_running_loop()
        for entry in local_addresses(AddressPolicy(use_loopback="never")):
            sock = UdpSocket(entry.host, loop, self.on_batch)
            self.sockets[sock.address] = sock
            self.agent.add_local_address(sock.address, time.monotonic())
        self.agent.end_local_addresses(time.monotonic())
        self.pump()
        return [candidate for candidate in self.agent.local_candidates if candidate.type == "host"]

    def on_batch(self, batch):
        now = time.monotonic()
        for datagram in batch:
            if datagram.data[:1] < bytes([STUN_BELOW]):
                self.agent.receive_datagram(datagram, now)
            elif self.agent.accepts(datagram.local, datagram.remote):
                self.agent.data_received(now, datagram.local, datagram.remote)
                self.inbox.put_nowait(datagram.data)
        self.pump()

    def pump(self):
        now = time.monotonic()
        self.agent.handle_timer(now)
        for datagram in self.agent.datagrams_to_send(now):
            self.sockets[datagram.local].send([datagram])
        while (event := self.agent.next_event()) is not None:
            self.events.append(event)
        self.changed.set()
        if self.timer is not None:
            self.timer.cancel()
        due = self.agent.next_timer()
        if due is not None:
            self.timer = asyncio.get_running_loop().call_later(max(0, due - time.monotonic()), self.pump)

    def send(self, data):
        pair = self.agent.selected_pair
        self.sockets[pair.local].send([Datagram(data, pair.remote, pair.local)])
        self.agent.data_sent(time.monotonic())

    async def until(self, condition):
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def close(self):
        self.agent.close(time.monotonic())
        if self.timer is not None:
            self.timer.cancel()
        for sock in self.sockets.values():
            sock.close()


def as_theirs(candidate):
    return aioice.Candidate.from_sdp(to_sdp(candidate, "").serialize().removeprefix("candidate:"))


def as_ours(candidate):
    return to_ice(sdp.Candidate.parse(f"candidate:{candidate.to_sdp()}"))


@contextlib.asynccontextmanager
async def both(*, ours, theirs, config=None, **options):
    """Our side and theirs, controlling or not, closed at the end; all within PATIENCE."""
    side = OurSide(controlling=ours, **(config or {}))
    connection = aioice.Connection(ice_controlling=theirs, **options)
    try:
        async with asyncio.timeout(PATIENCE):
            yield side, connection
    finally:
        side.close()
        await at_most(connection.close())  # which asks a relay to forget it


async def connect(side, connection, *, delay=0.0):
    """Exchange parameters and candidates; ours come one by one if there is a delay, the parameters first of all."""
    candidates = side.gather()
    assert candidates
    await connection.gather_candidates()
    connection.remote_username = side.agent.local_parameters.ufrag
    connection.remote_password = side.agent.local_parameters.pwd
    parameters = ice.Parameters(connection.local_username, connection.local_password)
    connecting = asyncio.create_task(connection.connect())
    side.agent.set_remote_parameters(parameters, time.monotonic())
    for candidate in connection.local_candidates:
        side.agent.add_remote_candidate(as_ours(candidate), time.monotonic())
    side.agent.end_of_remote_candidates(time.monotonic())
    side.pump()
    for candidate in candidates:
        await asyncio.sleep(delay)
        await connection.add_remote_candidate(as_theirs(candidate))
    await connection.add_remote_candidate(None)
    await asyncio.gather(connecting, side.until(lambda: side.agent.state == "completed"))


async def data_passes(side, connection):
    for number in range(10):
        data = b"\x80%d" % number  # what RTP begins with
        side.send(data)
        assert await connection.recv() == data
        await connection.send(data + b" back")
        assert await side.inbox.get() == data + b" back"


def selected_by(connection):
    return connection._nominated[1]


def same_path(side, connection):
    """Whether both use the same pair of addresses: what one sends from is what the other one sends to."""
    ours, theirs = side.agent.selected_pair, selected_by(connection)
    return ours.local[:2] == theirs.remote_addr and ours.remote[:2] == theirs.local_addr


roles = pytest.mark.parametrize("controlling", [True, False], ids=["we control", "aioice controls"])


@roles
@pytest.mark.parametrize("delay", [0.0, TRICKLE], ids=["at once", "trickled"])
async def test_both_connect_and_data_passes(controlling, delay):
    async with both(ours=controlling, theirs=not controlling) as (side, connection):
        await connect(side, connection, delay=delay)
        await data_passes(side, connection)
        assert side.agent.controlling is controlling
        assert not any(isinstance(event, ice.RoleChanged) for event in side.events)
        assert same_path(side, connection)
        assert not side.agent.dropped


@pytest.mark.parametrize("controlling", [True, False], ids=["both control", "none controls"])
@pytest.mark.parametrize("tie_breaker", [0, 2**64 - 1], ids=["they have the smaller number", "they have the larger"])
async def test_a_role_conflict_is_resolved(controlling, tie_breaker):
    """RFC 8445 section 7.3.1.1: whoever has the larger tie-breaker controls."""
    async with both(ours=controlling, theirs=controlling) as (side, connection):
        connection._tie_breaker = tie_breaker
        await connect(side, connection)
        await data_passes(side, connection)
        assert side.agent.controlling is (tie_breaker == 0)
        assert connection.ice_controlling is (tie_breaker > 0)
        assert same_path(side, connection)


def relayed_by(turn, transport):
    """Options of a connection of aioice."""
    return {
        "turn_server": turn[transport],
        "turn_transport": transport,
        "turn_username": USER,
        "turn_password": PASSWORD,
        "use_ipv6": False,
    }


@roles
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_they_are_reached_through_a_relay_only(turn, controlling, transport):
    options = relayed_by(turn, transport) | {"transport_policy": aioice.TransportPolicy.RELAY}
    async with both(ours=controlling, theirs=not controlling, **options) as (side, connection):
        await connect(side, connection, delay=TRICKLE)
        await data_passes(side, connection)
        pair = side.agent.selected_pair
        assert pair.remote_candidate.type == "relay"
        assert selected_by(connection).local_candidate.type == "relay"
        assert pair.local_candidate.type == "host"


@roles
async def test_a_direct_path_is_preferred_to_their_relay(turn, controlling):
    options = relayed_by(turn, "udp")
    async with both(ours=controlling, theirs=not controlling, **options) as (side, connection):
        await connect(side, connection)
        await data_passes(side, connection)
        assert "relay" in {candidate.type for candidate in side.agent.remote_candidates}
        assert side.agent.selected_pair.remote_candidate.type in {"host", "prflx"}
