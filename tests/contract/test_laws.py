"""The ten laws of docs/design.md, run over every machine."""

import os
import random
import socket
import threading
import time

import pytest

from stack.core import Datagram, LocalError
from stack.testing import Conditions, Link

from .subject import all_subjects

SUBJECTS = all_subjects()
LIMITS = [pytest.param(test, id=f"{s.name}-{name}") for s in SUBJECTS for name, test in s.limits.items()]


@pytest.fixture(params=SUBJECTS, ids=lambda s: s.name)
def subject(request):
    return request.param


def payload(item):
    return item.data if isinstance(item, Datagram) else item


def scenario(subject, seed=1, *, after_step=None, observe=None, conditions=None):
    """Connect, work, close; return a full trace of bytes, events and deadlines.

    after_step runs before anything is drained (an intruder's place); observe runs after the drain, where the
    machine's obligations for this instant are done.
    """
    rig = subject.build(seed)
    link = Link(rig.a, rig.b, conditions or Conditions(delay=0.01), seed=seed, keep_trace=True)
    deadlines = []

    def run(steps):
        for _ in range(steps):
            if after_step:
                after_step(rig, link)
            more = link.step()
            if observe:
                observe(rig, link)
            deadlines.append((rig.a.next_timer(), rig.b.next_timer()))
            if not more:
                break

    rig.start(link.now)
    run(120)
    rig.work(link.now)
    run(60)
    rig.a.close(link.now)
    rig.b.close(link.now)
    run(200)
    return link.trace, [[repr(e) for e in side] for side in link.events], deadlines, rig


def test_law_1_no_clock_randomness_socket_or_thread_inside(subject, monkeypatch):
    rig = subject.build(7)

    def forbidden(*args, **kwargs):
        raise AssertionError("a machine reached for the outside world")

    for module, names in (
        (time, ("time", "monotonic", "perf_counter", "time_ns", "monotonic_ns", "sleep")),
        (os, ("urandom",)),
        (random, ("random", "randbytes", "randint", "getrandbits")),
        (socket, ("socket", "getaddrinfo")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, forbidden)
    monkeypatch.setattr(threading.Thread, "start", forbidden)
    link = Link(rig.a, rig.b, seed=7)
    rig.start(link.now)
    for _ in range(120):
        if not link.step():
            break
    rig.work(link.now)
    for _ in range(60):
        if not link.step():
            break
    monkeypatch.undo()


def test_law_2_same_seed_same_trace(subject):
    lossy = Conditions(delay=0.02, jitter=0.01, loss=0.05)
    first = scenario(subject, 3, conditions=lossy)
    second = scenario(subject, 3, conditions=lossy)
    assert first[:3] == second[:3]


def mutate(rng, data):
    data = bytearray(data)
    match rng.randrange(5):
        case 0:
            del data[rng.randrange(len(data) + 1) :]
        case 1 if data:
            for _ in range(rng.randint(1, 4)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 2:
            data += rng.randbytes(rng.randint(1, 40))
        case 3 if len(data) > 8:
            at = rng.randrange(len(data) - 4)
            data[at : at + 4] = rng.choice([b"\xff" * 4, bytes(4), rng.randbytes(4)])
        case _:
            data = bytearray(rng.randbytes(rng.randint(0, 200)))
    return bytes(data)


@pytest.mark.parametrize("seed", range(8))
def test_law_3_network_input_never_raises(subject, seed):
    rng = random.Random(seed)

    def noise(rig, link):
        for receiver, machine in enumerate(link.machines):
            sent = [data for _, sender, data in link.trace if sender != receiver][-20:]
            hostile = mutate(rng, rng.choice(sent)) if sent else rng.randbytes(30)
            machine.receive_datagram(subject.wrap(hostile), link.now)

    scenario(subject, seed, after_step=noise)


def test_law_3_garbage_is_counted(subject):
    rig = subject.build(1)
    link = Link(rig.a, rig.b)
    rig.start(link.now)
    link.run(seconds=2)
    for data in subject.garbage:
        before = rig.a.dropped.total()
        rig.a.receive_datagram(subject.wrap(data), link.now)
        assert rig.a.dropped.total() == before + 1, data


def test_law_4_misuse_raises_and_changes_nothing(subject):
    def misused(rig, link):
        if link.now > 1002:  # connected by then; before that a wrong call is tested by the layer itself
            for wrong in subject.misuse:
                with pytest.raises(LocalError):
                    wrong(rig, link.now)

    assert subject.misuse
    assert trace_of_two_seconds(subject, None) == trace_of_two_seconds(subject, misused)


def trace_of_two_seconds(subject, interfere):
    """Connect, interfere or not, work; return all that was sent and reported."""
    rig = subject.build(5)
    link = Link(rig.a, rig.b, seed=5, keep_trace=True)
    rig.start(link.now)
    link.run(seconds=3)
    if interfere:
        interfere(rig, link)
    rig.work(link.now)
    link.run(seconds=3)
    return link.trace, [[repr(e) for e in side] for side in link.events], rig.a.next_timer()


def test_law_5_after_a_timer_the_next_is_later(subject):
    def check(rig, link):
        for machine in link.machines:
            due = machine.next_timer()
            if due is not None and due <= link.now:
                machine.handle_timer(link.now)
                after = machine.next_timer()
                assert after is None or after > link.now, after

    scenario(subject, 2, after_step=check, conditions=Conditions(delay=0.03, loss=0.2))


def test_law_5_a_timer_call_too_early_is_harmless(subject):
    def early(rig, link):
        for machine in link.machines:
            machine.handle_timer(link.now)

    scenario(subject, 2, after_step=early)


def test_law_6_a_second_drain_is_empty(subject):
    def check(rig, link):
        for machine in link.machines:
            assert machine.datagrams_to_send(link.now) == []

    scenario(subject, 4, observe=check)


def test_law_7_getters_are_pure(subject):
    def ask(rig, link):
        for machine in link.machines:
            assert machine.next_timer() == machine.next_timer()
            for name in dir(type(machine)):
                if not name.startswith("_") and isinstance(getattr(type(machine), name), property):
                    getattr(machine, name)

    assert scenario(subject, 6)[:3] == scenario(subject, 6, observe=ask)[:3]


def test_law_8_after_a_terminal_event_nothing_more(subject):
    rig = subject.build(8)
    link = Link(rig.a, rig.b, seed=8, keep_trace=True)
    rig.start(link.now)
    link.run(seconds=2)
    rig.a.close(link.now)
    events = link.events[0]
    assert link.run(lambda: any(isinstance(e, subject.terminal) for e in events), seconds=subject.seconds_to_close)
    assert isinstance(events[-1], subject.terminal)
    a, now = rig.a, link.now
    link.drain()
    assert isinstance(events[-1], subject.terminal)
    assert a.next_timer() is None
    for _, sender, data in link.trace:
        if sender == 1:
            a.receive_datagram(subject.wrap(data), now)
    a.handle_timer(now + 1000)
    a.close(now + 1000)
    assert a.next_event() is None
    assert a.next_timer() is None
    assert a.datagrams_to_send(now + 1000) == []


def test_law_8_closing_is_bounded_when_the_peer_is_gone(subject):
    rig = subject.build(9)
    gone = [False]
    link = Link(rig.a, rig.b, tamper=lambda sender, index, data: [] if gone[0] else [data])
    rig.start(link.now)
    link.run(seconds=2)
    gone[0] = True
    rig.a.close(link.now)
    events = link.events[0]
    assert link.run(lambda: any(isinstance(e, subject.terminal) for e in events), seconds=subject.seconds_to_close)


@pytest.mark.parametrize("test", LIMITS)
def test_law_9_every_limit_is_hit(test):
    test()


def test_law_9_a_subject_names_its_limits(subject):
    assert subject.limits


def test_law_10_a_backward_clock_is_clamped(subject):
    rng = random.Random(10)

    def backwards(rig, link):
        for machine in link.machines:
            machine.handle_timer(link.now - rng.random() * 50)
            assert machine.datagrams_to_send(link.now - rng.random() * 50) is not None

    plain = scenario(subject, 10)
    events = scenario(subject, 10, observe=backwards)[1]
    assert events == plain[1]
