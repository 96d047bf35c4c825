"""Tracks: what goes in comes out, from any thread, bounded, and with an end."""

import asyncio
import subprocess
import sys
import threading
import time
from fractions import Fraction

import pytest

from stack.core import LocalError
from stack.media import (
    AudioStreamTrack,
    EncodedAudioTrack,
    EncodedFrame,
    EncodedVideoTrack,
    MediaStreamError,
    MediaStreamTrack,
    VideoStreamTrack,
)
from stack.media.tracks import MAX_LATE_SOUND, MAX_PUSHED_FRAMES


def frame(number, keyframe=False):
    return EncodedFrame(b"x", number, keyframe=keyframe)


def test_tracks_need_no_pyav():
    code = "import sys, stack.media, stack.aio; print(sorted({'av', 'numpy'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_without_pyav_the_extra_is_named():
    code = (
        "import sys; sys.modules['av'] = None\n"
        "try:\n    from stack.media import MediaPlayer\nexcept ImportError as e: print(e)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install webrtc-stack[media]" in ran.stdout


def test_an_unknown_name_is_an_attribute_error():
    import stack.media

    with pytest.raises(AttributeError, match="Nonsense"):
        stack.media.Nonsense  # noqa: B018  the access is the test


async def test_the_end_is_told_once():
    track, ended = MediaStreamTrack(), []
    track.on("ended", lambda: ended.append(1))
    assert (track.readyState, track.enabled) == ("live", True)
    track.stop()
    track.stop()
    assert (track.readyState, ended) == ("ended", [1])


async def test_a_track_without_recv_says_what_to_do():
    with pytest.raises(NotImplementedError, match="EncodedMediaTrack"):
        await MediaStreamTrack().recv()


async def test_what_the_peer_wants_reaches_the_encoder():
    heard = []
    track = EncodedVideoTrack(
        "video/H264",
        on_start=heard.append,
        on_keyframe_request=lambda: heard.append("keyframe"),
        on_target_bitrate=heard.append,
    )
    track.start("video/h264")
    track.request_keyframe()
    track.set_target_bitrate(1e6)
    assert heard == ["video/h264", "keyframe", 1e6]
    with pytest.raises(LocalError, match="setCodecPreferences"):
        track.start("video/VP8")


async def test_frames_pushed_from_a_thread_arrive_in_order_with_their_type():
    track = EncodedVideoTrack("video/H264")

    def encode():
        for number in range(5):
            track.push(frame(number, keyframe=number == 0))

    thread = threading.Thread(target=encode)
    thread.start()
    received = [await asyncio.wait_for(track.recv(), 5) for _ in range(5)]
    thread.join()
    assert [one.timestamp for one in received] == list(range(5))
    assert received[0].mime == "video/H264"


def test_a_track_may_be_made_before_the_loop_runs():
    track = EncodedVideoTrack()
    track.push(frame(1, keyframe=True))

    async def take():
        return await track.recv()

    assert asyncio.run(take()).timestamp == 1
    track.push(frame(2))  # its loop has closed: nobody hears, and nobody is disturbed


async def test_video_that_is_not_taken_is_dropped_up_to_a_keyframe():
    asked = []
    track = EncodedVideoTrack(on_keyframe_request=lambda: asked.append(1))
    for number in range(MAX_PUSHED_FRAMES + 3):
        track.push(frame(number, keyframe=number == 0))
    assert asked == [1]
    track.push(frame(100, keyframe=True))
    assert (await track.recv()).timestamp == 100
    assert track.dropped == MAX_PUSHED_FRAMES + 3


async def test_sound_that_is_not_taken_loses_the_oldest():
    track = EncodedAudioTrack()
    for number in range(MAX_PUSHED_FRAMES + 3):
        track.push(frame(number))
    assert (await track.recv()).timestamp == 3


async def test_a_disabled_track_sends_nothing_and_goes_on_with_a_keyframe():
    asked = []
    track = EncodedVideoTrack(on_keyframe_request=lambda: asked.append(1))
    track.push(frame(0, keyframe=True))
    track.enabled = False
    track.push(frame(1))
    track.enabled = True
    for number in (2, 3):
        track.push(frame(number))
    track.push(frame(4, keyframe=True))
    assert [(await track.recv()).timestamp for _ in range(2)] == [0, 4]
    assert asked == [1]


async def test_who_waits_for_a_pushed_frame_is_told_of_the_end():
    track = EncodedVideoTrack()
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.stop()
    with pytest.raises(MediaStreamError):
        await waiting


async def test_black_pictures_at_thirty_a_second():
    track = VideoStreamTrack()
    begin = time.monotonic()
    pictures = [await track.recv() for _ in range(7)]
    assert time.monotonic() - begin >= 6 / 30 - 0.005
    assert [picture.pts for picture in pictures[:2]] == [0, 3000]
    assert pictures[0].time_base == Fraction(1, 90_000)
    assert pictures[0].to_ndarray(format="rgb24").max() == 0
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_silence_in_frames_of_20_ms():
    track = AudioStreamTrack()
    begin = time.monotonic()
    sounds = [await track.recv() for _ in range(6)]
    assert time.monotonic() - begin >= 0.1 - 0.005
    assert [sound.pts for sound in sounds] == [960 * number for number in range(6)]
    assert not sounds[0].to_ndarray().any()
    assert (await track.next_timestamp(480))[1] == Fraction(1, 48_000)


async def test_a_late_reader_gets_the_present(monkeypatch):
    now = 100.0
    monkeypatch.setattr("stack.media.tracks.time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    video, audio = VideoStreamTrack(), AudioStreamTrack()
    assert (await video.next_timestamp())[0] == 0
    assert (await audio.next_timestamp())[0] == 0
    now += 0.1501
    assert (await video.next_timestamp())[0] == 4 * 3000
    assert (await audio.next_timestamp())[0] == 960  # a little late: no gap
    now += 0.02 * (MAX_LATE_SOUND + 2)
    assert (await audio.next_timestamp())[0] > 960 * MAX_LATE_SOUND


async def test_pushed_frames_are_handed_over_at_once_unless_others_wait_or_they_are_refused():
    track, taken = EncodedVideoTrack(), []
    accepted = True

    def take(given):
        if accepted:
            taken.append(given)
        return accepted

    first, second, third, fourth = (EncodedFrame(b"%d" % number, number, keyframe=True) for number in range(4))
    track.push(first)
    with track.handing_over(take):
        track.push(second)  # behind the first
        assert [await track.recv(), await track.recv()] == [first, second]
        track.push(third)
        assert taken == [third]
        with track.handing_over(lambda _: pytest.fail("a second reader")):
            track.push(first)
        accepted = False
        track.push(fourth)
        assert await track.recv() is fourth
    track.push(second)
    assert await track.recv() is second
    assert taken == [third, first]


async def test_a_track_with_a_recv_of_its_own_is_asked_for_each_frame():
    class Marked(EncodedVideoTrack):
        async def recv(self):
            frame = await super().recv()
            frame.data += b"mark"
            return frame

    track = Marked()
    with track.handing_over(lambda _: pytest.fail("handed over")):
        track.push(EncodedFrame(b"", 0, keyframe=True))
        assert (await track.recv()).data == b"mark"


async def test_frames_behind_a_gap_are_not_handed_over():
    track, taken = EncodedVideoTrack(), []
    for number in range(MAX_PUSHED_FRAMES + 1):
        track.push(EncodedFrame(b"", number, keyframe=not number))
    with track.handing_over(lambda frame: taken.append(frame.timestamp) is None):
        track.push(EncodedFrame(b"", 100))
        track.push(EncodedFrame(b"", 101, keyframe=True))
        track.push(EncodedFrame(b"", 102))
    assert taken == [101, 102]
