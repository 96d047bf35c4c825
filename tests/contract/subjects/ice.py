"""The agent of stack.ice under the laws: over UDP, over TCP, with relays, and lite."""

from stack.core import Address, Datagram
from stack.ice import Closed, Parameters
from tests.contract.subject import Rig, Subject
from tests.ice.limits import LIMITS
from tests.ice.support import STUN_SERVER, A, B, agent, introduce, start, two

ACTIVE = Address("10.0.0.1", 9, "tcp")
PASSIVE = Address("10.0.0.2", 5000, "tcp")
RELAYS = (Address("198.51.100.1", 1), Address("198.51.100.2", 2))


def build(seed):
    a, b = two(seed, renomination=True)
    return Rig(a, b, lambda now: start(a, b, now), lambda now: restart(a, b, now))


def restart(a, b, now):
    """Both sides restart; what is signalled is taken from getters, events stay for the suite to read."""
    for machine in (a, b):
        machine.restart(now)
        machine.end_local_addresses(now)
    introduce(a, b, now)


def build_tcp(seed):
    """A connection from an active to a passive candidate, which then breaks."""
    a, b = two(seed)

    def begin(now):
        a.add_local_address(ACTIVE, now, tcp_type="active")
        b.add_local_address(PASSIVE, now, tcp_type="passive")
        for machine in (a, b):
            machine.end_local_addresses(now)
        introduce(a, b, now)

    return Rig(a, b, begin, lambda now: a.path_closed(ACTIVE, PASSIVE, now))


def build_relayed(seed):
    """Two relays only, one of which goes away and comes back."""
    a, b = two(seed)

    def begin(now):
        for machine, relayed, base in zip((a, b), RELAYS, (A, B), strict=True):
            machine.add_relayed_address(relayed, now, base=base)
            machine.end_local_addresses(now)
        introduce(a, b, now)

    def work(now):
        a.data_sent(now)
        a.remove_local_address(RELAYS[0], now)
        a.add_relayed_address(RELAYS[0], now, base=A)

    return Rig(a, b, begin, work)


def build_lite(seed):
    a, b = agent(f"a{seed}"), agent(f"b{seed}", controlling=False, lite=True)
    return Rig(b, a, lambda now: start(a, b, now), lambda now: restart(a, b, now))


GARBAGE = [b"", b"\x00", b"\xff" * 40, bytes(20), bytes.fromhex("000100002112a442") + bytes(12)]
MISUSE = [
    lambda rig, now: rig.a.add_local_address(Address("0.0.0.0", 1), now),
    lambda rig, now: rig.a.add_local_address(Address("10.0.0.9", 5, "tcp"), now),
    lambda rig, now: rig.a.add_local_address(Address("10.0.0.9", 5, "tcp"), now, tcp_type="active"),
    lambda rig, now: rig.a.add_relayed_address(Address("198.51.100.7", 5), now, base=A, protocol="sctp"),
    lambda rig, now: rig.a.add_stun_server(STUN_SERVER, now),
    lambda rig, now: rig.a.set_remote_parameters(Parameters("other", "parameters"), now),
    lambda rig, now: rig.a.set_remote_parameters(Parameters("", ""), now),
    lambda rig, now: rig.a.restart(now, Parameters("", "")),
    lambda rig, now: rig.a.set_controlling(False),
]


def subject(name, build, local, remote, limits):
    return Subject(
        name=name,
        build=build,
        terminal=Closed,
        wrap=lambda data: Datagram(data, remote, local),
        garbage=GARBAGE,
        misuse=MISUSE,
        limits=limits,
    )


SPARE = {"spare_pairs": LIMITS["spare_pairs"]}
SUBJECTS = [
    subject("ice", build, A, B, LIMITS),
    subject("ice-tcp", build_tcp, ACTIVE, PASSIVE, SPARE),
    subject("ice-relayed", build_relayed, *RELAYS, SPARE),
    subject("ice-lite", build_lite, B, A, SPARE),
]
