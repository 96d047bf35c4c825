"""Where packets belong (RFC 9143 section 9.2), and several encodings of one source (RFC 8853)."""

import pytest

from stack.core import LocalError
from stack.rtp import (
    MID,
    REPAIRED_RID,
    RID,
    Closed,
    Demultiplexer,
    Destination,
    EncodingEvent,
    ExtensionMap,
    FrameReceived,
    KeyframeRequested,
    Packet,
    PictureLossIndication,
    SimulcastReceiver,
    SimulcastSender,
    SourceDescription,
    rtcp,
)
from stack.rtp.simulcast import MAX_ENCODINGS
from stack.testing import Conditions, Link

from .support import H264_PT, OPUS_PT, RTX_PT, events_of, h264_frame, receiver, sender

EXTENSIONS = ExtensionMap({MID: 1, RID: 4, REPAIRED_RID: 5})
RIDS = ("q", "h", "f")


def packet(ssrc, payload_type=H264_PT, *, mid=None, rid=None, repaired=None, payload=b"x"):
    values = {1: mid, 4: rid, 5: repaired}
    extensions = {identifier: value.encode() for identifier, value in values.items() if value is not None}
    return Packet(payload_type, False, 1, 0, ssrc, extensions=extensions, payload=payload).serialize()


def two_sections():
    found = Demultiplexer(EXTENSIONS)
    found.add("audio", mid="0", payload_types=[OPUS_PT, 13])
    found.add("video", mid="1", payload_types=[H264_PT, RTX_PT], ssrcs=[500])
    found.add("screen", mid="2", payload_types=[H264_PT, 120], rids=RIDS)
    return found


def test_the_mid_tells_and_is_remembered():
    found = two_sections()
    assert found.destination(packet(1)) is None  # the payload type is of two sections
    assert found.destination(packet(1, mid="1")) == Destination("video")
    assert found.destination(packet(1)) == Destination("video")
    assert found.destination(packet(1, mid="2")) == Destination("screen")  # the newest word counts
    assert found.destination(packet(1)) == Destination("screen")
    assert dict(found.dropped) == {"unrouted": 1}


def test_ssrcs_of_the_description():
    assert two_sections().destination(packet(500)) == Destination("video")


def test_a_payload_type_of_one_section():
    found = two_sections()
    assert found.destination(packet(7, OPUS_PT)) == Destination("audio")
    assert found.destination(packet(7, H264_PT)) == Destination("audio")  # by its SSRC now
    assert found.destination(packet(8, 120)) == Destination("screen")


def test_encodings_and_what_repairs_them():
    found = two_sections()
    assert found.destination(packet(1, mid="2", rid="h")) == Destination("screen", "h")
    assert found.destination(packet(1)) == Destination("screen", "h")
    assert found.destination(packet(2, mid="2", repaired="h")) == Destination("screen", "h", repaired=True)
    assert found.destination(packet(2)) == Destination("screen", "h", repaired=True)
    assert found.destination(packet(3, 120, rid="f")) == Destination(
        "screen", "f"
    )  # the payload type tells the section
    assert found.destination(packet(4, mid="1", rid="q")) == Destination("video")  # which has one encoding


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (b"\x80" * 11, "truncated"),
        (b"\x40" + packet(500)[1:], "bad-version"),
        (packet(1, 99), "unrouted"),
        (packet(1, mid="9"), "unknown-mid"),
        (packet(500, mid="9"), "unknown-mid"),
        (packet(1, mid="2", rid="x"), "unknown-rid"),
        (packet(1, rid="q"), "unrouted"),
        (Packet(H264_PT, ssrc=1, extensions={1: b"\xff"}, payload=b"x").serialize(), "bad-extension"),
        (b"\x90\x60" + bytes(10), "truncated"),
    ],
)
def test_what_belongs_nowhere_is_counted(data, reason):
    found = two_sections()
    assert found.destination(data) is None
    assert dict(found.dropped) == {reason: 1}


def test_source_descriptions_tell_too():
    found = two_sections()
    found.receive_description(SourceDescription.of_cname(9, "c", "2", "q"))
    found.receive_description(SourceDescription.of_cname(10, "c", "7"))
    assert found.destination(packet(9)) == Destination("screen", "q")
    assert found.destination(packet(10)) is None


def test_sections_that_cannot_be():
    found = two_sections()
    with pytest.raises(LocalError):
        found.add("again", mid="1")
    with pytest.raises(LocalError):
        found.add("many", ssrcs=range(1000, 1300))
    assert found.destination(packet(1000)) is None


def test_what_was_learned_is_taken_over():
    before = two_sections()
    for data in (
        packet(1, mid="1"),
        packet(2, mid="2", rid="h"),
        packet(3, 120, mid="2", repaired="h"),
        packet(4, mid="1"),
    ):
        assert before.destination(data)
    found = Demultiplexer(EXTENSIONS)
    found.add("video", mid="1", payload_types=[H264_PT], ssrcs=[4])
    found.add("screen", mid="2", payload_types=[H264_PT, 120], rids=["h"], ssrcs=[3])
    assert before.destination(packet(500, mid="1"))
    found.take_over(before)
    assert found.destination(packet(1)) == Destination("video")
    assert found.destination(packet(2)) == Destination("screen", "h")
    assert found.destination(packet(3, 120)) == Destination("screen", "h", repaired=True)
    assert found.destination(packet(2, mid="1")) == Destination("video")  # its packets say it better
    assert len(found) == 4


@pytest.mark.parametrize("section", [{"mid": "2"}, {"mid": "2", "rids": ["q"]}, {"mid": "7", "rids": ["h"]}])
def test_what_was_learned_of_sections_that_are_others_now_is_not(section):
    before = two_sections()
    before.destination(packet(2, mid="2", rid="h"))
    found = Demultiplexer(EXTENSIONS)
    found.add("screen", **section)
    found.take_over(before)
    assert len(found) == 0


# -- simulcast -----------------------------------------------------------------------------------------------------


def simulcast_sender(seed=1):
    senders = {}
    for index, rid in enumerate(RIDS):
        made = sender(
            seed=f"{seed}-{rid}", extension_map=EXTENSIONS, rid=rid, rtx_ssrc=2000 + index, rtx_payload_type=RTX_PT
        )
        made.ssrc = 1000 + index
        senders[rid] = made
    return SimulcastSender(senders)


def simulcast_receiver(seed=1):
    def make(rid):
        made = receiver(seed=f"{seed}-{rid}")
        made.local_ssrc = 3000 + RIDS.index(rid)
        return made

    return SimulcastReceiver(RIDS, make, EXTENSIONS, frozenset({H264_PT, RTX_PT}))


def frames_by_rid(events):
    found = {}
    for event in events:
        if isinstance(event, EncodingEvent) and isinstance(event.event, FrameReceived):
            found.setdefault(event.rid, []).append(event.event)
    return found


def test_three_encodings_over_a_lossy_link():
    source, sink = simulcast_sender(), simulcast_receiver()
    link = Link(source, sink, Conditions(delay=0.02, loss=0.05), back=Conditions(delay=0.02), seed=3)
    sent = {}
    wanted = set(RIDS)
    for number in range(90):
        for size, rid in zip((300, 900, 3000), RIDS, strict=True):
            frame = h264_frame(number, keyframe=rid in wanted, size=size)
            sent[rid, number * 3000] = frame
            source.send_frame(rid, frame, number * 3000, link.now)
        link.run(seconds=1 / 30)
        wanted = {event.rid for event in link.events[0] if isinstance(event.event, KeyframeRequested)}
        link.events[0].clear()
    link.run(seconds=0.5)
    found = frames_by_rid(link.events[1])
    assert set(found) == set(RIDS)
    for rid, frames in found.items():
        assert len(frames) > 60
        assert all(frame.data == sent[rid, frame.timestamp] for frame in frames)
    assert sum(sink[rid].stats.packets_recovered for rid in RIDS) > 0


def test_a_paused_encoding_sends_nothing():
    source = simulcast_sender()
    source.set_active("h", active=False)
    assert not source.is_active("h")
    source.send_frame("h", h264_frame(0), 0, 1.0)
    assert source.datagrams_to_send(1.0) == []
    assert dict(source.dropped) == {"paused": 1}
    source.set_active("h", active=True)
    source.send_frame("h", h264_frame(0, keyframe=True), 0, 1.0)
    assert source.datagrams_to_send(1.0)


def test_feedback_reaches_its_encoding():
    source = simulcast_sender()
    source.receive_datagram(rtcp.serialize([PictureLossIndication(9, 1001)]), 1.0)
    assert events_of(source) == [EncodingEvent("h", KeyframeRequested("pli"))]


def test_misuse_of_encodings():
    source = simulcast_sender()
    for wrong in (
        lambda: source.send_frame("x", h264_frame(0), 0, 1.0),
        lambda: source.set_active("x", active=True),
        lambda: SimulcastSender({}),
        lambda: SimulcastSender({"a": sender(), "b": sender()}),
        lambda: SimulcastSender({str(number): sender() for number in range(MAX_ENCODINGS + 1)}),
    ):
        with pytest.raises(LocalError):
            wrong()
    assert source.rids == RIDS


def test_strange_input_is_counted_once():
    sink = simulcast_receiver()
    for data in (b"", b"\x80\xc8\0\x09", packet(1), packet(1, rid="x")):
        sink.receive_datagram(data, 1.0)
    assert dict(sink.dropped) == {"truncated": 2, "unknown-rid": 2}
    sink.close(1.0)
    sink.receive_datagram(packet(1, rid="q"), 1.0)
    assert sink.dropped["closed"] == 1
    assert events_of(sink) == [Closed()]
