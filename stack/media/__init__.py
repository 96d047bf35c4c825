"""Video encoders and decoders over PyAV, behind one small interface; needs the extra `webrtc-stack[media]`.

Everything here is blocking and CPU-bound: call it from a worker thread, never from the event loop. One codec object
belongs to one thread at a time.
"""

try:
    import av as _av  # noqa: F401  asked for here so that the message names the extra, not a module deep inside
    import numpy as np  # noqa: F401  the same
except ImportError as error:
    raise ImportError("stack.media needs PyAV and NumPy: pip install webrtc-stack[media]") from error

from .decoder import VideoDecoder
from .encoder import H264Encoder, VideoEncoder, VP8Encoder, create_encoder
from .worker import Worker

__all__ = ["H264Encoder", "VP8Encoder", "VideoDecoder", "VideoEncoder", "Worker", "create_encoder"]
