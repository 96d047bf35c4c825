"""What the TURN tests share: a server whose sockets always open, and both ends of a path to it."""

from stack.core import Address, Datagram, Machine
from stack.stun import Message
from stack.testing import Link, seeded_random_bytes
from stack.turn import Client, RelayReleased, RelayRequested, Server, ServerConfiguration

CLIENT = Address("198.51.100.7", 40000)
SERVER = Address("203.0.113.1", 3478)
RELAY_HOST = "203.0.113.1"
PEER = Address("9.9.9.9", 5000)
USER, PASSWORD, REALM = "driver", "secret", "example.org"


def configuration(**changes):
    values = {"realm": REALM, "relay_hosts": (RELAY_HOST,), "users": {USER: PASSWORD}}
    return ServerConfiguration(**{**values, **changes})


class OpenServer(Server):
    """A server whose caller opens every relay socket at once."""

    def receive_datagram(self, datagram, now):
        super().receive_datagram(datagram, now)
        while wanted := [event.relayed for event in self._events if isinstance(event, RelayRequested)]:
            still = [relayed for relayed in wanted if relayed in self._allocator._asked]
            if not still:
                break
            self.relay_opened(still[0], now)


def server(*, kind=OpenServer, seed=1, epoch=0.0, **changes):
    return kind(configuration(**changes), random_bytes=seeded_random_bytes(f"server {seed}"), epoch=epoch)


def client(*, seed=1, username=USER, password=PASSWORD, **kwargs):
    return Client(SERVER, username, password, random_bytes=seeded_random_bytes(f"client {seed}"), **kwargs)


class ServerEnd(Machine):
    """A server as one client sees it, with peers that send back what they get. Bytes in and out."""

    def __init__(self, machine=None, source=CLIENT):
        super().__init__()
        self.server = machine or server()
        self.source = source
        self.at_peers = []
        self.echo = True

    def receive_datagram(self, datagram, now):
        self.server.receive_datagram(Datagram(datagram, self.source, SERVER), now)

    def handle_timer(self, now):
        self.server.handle_timer(now)

    def datagrams_to_send(self, now):
        back = []
        while datagrams := self.server.datagrams_to_send(now):
            for datagram in datagrams:
                if datagram.local == SERVER:
                    back.append(datagram.data)
                else:
                    self.at_peers.append(datagram)
                    if self.echo:
                        self.from_peer(datagram.data, datagram.remote, datagram.local, now)
        return back

    def from_peer(self, data, peer, relayed, now):
        self.server.receive_datagram(Datagram(data, peer, relayed), now)

    def next_event(self):
        return self.server.next_event()

    def next_timer(self):
        return self.server.next_timer()

    @property
    def dropped(self):
        return self.server.dropped if hasattr(self, "server") else super().dropped

    def close(self, now):
        self.server.close(now)


class ClientEnd(Machine):
    """A client, and peers that send back what they get, as a server sees them. Datagrams in and out."""

    def __init__(self, machine=None, source=CLIENT):
        super().__init__()
        self.client = machine or client()
        self.source = source
        self._echoes = []

    def receive_datagram(self, datagram, now):
        if datagram.local == self.source:
            self.client.receive_datagram(datagram.data, now)
        else:
            self._echoes.append(Datagram(datagram.data, datagram.remote, datagram.local))

    def handle_timer(self, now):
        self.client.handle_timer(now)

    def datagrams_to_send(self, now):
        echoes, self._echoes = self._echoes, []
        return echoes + [Datagram(data, SERVER, self.source) for data in self.client.datagrams_to_send(now)]

    def next_event(self):
        return self.client.next_event()

    def next_timer(self):
        return self.client.next_timer()

    def close(self, now):
        self.client.close(now)


def joined(conditions=None, *, seed=1, machine=None, tamper=None, keep_trace=True, **kwargs):
    """A started client linked to a server; returns client, server end, link."""
    a, b = client(seed=seed, **kwargs), ServerEnd(machine)
    link = Link(a, b, conditions, seed=seed, tamper=tamper, keep_trace=keep_trace)
    a.start(link.now)
    return a, b, link


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def messages(link):
    """(sender, method, class name, error code) of every STUN message of a trace, without retransmissions."""
    found, seen = [], set()
    for _, sender, data in link.trace:
        if data[0] < 4 and data not in seen:
            seen.add(data)
            message = Message.parse(data)
            code = message.error_code[0] if message.error_code else None
            found.append((sender, message.method, message.message_class.name, code))
    return found


def released(events):
    return [event.relayed for event in of(events, RelayReleased)]
