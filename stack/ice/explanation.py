"""The statistics of an agent for people: a table, and in plain words what may be wrong and what to do about it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from .candidate import ip_of
from .statistics import CandidateStatistics, PairStatistics, Statistics

if TYPE_CHECKING:
    from .agent import Agent

_CONNECTED: Final = frozenset({"connected", "completed"})
_COLOURS: Final = {"connected": 32, "completed": 32, "failed": 31, "disconnected": 31, "hint": 33, "head": 1}
_STRANGERS: Final = 20
"""Checks with wrong credentials that are no wonder: of homes with the same addresses, or from before a restart."""
_NETWORK_BITS: Final = {4: 8, 6: 64}
"""Bits of the host part: addresses that differ in the others are in different networks, as a rule."""


@dataclass(slots=True)
class Hint:
    """Something that is noticed, and what to do.

    Args:
        reason: Stable slug.
        text: For people: what is seen.
        advice: For people: what to do.
    """

    reason: str
    text: str
    advice: str


def hints(statistics: Statistics) -> list[Hint]:
    """Return what may be wrong, the most fundamental first; nothing if all is well."""
    return [*_about_candidates(statistics), *_about_checks(statistics), *_about_the_path(statistics)]


def explain(subject: "Statistics | Agent", *, colour: bool = False) -> str:
    """Return a report for people: candidates, pairs, what was dropped, and what may be wrong.

    Args:
        subject: Statistics, perhaps some that were saved, or an agent to ask for them.
        colour: Whether to use the escape sequences of terminals.
    """
    statistics = subject if isinstance(subject, Statistics) else subject.statistics()

    def paint(text: str, name: str) -> str:
        return f"\x1b[{_COLOURS[name]}m{text}\x1b[0m" if colour and name in _COLOURS else text

    role = "controlling" if statistics.controlling else "controlled"
    state = paint(statistics.state, statistics.state)
    lines = [f"ICE agent: {state}, {role}{', lite' if statistics.lite else ''}{_restarts(statistics)}"]
    for title, candidates in (("local", statistics.local_candidates), ("remote", statistics.remote_candidates)):
        lines.append(paint(f"{len(candidates)} {title} candidate{'s' * (len(candidates) != 1)}", "head"))
        lines += [f"  {_describe(candidate)}  priority {candidate.priority}" for candidate in candidates]
    pairs = statistics.pairs
    lines.append(paint(f"{len(pairs)} pair{'s' * (len(pairs) != 1)}, best first", "head"))
    if pairs:
        header = ("local", "remote", "state", "use", "rtt ms", "sent/answered", "received/answered", "age s")
        lines += _table([header, *(_row(pair, statistics.now) for pair in pairs)])
    times = _milestones(statistics)
    if times:
        lines.append(f"after {times}")
    if statistics.dropped:
        dropped = ", ".join(f"{reason} {count}" for reason, count in sorted(statistics.dropped.items()))
        lines.append(f"dropped: {dropped}")
    lines += [f"{paint('hint', 'hint')}: {hint.text}: {hint.advice}" for hint in hints(statistics)]
    return "\n".join(lines)


# What may be wrong.


def _about_candidates(statistics: Statistics) -> Iterator[Hint]:
    ours, theirs, dropped = statistics.local_candidates, statistics.remote_candidates, statistics.dropped
    types = {candidate.type for candidate in ours}
    if not ours:
        yield Hint("no-local-candidates", "there is no local candidate", "bind a socket on an interface that is up")
    if not statistics.has_remote_parameters:
        yield Hint(
            "no-remote-parameters",
            "the other side's description has not arrived",
            "see to the signalling: offer and answer have to be set on both sides",
        )
    elif not theirs:
        yield Hint(
            "no-remote-candidates",
            "no usable candidate of the other side has arrived",
            "see to the signalling: candidates that are trickled have to be passed on both ways",
        )
    elif ours and not statistics.pairs and statistics.state not in _CONNECTED:
        yield Hint(
            "nothing-to-pair",
            "no local candidate can reach a remote one",
            "both sides need a transport and an IP version in common, or a TURN server that has both",
        )
    if dropped.get("candidate-unresolved") or statistics.names_waiting:
        yield Hint(
            "names-not-resolved",
            "mDNS names of the other side could not be resolved (yet)",
            "they work within one local network only; elsewhere use a STUN or TURN server on the other side",
        )
    if statistics.turn_servers and statistics.gathered and "relay" not in types:
        yield Hint(
            "no-relay-candidates",
            f"{statistics.turn_servers} TURN servers were given, and none relays",
            "check address, user name and password of the servers, and try them over TCP or TLS",
        )
    if statistics.stun_servers and statistics.gathered and not types & {"srflx", "prflx"} and _is_private(ours):
        yield Hint(
            "no-reflexive-candidates",
            "no STUN server has answered",
            "check their addresses; if UDP is blocked here, only TURN over TCP or TLS helps",
        )
    if "relay" not in types and _maps_by_destination(ours):
        yield Hint(
            "symmetric-nat",
            "two STUN servers see different ports of one socket: the NAT here is symmetric",
            "direct paths will often fail, so use a TURN server",
        )


def _about_checks(statistics: Statistics) -> Iterator[Hint]:
    pairs, dropped = statistics.pairs, statistics.dropped
    asked = sum(pair.requests_sent for pair in pairs)
    answered = sum(pair.responses_received for pair in pairs)
    heard = sum(pair.requests_received for pair in pairs)
    connected = statistics.state in _CONNECTED
    strangers = dropped.get("bad-integrity", 0) + dropped.get("unknown-username", 0)
    if strangers and (strangers > _STRANGERS or not connected):
        yield Hint(
            "wrong-credentials",
            f"{strangers} checks came with credentials that do not match",
            "offers and answers of different calls may be mixed up, or old ones used after a restart",
        )
    if asked and not answered and not connected:
        if heard:
            yield Hint(
                "one-way",
                "checks arrive, but ours are never answered",
                "packets pass one way only: look for a firewall before either side that lets no UDP out or in",
            )
        elif _only_private_hosts(statistics):
            yield Hint(
                "other-private-network",
                "both sides have host candidates only, in different private networks",
                "add a STUN server on both sides",
            )
        else:
            yield Hint(
                "no-answer",
                "no check was ever answered, and none arrived",
                "UDP may be blocked, or the candidates may be wrong: use TURN over TCP or TLS",
            )
    elif not connected and dropped.get("asymmetric-response"):
        yield Hint(
            "asymmetric-responses",
            "answers come from other addresses than were asked",
            "the NATs of both sides are symmetric: use a TURN server",
        )
    if dropped.get("too-many-candidates") or dropped.get("too-many-pairs"):
        yield Hint(
            "too-many",
            "there are more candidates or pairs than fit",
            "fewer interfaces, or fewer servers: two of a kind are enough",
        )


def _about_the_path(statistics: Statistics) -> Iterator[Hint]:
    selected = next((pair for pair in statistics.pairs if pair.selected), None)
    had_one = statistics.milestones.first_valid is not None
    if statistics.state == "failed" and had_one:
        yield Hint(
            "consent-lost",
            "there was a path, and the other side no longer answers on it",
            "restart ICE, if the other side is still there",
        )
    elif statistics.state == "disconnected":
        yield Hint(
            "path-silent",
            "the path has gone silent and no other one answers",
            "restart ICE when `RestartNeeded` comes, or when a network comes back",
        )
    if selected is None:
        return
    if "relay" in {selected.local.type, selected.remote.type}:
        yield Hint(
            "relay-selected",
            "data goes through a relay",
            "nothing is wrong; a direct path needs UDP both ways, and a NAT that is not symmetric on one side at least",
        )
    if selected.local.transport == "tcp":
        yield Hint(
            "tcp-selected",
            "data goes over TCP",
            "expect delays after each loss; let UDP through where you can",
        )


def _is_private(candidates: Sequence[CandidateStatistics]) -> bool:
    ips = [ip for candidate in candidates if candidate.type == "host" and (ip := ip_of(candidate.host)) is not None]
    return any(ip.is_private and not ip.is_loopback and not ip.is_link_local for ip in ips)


def _maps_by_destination(candidates: Sequence[CandidateStatistics]) -> bool:
    """Tell whether servers have seen one socket at different ports of one host: RFC 4787 section 4.1."""
    seen: dict[tuple[str | None, int | None, str], set[int]] = {}
    for candidate in candidates:
        if candidate.type == "srflx":
            key = candidate.base_host, candidate.base_port, candidate.host
            seen.setdefault(key, set()).add(candidate.port)
    return any(len(ports) > 1 for ports in seen.values())


def _only_private_hosts(statistics: Statistics) -> bool:
    everything = statistics.local_candidates + statistics.remote_candidates
    if any(candidate.type != "host" for candidate in everything):
        return False
    networks = [{_network(c.host) for c in cs} for cs in (statistics.local_candidates, statistics.remote_candidates)]
    return _is_private(statistics.remote_candidates) and not networks[0] & networks[1]


def _network(host: str) -> tuple[int, int] | None:
    ip = ip_of(host)
    return None if ip is None else (ip.version, int(ip) >> _NETWORK_BITS[ip.version])


# The table.


def _restarts(statistics: Statistics) -> str:
    count = statistics.restarts
    return f", {count} restart{'s' * (count != 1)}" if count else ""


def _milestones(statistics: Statistics) -> str:
    reached = statistics.milestones
    if reached.started is None:
        return ""
    named = (
        ("first candidate", reached.first_candidate),
        ("gathered", reached.gathered),
        ("remote parameters", reached.remote_parameters),
        ("first remote candidate", reached.first_remote_candidate),
        ("first check", reached.first_check),
        ("first valid pair", reached.first_valid),
        ("nominated", reached.nominated),
    )
    times = sorted(((name, time) for name, time in named if time is not None), key=lambda entry: entry[1])
    return ", ".join(f"{1000 * (time - reached.started):.0f} ms {name}" for name, time in times)


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
