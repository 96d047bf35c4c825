"""Which protocol a datagram on a shared port belongs to (RFC 7983 section 7, RFC 5761 section 4)."""

from typing import Final

__all__ = ["DTLS", "RTCP", "RTP", "STUN", "TURN_CHANNEL", "UNKNOWN", "classify"]

UNKNOWN: Final = 0
STUN: Final = 1
DTLS: Final = 2
TURN_CHANNEL: Final = 3
RTP: Final = 4
RTCP: Final = 5


def _by_first_byte(byte: int) -> int:
    if byte <= 3:
        return STUN
    if 20 <= byte <= 63:
        return DTLS
    if 64 <= byte <= 79:
        return TURN_CHANNEL
    if 128 <= byte <= 191:
        return RTP
    return UNKNOWN  # 16..19 is ZRTP, which WebRTC forbids (RFC 8827 section 6.5); the rest is unassigned


_BY_FIRST_BYTE: Final = tuple(map(_by_first_byte, range(256)))


def classify(datagram: bytes) -> int:
    """Tell which protocol a datagram belongs to, by its first two bytes.

    RFC 7983 section 7 decides by the first byte. What it calls RTP is RTCP if the second byte, RTCP's packet type,
    is in 192..223: RTP payload types 64..95 with the marker bit would look the same, which is why RFC 5761 section 4
    forbids these payload types on a shared port.

    Args:
        datagram: One UDP payload; may be empty.

    Returns:
        `STUN`, `DTLS`, `TURN_CHANNEL`, `RTP`, `RTCP` or `UNKNOWN`.
    """
    if not datagram:
        return UNKNOWN
    kind = _BY_FIRST_BYTE[datagram[0]]
    if kind == RTP and len(datagram) > 1 and 192 <= datagram[1] <= 223:
        return RTCP
    return kind
