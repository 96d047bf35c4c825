"""The association of stack.sctp under the laws."""

from stack.sctp import Association, Closed
from stack.testing import seeded_random_bytes
from tests.contract.subject import Rig, Subject
from tests.sctp.limits import LIMITS


def build(seed):
    a = Association(random_bytes=seeded_random_bytes(f"a{seed}"))
    b = Association(random_bytes=seeded_random_bytes(f"b{seed}"))

    def start(now):
        a.associate(now)
        b.associate(now)

    def work(now):
        for machine in (a, b):
            if machine.state.value != "established":  # some laws disturb the link; what waits is still legal
                continue
            for number in range(10):
                machine.send(number % 3, 51, bytes([number]) * 3000, now, ordered=number % 2 == 0)
            machine.send(4, 51, b"unreliable", now, max_retransmits=0)
            machine.reset_streams([1, 2], now)
            machine.path_changed(now)

    return Rig(a, b, start, work)


def sends_nothing(rig, now):
    rig.a.send(0, 51, b"", now)


def sends_on_a_stream_that_is_none(rig, now):
    rig.a.send(70_000, 51, b"x", now)


def resets_a_stream_that_is_none(rig, now):
    rig.a.reset_streams([1, 70_000], now)


def sends_too_much(rig, now):
    rig.a.send(0, 51, bytes(17 * 1024 * 1024), now)


SUBJECTS = [
    Subject(
        name="sctp",
        build=build,
        terminal=Closed,
        garbage=[b"", b"\x00", b"\xff" * 40, bytes(12), bytes(200)],
        misuse=[sends_nothing, sends_on_a_stream_that_is_none, resets_a_stream_that_is_none, sends_too_much],
        limits=LIMITS,
    )
]
