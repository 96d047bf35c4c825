"""Key derivation and the two ciphers, each bound to the session keys of one direction and one protocol.

Both have the same methods, so that `Sender` and `Receiver` do not know which one they hold. A packet's IV is the salt
mixed with SSRC and index; the SSRC's part is the same for every packet of a source, so there is one function for each
source, which has it at hand with all else that does not change: here nanoseconds count, a packet takes about 1500.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from ..core import DropPacket
from ..core.crypto import AesCtr, HmacKey, InvalidTag, aes_gcm, constant_time_equal

RTCP_HEADER: Final = 8  # the part of an SRTCP packet that is never encrypted: RFC 3711 section 3.4
INDEX_WORD: Final = 4  # E flag and 31-bit SRTCP index
ENCRYPTED: Final = 0x80000000  # the E flag


Seal = Callable[[bytes, int, int], bytes]
Open = Callable[[bytes, int, int], bytes]
SealRun = Callable[[Sequence[bytes], int, int], list[bytes]]
OpenRun = Callable[[Sequence[bytes], int, int], list[bytes]]


class RtpOpener(Protocol):
    """What `Receiver` needs for RTP.

    Attributes:
        overhead: Bytes by which protecting makes a packet longer.
    """

    overhead: int

    def opener(self, ssrc: int) -> Open:
        """Return the function that undoes what `RtpSealer.sealer`'s did, for packets of `header + overhead` bytes on.

        It takes what that takes and raises DropPacket, `bad-tag`.
        """
        ...


class RtpSealer(Protocol):
    """What `Sender` needs for RTP.

    Attributes:
        overhead: Bytes by which protecting makes a packet longer.
    """

    overhead: int

    def sealer(self, ssrc: int) -> Seal:
        """Return the function that protects RTP packets of `ssrc`.

        It takes the packet, the length of its header with CSRCs and extension, which stay readable, and the 48-bit
        index: rollover counter and sequence number.
        """
        ...


class RtpCipher(RtpOpener, RtpSealer, Protocol):
    """Both directions of RTP."""


class RtcpOpener(Protocol):
    """What `Receiver` needs for RTCP.

    Attributes:
        overhead: Bytes by which protecting makes a packet longer, the SRTCP index word included.
    """

    overhead: int

    def open_rtcp(self, packet: bytes, ssrc: int, word: int) -> bytes:
        """Undo `seal_rtcp`; `packet` holds at least `RTCP_HEADER + overhead` bytes, `word` is E flag and index.

        Raises:
            DropPacket: `bad-tag`.
        """
        ...

    def index_word(self, packet: bytes) -> bytes:
        """Return the four bytes with E flag and SRTCP index."""
        ...


class RtcpSealer(Protocol):
    """What `Sender` needs for RTCP."""

    def seal_rtcp(self, packet: bytes, ssrc: int, index: int) -> bytes:
        """Protect a compound RTCP packet under its 31-bit SRTCP index."""
        ...


class RtcpCipher(RtcpOpener, RtcpSealer, Protocol):
    """Both directions of RTCP."""


def derive(key: bytes, salt: bytes, label: int, length: int) -> bytes:
    """Derive a session key from a master key, with a key derivation rate of zero (RFC 3711 section 4.3.3).

    Args:
        key: Master key. A 32-byte key selects AES_256_CM_PRF (RFC 6188 section 3), as RFC 7714 section 11 wants.
        salt: Master salt; one shorter than 14 bytes is padded on the right (RFC 7714 section 11).
        label: What the session key is for.
        length: Bytes wanted.
    """
    x = int.from_bytes(salt.ljust(14, b"\0"), "big") ^ label << 48
    return AesCtr(key).process((x << 16).to_bytes(16, "big"), bytes(length))


class CounterMode:
    """AES in counter mode and a truncated HMAC-SHA1 (RFC 3711 sections 4.1.1 and 4.2.1).

    Args:
        key: Session encryption key.
        salt: Session salt, 14 bytes.
        authentication_key: Session authentication key.
        tag_length: Bytes of the tag.
    """

    __slots__ = ("_begin_mac", "_reset", "_salt", "_tag", "_update", "overhead")

    def __init__(self, key: bytes, salt: bytes, authentication_key: bytes, tag_length: int, overhead: int) -> None:
        cipher = AesCtr(key)
        # Their parts and no helper of ours: a call costs as much as a tenth of the encryption of a packet.
        self._reset = cipher.reset
        self._update = cipher.update
        self._begin_mac = HmacKey(authentication_key, "sha1").begin
        self._salt = int.from_bytes(salt, "big") << 16
        self._tag = tag_length
        self.overhead = overhead

    def iv_base(self, ssrc: int) -> int:
        """Return `(k_s * 2^16) XOR (SSRC * 2^64)` (RFC 3711 section 4.1.1)."""
        return self._salt ^ ssrc << 64

    def sealer(self, ssrc: int) -> Seal:
        """Return the function that protects RTP packets; see `RtpSealer.sealer`."""
        base, reset, update, begin_mac, tag = self.iv_base(ssrc), self._reset, self._update, self._begin_mac, self._tag

        cycle, rollover = 0, bytes(4)  # the last rollover counter as it is authenticated

        def seal(packet: bytes, header: int, index: int) -> bytes:
            nonlocal cycle, rollover
            if index >> 16 != cycle:
                cycle = index >> 16
                rollover = cycle.to_bytes(4, "big")
            reset((base ^ index << 16).to_bytes(16, "big"))
            sealed = packet[:header] + update(packet[header:])
            mac = begin_mac()
            mac.update(sealed)
            mac.update(rollover)
            return sealed + mac.finalize()[:tag]

        return seal

    def opener(self, ssrc: int) -> Open:
        """Return the function that undoes `sealer`'s; see `RtpOpener.opener`."""
        base, reset, update, begin_mac, tag = self.iv_base(ssrc), self._reset, self._update, self._begin_mac, self._tag

        cycle, rollover = 0, bytes(4)  # the last rollover counter as it is authenticated

        def open_(packet: bytes, header: int, index: int) -> bytes:
            nonlocal cycle, rollover
            if index >> 16 != cycle:
                cycle = index >> 16
                rollover = cycle.to_bytes(4, "big")
            end = len(packet) - tag
            mac = begin_mac()
            mac.update(packet[:end])
            mac.update(rollover)
            if not constant_time_equal(mac.finalize()[:tag], packet[end:]):
                raise DropPacket("bad-tag")
            reset((base ^ index << 16).to_bytes(16, "big"))
            return packet[:header] + update(packet[header:end])

        return open_

    def seal_rtcp(self, packet: bytes, ssrc: int, index: int) -> bytes:
        """Protect an RTCP packet; see `RtcpSealer.seal_rtcp`."""
        self._reset((self.iv_base(ssrc) ^ index << 16).to_bytes(16, "big"))
        word = (ENCRYPTED | index).to_bytes(4, "big")
        sealed = b"".join((packet[:RTCP_HEADER], self._update(packet[RTCP_HEADER:]), word))
        return sealed + self._mac_of(sealed)

    def open_rtcp(self, packet: bytes, ssrc: int, word: int) -> bytes:
        """Undo `seal_rtcp`; see `RtcpOpener.open_rtcp`."""
        end = len(packet) - self._tag
        if not constant_time_equal(self._mac_of(packet[:end]), packet[end:]):
            raise DropPacket("bad-tag")
        plain = packet[: end - INDEX_WORD]
        if not word & ENCRYPTED:
            return plain
        self._reset((self.iv_base(ssrc) ^ (word & ~ENCRYPTED) << 16).to_bytes(16, "big"))
        return plain[:RTCP_HEADER] + self._update(plain[RTCP_HEADER:])

    def _mac_of(self, data: bytes) -> bytes:
        mac = self._begin_mac()
        mac.update(data)
        return mac.finalize()[: self._tag]

    def index_word(self, packet: bytes) -> bytes:
        """Return the four bytes before the tag."""
        return packet[-self._tag - INDEX_WORD : -self._tag]


class Gcm:
    """AES in Galois/counter mode (RFC 7714 sections 8 and 9), with the full tag of 16 bytes.

    Args:
        key: Session encryption key.
        salt: Session salt, 12 bytes.
    """

    __slots__ = ("_decrypt", "_encrypt", "_salt", "overhead")

    def __init__(self, key: bytes, salt: bytes, overhead: int) -> None:
        aead = aes_gcm(key)
        self._encrypt = aead.encrypt
        self._decrypt = aead.decrypt
        self._salt = int.from_bytes(salt, "big")
        self.overhead = overhead

    def iv_base(self, ssrc: int) -> int:
        """Return the salt XOR the SSRC in its place (RFC 7714 section 8.1; section 9.1 is the same layout)."""
        return self._salt ^ ssrc << 48

    def sealer(self, ssrc: int) -> Seal:
        """Return the function that protects RTP packets; see `RtpSealer.sealer`."""
        base, encrypt = self.iv_base(ssrc), self._encrypt

        def seal(packet: bytes, header: int, index: int) -> bytes:
            associated = packet[:header]
            return associated + encrypt((base ^ index).to_bytes(12, "big"), packet[header:], associated)

        return seal

    def run_sealer(self, ssrc: int) -> SealRun:
        """Return the function that protects the packets of a `packet.Run`.

        It takes the packets, the length of their headers, and the index of the first one.
        """
        base, encrypt = self.iv_base(ssrc), self._encrypt

        def seal_run(packets: Sequence[bytes], header: int, index: int) -> list[bytes]:
            sealed: list[bytes] = []
            append = sealed.append
            for number, packet in enumerate(packets, index):
                associated = packet[:header]
                append(associated + encrypt((base ^ number).to_bytes(12, "big"), packet[header:], associated))
            return sealed

        return seal_run

    def run_opener(self, ssrc: int) -> OpenRun:
        """Return the function that undoes `run_sealer`'s, up to the first packet that is not authentic."""
        base, decrypt = self.iv_base(ssrc), self._decrypt

        def open_run(packets: Sequence[bytes], header: int, index: int) -> list[bytes]:
            plain: list[bytes] = []
            append = plain.append
            with contextlib.suppress(InvalidTag):
                for number, packet in enumerate(packets, index):
                    associated = packet[:header]
                    append(associated + decrypt((base ^ number).to_bytes(12, "big"), packet[header:], associated))
            return plain

        return open_run

    def opener(self, ssrc: int) -> Open:
        """Return the function that undoes `sealer`'s; see `RtpOpener.opener`."""
        base, decrypt = self.iv_base(ssrc), self._decrypt

        def open_(packet: bytes, header: int, index: int) -> bytes:
            associated = packet[:header]
            try:
                return associated + decrypt((base ^ index).to_bytes(12, "big"), packet[header:], associated)
            except InvalidTag:
                raise DropPacket("bad-tag") from None

        return open_

    def seal_rtcp(self, packet: bytes, ssrc: int, index: int) -> bytes:
        """Protect an RTCP packet; see `RtcpSealer.seal_rtcp`. The index word stands behind the tag."""
        header, word = packet[:RTCP_HEADER], (ENCRYPTED | index).to_bytes(4, "big")
        payload = self._encrypt((self.iv_base(ssrc) ^ index).to_bytes(12, "big"), packet[RTCP_HEADER:], header + word)
        return b"".join((header, payload, word))

    def open_rtcp(self, packet: bytes, ssrc: int, word: int) -> bytes:
        """Undo `seal_rtcp`; see `RtcpOpener.open_rtcp`."""
        # Without the E flag nothing is encrypted: all is associated data (RFC 7714 section 9.3).
        clear = RTCP_HEADER if word & ENCRYPTED else len(packet) - self.overhead
        iv = (self.iv_base(ssrc) ^ word & ~ENCRYPTED).to_bytes(12, "big")
        header = packet[:clear]
        try:
            return header + self._decrypt(iv, packet[clear:-INDEX_WORD], header + packet[-INDEX_WORD:])
        except InvalidTag:
            raise DropPacket("bad-tag") from None

    def index_word(self, packet: bytes) -> bytes:
        """Return the last four bytes."""
        return packet[-INDEX_WORD:]
