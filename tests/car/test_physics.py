"""The track and the car on it."""

import math

import numpy as np
import pytest

from stack.car.physics import GRIP, MAX_REVERSE, MAX_SPEED, SAFE, STEERING_RATE, WALL, Car, Controls
from stack.car.track import Track

TRACK = Track()
DT = 0.01


def drive(car, seconds, **controls):
    for _ in range(round(seconds / DT)):
        car.step(Controls(**controls), DT)
    return car.state


def test_the_track_is_closed_smooth_and_wider_than_its_bends_are_tight():
    steps = np.diff(np.vstack([TRACK.points, TRACK.points[:1]]), axis=0)
    distances = np.hypot(*steps.T)
    assert distances.max() < 1.05 * distances.min()
    assert TRACK.length == pytest.approx(distances.sum(), rel=0.01)
    assert TRACK.smallest_radius > TRACK.width / 2 + 0.1


@pytest.mark.parametrize("offset", [-0.7, -0.2, 0.0, 0.3, 0.7])
def test_locate_is_the_inverse_of_point(offset):
    for along in np.arange(0, TRACK.length, 1.7):
        spot = TRACK.locate(*TRACK.point(float(along), offset))
        assert spot.offset == pytest.approx(offset, abs=0.03)
        assert abs((spot.along - along + TRACK.length / 2) % TRACK.length - TRACK.length / 2) < 0.15


def test_nothing_stands_on_the_road():
    assert len(TRACK.landmarks) > 10
    for landmark in TRACK.landmarks:
        assert abs(TRACK.locate(landmark.x, landmark.y).offset) > TRACK.width / 2 + 0.1, landmark


def test_the_start_is_on_the_road_and_looks_along_it():
    spot = TRACK.locate(TRACK.start.x, TRACK.start.y)
    assert abs(spot.offset) < 0.02
    assert spot.heading == pytest.approx(TRACK.start.heading)


def test_at_rest_it_stays_at_rest():
    car = Car(TRACK)
    before = (car.state.x, car.state.y)
    drive(car, 2.0, brake=1.0)
    drive(car, 2.0, steering=1.0)
    assert (car.state.x, car.state.y, car.state.speed) == (*before, 0.0)


def test_it_accelerates_to_a_top_speed():
    car = Car(TRACK)
    speeds = [drive(car, 0.2, throttle=1.0).speed for _ in range(8)]
    assert speeds == sorted(speeds)
    assert 1.5 < speeds[-1] < MAX_SPEED


def test_a_full_stop_from_speed_takes_less_than_a_second():
    car = Car(TRACK)
    drive(car, 1.5, throttle=1.0)
    assert car.state.speed > 2
    drive(car, 0.6, brake=SAFE.brake)
    assert car.state.speed == 0.0


def test_it_rolls_out_when_nothing_is_asked():
    car = Car(TRACK)
    drive(car, 0.5, throttle=1.0)
    faster = car.state.speed
    assert 0 < drive(car, 0.5).speed < faster
    assert drive(car, 10.0).speed == 0.0


def test_reverse_is_slow():
    car = Car(TRACK)
    assert -MAX_REVERSE <= drive(car, 1.0, throttle=-1.0).speed < -0.3
    assert car.state.distance > 0.1


def test_the_servo_takes_its_time():
    car = Car(TRACK)
    drive(car, 0.05, steering=1.0)
    assert car.state.steering == pytest.approx(STEERING_RATE * 0.05)


def test_steering_left_turns_left():
    car = Car(TRACK)
    before = car.state.heading
    drive(car, 0.8, throttle=0.5, steering=0.5)
    assert 0 < (car.state.heading - before + math.pi) % (2 * math.pi) - math.pi < math.pi


def test_the_grip_is_limited():
    car = Car(TRACK)
    drive(car, 1.2, throttle=1.0)
    slid = False
    for _ in range(40):
        heading, speed = car.state.heading, car.state.speed
        car.step(Controls(throttle=1.0, steering=1.0), DT)
        yaw_rate = abs((car.state.heading - heading + math.pi) % (2 * math.pi) - math.pi) / DT
        assert yaw_rate * speed < GRIP * 1.05
        slid |= car.state.sliding
    assert slid


def test_the_wall_holds_and_one_can_drive_on():
    car = Car(TRACK)
    drive(car, 8.0, throttle=1.0)  # straight on, where the road bends
    assert car.state.collisions >= 1
    assert abs(TRACK.locate(car.state.x, car.state.y).offset) < TRACK.width / 2 + WALL + 0.05
    before = car.state.distance
    drive(car, 3.0, throttle=1.0)
    assert car.state.distance > before + 1.0


def test_the_lawn_slows_down():
    def after_a_second(offset):
        car = Car(TRACK)
        car.state.x, car.state.y = TRACK.point(3.0, offset)
        car.state.heading = TRACK.locate(car.state.x, car.state.y).heading
        return drive(car, 1.0, throttle=1.0).speed

    assert after_a_second(-1.2) < 0.75 * after_a_second(0.0)


@pytest.mark.parametrize("seed", range(4))
def test_any_driving_is_finite_inside_the_walls_and_repeatable(seed):
    def run():
        rng, car = np.random.default_rng(seed), Car(TRACK)
        for _ in range(100):
            controls = Controls(*(float(v) for v in rng.uniform(-3, 3, 3)))
            for _ in range(10):
                car.step(controls, DT)
            assert abs(TRACK.locate(car.state.x, car.state.y).offset) < TRACK.width / 2 + WALL + 0.05
            assert abs(car.state.speed) <= MAX_SPEED
        return car.state

    assert run() == run()


def test_a_lap_can_be_driven():
    """A driver who looks a little ahead stays on the road all the way round."""
    car = Car(TRACK)
    for _ in range(6000):
        spot = TRACK.locate(car.state.x, car.state.y)
        x, y = TRACK.point(spot.along + 0.8)
        aim = math.atan2(y - car.state.y, x - car.state.x) - car.state.heading
        turn = (aim + math.pi) % (2 * math.pi) - math.pi
        car.step(Controls(throttle=0.4 if car.state.speed < 1.8 else 0.0, steering=max(-1, min(1, turn * 2))), DT)
        assert not car.state.off_road
        if car.state.distance > TRACK.length:
            break
    assert car.state.distance > TRACK.length
    assert car.state.collisions == 0
