"""Chromium and Firefox at the other end of a DTLS handshake: one data channel, its first message sent back."""

import asyncio
import contextlib
import itertools

import stack
from stack import dtls, peer
from tests.support.chromium import running_chromium
from tests.support.ending import at_most

from .firefox import firefox

NO_NAMES = "--disable-features=WebRtcHideLocalIpsWithMdns"
BROWSERS = ("chromium", "firefox")
CONNECTION = dtls.Connection  # before a test puts its own in this place
PATIENCE = 20.0  # seconds for one connection; it takes well under one

SCRIPT = """
async ({rsa, offers}) => {
    const publicExponent = new Uint8Array([1, 0, 1]);
    const kind = {name: "RSASSA-PKCS1-v1_5", modulusLength: 2048, hash: "SHA-256", publicExponent};
    const certificates = rsa ? [await RTCPeerConnection.generateCertificate(kind)] : undefined;
    const connection = window.connection = new RTCPeerConnection({certificates});
    window.gathered = async () => {
        while (connection.iceGatheringState !== "complete") {
            await new Promise(done => setTimeout(done, 5));
        }
        return connection.localDescription.toJSON();
    };
    window.heard = new Promise(done => {
        const adopt = channel => {
            channel.onmessage = event => done(event.data);
            // Chromium announces a channel as open, and may lose what is sent at once: it is said until heard.
            const greet = () => channel.readyState === "open" && channel.send("ping");
            channel.onopen = greet;
            const again = setInterval(greet, 50);
            channel.onclose = () => clearInterval(again);
        };
        connection.ondatachannel = event => adopt(event.channel);
        if (offers) {
            adopt(connection.createDataChannel("test"));
        }
    });
    if (offers) {
        connection.addTransceiver("video");
        await connection.setLocalDescription();
        return window.gathered();
    }
}
"""
ANSWER = """
async description => {
    await connection.setRemoteDescription(description);
    await connection.setLocalDescription();
    return window.gathered();
}
"""
TRANSPORT = """
async wanted => {
    while (wanted && connection.connectionState !== wanted) {
        await new Promise(done => setTimeout(done, 5));
    }
    const {dtlsState, dtlsCipher, srtpCipher, tlsVersion, dtlsRole} =
        [...(await connection.getStats()).values()].find(entry => entry.type === "transport") ?? {};
    return {dtlsState, dtlsCipher, srtpCipher, tlsVersion, dtlsRole};
}
"""


@contextlib.asynccontextmanager
async def page_of(name):
    """A page of a browser, with `evaluate(function, argument)`, and which browser it is."""
    if name == "firefox":
        async with firefox() as browser:
            yield await browser.open(), f"Firefox {browser.version}"
        return
    async with running_chromium(NO_NAMES) as browser:
        yield await browser.new_page(), f"Chromium {browser.version}"


@contextlib.asynccontextmanager
async def negotiated(page, role, *, config=None, rsa=False):
    """Our connection with a page's, where ours has a DTLS role and the handshake may begin; all within PATIENCE.

    rsa: whether the page's certificate is to be one with an RSA key.
    """
    settings = peer.Configuration(dtls=config or dtls.Config())
    ours = stack.RTCPeerConnection(machine=settings)
    ours.on("datachannel", answer_messages)
    describe = lambda: {"type": ours.localDescription.type, "sdp": ours.localDescription.sdp}  # noqa: E731
    try:
        async with asyncio.timeout(PATIENCE):
            # Whoever answers is the client, of both browsers and of this stack.
            offers = role == "client"
            offer = await page.evaluate(SCRIPT, {"rsa": rsa, "offers": offers})
            if offers:
                await ours.setRemoteDescription(stack.RTCSessionDescription(offer["sdp"], offer["type"]))
                await ours.setLocalDescription()
                await page.evaluate("async description => connection.setRemoteDescription(description)", describe())
            else:
                answer_messages(ours.createDataChannel("test"))
                ours.addTransceiver("video")
                await ours.setLocalDescription()
                answer = await page.evaluate(ANSWER, describe())
                await ours.setRemoteDescription(stack.RTCSessionDescription(answer["sdp"], answer["type"]))
            yield ours
    finally:
        await ours.close()
        await at_most(page.evaluate("async () => connection.close()"))


@contextlib.asynccontextmanager
async def connected(page, role, **options):
    """As `negotiated`, once messages went both ways: our connection, and what the page says of its transport."""
    async with negotiated(page, role, **options) as ours:
        assert await page.evaluate("async () => window.heard") == "pong"
        yield ours, await page.evaluate(TRANSPORT)


def lose(monkeypatch, number):
    """Let our connections lose one datagram of DTLS, by its number, counted from 0 both ways; return what was lost."""
    counter, found = itertools.count(), []

    def is_lost(data):
        if next(counter) == number:
            found.append(data)
        return data in found

    class Losing(CONNECTION):
        def datagrams_to_send(self, now):
            return [data for data in super().datagrams_to_send(now) if not is_lost(data)]

        def receive_datagram(self, datagram, now):
            if not is_lost(datagram):
                super().receive_datagram(datagram, now)

    monkeypatch.setattr(dtls, "Connection", Losing)
    return found


def answer_messages(channel):
    channel.on("message", lambda _: channel.send("pong"))
