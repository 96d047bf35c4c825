"""How the simulated car moves: a bicycle model with limited grip, in fixed steps. Deterministic."""

import math
from dataclasses import dataclass
from typing import Final

from .track import Track

# A 1:10 touring car, driven gently. Metres, seconds, radians.
WHEELBASE: Final = 0.26
MAX_SPEED: Final = 4.5
MAX_REVERSE: Final = 1.2
ACCELERATION: Final = 3.0  # of the motor at standstill; it fades towards MAX_SPEED
BRAKING: Final = 7.0
MAX_STEERING: Final = math.radians(28)
STEERING_RATE: Final = math.radians(160)  # per second: what a small servo does
GRIP: Final = 5.5  # m/s2 of lateral acceleration; beyond it the car runs wide
ROLLING_DRAG: Final = 0.35  # m/s2
AIR_DRAG: Final = 0.06  # m/s2 per (m/s)2
LAWN_DRAG: Final = 3.5  # m/s2 more with the wheels on the grass
LAWN_SPEED: Final = 1.2  # below it the grass does not hold the car back: one must get off again
WALL: Final = 1.1  # metres from the road's edge to the low wall beyond the lawn
_BOUNCE: Final = 0.25  # of the speed survives a head-on hit


@dataclass(frozen=True, slots=True)
class Controls:
    """What the driver asks for.

    Args:
        throttle: -1 (full reverse) .. 1 (full ahead).
        steering: -1 (full right) .. 1 (full left).
        brake: 0 .. 1.
    """

    throttle: float = 0.0
    steering: float = 0.0
    brake: float = 0.0


SAFE: Final = Controls(brake=1.0)
"""Neutral throttle, straight wheels, brakes on."""


@dataclass(slots=True)
class CarState:
    """Where the car is and how it moves.

    Attributes:
        x: Metres.
        y: Metres.
        heading: Radians, counter-clockwise from the x axis.
        speed: m/s, negative in reverse.
        steering: Angle of the front wheels, radians, positive to the left.
        distance: Metres driven, forwards and backwards.
        collisions: How often the wall was hit.
        sliding: Whether the tyres are beyond their grip.
        off_road: Whether the car is on the grass.
    """

    x: float
    y: float
    heading: float
    speed: float = 0.0
    steering: float = 0.0
    distance: float = 0.0
    collisions: int = 0
    sliding: bool = False
    off_road: bool = False


class Car:
    """The simulated car on a track, at rest at the start.

    Args:
        track: The track it drives on.

    Attributes:
        state: Where it is now.
    """

    def __init__(self, track: Track) -> None:
        self._track = track
        self.state = CarState(track.start.x, track.start.y, track.start.heading)
        self._touching = False

    def step(self, controls: Controls, dt: float) -> None:
        """Move on by `dt` seconds under `controls`, which are clamped to their ranges."""
        state = self.state
        self._steer(_clamp(controls.steering, -1, 1), dt)
        state.speed = self._new_speed(_clamp(controls.throttle, -1, 1), _clamp(controls.brake, 0, 1), dt)
        yaw_rate = state.speed * math.tan(state.steering) / WHEELBASE
        # Understeer: the tyres give no more lateral acceleration than GRIP, so the circle gets wider.
        lateral = abs(yaw_rate * state.speed)
        state.sliding = lateral > GRIP
        if state.sliding:
            yaw_rate *= GRIP / lateral
            state.speed -= math.copysign(min(abs(state.speed), 1.5 * dt), state.speed)
        middle = state.heading + yaw_rate * dt / 2
        state.heading = _wrap(state.heading + yaw_rate * dt)
        state.x += state.speed * math.cos(middle) * dt
        state.y += state.speed * math.sin(middle) * dt
        state.distance += abs(state.speed) * dt
        self._stay_inside()

    def _steer(self, wanted: float, dt: float) -> None:
        state = self.state
        # At speed full lock would only plough: the reach shrinks, as in every RC transmitter.
        reach = MAX_STEERING / (1 + 0.35 * abs(state.speed))
        turn = wanted * reach - state.steering
        limit = STEERING_RATE * dt
        state.steering += _clamp(turn, -limit, limit)

    def _new_speed(self, throttle: float, brake: float, dt: float) -> float:
        speed = self.state.speed
        top = MAX_SPEED if throttle >= 0 else MAX_REVERSE
        push = throttle * ACCELERATION
        if throttle * speed > 0:
            push *= max(0.0, 1 - abs(speed) / top)
        speed += push * dt
        drag = (
            ROLLING_DRAG
            + AIR_DRAG * speed * speed
            + (LAWN_DRAG if self.state.off_road and abs(speed) > LAWN_SPEED else 0)
        )
        slowed = max(0.0, abs(speed) - (brake * BRAKING + (drag if throttle == 0 or abs(speed) > 0.05 else 0)) * dt)
        return math.copysign(slowed, speed) if slowed else 0.0

    def _stay_inside(self) -> None:
        """Slide along the wall; a hit takes the speed into the wall away."""
        state = self.state
        spot = self._track.locate(state.x, state.y)
        edge = self._track.width / 2
        state.off_road = abs(spot.offset) > edge
        over = abs(spot.offset) - (edge + WALL)
        if over <= 0:
            self._touching = False
            return
        side = math.copysign(1.0, spot.offset)
        state.x += side * over * math.sin(spot.heading)
        state.y -= side * over * math.cos(spot.heading)
        into = side * math.sin(_wrap(state.heading - spot.heading)) * math.copysign(1.0, state.speed)
        if into <= 0:
            return
        if not self._touching:
            state.collisions += 1
            state.speed *= 1 - (1 - _BOUNCE) * into
        self._touching = True
        # The wall turns the nose along itself, so that one can always drive on.
        along = spot.heading if math.cos(state.heading - spot.heading) >= 0 else spot.heading + math.pi
        state.heading = _wrap(state.heading + 0.08 * _wrap(along - state.heading))


def _clamp(value: float, low: float, high: float) -> float:
    return max(low, min(high, value))


def _wrap(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi
