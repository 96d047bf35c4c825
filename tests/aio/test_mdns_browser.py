"""Chromium's names of candidates and ours: each finds the other's."""

import asyncio
import socket

import pytest

from stack.aio.interfaces import AddressPolicy, local_addresses
from stack.aio.mdns import Resolver, is_candidate_name
from tests.support.chromium import running_chromium

pytestmark = pytest.mark.browser

GATHER = """async () => {
    const found = [];
    window.connection = new RTCPeerConnection();
    connection.createDataChannel("x");
    const gathered = new Promise(done => {
        connection.onicecandidate = event => event.candidate ? found.push(event.candidate.candidate) : done();
    });
    await connection.setLocalDescription();
    await gathered;
    return found;
}"""
ANSWER = "\r\n".join(
    [
        "v=0",
        "o=- 1 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:abcd",
        "a=ice-pwd:abcdefghijklmnopqrstuvwx",
        f"a=fingerprint:sha-256 {':'.join(['AA'] * 32)}",
        "a=setup:active",
        "a=mid:0",
        "a=sctp-port:5000",
        "",
    ]
)
CHECK = """async ([answer, candidate]) => {
    await connection.setRemoteDescription({type: "answer", sdp: answer});
    await connection.addIceCandidate({candidate, sdpMid: "0"});
}"""


@pytest.fixture
async def page():
    async with running_chromium() as browser:
        yield await browser.new_page()


async def test_names_both_ways(page):
    ours = [entry.host for entry in local_addresses(AddressPolicy(families=(4,), use_loopback="never"))]
    if not ours:
        pytest.skip("no network here, and Chromium does not use loopback")
    resolver = Resolver()
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((ours[0], 0))
        try:
            names = [line.split()[4] for line in await page.evaluate(GATHER)]
            assert names
            assert all(is_candidate_name(name) for name in names)
            found = [await resolver.resolve(name) for name in names]
            assert [ours[0]] in found

            name = resolver.publish(ours[0])
            candidate = f"candidate:1 1 udp 2122260223 {name} {sock.getsockname()[1]} typ host"
            start = loop.time()
            await page.evaluate(CHECK, [ANSWER, candidate])
            async with asyncio.timeout(5):
                check, _ = await loop.sock_recvfrom(sock, 2000)
            assert check[4:8] == b"\x21\x12\xa4\x42"
            assert loop.time() - start < 1.5  # it waits for 3 s if it is not told that there is no IPv6 address
        finally:
            resolver.close()
