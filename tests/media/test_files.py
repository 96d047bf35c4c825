"""The player and the recorder, with files that they make for each other."""

import asyncio
import io
import itertools
import threading
import time
from fractions import Fraction

import av
import numpy as np
import pytest

from stack.core import LocalError
from stack.media import (
    Decoder,
    EncodedVideoTrack,
    EncodingTrack,
    MediaPlayer,
    MediaRecorder,
    MediaStreamError,
    TestPatternTrack,
    ToneTrack,
    player,
    recorder,
)
from stack.media.patterns import read_counter
from stack.media.player import MAX_PLAYED_PICTURES
from stack.rtp import h264
from tests.support.waiting import until

from .test_audio import loudest

SIZE = (160, 120)
LENGTH = 0.7  # seconds of the files that are played
COUNT = 21  # pictures in them


def write(path, seconds=LENGTH, fps=30, video="libx264", audio="aac", keyframe_every=10, **options):
    """A file with the pattern and a tone, made without the recorder."""
    container = av.open(str(path), "w")
    streams = []
    if video:
        stream = container.add_stream(video, rate=fps, options={"tune": "zerolatency"} if video == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = keyframe_every, options.get("b_frames", 0)
        stream.codec_context.bit_rate = 300_000
        pattern = TestPatternTrack(*SIZE, fps=fps)
        pictures = ((stream, number / fps, pattern.draw(number)) for number in range(round(seconds * fps)))
        streams.append(pictures)
    if audio:
        sound = container.add_stream(audio, rate=48_000, layout="mono")
        tone = ToneTrack(1000)
        streams.append((sound, n * 0.02, tone.samples(n * 960)) for n in range(round(seconds * 50)))
    for stream, at, frame in sorted(itertools.chain(*streams), key=lambda item: item[1]):
        if isinstance(frame, av.VideoFrame):
            frame.pts, frame.time_base = round(at * fps), Fraction(1, fps)
        container.mux(stream.encode(frame))
    for stream in container.streams:
        container.mux(stream.encode(None))
    container.close()
    return str(path)


@pytest.fixture(scope="module")
def mp4(tmp_path_factory):
    return write(tmp_path_factory.mktemp("files") / "a.mp4")


@pytest.fixture(scope="module")
def webm(tmp_path_factory):
    return write(tmp_path_factory.mktemp("files") / "a.webm", video="libvpx", audio="libopus")


async def drain(track):
    found = []
    try:
        while True:
            found.append(await asyncio.wait_for(track.recv(), 5))
    except MediaStreamError:
        return found


def players():
    return [thread for thread in threading.enumerate() if thread.name == "media-player"]


# -- the player ------------------------------------------------------------------------------------------------


async def test_a_file_plays_at_the_pace_of_real_time_and_ends(mp4):
    source, ended = MediaPlayer(mp4), []
    source.video.on("ended", lambda: ended.append("video"))
    begin = time.monotonic()
    pictures, sounds = await asyncio.gather(drain(source.video), drain(source.audio))
    assert time.monotonic() - begin == pytest.approx(LENGTH, abs=0.25)
    assert [read_counter(picture) for picture in pictures] == list(range(COUNT))
    assert [picture.pts for picture in pictures[:3]] == [0, 3000, 6000]
    assert (sounds[0].format.name, sounds[0].layout.name, sounds[0].sample_rate) == ("s16", "stereo", 48_000)
    assert {sound.samples for sound in sounds} == {960}
    assert loudest(sounds) == pytest.approx(1000, abs=3)
    assert ended == ["video"]
    assert (source.video.readyState, source.audio.readyState) == ("ended", "ended")
    await until(lambda: not players())


async def test_a_loop_goes_on_in_time(tmp_path):
    path = write(tmp_path / "short.mp4", seconds=0.3)
    source = MediaPlayer(path, loop=True)
    begin = time.monotonic()

    async def take(track, count):
        return [await track.recv() for _ in range(count)]

    pictures, sounds = await asyncio.gather(take(source.video, 25), take(source.audio, 40))
    assert time.monotonic() - begin == pytest.approx(24 / 30, abs=0.25)
    assert [read_counter(picture) for picture in pictures] == [number % 9 for number in range(25)]
    steps = {round((b.pts - a.pts) / 3000) for a, b in itertools.pairwise(pictures)}
    assert steps <= {1, 2}
    assert all(b.pts > a.pts for a, b in itertools.pairwise(sounds))
    source.video.stop()
    source.audio.stop()
    await until(lambda: not players())


async def test_a_loop_of_what_cannot_be_played_again_is_refused(mp4):
    with pytest.raises(LocalError, match="seekable"):
        MediaPlayer(write_stream(mp4), format="h264", loop=True)


def write_stream(path):
    """The file's video as a bare stream, which has no duration."""
    source = av.open(path)
    annex_b = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", source.streams.video[0])
    found = b"".join(bytes(part) for packet in source.demux(video=0) for part in annex_b.filter(packet))
    return io.BytesIO(found)


async def test_a_slow_reader_loses_the_oldest_pictures_only(tmp_path):
    source = MediaPlayer(write(tmp_path / "a.mp4", seconds=1.0, audio=None))
    assert source.audio is None
    assert read_counter(await source.video.recv()) == 0
    await asyncio.sleep(0.95)
    rest = [read_counter(picture) for picture in await drain(source.video)]
    assert len(rest) == MAX_PLAYED_PICTURES
    assert rest == list(range(30 - MAX_PLAYED_PICTURES, 30))


async def test_a_slow_reader_of_encoded_frames_goes_on_with_a_keyframe(webm, monkeypatch):
    monkeypatch.setattr(player, "MAX_PLAYED_FRAMES", 12)
    source = MediaPlayer(webm, decode=False)
    source.audio.stop()
    assert (await source.video.recv()).keyframe
    await asyncio.sleep(0.6)
    frame = await source.video.recv()
    assert frame.keyframe
    assert frame.timestamp > 0
    source.video.stop()


async def test_stopping_both_tracks_ends_the_thread_and_closes_the_file(mp4):
    source = MediaPlayer(mp4)
    await source.video.recv()
    assert len(players()) == 1
    waiting = asyncio.create_task(source.audio.recv())
    source.video.stop()
    await waiting  # it plays on
    source.audio.stop()
    await until(lambda: not players())
    with pytest.raises(MediaStreamError):
        await source.audio.recv()


def test_a_player_ends_with_its_event_loop(mp4):
    async def begin():
        source = MediaPlayer(mp4, loop=True)
        await source.video.recv()
        return source

    source = asyncio.run(begin())
    source._reader._thread.join(2)
    assert not source._reader._thread.is_alive()


async def test_a_player_that_never_played_is_closed(mp4):
    source = MediaPlayer(mp4)
    source.video.stop()
    source.audio.stop()
    with pytest.raises(AssertionError, match="not open"):
        list(source._container.decode(video=0))


@pytest.mark.parametrize("mime", ["video/H264", "video/VP8"])
async def test_encoded_frames_are_passed_on_as_they_are(mp4, webm, mime):
    source = MediaPlayer(mp4 if mime == "video/H264" else webm, decode=False)
    begin = time.monotonic()
    frames = await drain(source.video)
    assert time.monotonic() - begin == pytest.approx(LENGTH, abs=0.25)
    decoder = Decoder(mime)
    assert [read_counter(picture) for frame in frames for picture in decoder.decode(frame)] == list(range(COUNT))
    assert [frame.keyframe for frame in frames] == [number % 10 == 0 for number in range(COUNT)]
    assert [frame.timestamp for frame in frames] == pytest.approx([number * 3000 for number in range(COUNT)], abs=90)
    assert abs(frames[-1].capture_time - time.monotonic()) < 0.5
    if mime == "video/H264":
        assert all(h264.is_keyframe(frame.data) == frame.keyframe for frame in frames)
        assert all(frame.data.startswith(b"\x00\x00\x00\x01") for frame in frames)
        assert source.audio is None  # AAC is nothing that a peer takes
    else:
        source.audio.stop()


async def test_opus_is_passed_on(webm):
    source = MediaPlayer(webm, decode=False)
    packets = await drain(source.audio)
    source.video.stop()
    decoder = Decoder("audio/opus")
    assert loudest([sound for packet in packets for sound in decoder.decode(packet)]) == pytest.approx(1000, abs=3)
    assert {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(packets)} <= {960, 912, 1008}
    source.audio.start("audio/opus")
    with pytest.raises(LocalError, match="setCodecPreferences"):
        source.audio.start("audio/PCMU")


async def test_a_source_that_comes_at_its_own_pace_is_not_slowed(mp4, monkeypatch):
    monkeypatch.setattr(player, "_LIVE_FORMATS", frozenset({"mp4"}))
    source = MediaPlayer(mp4)
    source.audio.stop()
    begin = time.monotonic()
    pictures = await drain(source.video)
    assert time.monotonic() - begin < 0.4
    assert 0 <= pictures[0].pts < 90_000 * 1.1
    assert read_counter(pictures[-1]) == COUNT - 1


async def test_a_damaged_file_ends_its_tracks(mp4, tmp_path):
    whole = open(mp4, "rb").read()  # noqa: PTH123, SIM115, ASYNC230  a short file
    damaged = bytearray(whole)
    rng = np.random.default_rng(1)
    middle = range(len(whole) // 3, len(whole) // 2)
    for place in middle:
        damaged[place] = rng.integers(0, 255)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(damaged)
    try:
        source = MediaPlayer(str(path))
    except av.FFmpegError:
        return
    source.audio.stop()
    assert len(await drain(source.video)) < 60
    assert source.video.readyState == "ended"


# -- the recorder ----------------------------------------------------------------------------------------------


async def record(path, *tracks, seconds=0.5, **named):
    made = MediaRecorder(str(path), **named)
    for track in tracks:
        made.addTrack(track)
    await made.start()
    await asyncio.sleep(seconds)
    await made.stop()
    return str(path)


def streams_of(path):
    with av.open(path) as container:
        return {stream.type: stream.codec_context.name for stream in container.streams}


def pictures_of(path):
    with av.open(path) as container:
        return list(container.decode(video=0))


def sounds_of(path):
    with av.open(path) as container:
        return list(container.decode(audio=0))


@pytest.mark.parametrize(
    ("suffix", "codecs"),
    [
        ("mp4", {"video": "h264", "audio": "aac"}),
        ("mkv", {"video": "h264", "audio": "opus"}),
        ("webm", {"video": "vp8", "audio": "opus"}),
    ],
)
async def test_pictures_and_sound_are_recorded_together(tmp_path, suffix, codecs):
    path = await record(tmp_path / f"a.{suffix}", TestPatternTrack(*SIZE), ToneTrack(1000), seconds=0.7)
    assert {kind: name.removeprefix("lib") for kind, name in streams_of(path).items()} == codecs
    pictures, sounds = pictures_of(path), sounds_of(path)
    numbers = [read_counter(picture) for picture in pictures]
    assert numbers == sorted(set(numbers))
    assert 15 <= len(pictures) <= 22
    first = pictures[0]
    assert (first.width, first.height) == SIZE
    # Each picture is where its number says, which is when it was made.
    times = [picture.time - first.time for picture in pictures]
    assert times == pytest.approx([(number - numbers[0]) / 30 for number in numbers], abs=0.003)
    assert loudest(resampled(sounds[2:])) == pytest.approx(1000, abs=3)
    assert abs(sounds[0].time - first.time) < 0.1
    assert sounds[-1].time == pytest.approx(pictures[-1].time, abs=0.1)


def resampled(sounds):
    resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000)
    return [part for sound in sounds for part in resampler.resample(sound)]


async def test_a_tone_as_wav(tmp_path):
    path = await record(tmp_path / "a.wav", ToneTrack(1000), seconds=0.5)
    assert streams_of(path) == {"audio": "pcm_s16le"}
    sounds = sounds_of(path)
    assert loudest(sounds) == pytest.approx(1000, abs=5)
    assert sum(sound.samples for sound in sounds) / 48_000 == pytest.approx(0.5, abs=0.1)
    with pytest.raises(LocalError, match="no video"):
        MediaRecorder(str(tmp_path / "b.wav")).addTrack(TestPatternTrack(*SIZE))


def encoded(source, mime):
    track = EncodingTrack(source)
    track.start(mime)
    return track


@pytest.mark.parametrize(
    ("suffix", "mime", "name"),
    [
        ("mp4", "video/H264", "h264"),
        ("mkv", "video/H264", "h264"),
        ("webm", "video/VP8", "vp8"),
        ("mkv", "video/VP8", "vp8"),
        ("mp4", "video/VP9", "vp9"),
        ("webm", "video/VP9", "vp9"),
        ("mp4", "video/AV1", "libdav1d"),
        ("webm", "video/AV1", "libdav1d"),
    ],
)
async def test_encoded_tracks_are_recorded_as_they_are(tmp_path, suffix, mime, name, monkeypatch):
    monkeypatch.setattr(recorder._Writer, "_open_encoder", None)  # it must not encode
    video, audio = encoded(TestPatternTrack(*SIZE), mime), encoded(ToneTrack(1000), "audio/opus")
    path = await record(tmp_path / f"a.{suffix}", video, audio, seconds=0.5)
    video.stop()
    audio.stop()
    assert streams_of(path)["video"] == name
    pictures = pictures_of(path)
    numbers = [read_counter(picture) for picture in pictures]
    assert 8 <= len(pictures) <= 16
    assert [p.time - pictures[0].time for p in pictures] == pytest.approx(
        [(number - numbers[0]) / 30 for number in numbers], abs=0.003
    )
    assert loudest(resampled(sounds_of(path)[2:])) == pytest.approx(1000, abs=5)


@pytest.mark.parametrize(("suffix", "mime", "name"), [("webm", "video/H264", "vp8"), ("mp4", "video/VP8", "h264")])
async def test_what_the_format_cannot_hold_is_encoded_again(tmp_path, suffix, mime, name):
    video, audio = encoded(TestPatternTrack(*SIZE), mime), encoded(ToneTrack(1000), "audio/PCMU")
    path = await record(tmp_path / f"a.{suffix}", video, audio, seconds=0.6)
    video.stop()
    audio.stop()
    assert streams_of(path)["video"] == name
    numbers = [read_counter(picture) for picture in pictures_of(path)]
    assert len(numbers) > 10
    assert numbers == sorted(set(numbers))
    assert loudest(resampled(sounds_of(path)[2:])) == pytest.approx(1000, abs=5)


async def test_a_recording_waits_for_a_keyframe_and_asks_for_it(tmp_path):
    source = EncodingTrack(TestPatternTrack(*SIZE, fps=60))
    source.start("video/H264")
    frames = [await source.recv() for _ in range(5)]
    source.request_keyframe()
    frames += [await source.recv() for _ in range(5)]
    source.stop()
    asked = []
    track = EncodedVideoTrack("video/H264", on_keyframe_request=lambda: asked.append(1))
    for frame in frames[1:]:
        track.push(frame)
    path = await record(tmp_path / "a.mp4", track, seconds=0.2)
    assert asked
    keyframe = next(number for number, frame in enumerate(frames) if number and frame.keyframe)
    assert len(pictures_of(path)) == len(frames) - keyframe
    assert frames[keyframe].keyframe


async def test_times_go_on_past_the_wrap(tmp_path):
    source = encoded(TestPatternTrack(*SIZE, fps=60), "video/H264")
    frames = [await source.recv() for _ in range(6)]
    source.stop()
    track = EncodedVideoTrack("video/H264")
    for frame in frames:
        frame.timestamp = (frame.timestamp + 2**32 - 4000) & 0xFFFFFFFF
        track.push(frame)
    path = await record(tmp_path / "a.mp4", track, seconds=0.2)
    times = [picture.time for picture in pictures_of(path)]
    assert times[-1] - times[0] < 1
    assert times == sorted(set(times))


async def test_a_player_into_a_recorder(mp4, tmp_path):
    source = MediaPlayer(mp4, decode=False)
    path = await record(tmp_path / "copy.mkv", source.video, seconds=LENGTH + 0.2)
    assert [read_counter(picture) for picture in pictures_of(path)] == list(range(COUNT))


async def test_a_track_that_never_begins_does_not_hold_up_the_others_for_ever(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(recorder, "START_TIMEOUT", 0.2)
    path = await record(tmp_path / "a.mkv", ToneTrack(1000), EncodedVideoTrack("video/H264"), seconds=0.5)
    assert "without video" in caplog.text
    assert sum(sound.samples for sound in sounds_of(path)) > 48_000 * 0.3


async def test_packets_that_wait_for_another_track_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "MAX_HELD_PACKETS", 5)
    made = MediaRecorder(str(tmp_path / "a.mkv"))
    tone = ToneTrack(1000)
    made.addTrack(tone)
    made.addTrack(EncodedVideoTrack("video/H264"))
    await made.start()
    await asyncio.sleep(0.4)
    assert made._writer._begun
    assert max(len(sink.held) for sink in made._writer._sinks.values()) < 5
    await made.stop()


async def test_a_recorder_ends_its_thread_and_leaves_the_tracks_alive(tmp_path):
    pattern = TestPatternTrack(*SIZE)
    made = MediaRecorder(str(tmp_path / "a.mp4"))
    made.addTrack(pattern)
    await made.start()
    await asyncio.sleep(0.2)
    with pytest.raises(LocalError, match="before"):
        made.addTrack(ToneTrack())
    await made.stop()
    await made.stop()
    with pytest.raises(LocalError, match="stopped"):
        await made.start()
    assert pattern.readyState == "live"
    await until(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("media-recorder")])


async def test_a_recorder_that_never_started_can_be_stopped(tmp_path):
    made = MediaRecorder(str(tmp_path / "a.mp4"))
    made.addTrack(TestPatternTrack(*SIZE))
    await made.stop()
    assert made._container is None


async def test_a_failure_is_logged_and_raised_at_the_end(tmp_path, caplog):
    class Unplugged(TestPatternTrack):
        async def recv(self):
            raise OSError("unplugged")

    with pytest.raises(OSError, match="unplugged"):
        await record(tmp_path / "a.mp4", Unplugged(*SIZE), seconds=0.1)
    assert "recording video has failed: unplugged" in caplog.text


async def test_an_encoded_track_must_say_what_it_is(tmp_path):
    source = encoded(TestPatternTrack(*SIZE), "video/H264")
    frame = await source.recv()
    source.stop()
    track = EncodedVideoTrack()
    frame.mime = ""
    track.push(frame)
    with pytest.raises(LocalError, match="must say what it is"):
        await record(tmp_path / "a.mp4", track, seconds=0.1)


async def test_a_file_object_is_written(tmp_path):
    made, target = None, io.BytesIO()
    made = MediaRecorder(target, format="matroska")
    made.addTrack(ToneTrack())
    await made.start()
    await asyncio.sleep(0.2)
    await made.stop()
    assert sum(frame.samples for frame in av.open(io.BytesIO(target.getvalue())).decode(audio=0)) > 4800
