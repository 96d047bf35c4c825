"""The car's clocks, in virtual time."""

import asyncio

import pytest

from stack.car.failsafe import Closed, Resumed, Stopped
from stack.car.physics import SAFE
from stack.car.simulation import MAX_STEPS_AT_ONCE, STEP, Simulation
from stack.car.track import Track

from .support import datagram

TRACK = Track()


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Screen:
    def __init__(self):
        self.views = []
        self.ready = True

    def wants_picture(self):
        return self.ready

    def show(self, view, capture_time):
        self.views.append((capture_time, view))


@pytest.fixture
def clock():
    return Clock()


def run(simulation, clock, seconds, *, sequence=None):
    end = clock.now + seconds
    while clock.now < end - 1e-9:
        clock.now += STEP
        if sequence is not None:
            sequence += 1
            simulation.failsafe.receive_datagram(datagram(sequence, clock.now), clock.now)
        simulation.advance(clock.now)


def test_commands_move_the_car_and_silence_stops_it(clock):
    events = []
    simulation = Simulation(TRACK, on_event=events.append, clock=clock)
    simulation.failsafe.start_session(clock.now)
    run(simulation, clock, 1.0, sequence=0)
    assert simulation.car.state.speed > 1
    run(simulation, clock, 0.3 + STEP)
    assert simulation.failsafe.controls == SAFE
    run(simulation, clock, 0.7)
    assert simulation.car.state.speed == 0
    assert [type(event) for event in events] == [Resumed, Stopped]


def test_pictures_come_at_their_rate_and_carry_the_time(clock):
    simulation, screen = Simulation(TRACK, fps=25, clock=clock), Screen()
    began = clock.now
    simulation.viewer = screen
    run(simulation, clock, 4.0)
    assert len(screen.views) == pytest.approx(100, abs=2)
    assert [view.frame_number for _, view in screen.views] == list(range(1, len(screen.views) + 1))
    for at, view in screen.views:
        assert view.milliseconds == round((at - began) * 1000)


def test_a_busy_viewer_gets_the_next_picture_late_and_none_twice(clock):
    simulation, screen = Simulation(TRACK, fps=25, clock=clock), Screen()
    simulation.viewer = screen
    run(simulation, clock, 1.0)
    screen.ready, seen = False, len(screen.views)
    run(simulation, clock, 1.0)
    assert len(screen.views) == seen
    screen.ready = True
    run(simulation, clock, STEP)
    assert len(screen.views) == seen + 1
    run(simulation, clock, 1.0)
    assert len(screen.views) <= seen + 28


def test_a_loop_that_stood_still_does_not_make_the_car_jump(clock):
    simulation = Simulation(TRACK, clock=clock)
    simulation.failsafe.start_session(clock.now)
    run(simulation, clock, 1.0, sequence=0)
    simulation.failsafe.receive_datagram(datagram(1000, clock.now), clock.now)
    before, speed = simulation.car.state.distance, simulation.car.state.speed
    clock.now += 0.29  # just not enough for the fail-safe
    simulation.advance(clock.now)
    steps = (simulation.car.state.distance - before) / (speed * STEP)
    assert steps == pytest.approx(MAX_STEPS_AT_ONCE, rel=0.1)


def test_telemetry_is_ready_for_json(clock):
    simulation = Simulation(TRACK, clock=clock)
    assert simulation.telemetry()["held"] is None
    simulation.failsafe.start_session(clock.now)
    simulation.failsafe.receive_datagram(datagram(1, 77.0), clock.now)
    clock.now += 0.05
    told = simulation.telemetry()
    assert told["echo"] == 77_000
    assert told["held"] == pytest.approx(50, abs=0.2)
    assert told["stopped"] is False
    assert told["throttle"] == 1.0
    assert all(value is None or isinstance(value, int | float | bool) for value in told.values())


async def test_run_stops_the_car_when_it_is_cancelled():
    events = []
    simulation = Simulation(TRACK, on_event=events.append)
    running = asyncio.create_task(simulation.run())
    await asyncio.sleep(0)
    simulation.failsafe.start_session(asyncio.get_running_loop().time())
    now = asyncio.get_running_loop().time()
    simulation.failsafe.receive_datagram(datagram(1, now), now)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [type(event) for event in events] == [Resumed, Stopped, Closed]
    assert simulation.failsafe.controls == SAFE
