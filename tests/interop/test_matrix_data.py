"""Data channels with every other stack, each as offerer and as answerer."""

import asyncio

import pytest

from .matrix_link import link
from .partner import partners
from .stacks import announced, closed, inbox, opened

pytestmark = [
    pytest.mark.interop,
    pytest.mark.asyncio(loop_scope="module"),
    partners(lambda kind: True, "data"),
    pytest.mark.parametrize("we_offer", [True, False], ids=["we offer", "partner offers"]),
]

SIZES = [0, 1, 1199, 1200, 1201, 16 * 1024, 65535, 65536, 256 * 1024, 1024 * 1024]
MODES = [
    {"ordered": True},
    {"ordered": True, "maxPacketLifeTime": 500},
    {"ordered": True, "maxRetransmits": 3},
    {"ordered": False},
    {"ordered": False, "maxPacketLifeTime": 500},
    {"ordered": False, "maxRetransmits": 0},
]
MANY = 128  # channels
STEP_PATIENCE = 5.0  # seconds for one message to go there and come back


def largest(pc):
    """Bytes that go there and come back: the smaller of what the two sides announce."""
    texts = (pc.localDescription.sdp, pc.remoteDescription.sdp)
    return min(size_of(text) for text in texts)


def size_of(sdp):
    announced = [line for line in sdp.splitlines() if line.startswith("a=max-message-size:")]
    return (int(announced[0].partition(":")[2]) if announced else 65536) or 1 << 30


async def echoed(channel, *messages):
    """Send messages, and get them back as they were."""
    echoes = inbox(channel)
    for message in messages:
        channel.send(message)
        try:
            async with asyncio.timeout(STEP_PATIENCE):
                echo = await echoes.get()
        except TimeoutError:
            raise TimeoutError(f"no echo of {len(message)} {type(message).__name__}: {message[:20]!r}") from None
        assert echo == message
    channel.remove_all_listeners("message")


async def test_messages_of_every_size(partner, we_offer, kind):
    async with link(partner, we_offer=we_offer) as one:
        channel = await one.start()
        limit = 65535 if "short" in kind.quirks else largest(one.pc)
        sizes = [size for size in SIZES if (size or "empty" not in kind.quirks) and size <= limit]
        assert 65535 in sizes
        pattern = bytes(range(256)) * (max(sizes) // 256 + 1)
        await echoed(channel, *(pattern[:size] for size in sizes))
        await echoed(channel, *("0123456789abcdef" * (size // 16) + "x" * (size % 16) for size in sizes))
        await echoed(channel, "größer, 更大, 🚗", b"\0")
        if "nul" not in kind.quirks:
            await echoed(channel, "\0")
        if 0 in sizes:
            await echoed(channel, b"", "", b"after", "after")


def as_told(channel, kind):
    """How a partner says that a channel is, as far as it says so."""
    told = () if "silent" in kind.quirks else ("ordered", "maxRetransmits", "maxPacketLifeTime")
    return {name: channel[name] for name in told}


def as_made(options, kind):
    return as_told({"maxRetransmits": None, "maxPacketLifeTime": None} | options, kind)


async def test_all_six_reliability_modes(partner, we_offer, kind):
    name = "mode/{}" if "labels" in kind.quirks else "größe/{} 🚗"
    async with link(partner, we_offer=we_offer) as one:
        await one.start()
        for number, options in enumerate(MODES):
            label = f"ours {name.format(number)}"
            channel = await opened(one.pc.createDataChannel(label, protocol=name, **options))
            there = (await one.theirs(label))[label]
            assert as_told(there, kind) == as_made(options, kind)
            assert (there["protocol"], there["id"]) == (name, channel.id)
            await echoed(channel, *map(str, range(20)))
        found = announced(one.pc)
        for number, options in enumerate(MODES):
            label = f"theirs {name.format(number)}"
            await one.partner.call("open", label=label, protocol=name, **options)
            channel = await opened(await found.get())
            assert (channel.label, channel.protocol) == (label, name)
            limits = (channel.maxRetransmits, channel.maxPacketLifeTime)
            assert limits == (options.get("maxRetransmits"), options.get("maxPacketLifeTime"))
            assert channel.ordered == (options["ordered"] or ("unordered" in kind.quirks and len(options) > 1))
            await echoed(channel, *map(str, range(20)))


async def test_many_channels_from_both_sides(partner, we_offer):
    async with link(partner, we_offer=we_offer) as one:
        await one.start()
        mine = [one.pc.createDataChannel(f"ours {number}") for number in range(MANY)]
        found = announced(one.pc)
        for number in range(MANY):
            await one.partner.call("open", label=f"theirs {number}")
        theirs = [await found.get() for _ in range(MANY)]
        channels = [await opened(channel) for channel in mine + theirs]
        assert {channel.label for channel in theirs} == {f"theirs {number}" for number in range(MANY)}
        assert len({channel.id for channel in channels}) == 2 * MANY
        await asyncio.gather(*(echoed(channel, channel.label) for channel in channels))


async def test_closing_and_opening_again(partner, we_offer):
    async with link(partner, we_offer=we_offer) as one:
        stays = await one.start()
        ids = set()
        for _ in range(3):
            channel = await opened(one.pc.createDataChannel("ours"))
            ids.add(channel.id)
            await echoed(channel, "before it closes")
            channel.close()
            await closed(channel)
            await one.theirs("ours", state="closed")
        assert len(ids) == 1
        found = announced(one.pc)
        for _ in range(3):
            await one.partner.call("open", label="theirs")
            channel = await opened(await found.get())
            await echoed(channel, "before it closes")
            await one.partner.call("shut", label="theirs")
            await closed(channel)
            await one.theirs("theirs", state="closed")
        await echoed(stays, "the others stay")


async def test_what_was_sent_before_closing_arrives(partner, we_offer):
    async with link(partner, we_offer=we_offer) as one:
        await one.start()
        channel = await opened(one.pc.createDataChannel("short"))
        echoes = inbox(channel)
        for number in range(50):
            channel.send(str(number))
        assert [await echoes.get() for _ in range(50)] == [str(number) for number in range(50)]
        channel.close()
        await one.theirs("short", state="closed")


async def test_a_channel_agreed_by_other_means(partner, we_offer, kind):
    async with link(partner, we_offer=we_offer) as one:
        before = one.pc.createDataChannel("before", negotiated=True, id=200)
        await one.start({"label": "before", "negotiated": True, "id": 200})
        channels = [before]
        if "late" not in kind.quirks:
            channels.append(one.pc.createDataChannel("after", negotiated=True, id=201))
            await one.partner.call("open", label="after", negotiated=True, id=201)
        for channel in channels:
            there = (await one.theirs(channel.label))[channel.label]
            assert there["id"] == (await opened(channel)).id
            await echoed(channel, "no announcement", b"was needed")
            channel.close()
            await closed(channel)
