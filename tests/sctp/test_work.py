"""The work per packet is bounded, whatever the window: counted in calls, since time is not a fact."""

import sys

import pytest

from .benchmark import shovel


def calls_per_packet(total, **options):
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        _, stats = shovel(total, 16384, **options)
    finally:
        sys.setprofile(before)
    return calls / stats.packets_sent


def test_calls_per_packet_stay_few():
    assert calls_per_packet(2 << 20) < 45


@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_calls_per_packet_do_not_grow_with_the_window(loss):
    small = calls_per_packet(3 << 20, loss=loss, window=64 << 10)
    large = calls_per_packet(3 << 20, loss=loss, window=3 << 20)
    assert large < 1.5 * small
