"""The peer connection without I/O (RFC 8829): offers and answers, one bundled transport, media and data channels."""

from .codecs import CODECS, Codec
from .configuration import Configuration
from .connection import PeerConnection
from .errors import (
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    NotSupportedError,
    OperationError,
    SdpSyntaxError,
)
from .events import (
    Closed,
    ConnectionStateChanged,
    Event,
    IceCandidateGathered,
    IceConnectionStateChanged,
    IceGatheringStateChanged,
    KeyframeRequested,
    MediaReceived,
    NegotiationNeeded,
    SendingStarted,
    SendingStopped,
    SignalingStateChanged,
    TargetBitrateChanged,
    TrackAdded,
    TrackRemoved,
    TransceiverStopped,
)
from .layers import Encoding
from .signaling import Description
from .transceiver import Transceiver

__all__ = [
    "CODECS",
    "Closed",
    "Codec",
    "Configuration",
    "ConnectionStateChanged",
    "Description",
    "Encoding",
    "Event",
    "IceCandidateGathered",
    "IceConnectionStateChanged",
    "IceGatheringStateChanged",
    "InvalidAccessError",
    "InvalidModificationError",
    "InvalidStateError",
    "KeyframeRequested",
    "MediaReceived",
    "NegotiationNeeded",
    "NotSupportedError",
    "OperationError",
    "PeerConnection",
    "SdpSyntaxError",
    "SendingStarted",
    "SendingStopped",
    "SignalingStateChanged",
    "TargetBitrateChanged",
    "TrackAdded",
    "TrackRemoved",
    "Transceiver",
    "TransceiverStopped",
]
