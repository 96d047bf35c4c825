"""Several encodings of one track: each encoded by us, sent, received; and the one that is shown decoded (RFC 8853)."""

import asyncio
import threading

import av
import pytest

from stack import (
    EncodedVideoTrack,
    InvalidModificationError,
    NotSupportedError,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpEncodingParameters,
    RTCRtpTransceiverInit,
    RTCSessionDescription,
)
from stack.media import TestPatternTrack, ToneTrack

from .test_connection import connect, prefer
from .test_encoding import until

WIDE = RTCConfiguration(bitrates=(50_000, 4_000_000, 6_000_000))
"""The path carries all encodings from the first picture on."""
PATIENCE = 10.0  # seconds until encoders are open and pictures there


def encodings(*scales):
    return [RTCRtpEncodingParameters(rid=f"r{scale}", scaleResolutionDownBy=scale) for scale in scales]


def two_sizes():
    return RTCRtpTransceiverInit("sendonly", sendEncodings=encodings(1, 4))


@pytest.fixture
async def pair():
    before = threading.active_count()
    async with RTCPeerConnection(WIDE) as a, RTCPeerConnection(WIDE) as b:
        yield a, b
    await until(lambda: threading.active_count() <= before)


async def streams(pc, kind):
    return {entry.get("rid"): entry for entry in (await pc.getStats()).of_type(kind)}


def received_frames(pc):
    """How many encodings have come."""
    inbound = [entry for entry in pc.statistics().values() if entry["type"] == "inbound-rtp"]
    return sum(entry["framesReceived"] > 0 for entry in inbound)


async def shown(track, size):
    """Wait for a picture so wide."""
    async with asyncio.timeout(PATIENCE):
        while (await track.recv()).width != size:
            pass


def encoders():
    return [thread for thread in threading.enumerate() if thread.name.startswith("encoder-video")]


@pytest.mark.parametrize("mime", ["video/VP8", "video/H264"])
async def test_each_size_has_its_encoder_and_the_best_is_shown(pair, mime):
    a, b = pair
    transceiver = a.addTransceiver(TestPatternTrack(320, 240), two_sizes())
    prefer(transceiver, mime)
    track = (await connect(a, b, 1))["video"]
    await shown(track, 320)
    await until(lambda: received_frames(b) == 2)
    sent, received = await streams(a, "outbound-rtp"), await streams(b, "inbound-rtp")
    assert list(sent) == list(received) == ["r1", "r4"]
    assert [(entry["frameWidth"], entry["frameHeight"]) for entry in sent.values()] == [(320, 240), (80, 60)]
    assert [entry["encodingIndex"] for entry in sent.values()] == [0, 1]
    assert [(entry["frameWidth"], entry["frameHeight"]) for entry in received.values()] == [(320, 240), (80, 60)]
    assert len(encoders()) == 2
    of_sender = await transceiver.sender.getStats()
    assert len(of_sender.of_type("outbound-rtp")) == 2


async def test_parameters_of_each(pair):
    a, b = pair
    sender = a.addTransceiver(TestPatternTrack(320, 240), two_sizes()).sender
    track = (await connect(a, b, 1))["video"]
    await shown(track, 320)
    parameters = sender.getParameters()
    assert [one.rid for one in parameters.encodings] == ["r1", "r4"]
    parameters.encodings[0].active = False
    parameters.encodings[1].scaleResolutionDownBy = 2
    parameters.encodings[1].maxBitrate = 100_000
    await sender.setParameters(parameters)
    await shown(track, 160)
    sent = await streams(a, "outbound-rtp")
    assert (sent["r1"]["active"], sent["r1"]["targetBitrate"]) == (False, 0)
    assert (sent["r4"]["active"], sent["r4"]["targetBitrate"]) == (True, 100_000)
    await asyncio.sleep(0.3)
    assert (await streams(a, "outbound-rtp"))["r1"]["framesSent"] == sent["r1"]["framesSent"]
    parameters = sender.getParameters()
    assert [one.active for one in parameters.encodings] == [False, True]
    parameters.encodings[0].active = True
    await sender.setParameters(parameters)
    await shown(track, 320)
    parameters = sender.getParameters()
    parameters.encodings.reverse()
    with pytest.raises(InvalidModificationError, match="read only"):
        await sender.setParameters(parameters)


async def test_a_peer_that_wants_one(pair):
    a, b = pair
    sender = a.addTransceiver(TestPatternTrack(320, 240), two_sizes()).sender
    tracks = []
    b.on("track", tracks.append)
    await a.setLocalDescription()
    lines = a.localDescription.sdp.splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith(("a=rid:", "a=simulcast:")))
    await b.setRemoteDescription(RTCSessionDescription(text, "offer"))
    await b.setLocalDescription()
    await a.setRemoteDescription(b.localDescription)
    assert [one.rid for one in sender.getParameters().encodings] == ["r1"]
    await shown(tracks[0], 320)
    assert len(encoders()) == 1


async def test_a_server_that_asks_for_several(pair):
    a, b = pair
    sender = a.addTrack(TestPatternTrack(320, 240))
    b.addTransceiver("video", "recvonly")
    await b.setLocalDescription()
    text = b.localDescription.sdp + "a=rid:l recv\r\na=rid:h recv\r\na=simulcast:recv l;h\r\n"
    await a.setRemoteDescription(RTCSessionDescription(text, "offer"))
    assert [(one.rid, one.scaleResolutionDownBy) for one in sender.getParameters().encodings] == [("l", 2), ("h", 1)]
    await a.setLocalDescription()
    await b.setRemoteDescription(a.localDescription)
    await until(lambda: len(encoders()) == 2)
    await until(lambda: all(e.get("framesSent") for e in a.statistics().values() if e["type"] == "outbound-rtp"))


async def test_another_track_in_all_sizes_and_none(pair):
    a, b = pair
    sender = a.addTransceiver("video", two_sizes()).sender
    track = (await connect(a, b, 1))["video"]
    await sender.replaceTrack(TestPatternTrack(320, 240))
    await shown(track, 320)
    sender.replaceTrack(TestPatternTrack(160, 120))
    await shown(track, 160)
    sender.replaceTrack(None)
    await until(lambda: not encoders())


async def test_a_track_that_is_not_enabled_is_black_in_all_sizes(pair):
    a, b = pair
    source = TestPatternTrack(320, 240)
    a.addTransceiver(source, two_sizes())
    track = (await connect(a, b, 1))["video"]
    source.enabled = False
    async with asyncio.timeout(PATIENCE):
        while (await track.recv()).to_ndarray(format="gray").max() > 40:
            pass


async def test_what_is_encoded_already_has_one_size(pair):
    a, b = pair
    with pytest.raises(NotSupportedError, match="cannot be 2 encodings"):
        a.addTransceiver(EncodedVideoTrack(), two_sizes())
    assert a.getTransceivers() == []
    sender = a.addTransceiver("video", two_sizes()).sender
    with pytest.raises(NotSupportedError, match="cannot be 2 encodings"):
        sender.replaceTrack(EncodedVideoTrack())
    assert sender.track is None
    b.addTransceiver("video", "recvonly")
    await b.setLocalDescription()
    text = b.localDescription.sdp + "a=rid:l recv\r\na=rid:h recv\r\na=simulcast:recv l;h\r\n"
    async with RTCPeerConnection() as other:
        await other.setRemoteDescription(RTCSessionDescription(text, "offer"))
        sender = other.addTrack(EncodedVideoTrack())
        await other.setLocalDescription()
        assert "a=simulcast" not in other.localDescription.sdp
        assert len(sender.getParameters().encodings) == 1


async def test_default_sizes(pair):
    a, _ = pair

    def scales(kind, *given):
        made = a.addTransceiver(kind, sendEncodings=given)
        return [(one.rid, one.scaleResolutionDownBy) for one in made.sender.getParameters().encodings]

    q, h, f = (RTCRtpEncodingParameters(rid=rid) for rid in "qhf")
    assert scales("video", q, h, f) == [("q", 4), ("h", 2), ("f", 1)]
    assert scales("video", q, RTCRtpEncodingParameters(rid="h", scaleResolutionDownBy=3)) == [("q", 1), ("h", 3)]
    assert scales("video", q) == [(None, 1)]
    assert scales("audio", q, h) == [(None, 1)]


async def test_sound_beside_it(pair):
    a, b = pair
    a.addTransceiver(TestPatternTrack(320, 240), two_sizes())
    a.addTrack(ToneTrack(1000))
    tracks = await connect(a, b, 2)
    async with asyncio.timeout(PATIENCE):
        await tracks["audio"].recv()
    await shown(tracks["video"], 320)


class Broken(TestPatternTrack):
    """A track that delivers something else, or fails."""

    def __init__(self, what):
        super().__init__(320, 240)
        self.what = what

    async def recv(self):
        await asyncio.sleep(0.01)
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


@pytest.mark.parametrize(
    ("what", "error"), [(ValueError("no camera"), ValueError), (av.Packet(b"x"), NotSupportedError)]
)
async def test_what_a_track_fails_with_is_heard_once(pair, what, error):
    a, b = pair
    heard = []
    a.on("error", heard.append)
    a.addTransceiver(Broken(what), two_sizes())
    await connect(a, b, 1)
    await until(lambda: heard)
    await asyncio.sleep(0.05)
    assert [type(one) for one in heard] == [error]


async def test_a_track_that_ends(pair):
    a, b = pair
    source = TestPatternTrack(320, 240)
    a.addTransceiver(source, two_sizes())
    track = (await connect(a, b, 1))["video"]
    await shown(track, 320)
    source.stop()
    await until(lambda: not encoders())
