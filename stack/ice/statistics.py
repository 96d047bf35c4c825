"""What an agent has seen and done, as plain values; `explain` puts them into words for people."""

import json
from dataclasses import asdict, dataclass, fields
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

from ..core import ParseError
from .candidate import Candidate
from .checklist import Pair
from .milestones import Milestones

if TYPE_CHECKING:
    from .agent import Agent


@dataclass(slots=True)
class CandidateStatistics:
    """A candidate.

    Args:
        foundation: Of RFC 8445 section 5.1.1.3.
        type: `host`, `srflx`, `prflx` or `relay`.
        transport: `udp` or `tcp`.
        tcp_type: `active` or `passive`, TCP only.
        host: IP address, as it is used.
        port: Its port.
        priority: Of RFC 8445 section 5.1.2.
        related_host: As it is signalled.
        related_port: As it is signalled.
        interface: Name of the network interface, local ones only.
        network_cost: Of that network.
        mdns_name: What is signalled in place of the address.
        hidden: Whether it is not signalled at all.
        server: STUN or TURN server that it was learnt from.
        relay_protocol: `udp`, `tcp` or `tls`, relayed ones only.
        base_host: Where its datagrams leave from, local ones only.
        base_port: The port of that.
        known_at: When it became known, seconds since the agent's start.
    """

    foundation: str
    type: str
    transport: str
    tcp_type: str | None
    host: str
    port: int
    priority: int
    related_host: str | None
    related_port: int | None
    interface: str
    network_cost: int
    mdns_name: str | None
    hidden: bool
    server: str | None
    relay_protocol: str
    base_host: str | None
    base_port: int | None
    known_at: float | None


@dataclass(slots=True)
class PairStatistics:
    """A pair. All times are seconds since the agent's start.

    Args:
        local: Local candidate.
        remote: Remote candidate.
        state: Of its check.
        priority: Of RFC 8445 section 6.1.2.3.
        valid: Whether data may go there.
        nominated: Whether it was chosen.
        selected: Whether data goes there now.
        rtt: Smoothed round-trip time, seconds.
        last_rtt: The last sample, seconds.
        total_rtt: The sum of all samples, seconds.
        rtt_samples: How many there were.
        formed_at: When the pair was made.
        checked_at: When the first check left.
        validated_at: When the first response came.
        nominated_at: When it was nominated.
        responded_at: When the last response came.
        requests_sent: Binding requests, with retransmissions.
        responses_received: Valid success responses.
        requests_received: Authenticated Binding requests.
        responses_sent: Success responses.
    """

    local: CandidateStatistics
    remote: CandidateStatistics
    state: str
    priority: int
    valid: bool
    nominated: bool
    selected: bool
    rtt: float | None
    last_rtt: float | None
    total_rtt: float
    rtt_samples: int
    formed_at: float | None
    checked_at: float | None
    validated_at: float | None
    nominated_at: float | None
    responded_at: float | None
    requests_sent: int
    responses_received: int
    requests_received: int
    responses_sent: int


@dataclass(slots=True)
class Statistics:
    """An agent. All times are seconds since its start.

    Args:
        now: The time that the agent was told last; None before it was told any.
        state: W3C's name.
        controlling: The role.
        lite: Whether it is a lite implementation.
        renomination: Whether both sides know renomination.
        pacing_interval: Ta, seconds.
        gathered: Whether gathering is completed.
        remote_ended: Whether the other side said that it has no more candidates.
        local_candidates: Ours.
        remote_candidates: The other side's.
        pairs: The checklist, best pair first.
        names_waiting: mDNS names that are being resolved.
        dropped: What was dropped, by reason.
        has_remote_parameters: Whether the other side's credentials are known.
        restarts: How often ICE was restarted.
        milestones: When what happened first since the start or the last restart.
        stun_servers: How many are asked.
        turn_servers: How many are used, if whoever uses them has filled it in: the agent does not know.
    """

    now: float | None
    state: str
    controlling: bool
    lite: bool
    renomination: bool
    pacing_interval: float
    gathered: bool
    remote_ended: bool
    local_candidates: list[CandidateStatistics]
    remote_candidates: list[CandidateStatistics]
    pairs: list[PairStatistics]
    names_waiting: int
    dropped: dict[str, int]
    has_remote_parameters: bool
    restarts: int
    milestones: Milestones
    stun_servers: int
    turn_servers: int | None = None


def collect(agent: "Agent") -> Statistics:
    """Return the statistics of an agent; see `Agent.statistics`."""
    view = _View(agent._started_at or 0.0, agent.selected_pair)  # noqa: SLF001  a view of the agent, written apart
    candidates = agent._local_candidates.values()  # noqa: SLF001  the same; hidden ones too
    return Statistics(
        now=view.time(agent._now),  # noqa: SLF001  the same
        state=agent.state,
        controlling=agent.controlling,
        lite=agent._config.lite,  # noqa: SLF001  the same
        renomination=agent._nominations.negotiated,  # noqa: SLF001  the same
        pacing_interval=agent._pacing,  # noqa: SLF001  the same
        gathered=agent._gathered,  # noqa: SLF001  the same
        remote_ended=agent._remote_ended,  # noqa: SLF001  the same
        local_candidates=[view.candidate(candidate, local=True) for candidate in candidates],
        remote_candidates=[view.candidate(candidate) for candidate in agent.remote_candidates],
        pairs=[view.pair(pair) for pair in agent.pairs],
        names_waiting=len(agent._resolution),  # noqa: SLF001  the same
        dropped=dict(agent.dropped),
        has_remote_parameters=agent.remote_parameters is not None,
        restarts=agent._restarts,  # noqa: SLF001  the same
        milestones=view.milestones(agent._milestones),  # noqa: SLF001  the same
        stun_servers=len(agent._gatherer.servers),  # noqa: SLF001  the same
    )


class _View:
    """Copies what an agent has, with times since its start."""

    def __init__(self, start: float, selected: Pair | None) -> None:
        self._start = start
        self._selected = selected

    def time(self, value: float | None) -> float | None:
        return value - self._start if value is not None and value > float("-inf") else None

    def milestones(self, reached: Milestones) -> Milestones:
        return Milestones(*(self.time(getattr(reached, field.name)) for field in fields(Milestones)))

    def candidate(self, candidate: Candidate, *, local: bool = False) -> CandidateStatistics:
        base = candidate.base if local else None
        return CandidateStatistics(
            foundation=candidate.foundation,
            type=candidate.type,
            transport=candidate.transport,
            tcp_type=candidate.tcp_type,
            host=candidate.host,
            port=candidate.port,
            priority=candidate.priority,
            related_host=candidate.related_host,
            related_port=candidate.related_port,
            interface=candidate.interface,
            network_cost=candidate.network_cost,
            mdns_name=candidate.mdns_name,
            hidden=candidate.hidden,
            server=str(candidate.server) if candidate.server else None,
            relay_protocol=candidate.relay_protocol,
            base_host=base.host if base else None,
            base_port=base.port if base else None,
            known_at=self.time(candidate.known_at),
        )

    def pair(self, pair: Pair) -> PairStatistics:
        return PairStatistics(
            local=self.candidate(pair.local_candidate, local=True),
            remote=self.candidate(pair.remote_candidate),
            state=pair.state.value,
            priority=pair.priority,
            valid=pair.valid,
            nominated=pair.nominated,
            selected=pair is self._selected,
            rtt=pair.rtt,
            last_rtt=pair.last_rtt,
            total_rtt=pair.total_rtt,
            rtt_samples=pair.rtt_samples,
            formed_at=self.time(pair.formed_at),
            checked_at=self.time(pair.checked_at),
            validated_at=self.time(pair.validated_at),
            nominated_at=self.time(pair.nominated_at),
            responded_at=self.time(pair.responded_at),
            requests_sent=pair.requests_sent,
            responses_received=pair.responses_received,
            requests_received=pair.requests_received,
            responses_sent=pair.responses_sent,
        )


# As JSON, to be saved by one program and explained by another.


def statistics_to_json(statistics: Statistics) -> str:
    """Return the statistics as a JSON object, whose members are the attributes."""
    return json.dumps(asdict(statistics), allow_nan=False)


def statistics_from_json(text: str | bytes) -> Statistics:
    """Read what `statistics_to_json` has written. Members that are not known are ignored, others may be missing.

    Raises:
        ParseError: `bad-json`, or `bad-statistics` if a member has the wrong type or a necessary one is missing.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParseError("bad-json", str(error)) from error
    return _read(Statistics, value, "statistics")


_Read = TypeVar("_Read")


def _read(kind: type[_Read], value: object, name: str) -> _Read:
    if not isinstance(value, dict):
        raise ParseError("bad-statistics", f"{name} is no object")
    hints = get_type_hints(kind)
    members = {key: _member(hints[key], item, f"{name}.{key}") for key, item in value.items() if key in hints}
    try:
        return kind(**members)
    except TypeError as error:
        raise ParseError("bad-statistics", f"{name}: {error}") from error


def _member(kind: Any, value: object, name: str) -> object:
    if isinstance(kind, UnionType):
        return None if value is None else _member(get_args(kind)[0], value, name)
    if get_origin(kind) is list and isinstance(value, list):
        return [_member(get_args(kind)[0], item, name) for item in value]
    if get_origin(kind) is dict and isinstance(value, dict):
        return {str(key): _member(get_args(kind)[1], item, name) for key, item in value.items()}
    if kind in {CandidateStatistics, PairStatistics, Milestones}:
        return _read(kind, value, name)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf"):
        return float(value)
    if type(value) is not kind:
        raise ParseError("bad-statistics", f"{name} is a {type(value).__name__}")
    return value
