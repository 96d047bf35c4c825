"""Feedback about a whole transport."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.core import LocalError, unwrap16
from stack.rtp import Closed, Packet, TransportFeedbackGenerator, rtcp
from stack.rtp.transport_cc import FEEDBACK_INTERVAL
from stack.rtp.transport_feedback import DELTA_UNIT

from .support import LOCAL_SSRC, SSRC, events_of, sender

START = 1000.0


def generator(**options):
    return TransportFeedbackGenerator(ssrc=LOCAL_SSRC, extension_id=3, **options)


def feedback_at(machine, now):
    machine.handle_timer(now)
    return [packet for datagram in machine.datagrams_to_send(now) for packet in rtcp.parse(datagram)]


def test_arrivals_are_reported():
    machine = generator()
    times = {0xFFFE: 0.0, 0xFFFF: 0.001, 1: 0.0105, 2: 0.0625}
    for number, time in times.items():
        machine.receive_sequence_number(number, SSRC, START + time)
    assert machine.next_timer() == START + FEEDBACK_INTERVAL
    assert feedback_at(machine, START + 0.05) == []
    (message,) = feedback_at(machine, START + FEEDBACK_INTERVAL)
    assert (message.sender_ssrc, message.media_ssrc, message.feedback_count) == (LOCAL_SSRC, SSRC, 0)
    arrivals = dict(message.arrivals())
    assert arrivals.pop(0) is None
    first = arrivals[0xFFFE]
    for number, time in times.items():
        assert arrivals[number] - first == pytest.approx(time, abs=DELTA_UNIT)
    assert machine.next_timer() is None
    assert feedback_at(machine, START + 0.2) == []


def test_messages_follow_one_another():
    machine = generator()
    for batch in range(3):
        for number in range(batch * 10, batch * 10 + 10):
            machine.receive_sequence_number(number, SSRC, START + batch)
        (message,) = feedback_at(machine, START + batch + 0.5)
        assert (message.base_sequence_number, len(message.deltas)) == (batch * 10, 10)
        assert message.feedback_count == batch


def test_losses_between_messages_are_reported():
    machine = generator()
    machine.receive_sequence_number(0, SSRC, START)
    feedback_at(machine, START + 0.1)
    machine.receive_sequence_number(4, SSRC, START + 0.2)
    (message,) = feedback_at(machine, START + 0.31)
    assert [number for number, arrival in message.arrivals() if arrival is None] == [1, 2, 3]


def test_a_straggler_is_reported_with_what_surrounds_it():
    machine = generator()
    for number in (0, 2, 3):
        machine.receive_sequence_number(number, SSRC, START)
    feedback_at(machine, START + 0.1)
    machine.receive_sequence_number(1, SSRC, START + 0.12)
    (message,) = feedback_at(machine, START + 0.22)
    assert [(number, arrival is None) for number, arrival in message.arrivals()] == [(1, False), (2, False), (3, False)]


def test_a_delta_too_large_begins_a_new_message():
    machine = generator(interval=30.0)
    machine.receive_sequence_number(0, SSRC, START)
    machine.receive_sequence_number(1, SSRC, START + 20.0)
    first, second = feedback_at(machine, START + 30.0)
    assert (len(first.deltas), second.base_sequence_number) == (1, 1)
    difference = second.arrivals()[0][1] - first.arrivals()[0][1]
    assert difference == pytest.approx(20.0, abs=DELTA_UNIT)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_reported_is_what_arrived(seed):
    rng = random.Random(seed)
    machine, arrived, reported, now = generator(), {}, {}, START
    order = sorted(range(0xFF00, 0xFF00 + 800), key=lambda n: n + rng.random() * 10)
    for number in order:
        now += rng.random() * 0.01
        while (due := machine.next_timer()) is not None and due <= now:
            for message in feedback_at(machine, due):
                reported |= {n: t for n, t in message.arrivals() if t is not None}
        if rng.random() < 0.9:
            machine.receive_sequence_number(number & 0xFFFF, SSRC, now)
            arrived[number & 0xFFFF] = now
    for message in feedback_at(machine, now + 1.0):
        reported |= {n: t for n, t in message.arrivals() if t is not None}
    assert set(reported) == set(arrived)
    for number, time in arrived.items():
        assert reported[number] == pytest.approx(time, abs=DELTA_UNIT * 1.01)


def test_packets_as_they_come():
    counter = iter(range(100))
    source, machine = sender(next_transport_sequence=lambda: next(counter)), generator()
    source.send_frame(b"\0\0\1\x65" + b"x" * 3000, 0, START)
    datagrams = source.datagrams_to_send(START)
    for datagram in datagrams[:-1]:  # the last is the report
        machine.receive_datagram(datagram, START)
    (message,) = feedback_at(machine, START + FEEDBACK_INTERVAL)
    assert len(message.deltas) == len(datagrams) - 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "truncated"), (b"\xff" * 40, "bad-version"), (Packet(extensions={3: b"x"}).serialize(), "bad-extension")],
)
def test_garbage_is_counted(data, reason):
    machine = generator()
    machine.receive_datagram(data, START)
    assert dict(machine.dropped) == {reason: 1}
    assert machine.next_timer() is None


def test_packets_without_the_extension_are_no_concern():
    machine = generator()
    machine.receive_datagram(Packet(extensions={4: b"xx"}).serialize(), START)
    assert not machine.dropped
    assert machine.next_timer() is None


def test_a_duplicate_counts_once():
    machine = generator()
    machine.receive_sequence_number(7, SSRC, START)
    machine.receive_sequence_number(7, SSRC, START + 0.05)
    assert machine.dropped["duplicate"] == 1
    (message,) = feedback_at(machine, START + FEEDBACK_INTERVAL)
    assert message.arrivals()[0][1] % 16384 == pytest.approx(START % 16384, abs=DELTA_UNIT)


def test_misuse_and_close():
    with pytest.raises(LocalError):
        generator(interval=0.0)
    machine = generator()
    with pytest.raises(LocalError):
        machine.receive_sequence_number(-1, SSRC, START)
    machine.receive_sequence_number(1, SSRC, START)
    machine.close(START)
    assert events_of(machine) == [Closed()]
    assert machine.next_timer() is None
    machine.receive_sequence_number(2, SSRC, START)
    assert machine.dropped["closed"] == 1
    assert feedback_at(machine, START + 1.0) == []


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(0, 0xFFFF))
def test_every_arrival_is_reported_exactly(seed, first):
    """Loss, bursts of loss, silence, reordering, and numbers that wrap; deltas of every size."""
    rng = random.Random(seed)
    machine, now, truth, told = generator(), START, {}, {}
    number = first
    for _ in range(rng.randint(1, 300)):
        number += rng.choice([1, 1, 1, 1, 2, rng.randint(1, 60)])
        truth[number] = None
    order = sorted(truth, key=lambda number: number + rng.choice([0, 0, 0, rng.randint(0, 4)]))
    for number in order:
        now += rng.choice([0.0, 0.0002, 0.003, 0.07, rng.random() * 0.02, 9.0 if rng.random() < 0.02 else 0.0])
        due = machine.next_timer()
        while due is not None and due <= now:
            collect(machine, due, told, truth)
            due = machine.next_timer()
        truth[number] = now
        machine.receive_sequence_number(number & 0xFFFF, SSRC, now)
    collect(machine, now + 1.0, told, truth)
    assert set(told) == set(truth)
    base = told[order[0]] - truth[order[0]]
    for number, arrival in truth.items():
        assert told[number] - arrival == pytest.approx(base, abs=2 * DELTA_UNIT)


def collect(machine, now, told, truth):
    """Note what the feedback due at `now` tells, under the numbers before they wrapped."""
    latest = max((number for number, arrival in truth.items() if arrival is not None), default=0)
    for message in feedback_at(machine, now):
        for number, arrival in message.arrivals():
            if arrival is not None:
                extended = unwrap16(number, latest)
                assert truth[extended] is not None
                told[extended] = arrival
