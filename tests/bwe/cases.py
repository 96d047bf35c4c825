# ruff: noqa: T201  it prints a table
"""RFC 8867's cases, and more, against stack.bwe in virtual time.

`python -m tests.bwe.cases > docs/tables/bwe.md` writes the page. It is deterministic: a change of the page is a change
of behaviour. Durations are shorter than the RFC's where nothing happens any more.
"""

import itertools
import random
from dataclasses import dataclass, replace
from functools import cache

from .network import Bottleneck, Media, Path, Simulation, Tcp, integral

JITTER = 0.005  # RFC 8868 section 4.5.3: 5 ms, bounded by three times that; RFC 8867 section 4.2 allows 30
RECOVERED = 0.05  # seconds in the queue: with less for half a second, a path has recovered from a drop
MBIT = 1_000_000
WIDE = [(0.0, 10 * MBIT)]  # a way back that carries anything
RFC_BOUNDS = (150_000, 150_000, 1_500_000)  # RFC 8867 section 4.3
BOUNDS = (150_000, 300_000, 6 * MBIT)

HEAD = """# Bandwidth estimation in the simulator

Printed by `python -m tests.bwe.cases`, in virtual time: encoder, pacer, estimator, a bottleneck with a drop-tail queue
of 300 ms, a receiver that reports every 50 ms. One-way delay is 50 ms and jitter 5 ms (truncated Gaussian without
reordering, RFC 8868 section 4.5.3) where nothing else is said. The encoder follows its target 100 ms later, varies by
20 % from frame to frame, and makes keyframes of four frames' size; RFC 8867's cases have the bit rates of its section
4.3, up to 1.5 Mbit/s a flow, the others up to 6. TCP is Reno.

*Used*: media that arrived, of what the path carried while the flows could use it. *Queue*: 95th percentile of the time
that packets waited at the bottleneck. *Pacer*: 95th percentile of the time that video waited in the pacer. *Down*: the
longest time after a drop of capacity until nobody waited more than 50 ms any longer. *Up*: the longest time after a
rise until 80 % of it was used, or after nothing arrived for a while until 80 % of what did before arrived. *Least and
most*: mean bit rate of the worst and the best of several flows at the end.
"""


@dataclass
class Outcome:
    """What came of a case."""

    name: str
    used: float
    queue: float  # seconds, 95th percentile
    pacer: float  # seconds, 95th percentile
    loss: float
    down: float | None = None
    up: float | None = None
    shares: tuple = ()  # bit/s of each flow at the end
    tcp: float | None = None  # bit/s

    def row(self):
        def number(value, pattern):
            return "-" if value is None else format(value, pattern)

        shares = f"{min(self.shares) / MBIT:.2f}, {max(self.shares) / MBIT:.2f}" if len(self.shares) > 1 else "-"
        cells = [
            self.name,
            f"{self.used:.0%}",
            f"{self.queue * 1000:.0f}",
            f"{self.pacer * 1000:.0f}",
            f"{self.loss:.2%}",
            number(self.down, ".2f"),
            number(self.up, ".1f"),
            shares,
            number(self.tcp and self.tcp / MBIT, ".2f"),
        ]
        return f"| {' | '.join(cells)} |"


class Case:
    """One run: a forward and a backward bottleneck, flows, and what to measure."""

    def __init__(self, name, rate, seconds, *, seed=1, back=None, bounds=RFC_BOUNDS, **path):
        self.name, self.rate, self.seconds, self.bounds = name, rate, seconds, bounds
        self.simulation = Simulation(seed)
        path.setdefault("jitter", JITTER)
        self.forward = Bottleneck(self.simulation, Path(rate, **path))
        delay = {"delay": path["delay"]} if "delay" in path else {}
        self.backward = Bottleneck(self.simulation, Path(back or WIDE, **delay))
        self.flows, self.tcp = [], []

    def media(self, **options):
        options.setdefault("bounds", self.bounds)
        flow = Media(self.simulation, self.forward, self.backward, **options)
        self.flows.append(flow)
        return flow

    def run(self, *, carried=None, since=0.0, share_from=None):
        """Run it.

        carried: bits that the flows could have used; the path's capacity if None.
        since: seconds from which what is used counts.
        share_from: seconds from which the shares of several flows count.
        """
        self.simulation.run(self.seconds)
        end = self.seconds
        if carried is None:
            carried = integral(self.rate, since, end, sum(flow.estimator._max for flow in self.flows))
        received = sum(flow.throughput(since, end) for flow in self.flows) * (end - since)
        sent = sum(flow.sent for flow in self.flows)
        waits = sorted(wait for flow in self.flows for _, wait in flow.waits)
        lags = sorted(lag for flow in self.flows for _, lag in flow.lags)
        begin = share_from if share_from is not None else end * 2 / 3
        return Outcome(
            self.name,
            received / carried,
            waits[len(waits) * 95 // 100],
            lags[len(lags) * 95 // 100],
            sum(flow.lost for flow in self.flows) / sent,
            max((self.down(time) for time, before, after in self.steps() if after < before), default=None),
            max((self.up(time, after) for time, before, after in self.steps() if after > before), default=None),
            tuple(flow.throughput(begin, end) for flow in self.flows),
            sum(flow.throughput(begin, end) for flow in self.tcp) if self.tcp else None,
        )

    def steps(self):
        return [(time, before, after) for (_, before), (time, after) in itertools.pairwise(self.rate)]

    def down(self, time):
        late = [at for at, wait in self.forward.waits if time <= at < time + 10 and wait > RECOVERED]
        last = time
        for at in late:
            if at - last > 0.5:
                break
            last = at
        return last - time

    def up(self, time, rate):
        goal = 0.8 * min(rate, sum(flow.estimator._max for flow in self.flows))
        at = time
        while sum(flow.throughput(at - 0.5, at) for flow in self.flows) < goal and at < self.seconds:
            at += 0.1
        return at - time


# -- the step link of the issue, and halving --------------------------------------------------------------------------


@cache
def steps(jitter=0.0, interval=0.05, seed=1, delay=0.05):
    """1..4 Mbit/s up and down; every drop but the first halves the capacity."""
    rate = [(0.0, MBIT), (15.0, 4 * MBIT), (30.0, 2 * MBIT), (45.0, MBIT), (60.0, 2 * MBIT), (75.0, 4 * MBIT)]
    kind = f"{'jitter' if jitter else 'no jitter'}, reports every {interval * 1000:.0f} ms"
    if delay != 0.05:
        kind += f", {delay * 1000:.0f} ms one way"
    case = Case(f"1..4 Mbit/s, {kind}", rate, 90.0, seed=seed, bounds=BOUNDS, jitter=jitter, delay=[(0.0, delay)])
    case.media(feedback_interval=interval)
    return case.run()


# -- RFC 8867 ---------------------------------------------------------------------------------------------------------


@cache
def variable_capacity(delay=0.05):
    """Section 5.1."""
    rate = [(0.0, MBIT), (40.0, 2.5 * MBIT), (60.0, 0.6 * MBIT), (80.0, MBIT)]
    case = Case(f"8867 5.1 variable capacity, {delay * 1000:.0f} ms one way", rate, 100.0, delay=[(0.0, delay)])
    case.media()
    return case.run()


@cache
def variable_capacity_two_flows():
    """Section 5.2."""
    rate = [(0.0, 4 * MBIT), (25.0, 2 * MBIT), (50.0, 3.5 * MBIT), (75.0, MBIT), (100.0, 2 * MBIT)]
    case = Case("8867 5.2 variable capacity, two flows", rate, 125.0)
    for _ in range(2):
        case.media()
    return case.run(share_from=30.0)


@cache
def congested_feedback():
    """Section 5.3: media both ways, and reports in the same queues."""
    rate = [(0.0, 2 * MBIT), (20.0, MBIT), (40.0, 0.5 * MBIT), (60.0, 2 * MBIT)]
    back = [(0.0, 2 * MBIT), (35.0, 0.8 * MBIT), (70.0, 2 * MBIT)]
    case = Case("8867 5.3 congested feedback", rate, 100.0, back=back)
    case.media()
    Media(case.simulation, case.backward, case.forward, bounds=RFC_BOUNDS)
    return case.run(carried=integral(rate, 0.0, 100.0, 1.5 * MBIT))


@cache
def competing_flows():
    """Section 5.4."""
    rate = [(0.0, 3.5 * MBIT)]
    case = Case("8867 5.4 three flows, one after the other", rate, 120.0)
    for start in (0.0, 20.0, 40.0):
        case.media(start=start)
    carried = 20 * 1.5 * MBIT + 20 * 3 * MBIT + 80 * 3.5 * MBIT
    return case.run(carried=carried, share_from=70.0)


@cache
def round_trip_fairness():
    """Section 5.5, 120 s instead of 300."""
    case = Case("8867 5.5 five flows, 10..150 ms one way", [(0.0, 4 * MBIT)], 120.0)
    for index, delay in enumerate((0.01, 0.025, 0.05, 0.1, 0.15)):
        case.media(start=10.0 * index, delay=delay, audio=False)
    return case.run(carried=4 * MBIT * 70, since=50.0, share_from=60.0)


@cache
def long_tcp(queue=0.3):
    """Section 5.6."""
    case = Case(f"8867 5.6 a long TCP flow, queue of {queue * 1000:.0f} ms", [(0.0, 2 * MBIT)], 120.0, queue=queue)
    case.media(start=5.0)
    case.tcp.append(Tcp(case.simulation, case.forward, case.backward))
    return case.run(carried=MBIT * 115, since=5.0)


@cache
def short_tcp():
    """Section 5.7, 120 s instead of 300: two media flows, ten connections that fetch 30..50 kB and idle."""
    case = Case("8867 5.7 short TCP flows", [(0.0, 2 * MBIT)], 120.0)
    for _ in range(2):
        case.media(start=5.0)
    rng = random.Random(7)

    def idle():
        begin = case.simulation.now + rng.expovariate(1 / 10.0)
        if begin < case.seconds:
            case.simulation.at(begin, fetch)

    def fetch():
        size = rng.randint(30_000, 50_000)
        case.tcp.append(
            Tcp(case.simulation, case.forward, case.backward, start=case.simulation.now, size=size, done=idle)
        )

    for index in range(10):
        if index < 2:
            fetch()
        else:
            idle()
    return case.run(carried=None, since=5.0)


@cache
def pause_and_resume():
    """Section 5.8."""
    case = Case("8867 5.8 three flows, one pauses", [(0.0, 3.5 * MBIT)], 120.0)
    for index in range(3):
        case.media(pauses=[(40.0, 60.0)] if index == 1 else ())
    return case.run(carried=3.5 * MBIT * 100 + 3 * MBIT * 20, share_from=75.0)


# -- more paths -------------------------------------------------------------------------------------------------------


@cache
def round_trip_changes():
    """A handover: the one-way delay jumps up and down."""
    delay = [(0.0, 0.03), (20.0, 0.13), (40.0, 0.05), (60.0, 0.2)]
    case = Case("one-way delay of 30, 130, 50, 200 ms", [(0.0, 2 * MBIT)], 80.0, bounds=BOUNDS, delay=delay)
    case.media()
    return case.run()


@cache
def random_loss(share):
    """Losses that have nothing to do with the rate."""
    case = Case(
        f"{share:.0%} random loss", [(0.0, 2 * MBIT)], 60.0, bounds=BOUNDS, loss=lambda time, rng: rng.random() < share
    )
    case.media()
    return case.run()


@cache
def loss_bursts():
    """Gilbert-Elliott: bursts of 20 packets, 1.5 % of all."""
    state = [False]

    def lost(time, rng):
        state[0] = rng.random() >= 1 / 20 if state[0] else rng.random() < 1 / 1300
        return state[0]

    case = Case("bursts of 20 losses", [(0.0, 2 * MBIT)], 60.0, bounds=BOUNDS, loss=lost)
    case.media()
    return case.run()


@cache
def lte_trace(seed=3, seconds=120):
    """A log-normal walk around 4 Mbit/s in steps of 100 ms with fades of a second: a 4G uplink in motion."""
    rng = random.Random(seed)
    rate, level, fade = [], 0.0, 0.0
    for step in range(seconds * 10):
        level = 0.97 * level + rng.gauss(0, 0.09)
        fade = 0.9 if rng.random() < 0.003 else max(fade - 0.07, 0.0)
        rate.append((step / 10, max(4 * MBIT * 2.718**level * (1 - fade), 0.25 * MBIT)))
    return rate


@cache
def lte():
    """RFC 8869 section 2.2, modelled: bad radio coverage at vehicle speed; a deep queue, as base stations have."""
    rate = lte_trace()
    case = Case("modelled LTE uplink, queue of 1 s", rate, 120.0, bounds=BOUNDS, queue=1.0, delay=[(0.0, 0.03)])
    case.media()
    case.steps = list
    return case.run()


@cache
def wifi():
    """RFC 8869 section 3.1, modelled: a few stations, of which others take air time in bursts."""
    rng = random.Random(5)
    rate = [(step / 20, (8 if rng.random() < 0.7 else 2) * MBIT) for step in range(60 * 20)]
    case = Case("modelled Wi-Fi, 8 or 2 Mbit/s each 50 ms", rate, 60.0, bounds=BOUNDS, delay=[(0.0, 0.02)])
    case.media()
    case.steps = list
    return case.run()


@cache
def black_hole():
    """No report for five seconds; the path is as it was."""
    case = Case("no reports for 5 s", [(0.0, 2 * MBIT)], 40.0, bounds=BOUNDS)
    case.media(black_hole=[(15.0, 20.0)])
    return case.run()


@cache
def outage(seconds, rate=4 * MBIT, seed=1, begin=20.0):
    """What is sent for a moment is lost, as when a radio is dead, and then the path is as it was before."""
    case = Case(
        f"nothing arrives for {seconds * 1000:.0f} ms",
        [(0.0, rate)],
        40.0,
        seed=seed,
        bounds=BOUNDS,
        loss=lambda time, _: begin <= time < begin + seconds,
    )
    flow = case.media()
    outcome = case.run()
    goal, end, up = 0.8 * flow.throughput(begin - 4.0, begin), begin + seconds, 0.0
    while flow.throughput(end + up, end + up + 0.5) < goal:
        up += 0.1
    return replace(outcome, up=up)


@cache
def application_limited():
    """The encoder makes a third of its target for half of the time."""
    case = Case("application-limited, then not", [(0.0, 4 * MBIT)], 60.0, bounds=BOUNDS)
    flow = case.media(usage=0.3)
    case.simulation.at(30.0, setattr, flow, "usage", 1.0)
    return case.run(since=30.0, carried=4 * MBIT * 30)


def outcomes():
    """All, in the order of the page."""
    yield steps()
    yield steps(jitter=JITTER)
    yield steps(jitter=JITTER, interval=0.1)
    yield steps(jitter=JITTER, delay=0.02)
    yield variable_capacity()
    yield variable_capacity(0.1)
    yield variable_capacity_two_flows()
    yield congested_feedback()
    yield competing_flows()
    yield round_trip_fairness()
    yield long_tcp()
    yield long_tcp(1.0)
    yield short_tcp()
    yield pause_and_resume()
    yield round_trip_changes()
    yield random_loss(0.02)
    yield random_loss(0.1)
    yield loss_bursts()
    yield lte()
    yield wifi()
    yield black_hole()
    yield outage(0.15)
    yield outage(0.5)
    yield application_limited()


def page():
    """The text of docs/tables/bwe.md."""
    lines = [
        HEAD,
        "| case | used | queue, ms | pacer, ms | loss | down, s | up, s | least, most, Mbit/s | TCP, Mbit/s |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *[outcome.row() for outcome in outcomes()],
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
