"""What the parameters of a format mean: `a=fmtp` of the codecs that WebRTC meets, with their defaults filled in."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..core import ParseError
from .grammar import excerpt, integer
from .values import Codec

_is_profile = re.compile(r"[0-9A-Fa-f]{6}").fullmatch
_match_events = re.compile(r"[0-9]{1,3}(?:-[0-9]{1,3})?(?:,[0-9]{1,3}(?:-[0-9]{1,3})?)*").fullmatch
_MAX: Final = 0xFFFFFFFF

_PROFILES: Final[tuple[tuple[int, int, int, str], ...]] = (
    (0x42, 0x4F, 0x40, "constrained baseline"),
    (0x4D, 0x8F, 0x80, "constrained baseline"),
    (0x58, 0xCF, 0xC0, "constrained baseline"),
    (0x42, 0x4F, 0x00, "baseline"),
    (0x58, 0xCF, 0x80, "baseline"),
    (0x4D, 0xAF, 0x00, "main"),
    (0x64, 0xFF, 0x0C, "constrained high"),
    (0x64, 0xFF, 0x00, "high"),
    (0xF4, 0xFF, 0x00, "high 4:4:4 predictive"),
)
"""profile_idc, which bits of profile-iop count, their values, name: RFC 6184 section 8.1, table 5; H.264 annex A."""


@dataclass(slots=True)
class ProfileLevelId:
    """`profile-level-id` of H.264, RFC 6184 section 8.1.

    Attributes:
        profile_idc: First byte.
        profile_iop: Second byte: the constraint flags.
        level_idc: Third byte: ten times the level.
    """

    profile_idc: int
    profile_iop: int
    level_idc: int

    @classmethod
    def parse(cls, text: str) -> "ProfileLevelId":
        """Parse six hexadecimal digits.

        Raises:
            ParseError: `bad-fmtp`.
        """
        if not _is_profile(text):
            raise ParseError("bad-fmtp", f"profile-level-id {excerpt(text)} is not six hexadecimal digits")
        return cls(*bytes.fromhex(text))

    @property
    def profile(self) -> str | None:
        """Name of the profile, or None if it is unknown."""
        for idc, mask, wanted, name in _PROFILES:
            if self.profile_idc == idc and self.profile_iop & mask == wanted:
                return name
        return None

    @property
    def level(self) -> str:
        """Such as `3.1`; `1b` has a code of its own in the profiles that have the constraint flag for it."""
        if self.level_idc == 11 and self.profile_iop & 0x10 and self.profile_idc in {0x42, 0x4D, 0x58}:
            return "1b"
        return "1b" if self.level_idc == 9 else f"{self.level_idc // 10}.{self.level_idc % 10}"


@dataclass(slots=True)
class H264:
    """RFC 6184 section 8.1.

    Attributes:
        profile_level_id: Baseline, level 1, if absent.
        packetization_mode: 0 to 2.
        level_asymmetry_allowed: Whether each direction may have a level of its own.
    """

    profile_level_id: ProfileLevelId
    packetization_mode: int
    level_asymmetry_allowed: bool


@dataclass(slots=True)
class Opus:
    """RFC 7587 section 6.1.

    Attributes:
        stereo: Whether the writer prefers to receive stereo.
        sprop_stereo: Whether it is likely to send stereo.
        use_inband_fec: Whether the decoder makes use of in-band FEC.
        use_dtx: Whether discontinuous transmission is preferred.
        cbr: Whether a constant bit rate is asked for.
        max_average_bitrate: Bits per second, or None.
        max_playback_rate: Hz.
        min_ptime: Milliseconds.
    """

    stereo: bool
    sprop_stereo: bool
    use_inband_fec: bool
    use_dtx: bool
    cbr: bool
    max_average_bitrate: int | None
    max_playback_rate: int
    min_ptime: int


@dataclass(slots=True)
class Vp8:
    """RFC 7741 section 6.1.

    Attributes:
        max_fr: Frames per second that the decoder can take, or None.
        max_fs: Macroblocks of a frame that it can take, or None.
    """

    max_fr: int | None
    max_fs: int | None


@dataclass(slots=True)
class Vp9:
    """RFC 9628 section 6.1.

    Attributes:
        profile_id: 0 to 3.
        max_fr: Frames per second that the decoder can take, or None.
        max_fs: Macroblocks of a frame that it can take, or None.
    """

    profile_id: int
    max_fr: int | None
    max_fs: int | None


@dataclass(slots=True)
class Av1:
    """RTP Payload Format For AV1 (AOMedia, v1.0) section 7.2.1.

    Attributes:
        profile: 0 to 2.
        level_idx: 0 to 31; 5 is level 3.1.
        tier: 0 or 1.
    """

    profile: int
    level_idx: int
    tier: int


@dataclass(slots=True)
class Rtx:
    """RFC 4588 section 8.1.

    Attributes:
        apt: Payload type of what is retransmitted.
        rtx_time: Milliseconds for which the sender keeps packets, or None.
    """

    apt: int
    rtx_time: int | None


@dataclass(slots=True)
class Red:
    """RFC 2198 section 5, and `a=fmtp:63 111/111` of browsers.

    Attributes:
        payload_types: The primary one and the redundant ones; empty if any.
    """

    payload_types: list[int]


@dataclass(slots=True)
class FlexFec:
    """RFC 8627 section 5.1.1.

    Attributes:
        repair_window: Microseconds, or None.
    """

    repair_window: int | None


@dataclass(slots=True)
class TelephoneEvent:
    """RFC 4733 section 2.4.1.

    Attributes:
        events: As written; 0 to 15 are the keys of a telephone.
    """

    events: str


Format: TypeAlias = H264 | Opus | Vp8 | Vp9 | Av1 | Rtx | Red | FlexFec | TelephoneEvent
Parameters: TypeAlias = Mapping[str, str | None]


def format_of(codec: Codec) -> Format | None:
    """Return what the parameters of a codec say, or None if this is no codec with parameters known here.

    Raises:
        ParseError: `bad-fmtp`, with which parameter in its detail.
    """
    parse = _FORMATS.get(codec.name.lower())
    if parse is None:
        return None
    return parse(codec, {name.lower(): value for name, value in codec.parameters.items()})


def _optional(parameters: Parameters, name: str, high: int = _MAX) -> int | None:
    if name not in parameters:
        return None
    return integer((parameters[name] or "").strip(), "bad-fmtp", name, 0, high)


def _number(parameters: Parameters, name: str, default: int, high: int = _MAX) -> int:
    value = _optional(parameters, name, high)
    return default if value is None else value


def _h264(_codec: Codec, parameters: Parameters) -> H264:
    profile = parameters.get("profile-level-id", "42000A")
    return H264(
        ProfileLevelId.parse((profile or "").strip()),
        _number(parameters, "packetization-mode", 0, 2),
        bool(_number(parameters, "level-asymmetry-allowed", 0, 1)),
    )


def _opus(_codec: Codec, parameters: Parameters) -> Opus:
    return Opus(
        bool(_number(parameters, "stereo", 0, 1)),
        bool(_number(parameters, "sprop-stereo", 0, 1)),
        bool(_number(parameters, "useinbandfec", 0, 1)),
        bool(_number(parameters, "usedtx", 0, 1)),
        bool(_number(parameters, "cbr", 0, 1)),
        _optional(parameters, "maxaveragebitrate"),
        _number(parameters, "maxplaybackrate", 48000),
        _number(parameters, "minptime", 3, 120),
    )


def _vp8(_codec: Codec, parameters: Parameters) -> Vp8:
    return Vp8(_optional(parameters, "max-fr"), _optional(parameters, "max-fs"))


def _vp9(_codec: Codec, parameters: Parameters) -> Vp9:
    return Vp9(
        _number(parameters, "profile-id", 0, 3), _optional(parameters, "max-fr"), _optional(parameters, "max-fs")
    )


def _av1(_codec: Codec, parameters: Parameters) -> Av1:
    return Av1(
        _number(parameters, "profile", 0, 2), _number(parameters, "level-idx", 5, 31), _number(parameters, "tier", 0, 1)
    )


def _rtx(_codec: Codec, parameters: Parameters) -> Rtx:
    apt = _optional(parameters, "apt", 127)
    if apt is None:
        raise ParseError("bad-fmtp", "rtx without apt retransmits nothing")
    return Rtx(apt, _optional(parameters, "rtx-time"))


def _red(codec: Codec, _parameters: Parameters) -> Red:
    text = codec.raw_parameters
    parts = text.split("/") if text else []
    return Red([integer(part, "bad-fmtp", "payload type", 0, 127) for part in parts])


def _flexfec(_codec: Codec, parameters: Parameters) -> FlexFec:
    return FlexFec(_optional(parameters, "repair-window"))


def _telephone_event(codec: Codec, parameters: Parameters) -> TelephoneEvent:
    events = (codec.raw_parameters or parameters.get("events") or "0-15").replace(" ", "")
    if not _match_events(events):
        raise ParseError("bad-fmtp", f"{excerpt(events)} is not a list of events")
    return TelephoneEvent(events)


_FORMATS: Final[dict[str, Callable[[Codec, Parameters], Format]]] = {
    "h264": _h264,
    "opus": _opus,
    "vp8": _vp8,
    "vp9": _vp9,
    "av1": _av1,
    "rtx": _rtx,
    "red": _red,
    "flexfec-03": _flexfec,
    "flexfec": _flexfec,
    "telephone-event": _telephone_event,
}
