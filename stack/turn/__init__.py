"""Traversal Using Relays around NAT: a client and a server without sockets, framing over streams, URIs.

RFC 8656 and 7065. What is implemented, and an example, is in docs/layers/turn.md.
"""

from .client import Client
from .configuration import ServerConfiguration, rest_password
from .events import (
    Allocated,
    AllocationCreated,
    ChannelBound,
    ChannelFailed,
    ClientEvent,
    Closed,
    DataReceived,
    PermissionCreated,
    PermissionFailed,
    Redirected,
    RelayReleased,
    RelayRequested,
    ServerEvent,
)
from .policy import PeerPolicy
from .server import Server
from .uri import Uri, parse_uri
from .wire import MAX_DATA, UDP, StreamDeframer, frame, is_channel_data

__all__ = [
    "MAX_DATA",
    "UDP",
    "Allocated",
    "AllocationCreated",
    "ChannelBound",
    "ChannelFailed",
    "Client",
    "ClientEvent",
    "Closed",
    "DataReceived",
    "PeerPolicy",
    "PermissionCreated",
    "PermissionFailed",
    "Redirected",
    "RelayReleased",
    "RelayRequested",
    "Server",
    "ServerConfiguration",
    "ServerEvent",
    "StreamDeframer",
    "Uri",
    "frame",
    "is_channel_data",
    "parse_uri",
    "rest_password",
]
