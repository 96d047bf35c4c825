import pytest

from stack.core import LocalError, PeerError
from stack.sctp import Closed, State, wire
from stack.testing import Conditions, Link

from .support import RawPeer, association, connected

SHUTDOWN_ACK = wire.serialize_chunk(wire.SHUTDOWN_ACK, 0)
SHUTDOWN_COMPLETE = wire.serialize_chunk(wire.SHUTDOWN_COMPLETE, 0)


def shutdown(peer, sent=0):
    tsn = peer.peer_tsn + sent - 1 & 0xFFFFFFFF
    return wire.serialize_chunk(wire.SHUTDOWN, 0, tsn.to_bytes(4, "big"))


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_rfc9260_9_2_what_was_sent_arrives_before_the_end(seed, both):
    link = connected(Conditions(delay=0.01, loss=0.05), seed=seed)
    for number in range(20):
        link.machines[0].send(0, 51, b"%d" % number, link.now)
    for machine in link.machines[: 1 + both]:
        machine.close(link.now)
    assert link.run(lambda: all(side and isinstance(side[-1], Closed) for side in link.events), seconds=10)
    assert [e.data for e in link.events[1][:-1]] == [b"%d" % n for n in range(20)]
    assert link.events[0][-1] == Closed(None)
    assert all(machine.state is State.CLOSED and machine.next_timer() is None for machine in link.machines)


def test_rfc9260_9_2_shutdown_waits_for_acknowledgement_and_carries_one():
    peer = RawPeer()
    peer.a.send(0, 51, b"last", peer.now)
    peer.a.close(peer.now)
    assert peer.kinds() == [wire.DATA]
    assert peer.a.state is State.SHUTDOWN_PENDING
    with pytest.raises(LocalError, match="closing"):
        peer.a.send(0, 51, b"too late", peer.now)
    peer.send(peer.data(b"x"), peer.sack(1))
    chunks = peer.chunks()
    assert chunks[-1] == (wire.SHUTDOWN, 0, (1000).to_bytes(4, "big"))
    peer.send(SHUTDOWN_ACK)
    assert peer.kinds() == [wire.SHUTDOWN_COMPLETE]
    assert peer.events()[-1] == Closed(None)


def test_rfc9260_9_2_data_in_shutdown_sent_is_acknowledged_with_another_shutdown():
    peer = RawPeer()
    peer.a.close(peer.now)
    assert peer.kinds() == [wire.SHUTDOWN]
    peer.send(peer.data(b"still"))
    assert peer.kinds() == [wire.SACK, wire.SHUTDOWN]
    assert peer.messages() == [(0, b"still")]


def test_rfc9260_9_2_the_peer_shuts_down():
    peer = RawPeer()
    peer.a.send(0, 51, b"on the way", peer.now)
    peer.chunks()
    peer.send(shutdown(peer))
    assert peer.a.state is State.SHUTDOWN_RECEIVED
    assert peer.chunks() == []
    with pytest.raises(LocalError, match="closing"):
        peer.a.send(0, 51, b"too late", peer.now)
    peer.send(shutdown(peer, 1))
    assert peer.kinds() == [wire.SHUTDOWN_ACK]
    peer.send(wire.serialize_chunk(wire.DATA, 3, bytes(13)))
    assert peer.a.dropped == {"unexpected-chunk": 1}
    assert [kind for kind, _, _ in peer.skip(0.3)] == [wire.SHUTDOWN_ACK]  # T2
    peer.send(SHUTDOWN_COMPLETE)
    assert peer.events() == [Closed(None)]


def test_rfc9260_9_2_both_shut_down():
    peer = RawPeer()
    peer.a.close(peer.now)
    peer.chunks()
    peer.send(shutdown(peer))
    assert peer.kinds() == [wire.SHUTDOWN_ACK]
    peer.send(SHUTDOWN_ACK)
    assert peer.kinds() == [wire.SHUTDOWN_COMPLETE]
    assert peer.events() == [Closed(None)]


def test_rfc9260_9_2_init_in_shutdown_ack_sent_repeats_the_shutdown_ack():
    peer = RawPeer()
    peer.send(shutdown(peer))
    peer.chunks()
    peer.raw(0, wire.serialize_chunk(wire.INIT, 0, wire.serialize_init(peer.init)))
    assert peer.kinds() == [wire.SHUTDOWN_ACK]


@pytest.mark.parametrize("chunk", [SHUTDOWN_ACK, SHUTDOWN_COMPLETE])
def test_shutdown_chunks_out_of_place_are_dropped(chunk):
    peer = RawPeer()
    peer.send(chunk)
    assert peer.a.dropped == {"unexpected-chunk": 1}
    assert peer.a.state is State.ESTABLISHED


def test_closing_is_bounded_by_a_deadline():
    peer = RawPeer(close_deadline=2.0)
    peer.a.send(0, 51, bytes(100_000), peer.now)
    peer.a.close(peer.now)
    chunks = peer.skip(2.0)
    assert chunks[-1][0] == wire.ABORT
    assert peer.events() == [Closed(None)]
    assert peer.a.next_timer() is None


def test_closing_before_it_is_up_ends_at_once():
    a = association()
    a.associate(0)
    a.datagrams_to_send(0)
    a.close(0)
    a.close(0)
    assert a.next_event() == Closed(None)
    assert (a.next_event(), a.next_timer(), a.datagrams_to_send(0)) == (None, None, [])
    with pytest.raises(LocalError, match="closed"):
        a.associate(1)
    with pytest.raises(LocalError, match="closed"):
        a.send(0, 51, b"x", 1)


def test_rfc9260_9_1_abort():
    peer = RawPeer()
    peer.a.send(0, 51, bytes(100_000), peer.now)
    peer.a.abort(peer.now, "enough")
    peer.a.abort(peer.now, "enough")
    assert peer.one_packet() == [(wire.ABORT, 0, b"\0\x0c\0\x0aenough")]
    assert peer.events() == [Closed(None)]
    peer.send(peer.data(b"x"))
    assert peer.a.dropped == {"closed": 1}
    assert peer.events() == []


def test_rfc9260_9_1_the_peer_aborts():
    link = connected()
    link.machines[0].abort(link.now, "enough")
    link.run(seconds=1)
    assert link.events[1] == [Closed(PeerError("sctp", "aborted-by-peer", "cause 12 enough"))]


def test_rfc9260_8_3_an_idle_path_is_probed():
    peer = RawPeer()
    (chunk,) = peer.skip(30)
    assert chunk[0] == wire.HEARTBEAT
    peer.now += 0.25
    peer.send(wire.serialize_chunk(wire.HEARTBEAT_ACK, 0, chunk[2][:-1] + b"?"))
    assert peer.a.dropped == {"unexpected-chunk": 1}
    peer.send(wire.serialize_chunk(wire.HEARTBEAT_ACK, 0, chunk[2]))
    assert peer.a.srtt == pytest.approx(0.25)
    peer.skip(600)
    assert peer.events() == [Closed(PeerError("sctp", "peer-unreachable"))]


def test_rfc9260_8_3_a_busy_path_is_not_probed():
    link = connected(keep_trace=True)
    for _ in range(10):
        link.machines[0].send(0, 51, b"x", link.now)
        link.run(seconds=20)
    kinds = {kind for _, sender, data in link.trace if sender == 0 for kind, _, _ in wire.chunks_of(data)}
    assert wire.HEARTBEAT not in kinds


def test_rfc9260_3_3_6_heartbeats_are_answered():
    peer = RawPeer()
    peer.send(wire.serialize_chunk(wire.HEARTBEAT, 0, b"\0\1\0\x08echo"))
    assert peer.one_packet() == [(wire.HEARTBEAT_ACK, 0, b"\0\1\0\x08echo")]


def test_error_chunks_are_read_and_change_nothing():
    peer = RawPeer()
    peer.send(wire.serialize_chunk(wire.ERROR, 0, wire.serialize_parameter(1, b"1234")))
    peer.send(wire.serialize_chunk(wire.ERROR, 0, b"\0\1\0\1"))
    assert peer.a.dropped == {"bad-parameter-length": 1}
    assert (peer.a.state, peer.chunks(), peer.events()) == (State.ESTABLISHED, [], [])


def test_closing_twice_over_a_dead_link():
    link = Link(association(1), association(2), tamper=lambda *_: [])
    link.machines[0].associate(link.now)
    link.run(seconds=300)
    assert link.events[0] == [Closed(PeerError("sctp", "handshake-timeout"))]
