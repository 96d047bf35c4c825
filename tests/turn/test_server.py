"""The server, request by request."""

import hmac

import pytest

from stack.core import Address, Datagram, LocalError
from stack.stun import BINDING, Algorithm, Class, Message, long_term_key
from stack.testing import seeded_random_bytes
from stack.turn import (
    AllocationCreated,
    Closed,
    RelayReleased,
    RelayRequested,
    Server,
    ServerConfiguration,
    rest_password,
    wire,
)

from .limits import SERVER_LIMITS, requested
from .support import CLIENT, PASSWORD, PEER, REALM, RELAY_HOST, SERVER, USER, configuration, released, server

random_bytes = seeded_random_bytes("requests")
UDP = {wire.REQUESTED_TRANSPORT: b"\x11\0\0\0"}
PERMIT = (wire.CREATE_PERMISSION, wire.XOR_PEER_ADDRESS)


class Asker:
    """Sends requests to a server with the MD5 key, as a client of RFC 5766 does, and gives back the responses."""

    def __init__(self, machine=None, source=CLIENT, username=USER, password=PASSWORD, **changes):
        self.server = machine or server(**changes)
        self.source = source
        self.username = username
        self.key = long_term_key(username, REALM, password)
        self.nonce = ""
        self.now = 0.0

    def deliver(self, data):
        self.server.receive_datagram(Datagram(data, self.source, SERVER), self.now)
        return self.server.datagrams_to_send(self.now)

    def bare(self, method, attributes=(), **named):
        message = Message(method, Class.REQUEST, random_bytes(12), **named)
        message.attributes.update(attributes)
        return message

    def exchange(self, data):
        (answer,) = self.deliver(data)
        assert (answer.remote, answer.local) == (self.source, SERVER)
        return Message.parse(answer.data)

    def ask(self, method, attributes=(), **named):
        if not self.nonce:
            self.nonce = self.exchange(self.bare(wire.ALLOCATE).serialize()).nonce
        named = {"username": self.username, "realm": REALM, "nonce": self.nonce, **named}
        return self.exchange(self.bare(method, attributes, **named).serialize(key=self.key))

    def code(self, method, attributes=(), **named):
        """The error code, 0 for success."""
        response = self.ask(method, attributes, **named)
        assert response.error_code or response.verify_integrity(self.key)
        return response.error_code[0] if response.error_code else 0

    def exchange_allocate(self, attributes):
        """Allocate with these attributes; the response as it came."""
        self.nonce = self.exchange(self.bare(wire.ALLOCATE).serialize()).nonce
        named = {"username": self.username, "realm": REALM, "nonce": self.nonce}
        (answer,) = self.deliver(self.bare(wire.ALLOCATE, attributes, **named).serialize(key=self.key))
        return answer.data

    def allocate(self):
        response = self.ask(wire.ALLOCATE, UDP)
        assert response.message_class is Class.SUCCESS
        self.relayed = wire.address(response, wire.XOR_RELAYED_ADDRESS)
        return self

    def peers(self, *peers):
        """A CreatePermission request with several addresses."""
        message = self.bare(wire.CREATE_PERMISSION, username=self.username, realm=REALM, nonce=self.nonce)
        for number, peer in enumerate(peers):
            wire.set_address(message, 0x7F00 + number, peer)
        body = message.serialize(fingerprint=False)
        for number, peer in enumerate(peers):
            length = b"\0\x14" if ":" in peer.host else b"\0\x08"  # with it, no bytes of chance are taken for a type
            body = body.replace(bytes((0x7F, number)) + length, b"\0\x12" + length)
        head = body[:2] + (len(body) - 20 + 24).to_bytes(2, "big") + body[4:]
        response = self.exchange(head + b"\0\x08\0\x14" + hmac.digest(self.key, head, "sha1"))
        return response.error_code[0] if response.error_code else 0

    def permit(self, host):
        return self.peers(Address(host, 0))

    def bind(self, number, peer):
        message = self.bare(wire.CHANNEL_BIND, username=self.username, realm=REALM, nonce=self.nonce)
        wire.set_channel(message, number)
        wire.set_address(message, wire.XOR_PEER_ADDRESS, peer)
        response = self.exchange(message.serialize(key=self.key))
        return response.error_code[0] if response.error_code else 0

    def events(self):
        found = []
        while (event := self.server.next_event()) is not None:
            found.append(event)
        return found


class TestAuthentication:
    def test_a_challenge(self):
        # RFC 8489 section 9.2.4
        asker = Asker()
        response = asker.exchange(asker.bare(wire.ALLOCATE).serialize())
        assert response.error_code == (401, "Unauthenticated")
        assert response.realm == REALM
        assert response.nonce.startswith("obMatJos2gAAA")
        assert response.password_algorithms == ((Algorithm.SHA256, b""), (Algorithm.MD5, b""))
        assert response.software is None
        assert not response.has_integrity
        assert asker.server.dropped == {"unauthenticated": 1}

    def test_nonces_are_of_one_client(self):
        asker, other = Asker(), Asker(source=Address(CLIENT.host, 1))
        other.server = asker.server
        asker.allocate()
        other.nonce = asker.nonce
        assert other.code(wire.ALLOCATE, UDP) == 438
        assert asker.server.dropped["stale-nonce"] == 1

    def test_nonces_expire(self):
        asker = Asker(nonce_lifetime=100.0).allocate()
        asker.now = 100.0
        assert asker.code(wire.REFRESH) == 0
        asker.now = 101.5
        response = asker.ask(wire.REFRESH)
        assert response.error_code == (438, "Stale Nonce")
        assert response.realm == REALM
        asker.nonce = response.nonce
        assert asker.code(wire.REFRESH) == 0

    @pytest.mark.parametrize(
        "nonce", ["x", "obMatJos2gAAA", "obMatJos2gAAAzzzzzzzz", "obMatJos2gAAA00000000" + "0" * 32]
    )
    def test_nonces_that_are_not_ours(self, nonce):
        asker = Asker()
        assert asker.code(wire.ALLOCATE, UDP, nonce=nonce) == 438

    @pytest.mark.parametrize("missing", ["username", "realm", "nonce"])
    def test_incomplete_credentials(self, missing):
        asker = Asker()
        response = asker.ask(wire.ALLOCATE, UDP, **{missing: None})
        assert response.error_code == (400, "Bad Request")
        assert response.nonce is None
        assert asker.server.dropped["incomplete-credentials"] == 1

    @pytest.mark.parametrize("change", [{"username": "nobody"}, {"userhash": bytes(32), "username": None}])
    def test_unknown_users(self, change):
        asker = Asker()
        response = asker.ask(wire.ALLOCATE, UDP, **change)
        assert response.error_code[0] == 401
        assert response.nonce

    def test_another_users_allocation(self):
        # RFC 8656 section 5
        asker = Asker(users={USER: PASSWORD, "thief": "t"}).allocate()
        thief = Asker(asker.server, username="thief", password="t")
        assert thief.code(wire.REFRESH, {wire.LIFETIME: bytes(4)}) == 441
        assert thief.code(wire.ALLOCATE, UDP) == 437
        assert asker.server.allocations == 1

    @pytest.mark.parametrize(
        "named",
        [
            {"password_algorithm": (2, b"")},
            {"password_algorithms": ((2, b""), (1, b""))},
            {"password_algorithm": (1, b""), "password_algorithms": ((1, b""),)},
            {"password_algorithm": (3, b""), "password_algorithms": ((2, b""), (1, b""))},
        ],
    )
    def test_bidding_down(self, named):
        # RFC 8489 section 9.2.4
        assert Asker().code(wire.ALLOCATE, UDP, **named) == 400

    def test_time_limited_credentials(self):
        # draft-uberti-behave-turn-rest-00 section 4.2
        name = "1000:fred"
        machine = server(users={}, rest_secret="new", old_rest_secret="old", epoch=900.0, max_allocations_per_user=1)
        for number, secret in enumerate(("new", "old")):
            asker = Asker(machine, Address(CLIENT.host, number + 1), name, rest_password(secret, name))
            assert asker.code(wire.ALLOCATE, UDP) == (0 if number == 0 else 486)
        wrong = Asker(machine, Address(CLIENT.host, 7), name, rest_password("other", name))
        assert wrong.code(wire.ALLOCATE, UDP) == 401
        fresh = "1001:fred"
        again = Asker(machine, Address(CLIENT.host, 8), fresh, rest_password("new", fresh))
        assert again.code(wire.ALLOCATE, UDP) == 486  # quotas are of the user id
        first = Asker(machine, Address(CLIENT.host, 1), name, rest_password("new", name))
        first.now = 200.0
        assert first.code(wire.REFRESH, {wire.LIFETIME: bytes(4)}) == 0  # what is there outlives the credentials
        assert first.code(wire.ALLOCATE, UDP) == 401
        for text in ("fred", "", "१:fred", "9" * 16):
            assert Asker(machine, CLIENT, text, rest_password("new", text)).code(wire.ALLOCATE, UDP) == 401

    def test_rest_password(self):
        # computed with openssl dgst -sha1 -hmac secret -binary | base64
        assert rest_password("north", "1433065916") == "OMhSl2ZR3ZKMX2YLIeBl1ZE3/Gc="

    def test_strangers_get_few_answers(self):
        # RFC 8656 section 21.4
        asker = Asker()
        data = asker.bare(wire.ALLOCATE).serialize()
        answers = sum(len(asker.deliver(data)) for _ in range(1000))
        assert answers == 40
        assert asker.server.dropped["rate-limited"] == 960
        other = Asker(asker.server, Address("198.51.100.8", 1))
        assert len(other.deliver(data)) == 1
        asker.now = 1.0
        assert sum(len(asker.deliver(data)) for _ in range(1000)) == 10

    def test_no_state_for_strangers(self):
        asker = Asker()
        asker.deliver(asker.bare(wire.ALLOCATE, UDP).serialize())
        assert asker.server.next_timer() is None
        assert asker.events() == []


class TestAllocate:
    def test_it(self):
        asker = Asker(software="relay")
        response = asker.ask(wire.ALLOCATE, UDP)
        relayed = wire.address(response, wire.XOR_RELAYED_ADDRESS)
        assert response.xor_mapped_address == CLIENT
        assert wire.u32(response, wire.LIFETIME) == 600
        assert response.software == "relay"
        assert asker.events() == [RelayRequested(relayed), AllocationCreated(CLIENT, relayed, USER)]
        assert asker.server.next_timer() == 600.0

    @pytest.mark.parametrize(
        ("attributes", "code"),
        [
            ({}, 400),
            ({wire.REQUESTED_TRANSPORT: b"\x11"}, 400),
            ({wire.REQUESTED_TRANSPORT: b"\x06\0\0\0"}, 442),
            ({**UDP, wire.DONT_FRAGMENT: b""}, 420),
            ({**UDP, 0x7000: b""}, 420),
            ({**UDP, wire.RESERVATION_TOKEN: bytes(8)}, 508),
            ({**UDP, wire.RESERVATION_TOKEN: bytes(8), wire.EVEN_PORT: b"\0"}, 400),
            ({**UDP, wire.RESERVATION_TOKEN: bytes(8), wire.REQUESTED_ADDRESS_FAMILY: b"\1\0\0\0"}, 400),
            ({**UDP, wire.REQUESTED_ADDRESS_FAMILY: b"\1\0\0\0", wire.ADDITIONAL_ADDRESS_FAMILY: b"\2\0\0\0"}, 400),
            ({**UDP, wire.ADDITIONAL_ADDRESS_FAMILY: b"\1\0\0\0"}, 400),
            ({**UDP, wire.REQUESTED_ADDRESS_FAMILY: b"\2\0\0\0"}, 440),
            ({**UDP, wire.REQUESTED_ADDRESS_FAMILY: b"\3\0\0\0"}, 440),
            ({**UDP, wire.REQUESTED_ADDRESS_FAMILY: b""}, 400),
            ({**UDP, wire.EVEN_PORT: b""}, 400),
            ({**UDP, wire.EVEN_PORT: b"\x80", wire.ADDITIONAL_ADDRESS_FAMILY: b"\2\0\0\0"}, 400),
            ({**UDP, wire.LIFETIME: b""}, 400),
            ({**UDP, wire.REQUESTED_ADDRESS_FAMILY: b"\1\0\0\0"}, 0),
        ],
    )
    def test_the_checks_of_rfc_8656_section_7_2(self, attributes, code):
        asker = Asker()
        assert asker.code(wire.ALLOCATE, attributes) == code
        assert asker.server.allocations == (code == 0)

    def test_unknown_attributes_are_named(self):
        response = Asker().ask(wire.ALLOCATE, {**UDP, 0x7001: b"", wire.DONT_FRAGMENT: b""})
        assert set(response.unknown_attributes) == {0x7001, wire.DONT_FRAGMENT}

    def test_even_ports(self):
        machine = server()
        for number in range(5):
            response = Asker(machine, Address(CLIENT.host, number + 1)).ask(
                wire.ALLOCATE, {**UDP, wire.EVEN_PORT: b"\0"}
            )
            assert wire.address(response, wire.XOR_RELAYED_ADDRESS).port % 2 == 0

    def test_the_port_range(self):
        machine = server(ports=(50000, 50002))
        askers = [Asker(machine, Address(CLIENT.host, number + 1)) for number in range(4)]
        outcomes = [asker.code(wire.ALLOCATE, UDP) for asker in askers]
        assert set(outcomes) <= {0, 508}
        assert outcomes[3] == 508
        assert all(relayed.port in {50000, 50001, 50002} for relayed in machine._relays)

    def test_an_odd_single_port_cannot_be_even(self):
        assert Asker(ports=(50001, 50001)).code(wire.ALLOCATE, {**UDP, wire.EVEN_PORT: b"\0"}) == 508

    def test_two_families_are_answered_with_one(self):
        response = Asker().ask(wire.ALLOCATE, {**UDP, wire.ADDITIONAL_ADDRESS_FAMILY: b"\2\0\0\0"})
        assert wire.address(response, wire.XOR_RELAYED_ADDRESS).host == RELAY_HOST
        assert wire.raw(response, wire.ADDRESS_ERROR_CODE)[:4] == b"\2\0\4\x28"

    @pytest.mark.parametrize(("wanted", "granted"), [(0, 600), (1, 600), (1200, 1200), (2**32 - 1, 3600)])
    def test_lifetimes(self, wanted, granted):
        response = Asker().ask(wire.ALLOCATE, {**UDP, wire.LIFETIME: wanted.to_bytes(4, "big")})
        assert wire.u32(response, wire.LIFETIME) == granted

    def test_retransmissions(self):
        # RFC 8656 section 7.2, the note
        asker = Asker()
        asker.ask(wire.REFRESH)
        message = asker.bare(wire.ALLOCATE, UDP, username=USER, realm=REALM, nonce=asker.nonce).serialize(key=asker.key)
        first, second = asker.exchange(message), asker.exchange(message)
        assert first.attributes == second.attributes
        assert asker.server.allocations == 1
        assert asker.code(wire.ALLOCATE, UDP) == 437

    def test_retransmissions_while_the_socket_is_opened(self):
        machine = server(kind=Server)
        a, end, relayed = requested(machine)
        a.handle_timer(0.5)
        (again,) = a.datagrams_to_send(0.5)
        end.receive_datagram(again, 0.5)
        assert machine.dropped["retransmission"] == 1
        machine.relay_opened(relayed, 0.6)
        assert machine.next_event() == AllocationCreated(CLIENT, relayed, USER)
        a.receive_datagram(end.datagrams_to_send(0.6)[0], 0.6)
        assert a.relayed == relayed
        with pytest.raises(LocalError):
            machine.relay_opened(relayed, 0.7)

    def test_it_expires(self):
        asker = Asker().allocate()
        asker.server.handle_timer(599.9)
        assert asker.server.allocations == 1
        asker.server.handle_timer(600.0)
        assert asker.server.allocations == 0
        assert released(asker.events()) == [asker.relayed]
        asker.now = 600.0
        assert asker.code(wire.REFRESH) == 437

    def test_a_lost_connection(self):
        asker = Asker().allocate()
        asker.server.connection_lost(CLIENT, SERVER, 0.0)
        asker.server.connection_lost(CLIENT, SERVER, 0.0)
        assert released(asker.events()) == [asker.relayed]
        assert asker.server.next_timer() is None


class TestRefresh:
    @pytest.mark.parametrize(("wanted", "granted"), [(None, 600), (0, 0), (1, 600), (1200, 1200), (10**6, 3600)])
    def test_lifetimes(self, wanted, granted):
        asker = Asker().allocate()
        asker.now = 100.0
        attributes = {} if wanted is None else {wire.LIFETIME: wanted.to_bytes(4, "big")}
        assert wire.u32(asker.ask(wire.REFRESH, attributes), wire.LIFETIME) == granted
        assert asker.server.next_timer() == (100.0 + granted if granted else None)
        assert asker.server.allocations == (granted > 0)

    def test_another_family(self):
        assert Asker().allocate().code(wire.REFRESH, {wire.REQUESTED_ADDRESS_FAMILY: b"\2\0\0\0"}) == 443

    @pytest.mark.parametrize("method", [wire.REFRESH, wire.CREATE_PERMISSION, wire.CHANNEL_BIND])
    def test_nothing_to_refresh(self, method):
        assert Asker().code(method) == 437


class TestPermissions:
    def test_several_at_once_or_none(self):
        # RFC 8656 section 10.2
        asker = Asker().allocate()
        assert asker.peers(PEER, Address("127.0.0.1", 1)) == 403
        assert asker.peers(PEER, Address("2001:4860:4860::8888", 1)) == 443
        assert asker.code(wire.CREATE_PERMISSION) == 400
        assert asker.code(wire.CREATE_PERMISSION, {wire.XOR_PEER_ADDRESS: b"\0"}) == 400
        allocation = next(iter(asker.server._relays.values()))
        assert allocation.permissions == {}
        assert asker.peers(PEER, Address("8.8.8.8", 1)) == 0
        assert set(allocation.permissions) == {PEER.host, "8.8.8.8"}

    def test_they_are_needed_both_ways_and_expire(self):
        # RFC 8656 section 9
        asker = Asker().allocate()
        send = wire.relay_message(wire.SEND, bytes(12), PEER, b"out")
        back = Datagram(b"in", PEER, asker.relayed)
        assert asker.deliver(send) == []
        asker.server.receive_datagram(back, 0.0)
        assert asker.server.dropped["no-permission"] == 2
        asker.permit(PEER.host)
        assert asker.deliver(send) == [Datagram(b"out", PEER, asker.relayed)]
        asker.server.receive_datagram(back, 0.0)
        (indication,) = asker.server.datagrams_to_send(0.0)
        message = Message.parse(indication.data)
        assert (message.method, message.message_class) == (wire.DATA_INDICATION, Class.INDICATION)
        assert wire.address(message, wire.XOR_PEER_ADDRESS) == PEER
        assert wire.raw(message, wire.DATA) == b"in"
        asker.now = 300.0
        assert asker.deliver(send) == []
        assert asker.server.dropped["no-permission"] == 3

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (Message(wire.SEND, Class.INDICATION, bytes(12)).serialize(), "missing-attributes"),
            (wire.channel_data(0x4000, b""), "unknown-channel"),
            (Message(0x00A, Class.REQUEST, bytes(12)).serialize(), "unknown-method"),
            (Message(wire.ALLOCATE, Class.INDICATION, bytes(12)).serialize(), "unexpected-message"),
            (Message(wire.ALLOCATE, Class.SUCCESS, bytes(12)).serialize(), "unexpected-message"),
            (b"\x40", "truncated"),
        ],
    )
    def test_what_is_dropped(self, data, reason):
        asker = Asker().allocate()
        before = asker.server.dropped[reason]
        assert asker.deliver(data) == []
        assert asker.server.dropped[reason] == before + 1

    @pytest.mark.parametrize(
        "data", [wire.relay_message(wire.SEND, bytes(12), PEER, b""), wire.channel_data(0x4000, b"")]
    )
    def test_data_without_an_allocation(self, data):
        asker = Asker()
        assert asker.deliver(data) == []
        assert asker.server.dropped == {"no-allocation": 1}

    def test_dont_fragment_is_not_supported(self):
        # RFC 8656 section 11.2
        asker = Asker().allocate()
        asker.permit(PEER.host)
        message = Message(wire.SEND, Class.INDICATION, bytes(12))
        wire.set_address(message, wire.XOR_PEER_ADDRESS, PEER)
        message.attributes.update({wire.DATA: b"", wire.DONT_FRAGMENT: b""})
        assert asker.deliver(message.serialize()) == []
        assert asker.server.dropped["unknown-attributes"] == 1


class TestChannels:
    def test_both_ways(self):
        asker = Asker().allocate()
        assert asker.bind(0x4000, PEER) == 0
        assert asker.deliver(b"\x40\0\0\3out\0") == [Datagram(b"out", PEER, asker.relayed)]
        asker.server.receive_datagram(Datagram(b"in", PEER, asker.relayed), 0.0)
        assert asker.server.datagrams_to_send(0.0) == [Datagram(b"\x40\0\0\2in", CLIENT, SERVER)]

    def test_the_checks_of_rfc_8656_section_12_2(self):
        asker = Asker().allocate()
        other = Address(PEER.host, 1)
        assert asker.bind(0x4000, PEER) == 0
        assert asker.bind(0x4000, PEER) == 0
        assert asker.bind(0x4000, other) == 400
        assert asker.bind(0x4001, PEER) == 400
        assert asker.bind(0x3FFF, other) == 400
        assert asker.bind(0x8000, other) == 400
        assert asker.bind(0x7FFF, other) == 0  # RFC 5766 section 11
        assert asker.deliver(b"\x7f\xff\0\1x") == [Datagram(b"x", other, asker.relayed)]
        assert asker.bind(0x4002, Address(PEER.host, 0)) == 403
        assert asker.bind(0x4002, Address("::1", 9)) == 443
        assert asker.code(wire.CHANNEL_BIND) == 400

    def test_permissions_expire_before_channels(self):
        asker = Asker(nonce_lifetime=9999.0).allocate()
        asker.ask(wire.REFRESH, {wire.LIFETIME: (3600).to_bytes(4, "big")})
        asker.bind(0x4000, PEER)
        asker.now = 300.0
        assert asker.deliver(b"\x40\0\0\0") == []
        assert asker.server.dropped["no-permission"] == 1
        asker.permit(PEER.host)
        assert len(asker.deliver(b"\x40\0\0\0")) == 1
        asker.now = 600.0
        assert asker.deliver(b"\x40\0\0\0") == []
        assert asker.server.dropped["unknown-channel"] == 1
        asker.permit(PEER.host)
        asker.server.receive_datagram(Datagram(b"in", PEER, asker.relayed), 600.0)
        assert asker.server.datagrams_to_send(600.0)[0].data[0] == 0
        assert asker.bind(0x4000, Address(PEER.host, 1)) == 0


class TestWhereToNot:
    """RFC 8656 sections 21.2.2 and 21.3.2."""

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "224.0.0.1", "0.0.0.0", "100.64.0.1"]
    )
    def test_refused_unless_allowed(self, host):
        asker = Asker().allocate()
        assert asker.permit(host) == 403
        assert asker.bind(0x4000, Address(host, 80)) == 403
        allowing = Asker(allowed_peers=(host + "/32",)).allocate()
        assert allowing.permit(host) == 0

    def test_own_addresses(self):
        asker = Asker(own_hosts=("203.0.113.99", "8.8.8.8")).allocate()
        assert asker.permit("8.8.8.8") == 403
        assert asker.permit("203.0.113.99") == 403

    def test_the_address_that_clients_talk_to(self):
        hosts = {"relay_hosts": ("9.9.9.1",), "allowed_peers": (f"{SERVER.host}/32",)}
        assert Asker(**hosts).allocate().permit(SERVER.host) == 0
        hosts["allowed_peers"] = ("203.0.112.0/23",)
        assert Asker(**hosts).allocate().permit(SERVER.host) == 403
        hosts["allowed_peers"] = ()
        asker = Asker(**hosts).allocate()
        asker.server._allocations[CLIENT, SERVER].local = Address("8.8.8.8", 3478)
        assert asker.permit("8.8.4.4") == 0
        assert asker.permit("8.8.8.8") == 403

    def test_on_a_relay_host_only_relayed_addresses_are_reached(self):
        machine = server()
        asker, other = Asker(machine).allocate(), Asker(machine, Address(CLIENT.host, 1)).allocate()
        assert asker.permit(RELAY_HOST) == 0
        assert asker.bind(0x4000, Address(RELAY_HOST, 22)) == 403
        assert asker.bind(0x4000, SERVER) == 403
        assert asker.bind(0x4000, other.relayed) == 0
        for peer in (SERVER, Address(RELAY_HOST, 22)):
            assert asker.deliver(wire.relay_message(wire.SEND, bytes(12), peer, b"")) == []
        assert machine.dropped["forbidden-peer"] == 2
        assert asker.deliver(b"\x40\0\0\0") == []  # the other one has not permitted it
        assert machine.dropped["no-permission"] == 1
        other.permit(RELAY_HOST)
        other.bind(0x4005, asker.relayed)
        assert asker.deliver(b"\x40\0\0\1x") == [Datagram(b"\x40\5\0\1x", other.source, SERVER)]
        other.ask(wire.REFRESH, {wire.LIFETIME: bytes(4)})
        assert asker.deliver(b"\x40\0\0\0") == []
        assert Asker(relay_to_relay=False).allocate().permit(RELAY_HOST) == 403


class TestBinding:
    def test_it_answers_strangers(self):
        asker = Asker()
        assert asker.exchange(asker.bare(BINDING).serialize()).xor_mapped_address == CLIENT

    def test_not_with_more_bytes_too_often(self):
        asker = Asker()
        bare = asker.bare(BINDING).serialize()
        for _ in range(100):
            asker.deliver(bare)
        assert asker.deliver(bare) == []
        padded = asker.bare(BINDING, {0xC001: bytes(20)}).serialize()
        assert len(asker.deliver(padded)) == 1


def test_closing():
    asker = Asker().allocate()
    asker.events()
    asker.server.close(1.0)
    asker.server.close(2.0)
    assert asker.events() == [RelayReleased(asker.relayed), Closed()]
    assert asker.server.next_timer() is None
    assert asker.deliver(b"") == []
    assert asker.server.dropped["closed"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"realm": ""},
        {"relay_hosts": ()},
        {"relay_hosts": ("10.0.0.1", "10.0.0.2")},
        {"relay_hosts": ("example.org",)},
        {"ports": (1023, 2000)},
        {"ports": (3000, 2000)},
        {"max_lifetime": 599},
        {"max_allocations": -1},
        {"username_anonymity": True, "rest_secret": "s"},
    ],
)
def test_configurations_that_make_no_sense(wrong):
    with pytest.raises(LocalError):
        configuration(**wrong)


def test_networks_that_make_no_sense():
    with pytest.raises(LocalError):
        server(allowed_peers=("everything",))


def test_secrets_are_not_shown():
    assert "hidden" not in repr(ServerConfiguration(REALM, (RELAY_HOST,), rest_secret="hidden"))


@pytest.mark.parametrize("limit", SERVER_LIMITS)
def test_limits(limit):
    SERVER_LIMITS[limit]()
