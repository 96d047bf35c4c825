"""What a peer connection reports. Data-channel events (`stack.datachannel`) come through unchanged."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ..core import PeerError
from ..datachannel import ChannelAnnounced, ChannelClosed, ChannelClosing, ChannelOpened, MessageReceived
from ..ice import ResolutionRequested, RestartNeeded, ServerFailed
from .relays import RelayLost, RelayMoved

if TYPE_CHECKING:
    from .. import rtp, sdp
    from .transceiver import Transceiver


@dataclass(slots=True)
class SignalingStateChanged:
    """`state` is W3C's RTCSignalingState."""

    state: str


@dataclass(slots=True)
class IceGatheringStateChanged:
    """`state` is `new`, `gathering` or `complete`."""

    state: str


@dataclass(slots=True)
class IceConnectionStateChanged:
    """`state` is W3C's RTCIceConnectionState."""

    state: str


@dataclass(slots=True)
class ConnectionStateChanged:
    """`state` is W3C's RTCPeerConnectionState; `error` says why when it is `failed`."""

    state: str
    error: PeerError | None = None


@dataclass(slots=True)
class IceCandidateGathered:
    """A local candidate to signal; `candidate` is None when there will be no more of this generation."""

    candidate: "sdp.Candidate | None"
    mid: str
    mline_index: int


@dataclass(slots=True)
class NegotiationNeeded:
    """A new offer is needed for what was asked for to take effect."""


@dataclass(slots=True)
class TrackAdded:
    """The remote description lets the peer send on this transceiver; `streams` are its msid stream ids."""

    transceiver: "Transceiver"
    streams: tuple[str, ...]


@dataclass(slots=True)
class TrackRemoved:
    """The peer no longer sends on this transceiver."""

    transceiver: "Transceiver"


@dataclass(slots=True)
class TransceiverStopped:
    """It has ended for good: either side has stopped it, and both have said so."""

    transceiver: "Transceiver"


@dataclass(slots=True)
class MediaReceived:
    """A whole encoded frame came in on this transceiver, of the encoding `rid` if it receives several."""

    transceiver: "Transceiver"
    frame: "rtp.FrameReceived"
    rid: str | None = None


@dataclass(slots=True)
class SendingStarted:
    """The negotiation lets us send on this transceiver; `mime_type` is what to send."""

    transceiver: "Transceiver"
    mime_type: str
    clock_rate: int


@dataclass(slots=True)
class SendingStopped:
    """We may no longer send on this transceiver."""

    transceiver: "Transceiver"


@dataclass(slots=True)
class KeyframeRequested:
    """The peer cannot decode and wants a key frame of the encoding `rid`."""

    transceiver: "Transceiver"
    rid: str | None = None


@dataclass(slots=True)
class TargetBitrateChanged:
    """What the path carries for this transceiver's encoding `rid`, bit/s; 0 for one of several that has to wait."""

    transceiver: "Transceiver"
    bitrate: float
    rid: str | None = None


@dataclass(slots=True)
class Closed:
    """Terminal: nothing comes after it. `error` is None after a local or an orderly remote close."""

    error: PeerError | None = None


Event: TypeAlias = (
    SignalingStateChanged
    | IceGatheringStateChanged
    | IceConnectionStateChanged
    | ConnectionStateChanged
    | IceCandidateGathered
    | NegotiationNeeded
    | TrackAdded
    | TrackRemoved
    | TransceiverStopped
    | MediaReceived
    | SendingStarted
    | SendingStopped
    | KeyframeRequested
    | TargetBitrateChanged
    | RelayLost
    | RelayMoved
    | ResolutionRequested
    | RestartNeeded
    | ServerFailed
    | ChannelAnnounced
    | ChannelOpened
    | ChannelClosing
    | ChannelClosed
    | MessageReceived
    | Closed
)
