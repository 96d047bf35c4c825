"""A tone, encoded with Opus."""

import asyncio
import fractions
import functools
import itertools
import time

import av
import numpy as np

from stack import EncodedFrame, EncodedMediaTrack

RATE = 48000
SAMPLES = 960  # of 20 ms
TONE = 440  # Hz, 176 periods in a clip, so that it repeats without a click
PACKETS = 20


@functools.cache
def clip():
    """Packets of 20 ms."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout = RATE, "s16", "stereo"
    encoder.bit_rate, encoder.time_base = 64_000, fractions.Fraction(1, RATE)
    encoded = []
    for number in range(PACKETS):
        times = (np.arange(SAMPLES) + number * SAMPLES) / RATE
        wave = (12000 * np.sin(2 * np.pi * TONE * times)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, number * SAMPLES, encoder.time_base
        encoded += map(bytes, encoder.encode(frame))
    return encoded


class Tone(EncodedMediaTrack):
    """The tone, in packets that are due every 20 ms."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.numbers, self.begin = itertools.count(), time.monotonic()

    async def recv(self):
        number = next(self.numbers)
        await asyncio.sleep(max(0.0, self.begin + number * SAMPLES / RATE - time.monotonic()))
        return EncodedFrame(clip()[number % len(clip())], number * SAMPLES, keyframe=True)


class Decoder:
    """Counts the samples of Opus packets."""

    def __init__(self):
        self._codec = av.CodecContext.create("libopus", "r")

    def samples(self, data):
        return sum(frame.samples for frame in self._codec.decode(av.Packet(data)))
