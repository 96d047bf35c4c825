"""aiortc's example programs, with nothing changed but what they import.

They come from aiortc's source distribution on PyPI, of the release that is installed, and are kept in `build/`.
"""

import asyncio
import contextlib
import importlib.metadata
import os
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "build" / "aiortc"
PATIENCE = 20.0  # seconds for one step of a program; the slowest is its start
DOWNLOAD_PATIENCE = 60.0  # seconds
END_PATIENCE = 5.0  # seconds
POLL = 0.05  # seconds

IMPORT = re.compile(r"^(\s*(?:from|import)\s+)aiortc\b", re.MULTILINE)
# The programs call `asyncio.get_event_loop`, which makes no loop since Python 3.14, nor with uvloop, their option.
START = (
    "import asyncio, runpy, sys; sys.argv.pop(0); sys.modules['uvloop'] = None; "
    "asyncio.set_event_loop(asyncio.new_event_loop()); runpy.run_path(sys.argv[0], run_name='__main__')"
)


def distribution():
    """The source distribution's file."""
    version = importlib.metadata.version("aiortc")
    found = CACHE / f"aiortc-{version}.tar.gz"
    if not found.exists():
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            "download",
            "--quiet",
            "--retries",
            "1",
        ]
        wanted = ["--no-deps", "--no-binary", ":all:", "--dest", CACHE, f"aiortc=={version}"]
        ran = subprocess.run([*pip, *wanted], capture_output=True, text=True, timeout=DOWNLOAD_PATIENCE, check=False)
        if ran.returncode:
            pytest.skip(f"no source distribution of aiortc {version}: {ran.stderr.strip()}")
    return found


def unpack(name, folder, *, ours=True):
    """Write an example's files into a folder, importing us in place of aiortc; or not, for the other end."""
    folder.mkdir(exist_ok=True)
    changed = 0
    with tarfile.open(distribution()) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if not member.isfile() or path.parts[1:3] != ("examples", name):
                continue
            data = archive.extractfile(member).read()
            if path.suffix == ".py":
                text, count = IMPORT.subn(r"\1stack" if ours else r"\g<0>", data.decode())
                data, changed = text.encode(), changed + count
            (folder / path.name).write_bytes(data)
    assert changed, f"{name} imports nothing from aiortc"
    return folder


class Running:
    """A program that runs, and what it has printed."""

    def __init__(self, process):
        self.process, self.printed = process, ""
        self._changed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self):
        while data := await self.process.stdout.read(4096):
            self.printed += data.decode(errors="replace")
            self._changed.set()
        self._changed.set()

    async def prints(self, pattern, times=1):
        """Wait until it has printed what matches."""
        try:
            async with asyncio.timeout(PATIENCE):
                while len(found := re.findall(pattern, self.printed)) < times:
                    if self._reading.done():
                        raise AssertionError(f"it ended and never printed {pattern!r} {times} times:\n{self.printed}")
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"it has not printed {pattern!r} {times} times:\n{self.printed}") from None
        return found

    async def ends(self):
        """Wait until it ends by itself, and without complaint."""
        try:
            async with asyncio.timeout(PATIENCE):
                code = await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"it does not end:\n{self.printed}") from None
        await self._reading
        assert code == 0, self.printed
        assert "Traceback" not in self.printed, self.printed

    async def interrupt(self):
        """End it as Ctrl+C does."""
        self.process.send_signal(signal.SIGINT)
        await self.ends()

    async def kill(self):
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        await self._reading


@contextlib.asynccontextmanager
async def run(script, *arguments):
    """Run a script of ours in its folder."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", START, script, *map(str, arguments)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=script.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    running = Running(process)
    try:
        yield running
    finally:
        await running.kill()


async def becomes(condition):
    """Wait until something holds that nobody tells us about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  a file, or another program
            await asyncio.sleep(POLL)
