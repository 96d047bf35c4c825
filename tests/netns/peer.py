"""A peer in a process of its own, told what to do line by line: see `Peer.commands`.

It sends a counter every few milliseconds on an unreliable channel and gets it back from the other one, so that it
knows for how long nothing came through.
"""

import asyncio
import json
import sys
from itertools import pairwise

from stack import RTCConfiguration, RTCIceCandidate, RTCPeerConnection, RTCSessionDescription
from stack.aio import RTCIceServer

INTERVAL = 0.01
"""Seconds between two counters."""


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Peer:
    def __init__(self):
        self.connection = self.channel = None
        self.heard = []  # when an answer came
        self.tasks = set()

    async def start(self, servers, offer, **options):
        """Make a connection; the one that offers describes itself."""
        configuration = RTCConfiguration(iceServers=[RTCIceServer(**server) for server in servers], **options)
        self.connection = connection = RTCPeerConnection(configuration)
        connection.on("icecandidate", lambda found: say(candidate=found.toJSON() if found else None))
        connection.on("connectionstatechange", lambda: say(state=connection.connectionState))
        connection.on("datachannel", self._on_channel)
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
        """Return the longest time without an answer since this was asked last, and how many came."""
        heard, self.heard = self.heard, self.heard[-1:]
        gaps = [after - before for before, after in pairwise(heard)]
        return {"longest": max(gaps, default=0.0), "count": len(gaps)}

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
