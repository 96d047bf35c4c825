"""A peer in a process of its own, told what to do line by line: see `Peer.commands`.

It sends a counter every few milliseconds on an unreliable channel and gets it back from the other one, and video if
told so, so that it knows for how long nothing came through.
"""

import asyncio
import contextlib
import json
import sys
from itertools import pairwise

from stack import RTCConfiguration, RTCIceCandidate, RTCPeerConnection, RTCSessionDescription
from stack.aio import EncodedFrame, EncodedVideoTrack, MediaStreamError, RTCIceServer

INTERVAL = 0.01
"""Seconds between two counters."""

FRAME_INTERVAL = 1 / 30
"""Seconds between two frames of video."""

KEYFRAME = b"\x10\x02\x00\x9d\x01\x2a" + bytes(12_000)  # of VP8: RFC 6386 section 9.1
DELTA_FRAME = b"\x11\x02\x00" + bytes(4000)


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Camera(EncodedVideoTrack):
    def __init__(self):
        super().__init__()
        self.request_keyframe()

    def request_keyframe(self):
        self.wanted = True

    async def recv(self):
        await asyncio.sleep(FRAME_INTERVAL)
        keyframe, self.wanted = self.wanted, False
        timestamp = round(asyncio.get_running_loop().time() * 90_000) % 2**32
        return EncodedFrame(KEYFRAME if keyframe else DELTA_FRAME, timestamp, keyframe)


def longest(times):
    return max((after - before for before, after in pairwise(times)), default=0.0)


class Peer:
    def __init__(self):
        self.connection = self.channel = None
        self.heard = []  # when an answer came
        self.seen = []  # when a frame came
        self.tasks = set()

    async def start(self, servers, offer, video=False, **options):
        """Make a connection; the one that offers describes itself."""
        configuration = RTCConfiguration(iceServers=[RTCIceServer(**server) for server in servers], **options)
        self.connection = connection = RTCPeerConnection(configuration)
        connection.on("icecandidate", lambda found: say(candidate=found.toJSON() if found else None))
        connection.on("connectionstatechange", lambda: say(state=connection.connectionState))
        connection.on("datachannel", self._on_channel)
        connection.on("track", self._on_track)
        if video:
            connection.addTrack(Camera())
        if offer:
            self._on_channel(connection.createDataChannel("counter", ordered=False, maxRetransmits=0))
            await self._describe()

    async def _describe(self):
        await self.connection.setLocalDescription()
        description = self.connection.localDescription
        say(description={"type": description.type, "sdp": description.sdp})

    async def describe(self, description):
        """Take the other one's description, and answer an offer."""
        await self.connection.setRemoteDescription(RTCSessionDescription(**description))
        if description["type"] == "offer":
            await self._describe()

    async def add(self, candidate):
        """Take a candidate of the other one."""
        if candidate is None:
            await self.connection.addIceCandidate(None)
        else:
            await self.connection.addIceCandidate(RTCIceCandidate(**candidate))

    async def gap(self):
        """Return the longest time without an answer since this was asked last, and how many came; frames likewise."""
        heard, self.heard = self.heard, self.heard[-1:]
        seen, self.seen = self.seen, self.seen[-1:]
        return {
            "longest": longest(heard),
            "count": max(len(heard) - 1, 0),
            "freeze": longest(seen),
            "frames": max(len(seen) - 1, 0),
        }

    def _on_track(self, track):
        self.tasks.add(asyncio.create_task(self._watch(track)))

    async def _watch(self, track):
        with contextlib.suppress(MediaStreamError):
            while await track.recv_encoded():
                self.seen.append(asyncio.get_running_loop().time())

    def _on_channel(self, channel):
        self.channel = channel
        channel.on("message", self._on_message)
        if channel.readyState == "open":
            self._on_open()
        else:
            channel.on("open", self._on_open)

    def _on_open(self):
        say(open=True)
        task = asyncio.create_task(self._count())
        self.tasks.add(task)

    async def _count(self):
        number = 0
        while self.channel.readyState == "open":
            if self.channel.bufferedAmount < 10_000:
                self.channel.send(f"count {number}")
            number += 1
            await asyncio.sleep(INTERVAL)

    def _on_message(self, message):
        word, _, number = message.partition(" ")
        if word == "count":
            if self.channel.readyState != "open":
                return
            self.channel.send(f"heard {number}")
            return
        self.heard.append(asyncio.get_running_loop().time())

    async def close(self):
        for task in self.tasks:
            task.cancel()
        if self.connection is not None:
            await self.connection.close()

    commands = ("start", "describe", "add", "gap")


async def main():
    loop, peer = asyncio.get_running_loop(), Peer()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while text := await reader.readline():
        command = json.loads(text)
        name = command.pop("do")
        if name in Peer.commands:
            say(answer=name, value=await getattr(peer, name)(**command))
    await peer.close()


if __name__ == "__main__":
    asyncio.run(main())
