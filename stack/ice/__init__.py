"""Interactive Connectivity Establishment: find a path between two hosts, choose it, keep it alive.

RFC 8445, 8838, 8863, 7675, 6544, 8421. What is implemented, and an example, is in docs/layers/ice.md.
"""

from .agent import Agent
from .candidate import Candidate, Parameters, candidate_priority, pair_priority
from .checklist import MAX_TRIGGERED_IN_A_ROW, Pair, PairState
from .checks import MAX_CHECKS
from .config import (
    MAX_LOCAL_CANDIDATES,
    MAX_OUTGOING,
    MAX_PATHS,
    MAX_PEER_REFLEXIVE,
    MAX_PEER_REFLEXIVE_PER_HOST,
    MAX_STUN_SERVERS,
    Config,
)
from .connectivity import MAX_EARLY_CHECKS
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
    ServerFailed,
    State,
    StateChanged,
)
from .explanation import Hint, explain, hints
from .milestones import Milestones
from .preferences import local_preferences
from .resolution import MAX_CANDIDATES_PER_NAME, MAX_NAMES
from .statistics import (
    CandidateStatistics,
    PairStatistics,
    Statistics,
    statistics_from_json,
    statistics_to_json,
)

__all__ = [
    "MAX_CANDIDATES_PER_NAME",
    "MAX_CHECKS",
    "MAX_EARLY_CHECKS",
    "MAX_LOCAL_CANDIDATES",
    "MAX_NAMES",
    "MAX_OUTGOING",
    "MAX_PATHS",
    "MAX_PEER_REFLEXIVE",
    "MAX_PEER_REFLEXIVE_PER_HOST",
    "MAX_STUN_SERVERS",
    "MAX_TRIGGERED_IN_A_ROW",
    "Agent",
    "Candidate",
    "CandidateGathered",
    "CandidateRemoved",
    "CandidateStatistics",
    "Closed",
    "Config",
    "Event",
    "GatheringCompleted",
    "Hint",
    "Milestones",
    "Pair",
    "PairSelected",
    "PairState",
    "PairStatistics",
    "PairValidated",
    "Parameters",
    "ResolutionRequested",
    "RestartNeeded",
    "RoleChanged",
    "ServerFailed",
    "State",
    "StateChanged",
    "Statistics",
    "candidate_priority",
    "explain",
    "hints",
    "local_preferences",
    "pair_priority",
    "statistics_from_json",
    "statistics_to_json",
]
