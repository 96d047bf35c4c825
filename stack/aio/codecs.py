"""Where the asyncio API meets the optional codecs. PyAV is imported only when pixels are asked for."""

from typing import Any

from ..core import LocalError
from ..peer import NotSupportedError


def create_decoder(mime: str) -> Any:
    """Return a decoder for `mime`.

    Raises:
        NotSupportedError: The extra `media` is not installed, or it has no such decoder.
    """
    try:
        from ..media import VideoDecoder

        return VideoDecoder(mime)
    except (ImportError, LocalError) as error:
        raise NotSupportedError(f"cannot decode {mime}: {error}; recv_encoded() gives the encoded frames") from error


def create_encoder(mime: str, width: int, height: int, bitrate: int) -> Any:
    """Return an encoder for `mime`.

    Raises:
        NotSupportedError: The extra `media` is not installed, or it has no such encoder.
    """
    try:
        from ..media import create_encoder as create

        return create(mime, width, height, bitrate=bitrate)
    except (ImportError, LocalError) as error:
        raise NotSupportedError(f"cannot encode {mime}: {error}; send an EncodedVideoTrack instead") from error
