"""Media tracks: what a sender reads from and a receiver hands out."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from .events import EventTarget

MAX_RECEIVED_FRAMES: Final = 30
"""Encoded frames that wait for a slow reader, a second of video; past that the oldest are dropped."""


class MediaStreamError(Exception):
    """The track has ended."""


class MediaStreamTrack(EventTarget):
    """A source of media. Subclass it, set `kind`, and write `recv`.

    Attributes:
        kind: `audio` or `video`.
        id: A unique string.
        readyState: `live` or `ended`.
    """

    kind = "unknown"

    def __init__(self) -> None:
        super().__init__()
        self.id = str(uuid.uuid4())
        self.readyState = "live"

    async def recv(self) -> Any:
        """Return the next frame (`av.VideoFrame`, `av.AudioFrame`, or `EncodedFrame` of an encoded track).

        Raises:
            MediaStreamError: The track has ended.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """End the track."""
        if self.readyState != "ended":
            self.readyState = "ended"
            self.dispatch("ended")
            self.remove_all_listeners()


@dataclass(slots=True)
class EncodedFrame:
    """One encoded access unit.

    Args:
        data: The bytes: Annex B for H.264, a frame for VP8, a packet for Opus.
        timestamp: In units of the codec's clock (90 kHz for video), 32 bits, may wrap.
        keyframe: Whether it decodes without earlier ones.
        capture_time: When it was captured, seconds of `time.monotonic`; None if unknown.
    """

    data: bytes
    timestamp: int
    keyframe: bool = False
    capture_time: float | None = None


class EncodedMediaTrack(MediaStreamTrack):
    """A track that delivers encoded frames, for hardware encoders and for encoders of one's own.

    The sender calls `start` with what was negotiated, then `recv` again and again, and hands back what the peer and
    the path want: override `request_keyframe` and `set_target_bitrate`.
    """

    def start(self, mime: str) -> None:
        """Called before the first `recv` with the negotiated MIME type, for example `video/H264`."""

    def request_keyframe(self) -> None:
        """The peer cannot decode: the next frame should be a key frame."""

    def set_target_bitrate(self, bitrate: float) -> None:
        """The path carries this many bit/s."""

    async def recv(self) -> EncodedFrame:
        """Return the next encoded frame."""
        raise NotImplementedError


class EncodedVideoTrack(EncodedMediaTrack):
    """An encoded track of kind video."""

    kind = "video"


class RemoteStreamTrack(MediaStreamTrack):
    """What the peer sends.

    `recv_encoded` hands out frames as they came; `recv` decodes them (extra `media`). Use one of the two. A reader
    that is too slow loses the oldest frames, up to the next key frame for video.
    """

    def __init__(self, kind: str, track_id: str, request_keyframe: Callable[[], None]) -> None:
        super().__init__()
        self.kind = kind
        if track_id:
            self.id = track_id
        self.dropped = 0
        self._request_keyframe = request_keyframe
        self._frames: deque[tuple[str, EncodedFrame]] = deque()
        self._pictures: deque[Any] = deque()
        self._arrived = asyncio.Event()
        self._skip_to_keyframe = False
        self._decoder: Any = None
        self._mime = ""  # what the decoder decodes: the peer may change the codec in the middle
        self._executor: ThreadPoolExecutor | None = None

    def deliver(self, mime: str, frame: EncodedFrame) -> None:
        """Take a frame from the receiver."""
        if self.readyState == "ended":
            return
        if self._skip_to_keyframe and not frame.keyframe:
            self.dropped += 1
            return
        self._skip_to_keyframe = False
        if len(self._frames) >= MAX_RECEIVED_FRAMES:
            self.dropped += 1
            if self.kind == "video":  # frames build on each other: what follows a gap is useless up to a key frame
                self.dropped += len(self._frames) - 1 + (not frame.keyframe)
                self._frames.clear()
                if not frame.keyframe:
                    self._skip_to_keyframe = True
                    self._request_keyframe()
                    return
            else:
                self._frames.popleft()
        self._frames.append((mime, frame))
        self._arrived.set()

    async def _next(self) -> tuple[str, EncodedFrame]:
        while not self._frames:
            if self.readyState == "ended":
                raise MediaStreamError("the track has ended")
            self._arrived.clear()
            await self._arrived.wait()
        return self._frames.popleft()

    async def recv_encoded(self) -> EncodedFrame:
        """Return the next encoded frame.

        Raises:
            MediaStreamError: The track has ended.
        """
        return (await self._next())[1]

    async def recv(self) -> Any:
        """Return the next decoded `av.VideoFrame`.

        Raises:
            MediaStreamError: The track has ended.
            NotSupportedError: There is no decoder for this codec; use `recv_encoded`.
        """
        loop = asyncio.get_running_loop()
        while not self._pictures:
            mime, frame = await self._next()
            if self._decoder is None or self._mime != mime:
                from .codecs import create_decoder

                self._decoder, self._mime = create_decoder(mime), mime
            if self._executor is None:
                if self.readyState == "ended":
                    raise MediaStreamError("the track has ended")
                self._executor = ThreadPoolExecutor(1, "decoder")
            pictures = await loop.run_in_executor(self._executor, self._decoder.decode, frame.data)
            for picture in pictures:
                picture.pts, picture.time_base = frame.timestamp, Fraction(1, 90000)
            self._pictures.extend(pictures)
            if not pictures and self._decoder.keyframe_needed:
                self._request_keyframe()
        return self._pictures.popleft()

    def stop(self) -> None:
        """End the track and free its decoder."""
        super().stop()
        self._arrived.set()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
            self._executor = None
