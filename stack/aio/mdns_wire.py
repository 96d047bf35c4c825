"""The part of DNS that multicast names of ICE candidates need: questions for addresses, and addresses (RFC 1035, 6762).

Everything else in a message is skipped over. Names are text in lower case without the dot at the end.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from ..core import ParseError

A: Final = 1
AAAA: Final = 28
NSEC: Final = 47
ANY: Final = 255

MAX_MESSAGE: Final = 9000
"""Bytes of a message: RFC 6762 section 17."""

MAX_ENTRIES: Final = 256
"""Questions and records of one message that are looked at; one that names a whole network's printers has fewer."""

_IN: Final = 1
_TOP_BIT: Final = 0x8000  # unicast answer wanted, or flush the cache: RFC 6762 section 18.12 and 18.13
_RESPONSE: Final = 0x8400  # QR and AA
_OPCODE_AND_RCODE: Final = 0x780F

_HEADER: Final = Struct("!6H")
_QUESTION: Final = Struct("!2H")
_RECORD: Final = Struct("!2HLH")


@dataclass(slots=True)
class Question:
    """One question of class IN.

    Args:
        name: Of what.
        kind: A, AAAA, ANY or something else.
        unicast: Whether the answer may come by unicast.
    """

    name: str
    kind: int
    unicast: bool = False


@dataclass(slots=True)
class Record:
    """One address of one name.

    Args:
        name: Whose.
        host: The address, textual.
        ttl: Seconds that it holds; 0 takes it back.
    """

    name: str
    host: str
    ttl: int

    @property
    def kind(self) -> int:
        """A or AAAA."""
        return AAAA if ":" in self.host else A


@dataclass(slots=True)
class Message:
    """What of a message matters here.

    Args:
        ident: Given back in an answer to those who do not speak multicast DNS; else 0.
        is_response: Whether it answers.
        questions: Of class IN.
        records: Addresses in any section: answers, or what whoever asks knows already.
    """

    ident: int = 0
    is_response: bool = False
    questions: list[Question] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


def parse(data: bytes) -> Message:
    """Read a message.

    Raises:
        ParseError: `truncated`, `too-long`, `bad-name`, `bad-opcode` or `too-many-records`.
    """
    if len(data) > MAX_MESSAGE:
        raise ParseError("too-long")
    if len(data) < _HEADER.size:
        raise ParseError("truncated")
    ident, flags, questions, *counts = _HEADER.unpack_from(data)
    if flags & _OPCODE_AND_RCODE:  # RFC 6762 sections 18.3 and 18.11: silently ignored
        raise ParseError("bad-opcode")
    if questions + sum(counts) > MAX_ENTRIES:
        raise ParseError("too-many-records")
    message = Message(ident, bool(flags & 0x8000))
    offset = _HEADER.size
    for _ in range(questions):
        name, offset = _parse_name(data, offset)
        if len(data) - offset < _QUESTION.size:
            raise ParseError("truncated")
        kind, klass = _QUESTION.unpack_from(data, offset)
        offset += _QUESTION.size
        if klass & ~_TOP_BIT in {_IN, ANY}:
            message.questions.append(Question(name, kind, bool(klass & _TOP_BIT)))
    for _ in range(sum(counts)):
        offset = _parse_record(data, offset, message.records)
    return message


def _parse_record(data: bytes, offset: int, records: list[Record]) -> int:
    name, offset = _parse_name(data, offset)
    if len(data) - offset < _RECORD.size:
        raise ParseError("truncated")
    kind, klass, ttl, length = _RECORD.unpack_from(data, offset)
    offset += _RECORD.size
    if len(data) - offset < length:
        raise ParseError("truncated")
    value = data[offset : offset + length]
    if klass & ~_TOP_BIT == _IN:
        if kind == A and length == 4:
            records.append(Record(name, socket.inet_ntop(socket.AF_INET, value), ttl))
        elif kind == AAAA and length == 16:
            records.append(Record(name, socket.inet_ntop(socket.AF_INET6, value), ttl))
    return offset + int(length)


def _parse_name(data: bytes, offset: int) -> tuple[str, int]:
    """Return the name at `offset` and where it ends; pointers only lead backwards, so that there is an end."""
    labels: list[bytes] = []
    end, limit, size = -1, offset, 0
    while True:
        if offset >= len(data):
            raise ParseError("truncated")
        length = data[offset]
        if length >= 0xC0:  # RFC 1035 section 4.1.4
            if offset + 1 >= len(data):
                raise ParseError("truncated")
            target = (length & 0x3F) << 8 | data[offset + 1]
            end = offset + 2 if end < 0 else end
            if target >= limit:
                raise ParseError("bad-name", "a pointer that does not lead backwards")
            offset = limit = target
            continue
        if length > 63:
            raise ParseError("bad-name", "a label of an unknown kind")
        offset += 1
        if length == 0:
            break
        size += length + 1
        if size > 254:
            raise ParseError("bad-name", "more than 255 bytes")
        if offset + length > len(data):
            raise ParseError("truncated")
        labels.append(data[offset : offset + length])
        offset += length
    return b".".join(labels).decode("utf-8", "replace").lower(), offset if end < 0 else end


def _name(name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in name.encode().split(b".")) + b"\0"


def query(name: str) -> bytes:
    """Write the question for the addresses of a name, to be answered by multicast."""
    # Deviates: draft-ietf-mmusic-mdns-ice-candidates section 3.2 would have a unicast answer. It comes to port 5353,
    # where it reaches only one of the programs that share it (RFC 6762 section 15.1), and often that is not this one.
    wire = _name(name)
    pointer = b"\xc0\x0c"  # the first name
    return _HEADER.pack(0, 0, 2, 0, 0, 0) + wire + _QUESTION.pack(A, _IN) + pointer + _QUESTION.pack(AAAA, _IN)


def response(records: Sequence[Record], question: Question | None = None, ident: int = 0) -> bytes:
    """Write an answer, which says as well that these names have nothing else.

    Args:
        records: What is known.
        question: Repeated for those who do not speak multicast DNS (RFC 6762 section 6.7); then nothing is flushed.
        ident: Theirs.
    """
    if question is not None:
        parts = [_HEADER.pack(ident, _RESPONSE, 1, len(records), 0, 0)]
        parts += [_name(question.name), _QUESTION.pack(question.kind, _IN)]
        return b"".join(parts + [_record(record, _IN) for record in records])
    held = [record for record in records if record.ttl]
    parts = [_HEADER.pack(ident, _RESPONSE, 0, len(records), 0, len(held))]
    parts += [_record(record, _IN | _TOP_BIT) for record in records]
    return b"".join(parts + [_nothing_else(record) for record in held])


def _record(record: Record, klass: int) -> bytes:
    value = socket.inet_pton(socket.AF_INET6 if record.kind == AAAA else socket.AF_INET, record.host)
    return _name(record.name) + _RECORD.pack(record.kind, klass, record.ttl, len(value)) + value


def _nothing_else(record: Record) -> bytes:
    """Write that a name has no other kind of record (RFC 6762 section 6.1): Chromium waits 3 s for it otherwise."""
    name = _name(record.name)
    octets = bytearray(record.kind // 8 + 1)
    octets[-1] = 0x80 >> record.kind % 8
    value = name + bytes((0, len(octets))) + octets
    return name + _RECORD.pack(NSEC, _IN | _TOP_BIT, record.ttl, len(value)) + value
