"""RTCP packets beyond the vectors: properties, and feedback on several streams (RFC 8888)."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import LocalError
from stack.rtp import (
    ApplicationDefined,
    Bye,
    Closed,
    CongestionFeedback,
    CongestionFeedbackGenerator,
    DelaySinceLastReceiverReport,
    ExtendedReport,
    FullIntraRequest,
    Packet,
    PictureLossIndication,
    ReceiverReferenceTime,
    ReceiverReport,
    ReportBlock,
    SenderReport,
    SourceDescription,
    StreamArrivals,
    TransportFeedback,
    is_rtcp,
    rtcp,
    rtcp_reports,
)
from stack.rtp.congestion_feedback import OFFSET_UNIT, OVER_RANGE, UNAVAILABLE
from stack.rtp.congestion_generator import CE, REPEATED, REPORT_INTERVAL
from stack.rtp.rtcp import UnknownBlock
from stack.testing import Conditions, Link

from .support import LOCAL_SSRC, SSRC, Camera, events_of, receiver, sender

FEW = settings(max_examples=80, deadline=None)
START = 1000.0
u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
words = st.binary(max_size=20).map(lambda data: data[: len(data) // 4 * 4])
report_blocks = st.lists(
    st.builds(ReportBlock, u32, u8, st.integers(-0x800000, 0x7FFFFF), u32, u32, u32, u32), max_size=31
)
metrics = st.lists(st.none() | st.tuples(st.integers(0, 3), st.integers(0, UNAVAILABLE)), max_size=40)
blocks = (
    st.builds(ReceiverReferenceTime, u64)
    | st.builds(DelaySinceLastReceiverReport, st.lists(st.tuples(u32, u32, u32), max_size=4))
    | st.builds(UnknownBlock, st.integers(6, 255), u8, words)
)
items = st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=40)), max_size=4)
packets = st.one_of(
    st.builds(SenderReport, u32, u64, u32, u32, u32, report_blocks),
    st.builds(ReceiverReport, u32, report_blocks),
    st.builds(SourceDescription, st.lists(st.tuples(u32, items), max_size=5)),
    st.builds(Bye, st.lists(u32, max_size=31), st.text(max_size=60)),
    st.builds(ApplicationDefined, u32, st.text("abcXYZ0", min_size=4, max_size=4), st.integers(0, 31), words),
    st.builds(ExtendedReport, u32, st.lists(blocks, max_size=4)),
    st.builds(PictureLossIndication, u32, u32),
    st.builds(FullIntraRequest, u32, st.lists(st.tuples(u32, u8), min_size=1, max_size=5)),
    st.builds(CongestionFeedback, u32, u32, st.lists(st.builds(StreamArrivals, u32, u16, metrics), max_size=4)),
    st.builds(
        TransportFeedback,
        u32,
        u32,
        u16,
        st.integers(-(1 << 23), (1 << 23) - 1),
        u8,
        st.lists(st.none() | st.integers(-0x8000, 0x7FFF), min_size=1, max_size=60),
    ),
)


@FEW
@given(st.lists(packets, min_size=1, max_size=4))
def test_a_compound_is_read_as_it_was_written(compound):
    assert rtcp.parse(rtcp.serialize(compound)) == compound


@FEW
@given(packets, st.data())
def test_a_packet_cut_short_is_refused_or_shorter(packet, data):
    whole = rtcp.serialize([packet])
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(rtcp.ParseError) as caught:
        rtcp.parse(part)
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize(
    "packet",
    [
        ApplicationDefined(1, "abc"),
        ApplicationDefined(1, "abcde"),
        ApplicationDefined(1, "abcd", 32),
        ApplicationDefined(1, "abcd", 0, b"odd"),
        ApplicationDefined(1, "abc\u4e00"),
        ExtendedReport(1, [ReceiverReferenceTime(1 << 64)]),
        ExtendedReport(1, [UnknownBlock(9, 0, b"odd")]),
        CongestionFeedback(1, 2, [StreamArrivals(3, 0x10000)]),
        CongestionFeedback(1, 2, [StreamArrivals(3, 0, [(4, 0)])]),
        CongestionFeedback(1, 2, [StreamArrivals(3, 0, [(0, 0x2000)])]),
        CongestionFeedback(1, 2, [StreamArrivals(3, 0, [None] * 16385)]),
    ],
)
def test_what_does_not_fit_is_refused(packet):
    with pytest.raises(LocalError):
        rtcp.serialize([packet])


def test_items_of_a_source_description():
    description = SourceDescription.of_cname(7, "car", "0", "hi")
    assert description.cname(7) == "car"
    assert description.text(7, rtcp_reports.SDES_MID) == "0"
    assert description.text(7, rtcp_reports.RTP_STREAM_ID) == "hi"
    assert description.text(7, rtcp_reports.TOOL) is None
    assert description.cname(8) is None


# -- RFC 8888 --------------------------------------------------------------------------------------------------


def generator(**options):
    return CongestionFeedbackGenerator(ssrc=LOCAL_SSRC, **options)


def reports_at(machine, now):
    machine.handle_timer(now)
    return [packet for datagram in machine.datagrams_to_send(now) for packet in rtcp.parse(datagram)]


def test_arrivals_of_all_streams_are_reported():
    machine = generator(ntp_offset=5.0)
    times = {(1, 0xFFFF): 0.0, (1, 1): 0.03, (2, 7): 0.05}
    for (ssrc, number), time in times.items():
        machine.receive_arrival(ssrc, number, START + time)
    assert machine.next_timer() == START + REPORT_INTERVAL
    (report,) = reports_at(machine, START + REPORT_INTERVAL)
    assert report.report_timestamp == int((START + 5.0 + REPORT_INTERVAL) * 65536)
    assert [(stream.ssrc, stream.begin_sequence_number) for stream in report.streams] == [(1, 0xFFFF), (2, 7)]
    found = {(ssrc, number): arrival for ssrc, number, arrival, _ in report.arrivals()}
    assert found.pop((1, 0)) is None
    for key, time in times.items():
        assert found[key] == pytest.approx(START + 5.0 + time, abs=OFFSET_UNIT)
    assert machine.next_timer() is None
    assert reports_at(machine, START + 1.0) == []


def test_what_was_received_stays_received_in_the_next_report():
    machine = generator()
    for number in range(50):
        machine.receive_arrival(SSRC, number, START)
    reports_at(machine, START + REPORT_INTERVAL)
    machine.receive_arrival(SSRC, 51, START + 0.2)
    machine.receive_arrival(SSRC, 48, START + 0.2)
    assert machine.dropped["duplicate"] == 1
    (report,) = reports_at(machine, START + 0.31)
    (stream,) = report.streams
    assert stream.begin_sequence_number == 50 - REPEATED
    assert [metric is not None for metric in stream.metrics] == [True] * REPEATED + [False, True]


def test_a_straggler_is_reported():
    machine = generator()
    machine.receive_arrival(SSRC, 10, START)
    machine.receive_arrival(SSRC, 13, START)
    reports_at(machine, START + REPORT_INTERVAL)
    machine.receive_arrival(SSRC, 11, START + 0.15)
    (report,) = reports_at(machine, START + 0.31)
    (stream,) = report.streams
    assert stream.begin_sequence_number == 10
    assert [metric is not None for metric in stream.metrics] == [True, True, False, True]


def test_ecn_marks():
    machine = generator()
    machine.receive_arrival(SSRC, 1, START, 1)
    machine.receive_arrival(SSRC, 2, START, 1)
    machine.receive_arrival(SSRC, 1, START + 0.01, CE)  # a mark of any copy counts, with the first arrival
    (report,) = reports_at(machine, START + REPORT_INTERVAL)
    (stream,) = report.streams
    offset = round(REPORT_INTERVAL / OFFSET_UNIT)
    assert stream.metrics == [(CE, offset), (1, offset)]


def test_an_arrival_long_ago_is_over_range():
    machine = generator(interval=9.0)
    machine.receive_arrival(SSRC, 1, START)
    (report,) = reports_at(machine, START + 9.0)
    assert report.streams[0].metrics == [(0, OVER_RANGE)]


def test_a_restart_begins_anew():
    machine = generator()
    machine.receive_arrival(SSRC, 1, START)
    machine.receive_arrival(SSRC, 30000, START)
    (report,) = reports_at(machine, START + REPORT_INTERVAL)
    assert [(s.begin_sequence_number, len(s.metrics)) for s in report.streams] == [(30000, 1)]


def test_datagrams_are_taken_too():
    machine = generator()
    machine.receive_datagram(Packet(96, False, 5, 0, SSRC, payload=b"x").serialize(), START)
    machine.receive_datagram(b"\x80", START)
    assert dict(machine.dropped) == {"truncated": 1}
    (report,) = reports_at(machine, START + REPORT_INTERVAL)
    assert report.streams[0].begin_sequence_number == 5


@pytest.mark.parametrize(("number", "ecn"), [(-1, 0), (0x10000, 0), (1, 4), (1, -1)])
def test_impossible_arrivals_are_refused(number, ecn):
    machine = generator()
    with pytest.raises(LocalError):
        machine.receive_arrival(SSRC, number, START, ecn)
    assert machine.next_timer() is None


def test_an_impossible_interval_is_refused():
    with pytest.raises(LocalError):
        generator(interval=0.0)


def test_close():
    machine = generator()
    machine.receive_arrival(SSRC, 1, START)
    machine.close(START)
    machine.receive_arrival(SSRC, 2, START)
    assert machine.dropped["closed"] == 1
    assert machine.next_timer() is None
    assert reports_at(machine, START + 1.0) == []
    assert events_of(machine) == [Closed()]


# -- how often (RFC 3550 section 6.2, RFC 4585 section 3) -----------------------------------------------------------


def test_regular_reports_keep_their_interval_and_their_share():
    link = Link(sender(), receiver(rrtr=True), Conditions(delay=0.02), seed=1, keep_trace=True)
    Camera(link).shoot(300)
    octets = {0: 0, 1: 0}
    times = {0: [], 1: []}
    for now, side, data in link.trace:
        if is_rtcp(data):
            octets[side] += len(data)
            times[side].append(now)
    media = sum(len(data) for _, side, data in link.trace if side == 0 and not is_rtcp(data))
    assert sum(octets.values()) < 0.05 * media  # RFC 3550 section 6.2: five percent for all
    for side in (0, 1):
        gaps = [after - before for before, after in itertools.pairwise(times[side])]
        assert min(gaps) >= 0.5
        assert max(gaps) <= 1.54  # a frame's time after it became due
        assert len({round(gap, 3) for gap in gaps}) > 3  # not in step with others
