"""One stream on its way out: packets, reports, retransmissions, requests."""

import itertools

import pytest

from stack.core import LocalError
from stack.rtp import (
    ABS_CAPTURE_TIME,
    ABS_SEND_TIME,
    MID,
    PLAYOUT_DELAY,
    REPAIRED_RID,
    RID,
    TRANSPORT_CC,
    BitrateEstimated,
    Bye,
    ByeReceived,
    Closed,
    ExtensionMap,
    FullIntraRequest,
    KeyframeRequested,
    Nack,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    ReportBlock,
    SenderReport,
    SourceDescription,
    TransportFeedback,
    TransportFeedbackReceived,
    extensions,
    h264,
    is_rtcp,
    rtcp,
)
from stack.rtp.history import HISTORY_SECONDS
from stack.rtp.sender_control import KEYFRAME_REQUEST_INTERVAL

from .support import (
    H264_PT,
    OPUS_PT,
    RTX_PT,
    RTX_SSRC,
    SSRC,
    events_of,
    h264_frame,
    rtp_of,
    same_frame,
    sender,
    vp8_frame,
)

REPORTER = 9


def reports_of(datagrams):
    return [packet for data in datagrams if is_rtcp(data) for packet in rtcp.parse(data)]


def test_a_frame_becomes_packets():
    source = sender()
    frame = h264_frame(0, keyframe=True)
    source.send_frame(frame, 90000, 1.0)
    packets = rtp_of(source.datagrams_to_send(1.0))
    first = packets[0].sequence_number
    assert first < 0x8000
    assert [p.sequence_number for p in packets] == list(range(first, first + len(packets)))
    assert [p.marker for p in packets] == [False] * (len(packets) - 1) + [True]
    assert {(p.ssrc, p.payload_type, p.timestamp) for p in packets} == {(SSRC, H264_PT, 90000)}
    assert same_frame(h264.depacketize([p.payload for p in packets]), frame)
    assert source.stats.packets_sent == len(packets)
    assert source.stats.bytes_sent == sum(len(p.payload) for p in packets)
    assert source.next_sequence_number == first + len(packets)


def test_sequence_numbers_and_timestamps_wrap():
    source = sender()
    source._sequence_number = 0xFFFF
    source.send_frame(h264_frame(0, size=2000), (1 << 32) + 5, 1.0)
    assert [(p.sequence_number, p.timestamp) for p in rtp_of(source.datagrams_to_send(1.0))] == [(0xFFFF, 5), (0, 5)]


def test_extensions_of_every_packet():
    counter = itertools.count(0xFFFF)
    source = sender(next_transport_sequence=lambda: next(counter), ntp_offset=63.0)
    source.send_frame(h264_frame(0, size=2000), 0, 1.0)
    first, second = rtp_of(source.datagrams_to_send(1.25))
    assert first.extensions == {1: b"0", 2: b"\x01\0\0", 3: b"\xff\xff"}
    assert second.extensions == {1: b"0", 2: b"\x01\0\0", 3: b"\0\0"}


def test_without_a_transport_counter_there_is_no_transport_sequence_number():
    source = sender()
    source.send_frame(h264_frame(0), 0, 1.0)
    assert set(rtp_of(source.datagrams_to_send(1.0))[0].extensions) == {1, 2}


def test_extensions_of_another_negotiation():
    source = sender()
    source.send_frame(h264_frame(0, size=100), 0, 1.0)
    before = source.datagrams_to_send(1.0)
    source.map_extensions(ExtensionMap({MID: 7, TRANSPORT_CC: 8}), lambda: 9)
    source.send_frame(h264_frame(1, size=100), 3000, 1.1)
    (packet,) = rtp_of(source.datagrams_to_send(1.1))
    assert packet.extensions == {7: b"0", 8: b"\0\x09"}
    assert packet.sequence_number == rtp_of(before)[-1].sequence_number + 1
    source.map_extensions(ExtensionMap())
    source.send_frame(h264_frame(2, size=100), 6000, 1.2)
    assert not rtp_of(source.datagrams_to_send(1.2))[0].extensions


def test_without_extensions_the_header_is_short():
    source = sender(extension_map=ExtensionMap())
    source.send_frame(h264_frame(0, size=100), 0, 1.0)
    assert source.datagrams_to_send(1.0)[0][0] == 0x80


def test_long_values_and_large_identifiers_take_the_two_byte_form():
    source = sender(extension_map=ExtensionMap({MID: 1, RID: 40, REPAIRED_RID: 41}), rid="a-rather-long-identification")
    source.send_frame(h264_frame(0, size=100), 0, 1.0)
    (packet,) = rtp_of(source.datagrams_to_send(1.0))
    assert packet.extensions == {1: b"0", 40: b"a-rather-long-identification"}
    source.receive_rtcp([Nack(REPORTER, SSRC, [packet.sequence_number])], 1.1)
    (again,) = rtp_of(source.datagrams_to_send(1.1))
    assert again.extensions == {1: b"0", 41: b"a-rather-long-identification"}


def test_capture_time_goes_with_the_first_packet_once_a_second():
    source = sender(extension_map=ExtensionMap({ABS_SEND_TIME: 2, ABS_CAPTURE_TIME: 5}), ntp_offset=10.0)
    seen = []
    for number in range(60):
        now = 1.0 + number / 30
        source.send_frame(h264_frame(number, size=2000), number * 3000, now, capture_time=now - 0.02)
        for packet in rtp_of(source.datagrams_to_send(now)):
            if 5 in packet.extensions:
                seen.append((number, extensions.unpack_abs_capture_time(packet.extensions[5])[0]))
            assert 2 in packet.extensions
    assert [number for number, _ in seen] == [0, 30]
    assert seen[0][1] == pytest.approx(10.98)


def test_playout_delay_of_a_low_latency_sender():
    source = sender(extension_map=ExtensionMap({PLAYOUT_DELAY: 7}), playout_delay=(0.0, 0.0))
    source.send_frame(h264_frame(0, size=100), 0, 1.0)
    assert rtp_of(source.datagrams_to_send(1.0))[0].extensions == {7: b"\0\0\0"}


def test_audio_marks_the_first_packet_only():
    source = sender("audio/opus", payload_type=OPUS_PT, clock_rate=48000, rtx=False)
    for number in range(3):
        source.send_frame(b"opus", number * 960, 1.0)
    assert [p.marker for p in rtp_of(source.datagrams_to_send(1.0))] == [True, False, False]


def test_vp8_picture_ids_count_frames():
    source = sender("video/VP8")
    for number in range(3):
        source.send_frame(vp8_frame(number, size=100), number * 3000, 1.0)
    assert [p.payload[2:4] for p in rtp_of(source.datagrams_to_send(1.0))] == [b"\x80\0", b"\x80\1", b"\x80\2"]


def test_reports_begin_at_once_and_go_on():
    source = sender(ntp_offset=100.0)
    assert source.next_timer() is None
    source.send_frame(h264_frame(0, size=100), 0xFFFFFFFF, 1.0)
    report, description = reports_of(source.datagrams_to_send(1.0))
    assert report == SenderReport(SSRC, 101 << 32, 0xFFFFFFFF, 1, 101)
    assert description == SourceDescription.of_cname(SSRC, "sender", "0")
    due = source.next_timer()
    assert 1.5 <= due <= 2.5
    source.send_frame(h264_frame(1, size=100), 44999, 1.5)
    source.datagrams_to_send(1.5)
    source.handle_timer(due)
    report, _ = reports_of(source.datagrams_to_send(due))
    assert report.rtp_timestamp == pytest.approx(44999 + (due - 1.5) * 90000, abs=1)
    assert report.packet_count == 2
    assert reports_of(source.datagrams_to_send(due)) == []


def test_who_is_silent_reports_as_a_receiver():
    source = sender()
    source.send_frame(h264_frame(0, size=100), 0, 1.0)
    kinds = [type(reports_of(source.datagrams_to_send(1.0))[0])]
    for _ in range(3):
        now = source.next_timer()
        source.handle_timer(now)
        kinds.append(type(reports_of(source.datagrams_to_send(now))[0]))
    assert kinds == [SenderReport, SenderReport, ReceiverReport, ReceiverReport]


def test_a_report_tells_loss_jitter_and_round_trip():
    source = sender()
    source.send_frame(h264_frame(0, size=100), 0, 1000.0)
    (report, _) = reports_of(source.datagrams_to_send(1000.0))
    lsr = report.ntp_timestamp >> 16 & 0xFFFFFFFF
    block = ReportBlock(SSRC, 64, 7, 0, 900, lsr, 0x8000)
    source.receive_datagram(rtcp.serialize([ReceiverReport(REPORTER, [block])]), 1000.55)
    assert source.rtt == pytest.approx(0.05, abs=0.001)
    assert (source.stats.fraction_lost, source.stats.packets_lost, source.stats.jitter) == (0.25, 7, 0.01)


def test_a_round_trip_is_never_negative_and_strangers_reports_do_not_count():
    source = sender()
    source.receive_rtcp([ReceiverReport(REPORTER, [ReportBlock(SSRC + 1, 255, lsr=65536 * 999)])], 1000.0)
    assert source.rtt is None
    assert source.stats.fraction_lost == 0.0
    source.receive_rtcp([ReceiverReport(REPORTER, [ReportBlock(SSRC, lsr=65536 * 1000 + 3)])], 1000.0)
    assert source.rtt == 0.0


def sent(source, frame, now=1.0):
    source.send_frame(frame, 4242, now)
    return rtp_of(source.datagrams_to_send(now))


def test_nack_is_answered_by_rtx():
    counter = itertools.count()
    source = sender(next_transport_sequence=lambda: next(counter))
    packets = sent(source, h264_frame(0))
    source.receive_datagram(rtcp.serialize([Nack(REPORTER, SSRC, [packets[-1].sequence_number])]), 1.05)
    (again,) = rtp_of(source.datagrams_to_send(1.05))
    assert (again.ssrc, again.payload_type, again.timestamp, again.marker) == (RTX_SSRC, RTX_PT, 4242, True)
    assert again.payload == packets[-1].sequence_number.to_bytes(2, "big") + packets[-1].payload
    assert again.extensions[3] == len(packets).to_bytes(2, "big")  # a number of its own
    assert again.extensions[1] == b"0"
    assert (source.stats.nacks, source.stats.retransmitted) == (1, 1)


def test_retransmissions_go_first():
    source = sender()
    number = sent(source, h264_frame(0))[0].sequence_number
    source.send_frame(h264_frame(1), 9000, 1.05)
    source.receive_rtcp([Nack(REPORTER, SSRC, [number])], 1.05)
    assert source.queued_packets == 4
    assert [p.ssrc for p in rtp_of(source.datagrams_to_send(1.05))] == [RTX_SSRC, SSRC, SSRC, SSRC]


def test_without_rtx_the_same_bytes_go_again():
    # SRTP would otherwise encrypt two different packets with one keystream.
    source = sender(rtx=False)
    source.send_frame(h264_frame(0), 0, 1.0)
    datagrams = source.datagrams_to_send(1.0)
    number = rtp_of(datagrams)[1].sequence_number
    source.receive_rtcp([Nack(REPORTER, SSRC, [number])], 1.05)
    assert source.datagrams_to_send(1.05) == [datagrams[1]]


def test_a_packet_is_not_sent_again_while_it_is_on_its_way():
    source = sender()
    number = sent(source, h264_frame(0))[0].sequence_number
    for now in (1.05, 1.05, 1.12, 1.13):
        source.receive_rtcp([Nack(REPORTER, SSRC, [number, number])], now)
    assert len(source.datagrams_to_send(1.13)) == 2  # at 1.05 and, a round trip being taken for 0.1 s, at 1.13
    assert source.dropped["nack-repeated"] == 6


@pytest.mark.parametrize(
    ("media_ssrc", "offset", "delay", "reason"),
    [
        (SSRC, -1, 0.05, "nack-too-old"),
        (SSRC, 100, 0.05, "nack-too-old"),
        (SSRC, 0, HISTORY_SECONDS + 0.01, "nack-too-old"),
        (SSRC + 1, 0, 0.05, None),
    ],
)
def test_nacks_that_cannot_be_answered(media_ssrc, offset, delay, reason):
    source = sender()
    number = sent(source, h264_frame(0))[0].sequence_number
    source.receive_rtcp([Nack(REPORTER, media_ssrc, [(number + offset) & 0xFFFF])], 1.0 + delay)
    assert source.datagrams_to_send(1.0 + delay) == []
    assert dict(source.dropped) == ({reason: 1} if reason else {})


def test_pli_asks_for_a_keyframe():
    source = sender()
    source.receive_datagram(rtcp.serialize([PictureLossIndication(REPORTER, SSRC)]), 1.0)
    source.receive_rtcp([PictureLossIndication(REPORTER, SSRC + 1)], 2.0)
    assert events_of(source) == [KeyframeRequested("pli")]
    assert (source.stats.plis, source.stats.keyframes_requested) == (1, 1)


def test_a_repeated_fir_asks_once():
    source = sender()
    for number, now in ((3, 1.0), (3, 2.0), (4, 3.0)):
        source.receive_rtcp([FullIntraRequest(REPORTER, [(SSRC + 1, 9), (SSRC, number)])], now)
    assert events_of(source) == [KeyframeRequested("fir")] * 2
    assert source.stats.firs == 3


def test_a_keyframe_request_too_early_waits():
    source = sender()
    source.receive_rtcp([PictureLossIndication(REPORTER, SSRC)], 1.0)
    source.receive_rtcp([PictureLossIndication(REPORTER, SSRC)], 1.1)
    assert events_of(source) == [KeyframeRequested("pli")]
    assert source.next_timer() == 1.0 + KEYFRAME_REQUEST_INTERVAL
    source.handle_timer(source.next_timer())
    assert events_of(source) == [KeyframeRequested("pli")]
    assert source.next_timer() is None


@pytest.mark.parametrize("explicit", [None, True])
def test_a_keyframe_meanwhile_answers_the_request_that_waits(explicit):
    source = sender()
    source.receive_rtcp([PictureLossIndication(REPORTER, SSRC)], 1.0)
    source.receive_rtcp([PictureLossIndication(REPORTER, SSRC)], 1.1)
    source.send_frame(h264_frame(0, keyframe=not explicit), 0, 1.2, keyframe=explicit)
    source.handle_timer(1.0 + KEYFRAME_REQUEST_INTERVAL)
    assert events_of(source) == [KeyframeRequested("pli")]


def test_estimates_and_feedback_are_reported():
    source = sender()
    ours = TransportFeedback(REPORTER, SSRC, 0, 0, 0, [1])
    strangers = TransportFeedback(REPORTER, SSRC + 1, 0, 0, 0, [1])
    source.receive_datagram(
        rtcp.serialize([Remb(REPORTER, 100_000, [SSRC]), Remb(REPORTER, 1, [SSRC + 1]), ours, strangers]), 1.0
    )
    assert events_of(source) == [BitrateEstimated(100_000), TransportFeedbackReceived(ours)]


def test_the_reporters_bye_is_reported():
    source = sender()
    source.receive_rtcp([Bye([REPORTER], "too early")], 1.0)
    source.receive_rtcp([ReceiverReport(REPORTER, [ReportBlock(SSRC)]), Bye([REPORTER], "done")], 1.0)
    assert events_of(source) == [ByeReceived(REPORTER, "done")]


def test_close_flushes_and_says_bye():
    source = sender()
    source.send_frame(h264_frame(0, size=100), 0, 1.0)
    source.close(1.0)
    *media, compound = source.datagrams_to_send(1.0)
    assert len(rtp_of(media)) == 1
    report, _, bye = rtcp.parse(compound)
    assert report.packet_count == 1
    assert bye == Bye([SSRC])
    assert events_of(source) == [Closed()]
    assert source.next_timer() is None
    with pytest.raises(LocalError):
        source.send_frame(h264_frame(1), 0, 1.0)
    source.receive_rtcp([PictureLossIndication(REPORTER, SSRC)], 2.0)
    assert source.dropped["closed"] == 1
    assert events_of(source) == []


def test_who_never_sent_says_no_bye():
    source = sender()
    source.close(1.0)
    assert source.datagrams_to_send(1.0) == []
    assert events_of(source) == [Closed()]


def test_garbage_is_counted():
    source = sender()
    source.receive_datagram(b"", 1.0)
    source.receive_datagram(b"\x40\xc9\0\0", 1.0)
    assert dict(source.dropped) == {"truncated": 1, "bad-version": 1}
