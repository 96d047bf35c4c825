"""The long-term credential mechanism, both ends: RFC 8489 section 9.2."""

import hmac
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..core import Address, RandomBytes
from ..core.machine import check_seconds
from .attributes import PasswordAlgorithm
from .credentials import Algorithm, SecurityFeatures, long_term_key, nonce_cookie, nonce_features, userhash
from .message import Message

NONCE_LIFETIME = 3600.0
"""Seconds a nonce is good for: RFC 8656 section 5 wants it to expire at least once every hour."""

_MAC_SIZE = 16
_KNOWN = frozenset(Algorithm)


class LongTermCredential:
    """The client's side: answers challenges, protects requests, verifies responses.

    Args:
        username: The account at the server.
        password: Its password.
    """

    __slots__ = ("_algorithm", "_algorithms", "_anonymous", "_key", "_nonce", "_password", "_realm", "_username")

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._realm = self._nonce = ""
        self._key: bytes | None = None
        self._algorithms: tuple[PasswordAlgorithm, ...] | None = None
        self._algorithm: PasswordAlgorithm | None = None
        self._anonymous = False

    @property
    def challenged(self) -> bool:
        """Whether the server has sent a challenge that can be answered."""
        return self._key is not None

    @property
    def uses_sha256(self) -> bool:
        """Whether requests carry MESSAGE-INTEGRITY-SHA256."""
        return self._algorithms is not None

    def challenge(self, response: Message) -> str | None:
        """Take the challenge in a 401 or 438 response.

        Returns:
            None if the request can be sent again, in a new transaction; otherwise why not: `missing-nonce`,
            `bid-down` (the nonce cookie promises what the response does not have: RFC 8489 section 9.2.5) or
            `no-common-algorithm`. Then nothing has changed.
        """
        realm, nonce = response.realm or self._realm, response.nonce
        if not realm or not nonce:
            return "missing-nonce"
        features = nonce_features(nonce) or SecurityFeatures(0)
        offered = response.password_algorithms
        if features & SecurityFeatures.PASSWORD_ALGORITHMS and offered is None:
            return "bid-down"
        chosen = None
        if offered is not None:
            chosen = next((entry for entry in offered if entry.number in _KNOWN and not entry.parameters), None)
            if chosen is None:
                return "no-common-algorithm"
        self._realm, self._nonce = realm, nonce
        self._algorithms, self._algorithm = offered, chosen
        self._anonymous = bool(features & SecurityFeatures.USERNAME_ANONYMITY)
        number = Algorithm(chosen.number) if chosen is not None else Algorithm.MD5
        self._key = long_term_key(self._username, realm, self._password, number)
        return None

    def serialize(self, request: Message) -> bytes:
        """Return a request as it goes on the wire: bare before the first challenge, protected after it.

        Raises:
            LocalError: A value does not fit its attribute.
        """
        if self._key is None:
            return request.serialize()
        if self._anonymous:
            request.userhash = userhash(self._username, self._realm)
        else:
            request.username = self._username
        request.realm, request.nonce = self._realm, self._nonce
        request.password_algorithms, request.password_algorithm = self._algorithms, self._algorithm
        return request.serialize(key=self._key, sha256=self.uses_sha256)

    def verify(self, response: Message) -> bool:
        """Tell whether a response to a protected request is authentic: RFC 8489 section 9.2.5."""
        if self._key is None or (self.uses_sha256 and not response.uses_sha256):
            return False
        features = nonce_features(response.nonce or "") or SecurityFeatures(0)
        if features & SecurityFeatures.PASSWORD_ALGORITHMS and response.password_algorithms is None:
            return False
        return response.verify_integrity(self._key)


class Authenticated(NamedTuple):
    """A request that passed, and how to protect the response to it."""

    username: str
    key: bytes
    sha256: bool


class Refused(NamedTuple):
    """A request that did not pass: the error code of the response, and whether it carries a challenge."""

    code: int
    challenge: bool


class Authenticator:
    """The server's side. Nonces carry their own proof, so that there is no state for those who never come back.

    Args:
        realm: Tells clients which account to use.
        passwords_of: Returns the passwords of a username, more than one while it is changed, none if there is no
            such user.
        random_bytes: Source of the secret behind nonces.
        algorithms: What clients may derive their key with, best first; none means as in RFC 5389.
        username_of: Finds a username by its USERHASH; given, the server announces username anonymity.
        nonce_lifetime: Seconds.

    Raises:
        LocalError: `nonce_lifetime` is not positive.
    """

    def __init__(
        self,
        realm: str,
        passwords_of: Callable[[str], Sequence[str]],
        *,
        random_bytes: RandomBytes,
        algorithms: tuple[Algorithm, ...] = (Algorithm.SHA256, Algorithm.MD5),
        username_of: Callable[[bytes], str | None] | None = None,
        nonce_lifetime: float = NONCE_LIFETIME,
    ) -> None:
        self._realm = realm
        self._passwords_of = passwords_of
        self._username_of = username_of
        self._nonce_lifetime = check_seconds("nonce_lifetime", nonce_lifetime)
        self._secret = random_bytes(32)
        self._nobody = random_bytes(32)
        self._algorithms = tuple(PasswordAlgorithm(int(number)) for number in algorithms) or None
        features = SecurityFeatures(0)
        if self._algorithms:
            features |= SecurityFeatures.PASSWORD_ALGORITHMS
        if username_of is not None:
            features |= SecurityFeatures.USERNAME_ANONYMITY
        self._cookie = nonce_cookie(features)

    def nonce(self, source: Address, now: float) -> str:
        """Return a nonce for one client, good from now on."""
        return self._nonce(source, int(now) & 0xFFFFFFFF)

    def challenge(self, response: Message, source: Address, now: float) -> None:
        """Add a challenge to a 401 or 438 response."""
        response.realm = self._realm
        response.nonce = self.nonce(source, now)
        response.password_algorithms = self._algorithms

    def authenticate(self, request: Message, source: Address, now: float) -> Authenticated | Refused:
        """Do the checks of RFC 8489 section 9.2.4, in its order."""
        if not request.has_integrity:
            return Refused(401, challenge=True)
        username, nonce = request.username, request.nonce
        if (username is None and request.userhash is None) or request.realm is None or nonce is None:
            return Refused(400, challenge=False)
        chosen = self._chosen(request)
        if chosen is None:
            return Refused(400, challenge=False)
        if username is None and self._username_of is not None and request.userhash is not None:
            username = self._username_of(request.userhash)
        passwords = self._passwords_of(username) if username is not None else ()
        if username is None or not passwords:
            request.verify_integrity(self._nobody)  # so that a user who does not exist takes as long as one who does
            return Refused(401, challenge=True)
        for password in passwords:
            # Our realm, not the one of the request: a key for another realm is another key.
            key = long_term_key(username, self._realm, password, chosen)
            if request.verify_integrity(key):
                break
        else:
            return Refused(401, challenge=True)
        if not self._is_fresh(nonce, source, now):
            return Refused(438, challenge=True)
        return Authenticated(username, key, request.password_algorithm is not None)

    def _chosen(self, request: Message) -> Algorithm | None:
        offered, chosen = request.password_algorithms, request.password_algorithm
        if (offered is None and chosen is None) or self._algorithms is None:
            return Algorithm.MD5
        if chosen is None or offered != self._algorithms or chosen not in offered:
            return None
        return Algorithm(chosen.number)

    def _nonce(self, source: Address, stamp: int) -> str:
        text = f"{source.host} {source.port} {stamp}".encode()
        mac = hmac.digest(self._secret, text, "sha256")[:_MAC_SIZE]
        return f"{self._cookie}{stamp:08x}{mac.hex()}"

    def _is_fresh(self, nonce: str, source: Address, now: float) -> bool:
        size = len(self._cookie)
        try:
            stamp = int(nonce[size : size + 8], 16)
        except ValueError:
            return False
        expected = self._nonce(source, stamp & 0xFFFFFFFF)
        right = hmac.compare_digest(expected.encode(), nonce.encode())
        return right and (int(now) - stamp & 0xFFFFFFFF) <= self._nonce_lifetime
