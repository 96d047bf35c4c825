"""From handshake fragments to handshake messages in order (RFC 6347 sections 4.2.2 and 4.2.3)."""

import struct
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Final

from ..core import DropPacket, ParseError
from .wire import FRAGMENT_HEADER_SIZE

# A chain of RSA certificates fits in several times over; browsers' largest message is a 1.5 kB hello.
MAX_HANDSHAKE_MESSAGE: Final = 16 * 1024
# The longest flight of the handshakes that exist here has five messages; a flight is all that a peer may send ahead.
MAX_MESSAGES_AHEAD: Final = 8
# 16 KiB cut for an MTU of 100 bytes makes about 220 pieces.
MAX_FRAGMENTS_PER_MESSAGE: Final = 256

_HEADER: Final = struct.Struct("!LHBHBH")  # type and length, message_seq, offset, fragment length: 24 bits as 8 and 16
_pack_header = _HEADER.pack
_unpack_header = _HEADER.unpack_from


@dataclass(slots=True)
class Message:
    """A whole handshake message.

    Args:
        type: Kind, see `HandshakeType`.
        sequence: message_seq.
        body: Content without the header.
    """

    type: int
    sequence: int
    body: bytes

    def serialize(self) -> bytes:
        """Return the message with the header of an unfragmented one, as it is hashed (RFC 6347 section 4.2.6)."""
        size = len(self.body)
        return _pack_header(self.type << 24 | size, self.sequence, 0, 0, size >> 16, size & 0xFFFF) + self.body


@dataclass(slots=True)
class Fragment:
    """One fragment of a handshake message.

    Args:
        type: Kind of the message.
        length: Bytes of the whole message.
        sequence: message_seq.
        offset: Where in the message this piece belongs.
        data: The piece.
    """

    type: int
    length: int
    sequence: int
    offset: int
    data: bytes


def parse_fragments(content: bytes) -> list[Fragment]:
    """Parse the fragments in the content of one handshake record.

    Raises:
        ParseError: `truncated`, or `bad-fragment` if a piece lies outside its message or the record is empty.
    """
    if not content:
        raise ParseError("bad-fragment", "empty record")
    size, at = len(content), 0
    fragments = []
    while at < size:
        start = at + FRAGMENT_HEADER_SIZE
        if start > size:
            raise ParseError("truncated")
        kind_and_length, sequence, offset_high, offset_low, count_high, count_low = _unpack_header(content, at)
        length, offset, count = kind_and_length & 0xFFFFFF, offset_high << 16 | offset_low, count_high << 16 | count_low
        at = start + count
        if at > size:
            raise ParseError("truncated")
        if offset + count > length or (length and not count):
            raise ParseError("bad-fragment")
        fragments.append(Fragment(kind_and_length >> 24, length, sequence, offset, content[start:at]))
    return fragments


class _Partial:
    """A message of which some pieces are here: the buffer, and starts and ends of the ranges that are filled.

    The ranges are sorted, and there is a gap between any two: whoever sends pieces as small and as far apart as can be
    makes us search among them, and not go through them all.
    """

    __slots__ = ("buffer", "ends", "starts", "type")

    def __init__(self, fragment: Fragment) -> None:
        self.type = fragment.type
        self.buffer = bytearray(fragment.length)
        self.starts: list[int] = []
        self.ends: list[int] = []

    def add(self, fragment: Fragment) -> None:
        start, end = fragment.offset, fragment.offset + len(fragment.data)
        # Those from `low` up to `high` overlap the new range or touch it.
        low, high = bisect_left(self.ends, start), bisect_right(self.starts, end)
        if low == high and len(self.starts) >= MAX_FRAGMENTS_PER_MESSAGE:
            raise DropPacket("too-many-fragments")
        self.buffer[start:end] = fragment.data
        if low < high:
            start, end = min(start, self.starts[low]), max(end, self.ends[high - 1])
        self.starts[low:high] = [start]
        self.ends[low:high] = [end]

    def complete(self) -> bool:
        return self.starts == [0] and self.ends == [len(self.buffer)]


class Reassembler:
    """Puts fragments together and gives messages in the order of their numbers.

    Attributes:
        next_sequence: message_seq of the message that is due.
    """

    __slots__ = ("_partials", "next_sequence")

    def __init__(self) -> None:
        self.next_sequence = 0
        self._partials: dict[int, _Partial] = {}

    @property
    def waiting(self) -> int:
        """How many messages are incomplete, or ahead of one that is."""
        return len(self._partials)

    def add(self, fragment: Fragment) -> None:
        """Take a fragment of a message that is due or ahead.

        Raises:
            DropPacket: `message-too-long`, `message-too-far-ahead`, `too-many-fragments` or `bad-fragment`.
        """
        if fragment.length > MAX_HANDSHAKE_MESSAGE:
            raise DropPacket("message-too-long")
        if fragment.sequence >= self.next_sequence + MAX_MESSAGES_AHEAD:
            raise DropPacket("message-too-far-ahead")
        partial = self._partials.get(fragment.sequence)
        if partial is None:
            partial = self._partials[fragment.sequence] = _Partial(fragment)
        elif partial.type != fragment.type or len(partial.buffer) != fragment.length:
            raise DropPacket("bad-fragment")
        partial.add(fragment)

    def next_message(self) -> Message | None:
        """Return the message that is due if it is complete, and move on to the next."""
        partial = self._partials.get(self.next_sequence)
        if partial is None or not partial.complete():
            return None
        del self._partials[self.next_sequence]
        message = Message(partial.type, self.next_sequence, bytes(partial.buffer))
        self.next_sequence += 1
        return message

    def clear(self) -> None:
        """Forget what is incomplete."""
        self._partials.clear()
