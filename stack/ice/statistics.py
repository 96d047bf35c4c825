"""What an agent has seen and done: as plain values, and as text for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .candidate import Candidate
from .checklist import Pair

if TYPE_CHECKING:
    from .agent import Agent


@dataclass(slots=True)
class CandidateStatistics:
    """A candidate. All times are of the agent's clock, in seconds.

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
        known_at: When it became known.
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
    known_at: float | None


@dataclass(slots=True)
class PairStatistics:
    """A pair. All times are of the agent's clock, in seconds.

    Args:
        local: Local candidate.
        remote: Remote candidate.
        state: Of its check.
        priority: Of RFC 8445 section 6.1.2.3.
        valid: Whether data may go there.
        nominated: Whether it was chosen.
        selected: Whether data goes there now.
        rtt: Smoothed round-trip time, seconds.
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
    """An agent; `dataclasses.asdict` makes it JSON.

    Args:
        now: The time the agent was told last, seconds.
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


def _finite(value: float) -> float | None:
    return value if value > float("-inf") else None


def _candidate(candidate: Candidate) -> CandidateStatistics:
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
        known_at=candidate.known_at,
    )


def _pair(pair: Pair, selected: Pair | None) -> PairStatistics:
    return PairStatistics(
        local=_candidate(pair.local_candidate),
        remote=_candidate(pair.remote_candidate),
        state=str(pair.state),
        priority=pair.priority,
        valid=pair.valid,
        nominated=pair.nominated,
        selected=pair is selected,
        rtt=pair.rtt,
        formed_at=pair.formed_at,
        checked_at=pair.checked_at,
        validated_at=pair.validated_at,
        nominated_at=pair.nominated_at,
        responded_at=_finite(pair.responded_at),
        requests_sent=pair.requests_sent,
        responses_received=pair.responses_received,
        requests_received=pair.requests_received,
        responses_sent=pair.responses_sent,
    )


def collect(agent: "Agent") -> Statistics:
    """Return the statistics of an agent; see `Agent.statistics`."""
    return Statistics(
        now=_finite(agent._now),  # noqa: SLF001  a view of the agent, written apart from it
        state=agent.state,
        controlling=agent.controlling,
        lite=agent._config.lite,  # noqa: SLF001  the same
        renomination=agent._nominations.negotiated,  # noqa: SLF001  the same
        pacing_interval=agent._pacing,  # noqa: SLF001  the same
        gathered=agent._gathered,  # noqa: SLF001  the same
        remote_ended=agent._remote_ended,  # noqa: SLF001  the same
        local_candidates=[_candidate(c) for c in agent._local_candidates.values()],  # noqa: SLF001  hidden ones too
        remote_candidates=[_candidate(c) for c in agent.remote_candidates],
        pairs=[_pair(pair, agent.selected_pair) for pair in agent.pairs],
        names_waiting=len(agent._resolution),  # noqa: SLF001  the same
        dropped=dict(agent.dropped),
    )


def explain(agent: "Agent") -> str:
    """Return a report for people: candidates, pairs, what was dropped, and what may be wrong."""
    statistics = agent.statistics()
    role = "controlling" if statistics.controlling else "controlled"
    lines = [f"ICE agent: {statistics.state}, {role}{', lite' if statistics.lite else ''}"]
    for title, candidates in (("local", statistics.local_candidates), ("remote", statistics.remote_candidates)):
        lines.append(f"{len(candidates)} {title} candidates")
        lines += [f"  {_describe(candidate)}  priority {candidate.priority}" for candidate in candidates]
    lines.append(f"{len(statistics.pairs)} pairs, best first")
    if statistics.pairs:
        header = ("local", "remote", "state", "use", "rtt ms", "sent/answered", "received/answered", "age s")
        lines += _table([header, *(_row(pair, statistics.now) for pair in statistics.pairs)])
    if statistics.dropped:
        dropped = ", ".join(f"{reason} {count}" for reason, count in sorted(statistics.dropped.items()))
        lines.append(f"dropped: {dropped}")
    lines += [f"hint: {hint}" for hint in _hints(statistics)]
    return "\n".join(lines)


def _describe(candidate: CandidateStatistics) -> str:
    host = f"[{candidate.host}]" if ":" in candidate.host else candidate.host
    kind = candidate.transport if candidate.tcp_type is None else f"{candidate.transport} {candidate.tcp_type}"
    text = f"{candidate.type} {host}:{candidate.port}/{kind}"
    if candidate.interface:
        text += f" on {candidate.interface}"
    if candidate.relay_protocol:
        text += f" by {candidate.relay_protocol} of {candidate.server or 'a relay'}"
    return text + (" (hidden)" if candidate.hidden else "")


def _row(pair: PairStatistics, now: float | None) -> tuple[str, ...]:
    use = ["selected"] if pair.selected else []
    use += ["nominated"] if pair.nominated else []
    use += ["valid"] if pair.valid and not use else []
    answered = pair.responded_at
    return (
        _describe(pair.local),
        _describe(pair.remote),
        pair.state,
        " ".join(use) or "-",
        "-" if pair.rtt is None else f"{1000 * pair.rtt:.1f}",
        f"{pair.requests_sent}/{pair.responses_received}",
        f"{pair.requests_received}/{pair.responses_sent}",
        "-" if answered is None or now is None else f"{now - answered:.1f}",
    )


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  " + "  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _hints(statistics: Statistics) -> list[str]:
    hints: list[str] = []
    dropped, pairs = statistics.dropped, statistics.pairs
    if not statistics.local_candidates:
        hints.append("there is no local candidate: was a socket bound, and is an interface up?")
    if not statistics.remote_candidates:
        hints.append("the other side has signalled no candidate that can be used: does the signalling work?")
    elif statistics.local_candidates and not pairs and statistics.state in {"new", "checking", "failed"}:
        hints.append("no local candidate can reach a remote one: different IP versions or transports, or no parameters")
    asked = sum(pair.requests_sent for pair in pairs)
    answered = sum(pair.responses_received for pair in pairs)
    heard = sum(pair.requests_received for pair in pairs)
    if asked and not answered and statistics.state != "new":
        if heard:
            hints.append("checks arrive, but ours are never answered: is a firewall or a NAT in between?")
        else:
            hints.append("no check was ever answered and none arrived: is UDP blocked? a TURN server would help")
    if dropped.get("bad-integrity") or dropped.get("unknown-username"):
        hints.append("credentials did not match: old parameters after a restart, or somebody else's checks")
    if dropped.get("candidate-unresolved") or statistics.names_waiting:
        hints.append("mDNS names of the other side could not be resolved (yet): they work in one local network only")
    if statistics.state == "disconnected":
        hints.append("the path has gone silent and no other one answers: is the network still there?")
    return hints
