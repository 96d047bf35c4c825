"""Long and many: two hours of virtual time, and random small scenarios.

SCTP_SOAK says how many scenarios are run, 200 without it: `make soak` runs 10,000.
"""

import os
import random
import sys

import pytest

from stack.sctp import Closed, Cubic, DelayAwareCubic, MessageReceived, Reno
from stack.testing import Conditions

from .support import connected

SCENARIOS = int(os.environ.get("SCTP_SOAK", "200"))
BATCHES = 20
HOURS = 2


def sizes(machine):
    """How many things the tables of an association hold, by the path to them, whatever they are."""
    found, seen = {}, set()
    pending = [("", machine)]
    while pending:
        name, value = pending.pop()
        if id(value) in seen or isinstance(value, int | float | str | bytes | type | type(None)):
            continue
        seen.add(id(value))
        if hasattr(value, "__len__") and not isinstance(value, dict) and not callable(value):
            found[name] = len(value)
        if isinstance(value, dict):
            found[name] = len(value)
            pending += [(f"{name}[]", item) for item in value.values()]
        elif isinstance(value, list | tuple | set) or type(value).__name__ == "deque":
            pending += [(f"{name}[]", item) for item in value]
        elif type(value).__module__.startswith("stack.sctp"):
            names = {n for kind in type(value).__mro__ for n in getattr(kind, "__slots__", ())}
            names |= set(getattr(value, "__dict__", ()))
            pending += [(f"{name}.{n}", getattr(value, n, None)) for n in names]
    return found


def test_two_hours_without_a_leak_or_a_stall():
    conditions = Conditions(delay=0.03, jitter=0.005, loss=0.01, duplicate=0.005, rate=5_000_000)
    link = connected(conditions, seed=5, a={"path_mtu_limit": 1400})
    rng, number, got, worst = random.Random(1), 0, [0, 0], 0.0
    end, after_a_while = link.now + HOURS * 3600, None
    while link.now < end:
        number += 1
        for machine in link.machines:
            stream = rng.randrange(20)
            lifetime = 0.2 if stream % 4 == 1 else None
            machine.send(stream, 51, b"%.3f" % link.now + bytes(rng.choice([10, 500, 3000])), link.now,
                         ordered=stream % 2 == 0, lifetime=lifetime, replace_key=stream % 3 or None)  # fmt: skip
            if number % 50 == 0:
                machine.reset_streams([30 + stream], link.now)
        link.run(seconds=rng.choice([0.01, 1.0, 3.0, 10.0]))
        for side, events in enumerate(link.events):
            messages = [e for e in events if isinstance(e, MessageReceived)]
            assert not any(isinstance(e, Closed) for e in events)
            got[side] += len(messages)
            events.clear()
            for message in messages:
                worst = max(worst, link.now - float(message.data.split(b"\0")[0]))
        if after_a_while is None and link.now > end - HOURS * 3600 + 600:
            link.run(seconds=20)
            after_a_while = [sum(sizes(machine).values()) for machine in link.machines]
    link.run(seconds=20)
    assert worst < 15  # nothing waited longer than a look at it and a lost packet
    assert min(got) > 0.95 * number
    for machine, before in zip(link.machines, after_a_while, strict=True):
        assert machine.outstanding_bytes == machine.total_buffered == 0
        assert sum(sizes(machine).values()) <= 1.2 * before + 50


def scenario(seed):
    """A few messages of all kinds over a random link; reliable ones must arrive, once and in order."""
    rng = random.Random(seed)
    conditions = Conditions(
        delay=rng.choice([0.0, 0.001, 0.02, 0.15]), jitter=rng.choice([0.0, 0.0, 0.01, 0.1]),
        loss=rng.choice([0.0, 0.01, 0.1, 0.3]), duplicate=rng.choice([0.0, 0.1]),
        rate=rng.choice([None, None, 300_000, 5_000_000]), queue=rng.choice([20_000, 100_000]),
        burst=rng.choice([0.0, 0.0, 0.02]),
        burst_loss=0.6,
    )  # fmt: skip
    settings = [
        {
            "interleaving": rng.random() < 0.7,
            "zero_checksum": rng.random() < 0.5,
            "congestion": rng.choice([Reno, Cubic, DelayAwareCubic]),
            "path_mtu_limit": rng.choice([None, 1400]),
            "a_rwnd": rng.choice([60_000, 1 << 20]),
            "max_message_size": 50_000,
            "association_max_retransmits": 50,
            "max_init_retransmits": 100,
        }
        for _ in range(2)
    ]
    link = connected(conditions, seed=seed, a=settings[0], b=settings[1], patience=900)
    reliable = [{}, {}]
    for _ in range(rng.randrange(1, 25)):
        side = rng.randrange(2)
        stream = rng.randrange(4)
        data = rng.randbytes(rng.choice([1, 100, 1128, 1132, 5000, 40_000]))
        machine = link.machines[side]
        kind = rng.randrange(5)
        if kind < 3:
            machine.send(stream, 51, data, link.now, priority=rng.choice([128, 256, 1024]))
            reliable[side].setdefault(stream, []).append(data)
        elif kind == 3:
            machine.send(stream + 10, 51, data, link.now, ordered=False, max_retransmits=rng.randrange(3))
        else:
            machine.send(stream + 10, 51, data, link.now, lifetime=rng.choice([0.01, 1.0]))
        if rng.random() < 0.1:
            machine.reset_streams([20 + stream], link.now)
        if rng.random() < 0.05:
            machine.path_changed(link.now)
        if rng.random() < 0.5:
            link.run(seconds=rng.choice([0.01, 0.2]))

    def done():
        return all(m.outstanding_bytes == m.total_buffered == 0 and not m._outbound.outstanding for m in link.machines)

    assert link.run(done, seconds=900), "stalled"
    link.run(seconds=30)
    for side in (0, 1):
        got = [e for e in link.events[1 - side] if isinstance(e, MessageReceived)]
        for stream, sent in reliable[side].items():
            assert [e.data for e in got if e.stream_id == stream] == sent
        inbound = link.machines[1 - side]._inbound
        assert (inbound.held, inbound._reassembly.held, inbound.has_gap) == (0, 0, False)
        assert not any(isinstance(e, Closed) for e in link.events[side])


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_small_scenarios(batch):
    for seed in range(batch, SCENARIOS, BATCHES):
        try:
            scenario(seed)
        except AssertionError as error:
            raise AssertionError(f"scenario({seed}): {error}") from error
    assert batch < SCENARIOS


def test_memory_of_an_idle_association():
    """What an association costs that has sent and received a little; the DTLS and ICE around it come on top."""
    link = connected()
    for machine in link.machines:
        for stream in range(3):
            machine.send(stream, 51, bytes(3000), link.now)
    link.run(seconds=20)
    machine, seen, total = link.machines[0], set(), 0
    pending = [machine]
    while pending:
        value = pending.pop()
        shared = isinstance(value, type) or callable(value) or type(value).__module__ in {"enum", "random"}
        if id(value) in seen or shared or value is machine._config:
            continue
        seen.add(id(value))
        total += sys.getsizeof(value)
        if isinstance(value, dict):
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set) or type(value).__name__ == "deque":
            pending += value
        elif type(value).__module__.startswith("stack"):
            names = {n for kind in type(value).__mro__ for n in getattr(kind, "__slots__", ())}
            pending += [getattr(value, n, None) for n in names | set(getattr(value, "__dict__", ()))]
    assert total < 25_000
