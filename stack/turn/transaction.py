"""A request of a client under way, and what can come of it."""

from dataclasses import dataclass
from typing import Final

from ..core import Address, ParseError
from ..stun import Message, Retransmission
from . import wire
from .events import Allocated

MAX_STALE: Final = 3
"""Stale nonces in a row for one request, so that a server cannot keep us busy for ever."""

REASONS: Final = {
    300: "try-alternate",
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    420: "unknown-attributes",
    437: "allocation-mismatch",
    438: "stale-nonce",
    440: "address-family-not-supported",
    441: "wrong-credentials",
    442: "unsupported-transport",
    443: "peer-address-family-mismatch",
    446: "connection-already-exists",
    447: "connection-failed",
    486: "quota-reached",
    508: "insufficient-capacity",
}
"""What error codes are called in a `PeerError`; others are `error-response`."""


@dataclass(slots=True)
class Transaction:
    """A request under way.

    Args:
        method: Of the request.
        subject: What it is about: a host, a peer, or nothing but the allocation.
        request: As it was sent.
        schedule: When it is sent again.
        stale: Stale nonces so far.
        violated: Whether a response came that was not from the server.
        protected: Whether the request has credentials.
    """

    method: int
    subject: str | Address | None
    request: bytes
    schedule: Retransmission
    stale: int = 0
    violated: bool = False
    protected: bool = False


def read_allocation(message: Message, datagram: bytes, transport: str) -> Allocated:
    """Read the success response to an Allocate request: RFC 8656 section 7.3.

    Args:
        message: The response.
        datagram: What it was parsed from.
        transport: Between the server and peers.

    Raises:
        ParseError: `missing-attributes` or `bad-attribute`.
    """
    relays = [
        Address(found.host, found.port, transport) for found in wire.addresses(datagram, wire.XOR_RELAYED_ADDRESS)
    ]
    refused = wire.address_error(message)
    lifetime = number(message, wire.LIFETIME)
    if not relays or not lifetime:
        raise ParseError("missing-attributes")
    additional = relays[1] if len(relays) > 1 else None
    return Allocated(relays[0], message.xor_mapped_address, lifetime, additional, refused[1] if refused else 0)


def number(message: Message, attribute_type: int) -> int | None:
    """Return a number in a response, None if there is none that makes sense."""
    try:
        return wire.u32(message, attribute_type)
    except ParseError:
        return None


def schedule_of(now: float, rto: float, rc: int, reliable: bool) -> Retransmission:
    """Return when to send a request again; over a stream never, and to give up as late: RFC 8489 section 6.2.2."""
    return Retransmission(now, rto, 1, Retransmission(0.0, rto, rc).end) if reliable else Retransmission(now, rto, rc)
