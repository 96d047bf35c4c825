"""The server side of Binding, without state: RFC 8489 section 6.3.1."""

from ..core import Address, ParseError
from .message import BINDING, Class, Message

REASONS = {
    400: "Bad Request",
    401: "Unauthenticated",
    420: "Unknown Attribute",
    487: "Role Conflict",  # RFC 8445 section 16.2
}


def error_response(request: Message, code: int) -> Message:
    """Return the error response to `request`; 420 lists what was not understood."""
    unknown = tuple(request.unknown_comprehension_required) if code == 420 else None
    return Message(
        request.method,
        Class.ERROR,
        request.transaction_id,
        error_code=(code, REASONS.get(code, "")),
        unknown_attributes=unknown,
    )


def binding_response(request: bytes | Message, source: Address) -> bytes | None:
    """Answer an unauthenticated Binding request, as public STUN servers do.

    Args:
        request: The datagram, or the message in it.
        source: Where it came from.

    Returns:
        The answer, to be sent back to `source`; None for anything that is no Binding request.
    """
    if not isinstance(request, Message):
        try:
            request = Message.parse(request)
        except ParseError:
            return None
    if request.method != BINDING or request.message_class is not Class.REQUEST:
        return None
    if request.unknown_comprehension_required:
        response = error_response(request, 420)
    else:
        response = Message(BINDING, Class.SUCCESS, request.transaction_id, xor_mapped_address=source)
    return response.serialize(fingerprint=request.has_fingerprint)
