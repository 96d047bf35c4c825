"""Framing, attributes, URIs, policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.core import Address, LocalError, ParseError
from stack.stun import Class, Message
from stack.stun.limiter import Limiter
from stack.turn import MAX_DATA, PeerPolicy, StreamDeframer, Uri, frame, is_channel_data, parse_uri, wire

MESSAGES = st.one_of(
    st.builds(wire.channel_data, st.integers(0x4000, 0x4FFF), st.binary(max_size=50)),
    st.builds(
        lambda data: wire.relay_message(wire.SEND, bytes(12), Address("9.9.9.9", 9), data), st.binary(max_size=50)
    ),
)


@given(st.lists(MESSAGES, max_size=8), st.lists(st.integers(1, 60), max_size=20))
def test_a_stream_in_any_pieces_gives_the_messages(messages, cuts):
    stream = b"".join(map(frame, messages))
    assert len(stream) % 4 == 0
    deframer, found, at = StreamDeframer(), [], 0
    for size in [*cuts, len(stream)]:
        found += deframer.push(stream[at : at + size])
        at += size
    assert found == messages
    assert deframer.buffered == 0


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_a_stream_raises_nothing_but_parse_errors(pieces):
    deframer, found = StreamDeframer(), []
    reason = None
    try:
        for piece in pieces:
            found += deframer.push(piece)
    except ParseError as error:
        reason = error.reason
    assert reason in {None, "not-stun", "bad-length"}
    assert sum(map(len, found)) <= sum(map(len, pieces))


@given(st.integers(0x4000, 0x4FFF), st.binary(max_size=100), st.binary(max_size=3))
def test_channel_data(number, data, padding):
    message = wire.channel_data(number, data)
    assert is_channel_data(message)
    assert wire.parse_channel_data(message + padding) == (number, data)


@pytest.mark.parametrize("data", [b"", b"\x40\0\0", b"\x40\0\0\1"])
def test_channel_data_that_is_cut(data):
    with pytest.raises(ParseError) as caught:
        wire.parse_channel_data(data)
    assert caught.value.reason == "truncated"


def test_the_longest_payload_fits_everywhere():
    message = wire.relay_message(wire.SEND, bytes(12), Address("2001:db8::1", 1), bytes(MAX_DATA))
    assert len(message) <= 65507
    assert Message.parse(message).attributes[wire.DATA] == bytes(MAX_DATA)


def test_addresses_after_the_integrity_do_not_count():
    message = Message(wire.CREATE_PERMISSION, Class.REQUEST, bytes(12))
    wire.set_address(message, wire.XOR_PEER_ADDRESS, Address("9.9.9.9", 1))
    data = message.serialize(key=b"k", fingerprint=False)
    smuggled = data + data[20:32]
    assert list(wire.addresses(smuggled, wire.XOR_PEER_ADDRESS)) == [Address("9.9.9.9", 1)]


def test_values_that_are_none():
    message = Message(wire.ALLOCATE, Class.REQUEST, bytes(12))
    with pytest.raises(LocalError):
        wire.set_address(message, wire.XOR_PEER_ADDRESS, Address("example.org", 1))
    with pytest.raises(LocalError):
        wire.set_address(message, wire.XOR_PEER_ADDRESS, Address("9.9.9.9", 70000))
    message.attributes[wire.XOR_PEER_ADDRESS] = b"\0\3\0\0\0\0\0\0"
    with pytest.raises(ParseError) as caught:
        wire.address(message, wire.XOR_PEER_ADDRESS)
    assert caught.value.reason == "bad-attribute"


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        # RFC 7065 appendix B
        ("turn:example.org", Uri("example.org", 3478, "udp", False)),
        ("turns:example.org", Uri("example.org", 5349, "tcp", True)),
        ("turn:example.org:8000", Uri("example.org", 8000, "udp", False)),
        ("turn:example.org?transport=udp", Uri("example.org", 3478, "udp", False)),
        ("turn:example.org?transport=tcp", Uri("example.org", 3478, "tcp", False)),
        ("turns:example.org?transport=tcp", Uri("example.org", 5349, "tcp", True)),
        ("TURN:[2001:DB8::1]:1?transport=TCP", Uri("2001:db8::1", 1, "tcp", False)),
        ("turn:192.0.2.1:", Uri("192.0.2.1", 3478, "udp", False)),
    ],
)
def test_uris(text, uri):
    assert parse_uri(text) == uri
    assert parse_uri(str(uri)) == uri


@pytest.mark.parametrize(
    "text",
    [
        *("", "turn:", "turn://example.org", "stun:example.org", "turn:a:0", "turn:a:65536", "turn:a:123456"),
        *("turn:a?x=1", "turn:[::1", "turn:a b", "turn:a\n", "turn:user@example.org", "turn:a?transport="),
    ],
)
def test_uris_that_are_none(text):
    with pytest.raises(ParseError) as caught:
        parse_uri(text)
    assert caught.value.reason == "not-a-turn-uri"


@given(st.text(max_size=40))
def test_uris_raise_nothing_but_parse_errors(text):
    for candidate in (text, "turn:" + text):
        try:
            uri = parse_uri(candidate)
        except ParseError:
            continue
        assert parse_uri(str(uri)) == uri


@pytest.mark.parametrize(
    ("host", "permitted"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("239.1.1.1", False),
        ("255.255.255.255", False),
        ("240.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::808:808", False),
        ("2002:7f00:1::", False),
        ("2002:c0a8:101::1", False),
        ("2001:0:7f00:1::", False),
        ("198.51.100.1", False),
        ("example.org", False),
    ],
)
def test_hosts(host, permitted):
    assert PeerPolicy().permits(host) is permitted


def test_the_limiter_takes_an_ipv6_network_as_one_source():
    limiter = Limiter(rate=1.0, burst=2.0)
    assert [limiter.allows(f"2001:db8::{number}", 0.0) for number in range(3)] == [True, True, False]
    assert limiter.allows("2001:db8:0:1::1", 0.0)
    assert limiter.allows("2001:db8::9", 1.0)


def test_exceptions():
    policy = PeerPolicy(allowed=("10.0.0.0/8",), denied=("8.8.8.8/32", "10.1.0.0/16"), own=("1.1.1.1",))
    assert policy.permits("10.0.0.1")
    assert not policy.permits("10.1.0.1")
    assert not policy.permits("8.8.8.8")
    assert not policy.permits("1.1.1.1")
    assert not policy.permits("192.168.0.1")
    translated = PeerPolicy(allowed=("64:ff9b::/96",))
    assert translated.permits("64:ff9b::808:808")
    assert not translated.permits("64:ff9b::7f00:1")
