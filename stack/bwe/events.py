"""What goes in and out of the machines: results, clusters, packets, events."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias


class PacketResult(NamedTuple):
    """What a report says of one packet; any pair of the two values will do.

    Args:
        sequence_number: The one given to `Estimator.packet_sent`; 16 bits.
        received_time: Seconds of the receiver's clock, whose origin does not matter; None if it was not received.
    """

    sequence_number: int
    received_time: float | None


class Usage(IntEnum):
    """What the delay says of the path: draft-ietf-rmcat-gcc section 5.4."""

    UNDERUSE = 0
    NORMAL = 1
    OVERUSE = 2


class Kind(IntEnum):
    """What a packet carries, in the order in which the pacer lets packets go."""

    RTCP = 0
    AUDIO = 1
    RETRANSMISSION = 2
    VIDEO = 3
    PADDING = 4


@dataclass(slots=True)
class ProbeCluster:
    """A short run of packets, sent faster than the target to see whether the path carries it.

    Args:
        id: Marks the packets of the run.
        bitrate: To send them at, bit/s.
        packets: At least as many.
        size: At least as many bytes.
    """

    id: int
    bitrate: int
    packets: int
    size: int


@dataclass(slots=True)
class PacedPacket:
    """A packet that waits for its turn.

    Args:
        item: What it is to whoever sends it; not looked at.
        size: Bytes that it takes on the path.
        kind: Its priority.
        stream: Any hashable name of its stream; dropping up to a keyframe happens per stream.
        keyframe: Whether it belongs to a keyframe.
        first: Whether it is the first of its frame.
        probe: Set by the pacer: the cluster that it left with, to be given to `Estimator.packet_sent`.
        queued_at: Set by the pacer, seconds.
    """

    item: Any
    size: int
    kind: Kind
    stream: Any = None
    keyframe: bool = False
    first: bool = True
    probe: int | None = None
    queued_at: float = 0.0


@dataclass(slots=True)
class TargetBitrateChanged:
    """The encoder should produce another bitrate.

    Args:
        target_bitrate: Bit/s for all that the transport sends, retransmissions included.
        pacing_rate: Bit/s for the pacer.
    """

    target_bitrate: int
    pacing_rate: int


@dataclass(slots=True)
class ProbeRequested:
    """The pacer should send a cluster."""

    cluster: ProbeCluster


@dataclass(slots=True)
class KeyframeNeeded:
    """The pacer has dropped video of a stream and its backlog is gone: only a keyframe helps."""

    stream: Any


@dataclass(slots=True)
class BitrateEstimated:
    """A REMB should be sent.

    Args:
        bitrate: Bit/s.
        ssrcs: Whose bitrate it is together.
    """

    bitrate: int
    ssrcs: tuple[int, ...]


@dataclass(slots=True)
class Closed:
    """The machine has ended."""


EstimatorEvent: TypeAlias = TargetBitrateChanged | ProbeRequested | Closed
PacerEvent: TypeAlias = KeyframeNeeded | Closed
RemoteEstimatorEvent: TypeAlias = BitrateEstimated | Closed
