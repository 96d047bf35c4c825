"""A picture that is easy to recognise, as frames and encoded, in both stacks."""

import asyncio
import fractions
import functools
import itertools
import time

import av
import numpy as np

from .stacks import load

WIDTH, HEIGHT, FPS = 320, 240, 30
TICKS = 90000 // FPS
KEYFRAME_EVERY = 15  # frames
ENCODERS = {
    "video/H264": ("libx264", {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline"}),
    "video/VP8": ("libvpx", {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}),
}


def picture(number):
    """Black on the left, white on the right, and a grey bar that moves down so that no two frames are the same."""
    grey = np.zeros((HEIGHT, WIDTH), np.uint8)
    grey[:, WIDTH // 2 :] = 255
    top = number * 8 % HEIGHT
    grey[top : top + 8, :] = 128
    return av.VideoFrame.from_ndarray(np.stack([grey] * 3, axis=-1), format="rgb24").reformat(format="yuv420p")


def is_the_picture(frame):
    luma = frame.reformat(format="gray").to_ndarray()
    left, right = luma[:, : WIDTH // 2 - 8].mean(), luma[:, WIDTH // 2 + 8 :].mean()
    return (frame.width, frame.height) == (WIDTH, HEIGHT) and left < 60 and right > 190


@functools.cache
def clip(mime):
    """[(bytes, is a key frame)] of two seconds."""
    name, options = ENCODERS[mime]
    encoder = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.bit_rate = WIDTH, HEIGHT, "yuv420p", 500_000
    encoder.time_base, encoder.framerate = fractions.Fraction(1, FPS), fractions.Fraction(FPS)
    encoder.gop_size, encoder.max_b_frames, encoder.options = KEYFRAME_EVERY, 0, options
    encoded = []
    for number in range(2 * FPS):
        frame = picture(number)
        frame.pts, frame.time_base = number, fractions.Fraction(1, FPS)
        encoded += [(bytes(packet), packet.is_keyframe) for packet in encoder.encode(frame)]
    assert len(encoded) == 2 * FPS
    return encoded


async def frame_times():
    """Numbers of frames, each when it is due."""
    begin = time.monotonic()
    for number in itertools.count():
        await asyncio.sleep(max(0.0, begin + number / FPS - time.monotonic()))
        yield number


def picture_track(stack):
    """A track whose frames the stack has to encode."""

    class Pictures(load(stack).MediaStreamTrack):
        kind = "video"

        def __init__(self):
            super().__init__()
            self.numbers = frame_times()

        async def recv(self):
            number = await anext(self.numbers)
            frame = picture(number)
            frame.pts, frame.time_base = number * TICKS, fractions.Fraction(1, 90000)
            return frame

    return Pictures()


def encoded_track(stack, mime):
    """A track whose frames are encoded already."""
    return encoded_track_of_ours() if stack == "ours" else encoded_track_of_aiortc(mime)


def encoded_track_of_ours():
    api = load("ours")

    class Clip(api.EncodedVideoTrack):
        def __init__(self):
            super().__init__()
            self.numbers, self.started, self.keyframe_requests = frame_times(), [], 0

        def start(self, mime):
            self.started.append(mime)
            self.frames = clip(mime)

        def request_keyframe(self):
            self.keyframe_requests += 1

        async def recv(self):
            number = await anext(self.numbers)
            data, keyframe = self.frames[number % len(self.frames)]
            return api.EncodedFrame(data, number * TICKS, keyframe=keyframe, capture_time=time.monotonic())

    return Clip()


def encoded_track_of_aiortc(mime):
    class Clip(load("aiortc").MediaStreamTrack):
        kind = "video"

        def __init__(self):
            super().__init__()
            self.numbers = frame_times()

        async def recv(self):
            number = await anext(self.numbers)
            packet = av.Packet(clip(mime)[number % len(clip(mime))][0])
            packet.pts, packet.time_base = number * TICKS, fractions.Fraction(1, 90000)
            return packet

    return Clip()


def remote_track(pc):
    """A future of the first track that the peer sends."""
    track = asyncio.get_running_loop().create_future()
    pc.on("track", lambda found: track.done() or track.set_result(found))
    return track


async def watch(track, count=FPS):
    """Receive so many frames, each of which must be the picture; return them."""
    frames = []
    while len(frames) < count:
        frame = await (await track).recv()
        assert is_the_picture(frame)
        frames.append(frame)
    return frames
