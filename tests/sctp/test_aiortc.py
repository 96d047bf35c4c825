"""Our association against aiortc's, in memory: another reading of the same RFCs."""

import asyncio

import pytest

from stack.core import PeerError
from stack.sctp import Association, Closed, MessageReceived, OutgoingStreamsReset, State, StreamsReset
from stack.testing import seeded_random_bytes

sctp = pytest.importorskip("aiortc.rtcsctptransport")


class Wire:
    """Stands where aiortc expects its DTLS transport."""

    state = "connected"
    _role = "client"

    def __init__(self):
        self.packets = []

    async def _send_data(self, data):
        self.packets.append(data)

    def _register_data_receiver(self, receiver):
        pass

    def _unregister_data_receiver(self, receiver):
        pass


class Theirs(sctp.RTCSctpTransport):
    def __init__(self, wire):
        super().__init__(wire)
        self.received = []

    async def _receive(self, stream_id, pp_id, data):
        self.received.append((stream_id, pp_id, data))


class Pair:
    def __init__(self, drop=()):
        self.wire = Wire()
        self.theirs = Theirs(self.wire)
        self.ours = Association(random_bytes=seeded_random_bytes(1))
        self.events = []
        self.now = 0.0
        self.drop = set(drop)  # numbers of our packets that get lost
        self.sent = 0

    async def exchange(self):
        """Carry packets until both are silent."""
        while True:
            outgoing = self.ours.datagrams_to_send(self.now)
            for packet in outgoing:
                self.sent += 1
                if self.sent not in self.drop:
                    await self.theirs._handle_data(packet)
            incoming, self.wire.packets = self.wire.packets, []
            for packet in incoming:
                self.ours.receive_datagram(packet, self.now)
            while (event := self.ours.next_event()) is not None:
                self.events.append(event)
            if not outgoing and not incoming:
                due = self.ours.next_timer()
                if due is None or due > self.now + 1:
                    return
                self.now = due
                self.ours.handle_timer(due)

    async def connect(self, *, both=True):
        await self.theirs.start(None, 5000)
        if both:
            self.ours.associate(self.now)
        await self.exchange()
        assert self.ours.state is State.ESTABLISHED
        assert self.theirs._association_state == Theirs.State.ESTABLISHED
        self.events.clear()

    async def finish(self):
        await self.theirs.stop()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


@pytest.mark.parametrize("both", [True, False])
async def test_handshake_and_messages_both_ways(both):
    pair = Pair()
    await pair.connect(both=both)
    sizes = [1, 100, 1132, 1133, 5000, 65_536, 200_000]
    for number, size in enumerate(sizes):
        pair.ours.send(number % 3, 51, bytes([number]) * size, pair.now, ordered=number % 2 == 0)
        await pair.theirs._send(number % 3, 53, bytes([number]) * size, ordered=number % 2 == 0)
        await pair.exchange()
    expected = [(number % 3, bytes([number]) * size) for number, size in enumerate(sizes)]
    assert [(stream, data) for stream, _, data in pair.theirs.received] == expected
    assert [(e.stream_id, e.data) for e in pair.events] == expected
    assert {e.ppid for e in pair.events} == {53}
    assert pair.ours.dropped.total() <= both  # the COOKIE ACK that comes second when both associate
    await pair.finish()
    await pair.exchange()
    assert pair.events[-1] == Closed(PeerError("sctp", "aborted-by-peer"))


async def test_our_losses_are_repaired():
    pair = Pair(drop=range(10, 60, 7))
    await pair.connect()
    for number in range(20):
        pair.ours.send(1, 51, bytes([number]) * 20_000, pair.now)
        await pair.exchange()
    assert [data for _, _, data in pair.theirs.received] == [bytes([n]) * 20_000 for n in range(20)]
    assert pair.ours.stats.retransmits >= 7
    await pair.finish()


async def test_messages_that_are_given_up_are_skipped():
    pair = Pair(drop=[5, 6])
    await pair.connect()
    for number in range(10):
        pair.ours.send(1, 51, b"%d" % number, pair.now, max_retransmits=0)
        await pair.exchange()
    assert pair.ours.stats.abandoned > 0
    received = [int(data) for _, _, data in pair.theirs.received]
    assert received == sorted(set(received))
    assert len(received) == 10 - pair.ours.stats.abandoned
    assert received[-1] == 9
    await pair.finish()


async def test_our_stream_reset():
    pair = Pair()
    await pair.connect()
    pair.ours.send(2, 51, b"before", pair.now)
    pair.ours.reset_streams([2], pair.now)
    await pair.exchange()
    assert pair.events == [OutgoingStreamsReset((2,), ok=True)]
    pair.ours.send(2, 51, b"after", pair.now)
    await pair.exchange()
    assert [data for _, _, data in pair.theirs.received] == [b"before", b"after"]
    await pair.finish()


async def test_their_stream_reset():
    pair = Pair()
    await pair.connect()
    await pair.theirs._send(2, 51, b"before")
    pair.theirs._reconfig_queue.append(2)
    await pair.exchange()
    await pair.theirs._transmit_reconfig()
    await pair.exchange()
    assert pair.events == [MessageReceived(2, 51, b"before"), StreamsReset((2,))]
    await pair.finish()
