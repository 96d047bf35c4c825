"""DTLS 1.2 over UDP with `gnutls-cli` and `gnutls-serv`."""

import pytest

from .dtls_programs import LABEL, fingerprint, make_credentials, meet, need

pytestmark = pytest.mark.interop

# suite: (kind of certificate, cipher)
SUITES = {
    "c02b": ("ec", "AES-128-GCM"),
    "c02c": ("ec", "AES-256-GCM"),
    "cca9": ("ec", "CHACHA20-POLY1305"),
    "c02f": ("rsa", "AES-128-GCM"),
    "c030": ("rsa", "AES-256-GCM"),
    "cca8": ("rsa", "CHACHA20-POLY1305"),
}
BASE = "NORMAL:-VERS-ALL:+VERS-DTLS1.2"
both_roles = pytest.mark.parametrize("role", ["client", "server"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    need("gnutls-cli", "gnutls-bin")
    need("gnutls-serv", "gnutls-bin")
    return make_credentials(tmp_path_factory.mktemp("gnutls"))


class GnuTLS:
    """Our end in a role, that of GnuTLS in the other one. Its server, which echoes, always asks for a cookie."""

    def __init__(self, role, files, folder):
        self.role, self.files, self.folder = role, files, folder

    def meet(self, *more, ours=(), kind="ec", priority="", wanted=True):
        cert, key = self.files / f"{kind}.pem", self.files / f"{kind}.key"

        def command(port):
            if self.role == "client":
                end = ["gnutls-serv", "--echo", "--require-client-cert", "--port", port]
            else:
                export = ["--keymatexport", LABEL, "--keymatexportsize", "60"]
                end = ["gnutls-cli", "--insecure", "--port", port, *export, "127.0.0.1"]
            files = ["--x509certfile", cert, "--x509keyfile", key]
            return ["stdbuf", "-o0", *end, "--udp", *files, "--priority", BASE + priority, *more]

        expected = "ping" if self.role == "client" else "pong"
        data = ["--send", "ping\n", "--expect", expected] if wanted else []
        arguments = ["--certificate", str(cert), "--key", str(key), "--fingerprint", fingerprint(cert), *data, *ours]
        result, self.program = meet(self.role, command, self.folder, arguments)
        if wanted:
            assert result["connected"], (result, self.program.output)
            assert result["failure"] is None, (result, self.program.output)
            if self.role == "server":
                assert self.program.printed(r"Key material: ([0-9a-f]+)") == result["exported"]
        return result


@pytest.fixture
def gnutls(role, files, tmp_path):
    return GnuTLS(role, files, tmp_path)


@both_roles
@pytest.mark.parametrize("suite", SUITES)
def test_suites(gnutls, suite):
    kind, cipher = SUITES[suite]
    result = gnutls.meet(kind=kind, priority=f":-CIPHER-ALL:+{cipher}:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA")
    assert result["suite"] == suite


@both_roles
@pytest.mark.parametrize("kind", ["p384", "ed25519"])
def test_other_certificates(gnutls, kind):
    assert gnutls.meet(kind=kind)["connected"]


@both_roles
@pytest.mark.parametrize("group", ["X25519", "SECP256R1", "SECP384R1"])
def test_groups(gnutls, group):
    assert gnutls.meet(kind="rsa", priority=f":-GROUP-ALL:+GROUP-{group}")["connected"]


@both_roles
@pytest.mark.parametrize("signature", ["RSA-SHA256", "RSA-PSS-RSAE-SHA256", "RSA-PSS-RSAE-SHA512"])
def test_signatures_of_rsa(gnutls, signature):
    assert gnutls.meet(kind="rsa", priority=f":-SIGN-ALL:+SIGN-{signature}")["connected"]


@both_roles
def test_application_protocol(gnutls):
    assert gnutls.meet("--alpn", "webrtc", ours=["--alpn", "c-webrtc,webrtc"])["alpn"] == "webrtc"


@both_roles
def test_small_datagrams(gnutls):
    assert gnutls.meet("--mtu", "300", kind="rsa", ours=["--mtu", "300"])["largest"] <= 300


@pytest.mark.parametrize("role", ["server"])
def test_our_cookies(gnutls):
    assert gnutls.meet()["cookies"] == 0
    assert gnutls.meet(ours=["--cookie"])["cookies"] == 1


@both_roles
def test_any_datagram_of_the_handshake_may_be_lost(gnutls):
    for lost in range(gnutls.meet()["datagrams"]):
        assert gnutls.meet(ours=["--lose", str(lost)])["connected"], lost


@both_roles
def test_a_wrong_fingerprint_is_told(gnutls):
    assert gnutls.meet(ours=["--fingerprint", "sha-256:AB"], wanted=False)["failure"] == "fingerprint-mismatch"


@pytest.mark.parametrize("role", ["server"])
def test_no_common_suite(gnutls):
    result = gnutls.meet(priority=":-CIPHER-ALL:+AES-256-GCM", ours=["--suites", "c02b"], wanted=False)
    assert result["failure"] == "no-common-cipher-suite"
