"""Two peer connections in virtual time, and descriptions of real browsers."""

import functools
import json
from pathlib import Path

from stack import peer
from stack.core import Address
from stack.dtls import Certificate
from stack.testing import Conditions, Link, seeded_random_bytes

A, B = Address("10.0.0.1", 1111), Address("10.0.0.2", 2222)
VECTORS = Path(__file__).parents[2] / "vectors" / "sdp"


@functools.cache
def certificate(name):
    return Certificate.generate(seeded_random_bytes(name), now_unix=1.7e9)


def connection(name, seed=0, configuration=None):
    return peer.PeerConnection(
        certificate=certificate(name), random_bytes=seeded_random_bytes(f"{seed}{name}"), configuration=configuration
    )


class Call:
    """Two connections and the link between them; signaling takes no time."""

    def __init__(self, conditions=None, seed=0, tamper=None, configuration=None):
        self.a, self.b = connection("a", seed, configuration), connection("b", seed, configuration)
        self.link = Link(self.a, self.b, conditions or Conditions(delay=0.05), seed=seed, tamper=tamper)

    @property
    def now(self):
        return self.link.now

    def negotiate(self, offerer=None, answerer=None, tamper=lambda kind, sdp: sdp):
        a, b = offerer or self.a, answerer or self.b
        a.set_local_description(None, self.now)
        self.gather(a)
        offer = a.local_description
        b.set_remote_description(peer.Description("offer", tamper("offer", offer.sdp)), self.now)
        b.set_local_description(None, self.now)
        self.gather(b)
        answer = b.local_description
        a.set_remote_description(peer.Description("answer", tamper("answer", answer.sdp)), self.now)

    def gather(self, machine):
        if machine.wants_sockets:
            machine.add_local_address(A if machine is self.a else B, self.now)
            machine.end_local_addresses(self.now)

    def connect(self, seconds=30.0):
        self.negotiate()
        return self.link.run(lambda: self.connected, seconds=seconds)

    @property
    def connected(self):
        return self.a.connection_state == self.b.connection_state == "connected"

    def reported(self, side, kind):
        """The events of one kind that side 0 (a) or 1 (b) has reported."""
        return [event for event in self.link.events[side] if isinstance(event, kind)]


def captured(name):
    """The description of a real browser by its name in vectors/sdp."""
    for file in ("browsers.json", "stacks.json"):
        for vector in json.loads((VECTORS / file).read_text())["descriptions"]:
            if vector["name"] == name:
                return "\r\n".join([*vector["sdp"], ""])
    raise KeyError(name)
