"""The encoders and decoders: one frame in, one frame out, keyframes and bit rate on demand."""

import av
import numpy as np
import pytest

from stack.core import LocalError
from stack.media import VideoDecoder, create_encoder
from stack.media.decoder import MAX_ENCODED_FRAME
from stack.media.encoder import MAX_BITRATE, MAX_DIMENSION, MIN_BITRATE

MIMES = ["video/H264", "video/VP8"]
WIDTH, HEIGHT = 320, 180


@pytest.fixture(params=MIMES)
def mime(request):
    return request.param


def pictures(count, seed=1, grain=20):
    """Coloured noise that moves to the left and changes a little."""
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 255, (HEIGHT // grain, 1200 // grain, 3), np.uint8).repeat(grain, 0).repeat(grain, 1)
    found = []
    for i in range(count):
        wide[:grain] = rng.integers(0, 255, (1, wide.shape[1], 3))
        found.append(np.ascontiguousarray(wide[:, 4 * i % 800 : 4 * i % 800 + WIDTH]))
    return found


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def test_one_frame_in_one_decodable_frame_out(mime):
    encoder, decoder = create_encoder(mime, WIDTH, HEIGHT, bitrate=1_000_000), VideoDecoder(mime)
    for index, picture in enumerate(pictures(20)):
        data = encoder.encode(picture)
        (shown,) = decoder.decode(data)
        assert encoder.keyframe == (index == 0)
        assert psnr(picture, shown.to_ndarray(format="rgb24")) > 20
    assert not decoder.keyframe_needed


def test_a_keyframe_on_demand_decodes_alone(mime):
    encoder = create_encoder(mime, WIDTH, HEIGHT)
    data = [encoder.encode(picture, keyframe=i == 7) for i, picture in enumerate(pictures(10))]
    late = VideoDecoder(mime)
    assert late.keyframe_needed
    assert len(late.decode(data[7])) == 1
    assert len(late.decode(data[8])) == 1


def test_h264_is_constrained_baseline_with_parameter_sets_at_every_keyframe():
    encoder = create_encoder("video/H264", WIDTH, HEIGHT)
    for picture in pictures(3):
        data = encoder.encode(picture, keyframe=True)
        sps = data.index(b"\x00\x00\x01\x67") + 4
        assert data[sps] == 66  # profile_idc: baseline
        assert b"\x00\x00\x01\x68" in data
        assert b"\x00\x00\x01\x65" in data


def test_a_frame_of_another_kind_and_size_is_converted(mime):
    encoder, decoder = create_encoder(mime, WIDTH, HEIGHT), VideoDecoder(mime)
    frame = av.VideoFrame(640, 480, "yuv444p")
    frame.pict_type = av.video.frame.PictureType.I  # as a decoder would leave it
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    (shown,) = decoder.decode(encoder.encode(frame))
    assert (shown.width, shown.height) == (WIDTH, HEIGHT)
    encoder.encode(frame)
    assert not encoder.keyframe


def test_a_much_lower_bitrate_is_taken_and_met(mime):
    encoder = create_encoder(mime, WIDTH, HEIGHT, fps=30, bitrate=1_500_000)
    data = [encoder.encode(picture) for picture in pictures(40, grain=4)]
    encoder.set_bitrate(200_000)
    lower = [encoder.encode(picture) for picture in pictures(90, seed=2, grain=10)]
    assert encoder.bitrate == 200_000
    assert sum(map(len, data)) * 8 * 30 / 40 > 600_000
    assert sum(map(len, lower[30:])) * 8 * 30 / 60 < 300_000


def test_a_small_or_hasty_change_waits_for_a_keyframe(mime):
    encoder = create_encoder(mime, WIDTH, HEIGHT, fps=30, bitrate=1_000_000)
    first, second, *more = pictures(40)
    encoder.encode(first)
    encoder.set_bitrate(300_000)  # a lot, but a frame after the start
    encoder.encode(second)
    assert encoder.bitrate == 1_000_000
    encoder.set_bitrate(950_000)  # not worth a keyframe
    for picture in more:
        encoder.encode(picture)
    assert encoder.bitrate == 1_000_000
    encoder.encode(first, keyframe=True)
    assert encoder.bitrate == 950_000


def test_the_bitrate_is_clamped(mime):
    encoder = create_encoder(mime, WIDTH, HEIGHT, bitrate=1)
    assert encoder.bitrate == MIN_BITRATE
    encoder.set_bitrate(10**12)
    encoder.encode(pictures(1)[0], keyframe=True)
    assert encoder.bitrate == MAX_BITRATE


@pytest.mark.parametrize(("width", "height"), [(321, 180), (320, 181), (0, 0), (MAX_DIMENSION + 2, 180), (-2, 16)])
def test_an_unusable_size_is_refused(mime, width, height):
    with pytest.raises(LocalError, match="must be even"):
        create_encoder(mime, width, height)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((HEIGHT, WIDTH), np.uint8), np.zeros((WIDTH, HEIGHT, 3), np.uint8), np.zeros((HEIGHT, WIDTH, 3))],
)
def test_a_picture_of_another_shape_is_refused(mime, picture):
    encoder = create_encoder(mime, WIDTH, HEIGHT)
    with pytest.raises(LocalError, match="wanted uint8"):
        encoder.encode(picture)


def test_unknown_codecs_are_refused():
    with pytest.raises(LocalError, match="no encoder"):
        create_encoder("video/H266", WIDTH, HEIGHT)
    with pytest.raises(LocalError, match="no decoder"):
        VideoDecoder("video/theora")
    with pytest.raises(LocalError, match="fps"):
        create_encoder("video/VP8", WIDTH, HEIGHT, fps=0)
    with pytest.raises(LocalError, match="number"):
        create_encoder("video/VP8", WIDTH, HEIGHT, bitrate=float("nan"))


@pytest.mark.parametrize("data", [b"\x00", b"\xff" * 50, bytes(1000)])
def test_damage_never_raises(mime, data):
    decoder = VideoDecoder(mime)
    assert decoder.decode(data) == []
    assert decoder.keyframe_needed


def test_damage_is_counted_and_asks_for_a_keyframe(mime):
    decoder = VideoDecoder(mime)
    assert decoder.decode(bytes(MAX_ENCODED_FRAME + 1)) == []
    assert decoder.failed == 1
    assert decoder.decode(b"") == []
    assert decoder.failed == 1
    encoder = create_encoder(mime, WIDTH, HEIGHT)
    assert len(decoder.decode(encoder.encode(pictures(1)[0]))) == 1
    assert not decoder.keyframe_needed


def test_a_decoder_survives_every_truncation(mime):
    encoder, decoder = create_encoder(mime, WIDTH, HEIGHT), VideoDecoder(mime)
    data = encoder.encode(pictures(1)[0])
    for size in range(0, len(data), len(data) // 20):
        assert len(decoder.decode(data[:size])) <= 1
    fresh = VideoDecoder(mime)
    assert len(fresh.decode(data)) == 1
