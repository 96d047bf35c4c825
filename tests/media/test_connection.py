"""Pictures and sound through a whole connection: encoded by us, sent, received, decoded by us."""

import asyncio
import threading

import pytest

from stack import RTCPeerConnection, RTCRtpSender
from stack.media import (
    AudioEncoder,
    EncodedAudioTrack,
    EncodingTrack,
    MediaRecorder,
    MediaRelay,
    TestPatternTrack,
    ToneTrack,
)
from stack.media.patterns import read_counter
from tests.support.waiting import until

from .test_audio import loudest
from .test_files import pictures_of, resampled, sounds_of


@pytest.fixture
async def pair():
    before = threading.active_count()
    async with RTCPeerConnection() as a, RTCPeerConnection() as b:
        yield a, b
    await until(lambda: threading.active_count() <= before)


async def connect(a, b, count):
    """Negotiate; return so many remote tracks of `b` by kind."""
    tracks = {}
    b.on("track", lambda track: tracks.setdefault(track.kind, track))
    await a.setLocalDescription()
    await b.setRemoteDescription(a.localDescription)
    await b.setLocalDescription()
    await a.setRemoteDescription(b.localDescription)
    await until(lambda: len(tracks) == count)
    return tracks


def prefer(transceiver, mime):
    wanted = [codec for codec in RTCRtpSender.getCapabilities(transceiver.kind).codecs if codec.mimeType == mime]
    transceiver.setCodecPreferences(wanted)


@pytest.mark.parametrize("mime", ["video/H264", "video/VP8"])
async def test_pictures_and_sound_arrive(pair, mime):
    a, b = pair
    prefer(a.addTransceiver(TestPatternTrack(320, 240), direction="sendonly"), mime)
    a.addTrack(ToneTrack(1000))
    tracks = await connect(a, b, 2)
    async with asyncio.timeout(10):
        pictures = [await tracks["video"].recv() for _ in range(10)]
        sounds = [await tracks["audio"].recv() for _ in range(25)]
    numbers = [read_counter(picture) for picture in pictures]
    assert numbers == sorted(set(numbers))
    assert [p.pts - pictures[0].pts for p in pictures] == [(number - numbers[0]) * 3000 for number in numbers]
    assert loudest(sounds[5:]) == pytest.approx(1000, abs=15)


async def test_the_codec_changes_in_the_middle(pair):
    """W3C WebRTC section 5.4, setCodecPreferences: it counts from the next negotiation on."""
    a, b = pair
    transceiver = a.addTransceiver(TestPatternTrack(320, 240), direction="sendonly")
    prefer(transceiver, "video/VP8")
    track = (await connect(a, b, 1))["video"]
    async with asyncio.timeout(20):
        numbers = [read_counter(await track.recv()) for _ in range(10)]
        for mime in ("video/H264", "video/VP8"):
            prefer(transceiver, mime)
            await connect(a, b, 0)
            while codec_received(await b.getStats()) != mime:
                numbers.append(read_counter(await track.recv()))
            numbers += [read_counter(await track.recv()) for _ in range(10)]
    assert numbers == sorted(set(numbers))


def codec_received(report):
    inbound = next(entry for entry in report.values() if entry["type"] == "inbound-rtp")
    codec = report.get(inbound.get("codecId"))  # none while what came is no longer what was agreed
    return codec and codec["mimeType"]


async def test_one_encoder_for_two_peers_and_a_recording_without_decoding(tmp_path):
    relay, source = MediaRelay(), EncodingTrack(TestPatternTrack(320, 240))
    async with RTCPeerConnection() as a, RTCPeerConnection() as b, RTCPeerConnection() as c, RTCPeerConnection() as d:
        a.addTrack(relay.subscribe(source))
        c.addTrack(relay.subscribe(source))
        near, far = await connect(a, b, 1), await connect(c, d, 1)
        made = MediaRecorder(str(tmp_path / "received.mkv"))
        made.addTrack(near["video"])
        await made.start()
        async with asyncio.timeout(10):
            numbers = [read_counter(await far["video"].recv()) for _ in range(15)]
        await made.stop()
        assert len([t for t in threading.enumerate() if t.name.startswith("encoder-video")]) == 1
        assert near["video"]._decoder is None
    source.stop()
    assert numbers == sorted(set(numbers))
    recorded = [read_counter(picture) for picture in pictures_of(str(tmp_path / "received.mkv"))]
    assert len(recorded) >= 10
    assert recorded == sorted(set(recorded))


async def test_encoded_sound_is_recorded_at_the_other_end(pair, tmp_path):
    a, b = pair
    tone, encoder, track = ToneTrack(1000), AudioEncoder("audio/opus"), EncodedAudioTrack("audio/opus")
    a.addTrack(track)
    tracks = await connect(a, b, 1)
    made = MediaRecorder(str(tmp_path / "a.webm"))
    made.addTrack(tracks["audio"])
    await made.start()
    for _ in range(25):
        for frame in encoder.encode(await tone.recv()):
            track.push(frame)
    await asyncio.sleep(0.2)
    await made.stop()
    assert loudest(resampled(sounds_of(str(tmp_path / "a.webm")))) == pytest.approx(1000, abs=10)
