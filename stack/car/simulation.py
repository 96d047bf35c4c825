"""The car's two clocks on the event loop: physics in fixed steps, and the camera's ticks."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from .camera import View
from .failsafe import FailSafe, FailSafeEvent
from .physics import Car
from .track import Pose, Track

STEP: Final = 0.01  # seconds; a step is a car's length / 10 at full speed
MAX_STEPS_AT_ONCE: Final = 10  # a loop that stood still for longer loses time instead of jumping


class Viewer(Protocol):
    """Whoever wants to see pictures: the video track of a connected driver."""

    def wants_picture(self) -> bool:
        """Whether a picture offered now would be used."""
        ...

    def show(self, view: View, capture_time: float) -> None:
        """Take the view at `capture_time`, seconds of the loop's clock; returns at once."""
        ...


class Simulation:
    """A car on a track under a fail-safe.

    Args:
        track: The track.
        fps: Pictures per second.
        on_event: Called with each event of the fail-safe.
        clock: Seconds, monotonic; the running loop's by default.

    Attributes:
        track: The track.
        car: The car.
        failsafe: What stands between the network and the motor.
        viewer: Who gets the pictures, if anybody.
    """

    def __init__(
        self,
        track: Track,
        fps: int = 30,
        on_event: Callable[[FailSafeEvent], None] = lambda _event: None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.track = track
        self.car = Car(track)
        self.failsafe = FailSafe()
        self.viewer: Viewer | None = None
        self._on_event = on_event
        self._clock = clock or asyncio.get_running_loop().time
        self._frame_interval = 1 / fps
        self._began = self._stepped = self._next_frame = self._clock()
        self._frame_number = 0

    async def run(self) -> None:
        """Drive until cancelled; then stop the car."""
        try:
            while True:
                now = self._clock()
                self.advance(now)
                await asyncio.sleep(max(0.001, self._stepped + STEP - self._clock()))
        finally:
            self.failsafe.close(self._clock())
            self._drain()

    def advance(self, now: float) -> None:
        """Do all that is due at `now`: fail-safe, physics, a picture."""
        self.failsafe.handle_timer(now)
        self._drain()
        due = int((now - self._stepped) / STEP + 1e-6)
        if due > MAX_STEPS_AT_ONCE:
            self._stepped = now - MAX_STEPS_AT_ONCE * STEP
            due = MAX_STEPS_AT_ONCE
        for _ in range(due):
            self.car.step(self.failsafe.controls, STEP)
        self._stepped += due * STEP
        if now >= self._next_frame and self.viewer is not None and self.viewer.wants_picture():
            # From the schedule, not from now, or every picture would be late by a step more.
            self._next_frame = max(self._next_frame + self._frame_interval, now)
            self._take_picture(self.viewer, now)

    def telemetry(self) -> dict[str, Any]:
        """Return what the driver is told about the car, ready for JSON."""
        now = self._clock()
        state, controls, failsafe = self.car.state, self.failsafe.controls, self.failsafe
        last = failsafe.last_command
        return {
            "time": round((now - self._began) * 1000),
            "frame": self._frame_number & 0xFFFF,
            "x": round(state.x, 3),
            "y": round(state.y, 3),
            "heading": round(state.heading, 4),
            "speed": round(state.speed, 3),
            "steering": round(state.steering, 4),
            "distance": round(state.distance, 3),
            "collisions": state.collisions,
            "offRoad": state.off_road,
            "sliding": state.sliding,
            "throttle": round(controls.throttle, 3),
            "brake": round(controls.brake, 3),
            "stopped": failsafe.stopped,
            "echo": failsafe.echo,
            "held": None if last is None else round((now - last) * 1000, 1),
            "dropped": failsafe.dropped.total(),
        }

    def _take_picture(self, viewer: Viewer, now: float) -> None:
        self._frame_number += 1
        state = self.car.state
        milliseconds = round((now - self._began) * 1000) & 0xFFFF
        pose = Pose(state.x, state.y, state.heading)
        viewer.show(View(pose, state.speed, self._frame_number & 0xFFFF, milliseconds), now)

    def _drain(self) -> None:
        while (event := self.failsafe.next_event()) is not None:
            self._on_event(event)
