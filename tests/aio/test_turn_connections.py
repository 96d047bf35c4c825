"""Connections to TURN servers over TCP and TLS, over loopback."""

import asyncio
import contextlib
import socket
import ssl
import struct
from pathlib import Path

import pytest

from stack.aio import stream_connection
from stack.core import Address
from tests.support.certificates import self_signed

from .support import BIG_STUN, HOST, STUN

NAME = "turn.example"


@pytest.fixture(scope="module")
def credentials(tmp_path_factory):
    """PEM files of a certificate for NAME that signs itself, and of its key."""
    certificate, key = self_signed(tmp_path_factory.mktemp("tls"), NAME, HOST)
    return str(certificate), str(key)


class Server:
    """Sends back what it gets, over TCP or TLS."""

    def __init__(self):
        self.writers = []

    async def _serve(self, reader, writer):
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self, credentials=None):
        context = None
        if credentials:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*credentials)
        server = await asyncio.start_server(self._serve, HOST, ssl=context)
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # handshakes that fail on purpose
        try:
            yield Address(*server.sockets[0].getsockname(), "tcp")
        finally:
            server.close()
            for writer in self.writers:
                writer.close()
            for _ in range(3):
                await asyncio.sleep(0.01)


def channel_data(number, payload):
    return struct.pack("!HH", number, len(payload)) + payload


FRAMES = [STUN, channel_data(0x4000, bytes(1200)), channel_data(0x4001, b"12345") + bytes(3), BIG_STUN]


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_turn_messages_go_both_ways(make_side, credentials, tls):
    async with Server().running(credentials if tls else None) as server:
        side = make_side(ca_file=credentials[0])
        local = side.sockets.connect_turn(HOST, server, NAME if tls else None)
        assert local.transport == "tcp"
        assert local.port not in {0, 9}
        payloads = FRAMES * 20
        side.send(local, server, *payloads)
        await side.until_received(len(payloads))
        unpadded = [FRAMES[0], FRAMES[1], FRAMES[2][:-3], FRAMES[3]] * 20
        assert side.payloads == unpadded
        assert {(d.remote, d.local) for d in side.received} == {(server, local)}
        side.sockets.close()
        assert not side.sockets.dropped


async def test_tls_to_an_address_instead_of_a_name(make_side, credentials):
    async with Server().running(credentials) as server:
        side = make_side(ca_file=credentials[0])
        local = side.sockets.connect_turn(HOST, server, HOST)
        side.send(local, server, STUN)
        await side.until_received(1)
        assert side.payloads == [STUN]


@pytest.mark.parametrize(
    ("options", "name"), [({}, NAME), ({"ca": True}, "other.example")], ids=["unknown authority", "another name"]
)
async def test_a_certificate_that_is_not_the_servers_is_refused(make_side, credentials, options, name):
    async with Server().running(credentials) as server:
        side = make_side(ca_file=credentials[0] if options else None)
        local = side.sockets.connect_turn(HOST, server, name)
        side.send(local, server, STUN)
        await side.until_closed()
        assert side.closed == [(local, server)]
        assert side.sockets.dropped == {"certificate-refused": 1}


async def test_verification_can_be_turned_off(make_side, credentials):
    async with Server().running(credentials) as server:
        side = make_side(verify=False)
        local = side.sockets.connect_turn(HOST, server, "other.example")
        side.send(local, server, STUN)
        await side.until_received(1)
        assert side.payloads == [STUN]


async def test_a_server_without_tls(make_side):
    async with Server().running() as server:
        side = make_side()
        local = side.sockets.connect_turn(HOST, server, NAME)
        await side.until_closed()
        assert side.closed == [(local, server)]
        assert side.sockets.dropped == {"tls-failed": 1}


async def test_a_server_that_never_finishes_the_handshake(make_side, monkeypatch):
    monkeypatch.setattr(stream_connection, "CONNECT_TIMEOUT", 0.1)
    with socket.socket() as silent:
        silent.bind((HOST, 0))
        silent.listen()
        side = make_side()
        side.sockets.connect_turn(HOST, Address(*silent.getsockname(), "tcp"), NAME)
        await side.until_closed()
    assert side.sockets.dropped == {"connect-timeout": 1}


async def test_a_tls_server_that_ends(make_side, credentials):
    echo = Server()
    async with echo.running(credentials) as server:
        side = make_side(ca_file=credentials[0])
        local = side.sockets.connect_turn(HOST, server, NAME)
        side.send(local, server, STUN)
        await side.until_received(1)
        echo.writers[0].close()
        await side.until_closed()
        assert side.closed == [(local, server)]
        assert side.sockets.dropped == {"ended": 1}


async def test_a_file_of_authorities_that_is_not_there(make_side, tmp_path):
    side = make_side(ca_file=str(tmp_path / "nothing.pem"))
    with pytest.raises(OSError, match="No such file"):
        side.sockets.connect_turn(HOST, Address(HOST, 9, "tcp"), NAME)


async def test_a_server_that_sends_something_else_is_closed(make_side):
    async def babble(reader, writer):
        writer.write(b"\xffHTTP/1.1 400")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(babble, HOST)
    side = make_side()
    side.sockets.connect_turn(HOST, Address(*server.sockets[0].getsockname(), "tcp"))
    await side.until_closed()
    assert side.sockets.dropped == {"not-stun": 1}
    server.close()


async def test_what_a_relay_carries_may_be_dropped_and_its_requests_not(make_side):
    async with Server().running() as server:
        side = make_side()
        local = side.sockets.connect_turn(HOST, server)
        connection = side.sockets._connections[local, server]
        assert connection._is_live(channel_data(0x4000, b""))
        assert connection._is_live(b"\0\x16\0\0")
        assert not connection._is_live(b"\0\x03\0\0")


def descriptors():
    return set(Path("/dev/fd").iterdir())


async def test_no_descriptor_is_left_open(make_side, credentials):
    before = descriptors()
    async with Server().running(credentials) as server:
        side, other = make_side(ca_file=credentials[0]), make_side()
        local = side.sockets.connect_turn(HOST, server, NAME)
        side.send(local, server, STUN)
        side.send(side.sockets.add_active(HOST), other.sockets.listen(HOST), STUN)
        await side.until_received(1)
        await other.until_received(1)
        side.sockets.close()
        other.sockets.close()
    await asyncio.sleep(0.05)
    assert descriptors() <= before
