"""The receiving direction of an SRTP session."""

from typing import Final

from ..core import DropPacket, LocalError
from .ciphers import ENCRYPTED, RTCP_HEADER, session_ciphers
from .packet import (
    FIXED_HEADER,
    MAX_INDEX,
    MAX_SSRCS,
    PLAIN,
    header_length,
    packet_index,
    parse_rtcp,
    unpack_rtp,
)
from .profiles import find_profile

REPLAY_WINDOW: Final = 1024  # packets per SSRC: a burst of video with its retransmissions is longer than RFC 3711's 64
MIN_REPLAY_WINDOW: Final = 64  # RFC 3711 section 3.3.2
MAX_REPLAY_WINDOW: Final = 0x8000  # beyond half the sequence number space an old packet is taken for a new one


class _Source:
    """What the receiver knows of one SSRC: IV base, highest index, and which indices of the window came."""

    __slots__ = ("base", "highest", "seen")

    def __init__(self, base: int, highest: int, window: int) -> None:
        self.base = base
        self.highest = highest
        self.seen = [-1] * window


class Receiver:
    """Checks and decrypts the SRTP and SRTCP packets of one direction.

    Nothing that an unauthenticated packet says is remembered: a source is created, and its window moved, only behind
    a valid tag. Up to `MAX_SSRCS` sources are followed in RTP and as many in RTCP.

    Args:
        profile_id: SRTP protection profile that DTLS negotiated; a key of `PROFILES`.
        key: Master key of this direction.
        salt: Master salt of this direction.
        replay_window: Packets behind the newest one that are still accepted, 64 to 32768, per SSRC.

    Raises:
        LocalError: If the profile is not implemented, or key, salt or window have the wrong size.
    """

    __slots__ = ("_rtcp", "_rtcp_sources", "_rtp", "_sources", "_window", "profile")

    def __init__(self, profile_id: int, key: bytes, salt: bytes, *, replay_window: int = REPLAY_WINDOW) -> None:
        if not MIN_REPLAY_WINDOW <= replay_window <= MAX_REPLAY_WINDOW:
            raise LocalError(f"replay_window must be {MIN_REPLAY_WINDOW}..{MAX_REPLAY_WINDOW}, not {replay_window}")
        self.profile = find_profile(profile_id)
        self._rtp, self._rtcp = session_ciphers(self.profile, key, salt)
        self._window = replay_window
        self._sources: dict[int, _Source] = {}
        self._rtcp_sources: dict[int, _Source] = {}

    def unprotect(self, packet: bytes) -> bytes:
        """Check and decrypt an SRTP packet (RFC 3711 section 3.3).

        Args:
            packet: One SRTP packet; any bytes.

        Returns:
            The RTP packet.

        Raises:
            DropPacket: `truncated`, `bad-version`, `replayed` (a second time, or older than the window), `bad-tag`,
                `too-many-ssrcs`, `key-exhausted`.
        """
        if len(packet) < FIXED_HEADER:
            raise DropPacket("truncated")
        first, sequence, ssrc = unpack_rtp(packet)
        header = FIXED_HEADER if first == PLAIN else header_length(packet, first)
        cipher = self._rtp
        if header + cipher.overhead > len(packet):
            raise DropPacket("truncated")
        source = self._sources.get(ssrc)
        if source is None:
            # The rollover counter of a new source is 0: both ends begin with the DTLS handshake.
            base = cipher.iv_base(ssrc)
            plain = cipher.open(packet, header, base, sequence)
            _remember(self._sources, ssrc, _Source(base, sequence, self._window), sequence)
            return plain
        highest, window = source.highest, self._window
        # The common case, the next number and no wrap, does not need the guess.
        index = highest + 1
        if index & 0xFFFF != sequence:
            index = packet_index(sequence, highest)
        slot = index % window
        if index <= highest:
            if index <= highest - window or source.seen[slot] == index:
                raise DropPacket("replayed")
        elif index > MAX_INDEX:
            raise DropPacket("key-exhausted")
        plain = cipher.open(packet, header, source.base, index)
        source.seen[slot] = index
        if index > highest:
            source.highest = index
        return plain

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Check and decrypt an SRTCP packet (RFC 3711 section 3.4); one without the E flag is only checked.

        Args:
            packet: One SRTCP packet; any bytes.

        Returns:
            The compound RTCP packet.

        Raises:
            DropPacket: `truncated`, `bad-version`, `replayed`, `bad-tag`, `too-many-ssrcs`.
        """
        ssrc = parse_rtcp(packet)
        cipher = self._rtcp
        if RTCP_HEADER + cipher.overhead > len(packet):
            raise DropPacket("truncated")
        word = int.from_bytes(cipher.index_word(packet), "big")
        index = word & ~ENCRYPTED
        source = self._rtcp_sources.get(ssrc)
        if source is None:
            base = cipher.iv_base(ssrc)
            plain = cipher.open_rtcp(packet, base, word)
            _remember(self._rtcp_sources, ssrc, _Source(base, index, self._window), index)
            return plain
        slot = index % self._window
        if index <= source.highest - self._window or source.seen[slot] == index:
            raise DropPacket("replayed")
        plain = cipher.open_rtcp(packet, source.base, word)
        source.seen[slot] = index
        source.highest = max(source.highest, index)
        return plain


def _remember(sources: dict[int, _Source], ssrc: int, source: _Source, index: int) -> None:
    if len(sources) >= MAX_SSRCS:
        raise DropPacket("too-many-ssrcs")
    source.seen[index % len(source.seen)] = index
    sources[ssrc] = source
