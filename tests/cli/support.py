"""What the tests of the command share: it runs as a process, as people run it."""

import asyncio
import contextlib
import json
import os
import pty
import signal
import sys
from pathlib import Path

from typer.testing import CliRunner

from stack.cli.__main__ import app

ROOT = Path(__file__).parents[2]
PLAIN = {**{k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR"}}, "COLUMNS": "120"}


async def begin(*options, env=None):
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "stack.cli",
        *map(str, options),
        cwd=ROOT,
        stdout=pipe,
        stderr=pipe,
        env=env or PLAIN,
        preexec_fn=hear_ctrl_c,
    )


def hear_ctrl_c():
    """Undo what a shell does to jobs in the background, which would be inherited: Ctrl-C is for those in front."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.asynccontextmanager
async def serving(*options, env=None):
    """A server: what it says when it listens, and at the end all `events` after that."""
    process = await begin(*options, "--json", env=env)
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    assert line, (await process.stderr.read()).decode()
    said = json.loads(line)
    assert said["event"] == "listening"
    try:
        yield said
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), 10)
        assert (process.returncode, err) == (0, b"")
        said["events"] = [json.loads(line) for line in out.splitlines()]


async def on_a_terminal(*options, no_color=False):
    """What a terminal that has colours gets from a command that succeeds."""
    env = {**PLAIN, "TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if no_color else {})
    screen, terminal = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stack.cli", *map(str, options)), cwd=ROOT, env=env, stdout=terminal, stderr=terminal
    )
    assert await asyncio.wait_for(process.wait(), 60) == 0
    os.close(terminal)
    shown = os.read(screen, 100_000)
    os.close(screen)
    return shown


async def webrtc(*options, env=None):
    """Exit code, standard output, standard error."""
    process = await begin(*options, env=env)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert b"Traceback" not in out + err, err.decode()
    return process.returncode, out.decode(), err.decode()


def in_process(*options):
    """The same, quickly: for what ends before anything is sent."""
    result = CliRunner().invoke(
        app, list(map(str, options)), prog_name="webrtc", env={"COLUMNS": "120", "TERM": "dumb"}
    )
    return result.exit_code, result.stdout, result.stderr


async def objects(*options):
    """Exit code, and the JSON objects by their `event`, the last one of each."""
    code, out, err = await webrtc(*options, "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    return code, {line["event"]: line for line in lines}, err
