"""UDP in batches, over loopback."""

import asyncio

import pytest

from stack.aio import udp
from stack.aio.udp import MAX_QUEUED, UdpSocket
from stack.core import Address, Datagram

LOOPBACK = "127.0.0.1"


class Inbox:
    """Collects what a socket reads."""

    def __init__(self):
        self.batches = []
        self.changed = asyncio.Event()

    def __call__(self, batch):
        self.batches.append(batch)
        self.changed.set()

    @property
    def payloads(self):
        return [datagram.data for batch in self.batches for datagram in batch]

    async def wait_for(self, count):
        async with asyncio.timeout(5):
            while len(self.payloads) < count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def pair():
    loop, inbox = asyncio.get_running_loop(), Inbox()
    sender, receiver = UdpSocket(LOOPBACK, loop, Inbox()), UdpSocket(LOOPBACK, loop, inbox)
    yield sender, receiver, inbox
    sender.close()
    receiver.close()


def reads_of(receiver, inbox):
    """A list that grows with each read of the receiver's socket: how much had been handed up by then."""
    reads, socket = [], receiver._socket

    class Watched:
        def __getattr__(self, name):
            return getattr(socket, name)

        def recvfrom_into(self, *arguments):
            reads.append(len(inbox.payloads))
            return socket.recvfrom_into(*arguments)

    receiver._socket = Watched()
    return reads


def datagrams(sender, receiver, payloads):
    return [Datagram(data, receiver.address, sender.address) for data in payloads]


SIZES = [1200] * 100 + [700] + [1200] * 3 + [50, 60, 70] + [1200, 0, 1200] + [9000] * 20


@pytest.mark.parametrize("offload", [True, False])
async def test_datagrams_keep_their_boundaries_and_order(pair, offload):
    sender, receiver, inbox = pair
    sender._gso = sender._gso and offload
    payloads = [bytes([n % 256]) * size for n, size in enumerate(SIZES)]
    sender.send(datagrams(sender, receiver, payloads))
    await inbox.wait_for(len(payloads))
    assert inbox.payloads == payloads
    assert all(d.remote == sender.address and d.local == receiver.address for b in inbox.batches for d in b)


async def test_a_batch_costs_few_wakeups(pair):
    sender, receiver, inbox = pair
    sender.send(datagrams(sender, receiver, [bytes(1200)] * 50))
    await inbox.wait_for(50)
    assert len(inbox.batches) < 10


async def test_the_kernel_is_asked_to_join_datagrams_once_there_are_some_to_join(pair, monkeypatch):
    sender, receiver, inbox = pair
    asked = []
    monkeypatch.setattr(receiver, "_enable", lambda *option: asked.append(option))
    for count in (1, udp.WORTH_JOINING - 1, udp.WORTH_JOINING, udp.WORTH_JOINING):
        before = len(inbox.payloads)
        sender.send(datagrams(sender, receiver, [bytes(1200)] * count))
        await inbox.wait_for(before + count)
        assert asked == ([(udp.UDP_GRO, 1)] if count >= udp.WORTH_JOINING else [])


async def test_a_lone_datagram_behind_a_lone_one_is_handed_up_before_the_socket_is_asked_again(pair):
    sender, receiver, inbox = pair
    asked = reads_of(receiver, inbox)
    sender._gso = receiver._gro = False
    for data in (b"a", b"b"):
        sender.send(datagrams(sender, receiver, [data]))
        await inbox.wait_for(len(inbox.payloads) + 1)
    assert asked == [0, 0, 1, 2]  # the first one waits until there is no more, the second does not
    sender.send(datagrams(sender, receiver, [b"c", b"d", b"e"]))
    await inbox.wait_for(5)
    assert [len(batch) for batch in inbox.batches] == [1, 1, 1, 2]
    sender.send(datagrams(sender, receiver, [b"f", b"g", b"h"]))
    await inbox.wait_for(8)
    assert [len(batch) for batch in inbox.batches[4:]] == [3]
    assert inbox.payloads == [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]


async def test_who_gets_an_answer_at_once_has_nothing_more_to_say_and_the_socket_is_seldom_asked(pair):
    sender, receiver, inbox = pair

    def answer(batch):
        inbox(batch)
        if answering:
            receiver.send([Datagram(d.data, d.remote, d.local) for d in batch])

    asked, answering, count = reads_of(receiver, inbox), True, 2 * udp.MAX_UNASKED + 1
    receiver._on_batch, sender._gso = answer, False
    for number in range(count):
        sender.send(datagrams(sender, receiver, [b"%d" % number]))
        await inbox.wait_for(number + 1)
    assert len(asked) - count == 1 + 2  # reads that found nothing: behind the first one, and every MAX_UNASKED wakeups
    # What comes together all the same is read together after a few wakeups.
    sender.send(datagrams(sender, receiver, [b"x"] * 40))
    await inbox.wait_for(count + 40)
    assert len(inbox.batches) - count <= udp.MAX_UNASKED + 3
    # Without an answer the socket is asked at once.
    answering = False
    for more in (1, 3):
        before = len(inbox.batches)
        sender.send(datagrams(sender, receiver, [b"y"] * more))
        await inbox.wait_for(count + 40 + more + (more > 1))
        assert len(inbox.batches) - before <= 2


async def test_a_socket_may_be_closed_by_whom_it_hands_a_lone_datagram(pair):
    sender, receiver, inbox = pair
    sender.send(datagrams(sender, receiver, [b"a"]))
    await inbox.wait_for(1)
    receiver._on_batch = lambda batch: (inbox(batch), receiver.close())
    sender.send(datagrams(sender, receiver, [b"b"]))
    await inbox.wait_for(2)
    assert receiver.dropped == {}


async def test_when_segmentation_fails_it_goes_on_without(pair, monkeypatch):
    sender, receiver, inbox = pair

    class Refusing:
        """A socket on a device without segmentation offload."""

        def __init__(self, real):
            self.real = real

        def sendmsg(self, *args):
            raise OSError(5, "Input/output error")

        def __getattr__(self, name):
            return getattr(self.real, name)

    monkeypatch.setattr(sender, "_socket", Refusing(sender._socket))
    sender._gso = True
    sender.send(datagrams(sender, receiver, [bytes(100)] * 5))
    await inbox.wait_for(5)
    assert not sender._gso


async def test_a_full_socket_queues_and_drops_the_oldest(pair, monkeypatch):
    sender, receiver, inbox = pair
    real = sender._send_run
    monkeypatch.setattr(sender, "_send_run", lambda *args: False)
    extra = 10
    payloads = [n.to_bytes(4, "big") for n in range(MAX_QUEUED + extra)]
    sender.send(datagrams(sender, receiver, payloads))
    assert sender.dropped["socket-full"] == extra
    monkeypatch.setattr(sender, "_send_run", real)
    await inbox.wait_for(MAX_QUEUED)
    assert inbox.payloads == payloads[extra:]


async def test_what_the_network_refuses_is_counted(pair):
    sender, _, _ = pair
    sender.send([Datagram(bytes(70_000), Address(LOOPBACK, 9), sender.address)])
    assert sender.dropped["EMSGSIZE"] == 1


async def test_known_addresses_are_bounded(pair, monkeypatch):
    _, receiver, _ = pair
    monkeypatch.setattr(udp, "MAX_KNOWN_ADDRESSES", 3)
    for port in range(10):
        receiver._split([], 0, (), (LOOPBACK, port + 1))
    assert len(receiver._known) <= 3


async def test_closing_is_idempotent_and_silent(pair):
    sender, receiver, inbox = pair
    sender.close()
    sender.close()
    sender.send(datagrams(sender, receiver, [b"late"]))
    await asyncio.sleep(0)
    assert inbox.payloads == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_interface_can_be_prescribed(host):
    loop, inbox = asyncio.get_running_loop(), Inbox()
    sender = UdpSocket(host, loop, Inbox(), interface="lo")
    receiver = UdpSocket(host, loop, inbox, interface="lo")
    sender.send(datagrams(sender, receiver, [b"x"]))
    await inbox.wait_for(1)
    assert inbox.payloads == [b"x"]
    sender.close()
    receiver.close()


async def test_an_interface_that_is_not_there_is_an_os_error():
    with pytest.raises(OSError, match="no interface"):
        UdpSocket(LOOPBACK, asyncio.get_running_loop(), Inbox(), interface="nothing-here")
