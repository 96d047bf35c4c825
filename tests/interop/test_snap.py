"""Chromium with SNAP: SCTP's handshake is in the descriptions, and nothing of it is on the wire."""

import pytest

from stack.sctp import wire

from .chromium_call import call, running_page

pytestmark = [pytest.mark.browser, pytest.mark.interop, pytest.mark.timeout(60)]

FLAG = "--force-fieldtrials=WebRTC-Sctp-Snap/Enabled/"
HANDSHAKE = {wire.INIT, wire.INIT_ACK, wire.COOKIE_ECHO, wire.COOKIE_ACK}


@pytest.fixture(params=[[FLAG], []], ids=["with SNAP", "without"])
async def page(request):
    async with running_page(*request.param) as page:
        page.snap = bool(request.param)
        yield page


@pytest.mark.parametrize("page_offers", [True, False], ids=["Chromium offers", "we offer"])
async def test_a_channel_without_a_handshake(page, page_offers):
    async with call(page) as made:
        kinds = set()

        def log(_sent, what, packet):
            if what == "sctp":
                kinds.add(packet[wire.HEADER_SIZE])

        made.pc._machine.transport._log = log
        await made.connect(page_offers=page_offers)
        await made.echoes("hello", "x" * 100_000)
        assert ("a=sctp-init:" in made.pc.remoteDescription.sdp) == page.snap
        assert kinds & HANDSHAKE == (set() if page.snap else HANDSHAKE)
