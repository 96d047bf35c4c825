"""One stream on its way in: order, loss, reports, requests."""

import itertools

import pytest

from stack.core import LocalError
from stack.rtp import (
    Bye,
    ByeReceived,
    Closed,
    FrameReceived,
    FullIntraRequest,
    Nack,
    Packet,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    SenderReport,
    SourceDescription,
    rtcp,
)
from stack.rtp.nack import ENOUGH_REQUESTS, MIN_REPEAT_INTERVAL, REORDERING_DELAY
from stack.rtp.receiver import KEYFRAME_GRACE, LONG_REPAIR_MAX_WAIT, REORDERING_MAX_WAIT, REPAIR_MAX_WAIT, SILENCE
from stack.rtp.receiver_control import KEYFRAME_REQUEST_INTERVAL
from stack.testing import Conditions, Link

from .support import (
    H264_PT,
    LOCAL_SSRC,
    OPUS_PT,
    RTX_PT,
    RTX_SSRC,
    SSRC,
    Camera,
    events_of,
    frames_of,
    h264_frame,
    receiver,
    rtp_of,
    same_frame,
    sender,
    vp8_frame,
)


def stream(count, *, size=3000, keyframes=(0,), start=None, make=h264_frame, mime="video/H264"):
    """(frames, packets of each)."""
    source = sender(mime)
    if start is not None:
        source._sequence_number = start
    frames, packets = [], []
    for number in range(count):
        frames.append(make(number, keyframe=number in keyframes, size=size))
        source.send_frame(frames[-1], number * 3000, 1.0)
        packets.append(rtp_of(source.datagrams_to_send(1.0)))
    return frames, packets


def feed(sink, packets, now=1.0):
    for packet in packets:
        sink.receive_datagram(packet.serialize(), now)


def rtcp_at(sink, now, kind=None):
    """What the receiver sends at `now`, timers included."""
    sink.handle_timer(now)
    found = [packet for datagram in sink.datagrams_to_send(now) for packet in rtcp.parse(datagram)]
    return found if kind is None else [packet for packet in found if isinstance(packet, kind)]


def test_frames_in_order():
    frames, packets = stream(3)
    sink = receiver()
    for number, (frame, parts) in enumerate(zip(frames, packets, strict=True)):
        feed(sink, parts[:-1], 1.0 + number)
        assert frames_of(sink) == []
        feed(sink, parts[-1:], 1.5 + number)
        (event,) = events_of(sink)
        assert event == FrameReceived(frame, number * 3000, H264_PT, "video/h264", number == 0, 1.5 + number)
    assert sink.remote_ssrc == SSRC
    assert sink.stats.frames_received == 3
    assert sink.next_timer() is not None  # the report
    assert not sink.dropped


@pytest.mark.parametrize("start", [0, 1, 0xFFFE, 0xFFFF, 0x8000])
def test_reordering_and_wrapping(start):
    frames, packets = stream(4, start=start)
    sink = receiver()
    feed(sink, reversed(packets[0] + packets[1]))
    assert [frame.timestamp for frame in frames_of(sink)] == [0, 3000]
    feed(sink, packets[3] + packets[2])
    assert [frame.data for frame in frames_of(sink)] == frames[2:]


def test_duplicates_and_latecomers_are_dropped():
    _, packets = stream(2)
    sink = receiver()
    feed(sink, [packets[0][0], packets[0][0], *packets[0][1:], packets[0][1]])
    assert len(frames_of(sink)) == 1
    assert dict(sink.dropped) == {"duplicate": 1, "late": 1}


def test_a_stream_entered_in_the_middle_waits_for_a_keyframe():
    frames, packets = stream(5, keyframes=(0, 3))
    sink = receiver()
    feed(sink, packets[0][1:])  # even its first picture lacks its first packet
    feed(sink, packets[1] + packets[2])
    assert frames_of(sink) == []
    feed(sink, packets[3] + packets[4])
    assert [frame.data for frame in frames_of(sink)] == frames[3:]


def test_the_first_keyframe_is_asked_for_after_a_grace():
    _, packets = stream(40)
    sink = receiver()
    feed(sink, packets[1])
    assert rtcp_at(sink, 1.0 + KEYFRAME_GRACE / 2, PictureLossIndication) == []
    assert rtcp_at(sink, 1.0 + KEYFRAME_GRACE) == [
        ReceiverReport(LOCAL_SSRC),
        SourceDescription.of_cname(LOCAL_SSRC, "receiver"),
        PictureLossIndication(LOCAL_SSRC, SSRC),
    ]
    asked = 0
    for tenth in range(1, 50):
        asked += len(rtcp_at(sink, 1.2 + tenth / 10, PictureLossIndication))
    assert 1 <= asked <= SILENCE / KEYFRAME_REQUEST_INTERVAL  # not for ever, when nothing comes any more
    feed(sink, packets[2], 10.0)
    assert len(rtcp_at(sink, 10.0 + KEYFRAME_GRACE, PictureLossIndication)) == 1  # but again when something does


def test_a_gap_is_asked_for_and_repaired():
    frames, packets = stream(3)
    sink = receiver()
    lost = packets[1][1]
    feed(sink, [*packets[0], packets[1][0], packets[1][2], *packets[2]])
    assert [frame.data for frame in frames_of(sink)] == frames[:1]
    (nack,) = rtcp_at(sink, 1.0 + REORDERING_DELAY, Nack)
    assert nack == Nack(LOCAL_SSRC, SSRC, [lost.sequence_number])
    payload = lost.sequence_number.to_bytes(2, "big") + lost.payload
    rtx = Packet(RTX_PT, lost.marker, 7, lost.timestamp, RTX_SSRC, payload=payload)
    sink.receive_datagram(rtx.serialize(), 1.05)
    assert [(frame.data, frame.receive_time) for frame in frames_of(sink)] == [(frames[1], 1.05), (frames[2], 1.0)]
    assert sink.rtx_ssrc == RTX_SSRC
    assert (sink.stats.packets_recovered, sink.stats.packets_lost) == (1, 1)
    assert rtcp_at(sink, 1.2, Nack) == []


def test_nacks_repeat_until_the_gap_is_given_up():
    _, packets = stream(2)
    sink = receiver()
    sink.rtt = 0.05
    feed(sink, packets[0][:1] + packets[0][2:])
    times = [tick / 100 for tick in range(100) if rtcp_at(sink, 1.0 + tick / 100, Nack)]
    assert times == pytest.approx([0.01, 0.0725, 0.135, 0.1975, 0.26], abs=0.035)  # never within a round trip
    assert all(later - earlier > sink.rtt for earlier, later in itertools.pairwise(times))
    sink.rtt = 0.0
    feed(sink, packets[1][1:], 2.0)
    asked = [tick for tick in range(1000) if rtcp_at(sink, 2.0 + tick / 1000, Nack)]
    assert all(b - a >= MIN_REPEAT_INTERVAL * 1000 for a, b in itertools.pairwise(asked))


def feedback_at(sink, now):
    return [packet for packet in rtcp_at(sink, now) if isinstance(packet, Nack | PictureLossIndication)]


@pytest.mark.parametrize("requests", range(ENOUGH_REQUESTS))
def test_a_gap_is_not_given_up_before_it_was_asked_for_often_enough(requests):
    """Whoever had no processor for a while has asked less often than the time that went by says."""
    frames, packets = stream(2)
    sink, lost = receiver(), packets[1][0]
    sink.rtt = 0.05
    feed(sink, [*packets[0], *packets[1][1:]])
    assert len(frames_of(sink)) == 1
    nack = Nack(LOCAL_SSRC, SSRC, [lost.sequence_number])
    assert [feedback_at(sink, 1.02 + 0.07 * number) for number in range(requests)] == [[nack]] * requests
    woken = 1.0 + REPAIR_MAX_WAIT + 0.2
    assert feedback_at(sink, woken) == [nack]
    assert feedback_at(sink, woken + 0.06) == []
    payload = lost.sequence_number.to_bytes(2, "big") + lost.payload
    rtx = Packet(RTX_PT, lost.marker, 7, lost.timestamp, RTX_SSRC, payload=payload)
    sink.receive_datagram(rtx.serialize(), woken + 0.06)
    assert [frame.data for frame in frames_of(sink)] == frames[1:]


@pytest.mark.parametrize("slept", [0.0, 0.6, 1.5])
def test_a_gap_is_given_up_after_a_second_however_seldom_it_was_asked_for(slept):
    _, packets = stream(2)
    sink = receiver()
    sink.rtt = 0.6
    feed(sink, [*packets[0], *packets[1][1:]])
    given_up = max(LONG_REPAIR_MAX_WAIT, slept)
    for tick in range(round(slept * 100), round(given_up * 100)):
        assert PictureLossIndication not in map(type, feedback_at(sink, 1.0 + tick / 100))
    assert feedback_at(sink, 1.0 + given_up) == [PictureLossIndication(LOCAL_SSRC, SSRC)]


def test_video_that_nobody_repairs_does_not_wait_long():
    _, packets = stream(2)
    sink = receiver(nack=False)
    feed(sink, [*packets[0], *packets[1][1:]])
    assert len(rtcp_at(sink, 1.0 + REORDERING_MAX_WAIT, PictureLossIndication)) == 1


def test_reordering_is_not_asked_for():
    _, packets = stream(2)
    sink = receiver()
    feed(sink, [packets[0][0], packets[0][2]], 1.0)
    feed(sink, [packets[0][1]], 1.0 + REORDERING_DELAY / 2)
    assert rtcp_at(sink, 1.1, Nack) == []


def test_without_nack_nothing_is_asked_for():
    _, packets = stream(2)
    sink = receiver(nack=False)
    feed(sink, packets[0][:1] + packets[0][2:])
    assert rtcp_at(sink, 1.1, Nack) == []


def test_what_cannot_be_repaired_is_skipped_and_a_keyframe_asked_for():
    frames, packets = stream(6, keyframes=(0, 4))
    sink = receiver()
    sink.rtt = 0.05
    feed(sink, [*packets[0], *packets[1][1:], *packets[2]])
    assert [frame.data for frame in frames_of(sink)] == frames[:1]
    asked = {tick: rtcp_at(sink, 1.0 + tick / 100, PictureLossIndication) for tick in range(40)}
    at = round(REPAIR_MAX_WAIT * 100)
    assert {tick: found for tick, found in asked.items() if found} == {at: [PictureLossIndication(LOCAL_SSRC, SSRC)]}
    feed(sink, packets[3], 1.4)
    assert frames_of(sink) == []
    feed(sink, packets[4] + packets[5], 1.5)
    assert [frame.data for frame in frames_of(sink)] == frames[4:]
    feed(sink, packets[1][:1], 1.5)
    assert sink.dropped["late"] == 1
    assert frames_of(sink) == []


def test_a_keyframe_behind_a_gap_is_delivered_at_once():
    frames, packets = stream(4, keyframes=(0, 2))
    sink = receiver()
    feed(sink, [*packets[0], *packets[1][:-1], *packets[2], *packets[3]])
    assert [frame.data for frame in frames_of(sink)] == [frames[0], *frames[2:]]
    assert rtcp_at(sink, 1.1, Nack) == []  # the gap does not matter any more
    assert sink._buffer.packets_discarded == len(packets[1]) - 1


def test_a_keyframe_behind_a_gap_in_any_order():
    frames, packets = stream(4, keyframes=(0, 2))
    sink = receiver()
    feed(sink, [*packets[0], *packets[1][:-1], *packets[3], *reversed(packets[2])])
    assert [frame.data for frame in frames_of(sink)] == [frames[0], *frames[2:]]


def test_a_keyframe_without_parameter_sets_counts_only_when_its_start_is_known():
    idr = [b"\0\0\0\1\x65" + bytes([number]) * 200 for number in (1, 2)]
    source, sink = sender(), receiver()
    for number, frame in enumerate([h264_frame(0, size=100), *idr]):
        source.send_frame(frame, number * 3000, 1.0)
    delta, first, second = rtp_of(source.datagrams_to_send(1.0))
    feed(sink, [first])
    assert frames_of(sink) == []
    feed(sink, [delta])
    assert [frame.data for frame in frames_of(sink)] == idr[:1]
    feed(sink, [second])
    assert [frame.data for frame in frames_of(sink)] == idr[1:]


def test_a_keyframe_is_not_begun_in_its_middle():
    frame = b"\0\0\0\1\x09\xf0\0\0\0\1\x67" + b"s" * 30 + b"\0\0\0\1\x65" + b"i" * 30
    source = sender(max_payload=34)  # the delimiter, the parameter set and the picture in packets of their own
    source.send_frame(h264_frame(0, size=20), 0, 1.0)
    source.send_frame(frame, 3000, 1.0)
    before, delimiter, parameters, *picture = rtp_of(source.datagrams_to_send(1.0))
    assert delimiter.payload[0] & 0x1F == 9
    sink = receiver()
    feed(sink, [before, parameters, delimiter, *picture])
    assert [event.data for event in frames_of(sink)] == [frame]


def test_a_frame_without_marker_ends_where_the_next_begins():
    frames, packets = stream(3)
    sink = receiver()
    packets[0][-1].marker = False
    feed(sink, packets[0])
    assert frames_of(sink) == []
    feed(sink, packets[1])
    assert [frame.data for frame in frames_of(sink)] == frames[:2]


def test_a_malformed_frame_is_dropped_and_a_keyframe_asked_for():
    frames, packets = stream(4, keyframes=(0, 3))
    sink = receiver()
    packets[1][1].payload = b"\x7c\x05"[:1]
    feed(sink, packets[0] + packets[1] + packets[2])
    assert [frame.data for frame in frames_of(sink)] == frames[:1]
    assert sink.stats.frames_dropped == 1
    assert len(rtcp_at(sink, 1.0, PictureLossIndication)) == 1
    feed(sink, packets[3])
    assert [frame.data for frame in frames_of(sink)] == frames[3:]


def test_padding_keeps_the_order_and_is_no_frame():
    frames, packets = stream(2)
    sink = receiver()
    padding = Packet(H264_PT, False, packets[1][0].sequence_number, 0, SSRC, padding=200)
    for packet in packets[1]:
        packet.sequence_number += 1
    feed(sink, [*packets[0], padding, *packets[1]])
    assert [frame.data for frame in frames_of(sink)] == frames


def test_vp8_frames():
    frames, packets = stream(4, make=vp8_frame, mime="video/VP8", keyframes=(0, 2))
    sink = receiver("video/VP8")
    feed(sink, packets[0][1:] + packets[1] + packets[2] + packets[3])
    assert [(frame.data, frame.keyframe) for frame in frames_of(sink)] == [(frames[2], True), (frames[3], False)]


def opus(numbers, start=10):
    return [Packet(OPUS_PT, False, start + n, n * 960, SSRC, payload=bytes([n + 1])) for n in numbers]


def audio(**options):
    return receiver("audio/opus", payload_type=OPUS_PT, clock_rate=48000, **options)


def test_audio_goes_on_after_a_short_wait():
    sink = audio(nack=False)
    feed(sink, opus([0, 1, 3, 4]))
    assert [frame.data for frame in frames_of(sink)] == [b"\1", b"\2"]
    sink.handle_timer(1.0 + REORDERING_MAX_WAIT)
    assert [frame.data for frame in frames_of(sink)] == [b"\4", b"\5"]
    feed(sink, opus([2]), 1.1)
    assert sink.dropped["late"] == 1
    feed(sink, opus([5]), 1.1)
    assert [frame.data for frame in frames_of(sink)] == [b"\6"]


def test_audio_gaps_that_are_due_together_are_given_up_together():
    sink = audio(nack=False)
    feed(sink, opus([0, 2, 4, 6]))
    sink.handle_timer(2.0)
    assert [frame.data for frame in frames_of(sink)] == [b"\1", b"\3", b"\5", b"\7"]
    assert sink.next_timer() > 2.0 or sink.next_timer() is None


def test_audio_before_its_first_packet_is_late():
    sink = audio()
    feed(sink, opus([1, 0]))
    assert [frame.data for frame in frames_of(sink)] == [b"\2"]
    assert sink.dropped["late"] == 1
    assert sink._buffer.deadline() is None


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (Packet(96, False, 1, 0, SSRC, payload=b"x"), "unknown-payload-type"),
        (Packet(H264_PT, False, 1, 0, SSRC + 1, payload=b"\x41x"), "unknown-ssrc"),
        (Packet(RTX_PT, False, 1, 0, SSRC, payload=b"\0\1x"), "unknown-ssrc"),
        (Packet(RTX_PT, False, 1, 0, RTX_SSRC + 1, payload=b"\0\1x"), "unknown-ssrc"),
        (Packet(RTX_PT, False, 1, 0, RTX_SSRC, payload=b"\0"), "bad-rtx"),
        (Packet(RTX_PT, False, 1, 0, RTX_SSRC, payload=b"\x50\1x"), "bad-rtx"),
        (Packet(H264_PT, False, 0x6000, 0, SSRC, payload=b"\x41x"), "bad-sequence-number"),
        (Packet(H264_PT, False, 0xF000, 0, SSRC, payload=b"\x41x"), "bad-sequence-number"),
    ],
)
def test_strange_packets_are_dropped(packet, reason):
    sink = receiver(remote_ssrc=SSRC)
    _, packets = stream(1, start=100)
    feed(sink, packets[0])
    sink.receive_packet(Packet(RTX_PT, False, 0, 0, RTX_SSRC), 1.0)  # padding: tells the SSRC, no more
    assert sink.rtx_ssrc == RTX_SSRC
    sink.receive_packet(packet, 1.0)
    assert dict(sink.dropped) == {reason: 1}
    assert len(frames_of(sink)) == 1


def test_rtx_before_any_media_is_dropped():
    sink = receiver()
    sink.receive_packet(Packet(RTX_PT, False, 1, 0, RTX_SSRC, payload=b"\0\1x"), 1.0)
    assert dict(sink.dropped) == {"bad-rtx": 1}


def test_rtx_of_a_packet_not_yet_missed():
    frames, packets = stream(2)
    sink = receiver()
    feed(sink, packets[0])
    for packet in packets[1][::-1]:
        payload = packet.sequence_number.to_bytes(2, "big") + packet.payload
        sink.receive_packet(Packet(RTX_PT, packet.marker, 1, packet.timestamp, RTX_SSRC, payload=payload), 1.0)
    assert [frame.data for frame in frames_of(sink)] == frames
    feed(sink, packets[1])
    assert sink.dropped["late"] == len(packets[1])


def test_a_restart_of_the_sender_is_followed():
    sink = receiver()
    _, packets = stream(2, start=100)
    feed(sink, packets[0])
    frames, packets = stream(2, start=0x5000)
    feed(sink, packets[0])
    assert sink.dropped["bad-sequence-number"] == 1  # the first could have been a stranger
    feed(sink, packets[1])
    frames_of(sink)
    frames, packets = stream(2, start=0x5000 + len(packets[0] + packets[1]))
    feed(sink, packets[0] + packets[1])
    assert [frame.data for frame in frames_of(sink)] == frames


def test_reports():
    sink = receiver()
    _, packets = stream(10, size=1000, start=0xFFFC)  # ten single packets
    flat = [packet for parts in packets for packet in parts]
    compound = [SenderReport(SSRC, 0x11223344_55667788, 0, 0, 0), SourceDescription.of_cname(SSRC, "car")]
    feed(sink, flat[:4] + flat[5:], 1.0)
    sink.receive_datagram(rtcp.serialize(compound), 1.0)
    assert sink.remote_cname == "car"
    due = 1.0 + 0.75
    while not (reports := [r for r in rtcp_at(sink, due, ReceiverReport) if r.reports]):
        due += 0.01
    (block,) = reports[0].reports
    assert block.ssrc == SSRC
    assert (block.fraction_lost, block.packets_lost) == (256 // 10, 1)
    assert block.highest_sequence_number == 0x10000 + 5
    assert block.lsr == 0x33445566
    assert block.dlsr == int((due - 1.0) * 65536)
    feed(sink, flat[4:5], due)
    later = due + 2.0
    (report,) = rtcp_at(sink, later, ReceiverReport)
    assert (report.reports[0].fraction_lost, report.reports[0].packets_lost) == (0, 0)


def test_jitter_follows_the_rfc():
    sink = audio()
    times = [1.0, 1.02, 1.05, 1.06]
    for packet, now in zip(opus(range(4)), times, strict=True):
        feed(sink, [packet], now)
    expected = 0.0
    transits = [int(now * 48000) - n * 960 for n, now in enumerate(times)]
    for before, after in itertools.pairwise(transits):
        expected += (abs(after - before) - expected) / 16
    assert sink.stats.jitter == pytest.approx(expected)
    assert expected > 10


def test_feedback_alone_needs_no_report_where_reduced_size_is_agreed():
    sink = receiver(reduced_size=True)
    _, packets = stream(1)
    feed(sink, packets[0])
    sink.request_keyframe(1.0)
    assert rtcp_at(sink, 1.0) == [PictureLossIndication(LOCAL_SSRC, SSRC)]


def test_keyframes_are_asked_for_by_fir_where_there_is_no_pli():
    sink = receiver(pli=False, fir=True)
    _, packets = stream(1)
    feed(sink, packets[0])
    sink.request_keyframe(1.0)
    assert rtcp_at(sink, 1.0, FullIntraRequest) == [FullIntraRequest(LOCAL_SSRC, [(SSRC, 1)])]
    sink.request_keyframe(1.1)
    assert rtcp_at(sink, 1.2, FullIntraRequest) == []
    assert rtcp_at(sink, 1.0 + KEYFRAME_REQUEST_INTERVAL, FullIntraRequest) == [
        FullIntraRequest(LOCAL_SSRC, [(SSRC, 2)])
    ]


def test_a_bit_rate_is_asked_for_now_and_with_every_report():
    sink = receiver(remb=True)
    _, packets = stream(1)
    feed(sink, packets[0])
    sink.request_bitrate(512_000, 1.0)
    assert rtcp_at(sink, 1.0, Remb) == [Remb(LOCAL_SSRC, 512_000, [SSRC])]
    assert len(rtcp_at(sink, 2.0, Remb)) == 1


@pytest.mark.parametrize("options", [{}, {"remb": True, "transport_cc": True}])
def test_no_bit_rate_without_remb(options):
    with pytest.raises(LocalError):
        receiver(**options).request_bitrate(512_000, 1.0)


@pytest.mark.parametrize("bitrate", [0, -1, 1 << 64])
def test_impossible_bit_rates(bitrate):
    with pytest.raises(LocalError):
        receiver(remb=True).request_bitrate(bitrate, 1.0)


def test_requests_that_cannot_be_made():
    with pytest.raises(LocalError):
        receiver(pli=False).request_keyframe(1.0)
    with pytest.raises(LocalError):
        receiver().request_keyframe(1.0)  # nobody to ask
    sink = receiver(remote_ssrc=SSRC)
    sink.close(1.0)
    with pytest.raises(LocalError):
        sink.request_keyframe(1.0)


def test_the_senders_bye_is_reported():
    sink = receiver()
    _, packets = stream(1)
    feed(sink, packets[0])
    sink.receive_datagram(rtcp.serialize([ReceiverReport(SSRC + 1), Bye([SSRC + 1])]), 1.0)
    sink.receive_datagram(rtcp.serialize([ReceiverReport(SSRC), Bye([SSRC], "parked")]), 1.0)
    assert events_of(sink)[1:] == [ByeReceived(SSRC, "parked")]


def test_close():
    sink = receiver()
    _, packets = stream(2)
    feed(sink, packets[0] + packets[1][1:])
    frames_of(sink)
    sink.close(1.0)
    assert rtcp_at(sink, 1.0)[-1] == Bye([LOCAL_SSRC])
    assert events_of(sink) == [Closed()]
    assert sink.next_timer() is None
    feed(sink, packets[1][:1])
    sink.receive_datagram(rtcp.serialize([Bye([SSRC])]), 1.0)
    assert sink.dropped["closed"] == 2
    assert events_of(sink) == []


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(delay=0.02),
        Conditions(delay=0.02, jitter=0.004, loss=0.05),
        Conditions(delay=0.05, jitter=0.05, loss=0.02, duplicate=0.05),
        Conditions(delay=0.03, loss=0.3),
    ],
    ids=["clean", "lossy", "disorderly", "terrible"],
)
def test_over_a_link_frames_are_right_or_missing(conditions):
    link = Link(sender(), receiver(), conditions, back=Conditions(delay=0.02), seed=4)
    camera = Camera(link)
    camera.shoot(150)
    link.run(seconds=0.5)
    for frame in camera.received:
        assert same_frame(frame.data, camera.sent[frame.timestamp])
    stamps = [frame.timestamp for frame in camera.received]
    assert stamps == sorted(set(stamps))
    assert len(stamps) == 150 if not conditions.loss else len(stamps) > 60
    if conditions.loss and not conditions.jitter > 0.01:
        assert link.machines[1].stats.packets_recovered > 0
    assert link.machines[0].rtt == pytest.approx(conditions.delay + 0.02, abs=0.06)


def test_one_lost_frame_costs_a_round_trip_of_latency_and_no_frame():
    lost = []

    def tamper(side, index, data):
        if side == 0 and not lost and index > 20 and data[0] == 0x90:
            lost.append(index)
            return []
        return [data]

    link = Link(sender(), receiver(), Conditions(delay=0.02), tamper=tamper)
    camera = Camera(link)
    camera.shoot(30)
    assert lost
    assert len(camera.received) >= 29
    delays = [frame.receive_time - (1000.0 + frame.timestamp / 90000) for frame in camera.received]
    assert max(delays) < 0.02 + REORDERING_DELAY + 0.04 + 0.035
    assert sum(delay > 0.021 for delay in delays) <= 2
