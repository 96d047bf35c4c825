"""DCEP messages and payload protocol identifiers (RFC 8832 section 5, RFC 8831 section 8)."""

import struct
from dataclasses import dataclass
from typing import Final

from ..core import LocalError, ParseError

# SCTP payload protocol identifiers: RFC 8831 section 8.1 and RFC 8832 section 8.1
DCEP: Final = 50
STRING: Final = 51
BINARY_PARTIAL: Final = 52  # deprecated
BINARY: Final = 53
STRING_PARTIAL: Final = 54  # deprecated
STRING_EMPTY: Final = 56
BINARY_EMPTY: Final = 57

# Message types: RFC 8832 section 8.2.1
DATA_CHANNEL_ACK: Final = 0x02
DATA_CHANNEL_OPEN: Final = 0x03

# Channel types: RFC 8832 section 8.2.2
DATA_CHANNEL_RELIABLE: Final = 0x00
DATA_CHANNEL_PARTIAL_RELIABLE_REXMIT: Final = 0x01
DATA_CHANNEL_PARTIAL_RELIABLE_TIMED: Final = 0x02
UNORDERED: Final = 0x80  # set in the types whose names end in _UNORDERED

MAX_TEXT_LENGTH: Final = 0xFFFF  # bytes of a label or a protocol: both lengths are 16 bits
MAX_RELIABILITY_PARAMETER: Final = 0xFFFFFFFF
MAX_PRIORITY: Final = 0xFFFF

_OPEN = struct.Struct("!BBHLHH")
_pack_open, _unpack_open = _OPEN.pack, _OPEN.unpack_from
_ACK_BYTES = bytes((DATA_CHANNEL_ACK,))


class ArgumentError(LocalError, TypeError):
    """No channel can have this label, id or limit; a TypeError because that is what W3C calls it."""


@dataclass(slots=True)
class Open:
    """DATA_CHANNEL_OPEN (RFC 8832 section 5.1).

    Args:
        label: Name of the channel, up to 65535 bytes of UTF-8.
        protocol: WebSocket subprotocol, or empty; up to 65535 bytes of UTF-8.
        ordered: Whether messages are delivered in order.
        max_retransmits: Retransmissions of a message at most; None for no limit.
        max_packet_life_time: Milliseconds for which a message may be (re)transmitted; None for no limit. At most one
            of the two limits is set.
        priority: Weight among the channels; 128, 256, 512 and 1024 are W3C's four levels.
    """

    label: str
    protocol: str = ""
    ordered: bool = True
    max_retransmits: int | None = None
    max_packet_life_time: int | None = None
    priority: int = 256


@dataclass(slots=True)
class Ack:
    """DATA_CHANNEL_ACK (RFC 8832 section 5.2)."""


def parse(data: bytes) -> Open | Ack:
    """Parse a DCEP message.

    Args:
        data: A whole user message that came with ppid `DCEP`.

    Raises:
        ParseError: `truncated`, `trailing-bytes`, `bad-message-type`, `bad-channel-type` or `bad-utf8`.
    """
    if not data:
        raise ParseError("truncated")
    if data[0] == DATA_CHANNEL_ACK:
        return Ack()  # deployed peers append padding to its one byte
    if data[0] != DATA_CHANNEL_OPEN:
        raise ParseError("bad-message-type", f"0x{data[0]:02x}")
    return _parse_open(data)


def _parse_open(data: bytes) -> Open:
    start = _OPEN.size
    if len(data) < start:
        raise ParseError("truncated")
    _, channel_type, priority, parameter, label_length, protocol_length = _unpack_open(data)
    middle = start + label_length
    end = middle + protocol_length
    if end != len(data):
        raise ParseError("truncated" if end > len(data) else "trailing-bytes")
    kind = channel_type & ~UNORDERED
    if kind > DATA_CHANNEL_PARTIAL_RELIABLE_TIMED:
        raise ParseError("bad-channel-type", f"0x{channel_type:02x}")
    try:
        label, protocol = data[start:middle].decode(), data[middle:end].decode()
    except UnicodeDecodeError as error:
        raise ParseError("bad-utf8", str(error)) from None
    return Open(
        label,
        protocol,
        ordered=not channel_type & UNORDERED,
        max_retransmits=parameter if kind == DATA_CHANNEL_PARTIAL_RELIABLE_REXMIT else None,
        max_packet_life_time=parameter if kind == DATA_CHANNEL_PARTIAL_RELIABLE_TIMED else None,
        priority=priority,
    )


def serialize(message: Open | Ack) -> bytes:
    """Serialize a DCEP message.

    Raises:
        ArgumentError: If a field does not fit, or both limits of reliability are set.
    """
    if isinstance(message, Ack):
        return _ACK_BYTES
    label = _encode("label", message.label)
    protocol = _encode("protocol", message.protocol)
    if message.max_retransmits is not None and message.max_packet_life_time is not None:
        raise ArgumentError("set max_retransmits or max_packet_life_time, not both")
    kind, parameter = DATA_CHANNEL_RELIABLE, 0
    if message.max_retransmits is not None:
        kind, parameter = DATA_CHANNEL_PARTIAL_RELIABLE_REXMIT, message.max_retransmits
    elif message.max_packet_life_time is not None:
        kind, parameter = DATA_CHANNEL_PARTIAL_RELIABLE_TIMED, message.max_packet_life_time
    if not 0 <= parameter <= MAX_RELIABILITY_PARAMETER:
        raise ArgumentError(f"a limit of reliability must be 0..{MAX_RELIABILITY_PARAMETER}, not {parameter}")
    if not 0 <= message.priority <= MAX_PRIORITY:
        raise ArgumentError(f"priority must be 0..{MAX_PRIORITY}, not {message.priority}")
    if not message.ordered:
        kind |= UNORDERED
    header = _pack_open(DATA_CHANNEL_OPEN, kind, message.priority, parameter, len(label), len(protocol))
    return b"".join((header, label, protocol))


def _encode(name: str, text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise ArgumentError(f"the {name} holds a lone surrogate and has no UTF-8 form") from None
    if len(data) > MAX_TEXT_LENGTH:
        raise ArgumentError(f"the {name} has {len(data)} bytes in UTF-8, {MAX_TEXT_LENGTH} is the limit")
    return data
