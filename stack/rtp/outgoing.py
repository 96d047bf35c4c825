"""Packets that wait to leave: what a pacer outside of this layer orders, delays and drops."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum


class PacketKind(IntEnum):
    """In which order packets leave when there is not room for all; RTCP goes before them."""

    AUDIO = 0
    RETRANSMISSION = 1
    VIDEO = 2
    PADDING = 3


@dataclass(slots=True, eq=False)
class Frame:
    """A frame of which no packet has left.

    Attributes:
        payloads: What the payload format made of it.
        timestamp: Media clock, 32 bits.
        second: Second octet of its last packet: marker and payload type.
        keyframe: Whether it is one.
        queued_at: When it came, seconds.
        capture_time: When it was captured, seconds of the same clock, if told.
        extensions: Header extensions of its own, by identifier.
    """

    payloads: Sequence[bytes]
    timestamp: int
    second: int
    keyframe: bool
    queued_at: float
    capture_time: float | None
    extensions: dict[int, bytes] | None


@dataclass(slots=True, eq=False)
class Outgoing:
    """An RTP packet that has no bytes yet: `Sender.serialize` makes them when it leaves.

    Sequence numbers, the transport-wide sequence number and the absolute send time are given only then. So a packet
    can be dropped (`Sender.discard`) and others overtake it.

    Attributes:
        kind: Its priority.
        ssrc: The stream that it will be part of.
        timestamp: Media clock, 32 bits.
        payload: Without the original sequence number of a retransmission.
        padding: Octets of padding, the count included.
        first: Whether it begins a frame.
        last: Whether it ends a frame.
        keyframe: Whether the frame is a keyframe.
        queued_at: When the frame, the request or the probe came, seconds.
        capture_time: When the frame was captured, seconds of the same clock, if told.
        size: Octets of the RTP packet; an estimate until it is serialized.
        sequence_number: Of the packet once serialized, 16 bits; of the original before, if it is a retransmission.
        transport_sequence_number: Transport-wide, 16 bits, once serialized and if negotiated.
    """

    kind: PacketKind
    ssrc: int
    timestamp: int
    payload: bytes
    padding: int = 0
    first: bool = True
    last: bool = True
    keyframe: bool = False
    queued_at: float = 0.0
    capture_time: float | None = None
    size: int = 0
    sequence_number: int | None = None
    transport_sequence_number: int | None = None
    second: int = field(default=0, repr=False)
    extensions: dict[int, bytes] | None = field(default=None, repr=False)

    @property
    def is_retransmission(self) -> bool:
        """Whether the other end may have its payload already."""
        return self.kind is PacketKind.RETRANSMISSION
