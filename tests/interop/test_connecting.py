"""How connections come about, and how they fail."""

import asyncio
import re

import pytest

from .stacks import (
    PATIENCE,
    announced,
    connected,
    connections,
    description,
    inbox,
    negotiate,
    new_connection,
    offerer_and_answerer,
    opened,
    state_reached,
)

pytestmark = pytest.mark.interop


def another_fingerprint(sdp):
    """The same description, with one digit of each fingerprint changed."""
    return re.sub(
        r"(a=fingerprint:sha-\d+ )(.)",
        lambda found: found[1] + ("1" if found[2] != "1" else "2"),
        sdp,
        flags=re.IGNORECASE,
    )


def tamper_with(which):
    return lambda kind, sdp: another_fingerprint(sdp) if kind == which else sdp


def test_the_tampering_tampers():
    sdp = "v=0\r\na=fingerprint:sha-256 AB:CD\r\n"
    assert another_fingerprint(sdp) == "v=0\r\na=fingerprint:sha-256 1B:CD\r\n"


@pytest.mark.parametrize("other", ["ours", "aiortc"])
async def test_an_answerer_with_another_certificate_is_refused(other):
    async with connections("ours", other) as (a, b):
        a.createDataChannel("test")
        errors = []
        a.on("error", errors.append)
        await negotiate(a, b, tamper=tamper_with("answer"))
        assert await state_reached(a, "failed", "connected", "closed") == "failed"
        assert "fingerprint" in a.error
        assert errors == [a.error]


@pytest.mark.parametrize("other", ["ours", "aiortc"])
async def test_an_offerer_with_another_certificate_is_refused(other):
    async with connections(other, "ours") as (a, b):
        a.createDataChannel("test")
        await negotiate(a, b, tamper=tamper_with("offer"))
        assert await state_reached(b, "failed", "connected", "closed") == "failed"
        assert "fingerprint" in b.error


@offerer_and_answerer
async def test_states_on_the_way(offerer, answerer):
    async with connections(offerer, answerer) as (a, b):
        a.createDataChannel("test")
        seen = {pc: [] for pc in (a, b)}
        for pc, states in seen.items():
            pc.on("connectionstatechange", lambda pc=pc, states=states: states.append(pc.connectionState))
        assert a.connectionState == b.connectionState == "new"
        await negotiate(a, b)
        await connected(a, b)
        assert seen == {a: ["connecting", "connected"], b: ["connecting", "connected"]}
        assert a.signalingState == b.signalingState == "stable"
        assert a.iceGatheringState == b.iceGatheringState == "complete"
        assert a.iceConnectionState in {"connected", "completed"}


@offerer_and_answerer
async def test_one_after_the_other(offerer, answerer):
    """Closing leaves nothing behind that would disturb the next connection."""
    for _ in range(5):
        async with connections(offerer, answerer) as (a, b):
            channel, others = a.createDataChannel("test"), announced(b)
            await negotiate(a, b)
            messages = inbox(await others.get())
            (await opened(channel)).send("again")
            assert await messages.get() == "again"


def without_candidates(sdp):
    return re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", sdp)


async def test_trickled_candidates():
    """Whoever listens for candidates gets them one by one, and None at the end."""
    async with asyncio.timeout(PATIENCE):
        a, b = new_connection("ours"), new_connection("ours")
        ended = asyncio.Queue()

        def trickle(source, target):
            @source.on("icecandidate")
            async def relay(candidate):
                await both_described.wait()
                await target.addIceCandidate(candidate)
                if candidate is None:
                    ended.put_nowait(source)

        both_described = asyncio.Event()
        trickle(a, b)
        trickle(b, a)
        channel = a.createDataChannel("test")
        await a.setLocalDescription(await a.createOffer())
        await b.setRemoteDescription(description("ours", without_candidates(a.localDescription.sdp), "offer"))
        await b.setLocalDescription(await b.createAnswer())
        await a.setRemoteDescription(description("ours", without_candidates(b.localDescription.sdp), "answer"))
        both_described.set()
        await connected(a, b)
        await opened(channel)
        assert {await ended.get(), await ended.get()} == {a, b}
        await a.close()
        await b.close()


async def test_closing_while_connecting():
    async with connections("ours", "ours") as (a, b):
        a.createDataChannel("test")
        await negotiate(a, b)
        await a.close()
        assert a.connectionState == "closed"


async def test_nobody_answers():
    """An offer that is never answered costs nothing and can be closed."""
    async with connections("ours") as (a,):
        a.createDataChannel("test")
        await a.setLocalDescription(await a.createOffer())
        assert a.localDescription.sdp.count("a=candidate") >= 1
        assert a.connectionState == "new"
