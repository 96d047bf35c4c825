"""Bandwidth estimation: what the simulator shows, and what it costs."""

import statistics
import time

from stack.bwe import Estimator, Kind, PacedPacket, Pacer
from tests.bwe import cases

from .registry import Metric, benchmark

SIZE = 1157  # bytes: nine packets a frame at 30 frames/s are 2.5 Mbit/s
PACKETS = 9


@benchmark(
    Metric("bwe-step-utilisation", "share", "higher"),
    Metric("bwe-step-queue-p95", "ms", "lower"),
    Metric("bwe-step-recovery", "s", "lower"),
)
def step_link(_side, _quick):
    """1..4 Mbit/s up and down with jitter: the worst of three seeds."""
    outcomes = [cases.steps.__wrapped__(jitter=cases.JITTER, seed=seed) for seed in (1, 2, 3)]
    return {
        "bwe-step-utilisation": min(outcome.used for outcome in outcomes),
        "bwe-step-queue-p95": max(outcome.queue for outcome in outcomes) * 1000,
        "bwe-step-recovery": max(outcome.down for outcome in outcomes),
    }


@benchmark(Metric("bwe-lte-utilisation", "share", "higher"), Metric("bwe-lte-queue-p95", "ms", "lower"))
def lte(_side, _quick):
    """The modelled LTE uplink."""
    outcome = cases.lte.__wrapped__()
    return {"bwe-lte-utilisation": outcome.used, "bwe-lte-queue-p95": outcome.queue * 1000}


def one_stream(seconds):
    """Send 2.5 Mbit/s with reports each 50 ms; return CPU seconds per packet."""
    estimator = Estimator(min_bitrate=2_400_000, start_bitrate=2_500_000, max_bitrate=2_500_000)
    pacer = Pacer(pacing_rate=estimator.pacing_rate)
    while estimator.next_event():
        pass
    now, number, next_report, sent = 1000.0, 0, 1000.05, []
    end, total = now + seconds, 0
    begin = time.process_time()
    while now < end:
        for index in range(PACKETS):
            pacer.send(PacedPacket(None, SIZE, Kind.VIDEO, "v", False, index == 0), now)
        due = now
        while due is not None:
            for packet in pacer.datagrams_to_send(due):
                estimator.packet_sent(number, packet.size, due, probe=packet.probe)
                sent.append((number, due + 0.05))
                number = number + 1 & 0xFFFF
            due = pacer.next_timer()
            if due is not None:
                pacer.handle_timer(due)
        now += 1 / 30
        if now >= next_report:
            next_report += 0.05
            total += len(sent)
            estimator.feedback(sent, now)
            sent = []
            while estimator.next_event():
                pass
    return (time.process_time() - begin) / total


@benchmark(Metric("bwe-cpu-per-packet", "us", "lower"))
def cpu(_side, quick):
    """Pacer and estimator, queue to report."""
    return {"bwe-cpu-per-packet": statistics.median(one_stream(5) for _ in range(3 if quick else 15)) * 1e6}
