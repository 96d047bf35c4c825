"""DTLS 1.2 over UDP with Mbed TLS and wolfSSL, of which Debian has the libraries: by a small C program for each."""

import shutil
import subprocess
from pathlib import Path

import pytest

from .dtls_programs import fingerprint, make_credentials, meet

pytestmark = pytest.mark.interop

LIBRARIES = {"mbedtls": ["-lmbedtls", "-lmbedx509", "-lmbedcrypto"], "wolfssl": ["-lwolfssl"]}
# suite: (kind of certificate, Mbed TLS's name, wolfSSL's name)
SUITES = {
    "c02b": ("ec", "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    "c02c": ("ec", "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    "cca9": ("ec", "TLS-ECDHE-ECDSA-WITH-CHACHA20-POLY1305-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    "c02f": ("rsa", "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    "c030": ("rsa", "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    "cca8": ("rsa", "TLS-ECDHE-RSA-WITH-CHACHA20-POLY1305-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
}
both_roles = pytest.mark.parametrize("role", ["client", "server"])


@pytest.fixture(scope="module", params=LIBRARIES)
def library(request, tmp_path_factory):
    """A folder with the program of a library and with certificates."""
    name = request.param
    folder = make_credentials(tmp_path_factory.mktemp(name))
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here: apt-get install gcc libc6-dev")
    source = Path(__file__).parent / f"dtls_{name}.c"
    command = ["cc", "-Wall", "-Werror", "-o", folder / name, source, *LIBRARIES[name]]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if "fatal error" in made.stderr:  # what a missing header is
        pytest.skip(f"{name} is not installed: apt-get install lib{name}-dev")
    assert made.returncode == 0, made.stderr
    return folder / name


class Library:
    """Our end in a role, the library's in the other one. A server of either always asks for a cookie."""

    def __init__(self, role, program, folder):
        self.role, self.program, self.folder = role, program, folder
        self.other = "server" if role == "client" else "client"

    def meet(self, *, suite="", kind="ec", mtu=0, group="", ours=(), wanted=True):
        cert, key = self.program.parent / f"{kind}.pem", self.program.parent / f"{kind}.key"
        _, *names = SUITES.get(suite, ("", "", ""))
        name = names[list(LIBRARIES).index(self.program.name)]

        def command(port):
            return [self.program, self.other, port, cert, key, name, mtu, group, "pong"]

        data = ["--send", "ping", "--expect", "pong"] if wanted else []
        arguments = ["--certificate", str(cert), "--key", str(key), "--fingerprint", fingerprint(cert), *data, *ours]
        result, running = meet(self.role, command, self.folder, arguments)
        if wanted:
            assert result["connected"], (result, running.output)
            assert result["failure"] is None, (result, running.output)
            assert running.printed(r"Keying material: ([0-9a-f]+)") == result["exported"]
        return result


@pytest.fixture
def peer(role, library, tmp_path):
    return Library(role, library, tmp_path)


@both_roles
@pytest.mark.parametrize("suite", SUITES)
def test_suites(peer, suite):
    assert peer.meet(suite=suite, kind=SUITES[suite][0])["suite"] == suite


@both_roles
def test_p384(peer):
    assert peer.meet(kind="p384", group="secp384r1")["connected"]


@both_roles
@pytest.mark.parametrize("group", ["x25519", "secp256r1", "secp384r1"])
def test_groups(peer, group):
    number = {"x25519": "29", "secp256r1": "23", "secp384r1": "24"}[group]
    assert peer.meet(group=group, ours=["--groups", number], kind="rsa")["connected"]


@both_roles
def test_small_datagrams(peer):
    """Debian's wolfSSL has no MTU to set: there only ours are small."""
    result = peer.meet(mtu=600, kind="rsa", ours=["--mtu", "300"])
    assert result["largest"] <= 600 or peer.program.name == "wolfssl"


@both_roles
def test_cookies(peer):
    ours = ["--cookie"] if peer.role == "server" else []
    assert peer.meet(ours=ours)["cookies"] == 1


@both_roles
def test_any_datagram_of_the_handshake_may_be_lost(peer):
    """A server of wolfSSL 5.5 does not repeat its last flight, whoever asks for it."""
    count = peer.meet()["datagrams"] - (peer.role == "client" and peer.program.name == "wolfssl")
    for lost in range(count):
        assert peer.meet(ours=["--lose", str(lost)])["connected"], lost


@both_roles
def test_a_wrong_fingerprint_is_told(peer):
    result = peer.meet(ours=["--fingerprint", "sha-256:AB"], wanted=False)
    assert result["failure"] == "fingerprint-mismatch"


@pytest.mark.parametrize("role", ["server"])
def test_no_common_suite(peer):
    result = peer.meet(suite="c02c", ours=["--suites", "c02b"], wanted=False)
    assert result["failure"] == "no-common-cipher-suite"


@pytest.mark.parametrize("role", ["client"])
def test_its_alert_is_heard(peer):
    result = peer.meet(suite="c02c", ours=["--suites", "c02b"], wanted=False)
    assert (result["failure"], result["detail"]) == ("peer-alert", "handshake_failure")
