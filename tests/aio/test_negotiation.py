"""W3C's API over real sockets: perfect negotiation, transceivers, parameters, statistics, configuration."""

import asyncio
import sys
import time

import pytest

from stack import (
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    RTCCertificate,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from tests.support.waiting import until

from .support import Camera, negotiate

pytestmark = pytest.mark.timeout(30)


class Negotiator:
    """The example of W3C WebRTC section 10.7, word for word."""

    def __init__(self, connection, *, polite):
        self.connection, self.polite = connection, polite
        self.making_offer = self.ignore_offer = False
        self.other = None
        self.errors = []
        connection.on("negotiationneeded", self.on_negotiation_needed)
        connection.on("icecandidate", self.on_candidate)

    def send(self, *, description=None, candidate=None):
        loop = asyncio.get_running_loop()
        receive = self.other.receive(description, candidate)
        loop.call_later(0.01, lambda: self.watch(loop.create_task(receive)))

    def watch(self, task):
        task.add_done_callback(lambda done: done.exception() and self.errors.append(done.exception()))

    async def on_negotiation_needed(self):
        try:
            self.making_offer = True
            await self.connection.setLocalDescription()
            self.send(description=self.connection.localDescription)
        finally:
            self.making_offer = False

    def on_candidate(self, candidate):
        self.send(candidate=candidate)

    async def receive(self, description, candidate):
        pc = self.connection
        if description is None:
            try:
                await pc.addIceCandidate(candidate)
            except InvalidStateError:
                if not self.ignore_offer:
                    raise
            return
        collision = description.type == "offer" and (self.making_offer or pc.signalingState != "stable")
        self.ignore_offer = not self.polite and collision
        if self.ignore_offer:
            return
        await pc.setRemoteDescription(description)
        if description.type == "offer":
            await pc.setLocalDescription()
            self.send(description=pc.localDescription)


async def test_perfect_negotiation_survives_offers_that_cross(pair):
    a, b = pair
    one, two = Negotiator(a, polite=True), Negotiator(b, polite=False)
    one.other, two.other = two, one
    tracks, messages = [], []
    b.on("track", tracks.append)
    a.on("datachannel", lambda channel: channel.on("message", messages.append))
    a.addTrack(Camera())
    channel = b.createDataChannel("x")
    channel.on("open", lambda: channel.send("hello"))
    await until(lambda: messages and tracks)
    await tracks[0].recv_encoded()
    await until(lambda: a.signalingState == b.signalingState == "stable")
    assert a.connectionState == b.connectionState == "connected"
    assert one.errors == two.errors == []


async def test_candidates_come_after_the_description_can_be_signalled():
    """W3C WebRTC section 4.4.1.5: the promise is resolved first."""
    async with RTCPeerConnection() as pc:
        order = []
        pc.on("icecandidate", lambda candidate: order.append("candidate" if candidate else "end"))
        pc.on("signalingstatechange", lambda: order.append(pc.signalingState))
        pc.createDataChannel("x")
        await pc.setLocalDescription()
        order.append("description")
        assert "a=candidate" in pc.localDescription.sdp
        await asyncio.sleep(0)
        assert order[:3] == ["have-local-offer", "description", "candidate"]
        assert order[-1] == "end"


async def test_rollback_and_the_descriptions_of_w3c(pair):
    a, b = pair
    assert a.canTrickleIceCandidates is None
    a.createDataChannel("x")
    states = []
    a.on("signalingstatechange", lambda: states.append(a.signalingState))
    await a.setLocalDescription()
    assert a.pendingLocalDescription.type == "offer"
    assert a.currentLocalDescription is None
    await a.setLocalDescription(RTCSessionDescription("", "rollback"))
    assert a.localDescription is None
    await negotiate(a, b)
    assert a.currentLocalDescription.type == "offer"
    assert a.currentRemoteDescription.type == "answer"
    assert a.pendingLocalDescription is a.pendingRemoteDescription is None
    assert a.canTrickleIceCandidates is True
    assert states == ["have-local-offer", "stable", "have-local-offer", "stable"]


async def test_tracks_that_are_removed_and_transceivers_that_stop(pair):
    a, b = pair
    sender = a.addTrack(Camera())
    tracks = []
    b.on("track", tracks.append)
    await negotiate(a, b)
    await tracks[0].recv_encoded()
    a.removeTrack(sender)
    assert sender.track is None
    with pytest.raises(InvalidAccessError, match="not of this connection"):
        b.removeTrack(sender)
    await negotiate(a, b)
    assert tracks[0].readyState == "ended"
    (transceiver,) = a.getTransceivers()
    assert transceiver.direction == "recvonly"
    transceiver.stop()
    await negotiate(a, b)
    await until(lambda: not b.getTransceivers())
    assert transceiver.stopped
    assert a.getTransceivers() == []


async def test_parameters_of_a_sender(pair):
    a, b = pair
    sender = a.addTransceiver(Camera()).sender
    await negotiate(a, b)
    parameters = sender.getParameters()
    assert parameters.codecs[0].mimeType == "video/VP8"
    parameters.encodings[0].maxBitrate = 123_000
    await sender.setParameters(parameters)
    assert sender.getParameters().encodings[0].maxBitrate == 123_000
    with pytest.raises(InvalidStateError, match="getParameters"):
        await sender.setParameters(parameters)
    parameters = sender.getParameters()
    parameters.encodings *= 2
    with pytest.raises(InvalidModificationError, match="encodings cannot"):
        await sender.setParameters(parameters)
    parameters = sender.getParameters()
    parameters.encodings[0].scaleResolutionDownBy = 0.5
    with pytest.raises(InvalidAccessError, match="scaleResolutionDownBy"):
        await sender.setParameters(parameters)


async def test_a_stream_that_is_not_active_sends_nothing(pair):
    a, b = pair
    sender = a.addTrack(Camera())
    tracks = []
    b.on("track", tracks.append)
    await negotiate(a, b)
    await tracks[0].recv_encoded()
    parameters = sender.getParameters()
    parameters.encodings[0].active = False
    await sender.setParameters(parameters)
    await asyncio.sleep(0.1)
    before = (await sender.getStats()).of_type("outbound-rtp")[0]["framesSent"]
    await asyncio.sleep(0.2)
    assert (await sender.getStats()).of_type("outbound-rtp")[0]["framesSent"] == before


async def test_statistics_of_the_connection_and_of_a_track(pair):
    a, b = pair
    camera = Camera()
    sender = a.addTrack(camera)
    a.createDataChannel("x")
    tracks = []
    b.on("track", tracks.append)
    await negotiate(a, b)
    await tracks[0].recv_encoded()
    report = await a.getStats()
    assert abs(report["T01"]["timestamp"] - time.time() * 1000) < 2000
    assert report["T01"]["dtlsState"] == "connected"
    assert {"transport", "candidate-pair", "data-channel", "outbound-rtp", "codec"} <= {
        e["type"] for e in report.values()
    }
    own = await a.getStats(camera)
    assert own.of_type("outbound-rtp")
    assert own.of_type("data-channel") == []
    assert {e["type"] for e in own.values()} >= {"outbound-rtp", "codec", "transport", "certificate", "media-source"}
    assert (await sender.getStats()).keys() == own.keys()
    assert (await b.getStats(tracks[0])).of_type("inbound-rtp")[0]["framesReceived"] >= 1
    with pytest.raises(InvalidAccessError, match="neither"):
        await a.getStats(tracks[0])


async def test_a_connection_explains_itself(pair):
    a, b = pair
    a.createDataChannel("x")
    assert "no offer was made" in a.explain()
    await negotiate(a, b)
    await until(lambda: a.connectionState == b.connectionState == "connected")
    assert "DTLS is connected" in a.explain()
    await a.close()
    assert a.explain().startswith("peer connection: closed")


class TestConfiguration:
    async def test_a_certificate_of_ones_own(self):
        certificate = RTCCertificate.generate()
        async with RTCPeerConnection(RTCConfiguration(certificates=[certificate])) as pc:
            pc.createDataChannel("x")
            await pc.setLocalDescription()
            assert certificate.getFingerprints()[0].value in pc.localDescription.sdp
        assert certificate.expires.timestamp() > time.time()

    async def test_certificates_that_have_expired(self, monkeypatch):
        certificate = RTCCertificate.generate(days=1)
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 10 * 86400)
        with pytest.raises(InvalidAccessError, match="expired"):
            RTCPeerConnection(RTCConfiguration(certificates=[certificate]))

    @pytest.mark.parametrize("way", ["configuration", "environment"])
    async def test_the_key_log(self, tmp_path, monkeypatch, way):
        path = tmp_path / "keys"
        configuration = RTCConfiguration(keyLog=path)
        if way == "environment":
            monkeypatch.setenv("SSLKEYLOGFILE", str(path))
            configuration = RTCConfiguration()
        async with RTCPeerConnection(configuration) as a, RTCPeerConnection() as b:
            a.createDataChannel("x")
            await negotiate(a, b)
            await until(lambda: a.connectionState == b.connectionState == "connected")
        lines = path.read_text().splitlines()
        assert len(lines) == (2 if way == "environment" else 1)
        assert all(line.startswith("CLIENT_RANDOM ") for line in lines)
        assert path.stat().st_mode & 0o077 == 0

    async def test_reports_on_packets_can_be_chosen(self):
        configuration = RTCConfiguration(packetReports=["ccfb", "transport-cc"])
        async with RTCPeerConnection(configuration) as a, RTCPeerConnection(configuration) as b:
            a.addTransceiver("audio")
            await negotiate(a, b)
            assert "a=rtcp-fb:* ack ccfb" in a.localDescription.sdp
            assert "a=rtcp-fb:111 transport-cc" in a.localDescription.sdp
            assert "a=rtcp-fb:* ack ccfb" in b.localDescription.sdp
            assert "transport-cc" not in b.localDescription.sdp
        with pytest.raises(ValueError, match="packetReports"):
            RTCConfiguration(packetReports=["remb"])

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a socket forbid fragments")
    async def test_larger_packets_are_looked_for(self):
        configuration = RTCConfiguration(pathMtu=9000)
        async with RTCPeerConnection(configuration) as a, RTCPeerConnection(configuration) as b:
            channel, heard = a.createDataChannel("x"), []
            b.on("datachannel", lambda there: there.on("message", heard.append))
            channel.on("open", lambda: channel.send(bytes(100_000)))
            await negotiate(a, b)
            await until(lambda: heard and a._machine.transport.sctp.packet_size > 1400)
            assert a._machine.transport.sctp.packet_size <= 9000
            channel.send(bytes(200_000))
            await until(lambda: len(heard) == 2)
        with pytest.raises(ValueError, match="pathMtu"):
            RTCConfiguration(pathMtu=100)

    @pytest.mark.parametrize(
        ("options", "words"),
        [({"bundlePolicy": "max"}, "bundlePolicy"), ({"rtcpMuxPolicy": "negotiate"}, "rtcpMuxPolicy")],
    )
    def test_what_makes_no_sense_is_refused(self, options, words):
        with pytest.raises(ValueError, match=words):
            RTCConfiguration(**options)
