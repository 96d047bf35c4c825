"""The sockets of `StunServer`, from inside."""

import asyncio
import socket

import pytest

from stack.aio import stun_server
from stack.aio.stun_server import MAX_STREAMS_PER_HOST, MAX_WRITE_BUFFER, StunServer
from stack.core import Address, LocalError
from stack.stun import BINDING, Class, Deframer, Message

ONE, TWO = "127.0.0.1", "127.0.0.2"
TRANSACTION_ID = bytes(range(12))
REQUEST = Message(BINDING, Class.REQUEST, TRANSACTION_ID).serialize()


@pytest.fixture
async def server():
    made = StunServer(Address(ONE, 0), Address(TWO, 0), rate=1e6)
    await made.start()
    yield made
    await made.close()


async def ended(reader):
    """Read until the other side ends the connection."""
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        return b""


async def test_four_addresses_on_udp_and_tcp(server):
    hosts, ports = {a.host for a in server.addresses}, {a.port for a in server.addresses}
    assert (hosts, len(ports), len(server.addresses)) == ({ONE, TWO}, 2, 4)
    for address in server.addresses:
        reader, writer = await asyncio.open_connection(*address[:2])
        writer.write(REQUEST[:7])
        await asyncio.sleep(0)
        writer.write(REQUEST[7:] + REQUEST)
        deframer, answers = Deframer(), []
        while len(answers) < 2:
            answers += deframer.push(await asyncio.wait_for(reader.read(4096), 5))
        for answer in answers:
            response = Message.parse(answer)
            assert response.xor_mapped_address[:2] == writer.get_extra_info("sockname")
            assert response.response_origin[:2] == address[:2]
            assert response.other_address not in (address, None)
        writer.close()


async def test_a_burst_comes_back_whole(server):
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.bind((ONE, 0))
        for _ in range(200):
            client.sendto(REQUEST, server.addresses[0][:2])
        for _ in range(200):
            data = await asyncio.wait_for(loop.sock_recv(client, 2048), 5)
            assert Message.parse(data).xor_mapped_address[:2] == client.getsockname()
    assert server.answered == 200


async def test_what_is_no_stun_ends_a_stream(server):
    reader, writer = await asyncio.open_connection(*server.addresses[0][:2])
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await ended(reader) == b""
    assert server.dropped == {"not-stun": 1}
    writer.close()


async def test_streams_from_one_host_are_limited(server):
    address = server.addresses[0][:2]
    kept = [await asyncio.open_connection(*address) for _ in range(MAX_STREAMS_PER_HOST)]
    reader, writer = await asyncio.open_connection(*address)
    assert await ended(reader) == b""
    assert server.dropped == {"too-many-streams": 1}
    for _, open_writer in (*kept, (reader, writer)):
        open_writer.close()
    for _ in range(100):
        await asyncio.sleep(0.01)
        if not server._streams:
            break
    assert not server._per_host
    _, again = await asyncio.open_connection(*address)
    again.write(REQUEST)
    again.close()


async def test_streams_altogether_are_limited(server, monkeypatch):
    monkeypatch.setattr(stun_server, "MAX_STREAMS", 1)
    _, kept = await asyncio.open_connection(*server.addresses[0][:2])
    reader, writer = await asyncio.open_connection(*server.addresses[0][:2])
    assert await ended(reader) == b""
    assert server.dropped == {"too-many-streams": 1}
    kept.close()
    writer.close()


async def test_who_asks_and_does_not_read_is_cut_off(server):
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, server.addresses[0][:2])
        try:
            for _ in range(20_000):
                await loop.sock_sendall(client, REQUEST * 100)
                if server.dropped["slow-reader"]:
                    break
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert server.dropped["slow-reader"] == 1
    assert MAX_WRITE_BUFFER < 1 << 20


async def test_silent_streams_are_closed(monkeypatch):
    monkeypatch.setattr(stun_server, "IDLE_TIME", 0.1)
    made = StunServer(Address(ONE, 0))
    await made.start()
    reader, writer = await asyncio.open_connection(*made.addresses[0][:2])
    assert await ended(reader) == b""
    writer.close()
    await made.close()
    await made.close()


async def test_without_tcp():
    made = StunServer(Address(ONE, 0), tcp=False)
    await made.start()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*made.addresses[0][:2])
    await made.close()


async def test_what_cannot_be_had_leaves_nothing_open():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((TWO, 0))
        port = taken.getsockname()[1]
        made = StunServer(Address(ONE, 0), Address(TWO, port))
        with pytest.raises(OSError, match="in use"):
            await made.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((ONE, port))
    with pytest.raises(LocalError):
        await StunServer(Address(ONE, 0), Address(ONE, 0)).start()
