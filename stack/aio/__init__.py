"""The asyncio API with W3C names, and the only place that does I/O."""

from ..peer import (
    InvalidAccessError,
    InvalidModificationError,
    InvalidStateError,
    NotSupportedError,
    OperationError,
    SdpSyntaxError,
)
from .data_channel import RTCDataChannel, RTCError
from .descriptions import (
    RTCCertificate,
    RTCConfiguration,
    RTCDtlsFingerprint,
    RTCIceCandidate,
    RTCIceCandidateError,
    RTCIceServer,
    RTCSessionDescription,
)
from .interfaces import AddressPolicy
from .peer_connection import RTCPeerConnection
from .rtp import (
    RTCRtpCapabilities,
    RTCRtpCodecCapability,
    RTCRtpEncodingParameters,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpSendParameters,
    RTCRtpTransceiver,
)
from .stats import RTCStatsReport
from .tracks import (
    AudioStreamTrack,
    EncodedAudioTrack,
    EncodedFrame,
    EncodedMediaTrack,
    EncodedVideoTrack,
    MediaStreamError,
    MediaStreamTrack,
    RemoteStreamTrack,
    VideoStreamTrack,
)

__all__ = [
    "AddressPolicy",
    "AudioStreamTrack",
    "EncodedAudioTrack",
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
    "RTCCertificate",
    "RTCConfiguration",
    "RTCDataChannel",
    "RTCDtlsFingerprint",
    "RTCError",
    "RTCIceCandidate",
    "RTCIceCandidateError",
    "RTCIceServer",
    "RTCPeerConnection",
    "RTCRtpCapabilities",
    "RTCRtpCodecCapability",
    "RTCRtpEncodingParameters",
    "RTCRtpReceiver",
    "RTCRtpSendParameters",
    "RTCRtpSender",
    "RTCRtpTransceiver",
    "RTCSessionDescription",
    "RTCStatsReport",
    "RemoteStreamTrack",
    "SdpSyntaxError",
    "VideoStreamTrack",
]
