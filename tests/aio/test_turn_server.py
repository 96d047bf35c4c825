"""The TURN server on sockets of the loopback interface."""

import asyncio
import contextlib
import os
import socket
import ssl
import time

import pytest

from stack.aio import turn_server, turn_streams
from stack.aio.turn_check import CheckError, check_server
from stack.aio.turn_server import Listener, ListenError, TurnServer, TurnSettings, machine_hosts
from stack.core import Address, LocalError
from stack.stun import Class, Message
from stack.turn import (
    TCP,
    Allocated,
    AllocationCreated,
    ChannelBound,
    Client,
    Connected,
    ConnectionAttempted,
    PermissionCreated,
    RelayReleased,
    ServerConfiguration,
    StreamDeframer,
    frame,
    parse_uri,
    wire,
)
from tests.support.certificates import self_signed

HOST, USER, PASSWORD = "127.0.0.1", "driver", "secret"


def settings(*listeners, tls=None, **changes):
    values = {"allowed_peers": (f"{HOST}/32",), **changes}
    configuration = ServerConfiguration("example.org", (HOST,), {USER: PASSWORD}, **values)
    return TurnSettings(configuration, listeners or [Listener("udp", HOST, 0), Listener("tcp", HOST, 0)], tls)


@pytest.fixture
async def serve():
    servers = []

    async def start(*listeners, report=None, **changes):
        server = TurnServer(settings(*listeners, **changes), report)
        servers.append(server)
        await server.start()
        return server

    yield start
    for server in servers:
        await server.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path_factory.mktemp("certificate"), "localhost"))
    return context


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(0.01)


def uri(server, transport):
    found = next(listener for listener in server.addresses if listener.transport == transport)
    scheme = "turns" if transport == "tls" else "turn"
    return parse_uri(f"{scheme}:{HOST}:{found.port}?transport={'udp' if transport == 'udp' else 'tcp'}")


class StreamClient:
    """A client on a TCP connection."""

    def __init__(self, server, **changes):
        self.port = uri(server, "tcp").port
        address = Address(HOST, self.port, "tcp")
        self.client = Client(address, USER, PASSWORD, random_bytes=os.urandom, reliable=True, **changes)
        self.deframer = StreamDeframer()
        self.events = []

    async def connect(self):
        self.reader, self.writer = await asyncio.open_connection(HOST, self.port)
        self.client.start(time.monotonic())
        return self

    async def until(self, kind):
        async with asyncio.timeout(10):
            while True:
                for message in self.client.datagrams_to_send(time.monotonic()):
                    self.writer.write(frame(message))
                while (event := self.client.next_event()) is not None:
                    self.events.append(event)
                found = next((event for event in self.events if isinstance(event, kind)), None)
                if found is not None:
                    return found
                data = await self.reader.read(65536)
                assert data, self.events
                for message in self.deframer.push(data):
                    self.client.receive_datagram(message, time.monotonic())

    async def allocate(self):
        await self.connect()
        while self.client.relayed is None:
            await self.until(Allocated)
        return self

    async def bind(self, connection_id):
        """A data connection, bound."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        data = self.client.data_connection(connection_id)
        data.start(time.monotonic())
        async with asyncio.timeout(10):
            while not data.is_bound:
                for piece in data.datagrams_to_send(time.monotonic()):
                    writer.write(piece)
                data.receive_datagram(await reader.read(65536), time.monotonic())
        return reader, writer


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_there_and_back(serve, certificate, transport):
    server = await serve(Listener(transport, HOST, 0), tls=certificate)
    report = await check_server(uri(server, transport), USER, PASSWORD, insecure=True)
    assert (report.sent, report.received, report.relay_error) == (5, 5, "")
    assert report.relayed.host == HOST
    assert report.lifetime == 600
    assert server.allocations == 0  # given back


async def test_a_wrong_password(serve):
    server = await serve()
    with pytest.raises(CheckError, match="password is wrong"):
        await check_server(uri(server, "udp"), USER, "wrong")


async def test_a_certificate_that_nobody_knows(serve, certificate):
    server = await serve(Listener("tls", HOST, 0), tls=certificate)
    with pytest.raises(CheckError, match="certificate is not good"):
        await check_server(uri(server, "tls"), USER, PASSWORD)
    await until(lambda: server.dropped["tls-handshake"])
    assert server.connections == 0


async def test_a_handshake_that_does_not_come(serve, certificate, monkeypatch):
    monkeypatch.setattr(turn_streams, "HANDSHAKE_TIME", 0.1)
    server = await serve(Listener("tls", HOST, 0), tls=certificate)
    reader, writer = await asyncio.open_connection(HOST, server.addresses[0].port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    assert server.dropped["tls-handshake"] == 1


async def test_nobody_there():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    for transport in ("udp", "tcp"):
        with pytest.raises(CheckError):
            await check_server(parse_uri(f"turn:{HOST}:{port}?transport={transport}"), USER, PASSWORD)


async def test_peers_by_udp_and_a_channel(serve):
    events = []
    server = await serve(report=events.append)
    client = await StreamClient(server).allocate()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((HOST, 0))
        peer.setblocking(False)
        address = Address(*peer.getsockname())
        client.client.bind_channel(address, time.monotonic())
        await client.until(ChannelBound)
        client.client.send(b"hello", address, time.monotonic())
        client.writer.write(b"".join(map(frame, client.client.datagrams_to_send(time.monotonic()))))
        loop = asyncio.get_running_loop()
        data, source = await asyncio.wait_for(loop.sock_recvfrom(peer, 100), 5)
        assert (data, Address(*source)) == (b"hello", client.client.relayed)
        for number in range(50):  # a burst comes back as one
            peer.sendto(bytes([number]) * 7, source)
        received = []
        async with asyncio.timeout(5):
            while len(received) < 50:
                messages = client.deframer.push(await client.reader.read(65536))
                received += [wire.parse_channel_data(message)[1][0] for message in messages]
        assert received == list(range(50))
    client.writer.close()
    await until(lambda: not server.allocations)
    assert [type(event) for event in events[1:]] == [AllocationCreated, RelayReleased]


async def test_a_relay_port_that_is_taken(serve):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((HOST, 0))
        port = taken.getsockname()[1]
        server = await serve(ports=(port, port))
        with pytest.raises(CheckError, match="no room"):
            await check_server(uri(server, "udp"), USER, PASSWORD)


async def test_quotas_hold_over_transports(serve):
    server = await serve(max_allocations_per_user=1)
    await StreamClient(server).allocate()
    with pytest.raises(CheckError, match="all the allocations"):
        await check_server(uri(server, "udp"), USER, PASSWORD)


class TestTcpRelays:
    async def accepted(self, server):
        """A client, its connection to the relay, and the peer's end of it."""
        client = await StreamClient(server, requested_transport=TCP).allocate()
        client.client.create_permission(HOST, time.monotonic())
        await client.until(PermissionCreated)
        relayed = client.client.relayed
        peer = await asyncio.open_connection(*relayed[:2])
        attempt = await client.until(ConnectionAttempted)
        assert attempt.peer == Address(*peer[1].get_extra_info("sockname"), "tcp")
        return client, await client.bind(attempt.connection_id), peer

    async def test_a_peer_that_connects(self, serve):
        server = await serve(tcp_relays=True)
        held = await self.accepted(server)  # what nobody holds is closed
        (reader, writer), (peer_reader, peer_writer) = held[1:]
        peer_writer.write(b"from the peer")
        assert await asyncio.wait_for(reader.readexactly(13), 5) == b"from the peer"
        writer.write(b"to the peer")
        assert await asyncio.wait_for(peer_reader.readexactly(11), 5) == b"to the peer"
        writer.close()
        assert await asyncio.wait_for(peer_reader.read(), 5) == b""
        peer_writer.close()

    async def test_connecting_to_a_peer(self, serve):
        server = await serve(tcp_relays=True)
        got = asyncio.get_running_loop().create_future()

        async def on_peer(reader, writer):
            got.set_result(await reader.readexactly(4))
            writer.write(b"pong")
            writer.close()

        listening = await asyncio.start_server(on_peer, HOST, 0)
        client = await StreamClient(server, requested_transport=TCP).allocate()
        client.client.connect(Address(HOST, listening.sockets[0].getsockname()[1]), time.monotonic())
        connected = await client.until(Connected)
        reader, writer = await client.bind(connected.connection_id)
        writer.write(b"ping")
        assert await asyncio.wait_for(got, 5) == b"ping"
        assert await asyncio.wait_for(reader.read(), 5) == b"pong"  # and the end of it
        writer.close()
        listening.close()

    async def test_a_peer_without_permission(self, serve):
        server = await serve(tcp_relays=True)
        client = await StreamClient(server, requested_transport=TCP).allocate()
        reader, writer = await asyncio.open_connection(*client.client.relayed[:2])
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert server.dropped["no-permission"] == 1

    async def test_one_end_that_does_not_read_stops_the_other(self, serve, monkeypatch):
        monkeypatch.setattr(turn_streams, "SPLICE_BUFFER", 1000)
        server = await serve(tcp_relays=True)
        held = await self.accepted(server)  # what nobody holds is closed
        (reader, _), (_, peer_writer) = held[1:]
        total = 32 << 20
        peer_writer.write(bytes(total))
        await asyncio.sleep(0.3)
        left = peer_writer.transport.get_write_buffer_size()
        assert left > 0  # the peer is held back, instead of the server taking it all
        stream = next(stream for stream in server._streams.values() if stream.partner is not None)
        assert stream.transport.get_write_buffer_size() < 1 << 20
        count = 0
        async with asyncio.timeout(20):
            while count < total:
                count += len(await reader.read(1 << 20))
        assert count == total
        peer_writer.close()


class TestLimits:
    async def test_connections(self, serve, monkeypatch):
        monkeypatch.setattr(turn_server, "MAX_STREAMS", 2)
        server = await serve()
        await self.third_is_refused(server)

    async def test_connections_of_one_host(self, serve, monkeypatch):
        monkeypatch.setattr(turn_server, "MAX_STREAMS_PER_HOST", 2)
        server = await serve()
        await self.third_is_refused(server)

    async def third_is_refused(self, server):
        port = uri(server, "tcp").port
        connections = [await asyncio.open_connection(HOST, port) for _ in range(3)]
        ends = [asyncio.ensure_future(self.end_of(reader)) for reader, _ in connections]
        done, waiting = await asyncio.wait(ends, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(waiting)) == (1, 2)
        assert server.dropped["too-many-connections"] == 1
        for task in waiting:
            task.cancel()
        for _, writer in connections:
            writer.close()

    @staticmethod
    async def end_of(reader):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""

    async def test_idle_connections(self, serve, monkeypatch):
        monkeypatch.setattr(turn_server, "IDLE_TIME", 0.1)
        monkeypatch.setattr(turn_server, "SWEEP_INTERVAL", 0.05)
        server = await serve()
        busy = await StreamClient(server).allocate()
        reader, writer = await asyncio.open_connection(HOST, busy.port)
        assert await asyncio.wait_for(self.end_of(reader), 5) == b""
        assert server.dropped["idle-connection"] == 1
        assert server.connections == 1  # the one with an allocation stays
        writer.close()

    async def test_what_is_no_turn(self, serve):
        server = await serve()
        reader, writer = await asyncio.open_connection(HOST, uri(server, "tcp").port)
        writer.write(b"\xffGET / HTTP/1.0\r\n\r\n")
        assert await asyncio.wait_for(self.end_of(reader), 5) == b""
        assert server.dropped["stream-not-stun"] == 1
        writer.close()

    async def test_a_client_that_does_not_read(self):
        counted = {}

        class Owner:
            def count(self, reason, number=1):
                counted[reason] = counted.get(reason, 0) + number

        class FullTransport:
            waiting, written, aborted = turn_streams.MAX_WRITE_BUFFER + 1, b"", False

            def get_write_buffer_size(self):
                return self.waiting

            def write(self, data):
                self.written += data

            def abort(self):
                self.aborted = True

        stream = turn_streams.ClientStream(Owner(), None)
        stream.transport = transport = FullTransport()
        response = Message(wire.REFRESH, Class.SUCCESS, bytes(12)).serialize()
        indication = wire.relay_message(wire.DATA_INDICATION, bytes(12), Address(HOST, 1), b"x")
        stream.send([wire.channel_data(0x4000, b"live"), response, indication])
        assert transport.written == response
        assert counted == {"stream-full": 2}
        transport.waiting += turn_streams.MAX_REPLY_BUFFER + 65536
        stream.send([response])
        assert transport.aborted


class TestStarting:
    async def test_a_port_that_is_taken(self, serve):
        server = await serve()
        for listener in server.addresses:
            with pytest.raises(ListenError) as caught:
                await TurnServer(settings(listener)).start()
            assert caught.value.listener == listener

    @pytest.mark.parametrize("listeners", [[], [Listener("tls", HOST, 0)]])
    async def test_settings_that_make_no_sense(self, listeners):
        with pytest.raises(LocalError):
            TurnServer(TurnSettings(settings().configuration, listeners))

    async def test_all_addresses(self, serve):
        server = await serve(Listener("udp", "0.0.0.0", 0))
        assert {found.host for found in server.addresses} == set(machine_hosts(4))
        assert len({found.port for found in server.addresses}) == 1

    async def test_an_address_of_the_nat_in_front(self, serve):
        configuration = ServerConfiguration("example.org", ("192.0.2.77",), {USER: PASSWORD})
        server = TurnServer(TurnSettings(configuration, [Listener("udp", HOST, 0)], bind_hosts={"192.0.2.77": HOST}))
        await server.start()
        report = await check_server(uri(server, "udp"), USER, PASSWORD)
        assert (report.relayed.host, report.received) == ("192.0.2.77", 5)
        await server.close()

    async def test_closing_twice_and_quickly(self, serve):
        server = await serve()
        client = await StreamClient(server).allocate()
        begin = time.monotonic()
        await server.close()
        await server.close()
        assert time.monotonic() - begin < turn_server.CLOSE_TIME + 0.5
        assert server.connections == 0
        assert await asyncio.wait_for(client.reader.read(), 5) == b""
