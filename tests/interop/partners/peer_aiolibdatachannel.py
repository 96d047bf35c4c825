"""A peer of aiolibdatachannel, which needs Python 3.12. See partner.py for the commands."""

import asyncio
from importlib.metadata import version

import aiolibdatachannel as rtc
from lines import serve


class Peer:
    async def start(self, channels=(), media=()):
        self.by_label, self.tasks, self.gathered = {}, [], False
        self.connection = rtc.PeerConnection(rtc.RTCConfiguration(ice_servers=[]))
        self.tasks.append(asyncio.create_task(self.take_theirs()))
        for options in channels:
            await self.open(**options)

    async def take_theirs(self):
        async for channel in self.connection.incoming_data_channels():
            self.adopt(channel, channel.label, channel.protocol)

    def adopt(self, channel, label, protocol):
        self.by_label[label] = (channel, protocol)
        self.tasks.append(asyncio.create_task(self.send_back(channel)))

    async def send_back(self, channel):
        async for message in channel:
            await channel.send(message, wait_for_drain=False)

    async def open(self, label, protocol="", *, ordered=True, negotiated=False, **others):
        options = rtc.DataChannelOptions(
            ordered=ordered,
            max_retransmits=others.get("maxRetransmits"),
            max_packet_lifetime_ms=others.get("maxPacketLifeTime"),
            protocol=protocol,
            negotiated=negotiated,
            stream_id=others.get("id"),
        )
        self.adopt(await self.connection.create_data_channel(label, options), label, protocol)

    def shut(self, label):
        self.by_label[label][0].close()

    def channels(self):
        return [self.described(label, *entry) for label, entry in self.by_label.items()]

    @staticmethod
    def described(label, channel, protocol):
        if channel.closed or channel.is_closed:
            return {"label": label, "state": "closed"}
        if not channel.is_open:
            return {"label": label, "state": "connecting"}
        return {"label": label, "state": "open", "protocol": protocol, "id": channel.stream_id}

    async def offer(self):
        return {"type": "offer", "sdp": await self.described_as("offer", self.connection.create_offer)}

    async def answer(self, **offer):
        await self.accept(**offer)
        return {"type": "answer", "sdp": await self.described_as("answer", self.connection.create_answer)}

    async def described_as(self, kind, create):
        """What `create` waits for, the end of gathering, comes once; later descriptions have all candidates anyway."""
        made = await (self.connection.set_local_description(kind) if self.gathered else create())
        self.gathered = True
        return made.sdp

    async def accept(self, **given):
        await self.connection.set_remote_description(given["sdp"], given["type"])

    def state(self):
        return self.connection.state.name.lower()

    async def stop(self):
        for task in self.tasks:
            task.cancel()
        await self.connection.aclose()


asyncio.run(serve(Peer(), version("aiolibdatachannel")))
