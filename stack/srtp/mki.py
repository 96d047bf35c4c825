"""Several master keys, told apart by the master key identifier in each packet (RFC 3711 section 3.1).

The identifier stands before the tag of RFC 3711. With GCM, whose tag counts as ciphertext, it is the last field
(RFC 7714 sections 8.2 and 9.2): the trailer behind it is 0 bytes long.
"""

from typing import Final, Generic, TypeVar

from ..core import DropPacket, LocalError
from .ciphers import Open, RtcpOpener, RtcpSealer, RtpOpener, RtpSealer, Seal
from .profiles import Profile

MAX_MKI: Final = 128  # bytes: as libsrtp; RFC 5764 section 4.1.1 would allow 255, a few are enough
MAX_MASTER_KEYS: Final = 16  # of one direction: the last, the current and the next one are what rekeying needs

C = TypeVar("C", bound=RtpOpener | RtcpOpener)


def check_length(mki: bytes) -> None:
    """Check an identifier.

    Raises:
        LocalError: If it is empty or longer than `MAX_MKI`.
    """
    if not 1 <= len(mki) <= MAX_MKI:
        raise LocalError(f"an MKI has 1..{MAX_MKI} bytes, not {len(mki)}")


def trailers(profile: Profile) -> tuple[int, int]:
    """Return how many bytes stand behind the identifier, in SRTP and in SRTCP."""
    return (0, 0) if profile.aead else (profile.tag_length, profile.rtcp_tag_length)


class RtpMarker:
    """Seals RTP packets and writes the identifier of the key into them.

    Args:
        mki: The identifier.
        cipher: What seals.
        trailer: Bytes of the tag behind the identifier; see `trailers`.
    """

    __slots__ = ("_cipher", "_mki", "_trailer", "overhead")

    def __init__(self, mki: bytes, cipher: RtpSealer, trailer: int) -> None:
        self._mki = mki
        self._cipher = cipher
        self._trailer = trailer
        self.overhead = cipher.overhead + len(mki)

    def sealer(self, ssrc: int) -> Seal:
        """Return the function that protects RTP packets; see `RtpSealer.sealer`."""
        seal = self._cipher.sealer(ssrc)

        def seal_and_mark(packet: bytes, header: int, index: int) -> bytes:
            return _mark(seal(packet, header, index), self._mki, self._trailer)

        return seal_and_mark


class RtcpMarker:
    """The same for RTCP; the arguments are those of `RtpMarker`."""

    __slots__ = ("_cipher", "_mki", "_trailer")

    def __init__(self, mki: bytes, cipher: RtcpSealer, trailer: int) -> None:
        self._mki = mki
        self._cipher = cipher
        self._trailer = trailer

    def seal_rtcp(self, packet: bytes, ssrc: int, index: int) -> bytes:
        """Protect an RTCP packet; see `RtcpSealer.seal_rtcp`."""
        return _mark(self._cipher.seal_rtcp(packet, ssrc, index), self._mki, self._trailer)


def _mark(sealed: bytes, mki: bytes, trailer: int) -> bytes:
    end = len(sealed) - trailer
    return b"".join((sealed[:end], mki, sealed[end:]))


class _KeyTable(Generic[C]):
    """A cipher that looks up the cipher to use, and takes the identifier out of the packet.

    The identifier is not authenticated: a wrong one leads to a wrong key or to none. Indices and replay windows
    belong to the source and not to the key, so that they outlive a change of keys (RFC 3711 section 3.2.1).

    Args:
        mki: Identifier of the first key, 1 to `MAX_MKI` bytes; those of all further keys are as long.
        cipher: C of the first key.
        trailer: Bytes of the tag behind the identifier; see `trailers`.

    Raises:
        LocalError: If the identifier is too long.
    """

    __slots__ = ("_ciphers", "_layout", "_length", "_trailer", "overhead")

    def __init__(self, mki: bytes, cipher: C, trailer: int) -> None:
        check_length(mki)
        self._length = len(mki)
        self._trailer = trailer
        self._layout = cipher
        self._ciphers = {mki: cipher}
        self.overhead = cipher.overhead + len(mki)

    def add(self, mki: bytes, cipher: C) -> None:
        """Add a key.

        Raises:
            LocalError: If the identifier is in use or of another length, or there are `MAX_MASTER_KEYS` keys.
        """
        if len(mki) != self._length:
            raise LocalError(f"the MKIs of this session have {self._length} bytes, not {len(mki)}")
        if mki in self._ciphers:
            raise LocalError(f"MKI {mki.hex()} is in use")
        if len(self._ciphers) >= MAX_MASTER_KEYS:
            raise LocalError(f"at most {MAX_MASTER_KEYS} master keys; remove one first")
        self._ciphers[mki] = cipher

    def remove(self, mki: bytes) -> None:
        """Forget a key.

        Raises:
            LocalError: If there is none of that identifier.
        """
        if self._ciphers.pop(mki, None) is None:
            raise LocalError(f"no master key with MKI {mki.hex()}")

    def _find(self, packet: bytes) -> C:
        end = len(packet) - self._trailer
        cipher = self._ciphers.get(packet[end - self._length : end])
        if cipher is None:
            raise DropPacket("unknown-mki")
        return cipher

    def _without_mki(self, packet: bytes) -> bytes:
        end = len(packet) - self._trailer
        return packet[: end - self._length] + packet[end:]


class RtpKeyTable(_KeyTable[RtpOpener]):
    """The keys of RTP."""

    __slots__ = ()

    def opener(self, ssrc: int) -> Open:
        """Return the function that opens RTP packets; see `RtpOpener.opener`. It also drops for `unknown-mki`."""

        def open_(packet: bytes, header: int, index: int) -> bytes:
            return self._find(packet).opener(ssrc)(self._without_mki(packet), header, index)

        return open_


class RtcpKeyTable(_KeyTable[RtcpOpener]):
    """The keys of RTCP."""

    __slots__ = ()

    def open_rtcp(self, packet: bytes, ssrc: int, word: int) -> bytes:
        """Open an RTCP packet; see `RtcpOpener.open_rtcp`. It also drops for `unknown-mki`."""
        return self._find(packet).open_rtcp(self._without_mki(packet), ssrc, word)

    def index_word(self, packet: bytes) -> bytes:
        """Return the four bytes with E flag and SRTCP index, which stand where any key has them."""
        return self._layout.index_word(self._without_mki(packet))
