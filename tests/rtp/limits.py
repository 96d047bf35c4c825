"""Law 9: every named limit of stack.rtp is hit. Run by tests/contract through its subjects."""

import itertools

import pytest

from stack.core import LocalError, ParseError
from stack.rtp import (
    MID,
    BitrateEstimated,
    CongestionFeedbackGenerator,
    Demultiplexer,
    ExtendedReport,
    ExtensionMap,
    FrameReceived,
    KeyframeRequested,
    Nack,
    Packet,
    PictureLossIndication,
    ReceiverReferenceTime,
    ReceiverReport,
    Remb,
    ReportBlock,
    SimulcastSender,
    TransportFeedback,
    TransportFeedbackGenerator,
    congestion_generator,
    demultiplexer,
    flexfec,
    history,
    jitter_buffer,
    nack,
    playout,
    receiver_control,
    red,
    rtcp,
    sender_control,
    simulcast,
    transport_cc,
)
from stack.rtp import sender as sender_module

from .support import (
    H264_PT,
    LOCAL_SSRC,
    OPUS_PT,
    SSRC,
    body,
    events_of,
    frames_of,
    h264_frame,
    receiver,
    rtp_of,
    sender,
)


def max_frame_bytes():
    source = sender()
    with pytest.raises(LocalError):
        source.send_frame(h264_frame(0, size=sender_module.MAX_FRAME_BYTES), 0, 1.0)
    assert source.datagrams_to_send(1.0) == []


def max_queued_packets():
    source = sender(max_payload=100)
    for number in range(60):
        source.send_frame(h264_frame(number, keyframe=not number, size=9000), number * 3000, 1.0)
    assert sender_module.MAX_QUEUED_PACKETS - 100 < source.queued_packets <= sender_module.MAX_QUEUED_PACKETS
    assert source.dropped["send-queue-full"] > 0
    assert events_of(source) == [KeyframeRequested("send-queue-full")]
    packets = rtp_of(source.datagrams_to_send(1.0))
    assert packets[0].timestamp > 0  # the oldest frames went, whole
    assert packets[0].payload[1] & 0x80
    with pytest.raises(LocalError):
        sender(max_payload=10).send_frame(h264_frame(0, size=100_000), 0, 1.0)


def history_packets():
    source = sender(max_payload=50)
    source.send_frame(h264_frame(0, keyframe=True, size=48 * (history.HISTORY_PACKETS + 100)), 0, 1.0)
    first = rtp_of(source.datagrams_to_send(1.0))[0].sequence_number
    source.receive_rtcp([Nack(9, SSRC, [first])], 1.1)
    assert source.dropped["nack-too-old"] == 1
    assert source.datagrams_to_send(1.1) == []


def history_bytes():
    source = sender(max_payload=1100)
    for number in range(30):
        source.send_frame(h264_frame(number, size=100_000), number * 3000, 1.0)
        source.datagrams_to_send(1.0)
    assert history.HISTORY_BYTES - 1100 < source._history.octets <= history.HISTORY_BYTES
    assert source._history.octets == sum(len(packet[3]) for packet in source._history._order)
    assert len(source._history._packets) == len(source._history) < history.HISTORY_PACKETS


def history_is_forgotten_in_time():
    source = sender()
    source.send_frame(h264_frame(0), 0, 1.0)
    source.datagrams_to_send(1.0)
    due = source.next_timer()
    source.handle_timer(due)
    source.handle_timer(source.next_timer())
    assert len(source._history) == source._history.octets == 0


def padding_bytes():
    source = sender()
    source.send_frame(h264_frame(0), 0, 1.0)
    source.datagrams_to_send(1.0)
    size = sum(packet.size for packet in source.padding(sender_module.MAX_PADDING_BYTES, 1.0))
    assert size <= sender_module.MAX_PADDING_BYTES
    with pytest.raises(LocalError):
        source.padding(sender_module.MAX_PADDING_BYTES + 1, 1.0)


def reference_times():
    source = sender()
    for ssrc in range(sender_control.MAX_REFERENCE_TIMES + 3):
        source.receive_rtcp([ExtendedReport(ssrc, [ReceiverReferenceTime(1)])], 1.0)
    assert len(source._reference_times) == sender_control.MAX_REFERENCE_TIMES


def history_seconds():
    source = sender()
    source.send_frame(h264_frame(0), 0, 1.0)
    first = rtp_of(source.datagrams_to_send(1.0))[0].sequence_number
    source.receive_rtcp([Nack(9, SSRC, [first])], 1.01 + history.HISTORY_SECONDS)
    assert source.dropped["nack-too-old"] == 1


def retransmission_allowance():
    source = sender()
    now = 1.0
    source.send_frame(h264_frame(0, size=300_000), 0, now)
    numbers = [p.sequence_number for p in rtp_of(source.datagrams_to_send(now))]
    source.receive_rtcp([Nack(9, SSRC, numbers)], now + 0.05)
    again = source.datagrams_to_send(now + 0.05)
    assert sum(map(len, again)) < history.RETRANSMISSION_BURST * 1.1
    assert source.dropped["retransmission-limit"] > 100


def keyframe_request_interval():
    source = sender()
    for i in range(10):
        source.receive_rtcp([PictureLossIndication(9, SSRC)], 1.0 + i / 100)
    assert events_of(source) == [KeyframeRequested("pli")]
    source.handle_timer(1.0 + sender_control.KEYFRAME_REQUEST_INTERVAL)
    assert events_of(source) == [KeyframeRequested("pli")]


def sender_pending_events():
    source = sender()
    for i in range(sender_control.MAX_PENDING_EVENTS + 5):
        source.receive_rtcp([Remb(9, 1000 + i, [SSRC])], 1.0)
    events = events_of(source)
    assert len(events) == sender_control.MAX_PENDING_EVENTS
    assert events[-1] == BitrateEstimated(1004 + sender_control.MAX_PENDING_EVENTS)
    assert source.dropped["event-queue-full"] == 5


def max_rtt():
    source = sender()
    source.receive_rtcp([ReceiverReport(9, [ReportBlock(SSRC, lsr=1)])], 1000.0)
    assert source.rtt is None


def media(sequence_number, payload=b"\x41" + b"x" * 20, timestamp=0, *, marker=False, payload_type=H264_PT):
    return Packet(payload_type, marker, sequence_number & 0xFFFF, timestamp, SSRC, payload=payload)


def jitter_buffer_packets():
    sink = receiver()
    for i in range(jitter_buffer.MAX_PACKETS + 1):
        sink.receive_packet(media(i), 1.0)
    assert sink.dropped["jitter-buffer-full"] == 1
    assert len(sink._buffer) == 1


def jitter_buffer_bytes():
    sink = receiver()
    big = b"\x41" + bytes(60_000)
    for i in range(jitter_buffer.MAX_BYTES // len(big) + 1):
        sink.receive_packet(media(i, big), 1.0)
    assert sink.dropped["jitter-buffer-full"] == 1
    assert len(sink._buffer) == 1


def jitter_buffer_candidates():
    sink = receiver()
    for i in range(jitter_buffer.MAX_CANDIDATES + 5):
        sink.receive_packet(media(i * 3, b"\x67\x42", i * 3000), 1.0)  # the rest of each is missing
    assert len(sink._buffer._candidates) == jitter_buffer.MAX_CANDIDATES


def max_missing():
    sink = receiver()
    sink.receive_packet(media(0), 1.0)
    sink.receive_packet(media(nack.MAX_MISSING * 3), 1.0)
    assert len(sink._missing) == nack.MAX_MISSING
    sink.handle_timer(1.0 + nack.REORDERING_DELAY)
    datagram = sink.datagrams_to_send(1.0 + nack.REORDERING_DELAY)[0]
    assert len(datagram) < 1200
    asked = next(p for p in rtcp.parse(datagram) if isinstance(p, Nack)).sequence_numbers
    assert asked == list(range(nack.MAX_MISSING * 2, nack.MAX_MISSING * 3))
    missing = nack.MissingPackets()
    for number in range(nack.MAX_MISSING + 3):
        missing.add(number, 0.0, 1.0)
    assert len(missing) == nack.MAX_MISSING
    assert 2 not in missing
    assert 3 in missing


def max_requests():
    missing = nack.MissingPackets()
    missing.add(7, 0.0, 100.0)
    asked = 0
    for i in range(1, 50):
        asked += len(missing.due(i / 10, 0.05))
    assert asked == nack.MAX_REQUESTS
    assert not len(missing)


def receiver_pending_events():
    sink = receiver("audio/opus", payload_type=OPUS_PT, clock_rate=48000)
    for i in range(receiver_control.MAX_PENDING_EVENTS + 5):
        sink.receive_packet(media(i, body(i, 10), i * 960, payload_type=OPUS_PT), 1.0)
    assert sink.dropped["event-queue-full"] == 5
    frames = frames_of(sink)
    assert len(frames) == receiver_control.MAX_PENDING_EVENTS
    assert frames[0].timestamp == 5 * 960  # the oldest went


def receiver_keyframe_request_interval():
    sink = receiver()
    sink.receive_packet(media(0), 1.0)
    asked = 0
    for i in range(100):
        sink.request_keyframe(1.0 + i / 100)
        sink.handle_timer(1.0 + i / 100)
        for datagram in sink.datagrams_to_send(1.0 + i / 100):
            asked += sum(isinstance(p, PictureLossIndication) for p in rtcp.parse(datagram))
    assert asked == 2


def fec_sources_and_repairs():
    decoder = flexfec.FecDecoder(browser=True)
    for number in range(flexfec.MAX_SOURCES + 10):
        decoder.receive_source(media(number).serialize())
        assert len(decoder._sources) <= flexfec.MAX_SOURCES
    for number in range(flexfec.MAX_REPAIRS + 5):
        lost = [media(10_000 + 2 * number + more).serialize() for more in range(2)]
        decoder.receive_repair(flexfec.encode(lost, browser=True), [])
    assert len(decoder._repairs) == flexfec.MAX_REPAIRS


def red_blocks():
    with pytest.raises(ParseError) as caught:
        red.parse(b"\xef\x0f\0\0" * (red.MAX_BLOCKS + 1) + b"o")
    assert caught.value.reason == "bad-red"


def queued_repairs():
    source = sender(fec_ssrc=77, fec_payload_type=49)
    source.protect(1.0)
    for number in range(sender_module.MAX_QUEUED_REPAIRS + 10):
        source.send_frame(h264_frame(number, size=50), number * 3000, 1.0)
    for packet in source.packets_to_send(1.0):
        source.serialize(packet, 1.0)
    assert len(source._repairs) == sender_module.MAX_QUEUED_REPAIRS


def playout_frames():
    found = playout.Playout(48000, 5.0, 5.0)
    for number in range(playout.MAX_FRAMES + 3):
        found.put(FrameReceived(b"x", number, OPUS_PT, "audio/opus", True, 1.0), 1.0)
    assert len(found.take(1.0)) == 3
    assert len(found) == playout.MAX_FRAMES


def playout_window():
    found = playout.Playout(48000, 0.0, 1.0)
    for number in range(playout.WINDOW + 50):
        found.put(FrameReceived(b"x", number * 960, OPUS_PT, "audio/opus", True, 1.0), 1.0 + number / 50)
        found.take(1000.0)
    assert len(found._delays) == playout.WINDOW


def reordering_delay():
    missing = nack.MissingPackets()
    missing.add(1, 1.0, 1.0)
    missing.overtaken(1, 1.5)
    assert missing.tolerance == nack.MAX_REORDERING_DELAY


def transport_arrivals():
    generator = TransportFeedbackGenerator(ssrc=LOCAL_SSRC, extension_id=3)
    for i in range(transport_cc.MAX_ARRIVALS + 1):
        generator.receive_sequence_number(i, SSRC, 1.0 + i / 1e6)
    assert generator.dropped["arrivals-full"] == 1
    assert len(generator._arrivals) == transport_cc.MAX_ARRIVALS // 2 + 1


def transport_statuses():
    generator = TransportFeedbackGenerator(ssrc=LOCAL_SSRC, extension_id=3)
    count = transport_cc.MAX_STATUSES_PER_FEEDBACK * 2 + 10
    for i in range(count):
        generator.receive_sequence_number(i, SSRC, 1.0)
    generator.handle_timer(1.0 + transport_cc.FEEDBACK_INTERVAL)
    datagrams = generator.datagrams_to_send(1.0 + transport_cc.FEEDBACK_INTERVAL)
    messages = list(itertools.chain.from_iterable(map(rtcp.parse, datagrams)))
    assert [len(m.deltas) for m in messages] == [transport_cc.MAX_STATUSES_PER_FEEDBACK] * 2 + [10]
    assert all(isinstance(m, TransportFeedback) for m in messages)


def transport_gap():
    generator = TransportFeedbackGenerator(ssrc=LOCAL_SSRC, extension_id=3)
    generator.receive_sequence_number(0, SSRC, 1.0)
    generator.receive_sequence_number(transport_cc.MAX_GAP + 1, SSRC, 1.0)
    generator.handle_timer(2.0)
    (message,) = rtcp.parse(generator.datagrams_to_send(2.0)[0])
    assert message.base_sequence_number == transport_cc.MAX_GAP + 1
    assert len(message.deltas) == 1


def congestion_streams():
    generator = CongestionFeedbackGenerator(ssrc=LOCAL_SSRC)
    for ssrc in range(congestion_generator.MAX_STREAMS + 1):
        generator.receive_arrival(ssrc, 1, 1.0)
    assert generator.dropped["too-many-streams"] == 1
    generator.handle_timer(2.0)
    datagrams = generator.datagrams_to_send(2.0)
    reports = list(itertools.chain.from_iterable(map(rtcp.parse, datagrams)))
    most = congestion_generator.MAX_STREAMS_PER_REPORT
    assert [len(report.streams) for report in reports] == [most, most, congestion_generator.MAX_STREAMS - 2 * most]
    generator.receive_arrival(7777, 1, 3.0)  # takes the place of one that has nothing more to report
    generator.handle_timer(4.0)
    (message,) = rtcp.parse(generator.datagrams_to_send(4.0)[0])
    assert [stream.ssrc for stream in message.streams] == [7777]
    assert generator.dropped["too-many-streams"] == 1


def congestion_arrivals():
    generator = CongestionFeedbackGenerator(ssrc=LOCAL_SSRC)
    for number in range(congestion_generator.MAX_ARRIVALS_PER_STREAM + 1):
        generator.receive_arrival(SSRC, number, 1.0)
    assert generator.dropped["arrivals-full"] == 1
    generator.handle_timer(2.0)
    datagrams = generator.datagrams_to_send(2.0)
    assert max(map(len, datagrams)) < 1200
    reports = list(itertools.chain.from_iterable(map(rtcp.parse, datagrams)))
    assert (
        max(len(block.metrics) for r in reports for block in r.streams) == congestion_generator.MAX_METRICS_PER_REPORT
    )
    assert (
        sum(len(block.metrics) for r in reports for block in r.streams) == congestion_generator.MAX_ARRIVALS_PER_STREAM
    )


def congestion_gap():
    generator = CongestionFeedbackGenerator(ssrc=LOCAL_SSRC)
    generator.receive_arrival(SSRC, 0, 1.0)
    generator.receive_arrival(SSRC, congestion_generator.MAX_GAP + 1, 1.0)
    generator.handle_timer(2.0)
    (report,) = rtcp.parse(generator.datagrams_to_send(2.0)[0])
    assert [len(block.metrics) for block in report.streams] == [1]


def demultiplexer_ssrcs():
    found = Demultiplexer(ExtensionMap({MID: 1}))
    found.add("a", mid="0", payload_types=[96], ssrcs=[7])
    for ssrc in range(100, 100 + demultiplexer.MAX_SSRCS):
        assert found.destination(Packet(96, ssrc=ssrc, payload=b"x").serialize()) is not None
        assert found.destination(Packet(96, ssrc=100, payload=b"x").serialize()) is not None
    assert len(found) == demultiplexer.MAX_SSRCS
    assert found.dropped["ssrcs-full"] == 1
    for ssrc in (7, 100):  # signalled, and in use
        assert ssrc in found._sources
    assert 101 not in found._sources


def simulcast_encodings():
    with pytest.raises(LocalError):
        SimulcastSender({str(number): sender() for number in range(simulcast.MAX_ENCODINGS + 1)})


SENDER = [
    "max_frame_bytes",
    "max_queued_packets",
    "history_packets",
    "history_seconds",
    "history_bytes",
    "history_is_forgotten_in_time",
    "padding_bytes",
    "reference_times",
    "queued_repairs",
    "retransmission_allowance",
    "keyframe_request_interval",
    "sender_pending_events",
    "max_rtt",
]
RECEIVER = [
    "jitter_buffer_packets",
    "jitter_buffer_bytes",
    "jitter_buffer_candidates",
    "max_missing",
    "max_requests",
    "receiver_pending_events",
    "receiver_keyframe_request_interval",
    "fec_sources_and_repairs",
    "red_blocks",
    "playout_frames",
    "playout_window",
    "reordering_delay",
]
GENERATOR = ["transport_arrivals", "transport_statuses", "transport_gap"]
CONGESTION = ["congestion_streams", "congestion_arrivals", "congestion_gap"]
SIMULCAST = ["demultiplexer_ssrcs", "simulcast_encodings"]
