"""The receiver's estimate, for senders without feedback on single packets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.bwe import BitrateEstimated, Closed, RemoteEstimator
from stack.core import LocalError

from .support import SIZE, START, events_of


def stream(made, rate, seconds, *, now=START, capacity=None, extension=True):
    """Send at a rate over a path that carries `capacity`; return the estimates that were said."""
    said, busy, end = [], now, now + seconds
    while now < end:
        busy = max(busy, now) + (SIZE * 8 / capacity if capacity else 0.0)
        arrival = busy + 0.05
        while (due := made.next_timer()) is not None and due <= arrival:
            made.handle_timer(due)
            said += [(due, event) for event in events_of(made)]
        when = {"abs_send_time": int(now * 2**18) & 0xFFFFFF} if extension else {"send_time": now}
        made.packet_received(1, SIZE, arrival, **when)
        said += [(arrival, event) for event in events_of(made)]
        now += SIZE * 8 / rate
    return said


@pytest.mark.parametrize("extension", [True, False])
def test_it_says_each_second_what_may_be_sent(extension):
    made = RemoteEstimator(start_bitrate=300_000, max_bitrate=2_000_000)
    said = stream(made, 1_000_000, 70.0, extension=extension)  # longer than abs-send-time counts
    assert 65 < len(said) < 75
    assert said[-1][1].ssrcs == (1,)
    assert said[-1][1].bitrate == pytest.approx(1_510_000, rel=0.05)  # not more than 1.5 times what arrives


def test_a_growing_queue_is_said_at_once():
    made = RemoteEstimator(start_bitrate=1_000_000, interval=1.0)
    said = stream(made, 1_000_000, 5.0, capacity=700_000)
    early = [time for time, event in said if event.bitrate < 650_000]
    assert early[0] < START + 1.0
    assert said[-1][1].bitrate < 700_000


def test_without_packets_nothing_is_said():
    made = RemoteEstimator()
    assert made.next_timer() is None
    stream(made, 500_000, 1.0)
    for _ in range(5):
        if made.next_timer() is not None:
            made.handle_timer(made.next_timer())
    assert made.next_timer() is None
    assert made.ssrcs == ()


def test_without_send_times_it_only_measures():
    made = RemoteEstimator(start_bitrate=300_000)
    for number in range(100):
        made.packet_received(number % 2, SIZE, START + number / 100)
    made.handle_timer(START + 1)
    assert events_of(made) == [BitrateEstimated(300_000, (0, 1))]


def test_misuse_and_rubbish():
    made = RemoteEstimator()
    for wrong in (
        lambda: made.packet_received(1, 0, START),
        lambda: RemoteEstimator(min_bitrate=0),
        lambda: RemoteEstimator(interval=0),
    ):
        with pytest.raises(LocalError):
            wrong()
    made.round_trip(-1, START)
    made.round_trip(float("nan"), START)
    made.receive_datagram(b"", START)
    assert made.dropped == {"bad-rtt": 2, "unexpected": 1}
    made.close(START)
    made.close(START)
    made.packet_received(1, SIZE, START)
    assert made.dropped["closed"] == 1
    assert events_of(made) == [Closed()]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 0xFFFFFF), st.floats(0, 0.2), st.integers(1, 1500)), max_size=200),
)
def test_whatever_arrives_the_estimate_stays_in_bounds(arrivals):
    made = RemoteEstimator(min_bitrate=50_000, start_bitrate=300_000, max_bitrate=2_000_000)
    now = START
    for send_time, gap, size in arrivals:
        now += gap
        made.packet_received(7, size, now, abs_send_time=send_time)
        made.handle_timer(now)
        assert 50_000 <= made.bitrate <= 2_000_000
