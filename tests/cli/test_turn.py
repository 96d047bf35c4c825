"""`webrtc turn` as a process: serve, and check against it."""

import asyncio
import json
import os
import signal
import socket
import time

import pytest

from stack.aio.turn_check import _Path
from stack.cli.turn import PASSWORD_VARIABLE, USERS_VARIABLE
from stack.core import Address
from stack.turn import Allocated, PermissionCreated, PermissionFailed, parse_uri
from tests.support.certificates import self_signed

from .support import PLAIN, begin, in_process, serving, webrtc

ONE = "127.0.0.1"
USER, PASSWORD = "driver", "s3cret-of-the-driver"


@pytest.fixture
def password(tmp_path):
    """A file with the password, as an option wants it."""
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    return f"@{path}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate and its key, as PEM files."""
    return self_signed(tmp_path_factory.mktemp("tls"), "test")


def url(server, transport="udp", scheme="turn"):
    (found,) = (u for u in server["ice_servers"][0]["urls"] if u.startswith(f"{scheme}:") and u.endswith(transport))
    return found


def kinds(server):
    return [event["event"] for event in server["events"]]


async def permission(peer, server):
    """Ask for a relay that may talk to `peer`; return why not."""
    path = _Path(server, USER, PASSWORD, stream=False)
    await asyncio.get_running_loop().create_datagram_endpoint(path.itself, remote_addr=server[:2])
    path.client.start(time.monotonic())
    assert await path.until(lambda: path.find(Allocated), 5)
    path.client.create_permission(peer, time.monotonic())
    assert await path.until(lambda: path.find(PermissionCreated, PermissionFailed), 5)
    failed = path.find(PermissionFailed)
    await path.close()
    return failed and failed.error.reason


class TestHelp:
    @pytest.mark.parametrize("command", [["turn"], ["turn", "serve"], ["turn", "check"]])
    def test_every_command_has_help_with_examples(self, command):
        code, out, err = in_process(*command, "--help")
        assert (code, err) == (0, "")
        assert "webrtc" in out
        if len(command) > 1:
            assert "Example" in out
            assert "130" in out

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["serve"], "nobody could use it"),
            (["serve", "--user", "me"], "NAME:PASSWORD"),
            (["serve", "--user", "me:@/no/such/file"], "cannot be read"),
            (["serve", "--user", "me:x", "--listen", "sctp://127.0.0.1"], "udp, tcp or tls"),
            (["serve", "--user", "me:x", "--listen", "tls://127.0.0.1"], "needs --tls-cert"),
            (["serve", "--user", "me:x", "--listen", "localhost"], "not an IP address"),
            (["serve", "--user", "me:x", "--listen", "127.0.0.1:99999"], "no port"),
            (["serve", "--user", "me:x", "--listen", "0.0.0.0"], "needs --relay-ip"),
            (["serve", "--user", "me:x", "--ports", "all"], "FIRST-LAST"),
            (["serve", "--user", "me:x", "--ports", "1-2"], "between 1024 and 65535"),
            (["serve", "--user", "me:x", "--allow-peer", "home"], "home"),
            (["serve", "--user", "me:x", "--tls-key", "key.pem"], "needs --tls-cert"),
            (["serve", "--user", "me:x", "--tls-cert", "/no/such/file"], "no such file"),
            (["serve", "--user", "me:x", "--tls-cert", __file__], "no certificate"),
            (["check", "http://example.org", "--user", "me", "--password", "x"], "no TURN URI"),
            (["check", "turn:example.org", "--password", "x"], "--user"),
        ],
    )
    def test_wrong_usage(self, options, words, monkeypatch):
        monkeypatch.delenv(USERS_VARIABLE, raising=False)
        code, out, err = in_process("turn", *options)
        assert (code, out) == (2, "")
        assert words in " ".join(err.replace("│", " ").split())

    def test_a_certificate_that_may_not_be_read(self, certificate, monkeypatch):
        monkeypatch.setattr(os, "access", lambda *_: False)  # root may read everything
        monkeypatch.chdir(certificate[0].parent)  # a short path, which is not broken over lines
        code, _, err = in_process("turn", "serve", "--user", "me:x", "--tls-cert", certificate[0].name)
        assert code == 2
        assert "not readable" in " ".join(err.replace("│", " ").split())


class TestServeAndCheck:
    async def test_over_udp_tcp_and_tls(self, password, certificate):
        tls = ["--tls-cert", certificate[0], "--tls-key", certificate[1]]
        async with serving("turn", "serve", "--listen", f"{ONE}:0", "--user", f"{USER}:{password}", *tls) as server:
            for scheme, transport in (("turn", "udp"), ("turn", "tcp"), ("turns", "tcp")):
                insecure = ["--insecure"] if scheme == "turns" else []
                at = url(server, transport, scheme)
                code, out, err = await webrtc(
                    "turn", "check", at, "--user", USER, "--password", password, *insecure, "--json"
                )
                assert (code, err) == (0, "")
                found = json.loads(out)
                assert (found["event"], found["ok"], found["sent"], found["received"]) == ("result", True, 5, 5)
                assert found["relayed"].startswith(f"{ONE}:")
            code, _, err = await webrtc("turn", "check", at, "--user", USER, "--password", password)
            assert code == 1
            assert "certificate is not good" in err
            assert "--insecure" in err
        assert kinds(server).count("allocated") == kinds(server).count("released") == 6
        assert kinds(server)[-1] == "stopped"
        assert {event["user"] for event in server["events"] if event["event"] == "allocated"} == {USER}

    async def test_for_people(self, password):
        async with serving("turn", "serve", "--listen", f"{ONE}:0", "--user", f"{USER}:{password}") as server:
            code, out, err = await webrtc("turn", "check", url(server), "--user", USER, "--password", password)
        assert (code, err) == (0, "")
        assert "relayed     127.0.0.1:" in out
        assert "5 of 5 packets came back" in out
        assert "\x1b[" not in out

    async def test_bad_credentials(self, password):
        async with serving("turn", "serve", "--listen", f"{ONE}:0", "--user", f"{USER}:{password}") as server:
            for user, secret in ((USER, "wrong"), ("nobody", password)):
                code, out, err = await webrtc("turn", "check", url(server), "--user", user, "--password", secret)
                assert (code, out) == (1, "")
                assert "user name or password is wrong" in err
                assert "wrong" not in err.replace("is wrong", "")
        assert kinds(server) == ["stopped"]

    async def test_a_peer_that_is_refused(self, password):
        account = ["--user", f"{USER}:{password}"]
        for allowed, reason in (([], "forbidden"), (["--allow-peer", "10.0.0.0/8"], None)):
            async with serving("turn", "serve", "--listen", f"{ONE}:0", *account, *allowed) as server:
                assert await permission("10.1.2.3", Address(ONE, parse_uri(url(server)).port)) == reason

    async def test_time_limited_credentials(self, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text("between us")
        async with serving("turn", "serve", "--listen", f"{ONE}:0", "--rest-secret-file", secret) as server:
            account = server["ice_servers"][0]
            user, credential = account["username"], account["credential"]
            assert user.endswith(":user")
            code, _, err = await webrtc("turn", "check", url(server), "--user", user, "--password", credential)
            assert (code, err) == (0, "")
            expired = ["--user", f"1:{user.partition(':')[2]}", "--password", credential]
            code, _, err = await webrtc("turn", "check", url(server), *expired)
            assert code == 1
            assert "wrong" in err

    async def test_secrets_from_the_environment(self):
        env = {**PLAIN, USERS_VARIABLE: f"other:x, {USER}:{PASSWORD}", PASSWORD_VARIABLE: PASSWORD}
        async with serving("turn", "serve", "--listen", f"{ONE}:0", env=env) as server:
            code, _, err = await webrtc("turn", "check", url(server), "--user", USER, env=env)
        assert (code, err) == (0, "")


class TestSockets:
    @pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
    async def test_a_port_that_is_taken(self, kind):
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind((ONE, 0))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            at = f"{ONE}:{taken.getsockname()[1]}"
            code, out, err = await webrtc("turn", "serve", "--listen", at, "--user", "me:x")
        assert code == 1
        assert "listening" not in out
        assert f"//{at} is in use" in err
        assert "--listen" in err

    async def test_an_address_of_somebody_else(self):
        code, _, err = await webrtc("turn", "serve", "--listen", "198.51.100.1:0", "--user", "me:x")
        assert code == 1
        assert "no such address; it has" in err
        assert ONE in err

    async def test_the_same_place_twice_is_one(self):
        listen = ["--listen", f"udp://{ONE}:0", "--listen", f"udp://{ONE}:0"]
        async with serving("turn", "serve", *listen, "--user", "me:x") as server:
            assert len(server["listeners"]) == 1

    async def test_nobody_answers(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind((ONE, 0))
            at = f"turn:{ONE}:{mute.getsockname()[1]}"
            code, out, err = await webrtc("turn", "check", at, "--user", "me", "--password", "x", "--timeout", "0.6")
        assert (code, out) == (3, "")
        assert "no answer from turn:127.0.0.1" in err
        code, _, err = await webrtc("turn", "check", at, "--user", "me", "--password", "x")
        assert code == 3
        assert "nobody listens there" in err

    async def test_an_unknown_name(self):
        code, out, err = await webrtc("turn", "check", "turn:no-such-host.invalid", "--user", "me", "--password", "x")
        assert (code, out) == (1, "")
        assert "no way to no-such-host.invalid" in err

    async def test_ctrl_c(self):
        process = await begin("turn", "serve", "--listen", f"{ONE}:0", "--user", "me:x")
        assert b"listening on udp://127.0.0.1:" in await asyncio.wait_for(process.stdout.readline(), 30)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 10)
        assert (process.returncode, err) == (130, b"")
        assert out.endswith(b"stopped\n")

    async def test_ctrl_c_in_a_check(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind((ONE, 0))
            at = f"turn:{ONE}:{mute.getsockname()[1]}"
            process = await begin("turn", "check", at, "--user", "me", "--password", "x")
            await asyncio.get_running_loop().run_in_executor(None, mute.recv, 2048)
            process.send_signal(signal.SIGINT)
            out, err = await asyncio.wait_for(process.communicate(), 10)
        assert (process.returncode, out, err) == (130, b"", b"")
