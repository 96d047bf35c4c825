"""The attributes of RFC 5780 that a request may have.

They are comprehension-required. `Message` does not know them and keeps their bytes, so that whoever does not follow
RFC 5780, such as ICE, answers 420 by itself.
"""

from typing import Final, NamedTuple

from ..core import LocalError, ParseError
from .message import Message

CHANGE_REQUEST: Final = 0x0003
PADDING: Final = 0x0026
RESPONSE_PORT: Final = 0x0027

CHANGE_IP: Final = 4  # RFC 5780 section 7.2
CHANGE_PORT: Final = 2


class Wishes(NamedTuple):
    """What a request asks for beyond a plain Binding.

    Args:
        change_ip: A response from the other address.
        change_port: A response from the other port.
        response_port: A response to this port, None for the one that the request came from.
        padding: Bytes of PADDING in the request, None without.
    """

    change_ip: bool
    change_port: bool
    response_port: int | None
    padding: int | None


def wishes_of(request: Message) -> Wishes:
    """Read the attributes.

    Raises:
        ParseError: `bad-attribute`: a value has the wrong size, RESPONSE-PORT is 0 and nothing could be sent there,
            or there is RESPONSE-PORT with PADDING, which RFC 5780 section 6.1 answers with 400.
    """
    change = _value(request, CHANGE_REQUEST)
    if change is not None and len(change) != 4:
        raise ParseError("bad-attribute", "CHANGE-REQUEST has 4 bytes")
    flags = change[3] if change else 0
    port, padding = _value(request, RESPONSE_PORT), _value(request, PADDING)
    # RFC 5780 section 7.5 leaves open whether the two bytes of padding count in the length.
    if port is not None and (len(port) not in {2, 4} or port[:2] == b"\0\0"):
        raise ParseError("bad-attribute", "RESPONSE-PORT has 2 bytes and 2 of padding, and is not 0")
    if port is not None and padding is not None:
        raise ParseError("bad-attribute", "RESPONSE-PORT together with PADDING")
    return Wishes(
        bool(flags & CHANGE_IP),
        bool(flags & CHANGE_PORT),
        None if port is None else int.from_bytes(port[:2], "big"),
        None if padding is None else len(padding),
    )


def set_change_request(message: Message, *, ip: bool, port: bool) -> None:
    """Ask for a response from another address, another port, or both."""
    message.attributes[CHANGE_REQUEST] = bytes((0, 0, 0, ip * CHANGE_IP | port * CHANGE_PORT))


def set_response_port(message: Message, port: int) -> None:
    """Ask for a response to another port.

    Raises:
        LocalError: It is not in 1..65535.
    """
    if not 0 < port < 65536:
        raise LocalError(f"{port} is not a port")
    message.attributes[RESPONSE_PORT] = port.to_bytes(2, "big") + b"\0\0"


def _value(message: Message, attribute_type: int) -> bytes | None:
    value = message.attributes.get(attribute_type)
    return value if isinstance(value, bytes) else None
