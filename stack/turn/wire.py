"""What TURN adds to STUN: methods, attributes, ChannelData (RFC 8656 sections 12.4, 17 and 18).

The attributes of TURN stay bytes in a `stun.Message`, which knows nothing of them; here they are read and written.
"""

from collections.abc import Iterator
from ipaddress import ip_address
from struct import Struct
from typing import Final

from ..core import Address, LocalError, ParseError
from ..stun import Class, Deframer, Message
from ..stun.attributes import decode_xor_address, encode_xor_address

ALLOCATE: Final = 0x003
REFRESH: Final = 0x004
SEND: Final = 0x006
DATA_INDICATION: Final = 0x007
CREATE_PERMISSION: Final = 0x008
CHANNEL_BIND: Final = 0x009
CONNECT: Final = 0x00A
CONNECTION_BIND: Final = 0x00B
CONNECTION_ATTEMPT: Final = 0x00C

CHANNEL_NUMBER: Final = 0x000C
LIFETIME: Final = 0x000D
XOR_PEER_ADDRESS: Final = 0x0012
DATA: Final = 0x0013
XOR_RELAYED_ADDRESS: Final = 0x0016
REQUESTED_ADDRESS_FAMILY: Final = 0x0017
EVEN_PORT: Final = 0x0018
REQUESTED_TRANSPORT: Final = 0x0019
DONT_FRAGMENT: Final = 0x001A
RESERVATION_TOKEN: Final = 0x0022
CONNECTION_ID: Final = 0x002A
ADDITIONAL_ADDRESS_FAMILY: Final = 0x8000
ADDRESS_ERROR_CODE: Final = 0x8001
ICMP: Final = 0x8004

KNOWN: Final = frozenset(
    (
        CHANNEL_NUMBER,
        LIFETIME,
        XOR_PEER_ADDRESS,
        DATA,
        XOR_RELAYED_ADDRESS,
        REQUESTED_ADDRESS_FAMILY,
        EVEN_PORT,
        REQUESTED_TRANSPORT,
        RESERVATION_TOKEN,
        CONNECTION_ID,
    )
)
"""Comprehension-required attributes that are understood. DONT-FRAGMENT is not: RFC 8656 section 7.2, check 4."""

TCP: Final = 6
UDP: Final = 17
FIRST_CHANNEL: Final = 0x4000
LAST_CHANNEL: Final = 0x4FFF
# Deviates: a server takes the numbers of RFC 5766 section 11 too, which RFC 8656 section 12 has reserved: coturn's
# client still picks from all of them, and on a server's port there is no other protocol to be mistaken for.
LAST_OLD_CHANNEL: Final = 0x7FFF
PERMISSION_LIFETIME: Final = 300.0
"""Seconds: RFC 8656 section 9."""
CHANNEL_LIFETIME: Final = 600.0
"""Seconds: RFC 8656 section 12."""
DEFAULT_LIFETIME: Final = 600
"""Seconds of an allocation: RFC 8656 section 3.2."""
MAX_LIFETIME: Final = 3600
"""Seconds of an allocation: RFC 8656 section 7.2 recommends it as the most a server grants."""
MAX_DATA: Final = 65_456
"""Bytes of one payload: a Send indication with an IPv6 peer has to fit in the 65 507 bytes of a UDP datagram over IPv4,
or, over TCP, in the 16 bits of its length."""

_U32 = Struct("!L").pack
_CHANNEL = Struct("!HH")
_pack_channel = _CHANNEL.pack
unpack_channel = _CHANNEL.unpack_from
"""Read channel number and length of ChannelData."""
_FAMILIES = {4: b"\x01\0\0\0", 6: b"\x02\0\0\0"}
_VERSIONS = {1: 4, 2: 6}
_ICMP = Struct("!xxBBL")
_INTEGRITY = frozenset((0x0008, 0x001C))


class Repeated(int):
    """A type under which `Message.attributes` takes one more attribute, beside another one of that type."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        """Tell whether it is the same entry; the number does not count."""
        return self is other


def family_of(host: str) -> int:
    """Return 4 or 6.

    Raises:
        LocalError: It is no IP address.
    """
    try:
        return ip_address(host.partition("%")[0]).version
    except ValueError as error:
        raise LocalError(f"{host!r} is not an IP address") from error


def check_port(peer: Address) -> None:
    """Check the port of an address.

    Raises:
        LocalError: It is none.
    """
    if not 0 <= peer.port < 65536:
        raise LocalError("a port has 16 bits")


def raw(message: Message, attribute_type: int) -> bytes | None:
    """Return the value of a TURN attribute as it came."""
    value = message.attributes.get(attribute_type)
    return value if isinstance(value, bytes) else None


def u32(message: Message, attribute_type: int) -> int | None:
    """Read a number of 32 bits.

    Raises:
        ParseError: `bad-attribute`.
    """
    value = raw(message, attribute_type)
    if value is None:
        return None
    if len(value) != 4:
        raise ParseError("bad-attribute", "not 4 bytes")
    return int.from_bytes(value, "big")


def address(message: Message, attribute_type: int) -> Address | None:
    """Read the first address of a type.

    Raises:
        ParseError: `bad-attribute`.
    """
    value = raw(message, attribute_type)
    return None if value is None else _address(value, message.transaction_id)


def _address(value: bytes, transaction_id: bytes) -> Address:
    found = decode_xor_address(value, transaction_id)
    if found is None:
        raise ParseError("bad-attribute", "not an address of a known family")
    return found


def addresses(datagram: bytes, attribute_type: int) -> Iterator[Address]:
    """Read every address of a type out of a message that `Message.parse` has taken; it keeps the first one only.

    Raises:
        ParseError: `bad-attribute`.
    """
    offset, size = 20, len(datagram)
    while offset + 4 <= size:
        found, length = unpack_channel(datagram, offset)
        if found in _INTEGRITY:
            return  # what follows is not protected
        offset += 4
        if found == attribute_type:
            yield _address(datagram[offset : offset + length], datagram[8:20])
        offset += length + (-length & 3)


def set_address(message: Message, attribute_type: int, value: Address) -> None:
    """Write an address.

    Raises:
        LocalError: It is none.
    """
    try:
        message.attributes[attribute_type] = encode_xor_address(value, message.transaction_id)
    except Exception as error:
        raise LocalError(f"{value} is not a transport address") from error


def add_address(message: Message, attribute_type: int, value: Address) -> None:
    """Write one more address of a type that the message may have already.

    Raises:
        LocalError: It is none.
    """
    set_address(message, Repeated(attribute_type), value)


def set_u32(message: Message, attribute_type: int, value: int) -> None:
    """Write a number of 32 bits."""
    message.attributes[attribute_type] = _U32(value)


def set_channel(message: Message, number: int) -> None:
    """Write CHANNEL-NUMBER."""
    message.attributes[CHANNEL_NUMBER] = _pack_channel(number, 0)


def channel(message: Message) -> int | None:
    """Read CHANNEL-NUMBER.

    Raises:
        ParseError: `bad-attribute`.
    """
    value = u32(message, CHANNEL_NUMBER)
    return None if value is None else value >> 16


def set_family(message: Message, version: int, attribute_type: int = REQUESTED_ADDRESS_FAMILY) -> None:
    """Write an address family: 4 or 6."""
    message.attributes[attribute_type] = _FAMILIES[version]


def family(message: Message, attribute_type: int = REQUESTED_ADDRESS_FAMILY) -> int | None:
    """Read an address family: 4 or 6; 0 for another one.

    Raises:
        ParseError: `bad-attribute`.
    """
    value = u32(message, attribute_type)
    return None if value is None else _VERSIONS.get(value >> 24, 0)


def icmp(message: Message) -> tuple[int, int, int] | None:
    """Read ICMP: type, code, and the MTU of the next link where the type has one (RFC 8656 section 18.13).

    Raises:
        ParseError: `bad-attribute`.
    """
    value = raw(message, ICMP)
    if value is None:
        return None
    if len(value) != _ICMP.size:
        raise ParseError("bad-attribute", "not 8 bytes")
    found: tuple[int, int, int] = _ICMP.unpack(value)
    return found


def set_icmp(message: Message, icmp_type: int, code: int, data: int) -> None:
    """Write ICMP."""
    message.attributes[ICMP] = _ICMP.pack(icmp_type, code, data)


def address_error(message: Message) -> tuple[int, int] | None:
    """Read ADDRESS-ERROR-CODE: address family (4 or 6, 0 for another) and error code (RFC 8656 section 18.12).

    Raises:
        ParseError: `bad-attribute`.
    """
    value = raw(message, ADDRESS_ERROR_CODE)
    if value is None:
        return None
    if len(value) < 4:
        raise ParseError("bad-attribute", "no error code")
    return _VERSIONS.get(value[0], 0), (value[2] & 7) * 100 + value[3]


def set_address_error(message: Message, version: int, code: int, reason: str) -> None:
    """Write ADDRESS-ERROR-CODE."""
    message.attributes[ADDRESS_ERROR_CODE] = bytes((2 if version == 6 else 1, 0, code // 100, code % 100)) + (
        reason.encode()
    )


def unknown_attributes(message: Message) -> tuple[int, ...]:
    """Return the comprehension-required attributes that neither STUN nor TURN knows."""
    return tuple(found for found in message.unknown_comprehension_required if found not in KNOWN)


def relay_message(method: int, transaction_id: bytes, peer: Address, data: bytes) -> bytes:
    """Write a Send or Data indication: RFC 8656 sections 11.1 and 11.3."""
    message = Message(method, Class.INDICATION, transaction_id)
    message.attributes[XOR_PEER_ADDRESS] = encode_xor_address(peer, transaction_id)
    message.attributes[DATA] = data
    return message.serialize(fingerprint=False)


def is_channel_data(data: bytes) -> bool:
    """Tell whether the first byte is that of ChannelData: RFC 8656 section 12."""
    return len(data) > 0 and 0x40 <= data[0] <= 0x4F


def is_old_channel_data(data: bytes) -> bool:
    """Tell whether the first byte is that of ChannelData in the wider range of RFC 5766 section 11."""
    return len(data) > 0 and 0x40 <= data[0] <= 0x7F


def channel_data(number: int, data: bytes) -> bytes:
    """Write ChannelData, without padding."""
    return _pack_channel(number, len(data)) + data


def parse_channel_data(data: bytes) -> tuple[int, bytes]:
    """Read ChannelData: the number and the payload. Padding behind it is allowed over UDP too.

    Raises:
        ParseError: `truncated`.
    """
    if len(data) < 4:
        raise ParseError("truncated")
    number, length = unpack_channel(data)
    if len(data) < 4 + length:
        raise ParseError("truncated")
    return number, data[4 : 4 + length]


def frame(message: bytes) -> bytes:
    """Return a message as it goes on a TCP or TLS connection: padded to four bytes (RFC 8656 section 12.5)."""
    return message + bytes(-len(message) & 3)


class StreamDeframer(Deframer):
    """Cuts STUN messages and ChannelData out of a TCP or TLS stream."""

    __slots__ = ()

    def _sizes(self, buffer: bytearray, offset: int) -> tuple[int, int] | None:
        if offset < len(buffer) and 0x40 <= buffer[offset] <= 0x7F:
            if len(buffer) - offset < 4:
                return None
            size = 4 + int(unpack_channel(buffer, offset)[1])
            return size, size + (-size & 3)
        return super()._sizes(buffer, offset)
