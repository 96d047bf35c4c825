"""The machines of stack.stun under the laws."""

from stack.core import Address, Datagram
from stack.stun import (
    BindingServer,
    Client,
    Closed,
    Discovered,
    Failed,
    NatDiscovery,
    Redirected,
    Responded,
    ServerClosed,
    TimedOut,
    Unreachable,
)
from stack.testing import seeded_random_bytes
from tests.contract.subject import Rig, Subject
from tests.stun.limits import DISCOVERY_LIMITS, LIMITS, SERVER_LIMITS
from tests.stun.support import Responder

GARBAGE = [b"", b"\x00", b"\xff" * 40, bytes(20)]
SERVER, ALTERNATE, LOCAL = Address("192.0.2.1", 3478), Address("192.0.2.2", 3479), Address("10.0.0.2", 5000)


def build(seed):
    client = Client(random_bytes=seeded_random_bytes(seed))
    return Rig(client, Responder(), client.start)


def discovery(seed):
    return NatDiscovery(SERVER, LOCAL, random_bytes=seeded_random_bytes(seed), hairpinning=True)


def discovery_rig(seed):
    machine = discovery(seed)
    return Rig(machine, BindingServer(SERVER, ALTERNATE), machine.start)


def server_rig(seed):
    machine = discovery(seed)
    return Rig(BindingServer(SERVER, ALTERNATE), machine, machine.start)


def asks_twice(rig, now):
    rig.a.start(now)


def one_host(rig, now):
    BindingServer(SERVER, Address(SERVER.host, 3479))


SUBJECTS = [
    Subject(
        name="stun",
        build=build,
        terminal=(Responded, Failed, Redirected, TimedOut, Unreachable, Closed),
        garbage=GARBAGE,
        misuse=[asks_twice],
        limits=LIMITS,
    ),
    Subject(
        name="stun-discovery",
        build=discovery_rig,
        terminal=(Discovered, Closed),
        wrap=lambda data: Datagram(data, SERVER, LOCAL),
        garbage=GARBAGE,
        misuse=[asks_twice],
        limits=DISCOVERY_LIMITS,
    ),
    Subject(
        name="stun-server",
        build=server_rig,
        terminal=ServerClosed,
        wrap=lambda data: Datagram(data, LOCAL, SERVER),
        garbage=GARBAGE,
        misuse=[one_host],
        limits=SERVER_LIMITS,
    ),
]
