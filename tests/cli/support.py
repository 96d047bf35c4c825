"""What the tests of the command share: it runs as a process, as people run it."""

import asyncio
import json
import os
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
