"""A call between a page in Chromium and us, with trickle both ways and data channels."""

import asyncio
import contextlib
import re
import time

import pytest

from stack import RTCConfiguration, RTCIceCandidate, RTCPeerConnection, RTCSessionDescription, ice
from stack.aio import AddressPolicy
from tests.support.chromium import running_chromium

PATIENCE = 40.0  # seconds for a whole call; it takes about one
STEP_PATIENCE = 10.0  # seconds for one step of it
POLL = 0.02  # seconds

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


@contextlib.asynccontextmanager
async def running_page(*flags):
    """A page that can make calls, in a Chromium with these flags."""
    async with running_chromium(*flags) as browser:
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
