"""Chromium's ICE against ours: through relays only, restarts on either side while data flows, names for addresses."""

import asyncio
import contextlib
import itertools
import re
import time

import pytest

from stack import RTCConfiguration, RTCIceCandidate, RTCPeerConnection, RTCSessionDescription, ice
from stack.aio import AddressPolicy
from tests.support.chromium import running_chromium

from .turn_servers import PASSWORD, USER

pytestmark = [pytest.mark.browser, pytest.mark.interop, pytest.mark.timeout(60)]

PATIENCE = 40.0  # seconds for a whole call; it takes about one
STEP_PATIENCE = 10.0  # seconds for one step of it
POLL = 0.02  # seconds
LONGEST_GAP = 0.5  # seconds without data in a restart, of two processes on a busy machine; measured: 0.03

SCRIPT = """
const peer = {heard: [], times: [], errors: []};
peer.start = configuration => {
    const connection = peer.connection = new RTCPeerConnection(configuration);
    connection.onicecandidate = event => signal(event.candidate ? event.candidate.toJSON() : null);
    connection.onicecandidateerror = event => peer.errors.push(event.url + " " + event.errorCode);
    connection.ondatachannel = event => peer.adopt(event.channel);
};
peer.adopt = channel => {
    peer.channel = channel;
    channel.onmessage = event => { peer.heard.push(event.data); peer.times.push(performance.now() / 1000); };
};
peer.describe = async () => {
    await peer.connection.setLocalDescription();
    return peer.connection.localDescription.toJSON();
};
peer.count = () => {
    let number = 0;
    peer.counting = setInterval(() => peer.channel.send(String(number++)), 10);
};
peer.describeState = () => {
    const {connectionState, iceConnectionState} = peer.connection, {readyState, bufferedAmount} = peer.channel ?? {};
    return {connectionState, iceConnectionState, readyState, bufferedAmount, heard: peer.heard.length};
};
peer.selected = async () => {
    const stats = await peer.connection.getStats();
    const transport = [...stats.values()].find(entry => entry.type === "transport");
    const pair = stats.get(transport?.selectedCandidatePairId);
    return pair ? {...stats.get(pair.localCandidateId), remote: stats.get(pair.remoteCandidateId)} : null;
};
"""


@pytest.fixture
async def page():
    async with running_chromium() as browser:
        async with asyncio.timeout(STEP_PATIENCE):
            page = await browser.new_page()
            await page.evaluate(f"() => {{ {SCRIPT} window.peer = peer; }}")
        yield page


class Held:
    """Candidates of one side, which wait until the other one has the description that they belong to."""

    def __init__(self, deliver):
        self.all, self._deliver = [], deliver
        self._queue, self._released = asyncio.Queue(), asyncio.Event()
        self.task = asyncio.create_task(self._carry())

    def put(self, candidate):
        self.all.append(candidate)
        self._queue.put_nowait(candidate)

    def hold(self):
        self._released.clear()

    def release(self):
        self._released.set()

    async def _carry(self):
        while True:
            candidate = await self._queue.get()
            await self._released.wait()
            await self._deliver(candidate)


class Call:
    """Chromium and us, with trickle both ways; what comes on the data channel we send back."""

    def __init__(self, page, *, tell=True, families=(4, 6)):
        self.page, self.tell = page, tell
        self.pc = RTCPeerConnection(RTCConfiguration(addresses=AddressPolicy(families=families)))
        self.from_page = Held(self._add_to_us)
        self.from_us = Held(self._add_to_page)
        self.pc.on("icecandidate", lambda found: self.from_us.put(found and found.toJSON()))
        self.pc.on("datachannel", self.echo)

    async def _add_to_us(self, candidate):
        await self.pc.addIceCandidate(candidate and RTCIceCandidate(**candidate))

    async def _add_to_page(self, candidate):
        if self.tell and candidate is not None:
            await self.page.evaluate("candidate => peer.connection.addIceCandidate(candidate)", candidate)

    def echo(self, channel):
        channel.on("message", channel.send)

    async def start(self, configuration):
        await self.page.expose_function("signal", self.from_page.put)
        await self.page.evaluate("configuration => peer.start(configuration)", configuration)

    async def negotiate(self, *, page_offers):
        """One round of offer and answer."""
        for held in (self.from_page, self.from_us):
            held.hold()
        if page_offers:
            await self.give_to_us(await self.page.evaluate("peer.describe()"))
            self.from_page.release()
            await self.pc.setLocalDescription()
            await self.give_to_page()
            self.from_us.release()
        else:
            await self.pc.setLocalDescription()
            await self.give_to_page()
            self.from_us.release()
            await self.give_to_us(await self.page.evaluate("peer.describe()"))
            self.from_page.release()

    async def give_to_us(self, description):
        await self.pc.setRemoteDescription(RTCSessionDescription(description["sdp"], description["type"]))

    async def give_to_page(self):
        ours = self.pc.localDescription
        sdp = ours.sdp if self.tell else re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", ours.sdp)
        description = {"type": ours.type, "sdp": sdp}
        await self.page.evaluate("description => peer.connection.setRemoteDescription(description)", description)

    async def connect(self, *, page_offers):
        if page_offers:
            await self.page.evaluate("void peer.adopt(peer.connection.createDataChannel('test'))")
        else:
            self.echo(self.pc.createDataChannel("test"))
        await self.negotiate(page_offers=page_offers)
        await self.until("peer.channel?.readyState === 'open'")

    async def echoes(self, *messages):
        await self.page.evaluate("messages => messages.forEach(message => peer.channel.send(message))", list(messages))
        await self.until(f"peer.heard.length === {len(messages)}")
        assert await self.page.evaluate("peer.heard") == list(messages)

    async def until(self, condition):
        """Wait until the page finds a condition true; if it does not, tell what the path looks like."""
        end = time.monotonic() + STEP_PATIENCE
        while not await self.page.evaluate(condition):
            if time.monotonic() > end:
                agent, known = self.pc._machine.transport.ice, await self.page.evaluate("peer.describeState()")
                pytest.fail(f"not {condition}: {known}\n{ice.explain(agent.statistics())}")
            await asyncio.sleep(POLL)

    async def close(self):
        for held in (self.from_page, self.from_us):
            held.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await held.task  # raises what went wrong in it
        await self.pc.close()


@contextlib.asynccontextmanager
async def call(page, configuration=None, **options):
    """A call in which nothing is negotiated yet, closed at the end; all within PATIENCE."""
    made = Call(page, **options)
    try:
        async with asyncio.timeout(PATIENCE):
            await made.start(configuration or {})
            yield made
    finally:
        await made.close()


who_offers = pytest.mark.parametrize("page_offers", [True, False], ids=["Chromium offers", "we offer"])


@who_offers
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_only_a_relay_carries_it(page, turn, transport, page_offers):
    at, port = turn[transport]
    servers = [{"urls": f"turn:{at}:{port}?transport={transport}", "username": USER, "credential": PASSWORD}]
    configuration = {"iceServers": servers, "iceTransportPolicy": "relay"}
    async with call(page, configuration) as made:
        await made.connect(page_offers=page_offers)
        await made.echoes("hello", "x" * 5000)
        local = await page.evaluate("peer.selected()")
        assert (local["candidateType"], local["relayProtocol"]) == ("relay", transport)
        told = [candidate["candidate"] for candidate in made.from_page.all if candidate and candidate["candidate"]]
        assert told
        assert all(" typ relay " in text for text in told)
        assert made.pc._machine.transport.ice.selected_pair.remote_candidate.type == "relay"
        assert await page.evaluate("peer.errors") == []


def ufrags(made):
    return [description.sdp.split("a=ice-ufrag:")[1].split()[0] for description in
            (made.pc.localDescription, made.pc.remoteDescription)]  # fmt: skip


@who_offers
@pytest.mark.parametrize("page_restarts", [True, False], ids=["Chromium restarts", "we restart"])
async def test_a_restart_while_data_flows(page, page_restarts, page_offers):
    """One family, so that each generation has one path, and which one Chromium is on tells the generation."""
    async with call(page, families=(4,)) as made:
        await made.connect(page_offers=page_offers)
        await page.evaluate("peer.count()")
        await page.wait_for_function("peer.heard.length > 20", polling=10)
        for _ in range(3):
            before, count = ufrags(made), await page.evaluate("peer.heard.length")
            if page_restarts:
                await page.evaluate("peer.connection.restartIce()")
            else:
                made.pc.restartIce()
            await made.negotiate(page_offers=page_restarts)
            assert not set(before) & set(ufrags(made))
            await made.until(f"peer.selected().then(pair => pair.usernameFragment === '{ufrags(made)[1]}')")
            await made.until(f"peer.heard.length > {count} + 50")
        await made.until("peer.connection.connectionState === 'connected'")
        assert made.pc.connectionState == "connected"
        assert made.pc._machine.transport.ice.state in {"connected", "completed"}
        await page.evaluate("clearInterval(peer.counting)")
        heard, times = await page.evaluate("[peer.heard, peer.times]")
        assert heard == [str(number) for number in range(len(heard))]
        assert max(after - before for before, after in itertools.pairwise(times)) < LONGEST_GAP


@who_offers
@pytest.mark.parametrize("tell", [True, False], ids=["our candidates told", "ours untold"])
async def test_names_in_place_of_its_addresses(page, host, tell, page_offers):
    """If Chromium is not told where we are, only looking up its name can make the connection."""
    async with call(page, tell=tell) as made:
        await made.connect(page_offers=page_offers)
        await made.echoes("hello")
        told = [candidate["candidate"] for candidate in made.from_page.all if candidate and candidate["candidate"]]
        assert any(" typ host" in text for text in told)
        assert all(text.split()[4].endswith(".local") for text in told)
        pair = made.pc._machine.transport.ice.selected_pair
        assert pair.remote_candidate.type == "host" if not tell else pair.remote_candidate.type in {"host", "prflx"}
