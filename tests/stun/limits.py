"""Tests that hit the named limits; the contract suite runs them too."""

import struct

import pytest

from stack.core import LocalError, ParseError
from stack.stun import (
    BINDING,
    MAGIC_COOKIE,
    MAX_ALGORITHMS,
    MAX_ATTRIBUTES,
    MAX_BUFFERED,
    MAX_DOMAIN,
    MAX_TEXT,
    MAX_URI,
    RC,
    Class,
    Client,
    Deframer,
    Message,
    TimedOut,
    parse_uri,
)
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


LIMITS = {
    "MAX_ATTRIBUTES": attributes_per_message,
    "MAX_TEXT": bytes_of_text,
    "RC": transmissions,
    "MAX_ALGORITHMS": password_algorithms,
    "MAX_DOMAIN": bytes_of_a_domain,
    "MAX_BUFFERED": bytes_of_a_stream,
    "MAX_URI": length_of_a_uri,
}
