"""A batch of datagrams does what its datagrams do one by one."""

from stack import datachannel
from stack.core import Address, Datagram

from .support import A, B, Call

ELSEWHERE = Address("192.0.2.1", 9)


def flight(messages):
    """A connected call, and what its first side sends: more than one datagram."""
    call = Call()
    channel = call.a.create_data_channel("test", call.now)
    assert call.connect()
    assert call.link.run(lambda: channel.state == "open", seconds=5)
    call.link.run(seconds=1)
    for message in messages:
        call.a.send(channel, message, call.now)
    return call, call.a.datagrams_to_send(call.now)


def received(call):
    call.b.poll(call.now)
    events = []
    while (event := call.b.next_event()) is not None:
        events.append(event)
    return [event.data for event in events if isinstance(event, datachannel.MessageReceived)]


def outcome(in_batch):
    call, datagrams = flight([bytes(4000), "end"])
    good = [Datagram(datagram.data, A, B) for datagram in datagrams]
    forged = Datagram(b"\x17\xfe\xfd" + bytes(40), A, B)
    strange = [
        Datagram(b"", A, B),
        Datagram(good[0].data, ELSEWHERE, B),
        forged,
        Datagram(b"\xff" * 20, A, B),
        Datagram(b"\x01" + bytes(40), A, B),
        Datagram(b"\x80" + bytes(40), A, B),
    ]
    batch = [strange[1], *good[:1], strange[0], *good[1:2], *strange[1:3], *good[2:], *strange[3:]]
    assert len(good) > 2
    if in_batch:
        call.b.receive_batch(batch, call.now)
    else:
        for datagram in batch:
            call.b.receive_datagram(datagram, call.now)
    return received(call), call.b.dropped, call.b.datagrams_to_send(call.now), call.b.next_timer()


def test_a_batch_does_what_its_datagrams_do():
    batch, single = outcome(in_batch=True), outcome(in_batch=False)
    assert batch == single
    messages, dropped, _, _ = batch
    assert messages == [bytes(4000), "end"]
    assert dropped["unvalidated-path"] == 2
    assert dropped["unknown-protocol"] == 2


def test_a_batch_after_the_end_is_nothing():
    call, datagrams = flight(["late"])
    call.b.close(call.now)
    before = call.b.dropped
    call.b.receive_batch([Datagram(datagram.data, A, B) for datagram in datagrams], call.now)
    assert received(call) == []
    assert call.b.dropped == before


def test_an_empty_batch_is_nothing():
    call, _ = flight([])
    call.b.receive_batch([], call.now)
    assert received(call) == []
