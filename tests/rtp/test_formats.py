"""Payload formats: against FFmpeg's, round trips, and whole frames or none whatever the path does."""

import json
import random
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import LocalError, ParseError
from stack.rtp import PACKETIZERS, Packet, audio, av1, h264, h265, nal, vp9
from stack.rtp.payload import payload_format

from .frames import VIDEO, audio_frame, av1_frame, h265_frame, obu, vp9_frame
from .support import H264_PT, PPS, SPS, SSRC, body, frames_of, h264_frame, receiver, rtp_of, sender

FEW = settings(max_examples=40, deadline=None)
FFMPEG = json.loads((Path(__file__).parents[2] / "vectors" / "rtp" / "ffmpeg.json").read_text())
NAL_FORMATS = {"video/h264": nal.split_nal_units, "video/h265": nal.split_nal_units}


def streams():
    return [pytest.param(stream, id=stream["name"]) for stream in FFMPEG["streams"]]


def reason_of(parse, *arguments):
    try:
        parse(*arguments)
    except ParseError as error:
        return error.reason
    return None


def same(mime, a, b):
    split = NAL_FORMATS.get(mime)
    return split(a) == split(b) if split else a == b


# -- FFmpeg as a judge -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", streams())
def test_what_ffmpeg_packetized(stream):
    format_ = payload_format(stream["mime"])
    packets = [Packet.parse(bytes.fromhex(text)) for text in stream["packets"]]
    groups = [list(group) for _, group in groupby(packets, key=lambda packet: packet.timestamp)]
    for group, frame in zip(groups, stream["frames"], strict=True):
        data = format_.depacketize([packet.payload for packet in group])
        assert same(format_.mime, data, bytes.fromhex(frame["hex"]))
        assert format_.is_keyframe(data) is frame["keyframe"]
        if format_.is_video:
            assert format_.begins_keyframe(group[0].payload) is frame["keyframe"]
            assert not any(format_.begins_keyframe(packet.payload) for packet in group[1:])


@pytest.mark.parametrize("stream", streams())
@pytest.mark.parametrize("max_payload", [100, 1100])
def test_encoders_frames_there_and_back(stream, max_payload):
    format_ = payload_format(stream["mime"])
    for number, frame in enumerate(stream["frames"]):
        data = bytes.fromhex(frame["hex"])
        payloads = format_.packetize(data, max_payload, number)
        assert not format_.is_video or max(map(len, payloads)) <= max_payload
        assert same(format_.mime, format_.depacketize(payloads), data)
        if format_.is_video:
            assert format_.begins_keyframe(payloads[0]) is frame["keyframe"]


@pytest.mark.parametrize("stream", streams())
def test_what_ffmpeg_sent_through_a_receiver(stream):
    packets = [Packet.parse(bytes.fromhex(text)) for text in stream["packets"]]
    sink = receiver(stream["mime"], payload_type=packets[0].payload_type, clock_rate=stream["clock_rate"], rtx={})
    for packet in packets:
        sink.receive_packet(packet, 1.0)
    found = frames_of(sink)
    assert [frame.keyframe for frame in found] == [frame["keyframe"] for frame in stream["frames"]]
    for ours, theirs in zip(found, stream["frames"], strict=True):
        assert same(ours.mime, ours.data, bytes.fromhex(theirs["hex"]))


# -- whole frames or none ------------------------------------------------------------------------------------------


def disturbed(packets, seed):
    """Packets as a bad path delivers them: some lost, some twice, some late."""
    rng = random.Random(seed)
    lossy, spread = rng.choice([0.0, 0.05, 0.2]), rng.choice([0, 2, 8, 40])
    delivered = []
    for position, packet in enumerate(packets):
        copies = (rng.random() >= lossy) + (rng.random() < 0.1)
        delivered += [(position + rng.random() * spread, packet) for _ in range(copies)]
    return [packet for _, packet in sorted(delivered, key=lambda item: item[0])]


@pytest.mark.parametrize("mime", sorted(VIDEO))
@FEW
@given(st.integers(0, 1 << 30), st.sampled_from([60, 300, 1100]))
def test_video_is_exact_or_missing(mime, seed, max_payload):
    rng = random.Random(seed)
    source, sink = sender(mime, seed=seed, max_payload=max_payload), receiver(mime)
    sent, packets = {}, []
    for number in range(24):
        frame = VIDEO[mime](number, keyframe=number % 8 == 0, size=rng.choice([10, 200, 900]))
        sent[number * 3000] = frame
        source.send_frame(frame, number * 3000, 1.0 + number / 30)
        packets += rtp_of(source.datagrams_to_send(1.0 + number / 30))
    found = []
    for position, packet in enumerate(disturbed(packets, seed)):
        now = 1.0 + position / len(packets)
        sink.receive_datagram(packet.serialize(), now)
        sink.handle_timer(now)
        found += frames_of(sink)
    for frame in found:
        assert frame.data == sent[frame.timestamp]
        assert frame.keyframe == (frame.timestamp % 24000 == 0)
    stamps = [frame.timestamp for frame in found]
    assert stamps == sorted(set(stamps))
    before = dict(zip(stamps[1:], stamps, strict=False))
    # What refers to other frames comes only behind the one before it.
    assert all(frame.keyframe or before[frame.timestamp] == frame.timestamp - 3000 for frame in found)


@pytest.mark.parametrize("mime", ["audio/opus", "audio/pcmu", "audio/g722"])
@FEW
@given(st.integers(0, 1 << 30))
def test_audio_is_exact_or_missing(mime, seed):
    source, sink = sender(mime, seed=seed, clock_rate=48000, rtx=False), receiver(mime, clock_rate=48000, rtx={})
    for number in range(60):
        source.send_frame(audio_frame(number), number * 960, 1.0)
    found = []
    for position, packet in enumerate(disturbed(rtp_of(source.datagrams_to_send(1.0)), seed)):
        now = 1.0 + position * 0.02
        sink.receive_datagram(packet.serialize(), now)
        sink.handle_timer(now)
        found += frames_of(sink)
    assert found
    assert all(frame.data == audio_frame(frame.timestamp // 960) for frame in found)
    stamps = [frame.timestamp for frame in found]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("mime", sorted(PACKETIZERS))
@FEW
@given(st.lists(st.binary(max_size=40), max_size=5))
def test_depacketizers_raise_only_parse_errors(mime, payloads):
    format_ = PACKETIZERS[mime]
    for payload in payloads:
        assert format_.begins_keyframe(payload) in {True, False, None}
        format_.is_keyframe(payload)
    reasons = {None, "truncated", "bad-aggregate", "bad-fragment", "bad-start", "bad-picture-id", "bad-descriptor"}
    assert reason_of(format_.depacketize, payloads) in reasons | {"bad-obu", "unsupported-nal-type"}


@pytest.mark.parametrize("mime", sorted(VIDEO))
@FEW
@given(st.booleans(), st.integers(1, 4000), st.integers(20, 1200))
def test_video_there_and_back(mime, keyframe, size, max_payload):
    frame, format_ = VIDEO[mime](1, keyframe=keyframe, size=size), payload_format(mime)
    payloads = format_.packetize(frame, max_payload, 5)
    assert all(0 < len(payload) <= max_payload for payload in payloads)
    assert format_.depacketize(payloads) == frame
    assert format_.is_keyframe(frame) is keyframe
    assert not any(format_.begins_keyframe(payload) for payload in payloads[1:])
    assert format_.begins_keyframe(payloads[0]) is not (not keyframe)


# -- VP9 (RFC 9628) ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "descriptor", "size"),
    [
        ("0c aa", vp9.Descriptor(start=True, end=True), 1),
        ("88 05 aa", vp9.Descriptor(start=True, picture_id=5), 2),
        ("d4 8001 02 aa", vp9.Descriptor(end=True, predicted=True, flexible=True, picture_id=1, references=[1]), 4),
        ("7c 51 03 04 aa", vp9.Descriptor(True, True, True, True, layer=(2, True, 0, True), references=[1, 2]), 4),
        ("29 50 07 aa", vp9.Descriptor(True, not_a_reference=True, layer=(2, True, 0, False), tl0_picture_index=7), 3),
        (
            "0e 38 0140 00f0 0280 01e0 02 04 01 08 01 02 aa",
            vp9.Descriptor(True, True, resolutions=[(320, 240), (640, 480)]),
            16,
        ),
    ],
)
def test_vp9_descriptors(text, descriptor, size):
    assert vp9.Descriptor.parse(bytes.fromhex(text)) == (descriptor, size)


@pytest.mark.parametrize(
    ("payloads", "reason"),
    [
        ([], "bad-start"),
        ([""], "truncated"),
        (["0c"], "truncated"),
        (["8c 80"], "truncated"),
        (["0e 38 01"], "truncated"),
        (["5c 03 03 03 02 aa"], "bad-descriptor"),
        (["04 aa"], "bad-start"),
        (["08 aa"], "bad-start"),
        (["08 aa", "0c aa"], "bad-start"),
        (["88 01 aa", "84 02 aa"], "bad-picture-id"),
    ],
)
def test_vp9_refuses(payloads, reason):
    assert reason_of(vp9.depacketize, [bytes.fromhex(payload) for payload in payloads]) == reason


def test_vp9_layer_frames_of_a_picture_follow_one_another():
    payloads = ["a8 01 00 07 aa", "a4 01 00 07 bb", "ec 01 02 07 cc"]
    assert vp9.depacketize([bytes.fromhex(payload) for payload in payloads]) == b"\xaa\xbb\xcc"


@pytest.mark.parametrize(
    ("first", "keyframe"),
    [(0x82, True), (0x86, False), (0x8A, False), (0xB0, True), (0xB2, False), (0xB4, False), (0x02, False)],
)
def test_vp9_keyframes_by_the_frame_header(first, keyframe):
    assert vp9.is_keyframe(bytes((first, 0))) is keyframe
    assert not vp9.is_keyframe(b"")


@pytest.mark.parametrize(("frame", "max_payload"), [(b"", 100), (b"x", 4)])
def test_vp9_packetize_refuses(frame, max_payload):
    with pytest.raises(LocalError):
        vp9.packetize(frame, max_payload)
    assert vp9.depacketize(vp9.packetize(vp9_frame(1), 5)) == vp9_frame(1)


# -- AV1 ---------------------------------------------------------------------------------------------------------


def test_av1_small_obus_share_a_payload():
    frame = av1_frame(0, keyframe=True, size=50)
    (payload,) = av1.packetize(frame, 1100)
    assert payload[0] == 0x28  # two elements, the first packet of a coded video sequence
    assert payload[1:3] == b"\x07\x08"  # the sequence header without its size field
    assert av1.depacketize([payload]) == frame


def test_av1_obus_are_fragmented_and_many_have_all_their_sizes():
    frame = av1_frame(0, keyframe=True, size=3000)
    payloads = av1.packetize(frame, 1100)
    assert [payload[0] & 0xC0 for payload in payloads] == [0x40, 0xC0, 0x80]
    assert [payload[0] & 0x08 for payload in payloads] == [8, 0, 0]
    many = obu(2, b"") + b"".join(obu(5, bytes((number,)) * 9, extension=8) for number in range(8)) + obu(6, b"\x30x")
    (payload,) = av1.packetize(many, 1100)
    assert payload[0] & 0x30 == 0
    assert av1.depacketize([payload]) == many


def test_av1_what_need_not_be_sent_is_not():
    frame = av1_frame(0, size=20)
    padded = frame + obu(15, b"padding") + obu(8, b"tiles")
    assert av1.depacketize(av1.packetize(padded, 1100)) == frame


def test_av1_obus_that_come_with_their_size_are_taken():
    sized = obu(6, b"\x30abc")
    assert av1.depacketize([b"\x10" + sized]) == obu(2, b"") + sized


@given(
    st.lists(st.tuples(st.sampled_from([1, 3, 4, 5, 6]), st.integers(0, 400)), min_size=1, max_size=12),
    st.integers(16, 300),
)
@FEW
def test_av1_any_obus_there_and_back(obus, max_payload):
    unit = obu(2, b"") + b"".join(obu(kind, body(index, size)) for index, (kind, size) in enumerate(obus))
    payloads = av1.packetize(unit, max_payload)
    assert all(1 < len(payload) <= max_payload for payload in payloads)
    assert av1.depacketize(payloads) == unit


@pytest.mark.parametrize(
    ("payloads", "reason"),
    [
        ([], "bad-fragment"),
        (["10"], "truncated"),
        (["90 30"], "bad-fragment"),
        (["50 30"], "bad-fragment"),
        (["50 30", "10 30"], "bad-fragment"),
        (["20 05 30"], "truncated"),
        (["30 01 30"], "bad-aggregate"),
        (["00 ffffffffffffffffff"], "bad-obu"),
        (["00 ff"], "truncated"),
        (["10 b0"], "bad-obu"),
        (["10 32 05 aa"], "bad-obu"),
        (["10 34"], "truncated"),
    ],
)
def test_av1_refuses(payloads, reason):
    assert reason_of(av1.depacketize, [bytes.fromhex(payload) for payload in payloads]) == reason


@pytest.mark.parametrize("frame", [b"", b"\xff", b"\x32\x05", b"\x36", obu(2, b"")])
def test_av1_packetize_refuses(frame):
    with pytest.raises(LocalError):
        av1.packetize(frame, 1100)
    with pytest.raises(LocalError):
        av1.packetize(av1_frame(0), 15)


def test_av1_a_shown_existing_frame_is_no_keyframe():
    assert not av1.is_keyframe(obu(1, b"s") + obu(3, b"\x80"))
    assert not av1.is_keyframe(obu(6, b"\x10"))  # without a sequence header
    assert not av1.is_keyframe(b"\xff")


# -- H.264 and H.265 ---------------------------------------------------------------------------------------------


def test_h264_mode_0_sends_nal_units_alone():
    format_ = payload_format("video/H264", {"packetization-mode": "0"})
    frame = h264_frame(0, keyframe=True, size=900, slices=3)
    payloads = format_.packetize(frame, 1000)
    assert payloads == nal.split_nal_units(frame)
    assert format_.depacketize(payloads) == frame
    for wrong in (h264_frame(0, size=1200), b"nothing", b"\0\0\1\x1cabc"):
        with pytest.raises(LocalError):
            format_.packetize(wrong, 1000)
    assert payload_format("video/H264", {}) is format_  # RFC 6184 section 8.1: the mode is 0 where nothing says
    assert payload_format("video/H264", {"packetization-mode": "1"}) is payload_format("video/H264")


def test_h264_parameter_sets_are_given_to_keyframes_that_lack_them():
    sets = h264.ParameterSets()
    first = h264_frame(0, keyframe=True)
    assert sets.complete(first) == first
    assert len(sets) == 2
    bare = b"\0\0\0\1\x65" + body(1, 50)
    assert nal.split_nal_units(sets.complete(bare)) == [SPS, PPS, *nal.split_nal_units(bare)]
    assert sets.complete(h264_frame(2)) == h264_frame(2)


def test_h264_parameter_sets_of_a_description():
    sets = h264.ParameterSets.of_sprop("Z0LgH5WgKA==,aM48gA==")
    assert nal.split_nal_units(sets.complete(b"\0\0\1\x65x"))[:2] == [SPS, PPS]
    assert reason_of(h264.ParameterSets.of_sprop, "not base64!") == "bad-parameter-sets"
    assert len(h264.ParameterSets([bytes((0x68, number)) for number in range(50)])) == h264.MAX_PARAMETER_SETS


def test_h265_parameter_sets_are_aggregated():
    payloads = h265.packetize(h265_frame(0, keyframe=True), 1100)
    assert payloads[0] == b"\x60\x01" + b"".join(
        b"\0\5" + unit for unit in (b"\x40\x01vps", b"\x42\x01sps", b"\x44\x01pps")
    )
    assert [payload[0] >> 1 for payload in payloads[1:]] == [49] * 3
    assert [payload[2] for payload in payloads[1:]] == [0x80 | 19, 19, 0x40 | 19]


@pytest.mark.parametrize(
    ("payloads", "reason"),
    [
        ([], "bad-fragment"),
        (["4001"], "truncated"),
        (["6001 00"], "bad-aggregate"),
        (["6001 0003 4001"], "bad-aggregate"),
        (["6001 0002 4001"], "bad-aggregate"),
        (["6001 0003 600100"], "unsupported-nal-type"),
        (["6401 aa"], "unsupported-nal-type"),
        (["6201 93 aa"], "bad-fragment"),
        (["6201 13 aa"], "bad-fragment"),
        (["6201 d3 aa"], "bad-fragment"),
        (["6201 b0 aa"], "unsupported-nal-type"),
        (["6201 93 aa", "0201 aa"], "bad-fragment"),
        (["6201 93 aa", "6202 53 aa"], "bad-fragment"),
    ],
)
def test_h265_refuses(payloads, reason):
    assert reason_of(h265.depacketize, [bytes.fromhex(payload) for payload in payloads]) == reason


@pytest.mark.parametrize("frame", [b"", b"no start code", b"\0\0\1\x60\x01abc", b"\0\0\1\x02\x01"])
def test_h265_packetize_refuses(frame):
    with pytest.raises(LocalError):
        h265.packetize(frame, 1100)
    with pytest.raises(LocalError):
        h265.packetize(h265_frame(0), 3)


# -- audio -------------------------------------------------------------------------------------------------------


def test_telephone_events():
    event = audio.TelephoneEvent(11, 800, end=True, volume=7)
    assert event.serialize() == b"\x0b\x87\x03\x20"
    assert audio.TelephoneEvent.parse(b"\x0b\x87\x03\x20") == event
    assert reason_of(audio.TelephoneEvent.parse, b"\x0b\x87\x03") == "truncated"
    for wrong in ({"event": 256}, {"duration": 1 << 16}, {"volume": 64}):
        with pytest.raises(LocalError):
            audio.TelephoneEvent(**({"event": 1, "duration": 1} | wrong)).serialize()


def test_a_tone_is_told_while_it_sounds_and_its_end_three_times():
    reports = [audio.TelephoneEvent.parse(payload) for payload in audio.tone_payloads("#", 8000, 0.1)]
    assert [report.duration for report in reports] == [160, 320, 480, 640, 800, 800, 800]
    assert [report.end for report in reports] == [False] * 4 + [True] * 3
    assert {report.event for report in reports} == {11}
    for wrong in (("x", 8000, 0.1), ("", 8000, 0.1), ("12", 8000, 0.1), ("1", 48000, 2.0), ("1", 8000, 0.0)):
        with pytest.raises(LocalError):
            audio.tone_payloads(*wrong)


def test_a_tone_shares_the_stream_of_the_voice():
    source = sender("audio/pcmu", clock_rate=8000, rtx=False)
    source.send_frame(bytes(160), 0, 1.0)
    for index, payload in enumerate(audio.tone_payloads("5", 8000, 0.06)):
        source.send_payloads([payload], 160, 1.0, payload_type=101, marker=not index)
    packets = rtp_of(source.datagrams_to_send(1.0))
    assert {packet.ssrc for packet in packets} == {SSRC}
    assert [packet.payload_type for packet in packets] == [H264_PT] + [101] * 5
    assert [packet.marker for packet in packets] == [True, True, False, False, False, False]
    sink = receiver("audio/pcmu", clock_rate=8000, rtx={})
    sink._formats[101] = payload_format("audio/telephone-event")
    for packet in packets:
        sink.receive_packet(packet, 1.0)
    assert [frame.mime for frame in frames_of(sink)] == ["audio/pcmu"] + ["audio/telephone-event"] * 5
    with pytest.raises(LocalError):
        source.send_payloads([b"x"], 0, 1.0, payload_type=128)


def test_comfort_noise():
    noise = audio.ComfortNoise(70, b"\x80\x7f")
    assert noise.serialize() == b"\x46\x80\x7f"
    assert audio.ComfortNoise.parse(b"\x46\x80\x7f") == noise
    assert reason_of(audio.ComfortNoise.parse, b"") == "truncated"
    with pytest.raises(LocalError):
        audio.ComfortNoise(128).serialize()


def test_g722_counts_at_8_khz():
    assert audio.G722_CLOCK_RATE == 8000
    with pytest.raises(LocalError):
        payload_format("audio/telephone-event").packetize(b"abc", 100)
