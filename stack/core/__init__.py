"""What every layer may import: the machine interface, errors, a bounded reader, serial numbers, addresses.

`core.crypto` (the only importer of `cryptography`) and `core.crc32c` are not imported from here, so that a layer
that needs neither does not pay for them.
"""

from .address import Address, Datagram
from .errors import DropPacket, LocalError, ParseError, PeerError
from .machine import Machine, RandomBytes, Timers
from .reader import Reader
from .serial import serial16_gt, serial32_gt, unwrap16, unwrap32

__all__ = [
    "Address",
    "Datagram",
    "DropPacket",
    "LocalError",
    "Machine",
    "ParseError",
    "PeerError",
    "RandomBytes",
    "Reader",
    "Timers",
    "serial16_gt",
    "serial32_gt",
    "unwrap16",
    "unwrap32",
]
