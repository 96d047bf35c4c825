"""Which encoder this machine has for a codec: hardware where it works, libraries otherwise.

An encoder is believed only after it has encoded a few pictures: wheels of PyAV contain wrappers for hardware that is
not there. What was chosen, and why not the others, is logged once per codec.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import av
import numpy as np
from av.codec.hwaccel import HWAccel

from ..core import LocalError
from .encoder import AV1Encoder, H264Encoder, VideoEncoder, VP8Encoder, VP9Encoder

logger = logging.getLogger(__name__)

DISABLE_VARIABLE: Final = "WEBRTC_STACK_HARDWARE"
"""Environment variable: `0` leaves hardware encoders alone."""

PROBE_SIZE: Final = (640, 480)  # pixels; hardware refuses very small pictures
PROBE_FRAMES: Final = 6  # pictures in which something must come out; a hardware pipeline holds back up to four
MAX_PARAMETER_SETS: Final = 1024  # bytes of SPS and PPS kept for the next keyframe; a real one has 50
_START_CODE: Final = b"\x00\x00\x01"
_SPS: Final = 7  # RFC 6184 section 5.2 and ITU-T H.264 table 7-1
_PPS: Final = 8


class HardwareH264Encoder(VideoEncoder):
    """H.264 by hardware, through libavcodec. None of its wrappers takes a new rate without a keyframe."""

    mime = "video/H264"
    delays = True
    default_codec = "h264_v4l2m2m"
    settings: ClassVar[dict[str, str]] = {}

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._parameter_sets = b""
        super().__init__(*arguments, **named)

    def _options(self, bitrate: int) -> dict[str, str]:
        return {key: value.format(bitrate=bitrate, buffer=bitrate // 4) for key, value in self.settings.items()}

    def _finish(self, data: bytes, *, keyframe: bool) -> bytes:
        """Put SPS and PPS before keyframes that lack them: some drivers send them once."""
        if not keyframe:
            return data
        found = parameter_sets(data) or parameter_sets(self._context.extradata or b"")
        if parameter_sets(data):
            self._parameter_sets = found[:MAX_PARAMETER_SETS]
            return data
        return (self._parameter_sets or found) + data


class V4L2H264Encoder(HardwareH264Encoder):
    """H.264 by a V4L2 memory-to-memory device: Raspberry Pi up to 4, i.MX 8, Rockchip."""

    settings: ClassVar = {"num_output_buffers": "4", "num_capture_buffers": "4"}


class NvencH264Encoder(HardwareH264Encoder):
    """H.264 by an NVIDIA card."""

    default_codec = "h264_nvenc"
    settings: ClassVar = {
        "preset": "p2",
        "tune": "ull",
        "profile": "baseline",
        "rc": "cbr",
        "zerolatency": "1",
        "delay": "0",
        "forced-idr": "1",
        "bufsize": "{buffer}",
    }


class QsvH264Encoder(HardwareH264Encoder):
    """H.264 by an Intel graphics processor, through VPL."""

    default_codec = "h264_qsv"
    pixel_format = "nv12"
    settings: ClassVar = {
        "preset": "veryfast",
        "profile": "baseline",
        "async_depth": "1",
        "low_delay_brc": "1",
        "forced_idr": "1",
        "bufsize": "{buffer}",
    }


class VideoToolboxH264Encoder(HardwareH264Encoder):
    """H.264 by macOS."""

    default_codec = "h264_videotoolbox"
    settings: ClassVar = {"profile": "constrained_baseline", "realtime": "1", "prio_speed": "1"}


class VaapiH264Encoder(HardwareH264Encoder):
    """H.264 by a graphics processor of Intel or AMD on Linux, through VAAPI.

    It takes pictures in the device's memory only. PyAV moves them there since version 18, if it was built with an
    FFmpeg that has VAAPI; the one on PyPI is not.
    """

    default_codec = "h264_vaapi"
    pixel_format = "nv12"
    acceleration: ClassVar = "vaapi"
    settings: ClassVar = {"profile": "constrained_baseline", "rc_mode": "CBR", "async_depth": "1", "aud": "0"}

    def _create(self) -> Any:
        device = next((str(node) for node in sorted(Path("/dev/dri").glob("render*"))), None)
        accelerator = HWAccel(self.acceleration, device, allow_software_fallback=False)
        return av.CodecContext.create(self.codec, "w", hwaccel=accelerator)


@dataclass(frozen=True, slots=True)
class Choice:
    """The encoder for a codec.

    Args:
        encoder: What to make encoders with.
        rejected: Name of a better one, and why it is not used.
    """

    encoder: type[VideoEncoder]
    rejected: Mapping[str, str]

    def __str__(self) -> str:
        others = "; ".join(f"{name}: {reason}" for name, reason in self.rejected.items())
        return f"{self.encoder.mime} is encoded by {self.encoder.default_codec}" + (f" ({others})" if others else "")


CANDIDATES: Final[dict[str, tuple[type[VideoEncoder], ...]]] = {
    "video/h264": (
        NvencH264Encoder,
        VaapiH264Encoder,
        QsvH264Encoder,
        VideoToolboxH264Encoder,
        V4L2H264Encoder,
        H264Encoder,
    ),
    "video/vp8": (VP8Encoder,),
    "video/vp9": (VP9Encoder,),
    "video/av1": (AV1Encoder,),
}
"""Best first; the last one is the library, which is there unless PyAV was built without it."""

_choices: dict[str, Choice] = {}
_lock = threading.Lock()


def parameter_sets(access_unit: bytes) -> bytes:
    """Return the SPS and PPS NAL units of an Annex B access unit with their start codes; empty if it has none."""
    parts, position = [], access_unit.find(_START_CODE)
    while position >= 0:
        following = access_unit.find(_START_CODE, position + 3)
        end = len(access_unit) if following < 0 else following
        if position + 3 < end and access_unit[position + 3] & 0x1F in {_SPS, _PPS}:
            parts.append(b"\x00" + access_unit[position:end].rstrip(b"\x00"))
        position = following
    return b"".join(parts)


def choose_encoder(mime: str) -> Choice:
    """Find the best encoder of this machine for a MIME type (in any case); blocking, tried once per process.

    Raises:
        LocalError: If there is none.
    """
    key = mime.lower()
    candidates = CANDIDATES.get(key)
    if candidates is None:
        raise LocalError(f"no encoder for {mime!r}; there are {', '.join(c[-1].mime for c in CANDIDATES.values())}")
    with _lock:
        if key not in _choices:
            rejected: dict[str, str] = {}
            for candidate in candidates:
                reason = why_not(candidate)
                if reason is None:
                    _choices[key] = Choice(candidate, rejected)
                    logger.info("%s", _choices[key])
                    break
                rejected[candidate.default_codec] = reason
            else:
                tried = "; ".join(f"{name}: {reason}" for name, reason in rejected.items())
                raise LocalError(f"no encoder for {mime!r} on this machine: {tried}")
        return _choices[key]


def why_not(encoder: type[VideoEncoder]) -> str | None:
    """Return why an encoder cannot be used here, None if it can."""
    if issubclass(encoder, HardwareH264Encoder) and os.environ.get(DISABLE_VARIABLE) == "0":
        return f"{DISABLE_VARIABLE}=0"
    try:
        av.Codec(encoder.default_codec, "w")
    except (av.codec.codec.UnknownCodecError, ValueError):
        return "not in this build of PyAV"
    missing = _missing_device(encoder)
    if missing is not None:
        return missing
    return _trial(encoder) if issubclass(encoder, HardwareH264Encoder) else None


def _missing_device(encoder: type[VideoEncoder]) -> str | None:
    """Look for the device before the driver is asked, which may write to stderr and take its time."""
    if issubclass(encoder, V4L2H264Encoder) and not any(Path("/dev").glob("video*")):
        return "no /dev/video*"
    by_render_node = issubclass(encoder, QsvH264Encoder | VaapiH264Encoder) and os.name == "posix"
    if by_render_node and not any(Path("/dev/dri").glob("render*")):
        return "no /dev/dri/render*"
    cards = ("/dev/nvidiactl", "/dev/nvhost-ctrl-gpu", "/dev/dxg")  # the last is WSL's
    if issubclass(encoder, NvencH264Encoder) and os.name == "posix" and not any(Path(card).exists() for card in cards):
        return "no /dev/nvidiactl"
    return None


def _trial(encoder: type[VideoEncoder]) -> str | None:
    """Encode a few pictures, the last of which has to be a keyframe because we ask for one."""
    level = av.logging.get_level()
    with contextlib.suppress(Exception):
        av.logging.set_level(av.logging.FATAL)  # what the driver says is in our own line
    try:
        tried = encoder(*PROBE_SIZE)
        grey = np.full((PROBE_SIZE[1], PROBE_SIZE[0], 3), 128, np.uint8)
        encoded = [f for n in range(PROBE_FRAMES) for f in tried.encode_frame(grey, n * 3000, keyframe=n in {0, 2})]
        if not encoded:
            return f"nothing came out for {PROBE_FRAMES} pictures"
        if not encoded[0].keyframe or not parameter_sets(encoded[0].data):
            return "its first frame is no keyframe with parameter sets"
        if len(encoded) > 2 and not encoded[2].keyframe:
            return "it makes no keyframe on demand"
    except (LocalError, av.FFmpegError, OSError, ValueError) as error:
        return str(error)
    finally:
        with contextlib.suppress(Exception):
            av.logging.set_level(level)
    return None


def create_encoder(
    mime: str,
    width: int,
    height: int,
    fps: int = 30,
    bitrate: int = 1_500_000,
    *,
    hardware: bool = True,
    drops_frames: bool = False,
) -> VideoEncoder:
    """Return the best encoder of this machine for `video/H264`, `VP8`, `VP9` or `AV1` (in any case).

    Hardware that works in general but refuses this size or rate is passed over for the library. Blocking: the first
    call for a codec tries what the machine has.

    Args:
        mime: What to encode.
        width: Pixels, even.
        height: Pixels, even.
        fps: Frames per second to begin with.
        bitrate: bit/s.
        hardware: Whether to use hardware if there is some.
        drops_frames: Whether libvpx may leave out pictures where it cannot keep the rate otherwise.

    Raises:
        LocalError: If there is none for `mime`, or an argument is not usable.
    """
    encoder = choose_encoder(mime).encoder
    fallback = CANDIDATES[mime.lower()][-1]
    try:
        return (encoder if hardware else fallback)(width, height, fps, bitrate, drops_frames=drops_frames)
    except LocalError as error:
        if not hardware or encoder is fallback:
            raise
        made = fallback(
            width, height, fps, bitrate, drops_frames=drops_frames
        )  # raises for arguments that nothing can use
        logger.warning("%s; using %s instead", error, made.codec)
        return made
