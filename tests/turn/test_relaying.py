"""Two families, reserved ports, where not to relay to, and what strangers can get out of a server."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import Address, Datagram, LocalError
from stack.stun import BINDING, Class, Message
from stack.testing import seeded_random_bytes
from stack.turn import (
    AllocationCreated,
    DataReceived,
    IcmpReceived,
    PeerPolicy,
    RelayReleased,
    RelayRequested,
    Server,
    wire,
)
from stack.turn.server import BURST

from .support import CLIENT, PEER, REALM, RELAY_HOST, SERVER, USER, client, configuration, joined, of, server
from .test_server import UDP, Asker

RELAY6 = "2001:470::1"
PEER6 = Address("2001:4860:4860::8888", 53)
BOTH = {"relay_hosts": (RELAY_HOST, RELAY6)}
WITH_IPV6 = {**UDP, wire.ADDITIONAL_ADDRESS_FAMILY: b"\2\0\0\0"}


SPECIAL = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
]


class TestTwoFamilies:
    """RFC 8656 sections 7.1 to 7.3 and 8.1."""

    def joined(self):
        a, b, link = joined(machine=server(**BOTH), additional_family=True)
        assert link.run(lambda: a.relayed is not None)
        return a, b, link

    def test_data_over_both(self):
        a, b, link = self.joined()
        allocated = link.events[0][0]
        assert (allocated.relayed.host, allocated.additional.host) == (RELAY_HOST, RELAY6)
        for peer in (PEER, PEER6):
            a.bind_channel(peer, link.now)
            link.run(lambda peer=peer: peer in a.channels)
            a.send(b"hello", peer, link.now)
        link.run(seconds=1)
        assert a.take_data() == [DataReceived(b"hello", PEER), DataReceived(b"hello", PEER6)]
        assert {item.local for item in b.at_peers} == {allocated.relayed, allocated.additional}
        a.close(link.now)
        link.run(seconds=1)
        assert b.server.allocations == 0
        assert len(of(link.events[1], RelayReleased)) == 2

    def test_giving_one_back(self):
        asker = Asker(**BOTH)
        response = asker.exchange_allocate(WITH_IPV6)
        relays = list(wire.addresses(response, wire.XOR_RELAYED_ADDRESS))
        assert {found.host for found in relays} == {RELAY_HOST, RELAY6}
        assert asker.bind(0x4000, PEER) == 0
        assert asker.bind(0x4001, PEER6) == 0
        family = {wire.LIFETIME: bytes(4), wire.REQUESTED_ADDRESS_FAMILY: b"\2\0\0\0"}
        assert asker.code(wire.REFRESH, family) == 0
        assert asker.deliver(b"\x40\0\0\0") == [Datagram(b"", PEER, relays[0])]
        assert asker.deliver(b"\x40\1\0\0") == []
        assert asker.permit(PEER6.host) == 443
        assert asker.code(wire.REFRESH, family) == 443
        assert asker.server.allocations == 1
        assert asker.code(wire.REFRESH, {wire.LIFETIME: bytes(4)}) == 0
        assert asker.server.allocations == 0

    def test_a_server_of_one_family(self):
        a, _, link = joined(additional_family=True)
        link.run(lambda: a.relayed is not None)
        assert link.events[0][0].additional is None
        assert link.events[0][0].additional_error == 440

    def test_no_socket_for_the_second(self):
        machine = server(kind=Server, **BOTH)
        asker = Asker(machine)
        asker.nonce = asker.exchange(asker.bare(wire.ALLOCATE).serialize()).nonce
        named = {"username": USER, "realm": REALM, "nonce": asker.nonce}
        assert asker.deliver(asker.bare(wire.ALLOCATE, WITH_IPV6, **named).serialize(key=asker.key)) == []
        machine.relay_opened(machine.next_event().relayed, 0.0)
        while isinstance(event := machine.next_event(), RelayRequested):
            assert event.relayed.host == RELAY6
            machine.relay_failed(event.relayed, 0.0)
        assert isinstance(event, AllocationCreated)
        (answer,) = machine.datagrams_to_send(0.0)
        assert wire.address_error(Message.parse(answer.data)) == (6, 508)

    def test_only_alone(self):
        with pytest.raises(LocalError):
            client(additional_family=True, requested_family=4)


class TestReservedPorts:
    """RFC 8656 section 7.2, EVEN-PORT with the R bit."""

    def test_the_pair(self):
        machine = server()
        one, two = Asker(machine), Asker(machine, Address(CLIENT.host, 1))
        response = one.ask(wire.ALLOCATE, {**UDP, wire.EVEN_PORT: b"\x80"})
        first = wire.address(response, wire.XOR_RELAYED_ADDRESS)
        token = wire.raw(response, wire.RESERVATION_TOKEN)
        assert first.port % 2 == 0
        assert len(token) == 8
        second = two.ask(wire.ALLOCATE, {**UDP, wire.RESERVATION_TOKEN: token})
        assert wire.address(second, wire.XOR_RELAYED_ADDRESS) == Address(RELAY_HOST, first.port + 1)
        three = Asker(machine, Address(CLIENT.host, 2))
        assert three.code(wire.ALLOCATE, {**UDP, wire.RESERVATION_TOKEN: token}) == 508

    def test_a_taken_port_begins_again(self):
        machine = server(kind=Server)
        asker = Asker(machine)
        asker.nonce = asker.exchange(asker.bare(wire.ALLOCATE).serialize()).nonce
        named = {"username": USER, "realm": REALM, "nonce": asker.nonce}
        request = asker.bare(wire.ALLOCATE, {**UDP, wire.EVEN_PORT: b"\x80"}, **named)
        assert asker.deliver(request.serialize(key=asker.key)) == []
        first = machine.next_event().relayed
        machine.relay_opened(first, 0.0)
        second = machine.next_event().relayed
        assert second.port == first.port + 1
        machine.relay_failed(second, 0.0)
        assert machine.next_event() == RelayReleased(first)
        assert isinstance(machine.next_event(), RelayRequested)
        machine.close(0.0)

    def test_reservations_count(self):
        machine = server(max_allocations=1)
        assert Asker(machine).code(wire.ALLOCATE, {**UDP, wire.EVEN_PORT: b"\x80"}) == 508
        machine = server(max_allocations=2)
        assert Asker(machine).code(wire.ALLOCATE, {**UDP, wire.EVEN_PORT: b"\x80"}) == 0
        assert Asker(machine, Address(CLIENT.host, 1)).code(wire.ALLOCATE, UDP) == 508


class TestQuotasOverTransports:
    def test_one_user_by_udp_and_tcp(self):
        machine = server(max_allocations_per_user=1)
        Asker(machine).allocate()
        stream, local = Address(*CLIENT[:2], "tcp"), Address(*SERVER[:2], "tcp")

        def ask(message, key=None):
            machine.receive_datagram(Datagram(message.serialize(key=key), stream, local), 0.0)
            (answer,) = machine.datagrams_to_send(0.0)
            assert (answer.remote, answer.local) == (stream, local)
            return Message.parse(answer.data)

        nonce = ask(Message(wire.ALLOCATE, Class.REQUEST, bytes(12))).nonce
        message = Message(wire.ALLOCATE, Class.REQUEST, b"x" * 12, username=USER, realm=REALM, nonce=nonce)
        message.attributes.update(UDP)
        assert ask(message, Asker().key).error_code[0] == 486
        assert machine.has_allocation(CLIENT, SERVER)
        assert not machine.has_allocation(stream, local)


class TestIcmp:
    """RFC 8656 section 11.6."""

    def indication(self, peer, value=None):
        message = Message(wire.DATA_INDICATION, Class.INDICATION, bytes(12))
        wire.set_address(message, wire.XOR_PEER_ADDRESS, peer)
        wire.set_icmp(message, 3, 4, 1400)
        if value is not None:
            message.attributes[wire.ICMP] = value
        return message.serialize()

    def test_it_is_reported(self):
        a, _, link = joined()
        link.run(lambda: a.relayed is not None)
        a.create_permission(PEER.host, link.now)
        a.receive_datagram(self.indication(PEER), link.now)
        assert a.next_event() == IcmpReceived(PEER, 3, 4, 1400)
        a.receive_datagram(self.indication(Address("8.8.8.8", 1)), link.now)
        assert a.dropped == {"no-permission": 1}
        a.receive_datagram(self.indication(PEER, b"short"), link.now)
        assert a.dropped["bad-attribute"] == 1


class TestPolicy:
    """RFC 8656 sections 21.2.2 and 21.3.2, RFC 6156 section 9.1."""

    @pytest.mark.parametrize("host", SPECIAL)
    def test_special_ipv4_however_it_is_wrapped(self, host):
        policy = PeerPolicy()
        number = int.from_bytes(bytes(map(int, host.split("."))), "big")
        high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
        ways = [host, f"::ffff:{host}", f"::{host}", f"2002:{high}:{low}::1", f"64:ff9b::{host}"]
        ways += [f"64:ff9b:1::{host}", f"2001:0:{high}:{low}::", f"2001:0:808:808:0:0:{number >> 16 ^ 0xFFFF:x}:1"]
        ways += [f"::ffff:0:{host}", f"2620:fe::5efe:{high}:{low}", f"2620:fe::200:5efe:{high}:{low}"]
        assert [way for way in ways if policy.permits(way)] == []

    @pytest.mark.parametrize(
        "host",
        [
            "::1",
            "::",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "100::1",
            "3fff::1",
            "5f00::1",
            "2001:10::1",
        ],
    )
    def test_special_ipv6(self, host):
        assert not PeerPolicy().permits(host)

    @pytest.mark.parametrize("host", ["9.9.9.9", "100.128.0.1", "172.32.0.1", "2001:4860::1", "2620:fe::fe"])
    def test_public(self, host):
        assert PeerPolicy().permits(host)

    @pytest.mark.parametrize("host", ["", "example.org", "9.9.9", "9.9.9.9 ", "fe80::1%eth0"])
    def test_what_is_no_address(self, host):
        assert not PeerPolicy().permits(host)

    def test_a_network_does_not_allow_the_server_itself(self):
        policy = PeerPolicy(allowed=["10.0.0.0/8"], own=["10.0.0.5"])
        assert policy.permits("10.0.0.6")
        assert not policy.permits("10.0.0.5")
        assert not policy.permits("::ffff:10.0.0.5")
        assert PeerPolicy(allowed=["10.0.0.5/32"], own=["10.0.0.5"]).permits("10.0.0.5")

    def test_denied_wins(self):
        policy = PeerPolicy(allowed=["10.0.0.0/8", "2620:fe::/48"], denied=["10.1.0.0/16"])
        assert policy.permits("10.2.0.1")
        assert not policy.permits("10.1.0.1")
        assert not policy.permits("2620:fe::5efe:a01:1")


bytes_in = st.binary(max_size=200)
strangers = st.lists(
    st.tuples(
        st.sampled_from(
            [BINDING, wire.ALLOCATE, wire.REFRESH, wire.CREATE_PERMISSION, wire.CHANNEL_BIND, wire.CONNECT]
        ),
        st.dictionaries(st.integers(0x0000, 0x8030).filter(lambda number: number not in {8, 0x1C, 0x8028}), bytes_in),
        st.booleans(),
        st.sampled_from([None, b"k"]),
    ),
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(strangers, bytes_in, st.sampled_from(["udp", "tcp"]))
def test_strangers_get_no_more_than_they_give(requests, noise, transport):
    """RFC 8656 section 21.4: beyond the burst, not one byte more goes to a source than came from it."""
    machine = Server(configuration(tcp_relays=True), random_bytes=seeded_random_bytes(5))
    source, local = (Address(host, port, transport) for host, port, _ in (CLIENT, SERVER))
    inputs = [noise, b"\0\1\0\0" + noise]
    for method, attributes, fingerprint, key in requests:
        message = Message(method, Class.REQUEST, bytes(12))
        message.attributes.update({Raw(number): value for number, value in attributes.items()})
        inputs.append(message.serialize(fingerprint=fingerprint, key=key))
    for data in inputs:
        larger, bytes_out = 0, 0
        for _ in range(60):
            machine.receive_datagram(Datagram(data, source, local), 0.0)
            answers = machine.datagrams_to_send(0.0)
            assert len(answers) <= 1
            for answer in answers:
                assert answer.remote == source
                larger += len(answer.data) > len(data)
                bytes_out += len(answer.data)
        assert larger <= BURST
        machine.receive_datagram(Datagram(data, source, local), 0.0)
        assert sum(len(answer.data) for answer in machine.datagrams_to_send(0.0)) <= len(data) or larger < BURST
    assert machine.allocations == 0
    assert machine.next_event() is None
    assert machine.next_timer() is None


class Raw(wire.Repeated):
    """A type whose value goes out as the bytes that it is."""

    __slots__ = ()


def test_batches_do_what_single_datagrams_do():
    channel, indication = b"\x40\0\0\2hi\0\0", wire.relay_message(wire.SEND, bytes(12), PEER, b"yo")
    batch = [channel, indication, b"", b"\x40", b"\x40\0\0\7x", b"\x41\0\0\0", channel]
    results = []
    for batched in (False, True):
        asker = Asker(seed=3).allocate()
        asker.bind(0x4000, PEER)
        datagrams = [Datagram(data, CLIENT, SERVER) for data in batch]
        datagrams += [Datagram(channel, Address(CLIENT.host, 9), SERVER)]
        datagrams += [Datagram(b"in", peer, asker.relayed) for peer in (PEER, PEER._replace(port=1), PEER6)]
        if batched:
            asker.server.receive_batch(datagrams, 1.0)
        else:
            for datagram in datagrams:
                asker.server.receive_datagram(datagram, 1.0)
        out = asker.server.datagrams_to_send(1.0)
        results.append(([(len(item.data), item.remote, item.local) for item in out], dict(asker.server.dropped)))
    assert results[0] == results[1]
    assert len(results[0][0]) == 5
