"""Session Traversal Utilities for NAT: messages, credentials, retransmission, framing, clients and servers.

RFC 8489, and RFC 5780 for what NATs do. What is implemented, and an example, is in docs/layers/stun.md.
"""

from .attributes import MAGIC_COOKIE, MAX_ALGORITHMS, MAX_DOMAIN, MAX_TEXT, ErrorCode, PasswordAlgorithm
from .behavior import CHANGE_REQUEST, PADDING, RESPONSE_PORT, set_change_request, set_response_port
from .binding_server import MAX_PADDING, MAX_PENDING, BindingServer, ServerClosed
from .client import MAX_CHALLENGES, TI, Client, Closed, Event, Failed, Redirected, Responded, TimedOut, Unreachable
from .credentials import (
    Algorithm,
    SecurityFeatures,
    long_term_key,
    nonce_cookie,
    nonce_features,
    short_term_key,
    userhash,
)
from .discovery import MAX_LIFETIME, Discovered, NatDiscovery, TestCompleted, TestStarted
from .framing import MAX_BUFFERED, Deframer, message_size
from .limiter import BURST, MAX_SOURCES, RATE
from .long_term import NONCE_LIFETIME, Authenticated, Authenticator, LongTermCredential, Refused
from .message import BINDING, MAX_ATTRIBUTES, Attribute, Class, Message, is_stun
from .nat import PEERS, Behavior, Expectation, Nat, NatName, NatReport, can_connect
from .retransmission import RC, RM, RTO, Retransmission
from .rto import MAX_RTOS, RTO_LIFETIME, RtoCache
from .server import binding_response, error_response
from .short_term import ShortTermCredential
from .uri import MAX_URI, Uri, parse_uri

__all__ = [
    "BINDING",
    "BURST",
    "CHANGE_REQUEST",
    "MAGIC_COOKIE",
    "MAX_ALGORITHMS",
    "MAX_ATTRIBUTES",
    "MAX_BUFFERED",
    "MAX_CHALLENGES",
    "MAX_DOMAIN",
    "MAX_LIFETIME",
    "MAX_PADDING",
    "MAX_PENDING",
    "MAX_RTOS",
    "MAX_SOURCES",
    "MAX_TEXT",
    "MAX_URI",
    "NONCE_LIFETIME",
    "PADDING",
    "PEERS",
    "RATE",
    "RC",
    "RESPONSE_PORT",
    "RM",
    "RTO",
    "RTO_LIFETIME",
    "TI",
    "Algorithm",
    "Attribute",
    "Authenticated",
    "Authenticator",
    "Behavior",
    "BindingServer",
    "Class",
    "Client",
    "Closed",
    "Deframer",
    "Discovered",
    "ErrorCode",
    "Event",
    "Expectation",
    "Failed",
    "LongTermCredential",
    "Message",
    "Nat",
    "NatDiscovery",
    "NatName",
    "NatReport",
    "PasswordAlgorithm",
    "Redirected",
    "Refused",
    "Responded",
    "Retransmission",
    "RtoCache",
    "SecurityFeatures",
    "ServerClosed",
    "ShortTermCredential",
    "TestCompleted",
    "TestStarted",
    "TimedOut",
    "Unreachable",
    "Uri",
    "binding_response",
    "can_connect",
    "error_response",
    "is_stun",
    "long_term_key",
    "message_size",
    "nonce_cookie",
    "nonce_features",
    "parse_uri",
    "set_change_request",
    "set_response_port",
    "short_term_key",
    "userhash",
]
