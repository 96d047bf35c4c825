"""SCTP: chunk parsers, associations that receive hostile packets with right checksums, and a hostile middle."""

import dataclasses
import struct

from stack.core import ParseError
from stack.sctp import Association, Closed, Config, Established, MessageReceived, State, wire
from stack.sctp.handshake import parse_cookie, serialize_cookie
from stack.testing import Conditions, Link, seeded_random_bytes

WINDOW = 20_000
KEY = b"a key"


def check_chunks(data: bytes) -> None:
    """Parsers raise only ParseError, and what they return survives serialize and parse unchanged."""
    for parse, check in (
        (wire.parse_init, _check_init),
        (wire.parse_reconfig, _check_reconfig),
        (wire.parse_forward_tsn, _check_forward_tsn),
        (wire.parse_i_forward_tsn, _check_i_forward_tsn),
        (wire.parse_causes, None),
    ):
        try:
            value = parse(data, 0, len(data))
        except ParseError:
            continue
        if check is not None:
            check(value)
    try:
        cookie = parse_cookie(data, KEY)
    except ParseError:
        return
    if serialize_cookie(cookie, KEY) != data:
        raise AssertionError("a cookie that we did not make")


def _check_init(init: wire.Init) -> None:
    value = wire.serialize_init(init)
    again = wire.parse_init(value, 0, len(value))
    # What was not recognized is written as a report, which is no report when read (RFC 9260 section 3.3.3.1).
    if again != dataclasses.replace(init, unrecognized=()):
        raise AssertionError(f"{again} is not {init}")


def _check_reconfig(parts: list[wire.ResetRequest | wire.ResetResponse]) -> None:
    if not parts:
        return
    chunk = wire.serialize_reconfig(
        [
            wire.serialize_reset_request(p) if isinstance(p, wire.ResetRequest) else wire.serialize_reset_response(p)
            for p in parts
        ]
    )
    end = struct.unpack_from("!H", chunk, 2)[0]
    if wire.parse_reconfig(chunk, 4, end) != parts:
        raise AssertionError(parts)


def _check_forward_tsn(value: tuple[int, list[tuple[int, int]]]) -> None:
    chunk = wire.serialize_forward_tsn(*value)
    if wire.parse_forward_tsn(chunk, 4, len(chunk)) != value:
        raise AssertionError(value)


def _check_i_forward_tsn(value: tuple[int, list[tuple[int, bool, int]]]) -> None:
    chunk = wire.serialize_i_forward_tsn(*value)
    if wire.parse_i_forward_tsn(chunk, 4, len(chunk)) != value:
        raise AssertionError(value)


def _connected(extensions: bytes) -> Association:
    config = Config(a_rwnd=WINDOW, max_message_size=WINDOW // 2)
    machine = Association(random_bytes=seeded_random_bytes(1), config=config)
    init = wire.Init(1, 100_000, 100, 100, 1000, forward_tsn=True, extensions=extensions)
    packet = wire.serialize_packet(5000, 5000, 0, wire.serialize_chunk(wire.INIT, 0, wire.serialize_init(init)))
    machine.receive_datagram(packet, 0.0)
    ((_, _, value),) = wire.chunks_of(machine.datagrams_to_send(0.0)[0])
    answer = wire.parse_init(value, 0, len(value))
    echo = wire.serialize_chunk(wire.COOKIE_ECHO, 0, answer.cookie)
    machine.receive_datagram(wire.serialize_packet(5000, 5000, answer.initiate_tag, echo), 0.0)
    return machine


def check_association(data: bytes) -> None:
    """Whatever chunks a peer sends, with good tags and checksums: nothing raises, what is kept stays within the window,
    a drain ends, packets are well formed and fit, after Closed nothing comes.

    The input is a list of packets, each behind a two-byte length; TSNs are counted from the first ones, so that small
    numbers in the input mean something.
    """
    _check_association(data, b"\x82\xc0")


def check_interleaving(data: bytes) -> None:
    """The same as `check_association` with an association that has agreed on I-DATA."""
    _check_association(data, b"\x82\xc0\x40\xc2")


def _check_association(data: bytes, extensions: bytes) -> None:
    machine = _connected(extensions)
    machine.send(0, 51, bytes(5000), 0.0)
    machine.send(1, 51, b"x", 0.0, max_retransmits=0)
    machine.datagrams_to_send(0.0)
    inbound = machine._inbound  # noqa: SLF001  the invariant is about what it keeps
    tag = machine._handshake.local_tag  # noqa: SLF001  the peer knows it too
    now, offset, closed = 0.0, 0, False
    while offset + 2 <= len(data):
        size = struct.unpack_from("!H", data, offset)[0] % 1200
        chunks = data[offset + 2 : offset + 2 + size]
        offset += 2 + size
        machine.receive_datagram(wire.serialize_packet(5000, 5000, 0 if chunks[:1] == b"\1" else tag, chunks), now)
        inbound = machine._inbound  # noqa: SLF001  a restart makes another one
        kept = inbound.held + inbound._reassembly.held  # noqa: SLF001
        if kept > 2 * (WINDOW + 1264) + WINDOW:  # two windows, and messages of before a restart
            raise AssertionError(f"{kept} bytes kept")
        now += 0.05
        machine.handle_timer(now)
        for packet in machine.datagrams_to_send(now):
            wire.chunks_of(packet)
            if len(packet) > 1160:
                raise AssertionError(f"a packet of {len(packet)} bytes")
        if machine.datagrams_to_send(now):
            raise AssertionError("a second drain is not empty")
        while (event := machine.next_event()) is not None:
            if closed:
                raise AssertionError(f"{event} after Closed")
            closed = isinstance(event, Closed)
        if closed and (machine.next_timer() is not None or machine.state is not State.CLOSED):
            raise AssertionError("closed and alive")
    if inbound.held < 0 or machine.outstanding_bytes < 0 or machine.total_buffered < 0:
        raise AssertionError("a counter is negative")


def check_packet(data: bytes) -> None:
    """A raw datagram to an association in any early state is dropped, counted or used, and never raises."""
    for start in (False, True):
        machine = Association(random_bytes=seeded_random_bytes(1))
        if start:
            machine.associate(0.0)
            machine.datagrams_to_send(0.0)
        machine.receive_datagram(data, 0.0)
        machine.datagrams_to_send(0.0)
        if machine.datagrams_to_send(0.0):
            raise AssertionError("a second drain is not empty")


STREAMS = 3
PASS, LOSE, TWICE, HOLD, CUT, FLIP, FORGE, FORGE_INIT = range(8)


class _Middle:
    """Does to each packet what the next byte of the input says, until there is none; then it is honest."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0
        self.held: list[bytes] = []

    def take(self, count: int) -> bytes:
        part = self.data[self.offset : self.offset + count]
        self.offset += count
        return part

    def tamper(self, sender: int, _index: int, packet: bytes) -> list[bytes]:
        if self.offset >= len(self.data):
            return [packet]
        word = self.take(1)[0]
        action, rest = word & 7, word >> 3
        if action == LOSE:
            return []
        if action == TWICE:
            return [packet, packet]
        if action == HOLD and sender == 0:  # it goes behind the next one; only in one direction, or it would turn back
            held, self.held = self.held, [packet]
            return held
        if action == CUT:
            return [packet[: rest * 4], packet]
        if action == FLIP:
            at = (rest * 37) % len(packet)
            return [packet[:at] + bytes([packet[at] ^ (rest + 1)]) + packet[at + 1 :]]
        if action >= FORGE:
            chunks = self.take(4 * rest)
            if action == FORGE_INIT:
                chunks = wire.serialize_chunk(wire.INIT, 0, chunks)
            tag = 0 if action == FORGE_INIT else int.from_bytes(chunks[:4], "big")
            return [wire.serialize_packet(5000, 5000, tag, chunks), packet]
        return [packet]


def check_middle(data: bytes) -> None:
    """A middle that loses, doubles, holds back, cuts, changes and forges packets without knowing the tags: nothing
    raises, every message arrives once and in order once the middle behaves, and the buffers are empty after that.
    """
    settings = Config(zero_checksum=False, path_mtu_limit=1400, interleaving=not data[:1] or data[0] & 128 == 0)
    machines = [Association(random_bytes=seeded_random_bytes(seed), config=settings) for seed in (1, 2)]
    middle = _Middle(data[1:201])  # more would only take longer
    link = Link(*machines, Conditions(delay=0.02), tamper=middle.tamper)
    machines[0].associate(link.now)
    sent: list[tuple[int, bytes]] = []
    for number in range(12):
        message = (number % STREAMS, b"%d:" % number + bytes(700 * number))
        sent.append(message)
        machines[0].send(message[0], 51, message[1], link.now)
        machines[1].send(message[0], 51, message[1], link.now)

    def done() -> bool:
        return all(sum(isinstance(e, MessageReceived) for e in side) == len(sent) for side in link.events)

    if not link.run(done, seconds=600):
        if any(isinstance(e, Closed) for side in link.events for e in side):
            if not any(isinstance(e, Established) for side in link.events for e in side):
                return  # all of the handshake was lost
            raise AssertionError("the association has ended")
        raise AssertionError("messages are missing")
    link.run(seconds=20)
    for side, machine in zip(link.events, machines, strict=True):
        for stream in range(STREAMS):
            got = [e.data for e in side if isinstance(e, MessageReceived) and e.stream_id == stream]
            if got != [message for s, message in sent if s == stream]:
                raise AssertionError(f"stream {stream} has other messages than were sent, or another order")
        if machine.outstanding_bytes or machine.total_buffered:
            raise AssertionError("something is left")


TARGETS = {
    "sctp-interleaving": check_interleaving,
    "sctp-middle": check_middle,
    "sctp-chunks": check_chunks,
    "sctp-association": check_association,
    "sctp-packet": check_packet,
}
