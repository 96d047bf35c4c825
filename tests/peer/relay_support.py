"""TURN servers and peers for the tests of relays below a peer connection."""

from stack.core import Address, Datagram, Machine
from stack.peer import Configuration
from stack.peer.ice_transport import IceTransport
from stack.peer.relays import Relays, TurnServer
from stack.testing import seeded_random_bytes
from tests.turn.support import PASSWORD, SERVER, USER, server

BASE = Address("198.51.100.7", 40000)
FAR = Address("9.9.9.8", 6000)
THERE = TurnServer(SERVER, USER, PASSWORD)
STREAM = Address("198.51.100.7", 50000, "tcp")
OVER_TCP = TurnServer(SERVER._replace(transport="tcp"), USER, PASSWORD, protocol="tcp")


def relays(seed=1, timeout=5.0):
    return Relays(random_bytes=seeded_random_bytes(f"relays {seed}"), timeout=timeout)


class Gone:
    """A terminal event for a part that has none of its own."""

    def __repr__(self):
        return "Gone()"


class EndingRelays(Relays):
    """Relays that say when they were closed, as the laws want it."""

    def close(self, now):
        if not self._closed:
            self._events.append(Gone())
        super().close(now)


class TurnEnd(Machine):
    """A TURN server whose peers send back what they get."""

    def __init__(self, seed=1, **changes):
        super().__init__()
        self.server = server(seed=seed, **changes)
        self.at_peers = []

    @property
    def dropped(self):
        return self.server.dropped if hasattr(self, "server") else super().dropped

    def receive_datagram(self, datagram, now):
        self.server.receive_datagram(datagram, now)

    def handle_timer(self, now):
        self.server.handle_timer(now)

    def next_timer(self):
        return self.server.next_timer()

    def datagrams_to_send(self, now):
        back = []
        while datagrams := self.server.datagrams_to_send(now):
            for datagram in datagrams:
                if datagram.local.host == SERVER.host and datagram.local.port == SERVER.port:
                    back.append(datagram)
                else:
                    self.at_peers.append(datagram)
                    self.server.receive_datagram(Datagram(datagram.data, datagram.remote, datagram.local), now)
        return back

    def close(self, now):
        self.server.close(now)


class Transport(IceTransport):
    """An ICE transport that takes out of its relays what came through them, as the pump does."""

    def __init__(self, name, *, controlling, **options):
        super().__init__(
            controlling=controlling,
            random_bytes=seeded_random_bytes(name),
            configuration=Configuration(**options),
        )

    def receive_datagram(self, datagram, now):
        if self.relays.owns(datagram):
            for inner in self.receive_relayed(datagram, now):
                super().receive_datagram(inner, now)
        else:
            super().receive_datagram(datagram, now)


class FarEnd(Machine):
    """The other side at a public address, and the TURN server of the first one."""

    def __init__(self, seed=1):
        super().__init__()
        self.transport = Transport(f"far {seed}", controlling=False)
        self.server = server(seed=seed)

    def receive_datagram(self, datagram, now):
        (self.server if datagram.local == SERVER else self.transport).receive_datagram(datagram, now)

    def handle_timer(self, now):
        self.server.handle_timer(now)
        self.transport.handle_timer(now)

    def next_timer(self):
        times = [time for machine in (self.server, self.transport) if (time := machine.next_timer()) is not None]
        return min(times, default=None)

    def next_event(self):
        return self.transport.next_event()

    def datagrams_to_send(self, now):
        back, more = [], True
        while more:
            more = False
            for datagram in self.server.datagrams_to_send(now):
                if datagram.remote == FAR:
                    more = True
                    self.transport.receive_datagram(Datagram(datagram.data, datagram.local, FAR), now)
                else:
                    back.append(datagram)
            for datagram in self.transport.datagrams_to_send(now):
                if datagram.remote.host == SERVER.host:
                    more = True
                    self.server.receive_datagram(Datagram(datagram.data, FAR, datagram.remote), now)
                else:
                    back.append(datagram)
        return back

    def close(self, now):
        self.transport.close(now)
        self.server.close(now)


def introduce(near, far, now):
    """Tell both sides all that the other one has signalled."""
    for one, other in ((near.agent, far.agent), (far.agent, near.agent)):
        if one.remote_parameters is None:
            one.set_remote_parameters(other.local_parameters, now)
        for candidate in other.local_candidates:
            one.add_remote_candidate(candidate, now)
        one.end_of_remote_candidates(now)
