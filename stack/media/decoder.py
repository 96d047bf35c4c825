"""Decoding by PyAV: encoded frames in, pictures and samples out."""

from fractions import Fraction
from typing import Any, Final

import av

from ..core import LocalError
from .audio import AudioDecoder
from .frames import EncodedFrame, TimestampUnwrapper, clock_rate

MAX_ENCODED_FRAME: Final = 8_000_000  # bytes; a keyframe at 50 Mbit/s is far smaller, a larger one is an attack
_CODECS: Final = {
    "video/h264": "h264",
    "video/h265": "hevc",
    "video/vp8": "vp8",
    "video/vp9": "vp9",
    "video/av1": "libdav1d",
}


class VideoDecoder:
    """Decodes one stream. Not thread-safe: use it from one worker, never on the event loop.

    Args:
        mime: `video/H264`, `video/VP8`, `video/VP9`, `video/AV1` or `video/H265` (in any case).

    Attributes:
        failed: Frames that did not decode since the start.
        keyframe_needed: Whether only a keyframe can bring the picture back; ask the sender for one (PLI).

    Raises:
        LocalError: If there is no decoder for `mime`.
    """

    def __init__(self, mime: str) -> None:
        try:
            codec = _CODECS[mime.lower()]
        except KeyError:
            raise LocalError(f"no decoder for {mime!r}") from None
        try:
            self._context: Any = av.CodecContext.create(codec, "r")
        except av.codec.codec.UnknownCodecError as error:
            raise LocalError(f"this build of PyAV has no decoder for {mime!r}") from error
        self._context.thread_count = 1  # frame threads hold frames back
        self._context.options = {"flags": "low_delay"}
        self.mime = mime
        self.failed = 0
        self.keyframe_needed = True

    def decode(self, data: bytes) -> "list[av.VideoFrame]":
        """Decode one encoded frame. Never raises on what the network sent: damage shows in `failed`.

        Args:
            data: A whole frame: an access unit in Annex B form, a VP8 or VP9 frame, an AV1 temporal unit.

        Returns:
            The pictures that are complete now, usually one; none if the frame was damaged.
        """
        if not data:
            return []
        if len(data) > MAX_ENCODED_FRAME:
            return self._fail()
        try:
            frames: list[av.VideoFrame] = self._context.decode(av.Packet(data))
        except (av.FFmpegError, ValueError):
            return self._fail()
        if frames:
            self.keyframe_needed = False
        return frames

    def _fail(self) -> "list[av.VideoFrame]":
        self.failed += 1
        self.keyframe_needed = True
        return []


class Decoder:
    """Decodes frames of one track with their times: what a receiver uses, for video and audio alike.

    Args:
        mime: Of the frames, in any case.

    Raises:
        LocalError: If there is no decoder for it.
    """

    def __init__(self, mime: str) -> None:
        self.mime = mime
        self._codec: VideoDecoder | AudioDecoder
        if mime.lower().startswith("audio/"):
            self._codec = AudioDecoder(mime)
        else:
            self._codec = VideoDecoder(mime)
        self._time_base = Fraction(1, clock_rate(mime))
        self._unwrapper = TimestampUnwrapper()

    @property
    def keyframe_needed(self) -> bool:
        """Whether only a keyframe can bring the picture back."""
        return self._codec.keyframe_needed

    @property
    def failed(self) -> int:
        """Frames that did not decode."""
        return self._codec.failed

    def decode(self, frame: EncodedFrame) -> "list[av.VideoFrame | av.AudioFrame]":
        """Return what is complete now; `pts` is the RTP timestamp, going on past its wrap."""
        pts = self._unwrapper.unwrap(frame.timestamp)
        found: list[Any] = list(self._codec.decode(frame.data))
        for picture in found:
            picture.pts, picture.time_base = pts, self._time_base
        return found
