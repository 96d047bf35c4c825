"""Times, the queue of a live track, and the frame rate's limit."""

import asyncio
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.media import FrameLimiter, FrameQueue, MediaStreamError, TimestampUnwrapper, rtp_timestamp
from stack.media.frames import REMINDER, clock_rate


def test_times_on_the_wire():
    assert rtp_timestamp(1, Fraction(1, 30)) == 3000
    assert rtp_timestamp(2**32 + 5, Fraction(1, 90_000)) == 5
    assert rtp_timestamp(480, Fraction(1, 48_000), 8_000) == 80
    assert [clock_rate(mime) for mime in ("video/H264", "audio/OPUS", "audio/PCMU", "audio/g722")] == [
        90_000,
        48_000,
        8_000,
        8_000,
    ]


@settings(max_examples=50)
@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1), max_size=20), st.integers(0, 2**32 - 1))
def test_wraps_are_undone(steps, start):
    unwrapper, at = TimestampUnwrapper(), start
    assert unwrapper.unwrap(start) == start
    for step in steps:
        at += step
        assert unwrapper.unwrap(at & 0xFFFFFFFF) == at


@pytest.mark.parametrize(
    ("source", "limit", "kept"), [(30, 15, 15), (30, 20, 20), (60, 24, 24), (30, 30, 30), (25, 30, 25)]
)
def test_a_limit_keeps_so_many_frames_a_second(source, limit, kept):
    limiter = FrameLimiter()
    admitted = sum(limiter.admits(number / source, limit) for number in range(source * 4))
    assert admitted == pytest.approx(kept * 4, abs=1)


def test_a_jittery_camera_loses_nothing_at_its_own_rate():
    limiter = FrameLimiter()
    assert all(limiter.admits(number / 30 + (number % 3 - 1) * 0.002, 30) for number in range(90))


def test_a_limiter_starts_anew_after_a_jump_and_without_a_limit_admits_all():
    limiter = FrameLimiter()
    assert [limiter.admits(t, 10) for t in (100.0, 100.05, 5.0, 5.05, 60.0)] == [True, False, True, False, True]
    assert all(limiter.admits(t, None) for t in (1.0, 1.0, 0.5))


async def test_sound_loses_the_oldest():
    queue = FrameQueue(3, chained=False)
    for number in range(5):
        queue.put(number)
    assert [await queue.get() for _ in range(3)] == [2, 3, 4]
    assert queue.dropped == 2


async def test_encoded_video_goes_on_with_a_keyframe_that_is_asked_for_once():
    asked = []
    queue = FrameQueue(3, chained=True, on_gap=lambda: asked.append(1))
    for number in range(6):
        queue.put(number, keyframe=number == 0)
    assert (list(queue.items), queue.dropped, asked) == ([], 6, [1])
    queue.put(6, keyframe=True)
    queue.put(7, keyframe=False)
    queue.put(8, keyframe=False)
    assert list(queue.items) == [6, 7, 8]
    queue.put(9, keyframe=True)  # full again, but this one needs none of them
    assert (list(queue.items), queue.dropped, asked) == ([9], 9, [1])


async def test_a_keyframe_that_does_not_come_is_asked_for_again():
    asked = []
    queue = FrameQueue(3, chained=True, on_gap=lambda: asked.append(1))
    queue.await_keyframe()
    for number in range(2 * REMINDER):
        queue.put(number, keyframe=False)
    assert asked == [1, 1]


async def test_a_new_reader_begins_with_a_keyframe():
    queue = FrameQueue(3, chained=True)
    queue.await_keyframe()
    queue.put(0, keyframe=False)
    queue.put(1, keyframe=True)
    assert list(queue.items) == [1]


async def test_what_waits_can_be_taken_after_the_end():
    queue = FrameQueue(3, chained=False)
    queue.put(1)
    queue.close()
    queue.put(2)
    assert await queue.get() == 1
    with pytest.raises(MediaStreamError):
        await queue.get()


async def test_who_waits_hears_of_the_end():
    queue = FrameQueue(3, chained=False)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()
    with pytest.raises(MediaStreamError):
        await waiting
