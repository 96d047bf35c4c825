"""Parsers and reassembly: anything may come in."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import DropPacket, ParseError
from stack.dtls import messages, reassembly
from stack.dtls.reassembly import Fragment, Message, Reassembler, parse_fragments
from stack.dtls.wire import HandshakeType

U8, U16 = st.integers(0, 255), st.integers(0, 65535)
EXTENSIONS = st.dictionaries(U16, st.binary(max_size=30), max_size=6)
RANDOM = st.binary(min_size=32, max_size=32)
NUMBERS = st.lists(U16, max_size=10).map(tuple)
VALUES = {
    messages.ClientHello: st.builds(
        messages.ClientHello,
        random=RANDOM,
        cipher_suites=NUMBERS,
        extensions=EXTENSIONS,
        cookie=st.binary(max_size=255),
        session_id=st.binary(max_size=32),
        compression_methods=st.binary(max_size=5),
        version=U16,
    ),
    messages.ServerHello: st.builds(
        messages.ServerHello,
        random=RANDOM,
        cipher_suite=U16,
        extensions=EXTENSIONS,
        session_id=st.binary(max_size=32),
        compression_method=U8,
        version=U16,
    ),
    messages.HelloVerifyRequest: st.builds(messages.HelloVerifyRequest, st.binary(max_size=255), U16),
    messages.CertificateMessage: st.builds(messages.CertificateMessage, st.lists(st.binary(max_size=50), max_size=4)),
    messages.ServerKeyExchange: st.builds(
        messages.ServerKeyExchange, U16, st.binary(max_size=255), U16, st.binary(max_size=80)
    ),
    messages.CertificateRequest: st.builds(
        messages.CertificateRequest, st.binary(max_size=9), NUMBERS, st.binary(max_size=40)
    ),
    messages.ClientKeyExchange: st.builds(messages.ClientKeyExchange, st.binary(max_size=255)),
    messages.CertificateVerify: st.builds(messages.CertificateVerify, U16, st.binary(max_size=80)),
}


REASONS = {"truncated", "trailing-bytes", "bad-session-id", "duplicate-extension", "illegal-group"}


def attempt(parse, data):
    """(value, None) or (None, reason)."""
    try:
        return parse(data), None
    except ParseError as error:
        return None, error.reason


@pytest.mark.parametrize("codec", VALUES, ids=lambda c: c.__name__)
def test_round_trip(codec):
    @settings(max_examples=40, deadline=None)
    @given(VALUES[codec])
    def check(value):
        body = value.serialize()
        assert codec.parse(body) == value

    check()


@pytest.mark.parametrize("codec", VALUES, ids=lambda c: c.__name__)
def test_only_parse_errors(codec):
    @settings(max_examples=60, deadline=None)
    @given(VALUES[codec], st.data())
    def check(value, data):
        body = bytearray(value.serialize())
        for _ in range(data.draw(st.integers(0, 3))):
            if body:
                body[data.draw(st.integers(0, len(body) - 1))] = data.draw(U8)
        cut = bytes(body[: data.draw(st.integers(0, len(body)))])
        parsed, reason = attempt(codec.parse, cut)
        if reason is None:
            assert codec.parse(parsed.serialize()) == parsed
        else:
            assert reason in REASONS

    check()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80))
def test_fragments_of_anything(content):
    fragments, reason = attempt(parse_fragments, content)
    if reason is not None:
        assert reason in {"truncated", "bad-fragment"}
    else:
        assert fragments
        assert all(f.offset + len(f.data) <= f.length for f in fragments)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_messages_come_whole_and_in_order_however_they_are_cut(bodies, random):
    """Pieces in any order, overlapping, repeated."""
    pieces = []
    for sequence, body in enumerate(bodies):
        at = 0
        while at < len(body) or not body:
            start = max(0, at - random.randint(0, 5))
            end = min(len(body), at + random.randint(1, 20))
            pieces.append(Fragment(sequence, len(body), sequence, start, body[start:end]))
            at = end
            if not body:
                break
    pieces += random.sample(pieces, len(pieces) // 2)
    random.shuffle(pieces)
    reassembler, found = Reassembler(), []
    for piece in pieces:
        if piece.sequence >= reassembler.next_sequence:
            reassembler.add(piece)
        while (message := reassembler.next_message()) is not None:
            found.append(message)
    assert found == [Message(n, n, body) for n, body in enumerate(bodies)]


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=40), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 15)), max_size=40))
def test_a_message_is_complete_when_each_byte_was_there(body, pieces):
    """Overlapping, repeated, touching and apart: as a set of bytes sees it."""
    reassembler, seen = Reassembler(), set()
    for start, size in pieces:
        data = body[start : start + size]
        if not data:
            continue
        if reassembler.next_sequence:
            break
        reassembler.add(Fragment(11, len(body), 0, start, data))
        seen |= set(range(start, start + len(data)))
        partial = reassembler._partials[0]
        ranges = list(zip(partial.starts, partial.ends, strict=True))
        assert {byte for low, high in ranges for byte in range(low, high)} == seen
        assert all(before[1] < after[0] for before, after in itertools.pairwise(ranges))
        message = reassembler.next_message()
        assert (message is not None) == (len(seen) == len(body))
        assert message is None or message.body == body


def test_limit_message_length():
    reassembler = Reassembler()
    limit = reassembly.MAX_HANDSHAKE_MESSAGE
    reassembler.add(Fragment(11, limit, 0, 0, b"x"))
    with pytest.raises(DropPacket, match="message-too-long"):
        reassembler.add(Fragment(11, limit + 1, 1, 0, b"x"))


def test_limit_messages_ahead():
    reassembler = Reassembler()
    limit = reassembly.MAX_MESSAGES_AHEAD
    for sequence in range(limit):
        reassembler.add(Fragment(11, 5, sequence, 0, b"x"))
    with pytest.raises(DropPacket, match="message-too-far-ahead"):
        reassembler.add(Fragment(11, 5, limit, 0, b"x"))
    assert reassembler.waiting == limit


def test_limit_fragments_per_message():
    reassembler = Reassembler()
    limit = reassembly.MAX_FRAGMENTS_PER_MESSAGE
    for n in range(limit):
        reassembler.add(Fragment(11, 4 * limit, 0, 2 * n, b"x"))
    with pytest.raises(DropPacket, match="too-many-fragments"):
        reassembler.add(Fragment(11, 4 * limit, 0, 2 * limit, b"x"))
    reassembler.add(Fragment(11, 4 * limit, 0, 0, bytes(4 * limit)))
    assert reassembler.next_message().body == bytes(4 * limit)


def test_the_hashed_form_has_the_header_of_an_unfragmented_message():
    header = bytes((HandshakeType.FINISHED, 0, 0, 3, 0, 7, 0, 0, 0, 0, 0, 3))
    assert Message(HandshakeType.FINISHED, 7, b"abc").serialize() == header + b"abc"
