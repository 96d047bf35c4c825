"""Our TURN client through coturn, over loopback sockets; the server's tests are in test_turn_server.py."""

import shutil
import socket
import subprocess
import time
from os import urandom

import pytest

from stack.core import Address
from stack.turn import (
    Allocated,
    ChannelBound,
    Client,
    Closed,
    PermissionCreated,
    StreamDeframer,
    frame,
)

pytestmark = pytest.mark.interop

HOST = "127.0.0.1"
USER, PASSWORD, REALM = "driver", "secret", "example.org"


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def coturn(tmp_path_factory):
    """A turnserver that allows peers on loopback; its address."""
    program = shutil.which("turnserver")
    if program is None:
        pytest.skip("no turnserver here: on Debian, apt-get install coturn")
    folder, port = tmp_path_factory.mktemp("coturn"), free_port()
    config = folder / "turnserver.conf"
    config.write_text(
        f"listening-ip={HOST}\nrelay-ip={HOST}\nlistening-port={port}\nlt-cred-mech\nuser={USER}:{PASSWORD}\n"
        f"realm={REALM}\nallow-loopback-peers\nno-cli\nno-tls\nno-dtls\nno-tcp-relay\nlog-file=stdout\n"
        f"userdb={folder}/turndb\npidfile={folder}/turnserver.pid\nrelay-threads=1\n"
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        yield Address(HOST, port)
    finally:
        process.terminate()
        process.wait(10)


def connected(server):
    """A TCP connection to a turnserver that may be about to start."""
    for _ in range(200):
        try:
            return socket.create_connection(server[:2], timeout=5)
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("nobody listens")


class Path:
    """A client on a socket, driven by the real clock."""

    def __init__(self, server, *, password=PASSWORD, tcp=False):
        self.socket = connected(server) if tcp else socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if not tcp:
            self.socket.connect(server[:2])
        self.deframer = StreamDeframer() if tcp else None
        # The first requests may come before turnserver listens; then they are sent again soon.
        self.client = Client(server, USER, password, random_bytes=urandom, rto=0.1, reliable=tcp)
        self.events = []
        self.data = []
        self.client.start(time.monotonic())

    def send(self, message):
        try:
            self.socket.sendall(frame(message) if self.deframer else message)
        except ConnectionRefusedError:  # turnserver does not listen yet
            time.sleep(0.02)

    def receive(self):
        self.socket.settimeout(0.02)
        try:
            data = self.socket.recv(65535)
        except (TimeoutError, ConnectionRefusedError):
            return
        for message in self.deframer.push(data) if self.deframer else [data]:
            self.client.receive_datagram(message, time.monotonic())

    def run(self, until, seconds=10):
        client, end = self.client, time.monotonic() + seconds
        while not until():
            now = time.monotonic()
            assert now < end, (self.events, client.dropped)
            client.handle_timer(now)
            for message in client.datagrams_to_send(now):
                self.send(message)
            self.receive()
            while (event := client.next_event()) is not None:
                self.events.append(event)
            self.data += client.take_data()

    def until_event(self, kind):
        self.run(lambda: any(isinstance(event, kind) for event in self.events))
        return next(event for event in self.events if isinstance(event, kind))

    def until_closed(self):
        self.client.close(time.monotonic())
        closed = self.until_event(Closed)
        self.socket.close()
        return closed


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_data_goes_both_ways_in_indications_and_over_a_channel(coturn, tcp):
    path = Path(coturn, tcp=tcp)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((HOST, 0))
        peer.settimeout(10)
        address = Address(*peer.getsockname())
        allocated = path.until_event(Allocated)
        assert allocated.relayed.host == HOST
        assert allocated.mapped == Address(*path.socket.getsockname())
        path.client.create_permission(HOST, time.monotonic())
        path.until_event(PermissionCreated)
        for number, prepare in enumerate((None, lambda: path.client.bind_channel(address, time.monotonic()))):
            if prepare is not None:
                prepare()
                path.until_event(ChannelBound)
            for size in (0, 1, 4, 1200):
                path.data.clear()
                out = bytes([number]) * size
                path.client.send(out, address, time.monotonic())
                data, source = received_by(peer, path)
                assert (data, Address(*source)) == (out, allocated.relayed)
                peer.sendto(data[::-1] + b"back", source)
                path.run(lambda: path.data)
                assert path.data == [(out + b"back", address)]
    assert path.until_closed() == Closed(None)
    assert not path.client.dropped


def received_by(peer, path):
    """What arrives at the peer's socket while the client runs."""
    peer.setblocking(False)
    found = []

    def arrived():
        try:
            found.append(peer.recvfrom(65535))
        except BlockingIOError:
            return False
        return True

    path.run(arrived)
    return found[0]


def test_a_wrong_password_is_refused(coturn):
    path = Path(coturn, password="wrong")
    assert path.until_event(Closed).error.reason == "unauthorized"
    path.socket.close()
