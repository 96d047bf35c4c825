"""What the NAT tests found, in words and as JSON."""

from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from ..stun import Expectation, NatName, NatReport

_TITLES: Final = {
    "connectivity": "is UDP let through?",
    "filtering-2": "answer from another address",
    "filtering-3": "answer from another port",
    "mapping-2": "mapping for the other address",
    "mapping-3": "mapping for the other port",
    "second-server": "mapping for the second server",
    "hairpinning": "hairpinning",
    "lifetime-refresh": "lifetime: a fresh mapping",
    "lifetime": "lifetime: is it still there?",
}

_WORDS: Final = {
    NatName.OPEN_INTERNET: "There is no NAT, and nothing that comes is held back, as far as it was tested.",
    NatName.SYMMETRIC_FIREWALL: "There is no NAT, but a firewall that lets in only those that this machine has written "
    "to.",
    NatName.FULL_CONE: "Whoever knows the mapped address gets through: the easiest NAT there is.",
    NatName.ADDRESS_RESTRICTED: "Hosts that this machine has written to get through.",
    NatName.PORT_RESTRICTED: "Only an address and port that this machine has written to get through; most home routers "
    "are like that.",
    NatName.CONE: "The mapped address is the same for everybody; whom it lets in is not known.",
    NatName.SYMMETRIC: "Each destination sees another port, so nobody can be told where to send: the hardest NAT. "
    "Configure a TURN server.",
    NatName.NAT: "There is a NAT; how it behaves could not be tested with this server. Name one with two addresses, or "
    "a second one with --second.",
    NatName.UDP_BLOCKED: "No answer over UDP: the server is down, or UDP is blocked. A TURN server over TCP or TLS "
    "helps.",
}

_PEERS: Final = {
    NatName.OPEN_INTERNET: "in the open Internet",
    NatName.SYMMETRIC_FIREWALL: "behind a firewall that wants to be written to first",
    NatName.FULL_CONE: "behind a full cone NAT",
    NatName.ADDRESS_RESTRICTED: "behind an address-restricted cone NAT",
    NatName.PORT_RESTRICTED: "behind a port-restricted cone NAT",
    NatName.SYMMETRIC: "behind a symmetric NAT",
    NatName.UDP_BLOCKED: "where UDP is blocked",
}

_EXPECTED: Final = {
    Expectation.DIRECT: "[green]direct[/]",
    Expectation.RELAY: "[red]only over a TURN relay[/]",
    Expectation.UNCERTAIN: "[yellow]cannot be told[/]",
}


def title_of(test: str) -> str:
    """Return what a test asks, in words."""
    return _TITLES.get(test, test)


def summary_of(report: NatReport) -> str:
    """Return the result in rich's markup."""
    lines = ["", f"[bold]{report.name[0].upper()}{report.name[1:]}[/]: {_WORDS[report.name]}"]
    if report.mapped is not None:
        port = "kept" if report.port_preserved else "changed"
        lines += [
            "",
            f"mapped address   [bold green]{report.mapped}[/]  (port {port})",
            f"local address    {report.local}",
            f"mapping          {report.mapping}",
            f"filtering        {report.filtering}",
        ]
    if report.rtt is not None:
        lines.append(f"round trip       {report.rtt * 1e3:.1f} ms")
    if report.hairpinning is not None:
        lines.append(f"hairpinning      {'yes' if report.hairpinning else 'no'}")
    if report.lifetime is not None:
        low, high = report.lifetime
        lines.append(f"lifetime         {f'{low:g} to {high:g} s' if high is not None else f'more than {low:g} s'}")
    if report.software:
        lines.append(f"software         {escape(report.software)}")
    lines += [f"[dim]{escape(note)}[/]" for note in report.notes]
    return "\n".join(lines)


def expectations_of(report: NatReport) -> Table:
    """Return the table of what to expect with whom."""
    table = Table("With a peer", "a connection is", box=SIMPLE_HEAD)
    for name, expectation in report.expectations().items():
        table.add_row(_PEERS[name], _EXPECTED[expectation])
    return table


def json_of(report: NatReport) -> dict[str, Any]:
    """Return the result as JSON values."""
    return {
        "name": report.name,
        "behind_nat": report.behind_nat,
        "mapped": list(report.mapped[:2]) if report.mapped else None,
        "local": list(report.local[:2]),
        "mapping": report.mapping,
        "filtering": report.filtering,
        "port_preserved": report.port_preserved,
        "hairpinning": report.hairpinning,
        "lifetime_s": list(report.lifetime) if report.lifetime else None,
        "rtt_ms": None if report.rtt is None else round(report.rtt * 1e3, 3),
        "software": report.software,
        "other_address": list(report.other_address[:2]) if report.other_address else None,
        "expectations": dict(report.expectations()),
        "notes": report.notes,
    }
