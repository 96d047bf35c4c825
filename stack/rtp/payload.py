"""Payload formats by MIME type, in lower case."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..core import LocalError
from .h264 import H264
from .opus import Opus
from .vp8 import VP8


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


FORMATS: dict[str, PayloadFormat] = {format_.mime: format_ for format_ in (H264(), VP8(), Opus())}
PACKETIZERS: Mapping[str, PayloadFormat] = FORMATS
DEPACKETIZERS: Mapping[str, PayloadFormat] = FORMATS


def payload_format(mime: str) -> PayloadFormat:
    """Return the format of a MIME type in any case.

    Raises:
        LocalError: If there is none.
    """
    found = FORMATS.get(mime.lower())
    if found is None:
        raise LocalError(f"no payload format for {mime}")
    return found
