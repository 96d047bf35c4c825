"""Redundant audio: earlier frames once more beside each new one (RFC 2198)."""

from collections import deque
from dataclasses import dataclass

from ..core import LocalError, ParseError

MAX_OFFSET = 0x3FFF  # RFC 2198 section 3: the timestamp offset has 14 bits
MAX_BLOCK_BYTES = 0x3FF  # RFC 2198 section 3: the block length has 10 bits
MAX_DISTANCE = 4  # earlier frames beside a new one; each costs the stream's bit rate once more
MAX_BLOCKS = 16  # that are read of one payload; more than a sender could mean


@dataclass(slots=True)
class RedBlock:
    """One frame inside a payload.

    Args:
        payload_type: Of the frame.
        timestamp_offset: How much earlier than the packet it is, timestamp units; 0 for the primary one.
        data: The frame.
    """

    payload_type: int
    timestamp_offset: int
    data: bytes


def serialize(blocks: list[RedBlock]) -> bytes:
    """Return the payload of `blocks`, the primary one last.

    Raises:
        LocalError: If there are none or a field does not fit.
    """
    if not blocks:
        raise LocalError("a redundant payload has at least its primary block")
    heads = []
    for block in blocks[:-1]:
        if not 0 < block.timestamp_offset <= MAX_OFFSET or len(block.data) > MAX_BLOCK_BYTES:
            raise LocalError(f"an offset of {block.timestamp_offset} or {len(block.data)} bytes do not fit")
        word = 1 << 31 | block.payload_type << 24 | block.timestamp_offset << 10 | len(block.data)
        heads.append(word.to_bytes(4, "big"))
    heads.append(bytes((blocks[-1].payload_type & 0x7F,)))
    return b"".join([*heads, *[block.data for block in blocks]])


def parse(payload: bytes) -> list[RedBlock]:
    """Parse a payload; the primary block is the last.

    Raises:
        ParseError: `truncated`, or `bad-red` for more blocks than `MAX_BLOCKS`.
    """
    heads: list[tuple[int, int, int]] = []
    at, size = 0, len(payload)
    while at < size and payload[at] & 0x80:
        if at + 4 > size or len(heads) >= MAX_BLOCKS:
            raise ParseError("truncated" if at + 4 > size else "bad-red", "block header")
        word = int.from_bytes(payload[at : at + 4], "big")
        heads.append((word >> 24 & 0x7F, word >> 10 & MAX_OFFSET, word & MAX_BLOCK_BYTES))
        at += 4
    if at >= size:
        raise ParseError("truncated", "no primary block")
    primary = payload[at]
    at += 1
    blocks = []
    for payload_type, offset, length in heads:
        if at + length > size:
            raise ParseError("truncated", "block")
        blocks.append(RedBlock(payload_type, offset, payload[at : at + length]))
        at += length
    blocks.append(RedBlock(primary, 0, payload[at:]))
    return blocks


class RedEncoder:
    """Adds the last frames to each new one.

    Args:
        distance: How many.

    Raises:
        LocalError: If it is not 1..`MAX_DISTANCE`.
    """

    __slots__ = ("_earlier",)

    def __init__(self, distance: int = 1) -> None:
        if not 1 <= distance <= MAX_DISTANCE:
            raise LocalError(f"{distance} redundant frames")
        self._earlier: deque[tuple[int, int, bytes]] = deque(maxlen=distance)

    def encode(self, payload_type: int, timestamp: int, frame: bytes) -> bytes:
        """Return the payload of `frame` with those before it, as far as they are near and small enough."""
        blocks: list[RedBlock] = []
        for earlier_type, earlier_timestamp, data in self._earlier:
            offset = timestamp - earlier_timestamp & 0xFFFFFFFF
            if 0 < offset <= MAX_OFFSET and len(data) <= MAX_BLOCK_BYTES:
                blocks.append(RedBlock(earlier_type, offset, data))
            else:
                blocks.clear()  # a receiver counts back from the packet: there must be no hole
        self._earlier.append((payload_type, timestamp, frame))
        return serialize([*blocks, RedBlock(payload_type, 0, frame)])
