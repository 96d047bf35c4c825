"""The car's camera as an encoded video track: rendering and encoding happen on a worker thread."""

import asyncio
from collections import deque
from typing import Final

from stack import EncodedFrame, EncodedVideoTrack, MediaStreamError

from ..media import VideoEncoder, Worker, create_encoder
from .camera import Camera, View

MAX_QUEUED: Final = 2  # encoded frames that the sender has not taken; more would only be delay


class CarVideoTrack(EncodedVideoTrack):
    """What one driver sees. Pictures are made only while the sender takes them.

    An encoded frame is never dropped, because the ones after it depend on it: when the sender falls behind, the next
    picture is not rendered at all.

    Args:
        camera: Used on the worker's thread only.
        worker: Shared by successive drivers, one thread for one camera.
        fps: Pictures per second.
        bitrate: To begin with, bit/s; never exceeded.
    """

    def __init__(self, camera: Camera, worker: Worker, fps: int, bitrate: int) -> None:
        super().__init__()
        self._camera = camera
        self._worker = worker
        self._fps = fps
        self._max_bitrate = bitrate
        self._bitrate = bitrate
        self._event_loop = asyncio.get_running_loop()
        self._mime: str | None = None
        self._encoder: VideoEncoder | None = None  # touched by the worker only
        self._keyframe = True
        self._busy = False
        self._frames: deque[EncodedFrame] = deque()
        self._arrived = asyncio.Event()

    def start(self, mime: str) -> None:
        """Begin to make pictures in the negotiated format."""
        self._mime = mime
        self._keyframe = True

    def request_keyframe(self) -> None:
        """Make the next picture decodable without the ones before it."""
        self._keyframe = True

    def set_target_bitrate(self, bitrate: float) -> None:
        """Follow what the path allows, in bit/s, up to what was configured."""
        self._bitrate = round(min(bitrate, self._max_bitrate))

    def wants_picture(self) -> bool:
        """Whether the format is known, the worker is idle and the sender keeps up."""
        return self._mime is not None and not self._busy and len(self._frames) < MAX_QUEUED

    def show(self, view: View, capture_time: float) -> None:
        """Have `view` rendered, encoded and queued for the sender."""
        mime, keyframe, bitrate = self._mime, self._keyframe, self._bitrate
        if mime is None:
            return
        self._keyframe = False
        self._busy = True
        self._worker.submit(lambda: self._make(view, capture_time, mime, bitrate, keyframe=keyframe))

    async def recv(self) -> EncodedFrame:
        """Return the next encoded frame, waiting for it.

        Raises:
            MediaStreamError: The track has ended.
        """
        while not self._frames:
            if self.readyState == "ended":
                raise MediaStreamError("the track has ended")
            self._arrived.clear()
            await self._arrived.wait()
        return self._frames.popleft()

    def stop(self) -> None:
        """End the track; whoever waits in `recv` is told."""
        super().stop()
        self._mime = None
        self._frames.clear()
        self._arrived.set()

    def _make(self, view: View, capture_time: float, mime: str, bitrate: int, *, keyframe: bool) -> None:
        """Render and encode; runs on the worker."""
        frame = None
        error: Exception | None = None
        try:
            if self._encoder is None or self._encoder.mime.lower() != mime.lower():
                camera = self._camera
                self._encoder = create_encoder(mime, camera.width, camera.height, self._fps, bitrate)
            self._encoder.set_bitrate(bitrate)
            data = self._encoder.encode(self._camera.render(view), keyframe=keyframe)
            if data:
                timestamp = round(capture_time * 90_000) & 0xFFFFFFFF
                frame = EncodedFrame(
                    data=data, timestamp=timestamp, keyframe=self._encoder.keyframe, capture_time=capture_time
                )
        except Exception as caught:  # noqa: BLE001  a worker must not die silently: the loop is told
            error = caught
        try:
            self._event_loop.call_soon_threadsafe(self._deliver, frame, error)
        except RuntimeError:  # the loop has closed while this picture was made
            return

    def _deliver(self, frame: EncodedFrame | None, error: Exception | None) -> None:
        self._busy = False
        if error is not None:
            self._encoder = None
            self._keyframe = True
            self._event_loop.call_exception_handler({"message": "the camera failed on a picture", "exception": error})
        if frame is not None and self._mime is not None:
            self._frames.append(frame)
            self._arrived.set()
