"""Pictures and samples of our own: frames are shared between consumers on several threads, so nobody may change one."""

import threading
from typing import Any

import av
from av.video.reformatter import VideoReformatter


class _Scaler(threading.local):
    """What scales pictures on one thread: a frame has one too, which two encoders of the frame must not use at once."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()


_scaler = _Scaler()


def black(width: int, height: int) -> av.VideoFrame:
    """Return a black picture."""
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, (16, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def silence(format_name: str, layout: str, samples: int, sample_rate: int) -> av.AudioFrame:
    """Return samples that are not heard."""
    frame = av.AudioFrame(format=format_name, layout=layout, samples=samples)
    level = b"\x80" if format_name.startswith("u8") else b"\x00"
    for plane in frame.planes:
        plane.update(level * plane.buffer_size)
    frame.sample_rate = sample_rate
    return frame


def own_picture(frame: av.VideoFrame, width: int, height: int, pixel_format: str) -> av.VideoFrame:
    """Return a picture in this form that is not the caller's, so that its times and type can be set."""
    converted: av.VideoFrame = _scaler.reformatter.reformat(frame, width=width, height=height, format=pixel_format)
    if converted is not frame:
        return converted
    copied = av.VideoFrame(width, height, pixel_format)
    pairs: list[tuple[Any, Any]] = list(zip(copied.planes, frame.planes, strict=True))
    if any((ours.line_size, ours.buffer_size) != (theirs.line_size, theirs.buffer_size) for ours, theirs in pairs):
        return av.VideoFrame.from_ndarray(frame.to_ndarray(), format=pixel_format)
    for ours, theirs in pairs:
        ours.update(theirs)
    return copied
