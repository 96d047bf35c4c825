"""Tests that hit the named limits; the contract suite runs them too."""

import struct

import pytest

from stack.core import LocalError, ParseError
from stack.stun import BINDING, MAGIC_COOKIE, MAX_ATTRIBUTES, MAX_TEXT, RC, Class, Client, Message, TimedOut
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


LIMITS = {"MAX_ATTRIBUTES": attributes_per_message, "MAX_TEXT": bytes_of_text, "RC": transmissions}
