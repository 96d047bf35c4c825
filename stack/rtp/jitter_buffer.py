"""From packets in any order to whole frames in decoding order, with as little delay as loss allows.

A frame is delivered in the instant its last packet arrives, provided that the frame before it was delivered; there is
no playout delay. Behind a gap frames wait at most `max_wait`; then the gap is given up and video goes on with the
next keyframe. A keyframe that is complete behind a gap is delivered at once: nothing before it matters any more.

A frame is delivered only if its packets follow one another without a gap, from a place where a frame certainly begins
to the marker (or to a packet of the next frame). So what is delivered is what was sent, or nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..core import ParseError
from .events import FrameReceived
from .packet import Packet
from .payload import PayloadFormat

MAX_PACKETS = 2048  # 2.4 MB of full packets: more than a second at 20 Mbit/s, several keyframes
MAX_BYTES = 4 << 20  # whatever the size of the packets
MAX_CANDIDATES = 8  # keyframes under way behind a gap; one is normal


@dataclass(slots=True)
class _Candidate:
    """A place where a keyframe (or perhaps a keyframe) begins, and how far its packets are known to follow."""

    start: int
    scan: int


class JitterBuffer:
    """Reassembles the frames of one stream.

    Args:
        formats: Payload type to format. All video or all audio.
        max_wait: Seconds that a complete frame may wait for packets missing before it.
        extension_uris: Identifier to URI of the header extensions that frames are to tell.

    Attributes:
        frames_dropped: Frames that were malformed, or whole but not decodable after a loss.
        packets_discarded: Packets of frames that were given up.
        awaiting_keyframe: Whether nothing can be delivered before a keyframe.
    """

    __slots__ = (
        "_blocked_since",
        "_bytes",
        "_candidates",
        "_extension_uris",
        "_floor",
        "_formats",
        "_frames",
        "_head",
        "_highest",
        "_packets",
        "_scan",
        "_video",
        "frames_dropped",
        "max_wait",
        "packets_discarded",
    )

    def __init__(
        self, formats: Mapping[int, PayloadFormat], max_wait: float, extension_uris: Mapping[int, str] | None = None
    ) -> None:
        self._formats = formats
        self._extension_uris = {} if extension_uris is None else extension_uris  # both may grow later
        self._video = any(format_.is_video for format_ in formats.values())
        self.max_wait = max_wait
        self.frames_dropped = 0
        self.packets_discarded = 0
        self._frames: list[FrameReceived] = []
        self.restart(0)

    def restart(self, floor: int) -> None:
        """Forget everything; packets before the extended sequence number `floor` are late from now on."""
        self._packets: dict[int, tuple[Packet, float]] = {}
        self._bytes = 0
        self._floor = floor
        self._highest = floor - 1
        self._head: int | None = None
        self._scan = floor
        self._candidates: list[_Candidate] = []
        self._blocked_since: float | None = None

    def __len__(self) -> int:
        return len(self._packets)

    def __contains__(self, extended: int) -> bool:
        return extended in self._packets

    @property
    def awaiting_keyframe(self) -> bool:
        """Whether nothing can be delivered before a keyframe."""
        return self._video and self._head is None

    @property
    def awaiting_first(self) -> bool:
        """Whether it is not known where the stream begins."""
        return self._head is None

    @property
    def calm(self) -> bool:
        """Whether nothing waits for what is missing, be it packets or a keyframe."""
        return self._blocked_since is None and (self._head is not None or not self._video)

    def has_timestamp(self, timestamp: int) -> bool:
        """Tell whether a packet of this timestamp waits."""
        return any(packet.timestamp == timestamp for packet, _ in self._packets.values())

    @property
    def floor(self) -> int:
        """Packets before this extended sequence number are of no use any more."""
        return self._floor

    @property
    def waits_for(self) -> int:
        """The extended sequence number of the first packet missing, while there is a gap."""
        return self._scan

    def deadline(self) -> float | None:
        """Return when the present gap must be given up, or None if there is none."""
        return None if self._blocked_since is None else self._blocked_since + self.max_wait

    def insert(self, extended: int, packet: Packet, now: float) -> str | None:
        """Take one packet.

        Args:
            extended: Its extended sequence number.
            packet: It; kept.
            now: When it arrived, seconds.

        Returns:
            None, or what happened instead of the ordinary: `late` and `duplicate` packets are not used, and with
            `jitter-buffer-full` older ones were given up.
        """
        if extended < self._floor:
            return "late"
        packets = self._packets
        if extended in packets:
            return "duplicate"
        full = None
        size = len(packet.payload)
        if len(packets) >= MAX_PACKETS or self._bytes + size > MAX_BYTES:
            self._make_room(extended, size)
            full = "jitter-buffer-full"
            if extended < self._floor:
                return full
            packets = self._packets
        packets[extended] = (packet, now)
        self._bytes += size
        head = self._head
        if (
            extended == self._scan
            and head is not None
            and len(packets) == extended - head + 1
            and not packet.marker
            and self._video
            and packet.timestamp == packets[head][0].timestamp
        ):
            # The ordinary case: one more packet of the frame under way, and nothing behind it.
            self._scan = extended + 1
            self._highest = max(self._highest, extended)
            self._blocked_since = None
            return full
        self._highest = max(self._highest, extended)
        if self._head is None and not self._video:
            self._floor = self._head = self._scan = extended
        if self._head is not None and extended == self._scan:
            self._advance()
        elif self._video:
            self._look_for_keyframe(extended, packet)
            if self._head is not None and self._blocked_since is None and extended > self._scan:
                self._blocked_since = now
        elif self._blocked_since is None:
            self._blocked_since = now
        return full

    def take_frames(self) -> list[FrameReceived]:
        """Return the frames that became deliverable, in order."""
        frames = self._frames
        if frames:
            self._frames = []
        return frames

    def give_up(self) -> None:
        """Stop waiting for the packets missing at the present gap."""
        self._blocked_since = None
        if self._head is None:
            return
        if self._video:
            self._discard_before(self._scan)
            self._floor = self._scan
            self._head = None
            return
        self._floor = self._head = self._scan = min(self._packets, default=self._scan)
        self._advance()

    def _walk(self, start: int, position: int) -> tuple[int, bool]:
        """Go on from `position` while packets of the frame that begins at `start` follow.

        Returns:
            The first position that does not belong to it or is missing, and whether the frame is complete.
        """
        packets = self._packets
        entry = packets.get(position)
        if entry is None:
            return position, False
        if not self._video:
            return position + 1, True
        timestamp = packets[start][0].timestamp
        while entry is not None:
            packet = entry[0]
            if packet.timestamp != timestamp:
                # The next frame has begun: this one ended without a marker.
                return position, True
            position += 1
            if packet.marker:
                return position, True
            entry = packets.get(position)
        return position, False

    def _advance(self) -> None:
        """Deliver from the head whatever is complete."""
        while self._head is not None:
            self._scan, complete = self._walk(self._head, self._scan)
            if not complete:
                break
            start, self._head = self._head, self._scan
            self._floor = self._scan
            if not self._deliver(start, self._scan) and self._video:
                self._head = None
        self._candidates = [c for c in self._candidates if c.start > self._scan] if self._candidates else []
        waiting = len(self._packets) - (self._scan - self._head if self._head is not None else 0)
        if self._head is None or not waiting:
            self._blocked_since = None
        else:
            self._blocked_since = min(t for position, (_, t) in self._packets.items() if position > self._scan)

    def _deliver(self, start: int, end: int) -> bool:
        """Make a frame of the packets from `start` to `end`. Return whether what follows can be decoded."""
        entries = [self._packets.pop(position) for position in range(start, end)]
        payloads = [packet.payload for packet, _ in entries if packet.payload]
        if not payloads:
            return True  # nothing but padding
        self._bytes -= sum(map(len, payloads))
        first = entries[0][0]
        format_ = self._formats[first.payload_type]
        try:
            data = format_.depacketize(payloads)
        except ParseError:
            self.frames_dropped += 1
            return False
        arrived = max([arrival for _, arrival in entries])
        frame = FrameReceived(
            data, first.timestamp, first.payload_type, format_.mime, format_.is_keyframe(data), arrived
        )
        for identifier, uri in self._extension_uris.items():
            # What only one packet of the frame has stands in the first or the last.
            value = first.extensions.get(identifier) or entries[-1][0].extensions.get(identifier)
            if value is not None:
                frame.extensions[uri] = value
        self._frames.append(frame)
        return True

    def _begins_keyframe(self, position: int) -> bool:
        entry = self._packets.get(position)
        if entry is None or not entry[0].payload:
            return False
        packet = entry[0]
        begins = self._formats[packet.payload_type].begins_keyframe(packet.payload)
        if begins is False:
            return False
        before = self._packets.get(position - 1)
        if before is None:
            return begins is True
        return before[0].marker or before[0].timestamp != packet.timestamp

    def _look_for_keyframe(self, extended: int, packet: Packet) -> None:
        """After a packet beyond a gap, or before any keyframe: is there a complete keyframe now?"""
        if self._candidates and not packet.marker:
            # What followed a hole and seemed to begin a frame was inside one.
            after = self._packets.get(extended + 1)
            if after is not None and after[0].timestamp == packet.timestamp:
                self._candidates = [c for c in self._candidates if c.start != extended + 1]
        for position in (extended, extended + 1):
            if self._begins_keyframe(position) and all(c.start != position for c in self._candidates):
                self._candidates.append(_Candidate(position, position))
                del self._candidates[:-MAX_CANDIDATES]
        for candidate in list(self._candidates):
            if candidate.scan not in {extended, extended + 1}:
                continue
            candidate.scan, complete = self._walk(candidate.start, candidate.scan)
            if complete:
                self._candidates.remove(candidate)
                if self._jump(candidate):
                    break

    def _jump(self, candidate: _Candidate) -> bool:
        """Deliver the complete frame of `candidate`, if it is a keyframe, and go on from there."""
        start, end = candidate.start, candidate.scan
        payloads = [self._packets[p][0].payload for p in range(start, end) if self._packets[p][0].payload]
        format_ = self._formats[self._packets[start][0].payload_type]
        try:
            keyframe = format_.is_keyframe(format_.depacketize(payloads))
        except ParseError:
            return False
        if not keyframe:
            return False
        self._discard_before(start)
        self._head = self._floor = self._scan = start
        self._advance()
        return True

    def _discard_before(self, position: int) -> None:
        for number in [number for number in self._packets if number < position]:
            packet, _ = self._packets.pop(number)
            self._bytes -= len(packet.payload)
            self.packets_discarded += 1

    def _make_room(self, extended: int, size: int) -> None:
        """Give up the oldest: all before the oldest keyframe under way; everything, if that is not enough."""
        if self._candidates:
            self._floor = self._scan = min(candidate.start for candidate in self._candidates)
            self._discard_before(self._floor)
            self._head = None
            self._blocked_since = None
        if len(self._packets) >= MAX_PACKETS or self._bytes + size > MAX_BYTES:
            self.packets_discarded += len(self._packets)
            self.restart(max(self._highest + 1, extended))
