"""Chunks, parameters and error causes on the wire (RFC 9260 section 3, RFC 3758, RFC 6525, RFC 8260, RFC 4820).

DATA, SACK and packet headers are read and written in place by those who need them, with the structs of this module:
they are the hot path. Everything that is seldom has a `parse_*` and a `serialize_*` function here.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..core import ParseError
from ..core.crc32c import crc32c

# Chunk types (RFC 9260 section 3.2, RFC 3758 section 3.2, RFC 6525 section 3.1, RFC 8260 section 2, RFC 4820
# section 3).
DATA: Final = 0
INIT: Final = 1
INIT_ACK: Final = 2
SACK: Final = 3
HEARTBEAT: Final = 4
HEARTBEAT_ACK: Final = 5
ABORT: Final = 6
SHUTDOWN: Final = 7
SHUTDOWN_ACK: Final = 8
ERROR: Final = 9
COOKIE_ECHO: Final = 10
COOKIE_ACK: Final = 11
SHUTDOWN_COMPLETE: Final = 14
I_DATA: Final = 64
RE_CONFIG: Final = 130
PAD: Final = 132
FORWARD_TSN: Final = 192
I_FORWARD_TSN: Final = 194

# Flags of DATA (RFC 9260 section 3.3.1), and of ABORT and SHUTDOWN COMPLETE (section 3.3.7).
FLAG_END: Final = 0x01
FLAG_BEGIN: Final = 0x02
FLAG_UNORDERED: Final = 0x04
FLAG_IMMEDIATE: Final = 0x08
FLAG_TAG_REFLECTED: Final = 0x01

# Parameters of INIT and INIT ACK (RFC 9260 section 3.3.2, RFC 5061 section 4.2.7, RFC 3758 section 3.1, RFC 9653
# section 4).
PARAMETER_STATE_COOKIE: Final = 7
PARAMETER_UNRECOGNIZED: Final = 8
PARAMETER_ZERO_CHECKSUM_ACCEPTABLE: Final = 0x8001
PARAMETER_SUPPORTED_EXTENSIONS: Final = 0x8008
PARAMETER_FORWARD_TSN_SUPPORTED: Final = 0xC000
_KNOWN_INIT_PARAMETERS: Final = frozenset(
    {
        5,  # IPv4 address: without meaning over DTLS (RFC 8261 section 6), known so that it is not reported
        6,  # IPv6 address
        PARAMETER_STATE_COOKIE,
        PARAMETER_UNRECOGNIZED,
        9,  # cookie preservative
        12,  # supported address types
        PARAMETER_ZERO_CHECKSUM_ACCEPTABLE,
        PARAMETER_SUPPORTED_EXTENSIONS,
        PARAMETER_FORWARD_TSN_SUPPORTED,
    }
)

EDMID_NONE: Final = 0
EDMID_DTLS: Final = 1  # error detection method: SCTP over DTLS (RFC 9653 section 8)

# Parameters of RE-CONFIG (RFC 6525 section 4) and results (section 4.4).
OUTGOING_SSN_RESET: Final = 13
INCOMING_SSN_RESET: Final = 14
SSN_TSN_RESET: Final = 15
RECONFIG_RESPONSE: Final = 16
ADD_OUTGOING_STREAMS: Final = 17
ADD_INCOMING_STREAMS: Final = 18
RESULT_NOTHING_TO_DO: Final = 0
RESULT_PERFORMED: Final = 1
RESULT_DENIED: Final = 2
RESULT_BAD_SEQUENCE: Final = 5
RESULT_IN_PROGRESS: Final = 6

# Error causes (RFC 9260 section 3.3.10).
CAUSE_INVALID_STREAM: Final = 1
CAUSE_STALE_COOKIE: Final = 3
CAUSE_OUT_OF_RESOURCE: Final = 4
CAUSE_COOKIE_WHILE_SHUTTING_DOWN: Final = 10
CAUSE_RESTART: Final = 11
CAUSE_UNRECOGNIZED_CHUNK: Final = 6
CAUSE_UNRECOGNIZED_PARAMETERS: Final = 8
CAUSE_NO_USER_DATA: Final = 9
CAUSE_USER_ABORT: Final = 12
CAUSE_PROTOCOL_VIOLATION: Final = 13

HEADER_SIZE: Final = 12  # common header (RFC 9260 section 3.1)
DATA_HEADER_SIZE: Final = 16  # RFC 9260 section 3.3.1
I_DATA_HEADER_SIZE: Final = 20  # RFC 8260 section 2.1
SACK_HEADER_SIZE: Final = 16  # RFC 9260 section 3.3.4
MAX_PARAMETERS: Final = 64  # per chunk: browsers send five; more is an attempt to keep us busy

PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")  # by length modulo 4

HEADER = struct.Struct("!HHLL")
PORTS_AND_TAG = struct.Struct("!HHL")
CHECKSUM = struct.Struct("<L")  # RFC 9260 appendix A: the CRC32c goes out least significant byte first
CHUNK = struct.Struct("!BBH")
DATA_CHUNK = struct.Struct("!BBHLHHL")
DATA_BODY = struct.Struct("!LHHL")
I_DATA_CHUNK = struct.Struct("!BBHLHHLL")
I_DATA_BODY = struct.Struct("!LHHLL")
SACK_CHUNK = struct.Struct("!BBHLLHH")
SACK_BODY = struct.Struct("!LLHH")
_INIT_BODY = struct.Struct("!LLHHL")
_TLV = struct.Struct("!HH")
_U32 = struct.Struct("!L")
_FORWARD_ENTRY = struct.Struct("!HH")
_I_FORWARD_ENTRY = struct.Struct("!HHL")


@dataclass(slots=True)
class Init:
    """What INIT and INIT ACK carry (RFC 9260 section 3.3.2).

    Attributes:
        initiate_tag: Verification tag that the sender wants to receive, never 0.
        a_rwnd: Advertised receiver window, bytes.
        outbound_streams: Streams that the sender wants to use, at least 1.
        inbound_streams: Streams that the sender accepts, at least 1.
        initial_tsn: First TSN of the sender.
        forward_tsn: Whether partial reliability is supported (RFC 3758 section 3.1).
        extensions: Chunk types of supported extensions (RFC 5061 section 4.2.7).
        cookie: State cookie; INIT ACK only.
        zero_checksum: Error detection method that makes the sender accept a checksum of zero, or `EDMID_NONE`
            (RFC 9653 section 4).
        unrecognized: Parameters, whole, that must be reported back (RFC 9260 section 3.2.1).
    """

    initiate_tag: int
    a_rwnd: int
    outbound_streams: int
    inbound_streams: int
    initial_tsn: int
    forward_tsn: bool = False
    extensions: bytes = b""
    cookie: bytes = b""
    zero_checksum: int = EDMID_NONE
    unrecognized: tuple[bytes, ...] = ()


@dataclass(slots=True)
class ResetRequest:
    """A request of RFC 6525 as it came: outgoing or incoming SSN reset, SSN/TSN reset, or add streams.

    Attributes:
        kind: Parameter type.
        sequence: Re-configuration request sequence number.
        response_sequence: Of an outgoing SSN reset request; 0 otherwise.
        last_tsn: Sender's last assigned TSN of an outgoing SSN reset request; 0 otherwise.
        streams: Stream ids; none listed means all.
        count: Number of streams to add; 0 for resets.
    """

    kind: int
    sequence: int
    response_sequence: int = 0
    last_tsn: int = 0
    streams: tuple[int, ...] = ()
    count: int = 0


@dataclass(slots=True)
class ResetResponse:
    """A re-configuration response (RFC 6525 section 4.4).

    Attributes:
        sequence: Of the request.
        result: One of `RESULT_*`.
        next_tsns: The next TSN of its sender and that of its receiver; only of an answer to an SSN/TSN reset.
    """

    sequence: int
    result: int
    next_tsns: tuple[int, int] | None = None


def serialize_chunk(kind: int, flags: int, value: bytes = b"") -> bytes:
    """Return a chunk with its padding."""
    return CHUNK.pack(kind, flags, 4 + len(value)) + value + PADDING[len(value) & 3]


def serialize_parameter(kind: int, value: bytes = b"") -> bytes:
    """Return a parameter or error cause without its padding; `join_parameters` pads."""
    return _TLV.pack(kind, 4 + len(value)) + value


def join_parameters(parts: Sequence[bytes]) -> bytes:
    """Join parameters, padded but for the last: a chunk's length leaves that padding out (RFC 9260 section 3.2)."""
    return b"".join([part + PADDING[len(part) & 3] for part in parts[:-1]] + list(parts[-1:]))


def serialize_packet(source_port: int, destination_port: int, tag: int, chunks: bytes) -> bytes:
    """Return a whole packet with its checksum. For the seldom and for tests; `PacketWriter` is the fast way."""
    head = PORTS_AND_TAG.pack(source_port, destination_port, tag)
    return head + CHECKSUM.pack(crc32c(head + bytes(4) + chunks)) + chunks


def chunks_of(packet: bytes) -> list[tuple[int, int, bytes]]:
    """Return `(type, flags, value)` of each chunk of a packet, for traces and tests.

    Raises:
        ParseError: `truncated` or `bad-chunk-length`.
    """
    if len(packet) < HEADER_SIZE:
        raise ParseError("truncated")
    found: list[tuple[int, int, bytes]] = []
    offset = HEADER_SIZE
    while offset < len(packet):
        if len(packet) - offset < 4:
            raise ParseError("truncated")
        kind, flags, length = CHUNK.unpack_from(packet, offset)
        if length < 4 or offset + length > len(packet):
            raise ParseError("bad-chunk-length")
        found.append((kind, flags, packet[offset + 4 : offset + length]))
        offset += length + 3 & ~3
    return found


def parameters(data: bytes, offset: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield `(type, offset of the value, end of the value)` of the parameters in `data[offset:end]`.

    Raises:
        ParseError: `bad-parameter-length` or `too-many-parameters`.
    """
    for _ in range(MAX_PARAMETERS):
        if offset >= end:
            return
        if end - offset < 4:
            raise ParseError("bad-parameter-length")
        kind, length = _TLV.unpack_from(data, offset)
        if length < 4 or offset + length > end:
            raise ParseError("bad-parameter-length")
        yield kind, offset + 4, offset + length
        offset += length + 3 & ~3
    if offset < end:
        raise ParseError("too-many-parameters")


def parse_init(data: bytes, offset: int, end: int) -> Init:
    """Parse the value of an INIT or INIT ACK chunk, `data[offset:end]`.

    Source: RFC 9260 section 3.3.2.

    Raises:
        ParseError: `truncated`, `bad-init` (a zero tag or zero streams), `bad-parameter-length`,
            `too-many-parameters`.
    """
    if end - offset < _INIT_BODY.size:
        raise ParseError("truncated")
    init = Init(*_INIT_BODY.unpack_from(data, offset))
    if not init.initiate_tag or not init.outbound_streams or not init.inbound_streams:
        raise ParseError("bad-init")
    unrecognized: list[bytes] = []
    for kind, start, stop in parameters(data, offset + _INIT_BODY.size, end):
        if kind == PARAMETER_FORWARD_TSN_SUPPORTED:
            init.forward_tsn = True
        elif kind == PARAMETER_SUPPORTED_EXTENSIONS:
            init.extensions = data[start:stop]
        elif kind == PARAMETER_STATE_COOKIE:
            init.cookie = data[start:stop]
        elif kind == PARAMETER_ZERO_CHECKSUM_ACCEPTABLE:
            if stop - start == 4 and not init.zero_checksum:
                init.zero_checksum = _U32.unpack_from(data, start)[0]
        elif kind not in _KNOWN_INIT_PARAMETERS:
            if kind & 0x4000:
                unrecognized.append(data[start - 4 : stop])
            if not kind & 0x8000:  # RFC 9260 section 3.2.1: stop processing at this parameter
                break
    init.unrecognized = tuple(unrecognized)
    return init


def serialize_init(init: Init) -> bytes:
    """Return the value of an INIT or INIT ACK chunk.

    Source: RFC 9260 section 3.3.2 and section 3.3.3.
    """
    parts = []
    if init.cookie:
        parts.append(serialize_parameter(PARAMETER_STATE_COOKIE, init.cookie))
    if init.forward_tsn:
        parts.append(serialize_parameter(PARAMETER_FORWARD_TSN_SUPPORTED))
    if init.zero_checksum:
        parts.append(serialize_parameter(PARAMETER_ZERO_CHECKSUM_ACCEPTABLE, _U32.pack(init.zero_checksum)))
    if init.extensions:
        parts.append(serialize_parameter(PARAMETER_SUPPORTED_EXTENSIONS, init.extensions))
    parts.extend(serialize_parameter(PARAMETER_UNRECOGNIZED, whole) for whole in init.unrecognized)
    return _INIT_BODY.pack(
        init.initiate_tag, init.a_rwnd, init.outbound_streams, init.inbound_streams, init.initial_tsn
    ) + join_parameters(parts)


def serialize_init_chunk(init: Init) -> bytes:
    """Return a whole INIT chunk, as it is told in descriptions: without padding behind it.

    Source: draft-hancke-tsvwg-snap-00 section 4.
    """
    chunk = serialize_chunk(INIT, 0, serialize_init(init))
    return chunk[: CHUNK.unpack_from(chunk)[2]]


def parse_init_chunk(data: bytes) -> Init:
    """Parse a whole INIT chunk, padded or not.

    Raises:
        ParseError: `bad-init-chunk`, and those of `parse_init`.
    """
    if len(data) < CHUNK.size:
        raise ParseError("bad-init-chunk", "truncated")
    kind, _, length = CHUNK.unpack_from(data)
    if kind != INIT or not length <= len(data) <= length + 3 & ~3:
        raise ParseError("bad-init-chunk", f"type {kind}, length {length} in {len(data)} bytes")
    return parse_init(data, CHUNK.size, length)


def parse_forward_tsn(data: bytes, offset: int, end: int) -> tuple[int, list[tuple[int, int]]]:
    """Parse the value of a FORWARD-TSN chunk: the new cumulative TSN and `(stream, ssn)` pairs.

    Source: RFC 3758 section 3.2.

    Raises:
        ParseError: `truncated`.
    """
    if end - offset < 4 or end - offset & 3:
        raise ParseError("truncated")
    pairs = [_FORWARD_ENTRY.unpack_from(data, at) for at in range(offset + 4, end, 4)]
    return _U32.unpack_from(data, offset)[0], [(stream, ssn) for stream, ssn in pairs]


def serialize_forward_tsn(new_cumulative_tsn: int, skipped: Iterable[tuple[int, int]]) -> bytes:
    """Return a whole FORWARD-TSN chunk.

    Source: RFC 3758 section 3.2.
    """
    pairs = b"".join(_FORWARD_ENTRY.pack(stream, ssn) for stream, ssn in skipped)
    return serialize_chunk(FORWARD_TSN, 0, _U32.pack(new_cumulative_tsn & 0xFFFFFFFF) + pairs)


def parse_i_forward_tsn(data: bytes, offset: int, end: int) -> tuple[int, list[tuple[int, bool, int]]]:
    """Parse the value of an I-FORWARD-TSN chunk: the new cumulative TSN and `(stream, unordered, mid)` of the skipped.

    Source: RFC 8260 section 2.3.1.

    Raises:
        ParseError: `truncated`.
    """
    if end - offset < 4 or (end - offset - 4) % 8:
        raise ParseError("truncated")
    entries = [_I_FORWARD_ENTRY.unpack_from(data, at) for at in range(offset + 4, end, 8)]
    return _U32.unpack_from(data, offset)[0], [(stream, bool(flags & 1), mid) for stream, flags, mid in entries]


def serialize_i_forward_tsn(new_cumulative_tsn: int, skipped: Iterable[tuple[int, bool, int]]) -> bytes:
    """Return a whole I-FORWARD-TSN chunk.

    Source: RFC 8260 section 2.3.1.
    """
    entries = b"".join(_I_FORWARD_ENTRY.pack(stream, unordered, mid) for stream, unordered, mid in skipped)
    return serialize_chunk(I_FORWARD_TSN, 0, _U32.pack(new_cumulative_tsn & 0xFFFFFFFF) + entries)


def parse_reconfig(data: bytes, offset: int, end: int) -> list[ResetRequest | ResetResponse]:
    """Parse the value of a RE-CONFIG chunk.

    Source: RFC 6525 section 4.

    Raises:
        ParseError: `truncated`, `bad-parameter-length`, `too-many-parameters`.
    """
    found: list[ResetRequest | ResetResponse] = []
    for kind, start, stop in parameters(data, offset, end):
        size = stop - start
        if size < 4:
            raise ParseError("truncated")
        words = [word for (word,) in _U32.iter_unpack(data[start : start + min(size & ~3, 12)])]
        if kind == OUTGOING_SSN_RESET and size >= 12:
            found.append(ResetRequest(kind, words[0], words[1], words[2], _stream_ids(data, start + 12, stop)))
        elif kind == INCOMING_SSN_RESET:
            found.append(ResetRequest(kind, words[0], streams=_stream_ids(data, start + 4, stop)))
        elif kind == SSN_TSN_RESET:
            found.append(ResetRequest(kind, words[0]))
        elif kind in {ADD_OUTGOING_STREAMS, ADD_INCOMING_STREAMS} and size >= 8:
            found.append(ResetRequest(kind, words[0], count=words[1] >> 16))
        elif kind == RECONFIG_RESPONSE and size >= 8:
            tsns = (words[2], _U32.unpack_from(data, start + 12)[0]) if size >= 16 else None
            found.append(ResetResponse(words[0], words[1], tsns))
        elif kind in {OUTGOING_SSN_RESET, ADD_OUTGOING_STREAMS, ADD_INCOMING_STREAMS, RECONFIG_RESPONSE}:
            raise ParseError("truncated")
    return found


def _stream_ids(data: bytes, start: int, stop: int) -> tuple[int, ...]:
    return struct.unpack_from(f"!{stop - start >> 1}H", data, start)


def serialize_reset_request(request: ResetRequest) -> bytes:
    """Return one request parameter of a RE-CONFIG chunk.

    Source: RFC 6525 section 4.1, section 4.2, section 4.3, section 4.5 and section 4.6.
    """
    value = _U32.pack(request.sequence)
    if request.kind == OUTGOING_SSN_RESET:
        value += _U32.pack(request.response_sequence) + _U32.pack(request.last_tsn)
    elif request.kind in {ADD_OUTGOING_STREAMS, ADD_INCOMING_STREAMS}:
        value += _TLV.pack(request.count, 0)
    value += struct.pack(f"!{len(request.streams)}H", *request.streams)
    return serialize_parameter(request.kind, value)


def serialize_reset_response(response: ResetResponse) -> bytes:
    """Return a response parameter of a RE-CONFIG chunk.

    Source: RFC 6525 section 4.4.
    """
    words = (response.sequence, response.result, *(response.next_tsns or ()))
    return serialize_parameter(RECONFIG_RESPONSE, struct.pack(f"!{len(words)}L", *words))


def serialize_reconfig(parts: Sequence[bytes]) -> bytes:
    """Return a whole RE-CONFIG chunk with one or two parameters, already serialized.

    Source: RFC 6525 section 3.1.
    """
    return serialize_chunk(RE_CONFIG, 0, join_parameters(parts))


def parse_causes(data: bytes, offset: int, end: int) -> list[tuple[int, bytes]]:
    """Parse the error causes of an ABORT or ERROR chunk.

    Source: RFC 9260 section 3.3.10.

    Raises:
        ParseError: `bad-parameter-length` or `too-many-parameters`.
    """
    return [(kind, data[start:stop]) for kind, start, stop in parameters(data, offset, end)]


def describe_causes(data: bytes, offset: int, end: int) -> str:
    """Return the first error causes of an ABORT chunk for people; empty if they cannot be read."""
    try:
        causes = parse_causes(data, offset, end)
    except ParseError:
        return ""  # it ends the association however it is spelled
    return ", ".join(f"cause {kind} {value[:80].decode(errors='replace')}".strip() for kind, value in causes[:4])


class PacketWriter:
    """Bundles chunks into packets of at most `limit` bytes, in order (RFC 9260 section 6.10).

    Args:
        source_port: Own SCTP port.
        destination_port: The peer's.
        limit: Largest packet, bytes, a multiple of 4.

    Attributes:
        number: Serial number of the packet that is being filled; never repeats in an association.
        packets: Finished packets.
        zero_checksum: Whether packets go without a checksum (RFC 9653 section 5.2); those of `alone` always have one.
    """

    __slots__ = (
        "_blank_head",
        "_crc",
        "_destination_port",
        "_head",
        "_limit",
        "_parts",
        "_source_port",
        "number",
        "packets",
        "room",
        "zero_checksum",
    )

    def __init__(self, source_port: int, destination_port: int, limit: int) -> None:
        self._source_port = source_port
        self._destination_port = destination_port
        self._limit = limit - HEADER_SIZE
        self._parts: list[bytes] = []
        self.room = self._limit
        self.number = 0
        self.packets: list[bytes] = []
        self.zero_checksum = False
        self.set_tag(0)

    def set_limit(self, limit: int) -> None:
        """Make packets of at most `limit` bytes from the next one on."""
        self.flush()
        self._limit = self.room = limit - HEADER_SIZE

    def set_tag(self, tag: int) -> None:
        """Use verification tag `tag` from now on."""
        self._head = PORTS_AND_TAG.pack(self._source_port, self._destination_port, tag)
        # The checksum is computed over the header with zeros in its place: that part is the same in every packet.
        self._blank_head = self._head + bytes(4)
        self._crc = crc32c(self._blank_head)

    def add(self, chunk: bytes) -> int:
        """Add a padded chunk to the current packet, or to the next one if it does not fit; return that one's number."""
        size = len(chunk)
        if size > self.room and self._parts:
            self.flush()
        number = self.number
        if size >= self._limit:
            if self.zero_checksum:
                self.packets.append(self._blank_head + chunk)
            else:
                checksum = crc32c(chunk, self._crc).to_bytes(4, "little")
                self.packets.append(b"".join((self._head, checksum, chunk)))
            self.number = number + 1
        else:
            self._parts.append(chunk)
            self.room -= size
        return number

    def flush(self) -> None:
        """Finish the current packet, if anything is in it."""
        if self._parts:
            body = b"".join(self._parts)
            if self.zero_checksum:
                self.packets.append(self._blank_head + body)
            else:
                self.packets.append(b"".join((self._head, crc32c(body, self._crc).to_bytes(4, "little"), body)))
            self._parts.clear()
            self.room = self._limit
            self.number += 1

    def alone(self, chunk: bytes, tag: int) -> None:
        """Send a chunk in a packet of its own under another tag: INIT, INIT ACK and answers to strangers."""
        self.flush()
        self.packets.append(serialize_packet(self._source_port, self._destination_port, tag, chunk))
        self.number += 1

    def take(self) -> list[bytes]:
        """Finish and return all packets."""
        self.flush()
        packets, self.packets = self.packets, []
        return packets
