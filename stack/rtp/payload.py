"""Payload formats by MIME type, in lower case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from ..core import LocalError
from . import av1, h264, h265, vp8, vp9
from .audio import AUDIO_FORMATS


class PayloadFormat(Protocol):
    """How one codec's frames become RTP payloads and back. Stateless: one object serves all streams."""

    @property
    def mime(self) -> str:
        """MIME type in lower case."""
        ...

    @property
    def is_video(self) -> bool:
        """Whether frames may span packets, end with the marker, and depend on earlier ones."""
        ...

    def packetize(self, frame: bytes, max_payload: int, frame_number: int = 0) -> list[bytes]:
        """Return the payloads of `frame`, at least one; `frame_number` counts the stream's frames.

        Raises:
            LocalError: If the frame is not one of this codec.
        """
        ...

    def depacketize(self, payloads: Sequence[bytes], /) -> bytes:
        """Return the frame of complete and ordered payloads.

        Raises:
            ParseError: If they do not make one.
        """
        ...

    def is_keyframe(self, frame: bytes, /) -> bool:
        """Tell whether `frame` can be decoded without others."""
        ...

    def begins_keyframe(self, payload: bytes, /) -> bool | None:
        """Tell whether `payload` is the first of a keyframe; None if that depends on where the last frame ended."""
        ...


class _Packetize(Protocol):
    def __call__(self, frame: bytes, max_payload: int, frame_number: int = 0) -> list[bytes]: ...


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """A payload format that the functions of one module make, each as `PayloadFormat` says."""

    is_video: ClassVar[bool] = True

    mime: str
    packetize: _Packetize
    depacketize: Callable[[Sequence[bytes]], bytes]
    is_keyframe: Callable[[bytes], bool]
    begins_keyframe: Callable[[bytes], bool | None]


_H264 = VideoFormat("video/h264", h264.packetize, h264.depacketize, h264.is_keyframe, h264.begins_keyframe)
# RFC 6184 section 6: the mode is the sender's; whatever comes is read.
_H264_MODE_0 = replace(_H264, packetize=h264.packetize_single)

_VIDEO_FORMATS = (
    _H264,
    VideoFormat("video/vp8", vp8.packetize, vp8.depacketize, vp8.is_keyframe, vp8.begins_keyframe),
    VideoFormat("video/vp9", vp9.packetize, vp9.depacketize, vp9.is_keyframe, vp9.begins_keyframe),
    VideoFormat("video/av1", av1.packetize, av1.depacketize, av1.is_keyframe, av1.begins_keyframe),
    VideoFormat("video/h265", h265.packetize, h265.depacketize, h265.is_keyframe, h265.begins_keyframe),
)
FORMATS: dict[str, PayloadFormat] = {format_.mime: format_ for format_ in (*_VIDEO_FORMATS, *AUDIO_FORMATS)}
PACKETIZERS: Mapping[str, PayloadFormat] = FORMATS
DEPACKETIZERS: Mapping[str, PayloadFormat] = FORMATS


def payload_format(mime: str, parameters: Mapping[str, str] | None = None) -> PayloadFormat:
    """Return the format of a MIME type in any case.

    Args:
        mime: For example `video/H264`.
        parameters: Of the `a=fmtp` line; H.264 is sent as its `packetization-mode` says, in mode 1 if None.

    Raises:
        LocalError: If there is none.
    """
    found = FORMATS.get(mime.lower())
    if found is None:
        raise LocalError(f"no payload format for {mime}")
    # RFC 6184 section 8.1: where the parameter is absent from a description, the mode is 0.
    if found.mime == "video/h264" and parameters is not None and parameters.get("packetization-mode", "0") == "0":
        return _H264_MODE_0
    return found
