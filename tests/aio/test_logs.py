"""Logs for debugging: a capture that Wireshark reads, events that `webrtc log` draws."""

import asyncio
import json
import shutil
import subprocess
import sys

import pytest

from stack import RTCConfiguration, RTCPeerConnection
from stack.aio import logs
from stack.aio.logs import PacketLog
from tests.support.waiting import until

from .support import Camera, negotiate

pytestmark = pytest.mark.timeout(60)


async def a_call(configuration):
    """A call with video and a message, with the logs of its first side."""
    async with RTCPeerConnection(configuration) as a, RTCPeerConnection() as b:
        a.addTrack(Camera())
        channel = a.createDataChannel("controls")
        heard, tracks = [], []
        b.on("track", tracks.append)
        b.on("datachannel", lambda there: there.on("message", heard.append))
        channel.on("open", lambda: channel.send("steer left"))
        await negotiate(a, b)
        await until(lambda: heard)
        await tracks[0].recv_encoded()
        await asyncio.sleep(0.1)


@pytest.mark.interop
async def test_wireshark_reads_the_packets(tmp_path):
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    path = tmp_path / "packets.pcapng"
    await a_call(RTCConfiguration(packetLog=path))
    assert path.stat().st_mode & 0o077 == 0
    fields = ["-T", "fields", "-e", "frame.protocols", "-e", "frame.packet_flags_direction", "-e", "rtp.ssrc"]
    command = ["tshark", "-r", str(path), *fields]
    said = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    assert said.stderr.count("malformed") == 0
    rows = [line.split("\t") for line in said.stdout.splitlines()]
    protocols = {name for row in rows for name in row[0].split(":")}
    assert {"rtp", "rtcp", "sctp", "stun"} <= protocols
    assert {int(row[1], 0) for row in rows} == {1, 2}
    assert b"steer left" in path.read_bytes()


def test_a_packet_log_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "MAX_PACKET_LOG", 10_000)
    log = PacketLog(tmp_path / "packets")
    for _ in range(100):
        log(True, "rtp", bytes(1000))
    size = (tmp_path / "packets").stat().st_size
    assert 10_000 < size < 12_000
    log(True, "rtp", bytes(1000))
    log.close()
    assert (tmp_path / "packets").stat().st_size == size


async def test_events_are_lines(tmp_path):
    path = tmp_path / "events.jsonl"
    await a_call(RTCConfiguration(eventLog=path))
    assert path.stat().st_mode & 0o077 == 0
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    names = [entry["event"] for entry in entries]
    assert {"local-description-set", "remote-description-set", "ice-candidate-gathered", "channel-opened"} <= set(names)
    assert len({entry["connection"] for entry in entries}) == 1
    assert [entry["time"] for entry in entries] == sorted(entry["time"] for entry in entries)
    states = [entry["state"] for entry in entries if entry["event"] == "connection-state-changed"]
    assert states[:2] == ["connecting", "connected"]
    candidate = next(entry["candidate"] for entry in entries if entry["event"] == "ice-candidate-gathered")
    assert candidate.startswith("candidate:")
    assert {"signaling", "ice", "peer", "datachannel", "rtp"} <= {entry["layer"] for entry in entries}
    command = [sys.executable, "-m", "stack.cli", "log", "show", str(path)]
    shown = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0
    assert "channel-opened" in shown.stdout
