"""The shared pieces: timers, reader, serial numbers, errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core import LocalError, ParseError, PeerError, Reader, Timers, serial16_gt, serial32_gt, unwrap16, unwrap32
from stack.core.machine import check_seconds


def test_timers_expire_earliest_first_and_only_when_due():
    timers = Timers()
    timers.set("late", 3.0)
    timers.set("early", 1.0)
    timers.set("middle", 2.0)
    assert timers.next_deadline() == 1.0
    assert timers.expire(0.5) == []
    assert timers.expire(2.0) == ["early", "middle"]
    assert timers.next_deadline() == 3.0
    assert "early" not in timers


def test_timers_follow_a_deadline_that_moves_later():
    timers = Timers()
    timers.set("a", 1.0)
    timers.set("b", 2.0)
    timers.set("a", 5.0)
    assert timers.next_deadline() == 2.0
    timers.cancel("b")
    assert timers.next_deadline() == 5.0
    timers.cancel("unknown")
    timers.clear()
    assert timers.next_deadline() is None


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.one_of(st.none(), st.floats(0, 100)))))
def test_timers_agree_with_a_plain_dict(commands):
    timers, model = Timers(), {}
    for name, deadline in commands:
        if deadline is None:
            timers.cancel(name)
            model.pop(name, None)
        else:
            timers.set(name, deadline)
            model[name] = deadline
        assert timers.next_deadline() == min(model.values(), default=None)
    assert sorted(timers.expire(50.0)) == sorted(n for n, d in model.items() if d <= 50.0)


def test_reader_reads_big_endian_and_stops_at_its_end():
    reader = Reader(bytes(range(1, 40)))
    assert reader.u8() == 1
    assert reader.u16() == 0x0203
    assert reader.u24() == 0x040506
    assert reader.u32() == 0x0708090A
    assert reader.u48() == 0x0B0C0D0E0F10
    assert reader.u64() == 0x1112131415161718
    assert reader.bytes(2) == b"\x19\x1a"
    with pytest.raises(ParseError, match="truncated"):
        reader.bytes(1000)
    assert reader.rest()[-1] == 39
    reader.expect_end()


def test_reader_vectors_and_bounds():
    assert Reader(b"\x02ab").vector8() == b"ab"
    assert Reader(b"\x00\x02ab").vector16() == b"ab"
    assert Reader(b"\x00\x00\x02ab").vector24() == b"ab"
    with pytest.raises(ParseError) as caught:
        Reader(b"\x03ab").vector8()
    assert caught.value.reason == "truncated"
    with pytest.raises(ParseError) as caught:
        Reader(b"abc", 0, 2).expect_end()
    assert caught.value.reason == "trailing-bytes"
    with pytest.raises(ParseError):
        Reader(b"abc", 2, 1)


def test_a_reader_with_an_end_does_not_read_past_it():
    reader = Reader(b"abcdef", 1, 3)
    assert reader.remaining == 2
    with pytest.raises(ParseError):
        reader.u24()
    assert reader.rest() == b"bc"


@given(st.integers(0, 2**20), st.integers(-0x7FFF, 0x7FFF))
def test_unwrap16_finds_the_nearest(reference, offset):
    assert unwrap16((reference + offset) & 0xFFFF, reference) == reference + offset


@given(st.integers(0, 2**40), st.integers(-0x7FFFFFFF, 0x7FFFFFFF))
def test_unwrap32_finds_the_nearest(reference, offset):
    assert unwrap32((reference + offset) & 0xFFFFFFFF, reference) == reference + offset


def test_serial_comparison_wraps():
    assert serial16_gt(0, 0xFFFF)
    assert not serial16_gt(0xFFFF, 0)
    assert not serial16_gt(5, 5)
    assert serial32_gt(0, 0xFFFFFFFF)
    assert not serial32_gt(0x80000000, 0)


def test_errors_speak_for_themselves():
    assert str(PeerError("dtls", "bad-finished")) == "dtls: bad-finished"
    assert str(PeerError("dtls", "bad-finished", "flight 5")) == "dtls: bad-finished (flight 5)"
    with pytest.raises(LocalError, match="positive number of seconds"):
        check_seconds("timeout", 0)
