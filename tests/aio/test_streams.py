"""ICE-TCP over loopback, and the frames that its connections carry."""

import asyncio
import contextlib
import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.aio import stream_connection, streams
from stack.aio.stream_connection import MAX_FRAME, MAX_QUEUED, FrameDeframer
from stack.aio.streams import MAX_CONNECTIONS_PER_LISTENER, MAX_LISTENERS
from stack.core import Address, Datagram, LocalError, ParseError

from .support import BIG_STUN, HOST, STUN

DTLS = b"\x17\xfe\xfd"


@pytest.fixture
async def pair(make_side):
    """A side that listens, one that connects, and the addresses of both."""
    passive, active = make_side(), make_side()
    return passive, active, passive.sockets.listen(HOST), active.sockets.add_active(HOST)


async def raw(address):
    return await asyncio.open_connection(*address[:2])


async def ended(reader):
    """Whether the other end closed."""
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            return await reader.read() == b""
    return True


# -- ICE-TCP ---------------------------------------------------------------------------------------------------------


async def test_datagrams_go_both_ways_with_their_boundaries(pair):
    passive, active, listener, base = pair
    assert base == (HOST, 9, "tcp")
    payloads = [STUN, b"x", DTLS, bytes(1200), bytes(MAX_FRAME)] + [b"\x80" + bytes([n]) * 1200 for n in range(100)]
    active.send(base, listener, *payloads)
    await passive.until_received(len(payloads))
    assert passive.payloads == payloads
    remote = passive.received[0].remote
    assert {(d.remote, d.local) for d in passive.received} == {(remote, listener)}
    assert remote.transport == "tcp"
    assert remote.port != 9
    passive.send(listener, remote, *payloads)
    await active.until_received(len(payloads))
    assert active.payloads == payloads
    assert {(d.remote, d.local) for d in active.received} == {(listener, base)}
    assert passive.sockets.connections == [(listener, remote)]
    assert not passive.sockets.dropped
    assert not active.sockets.dropped


async def test_ipv6(make_side):
    passive, active = make_side(), make_side()
    listener, base = passive.sockets.listen("::1"), active.sockets.add_active("::1")
    active.send(base, listener, STUN)
    await passive.until_received(1)
    passive.send(listener, passive.received[0].remote, b"back")
    await active.until_received(1)
    assert active.received == [Datagram(b"back", listener, base)]


async def test_a_batch_leaves_and_arrives_in_few_calls(pair):
    passive, active, listener, base = pair
    batches = []
    active.send(base, listener, STUN)
    await passive.until_received(1)
    original = passive._on_batch
    passive.sockets._on_batch = lambda batch: (batches.append(len(batch)), original(batch))
    active.send(base, listener, *[DTLS + bytes(1000)] * 40)
    await passive.until_received(41)
    assert len(batches) < 10


async def test_there_is_no_delay_for_small_frames(pair):
    passive, active, listener, base = pair
    active.send(base, listener, STUN)
    await passive.until_received(1)
    for side in (passive, active):
        (connection,) = side.sockets._connections.values()
        assert connection._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_the_end_of_one_side_is_reported_to_the_other_after_its_data(pair):
    passive, active, listener, base = pair
    active.send(base, listener, STUN)
    await passive.until_received(1)
    active.send(base, listener, b"last")
    active.sockets.close()
    await passive.until_closed()
    assert passive.payloads == [STUN, b"last"]
    assert passive.closed == [(listener, passive.received[0].remote)]
    assert passive.sockets.dropped == {"ended": 1}
    assert not passive.sockets.connections
    passive.send(*passive.closed[0], b"late")
    assert passive.sockets.dropped["no-connection"] == 1
    assert not active.closed


async def test_a_connection_that_is_refused(make_side):
    side = make_side()
    base = side.sockets.add_active(HOST)
    with socket.socket() as unused:
        unused.bind((HOST, 0))
        nobody = Address(HOST, unused.getsockname()[1], "tcp")
        side.send(base, nobody, STUN)
        await side.until_closed()
    assert side.closed == [(base, nobody)]
    assert side.sockets.dropped == {"ECONNREFUSED": 1}


async def test_an_address_of_another_family_is_reported_and_not_raised(make_side):
    side = make_side()
    base = side.sockets.add_active(HOST)
    side.send(base, Address("::1", 9, "tcp"), STUN)
    assert not side.closed  # never from within a call
    await side.until_closed()
    assert sum(side.sockets.dropped.values()) == 1


async def test_a_server_that_does_not_answer(make_side, monkeypatch):
    monkeypatch.setattr(stream_connection, "CONNECT_TIMEOUT", 0.1)
    with socket.socket() as full:  # nobody accepts, and the queue of two is full
        full.bind((HOST, 0))
        full.listen(0)
        others = [socket.socket() for _ in range(3)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        side = make_side()
        base = side.sockets.add_active(HOST)
        remote = Address(*full.getsockname(), "tcp")
        side.send(base, remote, STUN)
        await side.until_closed()
        for other in others:
            other.close()
    assert side.closed == [(base, remote)]
    assert side.sockets.dropped == {"connect-timeout": 1}


async def test_a_stranger_who_says_nothing_is_closed(pair, monkeypatch):
    monkeypatch.setattr(stream_connection, "FIRST_FRAME_TIMEOUT", 0.05)
    passive, _, listener, _ = pair
    reader, writer = await raw(listener)
    writer.write(b"\0")
    assert await ended(reader)
    writer.close()
    assert passive.sockets.dropped == {"no-first-frame": 1}


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (struct.pack("!H", 25) + b"\x16\xfe\xfd" + bytes(22), "no-stun-first"),
        (struct.pack("!H", 20) + bytes(20), "no-stun-first"),
        (struct.pack("!H", MAX_FRAME + 1), "frame-too-long"),
        (struct.pack("!H", 20) + STUN + b"\xff\xff", "frame-too-long"),
    ],
)
async def test_a_stranger_with_another_protocol_is_closed(pair, sent, reason):
    passive, _, listener, _ = pair
    reader, writer = await raw(listener)
    writer.write(sent)
    assert await ended(reader)
    writer.close()
    assert passive.sockets.dropped == {reason: 1}
    assert len(passive.closed) == 1


async def test_whoever_sent_a_check_may_be_silent_after_it(pair, monkeypatch):
    monkeypatch.setattr(stream_connection, "FIRST_FRAME_TIMEOUT", 0.05)
    passive, active, listener, base = pair
    active.send(base, listener, STUN)
    await passive.until_received(1)
    await asyncio.sleep(0.1)
    assert len(passive.sockets.connections) == 1


async def test_the_connections_of_a_listener_are_bounded(pair):
    passive, _, listener, _ = pair
    opened = [await raw(listener) for _ in range(MAX_CONNECTIONS_PER_LISTENER + 1)]
    assert await ended(opened[-1][0])
    assert len(passive.sockets.connections) == MAX_CONNECTIONS_PER_LISTENER
    assert passive.sockets.dropped == {"too-many-connections": 1}
    opened[0][1].close()
    await passive.until_closed()
    reader, writer = await raw(listener)  # there is room again
    writer.write(struct.pack("!H", 20) + STUN)
    await passive.until_received(1)
    for _, other in [*opened, (reader, writer)]:
        other.close()


async def test_the_connections_of_all_are_bounded(pair, monkeypatch):
    monkeypatch.setattr(streams, "MAX_CONNECTIONS", 1)
    passive, active, listener, base = pair
    active.send(base, listener, STUN)
    await passive.until_received(1)
    other = passive.sockets.listen(HOST)
    active.send(base, other, STUN)
    assert active.sockets.dropped == {"too-many-connections": 1}
    with pytest.raises(LocalError):
        active.sockets.connect_turn(HOST, other)
    reader, writer = await raw(other)
    assert await ended(reader)
    writer.close()
    assert passive.sockets.dropped == {"too-many-connections": 1}


async def test_local_addresses_are_bounded(make_side):
    sockets = make_side().sockets
    for _ in range(MAX_LISTENERS):
        sockets.listen(HOST)
    with pytest.raises(LocalError):
        sockets.listen(HOST)


async def test_a_frame_that_is_too_long_is_not_sent(pair):
    passive, active, listener, base = pair
    active.send(base, listener, STUN, bytes(MAX_FRAME + 1), b"next")
    await passive.until_received(2)
    assert passive.payloads == [STUN, b"next"]
    assert active.sockets.dropped == {"frame-too-long": 1}


@pytest.fixture
async def stuck(make_side):
    """A side whose connection is accepted but not read, and that connection."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server.bind((HOST, 0))
    server.listen()
    side = make_side()
    base, remote = side.sockets.add_active(HOST), Address(*server.getsockname(), "tcp")
    side.send(base, remote, STUN)
    accepted, _ = server.accept()
    server.close()
    await asyncio.sleep(0.01)
    yield side, base, remote, accepted
    accepted.close()


def frames_of(sock, count):
    """Read so many frames, blocking."""
    deframer, frames = FrameDeframer(), []
    sock.settimeout(5)
    while len(frames) < count:
        frames += deframer.push(sock.recv(65536))
    return frames


async def test_a_slow_connection_drops_the_oldest_live_frames_whole_and_keeps_stun(stuck):
    side, base, remote, accepted = stuck
    count = 2000
    for n in range(count):
        side.send(base, remote, DTLS + n.to_bytes(2, "big") + bytes(995), *([STUN] if n % 20 == 0 else []))
    dropped = side.sockets.dropped["stream-full"]
    assert dropped > 100
    assert side.sockets._connections[base, remote]._bytes_waiting <= MAX_QUEUED
    expected = 1 + count + count // 20 - dropped
    frames = await asyncio.get_running_loop().run_in_executor(None, frames_of, accepted, expected)
    assert len(frames) == expected
    assert frames.count(STUN) == 1 + count // 20
    numbers = [int.from_bytes(frame[3:5], "big") for frame in frames if frame != STUN]
    assert numbers == sorted(numbers)
    assert numbers[-1] == count - 1
    assert not side.closed


async def test_a_connection_that_is_stuck_with_stun_is_closed(stuck):
    side, base, remote, _ = stuck
    for _ in range(10 * MAX_QUEUED // len(BIG_STUN)):
        if not side.sockets.connections:
            break
        side.send(base, remote, BIG_STUN)
    await side.until_closed()
    assert side.sockets.dropped["stream-stuck"] == 1


async def test_disconnecting_and_removing_are_silent_here_and_heard_there(pair):
    passive, active, listener, base = pair
    active.send(base, listener, STUN)
    await passive.until_received(1)
    active.sockets.disconnect(base, listener)
    active.sockets.disconnect(base, listener)
    await passive.until_closed()
    active.send(base, listener, STUN)  # a new connection
    await passive.until_received(2)
    assert passive.received[0].remote != passive.received[1].remote
    assert passive.sockets.knows(listener)
    passive.sockets.remove(listener)
    assert not passive.sockets.knows(listener)
    await active.until_closed()
    active.sockets.remove(base)
    active.send(base, listener, STUN)
    assert active.sockets.dropped["no-connection"] == 1
    assert len(passive.closed) == len(active.closed) == 1


async def test_a_closed_one_refuses(make_side):
    side = make_side()
    base = side.sockets.add_active(HOST)
    side.sockets.close()
    side.send(base, Address(HOST, 9, "tcp"), STUN)
    assert side.sockets.dropped == {"no-connection": 1}
    for call in (
        lambda: side.sockets.listen(HOST),
        lambda: side.sockets.add_active(HOST),
        lambda: side.sockets.connect_turn(HOST, Address(HOST, 9, "tcp")),
    ):
        with pytest.raises(LocalError):
            call()


async def test_an_address_that_is_not_ours_is_an_os_error(make_side):
    sockets = make_side().sockets
    with pytest.raises(OSError, match="assign"):
        sockets.listen("192.0.2.200")
    with pytest.raises(OSError, match="assign"):
        sockets.connect_turn("192.0.2.200", Address(HOST, 9, "tcp"))


async def test_a_port_can_be_asked_for(make_side):
    sockets = make_side().sockets
    port = sockets.listen(HOST).port
    sockets.remove(Address(HOST, port, "tcp"))
    assert sockets.listen(HOST, port) == Address(HOST, port, "tcp")


async def test_without_file_descriptors_accepting_pauses(pair, monkeypatch):
    monkeypatch.setattr(streams, "ACCEPT_PAUSE", 0.05)
    passive, active, listener, base = pair
    entry = passive.sockets._listeners[listener]

    class Exhausted:
        def __init__(self, real):
            self.real = real

        def accept(self):
            raise OSError(errno.EMFILE, "too many open files")

        def __getattr__(self, name):
            return getattr(self.real, name)

    real = entry._sock
    entry._sock = Exhausted(real)
    active.send(base, listener, STUN)
    await asyncio.sleep(0.02)
    assert passive.sockets.dropped == {"EMFILE": 1}
    entry._sock = real
    await passive.until_received(1)
    assert passive.sockets.dropped == {"EMFILE": 1}


async def test_close_frees_what_waits_for_file_descriptors(pair, monkeypatch):
    passive, _, listener, _ = pair
    entry = passive.sockets._listeners[listener]
    entry._pause = asyncio.get_running_loop().call_later(60, entry._resume)
    passive.sockets.close()
    assert entry._pause.cancelled()


# -- frames ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=10), st.data())
def test_frames_survive_any_cutting(frames, data):
    wire = b"".join(struct.pack("!H", len(frame)) + frame for frame in frames)
    deframer, found = FrameDeframer(), []
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        found += deframer.push(wire[:size])
        wire = wire[size:]
    assert found == frames
    assert deframer.buffered == 0


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_noise_is_bounded_and_raises_nothing_else(pieces):
    deframer = FrameDeframer()
    for piece in pieces:
        try:
            deframer.push(piece)
        except ParseError:
            return
        assert deframer.buffered <= MAX_FRAME + 2


def test_empty_frames_are_left_out():
    assert FrameDeframer().push(b"\0\0\0\1x\0\0") == [b"x"]
