"""Properties of the parsers and payload formats, and what their callers may not do."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import LocalError, ParseError
from stack.rtp import (
    DEPACKETIZERS,
    PACKETIZERS,
    Bye,
    ExtensionMap,
    FullIntraRequest,
    Nack,
    Packet,
    Remb,
    SourceDescription,
    TransportFeedback,
    UnknownPacket,
    build_header,
    extensions,
    h264,
    is_rtcp,
    nal,
    rtcp,
    vp8,
)
from stack.rtp.payload import payload_format

from .support import PPS, SPS, body, h264_frame, vp8_frame

FEW = settings(max_examples=60, deadline=None)
u8, u16, u32 = st.integers(0, 0xFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)


def reason_of(parse, data):
    """Why `parse` refuses `data`, None if it does not; anything but a ParseError goes through."""
    try:
        parse(data)
    except ParseError as error:
        return error.reason
    return None


@FEW
@given(
    st.builds(
        Packet,
        payload_type=st.integers(0, 127),
        marker=st.booleans(),
        sequence_number=u16,
        timestamp=u32,
        ssrc=u32,
        csrcs=st.lists(u32, max_size=15).map(tuple),
        extensions=st.dictionaries(st.integers(1, 255), st.binary(max_size=40), max_size=5),
        payload=st.binary(max_size=50),
        padding=u8,
    )
)
def test_packet_round_trip(packet):
    assert Packet.parse(packet.serialize()) == packet


@FEW
@given(st.binary(max_size=100), st.integers(0, 0xFF))
def test_packet_parse_raises_only_parse_errors(data, first):
    for hostile in (data, bytes((first & 0x3F | 0x80,)) + data):
        assert reason_of(Packet.parse, hostile) in {None, "truncated", "bad-version", "bad-padding", "bad-extension"}


@pytest.mark.parametrize(
    "packet",
    [
        Packet(payload_type=128),
        Packet(sequence_number=0x10000),
        Packet(timestamp=-1),
        Packet(ssrc=1 << 32),
        Packet(csrcs=tuple(range(16))),
        Packet(padding=256),
        Packet(extensions={0: b"x"}),
        Packet(extensions={256: b"x"}),
        Packet(extensions={1: bytes(256)}),
    ],
)
def test_what_does_not_fit_a_packet_is_refused(packet):
    with pytest.raises(LocalError):
        packet.serialize()


def test_build_header_is_what_serialize_writes():
    packet = Packet(96, True, 1, 2, 3, extensions={1: b"0"}, payload=b"x")
    block = extensions.serialize_extensions(packet.extensions)
    assert build_header(0x80 | 96, 1, 2, 3, block) + b"x" == packet.serialize()
    assert build_header(96, 1, 2, 3) == Packet(96, False, 1, 2, 3).serialize()


@pytest.mark.parametrize("wrong", [{"a": 0}, {"a": 15}, {"a": 256}, {"a": 1, "b": 1}])
def test_extension_map_refuses(wrong):
    with pytest.raises(LocalError):
        ExtensionMap(wrong)


def test_extension_map():
    found = ExtensionMap({extensions.MID: 3})
    assert found[extensions.MID] == 3
    assert found.uri(3) == extensions.MID
    assert found.uri(4) is None
    assert found.get(extensions.RID) is None


@pytest.mark.parametrize("mid", ["0", "a-rather-long-identification"])
@pytest.mark.parametrize(("abs_send_time", "transport_cc"), [(None, None), (2, None), (None, 3), (2, 3), (20, 3)])
def test_extension_writer_writes_what_packets_parse(mid, abs_send_time, transport_cc):
    writer = extensions.ExtensionWriter({1: mid.encode(), 4: b"\0"}, abs_send_time, transport_cc)
    block = writer.prefix(1.5)
    if transport_cc is not None:
        block += extensions.pack_transport_cc(0x1234) + writer.pad
    packet = Packet.parse(build_header(96, 1, 2, 3, block) + b"payload")
    expected = {1: mid.encode(), 4: b"\0"}
    if abs_send_time is not None:
        expected[abs_send_time] = b"\x06\0\0"
    if transport_cc is not None:
        expected[transport_cc] = b"\x12\x34"
    assert packet.extensions == expected
    assert packet.payload == b"payload"


def test_extension_writer_without_extensions_writes_nothing():
    writer = extensions.ExtensionWriter({}, None, None)
    assert writer.prefix(1.0) + writer.pad == b""


def test_extension_values():
    assert extensions.unpack_text(extensions.pack_text("vidéo")) == "vidéo"
    assert extensions.pack_audio_level(30, voice=True) == b"\x9e"
    assert extensions.unpack_audio_level(b"\x9e") == (30, True)
    assert extensions.pack_abs_send_time(64.25) == b"\x01\0\0"
    assert extensions.unpack_abs_send_time(b"\x01\0\0") == 0.25
    assert extensions.unpack_transport_cc(extensions.pack_transport_cc(0x1FFFF)) == 0xFFFF
    assert extensions.pack_playout_delay(0.0, 0.5) == b"\0\0\x32"
    assert extensions.unpack_playout_delay(b"\x00\x10\x32") == pytest.approx((0.01, 0.5))
    assert extensions.pack_video_orientation(270, flip=True) == b"\x07"
    assert extensions.unpack_video_orientation(b"\x0b") == (270, False, True)
    assert extensions.unpack_abs_capture_time(extensions.pack_abs_capture_time(3.5)) == (3.5, None)
    assert extensions.unpack_abs_capture_time(extensions.pack_abs_capture_time(3.5, -0.25)) == (3.5, -0.25)


@pytest.mark.parametrize(
    "call",
    [
        lambda: extensions.pack_text(""),
        lambda: extensions.pack_text("x" * 256),
        lambda: extensions.pack_audio_level(128, voice=False),
        lambda: extensions.pack_playout_delay(1.0, 0.5),
        lambda: extensions.pack_playout_delay(0.0, 50.0),
        lambda: extensions.pack_video_orientation(45),
    ],
)
def test_extension_values_that_do_not_fit(call):
    with pytest.raises(LocalError):
        call()


@pytest.mark.parametrize(
    ("unpack", "value"),
    [
        (extensions.unpack_text, b""),
        (extensions.unpack_text, b"\xff"),
        (extensions.unpack_audio_level, b""),
        (extensions.unpack_abs_send_time, b"xx"),
        (extensions.unpack_transport_cc, b"x"),
        (extensions.unpack_playout_delay, b"xx"),
        (extensions.unpack_video_orientation, b""),
        (extensions.unpack_abs_capture_time, b"x" * 7),
    ],
)
def test_extension_values_too_short(unpack, value):
    with pytest.raises(ParseError) as caught:
        unpack(value)
    assert caught.value.reason == "bad-extension"


def comparable(packet):
    """What a NACK names may be said twice and in several orders."""
    return (packet.sender_ssrc, set(packet.sequence_numbers)) if isinstance(packet, Nack) else packet


@FEW
@given(st.binary(max_size=120), st.sampled_from(range(200, 208)), st.integers(0, 31))
def test_rtcp_parse_raises_only_parse_errors(data, packet_type, count):
    data = data[: len(data) // 4 * 4]
    framed = bytes((0x80 | count, packet_type)) + (len(data) // 4).to_bytes(2, "big") + data
    for hostile in (data, framed):
        if reason_of(rtcp.parse, hostile) is None:
            packets = rtcp.parse(hostile)
            again = rtcp.parse(rtcp.serialize(packets))
            assert [comparable(packet) for packet in again] == [comparable(packet) for packet in packets]


@FEW
@given(u16, st.lists(st.none() | st.integers(-0x8000, 0x7FFF), min_size=1, max_size=100), st.integers(-(1 << 23), 5))
def test_transport_feedback_round_trip(base, deltas, reference):
    feedback = TransportFeedback(1, 2, base, reference, 3, deltas)
    assert rtcp.parse(rtcp.serialize([feedback])) == [feedback]


@FEW
@given(st.lists(st.sampled_from([None, 0, 255, 256]), min_size=1, max_size=80), st.integers(1, 30))
def test_transport_feedback_runs_round_trip(deltas, repeat):
    feedback = TransportFeedback(1, 2, 3, 4, 5, [delta for delta in deltas for _ in range(repeat)])
    assert rtcp.parse(rtcp.serialize([feedback])) == [feedback]


def test_transport_feedback_arrivals():
    feedback = TransportFeedback(1, 2, 0xFFFF, 1, 0, [4, None, -2])
    assert feedback.arrivals() == [(0xFFFF, 0.065), (0, None), (1, 0.0645)]


@FEW
@given(st.sets(u16, min_size=1, max_size=60))
def test_nack_round_trip(numbers):
    (again,) = rtcp.parse(rtcp.serialize([Nack(1, 2, sorted(numbers))]))
    assert sorted(again.sequence_numbers) == sorted(numbers)


@pytest.mark.parametrize("bitrate", [0, 1, 262143, 262144, 2_500_000, (1 << 64) - 1])
def test_remb_keeps_18_bits(bitrate):
    (again,) = rtcp.parse(rtcp.serialize([Remb(1, bitrate, [2, 3])]))
    assert again.bitrate <= bitrate <= again.bitrate * (1 + 1 / (1 << 17)) + 1
    assert again.ssrcs == [2, 3]


@pytest.mark.parametrize(
    "packet",
    [
        Nack(1, 2, []),
        Remb(1, 1 << 64, []),
        Remb(1, 1, [0] * 256),
        Bye([1 << 32]),
        Bye(list(range(32))),
        Bye([1], "x" * 256),
        UnknownPacket(204, 0, b"odd"),
        SourceDescription([(1, [(1, bytes(256))])]),
        FullIntraRequest(-1, []),
        TransportFeedback(1, 2, 3, 4, 5, []),
        TransportFeedback(1, 2, 3, 4, 5, [0x8000]),
        TransportFeedback(1, 2, 0x10000, 4, 5, [1]),
    ],
)
def test_what_does_not_fit_rtcp_is_refused(packet):
    with pytest.raises(LocalError):
        rtcp.serialize([packet])


def test_rtp_and_rtcp_are_told_apart():
    assert is_rtcp(b"\x80\xc8\0\0")
    assert not is_rtcp(b"\x80\xe0\0\0")  # payload type 96 with the marker
    assert not is_rtcp(b"\x80\x60\0\0")
    assert not is_rtcp(b"\x80")
    assert not is_rtcp(b"")


nal_units = st.lists(
    st.tuples(st.sampled_from([1, 5, 6, 7, 8, 9]), st.sampled_from([0, 0x20, 0x60]), st.integers(0, 700), u16),
    min_size=1,
    max_size=6,
)


@FEW
@given(nal_units, st.integers(3, 400), st.booleans())
def test_h264_round_trip(units, max_payload, short):
    units = [bytes((kind | nri,)) + body(seed, size) for kind, nri, size, seed in units]
    start_code = b"\0\0\1" if short else b"\0\0\0\1"
    access_unit = b"".join(start_code + unit for unit in units)
    payloads = h264.packetize(access_unit, max_payload)
    assert all(0 < len(payload) <= max_payload for payload in payloads)
    assert nal.split_nal_units(h264.depacketize(payloads)) == units
    assert h264.is_keyframe(access_unit) == h264.is_keyframe(h264.depacketize(payloads))


@FEW
@given(st.lists(st.binary(max_size=30), max_size=6))
def test_h264_depacketize_raises_only_parse_errors(payloads):
    for payload in payloads:
        h264.begins_keyframe(payload)
    reasons = {None, "truncated", "bad-aggregate", "bad-fragment", "unsupported-nal-type"}
    assert reason_of(h264.depacketize, payloads) in reasons


def test_h264_parameter_sets_are_aggregated():
    payloads = h264.packetize(h264_frame(0, keyframe=True, size=3000), 1100)
    assert payloads[0] == b"\x78" + b"".join(len(u).to_bytes(2, "big") + u for u in (SPS, PPS))
    assert [payload[0] & 0x1F for payload in payloads[1:]] == [28, 28, 28]
    assert [payload[1] >> 6 for payload in payloads[1:]] == [2, 0, 1]
    assert len(payloads[1]) == len(payloads[2]) == 1100  # equal sizes but the last: one segmented send


@pytest.mark.parametrize("frame", [b"", b"no start code", b"\0\0\1", b"\0\0\1\x18abc", b"\0\0\1\0abc"])
def test_h264_refuses_what_is_not_annex_b(frame):
    with pytest.raises(LocalError):
        h264.packetize(frame, 1000)


def test_h264_needs_room_for_a_fragment():
    with pytest.raises(LocalError):
        h264.packetize(h264_frame(0), 2)


@pytest.mark.parametrize(
    ("payload", "begins"),
    [
        (b"\x65a", None),
        (b"\x67a", True),
        (b"\x41a", False),
        (b"\x09a", None),
        (b"\x78\0\1\x67\0\1\x68", True),
        (b"\x78\0\1\x09\0\1\x67", True),
        (b"\x78\0\1\x09\0\1\x41", False),
        (b"\x7c\x85a", None),
        (b"\x7c\x05a", False),
        (b"\x7c\x81a", False),
        (b"\x7c", False),
        (b"", False),
    ],
)
def test_h264_keyframe_payloads(payload, begins):
    assert h264.begins_keyframe(payload) is begins


def test_h264_keyframes():
    assert h264.is_keyframe(h264_frame(0, keyframe=True))
    assert not h264.is_keyframe(h264_frame(0))
    assert not h264.is_keyframe(b"\0\0\1\x67sps alone")
    assert not h264.is_keyframe(b"\0\0\1")


def test_h264_trailing_zeros_belong_to_no_nal_unit():
    assert nal.split_nal_units(b"\0\0\0\1\x67a\0\0\0\0\1\x68b\0\0") == [b"\x67a", b"\x68b"]


@FEW
@given(st.binary(min_size=1, max_size=500), st.integers(5, 200), u32)
def test_vp8_round_trip(frame, max_payload, number):
    payloads = vp8.packetize(frame, max_payload, number)
    assert all(len(payload) <= max_payload for payload in payloads)
    assert vp8.depacketize(payloads) == frame
    assert {vp8.Descriptor.parse(payload)[0].picture_id for payload in payloads} == {number & 0x7FFF}
    assert vp8.begins_keyframe(payloads[0]) == vp8.is_keyframe(frame)
    assert not any(map(vp8.begins_keyframe, payloads[1:]))


@FEW
@given(st.lists(st.binary(max_size=12), max_size=5))
def test_vp8_depacketize_raises_only_parse_errors(payloads):
    assert reason_of(vp8.depacketize, payloads) in {None, "truncated", "bad-start", "bad-picture-id"}


@pytest.mark.parametrize(
    ("payloads", "reason"),
    [
        ([b"\x00a"], "bad-start"),
        ([b"\x10a", b"\x10b"], "bad-start"),
        ([b"\x90\x80\x01a", b"\x80\x80\x02b"], "bad-picture-id"),
        ([], "truncated"),
    ],
)
def test_vp8_payloads_of_no_one_frame(payloads, reason):
    with pytest.raises(ParseError) as caught:
        vp8.depacketize(payloads)
    assert caught.value.reason == reason


def test_vp8_a_later_partition_may_begin_a_payload():
    assert vp8.depacketize([b"\x10a", b"\x11b"]) == b"ab"


@pytest.mark.parametrize("descriptor", [vp8.Descriptor(partition=8), vp8.Descriptor(picture_id=0x8000)])
def test_vp8_descriptors_that_do_not_fit(descriptor):
    with pytest.raises(LocalError):
        descriptor.serialize()


@pytest.mark.parametrize(("frame", "max_payload"), [(b"", 100), (b"x", 4)])
def test_vp8_refuses(frame, max_payload):
    with pytest.raises(LocalError):
        vp8.packetize(frame, max_payload)


def test_opus_is_one_payload():
    assert PACKETIZERS["audio/opus"].packetize(b"x" * 1275, 100) == [b"x" * 1275]
    assert DEPACKETIZERS["audio/opus"].depacketize([b"x"]) == b"x"
    for wrong in ([], [b""], [b"a", b"b"]):
        with pytest.raises(ParseError) as caught:
            DEPACKETIZERS["audio/opus"].depacketize(wrong)
        assert caught.value.reason == "truncated"
    with pytest.raises(LocalError):
        PACKETIZERS["audio/opus"].packetize(b"", 100)


def test_formats_are_found_in_any_case():
    assert payload_format("video/H264") is PACKETIZERS["video/h264"]
    assert payload_format("video/VP8").mime == "video/vp8"
    with pytest.raises(LocalError):
        payload_format("audio/speex")


def test_h264_by_aiortc():
    codec = pytest.importorskip("aiortc.codecs.h264")
    rng = random.Random(1)
    for number in range(20):
        frame = h264_frame(number, keyframe=number % 5 == 0, size=rng.randint(1, 5000), slices=rng.randint(1, 3))
        payloads = h264.packetize(frame, 1100)
        theirs = b"".join(codec.H264PayloadDescriptor.parse(payload)[1] for payload in payloads)
        assert nal.split_nal_units(theirs) == nal.split_nal_units(frame)
        packetized = codec.H264Encoder._packetize(iter(nal.split_nal_units(frame)))
        assert nal.split_nal_units(h264.depacketize(packetized)) == nal.split_nal_units(frame)


def test_vp8_by_aiortc():
    codec = pytest.importorskip("aiortc.codecs.vpx")
    frame = vp8_frame(1, size=5000)
    assert b"".join(codec.VpxPayloadDescriptor.parse(p)[1] for p in vp8.packetize(frame, 1100, 500)) == frame
    assert vp8.depacketize(codec.Vp8Encoder._packetize(frame, 500)) == frame
