"""DTLS 1.2 over UDP with `openssl s_client` and `openssl s_server`."""

import pytest

from .dtls_programs import LABEL, fingerprint, make_credentials, meet, need

pytestmark = pytest.mark.interop

SUITES = {
    "c02b": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "c02c": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "cca9": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "c02f": "ECDHE-RSA-AES128-GCM-SHA256",
    "c030": "ECDHE-RSA-AES256-GCM-SHA384",
    "cca8": "ECDHE-RSA-CHACHA20-POLY1305",
}
PROFILES = {
    1: "SRTP_AES128_CM_SHA1_80",
    2: "SRTP_AES128_CM_SHA1_32",
    7: "SRTP_AEAD_AES_128_GCM",
    8: "SRTP_AEAD_AES_256_GCM",
}
both_roles = pytest.mark.parametrize("role", ["client", "server"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    need("openssl", "openssl")
    return make_credentials(tmp_path_factory.mktemp("openssl"))


class OpenSSL:
    """Our end in a role, OpenSSL's in the other one."""

    def __init__(self, role, files, folder):
        self.role, self.files, self.folder = role, files, folder

    def meet(self, *more, ours=(), kind="ec", wanted=True):
        cert, key = self.files / f"{kind}.pem", self.files / f"{kind}.key"

        def command(port):
            end = (
                ["s_client", "-connect", f"127.0.0.1:{port}"] if self.role == "server" else ["s_server", "-port", port]
            )
            request = [] if self.role == "server" else ["-verify", "1"]
            export = ["-keymatexport", LABEL, "-keymatexportlen", "60"]
            return ["stdbuf", "-o0", "openssl", *end, "-dtls1_2", "-cert", cert, "-key", key, *request, *export, *more]

        data = ["--send", "ping\n", "--expect", "pong"] if wanted else []
        arguments = ["--certificate", str(cert), "--key", str(key), "--fingerprint", fingerprint(cert), *data, *ours]
        # A server that has something to say does so before it prints what it has negotiated: it shall hear first.
        after = "ping" if self.role == "client" else None
        result, self.program = meet(self.role, command, self.folder, arguments, after=after)
        if wanted:
            assert result["connected"], (result, self.program.output)
            assert result["failure"] is None
            assert self.program.printed(r"Keying material: ([0-9A-F]+)").lower() == result["exported"]
        return result


@pytest.fixture
def openssl(role, files, tmp_path):
    return OpenSSL(role, files, tmp_path)


@both_roles
@pytest.mark.parametrize("suite", SUITES)
def test_suites(openssl, suite):
    kind = "rsa" if "RSA" in SUITES[suite].split("-") else "ec"
    assert openssl.meet("-cipher", SUITES[suite], kind=kind)["suite"] == suite


@both_roles
def test_p384(openssl):
    assert openssl.meet(kind="p384")["connected"]


@both_roles
@pytest.mark.parametrize("groups", ["29,23", "23", "24,23"])
def test_groups(openssl, groups):
    assert openssl.meet(ours=["--groups", groups])["connected"]


@both_roles
@pytest.mark.parametrize("profile", PROFILES)
def test_srtp_profiles(openssl, profile):
    result = openssl.meet("-use_srtp", PROFILES[profile], ours=["--srtp", "8,7,2,1"])
    assert result["srtp"] == profile
    assert PROFILES[profile] in openssl.program.output


@both_roles
@pytest.mark.parametrize("protocol", ["webrtc", "c-webrtc"])
def test_application_protocols(openssl, protocol):
    assert openssl.meet("-alpn", protocol, ours=["--alpn", "webrtc,c-webrtc"])["alpn"] == protocol


@both_roles
@pytest.mark.parametrize("mtu", [256, 400])
def test_small_datagrams(openssl, mtu):
    assert openssl.meet("-mtu", mtu, kind="rsa", ours=["--mtu", str(mtu)])["largest"] <= mtu


@pytest.mark.parametrize("role", ["client"])
@pytest.mark.parametrize("stateless", [[], ["-listen"]])
def test_its_cookies(openssl, stateless):
    """It asks for one in any case; without them it is tested in tests/dtls/test_openssl.py."""
    assert openssl.meet(*stateless)["cookies"] == 1


@pytest.mark.parametrize("role", ["server"])
def test_our_cookies(openssl):
    assert openssl.meet()["cookies"] == 0
    assert openssl.meet(ours=["--cookie"])["cookies"] == 1


@both_roles
def test_any_datagram_of_the_handshake_may_be_lost(openssl):
    for lost in range(openssl.meet()["datagrams"]):
        assert openssl.meet(ours=["--lose", str(lost)])["dropped"].get("bad-record-mac", 0) == 0, lost


@both_roles
def test_a_wrong_fingerprint_is_told(openssl):
    result = openssl.meet(ours=["--fingerprint", "sha-256:AB"], wanted=False)
    assert result["failure"] == "fingerprint-mismatch"


@pytest.mark.parametrize("role", ["server"])
def test_no_common_suite(openssl):
    result = openssl.meet("-cipher", SUITES["c02c"], ours=["--suites", "c02b"], wanted=False)
    assert result["failure"] == "no-common-cipher-suite"


@pytest.mark.parametrize("role", ["client"])
def test_its_alert_is_heard(openssl):
    result = openssl.meet("-cipher", SUITES["c02c"], ours=["--suites", "c02b"], wanted=False)
    assert (result["failure"], result["detail"]) == ("peer-alert", "handshake_failure")
