"""Chromium's ICE against ours: through relays only, restarts on either side while data flows, names for addresses."""

import itertools

import pytest

from .chromium_call import call, running_page
from .turn_servers import PASSWORD, USER

pytestmark = [pytest.mark.browser, pytest.mark.interop, pytest.mark.timeout(60)]

LONGEST_GAP = 0.5  # seconds without data in a restart, of two processes on a busy machine; measured: 0.03


@pytest.fixture
async def page():
    async with running_page() as page:
        yield page


who_offers = pytest.mark.parametrize("page_offers", [True, False], ids=["Chromium offers", "we offer"])


@who_offers
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_only_a_relay_carries_it(page, turn, transport, page_offers):
    at, port = turn[transport]
    servers = [{"urls": f"turn:{at}:{port}?transport={transport}", "username": USER, "credential": PASSWORD}]
    configuration = {"iceServers": servers, "iceTransportPolicy": "relay"}
    async with call(page, configuration) as made:
        await made.connect(page_offers=page_offers)
        await made.echoes("hello", "x" * 5000)
        local = await page.evaluate("peer.selected()")
        assert (local["candidateType"], local["relayProtocol"]) == ("relay", transport)
        told = [candidate["candidate"] for candidate in made.from_page.all if candidate and candidate["candidate"]]
        assert told
        assert all(" typ relay " in text for text in told)
        assert made.pc._machine.transport.ice.selected_pair.remote_candidate.type == "relay"
        assert await page.evaluate("peer.errors") == []


def ufrags(made):
    return [description.sdp.split("a=ice-ufrag:")[1].split()[0] for description in
            (made.pc.localDescription, made.pc.remoteDescription)]  # fmt: skip


@who_offers
@pytest.mark.parametrize("page_restarts", [True, False], ids=["Chromium restarts", "we restart"])
async def test_a_restart_while_data_flows(page, page_restarts, page_offers):
    """One family, so that each generation has one path, and which one Chromium is on tells the generation."""
    async with call(page, families=(4,)) as made:
        await made.connect(page_offers=page_offers)
        await page.evaluate("peer.count()")
        await page.wait_for_function("peer.heard.length > 20", polling=10)
        for _ in range(3):
            before, count = ufrags(made), await page.evaluate("peer.heard.length")
            if page_restarts:
                await page.evaluate("peer.connection.restartIce()")
            else:
                made.pc.restartIce()
            await made.negotiate(page_offers=page_restarts)
            assert not set(before) & set(ufrags(made))
            await made.until(f"peer.selected().then(pair => pair.usernameFragment === '{ufrags(made)[1]}')")
            await made.until(f"peer.heard.length > {count} + 50")
        await made.until("peer.connection.connectionState === 'connected'")
        assert made.pc.connectionState == "connected"
        assert made.pc._machine.transport.ice.state in {"connected", "completed"}
        await page.evaluate("clearInterval(peer.counting)")
        heard, times = await page.evaluate("[peer.heard, peer.times]")
        assert heard == [str(number) for number in range(len(heard))]
        assert max(after - before for before, after in itertools.pairwise(times)) < LONGEST_GAP


@who_offers
@pytest.mark.parametrize("tell", [True, False], ids=["our candidates told", "ours untold"])
async def test_names_in_place_of_its_addresses(page, host, tell, page_offers):
    """If Chromium is not told where we are, only looking up its name can make the connection."""
    async with call(page, tell=tell) as made:
        await made.connect(page_offers=page_offers)
        await made.echoes("hello")
        told = [candidate["candidate"] for candidate in made.from_page.all if candidate and candidate["candidate"]]
        assert any(" typ host" in text for text in told)
        assert all(text.split()[4].endswith(".local") for text in told)
        pair = made.pc._machine.transport.ice.selected_pair
        assert pair.remote_candidate.type == "host" if not tell else pair.remote_candidate.type in {"host", "prflx"}
