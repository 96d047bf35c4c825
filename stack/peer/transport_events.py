"""What a bundled path reports."""

from dataclasses import dataclass
from typing import TypeAlias

from .. import datachannel, ice
from ..core import PeerError
from .relays import RelayLost, RelayMoved


@dataclass(slots=True)
class CandidateGathered:
    """A local candidate was found."""

    candidate: ice.Candidate


@dataclass(slots=True)
class GatheringCompleted:
    """There will be no more local candidates."""


@dataclass(slots=True)
class IceStateChanged:
    """`state` is W3C's RTCIceTransportState."""

    state: str


@dataclass(slots=True)
class DtlsStateChanged:
    """`state` is W3C's RTCDtlsTransportState; `error` says why when it is `failed`."""

    state: str
    error: PeerError | None = None


ChannelEvent: TypeAlias = (
    datachannel.ChannelAnnounced
    | datachannel.ChannelOpened
    | datachannel.ChannelClosing
    | datachannel.ChannelClosed
    | datachannel.MessageReceived
)
PathEvent: TypeAlias = (
    ice.CandidateRemoved | ice.ResolutionRequested | ice.RestartNeeded | ice.ServerFailed | RelayLost | RelayMoved
)
Event: TypeAlias = (
    CandidateGathered | GatheringCompleted | IceStateChanged | DtlsStateChanged | ChannelEvent | PathEvent
)
