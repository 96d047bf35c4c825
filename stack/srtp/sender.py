"""The sending direction of an SRTP session."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from ..core import DropPacket, LocalError
from .ciphers import Gcm, RtcpSealer, RtpSealer, Seal, SealRun
from .mki import RtcpMarker, RtpMarker, check_length, trailers
from .packet import (
    EXTENDED,
    EXTENDED_HEADER,
    FIXED_HEADER,
    MAX_INDEX,
    MAX_RTCP_INDEX,
    MAX_SSRCS,
    MIN_RUN,
    PLAIN,
    StructError,
    header_length,
    packet_index,
    parse_rtcp,
    runs,
    unpack_rtp,
    unpack_short,
)
from .profiles import Profile, find_profile
from .session import session_ciphers

REPEAT_WINDOW: Final = 2048  # packets per SSRC that may be sent again: a second of video at 18 Mbit/s


class _Source:
    """What the sender knows of one of its SSRCs: how to seal, highest index, and the tags of the last packets."""

    __slots__ = ("highest", "seal", "seal_run", "tags")

    def __init__(self, cipher: RtpSealer, ssrc: int, highest: int) -> None:
        self.use(cipher, ssrc)
        self.highest = highest
        self.tags = [b""] * REPEAT_WINDOW  # by index modulo their number; empty: not sent

    def use(self, cipher: RtpSealer, ssrc: int) -> None:
        """Seal with this cipher."""
        self.seal: Seal = cipher.sealer(ssrc)
        # Only with GCM is there enough around the cipher that is saved by a loop of its own.
        self.seal_run: SealRun | None = cipher.run_sealer(ssrc) if isinstance(cipher, Gcm) else None

    def skip_to(self, index: int) -> None:
        """Make `index` the highest, and forget the tags in whose place those of the indices between would stand."""
        for skipped in range(max(self.highest + 1, index - REPEAT_WINDOW), index):
            self.tags[skipped % REPEAT_WINDOW] = b""
        self.highest = index

    def add(self, sealed: Iterable[bytes], tag: int) -> None:
        """Take packets behind the highest index, and remember their tags; `tag` is where these begin."""
        index, tags = self.highest, self.tags
        for packet in sealed:
            index += 1
            tags[index % REPEAT_WINDOW] = packet[tag:]
        self.highest = index


class Sender:
    """Protects the RTP and RTCP packets of one direction.

    Rollover counters start at 0 and advance when the sequence number wraps. A packet may be protected again, for a
    retransmission, as long as it is byte for byte the same: two packets under one index would share a keystream and,
    with GCM, give the authentication key away (RFC 3711 section 9.1, RFC 7714 section 8.4). The sender therefore
    remembers the tags of the last `REPEAT_WINDOW` packets of each source and refuses anything else.

    Args:
        profile_id: SRTP protection profile that DTLS negotiated, a key of `PROFILES`; or one of `ALL_PROFILES`.
        key: Master key of this direction.
        salt: Master salt of this direction.
        encrypted_extensions: Ids of the header extension elements to encrypt (RFC 6904), as negotiated; what is
            put into it later counts too. None if there never are any, which is faster.
        mki: Identifier of the master key, which each packet then carries (RFC 3711 section 3.1); empty for none.

    Raises:
        LocalError: If the profile is not implemented, key or salt have the wrong length, an id is out of range, or
            the identifier is too long.
    """

    __slots__ = ("_extensions", "_mki_length", "_rtcp", "_rtcp_indices", "_rtp", "_sources", "_tag", "profile")

    def __init__(
        self,
        profile_id: int | Profile,
        key: bytes,
        salt: bytes,
        *,
        encrypted_extensions: Collection[int] | None = None,
        mki: bytes = b"",
    ) -> None:
        self.profile = find_profile(profile_id)
        self._extensions = encrypted_extensions
        self._mki_length = len(mki)
        self._rtp, self._rtcp = self._ciphers(mki, key, salt)
        self._tag = -self._rtp.overhead
        self._sources: dict[int, _Source] = {}
        self._rtcp_indices: dict[int, int] = {}

    def _ciphers(self, mki: bytes, key: bytes, salt: bytes) -> tuple[RtpSealer, RtcpSealer]:
        rtp, rtcp = session_ciphers(self.profile, key, salt, self._extensions)
        if not mki:
            return rtp, rtcp
        check_length(mki)
        trailer, rtcp_trailer = trailers(self.profile)
        return RtpMarker(mki, rtp, trailer), RtcpMarker(mki, rtcp, rtcp_trailer)

    def change_master_key(self, mki: bytes, key: bytes, salt: bytes) -> None:
        """Protect with another master key from now on; indices and rollover counters go on (RFC 3711 section 3.2.1).

        The receiver must have been told of it: see `Receiver.add_master_key`.

        Args:
            mki: Its identifier, as long as the first one's.
            key: Master key, which must never have been used in this session.
            salt: Master salt.

        Raises:
            LocalError: If the sender was made without `mki`, the identifier has another length, or key or salt have
                the wrong length.
        """
        if not self._mki_length or len(mki) != self._mki_length:
            raise LocalError(f"the MKIs of this session have {self._mki_length} bytes, not {len(mki)}")
        self._rtp, self._rtcp = self._ciphers(mki, key, salt)
        for ssrc, source in self._sources.items():
            source.use(self._rtp, ssrc)
            source.tags = [b""] * REPEAT_WINDOW  # under the new key no index has been used

    def protect(self, packet: bytes) -> bytes:
        """Encrypt and authenticate an RTP packet (RFC 3711 section 3.3).

        Args:
            packet: One RTP packet. Padding is encrypted with the payload; header, CSRCs and extension stay readable.

        Returns:
            The SRTP packet, longer by `profile.tag_length` bytes and the MKI.

        Raises:
            DropPacket: `truncated` or `bad-version` (not an RTP packet), `reused-index` (another packet had this
                sequence number, or the retransmission comes too late), `too-many-ssrcs`, `key-exhausted`,
                `bad-extension` (an element that is longer than the extension, where some are encrypted).
        """
        try:
            first, sequence, ssrc, words = unpack_rtp(packet)
        except StructError:
            first, sequence, ssrc, words = unpack_short(packet)
        if first == PLAIN:
            header = FIXED_HEADER
        elif first == EXTENDED:
            header = EXTENDED_HEADER + (words << 2)
            if header > len(packet):
                raise DropPacket("truncated")
        else:
            header = header_length(packet, first)
        source = self._sources.get(ssrc)
        if source is None:
            return self._protect_first(packet, header, sequence, ssrc)
        index = source.highest + 1
        # The common case, the next number and no wrap, needs no guess and cannot be a repetition.
        if index & 0xFFFF != sequence or not sequence:
            return self._protect_any(source, packet, header, packet_index(sequence, source.highest))
        sealed = source.seal(packet, header, index)
        source.highest = index
        source.tags[index % REPEAT_WINDOW] = sealed[self._tag :]
        return sealed

    def protect_batch(self, packets: Sequence[bytes], dropped: Counter[str]) -> list[bytes]:
        """Do what `protect` does with each packet of a batch: faster for what is a frame of video or the like.

        Args:
            packets: RTP packets of any sources, in the order in which they are to leave.
            dropped: Where a packet that `protect` refuses is counted, by reason.

        Returns:
            The SRTP packets of the others, in the same order.
        """
        if len(packets) < MIN_RUN or not isinstance(self._rtp, Gcm):
            return self._protect_each(packets, dropped)
        out: list[bytes] = []
        for run in runs(packets, 0):
            left, ssrc, sequence, header = run
            while len(left) >= MIN_RUN:
                source = self._sources.get(ssrc)
                if source is None or source.seal_run is None or source.highest + 1 & 0xFFFF != sequence or not sequence:
                    # The first packet of a source, or behind a gap, goes alone; those behind it are the next ones.
                    out += self._protect_each(left[:1], dropped)
                    left, sequence = left[1:], sequence + 1
                    continue
                sealed = source.seal_run(left, header, source.highest + 1)
                source.add(sealed, self._tag)
                out += sealed
                left = []
            out += self._protect_each(left, dropped)
        return out

    def _protect_each(self, packets: Iterable[bytes], dropped: Counter[str]) -> list[bytes]:
        out = []
        for packet in packets:
            try:
                out.append(self.protect(packet))
            except DropPacket as drop:
                dropped[drop.reason] += 1
        return out

    def _protect_first(self, packet: bytes, header: int, sequence: int, ssrc: int) -> bytes:
        if len(self._sources) >= MAX_SSRCS:
            raise DropPacket("too-many-ssrcs")
        source = _Source(self._rtp, ssrc, sequence)
        sealed = source.seal(packet, header, sequence)
        source.tags[sequence % REPEAT_WINDOW] = sealed[self._tag :]
        self._sources[ssrc] = source
        return sealed

    def _protect_any(self, source: _Source, packet: bytes, header: int, index: int) -> bytes:
        """Protect a packet that need not be the next: behind a gap or a wrap, overtaken, or a retransmission."""
        if index > MAX_INDEX:
            raise DropPacket("key-exhausted")
        if index <= source.highest - REPEAT_WINDOW:
            raise DropPacket("reused-index")
        sealed = source.seal(packet, header, index)
        slot, tag = index % REPEAT_WINDOW, sealed[self._tag :]
        if index > source.highest:
            source.skip_to(index)
        # With one index and one key, equal tags are equal packets.
        elif source.tags[slot] and source.tags[slot] != tag:
            raise DropPacket("reused-index")
        source.tags[slot] = tag
        return sealed

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Encrypt and authenticate a compound RTCP packet (RFC 3711 section 3.4).

        Args:
            packet: One compound RTCP packet, or one of reduced size (RFC 5506).

        Returns:
            The SRTCP packet, longer by `profile.rtcp_tag_length + 4` bytes and the MKI.

        Raises:
            DropPacket: `truncated` or `bad-version` (not an RTCP packet), `too-many-ssrcs`, `key-exhausted`.
        """
        ssrc = parse_rtcp(packet)
        index = self._rtcp_indices.get(ssrc, 0)
        if index == 0 and len(self._rtcp_indices) >= MAX_SSRCS:
            raise DropPacket("too-many-ssrcs")
        if index > MAX_RTCP_INDEX:
            raise DropPacket("key-exhausted")
        self._rtcp_indices[ssrc] = index + 1
        return self._rtcp.seal_rtcp(packet, ssrc, index)
