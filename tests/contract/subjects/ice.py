"""The agent of stack.ice under the laws."""

from stack.core import Address, Datagram
from stack.ice import Closed, Parameters
from tests.contract.subject import Rig, Subject
from tests.ice.limits import LIMITS
from tests.ice.support import STUN_SERVER, A, B, introduce, start, two


def build(seed):
    a, b = two(seed)
    return Rig(a, b, lambda now: start(a, b, now), lambda now: restart(a, b, now))


def restart(a, b, now):
    """Both sides restart; what is signalled is taken from getters, events stay for the suite to read."""
    for machine in (a, b):
        machine.restart(now)
        machine.end_local_addresses(now)
    introduce(a, b, now)


SUBJECTS = [
    Subject(
        name="ice",
        build=build,
        terminal=Closed,
        wrap=lambda data: Datagram(data, B, A),
        garbage=[b"", b"\x00", b"\xff" * 40, bytes(20), bytes.fromhex("000100002112a442") + bytes(12)],
        misuse=[
            lambda rig, now: rig.a.add_local_address(Address("0.0.0.0", 1), now),
            lambda rig, now: rig.a.add_local_address(Address("10.0.0.9", 1, "tcp"), now),
            lambda rig, now: rig.a.add_local_address(Address("10.0.0.9", 1), now, network_cost=1000),
            lambda rig, now: rig.a.remove_local_address(Address("10.0.0.9", 1), now),
            lambda rig, now: rig.a.add_relayed_address(Address("0.0.0.0", 1), now, base=A),
            lambda rig, now: rig.a.restart(now, Parameters("", "")),
            lambda rig, now: rig.a.add_stun_server(STUN_SERVER._replace(port=0), now),
            lambda rig, now: rig.a.set_remote_parameters(Parameters("other", "parameters"), now),
            lambda rig, now: rig.a.set_remote_parameters(Parameters("", ""), now),
            lambda rig, now: rig.a.set_controlling(False),
        ],
        limits=LIMITS,
    )
]
