"""Redundant audio (RFC 2198) and flexible forward error correction (RFC 8627)."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import LocalError, ParseError
from stack.rtp import Packet, flexfec, is_rtcp, red

from .frames import audio_frame
from .support import OPUS_PT, SSRC, body, frames_of, h264_frame, receiver, rtp_of, sender

FEW = settings(max_examples=60, deadline=None)
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rtp" / "redundancy.json").read_text())
FORMS = pytest.mark.parametrize("browser", [False, True], ids=["rfc8627", "browser"])


def cases(name):
    return [pytest.param(vector, id=vector["name"]) for vector in VECTORS[name]]


def reason_of(parse, *arguments, **options):
    try:
        parse(*arguments, **options)
    except ParseError as error:
        return error.reason
    return None


# -- RFC 2198 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", cases("red"))
def test_redundant_payloads(vector):
    blocks = [red.RedBlock(kind, offset, bytes.fromhex(text)) for kind, offset, text in vector["blocks"]]
    assert red.parse(bytes.fromhex(vector["hex"])) == blocks
    assert red.serialize(blocks) == bytes.fromhex(vector["hex"])


@FEW
@given(st.lists(st.tuples(st.integers(1, 0x3FFF), st.binary(max_size=40)), max_size=4), st.binary(max_size=40))
def test_redundant_payloads_there_and_back(earlier, primary):
    blocks = [red.RedBlock(111, offset, data) for offset, data in earlier] + [red.RedBlock(0, 0, primary)]
    assert red.parse(red.serialize(blocks)) == blocks


@pytest.mark.parametrize("vector", cases("red_invalid"))
def test_redundant_payloads_that_cannot_be(vector):
    assert reason_of(red.parse, bytes.fromhex(vector["hex"])) == vector["reason"]


def test_the_encoder_leaves_no_hole():
    encoder = red.RedEncoder(2)
    offsets = []
    for timestamp, frame in ((0, b"a"), (960, b"b"), (1920, bytes(2000)), (2880, b"d"), (3840, b"e"), (90000, b"f")):
        offsets.append([block.timestamp_offset for block in red.parse(encoder.encode(111, timestamp, frame))])
    assert offsets == [[0], [960, 0], [1920, 960, 0], [0], [960, 0], [0]]


def test_what_does_not_fit_a_redundant_payload():
    primary = red.RedBlock(111, 0, b"x")
    for wrong in (
        lambda: red.serialize([]),
        lambda: red.serialize([red.RedBlock(111, 1 << 14, b""), primary]),
        lambda: red.serialize([red.RedBlock(111, 1, bytes(1024)), primary]),
        lambda: red.RedEncoder(0),
        lambda: red.RedEncoder(red.MAX_DISTANCE + 1),
    ):
        with pytest.raises(LocalError):
            wrong()


# -- RFC 8627 ----------------------------------------------------------------------------------------------------


def stream(count, *, start=0xFFF0, seed=1):
    rng = random.Random(seed)
    return [
        Packet(
            96,
            index == count - 1,
            start + index & 0xFFFF,
            rng.randrange(1 << 32),
            SSRC,
            extensions={1: b"0", 2: bytes(3)} if index % 2 else {},
            payload=body(index, rng.randint(0, 300)),
        ).serialize()
        for index in range(count)
    ]


@pytest.mark.parametrize("vector", cases("flexfec"))
@FORMS
def test_repair_packets(vector, browser):
    packets = [bytes.fromhex(text) for text in vector["packets"]]
    expected = bytes.fromhex(vector["browser" if browser else "rfc8627"])
    assert flexfec.encode(packets, browser=browser) == expected
    decoder = flexfec.FecDecoder(browser=browser)
    decoder.receive_source(packets[0])
    assert decoder.receive_repair(expected, vector["csrcs"]) == packets[1:]


@FORMS
@FEW
@given(st.lists(st.integers(0, 108), min_size=1, max_size=20, unique=True), st.integers(0, 1 << 30))
def test_any_one_lost_packet_is_recovered(browser, offsets, seed):
    packets = [stream(109, seed=seed)[offset] for offset in sorted(offsets)]
    payload = flexfec.encode(packets, browser=browser)
    repair = flexfec.parse(payload, [SSRC], browser=browser)
    assert repair.protected == [(SSRC, packet[2] << 8 | packet[3]) for packet in packets]
    lost = packets[seed % len(packets)]
    decoder = flexfec.FecDecoder(browser=browser)
    before = [packet for packet in packets if packet is not lost]
    half = len(before) // 2
    recovered = [found for packet in before[:half] for found in decoder.receive_source(packet)]
    recovered += decoder.receive_repair(payload, [SSRC])
    recovered += [found for packet in before[half:] for found in decoder.receive_source(packet)]
    assert recovered == [lost]


def test_rows_and_columns_repair_what_neither_could_alone():
    packets = stream(9, start=100)
    decoder = flexfec.FecDecoder(browser=False)
    for index in (1, 2, 5, 6, 7, 8):
        assert decoder.receive_source(packets[index]) == []
    recovered = []
    for group, columns, rows in (((0, 1, 2), 3, 1), ((3, 4, 5), 3, 1), ((0, 3, 6), 3, 3), ((1, 4, 7), 3, 3)):
        masked = flexfec.encode([packets[index] for index in group], browser=False)
        fixed = bytes((masked[0] | 0x40,)) + masked[1:10] + bytes((columns, rows)) + masked[12:]
        recovered += decoder.receive_repair(fixed, [SSRC])
    assert sorted(recovered) == sorted(packets[index] for index in (0, 3, 4))


def test_retransmissions_are_read():
    (packet,) = stream(1)
    payload = bytes((packet[0] & 0x3F | 0x80,)) + packet[1:]
    assert flexfec.FecDecoder(browser=False).receive_repair(payload, []) == [packet]


def test_several_streams_in_one_repair_packet():
    first, second = stream(1)[0], stream(1, seed=2)[0]
    second = second[:8] + (7).to_bytes(4, "big") + second[12:]
    one, two = flexfec.encode([first], browser=False), flexfec.encode([second], browser=False)
    size = max(len(one), len(two))
    bits = bytes(a ^ b for a, b in zip(one[:8], two[:8], strict=True))
    payload = bytes(
        a ^ b for a, b in zip(one[12:].ljust(size - 12, b"\0"), two[12:].ljust(size - 12, b"\0"), strict=True)
    )
    both = bits + one[8:12] + two[8:12] + payload
    decoder = flexfec.FecDecoder(browser=False)
    assert decoder.receive_repair(both, [SSRC, 7]) == []
    assert decoder.receive_source(first) == [second]


@pytest.mark.parametrize("vector", cases("flexfec_invalid"))
def test_repair_packets_that_cannot_be(vector):
    payload = bytes.fromhex(vector["hex"])
    assert reason_of(flexfec.parse, payload, vector["csrcs"], browser=vector["browser"]) == vector["reason"]


@FORMS
@FEW
@given(st.binary(max_size=60), st.lists(st.integers(0, 5), max_size=3))
def test_any_repair_packet_parses_or_is_refused(browser, payload, csrcs):
    decoder = flexfec.FecDecoder(browser=browser)
    for packet in stream(5, start=0):
        decoder.receive_source(packet)
    assert reason_of(decoder.receive_repair, payload, csrcs) in {None, "truncated", "bad-fec"}
    assert decoder.receive_source(b"short") == []


def test_a_parity_that_cannot_be_right_recovers_nothing():
    packets = stream(3, start=10)
    payload = flexfec.encode(packets, browser=False)
    decoder = flexfec.FecDecoder(browser=False)
    decoder.receive_source(packets[0])
    decoder.receive_source(packets[1])
    assert decoder.receive_repair(payload[:12], [SSRC]) == []
    wrong = payload[:2] + b"\xff\xff" + payload[4:]
    assert decoder.receive_repair(wrong, [SSRC]) == []


def test_what_cannot_be_protected():
    for wrong in ([], [stream(1)[0], stream(1, start=0x100)[0]], [stream(1)[0], stream(1)[0][:8] + b"abcd"]):
        with pytest.raises(LocalError):
            flexfec.encode(wrong, browser=False)


@pytest.mark.parametrize(
    ("count", "ratio", "groups"), [(10, 0.0, 0), (10, 0.2, 2), (3, 0.01, 1), (250, 0.1, 25), (2, 1.0, 2)]
)
def test_protection(count, ratio, groups):
    packets = stream(count)
    found = flexfec.protection(packets, ratio)
    assert abs(len(found) - groups) <= 1
    if groups:
        assert sorted(packet for group in found for packet in group) == sorted(packets)
        assert all(flexfec.encode(group, browser=True) for group in found)


# -- in senders and receivers --------------------------------------------------------------------------------------

RED_PT, FEC_PT, FEC_SSRC = 63, 49, 0x44444444


def audio_pair(distance):
    source = sender(
        "audio/opus",
        payload_type=OPUS_PT,
        clock_rate=48000,
        rtx=False,
        red_payload_type=RED_PT,
        red_distance=distance,
    )
    return source, receiver("audio/opus", payload_type=OPUS_PT, clock_rate=48000, rtx={}, nack=False, red=[RED_PT])


@pytest.mark.parametrize(("distance", "burst"), [(1, 1), (2, 2)])
def test_redundant_audio_survives_loss_without_waiting(distance, burst):
    source, sink = audio_pair(distance)
    found = []
    for number in range(60):
        now = 1.0 + number * 0.02
        source.send_frame(audio_frame(number), number * 960, now)
        for packet in rtp_of(source.datagrams_to_send(now)):
            assert packet.payload_type == RED_PT
            if number % 6 >= burst:
                sink.receive_packet(packet, now)
        found += frames_of(sink)
    assert [frame.data for frame in found] == [audio_frame(number) for number in range(burst, 60)]
    assert {frame.payload_type for frame in found} == {OPUS_PT}
    assert sink.statistics().fec_packets_recovered == 9 * burst
    assert not sink.dropped


@FEW
@given(st.integers(0, 1 << 30))
def test_redundant_audio_is_exact_or_missing(seed):
    rng = random.Random(seed)
    source, sink = audio_pair(2)
    packets = []
    for number in range(50):
        source.send_frame(audio_frame(number), number * 960, 1.0)
        packets += rtp_of(source.datagrams_to_send(1.0))
    packets = [packet for packet in packets if rng.random() > 0.2]
    packets.sort(key=lambda packet: packet.timestamp + rng.randint(0, 3000))
    found = []
    for position, packet in enumerate(packets):
        now = 1.0 + position * 0.02
        sink.receive_datagram(packet.serialize(), now)
        sink.handle_timer(now)
        found += frames_of(sink)
    stamps = [frame.timestamp for frame in found]
    assert stamps == sorted(set(stamps))
    assert all(frame.data == audio_frame(frame.timestamp // 960) for frame in found)


@pytest.mark.parametrize(("payload", "reason"), [(b"", "truncated"), (b"\x05x", "unknown-payload-type")])
def test_redundant_packets_that_cannot_be(payload, reason):
    _, sink = audio_pair(1)
    sink.receive_packet(Packet(RED_PT, False, 1, 0, SSRC, payload=payload), 1.0)
    assert dict(sink.dropped) == {reason: 1}


def video_pair(browser):
    source = sender(rtx=False, fec_ssrc=FEC_SSRC, fec_payload_type=FEC_PT, fec_browser=browser)
    source.protect(0.2)
    return source, receiver(rtx={}, nack=False, fec_payload_type=FEC_PT, fec_browser=browser)


@FORMS
@pytest.mark.parametrize("paced", [False, True])
def test_a_lost_packet_per_frame_is_recovered_without_a_round_trip(browser, paced):
    source, sink = video_pair(browser)
    frames, found = [], []
    rng = random.Random(3)
    for number in range(30):
        now = 1.0 + number / 30
        frames.append(h264_frame(number, keyframe=not number, size=4000))
        source.send_frame(frames[-1], number * 3000, now)
        if paced:
            data = [source.serialize(packet, now) for packet in source.packets_to_send(now)]
            repairs = source.packets_to_send(now)
            assert {packet.ssrc for packet in repairs} == {FEC_SSRC}
            data += [source.serialize(packet, now) for packet in repairs]
        else:
            data = [datagram for datagram in source.datagrams_to_send(now) if not is_rtcp(datagram)]
        if number:
            del data[rng.randrange(len(data))]
        for datagram in data:
            sink.receive_datagram(datagram, now)
        found += frames_of(sink)
    assert [frame.data for frame in found] == frames
    statistics = sink.statistics()
    assert statistics.fec_packets_received > 20
    assert statistics.fec_packets_recovered > 15
    assert source.stats.fec_packets_sent == 30
    assert not sink.dropped


def test_no_protection_unless_asked_for():
    source = sender(fec_ssrc=FEC_SSRC, fec_payload_type=FEC_PT)
    source.send_frame(h264_frame(0), 0, 1.0)
    assert {packet.ssrc for packet in rtp_of(source.datagrams_to_send(1.0))} == {SSRC}
    for wrong in (lambda: source.protect(1.5), lambda: sender().protect(0.5), lambda: sender(fec_ssrc=5)):
        with pytest.raises(LocalError):
            wrong()


def test_strange_repair_packets_are_counted():
    _, sink = video_pair(True)
    sink.receive_datagram(Packet(FEC_PT, False, 1, 0, FEC_SSRC, payload=b"x").serialize(), 1.0)
    assert dict(sink.dropped) == {"truncated": 1}
