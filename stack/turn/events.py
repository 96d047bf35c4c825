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
        additional: A second one, of IPv6, where it was asked for and the server has it.
        additional_error: Error code of the server when it was asked for and the server does not have it: 440 or 508.
    """

    relayed: Address
    mapped: Address | None
    lifetime: int
    additional: Address | None = None
    additional_error: int = 0


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
class IcmpReceived:
    """The server could not reach a peer: RFC 8656 section 11.6. Nothing proves that it is so; take it as a hint.

    Args:
        peer: Whom; the port is 0 if the server does not know it.
        icmp_type: Of ICMPv4 or ICMPv6, as the family of `peer` says.
        code: Likewise.
        mtu: Bytes of the next link's packets where a packet was too big, otherwise 0.
    """

    peer: Address
    icmp_type: int
    code: int
    mtu: int


@dataclass(slots=True)
class Connected:
    """The server has a TCP connection to `peer`; bind one of your own to it within 30 seconds: RFC 6062 section 4.3.

    Args:
        peer: Whom.
        connection_id: For `Client.data_connection`.
    """

    peer: Address
    connection_id: int


@dataclass(slots=True)
class ConnectFailed:
    """The server has no TCP connection to `peer`."""

    peer: Address
    error: PeerError


@dataclass(slots=True)
class ConnectionAttempted:
    """A permitted peer has connected to the relayed address; bind a connection within 30 seconds to accept it.

    Args:
        peer: Who.
        connection_id: For `Client.data_connection`.
    """

    peer: Address
    connection_id: int


@dataclass(slots=True)
class DataConnectionBound:
    """What is sent and received on this connection from now on is between us and the peer: RFC 6062 section 4.5."""


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
    Allocated
    | PermissionCreated
    | PermissionFailed
    | ChannelBound
    | ChannelFailed
    | IcmpReceived
    | Connected
    | ConnectFailed
    | ConnectionAttempted
    | Redirected
    | Closed
)
DataConnectionEvent: TypeAlias = DataConnectionBound | Closed


@dataclass(slots=True)
class RelayRequested:
    """The server needs a socket bound to exactly this address: answer with `relay_opened` or `relay_failed`.

    With transport `udp` it is a UDP socket; with `tcp` one that listens, and that connections to peers leave from.
    """

    relayed: Address


@dataclass(slots=True)
class RelayReleased:
    """The socket at this address is not needed any more."""

    relayed: Address


@dataclass(slots=True)
class AllocationCreated:
    """A client has an allocation now; it ends with `RelayReleased` of each of its addresses.

    Args:
        client: The client's address.
        relayed: The relayed transport address.
        username: Whose it is.
    """

    client: Address
    relayed: Address
    username: str


@dataclass(slots=True)
class PeerConnectionRequested:
    """The server needs a TCP connection: answer with `peer_connected` or `peer_failed`.

    Args:
        connection_id: Of the connection.
        relayed: Where from.
        peer: Where to.
    """

    connection_id: int
    relayed: Address
    peer: Address


@dataclass(slots=True)
class PeerConnectionBound:
    """From behind the response that is in the queue, pass on what each of two connections receives to the other.

    Args:
        connection_id: Of the peer's connection; what it has received so far comes first.
        client: The other end of the client's connection, whose further bytes are not TURN any more.
        local: The end here.
    """

    connection_id: int
    client: Address
    local: Address


@dataclass(slots=True)
class PeerConnectionReleased:
    """Close this peer's connection, and the client's that is bound to it."""

    connection_id: int


ServerEvent: TypeAlias = (
    RelayRequested
    | RelayReleased
    | AllocationCreated
    | PeerConnectionRequested
    | PeerConnectionBound
    | PeerConnectionReleased
    | Closed
)
