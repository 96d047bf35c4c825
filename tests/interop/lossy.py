"""A path that loses packets, between a partner and us, without any rights in the system."""

import asyncio
import contextlib
import random
import re

SEED = 1


class LossyPath:
    """Two UDP sockets: the partner knows one, we learn of the other when its checks come through.

    Attributes:
        loss: Which part of the packets is lost, each way; may be changed at any time.
        lost: How many were.
    """

    def __init__(self, host, target):
        self.host, self.target, self.loss, self.lost = host, target, 0.0, 0
        self._random = random.Random(SEED)
        self._front = self._back = self._partner = None

    async def open(self):
        loop, local = asyncio.get_running_loop(), (self.host, 0)
        self._front, _ = await loop.create_datagram_endpoint(lambda: _Side(self._from_partner), local_addr=local)
        self._back, _ = await loop.create_datagram_endpoint(lambda: _Side(self._from_us), local_addr=local)

    def close(self):
        self._front.close()
        self._back.close()

    @property
    def address(self):
        """Where the partner sends to."""
        return self._front.get_extra_info("sockname")[:2]

    def _from_partner(self, data, source):
        self._partner = source
        self._pass(data, self._back, self.target)

    def _from_us(self, data, source):
        if self._partner is not None:
            self._pass(data, self._front, self._partner)

    def _pass(self, data, transport, target):
        if self._random.random() < self.loss:
            self.lost += 1
        else:
            transport.sendto(data, target)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, receive):
        self._receive = receive

    def datagram_received(self, data, addr):
        self._receive(data, addr)


CANDIDATE = re.compile(r"a=candidate:(\S+) 1 udp (\d+) (\d+\.\d+\.\d+\.\d+) (\d+) typ host.*\r\n")


@contextlib.asynccontextmanager
async def lossy_path():
    """A path that is opened once our description is known; gives it and a function that bends descriptions to it."""
    path = LossyPath("", None)

    async def bend(sdp, *, ours):
        """Our description as the partner is to see it, or the partner's as we are."""
        if not ours:
            return re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", sdp)
        foundation, priority, host, port = CANDIDATE.search(sdp).groups()
        path.host, path.target = host, (host, int(port))
        await path.open()
        host, port = path.address
        line = f"a=candidate:{foundation} 1 udp {priority} {host} {port} typ host\r\n"
        return re.sub(r"(a=candidate:.*\r\n)+", line, sdp)

    try:
        yield path, bend
    finally:
        path.close()
