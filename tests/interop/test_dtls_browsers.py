"""DTLS 1.2 with Chromium and Firefox, in both roles: suites, groups, SRTP profiles, kinds of certificates."""

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa

import stack.aio.configured
from stack import dtls
from stack.core.crypto import self_signed_certificate
from stack.dtls.suites import CIPHER_SUITES
from stack.testing import seeded_random_bytes

from .dtls_browsers import BROWSERS, TRANSPORT, connected, lose, negotiated, page_of
from .stacks import state_reached

pytestmark = [pytest.mark.browser, pytest.mark.interop, pytest.mark.asyncio(loop_scope="module")]

NOW_UNIX = 1_800_000_000.0
SRTP = {
    0x0001: "SRTP_AES128_CM_HMAC_SHA1_80",
    0x0007: "SRTP_AEAD_AES_128_GCM",
    0x0008: "SRTP_AEAD_AES_256_GCM",
}
both_roles = pytest.mark.parametrize("role", ["client", "server"])


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=BROWSERS)
async def page(request):
    async with page_of(request.param) as (page, _):
        yield page


@pytest.fixture
def ours_is(monkeypatch):
    """Call it with a certificate to make it that of all connections."""
    return lambda own: monkeypatch.setattr(stack.aio.configured, "_shared_certificate", lambda day: own)


def rsa_certificate():
    key = rsa.generate_private_key(65537, 2048)
    days = {"not_before": NOW_UNIX - 86400, "not_after": NOW_UNIX + 86400}
    return dtls.Certificate(self_signed_certificate(key, seeded_random_bytes(1), common_name="rsa", **days), key)


@both_roles
@pytest.mark.parametrize("suite", [0xC02B, 0xCCA9, 0xC02F, 0xCCA8])
async def test_suites(page, role, suite, ours_is):
    kind = CIPHER_SUITES[suite].authentication
    if kind == "rsa":
        ours_is(rsa_certificate())
    config = dtls.Config(cipher_suites=(suite,))
    async with connected(page, role, config=config, rsa=kind == "rsa") as (ours, theirs):
        assert ours._machine.transport.dtls.role == role
        assert theirs["dtlsRole"] == ("server" if role == "client" else "client")
        assert theirs["tlsVersion"] == "FEFD"
        assert theirs["dtlsCipher"] == f"TLS_ECDHE_{CIPHER_SUITES[suite].name}"


@both_roles
@pytest.mark.parametrize("group", [29, 23, 24])
async def test_groups(page, role, group):
    """Also without the hybrid groups of post-quantum cryptography, which both prefer, and of which we have none."""
    async with connected(page, role, config=dtls.Config(groups=(group, *({23} - {group})))) as (_, theirs):
        assert theirs["dtlsState"] == "connected"


@both_roles
@pytest.mark.parametrize("profile", SRTP)
async def test_srtp_profiles(page, role, profile):
    async with connected(page, role, config=dtls.Config(srtp_profiles=(profile,))) as (ours, theirs):
        assert ours._machine.transport.dtls.srtp_profile == profile
        assert theirs["srtpCipher"] == SRTP[profile]


@both_roles
async def test_a_certificate_on_p384(page, role, ours_is):
    ours_is(dtls.Certificate.generate(seeded_random_bytes(1), now_unix=NOW_UNIX, curve="secp384r1"))
    async with connected(page, role) as (_, theirs):
        assert theirs["dtlsState"] == "connected"


@both_roles
async def test_small_datagrams(page, role):
    async with connected(page, role, config=dtls.Config(mtu=300)) as (_, theirs):
        assert theirs["dtlsState"] == "connected"


@pytest.mark.parametrize("role", ["server"])
async def test_a_cookie(page, role):
    async with connected(page, role, config=dtls.Config(cookie_exchange=True)) as (_, theirs):
        assert theirs["dtlsState"] == "connected"


@both_roles
@pytest.mark.parametrize("lost", range(6))
async def test_any_datagram_of_the_handshake_may_be_lost(page, role, lost, monkeypatch):
    found = lose(monkeypatch, lost)
    async with connected(page, role) as (_, theirs):
        assert theirs["dtlsState"] == "connected"
        assert len(found) == 1


@both_roles
async def test_no_common_suite(page, role):
    """Neither has AES-256-GCM in DTLS 1.2; who refuses tells the other one."""
    async with negotiated(page, role, config=dtls.Config(cipher_suites=(0xC02C,))) as ours:
        await state_reached(ours, "failed")
        assert ours._machine.transport.dtls_state == "failed"
        assert (await page.evaluate(TRANSPORT, "failed"))["dtlsState"] == "failed"
