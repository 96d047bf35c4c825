"""The fail-safe: only the newest command acts, and no command acts for long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.car.failsafe import COMMAND_TIMEOUT, MAX_DELAY, Closed, FailSafe, Resumed, Stopped
from stack.car.physics import SAFE, Controls
from stack.car.simulation import STEP, Simulation
from stack.car.track import Track
from stack.core import LocalError
from stack.testing import Conditions, Link

from .support import FULL_AHEAD, DriverMachine, datagram, events_of

TRACK = Track()


def driving(now=10.0, sequence=100):
    failsafe = FailSafe()
    failsafe.start_session(now)
    failsafe.receive_datagram(datagram(sequence, now), now)
    assert failsafe.controls == FULL_AHEAD
    assert events_of(failsafe) == [Resumed(now)]
    return failsafe


def test_it_starts_safe_and_says_nothing():
    failsafe = FailSafe()
    assert failsafe.controls == SAFE
    assert failsafe.stopped
    assert failsafe.next_timer() is None
    failsafe.start_session(1.0)
    assert failsafe.controls == SAFE
    assert events_of(failsafe) == []


def test_the_first_command_puts_the_driver_in_control():
    failsafe = driving()
    assert not failsafe.stopped
    assert failsafe.next_timer() == 10.0 + COMMAND_TIMEOUT


def test_silence_stops_the_car_at_the_deadline_and_not_before():
    failsafe = driving()
    failsafe.handle_timer(10.0 + COMMAND_TIMEOUT - 0.001)
    assert failsafe.controls == FULL_AHEAD
    failsafe.handle_timer(10.0 + COMMAND_TIMEOUT)
    assert failsafe.controls == SAFE
    assert events_of(failsafe) == [Stopped("command-timeout", 10.0 + COMMAND_TIMEOUT, 10.0)]
    assert failsafe.next_timer() is None


def test_a_fresh_command_after_a_stop_resumes():
    failsafe = driving()
    failsafe.handle_timer(11.0)
    failsafe.receive_datagram(datagram(101, 11.5), 11.5)
    assert failsafe.controls == FULL_AHEAD
    assert events_of(failsafe)[-1] == Resumed(11.5)


def test_the_peer_gone_stops_at_once():
    failsafe = driving()
    failsafe.peer_gone(10.01)
    assert failsafe.controls == SAFE
    assert events_of(failsafe) == [Stopped("peer-gone", 10.01, 10.0)]
    failsafe.receive_datagram(datagram(101, 10.02), 10.02)
    assert failsafe.controls == SAFE
    assert failsafe.dropped == {"no-session": 1}


def test_duplicates_and_old_ones_do_not_act_and_do_not_feed_the_timer():
    failsafe = driving(sequence=100)
    failsafe.receive_datagram(datagram(100, 10.0, Controls()), 10.1)
    failsafe.receive_datagram(datagram(99, 9.98, Controls()), 10.2)
    assert failsafe.controls == FULL_AHEAD
    assert failsafe.dropped == {"duplicate": 1, "old": 1}
    failsafe.handle_timer(10.0 + COMMAND_TIMEOUT)
    assert failsafe.controls == SAFE


def test_the_sequence_wraps():
    failsafe = driving(sequence=2**32 - 1)
    failsafe.receive_datagram(datagram(0, 10.1, Controls(0.5)), 10.1)
    assert failsafe.controls.throttle == pytest.approx(0.5, abs=1e-4)
    failsafe.receive_datagram(datagram(2**32 - 2, 10.1), 10.1)
    assert failsafe.dropped == {"old": 1}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "bad-size"),
        (bytes(16), "bad-magic"),
        (b"\xca\x07" + bytes(14), "bad-version"),
        (b"\xca\x01" + bytes(9) + b"\xff" + bytes(4), "bad-flags"),
    ],
)
def test_malformed_is_dropped_and_counted(data, reason):
    failsafe = driving()
    failsafe.receive_datagram(data, 10.1)
    assert failsafe.dropped == {reason: 1}
    assert failsafe.controls == FULL_AHEAD


def test_a_new_session_takes_any_sequence_and_any_clock():
    failsafe = driving(sequence=5_000)
    failsafe.peer_gone(10.1)
    failsafe.start_session(10.2)
    failsafe.receive_datagram(datagram(1, 2.0), 10.3)
    assert failsafe.controls == FULL_AHEAD
    assert failsafe.dropped.total() == 0


def test_commands_that_waited_in_a_queue_do_not_act():
    failsafe = driving(now=10.0, sequence=0)
    for index in range(1, 50):  # sent every 20 ms, all held back by a network that stood still for a second
        failsafe.receive_datagram(datagram(index, 10.0 + index * 0.02), 11.0)
    late = [index for index in range(1, 50) if 11.0 - (10.0 + index * 0.02) > MAX_DELAY + 0.01]
    assert failsafe.dropped["late"] == pytest.approx(len(late), abs=1)
    failsafe.receive_datagram(datagram(50, 11.0), 11.0)
    assert failsafe.controls == FULL_AHEAD


def test_a_path_that_became_slow_for_good_is_accepted_after_a_stop():
    failsafe = driving(now=10.0, sequence=0)
    seen = []
    for index in range(1, 200):
        sent = 10.0 + index * 0.02
        failsafe.handle_timer(sent + 0.5)
        failsafe.receive_datagram(datagram(index, sent), sent + 0.5)
        seen.append(failsafe.stopped)
    assert True in seen
    assert seen[-1] is False


def test_clocks_that_drift_apart_do_not_stop_the_car():
    failsafe = driving(now=10.0, sequence=0)
    for index in range(1, 2000):  # over 40 minutes, one clock 200 ppm slow: half a second apart at the end
        now = 10.0 + index * 1.25
        failsafe.receive_datagram(datagram(index, 10.0 + (now - 10.0) * (1 - 200e-6)), now)
    assert failsafe.dropped.total() == 0


def test_the_drivers_clock_may_wrap():
    failsafe = FailSafe()
    failsafe.start_session(5_000_000.0)
    wrap = 2**32 / 1000
    for index in range(200):
        now = wrap - 2 + index * 0.02
        failsafe.receive_datagram(datagram(index, now), 5_000_000.0 + index * 0.02)
    assert failsafe.dropped.total() == 0
    assert not failsafe.stopped


def test_close_is_final():
    failsafe = driving()
    failsafe.close(10.1)
    failsafe.close(10.2)
    assert events_of(failsafe) == [Stopped("closed", 10.1, 10.0), Closed()]
    failsafe.receive_datagram(datagram(101, 10.2), 10.2)
    assert failsafe.dropped == {"closed": 1}
    with pytest.raises(LocalError):
        failsafe.start_session(10.3)
    assert failsafe.controls == SAFE


def test_a_second_session_is_refused_and_changes_nothing():
    failsafe = driving()
    with pytest.raises(LocalError, match="peer_gone"):
        failsafe.start_session(10.1)
    assert failsafe.controls == FULL_AHEAD
    failsafe.receive_datagram(datagram(99, 10.1), 10.1)
    assert failsafe.dropped == {"old": 1}


def test_over_a_bad_network_the_driver_stays_in_control():
    failsafe, driver = FailSafe(), DriverMachine()
    link = Link(failsafe, driver, Conditions(delay=0.05, jitter=0.08, loss=0.2, duplicate=0.1), seed=3)
    failsafe.start_session(link.now)
    driver.start(link.now)
    link.run(seconds=20)
    assert [type(event) for event in link.events[0]] == [Resumed]
    assert failsafe.dropped["old"] > 50
    assert failsafe.dropped["duplicate"] > 10
    assert failsafe.dropped["late"] == 0


traffic = st.lists(
    st.tuples(
        st.floats(0, 0.4),  # seconds since the one before
        st.sampled_from(["new", "old", "duplicate", "garbage", "gone", "again"]),
        st.floats(-1, 1),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(traffic)
def test_it_never_moves_more_than_the_timeout_and_a_tick_after_the_last_fresh_command(steps):
    """Whatever comes in whatever order: in a simulation in virtual time the controls are safe soon after the last."""
    now = 50.0
    simulation = Simulation(TRACK, clock=lambda: now)
    failsafe = simulation.failsafe
    failsafe.start_session(now)
    sequence, fresh = 10, None
    for wait, kind, throttle in [*steps, (1.0, "gone", 0.0)]:
        until = now + wait
        while now < until:
            now = min(until, now + STEP)
            simulation.advance(now)
            if fresh is None or now - fresh > COMMAND_TIMEOUT + STEP:
                assert failsafe.controls == SAFE
        match kind:
            case "new":
                sequence += 1
                failsafe.receive_datagram(datagram(sequence, now, Controls(throttle)), now)
                fresh = now if failsafe.in_session else fresh
            case "old" | "duplicate":
                failsafe.receive_datagram(datagram(sequence - (kind == "old") * 5, now, Controls(1.0)), now)
                if failsafe.last_command == now:  # the first of a session is fresh whatever its number
                    fresh = now
            case "garbage":
                failsafe.receive_datagram(b"\xca garbage", now)
            case "gone":
                failsafe.peer_gone(now)
                assert failsafe.controls == SAFE
            case "again" if not failsafe.in_session:
                failsafe.start_session(now)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.5), st.binary(max_size=24)), max_size=30))
def test_any_bytes_are_dropped_and_counted_or_act_within_the_ranges(steps):
    failsafe, now = FailSafe(), 0.0
    failsafe.start_session(now)
    for wait, data in steps:
        now += wait
        before, acted = failsafe.dropped.total(), failsafe.last_command
        failsafe.receive_datagram(data, now)
        assert (failsafe.dropped.total() == before + 1) != (failsafe.last_command == now != acted)
        assert abs(failsafe.controls.throttle) <= 1
