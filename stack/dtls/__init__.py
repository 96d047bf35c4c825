"""DTLS 1.2 as WebRTC uses it: mutual authentication by fingerprint, use_srtp, keying material export.

`Connection` is the machine; RFC 6347 is its specification. See docs/layers/dtls.md.
"""

from .certificate import Certificate, Fingerprint
from .config import Closed, Config, ConnectionState, Event, HandshakeCompleted
from .connection import Connection

__all__ = [
    "Certificate",
    "Closed",
    "Config",
    "Connection",
    "ConnectionState",
    "Event",
    "Fingerprint",
    "HandshakeCompleted",
]
