"""Media tracks: what a sender reads from and a receiver hands out."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from ..core import LocalError
from ..media import (
    AudioStreamTrack,
    EncodedAudioTrack,
    EncodedFrame,
    EncodedMediaTrack,
    EncodedVideoTrack,
    FrameQueue,
    MediaStreamError,
    MediaStreamTrack,
    VideoStreamTrack,
)
from ..media.frames import TIMESTAMP_MASK
from ..peer import NotSupportedError

if TYPE_CHECKING:
    from ..media import Decoder

__all__ = [
    "AudioStreamTrack",
    "EncodedAudioTrack",
    "EncodedFrame",
    "EncodedMediaTrack",
    "EncodedVideoTrack",
    "MediaStreamError",
    "MediaStreamTrack",
    "RemoteStreamTrack",
    "VideoStreamTrack",
]

MAX_RECEIVED_FRAMES: Final = 30
"""Encoded frames that wait for a slow reader, a second of video; past that the oldest are dropped."""


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
        self._request_keyframe = request_keyframe
        self._queue: FrameQueue[tuple[str, EncodedFrame]] = FrameQueue(
            MAX_RECEIVED_FRAMES, chained=kind == "video", on_gap=self.request_keyframe
        )
        self._frames = self._queue.items
        self._pictures: deque[Any] = deque()
        self._decoder: Decoder | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._origin = 0  # RTP timestamp that becomes 0: senders begin anywhere

    @property
    def dropped(self) -> int:
        """Frames that the reader was too slow for."""
        return self._queue.dropped

    def request_keyframe(self) -> None:
        """Ask the peer for a key frame: a new reader of encoded frames can begin with nothing else."""
        self._request_keyframe()

    def deliver(self, mime: str, frame: EncodedFrame) -> None:
        """Take a frame from the receiver."""
        if self.readyState == "ended":
            return
        frame.mime = mime
        self._queue.put((mime, frame), keyframe=frame.keyframe)

    async def recv_encoded(self) -> EncodedFrame:
        """Return the next encoded frame.

        Raises:
            MediaStreamError: The track has ended.
        """
        return (await self._queue.get())[1]

    async def recv(self) -> Any:
        """Return the next decoded `av.VideoFrame` or `av.AudioFrame`. Their `pts` count from the first one that came.

        Raises:
            MediaStreamError: The track has ended.
            NotSupportedError: There is no decoder for this codec; use `recv_encoded`.
        """
        loop = asyncio.get_running_loop()
        while not self._pictures:
            mime, frame = await self._queue.get()
            if self._executor is None:
                if self.readyState == "ended":
                    raise MediaStreamError("the track has ended")
                self._executor = ThreadPoolExecutor(1, "decoder")
                self._origin = frame.timestamp
            frame.timestamp = (frame.timestamp - self._origin) & TIMESTAMP_MASK
            pictures, keyframe_needed = await loop.run_in_executor(self._executor, self._decode, mime, frame)
            self._pictures.extend(pictures)
            if keyframe_needed:
                self.request_keyframe()
        return self._pictures.popleft()

    def _decode(self, mime: str, frame: EncodedFrame) -> tuple[list[Any], bool]:
        """On the worker, where loading PyAV disturbs nobody: return pictures, and whether a keyframe is needed."""
        if self._decoder is None or self._decoder.mime != mime:  # the peer may change the codec in the middle
            self._decoder = _create_decoder(mime)
        pictures: list[Any] = list(self._decoder.decode(frame))
        return pictures, not pictures and self._decoder.keyframe_needed

    def stop(self) -> None:
        """End the track and free its decoder."""
        super().stop()
        self._queue.close()
        if self._executor is not None:
            self._executor.shutdown(wait=False)  # a cancelled job would cancel whoever waits in `recv`
            self._executor = None


def _create_decoder(mime: str) -> "Decoder":
    try:
        from ..media import Decoder

        return Decoder(mime)
    except (ImportError, LocalError) as error:
        raise NotSupportedError(f"cannot decode {mime}: {error}; recv_encoded() gives the encoded frames") from error
