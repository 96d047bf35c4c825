"""What programs written for aiortc do beside calling it: they are not to notice the difference."""

import asyncio

import av
import pytest

from stack import (
    AudioStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCRtpCodecCapability,
    RTCRtpSender,
    VideoStreamTrack,
)
from stack.peer import InvalidAccessError
from tests.interop.video import clip, is_the_picture

pytestmark = pytest.mark.timeout(30)

PARTS = {
    "component": 1,
    "foundation": "842163049",
    "ip": "192.0.2.7",
    "port": 46154,
    "priority": 1677729535,
    "protocol": "UDP",
    "type": "srflx",
    "relatedAddress": "10.0.0.1",
    "relatedPort": 5,
}


async def negotiate(a, b):
    await a.setLocalDescription(await a.createOffer())
    await b.setRemoteDescription(a.localDescription)
    await b.setLocalDescription(await b.createAnswer())
    await a.setRemoteDescription(b.localDescription)


@pytest.fixture
async def pair():
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        yield a, b


def test_a_connection_can_be_made_before_the_loop_runs():
    pc = RTCPeerConnection()
    pc.createDataChannel("chat")
    pc.addTrack(VideoStreamTrack())

    async def offer():
        await pc.setLocalDescription(await pc.createOffer())
        await pc.close()
        return pc.localDescription.sdp

    assert "m=application" in asyncio.run(offer())


def test_a_candidate_from_its_parts():
    candidate = RTCIceCandidate(**PARTS, sdpMid="0", sdpMLineIndex=0)
    assert candidate.candidate == (
        "candidate:842163049 1 udp 1677729535 192.0.2.7 46154 typ srflx raddr 10.0.0.1 rport 5"
    )
    assert {name: getattr(candidate, name) for name in PARTS} == PARTS | {"protocol": "udp"}
    assert (candidate.sdpMid, candidate.sdpMLineIndex, candidate.tcpType) == ("0", 0, None)


@pytest.mark.parametrize(
    ("arguments", "names"), [((1, "foundation", "192.0.2.7"), {}), ((), {"ip": "192.0.2.7"}), ((), {"bogus": 1})]
)
def test_a_candidate_from_something_else(arguments, names):
    with pytest.raises(TypeError):
        RTCIceCandidate(*arguments, **names)


def test_no_servers_may_be_said_as_none():
    assert RTCConfiguration(iceServers=None).iceServers == []


def test_policies_as_enumerations_and_as_text():
    configuration = RTCConfiguration(None, RTCIceTransportPolicy.RELAY, RTCBundlePolicy.MAX_BUNDLE)
    assert configuration == RTCConfiguration(iceTransportPolicy="relay", bundlePolicy="max-bundle")
    with pytest.raises(ValueError, match="oauth"):
        RTCIceServer("turn:example.org", credentialType="oauth")


@pytest.mark.parametrize("always", [True, False])
async def test_data_channels_may_be_negotiated_before_there_is_one(always):
    async with RTCPeerConnection(RTCConfiguration(alwaysNegotiateDataChannels=always)) as pc:
        pc.addTransceiver("audio")
        assert ("m=application" in (await pc.createOffer()).sdp) is always


async def test_replace_track_and_stop_may_be_awaited_and_need_not_be(pair):
    pc, _ = pair
    first, second, third = (AudioStreamTrack() for _ in range(3))
    sender = pc.addTrack(first)
    sender.replaceTrack(second)
    assert sender.track is second
    await sender.replaceTrack(third)
    assert sender.track is third
    with pytest.raises(TypeError, match="video"):
        sender.replaceTrack(VideoStreamTrack())
    assert sender.track is third
    await pc.getTransceivers()[0].stop()
    pc.addTransceiver("audio").stop()
    pc.addTrack(first)
    with pytest.raises(InvalidAccessError, match="already"):
        pc.addTrack(first)


async def test_codec_preferences_by_name_in_any_order_and_none_for_all(pair):
    pc, _ = pair
    capabilities = RTCRtpSender.getCapabilities("video")
    assert "H264" in {codec.name for codec in capabilities.codecs}
    assert all(extension.uri for extension in capabilities.headerExtensions)
    transceiver = pc.addTransceiver("video")
    made = RTCRtpCodecCapability(
        "video/h264",
        90000,
        parameters={"packetization-mode": "1", "profile-level-id": "42e01f", "level-asymmetry-allowed": "1"},
    )
    transceiver.setCodecPreferences([made])
    assert "VP8" not in (await pc.createOffer()).sdp
    transceiver.setCodecPreferences([])
    assert "VP8" in (await pc.createOffer()).sdp


async def test_transports_and_what_happens_to_them(pair):
    a, b = pair
    assert a.sctp is None
    channel, opened = a.createDataChannel("chat"), asyncio.Event()
    transceiver = a.addTransceiver("audio")
    sctp = a.sctp
    dtls, ice = sctp.transport, sctp.transport.transport
    assert (sctp.state, dtls.state, ice.state, ice.gatheringState) == ("connecting", "new", "new", "new")
    assert (ice.getSelectedCandidatePair(), ice.getRemoteParameters(), sctp.maxChannels) == (None, None, None)
    assert (ice.getLocalCandidates(), ice.getRemoteCandidates(), dtls.getRemoteCertificates()) == ([], [], [])
    heard = {name: [] for name in ("ice", "gathering", "dtls", "sctp")}
    ice.on("statechange", lambda: heard["ice"].append(ice.state))
    ice.on("gatheringstatechange", lambda: heard["gathering"].append(ice.gatheringState))
    dtls.on("statechange", lambda: heard["dtls"].append(dtls.state))
    sctp.on("statechange", lambda: heard["sctp"].append(sctp.state))
    channel.on("open", opened.set)
    await negotiate(a, b)
    await opened.wait()

    assert channel.transport is sctp
    assert transceiver.sender.transport is transceiver.receiver.transport is dtls
    assert (sctp.state, dtls.state, ice.role, ice.component) == ("connected", "connected", "controlling", "rtp")
    assert b.sctp.transport.iceTransport.role == "controlled"
    assert sctp.maxMessageSize >= 65536
    assert sctp.maxChannels > 0
    pair_in_use, other = ice.getSelectedCandidatePair(), b.sctp.transport.transport.getSelectedCandidatePair()
    assert pair_in_use.local.port == other.remote.port
    assert pair_in_use.local.usernameFragment == ice.getLocalParameters().usernameFragment
    assert pair_in_use.local.candidate in {one.candidate for one in ice.getLocalCandidates()}
    assert pair_in_use.remote.port in {one.port for one in ice.getRemoteCandidates()}
    assert ice.getRemoteParameters() == b.sctp.transport.transport.getLocalParameters()
    assert len(dtls.getRemoteCertificates()) == 1

    await b.close()
    while dtls.state != "closed":  # noqa: ASYNC110  the event that tells is what is being tested
        await asyncio.sleep(0.001)
    assert sctp.state == "closed"
    assert heard["gathering"][-1] == "complete"
    assert heard["ice"][-2:] in (["connected", "closed"], ["completed", "closed"], ["connected", "completed"])
    assert heard["dtls"][-1] == "closed"
    assert heard["sctp"] == ["connected", "closed"]


async def test_statistics_have_attributes(pair):
    a, b = pair
    a.addTrack(AudioStreamTrack())
    tracks = asyncio.Queue()
    b.on("track", tracks.put_nowait)
    await negotiate(a, b)
    track = await tracks.get()
    for _ in range(5):
        await track.recv()
    (receiver,) = b.getReceivers()
    for report in (await b.getStats(), await receiver.getStats(), await b.getStats(track)):
        (inbound,) = report.of_type("inbound-rtp")
        assert inbound.packetsReceived == inbound["packetsReceived"] >= 5
        with pytest.raises(AttributeError, match="inbound-rtp has no 'bogus'"):
            inbound.bogus  # noqa: B018  it is what raises
    (outbound,) = (await a.getSenders()[0].getStats()).of_type("outbound-rtp")
    assert outbound.packetsSent >= 5


@pytest.mark.parametrize("make", [AudioStreamTrack, VideoStreamTrack])
async def test_received_frames_count_from_zero(pair, make):
    a, b = pair
    a.addTrack(make())
    tracks = asyncio.Queue()
    b.on("track", tracks.put_nowait)
    await negotiate(a, b)
    track = await tracks.get()
    frames = [await track.recv() for _ in range(4)]
    assert 0 <= frames[0].time < 0.5
    assert 0.05 < frames[-1].time - frames[0].time < 1


async def drain(track):
    while True:
        await track.recv()


class Packets(VideoStreamTrack):
    """What a camera has encoded: packets made of nothing but bytes, in Annex B."""

    def __init__(self):
        super().__init__()
        self.number = 0

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        packet = av.Packet(clip("video/H264")[self.number % len(clip("video/H264"))][0])
        packet.pts, packet.time_base = pts, time_base
        self.number += 1
        return packet


async def test_a_track_may_deliver_packets(pair):
    a, b = pair
    track = Packets()
    a.addTrack(track)
    a.getTransceivers()[0].setCodecPreferences(
        [codec for codec in RTCRtpSender.getCapabilities("video").codecs if codec.name == "H264"]
    )
    tracks = asyncio.Queue()
    b.on("track", tracks.put_nowait)
    await negotiate(a, b)
    received = await tracks.get()
    pictures = [await received.recv() for _ in range(20)]
    assert all(is_the_picture(picture) for picture in pictures)
    track.enabled = False
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(drain(received), 0.5)


async def test_a_packet_without_a_time_is_refused(pair):
    a, b = pair
    errors = asyncio.Queue()
    a.on("error", errors.put_nowait)

    class Timeless(AudioStreamTrack):
        async def recv(self):
            await self.next_timestamp()
            return av.Packet(b"opus")

    a.addTrack(Timeless())
    await negotiate(a, b)
    assert "pts" in str(await errors.get())
