"""Waiting no longer than it must: smoothing, tolerance of reordering, and what a receiver knows."""

import random

import pytest

from stack.core import LocalError
from stack.rtp import (
    ABS_CAPTURE_TIME,
    VIDEO_ORIENTATION,
    DelaySinceLastReceiverReport,
    ExtendedReport,
    ExtensionMap,
    FrameReceived,
    Nack,
    Packet,
    PictureLossIndication,
    Receiver,
    SenderReport,
    rtcp,
)
from stack.rtp.nack import MAX_REORDERING_DELAY, REORDERING_DELAY, MissingPackets
from stack.rtp.playout import WINDOW, Playout
from stack.rtp.receiver import LONG_REPAIR_MAX_WAIT, REPAIR_MAX_WAIT
from stack.testing import Conditions, Link, seeded_random_bytes

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
    sender,
)


def frame(number, at):
    return FrameReceived(b"x", number * 960, OPUS_PT, "audio/opus", True, at)


def play(delays, *, minimum=0.0, maximum=0.5):
    """(when each frame was handed on, less its place on the media clock; the playout)."""
    playout, lags = Playout(48000, minimum, maximum), []
    arrivals = sorted((number * 0.02 + delay, number) for number, delay in enumerate(delays))
    arrivals.sort(key=lambda item: item[1])  # decoding order: what came early waited in the jitter buffer
    now = 0.0
    for at, number in arrivals:
        now = max(now, at)
        while (due := playout.deadline()) is not None and due <= now:
            lags += [due - found.timestamp / 48000 for found in playout.take(due)]
        playout.put(frame(number, now), now)
        lags += [now - found.timestamp / 48000 for found in playout.take(now)]
    while (due := playout.deadline()) is not None:
        lags += [due - found.timestamp / 48000 for found in playout.take(due)]
    assert len(lags) == len(delays)
    return lags, playout


def test_without_jitter_there_is_no_delay():
    lags, playout = play([0.05] * 300)
    assert max(lags) == pytest.approx(0.05, abs=1e-6)
    assert playout.target == pytest.approx(0.0, abs=1e-6)
    assert playout.delay_sum == pytest.approx(0.0, abs=1e-4)


def test_the_target_follows_the_measured_jitter():
    rng = random.Random(3)
    lags, playout = play([0.05 + rng.random() * 0.04 for _ in range(600)])
    assert 0.03 < playout.target < 0.045
    steady = lags[WINDOW:]
    assert max(steady) - min(steady) < 0.015  # of 0.04 that came in


def test_the_target_shrinks_when_jitter_is_gone():
    rng = random.Random(4)
    _, before = play([0.05 + rng.random() * 0.04 for _ in range(300)])
    _, after = play([0.05 + rng.random() * 0.04 for _ in range(300)] + [0.05] * 600)
    assert after.target < before.target / 10


@pytest.mark.parametrize(("minimum", "maximum"), [(0.1, 0.2), (0.0, 0.01)])
def test_the_target_keeps_its_bounds(minimum, maximum):
    rng = random.Random(5)
    _, playout = play([rng.random() * 0.06 for _ in range(300)], minimum=minimum, maximum=maximum)
    assert minimum <= playout.target <= maximum


def test_the_targets_are_summed_up_as_frames_are_handed_on():
    """W3C's jitterBufferTargetDelay, which is divided by jitterBufferEmittedCount."""
    playout = Playout(48000, 0.05, 0.05)
    for number in range(10):
        playout.put(frame(number, number * 0.02), number * 0.02)
    assert playout.target_sum == 0.0
    playout.take(1.0)
    assert playout.emitted == 10
    assert playout.target_sum == pytest.approx(10 * 0.05)


def test_a_new_media_clock_is_followed():
    playout = Playout(48000, 0.0, 0.5)
    for number in range(50):
        playout.put(frame(number, number * 0.02), number * 0.02)
        playout.take(number * 0.02)
    playout.put(frame(90_000_000, 1.0), 1.0)
    assert len(playout.take(1.0)) == 1


@pytest.mark.parametrize("bounds", [(-0.1, 0.2), (0.2, 0.1), (0.0, 10.0)])
def test_impossible_bounds(bounds):
    with pytest.raises(LocalError):
        receiver(smoothing=bounds)


def test_a_smoothing_receiver_evens_out_jitter():
    sink = receiver(smoothing=(0.0, 0.3))
    link = Link(sender(), sink, Conditions(delay=0.02, jitter=0.03), back=Conditions(delay=0.02), seed=2)
    camera = Camera(link)
    camera.shoot(150)
    link.run(seconds=1.0)
    assert len(camera.received) == 150
    found = sink.statistics()
    assert 0.01 < found.jitter_buffer_target_delay / 150 < 0.1
    assert found.jitter_buffer_emitted_count == 150
    assert 0.0 < found.jitter_buffer_delay / 150 < 0.1
    sink.close(link.now)
    assert sink.next_timer() is None


# -- tolerance of reordering ------------------------------------------------------------------------------------


def test_the_tolerance_grows_with_reordering_and_shrinks_without():
    missing = MissingPackets()
    missing.add(1, 1.0, 1.0)
    missing.overtaken(1, 1.02)
    assert missing.tolerance == pytest.approx(0.025)
    missing.add(2, 2.0, 1.0)
    assert missing.deadline() == pytest.approx(2.025)
    for number in range(3, 100):
        missing.add(number, 3.0, 1.0)
        missing.overtaken(number, 3.001)
    assert REORDERING_DELAY <= missing.tolerance < REORDERING_DELAY * 1.05
    assert MAX_REORDERING_DELAY > REORDERING_DELAY


def media(number, timestamp=0):
    return Packet(H264_PT, False, number, timestamp, SSRC, payload=b"\x41x")


def nacks_at(sink, now):
    sink.handle_timer(now)
    found = [packet for data in sink.datagrams_to_send(now) for packet in rtcp.parse(data)]
    return [number for packet in found if isinstance(packet, Nack) for number in packet.sequence_numbers]


def test_what_is_reordered_by_habit_is_not_asked_for():
    sink, asked = receiver(), []
    now = 1.0
    for number in range(0, 200, 2):
        sink.receive_packet(media(number + 1), now)
        asked.append(nacks_at(sink, now + 0.0149))
        sink.receive_packet(media(number), now + 0.015)
        now += 0.033
    assert sum(map(bool, asked)) <= 2


def test_a_long_round_trip_makes_a_gap_wait_longer():
    for rtt, expected in ((0.02, REPAIR_MAX_WAIT), (0.3, 0.76), (2.0, LONG_REPAIR_MAX_WAIT)):
        sink = receiver()
        sink.rtt = rtt
        sink.receive_packet(media(1), 1.0)
        sink.receive_packet(media(3), 1.0)
        assert sink._buffer.max_wait == pytest.approx(expected)
    chosen = receiver(max_wait=0.1)
    chosen.rtt = 2.0
    chosen.receive_packet(media(1), 1.0)
    chosen.receive_packet(media(3), 1.0)
    assert chosen._buffer.max_wait == 0.1


# -- lip synchronisation, round trips, extensions, statistics --------------------------------------------------------


def test_timestamps_are_mapped_to_the_senders_clock():
    sink = receiver(remote_ssrc=SSRC)
    assert sink.ntp_time(0) is None
    sink.receive_rtcp([SenderReport(SSRC, 100 << 32, 0xFFFFFFFF - 44999, 1, 1)], 1.0)
    assert sink.ntp_time(0xFFFFFFFF - 44999) == pytest.approx(100.0)
    assert sink.ntp_time(45000) == pytest.approx(101.0)
    assert sink.ntp_time(0xFFFFFFFF - 89999) == pytest.approx(99.5)


def test_audio_and_video_of_one_moment_have_one_time():
    clock_rates = {"video/H264": 90000, "audio/opus": 48000}
    found = {}
    for mime, clock_rate in clock_rates.items():
        source = sender(mime, clock_rate=clock_rate, payload_type=H264_PT, ntp_offset=7.0)
        sink = receiver(mime, clock_rate=clock_rate, payload_type=H264_PT)
        data = h264_frame(0, keyframe=True) if clock_rate == 90000 else b"opus"
        source.send_frame(data, 12345, 10.0, capture_time=9.9)
        for datagram in source.datagrams_to_send(10.0):
            sink.receive_datagram(datagram, 10.05)
        (event,) = frames_of(sink)
        found[mime] = sink.ntp_time(event.timestamp)
    assert found["video/H264"] == pytest.approx(found["audio/opus"], abs=0.001)
    assert found["video/H264"] == pytest.approx(16.9, abs=0.001)


def test_a_round_trip_by_extended_reports():
    link = Link(sender(), receiver(rrtr=True), Conditions(delay=0.03), seed=1)
    Camera(link).shoot(120)
    sink = link.machines[1]
    assert sink.stats.rtt == pytest.approx(0.06, abs=0.002)
    assert sink.rtt == sink.stats.rtt
    found = sink.statistics()
    assert found.round_trip_time_measurements >= 2
    assert found.total_round_trip_time == pytest.approx(0.06 * found.round_trip_time_measurements, rel=0.1)


@pytest.mark.parametrize(
    ("ssrc", "lrr", "rrtr"),
    [
        (LOCAL_SSRC + 1, 65536 * 999, True),
        (LOCAL_SSRC, 0, True),
        (LOCAL_SSRC, 65536 * 900, True),
        (LOCAL_SSRC, 1, False),
    ],
)
def test_round_trips_that_are_not_ours(ssrc, lrr, rrtr):
    sink = receiver(rrtr=rrtr)
    sink.receive_rtcp([ExtendedReport(SSRC, [DelaySinceLastReceiverReport([(ssrc, lrr, 0)])])], 1000.0)
    assert sink.stats.rtt is None


def test_extensions_of_a_frame_are_handed_on():
    extensions = ExtensionMap({VIDEO_ORIENTATION: 4, ABS_CAPTURE_TIME: 5})
    source = sender(extension_map=extensions)
    sink = Receiver(
        local_ssrc=LOCAL_SSRC,
        codecs={H264_PT: ("video/H264", 90000)},
        extension_map=extensions,
        random_bytes=seeded_random_bytes(1),
        cname="r",
    )
    source.send_frame(h264_frame(0, keyframe=True), 0, 1.0, capture_time=0.5, extensions={VIDEO_ORIENTATION: b"\1"})
    source.send_frame(h264_frame(1), 3000, 1.0)
    for datagram in source.datagrams_to_send(1.0):
        sink.receive_datagram(datagram, 1.0)
    first, second = frames_of(sink)
    assert set(first.extensions) == {VIDEO_ORIENTATION, ABS_CAPTURE_TIME}
    assert first.extensions[VIDEO_ORIENTATION] == b"\1"
    assert second.extensions == {}


def test_statistics_in_the_units_of_the_w3c():
    source, sink = sender(), receiver()
    packets = []
    for number in range(4):
        source.send_frame(h264_frame(number, keyframe=not number), number * 3000, 1.0 + number / 30)
        packets += rtp_of(source.datagrams_to_send(1.0 + number / 30))
    lost = packets.pop(5)
    for packet in packets:
        sink.receive_datagram(packet.serialize(), 1.0 + packet.timestamp / 90000 + 0.001 * (packet.timestamp % 2000))
    assert nacks_at(sink, 4.0) == []  # given up by now
    rtx = Packet(RTX_PT, False, 1, lost.timestamp, RTX_SSRC, payload=lost.sequence_number.to_bytes(2, "big") + b"x")
    sink.receive_packet(rtx, 4.0)
    sink.receive_packet(packets[-1], 4.0)
    sink.receive_rtcp([SenderReport(SSRC, 9 << 32, 0, 77, 999)], 4.0)
    found = sink.statistics()
    assert (found.ssrc, found.packets_received, found.packets_lost) == (SSRC, len(packets) + 1, 0)
    assert found.jitter == sink.stats.jitter / 90000 > 0
    assert (found.frames_received, found.key_frames_received) == (1, 1)
    assert (found.retransmitted_packets_received, found.retransmitted_bytes_received) == (1, 3)
    assert found.bytes_received == sink.stats.bytes_received
    assert found.header_bytes_received > 12 * len(packets)
    assert found.last_packet_received == 4.0
    assert found.packets_discarded > 0
    assert (found.remote_packets_sent, found.remote_bytes_sent, found.remote_timestamp) == (77, 999, 9.0)
    assert (found.nack_count, found.pli_count, found.fir_count) == (sink.stats.nacks, sink.stats.plis, 0)
    assert events_of(sink)


def test_keyframes_are_asked_for_at_a_sane_rate_under_heavy_loss():
    link = Link(sender(rtx=False), receiver(nack=False), Conditions(delay=0.02, loss=0.3), seed=9, keep_trace=True)
    Camera(link).shoot(150)
    asked = [
        now
        for now, side, data in link.trace
        if side == 1 and any(isinstance(packet, PictureLossIndication) for packet in rtcp.parse(data))
    ]
    assert 3 <= len(asked) <= 11
    assert link.machines[0].stats.keyframes_requested <= len(asked)
