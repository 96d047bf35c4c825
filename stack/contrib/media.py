"""Files, devices and relays, where programs written for aiortc look for them. All of it is in `stack.media`."""

from ..media import MediaBlackhole, MediaPlayer, MediaRecorder, MediaRelay

__all__ = ["MediaBlackhole", "MediaPlayer", "MediaRecorder", "MediaRelay"]
