"""The client, mostly against our server, as packet traces in virtual time."""

import pytest

from stack.core import Address, LocalError, PeerError
from stack.stun import Class, Message, long_term_key
from stack.testing import Conditions, Link
from stack.turn import (
    Allocated,
    ChannelBound,
    ChannelFailed,
    Closed,
    DataReceived,
    PermissionCreated,
    PermissionFailed,
    Redirected,
    wire,
)
from stack.turn.allocation import Channel

from .limits import CLIENT_LIMITS
from .support import (
    CLIENT,
    PASSWORD,
    PEER,
    REALM,
    RELAY_HOST,
    SERVER,
    USER,
    ServerEnd,
    client,
    joined,
    messages,
    of,
    server,
)

KEY = long_term_key(USER, REALM, PASSWORD)


def connected(conditions=None, **kwargs):
    """An allocation with a permission for PEER."""
    a, b, link = joined(conditions, **kwargs)
    assert link.run(lambda: a.relayed is not None)
    a.create_permission(PEER.host, link.now)
    assert link.run(lambda: a.permissions)
    return a, b, link


class Scripted:
    """Answers requests as a test says; a hand-written server with the MD5 key."""

    def __init__(self, **kwargs):
        self.client = client(**kwargs)
        self.client.start(0.0)

    def request(self, now=0.0):
        """The only thing that the client wants to send."""
        (data,) = self.client.datagrams_to_send(now)
        return Message.parse(data)

    def answer(self, request, message_class=Class.SUCCESS, *, now=0.0, key=KEY, attributes=(), **named):
        response = Message(request.method, message_class, request.transaction_id, **named)
        response.attributes.update(attributes)
        self.client.receive_datagram(response.serialize(key=key), now)

    def challenge(self, request, code=401, nonce="n1", now=0.0, **named):
        self.answer(request, Class.ERROR, now=now, key=None, error_code=(code, ""), realm=REALM, nonce=nonce, **named)

    def challenged(self):
        """The first protected request."""
        self.challenge(self.request())
        return self.request()

    def allocated(self):
        request = self.challenged()
        response = Message(wire.ALLOCATE, Class.SUCCESS, request.transaction_id, xor_mapped_address=CLIENT)
        wire.set_address(response, wire.XOR_RELAYED_ADDRESS, Address(RELAY_HOST, 50000))
        wire.set_u32(response, wire.LIFETIME, 600)
        self.client.receive_datagram(response.serialize(key=KEY), 0.0)
        assert isinstance(self.client.next_event(), Allocated)
        return self

    def end(self):
        event = self.client.next_event()
        assert isinstance(event, Closed)
        assert self.client.next_timer() is None
        assert self.client.next_event() is None
        return event.error.reason if event.error else None


class TestAllocating:
    def test_the_example_of_rfc_8656_section_20(self):
        a, b, link = connected(Conditions(delay=0.01))
        a.bind_channel(PEER, link.now)
        link.run(lambda: a.channels)
        a.close(link.now)
        link.run(lambda: of(link.events[0], Closed), seconds=5)
        assert messages(link) == [
            (0, wire.ALLOCATE, "REQUEST", None),
            (1, wire.ALLOCATE, "ERROR", 401),
            (0, wire.ALLOCATE, "REQUEST", None),
            (1, wire.ALLOCATE, "SUCCESS", None),
            (0, wire.CREATE_PERMISSION, "REQUEST", None),
            (1, wire.CREATE_PERMISSION, "SUCCESS", None),
            (0, wire.CHANNEL_BIND, "REQUEST", None),
            (1, wire.CHANNEL_BIND, "SUCCESS", None),
            (0, wire.REFRESH, "REQUEST", None),
            (1, wire.REFRESH, "SUCCESS", None),
        ]
        allocated = link.events[0][0]
        assert allocated.relayed.host == RELAY_HOST
        assert 49152 <= allocated.relayed.port <= 65535
        assert allocated.mapped == CLIENT
        assert link.events[0] == [
            Allocated(allocated.relayed, CLIENT, 600),
            PermissionCreated(PEER.host),
            ChannelBound(PEER),
            Closed(None),
        ]
        assert b.server.allocations == 0
        assert a.dropped.total() == 0

    def test_the_first_request_is_bare(self):
        # RFC 8489 section 9.2.3.1
        request = Scripted(software="probe", requested_family=6, lifetime=1200).request()
        assert request.attributes == {
            wire.REQUESTED_TRANSPORT: b"\x11\0\0\0",
            wire.REQUESTED_ADDRESS_FAMILY: b"\x02\0\0\0",
            wire.LIFETIME: (1200).to_bytes(4, "big"),
            0x8022: "probe",
        }
        assert not request.has_integrity

    def test_the_second_is_protected(self):
        # RFC 8489 section 9.2.5
        request = Scripted().challenged()
        assert (request.username, request.realm, request.nonce) == (USER, REALM, "n1")
        assert request.verify_integrity(KEY)
        assert request.password_algorithm is None

    def test_with_sha256_and_userhash(self):
        a, _, link = connected(machine=server(username_anonymity=True))
        requests = [Message.parse(data) for _, sender, data in link.trace if sender == 0 and data[0] < 4]
        assert not any(request.username for request in requests)
        assert all(request.uses_sha256 and request.userhash for request in requests[1:])
        assert a.dropped.total() == 0

    def test_an_old_server_without_algorithms(self):
        _, _, link = connected(machine=server(algorithms=()))
        requests = [Message.parse(data) for _, sender, data in link.trace if sender == 0 and data[0] < 4]
        assert not any(request.uses_sha256 for request in requests)

    def test_an_ipv6_relay(self):
        machine = server(relay_hosts=("2001:470::1", RELAY_HOST))
        a, _, link = joined(machine=machine, requested_family=6)
        link.run(lambda: a.relayed is not None)
        assert a.relayed.host == "2001:470::1"
        a.create_permission("2001:4860:4860::8888", link.now)
        link.run(lambda: a.permissions)
        a.send(b"six", Address("2001:4860:4860::8888", 53), link.now)
        link.run(seconds=1)
        assert a.take_data() == [DataReceived(b"six", Address("2001:4860:4860::8888", 53))]
        with pytest.raises(LocalError):
            a.create_permission("9.9.9.9", link.now)

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (400, "bad-request"),
            (403, "forbidden"),
            (420, "unknown-attributes"),
            (437, "allocation-mismatch"),
            (440, "address-family-not-supported"),
            (441, "wrong-credentials"),
            (442, "unsupported-transport"),
            (486, "quota-reached"),
            (508, "insufficient-capacity"),
            (500, "error-response"),
            (300, "try-alternate"),
        ],
    )
    def test_errors_end_it(self, code, reason):
        # RFC 8656 section 7.4
        script = Scripted()
        script.answer(script.challenged(), Class.ERROR, error_code=(code, "because"))
        event = script.client.next_event()
        assert event == Closed(PeerError("turn", reason, f"{code} because"))
        assert script.client.next_timer() is None

    def test_a_wrong_password(self):
        _, b, link = joined(password="wrong")
        link.run(lambda: link.events[0])
        assert [event.error.reason for event in link.events[0]] == ["unauthorized"]
        assert b.server.dropped["unauthenticated"] == 2

    def test_a_redirection(self):
        # RFC 8489 section 10
        other = Address("203.0.113.2", 3478)
        script = Scripted()
        script.answer(
            script.challenged(),
            Class.ERROR,
            error_code=(300, "Try Alternate"),
            alternate_server=other,
            alternate_domain="two.example.org",
        )
        assert script.client.next_event() == Redirected(other, "two.example.org")
        assert script.end() == "try-alternate"

    @pytest.mark.parametrize("back", [SERVER, Address("203.0.113.9", 1)])
    def test_a_redirection_in_a_circle(self, back):
        script = Scripted(tried=(Address("203.0.113.9", 1),))
        script.answer(script.request(), Class.ERROR, key=None, error_code=(300, ""), alternate_server=back)
        assert script.end() == "redirect-loop"

    @pytest.mark.parametrize(
        ("nonce", "named", "reason"),
        [
            ("obMatJos2gAAAx", {}, "bid-down"),
            ("obMatJos2gAAAx", {"password_algorithms": ((7, b""),)}, "no-common-algorithm"),
            ("", {}, "missing-nonce"),
        ],
    )
    def test_challenges_that_cannot_be_answered(self, nonce, named, reason):
        script = Scripted()
        script.challenge(script.request(), nonce=nonce, **named)
        assert script.end() == reason

    @pytest.mark.parametrize(
        ("attributes", "reason"),
        [
            ({}, "missing-attributes"),
            ({wire.XOR_RELAYED_ADDRESS: b"\0"}, "bad-attribute"),
            ({wire.XOR_RELAYED_ADDRESS: b"\0\x01" + bytes(6)}, "missing-attributes"),
            ({wire.XOR_RELAYED_ADDRESS: b"\0\x01" + bytes(6), wire.LIFETIME: b"\0"}, "missing-attributes"),
            ({0x7000: b""}, "unknown-attributes-in-response"),
        ],
    )
    def test_answers_that_are_none(self, attributes, reason):
        script = Scripted()
        script.answer(script.challenged(), attributes=attributes)
        assert script.end() == reason

    def test_a_relay_of_the_wrong_family(self):
        # RFC 8656 section 7.3
        script = Scripted(requested_family=6)
        script.answer(
            script.challenged(),
            attributes={wire.XOR_RELAYED_ADDRESS: b"\0\x01" + bytes(6), wire.LIFETIME: b"\0\0\2\0"},
        )
        assert script.end() == "wrong-address-family"

    def test_nobody_answers(self):
        script = Scripted()
        while (deadline := script.client.next_timer()) is not None:
            script.client.handle_timer(deadline)
        assert script.client._now == 39.5
        assert script.end() == "timeout"

    def test_over_tcp_nothing_is_sent_twice(self):
        # RFC 8489 section 6.2.2
        script = Scripted(reliable=True)
        script.request()
        assert script.client.next_timer() == 39.5
        script.client.handle_timer(39.5)
        assert script.end() == "timeout"


class TestForgeries:
    @pytest.mark.parametrize("key", [None, b"wrong"])
    def test_over_udp_they_are_ignored(self, key):
        # RFC 8489 section 9.2.5
        script = Scripted()
        request = script.challenged()
        script.answer(request, Class.ERROR, key=key, error_code=(508, ""))
        assert script.client.dropped == {"bad-integrity": 1}
        assert script.client.next_event() is None
        while (deadline := script.client.next_timer()) is not None:
            script.client.handle_timer(deadline)
        assert script.end() == "integrity-violated"

    def test_over_tcp_they_end_it(self):
        script = Scripted(reliable=True)
        script.answer(script.challenged(), Class.ERROR, key=None, error_code=(508, ""))
        assert script.end() == "integrity-violated"

    def test_sha1_where_sha256_was_agreed(self):
        script = Scripted()
        script.challenge(script.request(), nonce="obMatJos2gAAAx", password_algorithms=((2, b""), (1, b"")))
        key = long_term_key(USER, REALM, PASSWORD, 2)
        script.answer(script.request(), Class.ERROR, key=key, error_code=(508, ""))
        assert script.client.dropped == {"bad-integrity": 1}

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda m: setattr(m, "transaction_id", bytes(12)), "unknown-transaction"),
            (lambda m: setattr(m, "method", wire.REFRESH), "unknown-transaction"),
            (lambda m: setattr(m, "message_class", Class.REQUEST), "unexpected-message"),
            (lambda m: setattr(m, "message_class", Class.INDICATION), "unexpected-message"),
            (lambda m: setattr(m, "error_code", None), "missing-error-code"),
        ],
    )
    def test_what_is_dropped(self, change, reason):
        script = Scripted()
        request = script.request()
        message = Message(wire.ALLOCATE, Class.ERROR, request.transaction_id, error_code=(508, ""))
        change(message)
        script.client.receive_datagram(message.serialize(), 0.0)
        assert script.client.dropped == {reason: 1}
        assert script.client.next_event() is None

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "truncated"),
            (b"\x40", "truncated"),
            (b"\x40\x00\x00\x01", "truncated"),
            (b"\x4f\xff\x00\x00", "unknown-channel"),
            (wire.relay_message(wire.DATA_INDICATION, bytes(12), Address("9.9.9.8", 1), b""), "no-permission"),
            (Message(wire.DATA_INDICATION, Class.INDICATION, bytes(12)).serialize(), "missing-attributes"),
        ],
    )
    def test_data_that_is_dropped(self, data, reason):
        script = Scripted().allocated()
        script.client.receive_datagram(data, 0.0)
        assert script.client.dropped == {reason: 1}
        assert script.client.take_data() == []

    @pytest.mark.parametrize(
        ("attribute", "reason"), [(0x7000, "unknown-attributes"), (wire.ICMP, "missing-attributes")]
    )
    def test_indications_that_say_more(self, attribute, reason):
        script = Scripted().allocated()
        message = Message(wire.DATA_INDICATION, Class.INDICATION, bytes(12))
        message.attributes[attribute] = bytes(8)
        script.client.receive_datagram(message.serialize(), 0.0)
        assert script.client.dropped == {reason: 1}


class TestKeepingIt:
    def test_hours_with_a_server_that_expires_nonces(self):
        a, b, link = connected(machine=server(nonce_lifetime=700.0))
        a.bind_channel(PEER, link.now)
        link.run(seconds=3 * 3600)
        assert a.channels == {PEER}
        assert a.permissions == {PEER.host}
        assert b.server.dropped["stale-nonce"] > 5
        assert not of(link.events[0], Closed)
        a.send(b"still here", PEER, link.now)
        link.run(seconds=1)
        assert a.take_data() == [DataReceived(b"still here", PEER)]

    def test_renewals_come_early_and_spread(self):
        times = []
        for seed in range(4):
            a, _, link = joined(seed=seed)
            link.run(lambda a=a: a.relayed is not None)
            times.append(a.next_timer() - link.now)
        # RFC 8656 section 8 suggests about a minute before the 600 seconds are over
        assert all(540 * 0.9 <= interval <= 540 for interval in times)
        assert len(set(times)) == 4

    def test_the_server_has_forgotten_the_allocation(self):
        # RFC 8656 section 5
        a, b, link = connected()
        b.server.connection_lost(CLIENT, SERVER, link.now)
        link.run(lambda: of(link.events[0], Closed), seconds=700)
        assert link.events[0][-1].error.reason == "allocation-mismatch"
        assert a.relayed is None

    def test_closing_what_the_server_has_forgotten_succeeds(self):
        # RFC 8656 section 8.3
        a, b, link = connected()
        b.server.connection_lost(CLIENT, SERVER, link.now)
        a.close(link.now)
        link.run(lambda: of(link.events[0], Closed), seconds=5)
        assert link.events[0][-1] == Closed(None)

    def test_the_server_falls_silent(self):
        gone = []
        _, _, link = connected(tamper=lambda sender, index, data: [] if gone else [data])
        gone.append(True)
        link.run(lambda: of(link.events[0], Closed), seconds=900)
        assert link.events[0][-1].error.reason == "timeout"
        assert of(link.events[0], PermissionFailed)[0].error.reason == "timeout"

    def test_the_server_refuses_to_delete(self):
        script = Scripted().allocated()
        script.client.close(1.0)
        request = script.request(1.0)
        assert wire.u32(request, wire.LIFETIME) == 0
        script.answer(request, Class.ERROR, now=1.1, error_code=(508, ""))
        assert script.end() is None

    def test_closing_while_allocating(self):
        script = Scripted()
        script.client.close(0.0)
        assert script.client.datagrams_to_send(0.0) == []
        assert script.end() is None
        script.client.receive_datagram(b"", 0.0)
        assert script.client.dropped == {"closed": 1}
        with pytest.raises(LocalError):
            script.client.start(0.0)

    @pytest.mark.parametrize("lifetime", [b"\0", bytes(4)])
    def test_a_renewal_with_a_strange_lifetime(self, lifetime):
        script = Scripted().allocated()
        script.client.handle_timer(600.0)
        script.answer(script.request(600.0), attributes={wire.LIFETIME: lifetime}, now=600.0)
        assert script.client.next_event() is None
        assert script.client.next_timer() > 600.0


class TestData:
    @pytest.mark.parametrize("loss", [0.0, 0.2])
    def test_both_ways(self, loss):
        a, b, link = connected(Conditions(delay=0.02, loss=loss))
        a.bind_channel(PEER, link.now)
        assert link.run(lambda: a.channels)
        sent = [bytes([number]) * number for number in range(100)]
        for data in sent:
            a.send(data, PEER, link.now)
        link.run(seconds=1)
        received = [item.data for item in a.take_data()]
        if loss:
            assert 30 < len(received) < 95
            assert set(received) <= set(sent)
        else:
            assert received == sent
        assert {item.remote for item in b.at_peers} == {PEER}
        assert {item.local for item in b.at_peers} == {a.relayed}

    def test_indications_first_and_channels_once_bound(self):
        a, _, link = connected()
        a.send(b"abcd", PEER, link.now)
        assert len(a.datagrams_to_send(link.now)[0]) == 20 + 12 + 8
        a.bind_channel(PEER, link.now)
        a.send(b"abcd", PEER, link.now)
        assert len(a.datagrams_to_send(link.now)[1]) == 20 + 12 + 8
        link.run(seconds=3)
        a.send(b"abcd", PEER, link.now)
        assert a.datagrams_to_send(link.now) == [b"\x40\x00\x00\x04abcd"]

    def test_binding_twice_is_harmless(self):
        a, _, link = connected()
        a.bind_channel(PEER, link.now)
        a.datagrams_to_send(link.now)
        a.bind_channel(PEER, link.now)
        assert a.datagrams_to_send(link.now) == []
        with pytest.raises(LocalError):
            a.send(b"", Address(PEER.host, 65536), link.now)

    def test_data_waits_for_the_permission(self):
        a, b, link = joined()
        link.run(lambda: a.relayed is not None)
        a.bind_channel(PEER, link.now)
        a.create_permission("9.9.9.8", link.now)
        a.send(b"one", PEER, link.now)
        a.send(b"two", Address("9.9.9.8", 1), link.now)
        assert all(data[0] == 0 and data[1] != 0x16 for data in a.datagrams_to_send(link.now))
        link.run(seconds=5)
        assert {item.data for item in b.at_peers} == {b"one", b"two"}

    def test_a_host_that_the_server_refuses(self):
        a, _, link = connected(machine=server(denied_peers=("9.9.9.8/32",)))
        peer = Address("9.9.9.8", 1)
        a.bind_channel(peer, link.now)
        a.send(b"never", peer, link.now)
        link.run(seconds=5)
        assert of(link.events[0], PermissionFailed)[0].host == peer.host
        assert of(link.events[0], PermissionFailed)[0].error.reason == "forbidden"
        assert len(of(link.events[0], ChannelFailed)) == 1
        assert a.dropped["permission-failed"] == 1
        with pytest.raises(LocalError):
            a.send(b"", peer, link.now)
        assert a.permissions == {PEER.host}

    def test_a_channel_that_is_refused_leaves_the_permission(self):
        a, b, link = connected()
        allocation = next(iter(b.server._relays.values()))
        other = Address(PEER.host, 1)
        channel = Channel(wire.FIRST_CHANNEL, other, a.relayed, link.now + 60, False)
        allocation.channels[other] = channel
        a.bind_channel(PEER, link.now)
        link.run(seconds=1)
        assert of(link.events[0], ChannelFailed)[0].error.reason == "bad-request"
        a.send(b"x", PEER, link.now)
        link.run(seconds=1)
        assert a.take_data() == [DataReceived(b"x", PEER)]

    def test_two_clients_of_one_server_reach_each_other(self):
        machine = server()
        ends = [ServerEnd(machine, Address(CLIENT.host, port)) for port in (1, 2)]
        clients = [client(seed=seed) for seed in (1, 2)]
        links = [Link(a, end) for a, end in zip(clients, ends, strict=True)]
        for a, link in zip(clients, links, strict=True):
            a.start(link.now)
            link.run(lambda a=a: a.relayed is not None)
        a, b = clients
        a.create_permission(RELAY_HOST, links[0].now)
        b.create_permission(RELAY_HOST, links[1].now)
        links[0].run(seconds=1)
        links[1].run(seconds=1)
        now = links[1].now
        a.send(b"hello", b.relayed, now)
        for data in a.datagrams_to_send(now):
            ends[0].receive_datagram(data, now)
        b.receive_datagram(machine.datagrams_to_send(now)[0].data, now)
        assert b.take_data() == [DataReceived(b"hello", a.relayed)]


def test_misuse():
    a = client()
    for wrong in (
        lambda: a.create_permission(PEER.host, 0.0),
        lambda: a.bind_channel(PEER, 0.0),
        lambda: a.send(b"", PEER, 0.0),
        lambda: client(requested_transport=6),
        lambda: client(requested_family=5),
        lambda: client(lifetime=0),
        lambda: client(rc=0),
        lambda: client(rto=0),
    ):
        with pytest.raises(LocalError):
            wrong()
    assert a.datagrams_to_send(0.0) == []


@pytest.mark.parametrize("limit", CLIENT_LIMITS)
def test_limits(limit):
    CLIENT_LIMITS[limit]()
