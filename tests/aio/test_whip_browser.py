"""Chromium publishes to our endpoint by WHIP, plays from it by WHEP, trickles and restarts; and we play and publish."""

import asyncio

import pytest

from stack.aio.whip import WhepClient, WhipClient
from stack.media import TestPatternTrack
from tests.support.chromium import MEDIA_FLAGS, running_chromium
from tests.support.waiting import until
from tests.support.whip_endpoint import endpoint

pytestmark = [pytest.mark.browser, pytest.mark.interop, pytest.mark.timeout(90)]

PATIENCE = 40.0

SCRIPT = """
window.client = {candidates: [], statuses: []};
client.fragment = (candidates, ended) => {
    const sdp = client.pc.localDescription.sdp, lines = sdp.split("\\r\\n");
    const first = lines.findIndex(line => line.startsWith("m="));
    const find = start => lines.find((line, index) => index > first && line.startsWith(start));
    const end = ended ? ["a=end-of-candidates", ""] : [""];
    return ["a=group:BUNDLE 0", lines[first], find("a=mid:"), find("a=ice-ufrag:"), find("a=ice-pwd:"),
            ...candidates.map(candidate => "a=" + candidate), ...end].join("\\r\\n");
};
client.start = async (url, publishes) => {
    const pc = client.pc = new RTCPeerConnection({bundlePolicy: "max-bundle"});
    pc.onicecandidate = event => { if (event.candidate?.candidate) client.candidates.push(event.candidate.candidate); };
    if (publishes) {
        const stream = await navigator.mediaDevices.getUserMedia({video: {width: 320, height: 240}, audio: true});
        for (const track of stream.getTracks()) pc.addTransceiver(track, {direction: "sendonly", streams: [stream]});
    } else {
        client.video = document.createElement("video");
        client.video.muted = client.video.autoplay = true;
        pc.ontrack = event => {
            if (event.track.kind === "video") client.video.srcObject = new MediaStream([event.track]);
        };
        for (const kind of ["video", "audio"]) pc.addTransceiver(kind, {direction: "recvonly"});
    }
    const offer = await pc.createOffer();
    await pc.setLocalDescription(offer);
    const posted = await fetch(url, {method: "POST", body: offer.sdp, headers: {"Content-Type": "application/sdp"}});
    client.session = new URL(posted.headers.get("Location"), url);
    client.etag = posted.headers.get("ETag");
    await pc.setRemoteDescription({type: "answer", sdp: await posted.text()});
    while (pc.iceGatheringState !== "complete") await new Promise(done => setTimeout(done, 10));
    const patched = await fetch(client.session, {
        method: "PATCH", body: client.fragment(client.candidates, true),
        headers: {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": client.etag},
    });
    client.statuses.push(posted.status, patched.status);
};
client.stop = async () => {
    client.statuses.push((await fetch(client.session, {method: "DELETE"})).status);
    client.pc.close();
};
client.state = () => ({connection: client.pc.connectionState, width: client.video?.videoWidth ?? 0,
                       seconds: client.video?.currentTime ?? 0, statuses: client.statuses});
"""


@pytest.fixture
async def server():
    async with endpoint() as made:
        yield made


@pytest.fixture
async def page(server):
    async with running_chromium(*MEDIA_FLAGS) as browser:
        async with asyncio.timeout(PATIENCE):
            page = await browser.new_page()
            await page.goto(f"{server.url}/nothing")  # the same origin
            await page.evaluate(f"() => {{ {SCRIPT} }}")
        yield page


async def state_of(page, condition):
    state = {}

    async def update():
        state.update(await page.evaluate("client.state()"))
        return condition(state)

    async with asyncio.timeout(PATIENCE):
        while not await update():  # noqa: ASYNC110  the page has no event for it
            await asyncio.sleep(0.05)
    return state


async def test_chromium_plays(server, page):
    async with WhipClient(f"{server.url}/whip") as publisher:
        await publisher.publish(TestPatternTrack(320, 180, 15))
        await publisher.wait_connected()
        await until(lambda: server.tracks)
        await page.evaluate("url => client.start(url, false)", f"{server.url}/whep")
        state = await state_of(page, lambda state: state["width"] and state["seconds"] > 0.5)
        assert (state["width"], state["connection"]) == (320, "connected")
        session = server.sessions["1"]
        assert session.candidates[-1] is None
        assert len(session.candidates) > 1
        await page.evaluate("client.stop()")
        assert (await page.evaluate("client.state()"))["statuses"] == [201, 204, 200]
    assert server.deleted == ["1", "0"]


async def test_chromium_publishes(server, page):
    await page.evaluate("url => client.start(url, true)", f"{server.url}/whip")
    await state_of(page, lambda state: state["connection"] == "connected")
    await until(lambda: len(server.tracks) == 2)
    async with WhepClient(f"{server.url}/whep") as player:
        tracks = await player.play()
        await player.wait_connected()
        video = next(track for track in tracks if track.kind == "video")
        picture = await video.recv()
        assert picture.width > 0
        await player.restart()
        assert server.sessions["1"].restarts == 1
        assert (await video.recv_encoded()).data
    await page.evaluate("client.stop()")
    assert server.deleted == ["1", "0"]
