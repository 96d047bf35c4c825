"""A peer of aiortc. See partner.py for the commands."""

import asyncio
import contextlib

import aiortc
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack
from lines import serve


class Peer:
    def start(self, channels=(), media=(), mime=""):
        self.by_label, self.received = {}, {}
        self.connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        self.connection.on("datachannel", self.adopt)
        self.connection.on("track", self.watch)
        self.wanted, self.tasks = media, []
        for options in channels:
            self.open(**options)

    def adopt(self, channel):
        self.by_label[channel.label] = channel
        channel.on("message", channel.send)

    def open(self, label, **options):
        self.adopt(self.connection.createDataChannel(label, **options))

    def shut(self, label):
        self.by_label[label].close()

    def channels(self):
        names = ("label", "protocol", "ordered", "maxRetransmits", "maxPacketLifeTime", "id")
        return [
            {"state": channel.readyState} | {name: getattr(channel, name) for name in names}
            for channel in self.by_label.values()
        ]

    def add_tracks(self):
        for kind in self.wanted:
            self.connection.addTrack(VideoStreamTrack() if kind == "video" else AudioStreamTrack())

    def watch(self, track):
        self.received[track.kind] = 0
        self.tasks.append(asyncio.create_task(self.count(track)))

    async def count(self, track):
        with contextlib.suppress(MediaStreamError):
            while await track.recv():
                self.received[track.kind] += 1

    def statistics(self):
        names = {"video": "framesDecoded", "audio": "packetsReceived"}  # a frame of audio is what a packet brought
        return {f"inbound-rtp {kind}": {names[kind]: count} for kind, count in self.received.items()}

    async def described(self, made):
        await self.connection.setLocalDescription(made)
        local = self.connection.localDescription
        return {"type": local.type, "sdp": local.sdp}

    async def offer(self):
        self.add_tracks()
        return await self.described(await self.connection.createOffer())

    async def answer(self, **offer):
        await self.accept(**offer)
        self.add_tracks()
        return await self.described(await self.connection.createAnswer())

    async def accept(self, **given):
        await self.connection.setRemoteDescription(aiortc.RTCSessionDescription(**given))

    def state(self):
        return self.connection.connectionState

    async def stop(self):
        for task in self.tasks:
            task.cancel()
        await self.connection.close()


asyncio.run(serve(Peer(), aiortc.__version__))
