"""Session Traversal Utilities for NAT: messages, credentials, retransmission, framing, a client, a stateless server.

RFC 8489. What is implemented, and an example, is in docs/layers/stun.md.
"""

from .attributes import MAGIC_COOKIE, MAX_ALGORITHMS, MAX_DOMAIN, MAX_TEXT, ErrorCode, PasswordAlgorithm
from .client import Client, Closed, Event, Failed, Responded, TimedOut
from .credentials import (
    Algorithm,
    SecurityFeatures,
    long_term_key,
    nonce_cookie,
    nonce_features,
    short_term_key,
    userhash,
)
from .framing import MAX_BUFFERED, Deframer, message_size
from .long_term import NONCE_LIFETIME, Authenticated, Authenticator, LongTermCredential, Refused
from .message import BINDING, MAX_ATTRIBUTES, Attribute, Class, Message, is_stun
from .retransmission import RC, RM, RTO, Retransmission
from .server import binding_response, error_response
from .uri import MAX_URI, Uri, parse_uri

__all__ = [
    "BINDING",
    "MAGIC_COOKIE",
    "MAX_ALGORITHMS",
    "MAX_ATTRIBUTES",
    "MAX_BUFFERED",
    "MAX_DOMAIN",
    "MAX_TEXT",
    "MAX_URI",
    "NONCE_LIFETIME",
    "RC",
    "RM",
    "RTO",
    "Algorithm",
    "Attribute",
    "Authenticated",
    "Authenticator",
    "Class",
    "Client",
    "Closed",
    "Deframer",
    "ErrorCode",
    "Event",
    "Failed",
    "LongTermCredential",
    "Message",
    "PasswordAlgorithm",
    "Refused",
    "Responded",
    "Retransmission",
    "SecurityFeatures",
    "TimedOut",
    "Uri",
    "binding_response",
    "error_response",
    "is_stun",
    "long_term_key",
    "message_size",
    "nonce_cookie",
    "nonce_features",
    "parse_uri",
    "short_term_key",
    "userhash",
]
