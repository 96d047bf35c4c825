"""Traversal Using Relays around NAT: a client and a server without sockets, framing over streams, URIs.

RFC 8656, 6062 and 7065. What is implemented, and an example, is in docs/layers/turn.md.
"""

from .client import Client
from .configuration import ServerConfiguration, rest_password
from .data_connection import DataConnection
from .events import (
    Allocated,
    AllocationCreated,
    ChannelBound,
    ChannelFailed,
    ClientEvent,
    Closed,
    Connected,
    ConnectFailed,
    ConnectionAttempted,
    DataConnectionBound,
    DataConnectionEvent,
    DataReceived,
    IcmpReceived,
    PeerConnectionBound,
    PeerConnectionReleased,
    PeerConnectionRequested,
    PermissionCreated,
    PermissionFailed,
    Redirected,
    RelayReleased,
    RelayRequested,
    ServerEvent,
)
from .policy import PeerPolicy
from .server import Server
from .transaction import REASONS
from .uri import Uri, parse_uri
from .wire import MAX_DATA, TCP, UDP, StreamDeframer, frame, is_channel_data

__all__ = [
    "MAX_DATA",
    "REASONS",
    "TCP",
    "UDP",
    "Allocated",
    "AllocationCreated",
    "ChannelBound",
    "ChannelFailed",
    "Client",
    "ClientEvent",
    "Closed",
    "ConnectFailed",
    "Connected",
    "ConnectionAttempted",
    "DataConnection",
    "DataConnectionBound",
    "DataConnectionEvent",
    "DataReceived",
    "IcmpReceived",
    "PeerConnectionBound",
    "PeerConnectionReleased",
    "PeerConnectionRequested",
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
