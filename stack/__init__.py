"""WebRTC in pure Python, one layer per RFC.

`from stack import RTCPeerConnection` gives the asyncio API with W3C names; `import stack.sctp`, `stack.dtls`,
`stack.ice` ... give each protocol for itself, without I/O.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aio import (
        AudioStreamTrack,
        EncodedAudioTrack,
        EncodedFrame,
        EncodedMediaTrack,
        EncodedVideoTrack,
        InvalidAccessError,
        InvalidModificationError,
        InvalidStateError,
        MediaStreamError,
        MediaStreamTrack,
        NotSupportedError,
        OperationError,
        RemoteStreamTrack,
        RTCBundlePolicy,
        RTCCertificate,
        RTCConfiguration,
        RTCDataChannel,
        RTCDtlsFingerprint,
        RTCDtlsTransport,
        RTCError,
        RTCIceCandidate,
        RTCIceCandidatePair,
        RTCIceParameters,
        RTCIceServer,
        RTCIceTransport,
        RTCIceTransportPolicy,
        RTCPeerConnection,
        RTCRtpCapabilities,
        RTCRtpCodecCapability,
        RTCRtpEncodingParameters,
        RTCRtpHeaderExtensionCapability,
        RTCRtpReceiver,
        RTCRtpSender,
        RTCRtpSendParameters,
        RTCRtpTransceiver,
        RTCRtpTransceiverInit,
        RTCSctpTransport,
        RTCSessionDescription,
        RTCStats,
        RTCStatsReport,
        SdpSyntaxError,
        VideoStreamTrack,
    )

__version__ = "0.1.0"

__all__ = [
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


def __getattr__(name: str) -> Any:
    # The asyncio API is loaded when it is asked for, so that importing one layer brings only that layer.
    if name in __all__:
        from . import aio

        return getattr(aio, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
