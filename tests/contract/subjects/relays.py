"""The relays below ICE, and the agent with its relays, under the laws."""

from stack import ice
from stack.core import Address, Datagram
from stack.peer.relays import TurnServer
from stack.testing import seeded_random_bytes
from tests.peer.limits import LIMITS, TRANSPORT_LIMITS
from tests.peer.relay_support import (
    BASE,
    FAR,
    OVER_TCP,
    THERE,
    EndingRelays,
    FarEnd,
    Gone,
    Transport,
    TurnEnd,
    introduce,
)
from tests.turn.support import PEER, SERVER

from ..subject import Rig, Subject

GARBAGE = [b"", b"\x00", b"\xff" * 40, bytes(20), b"\x40", b"\x40\x00\x00\x00"]
NOT_A_STREAM = TurnServer(SERVER, "user", "password", protocol="tcp")


def build_relays(seed):
    a = EndingRelays(random_bytes=seeded_random_bytes(f"relays {seed}"), timeout=5.0)

    def start(now):
        a.add_server(THERE, now)
        a.add_base(BASE, now)

    def work(now):
        for relayed in list(a._by_relayed):
            for data in (b"\x00\x01check", b"\x80media", bytes(1000)):
                a.outgoing += a.wrap([Datagram(data, PEER, relayed)], now)
        a.take()

    return Rig(a, TurnEnd(seed), start, work)


def build_transport(seed):
    a, b = Transport(f"near {seed}", controlling=True), FarEnd(seed)

    def start(now):
        a.add_turn_server(THERE, now)
        a.add_local_address(BASE, now)
        a.end_local_addresses(now)
        b.transport.add_local_address(FAR, now)
        b.transport.end_local_addresses(now)
        introduce(a, b.transport, now)

    def work(now):
        """The socket that was in use goes, and another one comes: what is left meanwhile is nothing."""
        if a.agent.state != "closed":
            a.remove_local_address(BASE, now)
            a.add_local_address(BASE._replace(port=40001), now)

    return Rig(a, b, start, work)


SUBJECTS = [
    Subject(
        name="relays",
        build=build_relays,
        terminal=Gone,
        wrap=lambda data: Datagram(data, SERVER, BASE),
        garbage=GARBAGE,
        misuse=[
            lambda rig, now: rig.a.add_server(THERE, now),
            lambda rig, now: rig.a.add_server(OVER_TCP, now),
            lambda rig, now: rig.a.add_stream(BASE, OVER_TCP, now),
            lambda rig, now: rig.a.add_stream(BASE._replace(transport="tcp"), NOT_A_STREAM, now),
        ],
        limits=LIMITS,
    ),
    Subject(
        name="ice-transport",
        build=build_transport,
        terminal=ice.Closed,
        wrap=lambda data: Datagram(data, SERVER, BASE),
        garbage=GARBAGE,
        misuse=[
            lambda rig, now: rig.a.add_turn_server(THERE, now),
            lambda rig, now: rig.a.add_turn_stream(BASE, OVER_TCP, now),
            lambda rig, now: rig.a.add_stun_server(Address("example.org", 1), now),
        ],
        limits=TRANSPORT_LIMITS,
    ),
]
