"""The test pattern can be read back, the tone heard."""

import asyncio
import itertools

import numpy as np
import pytest

from stack.core import LocalError
from stack.media import TestPatternTrack, ToneTrack, VideoDecoder, create_encoder
from stack.media.patterns import COUNTER_BITS, read_counter

from .test_audio import loudest


@pytest.mark.parametrize("size", [(64, 32), (320, 180), (1280, 720)])
def test_the_counter_survives(size):
    pattern = TestPatternTrack(*size)
    for number in (0, 1, 12345, 2**COUNTER_BITS - 1):
        assert read_counter(pattern.draw(number)) == number


@pytest.mark.parametrize("mime", ["video/H264", "video/VP8"])
def test_the_counter_survives_encoding_and_scaling(mime):
    pattern = TestPatternTrack(640, 360)
    encoder, decoder = create_encoder(mime, 640, 360, bitrate=300_000), VideoDecoder(mime)
    for number in range(700, 730):
        (picture,) = decoder.decode(encoder.encode(pattern.draw(number)))
        assert read_counter(picture) == number
        assert read_counter(picture.reformat(width=320, height=180)) == number


async def test_pictures_come_when_they_are_due_and_differ():
    pattern = TestPatternTrack(320, 180, fps=60)
    pictures = [await pattern.recv() for _ in range(4)]
    assert [read_counter(picture) for picture in pictures] == [0, 1, 2, 3]
    assert [picture.pts for picture in pictures] == [0, 1500, 3000, 4500]
    assert pattern.number == 3
    assert len({picture.to_ndarray().tobytes() for picture in pictures}) == 4


async def test_a_late_reader_sees_which_pictures_it_missed():
    pattern = TestPatternTrack(320, 180, fps=60)
    await pattern.recv()
    await asyncio.sleep(0.1)
    picture = await pattern.recv()
    assert read_counter(picture) == pattern.number >= 5


async def test_the_tone_is_what_was_asked_for():
    tone = ToneTrack(1500, volume=0.5)
    sounds = [await tone.recv() for _ in range(5)]
    assert loudest(sounds) == pytest.approx(1500, abs=25)
    assert abs(sounds[0].to_ndarray()).max() == pytest.approx(0.5 * 32767, rel=0.01)
    assert [b.pts - a.pts for a, b in itertools.pairwise(sounds)] == [960] * 4


def test_beeps_are_short():
    tone = ToneTrack(1000, beep=0.1)
    second = np.concatenate([tone.samples(number * 960).to_ndarray()[0] for number in range(50)])
    assert abs(second[:4800]).max() > 5000
    assert not second[4800:].any()


@pytest.mark.parametrize("arguments", [(63, 480), (640, 30), (321, 240), (320, 240, 0), (320, 240, 241)])
def test_what_cannot_be_drawn_is_refused(arguments):
    with pytest.raises(LocalError):
        TestPatternTrack(*arguments)


@pytest.mark.parametrize("arguments", [(0,), (24_000,), (440, 1.1), (440, -1)])
def test_what_cannot_be_heard_is_refused(arguments):
    with pytest.raises(LocalError):
        ToneTrack(*arguments)
