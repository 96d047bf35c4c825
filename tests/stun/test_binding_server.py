import pytest

from stack.core import Address, Datagram, LocalError
from stack.stun import (
    BINDING,
    CHANGE_REQUEST,
    MAX_PADDING,
    PADDING,
    RESPONSE_PORT,
    Authenticator,
    BindingServer,
    Class,
    Client,
    LongTermCredential,
    Message,
    Responded,
    ServerClosed,
    set_change_request,
    set_response_port,
)
from stack.testing import seeded_random_bytes

from .limits import raw
from .support import SOURCE, TRANSACTION_ID

A1, A2, P1, P2 = "192.0.2.1", "192.0.2.2", 3478, 3479


def full(**kwargs):
    return BindingServer(Address(A1, P1), Address(A2, P2), **kwargs)


def request(**kwargs):
    return Message(BINDING, Class.REQUEST, TRANSACTION_ID, **kwargs)


def ask(server, message, local=None, remote=SOURCE, fingerprint=True):
    """The one response, as a datagram and as a message."""
    data = message if isinstance(message, bytes) else message.serialize(fingerprint=fingerprint)
    server.receive_datagram(Datagram(data, remote, local or Address(A1, P1)), 0.0)
    [response] = server.datagrams_to_send(0.0)
    return response, Message.parse(response.data)


def test_where_it_wants_sockets():
    assert full().addresses == [Address(A1, P1), Address(A1, P2), Address(A2, P1), Address(A2, P2)]
    assert BindingServer(Address(A1, P1)).addresses == [Address(A1, P1)]


def test_a_plain_request():
    sent, response = ask(full(software="us"), request())
    assert sent.remote == SOURCE
    assert sent.local == Address(A1, P1)
    assert response == Message(
        BINDING,
        Class.SUCCESS,
        TRANSACTION_ID,
        xor_mapped_address=SOURCE,
        mapped_address=SOURCE,
        response_origin=Address(A1, P1),
        other_address=Address(A2, P2),
        software="us",
    )
    assert not ask(full(), request(), fingerprint=False)[1].has_fingerprint


@pytest.mark.parametrize("host", [A1, A2])
@pytest.mark.parametrize("port", [P1, P2])
@pytest.mark.parametrize("ip", [False, True])
@pytest.mark.parametrize("change_port", [False, True])
def test_table_1_of_the_rfc(host, port, ip, change_port):
    message = request()
    set_change_request(message, ip=ip, port=change_port)
    sent, response = ask(full(), message, Address(host, port))
    other = Address({A1: A2, A2: A1}[host], {P1: P2, P2: P1}[port])
    assert sent.local == Address(other.host if ip else host, other.port if change_port else port)
    assert sent.remote == SOURCE
    assert response.response_origin == sent.local
    assert response.other_address == other


def test_one_address_only():
    server = BindingServer(Address(A1, P1))
    _, plain = ask(server, request())
    assert plain.other_address is None
    assert plain.response_origin == Address(A1, P1)
    message = request()
    set_change_request(message, ip=True, port=False)
    sent, refused = ask(server, message)
    assert refused.error_code == (420, "Unknown Attribute")
    assert refused.unknown_attributes == (CHANGE_REQUEST,)
    assert sent.local == Address(A1, P1)


def test_a_wildcard_is_no_origin():
    assert ask(BindingServer(Address("0.0.0.0", P1)), request(), Address("0.0.0.0", P1))[1].response_origin is None


def test_behind_a_one_to_one_nat():
    _, response = ask(full(public_hosts={A1: "203.0.113.1", A2: "203.0.113.2"}), request())
    assert response.response_origin == Address("203.0.113.1", P1)
    assert response.other_address == Address("203.0.113.2", P2)


@pytest.mark.parametrize("attribute", [CHANGE_REQUEST, RESPONSE_PORT, PADDING])
def test_over_tcp_no_response_goes_elsewhere(attribute):
    local = Address(A1, P1, "tcp")
    source = Address(SOURCE.host, SOURCE.port, "tcp")
    sent, response = ask(full(), request(), local, source)
    assert (sent.local, sent.remote) == (local, source)
    assert response.other_address == Address(A2, P2)
    assert ask(full(), raw([(attribute, bytes(4))]), local, source)[1].unknown_attributes == (attribute,)


def test_response_port():
    message = request()
    set_response_port(message, 9)
    sent, response = ask(full(), message)
    assert sent.remote == Address(SOURCE.host, 9)
    assert response.xor_mapped_address == SOURCE
    assert ask(full(), raw([(RESPONSE_PORT, b"\0\x09")]))[0].remote == Address(SOURCE.host, 9)
    for wrong in (0, 65536):
        with pytest.raises(LocalError):
            set_response_port(message, wrong)


@pytest.mark.parametrize(
    "attributes",
    [
        [(RESPONSE_PORT, b"\0\x09\0\0"), (PADDING, bytes(100))],
        [(RESPONSE_PORT, bytes(4))],
        [(RESPONSE_PORT, bytes(3))],
        [(RESPONSE_PORT, b"")],
        [(CHANGE_REQUEST, b"")],
        [(CHANGE_REQUEST, bytes(5))],
    ],
)
def test_bad_requests(attributes):
    sent, response = ask(full(), raw(attributes))
    assert response.error_code == (400, "Bad Request")
    assert sent.remote == SOURCE


@pytest.mark.parametrize("size", [0, 3, 100, 200, 1000, 1400, 3000, 20000])
def test_padding_never_makes_a_response_longer_than_its_request(size):
    plain = len(ask(full(), request())[0].data)
    data = raw([(PADDING, bytes(size))])
    sent, response = ask(full(), data)
    assert PADDING in response.attributes
    assert len(sent.data) <= max(len(data), plain + 4)
    assert len(response.attributes[PADDING]) <= MAX_PADDING
    if size >= 3000:
        assert len(response.attributes[PADDING]) == MAX_PADDING


def test_other_unknown_attributes():
    _, response = ask(full(), raw([(0x7001, b""), (CHANGE_REQUEST, bytes(4)), (0x7002, b"")]))
    assert response.unknown_attributes == (0x7001, 0x7002)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (b"junk" * 10, "not-stun"),
        (raw([], 0x0101), "not-a-request"),
        (raw([], 0x0011), "not-a-request"),
        (raw([], 0x0003), "not-a-request"),
    ],
)
def test_what_is_dropped(data, reason):
    server = full()
    server.receive_datagram(Datagram(data, SOURCE, Address(A1, P1)), 0.0)
    assert server.datagrams_to_send(0.0) == []
    assert server.dropped == {reason: 1}


def test_port_0_gets_nothing():
    server = full()
    server.receive_datagram(Datagram(request().serialize(), Address(SOURCE.host, 0), Address(A1, P1)), 0.0)
    assert server.dropped == {"no-port": 1}


def test_one_source_gets_so_much_and_others_all_the_same():
    server = full(rate=2.0, burst=3.0)

    def answers(count, now, host):
        for _ in range(count):
            server.receive_datagram(Datagram(request().serialize(), Address(host, 7), Address(A1, P1)), now)
        return len(server.datagrams_to_send(now))

    assert answers(10, 0.0, "198.51.100.1") == 3
    assert server.dropped == {"rate-limited": 7}
    assert answers(1, 0.0, "198.51.100.2") == 1
    assert answers(10, 1.0, "198.51.100.1") == 2
    assert answers(4, 0.0, "2001:db8::1") + answers(4, 0.0, "2001:db8::2") == 3  # one network


def test_ipv6():
    server = BindingServer(Address("2001:db8::1", P1), Address("2001:db8::2", P2))
    _, response = ask(server, request(), Address("2001:db8::1", P1), Address("2001:db8:1::1", 7))
    assert response.other_address == Address("2001:db8::2", P2)


def test_with_credentials():
    authenticator = Authenticator(
        "example.org", {"user": ("pass",)}.get, random_bytes=seeded_random_bytes(2), nonce_lifetime=60.0
    )
    server = full(authenticator=authenticator)
    client = Client(random_bytes=seeded_random_bytes(1), credential=LongTermCredential("user", "pass"))
    client.start(0.0)
    for _ in range(2):
        for data in client.datagrams_to_send(0.0):
            client.receive_datagram(ask(server, data)[0].data, 0.0)
    event = client.next_event()
    assert isinstance(event, Responded)
    assert event.message.uses_sha256
    assert event.mapped_address == SOURCE
    protected = Message.parse(data)
    assert protected.unknown_comprehension_required == []


def test_closing():
    server = full()
    server.receive_datagram(Datagram(request().serialize(), SOURCE, Address(A1, P1)), 0.0)
    server.close(0.0)
    server.close(0.0)
    assert server.datagrams_to_send(0.0) == []
    assert server.next_event() == ServerClosed()
    assert server.next_event() is None
    server.receive_datagram(Datagram(request().serialize(), SOURCE, Address(A1, P1)), 1.0)
    assert server.dropped == {"closed": 1}
    assert server.next_timer() is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: BindingServer(Address(A1, P1), Address(A1, P2)),
        lambda: BindingServer(Address(A1, P1), Address(A2, P1)),
        lambda: BindingServer(Address(A1, P1), Address("2001:db8::2", P2)),
        lambda: full(rate=-1),
        lambda: full(burst=0),
    ],
)
def test_misuse(wrong):
    with pytest.raises(LocalError):
        wrong()
