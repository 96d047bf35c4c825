"""A call between a browser and us, video and sound both ways, over a path that the test holds in its hands."""

import asyncio
import contextlib
import json
import operator
import re
import time
from pathlib import Path

from stack import RTCPeerConnection

from .audio import Tone
from .matrix_link import Link
from .media_browser import Moving, Report, Shown, Watcher, page_of, until
from .media_path import impaired_path
from .stacks import prefer

RESULTS = Path(__file__).parents[2] / "build" / "interop-media.json"
MAX_BITRATE = 1_500_000  # bit/s of each video: two cores of a busy machine can encode and decode both
CONNECTING = 15.0  # seconds
MILLISECONDS = 1000


class Call:
    """An established call.

    Attributes:
        pc: Our connection.
        browser: The page.
        name: Which browser.
        mime: Of the video.
        path: What lies between.
        watcher: Takes the video that the browser sends.
        channel: The browser sends back what comes on it.
        descriptions: The text of ours and the browser's.
        measured: What the tests measured, by words for it.
    """

    def __init__(self, name, mime, browser, pc, path):
        self.name, self.mime, self.browser, self.pc, self.path = name, mime, browser, pc, path
        self.watcher, self.channel, self.descriptions, self.measured = None, None, (), {}
        self._shown = Shown()

    async def connect(self, bitrate):
        received = asyncio.Queue()
        self.pc.on("track", received.put_nowait)
        for track in (Moving(), Tone()):
            self.pc.addTrack(track)
        self.channel = self.pc.createDataChannel("echo")
        prefer(self.pc, self.mime)
        link = Link(self.pc, self.browser, we_offer=True, bend=self.path.bend)
        await self.browser.call("start", media=["video", "audio"])
        await link.connect()
        tracks = {track.kind: track for track in [await received.get() for _ in range(2)]}
        self.watcher = Watcher(tracks["video"])
        self.descriptions = self.pc.localDescription.sdp, self.pc.remoteDescription.sdp
        await self.browser.call("limit", bitrate=bitrate)
        sender = self.pc.getSenders()[0]
        parameters = sender.getParameters()
        parameters.encodings[0].maxBitrate = bitrate
        await sender.setParameters(parameters)
        await until(self._flows, CONNECTING)

    async def _flows(self):
        found = [entry for entry in (await self.browser.report()).values() if entry["type"] == "inbound-rtp"]
        return len(found) == 2 and any(entry.get("framesDecoded") for entry in found) and self.watcher.frames

    async def reports(self):
        """Statistics of ours and of the browser."""
        return Report(await self.pc.getStats()), await self.browser.report()

    async def ours(self):
        return Report(await self.pc.getStats())

    async def shown(self):
        """When the browser has shown which picture so far."""
        for now, timestamp in await self.browser.call("takeShown"):
            if timestamp is not None:
                self._shown.add(now / MILLISECONDS, timestamp)
        return self._shown

    async def hush(self):
        """Neither side sends pictures or sound any more."""
        await self.browser.call("hush")
        for sender in self.pc.getSenders():
            await sender.replaceTrack(None)

    def retransmission_types(self):
        """RTP payload types of RFC 4588."""
        return frozenset(int(number) for sdp in self.descriptions for number in re.findall(r"a=fmtp:(\d+) apt=", sdp))


@contextlib.asynccontextmanager
async def call(name, mime, rate, bitrate=MAX_BITRATE, *, configuration=None, **options):
    """A call over a path of `rate` bit/s each way, a video at most `bitrate`; what it measured is kept in RESULTS."""
    async with contextlib.AsyncExitStack() as stack:
        page = await stack.enter_async_context(page_of(name, **options))
        path = stack.enter_context(impaired_path())
        path.to_peer.rate = path.to_us.rate = rate
        pc = RTCPeerConnection(configuration)
        stack.push_async_callback(pc.close)
        made = Call(name, mime, page, pc, path)
        async with asyncio.timeout(CONNECTING):
            await made.connect(bitrate)
        stack.callback(made.watcher.stop)
        yield made
        keep(f"{name} {page.version}, {mime.partition('/')[2]}", made.measured)


def keep(name, measured):
    """Write results down beside those of other calls."""
    RESULTS.parent.mkdir(exist_ok=True)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found.setdefault(name, {}).update(measured)
    RESULTS.write_text(json.dumps(found, indent=1, ensure_ascii=False))


async def offered(lane, seconds):
    """The bit/s that come to a lane from now on."""
    begin = time.monotonic()
    await asyncio.sleep(seconds)
    return lane.bitrate(begin)


async def offered_above(lane, bitrate, patience):
    """Wait until so many bit/s have come to a lane for a second; return how long it took."""
    return await _offered(lane, bitrate, patience, 1.0, operator.ge)


async def offered_below(lane, bitrate, patience):
    """The same the other way round, and for half a second."""
    return await _offered(lane, bitrate, patience, 0.5, operator.le)


async def _offered(lane, bitrate, patience, window, compare):
    async def reached():
        return compare(lane.bitrate(time.monotonic() - window), bitrate)

    try:
        return await until(reached, patience)
    except TimeoutError:
        rate = lane.bitrate(time.monotonic() - window) / 1e6
        raise TimeoutError(f"{lane.name}: {rate:.2f}, not {bitrate / 1e6:.2f} Mbit/s after {patience} s") from None
