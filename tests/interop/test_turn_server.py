"""Our TURN server against coturn's client, and coturn's server against our client and our check, by every transport."""

import asyncio
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest

from stack.aio.turn_check import CheckError, check_server
from stack.aio.turn_server import Listener, TurnServer, TurnSettings
from stack.core import Address
from stack.turn import TCP, Allocated, Client, Connected, ServerConfiguration, StreamDeframer, frame, parse_uri
from tests.support.certificates import self_signed

pytestmark = pytest.mark.interop

HOST, USER, PASSWORD, REALM = "127.0.0.1", "driver", "secret", "example.org"


def program(name):
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} here: on Debian, apt-get install coturn")
    return found


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Files of a certificate and its key."""
    return self_signed(tmp_path_factory.mktemp("certificate"), "localhost")


@pytest.fixture
async def ours(certificate):
    """Our server on free ports; port by transport."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    configuration = ServerConfiguration(
        REALM, (HOST,), {USER: PASSWORD}, allowed_peers=(f"{HOST}/32",), tcp_relays=True
    )
    server = TurnServer(
        TurnSettings(configuration, [Listener(transport, HOST, 0) for transport in ("udp", "tcp", "tls")], context)
    )
    await server.start()
    yield {listener.transport: listener.port for listener in server.addresses}
    await server.close()


@pytest.mark.parametrize(
    ("transport", "options", "messages"),
    [
        ("udp", "", 40),  # channels, and pairs of ports
        ("udp", "-s", 40),
        ("udp", "-X -c", 20),
        ("tcp", "-t -c", 20),
        ("tls", "-t -S -c", 20),
        ("tcp", "-T", 20),  # RFC 6062
        ("tls", "-T -S", 20),
    ],
)
async def test_coturns_client(ours, transport, options, messages):
    command = [program("turnutils_uclient"), *options.split(), "-y", "-n", "10", "-m", "2", "-z", "5"]
    command += ["-u", USER, "-w", PASSWORD, "-L", HOST, "-p", str(ours[transport]), HOST]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    except TimeoutError:
        process.kill()
        raise
    text = output.decode(errors="replace")
    counts = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", text)
    assert counts, text
    assert tuple(map(int, counts[-1])) == (messages, messages), text
    assert process.returncode == 0


@pytest.fixture(scope="module")
def coturn(tmp_path_factory, certificate):
    """A turnserver with TLS that relays TCP too; port by transport."""
    folder = tmp_path_factory.mktemp("coturn")
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            ports.append(probe.getsockname()[1])
    config = folder / "turnserver.conf"
    config.write_text(
        f"listening-ip={HOST}\nrelay-ip={HOST}\nlistening-port={ports[0]}\ntls-listening-port={ports[1]}\n"
        f"lt-cred-mech\nuser={USER}:{PASSWORD}\nrealm={REALM}\nallow-loopback-peers\nno-cli\nno-dtls\n"
        f"cert={certificate[0]}\npkey={certificate[1]}\nlog-file=stdout\nuserdb={folder}/turndb\n"
        f"pidfile={folder}/turnserver.pid\nrelay-threads=1\n"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program("turnserver"), "-c", config], stdout=log, stderr=subprocess.STDOUT, cwd=folder
        )
    try:
        for port in ports:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex((HOST, port)) == 0:
                        break
                time.sleep(0.05)
            else:
                pytest.fail((folder / "log").read_text()[-2000:])
        yield {"udp": ports[0], "tcp": ports[0], "tls": ports[1]}
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_our_check_of_coturn(coturn, transport):
    scheme, name = ("turns", "tcp") if transport == "tls" else ("turn", transport)
    uri = parse_uri(f"{scheme}:{HOST}:{coturn[transport]}?transport={name}")
    report = await check_server(uri, USER, PASSWORD, insecure=True)
    assert (report.received, report.relay_error) == (5, "")
    assert report.relayed.host == HOST
    with pytest.raises(CheckError, match="password is wrong"):
        await check_server(uri, USER, "wrong", insecure=True)


async def test_a_peers_connection_through_coturn(coturn):
    """RFC 6062: allocate, connect, bind, and bytes both ways."""
    server = Address(HOST, coturn["tcp"], "tcp")
    reader, writer = await asyncio.open_connection(*server[:2])
    client = Client(server, USER, PASSWORD, random_bytes=os.urandom, reliable=True, requested_transport=TCP)
    deframer, events = StreamDeframer(), []

    async def on_peer(peer_reader, peer_writer):
        peer_writer.write((await peer_reader.readexactly(5))[::-1])
        peer_writer.close()

    async def until(kind):
        while not any(isinstance(event, kind) for event in events):
            for message in client.datagrams_to_send(time.monotonic()):
                writer.write(frame(message))
            for message in deframer.push(await asyncio.wait_for(reader.read(65536), 10)):
                client.receive_datagram(message, time.monotonic())
            while (event := client.next_event()) is not None:
                events.append(event)
        return events[-1]

    peer = await asyncio.start_server(on_peer, HOST, 0)
    client.start(time.monotonic())
    assert isinstance(await until(Allocated), Allocated)
    client.create_permission(HOST, time.monotonic())
    client.connect(Address(*peer.sockets[0].getsockname()), time.monotonic())
    connected = await until(Connected)
    data_reader, data_writer = await asyncio.open_connection(*server[:2])
    data = client.data_connection(connected.connection_id)
    data.start(time.monotonic())
    while not data.is_bound:
        for piece in data.datagrams_to_send(time.monotonic()):
            data_writer.write(piece)
        data.receive_datagram(await asyncio.wait_for(data_reader.read(65536), 10), time.monotonic())
    data_writer.write(b"hello")
    assert data.take_data() + await asyncio.wait_for(data_reader.readexactly(5), 10) == b"olleh"
    for each in (writer, data_writer, peer):
        each.close()


def test_the_command(tmp_path):
    """`serve` and `check` as two processes, the secrets in files; Ctrl-C ends it cleanly."""
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    turn = [sys.executable, "-c", "from stack.cli.turn import app; app()"]
    listen = ["serve", "--listen", f"{HOST}:0", "--user", f"me:@{secret}", "--json"]
    with subprocess.Popen([*turn, *listen], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        try:
            line = serving.stdout.readline()
            uri = re.search(rf"turn:{HOST}:\d+\?transport=tcp", line)[0]
            check = [*turn, "check", uri, "--user", "me", "--password", f"@{secret}", "--json"]
            checked = subprocess.run(check, capture_output=True, text=True, timeout=30, check=False)
            assert '"received": 5' in checked.stdout, checked.stderr
            assert checked.returncode == 0
            serving.send_signal(signal.SIGINT)
            output, errors = serving.communicate(timeout=10)
        finally:
            serving.kill()
    assert '"event": "stopped"' in output
    assert errors == ""
    assert serving.returncode == 130  # Ctrl-C
