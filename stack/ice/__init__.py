"""Interactive Connectivity Establishment: find a path between two hosts, choose it, keep it alive.

RFC 8445, 8838, 8863, 7675. What is implemented, and an example, is in docs/layers/ice.md.
"""

from .agent import Agent
from .candidate import Candidate, Parameters, candidate_priority, pair_priority
from .checklist import Pair, PairState
from .checks import MAX_CHECKS
from .config import MAX_LOCAL_CANDIDATES, MAX_OUTGOING, MAX_STUN_SERVERS, Config
from .connectivity import MAX_EARLY_CHECKS, MAX_PATHS
from .events import (
    CandidateGathered,
    CandidateRemoved,
    Closed,
    Event,
    GatheringCompleted,
    PairSelected,
    PairValidated,
    ResolutionRequested,
    RestartNeeded,
    RoleChanged,
    State,
    StateChanged,
)

__all__ = [
    "MAX_CHECKS",
    "MAX_EARLY_CHECKS",
    "MAX_LOCAL_CANDIDATES",
    "MAX_OUTGOING",
    "MAX_PATHS",
    "MAX_STUN_SERVERS",
    "Agent",
    "Candidate",
    "CandidateGathered",
    "CandidateRemoved",
    "Closed",
    "Config",
    "Event",
    "GatheringCompleted",
    "Pair",
    "PairSelected",
    "PairState",
    "PairValidated",
    "Parameters",
    "ResolutionRequested",
    "RestartNeeded",
    "RoleChanged",
    "State",
    "StateChanged",
    "candidate_priority",
    "pair_priority",
]
