"""What the benchmarks of data channels stand on: the relay, the peer in Node, the counting of memory."""

import asyncio
import socket
import time

import pytest

from tests.bench import bench_datachannel_memory, lossy, native
from tests.bench.registry import PeerMissingError

OFFER = """v=0\r
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r
a=candidate:1 1 udp 2130706431 fe80::1 5000 typ host\r
a=candidate:2 1 UDP 2130706430 0b3e.local 5001 typ host\r
a=candidate:3 1 UDP 2130706429 10.0.0.1 5002 typ host\r
a=candidate:4 1 TCP 2130706428 10.0.0.2 9 typ host tcptype active\r
a=end-of-candidates\r
"""


def test_a_description_names_the_relay_alone():
    assert lossy.hosts(OFFER) == ["10.0.0.1"]
    told = lossy.through(OFFER, "10.0.0.1", 6000).split("\r\n")
    assert [line for line in told if line.startswith("a=candidate")] == [
        "a=candidate:1 1 udp 2130706431 10.0.0.1 6000 typ host"
    ]
    assert told[0] == "v=0"
    assert told[-2:] == ["a=end-of-candidates", ""]


async def test_the_relay_delays_and_loses_each_way():
    relay = lossy.Relay("127.0.0.1", delay=0.02, loss=0.25, seed=3)
    await relay.start()
    sides = []
    try:
        for port in relay.ports:
            side = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            side.connect(("127.0.0.1", port))
            side.settimeout(0.3)
            sides.append(side)

        def exchange(sender, receiver):
            begun = time.monotonic()
            for number in range(200):
                sender.send(bytes((number,)))
            got = []
            try:
                got.append(receiver.recv(100))
                first = time.monotonic() - begun
                while True:
                    got.append(receiver.recv(100))
            except TimeoutError:
                return got, first

        for side in sides:
            side.send(b"here I am")
        for side in sides:
            try:
                while True:
                    await asyncio.to_thread(side.recv, 100)
            except TimeoutError:
                continue
        for sender, receiver in (sides, sides[::-1]):
            got, first = await asyncio.to_thread(exchange, sender, receiver)
            assert first >= 0.02
            assert 110 < len(got) < 190
            assert got == sorted(got)
    finally:
        for side in sides:
            side.close()
        await relay.stop()
    assert relay.process.returncode == 0


def test_without_node_it_is_said_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(native.shutil, "which", lambda program: None)
    with pytest.raises(PeerMissingError, match=r"node and npm not found \(Debian"):
        native.install(tmp_path)


def test_what_is_installed_is_not_installed_again(monkeypatch, tmp_path):
    monkeypatch.setattr(native.shutil, "which", lambda program: program)
    monkeypatch.setenv("PATH", str(tmp_path))
    for packages, elsewhere in ((tmp_path / "here", tmp_path / "none"), (tmp_path / "none", tmp_path / "here")):
        (tmp_path / "here" / "node_modules" / native.NAME).mkdir(parents=True, exist_ok=True)
        assert native.install(packages, elsewhere) == tmp_path / "here"


def test_what_npm_says_is_passed_on(monkeypatch, tmp_path):
    (tmp_path / "npm").write_text("#!/bin/sh\necho no such registry >&2\nexit 1\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setattr(native.shutil, "which", lambda program: program)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(PeerMissingError, match="could not install it: no such registry"):
        native.install(tmp_path / "packages", tmp_path)


def test_memory_is_measured_per_association():
    found = bench_datachannel_memory.measure(associations=20, size=2_000_000)
    assert found["idle"] == 10
    assert 0 <= found["kb"] < 60  # what the project promises
    assert found["growth"] < 4096


def test_a_couple_carries_what_it_is_given():
    couple = bench_datachannel_memory.Couple()
    couple.transfer(300_000)
    near, far = couple.ends
    assert far.received >= 300_000
    assert near.sctp.outstanding_bytes == near.sctp.total_buffered == 0
