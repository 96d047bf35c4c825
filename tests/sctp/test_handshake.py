import dataclasses
import struct

import pytest

from stack.core import PeerError
from stack.sctp import Closed, Established, State, wire
from stack.sctp.handshake import Cookie, Peer, serialize_cookie
from stack.testing import Conditions, Link

from .support import TAG, TSN, RawPeer, association, connected


def init_chunk(init, kind=wire.INIT):
    return wire.serialize_chunk(kind, 0, wire.serialize_init(init))


def test_rfc9260_5_1_four_way_handshake():
    link = Link(association(1), association(2), keep_trace=True)
    link.machines[0].associate(link.now)
    link.run(seconds=1)
    assert [wire.chunks_of(data)[0][0] for _, _, data in link.trace] == [
        wire.INIT,
        wire.INIT_ACK,
        wire.COOKIE_ECHO,
        wire.COOKIE_ACK,
    ]
    assert [e for side in link.events for e in side] == [Established(65535, 65535)] * 2


def test_rfc9260_5_1_streams_are_the_minimum_of_both_wishes():
    link = Link(association(1, outbound_streams=10, inbound_streams=20), association(2, outbound_streams=5))
    link.machines[0].associate(link.now)
    link.run(seconds=1)
    assert link.events[0] == [Established(10, 5)]
    assert link.events[1] == [Established(5, 10)]


def test_rfc9260_3_3_2_init_announces_partial_reliability_reconfig_and_interleaving():
    a = association()
    a.associate(0)
    (packet,) = a.datagrams_to_send(0)
    ((kind, _, value),) = wire.chunks_of(packet)
    assert (kind, packet[4:8]) == (wire.INIT, bytes(4))  # section 8.5.1 A: verification tag 0
    init = wire.parse_init(value, 0, len(value))
    assert (init.forward_tsn, init.extensions, init.a_rwnd) == (True, b"\x82\xc0\x40\xc2", 4 * 1024 * 1024)


@pytest.mark.parametrize("seed", range(10))
def test_rfc9260_5_2_1_both_ends_associate_and_one_association_results(seed):
    link = Link(association(seed), association(seed + 50), Conditions(delay=0.02, jitter=0.03, loss=0.2), seed=seed)
    for machine in link.machines:
        machine.associate(link.now)
    assert link.run(lambda: all(link.events), seconds=60)
    link.machines[0].send(1, 51, b"from a", link.now)
    link.machines[1].send(2, 51, b"from b", link.now)
    assert link.run(lambda: all(len(side) == 2 for side in link.events), seconds=60)
    assert [(e.stream_id, e.data) for e in (link.events[0][1], link.events[1][1])] == [(2, b"from b"), (1, b"from a")]


def test_rfc9260_5_2_1_init_in_cookie_wait_is_answered_with_the_same_tag():
    peer = RawPeer(connect=False)
    peer.a.associate(peer.now)
    ((_, _, value),) = peer.one_packet()
    own = wire.parse_init(value, 0, len(value))
    peer.raw(0, init_chunk(peer.init))
    ((kind, _, value),) = peer.one_packet()
    answer = wire.parse_init(value, 0, len(value))
    assert (kind, answer.initiate_tag, answer.initial_tsn) == (wire.INIT_ACK, own.initiate_tag, own.initial_tsn)
    assert peer.a.state is State.COOKIE_WAIT


def test_rfc9260_5_2_2_init_when_established_is_answered_with_a_new_tag_and_changes_nothing():
    peer = RawPeer()
    peer.raw(0, init_chunk(peer.init))
    ((kind, _, value),) = peer.one_packet()
    assert kind == wire.INIT_ACK
    assert wire.parse_init(value, 0, len(value)).initiate_tag != peer.peer_tag
    peer.send(peer.data(b"still here"))
    assert peer.messages() == [(0, b"still here")]


def test_rfc9260_5_2_4_action_a_a_restarted_peer_ends_the_association_if_that_is_wished():
    peer = RawPeer(accept_restart=False)
    peer.init.initiate_tag = 0x22222222
    peer.raw(0, init_chunk(peer.init))
    ((_, _, value),) = peer.one_packet()
    answer = wire.parse_init(value, 0, len(value))
    peer.raw(answer.initiate_tag, wire.serialize_chunk(wire.COOKIE_ECHO, 0, answer.cookie))
    assert peer.events() == [Closed(PeerError("sctp", "peer-restarted"))]
    assert peer.a.next_timer() is None


def test_rfc9260_5_2_4_action_c_a_late_cookie_is_discarded():
    peer = RawPeer()
    theirs = Peer(TAG, TSN, 1, 1, 1, forward_tsn=True, reconfig=True)
    for tie, reason in ((0, "late-cookie"), (5, "bad-cookie")):
        cookie = serialize_cookie(Cookie(peer.now, 0x77, 5, tie, tie, theirs), peer.a._handshake._key)
        peer.raw(0x77, wire.serialize_chunk(wire.COOKIE_ECHO, 0, cookie))
        assert peer.a.dropped.pop(reason) == 1
    assert peer.a.state is State.ESTABLISHED
    assert peer.chunks() == []


def test_rfc9260_5_2_4_action_d_a_repeated_cookie_is_acknowledged_again():
    peer = RawPeer(connect=False)
    peer.raw(0, init_chunk(peer.init))
    ((_, _, value),) = peer.one_packet()
    answer = wire.parse_init(value, 0, len(value))
    for _ in range(2):
        peer.raw(answer.initiate_tag, wire.serialize_chunk(wire.COOKIE_ECHO, 0, answer.cookie))
        assert peer.kinds() == [wire.COOKIE_ACK]
    assert peer.events() == [Established(65535, 65535)]


@pytest.mark.parametrize("position", [0, 20, 50, -1])
def test_rfc9260_5_1_5_a_changed_cookie_is_refused(position):
    peer = RawPeer(connect=False)
    peer.raw(0, init_chunk(peer.init))
    ((_, _, value),) = peer.one_packet()
    answer = wire.parse_init(value, 0, len(value))
    cookie = bytearray(answer.cookie)
    cookie[position] ^= 1
    peer.raw(answer.initiate_tag, wire.serialize_chunk(wire.COOKIE_ECHO, 0, bytes(cookie)))
    assert peer.a.dropped == {"bad-cookie": 1}
    assert peer.kinds() == []


def test_rfc9260_5_1_5_a_stale_cookie_is_reported():
    peer = RawPeer(connect=False)
    peer.raw(0, init_chunk(peer.init))
    ((_, _, value),) = peer.one_packet()
    answer = wire.parse_init(value, 0, len(value))
    peer.now += 61
    peer.raw(answer.initiate_tag, wire.serialize_chunk(wire.COOKIE_ECHO, 0, answer.cookie))
    ((kind, _, value),) = peer.one_packet()
    assert (kind, struct.unpack("!HHL", value)) == (wire.ERROR, (wire.CAUSE_STALE_COOKIE, 8, 1_000_000))
    assert peer.a.dropped == {"stale-cookie": 1}


def test_rfc9260_5_2_6_our_stale_cookie_ends_the_association():
    peer = RawPeer(connect=False)
    answer_init(peer)
    cause = wire.serialize_parameter(wire.CAUSE_STALE_COOKIE, bytes(4))
    peer.send(wire.serialize_chunk(wire.ERROR, 0, cause))
    assert peer.events() == [Closed(PeerError("sctp", "stale-cookie"))]


def answer_init(peer, **changes):
    """Let the association associate, and answer its INIT."""
    peer.a.associate(peer.now)
    ((_, _, value),) = peer.one_packet()
    own = wire.parse_init(value, 0, len(value))
    peer.peer_tag, peer.peer_tsn = own.initiate_tag, own.initial_tsn
    peer.send(init_chunk(dataclasses.replace(peer.init, **{"cookie": b"cook", **changes}), wire.INIT_ACK))


def test_rfc9260_5_1_c_the_cookie_goes_back():
    peer = RawPeer(connect=False)
    answer_init(peer, cookie=b"a cookie of 22 bytes!!")
    assert peer.one_packet() == [(wire.COOKIE_ECHO, 0, b"a cookie of 22 bytes!!")]
    assert peer.a.state is State.COOKIE_ECHOED
    peer.send(wire.serialize_chunk(wire.COOKIE_ACK, 0), peer.data(b"first"))
    assert [type(e).__name__ for e in peer.events()] == ["Established", "MessageReceived"]


def test_rfc9260_5_1_an_init_ack_without_cookie_is_refused():
    peer = RawPeer(connect=False)
    answer_init(peer, cookie=b"")
    assert peer.a.dropped == {"missing-cookie": 1}
    assert peer.a.state is State.COOKIE_WAIT


def test_rfc9260_5_2_3_an_unexpected_init_ack_is_discarded():
    peer = RawPeer()
    peer.send(init_chunk(dataclasses.replace(peer.init, cookie=b"cook"), wire.INIT_ACK))
    assert peer.a.dropped == {"unexpected-chunk": 1}


def test_rfc9260_5_2_5_a_duplicate_cookie_ack_is_discarded():
    peer = RawPeer()
    peer.send(wire.serialize_chunk(wire.COOKIE_ACK, 0))
    assert peer.a.dropped == {"unexpected-chunk": 1}


def test_rfc9260_3_2_2_unrecognized_parameters_are_reported_or_stop_the_rest():
    peer = RawPeer(connect=False)
    value = wire.serialize_init(peer.init)
    for kind in (0xC123, 0x9123):  # skip and report, skip silently
        value += wire.PADDING[len(value) & 3] + wire.serialize_parameter(kind, b"what")
    peer.raw(0, wire.serialize_chunk(wire.INIT, 0, value))
    ((_, _, value),) = peer.one_packet()
    found = {kind: value[start:stop] for kind, start, stop in wire.parameters(value, 16, len(value))}
    assert found[wire.PARAMETER_UNRECOGNIZED] == struct.pack("!HH", 0xC123, 8) + b"what"


@pytest.mark.parametrize(("kind", "supported", "reported"), [(0x0123, False, 0), (0x4123, False, 1), (0x8123, True, 0)])
def test_rfc9260_3_2_1_high_bits_of_an_unknown_parameter_decide(kind, supported, reported):
    value = struct.pack("!LLHHL", 1, 2, 3, 4, 5) + wire.serialize_parameter(kind, b"1234")
    value += wire.serialize_parameter(wire.PARAMETER_FORWARD_TSN_SUPPORTED)
    init = wire.parse_init(value, 0, len(value))
    assert (init.forward_tsn, len(init.unrecognized)) == (supported, reported)


def test_rfc9260_5_1_t1_backs_off_and_gives_up():
    a = association()
    a.associate(0)
    times = []
    while True:
        now = a.next_timer() or 0
        a.handle_timer(now)
        if a.datagrams_to_send(now):
            times.append(now)
        if (event := a.next_event()) is not None:
            break
    assert times == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 25.5, 35.5, 45.5]  # doubled up to rto_max
    assert event == Closed(PeerError("sctp", "handshake-timeout"))
    assert a.next_timer() is None


def test_messages_sent_before_the_association_is_up_wait():
    link = Link(association(1), association(2))
    link.machines[0].send(3, 51, b"early", link.now)
    assert link.machines[0].buffered_amount(3) == 5
    assert link.machines[0].datagrams_to_send(link.now) == []
    link.machines[0].associate(link.now)
    link.run(seconds=1)
    assert [type(e).__name__ for e in link.events[1]] == ["Established", "MessageReceived"]
    assert link.machines[0].buffered_amount(3) == 0


def test_messages_on_streams_that_the_peer_does_not_grant_are_dropped_and_counted():
    link = Link(association(1), association(2, inbound_streams=4))
    link.machines[0].send(3, 51, b"granted", link.now)
    link.machines[0].send(4, 51, b"not granted", link.now)
    link.machines[0].associate(link.now)
    link.run(seconds=1)
    assert link.machines[0].dropped == {"no-such-stream": 1}
    assert [e.data for e in link.events[1][1:]] == [b"granted"]
    assert link.machines[0].total_buffered == 0


def test_rfc9260_8_5_1_tags_and_ports_are_checked():
    peer = RawPeer()
    peer.raw(peer.peer_tag ^ 1, peer.data())
    peer.a.receive_datagram(wire.serialize_packet(5001, 5000, peer.peer_tag, peer.data()), peer.now)
    bad = bytearray(wire.serialize_packet(5000, 5000, peer.peer_tag, peer.data()))
    bad[-1] ^= 1
    peer.a.receive_datagram(bytes(bad), peer.now)
    peer.raw(peer.peer_tag, init_chunk(peer.init))
    peer.raw(0, init_chunk(peer.init), peer.data())
    peer.a.receive_datagram(b"", peer.now)
    assert peer.a.dropped == {
        "bad-verification-tag": 2,
        "wrong-port": 1,
        "bad-checksum": 1,
        "bundled-init": 1,
        "truncated": 1,
    }
    assert peer.events() == []


@pytest.mark.parametrize(
    "kind", [wire.SACK, wire.DATA, wire.HEARTBEAT, wire.SHUTDOWN, wire.RE_CONFIG, wire.FORWARD_TSN]
)
def test_chunks_of_an_association_are_refused_before_there_is_one(kind):
    peer = RawPeer(connect=False)
    peer.a.associate(peer.now)
    ((_, _, value),) = peer.one_packet()
    peer.peer_tag = wire.parse_init(value, 0, len(value)).initiate_tag
    peer.send(wire.serialize_chunk(kind, 0, bytes(16)))
    assert peer.a.dropped == {"unexpected-chunk": 1}
    assert peer.chunks() == []


def test_rfc9260_8_5_1_b_abort_with_the_reflected_tag_is_believed_only_with_the_t_bit():
    peer = RawPeer()
    peer.raw(TAG, wire.serialize_chunk(wire.ABORT, 0))
    assert peer.a.dropped == {"bad-verification-tag": 1}
    peer.raw(TAG, wire.serialize_chunk(wire.ABORT, 1))
    assert peer.events() == [Closed(PeerError("sctp", "aborted-by-peer"))]


def test_the_helper_connects():
    assert connected().machines[0].outbound_streams == 65535
