"""Several encodings of one source with Chromium (RFC 8853), which sends them and does not receive them."""

import asyncio
import contextlib

import pytest
import pytest_asyncio

from stack import RTCPeerConnection, RTCRtpEncodingParameters, RTCRtpTransceiverInit
from stack.media import TestPatternTrack

from .matrix_link import Link, unbent
from .media_browser import Report, page_of, until
from .stacks import prefer

pytestmark = [
    pytest.mark.interop,
    pytest.mark.browser,
    pytest.mark.timeout(90),
    pytest.mark.asyncio(loop_scope="module"),
]
WIDTH, HEIGHT = 960, 540  # of smaller pictures Chromium sends fewer sizes
SCALES = {"q": 4, "h": 2, "f": 1}
PATIENCE = 20.0  # seconds until the sender's estimate has risen to what the largest takes
FRAMES = 30


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    async with page_of("Chromium") as found:
        yield found


@contextlib.asynccontextmanager
async def connection(browser):
    async with RTCPeerConnection() as pc:
        await browser.call("start")
        yield pc
        await browser.call("stop")


def by_rid(report, kind):
    return {entry.get("rid"): entry for entry in report.values() if entry["type"] == kind}


async def inbound(pc):
    return by_rid(Report(await pc.getStats()), "inbound-rtp")


class Viewer:
    """Decodes a track.

    Attributes:
        width: Of the last picture.
    """

    def __init__(self, track):
        self.width, self._task = 0, asyncio.create_task(self._watch(track))

    async def _watch(self, track):
        while True:
            self.width = (await track.recv()).width

    async def sees(self, width):
        async def so():
            return self.width == width

        await until(so, PATIENCE)

    def stop(self):
        self._task.cancel()


async def test_all_that_chromium_sends_is_received(browser):
    async with connection(browser) as pc:
        tracks = asyncio.Queue()
        pc.on("track", tracks.put_nowait)
        encodings = [{"rid": rid, "scaleResolutionDownBy": scale} for rid, scale in SCALES.items()]
        await browser.call("sendSeveral", width=WIDTH, height=HEIGHT, encodings=encodings)
        link = Link(pc, browser, we_offer=False, bend=unbent)
        await link.connect()
        assert "a=simulcast:recv q;h;f\r\n" in pc.localDescription.sdp
        viewer = Viewer(await tracks.get())

        async def all_flow():
            found = await inbound(pc)
            return len(found) == 3 and all(entry["framesReceived"] > FRAMES for entry in found.values())

        await until(all_flow, PATIENCE)
        await both_count_the_same(pc, browser)
        await viewer.sees(WIDTH)
        await browser.call("activate", rid="f", active=False)
        await viewer.sees(WIDTH // 2)
        await browser.call("activate", rid="f", active=True)
        await viewer.sees(WIDTH)
        await it_goes_on_after_a_negotiation(pc, link)
        viewer.stop()


async def both_count_the_same(pc, browser):
    received, sent = await inbound(pc), by_rid(await browser.report(), "outbound-rtp")
    assert received.keys() == sent.keys() == SCALES.keys()
    for rid, scale in SCALES.items():
        assert received[rid]["ssrc"] == sent[rid]["ssrc"]
        for report in (received[rid], sent[rid]):
            assert (report["frameWidth"], report["frameHeight"]) == (WIDTH // scale, HEIGHT // scale)
        assert 0 <= sent[rid]["framesSent"] - received[rid]["framesReceived"] < FRAMES
        assert received[rid]["framesDropped"] == 0


async def it_goes_on_after_a_negotiation(pc, link):
    """Chromium does not say any more by then to which encoding a packet belongs."""
    pc.createDataChannel("another section")
    link.we_offer = True
    before = await inbound(pc)
    await link.negotiate()
    assert "a=simulcast:recv q;h;f\r\n" in pc.localDescription.sdp
    assert "a=simulcast:send q;h;f\r\n" in pc.remoteDescription.sdp

    async def more():
        found = await inbound(pc)
        return all(found[rid]["framesReceived"] > before[rid]["framesReceived"] + FRAMES for rid in before)

    await until(more, PATIENCE)


@pytest.mark.parametrize("mime", ["video/VP8", "video/H264"])
async def test_chromium_receives_one_encoding(browser, mime):
    async with connection(browser) as pc:
        encodings = [RTCRtpEncodingParameters(rid=rid, scaleResolutionDownBy=scale) for rid, scale in SCALES.items()]
        sender = pc.addTransceiver(TestPatternTrack(320, 180), RTCRtpTransceiverInit("sendonly", (), encodings)).sender
        prefer(pc, mime)
        await Link(pc, browser, we_offer=True, bend=unbent).connect()
        assert "a=simulcast:send q;h;f\r\n" in pc.localDescription.sdp
        assert "a=simulcast" not in pc.remoteDescription.sdp
        assert [encoding.rid for encoding in sender.getParameters().encodings] == ["q"]

        async def decoded():
            found = by_rid(await browser.report(), "inbound-rtp")
            return any(entry.get("framesDecoded", 0) > FRAMES for entry in found.values())

        await until(decoded, PATIENCE)
        (received,) = by_rid(await browser.report(), "inbound-rtp").values()
        (sent,) = by_rid(Report(await pc.getStats()), "outbound-rtp").values()
        assert received["ssrc"] == sent["ssrc"]
        assert received["frameWidth"] == sent["frameWidth"] == 320 // SCALES["q"]
