"""Numbers and headers of the DTLS 1.2 wire format."""

import struct
from enum import IntEnum
from typing import Final

DTLS_1_0: Final = 0xFEFF
DTLS_1_2: Final = 0xFEFD  # RFC 6347 section 4.1: the ones' complement of 1.2

HEADER: Final = struct.Struct("!BHQH")  # type, version, epoch and sequence number, length: RFC 6347 section 4.1
HEADER_SIZE: Final = HEADER.size
FRAGMENT_HEADER_SIZE: Final = 12  # RFC 6347 section 4.2.2

MAX_PLAINTEXT: Final = 2**14  # RFC 5246 section 6.2.1
EPOCH_SHIFT: Final = 48
NULL_COMPRESSION: Final = 0
UNCOMPRESSED_POINT: Final = 0  # RFC 8422 section 5.1.2
NAMED_CURVE: Final = 3  # RFC 8422 section 5.4
RENEGOTIATION_SCSV: Final = 0x00FF  # RFC 5746 section 3.3


class ContentType(IntEnum):
    """Record types, RFC 5246 section 6.2.1."""

    CHANGE_CIPHER_SPEC = 20
    ALERT = 21
    HANDSHAKE = 22
    APPLICATION_DATA = 23


class HandshakeType(IntEnum):
    """Handshake messages, RFC 6347 section 4.3.2."""

    HELLO_REQUEST = 0
    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    HELLO_VERIFY_REQUEST = 3
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CERTIFICATE_REQUEST = 13
    SERVER_HELLO_DONE = 14
    CERTIFICATE_VERIFY = 15
    CLIENT_KEY_EXCHANGE = 16
    FINISHED = 20


class ExtensionType(IntEnum):
    """Hello extensions that are understood."""

    SUPPORTED_GROUPS = 10  # RFC 8422 section 5.1.1
    EC_POINT_FORMATS = 11  # RFC 8422 section 5.1.2
    SIGNATURE_ALGORITHMS = 13  # RFC 5246 section 7.4.1.4.1
    USE_SRTP = 14  # RFC 5764 section 4.1.1
    ALPN = 16  # RFC 7301 section 3.1
    EXTENDED_MASTER_SECRET = 23  # RFC 7627 section 5.1
    SUPPORTED_VERSIONS = 43  # RFC 8446 section 4.2.1
    RENEGOTIATION_INFO = 0xFF01  # RFC 5746 section 3.2


class AlertLevel(IntEnum):
    """Alert levels, RFC 5246 section 7.2."""

    WARNING = 1
    FATAL = 2


class Alert(IntEnum):
    """Alert descriptions, RFC 5246 section 7.2."""

    CLOSE_NOTIFY = 0
    UNEXPECTED_MESSAGE = 10
    BAD_RECORD_MAC = 20
    RECORD_OVERFLOW = 22
    HANDSHAKE_FAILURE = 40
    BAD_CERTIFICATE = 42
    UNSUPPORTED_CERTIFICATE = 43
    CERTIFICATE_REVOKED = 44
    CERTIFICATE_EXPIRED = 45
    CERTIFICATE_UNKNOWN = 46
    ILLEGAL_PARAMETER = 47
    UNKNOWN_CA = 48
    ACCESS_DENIED = 49
    DECODE_ERROR = 50
    DECRYPT_ERROR = 51
    PROTOCOL_VERSION = 70
    INSUFFICIENT_SECURITY = 71
    INTERNAL_ERROR = 80
    USER_CANCELED = 90
    NO_RENEGOTIATION = 100
    UNSUPPORTED_EXTENSION = 110
    NO_APPLICATION_PROTOCOL = 120  # RFC 7301 section 3.2


def alert_name(description: int) -> str:
    """Return the RFC's name of an alert, or its number."""
    try:
        return Alert(description).name.lower()
    except ValueError:
        return str(description)
