"""Session Traversal Utilities for NAT: messages, integrity, retransmission, a client and a stateless server.

RFC 8489. What is implemented, and an example, is in docs/layers/stun.md.
"""

from .attributes import MAGIC_COOKIE, MAX_TEXT, ErrorCode
from .client import Client, Closed, Event, Failed, Responded, TimedOut
from .credentials import long_term_key, short_term_key
from .message import BINDING, MAX_ATTRIBUTES, Attribute, Class, Message, is_stun
from .retransmission import RC, RM, RTO, Retransmission
from .server import binding_response, error_response

__all__ = [
    "BINDING",
    "MAGIC_COOKIE",
    "MAX_ATTRIBUTES",
    "MAX_TEXT",
    "RC",
    "RM",
    "RTO",
    "Attribute",
    "Class",
    "Client",
    "Closed",
    "ErrorCode",
    "Event",
    "Failed",
    "Message",
    "Responded",
    "Retransmission",
    "TimedOut",
    "binding_response",
    "error_response",
    "is_stun",
    "long_term_key",
    "short_term_key",
]
