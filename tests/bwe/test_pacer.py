"""The pacer by itself: who goes first, how fast, and what is dropped."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.bwe import Closed, KeyframeNeeded, Kind, PacedPacket, Pacer, ProbeCluster
from stack.bwe import pacer as module
from stack.core import LocalError

from .support import SIZE, START, events_of, frame, packet, video


def drain(pacer, until, now=START):
    """Let the pacer run until a time; return (time, packet) of all that left."""
    out = [(now, sent) for sent in pacer.datagrams_to_send(now)]
    while (due := pacer.next_timer()) is not None and due <= until:
        now = max(now, due)
        pacer.handle_timer(now)
        out += [(now, sent) for sent in pacer.datagrams_to_send(now)]
    return out


def test_what_fits_leaves_at_once_and_the_rest_at_the_pacing_rate():
    pacer = Pacer(pacing_rate=2_400_000, burst=0.005)
    for item in frame(10):
        pacer.send(item, START)
    out = drain(pacer, START + 1)
    assert [sent.item for _, sent in out] == list(range(10))
    at = [time - START for time, _ in out]
    assert at[:2] == [0.0, 0.0]  # 5 ms of 2.4 Mbit/s are 1500 bytes
    assert at[-1] == pytest.approx(9 * SIZE * 8 / 2_400_000, abs=0.005)
    assert max(later - earlier for earlier, later in pairwise(at)) < 0.005 + SIZE * 8 / 2_400_000  # a burst each time
    assert pacer.queued_packets == pacer.queued_bytes == 0
    assert pacer.next_timer() is None


def test_one_packet_never_waits():
    pacer = Pacer(pacing_rate=100_000)
    pacer.send(video(), START)
    assert len(pacer.datagrams_to_send(START)) == 1


def test_an_ordinary_frame_leaves_at_once():
    pacer = Pacer(pacing_rate=2.5 * 2_500_000)
    for round_ in range(30):  # 2.5 Mbit/s at 30 frames/s: nine packets each
        now = START + round_ / 30
        for item in frame(9, size=1157):
            pacer.send(item, now)
        assert len(pacer.datagrams_to_send(now)) == 9


def test_urgent_packets_overtake_and_the_others_pay():
    pacer = Pacer(pacing_rate=960_000, burst=0.005)
    for item in frame(3):
        pacer.send(item, START)
    pacer.send(packet(Kind.PADDING), START)
    pacer.send(packet(Kind.RETRANSMISSION), START)
    pacer.send(packet(Kind.AUDIO), START)
    pacer.send(packet(Kind.RTCP), START)
    out = drain(pacer, START + 1)
    kinds = [sent.kind for _, sent in out]
    assert kinds == [Kind.RTCP, Kind.AUDIO, Kind.RETRANSMISSION, Kind.VIDEO, Kind.VIDEO, Kind.VIDEO, Kind.PADDING]
    assert out[1][0] == START
    assert out[2][0] > START + 0.01  # two packets of 10 ms were sent beforehand
    assert pacer.dropped.total() == 0


def test_streams_take_turns():
    pacer = Pacer(pacing_rate=960_000)
    for stream in ("a", "b"):
        for item in frame(3, stream=stream):
            pacer.send(item, START)
    assert [sent.stream for _, sent in drain(pacer, START + 1)] == ["a", "b", "a", "b", "a", "b"]


def test_a_keyframe_leaves_slower_than_other_frames_while_there_is_time():
    plain, key = (Pacer(pacing_rate=5_000_000, burst=0.005) for _ in range(2))
    for pacer, keyframe in ((plain, False), (key, True)):
        for item in frame(30, keyframe=keyframe):
            pacer.send(item, START)
    fast, slow = drain(plain, START + 1)[-1][0], drain(key, START + 1)[-1][0]
    assert fast - START == pytest.approx(0.053, abs=0.003)
    assert slow - START == pytest.approx(0.087, abs=0.006)


def test_a_keyframe_that_takes_long_leaves_at_the_full_rate():
    pacer = Pacer(pacing_rate=1_000_000)
    for item in frame(30, keyframe=True):
        pacer.send(item, START)
    took = drain(pacer, START + 1)[-1][0] - START
    assert took == pytest.approx(30 * SIZE * 8 / 1_000_000, rel=0.1)


def test_video_that_waited_too_long_is_dropped_up_to_the_next_keyframe():
    pacer = Pacer(pacing_rate=100_000)
    for item in frame(8):
        pacer.send(item, START)
    out = drain(pacer, START + 0.3)
    for item in frame(2, keyframe=True):
        pacer.send(item, START + 0.35)
    out += drain(pacer, START + 5, START + 0.45)
    assert Counter(sent.keyframe for _, sent in out) == {False: 4, True: 2}
    assert pacer.dropped == {"video-late": 4}
    assert [given.item for given in pacer.take_dropped()] == [4, 5, 6, 7]
    assert pacer.take_dropped() == []
    assert events_of(pacer) == []  # there is a keyframe: nobody needs to ask


def test_without_a_keyframe_one_is_asked_for_and_nothing_else_is_taken():
    pacer = Pacer(pacing_rate=100_000)
    for item in frame(8):
        pacer.send(item, START)
    drain(pacer, START + 0.39)
    drain(pacer, START + 0.5, START + 0.41)
    assert events_of(pacer) == [KeyframeNeeded("v")]
    left = pacer.dropped["video-late"]
    assert left >= 3
    for item in frame(3):
        pacer.send(item, START + 0.6)
    assert pacer.dropped["video-before-keyframe"] == 3
    assert len(pacer.take_dropped()) == left
    assert events_of(pacer) == []
    pacer.send(video(), START + 1.7)
    assert events_of(pacer) == [KeyframeNeeded("v")]  # nobody listened
    for item in frame(1, keyframe=True):
        pacer.send(item, START + 1.8)
    pacer.send(video(), START + 1.8)
    assert len(drain(pacer, START + 3, START + 1.8)) == 2


def test_a_keyframe_that_takes_longer_than_the_bound_still_arrives():
    """To drop it would be to ask for it again, for ever."""
    pacer = Pacer(pacing_rate=200_000)
    for item in frame(20, keyframe=True):
        pacer.send(item, START)
    out = drain(pacer, START + 0.05)
    for item in frame(2):
        pacer.send(item, START + 0.05)
    out += drain(pacer, START + 3, START + 0.06)
    assert [sent.item for _, sent in out if sent.keyframe] == list(range(20))
    assert pacer.dropped == {"video-late": 2}
    assert events_of(pacer) == [KeyframeNeeded("v")]


def test_of_two_keyframes_that_wait_the_newer_one_is_sent():
    pacer = Pacer(pacing_rate=100_000)
    pacer.send(packet(Kind.AUDIO, 20_000), START)
    for begin in (0.1, 0.3):
        for item in frame(2, keyframe=True):
            item.item = begin
            pacer.send(item, START + begin)
    out = drain(pacer, START + 9, START + 0.75)
    assert {sent.item for _, sent in out if sent.kind == Kind.VIDEO} == {0.3}
    assert pacer.dropped == {"video-late": 2}


def test_other_streams_are_not_dropped_with_it():
    pacer = Pacer(pacing_rate=100_000)
    for item in frame(8, stream="a"):
        pacer.send(item, START)
    drain(pacer, START + 0.1)
    for item in frame(1, stream="b"):
        pacer.send(item, START + 0.3)
    out = drain(pacer, START + 1, START + 0.45)
    assert [sent.stream for _, sent in out] == ["b"]
    assert events_of(pacer) == [KeyframeNeeded("a")]


def test_retransmissions_and_padding_that_are_late_are_dropped():
    pacer = Pacer(pacing_rate=100_000)
    for kind in (Kind.RETRANSMISSION, Kind.RETRANSMISSION, Kind.PADDING):
        pacer.send(packet(kind), START)
    drain(pacer, START)
    drain(pacer, START + 9, START + 0.5)
    assert pacer.dropped == {"retransmission-late": 1, "padding-late": 1}


def test_a_cluster_leaves_at_its_bitrate_marked():
    pacer = Pacer(pacing_rate=500_000)
    pacer.probe(ProbeCluster(7, 4_800_000, 5, 9_000), START)
    assert pacer.probing
    for item in frame(12):
        pacer.send(item, START)
    out = drain(pacer, START + 0.1)
    probes = [(time, sent) for time, sent in out if sent.probe == 7]
    assert len(probes) == 8  # 9000 bytes at least
    assert probes[-1][0] - START == pytest.approx(7 * SIZE * 8 / 4_800_000)
    assert not pacer.probing


def test_a_cluster_without_media_asks_for_padding():
    pacer = Pacer(pacing_rate=500_000)
    assert pacer.padding_needed(START) == 0
    pacer.probe(ProbeCluster(7, 4_800_000, 5, 9_000), START)
    now, sent = START, []
    for _ in range(40):
        while wanted := pacer.padding_needed(now):
            pacer.send(packet(Kind.PADDING, wanted), now)
            sent += [(now, out) for out in pacer.datagrams_to_send(now)]
        if pacer.next_timer() is None:
            break
        now = pacer.next_timer()
        pacer.handle_timer(now)
        sent += [(now, out) for out in pacer.datagrams_to_send(now)]
    assert sum(out.size for _, out in sent) >= 9_000
    assert {out.probe for _, out in sent} == {7}
    assert 0.01 < sent[-1][0] - START < 0.04
    assert not pacer.probing


def test_clusters_that_nobody_feeds_end():
    pacer = Pacer(pacing_rate=500_000)
    pacer.probe(ProbeCluster(1, 900_000, 5, 1_700), START)
    assert drain(pacer, START + 10) == []
    assert pacer.dropped == {"probe-starved": 1}
    pacer.probe(ProbeCluster(2, 900_000, 5, 1_700), START + 10)
    pacer.send(video(), START + 10)
    out = drain(pacer, START + 20, START + 10)
    assert [sent.probe for _, sent in out] == [2]
    assert pacer.dropped == {"probe-starved": 2}
    assert pacer.next_timer() is None


def test_the_rate_may_change_while_packets_wait():
    pacer = Pacer(pacing_rate=100_000)
    for item in frame(4):
        pacer.send(item, START)
    assert len(drain(pacer, START)) == 1
    pacer.set_pacing_rate(96_000_000, START + 0.01)
    assert drain(pacer, START + 0.1, START + 0.01)[-1][0] < START + 0.02


def test_queue_time():
    pacer = Pacer(pacing_rate=100_000)
    assert pacer.queue_time(START) == 0.0
    for item in frame(3):
        pacer.send(item, START)
    pacer.datagrams_to_send(START)
    assert pacer.queue_time(START + 0.2) == pytest.approx(0.2)


def test_a_stream_that_ends():
    pacer = Pacer(pacing_rate=100_000)
    for item in frame(3):
        pacer.send(item, START)
    pacer.remove_stream("v", START)
    pacer.remove_stream("other", START)
    assert pacer.dropped == {"video-removed": 3}
    assert (pacer.queued_packets, pacer.queued_bytes, pacer.next_timer()) == (0, 0, None)


def test_misuse_changes_nothing():
    pacer = Pacer()
    for wrong in (
        lambda: pacer.send(video(0), START),
        lambda: pacer.send(video(module.MAX_PACKET + 1), START),
        lambda: pacer.set_pacing_rate(0, START),
        lambda: pacer.set_pacing_rate(float("inf"), START),
        lambda: pacer.probe(ProbeCluster(1, 0, 1, 1), START),
        lambda: Pacer(pacing_rate=-1),
        lambda: Pacer(max_queue_time=0),
        lambda: Pacer(burst=1.0),
    ):
        with pytest.raises(LocalError):
            wrong()
    assert pacer.queued_packets == 0
    assert pacer.next_timer() is None


def test_what_waits_at_the_end_is_counted():
    pacer = Pacer(pacing_rate=100_000)
    for item in frame(3):
        pacer.send(item, START)
    pacer.send(packet(Kind.AUDIO), START)
    pacer.close(START)
    pacer.close(START)
    assert pacer.dropped == {"video-closed": 3, "audio-closed": 1}
    assert events_of(pacer) == [Closed()]
    assert pacer.datagrams_to_send(START + 1) == []
    assert pacer.padding_needed(START + 1) == 0
    for wrong in (lambda: pacer.send(video(), START), lambda: pacer.probe(ProbeCluster(1, 1, 1, 1), START)):
        with pytest.raises(LocalError):
            wrong()


kinds = st.sampled_from([Kind.RTCP, Kind.AUDIO, Kind.RETRANSMISSION, Kind.PADDING])
commands = st.one_of(
    st.tuples(st.just("frame"), st.integers(1, 12), st.booleans(), st.sampled_from("ab")),
    st.tuples(st.just("packet"), kinds, st.integers(1, 1500)),
    st.tuples(st.just("wait"), st.floats(0, 0.3)),
    st.tuples(st.just("rate"), st.integers(20_000, 5_000_000)),
    st.tuples(st.just("probe"), st.integers(20_000, 5_000_000)),
    st.tuples(st.just("remove"), st.sampled_from("ab")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(commands, max_size=40))
def test_each_packet_leaves_or_is_counted_and_none_but_video_is_lost_early(steps):
    pacer, now = Pacer(pacing_rate=300_000), START
    given_, left = 0, []
    for step in steps:
        match step:
            case ("frame", count, keyframe, stream):
                for item in frame(count, keyframe=keyframe, stream=stream):
                    pacer.send(item, now)
                    given_ += 1
            case ("packet", kind, size):
                pacer.send(PacedPacket(None, size, kind), now)
                given_ += 1
            case ("wait", seconds):
                left += drain(pacer, now + seconds, now)
                now += seconds
            case ("rate", rate):
                pacer.set_pacing_rate(rate, now)
            case ("probe", bitrate):
                pacer.probe(ProbeCluster(1, bitrate, 5, bitrate // 600), now)
            case ("remove", stream):
                pacer.remove_stream(stream, now)
        assert pacer.queued_bytes >= 0
    left += drain(pacer, now + 30, now)
    lost = Counter({reason: n for reason, n in pacer.dropped.items() if not reason.startswith("probe")})
    assert len(left) + lost.total() == given_
    assert not [reason for reason in lost if reason.startswith(("rtcp", "audio"))]
    assert (pacer.queued_packets, pacer.queued_bytes, pacer.next_timer()) == (0, 0, None)
    for _, sent in left:
        assert sent.kind != Kind.VIDEO or sent.keyframe or sent.queued_at >= START
    for stream in "ab":  # whatever was dropped, order holds
        at = [sent.queued_at for _, sent in left if sent.kind == Kind.VIDEO and sent.stream == stream]
        assert at == sorted(at)


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(100, 1300), st.floats(0, 0.04)), min_size=1, max_size=40),
    st.sampled_from([300_000, 2_000_000, 6_250_000]),
)
@settings(max_examples=60, deadline=None)
def test_what_is_let_pass_would_have_left_at_once(frames, rate):
    queued, passing = Pacer(pacing_rate=rate), Pacer(pacing_rate=rate)
    now = START
    for count, size, pause in frames:
        now += pause
        for pacer in (queued, passing):
            pacer.handle_timer(now)
            pacer.datagrams_to_send(now)
        passed = passing.let_pass("camera", count * size, now)
        for item in frame(count, size=size):
            queued.send(item, now)
            if not passed:
                passing.send(item, now)
        left = len(queued.datagrams_to_send(now))
        assert len(passing.datagrams_to_send(now)) == (0 if passed else left)
        assert not passed or left == count
        assert passing._debt == pytest.approx(queued._debt)
        assert passing.next_timer() == queued.next_timer()


def test_nothing_is_let_pass_by_what_waits_or_before_a_keyframe_that_is_needed():
    pacer = Pacer(pacing_rate=8_000_000)
    assert pacer.let_pass("camera", 1000, START)
    pacer.probe(ProbeCluster(1, 8_000_000, 5, 5000), START)
    assert not pacer.let_pass("camera", 1000, START)

    pacer = Pacer(pacing_rate=80_000)
    for item in frame(10):
        pacer.send(item, START)
    pacer.datagrams_to_send(START)
    assert not pacer.let_pass("camera", 1, START + 0.01)
    drain(pacer, START + 0.6)
    later = START + 5
    assert pacer.dropped["video-late"]
    assert not pacer.queued_packets
    assert not pacer.let_pass(video().stream, 1, later)
    assert pacer.let_pass("another", 1, later)
    pacer.close(later)
    assert not pacer.let_pass("another", 1, later + 1)
