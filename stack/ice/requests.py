"""Binding requests from the other side: credentials, role conflicts, answers (RFC 8445 section 7.3)."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..core import Address
from ..stun import BINDING, Class, Message, error_response


@dataclass(slots=True)
class EarlyCheck:
    """An authenticated request whose sender's credentials are not known yet: RFC 8445 section 7.3."""

    local: Address
    remote: Address
    priority: int
    use_candidate: bool
    remote_ufrag: str
    nomination: int = 0


def authenticate(message: Message, passwords: dict[str, bytes]) -> tuple[int, str] | None:
    """Check a request: RFC 8489 section 9.1.3.

    Args:
        message: The request.
        passwords: Keys by local username fragment.

    Returns:
        None if it is authentic, else error code and drop reason.
    """
    username = message.username
    if username is None or not message.has_integrity:
        return 400, "missing-credentials"
    key = passwords.get(username.partition(":")[0])
    if key is None:
        return 401, "unknown-username"
    if not message.verify_integrity(key):
        return 401, "bad-integrity"
    return None


def unauthenticated_answer(request: Message, code: int, size: int) -> bytes | None:
    """Return the answer to a request that `authenticate` refused.

    Args:
        request: The request.
        code: Error code.
        size: Bytes of the request's datagram.
    """
    answer = error_response(request, code).serialize()
    # Deviates: RFC 8489 section 9.1.3 answers all of them. A request shorter than the answer is no check of ours,
    # and to answer it would lend itself to amplification towards a forged source.
    return answer if len(answer) <= size else None


def success_answer(request: Message, source: Address, key: bytes) -> bytes:
    """Return the success response: RFC 8489 section 6.3.1.1."""
    response = Message(BINDING, Class.SUCCESS, request.transaction_id, xor_mapped_address=source)
    return response.serialize(key=key, sha256=request.uses_sha256)


def error_answer(request: Message, code: int, key: bytes) -> bytes:
    """Return an error response to an authentic request."""
    return error_response(request, code).serialize(key=key, sha256=request.uses_sha256)


Verdict: TypeAlias = Literal["no-conflict", "switch", "refuse"]


def judge_roles(request: Message, tie_breaker: int, *, controlling: bool) -> Verdict:
    """Detect a role conflict: RFC 8445 section 7.3.1.1."""
    if controlling and request.ice_controlling is not None:
        return "refuse" if tie_breaker >= request.ice_controlling else "switch"
    if not controlling and request.ice_controlled is not None:
        return "switch" if tie_breaker >= request.ice_controlled else "refuse"
    return "no-conflict"
