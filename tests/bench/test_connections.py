"""What the benchmarks of whole connections stand on: which packet ends a frame, what is counted and what is not."""

import asyncio

import pytest

from stack.aio.udp import UdpSocket
from stack.core import Address
from tests.bench import bench_frame, bench_negotiation, bench_peers

HEADER = bytes((0x80, 0xE6, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4))


def test_the_marker_ends_a_frame():
    assert bench_frame.frame_ending(HEADER + b"x") == bytes((0, 0, 0, 9))
    assert bench_frame.frame_ending(bytes((0x90, 0x66)) + HEADER[2:] + b"x") is None  # no marker
    assert bench_frame.frame_ending(bytes((0x80, 200)) + HEADER[2:] + b"x") is None  # RTCP: a sender report
    assert bench_frame.frame_ending(bytes((22, 0xE6)) + HEADER[2:] + b"x") is None  # DTLS
    assert bench_frame.frame_ending(HEADER) is None


async def test_a_frame_is_timed_once_and_the_socket_is_given_back():
    original = UdpSocket._send_run
    sock = UdpSocket("127.0.0.1", asyncio.get_running_loop(), lambda batch: None)
    here = Address("127.0.0.1", sock.address.port)
    try:
        with bench_frame.Stopwatch(1) as stopwatch:
            stopwatch.pushed.append(0.0)
            sock._send_run(here, [HEADER + b"x"], 13)
            first = dict(stopwatch.sent)
            sock._send_run(here, [HEADER + b"x"], 13)  # a retransmission
        assert list(first) == [HEADER[4:8]]
        assert stopwatch.sent == first
        assert stopwatch.done.is_set()
        assert stopwatch.delays() == list(first.values())
    finally:
        sock.close()
    assert UdpSocket._send_run is original


async def test_a_frame_that_did_not_leave_is_no_result():
    with bench_frame.Stopwatch(2) as stopwatch:
        stopwatch.pushed += [0.0, 1.0]
        stopwatch.sent[b"1"] = 0.5
    assert not stopwatch.done.is_set()
    with pytest.raises(ValueError, match="shorter"):
        stopwatch.delays()


@pytest.mark.parametrize("stack", ["ours", "aiortc"])
async def test_negotiating_takes_cpu_time_on_either_stack(stack):
    assert 0 < await bench_negotiation.negotiated(stack) < 5


async def test_connections_are_counted_while_they_are_connected():
    found = await bench_peers.measure("ours", 4, 0.05)
    assert set(found) == {"peer-memory", "peer-idle-cpu"}
    assert 0 <= found["peer-idle-cpu"] < 100


async def test_a_connection_that_is_lost_is_no_result(monkeypatch):
    connect = bench_peers.connect

    async def broken(stack):
        pair = await connect(stack)
        await pair[0].close()
        return pair

    monkeypatch.setattr(bench_peers, "connect", broken)
    with pytest.raises(RuntimeError, match="were lost"):
        await bench_peers.measure("ours", 2, 0.01)
