"""STUN messages: header, attributes, MESSAGE-INTEGRITY and FINGERPRINT (RFC 8489 sections 5 and 14)."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from struct import Struct
from struct import error as struct_error
from typing import Final, Generic, Self, TypedDict, TypeVar, Unpack, cast, overload
from zlib import crc32

from ..core import Address, LocalError, ParseError
from . import attributes as wire
from .attributes import MAGIC_COOKIE, ErrorCode, PasswordAlgorithm

BINDING: Final = 0x001  # RFC 8489 section 18.2
HEADER_SIZE: Final = 20
TRANSACTION_ID_SIZE: Final = 12

MAX_ATTRIBUTES: Final = 64
"""Attributes in one message. Real ones have at most a dozen; this keeps the work per datagram small."""

_MESSAGE_INTEGRITY = 0x0008
_MESSAGE_INTEGRITY_SHA256 = 0x001C
_FINGERPRINT = 0x8028
_FINGERPRINT_XOR = 0x5354554E  # RFC 8489 section 14.7
_SHA1_SIZE = 20
_SHA256_SIZE = 32
_BLOCK_SIZE = 64  # bytes, of SHA-1 and SHA-256
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_SHA256_MINIMUM = 16  # RFC 8489 section 14.6, for usages that allow truncation

_HEADER = Struct("!HHL")
_unpack_header = _HEADER.unpack_from
_pack_header = _HEADER.pack
_TLV = Struct("!HH")
_unpack_tlv = _TLV.unpack_from
_pack_tlv = _TLV.pack
_pack_length = Struct("!H").pack
_pack_u32 = Struct("!L").pack
_FINGERPRINT_TLV = Struct("!HHL")
_pack_fingerprint = _FINGERPRINT_TLV.pack
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")  # by size modulo 4
_INTEGRITY_HEAD = _pack_tlv(_MESSAGE_INTEGRITY, _SHA1_SIZE)


class Class(IntEnum):
    """The class of a message, as the two bits of RFC 8489 section 5."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


_CLASSES = tuple(Class)
T = TypeVar("T")

_DECODERS: dict[int, Callable[[bytes, bytes], object]] = {}
_ENCODERS: dict[int, Callable[[object, bytes], bytes]] = {}
_TYPES: dict[str, int] = {}
_decoder = _DECODERS.get
_encoder = _ENCODERS.get


# Keying an HMAC costs more than using it, and a session checks thousands of messages with the same two passwords.
# Two hashes of the standard library take 0.6 us where its HMAC objects take 1.1.
@lru_cache(maxsize=256)
def _keyed(key: bytes, algorithm: str) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """Return the inner and the outer hash of RFC 2104, begun with the key."""
    block = (key if len(key) <= _BLOCK_SIZE else hashlib.new(algorithm, key).digest()).ljust(_BLOCK_SIZE, b"\0")
    return hashlib.new(algorithm, block.translate(_INNER)), hashlib.new(algorithm, block.translate(_OUTER))


def _digest(key: bytes, algorithm: str, text: bytes) -> bytes:
    inner, outer = _keyed(key, algorithm)
    inner, outer = inner.copy(), outer.copy()
    inner.update(text)
    outer.update(inner.digest())
    return outer.digest()


class Attribute(Generic[T]):
    """A typed view of one attribute of a `Message`: None when it is absent; assign to set it, None to remove it.

    Args:
        attribute_type: The number on the wire.
        decode: Reads a value; see `stack.stun.attributes`.
        encode: Writes it.
    """

    __slots__ = ("attribute_type",)

    def __init__(
        self, attribute_type: int, decode: Callable[[bytes, bytes], T | None], encode: Callable[[T, bytes], bytes]
    ) -> None:
        self.attribute_type = attribute_type
        _DECODERS[attribute_type] = decode
        _ENCODERS[attribute_type] = cast("Callable[[object, bytes], bytes]", encode)

    def __set_name__(self, owner: type, name: str) -> None:
        _TYPES[name] = self.attribute_type

    @overload
    def __get__(self, message: None, owner: type) -> Self: ...
    @overload
    def __get__(self, message: "Message", owner: type) -> T | None: ...
    def __get__(self, message: "Message | None", owner: type) -> Self | T | None:
        if message is None:
            return self
        return cast("T | None", message.attributes.get(self.attribute_type))

    def __set__(self, message: "Message", value: T | None) -> None:
        if value is None:
            message.attributes.pop(self.attribute_type, None)
        else:
            message.attributes[self.attribute_type] = value


class Flag(Attribute[bool]):
    """An attribute without a value: True when it is there."""

    __slots__ = ()

    def __get__(self, message: "Message | None", owner: type) -> bool:  # type: ignore[override]  # never None
        return message is not None and self.attribute_type in message.attributes

    def __set__(self, message: "Message", value: bool | None) -> None:
        super().__set__(message, value or None)


class Attributes(TypedDict, total=False):
    """The attributes that `Message` knows by name."""

    mapped_address: Address | None
    username: str | None
    error_code: tuple[int, str] | None
    unknown_attributes: tuple[int, ...] | None
    realm: str | None
    nonce: str | None
    xor_mapped_address: Address | None
    priority: int | None
    use_candidate: bool | None
    software: str | None
    ice_controlled: int | None
    ice_controlling: int | None
    password_algorithm: PasswordAlgorithm | None
    userhash: bytes | None
    password_algorithms: tuple[PasswordAlgorithm, ...] | None
    alternate_domain: str | None
    alternate_server: Address | None
    response_origin: Address | None
    other_address: Address | None


@dataclass(slots=True, init=False)
class Message:
    """One STUN message.

    Args:
        method: 12 bits, for example `BINDING`.
        message_class: Request, indication, success or error response.
        transaction_id: 12 bytes.
        **named: Attributes by name; None leaves one out.

    Attributes:
        attributes: Values by attribute type in wire order; types without a name here have their bytes as value.
            MESSAGE-INTEGRITY and FINGERPRINT are not among them: `serialize` adds them.
        unknown_comprehension_required: Types below 0x8000 that a parsed message has and this module does not know.
        has_integrity: Whether a parsed message has MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256.
        uses_sha256: Whether it has MESSAGE-INTEGRITY-SHA256.
        has_fingerprint: Whether it has a FINGERPRINT, which is right then.
    """

    method: int
    message_class: Class
    transaction_id: bytes
    attributes: dict[int, object]
    unknown_comprehension_required: list[int] = field(compare=False)
    has_fingerprint: bool = field(compare=False)
    _raw: bytes = field(repr=False, compare=False)
    _integrity_at: int = field(repr=False, compare=False)
    _sha256_at: int = field(repr=False, compare=False)

    # Registering them here makes them known to the parser too.
    mapped_address = Attribute(0x0001, wire.decode_mapped_address, wire.encode_mapped_address)
    username = Attribute(0x0006, wire.decode_text, wire.encode_text)
    error_code = Attribute[tuple[int, str]](
        0x0009, wire.decode_error_code, lambda value, tid: wire.encode_error_code(ErrorCode(*value), tid)
    )
    unknown_attributes = Attribute(0x000A, wire.decode_types, wire.encode_types)
    realm = Attribute(0x0014, wire.decode_text, wire.encode_text)
    nonce = Attribute(0x0015, wire.decode_text, wire.encode_text)
    password_algorithm = Attribute(0x001D, wire.decode_algorithm, wire.encode_algorithm)
    userhash = Attribute(0x001E, wire.decode_userhash, wire.encode_userhash)
    xor_mapped_address = Attribute(0x0020, wire.decode_xor_address, wire.encode_xor_address)
    priority = Attribute(0x0024, wire.decode_u32, wire.encode_u32)
    use_candidate = Flag(0x0025, wire.decode_flag, wire.encode_flag)
    password_algorithms = Attribute(0x8002, wire.decode_algorithms, wire.encode_algorithms)
    alternate_domain = Attribute(0x8003, wire.decode_domain, wire.encode_domain)
    software = Attribute(0x8022, wire.decode_text, wire.encode_text)
    alternate_server = Attribute(0x8023, wire.decode_mapped_address, wire.encode_mapped_address)
    ice_controlled = Attribute(0x8029, wire.decode_u64, wire.encode_u64)
    ice_controlling = Attribute(0x802A, wire.decode_u64, wire.encode_u64)
    response_origin = Attribute(0x802B, wire.decode_mapped_address, wire.encode_mapped_address)
    other_address = Attribute(0x802C, wire.decode_mapped_address, wire.encode_mapped_address)

    def __init__(self, method: int, message_class: Class, transaction_id: bytes, **named: Unpack[Attributes]) -> None:
        self.method = method
        self.message_class = message_class
        self.transaction_id = transaction_id
        self.attributes = values = {}
        self.unknown_comprehension_required = []
        self.has_fingerprint = False
        self._raw = b""
        self._integrity_at = self._sha256_at = 0
        for name, value in named.items():
            if name not in _TYPES:
                raise TypeError(f"STUN messages have no attribute {name!r}")
            if value is not None and value is not False:
                values[_TYPES[name]] = value

    @property
    def has_integrity(self) -> bool:
        """See the class."""
        return self._integrity_at > 0 or self._sha256_at > 0

    @property
    def uses_sha256(self) -> bool:
        """See the class."""
        return self._sha256_at > 0

    @classmethod
    def parse(cls, data: bytes) -> "Message":
        """Read one message that fills `data`; its FINGERPRINT, if any, is verified.

        Raises:
            ParseError: `truncated`, `not-stun`, `bad-magic-cookie`, `bad-length`, `bad-attribute`,
                `bad-fingerprint`, `fingerprint-not-last`, `too-many-attributes`.
        """
        size = len(data)
        if size < HEADER_SIZE:
            raise ParseError("truncated")
        message_type, length, cookie = _unpack_header(data)
        if message_type & 0xC000:
            raise ParseError("not-stun")
        if cookie != MAGIC_COOKIE:
            raise ParseError("bad-magic-cookie")
        if length & 3:
            raise ParseError("bad-length", "not a multiple of 4")
        if size != HEADER_SIZE + length:
            raise ParseError("truncated" if size < HEADER_SIZE + length else "bad-length")
        message = cls.__new__(cls)  # __init__ is for attributes by name, which are not known yet
        try:
            message._read(data, size, message_type)  # noqa: SLF001  our own
        except UnicodeDecodeError as error:
            raise ParseError("bad-attribute", "not UTF-8") from error
        return message

    def _read(self, data: bytes, size: int, message_type: int) -> None:
        self.method = message_type & 0xF | message_type >> 1 & 0x70 | message_type >> 2 & 0xF80
        self.message_class = _CLASSES[message_type >> 7 & 2 | message_type >> 4 & 1]
        self.transaction_id = transaction_id = data[8:HEADER_SIZE]
        self.attributes = values = {}
        self.unknown_comprehension_required = []
        self.has_fingerprint = False
        self._raw = data
        self._integrity_at = self._sha256_at = 0
        offset, left = HEADER_SIZE, MAX_ATTRIBUTES
        protected = False  # behind an integrity attribute, where RFC 8489 section 14.5 wants the rest ignored
        while offset < size:
            if not left:
                raise ParseError("too-many-attributes")
            left -= 1
            attribute_type, length = _unpack_tlv(data, offset)
            start = offset + 4
            end = start + length
            if end > size:
                raise ParseError("truncated", f"attribute {attribute_type:#06x}")
            if not protected and (decode := _decoder(attribute_type)) is not None:
                if attribute_type not in values:
                    value = decode(data[start:end], transaction_id)
                    if value is not None:
                        values[attribute_type] = value
            elif attribute_type == _FINGERPRINT:
                if end != size:
                    raise ParseError("fingerprint-not-last")
                if data[start:] != _pack_u32(crc32(data[:offset]) ^ _FINGERPRINT_XOR):
                    raise ParseError("bad-fingerprint")
                self.has_fingerprint = True
            elif attribute_type == _MESSAGE_INTEGRITY:
                if not protected:
                    if length != _SHA1_SIZE:
                        raise ParseError("bad-attribute", "integrity value of the wrong size")
                    self._integrity_at, protected = offset, True
            elif attribute_type == _MESSAGE_INTEGRITY_SHA256:
                if not self._sha256_at:
                    if length & 3 or not _SHA256_MINIMUM <= length <= _SHA256_SIZE:
                        raise ParseError("bad-attribute", "integrity value of the wrong size")
                    self._sha256_at, protected = offset, True
            elif not protected and attribute_type not in values:
                values[attribute_type] = data[start:end]
                if attribute_type < 0x8000:
                    self.unknown_comprehension_required.append(attribute_type)
            offset = end + (-length & 3)

    def verify_integrity(self, key: bytes, *, sha256_minimum: int = _SHA256_SIZE) -> bool:
        """Tell whether a parsed message is protected by `key`; False when it has no integrity attribute.

        With both integrity attributes the SHA-256 one decides: RFC 8489 section 9.1.3.

        Args:
            key: The key.
            sha256_minimum: Bytes that MESSAGE-INTEGRITY-SHA256 must have at least. Less than 32 only in a usage that
                allows truncation, and then not less than 16: RFC 8489 section 14.6.
        """
        raw = self._raw
        if self._sha256_at:
            at, algorithm = self._sha256_at, "sha256"
            size = raw[at + 3]
            if size < sha256_minimum:
                return False
        elif self._integrity_at:
            at, size, algorithm = self._integrity_at, _SHA1_SIZE, "sha1"
        else:
            return False
        text = raw[:2] + _pack_length(at + size - 16) + raw[4:at]  # header 20, attribute header 4
        return hmac.compare_digest(_digest(key, algorithm, text)[:size], raw[at + 4 : at + 4 + size])

    def serialize(
        self,
        *,
        key: bytes | None = None,
        fingerprint: bool = True,
        sha256: bool = False,
        both: bool = False,
        sha256_size: int = _SHA256_SIZE,
    ) -> bytes:
        """Return the message as it goes on the wire.

        Args:
            key: Protect it with this key; no integrity attribute if None.
            fingerprint: Append FINGERPRINT.
            sha256: Protect with MESSAGE-INTEGRITY-SHA256 instead of MESSAGE-INTEGRITY.
            both: Protect with both, for a server of which it is not known which one it takes: RFC 8489 section 9.1.2.
            sha256_size: Bytes of MESSAGE-INTEGRITY-SHA256, 16 to 32 in steps of 4.

        Raises:
            LocalError: A value does not fit its attribute.
        """
        transaction_id = self.transaction_id
        method, message_class = self.method, self.message_class
        if len(transaction_id) != TRANSACTION_ID_SIZE or not 0 <= method <= 0xFFF:
            raise LocalError("a STUN message has a method of 12 bits and a transaction id of 12 bytes")
        if sha256_size & 3 or not _SHA256_MINIMUM <= sha256_size <= _SHA256_SIZE:
            raise LocalError("MESSAGE-INTEGRITY-SHA256 has 16, 20, 24, 28 or 32 bytes")
        message_type = (
            method & 0xF
            | (method & 0x70) << 1
            | (method & 0xF80) << 2
            | (message_class & 1) << 4
            | (message_class & 2) << 7
        )
        parts = [transaction_id]
        try:
            for attribute_type, value in self.attributes.items():
                encode = _encoder(attribute_type)
                data = encode(value, transaction_id) if encode is not None else cast("bytes", value)
                size = len(data)
                parts += (_pack_tlv(attribute_type, size), data, _PADDING[size & 3])
            body = b"".join(parts)  # the transaction id and all attributes: what is behind the first eight bytes
            if key is not None:
                if both or not sha256:
                    body = _protect(message_type, body, key, "sha1", _INTEGRITY_HEAD, _SHA1_SIZE)
                if both or sha256:
                    head = _pack_tlv(_MESSAGE_INTEGRITY_SHA256, sha256_size)
                    body = _protect(message_type, body, key, "sha256", head, sha256_size)
            if not fingerprint:
                return _pack_header(message_type, len(body) - TRANSACTION_ID_SIZE, MAGIC_COOKIE) + body
            text = _pack_header(message_type, len(body) - 4, MAGIC_COOKIE) + body  # FINGERPRINT has 8 bytes
        except (struct_error, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise LocalError(f"not a value for its STUN attribute: {error}") from error
        return text + _pack_fingerprint(_FINGERPRINT, 4, crc32(text) ^ _FINGERPRINT_XOR)


def _protect(message_type: int, body: bytes, key: bytes, algorithm: str, head: bytes, size: int) -> bytes:
    """Return `body` with an integrity attribute behind it."""
    text = _pack_header(message_type, len(body) - 8 + size, MAGIC_COOKIE) + body
    return body + head + _digest(key, algorithm, text)[:size]


def is_stun(data: bytes) -> bool:
    """Tell quickly whether a datagram is to be taken for STUN.

    First bytes 4 to 63 are legal STUN (RFC 8489 section 5), of methods from 0x100 on, but where protocols share a
    port RFC 7983 section 7 gives them to others.
    """
    return len(data) >= HEADER_SIZE and data[0] < 4 and data[4:8] == b"\x21\x12\xa4\x42"
