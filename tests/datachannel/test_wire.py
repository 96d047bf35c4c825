"""DCEP messages: RFC 8832 section 5."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core import LocalError, ParseError
from stack.datachannel import Ack, Open, parse, serialize

texts = st.text(max_size=40)


@st.composite
def opens(draw):
    limit = draw(st.sampled_from(["max_retransmits", "max_packet_life_time", "none"]))
    options = {} if limit == "none" else {limit: draw(st.integers(0, 0xFFFFFFFF))}
    return Open(draw(texts), draw(texts), ordered=draw(st.booleans()), priority=draw(st.integers(0, 0xFFFF)), **options)


@given(opens())
def test_open_survives_the_wire(message):
    assert parse(serialize(message)) == message


@given(st.binary(max_size=80), st.booleans())
def test_parse_raises_only_parse_error(data, as_open):
    data = b"\x03" + data if as_open else data
    try:
        message = parse(data)
    except ParseError as error:
        reason = error.reason
    else:
        reason = None
        assert parse(serialize(message)) == message
    assert reason in {None, "truncated", "trailing-bytes", "bad-message-type", "bad-channel-type", "bad-utf8"}


@pytest.mark.parametrize(
    ("channel_type", "parameter", "expected"),
    [
        (0x00, 0, Open("l", "p")),
        (0x80, 0, Open("l", "p", ordered=False)),
        (0x01, 3, Open("l", "p", max_retransmits=3)),
        (0x81, 0, Open("l", "p", ordered=False, max_retransmits=0)),
        (0x02, 500, Open("l", "p", max_packet_life_time=500)),
        (0x82, 500, Open("l", "p", ordered=False, max_packet_life_time=500)),
    ],
)
def test_the_six_channel_types(channel_type, parameter, expected):
    data = struct.pack("!BBHLHH", 3, channel_type, 256, parameter, 1, 1) + b"lp"
    assert parse(data) == expected
    assert serialize(expected) == data


def test_a_reliable_channel_ignores_its_parameter():
    assert parse(struct.pack("!BBHLHH", 3, 0, 256, 77, 0, 0)) == Open("")


def test_ack():
    assert serialize(Ack()) == b"\x02"
    assert parse(b"\x02") == Ack()
    assert parse(b"\x02\0\0\0") == Ack()  # as some peers pad it


HEADER = struct.pack("!BBHLHH", 3, 0, 0, 0, 2, 1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (b"\x03", "truncated"),
        (HEADER[:-1], "truncated"),
        (HEADER + b"ab", "truncated"),
        (HEADER + b"abcd", "trailing-bytes"),
        (b"\x00", "bad-message-type"),
        (b"\x04" + HEADER[1:], "bad-message-type"),
        (b"\xff", "bad-message-type"),
        (b"\x03\x03" + HEADER[2:] + b"abc", "bad-channel-type"),
        (b"\x03\x7f" + HEADER[2:] + b"abc", "bad-channel-type"),
        (b"\x03\xff" + HEADER[2:] + b"abc", "bad-channel-type"),
        (HEADER + b"\xff\xffc", "bad-utf8"),
        (HEADER + b"ab\xc3", "bad-utf8"),
    ],
)
def test_malformed(data, reason):
    with pytest.raises(ParseError) as caught:
        parse(data)
    assert caught.value.reason == reason


def test_label_and_protocol_of_the_greatest_length():
    message = Open("é" * 32767 + "x", "p" * 65535)
    assert parse(serialize(message)) == message


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Open("é" * 32768), "label has 65536 bytes"),
        (Open("", "p" * 65536), "protocol has 65536 bytes"),
        (Open("\ud800"), "lone surrogate"),
        (Open("", max_retransmits=1, max_packet_life_time=1), "not both"),
        (Open("", max_retransmits=-1), "must be 0"),
        (Open("", max_packet_life_time=1 << 32), "must be 0"),
        (Open("", priority=65536), "priority"),
        (Open("", priority=-1), "priority"),
    ],
)
def test_what_does_not_fit_is_refused(message, words):
    with pytest.raises(LocalError, match=words):
        serialize(message)
