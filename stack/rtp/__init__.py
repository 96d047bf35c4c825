"""RTP and RTCP: packets, payload formats, senders and receivers of single streams. Plaintext; SRTP is another layer.

RFC 3550, 3551, 3611, 4585, 4588, 5104, 5506, 5761, 6184, 7741, 8285, 8888, transport-wide congestion control
feedback and REMB.
"""

from .congestion_feedback import CongestionFeedback, StreamArrivals
from .congestion_generator import CongestionFeedbackGenerator
from .demultiplexer import Demultiplexer, Destination
from .events import (
    BitrateEstimated,
    ByeReceived,
    Closed,
    CongestionFeedbackReceived,
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
    DEPENDENCY_DESCRIPTOR,
    MID,
    PLAYOUT_DELAY,
    REPAIRED_RID,
    RID,
    TRANSPORT_CC,
    VIDEO_ORIENTATION,
    ExtensionMap,
)
from .outgoing import Outgoing, PacketKind
from .packet import Packet, build_header
from .payload import DEPACKETIZERS, PACKETIZERS, PayloadFormat
from .picture_size import picture_size
from .receiver import Receiver
from .rtcp import (
    ApplicationDefined,
    Bye,
    DelaySinceLastReceiverReport,
    ExtendedReport,
    FullIntraRequest,
    Nack,
    PictureLossIndication,
    ReceiverReferenceTime,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    UnknownPacket,
    is_rtcp,
)
from .rtcp import parse as parse_rtcp
from .sender import Sender
from .simulcast import EncodingEvent, SimulcastReceiver, SimulcastSender
from .stats import InboundStatistics, ReceiverStatistics, SenderStatistics
from .transport_cc import TransportFeedbackGenerator
from .transport_feedback import TransportFeedback

__all__ = [
    "ABS_CAPTURE_TIME",
    "ABS_SEND_TIME",
    "AUDIO_LEVEL",
    "DEPACKETIZERS",
    "DEPENDENCY_DESCRIPTOR",
    "MID",
    "PACKETIZERS",
    "PLAYOUT_DELAY",
    "REPAIRED_RID",
    "RID",
    "TRANSPORT_CC",
    "VIDEO_ORIENTATION",
    "ApplicationDefined",
    "BitrateEstimated",
    "Bye",
    "ByeReceived",
    "Closed",
    "CongestionFeedback",
    "CongestionFeedbackGenerator",
    "CongestionFeedbackReceived",
    "DelaySinceLastReceiverReport",
    "Demultiplexer",
    "Destination",
    "EncodingEvent",
    "ExtendedReport",
    "ExtensionMap",
    "FrameReceived",
    "FullIntraRequest",
    "InboundStatistics",
    "KeyframeRequested",
    "Nack",
    "Outgoing",
    "Packet",
    "PacketKind",
    "PayloadFormat",
    "PictureLossIndication",
    "Receiver",
    "ReceiverEvent",
    "ReceiverReferenceTime",
    "ReceiverReport",
    "ReceiverStatistics",
    "Remb",
    "ReportBlock",
    "RtcpPacket",
    "Sender",
    "SenderEvent",
    "SenderReport",
    "SenderStatistics",
    "SimulcastReceiver",
    "SimulcastSender",
    "SourceDescription",
    "StreamArrivals",
    "TransportFeedback",
    "TransportFeedbackGenerator",
    "TransportFeedbackReceived",
    "UnknownPacket",
    "build_header",
    "is_rtcp",
    "parse_rtcp",
    "picture_size",
]
