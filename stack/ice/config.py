"""What can be set about an agent, and the limits that cannot."""

from dataclasses import dataclass
from typing import Final

from ..core import LocalError
from ..core.machine import check_seconds

MAX_LOCAL_CANDIDATES: Final = 64
"""Host, reflexive and relayed candidates of one agent: more interfaces than that is a mistake."""
MAX_STUN_SERVERS: Final = 8
"""Servers asked from every host candidate; browsers warn above five."""
MAX_PEER_REFLEXIVE_PER_HOST: Final = 8
"""Remote candidates learnt from checks, of one IP address: a NAT that gives a port to each destination makes one for
each of ours. Those that nothing answers on make room for new ones."""
MAX_PEER_REFLEXIVE: Final = 32
"""The same of all addresses together: half of `Config.max_remote_candidates`, the rest is for signalled ones."""
MAX_PATHS: Final = 256
"""Paths that data is accepted from. Only the authenticated peer can add one; NAT rebinding adds one each."""
DEFAULT_PACING: Final = 0.05
"""Ta of a side that proposes none: RFC 8445 section 14.2. The default here too, for less is in force only where both
sides have signalled it. Who signals should propose less: with 0.02 a call through two NATs has its path after 0.24 s in
place of 0.41, through a relay between symmetric ones after 0.48 in place of 0.63, and the last of sixteen pairs is
reached after 0.4 s in place of 0.85. It costs 50 checks of 150 bytes a second, 60 kbit/s, which appendix B.1 asks to be
affordable, and a path for video affords. Still less gains little, and floods slow paths and the tables of NATs."""
MIN_PACING: Final = 0.005
"""The least Ta: RFC 8445 appendix B.1."""
MAX_OUTGOING: Final = 512
"""Datagrams waiting to be drained. A shell drains after every batch it reads, and batches are smaller than this."""


@dataclass(frozen=True, slots=True)
class Config:
    """Numbers of an agent; all times in seconds.

    Args:
        pacing_interval: Ta, between two new transactions, at least 0.005. The larger one of both sides counts, and a
            side that proposes none has 0.05: RFC 8445 section 14.2.
        rto: Initial retransmission timeout of connectivity checks.
        check_timeout: When a check is given up.
        gathering_rto: Initial retransmission timeout of queries to STUN servers: RFC 8445 section 14.3.
        gathering_timeout: When a STUN server is given up; a dead server must not hold up what waits for all candidates.
        consent_interval: Basic period of consent checks, randomised by 0.8 to 1.2: RFC 7675 section 5.1.
        consent_timeout: When consent expires: RFC 7675 section 5.1.
        disconnected_after: How long nothing may be heard after a consent check before the state is `disconnected`.
        pac_timeout: How long the agent waits before it may fail: RFC 8863 section 4.
        nomination_wait: How long nomination waits at most for a better pair than the first valid one.
        max_pairs: Pairs in the checklist: RFC 8445 section 6.1.2.5.
        max_remote_candidates: Remote candidates, signalled and peer-reflexive.
        allow_loopback: Pair with remote loopback addresses even when no local address is one.
        spare_pairs: Pairs kept in reserve for when the selected one breaks.
        spare_interval: Basic period of checks on them, randomised by 0.8 to 1.2. Two of three fit into the time that
            consent is good for, so that data may go there at once.
        lite: Be a lite implementation, for hosts with public addresses: RFC 8445 section 2.5.
        renomination: Move to a better pair by nominating anew, with peers that know the ice-option `renomination`.

    Raises:
        LocalError: A time or a limit is not positive, or the pacing is too fast.
    """

    pacing_interval: float = DEFAULT_PACING
    # Deviates: RFC 8445 section 14.3 has 500 ms at least. A lost check would then cost half a second of every call
    # setup; with 100 ms a lost datagram costs one round trip of a usual path, for one needless datagram on slow ones.
    rto: float = 0.1
    check_timeout: float = 39.5
    gathering_rto: float = 0.5
    gathering_timeout: float = 5.0
    consent_interval: float = 5.0
    consent_timeout: float = 30.0
    disconnected_after: float = 5.0
    pac_timeout: float = 39.5
    nomination_wait: float = 0.1
    max_pairs: int = 100
    max_remote_candidates: int = 64
    allow_loopback: bool = False
    spare_pairs: int = 3
    spare_interval: float = 10.0
    lite: bool = False
    renomination: bool = False

    def __post_init__(self) -> None:
        for name in (
            "pacing_interval",
            "rto",
            "check_timeout",
            "gathering_rto",
            "gathering_timeout",
            "consent_interval",
            "consent_timeout",
            "disconnected_after",
            "pac_timeout",
            "nomination_wait",
            "spare_interval",
        ):
            check_seconds(name, getattr(self, name))
        if self.pacing_interval < MIN_PACING:
            raise LocalError("a pacing of less than 5 ms")
        if self.spare_pairs < 0:
            raise LocalError("spare_pairs must not be negative")
        if self.max_pairs < 1 or self.max_remote_candidates < 1:
            raise LocalError("max_pairs and max_remote_candidates must be positive")
