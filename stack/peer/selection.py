"""Which of several encodings of one source is shown (simulcast received, RFC 8853)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .. import rtp

BETTER_BY: Final = 1.5
"""How many times the bitrate of the one shown another of the same size must have: encodings differ by three to four
times mostly, and what the same pictures take varies by less."""
WINDOW: Final = 1.0
"""Seconds over which bitrates are averaged, and for which an encoding must have come to be better by its bitrate."""
MISSED_FRAMES: Final = 15
"""Frames of another encoding without one of that which is shown, after which it is taken for gone: half a second at 30
a second. Counted in frames, so that a slow source is not taken for a silent one."""
ASK_AGAIN: Final = 1.0
"""Seconds after which a key frame that did not come is asked for again."""

CLOCK_RATE: Final = 90_000  # Hz, of all video


@dataclass(slots=True)
class _Heard:
    """What is known of one encoding."""

    first: float
    last: float
    rate: float = 0.0  # bit/s, averaged; without key frames, of which one would outweigh a second of a still picture
    pixels: int = 0  # of the last key frame, 0 if they cannot be told
    missed: int = 0  # frames of it since the last one of that which is shown
    asked: float = float("-inf")

    def rate_at(self, now: float) -> float:
        return self.rate * math.exp(-max(now - self.last, 0.0) / WINDOW)


class Selection:
    """Shows the best encoding that arrives.

    The best is the one with the largest pictures, as key frames say; where they do not, or say the same, the one with
    the highest bitrate: neither rids nor their order tell which that is. Another one takes its place when its pictures
    are larger, or it has 1.5 times the bitrate, or when the one shown has stopped; always at a key frame, which is
    asked for. The frames that are shown have one timeline: timestamps of different streams have different origins, and
    where one follows the other, the times at which they arrived tell how much later it is.

    Args:
        rids: The encodings.

    Attributes:
        current: The one that is shown; None before the first key frame.
    """

    def __init__(self, rids: Sequence[str]) -> None:
        self.current: str | None = None
        self._rids = frozenset(rids)
        self._heard: dict[str, _Heard] = {}
        self._offset = 0  # added to the timestamps of the one that is shown
        self._timestamp: int | None = None  # of the last frame shown
        self._received = 0.0  # when that was

    def take(self, rid: str, frame: rtp.FrameReceived, pixels: int = 0) -> bool:
        """Return whether a frame is to be shown; its timestamp is then that of the common timeline.

        Args:
            rid: Of which encoding it is.
            frame: It.
            pixels: Of a key frame, 0 if that is not known.
        """
        now = frame.receive_time
        if rid not in self._rids:
            return False
        heard = self._heard.get(rid)
        if heard is None:
            heard = self._heard[rid] = _Heard(now, now)
        heard.rate = heard.rate_at(now) + (0 if frame.keyframe else len(frame.data) * 8 / WINDOW)
        heard.last = max(heard.last, now)
        if frame.keyframe:
            heard.pixels = pixels
        if rid != self.current:
            heard.missed += 1
            if not frame.keyframe or not self._is_better(rid, now):
                return False
            self._switch(rid, frame)
        for other in self._heard.values():
            other.missed = 0
        frame.timestamp = (frame.timestamp + self._offset) & 0xFFFFFFFF
        self._timestamp, self._received = frame.timestamp, now
        return True

    def keyframe_wanted(self, now: float) -> str | None:
        """Return the encoding that is to be shown as soon as there is a key frame of it, if it is time to ask."""
        heard = self._heard
        arriving = [rid for rid in heard if rid != self.current and now - heard[rid].last < WINDOW]
        better = [rid for rid in arriving if self._is_better(rid, now)]
        if not better:
            return None
        rid = max(better, key=lambda rid: (heard[rid].pixels, heard[rid].rate_at(now)))
        if now - self._heard[rid].asked < ASK_AGAIN:
            return None
        self._heard[rid].asked = now
        return rid

    def _is_better(self, rid: str, now: float) -> bool:
        shown = None if self.current is None else self._heard[self.current]
        if shown is None:
            return True
        heard = self._heard[rid]
        if heard.missed > MISSED_FRAMES:
            return True
        if heard.pixels and shown.pixels and heard.pixels != shown.pixels:
            return heard.pixels > shown.pixels
        return now - heard.first >= WINDOW and heard.rate_at(now) > BETTER_BY * shown.rate_at(now)

    def _switch(self, rid: str, frame: rtp.FrameReceived) -> None:
        self.current = rid
        if self._timestamp is not None:
            later = max(round((frame.receive_time - self._received) * CLOCK_RATE), 1)
            self._offset = self._timestamp + later - frame.timestamp
