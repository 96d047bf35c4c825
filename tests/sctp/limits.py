"""A test that hits each named limit (law 9)."""

import dataclasses
import struct

import pytest

from stack.core import LocalError, PeerError
from stack.sctp import MAX_QUEUED_MESSAGES, MAX_SEND_BUFFER, Closed, State, wire
from stack.sctp.context import MAX_CONTROL_CHUNKS
from stack.sctp.handshake import MAX_COOKIE_SIZE, MAX_REPORTED_PARAMETERS
from stack.sctp.inbound import ITEM_OVERHEAD, MAX_DUPLICATES, MAX_GAP_BLOCKS, MAX_TSN_AHEAD
from stack.sctp.outbound import MAX_BEGUN_SHARE, MAX_OUTSTANDING_CHUNKS
from stack.sctp.reconfig import MAX_STREAMS_PER_REQUEST
from stack.sctp.recovery import BURST_PACKETS

from .support import TAG, TSN, B, E, RawPeer, U


def send_buffer():
    peer = RawPeer()
    for _ in range(16):
        peer.a.send(0, 51, bytes(MAX_SEND_BUFFER // 16), peer.now)
    assert not peer.a.can_buffer(1)
    with pytest.raises(LocalError, match="send-buffer-full"):
        peer.a.send(1, 51, b"x", peer.now)
    assert (peer.a.total_buffered, peer.a.buffered_amount(1)) == (MAX_SEND_BUFFER, 0)


def queued_messages():
    peer = RawPeer(connect=False)
    for _ in range(MAX_QUEUED_MESSAGES):
        peer.a.send(0, 51, b"x", peer.now)
    with pytest.raises(LocalError, match="send-buffer-full"):
        peer.a.send(0, 51, b"x", peer.now)


def outstanding_chunks():
    peer = RawPeer(a_rwnd=1 << 30)
    peer.a._outbound.congestion.cwnd = 1 << 30
    for _ in range(MAX_OUTSTANDING_CHUNKS + 10):
        peer.a.send(0, 51, b"x", peer.now)
    assert len(peer.sent_tsns()) == MAX_OUTSTANDING_CHUNKS
    peer.send(peer.sack(10))
    assert len(peer.sent_tsns()) == 10


def receive_window():
    peer = RawPeer()
    peer.a._inbound._limit = peer.a._inbound._limit_behind_gap = 10_000
    for ssn in range(40):
        peer.send(peer.data(bytes(500), ssn=ssn))
    assert peer.a._inbound.held <= 10_000 + 500 + ITEM_OVERHEAD
    assert peer.a.dropped["receive-window-full"] > 0


def receive_window_of_tiny_messages_nobody_takes():
    peer = RawPeer()
    peer.a._inbound._limit = peer.a._inbound._limit_behind_gap = 10_000
    for ssn in range(300):
        peer.send(peer.data(b"x", ssn=ssn))
    assert len(peer.messages()) <= 10_000 // ITEM_OVERHEAD + 1


def window_behind_a_gap():
    peer = RawPeer(max_message_size=1000)
    peer.a._inbound._limit_behind_gap = 5000
    for tsn in range(1, 20):
        peer.send(peer.data(bytes(500), tsn=tsn, ssn=tsn))
    assert peer.a._inbound.held <= 5000
    assert peer.a.dropped == {"receive-window-full": 11}


def message_size():
    for chunks in ([1001], [600, 600]):
        peer = RawPeer(max_message_size=1000)
        last = len(chunks) - 1
        for number, size in enumerate(chunks):
            peer.send(peer.data(bytes(size), flags=B * (number == 0) | E * (number == last)))
        assert peer.events() == [Closed(PeerError("sctp", "message-too-long"))]
        assert peer.kinds() == [wire.ABORT]
    peer = RawPeer(max_message_size=1000)
    peer.send(peer.data(bytes(600), tsn=2, flags=E), peer.data(bytes(600), tsn=1, flags=B))
    assert peer.events() == [Closed(PeerError("sctp", "message-too-long"))]


def tsn_ahead():
    peer = RawPeer()
    peer.send(peer.data(tsn=MAX_TSN_AHEAD - 1, flags=B | E | U))
    assert peer.acknowledged()[2] == [(MAX_TSN_AHEAD, MAX_TSN_AHEAD)]
    peer.send(peer.data(tsn=MAX_TSN_AHEAD, flags=B | E | U))
    assert peer.a.dropped == {"tsn-out-of-range": 1}


def burst_packets():
    peer = RawPeer()
    peer.a.send(0, 51, b"x", peer.now)
    peer.chunks()
    peer.now += 0.1
    peer.send(peer.sack(1))
    peer.a._outbound.congestion.cwnd = 20 * 1132  # the rate is low: the number counts and not the time
    peer.a.send(0, 51, bytes(40 * 1132), peer.now)
    assert len(peer.sent_tsns()) == BURST_PACKETS


def gap_blocks():
    peer = RawPeer()
    for tsn in range(2, 2 * MAX_GAP_BLOCKS + 40, 2):
        peer.send(peer.data(tsn=tsn, flags=B | E | U))
    gaps = peer.acknowledged()[2]
    assert len(gaps) == MAX_GAP_BLOCKS
    assert gaps[0] == (3, 3)


def duplicates():
    peer = RawPeer()
    for _ in range(MAX_DUPLICATES + 10):
        peer.send(peer.data(tsn=0))
    assert len(peer.acknowledged()[3]) == MAX_DUPLICATES
    assert peer.a.dropped == {"duplicate-tsn": MAX_DUPLICATES + 9}


def control_chunks():
    peer = RawPeer()
    for number in range(MAX_CONTROL_CHUNKS + 5):
        peer.send(wire.serialize_chunk(wire.HEARTBEAT, 0, struct.pack("!HHL", 1, 8, number)))
        peer.raw(0, wire.serialize_chunk(wire.INIT, 0, wire.serialize_init(peer.init)))
    kinds = peer.kinds()
    assert (kinds.count(wire.HEARTBEAT_ACK), kinds.count(wire.INIT_ACK)) == (MAX_CONTROL_CHUNKS,) * 2
    assert peer.a.dropped == {"control-queue-full": 10}


def answer_size():
    peer = RawPeer(max_packet_size=512)
    peer.send(wire.serialize_chunk(wire.HEARTBEAT, 0, bytes(600)))
    assert peer.chunks() == []
    assert peer.a.dropped == {"answer-too-long": 1}


def unfinished_messages():
    init = wire.Init(TAG, 1_000_000, 100, 100, TSN, forward_tsn=True, extensions=b"\x40\xc2")
    peer = RawPeer(init=init)
    peer.a._inbound._limit = 10_000
    for stream in range(30):
        peer.send(peer.i_data(bytes(1000), stream=stream, flags=B))
    assert peer.events() == [Closed(PeerError("sctp", "out-of-resource"))]


def begun_messages():
    init = wire.Init(TAG, 20_000, 100, 100, TSN, extensions=b"\x40")
    peer = RawPeer(init=init)
    for stream in range(4):
        peer.a.send(stream, 51, bytes(6000), peer.now)
    streams = [struct.unpack_from("!H", value, 4)[0] for kind, _, value in peer.chunks() if kind == wire.I_DATA]
    assert 6000 < 20_000 // MAX_BEGUN_SHARE < 12_000
    assert streams[:7] == [0] + [1] * 6  # the second would be too much with the first: it is not interrupted


def streams():
    peer = RawPeer(streams=5)
    with pytest.raises(LocalError, match="no-such-stream"):
        peer.a.send(5, 51, b"x", peer.now)
    peer.send(peer.data(stream=5))
    assert peer.a.dropped == {"invalid-stream": 1}


def streams_per_request():
    peer = RawPeer(max_packet_size=512)
    peer.a.reset_streams(range(MAX_STREAMS_PER_REQUEST + 1), peer.now)
    ((kind, _, value),) = peer.chunks()
    (request,) = wire.parse_reconfig(value, 0, len(value))
    assert (kind, len(request.streams)) == (wire.RE_CONFIG, MAX_STREAMS_PER_REQUEST)


def parameters_of_reconfig():
    peer = RawPeer()
    one = wire.serialize_reset_request(wire.ResetRequest(wire.SSN_TSN_RESET, TSN))
    peer.send(wire.serialize_reconfig([one] * 3))
    assert peer.a.dropped == {"bad-reconfig": 1}


def parameters():
    peer = RawPeer()
    peer.send(wire.serialize_chunk(wire.ERROR, 0, b"\0\1\0\4" * (wire.MAX_PARAMETERS + 1)))
    assert peer.a.dropped == {"too-many-parameters": 1}


def reported_parameters():
    peer = RawPeer(connect=False)
    value = wire.serialize_init(peer.init)
    value += wire.PADDING[len(value) & 3] + wire.serialize_parameter(0xC111, bytes(MAX_REPORTED_PARAMETERS))
    peer.raw(0, wire.serialize_chunk(wire.INIT, 0, value))
    ((_, _, value),) = peer.one_packet()
    kinds = [kind for kind, _, _ in wire.parameters(value, 16, len(value))]
    assert wire.PARAMETER_UNRECOGNIZED not in kinds


def cookie_size():
    peer = RawPeer(connect=False)
    peer.a.associate(peer.now)
    ((_, _, value),) = peer.one_packet()
    peer.peer_tag = wire.parse_init(value, 0, len(value)).initiate_tag
    init = dataclasses.replace(peer.init, initiate_tag=TAG, cookie=bytes(MAX_COOKIE_SIZE + 1))
    peer.send(wire.serialize_chunk(wire.INIT_ACK, 0, wire.serialize_init(init)))
    assert peer.a.dropped == {"cookie-too-long": 1}
    assert peer.a.state is State.COOKIE_WAIT


LIMITS = {
    test.__name__.replace("_", "-"): test
    for test in (
        send_buffer,
        queued_messages,
        outstanding_chunks,
        receive_window,
        receive_window_of_tiny_messages_nobody_takes,
        window_behind_a_gap,
        message_size,
        tsn_ahead,
        burst_packets,
        gap_blocks,
        duplicates,
        control_chunks,
        answer_size,
        unfinished_messages,
        begun_messages,
        streams,
        streams_per_request,
        parameters_of_reconfig,
        parameters,
        reported_parameters,
        cookie_size,
    )
}
