"""Browsers that send and receive media over the path of a test, and our side of it."""

import asyncio
import contextlib
import itertools
import time
from pathlib import Path

import av
import numpy as np

from stack import VideoStreamTrack

from .partner import PATIENCE, InPage, chromium_page, firefox_page

SCRIPT = (Path(__file__).parent / "media_page.js").read_text()
WIDTH, HEIGHT, FPS = 640, 360, 30
LOOP = 24  # pictures until they begin again
POLL = 0.05  # seconds
CLOCK = 90_000  # Hz


class Browser(InPage):
    """A page of a browser: what partner.py says, and `report`, `takeShown` and `limit`."""

    async def script(self):
        async with asyncio.timeout(PATIENCE):
            await self._evaluate("source => { (0, eval)(source); }", SCRIPT)

    async def report(self):
        return Report(await self.call("report"))


class Report(dict):
    """W3C statistics by id, of either side."""

    def one(self, kind, media=None):
        """The only dictionary of a type, and of a kind of media."""
        found = [entry for entry in self.values() if entry["type"] == kind and media in {None, entry.get("kind")}]
        assert len(found) == 1, f"{len(found)} {kind} {media or ''}"
        return found[0]

    def pair(self):
        """The candidate pair in use."""
        transport = self.one("transport")
        return self[transport["selectedCandidatePairId"]]


@contextlib.asynccontextmanager
async def page_of(name, **options):
    """A page of Chromium or Firefox."""
    async with {"Chromium": chromium_page, "Firefox": firefox_page}[name](Browser, **options) as page:
        await page.script()
        yield page


class Moving(VideoStreamTrack):
    """Pictures as busy as a camera in the dark makes them."""

    ptime = 1 / FPS

    def __init__(self):
        super().__init__()
        generator = np.random.default_rng(1)
        self._pictures = [_picture(generator, number) for number in range(LOOP)]

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        number = round(pts / (self.ptime * CLOCK))
        frame = av.VideoFrame.from_ndarray(self._pictures[number % LOOP], format="yuv420p")
        frame.pts, frame.time_base = pts, time_base
        return frame


def _picture(generator, number):
    planes = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    planes[:HEIGHT] = 60 + np.arange(WIDTH, dtype=np.uint8) // 8
    left, top = number * 8 % 320, number * 4 % 180
    planes[top : top + 180, left : left + 320] = generator.integers(104, 152, (180, 320), np.uint8)
    return planes


class Shown:
    """When pictures came out, by the clock of who captured them.

    Attributes:
        times: (seconds, seconds of the capture) of each.
    """

    def __init__(self):
        self.times = []

    def add(self, now, timestamp):
        last = round(self.times[-1][1] * CLOCK) if self.times else timestamp
        unwrapped = last + ((timestamp - last + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        self.times.append((now, unwrapped / CLOCK))

    def lateness(self, since=0.0):
        """How much longer the latest picture took than the quickest, seconds; and the longest time without one."""
        quickest = min(now - captured for now, captured in self.times)
        latest = max(now - captured - quickest for now, captured in self.times if now >= since)
        moments = [now for now, _ in self.times if now >= since]
        return latest, max(later - earlier for earlier, later in itertools.pairwise(moments))


class Watcher:
    """Takes all frames of a received track.

    Attributes:
        frames: (seconds, whether it is a key frame) of each.
        shown: When they came.
    """

    def __init__(self, track):
        self.frames, self.shown = [], Shown()
        self._track, self._task = track, asyncio.create_task(self._watch())

    async def _watch(self):
        while True:
            frame = await self._track.recv_encoded()
            now = time.monotonic()
            self.frames.append((now, frame.keyframe))
            self.shown.add(now, frame.timestamp)

    def stop(self):
        self._task.cancel()


async def until(wanted, patience, every=POLL):
    """Ask an async function until it says yes; return how long that took, seconds."""
    begin = time.monotonic()
    while not await wanted():
        if time.monotonic() - begin > patience:
            raise TimeoutError(f"not within {patience} s")
        await asyncio.sleep(every)
    return time.monotonic() - begin
