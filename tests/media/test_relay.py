"""One source for many: each at its own speed, and the source rests when nobody listens."""

import asyncio

import pytest

from stack.core import LocalError
from stack.media import (
    EncodedFrame,
    EncodedMediaTrack,
    EncodedVideoTrack,
    MediaBlackhole,
    MediaRelay,
    MediaStreamError,
    MediaStreamTrack,
    relay,
)
from stack.media.relay import MAX_RELAYED_FRAMES, MAX_RELAYED_PICTURES


class Numbers(MediaStreamTrack):
    kind = "video"

    def __init__(self):
        super().__init__()
        self.queue, self.taken = asyncio.Queue(), 0

    def put(self, *frames):
        for frame in frames:
            self.queue.put_nowait(frame)

    async def recv(self):
        frame = await self.queue.get()
        self.taken += 1
        if frame is None:
            raise MediaStreamError
        return frame


async def take(track):
    return await asyncio.wait_for(track.recv(), 5)


async def settle():
    for _ in range(50):
        await asyncio.sleep(0)


async def reader(track):
    """A task that waits for a frame, so that its track counts."""
    task = asyncio.create_task(take(track))
    await settle()
    return task


async def test_two_consumers_get_every_frame_each_at_its_own_speed():
    source, shared = Numbers(), MediaRelay()
    fast, slow = shared.subscribe(source), shared.subscribe(source)
    waiting = [await reader(fast), await reader(slow)]
    source.put(0)
    assert [await task for task in waiting] == [0, 0]
    for number in range(1, MAX_RELAYED_PICTURES + 4):
        source.put(number)
        assert await take(fast) == number
    assert await take(slow) == 4  # the oldest were dropped
    assert (fast.dropped, slow.dropped) == (0, 3)
    assert [await take(slow) for _ in range(MAX_RELAYED_PICTURES - 1)] == list(range(5, MAX_RELAYED_PICTURES + 4))


async def test_without_a_buffer_only_the_newest_counts():
    source, shared = Numbers(), MediaRelay()
    track = shared.subscribe(source, buffered=False)
    waiting = await reader(track)
    source.put(0)
    assert await waiting == 0
    source.put(1, 2, 3)
    await settle()
    assert await take(track) == 3
    assert track.dropped == 2


async def test_the_end_reaches_all_after_what_waits():
    source, shared = Numbers(), MediaRelay()
    tracks = [shared.subscribe(source), shared.subscribe(source)]
    waiting = [await reader(track) for track in tracks]
    source.put(1, 2, None)
    assert [await task for task in waiting] == [1, 1]
    for track in tracks:
        assert await take(track) == 2
        with pytest.raises(MediaStreamError):
            await take(track)
        assert track.readyState == "ended"


async def test_a_consumer_that_stops_leaves_the_others_alone_and_the_last_one_lets_the_source_rest():
    source, shared = Numbers(), MediaRelay()
    first, second = shared.subscribe(source), shared.subscribe(source)
    waiting = [await reader(first), await reader(second)]
    first.stop()
    with pytest.raises(MediaStreamError):
        await waiting[0]
    source.put(1)
    assert await waiting[1] == 1
    second.stop()
    source.put(2, 3)
    await settle()
    assert source.taken == 1
    assert source.readyState == "live"
    third = shared.subscribe(source)
    assert await take(third) == 2
    third.stop()
    with pytest.raises(MediaStreamError):
        await third.recv()


async def test_who_comes_after_the_end_is_told():
    source, shared = Numbers(), MediaRelay()
    source.stop()
    with pytest.raises(MediaStreamError):
        await take(shared.subscribe(source))


async def test_an_exception_of_the_source_ends_the_consumers_and_is_reported():
    source, shared, reported = Numbers(), MediaRelay(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))

    async def unplugged():
        raise OSError("unplugged")

    source.recv = unplugged
    with pytest.raises(MediaStreamError):
        await take(shared.subscribe(source))
    import gc

    await settle()
    gc.collect()
    assert [str(error) for error in reported] == ["unplugged"]


def frame(number, keyframe=False):
    return EncodedFrame(b"x", number, keyframe=keyframe)


async def test_an_encoded_track_is_relayed_as_it_is_and_each_consumer_begins_with_a_keyframe():
    asked, rates = [], []
    source = EncodedVideoTrack(on_keyframe_request=lambda: asked.append(1), on_target_bitrate=rates.append)
    shared = MediaRelay()
    first, second = shared.subscribe(source), shared.subscribe(source)
    assert isinstance(first, EncodedMediaTrack)
    one = await reader(first)
    source.push(frame(0))
    source.push(frame(1, keyframe=True))
    assert (await one).timestamp == 1
    other = await reader(second)
    source.push(frame(2))
    source.push(frame(3, keyframe=True))
    assert (await other).timestamp == 3
    assert [(await take(first)).timestamp for _ in range(2)] == [2, 3]
    first.set_target_bitrate(2e6)
    second.set_target_bitrate(5e5)
    second.stop()
    assert rates == [2e6, 5e5, 2e6]
    first.stop()


async def test_keyframe_requests_are_merged_and_none_is_lost(monkeypatch):
    monkeypatch.setattr(relay, "KEYFRAME_REQUEST_INTERVAL", 0.05)
    asked = []
    source = EncodedVideoTrack(on_keyframe_request=lambda: asked.append(1))
    shared = MediaRelay()
    tracks = [shared.subscribe(source) for _ in range(5)]
    waiting = [await reader(track) for track in tracks]
    for track in tracks:
        track.request_keyframe()
    assert len(asked) == 1
    await asyncio.sleep(0.1)
    assert len(asked) == 2
    source.push(frame(1, keyframe=True))
    await asyncio.gather(*waiting)
    for track in tracks:
        track.stop()


async def test_a_codec_is_agreed_once_and_refused_when_the_source_cannot():
    started = []
    source = EncodedVideoTrack("video/H264", on_start=started.append)
    shared = MediaRelay()
    shared.subscribe(source).start("video/H264")
    shared.subscribe(source).start("video/H264")
    assert started == ["video/H264"]
    with pytest.raises(LocalError):
        shared.subscribe(source).start("video/VP8")


async def test_a_slow_consumer_of_encoded_frames_skips_to_a_keyframe():
    source, shared = EncodedVideoTrack(), MediaRelay()
    fast, slow = shared.subscribe(source), shared.subscribe(source)
    waiting = [await reader(fast), await reader(slow)]
    source.push(frame(0, keyframe=True))
    await asyncio.gather(*waiting)
    for number in range(1, MAX_RELAYED_FRAMES + 2):
        source.push(frame(number))
        await take(fast)
    source.push(frame(1000, keyframe=True))
    assert (await take(slow)).timestamp == 1000
    assert slow.dropped == MAX_RELAYED_FRAMES + 1
    fast.stop()
    slow.stop()


async def test_a_black_hole_takes_all_and_leaves_the_tracks_alive():
    source, hole = Numbers(), MediaBlackhole()
    hole.addTrack(source)
    hole.addTrack(source)
    await hole.start()
    source.put(1, 2, 3)
    await settle()
    assert source.taken == 3
    await hole.stop()
    source.put(4)
    await settle()
    assert source.taken == 3
    assert source.readyState == "live"


async def test_a_black_hole_does_not_decode():
    class Remote(Numbers):
        async def recv_encoded(self):
            return await Numbers.recv(self)

        async def recv(self):
            raise AssertionError("decoding would be for nothing")

    source, hole = Remote(), MediaBlackhole()
    hole.addTrack(source)
    await hole.start()
    source.put(1, 2)
    await settle()
    assert source.taken == 2
    source.put(None)  # the end is no error
    await settle()
    await hole.stop()
