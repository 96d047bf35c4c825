"""The proof: a real browser drives the car over real sockets, with nothing in between but our own stack."""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from tests.support.chromium import running_chromium

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
FLAGS = [
    "--autoplay-policy=no-user-gesture-required",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
]
STOP_PATIENCE = 0.5  # seconds from the loss of the driver to the brakes
RETURN_PATIENCE = 3.0  # seconds from a reload to live pictures
SCREENSHOT = os.environ.get("RCCAR_SCREENSHOT")  # where to leave one, for the documentation


class CarProcess:
    """`rccar` as a user starts it, and the events that it prints."""

    def __init__(self, process):
        self.process = process
        self.events = []
        self.reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, *options):
        command = [sys.executable, "-m", "stack.car", "--port", "0", "--json", *options]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)
        car = cls(process)
        car.url = (await car.event("listening"))["url"]
        return car

    async def _read(self):
        async for line in self.process.stdout:
            self.events.append(json.loads(line))

    async def event(self, name, *, since=0.0, patience=15.0):
        """The first event of this name at or after `since`, seconds since the epoch."""
        deadline = time.monotonic() + patience
        while True:
            for event in self.events:
                if event["event"] == name and event["time"] >= since:
                    return event
            assert time.monotonic() < deadline, f"no {name} in {self.events}"
            assert not self.reader.done(), (await self.process.stderr.read()).decode()
            await asyncio.sleep(0.01)

    async def stop(self):
        started = time.monotonic()
        self.process.terminate()
        _, errors = await self.process.communicate() if self.reader.done() else (None, await self._drain())
        await self.process.wait()
        return time.monotonic() - started, self.process.returncode, errors.decode()

    async def _drain(self):
        errors = await self.process.stderr.read()
        await self.reader
        return errors


@pytest.fixture
def options():
    return []


@pytest.fixture
async def car(options):
    car = await CarProcess.start(*options)
    yield car
    if car.process.returncode is None:
        car.process.kill()
    await car.process.wait()
    await car.reader


@pytest.fixture
async def browser():
    async with running_chromium(*FLAGS) as browser:
        yield browser


async def open_page(browser, car):
    # Our policy forbids eval, which Playwright's wait_for_function uses.
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, bypass_csp=True)
    page = await context.new_page()
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(error))  # noqa: PLW0108  Playwright wants a Python function
    await page.goto(car.url)
    return page


async def wait_live(page, patience=15.0):
    await page.wait_for_function(
        "window.rccar?.state === 'live' && rccar.frameNumber > 0", timeout=patience * 1000, polling=20
    )


async def telemetry(page):
    return await page.evaluate("rccar.telemetry")


async def picture(page):
    """The upper part of the picture now (what stands there moves with the car), as a list of brightnesses."""
    return await page.evaluate(
        """() => {
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [64, 36];
            const context = canvas.getContext("2d");
            context.drawImage(document.getElementById("video"), 0, 0, 64, 36);
            return Array.from(context.getImageData(0, 0, 64, 30).data.filter((_, i) => i % 4 === 1));
        }"""
    )


def difference(a, b):
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


@pytest.mark.parametrize("options", [["--codec", "h264"], ["--codec", "vp8"]], ids=["H264", "VP8"])
async def test_a_browser_drives_the_car(browser, car, options):
    page = await open_page(browser, car)
    await wait_live(page)
    await car.event("failsafe-resumed")
    # The video plays: decoded frames go up, and so does the number that is painted into them.
    first = await page.evaluate(
        "[rccar.frameNumber, document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames]"
    )
    await asyncio.sleep(1.0)
    second = await page.evaluate(
        "[rccar.frameNumber, document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames]"
    )
    assert second[0] > first[0] + 5
    assert second[1] > first[1] + 5
    # At rest: the picture stands still.
    standing, still = await telemetry(page), await picture(page)
    assert standing["speed"] == 0
    await asyncio.sleep(0.3)
    assert difference(still, await picture(page)) < 2
    # W drives.
    await page.keyboard.down("w")
    await page.wait_for_function("rccar.telemetry.speed > 1", timeout=5000)
    moving = await telemetry(page)
    assert moving["throttle"] == 1
    assert moving["distance"] > standing["distance"]
    await page.wait_for_function("rccar.telemetry.distance > 2", timeout=5000)
    assert difference(still, await picture(page)) > 3
    # A steers to the left.
    await page.keyboard.down("a")
    await page.wait_for_function("rccar.telemetry.steering > 0.1", timeout=2000)
    if SCREENSHOT and options == ["--codec", "h264"]:
        await asyncio.sleep(0.25)
        await page.keyboard.up("a")
        await asyncio.sleep(0.4)
        await page.screenshot(path=SCREENSHOT)
    await page.keyboard.up("a")
    # Letting go stops.
    await page.keyboard.up("w")
    await page.wait_for_function("rccar.telemetry.speed === 0", timeout=3000)
    at_rest = await telemetry(page)
    await asyncio.sleep(0.5)
    assert (await telemetry(page))["distance"] == at_rest["distance"]
    assert (await telemetry(page))["stopped"] is False  # by its driver, not by the fail-safe
    # The page measured itself.
    assert await page.evaluate("rccar.rtt") < 500
    assert await page.evaluate("rccar.codec") == options[1].upper()
    assert await page.evaluate("rccar.unreadable") <= 2
    assert page.errors == []
    took, code, errors = await car.stop()
    assert (code, errors) == (0, "")
    assert took < 2.0


async def test_a_frozen_page_stops_the_car(browser, car):
    page = await open_page(browser, car)
    await wait_live(page)
    await page.keyboard.down("w")
    await page.wait_for_function("rccar.telemetry.speed > 0.8", timeout=5000)
    frozen = time.time()
    # The page's own clock stands still: no command leaves it any more, though the connection lives.
    blocked = asyncio.ensure_future(
        page.evaluate("() => { const end = performance.now() + 1500; while (performance.now() < end); }")
    )
    stopped = await car.event("failsafe-stopped", since=frozen, patience=3)
    assert stopped["reason"] == "command-timeout"
    assert stopped["time"] - frozen < STOP_PATIENCE
    assert 290 <= stopped["last_command_age_ms"] <= 400
    await blocked
    await car.event("failsafe-resumed", since=stopped["time"], patience=5)


async def test_a_killed_page_stops_the_car(browser, car):
    page = await open_page(browser, car)
    await wait_live(page)
    await page.keyboard.down("w")
    await page.wait_for_function("rccar.telemetry.speed > 0.8", timeout=5000)
    session = await page.context.new_cdp_session(page)
    killed = time.time()
    crash = asyncio.ensure_future(session.send("Page.crash"))  # the renderer dies without a goodbye
    stopped = await car.event("failsafe-stopped", since=killed, patience=3)
    assert stopped["time"] - killed < STOP_PATIENCE
    crash.cancel()
    await car.event("driver-gone", since=killed)


async def test_a_reloaded_page_drives_again_soon(browser, car):
    page = await open_page(browser, car)
    await wait_live(page)
    started = time.monotonic()
    await page.reload(wait_until="commit")
    await wait_live(page)
    assert time.monotonic() - started < RETURN_PATIENCE
    await page.keyboard.down("w")
    await page.wait_for_function("rccar.telemetry.speed > 0.5", timeout=5000)
    assert page.errors == []


async def test_a_second_driver_waits_and_then_drives(browser, car):
    first = await open_page(browser, car)
    await wait_live(first)
    second = await open_page(browser, car)
    await second.wait_for_function("window.rccar?.state === 'busy'", timeout=5000)
    assert "Somebody else" in await second.inner_text("#veil-title")
    await first.close()
    await wait_live(second, patience=5)


async def test_a_car_that_was_switched_off_and_on_again_is_found(browser, car):
    page = await open_page(browser, car)
    await wait_live(page)
    port = car.url.rsplit(":", 1)[1].strip("/")
    await car.stop()
    await page.wait_for_function("rccar.state === 'reconnecting'", timeout=5000)
    again = await CarProcess.start("--port", port)
    try:
        await wait_live(page)
    finally:
        await again.stop()


class TestToken:
    @pytest.fixture
    def options(self):
        return ["--token", "a-token"]

    async def test_without_the_token_the_page_says_so(self, browser, car):
        context = await browser.new_context(bypass_csp=True)
        page = await context.new_page()
        await page.goto(car.url.partition("?")[0])
        await page.wait_for_function("window.rccar?.state === 'error'", timeout=5000)
        assert "token" in await page.inner_text("#veil-text")
        await page.goto(car.url)
        await wait_live(page)
