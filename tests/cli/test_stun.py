"""`webrtc stun` as a process: query and nat against serve on loopback, and against coturn."""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

import stack
from stack.cli.__main__ import COMMANDS
from tests.support.certificates import self_signed

from .support import ROOT, begin, in_process, objects, on_a_terminal, serving, webrtc

ONE, TWO = "127.0.0.1", "127.0.0.2"


def server_of_ours(*options):
    return serving("stun", "serve", "--port", 0, "--alternate-port", 0, "--tls-port", 0, *options)


def closed_port(kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((ONE, 0))
        return probe.getsockname()[1]


@pytest.fixture
def silent():
    """The port of a socket that never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind((ONE, 0))
        yield mute.getsockname()[1]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost and its key, as PEM files."""
    return self_signed(tmp_path_factory.mktemp("tls"), "localhost", ONE)


class TestHelp:
    @pytest.mark.parametrize("command", [[], ["stun"], ["stun", "query"], ["stun", "nat"], ["stun", "serve"]])
    def test_every_command_has_help_with_examples(self, command):
        code, out, err = in_process(*command, "--help")
        assert (code, err) == (0, "")
        assert "webrtc" in out
        if len(command) != 1:
            assert "Example" in out
            assert "130" in out  # the exit codes
        assert "\x1b[" not in out

    async def test_version(self):
        assert await webrtc("--version") == (0, f"webrtc {stack.__version__}\n", "")

    @pytest.mark.parametrize(
        "options",
        [
            ["nonsense"],
            ["stun", "query"],
            ["stun", "query", "stun:"],
            ["stun", "query", "a", "--count", "0"],
            ["stun", "query", "a", "-4", "-6"],
            ["stun", "nat", "stuns:a"],
            ["stun", "serve", "--host", "localhost"],
            ["stun", "serve", "--alternate-host", TWO, "--alternate-port", "3478"],
            ["stun", "serve", "--certificate", __file__],
            ["stun", "serve", "--certificate", __file__, "--key", __file__],
        ],
    )
    def test_wrong_usage(self, options):
        code, out, err = in_process(*options)
        assert (code, out) == (2, "")
        assert "Usage" in err

    def test_commands_are_imported_when_they_are_wanted(self):
        code = "import sys, stack.cli.__main__; print(*sorted(m for m in sys.modules if m.startswith('stack.cli')))"
        ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert ran.stdout.split() == ["stack.cli", "stack.cli.__main__"]
        assert COMMANDS["stun"] == "stack.cli.stun:app"


class TestQuery:
    async def test_over_udp_and_tcp(self):
        async with server_of_ours("--alternate-host", TWO) as server:
            host, port = server["addresses"][0]
            for options in (["--count", 2], ["--tcp"]):
                code, said, err = await objects("stun", "query", f"stun:{host}:{port}", *options)
                assert (code, err) == (0, "")
                answer = said["answer"]
                assert answer["mapped"] == answer["local"]
                assert answer["mapped"][0] == ONE
                assert answer["server"] == [host, port]
                assert answer["other_address"][0] == TWO
                assert answer["software"] == f"webrtc-stack {stack.__version__}"
                assert answer["transport"] == ("tcp" if "--tcp" in options else "udp")
                assert answer["behind_nat"] is False
                assert 0 < answer["rtt_ms"] < 5000
            assert "done" not in said
        assert server["events"][-1]["answered"] == 3
        assert server["events"][-1]["dropped"] == {}

    async def test_over_tls(self, certificate):
        async with server_of_ours("--certificate", certificate[0], "--key", certificate[1]) as server:
            port = server["tls"][1]
            code, said, _ = await objects("stun", "query", "-4", f"stuns:localhost:{port}", "--ca-file", certificate[0])
            assert code == 0
            assert said["answer"]["transport"] == "tls"
            assert said["answer"]["other_address"] is None
            code, out, err = await webrtc("stun", "query", "-4", "--tls", f"localhost:{port}")
            assert (code, out) == (1, "")
            assert "--ca-file" in err
            code, _, err = await webrtc("stun", "query", "--tls", f"{ONE}:{server['addresses'][0][1]}")
            assert code == 1
            assert "Is it the TLS port" in err or "no connection" in err or "no TLS" in err

    async def test_for_people(self):
        async with server_of_ours() as server:
            code, out, _ = await webrtc("stun", "query", f"{ONE}:{server['addresses'][0][1]}")
        assert code == 0
        assert "mapped address" in out
        assert "no NAT between" in out
        assert "\x1b[" not in out

    @pytest.mark.parametrize("no_color", [False, True])
    async def test_colours_on_a_terminal_only_and_not_with_no_color(self, no_color):
        async with server_of_ours() as server:
            at = f"{ONE}:{server['addresses'][0][1]}"
            shown = await on_a_terminal("stun", "query", at, no_color=no_color)
        assert b"mapped address" in shown
        assert (b"\x1b[1;32m" in shown or b"\x1b[32m" in shown) is not no_color

    async def test_nobody_answers(self, silent):
        code, out, err = await webrtc("stun", "query", f"{ONE}:{silent}", "--timeout", "0.6")
        assert (code, out) == (3, "")
        assert "Is UDP blocked here? Try --tcp" in err
        code, said, _ = await objects("stun", "query", f"{ONE}:{silent}", "--timeout", "0.2", "--count", 2)
        assert code == 3
        assert said["done"]["answered"] == 0

    async def test_nobody_listens(self):
        code, _, err = await webrtc("stun", "query", f"{ONE}:{closed_port()}")
        assert code == 3
        assert "nobody listens" in err
        code, _, err = await webrtc("stun", "query", "--tcp", f"{ONE}:{closed_port(socket.SOCK_STREAM)}")
        assert code == 1
        assert "no connection to 127.0.0.1" in err

    @pytest.mark.parametrize("command", ["query", "nat"])
    async def test_an_unknown_name(self, command):
        code, out, err = await webrtc("stun", command, "no-such-host.invalid")
        assert (code, out) == (1, "")
        assert "cannot find no-such-host.invalid" in err
        assert "Check the spelling" in err

    async def test_a_family_that_a_name_has_not(self):
        code, _, err = await webrtc("stun", "query", "-6", ONE)
        assert code == 1
        assert "cannot find an IPv6 address of 127.0.0.1" in err

    @pytest.mark.parametrize("command", [["query", "--timeout", "30"], ["nat"]])
    async def test_ctrl_c(self, command):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind((ONE, 0))
            mute.setblocking(False)
            process = await begin("stun", *command, f"{ONE}:{mute.getsockname()[1]}")
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(mute, 2000), 30)  # it has asked, and waits
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 5)
        assert (process.returncode, out, err) == (130, b"", b"")


class TestNat:
    async def test_on_loopback(self):
        async with server_of_ours("--alternate-host", TWO) as server:
            host, port = server["addresses"][0]
            code, said, err = await objects("stun", "nat", f"{host}:{port}")
        assert (code, err) == (0, "")
        result = said["result"]
        assert result["name"] == "open internet"
        assert (result["mapping"], result["filtering"]) == ("endpoint-independent", "endpoint-independent")
        assert result["expectations"]["symmetric NAT"] == "direct"
        assert result["notes"] == []
        assert said["test"]["answered"] is True

    async def test_for_people(self):
        async with server_of_ours("--alternate-host", TWO) as server:
            code, out, _ = await webrtc("stun", "nat", f"{ONE}:{server['addresses'][0][1]}")
        assert code == 0
        assert "Open internet: There is no NAT" in out
        assert "behind a symmetric NAT" in out
        assert "only over a TURN relay" in out

    async def test_two_servers_with_one_address_each(self):
        async with server_of_ours() as server, server_of_ours("--host", TWO) as second:
            one, two = server["addresses"][0][1], second["addresses"][0][1]
            code, said, _ = await objects("stun", "nat", f"{ONE}:{one}", "--second", f"{TWO}:{two}")
        assert code == 0
        assert said["result"]["filtering"] == "unknown"
        assert "no second address" in said["result"]["notes"][0]

    async def test_udp_blocked(self, silent):
        code, said, _ = await objects("stun", "nat", f"{ONE}:{silent}", "--timeout", "0.7")
        assert code == 3
        assert said["result"]["name"] == "UDP blocked"
        assert set(said["result"]["expectations"].values()) == {"relay"}


class TestServe:
    async def test_ctrl_c(self):
        process = await begin("stun", "serve", "--port", 0)
        assert b"listening on 127.0.0.1:" in await asyncio.wait_for(process.stdout.readline(), 30)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        assert (process.returncode, err) == (130, b"")
        assert b"0 answered" in out
        assert time.monotonic() - began < 2

    async def test_a_port_in_use(self, silent):
        code, _, err = await webrtc("stun", "serve", "--port", silent)
        assert code == 1
        assert "cannot listen" in err
        assert "the port free?" in err

    async def test_an_address_of_somebody_else(self):
        code, _, err = await webrtc("stun", "serve", "--host", "192.0.2.1", "--port", 0)
        assert code == 1
        assert "one of this machine" in err

    async def test_the_same_host_twice(self):
        code, _, err = await webrtc("stun", "serve", "--alternate-host", ONE)
        assert code == 1
        assert "needs another host" in err


@pytest.mark.interop
@pytest.mark.parametrize("two_addresses", [False, True])
async def test_against_coturn(tmp_path, two_addresses):
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("no turnserver here: on Debian, apt-get install coturn")
    port, other = closed_port(), closed_port()
    second = f"listening-ip={TWO}\n" if two_addresses else ""
    (tmp_path / "turnserver.conf").write_text(
        f"listening-ip={ONE}\n{second}relay-ip={ONE}\nlistening-port={port}\nalt-listening-port={other}\nstun-only\n"
        f"rfc5780\nno-cli\nno-tls\nno-dtls\nlog-file=stdout\nuserdb={tmp_path}/turndb\npidfile={tmp_path}/pid\n"
    )
    with (tmp_path / "log").open("w") as log:
        coturn = await asyncio.create_subprocess_exec(
            program, "-c", str(tmp_path / "turnserver.conf"), stdout=log, stderr=log, cwd=tmp_path
        )
    try:
        for _ in range(100):
            code, said, err = await objects("stun", "query", f"{ONE}:{port}")
            if code == 0:
                break
            await asyncio.sleep(0.1)
        assert said["answer"]["mapped"] == said["answer"]["local"], err
        assert "oturn" in (said["answer"]["software"] or "Coturn")
        code, said, _ = await objects("stun", "nat", f"{ONE}:{port}")
    finally:
        coturn.terminate()
        await coturn.wait()
    result = said["result"]
    assert code == 0
    assert result["name"] == "open internet"
    assert result["filtering"] == ("endpoint-independent" if two_addresses else "unknown"), result
    assert (result["other_address"] == [TWO, other]) is two_addresses
