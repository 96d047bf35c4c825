"""Firefox without a window and without a driver program: WebDriver BiDi over its own websocket.

async with firefox() as browser:
    page = await browser.open("http://127.0.0.1:8080/")
    assert await page.evaluate("async number => number + 1", 1) == 2
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

import aiohttp
import pytest

from tests.support.ending import at_most, end

PROGRAM = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
START_PATIENCE = 60.0  # seconds until it listens, the first start of a profile on a busy machine
PATIENCE = 60.0  # seconds for one command
STOP_PATIENCE = 5.0  # seconds to go by itself
PREFERENCES = {
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "media.autoplay.default": 0,
    "media.gmp-manager.updateEnabled": False,
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,none",
    "toolkit.telemetry.enabled": False,
}


class Page:
    """A tab."""

    def __init__(self, browser, context):
        self.browser, self.context = browser, context

    async def goto(self, url):
        await self.browser.command("browsingContext.navigate", context=self.context, url=url, wait="complete")

    async def evaluate(self, function, argument=None):
        """Call a JavaScript function (of one argument, it may be async); what it takes and returns is JSON."""
        expression = f"(async () => JSON.stringify(await ({function})({json.dumps(argument)})) ?? 'null')()"
        result = await self.browser.command(
            "script.evaluate", expression=expression, target={"context": self.context}, awaitPromise=True
        )
        if result["type"] != "success":
            raise RuntimeError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])


class Firefox:
    """A running browser."""

    def __init__(self, socket):
        self._socket, self._last, self._waiting = socket, 0, {}
        self._reader = asyncio.create_task(self._read())
        self.version = ""

    async def _read(self):
        async for message in self._socket:
            reply = json.loads(message.data)
            waiting = self._waiting.pop(reply.get("id"), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(reply)
        for waiting in self._waiting.values():
            waiting.cancel()

    async def command(self, method, **parameters):
        """A command of https://w3c.github.io/webdriver-bidi/ and its result."""
        self._last += 1
        waiting = self._waiting[self._last] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._last, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE):
            reply = await waiting
        if reply["type"] != "success":
            raise RuntimeError(f"{method}: {reply.get('error')}: {reply.get('message')}")
        return reply["result"]

    async def open(self, url="about:blank"):
        """A new tab with this page, once it is loaded."""
        made = await self.command("browsingContext.create", type="tab")
        page = Page(self, made["context"])
        await page.goto(url)
        return page

    async def stop(self):
        with contextlib.suppress(Exception):
            async with asyncio.timeout(STOP_PATIENCE):
                await self.command("browser.close")
        self._reader.cancel()


@contextlib.asynccontextmanager
async def firefox(**preferences):
    """A browser with a profile of its own; camera, microphone and permissions are not asked for."""
    if PROGRAM is None:
        pytest.skip("no Firefox here: on Debian, apt-get install firefox-esr")
    async with contextlib.AsyncExitStack() as stack:
        # Removed without complaint: its last children may write into it still.
        profile = stack.enter_context(tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True))
        url = await stack.enter_async_context(_process(Path(profile), PREFERENCES | preferences))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        socket = await stack.enter_async_context(session.ws_connect(f"{url}/session", max_msg_size=1 << 26))
        browser = Firefox(socket)
        stack.push_async_callback(browser.stop)
        started = await browser.command("session.new", capabilities={})
        browser.version = started["capabilities"]["browserVersion"]
        yield browser


@contextlib.asynccontextmanager
async def _process(profile, preferences):
    """Firefox, running; the address where it takes commands."""
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in preferences.items()]
    await asyncio.to_thread((profile / "user.js").write_text, "".join(lines))
    arguments = ["--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0", "about:blank"]
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"HOME": str(profile), "MOZ_HEADLESS": "1"},
        start_new_session=True,
    )
    draining = None
    try:
        async with asyncio.timeout(START_PATIENCE):
            url = await _address(process.stderr)
        draining = asyncio.create_task(process.stderr.read())  # it must never wait for a reader
        yield url
    finally:
        await end(process, STOP_PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its children
        if draining is not None:
            await at_most(draining, STOP_PATIENCE)


async def _address(lines):
    said = b""
    while line := await lines.readline():
        said += line
        if found := re.search(rb"WebDriver BiDi listening on (ws://\S+)", line):
            return found[1].decode()
    raise RuntimeError(f"Firefox did not start: {said[-2000:].decode(errors='replace')}")
