"""Payload formats by MIME type, in lower case."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..core import LocalError
from .audio import AUDIO_FORMATS
from .av1 import AV1
from .h264 import H264
from .h265 import H265
from .vp8 import VP8
from .vp9 import VP9


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

    def depacketize(self, payloads: Sequence[bytes]) -> bytes:
        """Return the frame of complete and ordered payloads.

        Raises:
            ParseError: If they do not make one.
        """
        ...

    def is_keyframe(self, frame: bytes) -> bool:
        """Tell whether `frame` can be decoded without others."""
        ...

    def begins_keyframe(self, payload: bytes) -> bool | None:
        """Tell whether `payload` is the first of a keyframe; None if that depends on where the last frame ended."""
        ...


_H264_MODE_0 = H264(packetization_mode=0)

FORMATS: dict[str, PayloadFormat] = {
    format_.mime: format_ for format_ in (H264(), VP8(), VP9(), AV1(), H265(), *AUDIO_FORMATS)
}
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
