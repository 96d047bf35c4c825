"""What RTCRtpSender and RTCRtpTransceiver are told and tell: codecs, header extensions, encodings."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..peer import CODECS, Codec, Encoding, InvalidAccessError
from ..peer.codecs import HEADER_EXTENSIONS
from ..peer.layers import MAX_LAYERS, check_rids
from ..peer.transceiver import DIRECTIONS


@dataclass(frozen=True, slots=True)
class RTCRtpCodecCapability:
    """A codec (W3C RTCRtpCodecCapability)."""

    mimeType: str
    clockRate: int
    channels: int | None = None
    parameters: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """What comes behind `audio/` or `video/`."""
        return self.mimeType.partition("/")[2]


@dataclass(frozen=True, slots=True)
class RTCRtpHeaderExtensionCapability:
    """A header extension (W3C RTCRtpHeaderExtensionCapability).

    Args:
        uri: As in `a=extmap`.
    """

    uri: str


@dataclass(slots=True)
class RTCRtpEncodingParameters:
    """How a stream is sent (W3C RTCRtpEncodingParameters).

    Args:
        active: Whether it is sent at all.
        maxBitrate: bit/s at most; None for what the path carries.
        maxFramerate: Pictures per second at most; None for all.
        scaleResolutionDownBy: Width and height are divided by this, 1 or more. None for 1; in `sendEncodings`, if it is
            None in all, for 1 in the last one, 2 in that before, then 4, and so on.
        priority: `very-low`, `low`, `medium` or `high`.
        rid: What tells one of several from the others: 1 to 255 letters, digits, `-` and `_`. Read only but in
            `sendEncodings`.
    """

    active: bool = True
    maxBitrate: int | None = None
    maxFramerate: float | None = None
    scaleResolutionDownBy: float | None = None
    priority: str = "low"
    rid: str | None = None


@dataclass(slots=True)
class RTCRtpTransceiverInit:
    """How `addTransceiver` is to make one (W3C RTCRtpTransceiverInit).

    Args:
        direction: `sendrecv`, `sendonly`, `recvonly` or `inactive`.
        streams: To which streams the track belongs, as for `addTrack`.
        sendEncodings: How to send. Several, each with a `rid`, send the same pictures in several sizes (simulcast).
    """

    direction: str = "sendrecv"
    streams: Sequence[Any] = ()
    sendEncodings: Sequence[RTCRtpEncodingParameters] = ()


@dataclass(slots=True)
class RTCRtpSendParameters:
    """What `RTCRtpSender.getParameters` returns, to be changed and given to `setParameters`.

    Args:
        transactionId: Of this reading; only the latest one may be written back.
        encodings: One, or as many as are sent of several.
        codecs: What was negotiated, best first; read only.
    """

    transactionId: str
    encodings: list[RTCRtpEncodingParameters]
    codecs: list["RTCRtpCodecCapability"]


@dataclass(frozen=True, slots=True)
class RTCRtpCapabilities:
    """What can be sent or received (W3C RTCRtpCapabilities).

    Args:
        codecs: Best first.
        headerExtensions: Of RTP.
    """

    codecs: list[RTCRtpCodecCapability] = field(default_factory=list)
    headerExtensions: list[RTCRtpHeaderExtensionCapability] = field(default_factory=list)


def capability(codec: Codec) -> RTCRtpCodecCapability:
    """Return what W3C calls it."""
    return RTCRtpCodecCapability(codec.mime_type, codec.clock_rate, codec.channels, dict(codec.parameters))


def capabilities(kind: str) -> RTCRtpCapabilities:
    """Return what can be sent and received of a kind (W3C getCapabilities).

    Args:
        kind: `audio` or `video`.

    Raises:
        InvalidAccessError: Another kind.
    """
    if kind not in CODECS:
        raise InvalidAccessError(f"kind must be 'audio' or 'video', not {kind!r}")
    extensions = [RTCRtpHeaderExtensionCapability(uri) for uri in HEADER_EXTENSIONS[kind]]
    return RTCRtpCapabilities([capability(codec) for codec in CODECS[kind]], extensions)


def check_direction(direction: str) -> None:
    """Refuse what is no direction, as a browser refuses what is not in an enumeration."""
    if direction not in DIRECTIONS:
        raise TypeError(f"direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}")


def stream_ids(streams: Sequence[Any]) -> list[str]:
    """Return the ids of streams, which are strings or have an `id`."""
    return [stream if isinstance(stream, str) else str(stream.id) for stream in streams]


def to_encoding(given: RTCRtpEncodingParameters) -> Encoding:
    """Return what the machine calls it."""
    return Encoding(
        given.active,
        given.maxBitrate,
        given.maxFramerate,
        1.0 if given.scaleResolutionDownBy is None else given.scaleResolutionDownBy,
        given.priority,
        given.rid,
    )


def of_encoding(encoding: Encoding) -> RTCRtpEncodingParameters:
    """Return what W3C calls it."""
    return RTCRtpEncodingParameters(
        encoding.active,
        encoding.max_bitrate,
        encoding.max_framerate,
        encoding.scale_resolution_down_by,
        encoding.priority,
        encoding.rid,
    )


def send_encodings(kind: str, given: Sequence[RTCRtpEncodingParameters]) -> list[Encoding]:
    """Return what `addTransceiver` is to send (W3C WebRTC section 5.2, the sendEncodings validation steps).

    Of sound only the first encoding is sent, of pictures as many as are supported.

    Raises:
        ArgumentError: Rids are malformed, lack or are not different.
    """
    wanted = [to_encoding(one) for one in given]
    check_rids(wanted)
    wanted = wanted[: 1 if kind == "audio" else MAX_LAYERS]
    if kind == "audio":
        wanted = [dataclasses.replace(one, max_framerate=None, scale_resolution_down_by=1.0) for one in wanted]
    elif all(one.scaleResolutionDownBy is None for one in given):
        wanted = [
            dataclasses.replace(one, scale_resolution_down_by=2.0 ** (len(wanted) - index - 1))
            for index, one in enumerate(wanted)
        ]
    if len(wanted) == 1:
        wanted = [dataclasses.replace(wanted[0], rid=None)]
    return wanted
