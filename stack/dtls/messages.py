"""Codecs of the handshake messages (RFC 5246 section 7.4, RFC 6347 section 4.3.2, RFC 8422 section 5)."""

import struct
from dataclasses import dataclass, field

from ..core import ParseError, Reader
from .wire import DTLS_1_2, NAMED_CURVE, NULL_COMPRESSION

Extensions = dict[int, bytes]


def vector8(data: bytes) -> bytes:
    """Return `data` behind a one-byte length."""
    return bytes((len(data),)) + data


def vector16(data: bytes) -> bytes:
    """Return `data` behind a two-byte length."""
    return len(data).to_bytes(2, "big") + data


def vector24(data: bytes) -> bytes:
    """Return `data` behind a three-byte length."""
    return len(data).to_bytes(3, "big") + data


def serialize_u16s(numbers: tuple[int, ...]) -> bytes:
    """Return 16-bit numbers in network order, without a length."""
    return struct.pack(f"!{len(numbers)}H", *numbers)


def parse_u16s(data: bytes) -> tuple[int, ...]:
    """Parse a sequence of 16-bit numbers.

    Raises:
        ParseError: `truncated`.
    """
    if len(data) % 2:
        raise ParseError("truncated")
    return struct.unpack(f"!{len(data) // 2}H", data)


def parse_u16_vector(data: bytes) -> tuple[int, ...]:
    """Parse an extension that is one list of 16-bit numbers behind a two-byte length.

    Raises:
        ParseError: `truncated` or `trailing-bytes`.
    """
    reader = Reader(data)
    numbers = parse_u16s(reader.vector16())
    reader.expect_end()
    return numbers


def parse_use_srtp(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """Parse use_srtp (RFC 5764 section 4.1.1) into protection profiles and MKI.

    Raises:
        ParseError: `truncated` or `trailing-bytes`.
    """
    reader = Reader(data)
    profiles = parse_u16s(reader.vector16())
    mki = reader.vector8()
    reader.expect_end()
    return profiles, mki


def serialize_use_srtp(profiles: tuple[int, ...]) -> bytes:
    """Serialize use_srtp without an MKI."""
    return vector16(serialize_u16s(profiles)) + vector8(b"")


def parse_alpn(data: bytes) -> tuple[bytes, ...]:
    """Parse application_layer_protocol_negotiation (RFC 7301 section 3.1): names in order of preference.

    Raises:
        ParseError: `truncated`, `trailing-bytes`, or `bad-alpn` if there is no name, or an empty one.
    """
    reader = Reader(data)
    inner = Reader(reader.vector16())
    reader.expect_end()
    names = []
    while inner.remaining:
        names.append(inner.vector8())
    if not all(names) or not names:
        raise ParseError("bad-alpn")
    return tuple(names)


def serialize_alpn(names: tuple[bytes, ...]) -> bytes:
    """Serialize application_layer_protocol_negotiation."""
    return vector16(b"".join(map(vector8, names)))


def parse_vector8_extension(data: bytes) -> bytes:
    """Parse an extension that is one byte string behind a one-byte length.

    Raises:
        ParseError: `truncated` or `trailing-bytes`.
    """
    reader = Reader(data)
    content = reader.vector8()
    reader.expect_end()
    return content


def _parse_extensions(reader: Reader) -> Extensions:
    extensions: Extensions = {}
    if not reader.remaining:
        return extensions
    inner = Reader(reader.vector16())
    while inner.remaining:
        kind = inner.u16()
        if kind in extensions:
            raise ParseError("duplicate-extension", str(kind))
        extensions[kind] = inner.vector16()
    return extensions


def _serialize_extensions(extensions: Extensions) -> bytes:
    if not extensions:
        return b""
    return vector16(b"".join(kind.to_bytes(2, "big") + vector16(data) for kind, data in extensions.items()))


def _parse_session_id(reader: Reader) -> bytes:
    session_id = reader.vector8()
    if len(session_id) > 32:
        raise ParseError("bad-session-id")
    return session_id


@dataclass(slots=True)
class ClientHello:
    """RFC 6347 section 4.2.1.

    Args:
        random: 32 bytes.
        cipher_suites: Numbers in order of preference.
        extensions: Content by type, in order.
        cookie: What HelloVerifyRequest gave, or empty.
        session_id: Empty, or up to 32 bytes.
        compression_methods: One byte each.
        version: client_version.
    """

    random: bytes
    cipher_suites: tuple[int, ...]
    extensions: Extensions = field(default_factory=dict)
    cookie: bytes = b""
    session_id: bytes = b""
    compression_methods: bytes = bytes((NULL_COMPRESSION,))
    version: int = DTLS_1_2

    @classmethod
    def parse(cls, body: bytes) -> "ClientHello":
        """Parse a message body.

        Raises:
            ParseError: `truncated`, `trailing-bytes`, `bad-session-id` or `duplicate-extension`.
        """
        reader = Reader(body)
        version = reader.u16()
        random = reader.bytes(32)
        session_id = _parse_session_id(reader)
        cookie = reader.vector8()
        cipher_suites = parse_u16s(reader.vector16())
        compression_methods = reader.vector8()
        extensions = _parse_extensions(reader)
        reader.expect_end()
        return cls(random, cipher_suites, extensions, cookie, session_id, compression_methods, version)

    def serialize(self) -> bytes:
        """Return the message body."""
        return b"".join(
            (
                self.version.to_bytes(2, "big"),
                self.random,
                vector8(self.session_id),
                vector8(self.cookie),
                vector16(serialize_u16s(self.cipher_suites)),
                vector8(self.compression_methods),
                _serialize_extensions(self.extensions),
            )
        )


@dataclass(slots=True)
class ServerHello:
    """RFC 5246 section 7.4.1.3.

    Args:
        random: 32 bytes.
        cipher_suite: The chosen one.
        extensions: Content by type, in order.
        session_id: Empty, or up to 32 bytes.
        compression_method: The chosen one.
        version: server_version.
    """

    random: bytes
    cipher_suite: int
    extensions: Extensions = field(default_factory=dict)
    session_id: bytes = b""
    compression_method: int = NULL_COMPRESSION
    version: int = DTLS_1_2

    @classmethod
    def parse(cls, body: bytes) -> "ServerHello":
        """Parse a message body.

        Raises:
            ParseError: `truncated`, `trailing-bytes`, `bad-session-id` or `duplicate-extension`.
        """
        reader = Reader(body)
        version = reader.u16()
        random = reader.bytes(32)
        session_id = _parse_session_id(reader)
        cipher_suite = reader.u16()
        compression_method = reader.u8()
        extensions = _parse_extensions(reader)
        reader.expect_end()
        return cls(random, cipher_suite, extensions, session_id, compression_method, version)

    def serialize(self) -> bytes:
        """Return the message body."""
        return b"".join(
            (
                self.version.to_bytes(2, "big"),
                self.random,
                vector8(self.session_id),
                self.cipher_suite.to_bytes(2, "big"),
                bytes((self.compression_method,)),
                _serialize_extensions(self.extensions),
            )
        )


@dataclass(slots=True)
class HelloVerifyRequest:
    """RFC 6347 section 4.2.1.

    Args:
        cookie: What the client must return.
        version: server_version; says nothing about what will be negotiated.
    """

    cookie: bytes
    version: int

    @classmethod
    def parse(cls, body: bytes) -> "HelloVerifyRequest":
        """Parse a message body.

        Raises:
            ParseError: `truncated` or `trailing-bytes`.
        """
        reader = Reader(body)
        version = reader.u16()
        cookie = reader.vector8()
        reader.expect_end()
        return cls(cookie, version)

    def serialize(self) -> bytes:
        """Return the message body."""
        return self.version.to_bytes(2, "big") + vector8(self.cookie)


@dataclass(slots=True)
class CertificateMessage:
    """RFC 5246 section 7.4.2.

    Args:
        chain: Certificates in DER, the sender's own first; empty if it has none.
    """

    chain: list[bytes]

    @classmethod
    def parse(cls, body: bytes) -> "CertificateMessage":
        """Parse a message body.

        Raises:
            ParseError: `truncated` or `trailing-bytes`.
        """
        reader = Reader(body)
        inner = Reader(reader.vector24())
        reader.expect_end()
        chain = []
        while inner.remaining:
            chain.append(inner.vector24())
        return cls(chain)

    def serialize(self) -> bytes:
        """Return the message body."""
        return vector24(b"".join(vector24(der) for der in self.chain))


@dataclass(slots=True)
class ServerKeyExchange:
    """An ephemeral ECDH key with its signature, RFC 8422 section 5.4.

    Args:
        group: Number of the named group.
        public: The server's share.
        scheme: Number of the signature algorithm.
        signature: Over both randoms and `params()`.
    """

    group: int
    public: bytes
    scheme: int = 0
    signature: bytes = b""

    @classmethod
    def parse(cls, body: bytes) -> "ServerKeyExchange":
        """Parse a message body.

        Raises:
            ParseError: `truncated`, `trailing-bytes`, or `illegal-group` if the curve is not a named one.
        """
        reader = Reader(body)
        if reader.u8() != NAMED_CURVE:
            raise ParseError("illegal-group", "not a named curve")
        group = reader.u16()
        public = reader.vector8()
        scheme = reader.u16()
        signature = reader.vector16()
        reader.expect_end()
        return cls(group, public, scheme, signature)

    def params(self) -> bytes:
        """Return ServerECDHParams, the part that is signed."""
        return bytes((NAMED_CURVE,)) + self.group.to_bytes(2, "big") + vector8(self.public)

    def serialize(self) -> bytes:
        """Return the message body."""
        return self.params() + self.scheme.to_bytes(2, "big") + vector16(self.signature)


@dataclass(slots=True)
class CertificateRequest:
    """RFC 5246 section 7.4.4.

    Args:
        certificate_types: One byte each.
        signature_algorithms: What the client may sign with.
        authorities: Distinguished names, as one block; empty in WebRTC.
    """

    certificate_types: bytes
    signature_algorithms: tuple[int, ...]
    authorities: bytes = b""

    @classmethod
    def parse(cls, body: bytes) -> "CertificateRequest":
        """Parse a message body.

        Raises:
            ParseError: `truncated` or `trailing-bytes`.
        """
        reader = Reader(body)
        certificate_types = reader.vector8()
        algorithms = parse_u16s(reader.vector16())
        authorities = reader.vector16()
        reader.expect_end()
        return cls(certificate_types, algorithms, authorities)

    def serialize(self) -> bytes:
        """Return the message body."""
        algorithms = vector16(serialize_u16s(self.signature_algorithms))
        return vector8(self.certificate_types) + algorithms + vector16(self.authorities)


@dataclass(slots=True)
class ClientKeyExchange:
    """RFC 8422 section 5.7.

    Args:
        public: The client's share.
    """

    public: bytes

    @classmethod
    def parse(cls, body: bytes) -> "ClientKeyExchange":
        """Parse a message body.

        Raises:
            ParseError: `truncated` or `trailing-bytes`.
        """
        return cls(parse_vector8_extension(body))

    def serialize(self) -> bytes:
        """Return the message body."""
        return vector8(self.public)


@dataclass(slots=True)
class CertificateVerify:
    """RFC 5246 section 7.4.8.

    Args:
        scheme: Number of the signature algorithm.
        signature: Over all handshake messages so far.
    """

    scheme: int
    signature: bytes

    @classmethod
    def parse(cls, body: bytes) -> "CertificateVerify":
        """Parse a message body.

        Raises:
            ParseError: `truncated` or `trailing-bytes`.
        """
        reader = Reader(body)
        scheme = reader.u16()
        signature = reader.vector16()
        reader.expect_end()
        return cls(scheme, signature)

    def serialize(self) -> bytes:
        """Return the message body."""
        return self.scheme.to_bytes(2, "big") + vector16(self.signature)
