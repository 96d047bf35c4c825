"""One encoding of a track on its way to the connection: what encodes it, and the task that takes its frames."""

import asyncio
from typing import TYPE_CHECKING, Any, Final

from ..core import LocalError
from ..media import EncodedFrame, FrameQueue
from ..peer import NotSupportedError, Transceiver
from ..peer.layers import Layer
from .tracks import EncodedMediaTrack, MediaStreamError, MediaStreamTrack

if TYPE_CHECKING:
    from .transceivers import Transceivers

DEFAULT_VIDEO_BITRATE: Final = 1_500_000
"""bit/s for pictures that we encode, until the path says otherwise: 720p at rest, 360p in motion."""


def check_source(track: MediaStreamTrack | None, encodings: int) -> None:
    """Refuse what cannot be had in several sizes.

    Raises:
        NotSupportedError: The track is encoded, and there are several encodings.
    """
    if encodings > 1 and isinstance(track, EncodedMediaTrack):
        raise NotSupportedError(
            f"an encoded track is sent as it is, and cannot be {encodings} encodings: give a track of pictures, or one "
            "transceiver for each size"
        )


def sources(connection: "Transceivers", track: MediaStreamTrack, encodings: int) -> list[MediaStreamTrack]:
    """Return what each encoding is to read: the track itself if there is one only."""
    return [track] if encodings == 1 else [*_Fan(connection, track, encodings).shares]


class _Fan:
    """Reads a track for several encoders, while one of them is there."""

    def __init__(self, connection: "Transceivers", track: MediaStreamTrack, encodings: int) -> None:
        self.track = track
        self.shares = [_Share(self) for _ in range(encodings)]
        self._task = connection.run_sender(self._read())

    def remove(self, share: "_Share") -> None:
        """Leave an encoder out from now on."""
        if share in self.shares:
            self.shares.remove(share)
        if not self.shares:
            self._task.cancel()

    async def _read(self) -> None:
        try:
            while True:
                frame = await self.track.recv()
                if not hasattr(frame, "width"):
                    raise NotSupportedError("packets are encoded already and cannot be had in several sizes")
                for share in self.shares:
                    share.queue.put(frame, keyframe=True)
                await asyncio.sleep(0)  # a source that never waits must not keep everybody else from running
        except MediaStreamError:
            pass
        finally:
            for share in self.shares:
                share.queue.close()


class _Share(MediaStreamTrack):
    """The pictures of a track for one of several encoders: always the newest one."""

    def __init__(self, fan: _Fan) -> None:
        self._fan = fan
        self.kind = fan.track.kind
        super().__init__()
        self.queue: FrameQueue[Any] = FrameQueue(1, chained=False)

    @property
    def enabled(self) -> bool:
        """As the track says."""
        return self._fan.track.enabled

    @enabled.setter
    def enabled(self, value: bool) -> None:
        """The track says that."""

    async def recv(self) -> Any:
        """Return the next picture."""
        return await self.queue.get()

    def stop(self) -> None:
        """Leave the track alone from now on."""
        super().stop()
        self.queue.close()
        self._fan.remove(self)


class SentEncoding:
    """Sends one encoding of a track until it is stopped, or the track ends.

    Args:
        connection: Where to.
        transceiver: On which.
        layer: Which encoding.
        source: What to send, an encoded track as it is.
        mime: What was negotiated.
    """

    def __init__(
        self,
        connection: "Transceivers",
        transceiver: Transceiver,
        layer: Layer,
        source: MediaStreamTrack,
        mime: str,
    ) -> None:
        self._connection, self._transceiver, self._layer = connection, transceiver, layer
        self._source = source
        self._encoded: EncodedMediaTrack | None = None  # the source itself, or what encodes it
        # One of several is told that its turn has come.
        self._bitrate: float = layer.target_bitrate or (0 if transceiver.simulcast else DEFAULT_VIDEO_BITRATE)
        self._task = connection.run_sender(self._run(mime))

    def limit(self) -> None:
        """Have the encoder do what `setParameters` has changed."""
        if self._encoded is not None:
            encoding = self._layer.encoding
            self._encoded.set_limits(encoding.scale_resolution_down_by, encoding.max_framerate)

    def request_keyframe(self) -> None:
        """The peer wants a key frame."""
        if self._encoded is not None:
            self._encoded.request_keyframe()

    def set_target_bitrate(self, bitrate: float) -> None:
        """The path carries this many bit/s."""
        self._bitrate = bitrate
        if self._encoded is not None:
            self._encoded.set_target_bitrate(bitrate)

    def stop(self) -> None:
        """End it; the track goes on."""
        self._task.cancel()

    async def _run(self, mime: str) -> None:
        source = self._source
        encoded = source if isinstance(source, EncodedMediaTrack) else _encoding(source, mime, int(self._bitrate))
        self._encoded = encoded
        try:
            encoded.start(mime)
            self.limit()
            with encoded.handing_over(lambda frame: self._take(encoded, frame)):
                while True:
                    self._send(encoded, await encoded.recv())
        except MediaStreamError:
            return
        finally:
            if encoded is not source:
                encoded.stop()
            if isinstance(source, _Share):
                source.stop()

    def _send(self, encoded: EncodedMediaTrack, frame: EncodedFrame) -> None:
        self._connection.send_frame(self._transceiver, frame, self._layer.rid, encoded.picture_size)

    def _take(self, encoded: EncodedMediaTrack, frame: EncodedFrame) -> bool:
        """Send what was just pushed; what cannot be sent is left to the task, whose failure is reported."""
        if self._task.cancelling():
            return False
        try:
            self._send(encoded, frame)
        except LocalError:
            return False
        return True


def _encoding(track: MediaStreamTrack, mime: str, video_bitrate: int) -> EncodedMediaTrack:
    """Return `track` encoded by us.

    Raises:
        NotSupportedError: The extra `media` is not installed.
    """
    try:
        from ..media import EncodingTrack
    except ImportError as error:
        raise NotSupportedError(f"cannot encode {mime}: {error}; send an EncodedMediaTrack instead") from error
    return EncodingTrack(track, bitrate=video_bitrate if track.kind == "video" else None)
