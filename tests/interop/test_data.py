"""Data channels with ourselves and with aiortc, each as offerer and as answerer, over real sockets."""

import asyncio
import hashlib

import pytest

from stack import OperationError

from .stacks import (
    announced,
    closed,
    connect,
    connections,
    inbox,
    negotiate,
    offerer_and_answerer,
    opened,
    state_reached,
)

pytestmark = pytest.mark.interop

LARGEST = 262144  # bytes, what both stacks announce as a=max-message-size
KINDS = {
    "text": "hello",
    "text that is not ASCII": "größer, 更大, 🚗",
    "empty text": "",
    "bytes": bytes(range(256)),
    "empty bytes": b"",
    "more than a packet": bytes(range(256)) * 20,
    "64 KiB": bytes(range(256)) * 256,
    "64 KiB of text": "0123456789abcdef" * 4096,
}


async def channel_between(offerer, answerer, **options):
    """Connect over one new channel; return it as both sides have it."""
    channel = offerer.createDataChannel("test", **options)
    others = announced(answerer)
    await connect(offerer, answerer)
    return await opened(channel), await opened(await others.get())


@offerer_and_answerer
async def test_every_kind_of_message_both_ways(offerer, answerer):
    async with connections(offerer, answerer) as (a, b):
        here, there = await channel_between(a, b)
        for sender, receiver in ((here, there), (there, here)):
            messages = inbox(receiver)
            for message in KINDS.values():
                sender.send(message)
            assert [await messages.get() for _ in KINDS] == list(KINDS.values())


@offerer_and_answerer
async def test_the_channel_is_as_it_was_made(offerer, answerer):
    async with connections(offerer, answerer) as (a, b):
        _, there = await channel_between(a, b, ordered=False, maxRetransmits=3, protocol="steering/1")
        assert (there.label, there.protocol, there.ordered) == ("test", "steering/1", False)
        assert (there.maxRetransmits, there.maxPacketLifeTime) == (3, None)


@offerer_and_answerer
async def test_unordered_without_retransmission(offerer, answerer):
    async with connections(offerer, answerer) as (a, b):
        here, there = await channel_between(a, b, ordered=False, maxRetransmits=0)
        messages = inbox(there)
        for number in range(200):
            here.send(str(number))
        assert {int(await messages.get()) for _ in range(200)} == set(range(200))


@offerer_and_answerer
async def test_the_largest_messages(offerer, answerer):
    async with connections(offerer, answerer) as (a, b):
        here, there = await channel_between(a, b)
        for sender, receiver in ((here, there), (there, here)):
            messages = inbox(receiver)
            for value in range(4):
                sender.send(bytes([value]) * LARGEST)
            for value in range(4):
                assert await messages.get() == bytes([value]) * LARGEST


@offerer_and_answerer
async def test_a_message_larger_than_the_peer_takes_is_refused(offerer, answerer):
    async with connections(offerer, answerer) as (a, b):
        here, there = await channel_between(a, b)
        ours = here if offerer == "ours" else there
        with pytest.raises(OperationError):
            ours.send(bytes(LARGEST + 1))
        assert ours.readyState == "open"
        assert ours.bufferedAmount == 0


@offerer_and_answerer
async def test_many_channels_from_both_sides(offerer, answerer):
    async with connections(offerer, answerer) as (a, b):
        here, _ = await channel_between(a, b)
        assert here.readyState == "open"
        for opener, other in ((a, b), (b, a)):
            others = announced(other)
            mine = [opener.createDataChannel(f"number {n}") for n in range(40)]
            for channel in mine:
                await opened(channel)
            theirs = {channel.label: channel for channel in [await others.get() for _ in mine]}
            assert set(theirs) == {channel.label for channel in mine}
            assert len({channel.id for channel in mine}) == 40
            for channel in mine:
                messages = inbox(theirs[channel.label])
                channel.send(channel.label)
                assert await messages.get() == channel.label


@offerer_and_answerer
async def test_a_channel_agreed_by_other_means(offerer, answerer):
    async with connections(offerer, answerer) as (a, b):
        here = a.createDataChannel("agreed", negotiated=True, id=7)
        there = b.createDataChannel("agreed", negotiated=True, id=7)
        await connect(a, b)
        messages = inbox(there)
        (await opened(here)).send("no announcement was needed")
        assert await messages.get() == "no announcement was needed"
        assert here.id == there.id == 7


@pytest.mark.parametrize("who", ["offerer", "answerer"])
@offerer_and_answerer
async def test_closing_a_channel(offerer, answerer, who):
    async with connections(offerer, answerer) as (a, b):
        here, there = await channel_between(a, b)
        other = a.createDataChannel("stays")
        await opened(other)
        closer, left = (here, there) if who == "offerer" else (there, here)
        closer.close()
        await closed(left)
        await closed(closer)
        assert other.readyState == "open"


@pytest.mark.parametrize("who", ["offerer", "answerer"])
@offerer_and_answerer
async def test_closing_the_connection(offerer, answerer, who):
    async with connections(offerer, answerer) as (a, b):
        here, there = await channel_between(a, b)
        closer, left, channel = (a, b, there) if who == "offerer" else (b, a, here)
        await closer.close()
        assert closer.connectionState == "closed"
        await closed(channel)
        assert await state_reached(left, "disconnected", "failed", "closed")


@offerer_and_answerer
async def test_much_both_ways_at_once(offerer, answerer):
    block, blocks = bytes(range(256)) * 64, 256

    async def send(channel):
        channel.bufferedAmountLowThreshold = 128 * 1024
        low, digest = asyncio.Event(), hashlib.sha256()
        channel.on("bufferedamountlow", low.set)
        for number in range(blocks):
            message = number.to_bytes(4, "big") + block
            channel.send(message)
            digest.update(message)
            if channel.bufferedAmount > 512 * 1024:
                low.clear()
                await low.wait()
        return digest.digest()

    async def receive(messages):
        digest = hashlib.sha256()
        for _ in range(blocks):
            digest.update(await messages.get())
        return digest.digest()

    async with connections(offerer, answerer) as (a, b):
        here, there = await channel_between(a, b)
        to_a, to_b = inbox(here), inbox(there)
        sent_a, sent_b, got_a, got_b = await asyncio.gather(send(here), send(there), receive(to_a), receive(to_b))
        assert (got_a, got_b) == (sent_b, sent_a)
        assert here.bufferedAmount <= 512 * 1024


@offerer_and_answerer
async def test_what_is_sent_on_open_is_not_lost(offerer, answerer):
    """Either side may send before the other's application knows that the channel is open."""
    async with connections(offerer, answerer) as (a, b):
        channel = a.createDataChannel("eager")
        replies = inbox(channel)
        channel.on("open", lambda: channel.send("first from the offerer"))
        received = asyncio.Queue()

        @b.on("datachannel")
        def eager(there):
            there.on("message", received.put_nowait)
            there.send("first from the answerer")

        await negotiate(a, b)
        assert await received.get() == "first from the offerer"
        assert await replies.get() == "first from the answerer"
