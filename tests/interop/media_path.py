"""A path of a given rate, delay and loss between a peer and us, without any rights in the system.

Two UDP sockets: the peer's datagrams come in at one and leave for us from the other. Each direction is a `Lane`, which
may be changed while packets are under way.
"""

import asyncio
import contextlib
import random
import re
import time
from collections import deque

from .lossy import CANDIDATE

SEED = 1
DELAY = 0.02  # seconds each way, as within a country
QUEUE = 50_000  # bytes that wait before the bottleneck: 0.4 s of 1 Mbit/s
RTP_VERSION = 2
LARGE = 600  # bytes: more than sound and RTCP have


class Lane:
    """One direction.

    Args:
        name: For reports.
        send: Called with each datagram that arrives at the end.

    Attributes:
        rate: bit/s; None for no limit.
        delay: Seconds.
        loss: Which part of the datagrams is lost.
        queue: Bytes that may wait before the bottleneck; more are lost.
        without: RTP payload types that never pass.
        burst: How many of the next large RTP packets are lost: those are video.
        lost: Datagrams lost in one of these ways.
        overflowed: Datagrams for which the queue had no room.
        offered: (seconds, bytes) of what came to the beginning.
        longest: Seconds that a datagram waited in the queue, the longest so far.
    """

    def __init__(self, name, send):
        self.name, self._send = name, send
        self.rate, self.delay, self.loss, self.queue = None, DELAY, 0.0, QUEUE
        self.without, self.burst = frozenset(), 0
        self.lost = self.overflowed = 0
        self.offered = deque(maxlen=1 << 16)
        self.longest = 0.0
        self._random = random.Random(SEED)
        self._waiting, self._bytes = deque(), 0
        self._free = 0.0  # when the bottleneck has passed on the last datagram

    def take(self, data):
        now = time.monotonic()
        self.offered.append((now, len(data)))
        if self._random.random() < self.loss or self._is_chosen(data):
            self.lost += 1
        elif self._bytes + len(data) > self.queue:
            self.overflowed += 1
        elif self.rate is None and not self._waiting:
            self._deliver_later(data)
        else:
            self._waiting.append((now, data))
            self._bytes += len(data)
            if len(self._waiting) == 1:
                self._free = max(self._free, now)
                self._pass_on()

    def bitrate(self, since, until=None):
        """Return the bit/s that came to the beginning between two moments (of `time.monotonic`)."""
        until = time.monotonic() if until is None else until
        return sum(size for when, size in self.offered if since <= when < until) * 8 / (until - since)

    def _is_chosen(self, data):
        if len(data) < 2 or data[0] >> 6 != RTP_VERSION:
            return False
        if data[1] & 0x7F in self.without:
            return True
        if not self.burst or len(data) < LARGE:
            return False
        self.burst -= 1
        return True

    def _pass_on(self):
        """The bottleneck begins with the next datagram, and with all that it has been through with meanwhile."""
        now = time.monotonic()
        while self._waiting:
            came, data = self._waiting[0]
            self._free += len(data) * 8 / self.rate if self.rate is not None else 0.0
            if self._free > now:
                asyncio.get_running_loop().call_later(self._free - now, self._passed)
                return
            self._remove(came, data)

    def _passed(self):
        self._remove(*self._waiting[0])
        self._pass_on()

    def _remove(self, came, data):
        self._waiting.popleft()
        self._bytes -= len(data)
        self.longest = max(self.longest, time.monotonic() - came)
        self._deliver_later(data)

    def _deliver_later(self, data):
        asyncio.get_running_loop().call_later(self.delay, self._send, data)


class ImpairedPath:
    """Both lanes.

    Attributes:
        to_peer: What we send.
        to_us: What the peer sends.
    """

    def __init__(self):
        self.to_peer, self.to_us = Lane("to the peer", self._send_to_peer), Lane("to us", self._send_to_us)
        self._front = self._back = self._peer = self._target = None

    async def open(self, host, port):
        """Stand before our address; return the one that the peer is to have instead."""
        loop, local, self._target = asyncio.get_running_loop(), (host, 0), (host, port)
        self._front, _ = await loop.create_datagram_endpoint(lambda: _Side(self._from_peer), local_addr=local)
        self._back, _ = await loop.create_datagram_endpoint(lambda: _Side(self._from_us), local_addr=local)
        return self._front.get_extra_info("sockname")[:2]

    def close(self):
        for transport in filter(None, (self._front, self._back)):
            transport.close()

    async def bend(self, sdp, *, ours):
        """Our description as the peer is to see it, or the peer's as we are: without any way around the path."""
        if not ours:
            return re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", sdp)
        foundation, priority, host, port = CANDIDATE.search(sdp).groups()
        host, port = await self.open(host, int(port))
        line = f"a=candidate:{foundation} 1 udp {priority} {host} {port} typ host\r\n"
        return re.sub(r"(a=candidate:.*\r\n)+", line, sdp)

    def _from_peer(self, data, source):
        self._peer = source
        self.to_us.take(data)

    def _from_us(self, data, _):
        if self._peer is not None:
            self.to_peer.take(data)

    def _send_to_peer(self, data):
        if not self._front.is_closing():
            self._front.sendto(data, self._peer)

    def _send_to_us(self, data):
        if not self._back.is_closing():
            self._back.sendto(data, self._target)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, receive):
        self._receive = receive

    def datagram_received(self, data, addr):
        self._receive(data, addr)


@contextlib.contextmanager
def impaired_path():
    """A path that is opened once our description is known."""
    path = ImpairedPath()
    try:
        yield path
    finally:
        path.close()
