"""Media tracks: what a sender reads from. The encoded ones need nothing but Python; pictures and samples need PyAV."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Final

from ..core import LocalError
from .events import EventTarget
from .frames import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, EncodedFrame, FrameQueue, MediaStreamError

MAX_PUSHED_FRAMES: Final = 15
"""Encoded frames that wait for the sender, half a second of video: older ones would only be delay."""

AUDIO_PTIME: Final = 0.02  # seconds in a frame of sound: what every browser sends
AUDIO_SAMPLE_RATE: Final = 48_000  # Hz
MAX_LATE_SOUND: Final = 10
"""Frames of sound that a late reader still gets, 0.2 s: a gap is heard, so it is worth a little delay."""

VIDEO_PTIME: Final = 1 / 30  # seconds between the pictures of a VideoStreamTrack


class MediaStreamTrack(EventTarget):
    """A source of media. Subclass it, set `kind`, and write `recv`.

    Events: `ended`.

    Attributes:
        kind: `audio` or `video`.
        id: A unique string.
        readyState: `live` or `ended`.
        enabled: While False, a black picture or silence is sent (W3C `enabled`); encoded frames are not sent at all.
    """

    kind = "unknown"

    def __init__(self) -> None:
        super().__init__()
        self.id = str(uuid.uuid4())
        self.readyState = "live"
        self.enabled = True

    async def recv(self) -> Any:
        """Return the next frame (`av.VideoFrame`, `av.AudioFrame`, or `EncodedFrame` of an encoded track).

        Raises:
            MediaStreamError: The track has ended.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must have a `recv` that returns frames, or be an EncodedMediaTrack and push them"
        )

    def stop(self) -> None:
        """End the track."""
        if self.readyState != "ended":
            self.readyState = "ended"
            self.dispatch("ended")
            self.remove_all_listeners()


class EncodedMediaTrack(MediaStreamTrack):
    """A track of encoded frames, for hardware encoders and for encoders of one's own.

    Either give it callbacks and `push` what the encoder makes, from any thread; or subclass it and write `recv`,
    `start`, `request_keyframe` and `set_target_bitrate`. The sender calls `start` with what was negotiated, then `recv`
    again and again, and hands back what the peer and the path want.

    Args:
        mime: What the frames are encoded with, for example `video/H264`; None if `start` decides.
        on_start: Called with the negotiated MIME type before the first frame is taken.
        on_keyframe_request: Called when the peer cannot decode: the next frame should be a keyframe.
        on_target_bitrate: Called with what the path carries, bit/s.

    Attributes:
        mime: As given.
        dropped: Pushed frames that were thrown away because the sender did not take them in time.
    """

    def __init__(
        self,
        mime: str | None = None,
        *,
        on_start: Callable[[str], object] | None = None,
        on_keyframe_request: Callable[[], object] | None = None,
        on_target_bitrate: Callable[[float], object] | None = None,
    ) -> None:
        super().__init__()
        self.mime = mime
        self.on_start = on_start
        self.on_keyframe_request = on_keyframe_request
        self.on_target_bitrate = on_target_bitrate
        self._pushed: FrameQueue[EncodedFrame] = FrameQueue(
            MAX_PUSHED_FRAMES, chained=self.kind == "video", on_gap=self._ask_for_keyframe
        )
        self._muted = False  # frames were left out, so that only a keyframe can go on
        self._asked = False  # for that keyframe
        try:
            self._home: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:  # made before the loop runs: pushing from other threads begins after `recv` was called
            self._home = None

    @property
    def dropped(self) -> int:
        """Pushed frames that were thrown away because the sender did not take them in time."""
        return self._pushed.dropped

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """Width and height of the last picture, pixels, for the statistics; None if that is not known."""
        return None

    def start(self, mime: str) -> None:
        """Called before the first `recv` with the negotiated MIME type, for example `video/H264`.

        Raises:
            LocalError: The frames are encoded with something else, which this peer did not agree to.
        """
        if self.mime is not None and self.mime.lower() != mime.lower():
            raise LocalError(
                f"the track is {self.mime}, but {mime} was negotiated; offer only {self.mime} with setCodecPreferences"
            )
        if self.on_start is not None:
            self.on_start(mime)

    def request_keyframe(self) -> None:
        """The peer cannot decode: the next frame should be a key frame."""
        if self.on_keyframe_request is not None:
            self.on_keyframe_request()

    def set_target_bitrate(self, bitrate: float) -> None:
        """The path carries this many bit/s."""
        if self.on_target_bitrate is not None:
            self.on_target_bitrate(bitrate)

    def push(self, frame: EncodedFrame) -> None:
        """Queue a frame for the sender; from any thread.

        Frames that the sender does not take in time are dropped: of audio the oldest, of video all up to the next
        keyframe, which is asked for.
        """
        home = self._home
        if home is None or _is_running_here(home):
            self._put(frame)
            return
        try:
            home.call_soon_threadsafe(self._put, frame)
        except RuntimeError:  # the loop has closed: nobody will take frames any more
            self._pushed.closed = True

    def set_limits(self, scale_resolution_down_by: float, max_framerate: float | None) -> None:
        """Take note that the application wants smaller pictures, or fewer (W3C setParameters); may be ignored.

        Args:
            scale_resolution_down_by: Width and height are divided by this, 1 or more.
            max_framerate: Pictures per second at most; None for all.
        """

    @contextlib.contextmanager
    def handing_over(self, take: Callable[[EncodedFrame], bool]) -> Iterator[None]:
        """Hand over what is pushed at once, in the thread of the loop, while nothing waits for `recv`.

        So a frame need not wait until a task has woken up. Nothing changes where a subclass has a `recv` of its own, or
        for a second reader.

        Args:
            take: Called with each frame; returns False to have it wait for `recv` nevertheless.
        """
        self._home = asyncio.get_running_loop()
        queue = self._pushed
        if type(self).recv is not EncodedMediaTrack.recv or queue.taker is not None:
            yield
            return
        queue.taker = take
        try:
            yield
        finally:
            queue.taker = None

    async def recv(self) -> EncodedFrame:
        """Return the next encoded frame.

        Raises:
            MediaStreamError: The track has ended.
        """
        self._home = asyncio.get_running_loop()
        return await self._pushed.get()

    def stop(self) -> None:
        """End the track; whoever waits in `recv` is told."""
        super().stop()
        self._pushed.items.clear()
        self._pushed.close()

    def _put(self, frame: EncodedFrame) -> None:
        if not self.enabled:
            self._muted, self._asked = True, False
            return
        if self._muted and self.kind == "video" and not frame.keyframe:
            if not self._asked:
                self._asked = True
                self._ask_for_keyframe()
            return
        self._muted = False
        if not frame.mime and self.mime is not None:
            frame.mime = self.mime
        self._pushed.put(frame, keyframe=frame.keyframe)

    def _ask_for_keyframe(self) -> None:
        self.request_keyframe()


class EncodedVideoTrack(EncodedMediaTrack):
    """An encoded track of kind video."""

    kind = "video"


class EncodedAudioTrack(EncodedMediaTrack):
    """An encoded track of kind audio."""

    kind = "audio"


class _PacedTrack(MediaStreamTrack):
    """A source that makes a frame whenever one is due. A reader that is late gets the present, not the past."""

    def __init__(self) -> None:
        super().__init__()
        self._begin: float | None = None
        self._number = -1  # of the last frame, counted from the start

    async def _next_number(self, interval: float, patience: int = 0) -> int:
        """Wait until a frame is due and return its number; those that a reader missed by more are left out."""
        if self.readyState != "live":
            raise MediaStreamError("the track has ended")
        now = time.monotonic()
        if self._begin is None:
            self._begin = now
        current = int((now - self._begin) / interval)
        following = self._number + 1
        self._number = current if current - following > patience else following
        wait = self._begin + self._number * interval - now
        if wait > 0:
            await asyncio.sleep(wait)
        return self._number


class VideoStreamTrack(_PacedTrack):
    """A track that makes pictures: black ones, until a subclass has a `recv` that uses `next_timestamp`.

    Attributes:
        ptime: Seconds between pictures.
    """

    kind = "video"
    ptime = VIDEO_PTIME

    async def next_timestamp(self) -> tuple[int, Fraction]:
        """Wait until the next picture is due and return its pts and time base, 90 kHz.

        Raises:
            MediaStreamError: The track has ended.
        """
        number = await self._next_number(self.ptime)
        return round(number * self.ptime * VIDEO_CLOCK_RATE), VIDEO_TIME_BASE

    async def recv(self) -> Any:
        """Return a black picture of 640x480."""
        from .pictures import black

        frame = black(640, 480)
        frame.pts, frame.time_base = await self.next_timestamp()
        return frame


class AudioStreamTrack(_PacedTrack):
    """A track that makes sound: silence, until a subclass has a `recv` that uses `next_timestamp`."""

    kind = "audio"

    async def next_timestamp(self, samples: int | None = None) -> tuple[int, Fraction]:
        """Wait until the next frame is due and return its pts and time base, 48 kHz.

        Args:
            samples: In a frame, 20 ms if None.

        Raises:
            MediaStreamError: The track has ended.
        """
        count = round(AUDIO_PTIME * AUDIO_SAMPLE_RATE) if samples is None else samples
        number = await self._next_number(count / AUDIO_SAMPLE_RATE, MAX_LATE_SOUND)
        return number * count, Fraction(1, AUDIO_SAMPLE_RATE)

    async def recv(self) -> Any:
        """Return 20 ms of silence, mono, 48 kHz."""
        from .pictures import silence

        frame = silence("s16", "mono", round(AUDIO_PTIME * AUDIO_SAMPLE_RATE), AUDIO_SAMPLE_RATE)
        frame.pts, frame.time_base = await self.next_timestamp()
        return frame


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
