"""Tracks, encoders and decoders, files: what carries and makes media.

Tracks of encoded frames need nothing but Python. Whatever touches pictures or samples needs PyAV and NumPy, the extra
`webrtc-stack[media]`, and is imported when it is first asked for. Codecs are blocking and CPU-bound: they belong on a
worker thread, never on the event loop. One codec object belongs to one thread at a time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from .frames import EncodedFrame, FrameLimiter, FrameQueue, MediaStreamError, TimestampUnwrapper, rtp_timestamp
from .tracks import (
    AudioStreamTrack,
    EncodedAudioTrack,
    EncodedMediaTrack,
    EncodedVideoTrack,
    MediaStreamTrack,
    VideoStreamTrack,
)
from .worker import Worker

if TYPE_CHECKING:
    from .audio import AudioDecoder, AudioEncoder
    from .decoder import Decoder, VideoDecoder
    from .encoder import AV1Encoder, H264Encoder, VideoEncoder, VP8Encoder, VP9Encoder
    from .encoding import EncodingTrack
    from .hardware import choose_encoder, create_encoder
    from .patterns import TestPatternTrack, ToneTrack
    from .player import MediaPlayer
    from .recorder import MediaRecorder
    from .relay import MediaBlackhole, MediaRelay

__all__ = [
    "AV1Encoder",
    "AudioDecoder",
    "AudioEncoder",
    "AudioStreamTrack",
    "Decoder",
    "EncodedAudioTrack",
    "EncodedFrame",
    "EncodedMediaTrack",
    "EncodedVideoTrack",
    "EncodingTrack",
    "FrameLimiter",
    "FrameQueue",
    "H264Encoder",
    "MediaBlackhole",
    "MediaPlayer",
    "MediaRecorder",
    "MediaRelay",
    "MediaStreamError",
    "MediaStreamTrack",
    "TestPatternTrack",
    "TimestampUnwrapper",
    "ToneTrack",
    "VP8Encoder",
    "VP9Encoder",
    "VideoDecoder",
    "VideoEncoder",
    "VideoStreamTrack",
    "Worker",
    "choose_encoder",
    "create_encoder",
    "rtp_timestamp",
]

_WITH_PYAV: Final = {
    "AV1Encoder": "encoder",
    "AudioDecoder": "audio",
    "AudioEncoder": "audio",
    "Decoder": "decoder",
    "EncodingTrack": "encoding",
    "H264Encoder": "encoder",
    "MediaBlackhole": "relay",
    "MediaPlayer": "player",
    "MediaRecorder": "recorder",
    "MediaRelay": "relay",
    "TestPatternTrack": "patterns",
    "ToneTrack": "patterns",
    "VP8Encoder": "encoder",
    "VP9Encoder": "encoder",
    "VideoDecoder": "decoder",
    "VideoEncoder": "encoder",
    "choose_encoder": "hardware",
    "create_encoder": "hardware",
}


def __getattr__(name: str) -> Any:
    module = _WITH_PYAV.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f".{module}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name not in {"av", "numpy"}:
            raise
        raise ImportError(f"{name} needs PyAV and NumPy: pip install webrtc-stack[media]") from error
