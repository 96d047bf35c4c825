"""TCP to peers (RFC 6062): the server's part, the client's part, and both together."""

import pytest

from stack.core import Address, Datagram, LocalError
from stack.stun import Class, LongTermCredential, Message, long_term_key
from stack.testing import seeded_random_bytes
from stack.turn import (
    TCP,
    Allocated,
    Client,
    Closed,
    Connected,
    ConnectFailed,
    ConnectionAttempted,
    DataConnection,
    DataConnectionBound,
    PeerConnectionBound,
    PeerConnectionReleased,
    PeerConnectionRequested,
    PermissionCreated,
    RelayReleased,
    RelayRequested,
    wire,
)

from .limits import CONNECTION_LIMITS, DATA_CONNECTION_LIMITS
from .support import PASSWORD, PEER, REALM, RELAY_HOST, USER, server
from .tcp import TcpPair

KEY = long_term_key(USER, REALM, PASSWORD)


class TestTogether:
    def test_connecting(self):
        pair = TcpPair().allocate()
        assert pair.client.relayed.transport == "tcp"
        pair.client.connect(PEER, 0.0)
        pair.carry()
        requested = pair.server_events.pop()
        assert requested == PeerConnectionRequested(requested.connection_id, pair.client.relayed, pair.peer)
        assert pair.client_events == []
        pair.server.peer_connected(requested.connection_id, 0.1)
        pair.carry()
        assert pair.client_events == [Connected(pair.peer, requested.connection_id)]

    def test_binding_with_the_nonce_of_the_control_connection(self):
        pair = TcpPair().connected()
        data, path = pair.bind()
        assert pair.events_of(data) == [DataConnectionBound()]
        assert pair.server_events == [PeerConnectionBound(pair.connection_id, *path)]
        assert pair.server.dropped == {"unauthenticated": 1}  # the very first request only
        data.send(b"ping", 0.2)
        assert data.datagrams_to_send(0.2) == [b"ping"]
        data.receive_datagram(b"pong", 0.2)
        assert data.take_data() == b"pong"

    def test_bytes_of_the_peer_right_behind_the_response(self):
        pair = TcpPair().connected()
        data, _ = pair.bind(deliver=False)
        for byte in pair.response + b"\x00\x01eager":
            data.receive_datagram(bytes([byte]), 0.1)
        assert data.is_bound
        assert data.take_data() == b"\x00\x01eager"

    def test_a_peer_that_connects(self):
        pair = TcpPair().allocate()
        caller = Address(PEER.host, 7777, "tcp")
        assert pair.server.peer_accepted(pair.client.relayed, caller, 0.1) is None
        assert pair.server.dropped["no-permission"] == 1
        pair.client.create_permission(PEER.host, 0.1)
        pair.carry()
        connection_id = pair.server.peer_accepted(pair.client.relayed, caller, 0.2)
        pair.carry()
        assert pair.client_events == [PermissionCreated(PEER.host), ConnectionAttempted(caller, connection_id)]
        pair.connection_id = connection_id
        data, _ = pair.bind()
        assert data.is_bound
        assert pair.server.peer_accepted(Address(RELAY_HOST, 1, "tcp"), caller, 0.2) is None

    def test_the_end_of_the_allocation_ends_its_connections(self):
        # RFC 6062 section 5.5
        pair = TcpPair().connected()
        pair.bind()
        pair.server_events.clear()
        relayed = pair.client.relayed
        pair.client.close(1.0)
        pair.carry()
        assert pair.server_events == [PeerConnectionReleased(pair.connection_id), RelayReleased(relayed)]
        assert pair.server.next_timer() is None

    def test_a_failure(self):
        pair = TcpPair().allocate()
        pair.client.connect(PEER, 0.0)
        pair.carry()
        pair.server.peer_failed(pair.server_events.pop().connection_id, 0.1)
        pair.carry()
        (failed,) = pair.client_events
        assert (failed.peer, failed.error.reason) == (pair.peer, "connection-failed")
        assert isinstance(failed, ConnectFailed)
        pair.client.connect(PEER, 11.0)  # again

    def test_losing_it_frees_the_peer(self):
        pair = TcpPair().connected()
        pair.server.peer_lost(pair.connection_id, 0.2)
        pair.server.peer_lost(pair.connection_id, 0.2)
        pair.client.connect(PEER, 0.3)
        pair.carry()
        assert isinstance(pair.server_events[-1], PeerConnectionRequested)

    def test_losing_it_while_it_is_made(self):
        pair = TcpPair().allocate()
        pair.client.connect(PEER, 0.0)
        pair.carry()
        pair.server.peer_lost(pair.server_events.pop().connection_id, 0.1)
        pair.carry()
        assert pair.client_events[0].error.reason == "connection-failed"

    def test_two_clients_reach_each_other(self):
        machine = server(tcp_relays=True)
        one, two = TcpPair(machine).allocate(), TcpPair(machine, port=2).allocate()
        one.client.connect(two.client.relayed, 0.0)
        one.carry()
        assert one.server_events[-1].peer == two.client.relayed
        one.client.connect(Address(RELAY_HOST, 22), 0.0)
        one.carry()
        assert one.client_events[-1].error.reason == "forbidden"

    def test_udp_beside_it(self):
        pair = TcpPair(requested_transport=wire.UDP).allocate()
        assert pair.client.relayed.transport == "udp"
        with pytest.raises(LocalError):
            pair.client.connect(PEER, 0.0)


class TestServer:
    """What a client of ours would not do."""

    @pytest.mark.parametrize("present", [wire.EVEN_PORT, wire.RESERVATION_TOKEN, wire.DONT_FRAGMENT])
    def test_what_only_udp_has(self, present):
        # RFC 6062 section 5.1
        pair = TcpPair()
        assert pair.code(wire.ALLOCATE, {wire.REQUESTED_TRANSPORT: b"\6\0\0\0", present: b"\0"}) == 400

    def test_not_over_udp(self):
        pair = TcpPair(transport="udp")
        assert pair.code(wire.ALLOCATE, {wire.REQUESTED_TRANSPORT: b"\6\0\0\0"}) == 400

    def test_not_unless_configured(self):
        pair = TcpPair(server())
        assert pair.code(wire.ALLOCATE, {wire.REQUESTED_TRANSPORT: b"\6\0\0\0"}) == 442
        pair.server.receive_datagram(
            Datagram(Message(wire.CONNECT, Class.REQUEST, bytes(12)).serialize(), pair.source, pair.local), 0.0
        )
        assert pair.server.dropped["unknown-method"] == 1

    @pytest.mark.parametrize(
        ("peer", "code"),
        [
            (None, 400),
            (Address("9.9.9.9", 0), 403),
            (Address("127.0.0.1", 80), 403),
            (Address("::1", 80), 443),
        ],
    )
    def test_where_to_not(self, peer, code):
        pair = TcpPair().allocate()
        assert pair.code(wire.CONNECT, peer=peer) == code

    def test_one_connection_for_a_peer(self):
        # RFC 6062 section 5.2
        pair = TcpPair().connected()
        assert pair.code(wire.CONNECT, peer=PEER) == 446

    def test_without_an_allocation(self):
        assert TcpPair().code(wire.CONNECT, peer=PEER) == 437

    def test_connect_and_channels_keep_to_their_transport(self):
        pair = TcpPair(requested_transport=wire.UDP).allocate()
        assert pair.code(wire.CONNECT, peer=PEER) == 400
        pair = TcpPair().allocate()
        assert pair.code(wire.CHANNEL_BIND, {wire.CHANNEL_NUMBER: b"\x40\0\0\0"}, peer=PEER) == 400
        send = wire.relay_message(wire.SEND, bytes(12), PEER, b"x")
        pair.server.receive_datagram(Datagram(send, pair.source, pair.local), 0.0)
        assert pair.server.dropped["no-allocation"] == 1

    @pytest.mark.parametrize("attributes", [{}, {wire.CONNECTION_ID: bytes(4)}, {wire.CONNECTION_ID: b"x"}])
    def test_binding_to_nothing(self, attributes):
        assert TcpPair().code(wire.CONNECTION_BIND, attributes) == 400

    def test_binding_twice(self):
        pair = TcpPair().connected()
        pair.bind()
        attributes = {wire.CONNECTION_ID: pair.connection_id.to_bytes(4, "big")}
        assert pair.code(wire.CONNECTION_BIND, attributes) == 400

    def test_binding_anothers(self):
        machine = server(tcp_relays=True, users={USER: PASSWORD, "thief": "t"})
        pair = TcpPair(machine).connected()
        attributes = {wire.CONNECTION_ID: pair.connection_id.to_bytes(4, "big")}
        assert pair.code(wire.CONNECTION_BIND, attributes, username="thief", password="t") == 441

    def test_answers_nobody_asked_for(self):
        machine = server(tcp_relays=True)
        with pytest.raises(LocalError):
            machine.peer_connected(1, 0.0)
        with pytest.raises(LocalError):
            machine.peer_failed(1, 0.0)


class TestClient:
    def test_only_over_a_stream(self):
        with pytest.raises(LocalError):
            Client(Address("203.0.113.1", 1), USER, PASSWORD, random_bytes=bytes, requested_transport=TCP)

    def test_the_same_peer_once_at_a_time(self):
        pair = TcpPair().allocate()
        pair.client.connect(PEER, 0.0)
        with pytest.raises(LocalError):
            pair.client.connect(PEER, 0.0)

    def test_no_channels_and_no_datagrams(self):
        pair = TcpPair().allocate()
        pair.client.create_permission(PEER.host, 0.0)
        pair.carry()
        with pytest.raises(LocalError):
            pair.client.bind_channel(PEER, 0.0)
        with pytest.raises(LocalError):
            pair.client.send(b"", PEER, 0.0)

    @pytest.mark.parametrize(
        ("host", "attributes", "reason"),
        [
            ("8.8.8.8", {wire.CONNECTION_ID: bytes(4)}, "no-permission"),
            (PEER.host, {}, "missing-attributes"),
            (PEER.host, {wire.CONNECTION_ID: b""}, "bad-attribute"),
            (PEER.host, {wire.CONNECTION_ID: bytes(4), 0x7000: b""}, "unknown-attributes"),
        ],
    )
    def test_attempts_that_are_dropped(self, host, attributes, reason):
        pair = TcpPair().allocate()
        pair.client.create_permission(PEER.host, 0.0)
        message = Message(wire.CONNECTION_ATTEMPT, Class.INDICATION, bytes(12))
        wire.set_address(message, wire.XOR_PEER_ADDRESS, Address(host, 1))
        message.attributes.update(attributes)
        pair.client.receive_datagram(message.serialize(), 0.0)
        assert pair.client.dropped == {reason: 1}

    def test_a_success_without_an_id(self):
        pair = TcpPair().allocate()
        pair.client.connect(PEER, 0.0)
        (request,) = map(Message.parse, pair.client.datagrams_to_send(0.0))
        answer = Message(wire.CONNECT, Class.SUCCESS, request.transaction_id)
        key = next(iter(pair.server._authenticator._passwords_of(USER)))
        assert key == PASSWORD
        pair.client.receive_datagram(answer.serialize(key=pair.key, sha256=True), 0.0)
        assert pair.client.next_event().error.reason == "missing-attributes"


def data_connection():
    machine = DataConnection(7, LongTermCredential(USER, PASSWORD), random_bytes=seeded_random_bytes(1))
    machine.start(0.0)
    (request,) = map(Message.parse, machine.datagrams_to_send(0.0))
    return machine, request


class TestDataConnection:
    def answer(self, machine, request, message_class=Class.SUCCESS, key=KEY, **named):
        response = Message(wire.CONNECTION_BIND, message_class, request.transaction_id, **named)
        machine.receive_datagram(response.serialize(key=key), 0.0)

    def test_a_challenge_and_a_stale_nonce(self):
        machine, request = data_connection()
        assert wire.u32(request, wire.CONNECTION_ID) == 7
        for code in (401, 438):
            self.answer(machine, request, Class.ERROR, None, error_code=(code, ""), realm=REALM, nonce=f"n{code}")
            (request,) = map(Message.parse, machine.datagrams_to_send(0.0))
            assert request.nonce == f"n{code}"
        self.answer(machine, request)
        assert machine.next_event() == DataConnectionBound()
        assert machine.next_timer() is None

    @pytest.mark.parametrize(("code", "reason"), [(400, "bad-request"), (441, "wrong-credentials")])
    def test_errors(self, code, reason):
        machine, request = data_connection()
        self.answer(machine, request, Class.ERROR, error_code=(code, "no"))
        assert machine.next_event().error.reason == reason

    def test_forgeries(self):
        machine, request = data_connection()
        self.answer(machine, request, Class.ERROR, None, error_code=(401, ""), realm=REALM, nonce="n")
        (request,) = map(Message.parse, machine.datagrams_to_send(0.0))
        self.answer(machine, request, key=b"wrong")
        assert machine.next_event().error.reason == "integrity-violated"
        assert machine.dropped == {"bad-integrity": 1}

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"\xff" * 8, "not-stun"),
            (b"GET / HTTP/1.0\r\n\r\n" + bytes(22_000), "not-stun"),
            (Message(wire.CONNECTION_BIND, Class.SUCCESS, bytes(12)).serialize(), "unexpected-message"),
        ],
    )
    def test_no_turn_at_all(self, data, reason):
        machine, _ = data_connection()
        machine.receive_datagram(data, 0.0)
        assert machine.next_event().error.reason == reason
        assert machine.dropped[reason] == 1
        machine.receive_datagram(data, 0.0)
        assert machine.dropped["closed"] == 1

    def test_misuse(self):
        machine, _ = data_connection()
        with pytest.raises(LocalError):
            machine.start(0.0)
        with pytest.raises(LocalError):
            machine.send(b"", 0.0)
        machine.close(0.0)
        machine.close(0.0)
        assert machine.next_event() == Closed(None)
        assert machine.next_event() is None


@pytest.mark.parametrize("limit", {**CONNECTION_LIMITS, **DATA_CONNECTION_LIMITS})
def test_limits(limit):
    {**CONNECTION_LIMITS, **DATA_CONNECTION_LIMITS}[limit]()


def test_allocated_is_for_tcp():
    pair = TcpPair()
    pair.client.start(0.0)
    pair.carry()
    pair.carry()
    assert isinstance(pair.all_client_events[0], Allocated)
    assert isinstance(pair.all_server_events[0], RelayRequested)
