"""The shim as a program, driven as a foreign test suite would: by its flags, its lines and its exit status."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.interop


def start(*arguments, **environment):
    command = [sys.executable, "-m", "tests.interop.dtls_shim", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=os.environ | environment, **pipes)


def meet(ours, theirs, **environment):
    """A server and a client with these flags; what each has printed at last, and its exit status."""
    with start("server", *ours, **environment) as server:
        line = server.stdout.readline()
        assert line, server.stderr.read()
        port = json.loads(line)["port"]
        with start("client", "--port", str(port), *theirs, **environment) as client:
            results = [end.communicate(timeout=20) for end in (server, client)]
    errors = "".join(error for _, error in results)
    assert not errors, errors
    return [(json.loads(output), end.returncode) for (output, _), end in zip(results, (server, client), strict=True)]


def test_two_of_them_talk(tmp_path):
    log = tmp_path / "keys.log"
    talk = ["--send", "ping", "--expect", "pong"], ["--send", "pong", "--expect", "ping"]
    (server, status), (client, other) = meet(*talk, SSLKEYLOGFILE=str(log))
    assert (status, other) == (0, 0)
    assert server["exported"] == client["exported"]
    assert (server["received"], client["received"]) == (["pong"], ["ping"])
    assert server["peer"] != client["peer"]
    lines = log.read_text().splitlines()
    assert len(lines) == 2  # both ends wrote the same one
    assert lines[0] == lines[1]
    assert lines[0].startswith("CLIENT_RANDOM ")


def test_flags_reach_the_connection():
    flags = ["--suites", "cca9", "--groups", "24,23", "--srtp", "8", "--alpn", "webrtc", "--mtu", "300", "--lose", "3"]
    (server, status), (client, other) = meet([*flags, "--cookie"], flags)
    assert (status, other) == (0, 0)
    assert client["cookies"] == server["cookies"] == 1
    for result in (server, client):
        assert (result["suite"], result["srtp"], result["alpn"]) == ("cca9", 8, "webrtc")
        assert result["largest"] <= 300


def test_a_failure_that_was_expected_is_none():
    server = ["--suites", "c02b", "--expect-failure", "no-common-cipher-suite"]
    client = ["--suites", "c02c", "--expect-failure", "peer-alert"]
    assert [status for _, status in meet(server, client)] == [0, 0]
    assert [status for _, status in meet(server[:2], client[:2])] == [1, 1]
    assert [status for _, status in meet(["--expect-failure", "bad-finished"], [])] == [1, 0]


def test_a_fingerprint():
    (server, status), (client, _) = meet(
        [], ["--fingerprint", "sha-256:AB", "--expect-failure", "fingerprint-mismatch"]
    )
    assert (client["failure"], server["failure"], server["detail"]) == (
        "fingerprint-mismatch",
        "peer-alert",
        "bad_certificate",
    )
    assert status == 1
