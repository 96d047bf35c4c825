"""What every kind of RTCP packet is made with: packet types, the common header, pairs of SSRCs."""

import struct

from ..core import LocalError

SR, RR, SDES, BYE, APP, RTPFB, PSFB, XR = 200, 201, 202, 203, 204, 205, 206, 207

MAX_COUNT = 31  # RFC 3550 section 6.4.1: RC and SC have five bits

HEADER = struct.Struct("!BBH")
U32 = struct.Struct("!L")
TWO_SSRCS = struct.Struct("!LL")


def pack_packet(packet_type: int, count: int, body: bytes) -> bytes:
    """Return one RTCP packet without padding.

    Args:
        packet_type: PT.
        count: The five bits that hold a count, a subtype or FMT.
        body: What follows the first word, whole words.

    Raises:
        LocalError: If the count or the body does not fit.
    """
    if not 0 <= count <= MAX_COUNT or len(body) % 4:
        raise LocalError(f"{count} entries in {len(body)} bytes: at most {MAX_COUNT}, in whole words, fit a packet")
    return HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body
