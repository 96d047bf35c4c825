"""STUN over TCP and TLS: messages follow each other, and their headers say how long they are.

RFC 8489 section 6.2.2. TURN widens it with ChannelData.
"""

from struct import Struct

from ..core import ParseError

_unpack_length = Struct("!H").unpack_from

MAX_BUFFERED = 65_536 + 32
"""Bytes of one message that is not complete yet: lengths have 16 bits, headers and padding come on top."""


def message_size(data: bytes | bytearray, offset: int = 0) -> int | None:
    """Return how many bytes the STUN message at `offset` has in a stream; None if four bytes are not there yet.

    Raises:
        ParseError: `not-stun` or `bad-length`: the stream cannot be followed any more.
    """
    if len(data) - offset < 4:
        return None
    if data[offset] & 0xC0:
        raise ParseError("not-stun")
    (length,) = _unpack_length(data, offset + 2)
    if length & 3:
        raise ParseError("bad-length", "not a multiple of 4")
    return int(length) + 20


class Deframer:
    """Cuts messages out of what a stream delivers, whatever the size of the pieces.

    After a `ParseError` the connection has to be closed: nothing says where the next message would begin.
    """

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def buffered(self) -> int:
        """Bytes of a message that is not complete yet; at most `MAX_BUFFERED`."""
        return len(self._buffer)

    def push(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream and return the messages that are complete now, without padding.

        Raises:
            ParseError: See `message_size`. Messages before the fault are lost with it.
        """
        buffer = self._buffer
        buffer += data
        messages: list[bytes] = []
        offset, available = 0, len(buffer)
        while (sizes := self._sizes(buffer, offset)) is not None:
            size, padded = sizes
            if offset + padded > available:
                break
            messages.append(bytes(buffer[offset : offset + size]))
            offset += padded
        del buffer[:offset]
        return messages

    def _sizes(self, buffer: bytearray, offset: int) -> tuple[int, int] | None:
        """Return the size of the message at `offset`, and that with padding."""
        size = message_size(buffer, offset)
        return None if size is None else (size, size)
