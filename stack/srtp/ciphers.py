"""Key derivation and the two ciphers, each bound to the session keys of one direction and one protocol.

Both have the same four methods, so that `Sender` and `Receiver` do not know which one they hold. A packet's IV is
the salt mixed with SSRC and index; the SSRC's part is the same for every packet of a source, so callers keep it as
an integer, `iv_base(ssrc)`, and it takes one XOR per packet.
"""

from typing import Final, Protocol

from ..core import DropPacket, LocalError
from ..core.crypto import AesCtr, HmacKey, InvalidTag, aes_gcm, constant_time_equal
from .profiles import Profile

RTP_LABEL: Final = 0  # RFC 3711 section 4.3.1: encryption 0, authentication 1, salt 2
RTCP_LABEL: Final = 3  # RFC 3711 section 4.3.2: encryption 3, authentication 4, salt 5
AUTHENTICATION_KEY_LENGTH: Final = 20  # n_a of HMAC-SHA1, bytes: RFC 3711 section 5.2
RTCP_HEADER: Final = 8  # the part of an SRTCP packet that is never encrypted: RFC 3711 section 3.4
INDEX_WORD: Final = 4  # E flag and 31-bit SRTCP index
ENCRYPTED: Final = 0x80000000  # the E flag


class Cipher(Protocol):
    """What `Sender` and `Receiver` need of a cipher.

    Attributes:
        overhead: Bytes by which protecting makes a packet longer, the SRTCP index word included where there is one.
    """

    overhead: int

    def iv_base(self, ssrc: int) -> int:
        """Return the part of the IV that is the same for all packets of `ssrc`."""
        ...

    def seal(self, packet: bytes, header: int, base: int, index: int) -> bytes:
        """Protect an RTP packet.

        Args:
            packet: The RTP packet.
            header: Bytes of its header, CSRCs and extension included; they stay readable.
            base: `iv_base` of its SSRC.
            index: Its 48-bit index: rollover counter and sequence number.
        """
        ...

    def open(self, packet: bytes, header: int, base: int, index: int) -> bytes:
        """Undo `seal`; `packet` holds at least `header + overhead` bytes.

        Raises:
            DropPacket: `bad-tag`.
        """
        ...

    def seal_rtcp(self, packet: bytes, base: int, index: int) -> bytes:
        """Protect a compound RTCP packet under its 31-bit SRTCP index."""
        ...

    def open_rtcp(self, packet: bytes, base: int, word: int) -> bytes:
        """Undo `seal_rtcp`; `packet` holds at least `RTCP_HEADER + overhead` bytes, `word` is E flag and index.

        Raises:
            DropPacket: `bad-tag`.
        """
        ...

    def index_word(self, packet: bytes) -> bytes:
        """Return the four bytes with E flag and SRTCP index."""
        ...


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

    __slots__ = ("_digest", "_process", "_salt", "_tag", "overhead")

    def __init__(self, key: bytes, salt: bytes, authentication_key: bytes, tag_length: int, overhead: int) -> None:
        self._process = AesCtr(key).process
        self._digest = HmacKey(authentication_key, "sha1").digest
        self._salt = int.from_bytes(salt, "big") << 16
        self._tag = tag_length
        self.overhead = overhead

    def iv_base(self, ssrc: int) -> int:
        """Return `(k_s * 2^16) XOR (SSRC * 2^64)` (RFC 3711 section 4.1.1)."""
        return self._salt ^ ssrc << 64

    def seal(self, packet: bytes, header: int, base: int, index: int) -> bytes:
        """Protect an RTP packet; see `Cipher.seal`."""
        iv = (base ^ index << 16).to_bytes(16, "big")
        sealed = packet[:header] + self._process(iv, packet[header:])
        return sealed + self._digest(sealed + (index >> 16).to_bytes(4, "big"))[: self._tag]

    def open(self, packet: bytes, header: int, base: int, index: int) -> bytes:
        """Undo `seal`; see `Cipher.open`."""
        tag = -self._tag
        sealed = packet[:tag]
        if not constant_time_equal(self._digest(sealed + (index >> 16).to_bytes(4, "big"))[: self._tag], packet[tag:]):
            raise DropPacket("bad-tag")
        return packet[:header] + self._process((base ^ index << 16).to_bytes(16, "big"), sealed[header:])

    def seal_rtcp(self, packet: bytes, base: int, index: int) -> bytes:
        """Protect an RTCP packet; see `Cipher.seal_rtcp`."""
        payload = self._process((base ^ index << 16).to_bytes(16, "big"), packet[RTCP_HEADER:])
        sealed = b"".join((packet[:RTCP_HEADER], payload, (ENCRYPTED | index).to_bytes(4, "big")))
        return sealed + self._digest(sealed)[: self._tag]

    def open_rtcp(self, packet: bytes, base: int, word: int) -> bytes:
        """Undo `seal_rtcp`; see `Cipher.open_rtcp`."""
        tag = -self._tag
        if not constant_time_equal(self._digest(packet[:tag])[: self._tag], packet[tag:]):
            raise DropPacket("bad-tag")
        plain = packet[: tag - INDEX_WORD]
        if not word & ENCRYPTED:
            return plain
        index = word ^ ENCRYPTED
        payload = self._process((base ^ index << 16).to_bytes(16, "big"), plain[RTCP_HEADER:])
        return plain[:RTCP_HEADER] + payload

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

    def seal(self, packet: bytes, header: int, base: int, index: int) -> bytes:
        """Protect an RTP packet; see `Cipher.seal`."""
        associated = packet[:header]
        return associated + self._encrypt((base ^ index).to_bytes(12, "big"), packet[header:], associated)

    def open(self, packet: bytes, header: int, base: int, index: int) -> bytes:
        """Undo `seal`; see `Cipher.open`."""
        associated = packet[:header]
        try:
            return associated + self._decrypt((base ^ index).to_bytes(12, "big"), packet[header:], associated)
        except InvalidTag:
            raise DropPacket("bad-tag") from None

    def seal_rtcp(self, packet: bytes, base: int, index: int) -> bytes:
        """Protect an RTCP packet; see `Cipher.seal_rtcp`. The index word stands behind the tag."""
        header, word = packet[:RTCP_HEADER], (ENCRYPTED | index).to_bytes(4, "big")
        payload = self._encrypt((base ^ index).to_bytes(12, "big"), packet[RTCP_HEADER:], header + word)
        return b"".join((header, payload, word))

    def open_rtcp(self, packet: bytes, base: int, word: int) -> bytes:
        """Undo `seal_rtcp`; see `Cipher.open_rtcp`."""
        # Without the E flag nothing is encrypted: all is associated data (RFC 7714 section 9.3).
        clear = RTCP_HEADER if word & ENCRYPTED else len(packet) - self.overhead
        iv = (base ^ word & ~ENCRYPTED).to_bytes(12, "big")
        header = packet[:clear]
        try:
            return header + self._decrypt(iv, packet[clear:-INDEX_WORD], header + packet[-INDEX_WORD:])
        except InvalidTag:
            raise DropPacket("bad-tag") from None

    def index_word(self, packet: bytes) -> bytes:
        """Return the last four bytes."""
        return packet[-INDEX_WORD:]


def session_ciphers(profile: Profile, key: bytes, salt: bytes) -> tuple[Cipher, Cipher]:
    """Derive the session keys of one direction.

    Returns:
        The cipher for RTP and the one for RTCP.

    Raises:
        LocalError: If key or salt do not have the profile's lengths.
    """
    if len(key) != profile.key_length or len(salt) != profile.salt_length:
        raise LocalError(
            f"{profile.name} takes a key of {profile.key_length} bytes and a salt of {profile.salt_length}"
        )
    return (
        _session_cipher(profile, key, salt, RTP_LABEL, profile.tag_length, profile.tag_length),
        _session_cipher(profile, key, salt, RTCP_LABEL, profile.rtcp_tag_length, profile.rtcp_tag_length + INDEX_WORD),
    )


def _session_cipher(profile: Profile, key: bytes, salt: bytes, label: int, tag: int, overhead: int) -> Cipher:
    session_key = derive(key, salt, label, profile.key_length)
    session_salt = derive(key, salt, label + 2, profile.salt_length)
    if profile.aead:
        return Gcm(session_key, session_salt, overhead)
    authentication_key = derive(key, salt, label + 1, AUTHENTICATION_KEY_LENGTH)
    return CounterMode(session_key, session_salt, authentication_key, tag, overhead)
