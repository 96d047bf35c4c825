import struct

import pytest

from stack.core import LocalError
from stack.sctp import MessageReceived, OutgoingStreamsReset, StreamsAdded, StreamsReset, wire
from stack.testing import Conditions

from .support import TSN, RawPeer, connected


def requests(chunks):
    return [p for kind, _, value in chunks if kind == wire.RE_CONFIG for p in wire.parse_reconfig(value, 0, len(value))]


def respond(peer, sequence, result):
    answer = wire.serialize_reset_response(wire.ResetResponse(sequence, result))
    peer.send(wire.serialize_reconfig([answer]))


def ask(peer, kind, sequence=0, **fields):
    """Send a request; return the result of the answer."""
    request = wire.ResetRequest(kind, TSN + sequence, **fields)
    peer.send(wire.serialize_reconfig([wire.serialize_reset_request(request)]))
    answers = [p for p in requests(peer.chunks()) if isinstance(p, wire.ResetResponse)]
    assert [a.sequence for a in answers] == [TSN + sequence]
    return answers[0].result


def test_rfc6525_5_1_2_a_reset_waits_until_all_is_acknowledged():
    peer = RawPeer()
    peer.a.send(1, 51, bytes(3000), peer.now)
    peer.a.reset_streams([1], peer.now)
    assert requests(peer.chunks()) == []
    peer.send(peer.sack(2))
    assert requests(peer.chunks()) == []
    peer.send(peer.sack(3))
    (request,) = requests(peer.chunks())
    assert (request.kind, request.streams) == (wire.OUTGOING_SSN_RESET, (1,))
    assert request.sequence == peer.peer_tsn
    assert request.last_tsn == peer.peer_tsn + 2 & 0xFFFFFFFF
    assert request.response_sequence == TSN - 1
    with pytest.raises(LocalError, match="stream-resetting"):
        peer.a.send(1, 51, b"x", peer.now)
    respond(peer, request.sequence, wire.RESULT_PERFORMED)
    assert peer.events() == [OutgoingStreamsReset((1,), ok=True)]
    peer.a.send(1, 51, b"x", peer.now)
    ((_, _, value),) = peer.chunks()
    assert struct.unpack_from("!LHH", value)[2] == 0  # H4: the sequence numbers start over


@pytest.mark.parametrize(("result", "ok"), [(0, True), (1, True), (2, False), (3, False), (5, False)])
def test_rfc6525_5_2_7_results(result, ok):
    peer = RawPeer()
    peer.a.send(7, 51, b"x", peer.now)
    peer.chunks()
    peer.send(peer.sack(1))
    peer.a.reset_streams([7], peer.now)
    (request,) = requests(peer.chunks())
    respond(peer, request.sequence + 1 & 0xFFFFFFFF, 1)  # H1: an answer to nothing
    assert peer.events() == []
    respond(peer, request.sequence, result)
    assert peer.events() == [OutgoingStreamsReset((7,), ok)]
    peer.a.send(7, 51, b"x", peer.now)
    ((_, _, value),) = peer.chunks()
    assert struct.unpack_from("!LHH", value)[2] == (0 if ok else 1)


def test_rfc6525_5_1_1_an_unanswered_request_is_repeated():
    peer = RawPeer()
    peer.a.reset_streams([1], peer.now)
    (first,) = requests(peer.chunks())
    (second,) = requests(peer.skip(0.6))
    assert first == second
    respond(peer, first.sequence, 1)
    assert peer.a.next_timer() > peer.now + 20


def test_section_5_2_7_in_progress_is_asked_again_with_a_new_number():
    peer = RawPeer()
    peer.a.reset_streams([1], peer.now)
    (first,) = requests(peer.chunks())
    respond(peer, first.sequence, wire.RESULT_IN_PROGRESS)
    assert peer.events() == []
    (second,) = requests(peer.skip(0.6))
    assert (second.sequence - first.sequence & 0xFFFFFFFF, second.streams) == (1, (1,))
    respond(peer, second.sequence, wire.RESULT_PERFORMED)
    assert peer.events() == [OutgoingStreamsReset((1,), ok=True)]


def test_rfc6525_5_1_1_one_request_at_a_time():
    peer = RawPeer()
    peer.a.reset_streams([1, 2], peer.now)
    (first,) = requests(peer.chunks())
    peer.a.reset_streams([2, 3], peer.now)  # 2 is under way already
    assert requests(peer.chunks()) == []
    respond(peer, first.sequence, 1)
    (second,) = requests(peer.chunks())
    assert (first.streams, second.streams) == ((1, 2), (3,))


def test_rfc6525_5_2_2_the_peers_reset():
    peer = RawPeer()
    peer.send(peer.data(b"0", stream=5), peer.data(b"1", stream=5, ssn=1))
    assert ask(peer, wire.OUTGOING_SSN_RESET, last_tsn=TSN + 1, streams=(5, 9)) == wire.RESULT_PERFORMED
    peer.send(peer.data(b"anew", stream=5))
    assert peer.events()[-2:] == [StreamsReset((5, 9)), MessageReceived(5, 51, b"anew")]


def test_rfc6525_5_2_2_a_reset_of_all_streams():
    peer = RawPeer()
    peer.send(peer.data(b"0", stream=5), peer.data(b"0", stream=6))
    assert ask(peer, wire.OUTGOING_SSN_RESET, last_tsn=TSN + 1) == wire.RESULT_PERFORMED
    assert peer.events()[-1] == StreamsReset((5, 6))


@pytest.mark.parametrize("retry", [0, 1])
def test_rfc6525_5_2_2_e2_a_reset_waits_for_data_that_is_missing(retry):
    peer = RawPeer()
    peer.send(peer.data(b"1", stream=5, ssn=1, tsn=1))
    assert ask(peer, wire.OUTGOING_SSN_RESET, last_tsn=TSN + 1, streams=(5,)) == wire.RESULT_IN_PROGRESS
    assert peer.events() == []
    peer.send(peer.data(b"0", stream=5, tsn=0))
    peer.chunks()
    assert peer.events() == [MessageReceived(5, 51, b"0"), MessageReceived(5, 51, b"1"), StreamsReset((5,))]
    # Some repeat the number, some take a new one: one reset in both cases.
    assert ask(peer, wire.OUTGOING_SSN_RESET, retry, last_tsn=TSN + 1, streams=(5,)) == wire.RESULT_PERFORMED
    assert peer.events() == []


def test_rfc6525_5_2_1_a_repeated_request_gets_the_same_answer_and_is_not_done_twice():
    peer = RawPeer()
    for _ in range(2):
        assert ask(peer, wire.OUTGOING_SSN_RESET, last_tsn=TSN - 1, streams=(5,)) == wire.RESULT_PERFORMED
    assert peer.events() == [StreamsReset((5,))]
    assert ask(peer, wire.OUTGOING_SSN_RESET, 7, last_tsn=TSN - 1, streams=(5,)) == wire.RESULT_BAD_SEQUENCE


def test_rfc6525_5_2_3_the_peer_asks_us_to_reset():
    peer = RawPeer()
    peer.a.send(4, 51, b"x", peer.now)
    peer.chunks()
    peer.send(peer.sack(1))
    assert ask(peer, wire.INCOMING_SSN_RESET, streams=(4, 6)) == wire.RESULT_PERFORMED
    assert ask(peer, wire.INCOMING_SSN_RESET, 1, streams=(4,)) == wire.RESULT_NOTHING_TO_DO
    (request,) = requests(peer.skip(0.3))
    assert request.streams == (4,)


def test_rfc6525_5_2_5_the_peer_adds_outgoing_streams():
    peer = RawPeer(streams=100)
    assert ask(peer, wire.ADD_OUTGOING_STREAMS, count=5) == wire.RESULT_PERFORMED
    assert peer.events() == [StreamsAdded(100, 105, ok=True)]
    peer.send(peer.data(b"x", stream=104))
    assert peer.messages() == [(104, b"x")]
    assert ask(peer, wire.ADD_OUTGOING_STREAMS, 1, count=65535) == wire.RESULT_DENIED
    assert ask(peer, wire.ADD_OUTGOING_STREAMS, 1, count=65535) == wire.RESULT_DENIED
    assert peer.a._inbound.streams == 105


def test_rfc6525_5_2_6_the_peer_asks_for_incoming_streams_and_gets_a_request():
    peer = RawPeer(streams=100)
    number = peer.tsn
    request = wire.ResetRequest(wire.ADD_INCOMING_STREAMS, number, count=5)
    peer.send(wire.serialize_reconfig([wire.serialize_reset_request(request)]))
    chunks = [wire.parse_reconfig(value, 0, len(value)) for kind, _, value in peer.chunks() if kind == wire.RE_CONFIG]
    ((answer,), (asked,)) = chunks
    assert (answer.sequence, answer.result) == (number, wire.RESULT_PERFORMED)
    assert (asked.kind, asked.count) == (wire.ADD_OUTGOING_STREAMS, 5)
    respond(peer, asked.sequence, wire.RESULT_PERFORMED)
    assert peer.events() == [StreamsAdded(105, 100, ok=True)]
    peer.a.send(104, 51, b"x", peer.now)
    assert ask(peer, wire.ADD_INCOMING_STREAMS, 1, count=65500) == wire.RESULT_DENIED


def test_rfc6525_5_1_5_added_streams_are_used_after_the_answer():
    link = connected(a={"outbound_streams": 4, "inbound_streams": 4}, b={"outbound_streams": 10})
    a, b = link.machines
    a.add_streams(link.now, outgoing=3, incoming=2)
    with pytest.raises(LocalError, match="no-such-stream"):
        a.send(4, 51, b"too early", link.now)
    assert link.run(lambda: len(link.events[0]) == 2)
    link.run(seconds=1)
    assert link.events[0] == [StreamsAdded(4, 6, ok=True), StreamsAdded(7, 6, ok=True)]
    assert (a.outbound_streams, b.outbound_streams) == (7, 6)
    a.send(6, 51, b"x", link.now)
    b.send(5, 51, b"y", link.now)
    link.run(seconds=1)
    assert [e.data for side in link.events for e in side if isinstance(e, MessageReceived)] == [b"y", b"x"]


@pytest.mark.parametrize("kind", ["outgoing", "incoming"])
def test_rfc6525_5_2_7_h3_a_refusal_changes_nothing(kind):
    peer = RawPeer(streams=100)
    peer.a.add_streams(peer.now, **{kind: 5})
    (request,) = requests(peer.chunks())
    respond(peer, request.sequence, wire.RESULT_DENIED)
    assert peer.events() == [StreamsAdded(100, 100, ok=False)]


def test_more_streams_than_there_are_cannot_be_asked_for():
    peer = RawPeer(streams=100)
    for wrong in ({"outgoing": 65436}, {"incoming": 65436}):
        with pytest.raises(LocalError, match="too-many-streams"):
            peer.a.add_streams(peer.now, **wrong)
    with pytest.raises(LocalError, match="bad-argument"):
        peer.a.add_streams(peer.now, outgoing=-1)
    peer.a.add_streams(peer.now, outgoing=65435)
    with pytest.raises(LocalError, match="too-many-streams"):
        peer.a.add_streams(peer.now, outgoing=1)
    with pytest.raises(LocalError, match="not-established"):
        RawPeer(connect=False).a.add_streams(peer.now, outgoing=1)
    assert [r.count for r in requests(peer.chunks())] == [65435]


def test_a_peer_without_reconfig_gets_no_request_for_streams():
    peer = RawPeer(init=wire.Init(0x11111111, 10**6, 10, 10, TSN))
    peer.a.add_streams(peer.now, outgoing=1)
    assert requests(peer.chunks()) == []
    assert peer.events() == [StreamsAdded(10, 10, ok=False)]


def test_rfc6525_5_2_4_ssn_and_tsn_reset():
    peer = RawPeer()
    peer.send(peer.data(b"0", stream=3))
    peer.a.send(5, 51, b"before", peer.now)
    peer.chunks()
    peer.send(peer.sack(1))
    assert peer.events() == [MessageReceived(3, 51, b"0")]
    request = wire.serialize_reconfig([wire.serialize_reset_request(wire.ResetRequest(wire.SSN_TSN_RESET, TSN))])
    answers = []
    for _ in range(2):  # G6; a repeated one gets the same answer
        peer.send(request)
        answers += [v for kind, _, v in peer.chunks() if kind == wire.RE_CONFIG]
    assert answers[0] == answers[1]
    (answer,) = wire.parse_reconfig(answers[0], 0, len(answers[0]))
    receiver_next = TSN + 1 + 2**31 & 0xFFFFFFFF  # G1
    assert answer == wire.ResetResponse(TSN, wire.RESULT_PERFORMED, (peer.peer_tsn + 1 & 0xFFFFFFFF, receiver_next))
    assert peer.events() == [StreamsReset((3,))]
    peer.send(peer.data(b"old", stream=3, ssn=1, tsn=1))
    assert peer.events() == []
    peer.send(peer.data(b"new", stream=3, ssn=0, tsn=receiver_next - TSN))
    assert peer.events() == [MessageReceived(3, 51, b"new")]
    peer.a.send(5, 51, b"after", peer.now)
    (value,) = [value for kind, _, value in peer.chunks() if kind == wire.DATA]
    assert struct.unpack_from("!LHH", value) == (peer.peer_tsn + 1 & 0xFFFFFFFF, 5, 0)


def test_a_peer_without_reconfig_refuses():
    peer = RawPeer(init=wire.Init(0x11111111, 10**6, 10, 10, TSN))
    peer.a.reset_streams([1], peer.now)
    assert requests(peer.chunks()) == []
    assert peer.events() == [OutgoingStreamsReset((1,), ok=False)]


def test_malformed_reconfig_is_dropped():
    peer = RawPeer()
    one = wire.serialize_reset_request(wire.ResetRequest(wire.SSN_TSN_RESET, 5))
    peer.send(wire.serialize_reconfig([one] * 3))
    peer.send(wire.serialize_chunk(wire.RE_CONFIG, 0, struct.pack("!HHL", 13, 8, 1)))
    peer.send(wire.serialize_chunk(wire.RE_CONFIG, 0, struct.pack("!HH", 13, 4)))
    peer.send(wire.serialize_chunk(wire.RE_CONFIG, 0, struct.pack("!HHL", 13, 80, 1)))
    assert peer.a.dropped == {"bad-reconfig": 1, "truncated": 2, "bad-parameter-length": 1}
    assert requests(peer.chunks()) == []


def test_wrong_resets():
    peer = RawPeer()
    with pytest.raises(LocalError, match="no-such-stream"):
        peer.a.reset_streams([1, 65535], peer.now)
    peer.a.close(peer.now)
    peer.chunks()
    with pytest.raises(LocalError, match="not-established"):
        peer.a.reset_streams([1], peer.now)


@pytest.mark.parametrize("seed", range(5))
def test_resets_over_a_bad_link_keep_every_message(seed):
    link = connected(Conditions(delay=0.02, jitter=0.02, loss=0.1, duplicate=0.05), seed=seed)
    a, b = link.machines
    for turn in range(5):
        for _ in range(5):
            a.send(1, 51, b"%d" % turn, link.now)
            b.send(1, 51, b"%d" % turn, link.now)
        a.reset_streams([1], link.now)
        b.reset_streams([1], link.now)
        wanted = 2 * (turn + 1)
        assert link.run(lambda n=wanted: all(resets(side) == n for side in link.events), seconds=120)
    for side in link.events:
        assert [e.data for e in side if isinstance(e, MessageReceived)] == [b"%d" % (n // 5) for n in range(25)]


def resets(events):
    return sum(isinstance(e, StreamsReset | OutgoingStreamsReset) for e in events)
