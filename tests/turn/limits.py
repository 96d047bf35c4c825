"""Tests that hit the named limits; the contract suite runs them too."""

import pytest

from stack.core import Address, Datagram, LocalError, ParseError
from stack.stun import MAX_URI, Class, LongTermCredential, Message
from stack.stun.limiter import MAX_SOURCES, Limiter
from stack.testing import seeded_random_bytes
from stack.turn import (
    MAX_DATA,
    Closed,
    DataConnection,
    PeerConnectionReleased,
    RelayReleased,
    RelayRequested,
    Server,
    parse_uri,
    wire,
)
from stack.turn import allocation as allocation_module
from stack.turn import allocator as allocator_module
from stack.turn import client as client_module
from stack.turn import connections as connections_module
from stack.turn import data_connection as data_module
from stack.turn import server as server_module
from stack.turn.allocation import Channel
from stack.turn.configuration import MAX_ALLOCATIONS, MAX_ALLOCATIONS_PER_USER
from stack.turn.server import BURST, RATE

from .support import (
    CLIENT,
    PASSWORD,
    PEER,
    RELAY_HOST,
    SERVER,
    USER,
    ServerEnd,
    client,
    configuration,
    joined,
    of,
    server,
)
from .tcp import TcpPair


def host(number):
    return f"9.9.{number >> 8}.{number & 255}"


def allocated(**kwargs):
    a, b, link = joined(**kwargs)
    link.run(lambda: a.relayed is not None)
    return a, b, link


def permissions_of_a_client():
    a, _, link = allocated()
    for number in range(client_module.MAX_PERMISSIONS):
        a.create_permission(host(number), link.now)
    a.create_permission(host(0), link.now)
    with pytest.raises(LocalError):
        a.create_permission(host(9999), link.now)


def channels_of_a_client():
    a, _, link = allocated()
    for number in range(client_module.MAX_CHANNELS):
        a.bind_channel(Address(PEER.host, 1000 + number), link.now)
    with pytest.raises(LocalError):
        a.bind_channel(PEER, link.now)


def payloads_held():
    a, b, link = allocated()
    a.create_permission(PEER.host, link.now)
    for number in range(client_module.MAX_HELD + 1):
        a.send(number.to_bytes(2, "big"), PEER, link.now)
    assert a.dropped["held-queue-full"] == 1
    link.run(seconds=1)
    assert [item.data for item in b.at_peers] == [n.to_bytes(2, "big") for n in range(1, client_module.MAX_HELD + 1)]


def outgoing_of_a_client():
    a, _, link = allocated()
    a.create_permission(PEER.host, link.now)
    link.run(seconds=1)
    for _ in range(client_module.MAX_OUTGOING + 1):
        a.send(b"", PEER, link.now)
    assert a.dropped["send-queue-full"] == 1
    assert len(a.datagrams_to_send(link.now)) == client_module.MAX_OUTGOING


def received_of_a_client():
    a, _, link = allocated()
    a.create_permission(PEER.host, link.now)
    link.run(seconds=1)
    for number in range(client_module.MAX_RECEIVED + 1):
        a.receive_datagram(
            wire.relay_message(wire.DATA_INDICATION, bytes(12), PEER, number.to_bytes(2, "big")), link.now
        )
    assert a.dropped["receive-queue-full"] == 1
    data = a.take_data()
    assert len(data) == client_module.MAX_RECEIVED
    assert data[0].data == b"\0\1"


def longest_payload():
    a, b, link = allocated()
    a.create_permission(PEER.host, link.now)
    link.run(seconds=1)
    a.send(bytes(MAX_DATA), PEER, link.now)
    with pytest.raises(LocalError):
        a.send(bytes(MAX_DATA + 1), PEER, link.now)
    link.run(seconds=1)
    assert [len(item.data) for item in a.take_data()] == [MAX_DATA]
    b.from_peer(bytes(MAX_DATA + 1), PEER, a.relayed, link.now)
    assert b.server.dropped["too-long"] == 1


def stale_nonces():
    _, b, link = joined(machine=server(nonce_lifetime=0.001))
    b.server._authenticator._is_fresh = lambda *_: False
    link.run(lambda: link.events[0], seconds=30)
    assert [event.error.reason for event in link.events[0]] == ["stale-nonce"]
    assert b.server.dropped["stale-nonce"] == client_module.MAX_STALE + 1


def seconds_to_close():
    gone = []
    a, _, link = joined(tamper=lambda sender, index, data: [] if gone else [data])
    link.run(lambda: a.relayed is not None)
    gone.append(True)
    start = link.now
    a.close(start)
    link.run(lambda: of(link.events[0], Closed))
    assert link.now - start == pytest.approx(client_module.CLOSE_TIMEOUT)


def allocations_in_total():
    machine = server(max_allocations=2)
    outcomes = [outcome(machine, Address(CLIENT.host, 5000 + number)) for number in range(3)]
    assert outcomes == ["allocated", "allocated", "insufficient-capacity"]
    assert configuration().max_allocations == MAX_ALLOCATIONS


def allocations_of_one_user():
    machine = server(max_allocations_per_user=2)
    outcomes = [outcome(machine, Address(CLIENT.host, 5000 + number)) for number in range(3)]
    assert outcomes == ["allocated", "allocated", "quota-reached"]
    assert configuration().max_allocations_per_user == MAX_ALLOCATIONS_PER_USER


def outcome(machine, source, **kwargs):
    """Allocate at a server from one address; `allocated`, or why not."""
    a, end = client(seed=str(source), **kwargs), ServerEnd(machine, source)
    a.start(0.0)
    for _ in range(4):
        for data in a.datagrams_to_send(0.0):
            end.receive_datagram(data, 0.0)
        for data in end.datagrams_to_send(0.0):
            a.receive_datagram(data, 0.0)
    event = a.next_event()
    return event.error.reason if isinstance(event, Closed) else "allocated"


def permissions_of_an_allocation():
    a, b, link = allocated()
    allocation = next(iter(b.server._relays.values()))
    allocation.permissions = {host(n): link.now + 1 for n in range(server_module.MAX_PERMISSIONS)}
    a.create_permission("8.8.8.8", link.now)
    link.run(seconds=0.5)
    assert of(link.events[0], client_module.PermissionFailed)[0].error.reason == "insufficient-capacity"
    link.run(seconds=1)
    a.create_permission("8.8.8.8", link.now)  # the others have expired by now
    link.run(seconds=0.5)
    assert a.permissions == {"8.8.8.8"}


def channels_of_an_allocation():
    a, b, link = allocated()
    allocation = next(iter(b.server._relays.values()))
    peers = [Address(PEER.host, n) for n in range(server_module.MAX_CHANNELS)]
    allocation.channels = {peer: Channel(0x4F00 + peer.port, peer, a.relayed, link.now + 60, False) for peer in peers}
    a.bind_channel(PEER, link.now)
    link.run(seconds=0.5)
    assert of(link.events[0], client_module.ChannelFailed)[0].error.reason == "insufficient-capacity"


def outgoing_of_a_server():
    a, b, link = allocated()
    a.create_permission(PEER.host, link.now)
    link.run(seconds=1)
    for _ in range(allocation_module.MAX_OUTGOING + 1):
        b.from_peer(b"", PEER, a.relayed, link.now)
    assert b.server.dropped["send-queue-full"] == 1
    assert len(b.server.datagrams_to_send(link.now)) == allocation_module.MAX_OUTGOING


def requested(machine, now=0.0):
    """A plain server, asked by a client: the client, the end, the relay wanted."""
    a, end = client(), ServerEnd(machine)
    a.start(now)
    for _ in range(2):
        for data in a.datagrams_to_send(now):
            end.receive_datagram(data, now)
        for data in end.datagrams_to_send(now):
            a.receive_datagram(data, now)
    event = machine.next_event()
    assert isinstance(event, RelayRequested)
    return a, end, event.relayed


def attempts_at_a_relay():
    machine = server(kind=Server)
    a, end, relayed = requested(machine)
    asked = {relayed}
    for _ in range(allocator_module.RELAY_ATTEMPTS - 1):
        machine.relay_failed(relayed, 0.0)
        relayed = machine.next_event().relayed
        asked.add(relayed)
    assert len(asked) == allocator_module.RELAY_ATTEMPTS
    machine.relay_failed(relayed, 0.0)
    assert machine.next_event() is None
    a.receive_datagram(end.datagrams_to_send(0.0)[0], 0.0)
    assert a.next_event().error.reason == "insufficient-capacity"
    assert machine.next_timer() is None


def seconds_for_a_relay():
    machine = server(kind=Server)
    a, end, relayed = requested(machine)
    assert machine.next_timer() == allocator_module.RELAY_TIMEOUT
    machine.handle_timer(allocator_module.RELAY_TIMEOUT)
    assert machine.next_event() == RelayReleased(relayed)
    a.receive_datagram(end.datagrams_to_send(5.0)[0], 5.0)
    assert a.next_event().error.reason == "insufficient-capacity"


def answers_to_strangers():
    limiter = Limiter(RATE, BURST)
    assert sum(limiter.allows("192.0.2.1", 0.0) for _ in range(100)) == BURST
    assert sum(limiter.allows("192.0.2.1", 1.0) for _ in range(100)) == RATE
    assert limiter.allows("192.0.2.2", 1.0)


def sources_remembered():
    limiter = Limiter()
    for number in range(MAX_SOURCES + 1):
        limiter.allows(host(number), 0.0)
    assert len(limiter) == MAX_SOURCES


def length_of_a_uri():
    name = "a" * (MAX_URI - len("turn:"))
    assert parse_uri(f"turn:{name}").host == name
    with pytest.raises(ParseError) as caught:
        parse_uri(f"turn:{name}a")
    assert caught.value.reason == "not-a-turn-uri"


def requests_that_wait_for_a_relay():
    """Pending allocations count as allocations."""
    machine = server(kind=Server, max_allocations=1)
    requested(machine)
    assert outcome(machine, Address("198.51.100.8", 1)) == "insufficient-capacity"
    machine.receive_datagram(Datagram(b"", CLIENT, SERVER), 0.0)
    assert machine.dropped["truncated"] == 1
    assert RELAY_HOST not in machine._allocator._usage


def connect_requests():
    pair = TcpPair().allocate()
    for number in range(client_module.MAX_CONNECTING):
        pair.client.connect(Address(PEER.host, 1000 + number), 0.0)
    with pytest.raises(LocalError):
        pair.client.connect(PEER, 0.0)


def reports_of_a_client():
    a, _, link = allocated()
    a.create_permission(PEER.host, link.now)
    link.run(seconds=1)
    message = Message(wire.DATA_INDICATION, Class.INDICATION, bytes(12))
    wire.set_address(message, wire.XOR_PEER_ADDRESS, PEER)
    wire.set_icmp(message, 3, 3, 0)
    for _ in range(client_module.MAX_REPORTS + 1):
        a.receive_datagram(message.serialize(), link.now)
    assert a.dropped["event-queue-full"] == 1
    assert len(a._events) == client_module.MAX_REPORTS


def seconds_of_a_reservation():
    machine = server()
    a, end = client(), ServerEnd(machine)
    allocator = machine._allocator
    a.start(0.0)
    for _ in range(2):
        for data in a.datagrams_to_send(0.0):
            end.receive_datagram(data, 0.0)
        for data in end.datagrams_to_send(0.0):
            a.receive_datagram(data, 0.0)
    relayed = Address(RELAY_HOST, 50001)
    allocator._reserved[b"token"] = relayed
    machine._timers.set(b"token", allocator_module.RESERVATION_LIFETIME)
    machine.handle_timer(allocator_module.RESERVATION_LIFETIME - 0.1)
    assert allocator._reserved
    machine.handle_timer(allocator_module.RESERVATION_LIFETIME)
    assert not allocator._reserved
    assert RelayReleased(relayed) in machine._events


def connections_of_an_allocation():
    pair = TcpPair().allocate()
    pair.client.create_permission(PEER.host, 0.0)
    pair.carry()
    peers = [Address(PEER.host, 2000 + number, "tcp") for number in range(connections_module.MAX_CONNECTIONS + 1)]
    ids = [pair.server.peer_accepted(pair.client.relayed, peer, 0.0) for peer in peers]
    assert ids[-1] is None
    assert None not in ids[:-1]
    assert pair.server.dropped["too-many-connections"] == 1
    pair.client.connect(PEER, 0.0)
    pair.carry()
    assert pair.client_events[-1].error.reason == "insufficient-capacity"


def seconds_to_connect():
    pair = TcpPair().allocate()
    pair.client.connect(PEER, 0.0)
    pair.carry()
    connection_id = pair.server_events.pop().connection_id
    pair.server.handle_timer(connections_module.CONNECT_TIMEOUT)
    pair.carry(connections_module.CONNECT_TIMEOUT)
    assert pair.server_events == [PeerConnectionReleased(connection_id)]
    assert pair.client_events[-1].error.reason == "connection-failed"


def seconds_to_bind():
    pair = TcpPair().connected()
    pair.server.handle_timer(connections_module.BIND_TIMEOUT - 0.1)
    pair.carry(connections_module.BIND_TIMEOUT - 0.1)
    assert pair.server_events == []
    pair.server.handle_timer(connections_module.BIND_TIMEOUT)
    pair.carry(connections_module.BIND_TIMEOUT)
    assert pair.server_events == [PeerConnectionReleased(pair.connection_id)]


def bound_data_connection():
    machine = DataConnection(7, LongTermCredential(USER, PASSWORD), random_bytes=seeded_random_bytes(1))
    machine.start(0.0)
    request = Message.parse(machine.datagrams_to_send(0.0)[0])
    answer = Message(wire.CONNECTION_BIND, Class.SUCCESS, request.transaction_id)
    machine.receive_datagram(answer.serialize(), 0.0)
    machine.next_event()
    return machine


def bytes_received():
    machine = bound_data_connection()
    machine.receive_datagram(bytes(data_module.MAX_RECEIVED), 0.0)
    assert machine.is_bound
    machine.receive_datagram(b"x", 0.0)
    assert machine.next_event().error.reason == "receive-queue-full"
    assert len(machine.take_data()) == data_module.MAX_RECEIVED


def bytes_to_send():
    machine = bound_data_connection()
    machine.send(bytes(data_module.MAX_OUTGOING), 0.0)
    with pytest.raises(LocalError):
        machine.send(b"x", 0.0)
    assert machine.buffered == data_module.MAX_OUTGOING


def seconds_for_the_bind_response():
    machine = DataConnection(7, LongTermCredential(USER, PASSWORD), random_bytes=seeded_random_bytes(1))
    machine.start(0.0)
    assert machine.next_timer() == data_module.BIND_TIMEOUT
    machine.handle_timer(data_module.BIND_TIMEOUT)
    assert machine.next_event().error.reason == "timeout"


CLIENT_LIMITS = {
    "MAX_PERMISSIONS": permissions_of_a_client,
    "MAX_CHANNELS": channels_of_a_client,
    "MAX_HELD": payloads_held,
    "MAX_OUTGOING": outgoing_of_a_client,
    "MAX_RECEIVED": received_of_a_client,
    "MAX_DATA": longest_payload,
    "MAX_STALE": stale_nonces,
    "CLOSE_TIMEOUT": seconds_to_close,
    "MAX_URI": length_of_a_uri,
    "MAX_CONNECTING": connect_requests,
    "MAX_REPORTS": reports_of_a_client,
}
SERVER_LIMITS = {
    "MAX_ALLOCATIONS": allocations_in_total,
    "MAX_ALLOCATIONS_PER_USER": allocations_of_one_user,
    "MAX_PERMISSIONS": permissions_of_an_allocation,
    "MAX_CHANNELS": channels_of_an_allocation,
    "MAX_OUTGOING": outgoing_of_a_server,
    "RELAY_ATTEMPTS": attempts_at_a_relay,
    "RELAY_TIMEOUT": seconds_for_a_relay,
    "BURST": answers_to_strangers,
    "MAX_SOURCES": sources_remembered,
    "PENDING": requests_that_wait_for_a_relay,
    "RESERVATION_LIFETIME": seconds_of_a_reservation,
}
CONNECTION_LIMITS = {
    "MAX_CONNECTIONS": connections_of_an_allocation,
    "CONNECT_TIMEOUT": seconds_to_connect,
    "BIND_TIMEOUT": seconds_to_bind,
}
DATA_CONNECTION_LIMITS = {
    "MAX_RECEIVED": bytes_received,
    "MAX_OUTGOING": bytes_to_send,
    "BIND_TIMEOUT of a client": seconds_for_the_bind_response,
}
