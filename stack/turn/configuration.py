"""How a TURN server is set up, and the passwords it knows."""

import hmac
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ..core import LocalError
from ..stun import NONCE_LIFETIME, Algorithm
from . import wire

MAX_ALLOCATIONS: Final = 1000
"""Allocations at a time by default: as many sockets as a process may have open on an ordinary Linux."""
MAX_ALLOCATIONS_PER_USER: Final = 20
"""Allocations of one user by default: some calls, each with a few servers, interfaces and families."""


def rest_password(secret: str, username: str) -> str:
    """Return the password of a time-limited username: draft-uberti-behave-turn-rest-00 section 2.2.

    Args:
        secret: Shared between the TURN server and whoever hands out credentials.
        username: `<UNIX time at which it expires>`, or that, a colon, and a user id.
    """
    return b64encode(hmac.digest(secret.encode(), username.encode(), "sha1")).decode()


def rest_expiry(username: str) -> int | None:
    """Return when a time-limited username expires, in UNIX time; None if it is no such username."""
    digits = username.partition(":")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 15 else None


@dataclass(frozen=True, slots=True)
class ServerConfiguration:
    """What a `Server` does for whom.

    Args:
        realm: Tells clients which account to use; by custom the domain of the operator.
        relay_hosts: The addresses to relay from, at most one IPv4 and one IPv6.
        users: Password by username.
        rest_secret: Shared secret of time-limited credentials, none if empty.
        old_rest_secret: The one before it, still accepted while the secret is changed.
        ports: First and last port to relay from.
        max_lifetime: Seconds of an allocation without renewal, at most.
        max_allocations: In total.
        max_allocations_per_user: For each user.
        allowed_peers: Networks to relay to although they are not public, for example `10.0.0.0/8`.
        denied_peers: Further networks to keep away from; they win over `allowed_peers`.
        own_hosts: Further addresses of the server's machine. They and `relay_hosts` are relayed to only if
            `allowed_peers` names exactly that address.
        relay_to_relay: Whether two clients of this server may reach each other through their relayed addresses.
        tcp_relays: Whether TCP clients may have TCP connections to peers: RFC 6062.
        algorithms: Password algorithms to offer, best first; none for a server as in RFC 5766.
        username_anonymity: Whether clients are asked for USERHASH; not with `rest_secret`.
        nonce_lifetime: Seconds.
        software: Value of SOFTWARE, none if empty.

    Raises:
        LocalError: A value is out of its range.
    """

    realm: str
    relay_hosts: tuple[str, ...]
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    rest_secret: str = field(default="", repr=False)
    old_rest_secret: str = field(default="", repr=False)
    ports: tuple[int, int] = (49152, 65535)
    max_lifetime: int = wire.MAX_LIFETIME
    max_allocations: int = MAX_ALLOCATIONS
    max_allocations_per_user: int = MAX_ALLOCATIONS_PER_USER
    allowed_peers: tuple[str, ...] = ()
    denied_peers: tuple[str, ...] = ()
    own_hosts: tuple[str, ...] = ()
    relay_to_relay: bool = True
    tcp_relays: bool = False
    algorithms: tuple[Algorithm, ...] = (Algorithm.SHA256, Algorithm.MD5)
    username_anonymity: bool = False
    nonce_lifetime: float = NONCE_LIFETIME
    software: str = ""

    def __post_init__(self) -> None:
        """Check the values."""
        first, last = self.ports
        if not 1023 < first <= last < 65536:
            raise LocalError("relay ports are between 1024 and 65535")  # RFC 8656 section 7.2
        families = [wire.family_of(host) for host in self.relay_hosts]
        if not families or len(set(families)) != len(families):
            raise LocalError("relay_hosts has one address of each family at most, and one at least")
        if not self.realm:
            raise LocalError("a realm is needed")
        if self.max_lifetime < wire.DEFAULT_LIFETIME or min(self.max_allocations, self.max_allocations_per_user) < 0:
            raise LocalError(f"max_lifetime is at least {wire.DEFAULT_LIFETIME} seconds, and counts are not negative")
        if self.username_anonymity and self.rest_secret:
            raise LocalError("time-limited usernames cannot be found by their hash")

    def passwords(self, username: str) -> tuple[str, ...]:
        """Return the passwords of a username; none if there is no such user."""
        static = self.users.get(username)
        if static is not None:
            return (static,)
        if not self.rest_secret or rest_expiry(username) is None:
            return ()
        secrets = (self.rest_secret, self.old_rest_secret) if self.old_rest_secret else (self.rest_secret,)
        return tuple(rest_password(secret, username) for secret in secrets)

    def is_expired(self, username: str, unix_time: float) -> bool:
        """Tell whether a time-limited username may not allocate any more."""
        if username in self.users:
            return False
        expiry = rest_expiry(username)
        return expiry is None or expiry <= unix_time

    def account(self, username: str) -> str:
        """Return whose allocations count together: the user id of a time-limited username, or the username."""
        return username if username in self.users else username.partition(":")[2] or username
