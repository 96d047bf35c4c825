"""Opus in RTP: one packet is one payload (RFC 7587 section 4.2)."""

from collections.abc import Sequence

from ..core import LocalError, ParseError


class Opus:
    """The payload format `audio/opus` as `stack.rtp.payload` wants it."""

    mime = "audio/opus"
    is_video = False

    @staticmethod
    def packetize(frame: bytes, max_payload: int, frame_number: int = 0) -> list[bytes]:  # noqa: ARG004  see below
        """Return the one payload; Opus cannot be fragmented, so that `max_payload` does not matter."""
        if not frame:
            raise LocalError("an empty Opus packet")
        return [frame]

    @staticmethod
    def depacketize(payloads: Sequence[bytes]) -> bytes:
        """Return the packet.

        Raises:
            ParseError: `truncated` unless there is exactly one payload, not empty.
        """
        if len(payloads) != 1 or not payloads[0]:
            raise ParseError("truncated", f"{len(payloads)} payloads")
        return payloads[0]

    @staticmethod
    def is_keyframe(frame: bytes) -> bool:  # noqa: ARG004  all are alike
        """Every packet can be decoded for itself."""
        return True

    @staticmethod
    def begins_keyframe(payload: bytes) -> bool | None:
        """Every packet can be decoded for itself."""
        return bool(payload)
