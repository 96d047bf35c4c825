"""A bottleneck in virtual time, and what may share it: media flows with the whole of stack.bwe, and TCP.

Everything is decided by one seed. The bottleneck is RFC 8867's: a drop-tail queue measured in time, a rate that follows
a schedule, a propagation delay that may change, losses after it, and jitter without reordering (RFC 8868 section
4.5.2).
"""

import heapq
import itertools
import random
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

from stack.bwe import Estimator, KeyframeNeeded, Kind, PacedPacket, Pacer, ProbeRequested, TargetBitrateChanged

PACKET = 1200  # bytes of a media packet
TCP_PACKET = 1500
FRAME_INTERVAL = 1 / 30
AUDIO_INTERVAL = 0.02
AUDIO_SIZE = 50  # bytes each 20 ms: 20 kbit/s
ENCODER_LAG = 0.1  # seconds until the encoder follows: RFC 8867 section 4.3
OVERHEAD = 1.02  # what an encoder stays below its target


class Simulation:
    """A clock and what is to happen."""

    def __init__(self, seed=1):
        self.now = 0.0
        self.random = random.Random(seed)
        self._calls = []
        self._order = itertools.count()

    def at(self, time, call, *arguments):
        heapq.heappush(self._calls, (max(time, self.now), next(self._order), call, arguments))

    def run(self, seconds):
        calls = self._calls
        while calls and calls[0][0] <= seconds:
            self.now, _, call, arguments = heapq.heappop(calls)
            call(*arguments)
        self.now = seconds


@dataclass
class Path:
    """One direction of a path.

    rate: [(from, bit/s), ...]; queue: seconds at the rate of the moment; delay: [(from, seconds), ...];
    loss: a function of (time, random) that tells whether a packet is lost; jitter: standard deviation in seconds,
    bounded by three of them.
    """

    rate: list
    delay: list = field(default_factory=lambda: [(0.0, 0.05)])
    queue: float = 0.3
    loss: object = None
    jitter: float = 0.0


def value_at(schedule, time):
    return schedule[bisect_right(schedule, time, key=lambda step: step[0]) - 1][1]


def integral(schedule, begin, end, cap=float("inf")):
    """Of a schedule whose values are capped, over a time."""
    total = 0.0
    for (start, value), (stop, _) in itertools.pairwise([*schedule, (float("inf"), 0)]):
        total += max(min(stop, end) - max(start, begin), 0.0) * min(value, cap)
    return total


class Bottleneck:
    """Serves packets one after the other at the rate of the moment."""

    def __init__(self, simulation, path):
        self.simulation, self.path = simulation, path
        self.waiting = deque()
        self.waiting_bytes = 0
        self.busy = False
        self.last_arrival = {}
        self.waits = []  # (time, seconds) of every packet when it begins to be served

    def send(self, size, flow, delay, deliver, *arguments, lost=None):
        """Send a packet; `deliver` is called when it arrives, `lost` when the queue is full."""
        now = self.simulation.now
        if self.waiting_bytes * 8 > self.path.queue * value_at(self.path.rate, now):
            if lost is not None:
                lost()
            return
        self.waiting.append((size, now, flow, delay, deliver, arguments, lost))
        self.waiting_bytes += size
        if not self.busy:
            self.serve()

    def serve(self):
        now = self.simulation.now
        size, since, flow, *_ = self.waiting[0]
        self.busy = True
        self.waits.append((now, now - since))
        if isinstance(flow, Media):
            flow.waits.append((now, now - since))
        self.simulation.at(now + size * 8 / value_at(self.path.rate, now), self.served)

    def served(self):
        simulation, path = self.simulation, self.path
        size, _, flow, delay, deliver, arguments, lost = self.waiting.popleft()
        self.waiting_bytes -= size
        if path.loss is not None and path.loss(simulation.now, simulation.random):
            if lost is not None:
                lost()
        else:
            arrival = simulation.now + (value_at(path.delay, simulation.now) if delay is None else delay)
            if path.jitter:
                arrival += min(abs(simulation.random.gauss(0, path.jitter)), 3 * path.jitter)
            arrival = max(arrival, self.last_arrival.get(flow, 0.0))
            self.last_arrival[flow] = arrival
            simulation.at(arrival, deliver, *arguments)
        if self.waiting:
            self.serve()
        else:
            self.busy = False


class Media:
    """Encoder, pacer and estimator on one side, a receiver that reports on the other."""

    def __init__(
        self, simulation, forward, backward, *, start=0.0, end=float("inf"), bounds=(150_000, 300_000, 1_500_000),
        delay=None, feedback_interval=0.05, audio=True, pauses=(), usage=1.0, black_hole=(),
    ):  # fmt: skip
        self.simulation, self.forward, self.backward = simulation, forward, backward
        self.delay = delay
        self.interval = feedback_interval
        self.end, self.pauses, self.usage, self.black_hole = end, pauses, usage, black_hole
        low, first, high = bounds
        self.estimator = Estimator(min_bitrate=low, start_bitrate=first, max_bitrate=high)
        self.pacer = Pacer(pacing_rate=self.estimator.pacing_rate)
        self.encoder_rate = first
        self.numbers = itertools.count(1)
        self.keyframe_wanted = True
        self.debt = 0.0
        self.reports = []
        self.highest = 0
        self.received = []  # (time, bytes)
        self.waits = []  # (time, seconds) in the queue of the bottleneck
        self.lags = []  # (time, seconds) from the encoder to the wire
        self.targets = [(start, first)]
        self.sent = self.lost = 0
        self.timer = None
        self.has_padding = False
        simulation.at(start, self.capture)
        if audio:
            simulation.at(start, self.speak)
        simulation.at(start + feedback_interval, self.report)

    # -- sender --------------------------------------------------------------------------------------------------

    def active(self):
        now = self.simulation.now
        return not any(begin <= now < end for begin, end in self.pauses)

    def capture(self):
        now = self.simulation.now
        if now >= self.end:
            return
        self.simulation.at(now + FRAME_INTERVAL, self.capture)
        if not self.active():
            return
        rate = max(self.encoder_rate / OVERHEAD - 20_000, 20_000) * self.usage
        mean = rate * FRAME_INTERVAL / 8
        size = mean * self.simulation.random.uniform(0.8, 1.2)
        keyframe, self.keyframe_wanted = self.keyframe_wanted, False
        if keyframe:
            size = 4 * mean
        size -= min(self.debt / 5, size / 2)  # what frames are too large is taken from the next ones
        self.debt += size - mean
        left, first = max(int(size), 100), True
        while left > 0:
            self.pacer.send(PacedPacket(None, min(left, PACKET), Kind.VIDEO, "video", keyframe, first), now)
            left, first = left - PACKET, False
        self.has_padding = True
        self.flush()

    def speak(self):
        now = self.simulation.now
        if now >= self.end:
            return
        self.simulation.at(now + AUDIO_INTERVAL, self.speak)
        if self.active():
            self.pacer.send(PacedPacket(None, AUDIO_SIZE, Kind.AUDIO, "audio"), now)
            self.flush()

    def flush(self):
        """What an I/O shell does after each thing that happened."""
        now, estimator, pacer = self.simulation.now, self.estimator, self.pacer
        while (event := estimator.next_event()) is not None:
            match event:
                case TargetBitrateChanged(target, pacing_rate):
                    pacer.set_pacing_rate(pacing_rate, now)
                    self.targets.append((now, target))
                    self.simulation.at(now + ENCODER_LAG, self.follow, target)
                case ProbeRequested(cluster):
                    pacer.probe(cluster, now)
        while True:
            for packet in pacer.datagrams_to_send(now):
                self.put(packet, now)
            wanted = pacer.padding_needed(now) if self.has_padding else 0
            if not wanted:
                break
            pacer.send(PacedPacket(None, min(wanted, PACKET), Kind.PADDING), now)
        while (event := pacer.next_event()) is not None:
            if isinstance(event, KeyframeNeeded):
                self.keyframe_wanted = True
        due = min((t for t in (estimator.next_timer(), pacer.next_timer()) if t is not None), default=None)
        if due is not None and (self.timer is None or due < self.timer):
            self.timer = due
            self.simulation.at(due, self.wake, due)

    def wake(self, due):
        if due != self.timer:
            return
        self.timer = None
        now = self.simulation.now
        self.estimator.handle_timer(now)
        self.pacer.handle_timer(now)
        self.flush()

    def follow(self, target):
        self.encoder_rate = target

    def put(self, packet, now):
        number = next(self.numbers)
        self.estimator.packet_sent(number & 0xFFFF, packet.size, now, probe=packet.probe)
        self.sent += 1
        if packet.kind == Kind.VIDEO:
            self.lags.append((now, now - packet.queued_at))
        self.forward.send(packet.size, self, self.delay, self.arrive, number, packet.size, now, lost=self.lose)

    def lose(self):
        self.lost += 1

    # -- receiver ------------------------------------------------------------------------------------------------

    def arrive(self, number, size, sent):
        now = self.simulation.now
        self.received.append((now, size))
        self.reports.append((number, now))

    def report(self):
        now = self.simulation.now
        if now < self.end + 1:
            self.simulation.at(now + self.interval, self.report)
        if not self.reports:
            return
        arrived = dict(self.reports)
        self.reports = []
        first, self.highest = self.highest + 1, max(self.highest, *arrived)
        results = [(number & 0xFFFF, arrived.get(number)) for number in range(first, self.highest + 1)]
        if not any(begin <= now < end for begin, end in self.black_hole):
            self.backward.send(60 + 2 * len(results), self, self.delay, self.reported, results)

    def reported(self, results):
        self.estimator.feedback(results, self.simulation.now)
        self.flush()

    # -- results -------------------------------------------------------------------------------------------------

    def throughput(self, begin, end):
        return sum(size for time, size in self.received if begin <= time < end) * 8 / (end - begin)


class Tcp:
    """Reno (RFC 5681), with SACK's exactness about what was lost."""

    def __init__(self, simulation, forward, backward, *, start=0.0, end=float("inf"), size=None, done=None):
        self.simulation, self.forward, self.backward = simulation, forward, backward
        self.end, self.left, self.done = end, size, done
        self.window, self.threshold = 10.0, float("inf")
        self.next = self.acknowledged = 0
        self.recover = -1
        self.outstanding = set()
        self.received = []
        self.lost = 0
        self.heard = start
        simulation.at(start, self.fill)
        simulation.at(start + 1.0, self.watch)

    def fill(self):
        if self.simulation.now >= self.end:
            return
        while len(self.outstanding) < int(self.window) and (self.left is None or self.left > 0):
            number, self.next = self.next, self.next + 1
            self.outstanding.add(number)
            if self.left is not None:
                self.left -= TCP_PACKET
            self.forward.send(TCP_PACKET, self, None, self.arrive, number)

    def arrive(self, number):
        self.received.append((self.simulation.now, TCP_PACKET))
        self.backward.send(40, self, None, self.acknowledge, number)

    def acknowledge(self, number):
        self.heard = self.simulation.now
        self.outstanding.discard(number)
        lost = [old for old in self.outstanding if old <= number - 3]
        for old in lost:
            self.outstanding.discard(old)
            if self.left is not None:
                self.left += TCP_PACKET
        self.lost += len(lost)
        if lost and max(lost) > self.recover:
            self.recover = self.next - 1
            self.threshold = self.window = max(self.window / 2, 2.0)
        elif number > self.recover:
            self.window += 1.0 if self.window < self.threshold else 1.0 / self.window
        self.fill()
        if self.left is not None and self.left <= 0 and not self.outstanding and self.done is not None:
            done, self.done = self.done, None
            done()

    def watch(self):
        """The retransmission time-out."""
        now = self.simulation.now
        if now >= self.end or (self.left is not None and self.left <= 0 and not self.outstanding):
            return
        if self.outstanding and now - self.heard >= 1.0:
            if self.left is not None:
                self.left += TCP_PACKET * len(self.outstanding)
            self.outstanding.clear()
            self.threshold, self.window = max(self.window / 2, 2.0), 1.0
            self.heard = now
            self.fill()
        self.simulation.at(now + 0.5, self.watch)

    def throughput(self, begin, end):
        return sum(size for time, size in self.received if begin <= time < end) * 8 / (end - begin)
