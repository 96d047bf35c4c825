"""DTLS 1.2 with aiortc, which is OpenSSL through pyOpenSSL, in both roles: whoever answers is the client."""

import pytest

import stack
from stack import dtls, peer

from .dtls_browsers import lose
from .stacks import connected, connections, inbox, negotiate, opened

pytestmark = pytest.mark.interop

both_roles = pytest.mark.parametrize("role", ["client", "server"])


async def check(role, config):
    """Connect with these settings of ours, and exchange a message; return what our end has negotiated."""
    async with connections("aiortc") as (theirs,):
        ours = stack.RTCPeerConnection(machine=peer.Configuration(dtls=config))
        try:
            offerer, answerer = (theirs, ours) if role == "client" else (ours, theirs)
            channel = offerer.createDataChannel("test")
            answerer.on("datachannel", lambda found: found.on("message", found.send))
            echoes = inbox(channel)
            await negotiate(offerer, answerer)
            await connected(offerer, answerer)
            (await opened(channel)).send("ping")
            assert await echoes.get() == "ping"
            machine = ours._machine.transport.dtls
            assert machine.role == role
            return machine
        finally:
            await ours.close()


@both_roles
@pytest.mark.parametrize("suite", [0xC02B, 0xCCA9])  # which are all that it has
async def test_suites(role, suite):
    assert (await check(role, dtls.Config(cipher_suites=(suite,)))).cipher_suite == suite


@both_roles
@pytest.mark.parametrize("profile", [1, 7, 8])
async def test_srtp_profiles(role, profile):
    assert (await check(role, dtls.Config(srtp_profiles=(profile,)))).srtp_profile == profile


@both_roles
async def test_small_datagrams(role):
    assert (await check(role, dtls.Config(mtu=300))).handshake_complete


async def test_a_cookie():
    assert (await check("server", dtls.Config(cookie_exchange=True))).handshake_complete


@both_roles
@pytest.mark.parametrize("lost", range(6))
async def test_any_datagram_of_the_handshake_may_be_lost(role, lost, monkeypatch):
    found = lose(monkeypatch, lost)
    assert (await check(role, dtls.Config())).handshake_complete
    assert len(found) == 1
