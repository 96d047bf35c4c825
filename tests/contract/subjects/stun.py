"""The machine of stack.stun under the laws."""

from stack.stun import Client, Closed, Failed, Responded, TimedOut
from stack.testing import seeded_random_bytes
from tests.contract.subject import Rig, Subject
from tests.stun.limits import LIMITS
from tests.stun.support import Responder


def build(seed):
    client = Client(random_bytes=seeded_random_bytes(seed))
    return Rig(client, Responder(), client.start)


def asks_twice(rig, now):
    rig.a.start(now)


SUBJECTS = [
    Subject(
        name="stun",
        build=build,
        terminal=(Responded, Failed, TimedOut, Closed),
        garbage=[b"", b"\x00", b"\xff" * 40, bytes(20)],
        misuse=[asks_twice],
        limits=LIMITS,
    )
]
