"""The camera as a track: pictures only while somebody takes them, keyframes on demand, an end that is told."""

import asyncio

import pytest

from stack import MediaStreamError
from stack.car.camera import Camera, View
from stack.car.dashboard import read_dashboard
from stack.car.track import Track
from stack.car.video import MAX_QUEUED, CarVideoTrack
from stack.media import VideoDecoder, Worker
from tests.support.waiting import until

TRACK = Track()
CAMERA = Camera(TRACK)


@pytest.fixture
async def track():
    worker = Worker("camera")
    yield CarVideoTrack(CAMERA, worker, fps=30, bitrate=1_000_000)
    worker.close()


async def film(track, number):
    await until(track.wants_picture)
    track.show(View(TRACK.start, 0.0, number, number * 33), number / 30)


async def take(track):
    return await asyncio.wait_for(track.recv(), 5)


async def test_nothing_is_made_before_the_format_is_known(track):
    assert not track.wants_picture()
    track.show(View(TRACK.start), 0.0)
    track.start("video/VP8")
    assert track.wants_picture()


@pytest.mark.parametrize("mime", ["video/H264", "video/VP8"])
async def test_what_comes_out_decodes_to_what_was_shown(track, mime):
    track.start(mime)
    decoder = VideoDecoder(mime)
    for number in range(1, 5):
        await film(track, number)
        frame = await take(track)
        assert frame.keyframe == (number == 1)
        assert (frame.timestamp, frame.capture_time) == (number * 3000, number / 30)
        (picture,) = decoder.decode(frame.data)
        assert read_dashboard(picture.to_ndarray(format="rgb24")) == (number, number * 33)


async def test_a_keyframe_on_demand(track):
    track.start("video/VP8")
    kinds = []
    for number in range(4):
        if number == 2:
            track.request_keyframe()
        await film(track, number)
        kinds.append((await take(track)).keyframe)
    assert kinds == [True, False, True, False]


async def test_a_sender_that_falls_behind_gets_no_more_pictures_and_loses_none(track):
    track.start("video/VP8")
    for number in range(MAX_QUEUED):
        await film(track, number)
    await asyncio.sleep(0.3)
    assert not track.wants_picture()
    assert [(await take(track)).timestamp for _ in range(MAX_QUEUED)] == [0, 3000]
    assert track.wants_picture()


async def test_the_bitrate_follows_the_path_up_to_what_was_configured(track):
    track.start("video/VP8")
    await film(track, 0)
    await take(track)
    for asked, used in ((300_000.0, 300_000), (9e9, 1_000_000)):
        track.set_target_bitrate(asked)
        track.request_keyframe()
        await film(track, 1)
        await take(track)
        assert track._encoder.bitrate == used


async def test_who_waits_is_told_of_the_end(track):
    track.start("video/VP8")
    waiting = asyncio.create_task(take(track))
    await asyncio.sleep(0)
    track.stop()
    with pytest.raises(MediaStreamError):
        await waiting
    assert not track.wants_picture()


async def test_a_picture_that_fails_is_reported_and_the_next_one_is_a_keyframe(track):
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    track.start("video/H266")
    await film(track, 0)
    await until(lambda: reported)
    assert "no encoder" in str(reported[0]["exception"])
    track.start("video/VP8")
    await film(track, 1)
    assert (await take(track)).keyframe
