"""One control datagram from the driver: 16 bytes, big-endian.

    0        1        2        6          8          10     11     12           16
    | magic  | version| sequence| throttle | steering |brake |flags | timestamp  |
      0xCA     1        u32       i16        i16        u8     0      u32, ms

Throttle and steering are in 1/32767 (-1..1; -32768 counts as -1), brake in 1/255. The timestamp is the driver's own
clock; its origin does not matter. Integers only: there is no NaN on the wire.
"""

import struct
from dataclasses import dataclass
from typing import Final

from ..core import ParseError
from .physics import Controls

MAGIC: Final = 0xCA
VERSION: Final = 1
SIZE: Final = 16
_LAYOUT: Final = struct.Struct("!BBLhhBBL")
_unpack = _LAYOUT.unpack
_pack = _LAYOUT.pack


@dataclass(slots=True)
class Command:
    """What one control datagram says.

    Args:
        sequence: 32-bit serial number; one more with every command.
        controls: What the driver asks for; always inside the ranges.
        timestamp: The driver's clock, ms modulo 2**32.
    """

    sequence: int
    controls: Controls
    timestamp: int


def parse(data: bytes) -> Command:
    """Read one control datagram.

    Raises:
        ParseError: `bad-size`, `bad-magic`, `bad-version` or `bad-flags`.
    """
    if len(data) != SIZE:
        raise ParseError("bad-size", f"{len(data)} bytes")
    magic, version, sequence, throttle, steering, brake, flags, timestamp = _unpack(data)
    if magic != MAGIC:
        raise ParseError("bad-magic", hex(magic))
    if version != VERSION:
        raise ParseError("bad-version", str(version))
    if flags:
        raise ParseError("bad-flags", hex(flags))
    controls = Controls(max(-1.0, throttle / 32767), max(-1.0, steering / 32767), brake / 255)
    return Command(sequence, controls, timestamp)


def serialize(command: Command) -> bytes:
    """Write one control datagram; what is out of range is clamped."""
    controls = command.controls
    return _pack(
        MAGIC,
        VERSION,
        command.sequence & 0xFFFFFFFF,
        round(max(-1.0, min(1.0, controls.throttle)) * 32767),
        round(max(-1.0, min(1.0, controls.steering)) * 32767),
        round(max(0.0, min(1.0, controls.brake)) * 255),
        0,
        command.timestamp & 0xFFFFFFFF,
    )
