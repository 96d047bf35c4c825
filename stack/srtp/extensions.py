"""Encrypted header extensions (RFC 6904), around the cipher of the payload."""

import struct
from collections.abc import Collection
from typing import Final

from ..core import DropPacket, LocalError
from ..core.crypto import AesCtr
from .ciphers import Open, RtpCipher, Seal

EXTENSION_LABEL: Final = 6  # RFC 6904 section 3: encryption 6, salt 7
SALT_LENGTH: Final = 14  # bytes: AES-CM takes 112 bits (RFC 6188 section 2)
ONE_BYTE: Final = 0xBEDE  # RFC 8285 section 4.2
TWO_BYTE: Final = 0x100  # the upper 12 bits: RFC 8285 section 4.3

_U16_PAIR = struct.Struct("!HH").unpack_from


class ExtensionCipher:
    """Encrypts some header extension elements, before the cipher inside authenticates them.

    What is encrypted is the data of the elements with the ids given, in extensions of RFC 8285's two forms; ids,
    lengths, padding and extensions of other forms stay as they are, and so the receiver finds the same elements.

    Args:
        cipher: Cipher of the payload.
        key: Session key for header extensions.
        salt: Session salt for header extensions, `SALT_LENGTH` bytes.
        ids: Ids of the elements to encrypt, 1 to 255. Looked at for each packet: what is put in later counts.

    Raises:
        LocalError: If an id is out of range.
    """

    __slots__ = ("_cipher", "_ids", "_process", "_salt", "overhead")

    def __init__(self, cipher: RtpCipher, key: bytes, salt: bytes, ids: Collection[int]) -> None:
        if not all(1 <= number <= 255 for number in ids):
            raise LocalError("ids of encrypted header extensions must be 1..255")
        self._cipher = cipher
        self._ids = ids
        self._process = AesCtr(key).process
        self._salt = int.from_bytes(salt, "big") << 16
        self.overhead = cipher.overhead

    def sealer(self, ssrc: int) -> Seal:
        """Return the function that protects RTP packets; see `RtpSealer.sealer`. It drops as `apply` does."""
        seal = self._cipher.sealer(ssrc)

        def seal_all(packet: bytes, header: int, index: int) -> bytes:
            return seal(self.apply(packet, header, ssrc, index), header, index)

        return seal_all

    def opener(self, ssrc: int) -> Open:
        """Return the function that undoes `sealer`'s; see `RtpOpener.opener`. It drops as `apply` does."""
        open_ = self._cipher.opener(ssrc)

        def open_all(packet: bytes, header: int, index: int) -> bytes:
            return self.apply(open_(packet, header, index), header, ssrc, index)

        return open_all

    def apply(self, packet: bytes, header: int, ssrc: int, index: int) -> bytes:
        """Encrypt or decrypt the elements of one packet, whose header is `header` bytes long.

        Raises:
            DropPacket: `bad-extension` if an element is longer than the extension.
        """
        if not packet[0] & 0x10:
            return packet
        start = 16 + ((packet[0] & 0x0F) << 2)
        mask = self._mask(packet, start, header)
        if not mask:
            return packet
        # The IV is the payload's, with the other salt (RFC 6904 section 3.2).
        keystream = self._process((self._salt ^ ssrc << 64 ^ index << 16).to_bytes(16, "big"), bytes(header - start))
        body = int.from_bytes(packet[start:header], "big") ^ int.from_bytes(keystream, "big") & mask
        return b"".join((packet[:start], body.to_bytes(header - start, "big"), packet[header:]))

    def _mask(self, packet: bytes, at: int, end: int) -> int:
        """Return the encryption mask of RFC 6904 section 3.1 as an integer."""
        form, _ = _U16_PAIR(packet, at - 4)
        if form == ONE_BYTE:
            size = 1
        elif form >> 4 == TWO_BYTE:
            size = 2
        else:
            return 0
        mask, ids = 0, self._ids
        while at < end:
            first = packet[at]
            if size == 1:
                number, length = first >> 4, (first & 0x0F) + 1
                if number == 15:  # RFC 8285 section 4.2: what follows is not looked at
                    break
            elif first and at + 1 == end:
                raise DropPacket("bad-extension")
            else:
                number, length = first, packet[at + 1] if first else 0
            if first == 0:  # padding
                at += 1
                continue
            at += size + length
            if at > end:
                raise DropPacket("bad-extension")
            if number in ids:
                mask |= ((1 << 8 * length) - 1) << 8 * (end - at)
        return mask
