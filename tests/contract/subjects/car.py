"""The car's fail-safe under the laws."""

from stack.car import command
from stack.car.failsafe import Closed, FailSafe
from tests.car.support import LIMITS, DriverMachine
from tests.contract.subject import Rig, Subject


def build(seed):
    failsafe, driver = FailSafe(), DriverMachine(sequence=seed * 1_000_003)

    def start(now):
        failsafe.start_session(now)
        driver.start(now)

    return Rig(failsafe, driver, start)


SUBJECTS = [
    Subject(
        name="car-failsafe",
        build=build,
        terminal=Closed,
        garbage=[
            b"",
            b"\x00",
            b"\xff" * 40,
            bytes(command.SIZE),
            bytes([command.MAGIC, command.VERSION + 1]) + bytes(14),
        ],
        misuse=[lambda rig, now: rig.a.start_session(now)],
        limits=LIMITS,
    )
]
