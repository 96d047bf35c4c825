"""RTP and RTCP: packets, payload formats, senders and receivers of single streams. Plaintext; SRTP is another layer.

RFC 3550, 3551, 4585, 4588, 5104, 5506, 5761, 6184, 7741, 8285, transport-wide congestion control feedback and REMB.
"""

from .events import (
    BitrateEstimated,
    ByeReceived,
    Closed,
    FrameReceived,
    KeyframeRequested,
    ReceiverEvent,
    SenderEvent,
    TransportFeedbackReceived,
)
from .extensions import (
    ABS_CAPTURE_TIME,
    ABS_SEND_TIME,
    AUDIO_LEVEL,
    MID,
    PLAYOUT_DELAY,
    REPAIRED_RID,
    RID,
    TRANSPORT_CC,
    VIDEO_ORIENTATION,
    ExtensionMap,
)
from .packet import Packet, build_header
from .payload import DEPACKETIZERS, PACKETIZERS, PayloadFormat
from .receiver import Receiver
from .rtcp import (
    Bye,
    FullIntraRequest,
    Nack,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    UnknownPacket,
    is_rtcp,
)
from .sender import Sender
from .stats import ReceiverStatistics, SenderStatistics
from .transport_cc import TransportFeedbackGenerator
from .transport_feedback import TransportFeedback

__all__ = [
    "ABS_CAPTURE_TIME",
    "ABS_SEND_TIME",
    "AUDIO_LEVEL",
    "DEPACKETIZERS",
    "MID",
    "PACKETIZERS",
    "PLAYOUT_DELAY",
    "REPAIRED_RID",
    "RID",
    "TRANSPORT_CC",
    "VIDEO_ORIENTATION",
    "BitrateEstimated",
    "Bye",
    "ByeReceived",
    "Closed",
    "ExtensionMap",
    "FrameReceived",
    "FullIntraRequest",
    "KeyframeRequested",
    "Nack",
    "Packet",
    "PayloadFormat",
    "PictureLossIndication",
    "Receiver",
    "ReceiverEvent",
    "ReceiverReport",
    "ReceiverStatistics",
    "Remb",
    "ReportBlock",
    "RtcpPacket",
    "Sender",
    "SenderEvent",
    "SenderReport",
    "SenderStatistics",
    "SourceDescription",
    "TransportFeedback",
    "TransportFeedbackGenerator",
    "TransportFeedbackReceived",
    "UnknownPacket",
    "build_header",
    "is_rtcp",
]
