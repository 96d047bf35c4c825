"""What the machines of TURN report."""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from ..core import Address, PeerError


class DataReceived(NamedTuple):
    """Data of a peer, handed on in batches by `Client.take_data`."""

    data: bytes
    peer: Address


@dataclass(slots=True)
class Allocated:
    """The server relays for us now.

    Args:
        relayed: Where peers reach us.
        mapped: Our address as the server sees it; None if it did not say.
        lifetime: Seconds, renewed by the client itself.
    """

    relayed: Address
    mapped: Address | None
    lifetime: int


@dataclass(slots=True)
class PermissionCreated:
    """Peers at `host` may reach us now, and we them."""

    host: str


@dataclass(slots=True)
class PermissionFailed:
    """The server refused a permission, or to renew it; nothing goes to `host` any more."""

    host: str
    error: PeerError


@dataclass(slots=True)
class ChannelBound:
    """Data to and from `peer` travels with four bytes of overhead now."""

    peer: Address


@dataclass(slots=True)
class ChannelFailed:
    """The server refused a channel, or to renew it; where there is a permission, data goes on in indications."""

    peer: Address
    error: PeerError


@dataclass(slots=True)
class Redirected:
    """The server wants another one to be used: RFC 8489 section 10. `Closed` follows.

    Args:
        server: Its address; reach it by the same transport and with the same credentials.
        domain: The name its TLS certificate has, if another.
    """

    server: Address
    domain: str | None


@dataclass(slots=True)
class Closed:
    """The end; the last event.

    Args:
        error: Why, or None after `close`.
    """

    error: PeerError | None = None


ClientEvent: TypeAlias = (
    Allocated | PermissionCreated | PermissionFailed | ChannelBound | ChannelFailed | Redirected | Closed
)


@dataclass(slots=True)
class RelayRequested:
    """The server needs a UDP socket bound to exactly this address: answer with `relay_opened` or `relay_failed`."""

    relayed: Address


@dataclass(slots=True)
class RelayReleased:
    """The socket at this address is not needed any more."""

    relayed: Address


@dataclass(slots=True)
class AllocationCreated:
    """A client has an allocation now; it ends with `RelayReleased`.

    Args:
        client: The client's address.
        relayed: The relayed transport address.
        username: Whose it is.
    """

    client: Address
    relayed: Address
    username: str


ServerEvent: TypeAlias = RelayRequested | RelayReleased | AllocationCreated | Closed
