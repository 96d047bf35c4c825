"""Pictures and sound to try a connection with: bars, a moving box, a frame counter, a tone."""

import itertools
from fractions import Fraction
from typing import Final

import av
import numpy as np
import numpy.typing as npt

from ..core import LocalError
from .frames import VIDEO_CLOCK_RATE
from .tracks import AUDIO_PTIME, AUDIO_SAMPLE_RATE, AudioStreamTrack, VideoStreamTrack

COUNTER_BITS: Final = 24  # 6 days at 30 pictures per second
MIN_WIDTH: Final = 64  # pixels: more than two for each bit of the counter and for the margins, which are as wide
MIN_HEIGHT: Final = 32  # pixels: two rows of the counter must survive an encoder
_BARS: Final = ((180, 128, 128), (162, 44, 142), (131, 156, 44), (112, 72, 58), (84, 184, 198), (65, 100, 212))
"""Y, Cb and Cr of the bars: grey, yellow, cyan, green, magenta, red (ITU-R BT.601, at 75 %)."""

Plane = npt.NDArray[np.uint8]


class TestPatternTrack(VideoStreamTrack):
    """Coloured bars with a box that moves, and the picture's number in black and white squares at the bottom.

    Args:
        width: Pixels, even.
        height: Pixels, even.
        fps: Pictures per second.

    Attributes:
        number: Of the last picture.

    Raises:
        LocalError: If the size is odd or too small for the counter, or the rate is not from 1 to 240.
    """

    __test__ = False  # pytest takes it for a test otherwise

    def __init__(self, width: int = 1280, height: int = 720, fps: float = 30) -> None:
        if width < MIN_WIDTH or height < MIN_HEIGHT or width % 2 or height % 2:
            raise LocalError(f"the size must be even and at least {MIN_WIDTH}x{MIN_HEIGHT}, not {width}x{height}")
        if not 1 <= fps <= 240:
            raise LocalError(f"fps must be from 1 to 240, not {fps}")
        super().__init__()
        self.width, self.height = width, height
        self.ptime = 1 / fps
        self.number = -1
        bar = np.minimum(np.arange(width) * len(_BARS) // width, len(_BARS) - 1)
        colors = np.array(_BARS, np.uint8)[bar]
        half = colors[::2]
        self._planes = (
            np.tile(colors[:, 0], (height, 1)),
            np.tile(half[:, 1], (height // 2, 1)),
            np.tile(half[:, 2], (height // 2, 1)),
        )

    async def recv(self) -> av.VideoFrame:
        """Return the next picture when it is due."""
        pts, time_base = await self.next_timestamp()
        self.number = round(pts / (self.ptime * VIDEO_CLOCK_RATE))
        frame = self.draw(self.number)
        frame.pts, frame.time_base = pts, time_base
        return frame

    def draw(self, number: int) -> av.VideoFrame:
        """Return picture `number` (about a millisecond at 720p)."""
        luma = self._planes[0].copy()
        size = self.height // 4
        left, top = number * 4 % max(1, self.width - size), self.height // 8 + number * 2 % max(1, self.height // 2 - 8)
        luma[top : top + size, left : left + size] = 235
        _draw_counter(luma, number)
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        for plane, values in zip(frame.planes, (luma, *self._planes[1:]), strict=True):
            padded = np.zeros((plane.height, plane.line_size), np.uint8)
            padded[:, : plane.width] = values
            plane.update(padded.tobytes())
        return frame


def _draw_counter(luma: Plane, number: int) -> None:
    rows, edges = _counter_place(luma)
    luma[rows] = 16
    for bit in range(COUNTER_BITS):
        if number >> (COUNTER_BITS - 1 - bit) & 1:
            luma[rows, round(edges[bit]) : round(edges[bit + 1])] = 235


def _counter_place(luma: Plane) -> tuple[slice, list[float]]:
    """Return the rows of the counter and where its bits begin and end, with a margin as wide as a bit."""
    height, width = luma.shape
    cell = width / (COUNTER_BITS + 2)
    return slice(height - height // 8, height), [cell * (bit + 1) for bit in range(COUNTER_BITS + 1)]


def read_counter(frame: av.VideoFrame) -> int:
    """Return the number of a test picture, also after encoding and scaling."""
    luma = np.asarray(frame.reformat(format="gray").to_ndarray(), np.uint8)
    rows, edges = _counter_place(luma)
    height = luma[rows].shape[0]
    band = luma[rows][height // 4 : max(height // 4 + 1, 3 * height // 4)].mean(axis=0)
    number = 0
    for begin, end in itertools.pairwise(edges):
        inner = (end - begin) / 4
        number = number << 1 | int(band[int(begin + inner) : int(end - inner) + 1].mean() > 125)
    return number


class ToneTrack(AudioStreamTrack):
    """A tone, all the time or in beeps.

    Args:
        frequency: Hz.
        volume: From 0 to 1.
        beep: Seconds of a beep at the beginning of every second, None for a tone without end.

    Raises:
        LocalError: If the frequency cannot be sampled at 48 kHz, or the volume is out of range.
    """

    def __init__(self, frequency: float = 440.0, volume: float = 0.3, beep: float | None = None) -> None:
        if not 0 < frequency < AUDIO_SAMPLE_RATE / 2:
            raise LocalError(f"frequency must be from 0 to {AUDIO_SAMPLE_RATE // 2} Hz, not {frequency}")
        if not 0 <= volume <= 1:
            raise LocalError(f"volume must be from 0 to 1, not {volume}")
        super().__init__()
        self._frequency, self._volume, self._beep = frequency, volume, beep

    async def recv(self) -> av.AudioFrame:
        """Return the next 20 ms when they are due."""
        pts, time_base = await self.next_timestamp()
        return self.samples(pts, time_base)

    def samples(self, pts: int, time_base: Fraction = Fraction(1, AUDIO_SAMPLE_RATE)) -> av.AudioFrame:
        """Return the 20 ms that begin at a sample."""
        count = round(AUDIO_PTIME * AUDIO_SAMPLE_RATE)
        seconds = (pts + np.arange(count)) / AUDIO_SAMPLE_RATE
        wave = self._volume * np.sin(2 * np.pi * self._frequency * seconds)
        if self._beep is not None:
            wave[seconds % 1 >= self._beep] = 0
        frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_SAMPLE_RATE, pts, time_base
        return frame
