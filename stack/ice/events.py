"""What an agent reports."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .candidate import Candidate
from .checklist import Pair

State: TypeAlias = Literal["new", "checking", "connected", "completed", "disconnected", "failed", "closed"]
"""W3C's RTCIceTransportState.

`connected` from the first valid pair on; `completed` once a pair is nominated and both sides said that no more
candidates come; `disconnected` while consent checks stay unanswered; `failed` until `restart`.
"""


@dataclass(slots=True)
class CandidateGathered:
    """A local candidate is known and can be signalled."""

    candidate: Candidate


@dataclass(slots=True)
class CandidateRemoved:
    """A local candidate is gone, with the socket or the allocation that it was."""

    candidate: Candidate


@dataclass(slots=True)
class ResolutionRequested:
    """A remote candidate has a name: answer with `name_resolved`."""

    name: str


@dataclass(slots=True)
class RestartNeeded:
    """No path is left, and only new candidates of both sides could help: signal a restart. Once per outage."""

    reason: str


@dataclass(slots=True)
class GatheringCompleted:
    """No more local candidates come, until `restart`."""


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
    """A role conflict made this agent take the other role."""

    controlling: bool


@dataclass(slots=True)
class StateChanged:
    """The state is another one now."""

    state: State


@dataclass(slots=True)
class Closed:
    """The agent is closed; the last event."""


Event: TypeAlias = (
    CandidateGathered
    | CandidateRemoved
    | GatheringCompleted
    | ResolutionRequested
    | RestartNeeded
    | PairValidated
    | PairSelected
    | RoleChanged
    | StateChanged
    | Closed
)
