"""The car: control datagrams, the fail-safe, signaling messages."""

from stack.car import command, messages
from stack.car.failsafe import COMMAND_TIMEOUT, FailSafe
from stack.car.physics import SAFE
from stack.core import ParseError


def check_command(data: bytes) -> None:
    """Parse raises only ParseError, what it returns is inside the ranges, and writing it again changes nothing."""
    try:
        parsed = command.parse(data)
    except ParseError:
        return
    controls = parsed.controls
    if not (-1 <= controls.throttle <= 1 and -1 <= controls.steering <= 1 and 0 <= controls.brake <= 1):
        raise AssertionError(f"out of range: {controls}")
    if command.parse(command.serialize(parsed)) != parsed:
        raise AssertionError("writing it again changes it")


def check_failsafe(data: bytes) -> None:
    """Each datagram acts or is counted as dropped; with no more of them the controls are safe after the timeout.

    The input is cut into datagrams of 17 bytes: the first byte is the time since the one before, in 4 ms.
    """
    failsafe, now = FailSafe(), 0.0
    failsafe.start_session(now)
    for at in range(0, len(data), command.SIZE + 1):
        now += (data[at] + 1) * 0.004
        before = failsafe.dropped.total()
        failsafe.receive_datagram(data[at + 1 : at + 1 + command.SIZE], now)
        acted = failsafe.last_command == now
        if acted == (failsafe.dropped.total() == before + 1):
            raise AssertionError("neither acted nor counted, or both")
    failsafe.handle_timer(now + COMMAND_TIMEOUT)
    if failsafe.controls != SAFE or failsafe.next_timer() is not None:
        raise AssertionError("the car drives on")


def check_message(data: bytes) -> None:
    """Parse raises only ParseError."""
    try:
        messages.parse(data.decode("utf-8", "replace"))
    except ParseError:
        return


TARGETS = {"car-command": check_command, "car-failsafe": check_failsafe, "car-message": check_message}
