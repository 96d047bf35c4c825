"""What an agent reports."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..core import Address
from .candidate import Candidate
from .checklist import Pair

State: TypeAlias = Literal["new", "checking", "connected", "completed", "disconnected", "failed", "closed"]
"""W3C's RTCIceTransportState.

`connected` from the first valid pair on; `completed` once a pair is nominated and both sides said that no more
candidates come; `disconnected` while consent checks stay unanswered, or the path is lost and others are tried;
`failed` until `restart`.
"""


@dataclass(slots=True)
class CandidateGathered:
    """A local candidate is known and can be signalled, as it is here."""

    candidate: Candidate


@dataclass(slots=True)
class CandidateRemoved:
    """A candidate that was reported as gathered is no longer good: its socket or allocation is gone."""

    candidate: Candidate


@dataclass(slots=True)
class GatheringCompleted:
    """No more local candidates come, until `restart` or a late address."""


@dataclass(slots=True)
class ResolutionRequested:
    """The address of an mDNS name is wanted; answer with `Agent.name_resolved`."""

    name: str


@dataclass(slots=True)
class ServerFailed:
    """A STUN server gave no server-reflexive candidate for a socket (W3C WebRTC section 4.8.2).

    Args:
        server: Its address.
        base: The socket's.
        code: STUN error code; 0 if it did not answer, or not with an address.
        reason: What went wrong: `no-answer`, `error-response` or `missing-mapped-address`.
    """

    server: Address
    base: Address
    code: int
    reason: str


@dataclass(slots=True)
class PairValidated:
    """A check on a pair succeeded: data can go there."""

    pair: Pair


@dataclass(slots=True)
class PairSelected:
    """Data goes over this pair from now on: the best valid one, then the nominated one."""

    pair: Pair


@dataclass(slots=True)
class RoleChanged:
    """A role conflict, or that one side is lite, made this agent take the other role."""

    controlling: bool


@dataclass(slots=True)
class StateChanged:
    """The state is another one now."""

    state: State


@dataclass(slots=True)
class RestartNeeded:
    """The path is lost or nearly so, and only new candidates could help; at most once in each outage.

    Args:
        reason: `no-valid-pair`, or `path-silent` when nothing has answered on any pair for two seconds, or for six
            round-trip times where that is longer.
    """

    reason: str


@dataclass(slots=True)
class Closed:
    """The agent is closed; the last event."""


Event: TypeAlias = (
    CandidateGathered
    | CandidateRemoved
    | GatheringCompleted
    | ResolutionRequested
    | ServerFailed
    | PairValidated
    | PairSelected
    | RoleChanged
    | StateChanged
    | RestartNeeded
    | Closed
)
