"""Law 9: every named limit of stack.bwe is hit. Run by tests/contract through its subjects."""

import pytest

from stack.bwe import Kind, Pacer, ProbeCluster, RemoteEstimator
from stack.bwe import estimator as estimator_module
from stack.bwe import loss as loss_module
from stack.bwe import pacer as pacer_module
from stack.bwe import probing as probing_module
from stack.bwe import remote as remote_module
from stack.core import LocalError

from .support import SIZE, START, estimator, events_of, packet, video


def max_history():
    made = estimator()
    for number in range(estimator_module.MAX_HISTORY + 3):
        made.packet_sent(number, SIZE, START)
    assert made.dropped == {"history-full": 3}
    assert len(made._history) == estimator_module.MAX_HISTORY


def history_time():
    made = estimator()
    made.packet_sent(1, SIZE, START)
    later = START + estimator_module.HISTORY_TIME + 1
    made.packet_sent(2, SIZE, later)
    made.feedback([(2, 1.0)], later + 0.1)
    assert not made._history


def max_pending_clusters():
    made = estimator()
    for _ in range(20):
        made._probe(1_000_000, START)
    assert len(made._probing._pending) == probing_module.MAX_PENDING_CLUSTERS
    made._probing.expire(START + probing_module.PENDING_TIME)
    assert not made._probing.waiting


def estimator_max_pending_events():
    made = estimator()
    for step in range(estimator_module.MAX_PENDING_EVENTS + 5):
        made._probing.forget()
        made._probe(1_000_000 + step, START)
    assert len(events_of(made)) == estimator_module.MAX_PENDING_EVENTS
    assert made.dropped == {"events-full": 5}


def max_observations():
    losses = loss_module.LossController()
    for step in range(100):
        losses.feedback(10, 1, 10 * SIZE, step * 1.0, step + 0.5)
    assert len(losses._observations) == loss_module.MAX_OBSERVATIONS


def max_queued_packets():
    pacer = Pacer(pacing_rate=1000)
    for _ in range(pacer_module.MAX_QUEUED_PACKETS + 2):
        pacer.send(packet(Kind.AUDIO), START)
        pacer.send(packet(Kind.RETRANSMISSION), START)
        pacer.send(video(first=False), START)
    assert pacer.dropped["audio-queue-full"] == pacer.dropped["retransmission-queue-full"] == 2
    assert pacer.dropped["video-queue-full"] == pacer_module.MAX_QUEUED_PACKETS
    assert pacer.dropped["video-before-keyframe"] == 2
    assert pacer.queued_packets == 2 * pacer_module.MAX_QUEUED_PACKETS


def max_dropped():
    pacer = Pacer()
    for _ in range(pacer_module.MAX_DROPPED + 5):
        pacer.send(packet(Kind.RETRANSMISSION), START)
    pacer.close(START)
    assert len(pacer.take_dropped()) == pacer_module.MAX_DROPPED
    assert pacer.take_dropped() == []


def max_streams():
    pacer = Pacer()
    for stream in range(pacer_module.MAX_STREAMS):
        pacer.send(video(stream=stream), START)
    with pytest.raises(LocalError):
        pacer.send(video(stream="another"), START)
    pacer.remove_stream(0, START)
    pacer.send(video(stream="another"), START)


def max_clusters():
    pacer = Pacer()
    for number in range(pacer_module.MAX_CLUSTERS + 2):
        pacer.probe(ProbeCluster(number, 1_000_000, 5, 1000), START)
    assert pacer.dropped == {"probe-full": 2}


def max_packet():
    with pytest.raises(LocalError):
        Pacer().send(video(pacer_module.MAX_PACKET + 1), START)


def max_queue_time():
    pacer = Pacer(pacing_rate=1000)
    for _ in range(3):
        pacer.send(video(), START)
    pacer.datagrams_to_send(START)
    pacer.datagrams_to_send(START + pacer_module.MAX_QUEUE_TIME + 0.01)
    assert pacer.dropped == {"video-late": 2}


def max_debt_time():
    pacer = Pacer(pacing_rate=96_000)
    for _ in range(1000):
        pacer.send(packet(Kind.AUDIO), START)
    assert len(pacer.datagrams_to_send(START)) == 1000
    pacer.send(video(), START)
    pacer.datagrams_to_send(START)
    assert pacer.next_timer() - START <= pacer_module.MAX_DEBT_TIME


def cluster_wait():
    pacer = Pacer()
    pacer.probe(ProbeCluster(1, 1_000_000, 5, 1000), START)
    pacer.handle_timer(START + pacer_module.CLUSTER_WAIT)
    assert pacer.dropped == {"probe-starved": 1}


def pacer_max_pending_events():
    pacer = Pacer(pacing_rate=1000)
    for stream in range(pacer_module.MAX_PENDING_EVENTS + 3):
        for _ in range(2):
            pacer.send(video(stream=stream), START)
    pacer.datagrams_to_send(START)
    pacer.datagrams_to_send(START + 1)
    assert len(events_of(pacer)) == pacer_module.MAX_PENDING_EVENTS
    assert pacer.dropped["events-full"] == 3


def max_sources():
    made = RemoteEstimator()
    for ssrc in range(remote_module.MAX_SOURCES + 2):
        made.packet_received(ssrc, SIZE, START)
    assert made.dropped == {"sources-full": 2}
    assert len(made.ssrcs) == remote_module.MAX_SOURCES


def remote_max_pending_events():
    made = RemoteEstimator()
    now = START
    for _ in range(remote_module.MAX_PENDING_EVENTS + 3):
        made.packet_received(1, SIZE, now)
        now = made.next_timer()
        made.handle_timer(now)
    assert len(events_of(made)) == remote_module.MAX_PENDING_EVENTS
    assert made.dropped == {"events-full": 3}


ESTIMATOR = {
    "MAX_HISTORY": max_history,
    "HISTORY_TIME": history_time,
    "MAX_PENDING_CLUSTERS": max_pending_clusters,
    "MAX_PENDING_EVENTS": estimator_max_pending_events,
    "MAX_OBSERVATIONS": max_observations,
}
PACER = {
    "MAX_QUEUED_PACKETS": max_queued_packets,
    "MAX_DROPPED": max_dropped,
    "MAX_STREAMS": max_streams,
    "MAX_CLUSTERS": max_clusters,
    "MAX_PACKET": max_packet,
    "MAX_QUEUE_TIME": max_queue_time,
    "MAX_DEBT_TIME": max_debt_time,
    "CLUSTER_WAIT": cluster_wait,
    "MAX_PENDING_EVENTS": pacer_max_pending_events,
}
REMOTE = {"MAX_SOURCES": max_sources, "MAX_PENDING_EVENTS": remote_max_pending_events}
