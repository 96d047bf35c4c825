"""The record layer: one writer and one reader per epoch and direction (RFC 6347 section 4.1)."""

import struct
from typing import Final

from ..core import DropPacket
from ..core.crypto import InvalidTag
from .suites import CipherSuite
from .wire import DTLS_1_0, DTLS_1_2, EPOCH_SHIFT, HEADER, HEADER_SIZE, MAX_PLAINTEXT, ContentType

TAG_SIZE: Final = 16  # of both AEADs: RFC 5116 section 5.1, RFC 7905 section 2
# A writer stops long before 2**48, where numbers would repeat (RFC 6347 section 4.1); the rest is slack for one batch.
MAX_RECORDS_PER_EPOCH: Final = 2**47

_pack_header = HEADER.pack
_pack_u64 = struct.Struct("!Q").pack
_pack_u16 = struct.Struct("!H").pack
_pack_associated = struct.Struct("!QBHH").pack  # RFC 5246 section 6.2.3.3, with the epoch: RFC 6347 section 4.1.2.1
_PREFIXES: Final[dict[int, bytes]] = {kind: struct.pack("!BH", kind, DTLS_1_2) for kind in ContentType}


class RecordWriter:
    """Builds records of one epoch; this one does not encrypt (epoch 0).

    Args:
        epoch: Number of the epoch.

    Attributes:
        number: Epoch and sequence number of the next record, as one 64-bit integer.
        overhead: Bytes that a record adds to its content.
        version: Version in the header; 1.0 until one is negotiated (RFC 6347 section 4.2.1).
    """

    __slots__ = ("number", "overhead", "version")

    def __init__(self, epoch: int = 0) -> None:
        self.number = epoch << EPOCH_SHIFT
        self.overhead = HEADER_SIZE
        self.version = DTLS_1_0

    @property
    def exhausted(self) -> bool:
        """Whether so many records were sent that the epoch must end."""
        return self.number & (1 << EPOCH_SHIFT) - 1 >= MAX_RECORDS_PER_EPOCH

    def protect(self, content_type: int, contents: list[bytes]) -> list[bytes]:
        """Return one record for each of `contents`."""
        records = []
        for content in contents:
            records.append(_pack_header(content_type, self.version, self.number, len(content)) + content)
            self.number += 1
        return records


class GcmWriter(RecordWriter):
    """Builds records protected by AES-GCM with the explicit nonce that RFC 5288 section 3 defines."""

    __slots__ = ("_encrypt", "_salt")

    def __init__(self, epoch: int, suite: CipherSuite, key: bytes, iv: bytes) -> None:
        super().__init__(epoch)
        self._encrypt = suite.aead(key).encrypt
        self._salt = iv
        self.overhead = HEADER_SIZE + suite.explicit_nonce_length + TAG_SIZE

    def protect(self, content_type: int, contents: list[bytes]) -> list[bytes]:
        """Return one protected record for each of `contents`."""
        prefix, salt, encrypt, number = _PREFIXES[content_type], self._salt, self._encrypt, self.number
        size, lengths, suffix = -1, b"", b""
        records = []
        for content in contents:
            if len(content) != size:  # bulk data comes in runs of one size
                size = len(content)
                suffix = prefix + _pack_u16(size)
                lengths = _pack_u16(size + 24)
            # Epoch and sequence number serve as explicit nonce: unique under the key by construction.
            explicit = _pack_u64(number)
            number += 1
            records.append(
                prefix + explicit + lengths + explicit + encrypt(salt + explicit, content, explicit + suffix)
            )
        self.number = number
        return records


class ChaChaWriter(RecordWriter):
    """Builds records protected by ChaCha20-Poly1305, whose nonce is implicit (RFC 7905 section 2)."""

    __slots__ = ("_encrypt", "_iv")

    def __init__(self, epoch: int, suite: CipherSuite, key: bytes, iv: bytes) -> None:
        super().__init__(epoch)
        self._encrypt = suite.aead(key).encrypt
        self._iv = int.from_bytes(iv, "big")
        self.overhead = HEADER_SIZE + TAG_SIZE

    def protect(self, content_type: int, contents: list[bytes]) -> list[bytes]:
        """Return one protected record for each of `contents`."""
        prefix, iv, encrypt, number = _PREFIXES[content_type], self._iv, self._encrypt, self.number
        records = []
        for content in contents:
            size = len(content)
            explicit = _pack_u64(number)
            nonce = (iv ^ number).to_bytes(12, "big")
            sealed = encrypt(nonce, content, explicit + prefix + _pack_u16(size))
            number += 1
            records.append(prefix + explicit + _pack_u16(size + TAG_SIZE) + sealed)
        self.number = number
        return records


class RecordReader:
    """Opens protected records of one epoch and keeps its replay window (RFC 6347 section 4.1.2.6).

    Args:
        epoch: Number of the epoch.
        suite: The negotiated cipher suite.
        key: Record key of the sender.
        iv: Fixed part of the sender's nonces.
        window: How many numbers below the highest received are still accepted.
    """

    __slots__ = ("_decrypt", "_epoch", "_explicit", "_highest", "_iv", "_mask", "_seen", "_window")

    def __init__(self, epoch: int, suite: CipherSuite, key: bytes, iv: bytes, window: int) -> None:
        self._epoch = epoch
        self._decrypt = suite.aead(key).decrypt
        self._explicit = suite.explicit_nonce_length
        self._iv = iv
        self._window = window
        self._mask = (1 << window) - 1
        self._highest = (epoch << EPOCH_SHIFT) - 1
        self._seen = 0  # bit n: the number n below the highest was received

    def unprotect(self, datagram: bytes, start: int, end: int, content_type: int, number: int) -> bytes:
        """Return the content of the record at `datagram[start:end]`.

        Args:
            datagram: What came from the network.
            start: Offset of the record's header.
            end: Offset past the record; at least one header further.
            content_type: Type from the header.
            number: Epoch and sequence number from the header.

        Raises:
            DropPacket: `unexpected-epoch`, `replayed`, `too-old`, `short-record`, `record-overflow` or
                `bad-record-mac`.
        """
        ahead = number - self._highest
        if number >> EPOCH_SHIFT != self._epoch:
            raise DropPacket("unexpected-epoch")
        if ahead <= 0:
            if -ahead >= self._window:
                raise DropPacket("too-old")
            if self._seen >> -ahead & 1:
                raise DropPacket("replayed")
        explicit = self._explicit
        body = start + HEADER_SIZE + explicit
        size = end - body - TAG_SIZE
        if size < 0:
            raise DropPacket("short-record")
        if size > MAX_PLAINTEXT:
            raise DropPacket("record-overflow")
        iv = self._iv
        nonce = iv + datagram[body - 8 : body] if explicit else _implicit_nonce(iv, number)
        try:
            content = self._decrypt(nonce, datagram[body:end], _pack_associated(number, content_type, DTLS_1_2, size))
        except InvalidTag:
            raise DropPacket("bad-record-mac") from None
        if ahead == 1:
            self._seen = (self._seen << 1 | 1) & self._mask
            self._highest = number
        elif ahead > 0:
            # Past the whole window nothing of the old bits remains; shifting by 2**40 would exhaust the memory.
            self._seen = (self._seen << ahead | 1) & self._mask if ahead < self._window else 1
            self._highest = number
        else:
            self._seen |= 1 << -ahead
        return content


def _implicit_nonce(iv: bytes, number: int) -> bytes:
    return (int.from_bytes(iv, "big") ^ number).to_bytes(12, "big")  # RFC 7905 section 2


def new_writer(epoch: int, suite: CipherSuite, key: bytes, iv: bytes) -> RecordWriter:
    """Return the writer that fits a cipher suite."""
    kind = GcmWriter if suite.explicit_nonce_length else ChaChaWriter
    writer = kind(epoch, suite, key, iv)
    writer.version = DTLS_1_2
    return writer
