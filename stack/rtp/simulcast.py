"""Several encodings of one source: many senders, or many receivers, as one machine (RFC 8853)."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from ..core import LocalError, Machine, ParseError
from .demultiplexer import Demultiplexer
from .events import Closed, ReceiverEvent, SenderEvent
from .extensions import MID, ExtensionMap
from .packet import Packet
from .receiver import Receiver
from .rtcp import is_rtcp, parse
from .sender import Sender

MAX_ENCODINGS = 8  # browsers send three; a description with more is a mistake

Part = TypeVar("Part", Sender, Receiver)


@dataclass(slots=True)
class EncodingEvent:
    """One encoding reports.

    Args:
        rid: Which.
        event: What.
    """

    rid: str
    event: SenderEvent | ReceiverEvent


SimulcastEvent: TypeAlias = EncodingEvent | Closed


class _Encodings(Machine[bytes, bytes, SimulcastEvent], Generic[Part]):
    """What both directions have in common."""

    def __init__(self, encodings: Mapping[str, Part]) -> None:
        super().__init__()
        if not 1 <= len(encodings) <= MAX_ENCODINGS:
            raise LocalError(f"1 to {MAX_ENCODINGS} encodings, not {len(encodings)}")
        self._encodings: dict[str, Part] = dict(encodings)
        self._closed = False

    def __getitem__(self, rid: str) -> Part:
        return self._encodings[rid]

    @property
    def rids(self) -> tuple[str, ...]:
        """The encodings, in the order given."""
        return tuple(self._encodings)

    @property
    def dropped(self) -> Counter[str]:
        """What was dropped here, and by the encodings."""
        total = Counter(self._dropped)
        for part in self._encodings.values():
            total += part.dropped
        return total

    def _receive_rtcp(self, datagram: bytes, now: float) -> None:
        """Parse once and give all of it to every encoding, which takes what concerns it."""
        now = self._clamp(now)
        if self._closed:
            self._dropped["closed"] += 1
            return
        try:
            packets = parse(datagram)
        except ParseError as error:
            self._dropped[error.reason] += 1
            return
        for part in self._encodings.values():
            part.receive_rtcp(packets, now)

    def handle_timer(self, now: float) -> None:
        """Pass time on to every encoding."""
        now = self._clamp(now)
        for part in self._encodings.values():
            part.handle_timer(now)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return what every encoding sends, in the order of the encodings."""
        now = self._clamp(now)
        return [datagram for part in self._encodings.values() for datagram in part.datagrams_to_send(now)]

    def next_event(self) -> SimulcastEvent | None:
        """Return the oldest event of the first encoding that has one; `Closed` once, at the end."""
        for rid, part in self._encodings.items():
            while (event := part.next_event()) is not None:
                if not isinstance(event, Closed):
                    return EncodingEvent(rid, event)
        return self._events.popleft() if self._events else None

    def next_timer(self) -> float | None:
        """Return the earliest deadline of all encodings, or None."""
        return min((due for part in self._encodings.values() if (due := part.next_timer()) is not None), default=None)

    def close(self, now: float) -> None:
        """Close every encoding."""
        now = self._clamp(now)
        if self._closed:
            return
        self._closed = True
        for part in self._encodings.values():
            part.close(now)
        self._events.append(Closed())


class SimulcastSender(_Encodings[Sender]):
    """Sends several encodings of one source.

    Args:
        encodings: Sender by rid, each with its own SSRCs and its rid, from the smallest encoding to the largest.

    Raises:
        LocalError: If there are none or too many, or two share an SSRC.
    """

    def __init__(self, encodings: Mapping[str, Sender]) -> None:
        super().__init__(encodings)
        if len({sender.ssrc for sender in encodings.values()}) != len(encodings):
            raise LocalError("two encodings with one SSRC")
        self._paused: set[str] = set()

    def is_active(self, rid: str) -> bool:
        """Tell whether frames of an encoding are sent."""
        return rid not in self._paused

    def set_active(self, rid: str, *, active: bool) -> None:
        """Pause an encoding or go on with it (RFC 8853 section 6.2); it must go on with a keyframe.

        Raises:
            LocalError: If there is no such encoding.
        """
        if rid not in self._encodings:
            raise LocalError(f"no encoding {rid}")
        self._paused.discard(rid)
        if not active:
            self._paused.add(rid)

    def send_frame(self, rid: str, data: bytes, timestamp: int, now: float, *, keyframe: bool | None = None) -> None:
        """Send a frame of one encoding, see `Sender.send_frame`; a frame of one that is paused is dropped and counted.

        Raises:
            LocalError: If there is no such encoding, or its sender refuses the frame.
        """
        if rid not in self._encodings:
            raise LocalError(f"no encoding {rid}")
        if rid in self._paused:
            self._clamp(now)
            self._dropped["paused"] += 1
            return
        self._encodings[rid].send_frame(data, timestamp, self._clamp(now), keyframe=keyframe)

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take one RTCP compound."""
        self._receive_rtcp(datagram, now)


class SimulcastReceiver(_Encodings[Receiver]):
    """Receives several encodings of one source, told apart by the header extensions RID and repaired RID.

    Args:
        rids: The encodings.
        make: Makes the receiver of one, with a local SSRC of its own.
        extension_map: The negotiated header extensions.
        payload_types: All that are received, retransmissions included.
    """

    def __init__(
        self,
        rids: tuple[str, ...],
        make: Callable[[str], Receiver],
        extension_map: ExtensionMap,
        payload_types: frozenset[int],
    ) -> None:
        super().__init__({rid: make(rid) for rid in rids})
        # The MID has brought packets here; among the encodings it tells nothing.
        own = ExtensionMap({uri: identifier for uri, identifier in extension_map.items() if uri != MID})
        self._demultiplexer: Demultiplexer[None] = Demultiplexer(own)
        self._demultiplexer.add(None, rids=rids, payload_types=payload_types)

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take one RTP packet, or one RTCP compound."""
        if is_rtcp(datagram):
            self._receive_rtcp(datagram, now)
            return
        now = self._clamp(now)
        if self._closed:
            self._dropped["closed"] += 1
            return
        try:
            packet = Packet.parse(datagram)
        except ParseError as error:
            self._dropped[error.reason] += 1
            return
        destination = self._demultiplexer.destination_of(packet)
        if destination is None or destination.rid is None:
            self._dropped["unknown-rid"] += 1
            return
        self._encodings[destination.rid].receive_packet(packet, now)
