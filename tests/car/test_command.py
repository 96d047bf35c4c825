"""The control datagram: layout, ranges, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.car import command
from stack.car.physics import Controls
from stack.core import ParseError

units = st.floats(-1, 1)
controls = st.builds(Controls, throttle=units, steering=units, brake=st.floats(0, 1))
commands = st.builds(command.Command, st.integers(0, 2**32 - 1), controls, st.integers(0, 2**32 - 1))


def test_layout():
    data = command.serialize(command.Command(0x01020304, Controls(1.0, -1.0, 1.0), 0xA0B0C0D0))
    assert data.hex() == "ca01010203047fff8001ff00a0b0c0d0"
    assert len(data) == command.SIZE


@given(commands)
def test_round_trip(given_command):
    again = command.parse(command.serialize(given_command))
    assert (again.sequence, again.timestamp) == (given_command.sequence, given_command.timestamp)
    assert abs(again.controls.throttle - given_command.controls.throttle) <= 0.5 / 32767 + 1e-9
    assert abs(again.controls.steering - given_command.controls.steering) <= 0.5 / 32767 + 1e-9
    assert abs(again.controls.brake - given_command.controls.brake) <= 0.5 / 255 + 1e-9
    assert command.parse(command.serialize(again)) == again


@given(
    st.one_of(
        st.binary(max_size=40), st.binary(min_size=10, max_size=10).map(lambda b: b"\xca\x01" + b[:4] + b + b[:2])
    )
)
def test_parse_raises_only_parse_error_and_ranges_hold(data):
    try:
        got = command.parse(data)
    except ParseError:
        return
    assert -1 <= got.controls.throttle <= 1
    assert -1 <= got.controls.steering <= 1
    assert 0 <= got.controls.brake <= 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "bad-size"),
        (bytes(15), "bad-size"),
        (bytes(17), "bad-size"),
        (bytes(16), "bad-magic"),
        (b"\xca\x02" + bytes(14), "bad-version"),
        (b"\xca\x01" + bytes(9) + b"\x01" + bytes(4), "bad-flags"),
    ],
)
def test_refused(data, reason):
    with pytest.raises(ParseError) as caught:
        command.parse(data)
    assert caught.value.reason == reason


def test_the_most_negative_integer_is_full_reverse():
    data = b"\xca\x01" + bytes(4) + b"\x80\x00\x80\x00" + bytes(6)
    assert command.parse(data).controls == Controls(-1.0, -1.0, 0.0)


def test_out_of_range_is_clamped_when_written():
    data = command.serialize(command.Command(2**32 + 5, Controls(7.0, -7.0, 7.0), -1))
    assert command.parse(data) == command.Command(5, Controls(1.0, -1.0, 1.0), 2**32 - 1)
