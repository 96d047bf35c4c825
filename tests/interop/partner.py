"""Other stacks, each in a program of its own, that all do what they are told in the same way.

The commands, which `partners/` carries out in each stack's own language:

| command | argument | result |
| --- | --- | --- |
| start | `channels` to open, `media` kinds to send | a new connection |
| offer | | a description with all candidates |
| answer | an offer | a description with all candidates |
| accept | an answer | |
| open | `label` and W3C's options | a channel is opened |
| shut | `label` | a channel is closed |
| channels | | what there is, as W3C has it |
| state | | W3C connectionState |
| statistics | | W3C statistics of what is sent and received, by `type kind` |
| stop | | the connection is closed |

Every channel sends back what comes on it, text as text.
"""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.chromium import MEDIA_FLAGS, running_chromium
from tests.support.ending import end

from .firefox import firefox

PROGRAMS = Path(__file__).parent / "partners"
BUILD = Path(__file__).parents[2] / "build" / "partners"
PATIENCE = 20.0  # seconds for one command; the slowest is a browser's first
STOP_PATIENCE = 3.0  # seconds for a program to end when its stdin does
POLL = 0.02  # seconds


class Partner:
    """Another stack that runs.

    Attributes:
        version: What it says that it is.
    """

    version = ""

    async def call(self, command, **argument):
        """Give a command, return its result."""
        raise NotImplementedError

    async def until(self, command, wanted, **argument):
        """Ask until the answer is as wanted; return it."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not wanted(answer := await self.call(command, **argument)):  # noqa: ASYNC110  it is elsewhere
                    await asyncio.sleep(POLL)
        except TimeoutError:
            raise TimeoutError(f"the last answer to {command} was {answer}") from None
        return answer


class Program(Partner):
    """A partner that takes its commands on stdin, a line of JSON each, and answers on stdout."""

    def __init__(self, process):
        self._process, self._last = process, 0
        self._talking = asyncio.Lock()

    async def _next(self):
        async with asyncio.timeout(PATIENCE):
            while line := await self._process.stdout.readline():
                if line.startswith(b"{"):
                    return json.loads(line)
                sys.stderr.write(line.decode(errors="replace"))  # some libraries print their log
            raise ConnectionError(f"the program ended with {await self._process.wait()}")

    async def greet(self):
        self.version = (await self._next())["version"]

    async def call(self, command, **argument):
        async with self._talking:
            self._last += 1
            request = {"id": self._last, "command": command, "argument": argument}
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            answer = await self._next()
            while answer.get("id") != self._last:
                answer = await self._next()
        if "error" in answer:
            raise RuntimeError(f"{command}: {answer['error']}")
        return answer["result"]


@contextlib.asynccontextmanager
async def program(*arguments, folder=PROGRAMS, environment=None):
    """Run a partner."""
    process = await asyncio.create_subprocess_exec(
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
        cwd=folder,
        env=os.environ | (environment or {}),
    )
    try:
        partner = Program(process)
        await partner.greet()
        yield partner
    finally:
        process.stdin.close()
        await end(process, STOP_PATIENCE)


def built(path, how):
    """A file that tests/support/partners.sh makes."""
    found = BUILD / path
    if not found.exists():
        pytest.skip(f"{found} is missing: {how}")
    return found


def node(name):
    modules = built("npm/node_modules", "make ready (it needs node and npm)")
    return program(shutil.which("node"), PROGRAMS / "node.cjs", name, folder=modules.parent)


def pion():
    return program(built("pion", "make ready (it needs Go and golang-github-pion-webrtc.v3-dev)"))


def aiortc():
    return program(sys.executable, "peer_aiortc.py")


def aiolibdatachannel():
    if (BUILD / "no-newer-python").exists():
        # Not a skip, which a strict run forbids: Debian 12 has no such Python, and nothing that can be installed does.
        pytest.xfail("aiolibdatachannel wants Python 3.12 or newer, and this machine has none")
    python = built("python/bin/python", "make ready (it needs Python 3.12 or newer)")
    return program(python, "peer_aiolibdatachannel.py")


def gstreamer():
    python = shutil.which("python3", path="/usr/bin")
    check = "import gi; gi.require_version('GstWebRTC', '1.0')"
    if python is None or subprocess.run([python, "-c", check], capture_output=True, check=False).returncode:
        pytest.skip("no GStreamer with webrtcbin for the system's Python here: make ready")
    return program(python, "peer_gstreamer.py")


class InPage(Partner):
    """A partner that is a page; `evaluate` calls a function there."""

    def __init__(self, evaluate, version):
        self._evaluate, self.version = evaluate, version

    async def call(self, command, **argument):
        async with asyncio.timeout(PATIENCE):
            return await self._evaluate(f"argument => peer.{command}(argument)", argument)


@contextlib.asynccontextmanager
async def served():
    """The page, on an origin that may use a camera; its address."""
    files = web.Application()
    files.router.add_static("/", PROGRAMS)
    runner = web.AppRunner(files, shutdown_timeout=STOP_PATIENCE)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/peer.html"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def chromium_page(kind=InPage, flags=()):
    async with served() as url, running_chromium(*MEDIA_FLAGS, *flags) as browser:
        async with asyncio.timeout(PATIENCE):
            page = await browser.new_page()
            await page.goto(url)
        yield kind(page.evaluate, browser.version)


@contextlib.asynccontextmanager
async def firefox_page(kind=InPage):
    async with served() as url, firefox() as browser:
        page = await browser.open(url)
        yield kind(page.evaluate, browser.version)


@dataclass(frozen=True, eq=False)
class Kind:
    """How to run a partner, and what it can.

    Args:
        name: As the matrix has it.
        run: Gives a context manager of a Partner.
        video: MIME types that it sends and receives.
        audio: Whether it sends and receives Opus.
        counts_repairs: Whether it has W3C statistics of what was lost and came again.
        echoes: Whether it sends back the RTP that it gets, as it neither encodes nor decodes.
        broken: Why its tests fail so far, by what they need: `data`.
        quirks: What it does not do as the RFCs have it, by the name that the tests know it by.
    """

    name: str
    run: Callable[[], contextlib.AbstractAsyncContextManager[Partner]]
    video: tuple[str, ...] = ()
    audio: bool = False
    counts_repairs: bool = False
    echoes: bool = False
    broken: Mapping[str, str] = field(default_factory=dict)
    quirks: Mapping[str, str] = field(default_factory=dict)


H264, VP8 = "video/H264", "video/VP8"
SILENT = "does not tell ordered, maxRetransmits and maxPacketLifeTime of channels that the peer opened"
LABELS = "counts the length of labels and protocols in characters where RFC 8832 section 5.1 has bytes"
NUL = "ends text at a NUL character"
RESTART = "refuses descriptions with other ICE credentials than before"
UNMOVED = "answers a restart of ICE with the credentials that it has; the old path works on"
KINDS = [
    Kind(
        "Chromium",
        chromium_page,
        (H264, VP8),
        audio=True,
        counts_repairs=True,
        quirks={
            "mute": "announces a channel as open and loses what the page sends at once, about once in 80 times, with "
            "aiortc as its peer too; its own statistics then count no message as sent",
        },
    ),
    Kind("Firefox", firefox_page, (VP8,), audio=True, counts_repairs=True),
    Kind("aiortc", aiortc, (H264, VP8), audio=True, quirks={"labels": LABELS, "unmoved": UNMOVED}),
    Kind(
        "aiolibdatachannel",
        aiolibdatachannel,
        quirks={
            "silent": SILENT,
            "nul": NUL,
            "restart": RESTART,
            "media": "has no media: its binding has no call for tracks, and its libdatachannel is built without them",
        },
    ),
    Kind(
        "Pion",
        pion,
        (H264, VP8),
        audio=True,
        quirks={"short": "takes 65535 bytes where RFC 8841 section 6 has 65536"},
    ),
    Kind(
        "GStreamer",
        gstreamer,
        (H264, VP8),
        audio=True,
        quirks={
            "empty": "sends no byte for an empty message, where RFC 8831 section 6.6 has one, and closes the channel",
            "nul": NUL,
            "unmoved": UNMOVED,
            "late": "takes no channel agreed by other means once it is connected",
        },
    ),
    Kind(
        "node-datachannel",
        lambda: node("node-datachannel"),
        (H264, VP8),
        audio=True,
        echoes=True,
        quirks={
            "silent": SILENT,
            "restart": RESTART,
            "agreeable": "repeats in its answer what was offered, as transport-cc, of which it sends none",
        },
    ),
    Kind("@roamhq/wrtc", lambda: node("wrtc"), (VP8,), audio=True),
    Kind(
        "werift",
        lambda: node("werift"),
        (H264, VP8),
        audio=True,
        echoes=True,
        quirks={
            "empty": "sends no packet for an empty message, and counts it all the same, so that later ones are stuck",
            "labels": LABELS,
            "unordered": "opens channels that are unordered and have a limit as ordered ones",
            "misled": "hands a PLI to the receiver of the SSRC that asks, not to the sender of what it is about",
            "bundle": "has no track event for a section that is bundle-only (port 0, RFC 9143 section 6); media comes",
        },
    ),
]


def partners(ability, *needs):
    """Parametrises a test by the partners that have an ability."""
    found = []
    for kind in filter(ability, KINDS):
        reasons = [kind.broken[need] for need in needs if need in kind.broken]
        marks = [pytest.mark.xfail(reason=reason, strict=True) for reason in reasons]
        found.append(pytest.param(kind, id=kind.name, marks=marks))
    return pytest.mark.parametrize("kind", found, indirect=True, scope="module")
