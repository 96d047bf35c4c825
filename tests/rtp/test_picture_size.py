"""How large key frames are, of the codecs that tell."""

import fractions

import pytest

from stack.rtp import picture_size

av = pytest.importorskip("av")

ENCODERS = {
    "video/vp8": ("libvpx", "yuv420p", {"deadline": "realtime"}),
    "video/vp9": ("libvpx-vp9", "yuv420p", {"deadline": "realtime"}),
    "video/h264": ("libx264", "yuv420p", {"preset": "ultrafast", "profile": "baseline"}),
    "high": ("libx264", "yuv420p", {"preset": "ultrafast", "profile": "high", "x264-params": "interlaced=1"}),
    "444": ("libx264", "yuv444p", {"preset": "ultrafast"}),
    "vp9-444": ("libvpx-vp9", "yuv444p", {"deadline": "realtime"}),
}
MIMES = {"high": "video/h264", "444": "video/h264", "vp9-444": "video/vp9"}


def key_frame(name, width, height):
    codec, pixels, options = ENCODERS[name]
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, pixels
    encoder.time_base, encoder.options = fractions.Fraction(1, 30), options
    frame = av.VideoFrame(width, height, pixels)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.pts = 0
    return bytes([*encoder.encode(frame), *encoder.encode(None)][0])


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [(640, 360), (322, 184), (1920, 1080)])
def test_of_an_encoder(name, size):
    assert picture_size(MIMES.get(name, name), key_frame(name, *size)) == size


@pytest.mark.parametrize("name", ENCODERS)
def test_what_is_cut_off_has_no_size_or_the_same(name):
    frame, mime = key_frame(name, 640, 360), MIMES.get(name, name)
    found = {picture_size(mime, frame[:end]) for end in range(64)}
    assert found <= {None, (640, 360)}
    assert None in found


@pytest.mark.parametrize(
    ("mime", "frame"),
    [
        ("video/vp8", b"\x11\x02\0" + bytes(20)),
        ("video/vp9", b"\x84" + bytes(20)),
        ("video/vp9", bytes(20)),
        ("video/h264", b"\0\0\1\x65" + bytes(20)),
        ("video/h264", b"\0\0\1\x67" + bytes(20)),
        ("video/h264", b""),
        ("video/av1", bytes(20)),
        ("audio/opus", bytes(20)),
    ],
)
def test_what_has_none(mime, frame):
    assert picture_size(mime, frame) is None


def test_a_size_that_its_crop_leaves_nothing_of():
    """Baseline, 16x16, a crop of 8 units on each side."""
    bits = "".join(["1", "1", "011", "1", "0", "1", "1", "1", "1", "1", *["0001001"] * 4, "1"])
    bits += "0" * (-len(bits) % 8)
    unit = bytes([66, 0, 30]) + int(bits, 2).to_bytes(len(bits) // 8, "big")
    assert picture_size("video/h264", b"\0\0\1\x67" + unit) is None
