"""Audio formats of which one frame is one payload: Opus, G.711, G.722, telephone events and comfort noise.

RFC 7587 section 4.2, RFC 3551 sections 4.5.14 and 4.5.2, RFC 4733, RFC 3389.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ..core import LocalError, ParseError

MAX_DURATION = 0xFFFF  # RFC 4733 section 2.3.5: the duration has 16 bits

_EVENT = struct.Struct("!BBH")


class AudioFormat:
    """A payload format of which every packet is a frame and can be decoded for itself.

    Args:
        mime: MIME type in lower case.
        unit: A frame is a multiple of so many octets.
    """

    is_video = False

    def __init__(self, mime: str, unit: int = 1) -> None:
        self.mime = mime
        self._unit = unit

    def packetize(self, frame: bytes, max_payload: int, frame_number: int = 0) -> list[bytes]:  # noqa: ARG002  see below
        """Return the one payload; a frame cannot be fragmented, so that `max_payload` does not matter."""
        if not frame or len(frame) % self._unit:
            raise LocalError(f"{len(frame)} bytes are no frame of {self.mime}")
        return [frame]

    def depacketize(self, payloads: Sequence[bytes]) -> bytes:
        """Return the frame.

        Raises:
            ParseError: `truncated` unless there is exactly one payload of whole units, not empty.
        """
        if len(payloads) != 1 or not payloads[0] or len(payloads[0]) % self._unit:
            raise ParseError("truncated", f"{len(payloads)} payloads")
        return payloads[0]

    def is_keyframe(self, frame: bytes) -> bool:  # noqa: ARG002  all are alike
        """Every frame can be decoded for itself."""
        return True

    def begins_keyframe(self, payload: bytes) -> bool | None:
        """Every frame can be decoded for itself."""
        return bool(payload)


G722_CLOCK_RATE = 8000  # RFC 3551 section 4.5.2: though it samples at 16 kHz, an old error kept for ever


@dataclass(slots=True)
class TelephoneEvent:
    """One report of an event under way or ended (RFC 4733 section 2.3).

    Args:
        event: 0..9, 10 for *, 11 for #, 12..15 for A..D, or another of the registry.
        duration: Since the RTP timestamp, in its units.
        end: Whether the event has ended.
        volume: 0 (loudest) to 63, in -dBm0.
    """

    event: int
    duration: int
    end: bool = False
    volume: int = 10

    def serialize(self) -> bytes:
        """Return the payload.

        Raises:
            LocalError: If a field does not fit.
        """
        if not (0 <= self.event <= 255 and 0 <= self.volume <= 63 and 0 <= self.duration <= MAX_DURATION):
            raise LocalError(f"an event that does not fit: {self}")
        return _EVENT.pack(self.event, self.end << 7 | self.volume, self.duration)

    @classmethod
    def parse(cls, payload: bytes) -> "TelephoneEvent":
        """Parse the first report of a payload.

        Raises:
            ParseError: `truncated`.
        """
        if len(payload) < _EVENT.size:
            raise ParseError("truncated", "telephone event")
        event, flags, duration = _EVENT.unpack_from(payload)
        return cls(event, duration, bool(flags & 0x80), flags & 0x3F)


def tone_payloads(tone: str, clock_rate: int, seconds: float, *, interval: float = 0.02) -> list[bytes]:
    """Return the payloads of one DTMF tone, in order, all of one RTP timestamp; the last three say that it ended.

    Send one every `interval`, the three together or as quickly (RFC 4733 section 2.5.1.4).

    Args:
        tone: One of `0123456789*#ABCD`.
        clock_rate: Of the RTP timestamps, Hz.
        seconds: How long it sounds.
        interval: Seconds between reports.

    Raises:
        LocalError: If there is no such tone or its duration does not fit.
    """
    event = "0123456789*#ABCD".find(tone.upper())
    if len(tone) != 1 or event < 0:
        raise LocalError(f"{tone!r} is no DTMF tone")
    total = round(seconds * clock_rate)
    step = round(interval * clock_rate)
    if not 0 < step <= total <= MAX_DURATION:
        raise LocalError(f"a tone of {seconds} s cannot be told at {clock_rate} Hz")
    reports = [TelephoneEvent(event, duration) for duration in range(step, total, step)]
    reports += [TelephoneEvent(event, total, end=True)] * 3
    return [report.serialize() for report in reports]


@dataclass(slots=True)
class ComfortNoise:
    """What silence sounds like (RFC 3389 section 3).

    Args:
        level: 0 (loudest) to 127, in -dBov.
        reflection_coefficients: One octet each: 127 is 0, the range is -1..1.
    """

    level: int
    reflection_coefficients: bytes = b""

    def serialize(self) -> bytes:
        """Return the payload.

        Raises:
            LocalError: If the level does not fit.
        """
        if not 0 <= self.level <= 127:
            raise LocalError(f"a noise level of {self.level}")
        return bytes((self.level,)) + self.reflection_coefficients

    @classmethod
    def parse(cls, payload: bytes) -> "ComfortNoise":
        """Parse a payload.

        Raises:
            ParseError: `truncated`.
        """
        if not payload:
            raise ParseError("truncated", "comfort noise")
        return cls(payload[0] & 0x7F, payload[1:])


AUDIO_FORMATS = (
    AudioFormat("audio/opus"),
    AudioFormat("audio/pcmu"),
    AudioFormat("audio/pcma"),
    AudioFormat("audio/g722"),
    AudioFormat("audio/telephone-event", _EVENT.size),
    AudioFormat("audio/cn"),
)
