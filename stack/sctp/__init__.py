"""SCTP associations as WebRTC uses them: RFC 9260, 3758, 6525, 7496 and 9653, over DTLS (RFC 8261)."""

from .association import Association
from .congestion import CongestionControl, Reno
from .context import Config, State, Stats
from .cubic import Cubic
from .delay_aware import DelayAwareCubic
from .events import (
    Closed,
    Established,
    Event,
    MessageReceived,
    OutgoingStreamsReset,
    Restarted,
    StreamsAdded,
    StreamsReset,
)
from .handshake import Beginning
from .streams import MAX_QUEUED_MESSAGES, MAX_SEND_BUFFER
from .wire import Init, parse_init_chunk, serialize_init_chunk

__all__ = [
    "MAX_QUEUED_MESSAGES",
    "MAX_SEND_BUFFER",
    "Association",
    "Beginning",
    "Closed",
    "Config",
    "CongestionControl",
    "Cubic",
    "DelayAwareCubic",
    "Established",
    "Event",
    "Init",
    "MessageReceived",
    "OutgoingStreamsReset",
    "Reno",
    "Restarted",
    "State",
    "Stats",
    "StreamsAdded",
    "StreamsReset",
    "parse_init_chunk",
    "serialize_init_chunk",
]
