"""The header extensions of a sender's two streams, media and retransmissions."""

import struct
from collections.abc import Callable, Mapping

from .extensions import (
    ABS_CAPTURE_TIME,
    ABS_SEND_TIME,
    DEPENDENCY_DESCRIPTOR,
    MID,
    PLAYOUT_DELAY,
    REPAIRED_RID,
    RID,
    TRANSPORT_CC,
    ExtensionMap,
    ExtensionWriter,
    pack_abs_capture_time,
    pack_playout_delay,
    pack_text,
)

CAPTURE_TIME_INTERVAL = 1.0  # seconds between absolute capture times, which receivers interpolate
DESCRIPTOR_MANDATORY_BYTES = 3  # AV1 RTP specification appendix A.8.1: flags, template and frame number

_FIXED = struct.Struct("!BBHLL").pack
_U16 = struct.Struct("!H").pack


class Headers:
    """Writes RTP headers.

    Args:
        extension_map: The negotiated header extensions.
        mid: Value of MID, if mapped.
        rid: Value of RID, and of the repaired RID of retransmissions, if mapped.
        playout_delay: (minimum, maximum) in seconds, if mapped.
        next_transport_sequence: Gives the transport's next sequence number, if mapped.
        ntp_offset: Seconds to add to `now` to get NTP time.

    Attributes:
        media: Writer of packets without extensions of their own.
        rtx: Writer of retransmissions.
        next_number: Gives the transport's next sequence number, of which 16 bits count; None if it is not mapped.
        taken: Those that were taken; to be emptied by who reads them.
    """

    __slots__ = (
        "_abs_send_time",
        "_capture_time_id",
        "_constant",
        "_last_capture_time",
        "_map",
        "_mid",
        "_ntp_offset",
        "_playout_delay",
        "_rid",
        "_transport_cc",
        "media",
        "next_number",
        "rtx",
        "taken",
    )

    def __init__(
        self,
        extension_map: ExtensionMap,
        *,
        mid: str | None,
        rid: str | None,
        playout_delay: tuple[float, float] | None,
        next_transport_sequence: Callable[[], int] | None,
        ntp_offset: float,
    ) -> None:
        self._mid, self._rid, self._playout_delay, self._ntp_offset = mid, rid, playout_delay, ntp_offset
        self._last_capture_time = float("-inf")
        self.map(extension_map, next_transport_sequence)

    def map(self, extension_map: ExtensionMap, next_transport_sequence: Callable[[], int] | None) -> None:
        """Write these extensions from now on; arguments as above."""
        mid, rid, playout_delay = self._mid, self._rid, self._playout_delay
        common: dict[int, bytes] = {}
        if mid is not None and MID in extension_map:
            common[extension_map[MID]] = pack_text(mid)
        if playout_delay is not None and PLAYOUT_DELAY in extension_map:
            common[extension_map[PLAYOUT_DELAY]] = pack_playout_delay(*playout_delay)
        media, rtx = dict(common), dict(common)
        if rid is not None and RID in extension_map:
            media[extension_map[RID]] = pack_text(rid)
        if rid is not None and REPAIRED_RID in extension_map:
            rtx[extension_map[REPAIRED_RID]] = pack_text(rid)
        self._map = extension_map
        self._constant = media
        self._abs_send_time = extension_map.get(ABS_SEND_TIME)
        self._transport_cc = extension_map.get(TRANSPORT_CC) if next_transport_sequence else None
        self._capture_time_id = extension_map.get(ABS_CAPTURE_TIME)
        self.next_number = None if self._transport_cc is None else next_transport_sequence
        self.taken: list[int] = []
        self.media = ExtensionWriter(media, self._abs_send_time, self._transport_cc)
        self.rtx = ExtensionWriter(rtx, self._abs_send_time, self._transport_cc)

    def of_frame(
        self, extensions: Mapping[str, bytes] | None, capture_time: float | None, now: float
    ) -> dict[int, bytes] | None:
        """Return identifier to value of what only one frame has, as far as it is mapped; None for nothing."""
        found: dict[int, bytes] = {}
        for uri, value in (extensions or {}).items():
            identifier = self._map.get(uri)
            if identifier is not None:
                found[identifier] = value
        due = now >= self._last_capture_time + CAPTURE_TIME_INTERVAL
        if capture_time is not None and self._capture_time_id is not None and due:
            self._last_capture_time = now
            found[self._capture_time_id] = pack_abs_capture_time(capture_time + self._ntp_offset)
        return found or None

    def of_packet(self, extensions: dict[int, bytes], *, first: bool, last: bool) -> dict[int, bytes]:
        """Return what of a frame's extensions one of its packets has.

        All but two go with every packet. The capture time goes with the first, as does what a dependency descriptor
        has beyond its mandatory part; the descriptor's first two bits tell where in the frame the packet is.
        """
        found = dict(extensions)
        if not first and self._capture_time_id is not None:
            found.pop(self._capture_time_id, None)
        descriptor_id = self._map.get(DEPENDENCY_DESCRIPTOR)
        descriptor = found.get(descriptor_id) if descriptor_id is not None else None
        if descriptor_id is not None and descriptor:
            head = bytes((first << 7 | last << 6 | descriptor[0] & 0x3F,))
            end = len(descriptor) if first else DESCRIPTOR_MANDATORY_BYTES
            found[descriptor_id] = head + descriptor[1:end]
        return found

    def header(
        self,
        second: int,
        sequence_number: int,
        timestamp: int,
        ssrc: int,
        now: float,
        *,
        rtx: bool = False,
        own: dict[int, bytes] | None = None,
    ) -> bytes:
        """Return a header of the media or of the retransmission stream, with a packet's `own` extensions."""
        writer = self.rtx if rtx else self.media
        if own:
            writer = ExtensionWriter(self._constant | own, self._abs_send_time, self._transport_cc)
        extension = writer.prefix(now + self._ntp_offset)
        if self.next_number is not None:
            number = self.next_number() & 0xFFFF
            self.taken.append(number)
            extension += _U16(number) + writer.pad
        return _FIXED(0x90 if extension else 0x80, second, sequence_number, timestamp, ssrc) + extension
