"""The receiving direction of an SRTP session."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Final

from ..core import DropPacket, LocalError
from .ciphers import ENCRYPTED, RTCP_HEADER, Gcm, Open, OpenRun, RtcpOpener, RtpOpener
from .mki import RtcpKeyTable, RtpKeyTable, trailers
from .packet import (
    EXTENDED,
    EXTENDED_HEADER,
    FIXED_HEADER,
    MAX_INDEX,
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

REPLAY_WINDOW: Final = 1024  # packets per SSRC: a burst of video with its retransmissions is longer than RFC 3711's 64
MIN_REPLAY_WINDOW: Final = 128  # RFC 3711 section 3.3.2 wants 64; libsrtp has 128, which reordering of video needs
MAX_REPLAY_WINDOW: Final = 0x8000  # beyond half the sequence number space an old packet is taken for a new one


class _Seen:
    """What came from one SSRC: the highest index, and those of the window behind it."""

    __slots__ = ("highest", "indices")

    def __init__(self, index: int, window: int) -> None:
        self.highest = index
        self.indices = [-1] * window
        self.indices[index % window] = index


class _Source(_Seen):
    """The same for RTP, with the functions that open the packets of this SSRC."""

    __slots__ = ("open", "open_run")

    def __init__(self, open_: Open, open_run: OpenRun | None, index: int, window: int) -> None:
        super().__init__(index, window)
        self.open = open_
        self.open_run = open_run

    def add(self, count: int) -> None:
        """Note that the `count` packets behind the highest index came."""
        indices, window, end = self.indices, len(self.indices), self.highest + count + 1
        for index in range(end - count, end):
            indices[index % window] = index
        self.highest = end - 1


class Receiver:
    """Checks and decrypts the SRTP and SRTCP packets of one direction.

    Nothing that an unauthenticated packet says is remembered: a source is created, and its window moved, only behind
    a valid tag. Up to `MAX_SSRCS` sources are followed in RTP and as many in RTCP.

    Args:
        profile_id: SRTP protection profile that DTLS negotiated, a key of `PROFILES`; or one of `ALL_PROFILES`.
        key: Master key of this direction.
        salt: Master salt of this direction.
        replay_window: Packets behind the newest one that are still accepted, 128 to 32768, per SSRC.
        encrypted_extensions: Ids of the header extension elements that are encrypted (RFC 6904), as negotiated; what
            is put into it later counts too. None if there never are any, which is faster.
        mki: Master key identifier of this key, if the packets carry one; `add_master_key` adds further keys.

    Raises:
        LocalError: If the profile is not implemented, key, salt, window or mki have the wrong size, or an id is out
            of range.
    """

    __slots__ = (
        "_extensions",
        "_overhead",
        "_rtcp",
        "_rtcp_sources",
        "_rtp",
        "_sources",
        "_tables",
        "_window",
        "profile",
    )

    def __init__(
        self,
        profile_id: int | Profile,
        key: bytes,
        salt: bytes,
        *,
        replay_window: int = REPLAY_WINDOW,
        encrypted_extensions: Collection[int] | None = None,
        mki: bytes = b"",
    ) -> None:
        if not MIN_REPLAY_WINDOW <= replay_window <= MAX_REPLAY_WINDOW:
            raise LocalError(f"replay_window must be {MIN_REPLAY_WINDOW}..{MAX_REPLAY_WINDOW}, not {replay_window}")
        self.profile = profile = find_profile(profile_id)
        self._extensions = encrypted_extensions
        rtp, rtcp = session_ciphers(profile, key, salt, self._extensions)
        self._rtp: RtpOpener = rtp
        self._rtcp: RtcpOpener = rtcp
        self._tables: tuple[RtpKeyTable, RtcpKeyTable] | None = None
        if mki:
            trailer, rtcp_trailer = trailers(profile)
            tables = RtpKeyTable(mki, rtp, trailer), RtcpKeyTable(mki, rtcp, rtcp_trailer)
            self._rtp, self._rtcp = self._tables = tables
        self._overhead = self._rtp.overhead
        self._window = replay_window
        self._sources: dict[int, _Source] = {}
        self._rtcp_sources: dict[int, _Seen] = {}

    def add_master_key(self, mki: bytes, key: bytes, salt: bytes) -> None:
        """Accept packets under a further master key; indices and replay windows go on (RFC 3711 section 3.2.1).

        Args:
            mki: Its identifier, as long as the first one's.
            key: Master key.
            salt: Master salt.

        Raises:
            LocalError: If the receiver was made without `mki`, the identifier is in use or of another length, key or
                salt have the wrong length, or there are `mki.MAX_MASTER_KEYS` keys.
        """
        rtp_table, rtcp_table = self._key_tables()
        rtp, rtcp = session_ciphers(self.profile, key, salt, self._extensions)
        rtp_table.add(mki, rtp)
        rtcp_table.add(mki, rtcp)

    def remove_master_key(self, mki: bytes) -> None:
        """Accept no more packets under a master key.

        Raises:
            LocalError: If there is none of that identifier.
        """
        for table in self._key_tables():
            table.remove(mki)

    def _key_tables(self) -> tuple[RtpKeyTable, RtcpKeyTable]:
        if self._tables is None:
            raise LocalError("this receiver was made without an MKI")
        return self._tables

    def unprotect(self, packet: bytes) -> bytes:
        """Check and decrypt an SRTP packet (RFC 3711 section 3.3).

        Args:
            packet: One SRTP packet; any bytes.

        Returns:
            The RTP packet.

        Raises:
            DropPacket: `truncated`, `bad-version`, `replayed` (a second time, or older than the window), `bad-tag`,
                `too-many-ssrcs`, `key-exhausted`, `unknown-mki`, `bad-extension` (authentic, but with an element
                longer than the extension, where some are encrypted).
        """
        try:
            first, sequence, ssrc, words = unpack_rtp(packet)
        except StructError:
            first, sequence, ssrc, words = unpack_short(packet)
        if first == PLAIN:
            header = FIXED_HEADER
        elif first == EXTENDED:
            header = EXTENDED_HEADER + (words << 2)
        else:
            header = header_length(packet, first)
        if header + self._overhead > len(packet):
            raise DropPacket("truncated")
        source = self._sources.get(ssrc)
        if source is None:
            return self._unprotect_first(packet, header, sequence, ssrc)
        highest, window = source.highest, self._window
        index = highest + 1
        # The common case, the next number and no wrap, needs neither the guess nor a look at the window.
        if index & 0xFFFF != sequence or not sequence:
            index = packet_index(sequence, highest)
            if index <= highest and (index <= highest - window or source.indices[index % window] == index):
                raise DropPacket("replayed")
            if index > MAX_INDEX:
                raise DropPacket("key-exhausted")
        plain = source.open(packet, header, index)
        source.indices[index % window] = index
        if index > highest:
            source.highest = index
        return plain

    def unprotect_batch(self, packets: Sequence[bytes], dropped: Counter[str]) -> list[bytes]:
        """Do what `unprotect` does with each packet of a batch: faster where many of one source came at once.

        Args:
            packets: SRTP packets in the order in which they came; any bytes.
            dropped: Where a packet that `unprotect` drops is counted, by reason.

        Returns:
            The RTP packets of the others, in the same order.
        """
        if len(packets) < MIN_RUN or not isinstance(self._rtp, Gcm):
            return self._unprotect_each(packets, dropped)
        out: list[bytes] = []
        for run in runs(packets, self._overhead):
            left, ssrc, sequence, header = run
            while len(left) >= MIN_RUN:
                source = self._sources.get(ssrc)
                if source is None or source.open_run is None or source.highest + 1 & 0xFFFF != sequence or not sequence:
                    out += self._unprotect_each(left[:1], dropped)
                    left, sequence = left[1:], sequence + 1
                    continue
                plain = source.open_run(left, header, source.highest + 1)
                source.add(len(plain))
                out += plain
                if len(plain) < len(left):
                    dropped["bad-tag"] += 1  # what it stopped at
                left, sequence = left[len(plain) + 1 :], sequence + len(plain) + 1
            out += self._unprotect_each(left, dropped)
        return out

    def _unprotect_each(self, packets: Iterable[bytes], dropped: Counter[str]) -> list[bytes]:
        out = []
        for packet in packets:
            try:
                out.append(self.unprotect(packet))
            except DropPacket as drop:
                dropped[drop.reason] += 1
        return out

    def _unprotect_first(self, packet: bytes, header: int, sequence: int, ssrc: int) -> bytes:
        """Unprotect a packet of a source not heard of, and remember the source if it is authentic."""
        open_ = self._rtp.opener(ssrc)
        # The rollover counter of a new source is 0: both ends begin with the DTLS handshake.
        plain = open_(packet, header, sequence)
        if len(self._sources) >= MAX_SSRCS:
            raise DropPacket("too-many-ssrcs")
        # Only with GCM is there enough around the cipher that is saved by a loop of its own.
        open_run = self._rtp.run_opener(ssrc) if isinstance(self._rtp, Gcm) else None
        self._sources[ssrc] = _Source(open_, open_run, sequence, self._window)
        return plain

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Check and decrypt an SRTCP packet (RFC 3711 section 3.4); one without the E flag is only checked.

        Args:
            packet: One SRTCP packet; any bytes.

        Returns:
            The compound RTCP packet.

        Raises:
            DropPacket: `truncated`, `bad-version`, `replayed`, `bad-tag`, `too-many-ssrcs`,
                `unknown-mki`.
        """
        ssrc = parse_rtcp(packet)
        cipher = self._rtcp
        if RTCP_HEADER + cipher.overhead > len(packet):
            raise DropPacket("truncated")
        word = int.from_bytes(cipher.index_word(packet), "big")
        index = word & ~ENCRYPTED
        window = self._window
        seen = self._rtcp_sources.get(ssrc)
        if seen is not None and (index <= seen.highest - window or seen.indices[index % window] == index):
            raise DropPacket("replayed")
        plain = cipher.open_rtcp(packet, ssrc, word)
        if seen is None:
            if len(self._rtcp_sources) >= MAX_SSRCS:
                raise DropPacket("too-many-ssrcs")
            seen = self._rtcp_sources[ssrc] = _Seen(index, window)
        seen.indices[index % window] = index
        seen.highest = max(seen.highest, index)
        return plain
