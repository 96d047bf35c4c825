import pytest

from stack.core import LocalError
from stack.stun import (
    BINDING,
    Class,
    Client,
    Closed,
    Failed,
    Message,
    Responded,
    Retransmission,
    TimedOut,
    binding_response,
    error_response,
)
from stack.testing import Conditions, Link, seeded_random_bytes

from .limits import raw
from .support import SOURCE, Responder


def client(**kwargs):
    return Client(random_bytes=seeded_random_bytes(1), **kwargs)


def run(answer=binding_response, **conditions):
    machine, server = client(), Responder(answer=answer)
    link = Link(machine, server, Conditions(**conditions))
    machine.start(link.now)
    link.run(seconds=60)
    return machine, link.events[0]


def test_it_learns_its_address():
    machine, events = run()
    assert [type(e) for e in events] == [Responded]
    assert events[0].mapped_address == SOURCE
    assert machine.next_timer() is None


def test_an_old_server_with_a_plain_mapped_address():
    def answer(data, source):
        request = Message.parse(data)
        return Message(BINDING, Class.SUCCESS, request.transaction_id, mapped_address=source).serialize()

    assert run(answer)[1][0].mapped_address == SOURCE


def test_the_schedule_of_the_rfc():
    # RFC 8489 section 6.2.1: with an RTO of 500 ms, requests at 0, 500, 1500, 3500, 7500, 15500 and 31500 ms
    machine, server = client(), Responder(answer=lambda data, source: None)
    link = Link(machine, server, Conditions(), start=0.0, keep_trace=True)
    machine.start(0.0)
    link.run(lambda: link.events[0])
    assert [time for time, _, _ in link.trace] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert link.now == 39.5
    assert link.events[0] == [TimedOut()]
    assert len({data for _, _, data in link.trace}) == 1
    assert machine.transmissions == 7


def test_a_lost_request_is_repeated():
    machine, server = client(), Responder()
    link = Link(machine, server, Conditions(), tamper=lambda sender, index, data: [] if index < 2 else [data])
    machine.start(link.now)
    link.run(seconds=60)
    assert isinstance(link.events[0][0], Responded)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda data, _: error_response(Message.parse(data), 400).serialize(), "error-response"),
        (lambda data, _: Message(1, Class.ERROR, Message.parse(data).transaction_id).serialize(), "error-response"),
        (
            lambda data, _: Message(1, Class.SUCCESS, Message.parse(data).transaction_id).serialize(),
            "missing-mapped-address",
        ),
        (lambda data, _: raw([(0x7000, b"")], 0x0101)[:8] + data[8:20] + b"\x70\0\0\0", "unknown-attributes"),
    ],
)
def test_answers_that_are_none(answer, reason):
    events = run(answer)[1]
    assert [type(e) for e in events] == [Failed]
    assert events[0].error.reason == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (b"junk" * 10, "not-stun"),
        (raw([]), "not-a-response"),
        (raw([], 0x0011), "not-a-response"),
        (raw([], 0x0103), "not-a-response"),
        (raw([], 0x0101), "unknown-transaction"),
    ],
)
def test_what_is_dropped(data, reason):
    machine = client()
    machine.start(0.0)
    machine.receive_datagram(data, 0.1)
    assert machine.dropped == {reason: 1}
    assert machine.next_event() is None


def test_a_response_before_the_start_is_dropped():
    machine = client()
    machine.receive_datagram(raw([], 0x0101), 0.0)
    assert machine.dropped == {"unknown-transaction": 1}


def test_closing():
    machine = client()
    machine.start(0.0)
    machine.close(0.1)
    machine.close(0.2)
    assert machine.datagrams_to_send(0.2) == []
    assert machine.next_event() == Closed()
    assert machine.next_event() is None
    machine.receive_datagram(b"", 0.3)
    assert machine.dropped == {"closed": 1}
    with pytest.raises(LocalError):
        machine.start(0.4)


def test_misuse():
    machine = client()
    machine.start(0.0)
    with pytest.raises(LocalError):
        machine.start(0.0)
    with pytest.raises(LocalError):
        client(rto=0)
    with pytest.raises(LocalError):
        client(rc=0)


def test_a_late_timer_does_not_burst():
    schedule = Retransmission(0.0)
    assert schedule.expire(20.0)
    assert schedule.deadline == 21.0
    assert schedule.transmissions == 2


def test_a_schedule_that_sends_once():
    schedule = Retransmission(0.0, rc=1, timeout=3.0)
    assert schedule.deadline == 3.0
    assert not schedule.expire(3.0)


def test_the_client_names_itself():
    machine = client(software="probe")
    machine.start(0.0)
    assert Message.parse(machine.datagrams_to_send(0.0)[0]).software == "probe"
