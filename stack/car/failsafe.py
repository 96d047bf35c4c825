"""The fail-safe: decides which control datagrams may move the car, and stops it when they cease.

It is a machine like the protocol layers: no clock and no I/O of its own. Whatever happens on the network, the car
does not move under a command that is older than `COMMAND_TIMEOUT`.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from ..core import LocalError, Machine, ParseError, serial32_gt, unwrap32
from . import command
from .physics import SAFE, Controls

COMMAND_TIMEOUT: Final = 0.3  # seconds; 15 commands in a row lost at 50 per second, 1.3 m at full speed
MAX_DELAY: Final = 0.3  # seconds that a command may be older than the fastest one; a queue that drains is not a driver
MAX_EVENTS: Final = 64  # that nobody has taken; older ones say nothing any more
# The fastest command sets the reference for MAX_DELAY. It is let go slowly, because two clocks drift apart (at most
# some 100 ppm), and altogether when nothing else came for a while, because then the path or the clock has changed.
_REFERENCE_DRIFT: Final = 0.001  # seconds per second
_REFERENCE_LIFETIME: Final = 2.0  # seconds of nothing but late commands
_TIMEOUT: Final = "command-timeout"


@dataclass(slots=True)
class Stopped:
    """The car was stopped.

    Args:
        reason: `command-timeout`, `peer-gone` or `closed`.
        at: Machine time, seconds.
        last_command: When the last fresh command came, seconds, or None if none ever did.
    """

    reason: str
    at: float
    last_command: float | None


@dataclass(slots=True)
class Resumed:
    """The first fresh command after a stop came: the driver is in control.

    Args:
        at: Machine time, seconds.
    """

    at: float


@dataclass(slots=True)
class Closed:
    """The machine has ended; the controls stay safe for good."""


FailSafeEvent: TypeAlias = Stopped | Resumed | Closed


class FailSafe(Machine[bytes, bytes, FailSafeEvent]):
    """Takes control datagrams of one driver at a time; starts stopped.

    `dropped` counts by reason: `bad-size`, `bad-magic`, `bad-version`, `bad-flags` (malformed), `duplicate`, `old`
    (a newer one came before), `late` (older than `MAX_DELAY` on the way), `no-session`, `closed`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._controls = SAFE
        self._session = False
        self._moving = False
        self._closed = False
        self._sequence: int | None = None
        self._last_command: float | None = None
        self._timestamp = 0  # of the newest command, unwrapped, ms
        self._reference: float | None = None  # smallest (arrival - timestamp) seen, seconds
        self._reference_used = 0.0  # when the reference last let a command through
        self._reference_moved = 0.0  # when it was last let go a little

    @property
    def controls(self) -> Controls:
        """What the motor and the servo get now."""
        return self._controls

    @property
    def in_session(self) -> bool:
        """Whether a driver's commands are taken."""
        return self._session

    @property
    def stopped(self) -> bool:
        """Whether the fail-safe holds the car."""
        return not self._moving

    @property
    def last_command(self) -> float | None:
        """When the last fresh command came, in machine time, or None."""
        return self._last_command

    @property
    def echo(self) -> int:
        """The timestamp of the newest command, ms of the driver's clock modulo 2**32."""
        return self._timestamp & 0xFFFFFFFF

    def start_session(self, now: float) -> None:
        """Begin to take commands of a new driver, whose sequence numbers and clock start anywhere.

        Raises:
            LocalError: If a session is running already, or the machine is closed.
        """
        if self._closed:
            raise LocalError("closed")
        if self._session:
            raise LocalError("a session is running; call peer_gone first")
        self._clamp(now)
        self._session = True
        self._sequence = self._reference = self._last_command = None
        self._timestamp = 0

    def peer_gone(self, now: float) -> None:
        """End the session: stop at once. Harmless when there is none."""
        now = self._clamp(now)
        if self._session:
            self._session = False
            self._stop("peer-gone", now)

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take one control datagram; only one that is newer than all before it acts."""
        now = self._clamp(now)
        if self._closed or not self._session:
            self.dropped["closed" if self._closed else "no-session"] += 1
            return
        self._expire(now)
        try:
            got = command.parse(datagram)
        except ParseError as error:
            self.dropped[error.reason] += 1
            return
        if self._sequence is not None and not serial32_gt(got.sequence, self._sequence):
            self.dropped["duplicate" if got.sequence == self._sequence else "old"] += 1
            return
        self._sequence = got.sequence
        self._timestamp = got.timestamp if self._reference is None else unwrap32(got.timestamp, self._timestamp)
        if self._is_late(now):
            self.dropped["late"] += 1
            return
        self._controls = got.controls
        self._last_command = now
        self._timers.set(_TIMEOUT, now + COMMAND_TIMEOUT)
        if not self._moving:
            self._moving = True
            self._report(Resumed(now))

    def handle_timer(self, now: float) -> None:
        """Stop the car if the last fresh command is too old."""
        self._expire(self._clamp(now))

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return nothing: the fail-safe only listens."""
        self._clamp(now)
        return []

    def close(self, now: float) -> None:
        """Stop for good."""
        now = self._clamp(now)
        if self._closed:
            return
        self._stop("closed", now)
        self._session = False
        self._closed = True
        self._report(Closed())

    def _expire(self, now: float) -> None:
        if self._timers.expire(now):
            self._stop(_TIMEOUT, now)

    def _stop(self, reason: str, now: float) -> None:
        self._controls = SAFE
        self._timers.clear()
        if self._moving:
            self._moving = False
            self._report(Stopped(reason, now, self._last_command))

    def _is_late(self, now: float) -> bool:
        offset = now - self._timestamp / 1000
        if self._reference is None or now - self._reference_used > _REFERENCE_LIFETIME:
            self._reference = offset
        else:
            drifted = self._reference + (now - self._reference_moved) * _REFERENCE_DRIFT
            self._reference = min(offset, drifted)
        self._reference_moved = now
        if offset - self._reference > MAX_DELAY:
            return True
        self._reference_used = now
        return False

    def _report(self, event: FailSafeEvent) -> None:
        if len(self._events) >= MAX_EVENTS:
            self._events.popleft()
        self._events.append(event)
