"""Error codes of a TURN server: RFC 8656 section 19, RFC 6062 section 6.3, RFC 8489 section 14.8."""

from typing import Final

from ..stun import Class, Message
from . import wire

ERRORS: Final = {
    400: "Bad Request",
    401: "Unauthenticated",
    403: "Forbidden",
    420: "Unknown Attribute",
    437: "Allocation Mismatch",
    438: "Stale Nonce",
    440: "Address Family not Supported",
    441: "Wrong Credentials",
    442: "Unsupported Transport Protocol",
    443: "Peer Address Family Mismatch",
    446: "Connection Already Exists",
    447: "Connection Timeout or Failure",
    486: "Allocation Quota Reached",
    508: "Insufficient Capacity",
}
"""Reason phrases by error code."""


def error_response(request: Message, code: int) -> Message:
    """Return an error response to `request`; with 420 it names what was not understood."""
    return Message(
        request.method,
        Class.ERROR,
        request.transaction_id,
        error_code=(code, ERRORS[code]),
        unknown_attributes=wire.unknown_attributes(request) if code == 420 else None,
    )
