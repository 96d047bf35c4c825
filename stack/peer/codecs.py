"""What media we can carry, and how it is matched with what the peer can (RFC 8829 section 5.2 and 5.3)."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from .. import rtp, sdp


@dataclass(frozen=True, slots=True)
class Codec:
    """A codec as W3C's RTCRtpCodecCapability.

    Args:
        mime_type: For example `video/H264`.
        clock_rate: Hz of the RTP timestamp.
        channels: Audio channels, None for video.
        parameters: What goes into `a=fmtp`.
        feedback: What goes into `a=rtcp-fb`, for example `nack pli`.
        payload_type: Preferred number (RFC 3551 static ones are fixed).
    """

    mime_type: str
    clock_rate: int
    channels: int | None = None
    parameters: dict[str, str] = field(default_factory=dict, hash=False)
    feedback: tuple[str, ...] = ()
    payload_type: int = 0

    @property
    def kind(self) -> str:
        """`audio` or `video`."""
        return self.mime_type.partition("/")[0]

    @property
    def name(self) -> str:
        """The encoding name of `a=rtpmap`."""
        return self.mime_type.partition("/")[2]


@dataclass(frozen=True, slots=True)
class NegotiatedCodec:
    """A codec both sides agreed on, under the payload type to send it with.

    Args:
        codec: The codec, with the feedback that both sides know.
        payload_type: Its number in this description.
        rtx_payload_type: The number of its retransmissions (RFC 4588), if agreed.
        remote_parameters: The peer's `a=fmtp`.
    """

    codec: Codec
    payload_type: int
    rtx_payload_type: int | None = None
    remote_parameters: dict[str, str | None] = field(default_factory=dict, hash=False)


_VIDEO_FEEDBACK: Final = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")


def _h264(profile: str, payload_type: int) -> Codec:
    return Codec(
        "video/H264",
        90000,
        parameters={"level-asymmetry-allowed": "1", "packetization-mode": "1", "profile-level-id": profile},
        feedback=_VIDEO_FEEDBACK,
        payload_type=payload_type,
    )


CODECS: Final[dict[str, tuple[Codec, ...]]] = {
    "audio": (
        Codec(
            "audio/opus",
            48000,
            2,
            {"minptime": "10", "useinbandfec": "1"},
            feedback=("transport-cc",),  # as Chromium: the others are for peers that report on nothing
            payload_type=111,
        ),
        Codec("audio/G722", 8000, 1, payload_type=9),  # 16 kHz under an RTP clock of 8 kHz: RFC 3551 section 4.5.2
        Codec("audio/PCMU", 8000, 1, payload_type=0),
        Codec("audio/PCMA", 8000, 1, payload_type=8),
    ),
    "video": (
        Codec("video/VP8", 90000, feedback=_VIDEO_FEEDBACK, payload_type=96),
        _h264("42e01f", 98),
        _h264("42001f", 100),
        Codec("video/VP9", 90000, parameters={"profile-id": "0"}, feedback=_VIDEO_FEEDBACK, payload_type=102),
        Codec("video/AV1", 90000, feedback=_VIDEO_FEEDBACK, payload_type=104),
    ),
}
"""What we offer, in order of preference. The number after each video codec is its retransmission stream."""

DYNAMIC_PAYLOAD_TYPES: Final = (*range(96, 128), *range(35, 64))
"""Free for any codec: RFC 3551 section 6, and RFC 5761 section 4 for what must not look like RTCP."""

HEADER_EXTENSIONS: Final[dict[str, tuple[str, ...]]] = {
    "audio": (rtp.MID, rtp.ABS_SEND_TIME, rtp.TRANSPORT_CC),
    "video": (rtp.MID, rtp.ABS_SEND_TIME, rtp.TRANSPORT_CC, rtp.PLAYOUT_DELAY, rtp.RID, rtp.REPAIRED_RID),
}
"""Only what the senders and receivers act on: an extension that is agreed but not served misleads the peer."""


def _h264_profile(parameters: dict[str, str | None] | dict[str, str]) -> tuple[int, bool] | None:
    """Return (profile_idc, constrained) of RFC 6184 section 8.1's profile-level-id, or None if it is malformed."""
    text = parameters.get("profile-level-id") or "420010"
    try:
        value = int(text, 16)
    except ValueError:
        return None
    return value >> 16, bool(value & 0x4000)


def matches(ours: Codec, theirs: sdp.Codec) -> bool:
    """Whether a format of the peer's description is the codec `ours`."""
    if ours.name.lower() != theirs.name.lower() or ours.clock_rate != theirs.clock_rate:
        return False
    if ours.kind == "audio":
        return (ours.channels or 1) == (theirs.channels or 1)
    if ours.name.upper() == "VP9":  # RFC 9628 section 6.1: without a profile it is 0
        return (theirs.parameters.get("profile-id") or "0") == ours.parameters["profile-id"]
    if ours.name.upper() == "AV1":
        return (theirs.parameters.get("profile") or "0") == "0"
    if ours.name.upper() == "H264":  # RFC 6184 section 8.2.2: mode and profile must be the same
        mode = theirs.parameters.get("packetization-mode") or "0"
        return mode == ours.parameters["packetization-mode"] and _h264_profile(theirs.parameters) == _h264_profile(
            ours.parameters
        )
    return True


def negotiate(preferences: Iterable[Codec], remote: sdp.MediaDescription) -> list[NegotiatedCodec]:
    """Return what both sides can, in the order of the remote description, under its payload types.

    Args:
        preferences: What we are willing to use.
        remote: The peer's section.
    """
    wanted = list(preferences)
    rtx: dict[int, int] = {}
    for fmt in remote.codecs:
        apt = fmt.parameters.get("apt") if fmt.name.lower() == "rtx" else None
        if apt and apt.isdigit():
            rtx[int(apt)] = fmt.payload_type
    agreed = []
    for fmt in remote.codecs:
        ours = next((codec for codec in wanted if matches(codec, fmt)), None)
        if ours is None:
            continue
        theirs = {f"{fb.kind} {fb.parameter}" if fb.parameter else fb.kind for fb in fmt.feedback}
        feedback = tuple(fb for fb in ours.feedback if fb in theirs)
        parameters = dict(ours.parameters)
        if "profile-level-id" in parameters and (level := fmt.parameters.get("profile-level-id")):
            parameters["profile-level-id"] = level
        codec = dataclasses.replace(ours, feedback=feedback, parameters=parameters)
        rtx_payload_type = rtx.get(fmt.payload_type) if "nack" in feedback else None
        agreed.append(NegotiatedCodec(codec, fmt.payload_type, rtx_payload_type, dict(fmt.parameters)))
    # Not implemented: clock rates that change within a stream (RFC 7160). The best codec decides.
    return [item for item in agreed if item.codec.clock_rate == agreed[0].codec.clock_rate]


def offered(preferences: Iterable[Codec]) -> list[NegotiatedCodec]:
    """Return our own formats as an offer lists them, each video codec with its retransmission format."""
    return [
        NegotiatedCodec(codec, codec.payload_type, codec.payload_type + 1 if codec.kind == "video" else None)
        for codec in preferences
    ]


def renumbered(wanted: Iterable[NegotiatedCodec], described: Iterable[sdp.MediaDescription]) -> list[NegotiatedCodec]:
    """Return formats under payload types that mean nothing else: those once used keep it (RFC 3264 section 8.3.2).

    Those for which no number is left are left out.

    Args:
        wanted: What to offer.
        described: All sections of both descriptions in force, since a bundle shares the payload types.
    """
    known = [media for media in described if media.codecs]
    taken = {codec.payload_type for media in known for codec in media.codecs}
    found: list[NegotiatedCodec] = []
    for item in wanted:
        used = next((used for media in known for used in negotiate([item.codec], media)), None)
        if used is None:
            own = [number for number in (item.payload_type, item.rtx_payload_type) if number is not None]
            free = [number for number in dict.fromkeys((*own, *DYNAMIC_PAYLOAD_TYPES)) if number not in taken]
            if len(free) < len(own):
                continue
            used = dataclasses.replace(item, payload_type=free[0], rtx_payload_type=free[1] if own[1:] else None)
            taken.update(free[: len(own)])
        found.append(used)
    return found


def describe(codecs: Iterable[NegotiatedCodec]) -> list[sdp.Codec]:
    """Turn formats into the lines of a description."""
    lines = []
    for item in codecs:
        codec = item.codec
        lines.append(
            sdp.Codec(
                payload_type=item.payload_type,
                name=codec.name,
                clock_rate=codec.clock_rate,
                channels=codec.channels if (codec.channels or 1) > 1 else None,
                parameters=dict(codec.parameters),
                feedback=[sdp.Feedback(*_split(fb)) for fb in codec.feedback],
            )
        )
        if item.rtx_payload_type is not None:
            lines.append(
                sdp.Codec(
                    payload_type=item.rtx_payload_type,
                    name="rtx",
                    clock_rate=codec.clock_rate,
                    parameters={"apt": str(item.payload_type)},
                )
            )
    return lines


def _split(feedback: str) -> tuple[str, str | None]:
    kind, _, parameter = feedback.partition(" ")
    return kind, parameter or None
