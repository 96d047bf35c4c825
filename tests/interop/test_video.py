"""Video with ourselves and with aiortc: who sends and who offers in every combination, H.264 and VP8."""

import asyncio
import itertools

import pytest

from stack import MediaStreamError

from .stacks import announced, connect, connections, inbox, opened, prefer
from .video import FPS, TICKS, encoded_track, picture_track, remote_track, watch

pytestmark = pytest.mark.interop

MIMES = ["video/H264", "video/VP8"]
sender_and_receiver = pytest.mark.parametrize(
    ("sender", "receiver"), [("ours", "ours"), ("ours", "aiortc"), ("aiortc", "ours")]
)
codecs = pytest.mark.parametrize("mime", MIMES)
both_offer = pytest.mark.parametrize("sender_offers", [True, False], ids=["sender offers", "receiver offers"])


async def send(source, sink, track, mime, *, sender_offers):
    """Connect so that `source` sends `track` in this codec; return the future track at the other side."""
    received = remote_track(sink)
    if sender_offers:
        source.addTrack(track)
        prefer(source, mime)
        await connect(source, sink)
    else:
        sink.addTransceiver("video", direction="recvonly")
        prefer(sink, mime)
        await connect(sink, source, prepare_answer=lambda: source.addTrack(track))
    return received


@both_offer
@codecs
@sender_and_receiver
async def test_encoded_video(sender, receiver, mime, sender_offers):
    async with connections(sender, receiver) as (source, sink):
        track = encoded_track(sender, mime)
        received = await send(source, sink, track, mime, sender_offers=sender_offers)
        frames = await watch(received)
        steps = [(later - earlier) % (1 << 32) for earlier, later in itertools.pairwise(f.pts for f in frames)]
        assert all(step > 0 and step % TICKS == 0 for step in steps)
        assert steps.count(TICKS) > len(steps) * 3 // 4
        if sender == "ours":
            assert track.started == [mime]


@both_offer
@codecs
@sender_and_receiver
async def test_pictures_that_the_sender_encodes(sender, receiver, mime, sender_offers):
    async with connections(sender, receiver) as (source, sink):
        received = await send(source, sink, picture_track(sender), mime, sender_offers=sender_offers)
        assert len(await watch(received, FPS // 2)) == FPS // 2


@codecs
@pytest.mark.parametrize(("offerer", "answerer"), [("ours", "ours"), ("ours", "aiortc"), ("aiortc", "ours")])
async def test_video_both_ways_beside_a_data_channel(offerer, answerer, mime):
    async with connections(offerer, answerer) as (a, b):
        a.addTrack(encoded_track(offerer, mime))
        prefer(a, mime)
        channel, others = a.createDataChannel("steering", ordered=False, maxRetransmits=0), announced(b)
        at_a, at_b = remote_track(a), remote_track(b)
        await connect(a, b, prepare_answer=lambda: b.addTrack(encoded_track(answerer, mime)))
        there = await opened(await others.get())
        messages = inbox(there)

        async def steer():
            await opened(channel)
            for number in range(20):
                channel.send(str(number))
                assert await messages.get() == str(number)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch(at_a))
            tasks.create_task(watch(at_b))
            tasks.create_task(steer())


@both_offer
async def test_we_ask_for_a_key_frame_and_get_one(sender_offers):
    """The first frames build on one that was never sent: only a key frame, asked for, brings the picture."""
    async with connections("ours", "ours") as (source, sink):
        track = encoded_track("ours", "video/H264")
        every, requests = track.recv, track.request_keyframe
        asked = asyncio.Event()

        async def without_key_frames_until_asked():
            frame = await every()
            while frame.keyframe and not asked.is_set():
                frame = await every()
            return frame

        def request_keyframe():
            requests()
            asked.set()

        track.recv, track.request_keyframe = without_key_frames_until_asked, request_keyframe
        received = await send(source, sink, track, "video/H264", sender_offers=sender_offers)
        await watch(received, 5)
        assert track.keyframe_requests >= 1


@pytest.mark.parametrize("who", ["sender", "receiver"])
@pytest.mark.parametrize("sender", ["ours", "aiortc"])
async def test_the_received_track_ends_with_the_connection(sender, who):
    async with connections(sender, "ours") as (source, sink):
        received = await send(source, sink, encoded_track(sender, "video/VP8"), "video/VP8", sender_offers=True)
        await watch(received, 5)
        await (source if who == "sender" else sink).close()
        with pytest.raises(MediaStreamError):
            await watch(received, 10 * FPS)
        assert (await received).readyState == "ended"
