"""The asyncio API with W3C names, and the only place that does I/O."""

from ..peer import (
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    NotSupportedError,
    OperationError,
    SdpSyntaxError,
)
from .data_channel import RTCDataChannel
from .descriptions import (
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceCandidateError,
    RTCIceServer,
    RTCSessionDescription,
)
from .interfaces import AddressPolicy
from .peer_connection import RTCPeerConnection
from .rtp import RTCRtpCapabilities, RTCRtpCodecCapability, RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver
from .tracks import (
    EncodedFrame,
    EncodedMediaTrack,
    EncodedVideoTrack,
    MediaStreamError,
    MediaStreamTrack,
    RemoteStreamTrack,
)

__all__ = [
    "AddressPolicy",
    "EncodedFrame",
    "EncodedMediaTrack",
    "EncodedVideoTrack",
    "InvalidAccessError",
    "InvalidModificationError",
    "InvalidStateError",
    "MediaStreamError",
    "MediaStreamTrack",
    "NotSupportedError",
    "OperationError",
    "RTCConfiguration",
    "RTCDataChannel",
    "RTCIceCandidate",
    "RTCIceCandidateError",
    "RTCIceServer",
    "RTCPeerConnection",
    "RTCRtpCapabilities",
    "RTCRtpCodecCapability",
    "RTCRtpReceiver",
    "RTCRtpSender",
    "RTCRtpTransceiver",
    "RTCSessionDescription",
    "RemoteStreamTrack",
    "SdpSyntaxError",
]
