"""DCEP messages of other implementations."""

import json
from pathlib import Path

import pytest

from stack.core import ParseError
from stack.datachannel import Ack, ChannelAnnounced, Endpoint, Message, Open, parse, serialize

from .support import drain

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "datachannel" / "dcep.json").read_text())["vectors"]
OPENS = [vector for vector in VECTORS if "open" in vector]
MALFORMED = [vector for vector in VECTORS if "error" in vector]
ACKS = [vector for vector in VECTORS if "ack" in vector]


def test_there_are_all_channel_types_of_three_implementations():
    kinds = {bytes.fromhex(vector["message_hex"])[1] for vector in OPENS}
    assert kinds == {0x00, 0x80, 0x01, 0x81, 0x02}
    assert len({vector["from"] for vector in OPENS}) == len({vector["from"] for vector in ACKS}) == 3


@pytest.mark.parametrize("vector", OPENS, ids=[vector["name"] for vector in OPENS])
def test_open(vector):
    data, expected = bytes.fromhex(vector["message_hex"]), Open(**vector["open"])
    assert parse(data) == expected
    assert serialize(expected) == data
    end = Endpoint(is_dtls_client=False)
    end.set_connected(1.0)
    end.receive_message(0, 50, data, 1.0)
    announced = drain(end)[0]
    assert isinstance(announced, ChannelAnnounced)
    for name, value in vector["open"].items():
        assert getattr(announced.channel, name) == value
    assert end.datagrams_to_send(1.0) == [Message(0, 50, b"\x02", priority=expected.priority)]


@pytest.mark.parametrize("vector", ACKS, ids=[vector["name"] for vector in ACKS])
def test_ack(vector):
    assert parse(bytes.fromhex(vector["message_hex"])) == Ack()


@pytest.mark.parametrize("vector", MALFORMED, ids=[vector["name"] for vector in MALFORMED])
def test_malformed(vector):
    with pytest.raises(ParseError) as caught:
        parse(bytes.fromhex(vector["message_hex"]))
    assert caught.value.reason == vector["error"]
