"""A second negotiation with every other stack: what runs goes on, whoever begins it."""

import pytest

from stack import RTCSessionDescription

from .matrix_link import link
from .partner import partners
from .stacks import opened
from .test_matrix_data import echoed

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("we_offer", [True, False], ids=["we offer", "partner offers"]),
]
all_partners = partners(lambda kind: True, "data")
those_who_restart = partners(lambda kind: not {"restart", "unmoved"} & kind.quirks.keys(), "data")
those_who_stay = partners(lambda kind: "unmoved" in kind.quirks, "data")
those_who_refuse = partners(lambda kind: "restart" in kind.quirks, "data")


async def offered_again(one, *, by_us):
    """Negotiate twice; the channel of before works on, and there can be others."""
    channel = await one.start()
    await echoed(channel, "before")
    one.we_offer = by_us
    await one.negotiate()
    await echoed(channel, "behind")
    await echoed(await opened(one.pc.createDataChannel("second")), "on another one")


@all_partners
async def test_we_offer_again(partner, we_offer, kind):
    async with link(partner, we_offer=we_offer) as one:
        await offered_again(one, by_us=True)


@all_partners
async def test_the_partner_offers_again(partner, we_offer, kind):
    async with link(partner, we_offer=we_offer) as one:
        await offered_again(one, by_us=False)


def ufrags(description):
    return {line for line in description.sdp.splitlines() if line.startswith("a=ice-ufrag:")}


async def restarting(one):
    """Connect, then be about to restart; return the channel that must work on, and who we and the partner are."""
    channel = await one.start()
    before = ufrags(one.pc.localDescription), ufrags(one.pc.remoteDescription)
    one.pc.restartIce()
    one.we_offer = True
    return channel, *before


async def follows_a_restart(one):
    """Restart; return whether the partner has new credentials too. The channel works on either way."""
    channel, ours, theirs = await restarting(one)
    await one.negotiate()
    assert not ufrags(one.pc.localDescription) & ours
    await echoed(channel, "behind")
    return not ufrags(one.pc.remoteDescription) & theirs


@those_who_restart
async def test_we_restart_ice(partner, we_offer, kind):
    async with link(partner, we_offer=we_offer) as one:
        assert await follows_a_restart(one)


@those_who_stay
async def test_a_restart_that_the_partner_does_not_follow(partner, we_offer, kind):
    async with link(partner, we_offer=we_offer) as one:
        assert not await follows_a_restart(one)


@those_who_refuse
async def test_a_restart_that_is_refused_changes_nothing(partner, we_offer, kind):
    async with link(partner, we_offer=we_offer) as one:
        channel, ours, _ = await restarting(one)
        with pytest.raises(RuntimeError, match=r"Invalid ICE settings|invalid argument"):
            await one.negotiate()
        await one.pc.setLocalDescription(RTCSessionDescription("", "rollback"))
        assert ufrags(one.pc.localDescription) == ours
        await echoed(channel, "behind")
