import base64
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import ParseError
from stack.sctp import wire

VECTORS = Path(__file__).parents[2] / "vectors" / "sctp"
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)


@pytest.mark.parametrize("vector", json.loads((VECTORS / "init.json").read_text())["vectors"], ids=lambda v: v["name"])
def test_init_vectors(vector):
    raw = base64.b64decode(vector["chunk_base64"])
    ((kind, flags, value),) = wire.chunks_of(bytes(12) + raw)
    init = wire.parse_init(value, 0, len(value))
    assert (kind, flags) == (wire.INIT, 0)
    assert {
        "initiate_tag": init.initiate_tag,
        "a_rwnd": init.a_rwnd,
        "outbound_streams": init.outbound_streams,
        "inbound_streams": init.inbound_streams,
        "initial_tsn": init.initial_tsn,
        "forward_tsn": init.forward_tsn,
        "extensions": init.extensions.hex(),
        "zero_checksum": init.zero_checksum,
    } == vector["fields"]
    assert wire.serialize_chunk(wire.INIT, 0, wire.serialize_init(init))[: len(raw)] == raw


PACKETS = [v for name in ("packets", "usrsctp") for v in json.loads((VECTORS / f"{name}.json").read_text())["vectors"]]


@pytest.mark.parametrize("vector", PACKETS, ids=lambda v: v["name"])
def test_packet_vectors(vector):
    raw = bytes.fromhex(vector["packet"])
    chunks = wire.chunks_of(raw)
    assert [[kind, flags, value.hex()] for kind, flags, value in chunks] == vector["chunks"]
    tag = int.from_bytes(raw[4:8], "big")
    again = wire.serialize_packet(
        int.from_bytes(raw[:2], "big"),
        int.from_bytes(raw[2:4], "big"),
        tag,
        b"".join(wire.serialize_chunk(*chunk) for chunk in chunks),
    )
    assert again == raw  # its checksum too


inits = st.builds(
    wire.Init,
    u32.filter(bool),
    u32,
    u16.filter(bool),
    u16.filter(bool),
    u32,
    st.booleans(),
    st.binary(max_size=9),
    st.binary(max_size=40),
    u32,
)


@given(inits)
def test_init_round_trip(init):
    value = wire.serialize_init(init)
    assert wire.parse_init(value, 0, len(value)) == init


requests = st.one_of(
    st.builds(
        wire.ResetRequest,
        st.just(wire.OUTGOING_SSN_RESET),
        u32,
        u32,
        u32,
        st.lists(u16, max_size=9).map(tuple),
    ),
    st.builds(wire.ResetRequest, st.just(wire.INCOMING_SSN_RESET), u32, streams=st.lists(u16, max_size=9).map(tuple)),
    st.builds(wire.ResetRequest, st.just(wire.SSN_TSN_RESET), u32),
    st.builds(
        wire.ResetRequest, st.sampled_from([wire.ADD_OUTGOING_STREAMS, wire.ADD_INCOMING_STREAMS]), u32, count=u16
    ),
)
responses = st.builds(wire.ResetResponse, u32, u32)


@given(st.lists(st.one_of(requests, responses), min_size=1, max_size=2))
def test_reconfig_round_trip(parts):
    chunk = wire.serialize_reconfig(
        [
            wire.serialize_reset_request(p) if isinstance(p, wire.ResetRequest) else wire.serialize_reset_response(p)
            for p in parts
        ]
    )
    ((kind, _, value),) = wire.chunks_of(bytes(12) + chunk)
    assert kind == wire.RE_CONFIG
    assert wire.parse_reconfig(value, 0, len(value)) == parts


@given(u32, st.lists(st.tuples(u16, u16), max_size=20))
def test_forward_tsn_round_trip(tsn, pairs):
    chunk = wire.serialize_forward_tsn(tsn, pairs)
    assert wire.parse_forward_tsn(chunk, 4, len(chunk)) == (tsn, pairs)


@settings(max_examples=300)
@given(st.binary(max_size=120))
def test_parsers_raise_only_parse_error(data):
    for parse in (wire.parse_init, wire.parse_reconfig, wire.parse_forward_tsn, wire.parse_causes):
        try:
            parse(data, 0, len(data))
        except ParseError as error:
            assert error.reason  # noqa: PT017  the other branch is legal too
    try:
        wire.chunks_of(data)
    except ParseError as error:
        assert error.reason in {"truncated", "bad-chunk-length"}  # noqa: PT017  the same


@pytest.mark.parametrize(
    ("data", "reason"),
    [(bytes(15), "truncated"), (bytes(16), "bad-init"), (b"\1" * 16 + b"\0\1\0\3", "bad-parameter-length")],
)
def test_malformed_init(data, reason):
    with pytest.raises(ParseError) as caught:
        wire.parse_init(data, 0, len(data))
    assert caught.value.reason == reason


def test_packet_writer_bundles_up_to_the_limit():
    writer = wire.PacketWriter(1, 2, 112)
    writer.set_tag(3)
    numbers = [writer.add(wire.serialize_chunk(wire.ERROR, 0, bytes(size))) for size in (36, 56, 96, 4)]
    writer.alone(wire.serialize_chunk(wire.ABORT, 0), 9)
    packets = writer.take()
    assert numbers == [0, 0, 1, 2]
    assert [len(p) for p in packets] == [112, 112, 20, 16]
    assert [[len(v) for _, _, v in wire.chunks_of(p)] for p in packets] == [[36, 56], [96], [4], [0]]
    assert [p[4:8][-1] for p in packets] == [3, 3, 3, 9]
    assert writer.take() == []


@given(u32, st.lists(st.tuples(u16, st.booleans(), u32), max_size=9))
def test_i_forward_tsn_round_trip(tsn, skipped):
    chunk = wire.serialize_i_forward_tsn(tsn, skipped)
    assert wire.parse_i_forward_tsn(chunk, 4, len(chunk)) == (tsn, skipped)


@given(u32, u32, st.none() | st.tuples(u32, u32))
def test_reset_response_round_trip(sequence, result, next_tsns):
    response = wire.ResetResponse(sequence, result, next_tsns)
    chunk = wire.serialize_reconfig([wire.serialize_reset_response(response)])
    assert wire.parse_reconfig(chunk, 4, len(chunk)) == [response]


@given(st.binary(max_size=60))
def test_i_forward_tsn_parses_or_raises_parse_error(data):
    if len(data) < 4 or (len(data) - 4) % 8:
        with pytest.raises(ParseError, match="truncated"):
            wire.parse_i_forward_tsn(data, 0, len(data))
    else:
        assert len(wire.parse_i_forward_tsn(data, 0, len(data))[1]) == len(data) // 8
