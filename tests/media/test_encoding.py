"""A track of pictures or samples as an encoded one: on a thread, live, and gone when it is stopped."""

import asyncio
import threading
import time
from fractions import Fraction

import av
import pytest

from stack.core import LocalError
from stack.media import (
    Decoder,
    EncodedFrame,
    EncodingTrack,
    MediaStreamError,
    MediaStreamTrack,
    TestPatternTrack,
    ToneTrack,
)
from stack.media import encoding as encoding_module
from stack.media.encoding import MAX_FAILURES, MAX_RAW_PICTURES, MAX_RAW_SOUNDS
from stack.media.patterns import read_counter
from tests.support.waiting import until

SIZE = (320, 240)


class Pictures(MediaStreamTrack):
    """Delivers pictures as they are put."""

    kind = "video"

    def __init__(self):
        super().__init__()
        self.pattern, self.queue, self.number = TestPatternTrack(*SIZE), asyncio.Queue(), 0

    def put(self, size=SIZE):
        picture = TestPatternTrack(*size).draw(self.number)
        picture.pts, picture.time_base = self.number * 3000, Fraction(1, 90_000)
        self.number += 1
        self.queue.put_nowait(picture)

    async def recv(self):
        frame = await self.queue.get()
        if frame is None:
            raise MediaStreamError
        return frame


@pytest.fixture
async def source():
    return Pictures()


async def take(track):
    return await asyncio.wait_for(track.recv(), 5)


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("encoder-")]


@pytest.mark.parametrize("mime", ["video/H264", "video/VP8", "video/VP9"])
async def test_what_was_shown_is_what_arrives(source, mime):
    track, decoder = EncodingTrack(source), Decoder(mime)
    track.start(mime)
    for number in range(5):
        source.put()
        frame = await take(track)
        assert (frame.keyframe, frame.timestamp, frame.mime) == (number == 0, number * 3000, mime)
        assert time.monotonic() - frame.capture_time < 2
        (picture,) = decoder.decode(frame)
        assert read_counter(picture) == number
    track.stop()


async def test_a_keyframe_comes_with_the_next_picture(source):
    track = EncodingTrack(source)
    track.start("video/H264")
    kinds = []
    for number in range(5):
        if number == 2:
            track.request_keyframe()
        source.put()
        kinds.append((await take(track)).keyframe)
    assert kinds == [True, False, True, False, False]
    track.stop()


async def test_another_size_begins_with_a_keyframe(source):
    track, decoder = EncodingTrack(source), Decoder("video/VP8")
    track.start("video/VP8")
    seen = []
    for size in (SIZE, SIZE, (160, 120), (160, 120)):
        source.put(size)
        frame = await take(track)
        (picture,) = decoder.decode(frame)
        seen.append((frame.keyframe, picture.width, picture.height))
    assert seen == [(True, 320, 240), (False, 320, 240), (True, 160, 120), (False, 160, 120)]
    track.stop()


async def test_pictures_are_scaled_down(source):
    track, decoder = EncodingTrack(source, scale_resolution_down_by=1.5), Decoder("video/H264")
    track.start("video/H264")
    sizes = []
    for scale in (1.5, 4, 1):
        track.scale_resolution_down_by = scale
        source.put()
        (picture,) = decoder.decode(await take(track))
        sizes.append((picture.width, picture.height))
    assert sizes == [(212, 160), (80, 60), (320, 240)]
    track.stop()


async def test_what_a_sender_wants_comes_on_top_of_the_tracks_own_settings(source):
    track, decoder = EncodingTrack(source, scale_resolution_down_by=2, max_framerate=20), Decoder("video/H264")
    track.start("video/H264")
    sizes = []
    for scale, framerate in ((1.0, None), (2.0, 10.0)):
        track.set_limits(scale, framerate)
        source.put()
        (picture,) = decoder.decode(await take(track))
        sizes.append((picture.width, picture.height, track._framerate_limit()))
        source.number += 30  # a second later
    assert sizes == [(160, 120, 20), (80, 60, 10)]
    assert (track.scale_resolution_down_by, track.max_framerate) == (2, 20)
    track.stop()


async def test_who_waits_for_the_encoder_is_not_cancelled_by_the_end(source):
    outcomes = set()
    for turns in range(15):
        track = EncodingTrack(source)
        track.start("video/H264")
        source.put()
        waiting = asyncio.create_task(track.recv())
        for _ in range(turns):
            await asyncio.sleep(0)
        track.stop()
        (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
        outcomes.add(type(outcome))
    assert outcomes == {EncodedFrame, MediaStreamError}
    await until(lambda: not threads())


async def test_no_more_pictures_than_allowed(source):
    track = EncodingTrack(source, max_framerate=15)
    track.start("video/H264")
    taken = []
    for _ in range(12):
        source.put()
        await asyncio.sleep(0)
    while len(taken) < 2:  # the newest wait for the encoder
        taken.append((await take(track)).timestamp)
    assert track.limited == 6
    track.stop()


async def test_a_slow_encoder_drops_the_oldest_pictures(source, monkeypatch):
    gate = threading.Event()
    encode = EncodingTrack._encode_video

    def slowly(self, *arguments):
        gate.wait(5)
        return encode(self, *arguments)

    monkeypatch.setattr(EncodingTrack, "_encode_video", slowly)
    track = EncodingTrack(source)
    track.start("video/VP8")
    first = asyncio.create_task(take(track))
    source.put()
    await until(threads)
    for _ in range(MAX_RAW_PICTURES + 3):
        source.put()
    await until(lambda: track.dropped == 3)
    gate.set()
    times = [(await first).timestamp] + [(await take(track)).timestamp for _ in range(MAX_RAW_PICTURES)]
    assert times == [0, 12_000, 15_000]
    track.stop()


async def test_sound_waits_within_bounds():
    track = EncodingTrack(ToneTrack())
    for number in range(MAX_RAW_SOUNDS + 2):
        track._raw.put(number)
    assert track.dropped == 2
    track.stop()


async def test_the_bitrate_is_obeyed_up_to_the_most_allowed(source):
    track = EncodingTrack(source, bitrate=400_000, max_bitrate=300_000)
    track.start("video/H264")
    used = []
    for target in (None, 200_000.0, 9e9):
        if target is not None:
            track.set_target_bitrate(target)
        source.put()
        await take(track)
        used.append(track._video.bitrate)
    assert used == [300_000, 200_000, 300_000]
    track.stop()


async def test_a_disabled_track_is_black_and_silent(source):
    source.enabled = False
    track, decoder = EncodingTrack(source), Decoder("video/H264")
    track.start("video/H264")
    source.put()
    (picture,) = decoder.decode(await take(track))
    assert picture.to_ndarray(format="rgb24").max() < 10
    tone = ToneTrack()
    tone.enabled = False
    sound, ear = EncodingTrack(tone), Decoder("audio/opus")
    sound.start("audio/opus")
    heard = [part for _ in range(4) for part in ear.decode(await take(sound))]
    assert max(abs(part.to_ndarray()).max() for part in heard) < 5
    track.stop()
    sound.stop()


async def test_threads_end_with_their_tracks_and_sources_live_on(source):
    before = threading.active_count()
    tracks = [EncodingTrack(source), EncodingTrack(ToneTrack())]
    tracks[0].start("video/VP8")
    tracks[1].start("audio/PCMU")
    source.put()
    for track in tracks:
        await take(track)
    assert len(threads()) == 2
    for track in tracks:
        track.stop()
    await until(lambda: not threads())
    assert threading.active_count() <= before
    assert source.readyState == "live"


async def test_the_event_loop_runs_while_pictures_are_encoded():
    pattern = TestPatternTrack(1280, 720, 30)
    track = EncodingTrack(pattern)
    track.start("video/VP8")
    turns, threads_used = 0, set()

    async def count():
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    counting = asyncio.create_task(count())
    encode = track._encode_video
    track._encode_video = lambda *a: (threads_used.add(threading.current_thread()), encode(*a))[1]
    for _ in range(5):
        await take(track)
    counting.cancel()
    track.stop()
    assert threading.main_thread() not in threads_used
    assert turns > 10


async def test_the_end_of_the_source_is_the_end(source):
    track = EncodingTrack(source)
    track.start("video/H264")
    source.put()
    source.queue.put_nowait(None)
    assert (await take(track)).keyframe
    with pytest.raises(MediaStreamError):
        await take(track)
    assert track.readyState == "ended"


async def test_a_failing_source_is_heard_of(source):
    async def unplugged():
        raise OSError("the camera is unplugged")

    source.recv = unplugged
    track = EncodingTrack(source)
    track.start("video/H264")
    with pytest.raises(OSError, match="unplugged"):
        await take(track)


async def test_an_encoder_that_fails_is_replaced_without_hardware_and_given_up_after_a_while(source, monkeypatch):
    made = []

    class Broken:
        mime, width, height, fps, skipped = "video/H264", *SIZE, 30, 0

        def set_bitrate(self, bitrate):
            pass

        def encode_frame(self, *arguments, **named):
            raise av.error.ExternalError(1, "the device is gone")

    def create(*arguments, hardware, drops_frames):
        made.append(hardware)
        return Broken()

    monkeypatch.setattr(encoding_module, "create_encoder", create)
    track = EncodingTrack(source)
    track.start("video/H264")
    for _ in range(MAX_FAILURES + 1):
        source.put()
    taking = asyncio.create_task(take(track))
    for _ in range(MAX_FAILURES):
        await asyncio.sleep(0.05)
        source.put()
    with pytest.raises(av.FFmpegError, match="gone"):
        await taking
    assert made == [True] + [False] * MAX_FAILURES
    track.stop()


async def test_what_cannot_be_done_is_refused(source):
    with pytest.raises(LocalError, match="at least 1"):
        EncodingTrack(source, scale_resolution_down_by=0.5)
    with pytest.raises(LocalError, match="positive"):
        EncodingTrack(source, max_framerate=0)
    track = EncodingTrack(source)
    with pytest.raises(LocalError, match="start"):
        await track.recv()
    track.start("video/theora")
    source.put()
    with pytest.raises(LocalError, match="no encoder"):
        await take(track)
    track.stop()
