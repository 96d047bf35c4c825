"""Tests that hit the named limits; the contract suite runs them too."""

import struct

import pytest

from stack.core import Address, Datagram, LocalError, ParseError
from stack.stun import (
    BINDING,
    MAGIC_COOKIE,
    MAX_ALGORITHMS,
    MAX_ATTRIBUTES,
    MAX_BUFFERED,
    MAX_CHALLENGES,
    MAX_DOMAIN,
    MAX_LIFETIME,
    MAX_PADDING,
    MAX_PENDING,
    MAX_RTOS,
    MAX_SOURCES,
    MAX_TEXT,
    MAX_URI,
    PADDING,
    RC,
    BindingServer,
    Class,
    Client,
    Deframer,
    LongTermCredential,
    Message,
    NatDiscovery,
    RtoCache,
    TimedOut,
    error_response,
    parse_uri,
)
from stack.stun.limiter import Limiter
from stack.testing import seeded_random_bytes

from .support import TRANSACTION_ID


def raw(attributes, message_type=0x0001):
    """A message out of (type, value) pairs, as they are."""
    body = b"".join(struct.pack("!HH", t, len(v)) + v + bytes(-len(v) % 4) for t, v in attributes)
    return struct.pack("!HHL", message_type, len(body), MAGIC_COOKIE) + TRANSACTION_ID + body


def attributes_per_message():
    assert len(Message.parse(raw([(0xC000 + i, b"") for i in range(MAX_ATTRIBUTES)])).attributes) == MAX_ATTRIBUTES
    with pytest.raises(ParseError) as caught:
        Message.parse(raw([(0xC000 + i, b"") for i in range(MAX_ATTRIBUTES + 1)]))
    assert caught.value.reason == "too-many-attributes"


def bytes_of_text():
    assert Message.parse(raw([(0x8022, b"x" * MAX_TEXT)])).software == "x" * MAX_TEXT
    with pytest.raises(ParseError) as caught:
        Message.parse(raw([(0x8022, b"x" * (MAX_TEXT + 1))]))
    assert caught.value.reason == "bad-attribute"
    with pytest.raises(LocalError):
        Message(BINDING, Class.REQUEST, TRANSACTION_ID, software="x" * (MAX_TEXT + 1)).serialize()


def transmissions():
    client = Client(random_bytes=seeded_random_bytes(1))
    client.start(0.0)
    sent = len(client.datagrams_to_send(0.0))
    while (deadline := client.next_timer()) is not None:
        client.handle_timer(deadline)
        sent += len(client.datagrams_to_send(deadline))
    assert sent == RC
    assert client.next_event() == TimedOut()


def password_algorithms():
    assert len(Message.parse(raw([(0x8002, b"\0\2\0\0" * MAX_ALGORITHMS)])).password_algorithms) == MAX_ALGORITHMS
    with pytest.raises(ParseError) as caught:
        Message.parse(raw([(0x8002, b"\0\2\0\0" * (MAX_ALGORITHMS + 1))]))
    assert caught.value.reason == "bad-attribute"


def bytes_of_a_domain():
    assert Message.parse(raw([(0x8003, b"x" * MAX_DOMAIN)])).alternate_domain == "x" * MAX_DOMAIN
    with pytest.raises(ParseError) as caught:
        Message.parse(raw([(0x8003, b"x" * (MAX_DOMAIN + 1))]))
    assert caught.value.reason == "bad-attribute"


def bytes_of_a_stream():
    deframer = Deframer()
    assert deframer.push(b"\0\1\xff\xfc" + bytes(65547)) == []
    assert MAX_BUFFERED - 32 < deframer.buffered <= MAX_BUFFERED
    assert len(deframer.push(bytes(1))) == 1
    assert deframer.buffered == 0


def length_of_a_uri():
    name = "a" * (MAX_URI - len("stun:"))
    assert parse_uri(f"stun:{name}").host == name
    with pytest.raises(ParseError) as caught:
        parse_uri(f"stun:{name}a")
    assert caught.value.reason == "not-a-stun-uri"


def challenges():
    client = Client(random_bytes=seeded_random_bytes(1), credential=LongTermCredential("user", "pass"))
    client.start(0.0)
    asked = 0
    while requests := client.datagrams_to_send(0.0):
        asked += 1
        response = error_response(Message.parse(requests[0]), 438)
        response.realm, response.nonce = "r", f"{asked}"
        client.receive_datagram(response.serialize(), 0.0)
    assert asked == 1 + MAX_CHALLENGES
    assert client.next_event().error.reason == "error-response"


def known_servers():
    cache = RtoCache()
    for number in range(MAX_RTOS + 1):
        cache.measured(f"10.0.{number >> 8}.{number & 255}", 1.0, float(number) / 1000)
    assert len(cache) == MAX_RTOS
    assert cache.rto("10.0.0.0", 1.0) == 0.5
    assert cache.rto("10.0.0.1", 1.0) == 3.0


LIMITS = {
    "MAX_CHALLENGES": challenges,
    "MAX_RTOS": known_servers,
    "MAX_ATTRIBUTES": attributes_per_message,
    "MAX_TEXT": bytes_of_text,
    "RC": transmissions,
    "MAX_ALGORITHMS": password_algorithms,
    "MAX_DOMAIN": bytes_of_a_domain,
    "MAX_BUFFERED": bytes_of_a_stream,
    "MAX_URI": length_of_a_uri,
}


SERVER = Address("192.0.2.1", 3478)


def ask(server, data, host="198.51.100.1"):
    server.receive_datagram(Datagram(data, Address(host, 7), SERVER), 0.0)


def pending_responses():
    server = BindingServer(SERVER)
    for number in range(MAX_PENDING + 5):
        ask(server, raw([]), f"10.0.{number >> 8}.{number & 255}")
    assert server.dropped == {"queue-full": 5}
    assert len(server.datagrams_to_send(0.0)) == MAX_PENDING


def bytes_of_padding():
    server = BindingServer(SERVER)
    ask(server, raw([(PADDING, bytes(60000))]))
    assert len(Message.parse(server.datagrams_to_send(0.0)[0].data).attributes[PADDING]) == MAX_PADDING


def known_sources():
    limiter = Limiter(0.0, 1.0)
    for number in range(MAX_SOURCES + 1):
        assert limiter.allows(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(limiter) == MAX_SOURCES
    assert not limiter.allows("10.0.0.1", 0.0)
    assert limiter.allows("10.0.0.0", 0.0)


SERVER_LIMITS = {"MAX_PENDING": pending_responses, "MAX_PADDING": bytes_of_padding, "MAX_SOURCES": known_sources}


def seconds_of_lifetime():
    def build(seconds):
        NatDiscovery(
            SERVER,
            Address("10.0.0.1", 1),
            random_bytes=seeded_random_bytes(1),
            second_local=Address("10.0.0.1", 2),
            max_lifetime=seconds,
        )

    build(MAX_LIFETIME)
    with pytest.raises(LocalError):
        build(MAX_LIFETIME + 1)


DISCOVERY_LIMITS = {"MAX_LIFETIME": seconds_of_lifetime}
