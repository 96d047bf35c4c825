"""Fixtures of the labs."""

import shutil
import signal
import subprocess
import time

import pytest

from tests.support.certificates import self_signed

from .lab import PUBLIC, Lab, missing

USER, PASSWORD = "driver", "secret"
NAME = "turn.example"  # in the certificate of the server


@pytest.fixture(scope="session")
def _possible():
    return missing()


@pytest.fixture
def lab(_possible):
    """An internet with nothing attached yet."""
    if _possible is not None:
        pytest.skip(_possible)
    with Lab() as made:
        yield made


@pytest.fixture
def server(lab, tmp_path):
    """A STUN and TURN server on the internet; configuration of ICE servers: with `stun`, and with `turn` as well."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("no turnserver here: on Debian, apt-get install coturn")
    certificate, key = self_signed(tmp_path, NAME)
    config = tmp_path / "turnserver.conf"
    config.write_text(
        f"listening-ip={PUBLIC}.1\nrelay-ip={PUBLIC}.1\nlistening-port=3478\nlt-cred-mech\nuser={USER}:{PASSWORD}\n"
        f"realm=example.org\nno-cli\nno-dtls\nno-tcp-relay\nlog-file=stdout\nrelay-threads=1\n"
        f"tls-listening-port=5349\ncert={certificate}\npkey={key}\n"
        f"userdb={tmp_path}/turndb\npidfile={tmp_path}/turnserver.pid\n"
    )
    with (tmp_path / "turnserver.log").open("w") as log:
        process = subprocess.Popen(
            ["ip", "netns", "exec", lab.public.name, program, "-c", str(config)],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
    for _ in range(100):
        listening = lab.public.run("ss", "-lnt")
        if f"{PUBLIC}.1:3478" in listening and f"{PUBLIC}.1:5349" in listening:
            break
        time.sleep(0.05)
    else:
        raise RuntimeError(f"turnserver does not listen: {(tmp_path / 'turnserver.log').read_text()}")
    yield Servers(str(certificate))
    process.send_signal(signal.SIGTERM)
    process.wait(10)


class Servers:
    """ICE servers to configure.

    Args:
        ca_file: What to trust for TLS.
    """

    def __init__(self, ca_file):
        self.ca_file = ca_file
        account = {"username": USER, "credential": PASSWORD}
        self.stun = ({"urls": f"stun:{PUBLIC}.1:3478"},)
        self.turn = (*self.stun, {"urls": f"turn:{PUBLIC}.1:3478", **account})
        self.turn_over_tcp = ({"urls": f"turn:{PUBLIC}.1:3478?transport=tcp", **account},)
