# ruff: noqa: T201  it prints a table
"""Throughput, delay and fairness over a matrix of links, in virtual time.

`python -m tests.sctp.matrix > docs/tables/sctp.md` writes the table. It is deterministic: a change of the table is a
change of behaviour.
"""

from stack.sctp import Association, Config, Cubic, DelayAwareCubic, MessageReceived, Reno
from stack.testing import Conditions, Link, seeded_random_bytes

from .sharing import backlog, share

RATE = 20_000_000  # bit/s of every link
SIZE = 16_384
SECONDS = 8.0  # of bulk transfer per cell
PINGS = 1000
INTERVAL = 0.05  # seconds between small messages
DELAYS = (0.005, 0.025, 0.1)  # one way, seconds
LOSSES = (0.0, 0.001, 0.01, 0.05)
CONTROLLERS = (Reno, Cubic, DelayAwareCubic)
QUEUES = (12_500, 62_500, 125_000, 1_000_000)  # 5, 25, 50 and 400 ms at the rate of the links
HEAD = f"""# SCTP over bad links

Printed by `python -m tests.sctp.matrix`, in virtual time. Every link carries {RATE // 1_000_000} Mbit/s with a queue
of one round trip (50 kB at least); loss is random, the same both ways. *Bulk*: 16 KiB messages, reliable, ordered, for
{SECONDS:.0f} s. *p99*: the 99th percentile of the delay of 100-byte ordered messages with nothing beside them, one
every {INTERVAL * 1000:.0f} ms, beyond the one-way delay of the link. The default controller is `DelayAwareCubic`.
"""
SHARED = f"""
## Beside others, and alone

50 ms round trip, {RATE // 1_000_000} Mbit/s, no loss but that of the queue. *Share*: what the first of two senders
gets of what both deliver. *Queue*: the 95th percentile of what a packet waits at the bottleneck while one sender has it
to itself.
"""
UNLIMITED = """
## Random loss and no limit of the rate

50 ms round trip, 1 % loss each way, 4 s: what a radio link does, and the square-root law with it.
"""


def pair(controller, delay, loss, jitter):
    conditions = Conditions(
        delay=delay, jitter=jitter, loss=loss, rate=RATE, queue=max(int(RATE / 8 * 2 * delay), 50_000)
    )
    config = Config(congestion=controller)
    machines = [Association(random_bytes=seeded_random_bytes(seed), config=config) for seed in (1, 2)]
    link = Link(*machines, conditions, seed=1)
    machines[0].associate(link.now)
    assert link.run(lambda: all(machine.state.value == "established" for machine in machines))
    link.drain()
    return link


def received(link):
    return sum(type(event) is MessageReceived for event in link.events[1])


def throughput(controller, delay, loss, jitter=0.0, seconds=SECONDS):
    """Mbit/s that arrived."""
    link = pair(controller, delay, loss, jitter)
    a = link.machines[0]
    end, data = link.now + seconds, bytes(SIZE)
    while link.now < end:
        while a.total_buffered < 20 * SIZE:
            a.send(1, 53, data, link.now)
        link.run(lambda: a.total_buffered < 10 * SIZE, seconds=min(0.5, end - link.now))
    return received(link) * SIZE * 8 / seconds / 1e6


def delay_of_messages(controller, delay, loss, jitter=0.0, count=PINGS):
    """99th percentile of the delay beyond the link's, ms."""
    link = pair(controller, delay, loss, jitter)
    a = link.machines[0]
    begin, delays, due = received(link), [], link.now
    sent = []
    while len(delays) < count:
        if len(sent) < count and link.now >= due:
            a.send(1, 53, bytes(100), link.now)
            sent.append(link.now)
            due += INTERVAL
        known = begin + len(delays)
        link.run(
            lambda known=known: received(link) > known,
            seconds=max(due - link.now, 0.0) if len(sent) < count else 60,
        )
        delays += [link.now - at for at in sent[len(delays) : received(link) - begin]]
    delays.sort()
    return (delays[count * 99 // 100] - delay) * 1000


def rows(seconds=SECONDS, count=PINGS):
    for delay in DELAYS:
        for loss, jitter in [*((loss, 0.0) for loss in LOSSES), (0.0, delay / 2)]:
            cells = [f"{delay * 2000:.0f} ms", f"{loss:.1%}", f"{jitter * 1000:.1f} ms"]
            cells += [f"{throughput(controller, delay, loss, jitter, seconds):.2f}" for controller in CONTROLLERS]
            cells.append(f"{delay_of_messages(DelayAwareCubic, delay, loss, jitter, count):.1f}")
            yield cells


def lines(rows):
    """A table of Markdown."""
    head, *rest = rows
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---", *["---:"] * (len(head) - 1)], *rest]) + "\n"


def shared_rows(seconds):
    names = [controller.__name__ for controller in CONTROLLERS]
    yield ["queue", *(f"DelayAwareCubic's share beside {n}" for n in names), *(f"queue of {n}, ms" for n in names)]
    for queue in QUEUES:
        conditions = Conditions(delay=0.025, rate=RATE, queue=queue)
        cells = [f"{queue * 8000 / RATE:.0f} ms"]
        for other in CONTROLLERS:
            ours, theirs = share([DelayAwareCubic, other], conditions, seconds, warm_up=seconds / 6)
            cells.append(f"{ours / (ours + theirs):.0%}")
        for controller in CONTROLLERS:
            waits = []
            share(
                [controller], conditions, seconds / 2, warm_up=3, on_step=lambda link, w=waits: w.append(backlog(link))
            )
            cells.append(f"{sorted(waits)[len(waits) * 95 // 100] * 1000:.0f}")
        yield cells


def unlimited_rows(seconds):
    yield ["controller", "Mbit/s"]
    for controller in CONTROLLERS:
        yield [controller.__name__, f"{share([controller], Conditions(delay=0.025, loss=0.01), seconds)[0]:.1f}"]


def table(*, shared_seconds=30.0, **options):
    """The whole page."""
    head = ["round trip", "loss", "jitter", *(f"bulk {c.__name__}, Mbit/s" for c in CONTROLLERS), "p99, ms"]
    page = HEAD + "\n" + lines([head, *rows(**options)])
    if shared_seconds:
        page += UNLIMITED + "\n" + lines(unlimited_rows(4.0)) + SHARED + "\n" + lines(shared_rows(shared_seconds))
    return page


if __name__ == "__main__":
    print(table(), end="")
