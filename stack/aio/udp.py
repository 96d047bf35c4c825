"""UDP sockets for asyncio, in batches: many datagrams per wakeup in, runs of equal size per system call out.

The standard library's datagram transport reads one datagram per turn of the loop. Here a readable socket is read
until it is empty or `MAX_READS` is reached, and everything goes up as one list. On Linux the kernel joins and splits
runs of equal datagrams (UDP_GRO, UDP_SEGMENT), which takes most of the cost of a system call off each packet; both
are probed for and done without where they are missing.
"""

import asyncio
import errno
import logging
import socket
import struct
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from ..core import Address, Datagram

logger = logging.getLogger(__name__)

SOL_UDP: Final = 17
UDP_SEGMENT: Final = 103
UDP_GRO: Final = 104
IP_UNICAST_IF: Final = 50
IPV6_UNICAST_IF: Final = 76
IP_MTU_DISCOVER: Final = 10
IPV6_MTU_DISCOVER: Final = 23
PMTUDISC_PROBE: Final = 3  # sets DF, and lets more out than the route is known to take

MAX_READS: Final = 16
"""System calls per wakeup, so that one busy socket cannot starve the loop; the rest comes with the next turn."""

WORTH_JOINING: Final = 4
"""Datagrams in one wakeup from which on the kernel is asked to join them. Not before: for the first socket of a machine
that asks, and when the last one of them is closed, it rewrites its own code (a static key), for 0.1 ms."""

MAX_UNASKED: Final = 4
"""Wakeups after which a socket whose lone datagrams are answered at once is asked whether there is more."""

MAX_SEGMENTS: Final = 60
"""Datagrams per UDP_SEGMENT call; the kernel's own limit is 64 on older versions."""

MAX_RUN: Final = 64_000
"""Bytes per UDP_SEGMENT call: what fits an IP packet, with room for its headers."""

MAX_QUEUED: Final = 2048
"""Datagrams that wait for a full socket; past that the oldest are dropped, as a router would."""

MAX_KNOWN_ADDRESSES: Final = 1024
"""Remote addresses whose converted form is remembered."""

MAX_DATAGRAM: Final = 65536
"""Bytes that one read may bring: a datagram, or a run of them that the kernel has joined."""

SOCKET_BUFFER: Final = 4 * 1024 * 1024  # asked for; the kernel gives what its limits allow

_SEGMENT_SIZE: Final = struct.Struct("H")
_GRO_SIZE: Final = struct.Struct("i")
_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, bytearray] = WeakKeyDictionary()
"""One for all sockets of a loop, since no two of them read at a time: it would be most of an idle connection."""

_ANCILLARY: Final = socket.CMSG_SPACE(_GRO_SIZE.size) if hasattr(socket, "CMSG_SPACE") else 0


class UdpSocket:
    """One bound, non-blocking UDP socket.

    Args:
        host: Local address to bind, textual.
        loop: The loop that watches it.
        on_batch: Called with all datagrams of one wakeup.
        port: Local port, 0 for any.
        probing: Whether packets that are too large for the path are lost and not fragmented, so that its MTU can be
            found out (RFC 8899 section 4.6.1); only Linux can.
        interface: Interface that everything has to leave by, whatever route the kernel likes best; empty for any.
            Only Linux can.

    Attributes:
        address: Where it is bound.
        dropped: Datagrams lost here, by reason.

    Raises:
        OSError: If it cannot be bound.
    """

    def __init__(
        self,
        host: str,
        loop: asyncio.AbstractEventLoop,
        on_batch: Callable[[list[Datagram]], None],
        port: int = 0,
        *,
        interface: str = "",
        probing: bool = False,
    ) -> None:
        self._loop = loop
        self._on_batch = on_batch
        self.dropped: Counter[str] = Counter()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self._socket.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
            if interface and sys.platform == "linux":
                self._leave_by(interface, family)
            if probing and sys.platform == "linux":
                self._forbid_fragments(family)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.address = Address(*self._socket.getsockname()[:2])
        self._gro = self._gro_tried = False
        self._gso = self._enable(UDP_SEGMENT, 0)
        if loop not in _buffers:
            _buffers[loop] = bytearray(MAX_DATAGRAM)
        self._buffer = _buffers[loop]
        self._view = memoryview(self._buffer)
        self._known: dict[Any, Address] = {}
        self._waiting: deque[tuple[Address, bytes]] = deque()
        self._closed = False
        self._calm = False  # whether the last wakeup brought one datagram only
        self._answers = 0  # datagrams sent while one was handed up
        self._unasked = 0  # wakeups in which the socket was not asked for more
        loop.add_reader(self._socket, self._on_readable)

    def _leave_by(self, interface: str, family: int) -> None:
        # Not SO_BINDTODEVICE: that would also refuse what arrives from this machine itself, over loopback.
        index = socket.if_nametoindex(interface).to_bytes(4, "big")
        if family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, IPV6_UNICAST_IF, index)
        else:
            self._socket.setsockopt(socket.IPPROTO_IP, IP_UNICAST_IF, index)

    def _forbid_fragments(self, family: int) -> None:
        level = socket.IPPROTO_IPV6 if family == socket.AF_INET6 else socket.IPPROTO_IP
        option = IPV6_MTU_DISCOVER if family == socket.AF_INET6 else IP_MTU_DISCOVER
        self._socket.setsockopt(level, option, PMTUDISC_PROBE)

    def _enable(self, option: int, value: int) -> bool:
        if not _ANCILLARY:
            return False
        try:
            self._socket.setsockopt(SOL_UDP, option, value)
        except OSError:
            return False
        return True

    # -- reading -----------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        batch: list[Datagram] = []
        buffer, joined, early = self._buffer, self._gro, 0
        for _ in range(MAX_READS):
            if batch and self._calm and not early:
                # It is probably alone again: its answer need not wait until the kernel has said that there is no more.
                early = len(batch)
                self._answers = 0
                self._on_batch(batch)
                self._unasked += 1
                if self._closed or (self._answers and self._unasked < MAX_UNASKED):
                    return  # whoever waits for an answer has sent nothing more; if it has, the loop calls again
                self._unasked = 0
                batch = []
            ancillary: Sequence[tuple[int, int, bytes]] = ()
            try:
                if joined:
                    size, ancillary, _, source = self._socket.recvmsg_into((buffer,), _ANCILLARY)
                else:
                    size, source = self._socket.recvfrom_into(buffer)
            except BlockingIOError:
                break
            except OSError as error:  # an ICMP error about something sent earlier; the socket itself is fine
                self._count(error)
                continue
            remote = self._known.get(source) or self._know(source)
            if ancillary:
                self._split(batch, size, ancillary, remote)
            else:
                batch.append(Datagram(bytes(self._view[:size]), remote, self.address))
        self._calm = early + len(batch) == 1
        if len(batch) >= WORTH_JOINING and not self._gro_tried:
            self._gro_tried = True
            self._gro = self._enable(UDP_GRO, 1)
        if batch:
            self._on_batch(batch)

    def _know(self, source: Any) -> Address:
        if len(self._known) >= MAX_KNOWN_ADDRESSES:
            self._known.clear()
        remote = self._known[source] = Address(source[0], source[1])
        return remote

    def _split(
        self, batch: list[Datagram], size: int, ancillary: Sequence[tuple[int, int, bytes]], remote: Address
    ) -> None:
        """Take apart what the kernel has joined."""
        view, local = self._view, self.address
        segment = size
        for level, kind, value in ancillary:
            if level == SOL_UDP and kind == UDP_GRO:
                segment = _GRO_SIZE.unpack_from(value)[0]
        if segment >= size:
            batch.append(Datagram(bytes(view[:size]), remote, local))
            return
        batch.extend(
            Datagram(bytes(view[at : min(at + segment, size)]), remote, local) for at in range(0, size, segment)
        )

    # -- writing -----------------------------------------------------------------------------------------------

    def send(self, datagrams: Sequence[Datagram]) -> None:
        """Send datagrams whose `local` is this socket, in order. Never blocks; what the network refuses is counted."""
        if self._closed:
            return
        if self._waiting:
            self._queue([(d.remote, d.data) for d in datagrams])
            return
        start, end = 0, len(datagrams)
        self._answers += end
        if end == 1:  # most messages by themselves
            remote, data = datagrams[0].remote, datagrams[0].data
            if not self._send_run(remote, [data], len(data)):
                self._queue([(remote, data)])
            return
        while start < end:
            first = datagrams[start]
            remote, size = first.remote, len(first.data)
            stop, total = start + 1, size
            if self._gso:
                while stop < end and stop - start < MAX_SEGMENTS and total + size <= MAX_RUN:
                    following = datagrams[stop]
                    length = len(following.data)
                    if not 0 < length <= size or following.remote != remote:  # an empty one would vanish in a run
                        break
                    stop, total = stop + 1, total + length
                    if length < size:  # only the last one of a run may be shorter
                        break
            payloads = [d.data for d in datagrams[start:stop]]
            if not self._send_run(remote, payloads, size):
                self._queue([(d.remote, d.data) for d in datagrams[start:]])
                return
            start = stop

    def _send_run(self, remote: Address, payloads: list[bytes], size: int) -> bool:
        """Send datagrams of equal size to one address. Returns False when the socket is full."""
        target = remote[:2]  # what socket takes
        try:
            if len(payloads) == 1:
                self._socket.sendto(payloads[0], target)
            else:
                control = [(SOL_UDP, UDP_SEGMENT, _SEGMENT_SIZE.pack(size))]
                self._socket.sendmsg(payloads, control, 0, target)
        except BlockingIOError:
            return False
        except OSError as error:
            if len(payloads) > 1 and error.errno == errno.EMSGSIZE:  # a probe of the path's MTU
                return all(self._send_run(remote, [payload], len(payload)) for payload in payloads)
            if len(payloads) > 1:
                # Segmentation offload can fail on a device that the probe did not see: do without from here on.
                logger.info("UDP_SEGMENT failed on %s (%s); sending one by one", self.address, error)
                self._gso = False
                return all(self._send_run(remote, [payload], len(payload)) for payload in payloads)
            self._count(error)
        return True

    def _count(self, error: OSError) -> None:
        self.dropped[errno.errorcode.get(error.errno or 0, "os-error")] += 1

    def _queue(self, items: list[tuple[Address, bytes]]) -> None:
        if not self._waiting:
            self._loop.add_writer(self._socket, self._on_writable)
        self._waiting.extend(items)
        while len(self._waiting) > MAX_QUEUED:
            self._waiting.popleft()
            self.dropped["socket-full"] += 1

    def _on_writable(self) -> None:
        while self._waiting:
            remote, data = self._waiting[0]
            if not self._send_run(remote, [data], len(data)):
                return
            self._waiting.popleft()
        self._loop.remove_writer(self._socket)

    def close(self) -> None:
        """Close the socket; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket)
        if self._waiting:
            self._loop.remove_writer(self._socket)
            self._waiting.clear()
        self._socket.close()
