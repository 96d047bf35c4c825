"""The values of attributes, to and from their wire form (RFC 8489 section 14, RFC 8445 section 16.1).

A decoder takes the value and the transaction id, and returns None for a value that RFC 8489 wants ignored. An encoder
takes the same the other way round. Values of the wrong shape raise `ParseError("bad-attribute")`; decoders may also
raise `ValueError`, which `Message.parse` turns into the same.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import NamedTuple

from ..core import Address, LocalError, ParseError

MAGIC_COOKIE = 0x2112A442
MAX_TEXT = 763
"""Bytes of a text attribute: REALM, NONCE and SOFTWARE are the longest ones (RFC 8489 section 14.9)."""

MAX_DOMAIN = 255
"""Bytes of ALTERNATE-DOMAIN (RFC 8489 section 14.16)."""
MAX_ALGORITHMS = 16
"""Entries in PASSWORD-ALGORITHMS. Two exist; this keeps the work per datagram small."""
USERHASH_SIZE = 32

_COOKIE_BYTES = MAGIC_COOKIE.to_bytes(4, "big")
_FAMILY_IPV4 = 1
_FAMILY_IPV6 = 2
_ADDRESS4 = Struct("!xBHL")
_ADDRESS4_SIZE = 8
_ADDRESS6_HEAD = Struct("!xBH")
_ADDRESS6_SIZE = 20
_U32 = Struct("!L")
_U64 = Struct("!Q")
_ALGORITHM = Struct("!HH")


class ErrorCode(NamedTuple):
    """The value of ERROR-CODE: RFC 8489 section 14.8."""

    code: int
    reason: str


class PasswordAlgorithm(NamedTuple):
    """One entry of PASSWORD-ALGORITHMS: RFC 8489 section 14.11.

    Args:
        number: From the registry in RFC 8489 section 18.5.
        parameters: None of the known algorithms has any.
    """

    number: int
    parameters: bytes = b""


# NAT and peer addresses come back in every message of a session; the bound is for servers that see many.
@lru_cache(maxsize=1024)
def _text4(value: int) -> str:
    return str(IPv4Address(value))


@lru_cache(maxsize=1024)
def _text6(value: int) -> str:
    return str(IPv6Address(value))


@lru_cache(maxsize=1024)
def _number(host: str) -> tuple[int, int]:
    """Return the address family and the address as a number."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError as error:
        raise LocalError(f"{host!r} is not an IP address") from error
    return (_FAMILY_IPV4 if address.version == 4 else _FAMILY_IPV6), int(address)


def _decode_address(value: bytes, xor_port: int, xor4: int, xor6: int) -> Address | None:
    size = len(value)
    if size == _ADDRESS4_SIZE and value[1] == _FAMILY_IPV4:
        _, port, number = _ADDRESS4.unpack(value)
        return Address(_text4(number ^ xor4), port ^ xor_port)
    if size == _ADDRESS6_SIZE and value[1] == _FAMILY_IPV6:
        _, port = _ADDRESS6_HEAD.unpack_from(value)
        return Address(_text6(int.from_bytes(value[4:], "big") ^ xor6), port ^ xor_port)
    if size < 4 or value[1] in {_FAMILY_IPV4, _FAMILY_IPV6}:
        raise ParseError("bad-attribute", "address of the wrong size")
    return None  # RFC 8489 section 6.3.3: an unsupported address family is ignored


def _encode_address(address: Address, xor_port: int, xor4: int, xor6: int) -> bytes:
    family, number = _number(address.host)
    port = address.port ^ xor_port
    if family == _FAMILY_IPV4:
        return _ADDRESS4.pack(family, port, number ^ xor4)
    return _ADDRESS6_HEAD.pack(family, port) + (number ^ xor6).to_bytes(16, "big")


def decode_mapped_address(value: bytes, _: bytes) -> Address | None:
    """Read MAPPED-ADDRESS."""
    return _decode_address(value, 0, 0, 0)


def encode_mapped_address(address: Address, _: bytes) -> bytes:
    """Write MAPPED-ADDRESS."""
    return _encode_address(address, 0, 0, 0)


def decode_xor_address(value: bytes, transaction_id: bytes) -> Address | None:
    """Read XOR-MAPPED-ADDRESS and its like."""
    xor6 = int.from_bytes(_COOKIE_BYTES + transaction_id, "big") if len(value) == _ADDRESS6_SIZE else 0
    return _decode_address(value, MAGIC_COOKIE >> 16, MAGIC_COOKIE, xor6)


def encode_xor_address(address: Address, transaction_id: bytes) -> bytes:
    """Write XOR-MAPPED-ADDRESS and its like."""
    return _encode_address(
        address, MAGIC_COOKIE >> 16, MAGIC_COOKIE, int.from_bytes(_COOKIE_BYTES + transaction_id, "big")
    )


def decode_text(value: bytes, _: bytes) -> str:
    """Read UTF-8 text."""
    if len(value) > MAX_TEXT:
        raise ParseError("bad-attribute", "text too long")
    return value.decode()


def encode_text(text: str, _: bytes) -> bytes:
    """Write UTF-8 text."""
    value = text.encode()
    if len(value) > MAX_TEXT:
        raise LocalError(f"text of {len(value)} bytes does not fit in a STUN attribute")
    return value


def decode_u32(value: bytes, _: bytes) -> int:
    """Read 32 bits."""
    if len(value) != 4:
        raise ParseError("bad-attribute", "not 4 bytes")
    return int.from_bytes(value, "big")


def encode_u32(number: int, _: bytes) -> bytes:
    """Write 32 bits."""
    return _U32.pack(number)


def decode_u64(value: bytes, _: bytes) -> int:
    """Read 64 bits."""
    if len(value) != 8:
        raise ParseError("bad-attribute", "not 8 bytes")
    return int.from_bytes(value, "big")


def encode_u64(number: int, _: bytes) -> bytes:
    """Write 64 bits."""
    return _U64.pack(number)


def decode_flag(value: bytes, _: bytes) -> bool:
    """Read an attribute that says something by being there."""
    if value:
        raise ParseError("bad-attribute", "a flag has no value")
    return True


def encode_flag(_: bool, __: bytes) -> bytes:
    """Write an attribute without a value."""
    return b""


def decode_error_code(value: bytes, transaction_id: bytes) -> ErrorCode:
    """Read ERROR-CODE."""
    if len(value) < 4 or not 3 <= value[2] & 7 <= 6 or value[3] > 99:
        raise ParseError("bad-attribute", "not an error code")
    return ErrorCode((value[2] & 7) * 100 + value[3], decode_text(value[4:], transaction_id))


def encode_error_code(error: ErrorCode, transaction_id: bytes) -> bytes:
    """Write ERROR-CODE."""
    code, reason = error
    if not 300 <= code <= 699:
        raise LocalError(f"{code} is not a STUN error code")
    return bytes((0, 0, code // 100, code % 100)) + encode_text(reason, transaction_id)


def decode_types(value: bytes, _: bytes) -> tuple[int, ...]:
    """Read UNKNOWN-ATTRIBUTES."""
    if len(value) % 2:
        raise ParseError("bad-attribute", "half an attribute type")
    return tuple(int.from_bytes(value[at : at + 2], "big") for at in range(0, len(value), 2))


def encode_types(types: tuple[int, ...], _: bytes) -> bytes:
    """Write UNKNOWN-ATTRIBUTES."""
    return b"".join(attribute_type.to_bytes(2, "big") for attribute_type in types)


def decode_algorithms(value: bytes, _: bytes) -> tuple[PasswordAlgorithm, ...]:
    """Read PASSWORD-ALGORITHMS."""
    found: list[PasswordAlgorithm] = []
    offset, size = 0, len(value)
    while offset < size:
        if len(found) == MAX_ALGORITHMS or offset + 4 > size:
            raise ParseError("bad-attribute", "not a list of password algorithms")
        number, length = _ALGORITHM.unpack_from(value, offset)
        end = offset + 4 + length
        if end > size:
            raise ParseError("bad-attribute", "algorithm parameters are truncated")
        found.append(PasswordAlgorithm(number, value[offset + 4 : end]))
        offset = end + (-length & 3)
    return tuple(found)


def encode_algorithms(algorithms: tuple[PasswordAlgorithm, ...], _: bytes) -> bytes:
    """Write PASSWORD-ALGORITHMS."""
    if len(algorithms) > MAX_ALGORITHMS:
        raise LocalError(f"{len(algorithms)} password algorithms are too many")
    return b"".join(
        _ALGORITHM.pack(number, len(parameters)) + parameters + bytes(-len(parameters) & 3)
        for number, parameters in algorithms
    )


def decode_algorithm(value: bytes, transaction_id: bytes) -> PasswordAlgorithm:
    """Read PASSWORD-ALGORITHM."""
    algorithms = decode_algorithms(value, transaction_id)
    if len(algorithms) != 1:
        raise ParseError("bad-attribute", "not one password algorithm")
    return algorithms[0]


def encode_algorithm(algorithm: PasswordAlgorithm, transaction_id: bytes) -> bytes:
    """Write PASSWORD-ALGORITHM."""
    return encode_algorithms((algorithm,), transaction_id)


def decode_userhash(value: bytes, _: bytes) -> bytes:
    """Read USERHASH."""
    if len(value) != USERHASH_SIZE:
        raise ParseError("bad-attribute", "not 32 bytes")
    return value


def encode_userhash(value: bytes, _: bytes) -> bytes:
    """Write USERHASH."""
    if len(value) != USERHASH_SIZE:
        raise LocalError("USERHASH has 32 bytes")
    return value


def decode_domain(value: bytes, _: bytes) -> str:
    """Read ALTERNATE-DOMAIN."""
    if len(value) > MAX_DOMAIN:
        raise ParseError("bad-attribute", "domain too long")
    return value.decode("ascii")


def encode_domain(domain: str, _: bytes) -> bytes:
    """Write ALTERNATE-DOMAIN."""
    value = domain.encode("ascii")
    if len(value) > MAX_DOMAIN:
        raise LocalError("a domain has at most 255 characters")
    return value
