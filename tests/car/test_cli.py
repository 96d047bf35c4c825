"""The command line as a process: what it prints, and how it ends."""

import asyncio
import json
import signal
import socket
import sys
import time
from pathlib import Path

import aiohttp
import pytest
from typer.testing import CliRunner

import stack
from stack.car.__main__ import app

ROOT = Path(__file__).parents[2]


async def rccar(*options):
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stack.car", *options, cwd=ROOT, stdout=pipe, stderr=pipe
    )


def run(*options):
    """In this process: for what ends before anything is served."""
    result = CliRunner().invoke(app, options, env={"COLUMNS": "120", "TERM": "dumb"})
    return result.exit_code, result.stdout, result.stderr


def test_help_has_examples():
    code, out, _ = run("--help")
    assert code == 0
    assert "--host 0.0.0.0" in out
    assert "first free from 8080" in out
    assert "none for localhost" in " ".join(out.replace("│", " ").split())
    assert "Drive a simulated RC car" in out


def test_version():
    assert run("--version") == (0, f"rccar {stack.__version__}\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_serves_says_so_in_json_and_ends_cleanly(number):
    process = await rccar("--port", "0", "--json")
    listening = json.loads(await process.stdout.readline())
    assert listening["event"] == "listening"
    assert listening["local"] is True
    async with aiohttp.ClientSession() as session, session.get(listening["url"] + "state") as response:
        assert (await response.json())["stopped"] is True
    started = time.monotonic()
    process.send_signal(number)
    out, err = await process.communicate()
    assert time.monotonic() - started < 2.0
    assert (process.returncode, err) == (0, b"")
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["failsafe-closed", "stopped"]


async def test_for_people_it_prints_the_link():
    process = await rccar("--port", "0", "--token", "abc")
    printed = b""
    while b"Ctrl-C" not in printed:
        line = await process.stdout.readline()
        assert line, await process.stderr.read()
        printed += line
    process.terminate()
    await process.communicate()
    assert b"/?token=abc" in printed
    assert b"\x1b[" not in printed  # no colours into a pipe


def test_a_port_in_use_is_a_clear_message():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = run("--port", str(port))
    assert code == 1
    assert f"port {port} on 127.0.0.1 is in use" in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--width", "641"], "the picture must be even"),
        (["--width", "100", "--height", "60"], "the picture must be even"),
        (["--host", "192.0.2.1", "--port", "0"], "cannot listen on 192.0.2.1"),
        (["--host", "no such host", "--port", "0"], "cannot listen on no such host"),
        (["--ice-server", "turn:example.org"], "a TURN server needs username and credential"),
        (["--ice-server", "example.org"], "no ICE server"),
    ],
)
def test_what_cannot_be_is_a_clear_message(options, message):
    code, out, err = run(*options)
    assert code == 1
    assert message in err
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    "options", [["--fps", "0"], ["--codec", "h266"], ["--port", "70000"], ["--bitrate", "x"], ["--no"]]
)
def test_a_wrong_option_is_a_usage_error(options):
    code, out, err = run(*options)
    assert code == 2
    assert "Traceback" not in out + err


async def test_other_machines_need_the_token_in_the_link():
    process = await rccar("--host", "0.0.0.0", "--port", "0", "--json")
    listening = json.loads(await process.stdout.readline())
    process.terminate()
    await process.communicate()
    assert listening["local"] is False
    assert len(listening["url"].partition("?token=")[2]) >= 16
