"""The few header fields that SRTP needs, and the 48-bit packet index."""

import struct
from collections.abc import Iterable
from typing import Final

from ..core import DropPacket

MAX_INDEX: Final = (1 << 48) - 1  # RFC 3711 section 9.2: 2^48 SRTP packets at most with one master key
MAX_RTCP_INDEX: Final = (1 << 31) - 1  # the same section: 2^31 SRTCP packets
MAX_SSRCS: Final = 256  # per direction and protocol: a room of simulcast senders needs tens; bounds a hostile peer

FIXED_HEADER: Final = 12  # bytes: RFC 3550 section 5.1
EXTENDED_HEADER: Final = 16  # bytes, with the four in which an extension says what it is: RFC 3550 section 5.3.1
PLAIN: Final = 0x80  # first byte of a packet with neither padding, extension nor CSRCs
EXTENDED: Final = 0x90  # and of one with an extension: what most packets of a WebRTC stream are

MIN_RUN: Final = 8  # packets: with fewer it takes longer to look for a run than it saves

StructError = struct.error  # what `unpack_rtp` raises on a packet that is too short
# First byte, sequence number, SSRC, and what is the length of the extension in words if there is one and no CSRC.
unpack_rtp = struct.Struct("!BxHxxxxLxxH").unpack_from
_U16 = struct.Struct("!H").unpack_from
_RTCP = struct.Struct("!BxxxL").unpack_from


def unpack_short(packet: bytes) -> tuple[int, int, int, int]:
    """Return what `unpack_rtp` does, for a packet of less than 16 bytes.

    Raises:
        DropPacket: `truncated`.
    """
    if len(packet) < FIXED_HEADER:
        raise DropPacket("truncated")
    first, sequence, ssrc, words = unpack_rtp(packet.ljust(EXTENDED_HEADER, b"\0"))
    return first, sequence, ssrc, words


def header_length(packet: bytes, first: int) -> int:
    """Return the length of an RTP header with its CSRCs and extension (RFC 3550 section 5.1).

    Args:
        packet: At least 12 bytes.
        first: Its first byte, which callers have read already.

    Raises:
        DropPacket: `truncated` or `bad-version`.
    """
    if first & 0xC0 != 0x80:
        raise DropPacket("bad-version")
    size = len(packet)
    header = 12 + ((first & 0x0F) << 2)
    if first & 0x10:
        if header + 4 > size:
            raise DropPacket("truncated")
        header += 4 + (_U16(packet, header + 2)[0] << 2)
    if header > size:
        raise DropPacket("truncated")
    return header


Run = tuple[list[bytes], int, int, int]
"""RTP packets of one source whose numbers follow each other without a wrap: packets, SSRC, first number, bytes of each
header."""


def runs(packets: Iterable[bytes], overhead: int) -> list[Run]:
    """Split a batch into runs, in its order. What is not like most RTP packets is a run by itself, without a check.

    Args:
        packets: Any bytes.
        overhead: Bytes that there must be behind each header.
    """
    found: list[Run] = []
    run: list[bytes] = []
    source = following = kind = words = shortest = -1  # what continues the run
    for packet in packets:
        try:
            first, sequence, ssrc, length = unpack_rtp(packet)
        except StructError:
            first = sequence = ssrc = length = -2
        if (
            sequence == following
            and ssrc == source
            and first == kind
            and (length == words or first == PLAIN)
            and len(packet) >= shortest
        ):
            run.append(packet)
            following += 1
            continue
        header = FIXED_HEADER if first == PLAIN else EXTENDED_HEADER + (length << 2)
        shortest = header + overhead
        usual = first in {PLAIN, EXTENDED} and len(packet) >= shortest
        source, following, kind, words = ssrc, sequence + 1 if usual else -1, first, length
        run = [packet]
        found.append((run, ssrc, sequence, header))
    return found


def parse_rtcp(packet: bytes) -> int:
    """Return the SSRC of a compound RTCP packet's first sender (RFC 3550 section 6.4).

    Raises:
        DropPacket: `truncated` or `bad-version`.
    """
    if len(packet) < 8:
        raise DropPacket("truncated")
    first, ssrc = _RTCP(packet)
    if first & 0xC0 != 0x80:
        raise DropPacket("bad-version")
    return int(ssrc)


def packet_index(sequence: int, highest: int) -> int:
    """Guess the index of a packet by its sequence number (RFC 3711 section 3.3.1 and appendix A).

    Args:
        sequence: 16-bit sequence number of the packet.
        highest: Highest index so far.

    Returns:
        The index; it may exceed `MAX_INDEX`.
    """
    low = highest & 0xFFFF
    index = highest - low + sequence
    if low < 0x8000:
        # Deviates: the appendix would guess a rollover counter of -1 during the first cycle; only a jump forward
        # can be meant there.
        if sequence - low > 0x8000 and index > 0xFFFF:
            return index - 0x10000
    elif low - 0x8000 > sequence:
        return index + 0x10000
    return index
