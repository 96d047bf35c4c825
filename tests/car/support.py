"""A driver as a machine, for the laws and the traces."""

from stack.car import command
from stack.car.failsafe import COMMAND_TIMEOUT, MAX_EVENTS, Closed, FailSafe, Resumed, Stopped
from stack.car.physics import SAFE, Controls
from stack.core import Machine

INTERVAL = 0.02
FULL_AHEAD = Controls(throttle=1.0)


def datagram(sequence, now, controls=FULL_AHEAD):
    return command.serialize(command.Command(sequence, controls, round(now * 1000)))


class DriverMachine(Machine):
    """Sends a command every 20 ms between start and close."""

    def __init__(self, sequence=0):
        super().__init__()
        self.sequence = sequence
        self.controls = FULL_AHEAD
        self._out = []

    def start(self, now):
        self._timers.set("tick", self._clamp(now) + INTERVAL)

    def receive_datagram(self, datagram, now):
        self._clamp(now)

    def handle_timer(self, now):
        now = self._clamp(now)
        if self._timers.expire(now):
            self.sequence = (self.sequence + 1) & 0xFFFFFFFF
            self._out.append(datagram(self.sequence, now, self.controls))
            self._timers.set("tick", now + INTERVAL)

    def datagrams_to_send(self, now):
        out, self._out = self._out, []
        return out

    def close(self, now):
        self._timers.clear()
        self._out.clear()


def events_of(machine):
    found = []
    while (event := machine.next_event()) is not None:
        found.append(event)
    return found


def hit_command_timeout():
    failsafe = FailSafe()
    failsafe.start_session(0.0)
    failsafe.receive_datagram(datagram(1, 1.0), 1.0)
    assert failsafe.next_timer() == 1.0 + COMMAND_TIMEOUT
    failsafe.handle_timer(1.0 + COMMAND_TIMEOUT)
    assert failsafe.controls == SAFE
    assert events_of(failsafe) == [Resumed(1.0), Stopped("command-timeout", 1.0 + COMMAND_TIMEOUT, 1.0)]


def hit_max_delay():
    failsafe = FailSafe()
    failsafe.start_session(0.0)
    failsafe.receive_datagram(datagram(1, 1.0), 1.0)
    failsafe.receive_datagram(datagram(2, 1.02), 1.8)
    assert failsafe.dropped == {"late": 1}
    assert failsafe.controls == SAFE


def hit_max_events():
    failsafe = FailSafe()
    for round_ in range(MAX_EVENTS):
        now = float(round_)
        failsafe.start_session(now)
        failsafe.receive_datagram(datagram(1, now), now)
        failsafe.peer_gone(now)
    found = events_of(failsafe)
    assert len(found) == MAX_EVENTS
    failsafe.close(1000.0)
    assert isinstance(events_of(failsafe)[-1], Closed)


LIMITS = {
    "COMMAND_TIMEOUT": hit_command_timeout,
    "MAX_DELAY": hit_max_delay,
    "MAX_EVENTS": hit_max_events,
}
