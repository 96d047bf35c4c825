"""Bandwidth: how much the path carries, and a pacer that sends no more at a time.

`Estimator` (draft-ietf-rmcat-gcc) is told of packets sent and of reports about them, and says the target bitrate.
`Pacer` holds packets until their turn. `RemoteEstimator` is the receiver's side for senders that know only REMB.
"""

from .estimator import Estimator
from .events import (
    BitrateEstimated,
    Closed,
    EstimatorEvent,
    KeyframeNeeded,
    Kind,
    PacedPacket,
    PacerEvent,
    PacketResult,
    ProbeCluster,
    ProbeRequested,
    RemoteEstimatorEvent,
    TargetBitrateChanged,
    Usage,
)
from .pacer import Pacer
from .remote import RemoteEstimator

__all__ = [
    "BitrateEstimated",
    "Closed",
    "Estimator",
    "EstimatorEvent",
    "KeyframeNeeded",
    "Kind",
    "PacedPacket",
    "Pacer",
    "PacerEvent",
    "PacketResult",
    "ProbeCluster",
    "ProbeRequested",
    "RemoteEstimator",
    "RemoteEstimatorEvent",
    "TargetBitrateChanged",
    "Usage",
]
