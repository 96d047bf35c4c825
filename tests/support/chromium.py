"""The Chromium of this machine, for tests that want a browser: it begins and ends in bounded time."""

import asyncio
import contextlib
import os
import shutil

import pytest

from .ending import at_most

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
MEDIA_FLAGS = [
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]
PATIENCE = 30.0  # seconds until it runs


@contextlib.asynccontextmanager
async def running_chromium(*flags):
    """A Playwright browser; the test is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: on Debian, apt-get install chromium; or set CHROMIUM to a Chrome or Chromium")
    playwright = pytest.importorskip("playwright.async_api", reason="pip install playwright")
    async with asyncio.timeout(PATIENCE):
        driver = await playwright.async_playwright().start()
    try:
        async with asyncio.timeout(PATIENCE):
            browser = await driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            await at_most(browser.close())
    finally:
        await at_most(driver.stop())  # if not now, it stops when its stdin ends, with this process
