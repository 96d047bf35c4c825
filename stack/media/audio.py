"""Live audio encoders and decoders: Opus, G.711 and G.722, in frames of 20 ms."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import av

from ..core import LocalError
from .frames import TIMESTAMP_MASK, EncodedFrame

PTIME: Final = 0.02  # seconds in a packet (RFC 3551 section 4.2)
MIN_OPUS_BITRATE: Final = 6_000  # bit/s (RFC 7587 section 6.1)
MAX_OPUS_BITRATE: Final = 510_000  # the same
DEFAULT_OPUS_BITRATE: Final = 64_000  # bit/s: stereo music without audible loss (RFC 7587 section 3.1.1 has 64-128)
MAX_ENCODED_SOUND: Final = 65_535  # bytes; no RTP packet carries more
MAX_JUMP: Final = 0.1  # seconds between where a frame should begin and where it does: more is a gap, not jitter
_RETARGET_BY: Final = 0.2  # a smaller change of an Opus rate is not worth the click of a new encoder


@dataclass(frozen=True, slots=True)
class _Format:
    encoder: str
    decoder: str
    sample_rate: int  # Hz
    clock_rate: int  # Hz of RTP timestamps
    layout: str


_FORMATS: Final = {
    "audio/opus": _Format("libopus", "libopus", 48_000, 48_000, "stereo"),
    "audio/pcmu": _Format("pcm_mulaw", "pcm_mulaw", 8_000, 8_000, "mono"),
    "audio/pcma": _Format("pcm_alaw", "pcm_alaw", 8_000, 8_000, "mono"),
    "audio/g722": _Format("g722", "g722", 16_000, 8_000, "mono"),  # RFC 3551 section 4.5.2: clocked at half its rate
}


def _format(mime: str, what: str) -> _Format:
    try:
        return _FORMATS[mime.lower()]
    except KeyError:
        raise LocalError(f"no {what} for {mime!r}; there are {', '.join(_FORMATS)}") from None


class AudioEncoder:
    """Encodes one stream of sound. Not thread-safe: use it from one worker.

    Args:
        mime: `audio/opus`, `audio/PCMU`, `audio/PCMA` or `audio/G722` (in any case).
        bitrate: bit/s; of Opus only, the others have 64 kbit/s.
        layout: `mono` or `stereo`; of Opus only, the others are mono.

    Attributes:
        mime: As given.
        bitrate: In use, bit/s.

    Raises:
        LocalError: If there is no such encoder.
    """

    def __init__(self, mime: str, bitrate: int = DEFAULT_OPUS_BITRATE, layout: str = "stereo") -> None:
        self._format = _format(mime, "encoder")
        self._opus = self._format.encoder == "libopus"
        if layout not in {"mono", "stereo"}:
            raise LocalError(f"layout must be 'mono' or 'stereo', not {layout!r}")
        self._layout = layout if self._opus else self._format.layout
        self.mime = mime
        self.bitrate = self._clamp(bitrate)
        self._samples = round(self._format.sample_rate * PTIME)
        self._ticks = round(self._format.clock_rate * PTIME)
        self._resampler = self._new_resampler()
        self._context = self._open()
        self._next: float | None = None  # seconds at which the next frame of the source should begin
        self._timestamp = 0  # of the next packet, in units of the RTP clock

    def set_bitrate(self, bitrate: int) -> None:
        """Change the rate of Opus, bit/s, from the next frame on; changes below a fifth are ignored."""
        wanted = self._clamp(bitrate)
        if self._opus and abs(wanted - self.bitrate) > _RETARGET_BY * self.bitrate:
            self.bitrate = wanted
            self._context = self._open()

    def encode(self, frame: av.AudioFrame) -> list[EncodedFrame]:
        """Encode samples of any format, rate, layout and number.

        Args:
            frame: With its `pts`; without one it follows the frame before it.

        Returns:
            Packets of 20 ms, as many as are complete.
        """
        duration = frame.samples / frame.sample_rate
        begin = self._next or 0.0
        if frame.pts is not None and frame.time_base:
            begin = float(frame.pts * frame.time_base)
        if self._next is None or abs(begin - self._next) > MAX_JUMP:
            self._resampler = self._new_resampler()
            self._timestamp = round(begin * self._format.clock_rate)
            self._next = begin
        self._next += duration
        packets = [
            packet for part in self._resampler.resample(frame) for packet in self._context.encode(self._undated(part))
        ]
        return [self._dated(bytes(packet)) for packet in packets if packet.size]

    @staticmethod
    def _undated(frame: Any) -> Any:
        frame.pts = None
        return frame

    def _dated(self, data: bytes) -> EncodedFrame:
        timestamp = self._timestamp & TIMESTAMP_MASK
        self._timestamp += self._ticks
        return EncodedFrame(data, timestamp, keyframe=True, mime=self.mime)

    def _clamp(self, bitrate: int) -> int:
        return max(MIN_OPUS_BITRATE, min(MAX_OPUS_BITRATE, int(bitrate))) if self._opus else 64_000

    def _new_resampler(self) -> Any:
        return av.AudioResampler(
            format="s16", layout=self._layout, rate=self._format.sample_rate, frame_size=self._samples
        )

    def _open(self) -> Any:
        context: Any = av.CodecContext.create(self._format.encoder, "w")
        context.sample_rate, context.layout, context.format = self._format.sample_rate, self._layout, "s16"
        context.time_base = Fraction(1, self._format.sample_rate)
        if self._opus:
            context.bit_rate = self.bitrate
            # In-band redundancy for one lost packet in twenty, which is what mobile links have on a bad day.
            context.options = {"frame_duration": "20", "application": "audio", "fec": "1", "packet_loss": "5"}
        context.open()
        return context


class AudioDecoder:
    """Decodes one stream of sound into `s16` frames. Not thread-safe: use it from one worker.

    Args:
        mime: `audio/opus`, `audio/PCMU`, `audio/PCMA` or `audio/G722` (in any case).

    Attributes:
        failed: Packets that did not decode since the start.
        keyframe_needed: Always False; video decoders have it.

    Raises:
        LocalError: If there is no such decoder.
    """

    keyframe_needed = False

    def __init__(self, mime: str) -> None:
        self._format = _format(mime, "decoder")
        self.mime = mime
        self.failed = 0
        context: Any = av.CodecContext.create(self._format.decoder, "r")
        context.sample_rate, context.layout = self._format.sample_rate, self._format.layout
        self._context = context
        self._resampler = av.AudioResampler(format="s16", layout=self._format.layout, rate=self._format.sample_rate)

    def decode(self, data: bytes) -> "list[av.AudioFrame]":
        """Decode one packet. Never raises on what the network sent: damage shows in `failed`."""
        if not data or len(data) > MAX_ENCODED_SOUND:
            self.failed += bool(data)
            return []
        try:
            frames = self._context.decode(av.Packet(data))
        except (av.FFmpegError, ValueError):
            self.failed += 1
            return []
        for frame in frames:
            frame.pts = None
        return [part for frame in frames for part in self._resampler.resample(frame)]
