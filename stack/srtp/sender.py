"""The sending direction of an SRTP session."""

from typing import Final

from ..core import DropPacket
from .ciphers import session_ciphers
from .packet import (
    FIXED_HEADER,
    MAX_INDEX,
    MAX_RTCP_INDEX,
    MAX_SSRCS,
    PLAIN,
    header_length,
    packet_index,
    parse_rtcp,
    unpack_rtp,
)
from .profiles import find_profile

REPEAT_WINDOW: Final = 2048  # packets per SSRC that may be sent again: a second of video at 18 Mbit/s


class _Source:
    """What the sender knows of one of its SSRCs: IV base, highest index, and index and tag of the last packets."""

    __slots__ = ("base", "highest", "indices", "tags")

    def __init__(self, base: int, highest: int) -> None:
        self.base = base
        self.highest = highest
        self.indices = [-1] * REPEAT_WINDOW
        self.tags = [b""] * REPEAT_WINDOW


class Sender:
    """Protects the RTP and RTCP packets of one direction.

    Rollover counters start at 0 and advance when the sequence number wraps. A packet may be protected again, for a
    retransmission, as long as it is byte for byte the same: two packets under one index would share a keystream and,
    with GCM, give the authentication key away (RFC 3711 section 9.1, RFC 7714 section 8.4). The sender therefore
    remembers the tags of the last `REPEAT_WINDOW` packets of each source and refuses anything else.

    Args:
        profile_id: SRTP protection profile that DTLS negotiated; a key of `PROFILES`.
        key: Master key of this direction.
        salt: Master salt of this direction.

    Raises:
        LocalError: If the profile is not implemented, or key or salt have the wrong length.
    """

    __slots__ = ("_rtcp", "_rtcp_sources", "_rtp", "_sources", "_tag", "profile")

    def __init__(self, profile_id: int, key: bytes, salt: bytes) -> None:
        self.profile = find_profile(profile_id)
        self._rtp, self._rtcp = session_ciphers(self.profile, key, salt)
        self._tag = self.profile.tag_length
        self._sources: dict[int, _Source] = {}
        self._rtcp_sources: dict[int, tuple[int, int]] = {}

    def protect(self, packet: bytes) -> bytes:
        """Encrypt and authenticate an RTP packet (RFC 3711 section 3.3).

        Args:
            packet: One RTP packet. Padding is encrypted with the payload; header, CSRCs and extension stay readable.

        Returns:
            The SRTP packet, `profile.tag_length` bytes longer.

        Raises:
            DropPacket: `truncated` or `bad-version` (not an RTP packet), `reused-index` (another packet had this
                sequence number, or the retransmission comes too late), `too-many-ssrcs`, `key-exhausted`.
        """
        if len(packet) < FIXED_HEADER:
            raise DropPacket("truncated")
        first, sequence, ssrc = unpack_rtp(packet)
        header = FIXED_HEADER if first == PLAIN else header_length(packet, first)
        source = self._sources.get(ssrc)
        if source is None:
            if len(self._sources) >= MAX_SSRCS:
                raise DropPacket("too-many-ssrcs")
            source = self._sources[ssrc] = _Source(self._rtp.iv_base(ssrc), sequence)
        # The common case, the next number and no wrap, does not need the guess.
        index = source.highest + 1
        if index & 0xFFFF != sequence:
            index = packet_index(sequence, source.highest)
        slot = index % REPEAT_WINDOW
        if index > source.highest:
            if index > MAX_INDEX:
                raise DropPacket("key-exhausted")
            source.highest = index
        elif source.indices[slot] == index:
            sealed = self._rtp.seal(packet, header, source.base, index)
            # With one index and one key, equal tags are equal packets.
            if sealed[-self._tag :] != source.tags[slot]:
                raise DropPacket("reused-index")
            return sealed
        elif index <= source.highest - REPEAT_WINDOW:
            raise DropPacket("reused-index")
        sealed = self._rtp.seal(packet, header, source.base, index)
        source.indices[slot] = index
        source.tags[slot] = sealed[-self._tag :]
        return sealed

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Encrypt and authenticate a compound RTCP packet (RFC 3711 section 3.4).

        Args:
            packet: One compound RTCP packet, or one of reduced size (RFC 5506).

        Returns:
            The SRTCP packet, `profile.rtcp_tag_length + 4` bytes longer.

        Raises:
            DropPacket: `truncated` or `bad-version` (not an RTCP packet), `too-many-ssrcs`, `key-exhausted`.
        """
        ssrc = parse_rtcp(packet)
        source = self._rtcp_sources.get(ssrc)
        if source is None:
            if len(self._rtcp_sources) >= MAX_SSRCS:
                raise DropPacket("too-many-ssrcs")
            source = self._rtcp.iv_base(ssrc), 0
        base, index = source
        if index > MAX_RTCP_INDEX:
            raise DropPacket("key-exhausted")
        self._rtcp_sources[ssrc] = base, index + 1
        return self._rtcp.seal_rtcp(packet, base, index)
