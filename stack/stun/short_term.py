"""The short-term credential mechanism, the client's side: RFC 8489 section 9.1."""

from .credentials import short_term_key
from .message import Message


class ShortTermCredential:
    """A name and a password that both ends got elsewhere, for one session.

    Args:
        username: What the server knows us by.
        password: The password.
        sha256: Which integrity attribute the server takes: MESSAGE-INTEGRITY-SHA256, MESSAGE-INTEGRITY, or None if
            it is not known. Then the first request has both, and its response tells.
    """

    __slots__ = ("_key", "_sha256", "_username")

    def __init__(self, username: str, password: str, *, sha256: bool | None = None) -> None:
        self._username = username
        self._key = short_term_key(password)
        self._sha256 = sha256

    def serialize(self, request: Message) -> bytes:
        """Return a request, protected, as it goes on the wire.

        Raises:
            LocalError: A value does not fit its attribute.
        """
        request.username = self._username
        return request.serialize(key=self._key, sha256=bool(self._sha256), both=self._sha256 is None)

    def verify(self, response: Message) -> bool:
        """Tell whether a response is authentic; the first one decides about later requests: section 9.1.5."""
        if self._sha256 is not None and response.uses_sha256 is not self._sha256:
            return False
        if not response.verify_integrity(self._key):
            return False
        self._sha256 = response.uses_sha256
        return True
