"""A bounded reader over bytes: it never reads past its end and raises only `ParseError`."""

import builtins
import struct

from .errors import ParseError

_U16 = struct.Struct("!H").unpack_from
_U32 = struct.Struct("!L").unpack_from
_U64 = struct.Struct("!Q").unpack_from


class Reader:
    """Reads big-endian integers and byte strings from `data[start:end]`.

    Args:
        data: The bytes to read from; not copied.
        start: Offset of the first byte.
        end: Offset past the last byte; the end of `data` if None.

    Raises:
        ParseError: `truncated` whenever a read would pass `end`.
    """

    __slots__ = ("_data", "_end", "offset")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._end = len(data) if end is None else end
        self.offset = start
        if not 0 <= start <= self._end <= len(data):
            raise ParseError("truncated")

    @property
    def remaining(self) -> int:
        """Bytes left."""
        return self._end - self.offset

    def _take(self, size: int) -> int:
        offset = self.offset
        if size < 0 or offset + size > self._end:
            raise ParseError("truncated", f"{size} bytes wanted, {self._end - offset} left")
        self.offset = offset + size
        return offset

    def u8(self) -> int:
        """Read one byte."""
        return self._data[self._take(1)]

    def u16(self) -> int:
        """Read two bytes."""
        value: int = _U16(self._data, self._take(2))[0]
        return value

    def u24(self) -> int:
        """Read three bytes."""
        offset = self._take(3)
        return int.from_bytes(self._data[offset : offset + 3], "big")

    def u32(self) -> int:
        """Read four bytes."""
        value: int = _U32(self._data, self._take(4))[0]
        return value

    def u48(self) -> int:
        """Read six bytes."""
        offset = self._take(6)
        return int.from_bytes(self._data[offset : offset + 6], "big")

    def u64(self) -> int:
        """Read eight bytes."""
        value: int = _U64(self._data, self._take(8))[0]
        return value

    def bytes(self, size: int) -> bytes:
        """Read `size` bytes."""
        offset = self._take(size)
        return self._data[offset : offset + size]

    def rest(self) -> builtins.bytes:
        """Read all that is left."""
        return self.bytes(self.remaining)

    def vector8(self) -> builtins.bytes:
        """Read a byte string behind a one-byte length."""
        return self.bytes(self.u8())

    def vector16(self) -> builtins.bytes:
        """Read a byte string behind a two-byte length."""
        return self.bytes(self.u16())

    def vector24(self) -> builtins.bytes:
        """Read a byte string behind a three-byte length."""
        return self.bytes(self.u24())

    def expect_end(self) -> None:
        """Raise `ParseError("trailing-bytes")` unless everything was read."""
        if self.offset != self._end:
            raise ParseError("trailing-bytes", f"{self._end - self.offset} left")
