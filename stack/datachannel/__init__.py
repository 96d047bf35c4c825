"""Data channels: labelled, bidirectional message channels on streams (RFC 8831, RFC 8832).

The layer maps channels to `(stream id, ppid, bytes)` and back. It does not know SCTP: whoever holds both moves
`Message` values between them and performs the stream resets that `ResetRequested` asks for.
"""

from .channel import (
    Channel,
    ChannelAnnounced,
    ChannelClosed,
    ChannelClosing,
    ChannelOpened,
    Closed,
    Event,
    Message,
    MessageReceived,
    ResetRequested,
)
from .endpoint import (
    CLOSE_TIMEOUT,
    DEFAULT_MAX_MESSAGE_SIZE,
    MAX_CHANNELS,
    MAX_PENDING_BYTES,
    MAX_PENDING_MESSAGES,
    MAX_PENDING_RESETS,
    Endpoint,
)
from .wire import Ack, ArgumentError, Open, parse, serialize

__all__ = [
    "CLOSE_TIMEOUT",
    "DEFAULT_MAX_MESSAGE_SIZE",
    "MAX_CHANNELS",
    "MAX_PENDING_BYTES",
    "MAX_PENDING_MESSAGES",
    "MAX_PENDING_RESETS",
    "Ack",
    "ArgumentError",
    "Channel",
    "ChannelAnnounced",
    "ChannelClosed",
    "ChannelClosing",
    "ChannelOpened",
    "Closed",
    "Endpoint",
    "Event",
    "Message",
    "MessageReceived",
    "Open",
    "ResetRequested",
    "parse",
    "serialize",
]
