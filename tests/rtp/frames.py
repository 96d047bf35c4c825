"""Frames of every format, as encoders make them as far as packetizers look."""

from .support import body, h264_frame, vp8_frame


def vp9_frame(number, *, keyframe=False, size=3000):
    """A VP9 frame: marker, profile 0, frame type."""
    return bytes((0x82 if keyframe else 0x86,)) + body(number, size)


def obu(kind, payload, *, extension=None):
    """An OBU with its size, and an extension header if given."""
    size, head = len(payload), bytes((kind << 3 | 2 | (4 if extension is not None else 0),))
    if extension is not None:
        head += bytes((extension,))
    out = bytearray()
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return head + bytes(out) + payload


def av1_frame(number, *, keyframe=False, size=3000):
    """A temporal unit: a delimiter, a sequence header before keyframes, one frame."""
    head = obu(2, b"") + (obu(1, b"\x00\x00\x00\x02\xaf\xff") if keyframe else b"")
    return head + obu(6, (b"\x10" if keyframe else b"\x30") + body(number, size))


def h265_frame(number, *, keyframe=False, size=3000):
    """An access unit: parameter sets before keyframes, one slice segment."""
    parts = [b"\x40\x01vps", b"\x42\x01sps", b"\x44\x01pps"] if keyframe else []
    parts.append((b"\x26\x01" if keyframe else b"\x02\x01") + body(number, size))
    return b"".join(b"\0\0\0\1" + part for part in parts)


VIDEO = {
    "video/h264": h264_frame,
    "video/vp8": vp8_frame,
    "video/vp9": vp9_frame,
    "video/av1": av1_frame,
    "video/h265": h265_frame,
}


def audio_frame(number, *, size=160):
    """A packet of any audio codec."""
    return number.to_bytes(4, "big") + body(number, size - 4)
