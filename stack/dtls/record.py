"""The record layer: one writer and one reader per epoch and direction (RFC 6347 section 4.1)."""

import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from ..core import DropPacket
from ..core.crypto import InvalidTag
from .suites import CipherSuite
from .wire import DTLS_1_0, DTLS_1_2, EPOCH_SHIFT, HEADER, HEADER_SIZE, MAX_PLAINTEXT, ContentType

TAG_SIZE: Final = 16  # of both AEADs: RFC 5116 section 5.1, RFC 7905 section 2
# A writer stops long before 2**48, where numbers would repeat (RFC 6347 section 4.1); the rest is slack for one batch.
MAX_RECORDS_PER_EPOCH: Final = 2**47

_pack_header = HEADER.pack
_unpack_header = HEADER.unpack_from
_pack_u64 = struct.Struct("!Q").pack
_pack_u16 = struct.Struct("!H").pack
# What follows the number in the associated data: RFC 5246 section 6.2.3.3, RFC 6347 section 4.1.2.1.
_pack_suffix = struct.Struct("!BHH").pack
_BYTES: Final = tuple(bytes((value,)) for value in range(256))
_APPLICATION_DATA: Final = int(ContentType.APPLICATION_DATA)
_PREFIXES: Final[dict[int, bytes]] = {kind: struct.pack("!BH", kind, DTLS_1_2) for kind in ContentType}


class RecordWriter:
    """Builds records of one epoch; this one does not encrypt (epoch 0).

    Args:
        epoch: Number of the epoch.

    Attributes:
        number: Epoch and sequence number of the next record, as one 64-bit integer.
        end: From which number on so many were sent that the epoch must end.
        overhead: Bytes that a record adds to its content.
        version: Version in the header; 1.0 until one is negotiated (RFC 6347 section 4.2.1).
    """

    __slots__ = ("end", "number", "overhead", "version")

    def __init__(self, epoch: int = 0) -> None:
        self.number = epoch << EPOCH_SHIFT
        self.end = self.number + MAX_RECORDS_PER_EPOCH
        self.overhead = HEADER_SIZE
        self.version = DTLS_1_0

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
        if len(contents) == 1:  # as most messages that are not bulk: what the loop below does, without it
            (content,), number = contents, self.number
            self.number, size = number + 1, len(content)
            explicit, suffix = _pack_u64(number), _pack_suffix(content_type, DTLS_1_2, size)
            sealed = self._encrypt(self._salt + explicit, content, explicit + suffix)
            return [explicit.join((_PREFIXES[content_type], _pack_u16(size + 24), sealed))]
        prefix, salt, encrypt, number = _PREFIXES[content_type], self._salt, self._encrypt, self.number
        self.number = end = number + len(contents)
        size, lengths, suffix = -1, b"", b""
        records: list[bytes] = []
        append, take = records.append, iter(contents)
        while number < end:
            # Numbers that share all bytes but the last: that is cheaper to put together than to pack each.
            high, low = _pack_u64(number)[:7], number & 0xFF
            last_bytes = _BYTES[low : low + end - number]
            number += len(last_bytes)
            for last, content in zip(last_bytes, take):  # noqa: B905  the shorter one comes first and decides
                if len(content) != size:  # bulk data comes in runs of one size
                    size = len(content)
                    suffix = prefix + _pack_u16(size)
                    lengths = _pack_u16(size + 24)
                # Epoch and sequence number serve as explicit nonce: unique under the key by construction.
                explicit = high + last
                # Type and version, number, length, explicit nonce, ciphertext: the number stands in both gaps.
                append(explicit.join((prefix, lengths, encrypt(salt + explicit, content, explicit + suffix))))
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


Unprotect = Callable[[bytes, int, int], bytes]
UnprotectRun = Callable[[Sequence[bytes], Counter[str]], tuple[list[bytes], int]]


def new_reader(epoch: int, suite: CipherSuite, key: bytes, iv: bytes, window: int) -> tuple[Unprotect, UnprotectRun]:
    """Return what opens the protected records of one epoch and keeps its replay window (RFC 6347 section 4.1.2.6).

    The first result is called as `unprotect(record, content_type, number)` with a record, which is at least a header,
    and type, epoch and sequence number out of its header. It returns the content, or raises `DropPacket`:
    `unexpected-epoch`, `replayed`, `too-old`, `short-record`, `record-overflow` or `bad-record-mac`.

    The second one is for bulk: it is called with a batch of datagrams and opens them as long as each is one record of
    application data with a higher number than any before. What does not open is counted as `bad-record-mac`. It returns
    the contents, and how many datagrams it has dealt with: the next one is something else.

    Args:
        epoch: Number of the epoch.
        suite: The negotiated cipher suite.
        key: Record key of the sender.
        iv: Fixed part of the sender's nonces.
        window: How many numbers below the highest received are still accepted.
    """
    decrypt = suite.aead(key).decrypt
    explicit_nonce = suite.explicit_nonce_length
    body = HEADER_SIZE + explicit_nonce
    implicit = int.from_bytes(iv, "big")
    first, last = epoch << EPOCH_SHIFT, (epoch + 1 << EPOCH_SHIFT) - 1
    highest = first - 1
    received = [-1] * window  # at index n % window: the newest number received of those that share it
    last_type = last_size = -1
    suffix = b""

    # A closure and not a class: its variables are reached in half the time, and this runs for every record.
    def unprotect(record: bytes, content_type: int, number: int) -> bytes:
        nonlocal highest, last_type, last_size, suffix
        if number > highest:
            if number > last:
                raise DropPacket("unexpected-epoch")
        elif number < first:
            raise DropPacket("unexpected-epoch")
        elif number <= highest - window:
            raise DropPacket("too-old")
        elif received[number % window] == number:
            raise DropPacket("replayed")
        size = len(record)
        if size != last_size or content_type != last_type:  # bulk data comes in runs of one size
            content_size = size - body - TAG_SIZE
            if content_size < 0:
                raise DropPacket("short-record")
            if content_size > MAX_PLAINTEXT:
                raise DropPacket("record-overflow")
            last_size, last_type = size, content_type
            suffix = _pack_suffix(content_type, DTLS_1_2, content_size)
        # RFC 5288 section 3, RFC 7905 section 2
        nonce = iv + record[13:21] if explicit_nonce else (implicit ^ number).to_bytes(12, "big")
        try:
            content = decrypt(nonce, record[body:], record[3:11] + suffix)
        except InvalidTag:
            raise DropPacket("bad-record-mac") from None
        received[number % window] = number
        if number > highest:
            highest = number
        return content

    def unprotect_run(datagrams: Sequence[bytes], dropped: Counter[str]) -> tuple[list[bytes], int]:
        nonlocal highest
        contents: list[bytes] = []
        append, done, newest, size = contents.append, 0, highest, -1
        for datagram in datagrams:
            if len(datagram) != size:
                size = len(datagram)
                content_size = size - body - TAG_SIZE
                if not 0 <= content_size <= MAX_PLAINTEXT:
                    break
                suffix = _pack_suffix(_APPLICATION_DATA, DTLS_1_2, content_size)
            kind, version, number, length = _unpack_header(datagram)
            if (
                not newest < number <= last
                or kind != _APPLICATION_DATA
                or version != DTLS_1_2
                or length + HEADER_SIZE != size
            ):
                break
            done += 1
            nonce = iv + datagram[13:21] if explicit_nonce else (implicit ^ number).to_bytes(12, "big")
            try:
                append(decrypt(nonce, datagram[body:], datagram[3:11] + suffix))
            except InvalidTag:
                dropped["bad-record-mac"] += 1
                continue
            received[number % window] = newest = number
        highest = newest
        return contents, done

    return unprotect, unprotect_run


def new_writer(epoch: int, suite: CipherSuite, key: bytes, iv: bytes) -> RecordWriter:
    """Return the writer that fits a cipher suite."""
    kind = GcmWriter if suite.explicit_nonce_length else ChaChaWriter
    writer = kind(epoch, suite, key, iv)
    writer.version = DTLS_1_2
    return writer
