"""What senders and receivers report."""

from dataclasses import dataclass, field
from typing import TypeAlias

from ..core import PeerError
from .congestion_feedback import CongestionFeedback
from .transport_feedback import TransportFeedback


@dataclass(slots=True)
class KeyframeRequested:
    """The encoder should make a keyframe.

    Args:
        reason: `pli`, `fir`, or `send-queue-full` when frames were dropped before they could leave.
    """

    reason: str


@dataclass(slots=True)
class BitrateEstimated:
    """The receiver estimates what the path carries.

    Args:
        bitrate: bit/s.
    """

    bitrate: int


@dataclass(slots=True)
class TransportFeedbackReceived:
    """The receiver told when the transport's packets arrived.

    Args:
        feedback: The message.
    """

    feedback: TransportFeedback


@dataclass(slots=True)
class CongestionFeedbackReceived:
    """The receiver told when the packets of its streams arrived (RFC 8888).

    Args:
        feedback: The message, which other streams' senders report as well.
    """

    feedback: CongestionFeedback


@dataclass(slots=True)
class FrameReceived:
    """A whole frame: an access unit in Annex B, a VP8 frame, an Opus packet.

    Args:
        data: The frame.
        timestamp: Media clock, 32 bits.
        payload_type: As received.
        mime: MIME type in lower case.
        keyframe: Whether it can be decoded without others.
        receive_time: When its last packet arrived, seconds of the machine's clock.
        extensions: URI to value of those header extensions that tell about the frame, as far as they are mapped.
    """

    data: bytes
    timestamp: int
    payload_type: int
    mime: str
    keyframe: bool
    receive_time: float
    extensions: dict[str, bytes] = field(default_factory=dict, compare=False)


@dataclass(slots=True)
class ByeReceived:
    """The other end of the stream left.

    Args:
        ssrc: Who left.
        reason: For people; often empty.
    """

    ssrc: int
    reason: str


@dataclass(slots=True)
class Closed:
    """The machine has ended.

    Args:
        error: None: nothing that the other end of a stream does ends it fatally.
    """

    error: PeerError | None = None


SenderEvent: TypeAlias = (
    KeyframeRequested | BitrateEstimated | TransportFeedbackReceived | CongestionFeedbackReceived | ByeReceived | Closed
)
ReceiverEvent: TypeAlias = FrameReceived | ByeReceived | Closed
