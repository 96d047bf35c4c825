"""A client and a server with TCP between them, and to peers: without sockets."""

from stack.core import Address, Datagram
from stack.stun import Class, Message, long_term_key
from stack.stun.credentials import Algorithm
from stack.testing import seeded_random_bytes
from stack.turn import TCP, Client, RelayRequested, wire

from .support import CLIENT, PASSWORD, PEER, REALM, SERVER, USER, server

random_bytes = seeded_random_bytes("tcp pair")


class TcpPair:
    def __init__(self, machine=None, *, requested_transport=TCP, transport="tcp", port=1):
        self.server = machine or server(tcp_relays=True)
        self.source = Address(CLIENT.host, port, transport)
        self.local = Address(*SERVER[:2], transport)
        self.peer = Address(*PEER[:2], "tcp")
        self.key = long_term_key(USER, REALM, PASSWORD, Algorithm.SHA256)
        self.client = Client(
            self.local,
            USER,
            PASSWORD,
            random_bytes=random_bytes,
            reliable=True,
            requested_transport=requested_transport,
        )
        self.client_events, self.server_events = [], []
        self.all_client_events, self.all_server_events = [], []
        self.connection_id = 0
        self.response = b""

    def carry(self, now=0.0):
        for data in self.client.datagrams_to_send(now):
            self.server.receive_datagram(Datagram(data, self.source, self.local), now)
        while (event := self.server.next_event()) is not None:
            self.all_server_events.append(event)
            self.server_events.append(event)
        for datagram in self.server.datagrams_to_send(now):
            if datagram.remote == self.source:
                self.client.receive_datagram(datagram.data, now)
        while (event := self.client.next_event()) is not None:
            self.all_client_events.append(event)
            self.client_events.append(event)

    def allocate(self):
        self.client.start(0.0)
        self.carry()
        self.carry()
        assert self.client.relayed is not None
        self.client_events.clear()
        self.server_events.clear()
        return self

    def connected(self):
        self.allocate()
        self.client.connect(PEER, 0.0)
        self.carry()
        self.connection_id = self.server_events.pop().connection_id
        self.server.peer_connected(self.connection_id, 0.0)
        self.carry()
        self.client_events.clear()
        return self

    def bind(self, deliver=True, now=0.1):
        """Run a data connection; return it, and its path."""
        path = (Address(CLIENT.host, 4242, "tcp"), self.local)
        data = self.client.data_connection(self.connection_id)
        data.start(now)
        for message in data.datagrams_to_send(now):
            self.server.receive_datagram(Datagram(message, *path), now)
        self.response = b"".join(datagram.data for datagram in self.server.datagrams_to_send(now))
        if deliver:
            data.receive_datagram(self.response, now)
        self.carry(now)
        return data, path

    @staticmethod
    def events_of(machine):
        found = []
        while (event := machine.next_event()) is not None:
            found.append(event)
        return found

    def code(self, method, attributes=(), peer=None, username=USER, password=PASSWORD):
        """The error code that a request with the MD5 key gets, 0 for success, from another address of the client."""
        source = self.source

        def ask(message, key=None):
            self.server.receive_datagram(Datagram(message.serialize(key=key), source, self.local), 0.0)
            return Message.parse(self.server.datagrams_to_send(0.0)[-1].data)

        challenge = Message(
            method if method != wire.CONNECTION_BIND else wire.ALLOCATE, Class.REQUEST, random_bytes(12)
        )
        nonce = ask(challenge).nonce
        message = Message(method, Class.REQUEST, random_bytes(12), username=username, realm=REALM, nonce=nonce)
        message.attributes.update(attributes)
        if peer is not None:
            wire.set_address(message, wire.XOR_PEER_ADDRESS, peer)
        response = ask(message, long_term_key(username, REALM, password))
        return response.error_code[0] if response.error_code else 0


def relays_wanted(events):
    return [event.relayed for event in events if isinstance(event, RelayRequested)]
