"""What the STUN tests share."""

import heapq
import json
from pathlib import Path

from stack.core import Address, Datagram, Machine
from stack.stun import Behavior, binding_response

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


class NatBox:
    """A NAT by the words of RFC 4787: how it maps, how it filters, and how long a mapping lives without traffic out.

    Without a mapping behaviour it is a firewall; with `blocked` nothing passes.
    """

    def __init__(self, mapping, filtering, *, host="203.0.113.9", hairpins=False, lifetime=120.0, blocked=False):
        self.mapping = mapping
        self.filtering = filtering
        self.host = host
        self.hairpins = hairpins
        self.lifetime = lifetime
        self.blocked = blocked
        self._next_port = 40000
        self._ports = {}  # (inner address, what the mapping depends on) -> [port, last use, remotes]

    @staticmethod
    def _depends(behavior, remote):
        return {
            Behavior.ENDPOINT_INDEPENDENT: None,
            Behavior.ADDRESS_DEPENDENT: remote.host,
            Behavior.ADDRESS_AND_PORT_DEPENDENT: remote,
        }[behavior]

    def outbound(self, local, remote, now):
        """The outer address that a packet leaves from."""
        if self.blocked:
            return None
        depends = None if self.mapping is None else self._depends(self.mapping, remote)
        entry = self._ports.get((local, depends))
        if entry is None or now - entry[1] > self.lifetime:
            self._next_port += 1
            entry = self._ports[local, depends] = [self._next_port, now, set()]
        entry[1] = now
        entry[2].add(self._depends(self.filtering, remote))
        return local if self.mapping is None else Address(self.host, entry[0])

    def inbound(self, outer, remote, now):
        """The inner address that a packet goes to; None if it is filtered."""
        for (local, _), (port, last, seen) in self._ports.items():
            here = outer == (local if self.mapping is None else Address(self.host, port))
            if here and now - last <= self.lifetime and self._depends(self.filtering, remote) in seen:
                return local
        return None


class Internet:
    """Machines in virtual time: each behind a NatBox, or in the open with None."""

    DELAY = 0.02

    def __init__(self, *members, loss=None):
        self.members = members  # (machine, NatBox or None, hosts inside)
        self.now = 100.0
        self.events = [[] for _ in members]
        self.sent = []
        self._loss = loss
        self._flying = []
        self._order = 0

    def run(self, seconds=100_000.0):
        """Until nothing is under way or due."""
        end = self.now + seconds
        while True:
            for index, (machine, box, _) in enumerate(self.members):
                for datagram in machine.datagrams_to_send(self.now):
                    self._send(datagram, box)
                while (event := machine.next_event()) is not None:
                    self.events[index].append(event)
            due = [when for machine, _, _ in self.members if (when := machine.next_timer()) is not None]
            if self._flying:
                due.append(self._flying[0][0])
            if not due or min(due) > end:
                return
            self.now = max(self.now, min(due))
            while self._flying and self._flying[0][0] <= self.now:
                self._deliver(*heapq.heappop(self._flying)[2:])
            for machine, _, _ in self.members:
                machine.handle_timer(self.now)

    def _send(self, datagram, box):
        source = box.outbound(datagram.local, datagram.remote, self.now) if box else datagram.local
        self.sent.append((self.now, datagram))
        if source is None or (self._loss is not None and self._loss.random() < 0.2):
            return
        if box and datagram.remote.host == box.host and not box.hairpins:
            return
        self._order += 1
        heapq.heappush(self._flying, (self.now + self.DELAY, self._order, datagram.data, source, datagram.remote))

    def _deliver(self, data, source, destination):
        for machine, box, hosts in self.members:
            inner = destination
            if box is not None:
                if destination.host != box.host and (box.mapping is not None or destination.host not in hosts):
                    continue
                inner = box.inbound(destination, source, self.now)
            if inner is not None and inner.host in hosts:
                machine.receive_datagram(Datagram(data, source, inner), self.now)
                return
