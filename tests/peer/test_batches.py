"""A batch of datagrams does what its datagrams do one by one."""

from stack import datachannel, peer
from stack.core import Address, Datagram
from stack.demux import RTCP, RTP, classify
from stack.srtp.packet import MIN_RUN

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


def film():
    """A call with video and a channel, and what its first side sends of both: RTP, RTCP and DTLS."""
    call = Call()
    video, channel = call.a.add_track("video"), call.a.create_data_channel("test", call.now)
    assert call.connect()
    assert call.link.run(lambda: channel.state == "open", seconds=5)
    call.link.run(seconds=1)
    call.a.send(channel, bytes(3000), call.now)
    call.a.send_frame(video, b"\x10\x02\x00\x9d\x01\x2a" + bytes(30_000), 3000, call.now, keyframe=True)
    datagrams = []
    for _ in range(60):
        call.link.now += 0.02
        call.a.handle_timer(call.now)
        datagrams += call.a.datagrams_to_send(call.now)
    return call, datagrams


def film_received(in_batch):
    call, datagrams = film()
    data = [datagram.data for datagram in datagrams]
    rtp = [packet for packet in data if classify(packet) == RTP]
    others = [packet for packet in data if classify(packet) != RTP]
    assert len(rtp) > 2 * MIN_RUN
    assert {classify(packet) for packet in others} >= {RTCP}
    forged = rtp[1][:-1] + bytes((rtp[1][-1] ^ 1,))
    half = len(rtp) // 2
    packets = [*rtp[:half], forged, rtp[0], *others, *rtp[half:], rtp[0][:14], b"\x80"]
    batch = [Datagram(packet, A, B) for packet in packets]
    batch[3:3] = [Datagram(rtp[-1], ELSEWHERE, B), Datagram(rtp[4], A, ELSEWHERE)]
    if in_batch:
        call.b.receive_batch(batch, call.now)
    else:
        for datagram in batch:
            call.b.receive_datagram(datagram, call.now)
    call.b.poll(call.now)
    events = []
    while (event := call.b.next_event()) is not None:
        events.append(event)
    frames = [event.frame.data for event in events if isinstance(event, peer.MediaReceived)]
    messages = [event.data for event in events if isinstance(event, datachannel.MessageReceived)]
    return frames, messages, call.b.dropped, call.b.datagrams_to_send(call.now), call.b.next_timer()


def test_media_in_a_batch_is_what_it_is_one_by_one():
    batch, single = film_received(in_batch=True), film_received(in_batch=False)
    assert batch == single
    frames, messages, dropped, _, _ = batch
    assert [len(frame) for frame in frames] == [30_006]
    assert messages == [bytes(3000)]
    assert dropped["unvalidated-path"] == 2
    assert dropped["srtp-replayed"] == 2  # the forged one has the number of one that came
    assert dropped["srtp-truncated"] == 2


def test_media_in_a_batch_is_logged_packet_by_packet():
    call, datagrams = film()
    logged = []
    call.b.transport.media._log = lambda leaves, kind, packet: logged.append((leaves, kind, len(packet)))
    batch = [Datagram(datagram.data, A, B) for datagram in datagrams if classify(datagram.data) == RTP]
    call.b.receive_batch(batch, call.now)
    assert logged == [(False, "rtp", len(datagram.data) - 16) for datagram in batch]


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
