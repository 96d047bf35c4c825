"""Packets handed to a pacer: order, numbers given when they leave, drops, and padding for probes."""

import itertools

import pytest

from stack.core import LocalError
from stack.rtp import (
    ABS_CAPTURE_TIME,
    AUDIO_LEVEL,
    DEPENDENCY_DESCRIPTOR,
    VIDEO_ORIENTATION,
    DelaySinceLastReceiverReport,
    ExtendedReport,
    ExtensionMap,
    FrameReceived,
    KeyframeRequested,
    Nack,
    Packet,
    PacketKind,
    ReceiverReferenceTime,
    extensions,
    is_rtcp,
    rtcp,
)
from stack.rtp.payload import payload_format
from stack.rtp.sender_control import MAX_REFERENCE_TIMES

from .support import (
    OPUS_PT,
    RTX_PT,
    RTX_SSRC,
    SSRC,
    events_of,
    frames_of,
    h264_frame,
    receiver,
    rtp_of,
    sender,
)

REPORTER = 9


def numbered(**options):
    counter = itertools.count(100)
    return sender(next_transport_sequence=lambda: next(counter), **options)


def parsed(source, packets, now):
    return [Packet.parse(source.serialize(packet, now)) for packet in packets]


def test_packets_for_a_pacer_say_what_they_are():
    source = numbered()
    source.send_frame(h264_frame(0, keyframe=True), 3000, 1.0, capture_time=0.99)
    packets = source.packets_to_send(1.0)
    assert all(is_rtcp(data) for data in source.datagrams_to_send(1.0))
    assert source.packets_to_send(1.0) == []
    assert {p.kind for p in packets} == {PacketKind.VIDEO}
    assert [p.first for p in packets] == [True] + [False] * (len(packets) - 1)
    assert [p.last for p in packets] == [False] * (len(packets) - 1) + [True]
    assert {(p.keyframe, p.queued_at, p.capture_time, p.timestamp) for p in packets} == {(True, 1.0, 0.99, 3000)}
    assert {p.sequence_number for p in packets} == {None}
    announced = [p.size for p in packets]
    data = [source.serialize(packet, 1.1) for packet in packets]
    assert [len(datagram) for datagram in data] == announced == [p.size for p in packets]
    assert [p.transport_sequence_number for p in packets] == list(range(100, 100 + len(packets)))
    assert [Packet.parse(d).sequence_number for d in data] == [p.sequence_number for p in packets]
    assert source.stats.total_packet_send_delay == pytest.approx(0.1 * len(packets))


def test_paced_and_unpaced_packets_are_the_same_bytes():
    frames = [h264_frame(n, keyframe=not n) for n in range(4)]
    paced, unpaced = numbered(), numbered()
    for number, frame in enumerate(frames):
        for source in (paced, unpaced):
            source.send_frame(frame, number * 3000, 1.0)
    at_once = [data for data in unpaced.datagrams_to_send(1.0) if not is_rtcp(data)]
    assert [paced.serialize(packet, 1.0) for packet in paced.packets_to_send(1.0)] == at_once
    assert paced.stats.bytes_sent == unpaced.stats.bytes_sent
    assert (
        paced.stats.header_bytes_sent
        == unpaced.stats.header_bytes_sent
        == sum(map(len, at_once)) - (unpaced.stats.bytes_sent)
    )
    assert len(paced._history) == len(unpaced._history) == len(at_once)


def test_retransmissions_for_a_pacer():
    source = numbered()
    source.send_frame(h264_frame(0), 3000, 1.0)
    first = parsed(source, source.packets_to_send(1.0), 1.0)
    source.receive_rtcp([Nack(REPORTER, SSRC, [first[1].sequence_number])], 1.2)
    (again,) = source.packets_to_send(1.2)
    assert (again.kind, again.is_retransmission, again.queued_at) == (PacketKind.RETRANSMISSION, True, 1.2)
    assert again.sequence_number == first[1].sequence_number
    announced = again.size
    packet = Packet.parse(source.serialize(again, 1.2))
    assert (packet.ssrc, packet.payload_type) == (RTX_SSRC, RTX_PT)
    assert packet.payload == first[1].sequence_number.to_bytes(2, "big") + first[1].payload
    assert (again.size, again.sequence_number) == (announced, packet.sequence_number)
    assert again.transport_sequence_number == 100 + len(first)


def test_retransmissions_without_rtx_are_the_same_bytes():
    source = sender(rtx=False)
    source.send_frame(h264_frame(0), 3000, 1.0)
    data = [source.serialize(packet, 1.0) for packet in source.packets_to_send(1.0)]
    source.receive_rtcp([Nack(REPORTER, SSRC, [Packet.parse(data[1]).sequence_number])], 1.2)
    (again,) = source.packets_to_send(1.2)
    assert source.serialize(again, 1.2) == data[1]
    assert again.size == len(data[1])


def test_audio_packets_are_audio():
    source = sender("audio/opus", payload_type=OPUS_PT, clock_rate=48000)
    source.send_frame(b"opus", 0, 1.0)
    assert [p.kind for p in source.packets_to_send(1.0)] == [PacketKind.AUDIO]


def test_dropped_packets_leave_a_gap_and_a_keyframe_is_asked_for():
    source, sink = sender(), receiver()
    frames = [h264_frame(n, keyframe=n in {0, 2}) for n in range(3)]
    for number, frame in enumerate(frames):
        source.send_frame(frame, number * 3000, 1.0)
    packets = source.packets_to_send(1.0)
    second = [p for p in packets if p.timestamp == 3000]
    leaving = [p for p in packets if p not in second[1:]]
    sent = parsed(source, [p for p in leaving if p.timestamp < 6000], 1.0)
    source.discard(second[1:], 1.0)
    assert events_of(source) == [KeyframeRequested("send-queue-full")]
    assert source.dropped["send-queue-full"] == len(second) - 1
    sent += parsed(source, [p for p in leaving if p.timestamp == 6000], 1.0)
    numbers = [packet.sequence_number for packet in sent]
    assert [b - a for a, b in itertools.pairwise(numbers)].count(2) == 1
    for packet in sent:
        sink.receive_packet(packet, 1.0)
    assert [frame.data for frame in frames_of(sink)] == [frames[0], frames[2]]


def test_strangers_packets_are_not_serialized():
    source, other = sender(), sender("audio/opus", rtx=False, payload_type=OPUS_PT, clock_rate=48000)
    other.ssrc = 77
    other.send_frame(b"opus", 0, 1.0)
    (packet,) = other.packets_to_send(1.0)
    before = source.next_sequence_number
    with pytest.raises(LocalError):
        source.serialize(packet, 1.0)
    assert source.next_sequence_number == before


# -- padding ---------------------------------------------------------------------------------------------------


def test_padding_repeats_recent_packets_and_fills_up():
    source = numbered()
    assert source.padding(1000, 1.0) == []  # nothing was sent yet
    source.send_frame(h264_frame(0, size=1500), 3000, 1.0)
    first = parsed(source, source.packets_to_send(1.0), 1.0)
    probe = source.padding(3000, 1.1)
    assert {p.kind for p in probe} == {PacketKind.PADDING}
    assert 2900 < sum(p.size for p in probe) <= 3000
    announced = [p.size for p in probe]
    packets = parsed(source, probe, 1.1)
    assert [p.size for p in probe] == announced
    assert {p.ssrc for p in packets} == {RTX_SSRC}
    assert {p.payload[2:] for p in packets if p.payload} == {p.payload for p in first}
    assert source.stats.padding_packets == sum(1 for p in packets if p.padding) > 0
    numbers = [p.sequence_number for p in packets]
    assert numbers == list(range(numbers[0], numbers[0] + len(packets)))


def test_padding_without_rtx_is_in_the_stream_and_disturbs_no_frame():
    source, sink = sender(rtx=False), receiver(rtx={})
    frames = [h264_frame(n, keyframe=not n) for n in range(2)]
    data = []
    for number, frame in enumerate(frames):
        source.send_frame(frame, number * 3000, 1.0)
        packets = source.packets_to_send(1.0)
        data += [source.serialize(packet, 1.0) for packet in packets]
        data += [source.serialize(packet, 1.0) for packet in source.padding(600, 1.0)]
    assert {Packet.parse(datagram).ssrc for datagram in data} == {SSRC}
    for datagram in data:
        sink.receive_datagram(datagram, 1.0)
    assert [frame.data for frame in frames_of(sink)] == frames
    assert not sink.dropped


def test_padding_by_rtx_disturbs_no_frame():
    source, sink = sender(), receiver()
    frames = [h264_frame(n, keyframe=not n) for n in range(2)]
    for number, frame in enumerate(frames):
        source.send_frame(frame, number * 3000, 1.0)
        for packet in [*source.packets_to_send(1.0), *source.padding(4000, 1.0)]:
            sink.receive_datagram(source.serialize(packet, 1.0), 1.0)
    assert [frame.data for frame in frames_of(sink)] == frames


@pytest.mark.parametrize("size", [0, -1, 50_001])
def test_impossible_padding(size):
    with pytest.raises(LocalError):
        sender().padding(size, 1.0)


def test_no_padding_after_the_end():
    source = sender()
    source.close(1.0)
    with pytest.raises(LocalError):
        source.padding(100, 1.0)


# -- one frame for many -------------------------------------------------------------------------------------------


def test_a_frame_packetized_once_serves_many():
    frame = h264_frame(0, keyframe=True)
    payloads = payload_format("video/H264").packetize(frame, 1100)
    sources = [sender(seed=seed) for seed in range(3)]
    for source in sources:
        source.send_payloads(payloads, 3000, 1.0, keyframe=True)
        sink = receiver()
        for datagram in source.datagrams_to_send(1.0):
            sink.receive_datagram(datagram, 1.0)
        assert [found.data for found in frames_of(sink)] == [frame]
        assert source.stats.key_frames_sent == 1


def test_no_payloads_are_refused():
    with pytest.raises(LocalError):
        sender().send_payloads([], 0, 1.0)


# -- extensions of single frames ---------------------------------------------------------------------------------


def test_extensions_of_a_frame():
    source = sender(extension_map=ExtensionMap({VIDEO_ORIENTATION: 4, ABS_CAPTURE_TIME: 5}))
    turned = extensions.pack_video_orientation(90)
    source.send_frame(
        h264_frame(0), 0, 1.0, capture_time=0.9, extensions={VIDEO_ORIENTATION: turned, AUDIO_LEVEL: b"x"}
    )
    source.send_frame(h264_frame(1), 3000, 1.0)
    packets = rtp_of(source.datagrams_to_send(1.0))
    of_first = [p for p in packets if p.timestamp == 0]
    assert {p.extensions.get(4) for p in of_first} == {turned}
    assert [5 in p.extensions for p in of_first] == [True, False, False]
    assert all(not p.extensions for p in packets if p.timestamp)


def test_a_dependency_descriptor_is_passed_through():
    source = sender(extension_map=ExtensionMap({DEPENDENCY_DESCRIPTOR: 6}))
    whole = b"\xc1\x00\x07structure"
    source.send_frame(h264_frame(0), 0, 1.0, extensions={DEPENDENCY_DESCRIPTOR: whole})
    values = [packet.extensions[6] for packet in rtp_of(source.datagrams_to_send(1.0))]
    assert values == [b"\x81\x00\x07structure", b"\x01\x00\x07", b"\x41\x00\x07"]


# -- round trips of receivers (RFC 3611 section 4.5) ---------------------------------------------------------------


def extended_reports(datagrams):
    compound = [packet for data in datagrams if is_rtcp(data) for packet in rtcp.parse(data)]
    return [packet for packet in compound if isinstance(packet, ExtendedReport)]


def test_reference_times_are_answered_with_the_next_report():
    source = sender()
    source.send_frame(h264_frame(0), 0, 1.0)
    source.datagrams_to_send(1.0)
    source.receive_rtcp([ExtendedReport(REPORTER, [ReceiverReferenceTime(0x1111222233334444)])], 1.25)
    due = source.next_timer()
    source.handle_timer(due)
    (report,) = extended_reports(source.datagrams_to_send(due))
    delay = int((due - 1.25) * 65536)
    assert report == ExtendedReport(SSRC, [DelaySinceLastReceiverReport([(REPORTER, 0x22223333, delay)])])
    due = source.next_timer()
    source.handle_timer(due)
    assert extended_reports(source.datagrams_to_send(due)) == []


def test_reference_times_are_bounded():
    source = sender()
    source.send_frame(h264_frame(0), 0, 1.0)
    for ssrc in range(MAX_REFERENCE_TIMES + 3):
        source.receive_rtcp([ExtendedReport(ssrc, [ReceiverReferenceTime(ssrc << 16)])], 1.0)
    (report,) = extended_reports(source.datagrams_to_send(1.0))
    assert [ssrc for ssrc, _, _ in report.blocks[0].reports] == list(range(3, MAX_REFERENCE_TIMES + 3))


def test_a_frame_is_whole_whatever_a_pacer_drops():
    source, sink = sender(), receiver()
    sent, received = {}, []
    for number in range(60):
        wanted = any(isinstance(event, KeyframeRequested) for event in events_of(source))
        frame = h264_frame(number, keyframe=wanted or not number, size=2500, slices=3)
        sent[number * 3000] = frame
        source.send_frame(frame, number * 3000, 1.0 + number / 30)
        packets = source.packets_to_send(1.0 + number / 30)
        keep = len(packets) - (number % 4) if number % 7 == 5 else len(packets)
        for packet in packets[:keep]:
            sink.receive_datagram(source.serialize(packet, 1.0 + number / 30), 1.0 + number / 30)
        if packets[keep:]:
            source.discard(packets[keep:], 1.0 + number / 30)
        received += [event for event in events_of(sink) if isinstance(event, FrameReceived)]
    assert len(received) > 40
    assert all(sent[event.timestamp] == event.data for event in received)


def test_frames_that_may_leave_at_once_are_the_same_bytes_without_a_packet_for_each():
    each, whole = numbered(), numbered()
    for number in range(1, 4):
        for source in (each, whole):
            source.send_frame(h264_frame(number), number * 3000, 1.0, capture_time=0.9, extensions={AUDIO_LEVEL: b"\1"})
    packets = each.packets_to_send(1.1)
    assert whole.has_output
    assert whole.octets_at_once == sum(packet.size for packet in packets)
    data, transport_numbers = whole.frames_to_send(1.1)
    assert [each.serialize(packet, 1.1) for packet in packets] == data
    assert [packet.transport_sequence_number for packet in packets] == transport_numbers
    assert whole.stats.total_packet_send_delay == pytest.approx(each.stats.total_packet_send_delay)
    assert whole.stats.header_bytes_sent == each.stats.header_bytes_sent
    assert len(whole._history) == len(each._history) == len(data)
    assert not whole.has_output
    assert whole.octets_at_once == whole.queued_packets == 0
    assert whole.frames_to_send(1.1) == ([], [])
    transport_numbers.clear()
    whole.send_frame(h264_frame(4), 12000, 1.2)
    assert sender().frames_to_send(1.0)[1] == []  # without a transport counter


def test_keyframes_and_what_has_retransmissions_before_it_do_not_leave_at_once():
    source = numbered()
    source.send_frame(h264_frame(0, keyframe=True), 0, 1.0)
    assert source.has_output
    assert not source.octets_at_once
    sent = parsed(source, source.packets_to_send(1.0), 1.0)
    source.send_frame(h264_frame(1), 3000, 1.1)
    assert source.octets_at_once
    source.receive_rtcp([Nack(REPORTER, SSRC, [sent[0].sequence_number])], 1.1)
    assert not source.octets_at_once
