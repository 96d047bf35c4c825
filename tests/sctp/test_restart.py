"""The peer restarts (RFC 9260 section 5.2.4), and data that goes with COOKIE ECHO (section 5.1)."""

import dataclasses
import struct

import pytest

from stack.core import PeerError
from stack.sctp import Closed, Established, MessageReceived, OutgoingStreamsReset, Restarted, State, wire
from stack.testing import Conditions, Link

from .support import TSN, RawPeer, association, connected

NEW_TAG = 0x22222222


def init_chunk(init, kind=wire.INIT):
    return wire.serialize_chunk(kind, 0, wire.serialize_init(init))


def restart(peer, *chunks, tsn=5000):
    """Set the association up again, as a peer does that has forgotten it; return the answer's chunks."""
    peer.init = dataclasses.replace(peer.init, initiate_tag=NEW_TAG, initial_tsn=tsn)
    peer.raw(0, init_chunk(peer.init))
    answer = next(value for kind, _, value in peer.chunks() if kind == wire.INIT_ACK)
    answer = wire.parse_init(answer, 0, len(answer))
    assert answer.initiate_tag != peer.peer_tag  # RFC 9260 section 5.2.2
    peer.peer_tag, peer.peer_tsn, peer.tsn = answer.initiate_tag, answer.initial_tsn, tsn
    peer.send(wire.serialize_chunk(wire.COOKIE_ECHO, 0, answer.cookie), *chunks)
    return peer.chunks()


def test_rfc9260_5_2_4_action_a_the_association_goes_on_with_new_tags_and_tsns():
    peer = RawPeer()
    peer.send(peer.data(b"before", stream=1))
    peer.a.send(2, 51, b"before", peer.now)
    peer.chunks()
    kinds = [kind for kind, _, _ in restart(peer)]
    assert kinds[0] == wire.COOKIE_ACK
    assert peer.events() == [MessageReceived(1, 51, b"before"), Restarted(65535, 65535)]
    assert peer.a.state is State.ESTABLISHED
    peer.send(peer.data(b"after", stream=1))
    assert peer.events() == [MessageReceived(1, 51, b"after")]
    peer.a.send(2, 51, b"after", peer.now)
    packet = peer.a.datagrams_to_send(peer.now)[0]
    assert struct.unpack_from("!L", packet, 4)[0] == NEW_TAG
    value = next(value for kind, _, value in wire.chunks_of(packet) if kind == wire.DATA)
    assert struct.unpack_from("!LHH", value) == (peer.peer_tsn, 2, 0)


def test_rfc9260_5_2_4_action_a_what_waited_is_sent_to_the_restarted_peer_and_begun_messages_begin_again():
    peer = RawPeer()
    big = bytes(range(256)) * 100
    peer.a.send(2, 51, big, peer.now)
    peer.a.send(3, 51, b"waits", peer.now)
    assert len(peer.sent_tsns()) == 10
    buffered = peer.a.buffered_amount(2)
    chunks = restart(peer)
    assert peer.a.buffered_amount(2) == buffered
    peer.send(peer.sack(sum(kind == wire.DATA for kind, _, _ in chunks)))
    got = [value for kind, _, value in chunks + peer.chunks() if kind == wire.DATA]
    by_stream = {2: b"", 3: b""}
    for value in got:
        by_stream[struct.unpack_from("!H", value, 4)[0]] += value[12:]
    assert by_stream == {2: big, 3: b"waits"}


def test_rfc9260_5_2_4_action_a_messages_not_taken_still_count_in_the_window():
    peer = RawPeer()
    peer.send(peer.data(bytes(1000)))
    restart(peer)
    assert peer.a._inbound.held > 1000
    assert len(peer.events()) == 2
    assert peer.a._inbound.held == 0


def test_rfc9260_5_1_c_data_behind_the_cookie_of_a_restarted_peer_is_taken():
    peer = RawPeer()
    chunk = wire.serialize_chunk(wire.DATA, 11, struct.pack("!LHHL", 5000, 1, 0, 51) + b"early")
    chunks = restart(peer, chunk)
    assert {kind for kind, _, _ in chunks} == {wire.COOKIE_ACK, wire.SACK}
    assert peer.events() == [Restarted(65535, 65535), MessageReceived(1, 51, b"early")]


def test_a_reset_under_way_is_done_when_the_peer_restarts():
    peer = RawPeer()
    peer.a.send(1, 51, b"x", peer.now)
    peer.chunks()
    peer.a.reset_streams([1, 2], peer.now)
    peer.chunks()
    restart(peer)
    events = peer.events()
    done = sorted(i for e in events if isinstance(e, OutgoingStreamsReset) and e.ok for i in e.stream_ids)
    assert done == [1, 2]
    assert Restarted(65535, 65535) in events
    peer.a.send(1, 51, b"again", peer.now)
    assert "RECONFIG" not in peer.a._timers


@pytest.mark.parametrize("state", [State.SHUTDOWN_PENDING, State.SHUTDOWN_SENT, State.SHUTDOWN_RECEIVED])
def test_rfc9260_5_2_4_action_a_while_shutting_down(state):
    peer = RawPeer()
    if state is State.SHUTDOWN_PENDING:
        peer.a.send(1, 51, b"x", peer.now)
    elif state is State.SHUTDOWN_RECEIVED:
        peer.a.send(1, 51, b"x", peer.now)
        peer.chunks()
        peer.send(wire.serialize_chunk(wire.SHUTDOWN, 0, struct.pack("!L", peer.peer_tsn - 1 & 0xFFFFFFFF)))
    if state is not State.SHUTDOWN_RECEIVED:
        peer.a.close(peer.now)
    peer.chunks()
    assert peer.a.state is state
    kinds = [kind for kind, _, _ in restart(peer)]
    assert kinds[0] == wire.COOKIE_ACK
    if state is State.SHUTDOWN_RECEIVED:
        assert peer.a.state is State.ESTABLISHED  # it was the old peer that wanted to end
        assert "CLOSE" not in peer.a._timers
    else:
        assert peer.a.state is State.SHUTDOWN_SENT  # we still do


def test_rfc9260_5_2_4_action_a_not_once_the_shutdown_is_acknowledged():
    peer = RawPeer()
    peer.raw(0, init_chunk(dataclasses.replace(peer.init, initiate_tag=NEW_TAG)))
    ((_, _, value),) = peer.chunks()
    answer = wire.parse_init(value, 0, len(value))
    peer.send(wire.serialize_chunk(wire.SHUTDOWN, 0, struct.pack("!L", peer.peer_tsn - 1 & 0xFFFFFFFF)))
    assert peer.kinds() == [wire.SHUTDOWN_ACK]
    peer.raw(answer.initiate_tag, wire.serialize_chunk(wire.COOKIE_ECHO, 0, answer.cookie))
    assert peer.a.dropped == {"late-cookie": 1}
    chunks = peer.chunks()
    assert [kind for kind, _, _ in chunks] == [wire.SHUTDOWN_ACK, wire.ERROR] or wire.ERROR in [k for k, _, _ in chunks]
    error = next(value for kind, _, value in chunks if kind == wire.ERROR)
    assert struct.unpack_from("!H", error)[0] == wire.CAUSE_COOKIE_WHILE_SHUTTING_DOWN
    assert peer.a.state is State.SHUTDOWN_ACK_SENT


def test_a_restart_that_is_not_wished_ends_the_association_and_tells_the_peer():
    peer = RawPeer(accept_restart=False)
    chunks = restart(peer)
    assert peer.events() == [Closed(PeerError("sctp", "peer-restarted"))]
    assert [kind for kind, _, _ in chunks] == [wire.ABORT]


def test_rfc9260_5_2_4_action_b_a_peer_that_chose_another_tag_meanwhile():
    peer = RawPeer(connect=False)
    peer.a.associate(peer.now)
    ((_, _, value),) = peer.one_packet()
    own = wire.parse_init(value, 0, len(value))
    peer.peer_tag, peer.peer_tsn = own.initiate_tag, own.initial_tsn
    peer.raw(0, init_chunk(dataclasses.replace(peer.init, initiate_tag=NEW_TAG)))  # its INIT, with one tag
    ((_, _, value),) = peer.one_packet()
    cookie = wire.parse_init(value, 0, len(value)).cookie
    peer.send(init_chunk(dataclasses.replace(peer.init, cookie=b"cook"), wire.INIT_ACK))  # its INIT ACK, with another
    assert peer.kinds() == [wire.COOKIE_ECHO]
    peer.send(wire.serialize_chunk(wire.COOKIE_ACK, 0))
    assert peer.events() == [Established(65535, 65535)]
    peer.send(wire.serialize_chunk(wire.COOKIE_ECHO, 0, cookie))
    packet = peer.a.datagrams_to_send(peer.now)[0]
    assert struct.unpack_from("!L", packet, 4)[0] == NEW_TAG
    assert wire.chunks_of(packet)[0][0] == wire.COOKIE_ACK
    assert (peer.events(), peer.a.state) == ([], State.ESTABLISHED)


@pytest.mark.parametrize("seed", range(6))
def test_two_associations_and_one_of_them_is_born_again(seed):
    link = connected(Conditions(delay=0.02, loss=0.1, jitter=0.01), seed=seed)
    a = link.machines[0]
    a.send(1, 51, bytes(30_000), link.now)
    link.run(seconds=0.05)
    again = Link(a, association(seed + 7), Conditions(delay=0.02, loss=0.1), seed=seed, start=link.now)
    again.machines[1].associate(again.now)
    again.machines[1].send(2, 51, b"born again", again.now)
    assert again.run(lambda: any(isinstance(e, MessageReceived) for e in again.events[0]), seconds=60)
    assert any(isinstance(e, Restarted) for e in again.events[0])
    a.send(1, 51, b"welcome", again.now)
    assert again.run(lambda: any(getattr(e, "data", b"") == b"welcome" for e in again.events[1]), seconds=60)


# Data with COOKIE ECHO


def answer_init(peer, **changes):
    peer.a.associate(peer.now)
    ((_, _, value),) = peer.one_packet()
    own = wire.parse_init(value, 0, len(value))
    peer.peer_tag, peer.peer_tsn = own.initiate_tag, own.initial_tsn
    peer.send(init_chunk(dataclasses.replace(peer.init, **{"cookie": b"cook", **changes}), wire.INIT_ACK))


def test_rfc9260_5_1_c_data_leaves_with_cookie_echo_in_its_one_packet():
    peer = RawPeer(connect=False)
    peer.a.send(1, 50, b"first", peer.now)
    peer.a.send(2, 51, bytes(5000), peer.now)
    answer_init(peer)
    packet = peer.one_packet()
    assert [kind for kind, _, _ in packet] == [wire.COOKIE_ECHO, wire.DATA, wire.DATA]
    assert peer.chunks() == []  # section 5.1 C: nothing else until COOKIE ACK
    assert peer.skip(0.4) == []
    peer.send(wire.serialize_chunk(wire.COOKIE_ACK, 0), peer.sack(2))
    assert peer.events() == [Established(65535, 65535)]
    rest = [value for kind, _, value in peer.chunks() if kind == wire.DATA]
    assert len(packet[2][2]) - 12 + sum(len(value) - 12 for value in rest) == 5000
    assert "T3" in peer.a._timers


def test_rfc9260_5_1_c_a_lost_cookie_echo_is_repeated_with_its_data():
    peer = RawPeer(connect=False)
    peer.a.send(1, 50, b"first", peer.now)
    answer_init(peer)
    first = peer.one_packet()
    again = peer.skip(0.5)
    assert again == first
    peer.send(wire.serialize_chunk(wire.COOKIE_ACK, 0), peer.sack(1))
    assert peer.a.outstanding_bytes == 0
    assert peer.kinds() == []


def test_early_data_that_the_peer_did_not_take_is_sent_again():
    peer = RawPeer(connect=False)
    peer.a.send(1, 50, b"first", peer.now)
    answer_init(peer)
    peer.one_packet()
    peer.send(wire.serialize_chunk(wire.COOKIE_ACK, 0))
    assert peer.kinds() == []
    chunks = peer.skip(1.0)
    assert wire.DATA in [kind for kind, _, _ in chunks]


def test_early_data_saves_a_round_trip_and_is_optional():
    delays = {}
    for early in (True, False):
        settings = {"early_data": early}
        link = Link(association(1, **settings), association(2), Conditions(delay=0.05))
        link.machines[0].send(1, 51, b"x", link.now)
        link.machines[0].associate(link.now)
        start = link.now
        assert link.run(lambda link=link: any(isinstance(e, MessageReceived) for e in link.events[1]))
        delays[early] = link.now - start
    assert delays[True] == pytest.approx(0.15)
    assert delays[False] == pytest.approx(0.25)


def test_rfc9260_5_1_streams_that_are_not_granted_send_nothing_early():
    peer = RawPeer(connect=False)
    peer.a.send(7, 50, b"x", peer.now)
    answer_init(peer, inbound_streams=5)
    assert [kind for kind, _, _ in peer.one_packet()] == [wire.COOKIE_ECHO]
    assert peer.a.dropped == {"no-such-stream": 1}


def test_rfc9260_3_2_2_unrecognized_parameters_of_init_ack_are_reported_behind_cookie_echo():
    peer = RawPeer(connect=False)
    peer.a.associate(peer.now)
    ((_, _, value),) = peer.one_packet()
    peer.peer_tag = wire.parse_init(value, 0, len(value)).initiate_tag
    value = wire.serialize_init(dataclasses.replace(peer.init, cookie=b"cook"))
    value += wire.PADDING[len(value) & 3] + wire.serialize_parameter(0xC123, b"what")
    peer.send(wire.serialize_chunk(wire.INIT_ACK, 0, value))
    (echo, error) = peer.one_packet()
    assert (echo[0], error[0]) == (wire.COOKIE_ECHO, wire.ERROR)
    cause = wire.serialize_parameter(wire.CAUSE_UNRECOGNIZED_PARAMETERS, wire.serialize_parameter(0xC123, b"what"))
    assert error[2] == cause


def test_a_packet_of_tiny_messages_takes_no_more_than_some():
    peer = RawPeer(connect=False)
    for number in range(40):
        peer.a.send(number, 50, b"x", peer.now)
    answer_init(peer)
    assert len(peer.one_packet()) == 1 + 16
    assert peer.tsn == TSN
