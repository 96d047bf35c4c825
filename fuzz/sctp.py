"""SCTP: chunk parsers, and associations that receive hostile packets with right checksums."""

import dataclasses
import struct

from stack.core import ParseError
from stack.sctp import Association, Closed, Config, State, wire
from stack.sctp.handshake import parse_cookie, serialize_cookie
from stack.testing import seeded_random_bytes

WINDOW = 20_000
KEY = b"a key"


def check_chunks(data: bytes) -> None:
    """Parsers raise only ParseError, and what they return survives serialize and parse unchanged."""
    for parse, check in (
        (wire.parse_init, _check_init),
        (wire.parse_reconfig, _check_reconfig),
        (wire.parse_forward_tsn, _check_forward_tsn),
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


def _connected() -> Association:
    config = Config(a_rwnd=WINDOW, max_message_size=WINDOW // 2)
    machine = Association(random_bytes=seeded_random_bytes(1), config=config)
    init = wire.Init(1, 100_000, 100, 100, 1000, forward_tsn=True, extensions=b"\x82\xc0")
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
    machine = _connected()
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
        if inbound.held > WINDOW + 2 * 1200:
            raise AssertionError(f"{inbound.held} bytes kept")
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


TARGETS = {
    "sctp-chunks": check_chunks,
    "sctp-association": check_association,
    "sctp-packet": check_packet,
}
