"""The encoders and decoders: one frame in, one frame out, keyframes and bit rate on demand."""

from fractions import Fraction

import av
import numpy as np
import pytest

from stack.core import LocalError
from stack.media import VideoDecoder, create_encoder
from stack.media.decoder import MAX_ENCODED_FRAME
from stack.media.encoder import MAX_BITRATE, MAX_DIMENSION, MAX_IN_FLIGHT, MIN_BITRATE

MIMES = ["video/H264", "video/VP8"]  # what browsers must have (RFC 7742 section 5)
ALL = [*MIMES, "video/VP9", "video/AV1"]
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


@pytest.mark.parametrize("mime", ALL)
def test_one_frame_in_one_decodable_frame_out(mime):
    encoder, decoder = create_encoder(mime, WIDTH, HEIGHT, bitrate=1_000_000), VideoDecoder(mime)
    for index, picture in enumerate(pictures(20)):
        data = encoder.encode(picture)
        (shown,) = decoder.decode(data)
        assert encoder.keyframe == (index == 0)
        assert psnr(picture, shown.to_ndarray(format="rgb24")) > 20
    assert not decoder.keyframe_needed


@pytest.mark.parametrize("mime", ALL)
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


def noise(count, seed=3):
    """Pictures that no encoder can shrink much, so that its rate control decides the size."""
    rng = np.random.default_rng(seed)
    whole = rng.integers(0, 255, (HEIGHT // 2, WIDTH // 2, 3), np.uint8)
    for i in range(count):
        whole[:20] = rng.integers(0, 255, whole[:20].shape)
        yield np.roll(whole, i, 1).repeat(2, 0).repeat(2, 1)


def rate(data, fps=30):
    return sum(map(len, data)) * 8 * fps / len(data)


@pytest.mark.parametrize("mime", ALL)
def test_a_change_of_bitrate_is_obeyed_within_a_fifth(mime):
    encoder = create_encoder(mime, WIDTH, HEIGHT, fps=30, bitrate=800_000, drops_frames=True)
    for picture in noise(30):
        encoder.encode(picture)
    for target in (300_000, 600_000):
        encoder.set_bitrate(target)
        data = [encoder.encode(picture) for picture in noise(200, target)]
        assert encoder.bitrate == target
        assert rate(data[140:]) == pytest.approx(target, rel=0.2)


@pytest.mark.parametrize("mime", ["video/H264", "video/VP8", "video/VP9"])
def test_a_bitrate_changes_with_the_next_frame_and_without_a_keyframe(mime):
    encoder = create_encoder(mime, WIDTH, HEIGHT, fps=30, bitrate=400_000, drops_frames=True)
    keyframes, rates = 0, []
    for target in (400_000, 150_000, 600_000, 300_000):
        encoder.set_bitrate(target)
        data = []
        for picture in noise(90, target):
            data.append(encoder.encode(picture))
            keyframes += encoder.keyframe
        assert encoder.bitrate == target
        rates.append(rate(data[45:]) / target)
    assert keyframes == 1
    assert rates == pytest.approx([1.0] * 4, rel=0.2)


@pytest.mark.parametrize("mime", ["video/VP8", "video/VP9"])
def test_libvpx_is_opened_again_where_its_buffer_would_be_of_another_size(mime):
    encoder = create_encoder(mime, WIDTH, HEIGHT, fps=30, bitrate=1_000_000)
    for picture in noise(60):
        encoder.encode(picture)
    before = encoder._context
    encoder.set_bitrate(50_000)
    encoder.encode(next(noise(1)))
    assert encoder._context is not before
    assert encoder.keyframe
    assert encoder.bitrate == 50_000
    before = encoder._context
    encoder.set_bitrate(2_000_000)
    encoder.encode(next(noise(1)))
    assert encoder._context is before  # not so soon after
    assert encoder.bitrate == 400_000
    for picture in noise(130):
        encoder.encode(picture)
    assert encoder._context is not before
    assert encoder.bitrate == 2_000_000


def test_h264_sizes_its_buffer_anew_when_a_keyframe_is_due_anyway():
    encoder = create_encoder("video/H264", WIDTH, HEIGHT, fps=30, bitrate=4_000_000)
    for picture in noise(5):
        encoder.encode(picture)
    encoder.set_bitrate(200_000)
    large = encoder._context
    keyframe = [encoder.encode(picture, keyframe=True) for picture in noise(1)]
    assert encoder._context is not large
    assert len(keyframe[0]) * 8 < 200_000 * 0.5  # half a second of the path


def test_pictures_are_left_out_until_a_lower_bitrate_is_taken():
    encoder = create_encoder("video/AV1", WIDTH, HEIGHT, fps=30, bitrate=1_500_000)
    for picture in noise(30):
        encoder.encode(picture)
    encoder._frames = 0  # as if its rate had just been changed
    encoder.set_bitrate(300_000)
    data = [encoder.encode(picture) for picture in noise(28)]
    assert encoder.bitrate == 1_500_000
    assert encoder.skipped > 5
    assert b"" in data
    assert rate(data) < 800_000
    skipped = encoder.skipped
    for picture in noise(30):
        encoder.encode(picture)
    assert encoder.bitrate == 300_000
    assert encoder.skipped <= skipped + 2


@pytest.mark.parametrize("fps", [10, 60])
def test_the_bitrate_holds_at_another_frame_rate_than_announced(mime, fps):
    encoder = create_encoder(mime, WIDTH, HEIGHT, fps=30, bitrate=600_000)
    data = []
    for number, picture in enumerate(noise(200)):
        encoded = encoder.encode_frame(picture, number * 90_000 // fps)
        data.append(b"".join(frame.data for frame in encoded))
    assert rate(data[140:], fps) == pytest.approx(600_000, rel=0.2)


def test_frames_come_back_with_their_times(mime):
    encoder = create_encoder(mime, WIDTH, HEIGHT)
    found = []
    for number, picture in enumerate(pictures(3)):
        timestamp = (2**32 - 3000 + number * 3000) & 0xFFFFFFFF
        found += encoder.encode_frame(picture, timestamp, keyframe=number == 2, capture_time=number / 30)
    assert [(frame.timestamp, frame.keyframe, frame.capture_time, frame.mime) for frame in found] == [
        (2**32 - 3000, True, 0.0, mime),
        (0, False, 1 / 30, mime),
        (3000, True, 2 / 30, mime),
    ]


def test_pictures_that_never_come_out_are_forgotten():
    encoder = create_encoder("video/VP8", WIDTH, HEIGHT)

    class Swallows:
        bit_rate = encoder.bitrate

        def encode(self, picture):
            return []

    encoder._context = Swallows()
    for number, picture in enumerate(pictures(1) * (MAX_IN_FLIGHT + 3)):
        assert encoder.encode_frame(picture, number * 3000) == []
    assert [timestamp for timestamp, _ in encoder._in_flight.values()] == [
        number * 3000 for number in range(3, MAX_IN_FLIGHT + 3)
    ]


def test_the_frame_given_is_left_as_it_was(mime):
    """Others may be reading it: a relay hands one picture to all."""
    frame = av.VideoFrame.from_ndarray(pictures(1)[0], format="rgb24").reformat(format="yuv420p")
    frame.pts, frame.time_base, frame.pict_type = 77, Fraction(1, 90000), av.video.frame.PictureType.P
    create_encoder(mime, WIDTH, HEIGHT).encode(frame, keyframe=True)
    assert (frame.pts, frame.time_base, frame.pict_type) == (77, Fraction(1, 90000), av.video.frame.PictureType.P)


def test_a_small_or_hasty_change_waits_for_a_keyframe():
    encoder = create_encoder("video/AV1", WIDTH, HEIGHT, fps=30, bitrate=1_000_000)
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


def test_libvpx_leaves_out_pictures_only_where_that_is_allowed():
    def empty(**named):
        encoder = create_encoder("video/VP8", 640, 360, 30, 100_000, **named)
        rng = np.random.default_rng(4)
        return sum(not encoder.encode(rng.integers(0, 255, (360, 640, 3), np.uint8)) for _ in range(20))

    assert empty() == 0
    assert empty(drops_frames=True) > 5
