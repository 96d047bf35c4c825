"""What is delivered is what was sent, or nothing: whatever the network does to the packets."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.rtp import Packet
from stack.rtp.jitter_buffer import MAX_BYTES, MAX_PACKETS, JitterBuffer
from stack.rtp.payload import payload_format

from .support import H264_PT, OPUS_PT, SSRC, frames_of, h264_frame, receiver, rtp_of, same_frame, sender, vp8_frame

MAKERS = {"video/H264": h264_frame, "video/VP8": vp8_frame}


def packets_of(mime, rng, count, start):
    """`count` frames with keyframes among them, and all their packets."""
    source = sender(mime, max_payload=rng.choice([60, 200, 1100]))
    source._sequence_number = start
    frames, packets = {}, []
    for number in range(count):
        options = {"slices": rng.randint(1, 3)} if mime == "video/H264" else {}
        keyframe = number == 0 or rng.random() < 0.2
        frame = MAKERS[mime](number, keyframe=keyframe, size=rng.randint(3, 800), **options)
        frames[number * 3000] = frame
        source.send_frame(frame, number * 3000, 1.0)
        packets += rtp_of(source.datagrams_to_send(1.0))
    return frames, packets


def network(rng, packets, loss, spread, duplicates):
    """(arrival index, packet) in the order of arrival, what was lost left out."""
    arrivals = []
    for index, packet in enumerate(packets):
        if rng.random() >= loss:
            for _ in range(2 if rng.random() < duplicates else 1):
                arrivals.append((index + rng.random() * spread, len(arrivals), packet))
    return [packet for _, _, packet in sorted(arrivals, key=lambda entry: entry[:2])]


@settings(max_examples=120, deadline=None)
@given(
    mime=st.sampled_from(sorted(MAKERS)),
    seed=st.integers(0, 1 << 32),
    loss=st.sampled_from([0.0, 0.02, 0.1, 0.4]),
    spread=st.sampled_from([0.0, 3.0, 20.0]),
    duplicates=st.sampled_from([0.0, 0.1]),
    start=st.sampled_from([0, 0xFFF0, 0x7FF0]),
    pace=st.sampled_from([0.0005, 0.005, 0.05]),
)
def test_a_frame_is_whole_and_right_or_does_not_come(mime, seed, loss, spread, duplicates, start, pace):
    rng = random.Random(seed)
    frames, packets = packets_of(mime, rng, 12, start)
    sink = receiver(mime)
    now, seen, decodable = 1.0, [], True
    for packet in network(rng, packets, loss, spread, duplicates):
        now += pace
        while (due := sink.next_timer()) is not None and due <= now:
            sink.handle_timer(due)
        sink.receive_datagram(packet.serialize(), now)
        for event in frames_of(sink):
            frame = frames[event.timestamp]
            assert event.data == frame or (mime == "video/H264" and same_frame(event.data, frame))
            follows = bool(seen) and event.timestamp == seen[-1] + 3000
            decodable = event.keyframe or (decodable and follows)
            assert decodable, "a frame whose reference is missing"
            assert not seen or event.timestamp > seen[-1]
            seen.append(event.timestamp)
    if not loss and not spread:
        assert seen == sorted(frames)


def fill(buffer, numbers, *, timestamp=0, payload=b"\x41x", marker=False, now=1.0):
    for number in numbers:
        buffer.insert(number, Packet(H264_PT, marker, number & 0xFFFF, timestamp, SSRC, payload=payload), now)


def video(max_wait=0.3):
    return JitterBuffer({H264_PT: payload_format("video/H264")}, max_wait)


def test_memory_is_given_back():
    buffer = video()
    fill(buffer, range(10, 20), payload=b"\x67x", marker=True)
    assert (len(buffer), buffer._bytes) == (10, 20)  # no picture in it: nothing to deliver
    fill(buffer, [20], payload=b"\x67x", timestamp=9)
    fill(buffer, [21], payload=b"\x65x", timestamp=9, marker=True)
    (frame,) = buffer.take_frames()
    assert frame.data == b"\0\0\0\1\x67x\0\0\0\1\x65x"
    assert (len(buffer), buffer._bytes, buffer.packets_discarded) == (0, 0, 10)


def test_a_full_buffer_keeps_the_keyframe_under_way():
    buffer = video()
    fill(buffer, range(1000))
    fill(buffer, [1000], payload=b"\x67x", timestamp=9)
    fill(buffer, range(1002, 1002 + MAX_PACKETS - 1001), timestamp=10)
    assert len(buffer) == MAX_PACKETS
    fill(buffer, [5000], timestamp=11)
    assert buffer.floor == 1000
    assert buffer.packets_discarded == 1000
    fill(buffer, [1001], payload=b"\x65x", timestamp=9, marker=True)
    assert [frame.timestamp for frame in buffer.take_frames()] == [9]


def test_a_full_buffer_of_one_keyframe_is_given_up():
    buffer = video()
    fill(buffer, [0], payload=b"\x67x")
    reason = None
    for number in range(2, 200):
        packet = Packet(H264_PT, False, number, 0, SSRC, payload=b"\x41" + bytes(60_000))
        reason = reason or buffer.insert(number, packet, 1.0)
        assert buffer._bytes <= MAX_BYTES
    assert reason == "jitter-buffer-full"


def test_the_deadline_is_that_of_the_oldest_packet_that_waits():
    buffer = video()
    fill(buffer, [0], payload=b"\x67x")
    fill(buffer, [1], payload=b"\x65x", marker=True)
    assert buffer.deadline() is None
    fill(buffer, [3], timestamp=3, now=2.0)
    fill(buffer, [5], timestamp=5, now=3.0)
    assert buffer.deadline() == pytest.approx(2.3)
    fill(buffer, [2], timestamp=3, now=2.1)
    assert buffer.deadline() == pytest.approx(3.3)  # 3 waits no more: it is inside its frame
    fill(buffer, [4], timestamp=5, now=3.1)
    assert buffer.deadline() is None


def test_a_gap_given_up_twice_does_no_harm():
    buffer = video()
    buffer.give_up()
    assert buffer.awaiting_keyframe
    audio = JitterBuffer({OPUS_PT: payload_format("audio/opus")}, 0.1)
    audio.give_up()
    assert not audio.awaiting_keyframe
    assert audio.take_frames() == []


def test_frames_over_many_packets():
    frame = h264_frame(1, keyframe=True, size=400_000)
    source, sink = sender(), receiver()
    source.send_frame(frame, 0, 1.0)
    packets = rtp_of(source.datagrams_to_send(1.0))
    random.Random(1).shuffle(packets)
    for packet in packets:
        sink.receive_packet(packet, 1.0)
    (event,) = frames_of(sink)
    assert event.data == frame
