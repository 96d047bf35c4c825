"""RTCDataChannel over real sockets: W3C's attributes and errors, back-pressure both ways, latest-value channels."""

import asyncio
import logging

import pytest

from stack import InvalidStateError, OperationError
from stack.aio import data_channel
from stack.aio.data_channel import MAX_UNREAD, READER_PATIENCE, SEND_HIGH_WATER, SEND_LOW_WATER
from stack.core import PeerError
from stack.peer import NotSupportedError
from tests.support.waiting import until

from .support import negotiate

pytestmark = pytest.mark.timeout(30)

CHUNK = bytes(16384)


@pytest.fixture
async def connected(pair):
    """Two connections that are up, and a function that opens a channel and returns both ends."""
    a, b = pair
    arrived = asyncio.Queue()
    b.on("datachannel", arrived.put_nowait)

    async def open_channel(label="test", **options):
        here = a.createDataChannel(label, **options)
        if a.connectionState == "new":
            await negotiate(a, b)
        there = await arrived.get()
        while here.readyState == "connecting":  # noqa: ASYNC110  what is waited for has an event, but may be over
            await asyncio.sleep(0.001)
        return here, there

    await open_channel("first")
    return a, b, open_channel


# W3C


async def test_what_opens_a_channel_is_not_in_its_buffered_amount(pair):
    """Programs begin to fill the buffer when the channel opens, and the OPEN may still wait in it."""
    a, b = pair
    channel, opened = a.createDataChannel("a name"), asyncio.Queue()
    arrived = asyncio.Queue()

    def on_open():
        opened.put_nowait(channel.bufferedAmount)
        channel.send(bytes(7))
        opened.put_nowait(channel.bufferedAmount)

    channel.on("open", on_open)
    b.on("datachannel", arrived.put_nowait)
    await negotiate(a, b)
    assert [await opened.get(), await opened.get()] == [0, 7]
    there = await arrived.get()
    assert await anext(aiter(there)) == bytes(7)


async def test_attributes(connected):
    _, _, open_channel = connected
    here, there = await open_channel("l", protocol="p", ordered=False, maxPacketLifeTime=100)
    for channel in (here, there):
        assert (channel.label, channel.protocol, channel.ordered) == ("l", "p", False)
        assert (channel.maxPacketLifeTime, channel.maxRetransmits, channel.negotiated) == (100, None, False)
        assert (channel.readyState, channel.priority, channel.binaryType) == ("open", "low", "arraybuffer")
        assert channel.error is None
    assert here.id == there.id
    assert "label='l'" in repr(here)


async def test_binary_type(connected):
    _, _, open_channel = connected
    here, _ = await open_channel()
    here.binaryType = "arraybuffer"
    with pytest.raises(NotSupportedError, match="blobs"):
        here.binaryType = "blob"
    with pytest.raises(TypeError, match="binaryType"):
        here.binaryType = "text"
    assert here.binaryType == "arraybuffer"


async def test_empty_and_largest_messages_arrive_as_they_were_sent(connected):
    _, _, open_channel = connected
    here, there = await open_channel()
    heard = asyncio.Queue()
    there.on("message", heard.put_nowait)
    sent = ["", b"", "é", b"\0", bytearray(b"ab"), memoryview(b"cd"), bytes(262144), "x" * 262144]
    for data in sent:
        here.send(data)
    assert [await heard.get() for _ in sent] == sent
    with pytest.raises(OperationError, match="262145 bytes, the peer takes 262144"):
        here.send(bytes(262145))


async def test_closing_and_close_fire_on_both_sides(connected):
    _, _, open_channel = connected
    here, there = await open_channel()
    heard = []
    closed = [asyncio.Event(), asyncio.Event()]
    for name, channel, done in (("here", here, closed[0]), ("there", there, closed[1])):
        channel.on("closing", lambda name=name: heard.append(f"{name} closing"))
        channel.on("error", lambda error, name=name: heard.append(f"{name} {error}"))
        channel.on("close", done.set)
    here.send("last words")
    here.close()
    assert here.readyState == "closing"
    with pytest.raises(InvalidStateError, match="closing, not open"):
        here.send("too late")
    for done in closed:
        await done.wait()
    assert heard == ["there closing"]
    assert (here.readyState, there.readyState) == ("closed", "closed")
    assert here.bufferedAmount == 0
    here.close()


async def test_a_failure_is_an_error_event_with_its_detail_and_then_close(connected):
    a, _, open_channel = connected
    here, _ = await open_channel()
    heard = []
    here.on("error", heard.append)
    here.on("close", lambda: heard.append("close"))
    a._machine.transport.channels.abort(a._driver.now(), PeerError("sctp", "peer-unreachable"))
    a._machine.transport._take_channel_events()
    a._driver.flush()
    error, last = heard
    assert (error.errorDetail, error.reason, str(error)) == (
        "sctp-failure",
        "peer-unreachable",
        "sctp: peer-unreachable",
    )
    assert isinstance(error, OperationError)
    assert here.error is error
    assert last == "close"


async def test_hundreds_of_channels_and_their_ids_again(connected):
    a, b, open_channel = connected
    there = {}
    done = asyncio.Event()

    def adopt(channel):
        there[channel.label] = channel
        channel.on("message", channel.send)
        if len(there) == 300:
            done.set()

    b.on("datachannel", adopt)
    echoes = asyncio.Queue()
    here = [a.createDataChannel(f"c{number}") for number in range(300)]
    for channel in here:
        channel.on("message", lambda data, channel=channel: echoes.put_nowait((channel.label, data)))
        channel.send(channel.label)  # right behind the OPEN
    await done.wait()
    assert {await echoes.get() for _ in here} == {(channel.label, channel.label) for channel in here}
    ids = {channel.id for channel in here}
    for channel in here[::2]:
        channel.close()
    for channel in here[1::2]:
        there[channel.label].close()
    await until(lambda: all(channel.readyState == "closed" for channel in (*here, *there.values())))
    again, _ = await open_channel("again")
    assert again.id in ids


# Sending with back-pressure


async def test_send_wait_bounds_the_buffer_and_loses_nothing(connected):
    _, _, open_channel = connected
    here, there = await open_channel()
    received, highest = [], 0
    there.on("message", received.append)
    for number in range(400):
        await here.send_wait(number.to_bytes(4, "big") + CHUNK)
        highest = max(highest, here.bufferedAmount)
    await here.drain(0)
    await until(lambda: len(received) == 400)
    assert [int.from_bytes(data[:4], "big") for data in received] == list(range(400))
    assert SEND_HIGH_WATER < highest <= SEND_HIGH_WATER + len(CHUNK) + 4


async def test_send_wait_below_the_limit_needs_no_turn_of_the_loop(connected):
    _, _, open_channel = connected
    here, _ = await open_channel()
    with pytest.raises(StopIteration):  # ended without waiting for anything
        here.send_wait(b"x").send(None)
    assert here.bufferedAmount == 1
    with pytest.raises(StopIteration):
        here.drain().send(None)


async def test_who_waits_goes_on_at_the_low_mark(connected):
    _, _, open_channel = connected
    here, there = await open_channel()
    there.on("message", lambda _: None)
    while here.bufferedAmount <= SEND_HIGH_WATER:
        here.send(CHUNK)
    waiting = asyncio.create_task(here.drain())
    await asyncio.sleep(0)
    assert not waiting.done()
    await waiting
    assert here.bufferedAmount <= SEND_LOW_WATER
    assert not here._drains


async def test_the_event_fires_while_others_wait_for_another_mark(connected):
    _, _, open_channel = connected
    here, there = await open_channel()
    there.on("message", lambda _: None)
    here.bufferedAmountLowThreshold = 200_000
    fired = []
    here.on("bufferedamountlow", lambda: fired.append(here.bufferedAmount))
    here.send(bytes(100_000))
    waiting = asyncio.create_task(here.drain(0))
    await asyncio.sleep(0)
    for _ in range(20):
        here.send(CHUNK)
    await waiting
    assert here.bufferedAmount == 0
    assert len(fired) == 1
    assert fired[0] <= 200_000
    await here.drain(0)


async def test_who_listens_late_hears_of_what_was_sent_before(connected):
    _, _, open_channel = connected
    here, _ = await open_channel()
    here.send(bytes(100_000))
    low = asyncio.Event()
    here.on("bufferedamountlow", low.set)
    await low.wait()
    assert here.bufferedAmount == 0


async def test_a_threshold_that_is_lowered_below_what_waits_is_one_to_fall_to(connected):
    _, _, open_channel = connected
    here, _ = await open_channel()
    fired = []
    here.bufferedAmountLowThreshold = 1_000_000
    here.on("bufferedamountlow", lambda: fired.append(here.bufferedAmount))
    here.send(bytes(100_000))
    here.bufferedAmountLowThreshold = 50_000
    await here.drain(0)
    assert len(fired) == 1
    assert fired[0] <= 50_000


@pytest.mark.parametrize("how", ["send_wait", "drain"])
async def test_who_waits_hears_that_the_channel_is_closed(connected, how):
    a, _, open_channel = connected
    here, _ = await open_channel("bulk")
    while here.bufferedAmount <= SEND_HIGH_WATER:
        here.send(CHUNK)
    waiting = asyncio.create_task(here.send_wait(CHUNK) if how == "send_wait" else here.drain())
    await asyncio.sleep(0)
    await a.close()
    with pytest.raises(InvalidStateError, match="'bulk' is closed, its buffer drains no more"):
        await waiting
    with pytest.raises(InvalidStateError, match="closed"):
        await here.drain()
    with pytest.raises(InvalidStateError, match="closed"):
        await here.send_wait(b"")


async def test_a_waiter_that_is_cancelled_leaves_nothing_behind(connected):
    _, _, open_channel = connected
    here, _ = await open_channel()
    while here.bufferedAmount <= SEND_HIGH_WATER:
        here.send(CHUNK)
    waiting = asyncio.create_task(here.drain(0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not here._drains
    await here.drain(0)


async def test_send_wait_refuses_what_send_refuses(connected):
    _, _, open_channel = connected
    here, _ = await open_channel()
    with pytest.raises(TypeError, match="int"):
        await here.send_wait(5)
    with pytest.raises(OperationError, match="the peer takes"):
        await here.send_wait(bytes(262145))
    with pytest.raises(OperationError, match="the peer takes"):
        await here.send_wait("x" * (1 << 24))
    assert here.bufferedAmount == 0


async def test_many_channels_share_the_send_buffer_of_the_association(connected):
    """Each stays below its own limit, and yet together they would overflow what the association keeps."""
    a, b, open_channel = connected
    channels = [await open_channel(str(number)) for number in range(24)]
    received = [0]

    def count(data):
        received[0] += len(data)

    for _, there in channels:
        there.on("message", count)

    async def fill(channel):
        for _ in range(5):
            await channel.send_wait(bytes(262144))

    await asyncio.gather(*(fill(here) for here, _ in channels))
    await until(lambda: received[0] == 24 * 5 * 262144)
    assert a.connectionState == b.connectionState == "connected"


# async for


async def test_reading_ends_when_the_channel_closes(connected):
    _, _, open_channel = connected
    here, there = await open_channel()
    here.send("before anybody reads")
    await until(lambda: there._unheard)

    async def read():
        return [message async for message in there]

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    here.send(b"one")
    here.send("two")
    here.close()
    assert await reading == ["before anybody reads", b"one", "two"]
    assert [message async for message in there] == []


async def test_a_failure_is_raised_behind_the_last_message(connected):
    _, b, open_channel = connected
    here, there = await open_channel()
    here.send("one")
    await until(lambda: there._unheard)
    b._machine.transport.channels.abort(b._driver.now(), PeerError("dtls", "bad-record"))
    b._machine.transport._take_channel_events()
    b._driver.flush()
    reader = aiter(there)
    assert await anext(reader) == "one"
    with pytest.raises(data_channel.RTCError, match="dtls: bad-record") as caught:
        await anext(reader)
    assert caught.value.errorDetail == "dtls-failure"


async def test_readers_share_and_listeners_take_over(connected):
    _, _, open_channel = connected
    here, there = await open_channel()
    heard, seen = [], []
    there.on("message", heard.append)
    both = asyncio.Event()

    async def read(count):
        async for message in there:
            seen.append(message)
            if len(seen) == count:
                both.set()
                break

    readers = [asyncio.create_task(read(4)) for _ in range(2)]
    await asyncio.sleep(0)
    for number in range(4):
        here.send(str(number))
    await both.wait()
    assert sorted(seen) == ["0", "1", "2", "3"]
    assert heard == []
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    await until(lambda: not there._readers)
    here.send("4")
    await until(lambda: heard == ["4"])


async def test_a_slow_reader_lets_the_peer_wait_and_loses_nothing(connected):
    _, b, open_channel = connected
    here, there = await open_channel()
    go_on = asyncio.Event()
    seen = []

    async def read():
        async for message in there:
            seen.append(int.from_bytes(message[:4], "big"))
            await go_on.wait()

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    total = 1000  # 16 MiB: more than the receiver's queue, its window and the sender's share of the buffer

    async def write():
        for number in range(total):
            await here.send_wait(number.to_bytes(4, "big") + CHUNK)
        here.close()

    writing = asyncio.create_task(write())
    await until(lambda: there._patience is not None)
    await asyncio.sleep(0.3)
    assert not writing.done()
    assert b._machine.transport._holding == {there._channel}
    # What had been received when it began to hold is all that came on top.
    assert there._unheard_bytes <= data_channel.MAX_UNREAD_BYTES + 4 * 1024 * 1024 + len(CHUNK)
    go_on.set()
    await writing
    await reading
    assert seen == list(range(total))
    assert there.dropped == 0
    assert not b._machine.transport._holding


async def test_a_reader_that_takes_nothing_loses_its_channel_and_not_the_connection(connected, monkeypatch, caplog):
    _, b, open_channel = connected
    assert READER_PATIENCE > 1
    monkeypatch.setattr(data_channel, "READER_PATIENCE", 0.1)
    here, there = await open_channel("stuck")
    other, other_there = await open_channel("other")
    heard = asyncio.Queue()
    other_there.on("message", heard.put_nowait)
    errors = []
    there.on("error", errors.append)
    stuck = asyncio.Event()

    async def read():
        async for _ in there:
            await stuck.wait()

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)

    async def write():
        while True:
            await here.send_wait(CHUNK)

    with caplog.at_level(logging.WARNING), pytest.raises(InvalidStateError):
        await write()
    other.send("still here")
    assert await heard.get() == "still here"
    await until(lambda: errors)
    assert errors[0].reason == "reader-stalled"
    assert "nobody reads" in caplog.text
    assert b.connectionState == "connected"
    stuck.set()
    with pytest.raises(data_channel.RTCError, match="reader-stalled"):
        await reading


async def test_a_reader_of_a_live_channel_loses_the_oldest(connected):
    _, b, open_channel = connected
    _, there = await open_channel(ordered=False, maxRetransmits=0)
    reader = aiter(there)
    waiting = asyncio.create_task(anext(reader))
    await asyncio.sleep(0)
    for number in range(MAX_UNREAD + 8):
        there.deliver(str(number))
    assert len(there._unheard) == MAX_UNREAD
    assert there.dropped == 8
    assert await waiting == "8"
    assert not b._machine.transport._holding
    await reader.aclose()


async def test_a_reliable_channel_holds_at_the_number_of_messages_too(connected):
    _, b, open_channel = connected
    _, there = await open_channel()
    reader = aiter(there)
    waiting = asyncio.create_task(anext(reader))
    await asyncio.sleep(0)
    for _ in range(MAX_UNREAD + 1):
        there.deliver("")
    assert b._machine.transport._holding == {there._channel}
    assert await waiting == ""
    for _ in range(MAX_UNREAD // 2 + 1):
        await anext(reader)
    assert not b._machine.transport._holding
    assert there._patience is None
    await reader.aclose()
    assert there.dropped == 0


async def test_a_connection_that_ends_while_it_is_held_delivers_what_had_come(connected):
    a, b, open_channel = connected
    here, there = await open_channel()
    seen = []
    there.on("message", seen.append)
    b._machine.transport.hold(there._channel)
    here.send("acknowledged")
    await here.drain(0)
    await asyncio.sleep(0.05)
    assert seen == []
    await a.close()
    await until(lambda: there.readyState == "closed")
    assert seen == ["acknowledged"]


# Latest-value channels


async def test_on_a_latest_value_channel_only_the_newest_waits(connected):
    _, _, open_channel = connected
    here, there = await open_channel("controls", ordered=False, maxRetransmits=0)
    assert not here.latest
    here.latest = True
    heard = []
    there.on("message", heard.append)
    for number in range(100):
        here.send(str(number))
    assert here.bufferedAmount == len("99")
    await until(lambda: heard)
    await here.drain(0)
    await asyncio.sleep(0.02)
    assert heard == ["99"]
    here.latest = False
    here.send("a")
    here.send("b")
    await until(lambda: heard == ["99", "a", "b"])
