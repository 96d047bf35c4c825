"""Another path below the association: ICE has moved, and nothing waits for what is known of the old one."""

import pytest

from stack.sctp import Closed, MessageReceived, State, wire
from stack.sctp.congestion import INITIAL_PACKETS
from stack.testing import Conditions

from .support import RawPeer, connected

FULL = 1132


def darkened(seconds, chunks=5):
    """A peer behind a path that has swallowed some chunks and all retransmissions since."""
    peer = RawPeer()
    peer.a.send(0, 51, bytes(chunks * FULL), peer.now)
    peer.chunks()
    peer.skip(seconds)
    return peer


def test_what_the_old_path_swallowed_is_sent_at_once():
    peer = darkened(6.0)
    assert peer.a.stats.timeouts >= 3
    assert peer.a.next_timer() - peer.now > 1.0
    peer.a.path_changed(peer.now)
    assert peer.sent_tsns() == [0, 1, 2, 3, 4]
    assert peer.a.rto == 0.5
    assert peer.a._timers.deadline("T3") == pytest.approx(peer.now + 0.5)
    assert peer.a.cwnd == INITIAL_PACKETS * FULL


def test_rfc9000_9_4_round_trip_and_window_begin_anew():
    link = connected(Conditions(delay=0.02))
    a = link.machines[0]
    for _ in range(4):
        a.send(0, 51, bytes(200_000), link.now)
    assert link.run(lambda: a.cwnd > 2 * INITIAL_PACKETS * FULL, seconds=5)
    assert a.srtt == pytest.approx(0.04, abs=0.01)
    a.path_changed(link.now)
    assert (a.srtt, a.cwnd) == (None, INITIAL_PACKETS * FULL)
    retransmits = a.stats.retransmits
    assert link.run(lambda: sum(isinstance(e, MessageReceived) for e in link.events[1]) == 4, seconds=10)
    assert a.srtt == pytest.approx(0.04, abs=0.01)
    assert a.stats.retransmits <= retransmits + 1  # the path before worked too: one probe and no more


def test_on_a_path_that_answered_until_now_the_last_chunk_finds_out():
    peer = RawPeer()
    peer.a.send(0, 51, bytes(5 * FULL), peer.now)
    peer.chunks()
    peer.a.path_changed(peer.now + 0.05)
    peer.now += 0.05
    assert peer.sent_tsns() == [4]
    peer.now += 0.1
    peer.send(peer.sack(0, gaps=[(5, 5)]))
    assert peer.sent_tsns() == [0, 1, 2]  # overtaken by three
    assert peer.a.stats.timeouts == 0


def test_with_nothing_outstanding_nothing_is_sent():
    peer = RawPeer()
    peer.a.path_changed(peer.now)
    assert peer.packets() == []
    assert peer.a._timers.deadline("T3") is None


def test_messages_that_may_not_be_sent_again_are_given_up():
    peer = RawPeer()
    for _ in range(3):
        peer.a.send(0, 51, b"stick", peer.now, ordered=False, max_retransmits=0)
    peer.chunks()
    peer.skip(0.1)
    peer.a.path_changed(peer.now)
    assert peer.packets() == []
    peer.skip(2.0)
    peer.a.path_changed(peer.now)
    assert wire.DATA not in peer.kinds()
    assert peer.a.stats.abandoned == 3


@pytest.mark.parametrize("kind", ["init", "shutdown"])
def test_set_up_and_shutdown_go_on_at_once(kind):
    peer = RawPeer(connect=kind == "shutdown", close_deadline=60.0)
    if kind == "init":
        peer.a.associate(peer.now)
    else:
        peer.a.close(peer.now)
    first = peer.kinds()
    peer.skip(4.0)
    assert peer.a.next_timer() - peer.now > 0.1
    peer.a.path_changed(peer.now)
    assert peer.a.next_timer() == peer.now
    peer.a.handle_timer(peer.now)
    assert peer.kinds() == first
    assert peer.a.next_timer() > peer.now


def test_timeouts_of_the_old_path_do_not_count_against_the_peer():
    peer = darkened(20.0)
    assert peer.a._errors > 2
    peer.a.path_changed(peer.now)
    assert peer.a._errors == 0


def test_after_the_end_nothing_happens():
    peer = RawPeer()
    peer.a.send(0, 51, b"x", peer.now)
    peer.a.abort(peer.now)
    peer.packets()
    peer.a.path_changed(peer.now)
    assert peer.packets() == []
    assert peer.a.next_timer() is None
    assert [type(event) for event in peer.events()] == [Closed]
    assert peer.a.state is State.CLOSED
