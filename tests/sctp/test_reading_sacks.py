"""When a SACK is read: before what depends on it, and behind a few small messages that do not."""

import pytest

from stack.sctp import wire
from stack.sctp.outbound import MAX_ANYWAY

from .support import RawPeer

FULL = 1132  # bytes of user data in a full packet


def answered(size=20, messages=1):
    """A peer that has sent a message, and acknowledges it together with one of its own; what answers it waits."""
    peer = RawPeer()
    peer.a.send(0, 51, b"question", peer.now)
    assert peer.sent_tsns() == [0]
    peer.now += 0.05
    peer.send(peer.sack(1), peer.data(b"answer"))
    for _ in range(messages):
        peer.a.send(0, 51, bytes(size), peer.now)
    return peer


def flight(peer):
    """What the association believes to be in flight, without asking it, which would make it read."""
    return peer.a._outbound.flight


def test_what_is_small_leaves_before_and_the_timer_is_right_behind_it():
    peer = answered()
    before = flight(peer)
    assert peer.kinds() == [wire.SACK, wire.DATA]
    assert flight(peer) > before > 0  # the first message counts yet
    assert peer.a.next_timer() == pytest.approx(peer.now + peer.a.rto, abs=1.0)
    assert flight(peer) == peer.a.outstanding_bytes == 36
    assert peer.a.srtt == pytest.approx(0.05)
    peer.send(peer.sack(2))
    assert peer.a.outstanding_bytes == 0
    assert peer.a.next_timer() > peer.now + 20  # only the heartbeat is left


@pytest.mark.parametrize(("size", "messages"), [(2 * FULL, 1), (20, MAX_ANYWAY + 1)])
def test_it_is_read_before_more_leaves(size, messages):
    peer = answered(size, messages)
    sizes = [len(value) + 4 for kind, _, value in peer.chunks() if kind == wire.DATA]
    assert flight(peer) == sum(size + 3 & ~3 for size in sizes)


def test_it_is_read_where_nothing_leaves():
    peer = answered(messages=0)
    assert wire.DATA not in peer.kinds()
    assert flight(peer) == 0


def test_a_window_that_it_opens_is_used():
    peer = RawPeer(a_rwnd=2000)
    for _ in range(4):
        peer.a.send(0, 51, bytes(FULL), peer.now)
    assert peer.sent_tsns() == [0]
    for sent in (1, 2, 3):
        peer.send(peer.sack(sent, rwnd=2000))
        assert peer.sent_tsns() == [sent]


@pytest.mark.parametrize(
    "ask", ["cwnd", "ssthresh", "srtt", "rto", "outstanding_bytes", "peer_rwnd", "stats", "dropped"]
)
def test_who_asks_is_told_what_it_says(ask):
    peer = answered()
    getattr(peer.a, ask)
    assert flight(peer) == 0
    assert peer.a.peer_rwnd == 1_000_000


def test_the_older_of_two_is_read_when_the_newer_comes():
    peer = answered()
    peer.chunks()
    peer.send(peer.sack(1, rwnd=5000))
    peer.send(peer.sack(2, rwnd=6000))
    assert (peer.a.outstanding_bytes, peer.a.peer_rwnd) == (0, 6000)


# While messages go to and fro, several wait, and the last one speaks for all.

RTT = 0.05


def chatting(rounds, sack=None):
    """A peer in a chat: each message of its own is acknowledged by the answer, which the next one follows at once.

    Args:
        rounds: How many messages were sent after the round trip was known.
        sack: Given the peer and a number of chunks, returns the SACK of so many; None for a plain one.
    """
    peer = answered()
    peer.chunks()
    assert peer.a.srtt == pytest.approx(RTT)
    for number in range(2, 2 + rounds):
        peer.now += RTT
        chunk = sack(peer, number) if sack is not None else peer.sack(number)
        peer.send(chunk, peer.data(b"answer"))
        peer.a.send(0, 51, b"next", peer.now)
        assert peer.kinds() == [wire.SACK, wire.DATA]
        peer.a.next_timer()
    return peer


def test_one_is_read_for_several_before_the_tail_is_looked_after():
    peer = chatting(3)
    assert peer.a._outbound.outstanding == 4  # as if nothing had been heard since
    due = peer.a.next_timer()
    assert due <= peer.now + 2 * RTT
    peer.now = due
    peer.a.handle_timer(peer.now)
    assert peer.a._outbound.outstanding == 1
    assert peer.kinds() == []
    assert peer.a.stats.retransmits == peer.a.stats.probes == 0
    peer.send(peer.sack(5))
    peer.chunks()
    assert peer.a.outstanding_bytes == 0
    assert peer.a.next_timer() > peer.now + 20  # only the heartbeat is left


def test_what_waited_does_not_lengthen_the_round_trip():
    peer = chatting(4)
    peer.now += 3.0  # nobody looks for long
    assert peer.a.srtt == pytest.approx(RTT)
    assert peer.a._outbound._losses.latest == pytest.approx(RTT)


def test_one_that_says_the_same_again_changes_nothing():
    peer = chatting(2)
    peer.now += 1.0
    peer.send(peer.sack(3))
    assert peer.a.srtt == pytest.approx(RTT)
    assert peer.a._outbound.outstanding == 1


def test_an_overtaken_one_counts_as_ever():
    peer = chatting(3)
    peer.send(peer.sack(2))
    assert peer.a.dropped["stale-sack"] == 1
    assert peer.a._outbound.outstanding == 1


@pytest.mark.parametrize(
    "sack",
    [
        lambda peer, number: peer.sack(number, rwnd=60_000),
        lambda peer, number: peer.sack(number, duplicates=[1]),
        lambda peer, number: peer.sack(number - 1, gaps=[(2, 2)]) if number > 3 else peer.sack(number),
    ],
)
def test_one_that_says_more_is_read_at_once(sack):
    peer = chatting(3, sack)
    assert peer.a._unread is None
    assert peer.a._outbound.outstanding <= 2


def test_a_stream_that_is_to_be_reset_does_not_wait():
    peer = chatting(1)
    peer.a.reset_streams([0], peer.now)
    assert wire.RE_CONFIG not in peer.kinds()
    peer.a.send(1, 51, b"on another stream", peer.now)
    peer.now += RTT
    peer.chunks()
    peer.send(peer.sack(4), peer.data(b"answer"))
    peer.a.send(1, 51, b"more", peer.now)
    peer.chunks()
    peer.a.next_timer()
    peer.a.send(1, 51, b"still more", peer.now)
    assert wire.RE_CONFIG in peer.kinds()


def test_behind_a_probe_of_the_tail_it_does_not_wait():
    peer = chatting(1)
    peer.now = peer.a.next_timer()
    peer.a.handle_timer(peer.now)
    peer.now = peer.a.next_timer()
    peer.a.handle_timer(peer.now)
    assert peer.kinds() == [wire.DATA]
    assert peer.a.stats.probes == 1
    peer.a.send(0, 51, b"another", peer.now)
    peer.send(peer.sack(3), peer.data(b"answer"))
    assert peer.kinds() == [wire.SACK, wire.DATA]
    assert peer.a._unread is not None
    peer.a.next_timer()
    assert peer.a._unread is None


def test_a_chat_is_no_silence():
    """T3 was set with the first message, and what came since is no reason to send that again."""
    peer = answered()
    peer.chunks()
    start = peer.now
    for number in range(2, 60):
        due = peer.now + RTT
        while (timer := peer.a.next_timer()) is not None and timer <= due:
            peer.now = max(peer.now, timer)
            peer.a.handle_timer(peer.now)
            assert peer.kinds() in ([], [wire.SACK])
        peer.now = due
        peer.send(peer.sack(number), peer.data(b"answer"))
        peer.a.send(0, 51, b"next", peer.now)
        assert wire.DATA in peer.kinds()
        assert peer.a._outbound.outstanding <= 4
    assert peer.now - start > 4 * peer.a.rto
    assert peer.a.stats.timeouts == peer.a.stats.retransmits == peer.a.stats.probes == 0
    assert peer.a.srtt == pytest.approx(RTT)


def test_one_that_says_nonsense_is_counted_when_it_is_read():
    peer = answered()
    peer.send(peer.sack(99))
    peer.chunks()
    assert peer.a.dropped["sack-beyond-sent"] == 1


@pytest.mark.parametrize("end", ["close", "abort"])
def test_the_end_does_not_wait_for_it(end):
    peer = answered(messages=0)
    getattr(peer.a, end)(peer.now)
    kinds = peer.kinds()
    assert (wire.SHUTDOWN if end == "close" else wire.ABORT) in kinds


def test_a_message_of_one_chunk_is_the_same_on_the_wire_as_by_fragments(monkeypatch):
    def run():
        peer = RawPeer(seed=5)
        for number in range(12):
            peer.a.send(number % 3, 51, bytes([number]) * (number + 1), peer.now, ordered=bool(number % 2))
        return peer.a.datagrams_to_send(peer.now), peer.a.outstanding_bytes, peer.a.stats.messages_sent

    short = run()

    def by_fragments(self, message, writer, ceiling, now):
        self._begin(message)
        size = len(message.data)
        assert self._send_fragments(message, size, writer, ceiling, now)
        self._finish(message)
        self.scheduler.paid(message, size)

    monkeypatch.setattr("stack.sctp.outbound.Outbound._send_whole", by_fragments)
    assert run() == short
