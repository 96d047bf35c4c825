"""Sound: a tone goes in and the same tone comes out, at the right times."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import LocalError
from stack.media import AudioDecoder, AudioEncoder, Decoder, EncodedFrame, ToneTrack
from stack.media.audio import DEFAULT_OPUS_BITRATE, MAX_ENCODED_SOUND, MAX_OPUS_BITRATE, MIN_OPUS_BITRATE

MIMES = ["audio/opus", "audio/PCMU", "audio/PCMA", "audio/G722"]


@pytest.fixture(params=MIMES)
def mime(request):
    return request.param


def tone(seconds, frequency=1000.0):
    track = ToneTrack(frequency)
    return [track.samples(number * 960) for number in range(round(seconds / 0.02))]


def loudest(frames):
    """The frequency with the most energy, Hz."""
    channels = len(frames[0].layout.channels)
    samples = np.concatenate([frame.to_ndarray().reshape(-1, channels)[:, 0] for frame in frames]).astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * frames[0].sample_rate / len(samples)


@pytest.mark.parametrize("frequency", [440.0, 1000.0, 3000.0])
def test_a_tone_survives(mime, frequency):
    encoder, decoder = AudioEncoder(mime), AudioDecoder(mime)
    packets = [packet for frame in tone(1, frequency) for packet in encoder.encode(frame)]
    assert len(packets) >= 48
    heard = [frame for packet in packets for frame in decoder.decode(packet.data)]
    assert loudest(heard) == pytest.approx(frequency, abs=3)
    assert sum(frame.samples for frame in heard) / heard[0].sample_rate == pytest.approx(1, abs=0.05)
    assert decoder.failed == 0


def test_packets_are_20_ms_apart_on_the_clock_of_the_format(mime):
    encoder = AudioEncoder(mime)
    packets = [packet for frame in tone(0.2) for packet in encoder.encode(frame)]
    ticks = {"audio/opus": 960}.get(mime, 160)
    assert {b.timestamp - a.timestamp for a, b in itertools.pairwise(packets)} == {ticks}
    assert packets[0].timestamp == 0
    assert {packet.mime for packet in packets} == {mime}


def test_a_gap_in_the_source_is_a_gap_in_the_times_and_jitter_is_not(mime):
    encoder = AudioEncoder(mime)
    rate = 48_000 if mime == "audio/opus" else 8_000
    track, begins = ToneTrack(), [0, 960, 1930, 2880 - 20, 480_000, 480_960]
    packets = [packet for begin in begins for packet in encoder.encode(track.samples(begin))]
    times = [packet.timestamp / rate for packet in packets]
    assert times[:3] == pytest.approx([0, 0.02, 0.04])
    assert next(time for time in times if time > 1) == pytest.approx(10.0)


def test_the_frame_given_is_left_as_it_was(mime):
    frame = tone(0.02)[0]
    frame.pts = 960
    AudioEncoder(mime).encode(frame)
    assert (frame.pts, frame.time_base) == (960, Fraction(1, 48_000))


@pytest.mark.parametrize(
    ("rate", "layout", "kind"), [(44_100, "stereo", "flt"), (8_000, "mono", "s16"), (16_000, "5.1", "fltp")]
)
def test_any_samples_will_do(rate, layout, kind):
    encoder = AudioEncoder("audio/opus")
    packets = []
    for number in range(50):
        frame = av.AudioFrame(format=kind, layout=layout, samples=rate // 50)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts, frame.time_base = rate, number * (rate // 50), Fraction(1, rate)
        packets += encoder.encode(frame)
    assert len(packets) in {48, 49, 50}


def test_the_bitrate_of_opus_changes_on_the_fly():
    encoder, decoder = AudioEncoder("audio/opus", bitrate=128_000), AudioDecoder("audio/opus")
    rng = np.random.default_rng(1)

    def hiss(begin):
        samples = rng.integers(-8000, 8000, (1, 1920), np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, begin, Fraction(1, 48_000)
        return frame

    def measure(first):
        packets = [packet for n in range(first, first + 100) for packet in encoder.encode(hiss(n * 960))]
        assert all(decoder.decode(packet.data) for packet in packets)
        return sum(len(packet.data) for packet in packets) * 8 / (len(packets) * 0.02)

    assert measure(0) == pytest.approx(128_000, rel=0.2)
    encoder.set_bitrate(32_000)
    assert measure(100) == pytest.approx(32_000, rel=0.2)
    encoder.set_bitrate(30_000)  # not worth a click
    assert encoder.bitrate == 32_000


def test_bitrates_are_clamped_and_only_of_opus():
    assert AudioEncoder("audio/opus", 1).bitrate == MIN_OPUS_BITRATE
    assert AudioEncoder("audio/opus", 10**9).bitrate == MAX_OPUS_BITRATE
    fixed = AudioEncoder("audio/PCMU")
    fixed.set_bitrate(DEFAULT_OPUS_BITRATE * 4)
    assert fixed.bitrate == 64_000


def test_what_does_not_exist_is_refused():
    with pytest.raises(LocalError, match="no encoder"):
        AudioEncoder("audio/speex")
    with pytest.raises(LocalError, match="no decoder"):
        AudioDecoder("audio/speex")
    with pytest.raises(LocalError, match="layout"):
        AudioEncoder("audio/opus", layout="5.1")


@settings(max_examples=30)
@given(st.binary(max_size=300))
def test_damage_never_raises(data):
    for mime in MIMES:
        decoder = AudioDecoder(mime)
        decoder.decode(data)
        assert decoder.failed <= 1


def test_sound_too_large_for_a_packet_is_counted(mime):
    decoder = AudioDecoder(mime)
    assert decoder.decode(bytes(MAX_ENCODED_SOUND + 1)) == []
    assert decoder.failed == 1


def test_a_track_decoder_goes_on_past_the_wrap_of_its_clock(mime):
    encoder, decoder = AudioEncoder(mime), Decoder(mime)
    packets = [packet for frame in tone(0.1) for packet in encoder.encode(frame)]
    rate = 48_000 if mime == "audio/opus" else 8_000
    start = 2**32 - rate // 50
    times = []
    for number, packet in enumerate(packets[:3]):
        received = EncodedFrame(packet.data, (start + number * rate // 50) & 0xFFFFFFFF)
        times += [(frame.pts, frame.time_base) for frame in decoder.decode(received)]
    assert times == [(start + number * rate // 50, Fraction(1, rate)) for number in range(3)]
    assert not decoder.keyframe_needed
