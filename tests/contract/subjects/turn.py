"""The machines of stack.turn under the laws."""

from stack.core import Address, Datagram, Machine, ParseError
from stack.stun import Class, LongTermCredential, Message
from stack.testing import seeded_random_bytes
from stack.turn import MAX_DATA, Closed, DataConnection, wire
from tests.contract.subject import Rig, Subject
from tests.turn.limits import CLIENT_LIMITS, CONNECTION_LIMITS, DATA_CONNECTION_LIMITS, SERVER_LIMITS
from tests.turn.support import CLIENT, PASSWORD, PEER, SERVER, USER, ClientEnd, ServerEnd, client, server

GARBAGE = [b"", b"\x00", b"\xff" * 40, bytes(20), b"\x40", b"\x40\x00\x00\x00", bytes.fromhex("000100002112a442")]


def commands(machine):
    def work(now):
        machine.create_permission("9.9.9.8", now)
        machine.bind_channel(PEER, now)
        for number in range(5):
            machine.send(bytes(number * 100), PEER, now)
            machine.send(bytes(number), Address("9.9.9.8", 1), now)

    return work


def client_rig(seed):
    a = client(seed=seed)
    return Rig(a, ServerEnd(server(seed=seed)), a.start, lambda now: a.relayed and commands(a)(now))


def server_rig(seed):
    b = ClientEnd(client(seed=seed))
    return Rig(server(seed=seed), b, b.client.start, lambda now: b.client.relayed and commands(b.client)(now))


class BindingEnd(Machine):
    """A server that binds every data connection, and a peer behind it that sends back what it gets."""

    def __init__(self):
        super().__init__()
        self.out = []
        self.bound = False

    def receive_datagram(self, datagram, now):
        if self.bound:
            self.out.append(datagram)
        else:
            try:
                request = Message.parse(datagram)
            except ParseError:
                self.dropped["no-request"] += 1
                return
            self.bound = True
            self.out.append(Message(wire.CONNECTION_BIND, Class.SUCCESS, request.transaction_id).serialize())

    def handle_timer(self, now):
        """Nothing is ever due."""

    def datagrams_to_send(self, now):
        out, self.out = self.out, []
        return out

    def close(self, now):
        """Nothing to close."""


def data_rig(seed):
    credential = LongTermCredential(USER, PASSWORD)
    a = DataConnection(7, credential, random_bytes=seeded_random_bytes(f"data {seed}"))
    return Rig(a, BindingEnd(), a.start, lambda now: a.is_bound and a.send(b"hello", now))


SUBJECTS = [
    Subject(
        name="turn-client",
        build=client_rig,
        terminal=Closed,
        garbage=GARBAGE,
        misuse=[
            lambda rig, now: rig.a.start(now),
            lambda rig, now: rig.a.create_permission("example.org", now),
            lambda rig, now: rig.a.create_permission("2001:db8::1", now),
            lambda rig, now: rig.a.bind_channel(Address("9.9.9.7", 70000), now),
            lambda rig, now: rig.a.send(b"", Address("9.9.9.7", 1), now),
            lambda rig, now: rig.a.send(bytes(MAX_DATA + 1), PEER, now),
        ],
        limits=CLIENT_LIMITS,
    ),
    Subject(
        name="turn-server",
        build=server_rig,
        terminal=Closed,
        wrap=lambda data: Datagram(data, CLIENT, SERVER),
        garbage=GARBAGE,
        misuse=[
            lambda rig, now: rig.a.relay_opened(Address("203.0.113.1", 50000), now),
            lambda rig, now: rig.a.relay_failed(Address("203.0.113.1", 50000), now),
        ],
        limits={**SERVER_LIMITS, **CONNECTION_LIMITS},
    ),
    Subject(
        name="turn-data-connection",
        build=data_rig,
        terminal=Closed,
        garbage=[],  # a stream that is broken ends, and bytes of a bound one are the peer's
        misuse=[lambda rig, now: rig.a.start(now), lambda rig, now: rig.a.send(bytes((1 << 20) + 1), now)],
        limits=DATA_CONNECTION_LIMITS,
    ),
]
