"""What the STUN tests share."""

import json
from pathlib import Path

from stack.core import Address, Machine
from stack.stun import binding_response

VECTORS = Path(__file__).parents[2] / "vectors" / "stun"
TRANSACTION_ID = bytes(range(12))
SOURCE = Address("192.0.2.7", 4000)


def vectors(name):
    return json.loads((VECTORS / name).read_text())


class Responder(Machine):
    """A STUN server as a machine."""

    def __init__(self, source=SOURCE, answer=binding_response):
        super().__init__()
        self.source = source
        self.answer = answer
        self.received = []
        self._outgoing = []

    def receive_datagram(self, datagram, now):
        self.received.append(datagram)
        response = self.answer(datagram, self.source)
        if response is not None:
            self._outgoing.append(response)

    def handle_timer(self, now):
        pass

    def datagrams_to_send(self, now):
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def close(self, now):
        self._outgoing.clear()
