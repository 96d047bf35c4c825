"""What the tests of connections and of peer connections share."""

import asyncio
import contextlib
import time

from stack import EncodedFrame, EncodedVideoTrack, stun
from stack.aio.interfaces import AddressPolicy, local_addresses
from stack.aio.streams import StreamSockets
from stack.core import Datagram

HOST = "127.0.0.1"
STUN = b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)
BIG_STUN = b"\0\1\x20\0\x21\x12\xa4\x42" + bytes(12 + 0x2000)


KEYFRAME = b"\x10\x02\x00\x9d\x01\x2a" + bytes(4000)


class Camera(EncodedVideoTrack):
    """Key frames at 50 per second."""

    async def recv(self):
        await asyncio.sleep(0.02)
        return EncodedFrame(KEYFRAME, round(time.monotonic() * 90000) & 0xFFFFFFFF, keyframe=True)


async def negotiate(a, b):
    await a.setLocalDescription()
    await b.setRemoteDescription(a.localDescription)
    await b.setLocalDescription()
    await a.setRemoteDescription(b.localDescription)


async def open_channel(a, b, **options):
    """Negotiate a channel, and return both ends of it when it is open."""
    here, there = a.createDataChannel("test", **options), asyncio.Queue()
    b.on("datachannel", there.put_nowait)
    opened = asyncio.Event()
    here.on("open", opened.set)
    await negotiate(a, b)
    await opened.wait()
    return here, await there.get()


class Side:
    """Stream sockets and what they report."""

    def __init__(self, **options):
        self.received = []
        self.closed = []
        self.changed = asyncio.Event()
        self.sockets = StreamSockets(asyncio.get_running_loop(), self._on_batch, on_closed=self._on_closed, **options)

    def _on_batch(self, batch):
        self.received += batch
        self.changed.set()

    def _on_closed(self, local, remote):
        self.closed.append((local, remote))
        self.changed.set()

    @property
    def payloads(self):
        return [datagram.data for datagram in self.received]

    def send(self, local, remote, *payloads):
        self.sockets.send([Datagram(data, remote, local) for data in payloads])

    async def until(self, condition, seconds=5):
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def until_received(self, count):
        await self.until(lambda: len(self.received) >= count)

    async def until_closed(self):
        await self.until(lambda: self.closed)


@contextlib.asynccontextmanager
async def server_that_answers(code):
    """A STUN server on an address of this machine that refuses every request; its URL."""
    host = next(entry.host for entry in local_addresses(AddressPolicy()) if ":" not in entry.host)

    class Protocol(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, address):
            answer = stun.error_response(stun.Message.parse(data), code)
            self.transport.sendto(answer.serialize(), address)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Protocol, local_addr=(host, 0))
    try:
        yield f"stun:{host}:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()
