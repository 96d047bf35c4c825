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
    RTCBundlePolicy,
    RTCCertificate,
    RTCConfiguration,
    RTCDtlsFingerprint,
    RTCIceCandidate,
    RTCIceCandidateError,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCSessionDescription,
)
from .interfaces import AddressPolicy
from .peer_connection import RTCPeerConnection
from .rtp import RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver
from .rtp_parameters import (
    RTCRtpCapabilities,
    RTCRtpCodecCapability,
    RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability,
    RTCRtpSendParameters,
    RTCRtpTransceiverInit,
)
from .stats import RTCStats, RTCStatsReport
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
from .transports import (
    RTCDtlsTransport,
    RTCIceCandidatePair,
    RTCIceParameters,
    RTCIceTransport,
    RTCSctpTransport,
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
    "RTCBundlePolicy",
    "RTCCertificate",
    "RTCConfiguration",
    "RTCDataChannel",
    "RTCDtlsFingerprint",
    "RTCDtlsTransport",
    "RTCError",
    "RTCIceCandidate",
    "RTCIceCandidateError",
    "RTCIceCandidatePair",
    "RTCIceParameters",
    "RTCIceServer",
    "RTCIceTransport",
    "RTCIceTransportPolicy",
    "RTCPeerConnection",
    "RTCRtpCapabilities",
    "RTCRtpCodecCapability",
    "RTCRtpEncodingParameters",
    "RTCRtpHeaderExtensionCapability",
    "RTCRtpReceiver",
    "RTCRtpSendParameters",
    "RTCRtpSender",
    "RTCRtpTransceiver",
    "RTCRtpTransceiverInit",
    "RTCSctpTransport",
    "RTCSessionDescription",
    "RTCStats",
    "RTCStatsReport",
    "RemoteStreamTrack",
    "SdpSyntaxError",
    "VideoStreamTrack",
]
