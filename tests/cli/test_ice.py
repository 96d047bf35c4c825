"""`webrtc ice` as a process: this machine against our own servers, and reports that programs save."""

import asyncio
import json
import signal
import socket
import sys

import pytest

from stack import RTCPeerConnection
from stack.aio.interfaces import local_addresses
from stack.cli.ice import USER_VARIABLE
from stack.cli.turn import PASSWORD_VARIABLE
from stack.ice import explain, statistics_to_json
from tests.aio.test_peer_connection import open_channel
from tests.support.certificates import self_signed

from .support import PLAIN, ROOT, begin, in_process, on_a_terminal, serving, webrtc

USER, PASSWORD = "driver", "s3cret-of-the-driver"
STEPS = [
    "host candidates",
    "server-reflexive",
    "relay",
    "gathering complete",
    "first valid pair",
    "nominated",
    "DTLS",
    "data channel open",
]


@pytest.fixture(scope="module")
def host():
    """An address of this machine: loopback does not do for servers, for candidates there are paired with none else."""
    return next(entry.host for entry in local_addresses() if ":" not in entry.host)


@pytest.fixture(scope="module")
def certificate(host, tmp_path_factory):
    return self_signed(tmp_path_factory.mktemp("tls"), host)


@pytest.fixture
def password(tmp_path):
    path = tmp_path / "password"
    path.write_text(PASSWORD)
    return f"@{path}"


@pytest.fixture
async def turn(host, certificate, password):
    listen = ["--listen", f"{host}:0", "--user", f"{USER}:{password}"]
    async with serving("turn", "serve", *listen, "--tls-cert", certificate[0], "--tls-key", certificate[1]) as said:
        yield said["ice_servers"][0]["urls"]


@pytest.fixture
async def stun(host):
    async with serving("stun", "serve", "--host", host, "--port", 0) as said:
        yield "stun:{}:{}".format(*said["addresses"][0])


def unused_port(host, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


async def explained(*options):
    """Exit code, JSON objects by event, standard error."""
    code, out, err = await webrtc("ice", "explain", "--json", *options)
    events = {}
    for line in out.splitlines():
        said = json.loads(line)
        events.setdefault(said.pop("event"), []).append(said)
    return code, events, err


async def saved():
    """A report, as a program saves it."""
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        await open_channel(a, b)
        return a.iceReport()


class TestHelp:
    @pytest.mark.parametrize("command", [["ice"], ["ice", "explain"]])
    def test_every_command_has_help_with_examples(self, command):
        code, out, err = in_process(*command, "--help")
        assert (code, err) == (0, "")
        assert "webrtc" in out
        if len(command) > 1:
            assert "Example" in out
            assert "130" in out
            assert PASSWORD_VARIABLE in out

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--server", "http://example.org"], "no ICE server"),
            (["--server", "turn:example.org"], f"needs --username, or {USER_VARIABLE}"),
            (["--server", "turn:example.org", "--username", "me"], "needs --credential @FILE"),
            (["--server", "turn:example.org", "--username", "me", "--credential", "@/no/such"], "cannot be read"),
            (["-4", "-6"], "exclude each other"),
            (["--ports", "all"], "FIRST-LAST"),
            (["--ports", "9-3"], "1 to 65535"),
            (["--allow-network", "home"], "not a network"),
            (["--mode", "none"], "default-route-hidden"),
            (["--ca-file", "/no/such/file"], "does not exist"),
        ],
    )
    def test_wrong_usage(self, options, words, monkeypatch):
        for name in (USER_VARIABLE, PASSWORD_VARIABLE):
            monkeypatch.delenv(name, raising=False)
        code, out, err = in_process("ice", "explain", *options)
        assert (code, out) == (2, "")
        assert words in " ".join(err.replace("│", " ").split())


class TestThisMachine:
    async def test_without_servers(self):
        code, said, err = await explained()
        assert (code, err) == (0, "")
        assert [step["name"] for step in said["step"]] == STEPS
        times = {step["name"]: step["ms"] for step in said["step"]}
        assert times["server-reflexive"] is times["relay"] is None
        assert 0 <= times["host candidates"] <= times["first valid pair"] <= times["nominated"] < 10_000
        assert 0 < times["DTLS"] <= times["data channel open"] < 10_000
        sides = {report["side"]: report["statistics"] for report in said["report"]}
        assert sides["offering"]["controlling"] is True
        assert sides["answering"]["controlling"] is False
        assert said["result"][0]["connected"] is True
        assert said["result"][0]["selected"][0].startswith("host ")
        assert "server" not in said

    async def test_all_servers(self, stun, turn, password, certificate):
        given = [option for url in (stun, *turn) for option in ("--server", url)]
        account = ["--username", USER, "--credential", password, "--ca-file", certificate[0]]
        code, said, err = await explained(*given, *account)
        assert (code, err) == (0, "")
        assert [(server["url"], server["ok"], server["error_code"]) for server in said["server"]] == [
            (url, True, None) for url in (stun, *turn)
        ]
        assert "sees us at" in said["server"][0]["message"]
        assert all("relays at" in server["message"] for server in said["server"][1:])
        relay = next(step["ms"] for step in said["step"] if step["name"] == "relay")
        assert relay > 0
        hints = {hint["reason"] for report in said["report"] for hint in report["hints"]}
        assert "no-reflexive-candidates" not in hints  # it did answer; there is no NAT
        assert "no-relay-candidates" not in hints

    async def test_through_the_relay_only(self, stun, turn, password):
        account = ["--username", USER, "--credential", password]
        code, said, err = await explained("--relay-only", "--server", stun, "--server", turn[0], *account)
        assert (code, err) == (0, "")
        assert all(end.startswith("relay ") for end in said["result"][0]["selected"])
        assert [server["ok"] for server in said["server"]] == [None, True]
        assert {c["type"] for c in said["report"][0]["statistics"]["local_candidates"]} == {"relay"}

    async def test_servers_that_fail_are_told_with_the_reason(self, host, turn, password):
        tls = next(url for url in turn if url.startswith("turns:"))
        nobody = f"turn:{host}:{unused_port(host)}?transport=tcp"
        servers = ["--server", turn[0], "--server", tls, "--server", nobody, "--server", "turn:no-such-host.invalid"]
        code, said, err = await explained(*servers, "--username", USER, "--credential", "not-it")
        assert code == 1
        assert "connected, but 4 of 4 servers failed" in err
        assert "not-it" not in err + json.dumps(said)
        messages = [(server["error_code"], server["message"]) for server in said["server"]]
        assert messages[0] == (401, "user name or password is wrong")
        assert "certificate is not good" in messages[1][1]
        assert messages[2] == (701, "nobody listens there")
        assert messages[3][0] == 701
        assert messages[3][1].startswith("cannot find no-such-host.invalid")
        assert any("CERTIFICATE_VERIFY_FAILED" in note["message"] for note in said["note"])
        hints = {hint["reason"] for report in said["report"] for hint in report["hints"]}
        assert "no-relay-candidates" in hints

    async def test_a_server_that_is_silent(self, host):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind((host, 0))
            url = f"stun:{host}:{mute.getsockname()[1]}"
            code, said, err = await explained("--server", url)
        assert code == 3
        assert said["result"][0]["connected"] is True
        assert said["server"][0]["error_code"] == 701
        assert "no answer within 5 s" in err

    async def test_it_does_not_connect(self, turn):
        account = ["--username", USER, "--credential", "not-it"]
        code, said, err = await explained("--relay-only", "--server", turn[0], *account)
        assert code == 1
        assert said["result"][0] == {"connected": False, "state": "new", "selected": None} | {
            "time": said["result"][0]["time"]
        }
        assert "not connected: there is no candidate here" in err

    @pytest.mark.alone
    async def test_tcp_names_families_and_ports(self, host):
        policy = ["-4", "--ports", "43000-43099", "--allow-network", f"{host}/32"]
        code, said, _ = await explained("--tcp", "--mdns", *policy)
        assert code == 0
        candidates = said["report"][0]["statistics"]["local_candidates"]
        assert {c["transport"] for c in candidates} == {"udp", "tcp"}
        assert {c["host"] for c in candidates} == {host}
        assert all(c["mdns_name"].endswith(".local") for c in candidates if c["type"] == "host")
        assert all(43000 <= c["port"] <= 43099 for c in candidates if c["tcp_type"] != "active")

    async def test_no_interface_is_left(self):
        code, _, err = await explained("--deny-interface", "*")
        assert code == 1
        assert "there is no candidate here" in err

    async def test_modes(self, stun):
        code, said, err = await explained("--mode", "default-route-hidden")
        assert code == 1
        assert "no candidate here that may be told" in err
        code, said, _ = await explained("--mode", "default-route-hidden", "--server", stun)
        assert code == 0
        assert {c["type"] for c in said["report"][1]["statistics"]["remote_candidates"]} <= {"srflx", "prflx"}

    async def test_for_people(self, turn, password):
        env = {**PLAIN, USER_VARIABLE: USER, PASSWORD_VARIABLE: password}
        code, out, err = await webrtc("ice", "explain", "--server", turn[0], env=env)
        assert (code, err) == (0, "")
        for words in (*STEPS, "servers", "relays at", "pairs, best first", "selected nominated", "connected over host"):
            assert words in out
        assert "\x1b[" not in out
        assert PASSWORD not in out

    async def test_ctrl_c(self, host):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind((host, 0))
            process = await begin("ice", "explain", "--server", f"stun:{host}:{mute.getsockname()[1]}")
            await asyncio.get_running_loop().run_in_executor(None, mute.recv, 2048)
            process.send_signal(signal.SIGINT)
            out, err = await asyncio.wait_for(process.communicate(), 5)
        assert (process.returncode, out, err) == (130, b"", b"")


class TestReports:
    async def test_what_a_program_saved(self, tmp_path):
        report = await saved()
        path = tmp_path / "report.json"
        path.write_text(statistics_to_json(report))
        assert await webrtc("ice", "explain", path) == (0, explain(report) + "\n", "")
        code, said, _ = await explained(path)
        assert code == 0
        assert said["report"][0]["statistics"] == json.loads(path.read_text())

    async def test_from_standard_input(self):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stack.cli", "ice", "explain", "-"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        report = await saved()
        out, _ = await asyncio.wait_for(process.communicate(statistics_to_json(report).encode()), 30)
        assert (process.returncode, out.decode()) == (0, explain(report) + "\n")

    @pytest.mark.parametrize("no_color", [False, True])
    async def test_colours_on_a_terminal_only_and_not_with_no_color(self, tmp_path, no_color):
        path = tmp_path / "report.json"
        path.write_text(statistics_to_json(await saved()))
        shown = await on_a_terminal("ice", "explain", path, no_color=no_color)
        assert b"ICE agent" in shown
        assert (b"\x1b[" in shown) is not no_color

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"pairs": 1}', b"[" * 100_000])
    def test_what_is_no_report(self, tmp_path, content):
        path = tmp_path / "report.json"
        path.write_bytes(content)
        code, out, err = in_process("ice", "explain", path)
        assert (code, out) == (1, "")
        assert "is no report" in err
        assert "statistics_to_json(pc.iceReport())" in err

    async def test_a_file_that_is_not_there(self):
        code, out, err = await webrtc("ice", "explain", "/no/such/file")
        assert (code, out) == (1, "")
        assert "/no/such/file cannot be read: No such file" in err
