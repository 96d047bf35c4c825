"""The association of stack.sctp under the laws."""

from stack.sctp import Association, Closed, Config
from stack.testing import seeded_random_bytes
from tests.contract.subject import Rig, Subject
from tests.sctp.limits import LIMITS


def build(seed):
    a = Association(random_bytes=seeded_random_bytes(f"a{seed}"), config=Config(path_mtu_limit=1400))
    b = Association(random_bytes=seeded_random_bytes(f"b{seed}"), config=Config(outbound_streams=100))

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
            for number in range(3):
                machine.send(5, 51, bytes(2000 + number), now, replace_key="latest")
            if machine is b:
                machine.add_streams(now, outgoing=1)
            machine.reset_streams([1, 2], now)
            machine.path_changed(now)

    return Rig(a, b, start, work)


def sends_nothing(rig, now):
    rig.a.send(0, 51, b"", now)


def sends_on_a_stream_that_is_none(rig, now):
    rig.a.send(70_000, 51, b"x", now)


def resets_a_stream_that_is_none(rig, now):
    rig.a.reset_streams([1, 70_000], now)


def replaces_by_what_is_no_key(rig, now):
    rig.a.send(0, 51, b"x", now, replace_key=[])


def adds_too_many_streams(rig, now):
    rig.a.add_streams(now, outgoing=70_000)


def sends_too_much(rig, now):
    rig.a.send(0, 51, bytes(17 * 1024 * 1024), now)


SUBJECTS = [
    Subject(
        name="sctp",
        build=build,
        terminal=Closed,
        garbage=[b"", b"\x00", b"\xff" * 40, bytes(12), bytes(200)],
        misuse=[
            sends_nothing,
            sends_on_a_stream_that_is_none,
            resets_a_stream_that_is_none,
            sends_too_much,
            replaces_by_what_is_no_key,
            adds_too_many_streams,
        ],
        limits=LIMITS,
    )
]
