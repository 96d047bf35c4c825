"""The vectors of vectors/rtp, read and written here and, where it can, by aiortc."""

import json
from pathlib import Path

import pytest

from stack.core import ParseError
from stack.rtp import Packet, ReportBlock, TransportFeedback, h264, rtcp, vp8
from stack.rtp.rtcp import DelaySinceLastReceiverReport, StreamArrivals

VECTORS = Path(__file__).parents[2] / "vectors" / "rtp"


def load(name):
    return json.loads((VECTORS / name).read_text())


def unhex(text):
    return bytes.fromhex(text)


PACKETS, RTCP = load("packets.json"), load("rtcp.json")
FEEDBACK, PAYLOADS = load("transport-feedback.json"), load("payloads.json")


def cases(vectors):
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def packet_of(fields):
    fields = dict(fields)
    fields["csrcs"] = tuple(fields["csrcs"])
    fields["extensions"] = {int(key): unhex(value) for key, value in fields["extensions"].items()}
    fields["payload"] = unhex(fields["payload"])
    return Packet(**fields)


@pytest.mark.parametrize("vector", cases(PACKETS["vectors"]))
def test_packet(vector):
    data, expected = unhex(vector["hex"]), packet_of(vector["packet"])
    assert Packet.parse(data) == expected
    assert Packet.parse(expected.serialize()) == expected
    if vector["canonical"]:
        assert expected.serialize() == data


@pytest.mark.parametrize("vector", cases(PACKETS["vectors"]))
def test_packet_by_aiortc(vector):
    aiortc_rtp = pytest.importorskip("aiortc.rtp")
    expected = packet_of(vector["packet"])
    for data in (unhex(vector["hex"]), expected.serialize()):
        theirs = aiortc_rtp.RtpPacket.parse(data)
        assert theirs.sequence_number == expected.sequence_number
        assert (theirs.marker, theirs.payload_type) == (expected.marker, expected.payload_type)
        assert (theirs.timestamp, theirs.ssrc, theirs.csrc) == (expected.timestamp, expected.ssrc, list(expected.csrcs))
        assert theirs.payload == expected.payload
        profile, value = int.from_bytes(data[12:14], "big"), data[16:-1]
        if expected.extensions:
            assert dict(aiortc_rtp.unpack_header_extensions(profile, value)) == expected.extensions


@pytest.mark.parametrize("vector", cases(PACKETS["only_here"]))
def test_extensions_end_early(vector):
    expected = {int(key): unhex(value) for key, value in vector["extensions"].items()}
    packet = Packet.parse(unhex(vector["hex"]))
    assert packet.extensions == expected
    assert packet.payload == b"a"


@pytest.mark.parametrize("vector", cases(PACKETS["invalid"]))
def test_bad_packet(vector):
    with pytest.raises(ParseError) as caught:
        Packet.parse(unhex(vector["hex"]))
    assert caught.value.reason == vector["reason"]


def rtcp_of(fields):
    fields = dict(fields)
    kind = getattr(rtcp, fields.pop("type"))
    if "chunks" in fields:
        fields["chunks"] = [(ssrc, [(type_, unhex(text)) for type_, text in items]) for ssrc, items in fields["chunks"]]
    if "requests" in fields:
        fields["requests"] = [tuple(entry) for entry in fields["requests"]]
    if "blocks" in fields:
        fields["blocks"] = [rtcp_of(block) for block in fields["blocks"]]
    if kind is DelaySinceLastReceiverReport:
        fields["reports"] = [tuple(report) for report in fields["reports"]]
    elif "reports" in fields:
        fields["reports"] = [ReportBlock(**block) for block in fields["reports"]]
    if "streams" in fields:
        fields["streams"] = [
            StreamArrivals(
                s["ssrc"], s["begin_sequence_number"], [None if m is None else tuple(m) for m in s["metrics"]]
            )
            for s in fields["streams"]
        ]
    if "data" in fields:
        fields["data"] = unhex(fields["data"])
    if "body" in fields:
        fields["body"] = unhex(fields["body"])
    return kind(**fields)


@pytest.mark.parametrize("vector", cases(RTCP["vectors"]))
def test_rtcp(vector):
    data, expected = unhex(vector["hex"]), rtcp_of(vector["packet"])
    assert rtcp.parse(data) == [expected]
    assert rtcp.serialize([expected]) == data


def test_rtcp_compound():
    everything = [unhex(vector["hex"]) for vector in RTCP["vectors"]]
    expected = [rtcp_of(vector["packet"]) for vector in RTCP["vectors"]]
    assert rtcp.parse(b"".join(everything)) == expected
    assert rtcp.serialize(expected) == b"".join(everything)


UNKNOWN_TO_AIORTC = {"UnknownPacket", "FullIntraRequest", "ExtendedReport", "ApplicationDefined", "CongestionFeedback"}
KNOWN_TO_AIORTC = [v for v in RTCP["vectors"] if v["packet"]["type"] not in UNKNOWN_TO_AIORTC]


@pytest.mark.parametrize("vector", cases(KNOWN_TO_AIORTC))
def test_rtcp_by_aiortc(vector):
    aiortc_rtp = pytest.importorskip("aiortc.rtp")
    kind = vector["packet"]["type"]
    expected = rtcp_of(vector["packet"])
    (theirs,) = aiortc_rtp.RtcpPacket.parse(unhex(vector["hex"]))
    match kind:
        case "SenderReport":
            info, block = theirs.sender_info, theirs.reports[0]
            assert (info.ntp_timestamp, info.rtp_timestamp) == (expected.ntp_timestamp, expected.rtp_timestamp)
            assert (info.packet_count, info.octet_count) == (expected.packet_count, expected.octet_count)
            ours = expected.reports[0]
            assert (block.ssrc, block.fraction_lost, block.packets_lost) == (
                ours.ssrc,
                ours.fraction_lost,
                ours.packets_lost,
            )
            assert (block.highest_sequence, block.jitter, block.lsr, block.dlsr) == (
                ours.highest_sequence_number,
                ours.jitter,
                ours.lsr,
                ours.dlsr,
            )
        case "ReceiverReport":
            assert (theirs.ssrc, theirs.reports) == (1, [])
        case "SourceDescription":
            assert theirs.chunks[0].items == expected.chunks[0][1]
        case "Bye":
            assert theirs.sources == [1]
        case "Nack":
            # aiortc does not take (PID+i) modulo 2**16, as RFC 4585 section 6.2.1 says.
            assert [number & 0xFFFF for number in theirs.lost] == expected.sequence_numbers
        case "PictureLossIndication":
            assert (theirs.fmt, theirs.ssrc, theirs.media_ssrc) == (1, 1, 2)
        case "Remb":
            assert aiortc_rtp.unpack_remb_fci(theirs.fci) == (expected.bitrate, expected.ssrcs)
        case _:
            raise AssertionError(kind)


@pytest.mark.parametrize("vector", cases(RTCP["invalid"]))
def test_bad_rtcp(vector):
    with pytest.raises(ParseError) as caught:
        rtcp.parse(unhex(vector["hex"]))
    assert caught.value.reason == vector["reason"]


@pytest.mark.parametrize("vector", cases(FEEDBACK["vectors"]))
def test_transport_feedback(vector):
    data, expected = unhex(vector["hex"]), TransportFeedback(**vector["packet"])
    assert rtcp.parse(data) == [expected]
    assert rtcp.parse(rtcp.serialize([expected])) == [expected]
    if vector["canonical"]:
        assert rtcp.serialize([expected]) == data


@pytest.mark.parametrize("vector", cases(FEEDBACK["invalid"]))
def test_bad_transport_feedback(vector):
    with pytest.raises(ParseError) as caught:
        rtcp.parse(unhex(vector["hex"]))
    assert caught.value.reason == vector["reason"]


@pytest.mark.parametrize("vector", cases(PAYLOADS["h264"]))
def test_h264(vector):
    payloads, frame = [unhex(p) for p in vector["payloads"]], unhex(vector["frame"])
    assert h264.depacketize(payloads) == frame
    codec = pytest.importorskip("aiortc.codecs.h264")
    assert b"".join(codec.H264PayloadDescriptor.parse(p)[1] for p in payloads) == frame


@pytest.mark.parametrize("vector", cases(PAYLOADS["h264_invalid"]))
def test_bad_h264(vector):
    with pytest.raises(ParseError) as caught:
        h264.depacketize([unhex(p) for p in vector["payloads"]])
    assert caught.value.reason == vector["reason"]


@pytest.mark.parametrize("vector", cases(PAYLOADS["vp8"]))
def test_vp8(vector):
    data, fields = unhex(vector["hex"]), dict(vector["descriptor"])
    if "temporal_layer" in fields:
        fields["temporal_layer"] = tuple(fields["temporal_layer"])
    expected = vp8.Descriptor(**fields)
    assert vp8.Descriptor.parse(data) == (expected, vector["size"])
    assert vp8.Descriptor.parse(expected.serialize() + b"x")[0] == expected
    codec = pytest.importorskip("aiortc.codecs.vpx")
    theirs, rest = codec.VpxPayloadDescriptor.parse(data)
    assert (theirs.picture_id, theirs.partition_start, theirs.partition_id) == (
        expected.picture_id,
        expected.start,
        expected.partition,
    )
    assert rest == data[vector["size"] :]


@pytest.mark.parametrize("vector", cases(PAYLOADS["vp8_invalid"]))
def test_bad_vp8(vector):
    with pytest.raises(ParseError) as caught:
        vp8.Descriptor.parse(unhex(vector["hex"]))
    assert caught.value.reason == vector["reason"]
