"""A connection of ours with a partner."""

import asyncio
import contextlib

from stack import RTCPeerConnection, RTCSessionDescription
from stack.peer import Configuration

from .stacks import PATIENCE, connected, opened

CHANNEL_PATIENCE = 5.0  # seconds from a connection to a channel
LARGEST = 1 << 20  # bytes, what we take; most partners announce less


class Link:
    """We and a partner, not yet negotiated.

    Attributes:
        pc: Our connection.
        partner: The program on the other side.
        we_offer: Who is to offer.
        bend: Changes descriptions on their way.
    """

    def __init__(self, pc, partner, *, we_offer, bend):
        self.pc, self.partner, self.we_offer, self.bend = pc, partner, we_offer, bend

    async def negotiate(self, *, prepare_answer=lambda: None):
        """Offer and answer, each with all its candidates. `prepare_answer` is called before we answer."""
        if self.we_offer:
            await self.pc.setLocalDescription()
            await self.take(await self.partner.call("answer", **await self.ours()))
        else:
            await self.take(await self.partner.call("offer"))
            prepare_answer()
            await self.pc.setLocalDescription()
            await self.partner.call("accept", **await self.ours())

    async def ours(self):
        local = self.pc.localDescription
        return {"type": local.type, "sdp": await self.bend(local.sdp, ours=True)}

    async def take(self, theirs):
        sdp = await self.bend(theirs["sdp"], ours=False)
        await self.pc.setRemoteDescription(RTCSessionDescription(sdp, theirs["type"]))

    async def connect(self, **options):
        await self.negotiate(**options)
        await connected(self.pc)
        await self.partner.until("state", lambda state: state == "connected")

    async def start(self, *theirs):
        """Connect with one data channel of who offers; return it as we have it. The partner opens `theirs` too."""
        if self.we_offer:
            await self.partner.call("start", channels=theirs)
            channel = self.pc.createDataChannel("first")
            await self.connect()
        else:
            announced = asyncio.get_running_loop().create_future()
            self.pc.once("datachannel", announced.set_result)
            await self.partner.call("start", channels=[{"label": "first"}, *theirs])
            await self.connect()
            async with asyncio.timeout(CHANNEL_PATIENCE):
                channel = await announced
        async with asyncio.timeout(CHANNEL_PATIENCE):
            return await opened(channel)

    async def theirs(self, *labels, state="open"):
        """The channels of these labels as the partner has them, once all are in that state."""

        def ready(channels):
            found = {channel["label"]: channel["state"] for channel in channels}
            return all(found.get(label) == state for label in labels)

        channels = await self.partner.until("channels", ready)
        return {channel["label"]: channel for channel in channels if channel["label"] in labels}


async def unbent(sdp, *, ours):
    return sdp


@contextlib.asynccontextmanager
async def link(partner, *, we_offer, bend=unbent):
    """A new connection, closed at the end on both sides; all within PATIENCE."""
    pc = RTCPeerConnection(machine=Configuration(max_message_size=LARGEST))
    try:
        async with asyncio.timeout(PATIENCE):
            yield Link(pc, partner, we_offer=we_offer, bend=bend)
    finally:
        await pc.close()
        await partner.call("stop")
