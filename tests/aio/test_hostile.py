"""Garbage from a socket of the attacker's own, at the port of a live connection."""

import asyncio
import random
import re
import socket

import pytest

from stack import EncodedVideoTrack, MediaStreamError
from stack.aio.data_channel import MAX_UNHEARD_BYTES
from tests.support.waiting import until

from .support import open_channel

pytestmark = pytest.mark.timeout(30)

MESSAGES = 200
GARBAGE_PER_MESSAGE = 50


def garbage(source):
    """A datagram that begins like one of ours, or like nothing."""
    first = source.choice([0, 1, 20, 22, 23, 64, 128, 144, 255])
    return bytes((first,)) + source.randbytes(source.choice([0, 3, 19, 60, 1200, 8000]))


async def test_messages_arrive_while_garbage_is_sprayed_at_the_port(pair):
    a, b = pair
    here, there = await open_channel(a, b)
    heard = asyncio.Queue()
    there.on("message", heard.put_nowait)
    source, loop = random.Random(1), asyncio.get_running_loop()
    dropped = [pc._machine.dropped.total() for pc in pair]
    targets = [pc._machine.transport.ice.selected_pair.local for pc in pair]
    family = socket.AF_INET6 if ":" in targets[0].host else socket.AF_INET
    slowest = 0.0
    with socket.socket(family, socket.SOCK_DGRAM) as attacker:
        attacker.setblocking(False)
        for number in range(MESSAGES):
            for _ in range(GARBAGE_PER_MESSAGE):
                for target in targets:
                    attacker.sendto(garbage(source), target[:2])
            begun = loop.time()
            here.send(str(number))
            assert await heard.get() == str(number)
            slowest = max(slowest, loop.time() - begun)
    assert slowest < 2.0
    for pc, before in zip(pair, dropped, strict=True):
        assert pc.connectionState == "connected"
        reasons = pc._machine.dropped
        assert reasons.total() - before > MESSAGES  # the kernel may drop some of them itself
        assert reasons["unvalidated-path"] > 0
        assert reasons["ice-bad-magic-cookie"] > 0


async def test_a_peer_cannot_fill_the_memory_behind_a_channel_that_nobody_listens_to(pair):
    _, there = await open_channel(*pair)
    size = MAX_UNHEARD_BYTES // 8
    for number in range(20):
        there.deliver(bytes((number,)) * size)
    assert len(there._unheard) == 8
    assert there.dropped == 12
    heard = []
    there.on("message", heard.append)
    await until(lambda: len(heard) == 8)
    assert [message[0] for message in heard] == list(range(12, 20))
    assert there._unheard_bytes == 0


@pytest.mark.parametrize("side", [0, 1])
async def test_after_the_peers_goodbye_no_source_is_read_and_no_state_says_connected(pair, side):
    await open_channel(*pair)
    here, there = pair[side], pair[1 - side]
    changes = []
    here.on("iceconnectionstatechange", lambda: changes.append(here.iceConnectionState))
    here.on("connectionstatechange", lambda: changes.append(here.connectionState))
    await there.close()
    await until(lambda: here.connectionState == "closed")
    assert here.iceConnectionState == "closed"
    assert changes == ["closed", "closed"]


async def test_a_wrong_fingerprint_is_said_aloud_and_ends_every_wait(pair):
    a, b = pair
    errors, tracks = asyncio.Queue(), asyncio.Queue()
    a.on("error", errors.put_nowait)
    a.on("track", tracks.put_nowait)
    a.addTransceiver("video")
    b.addTrack(EncodedVideoTrack())
    await a.setLocalDescription()
    await b.setRemoteDescription(a.localDescription)
    await b.setLocalDescription()
    answer = b.localDescription
    answer.sdp = re.sub(r"(a=fingerprint:sha-256 )..", r"\g<1>00", answer.sdp)
    await a.setRemoteDescription(answer)
    track = await tracks.get()
    with pytest.raises(MediaStreamError):
        await track.recv_encoded()
    assert "fingerprint" in await errors.get()
    assert a.connectionState == "failed"
    assert "fingerprint" in a.error
