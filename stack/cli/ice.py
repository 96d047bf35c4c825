"""`webrtc ice`: does a connection come about from here, through which servers, how fast, and if not, why not?"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from rich.markup import escape

from ..aio import AddressPolicy, RTCConfiguration, RTCIceServer
from ..aio.configured import NOT_REACHED
from ..aio.network import parse_servers
from ..core import LocalError, ParseError
from ..ice import CandidateStatistics, Statistics, explain, hints, statistics_from_json, statistics_to_json
from .common import CANNOT, NO_ANSWER, CommandError, Output, run
from .ice_trial import ServerResult, Trial
from .turn import PASSWORD_VARIABLE, parse_ports, password_of

USER_VARIABLE: Final = "WEBRTC_TURN_USER"
"""Environment variable with the user name for TURN servers."""
MAX_REPORT: Final = 16 << 20
"""Bytes of a report that are read; one with all candidates and pairs that there can be has less than one."""

Mode = Literal["all", "default-route", "default-route-hidden", "proxy"]
Loopback = Literal["fallback", "always", "never"]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="See how ICE finds a path, or why it does not.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

FileArgument = Annotated[
    Path | None,
    typer.Argument(
        help="A report to read, as [bold]ice.statistics_to_json(pc.iceReport())[/] makes it; - reads it "
        "from standard input. Without it this machine is tried."
    ),
]
ServerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="stun:HOST, turn:HOST, turn:HOST?transport=tcp or turns:HOST, each with :PORT where wanted. Repeatable.",
    ),
]
UsernameOption = Annotated[str | None, typer.Option(envvar=USER_VARIABLE, help="User name at the TURN servers.")]
CredentialOption = Annotated[
    str | None,
    typer.Option(
        envvar=PASSWORD_VARIABLE,
        help="Password at the TURN servers, or @FILE. Every user of this machine sees arguments: better give the file "
        "or the variable. Asked for on a terminal.",
    ),
]
RelayOption = Annotated[bool, typer.Option("--relay-only", help="Through TURN servers only.")]
TcpOption = Annotated[bool, typer.Option("--tcp", help="TCP candidates too (RFC 6544).")]
MdnsOption = Annotated[bool, typer.Option("--mdns", help="Signal .local names in place of addresses.")]
CaFileOption = Annotated[
    Path | None,
    typer.Option(help="Trust the certificates in this PEM file, for turns:.", exists=True, dir_okay=False),
]
Ipv4Option = Annotated[bool, typer.Option("-4", "--ipv4", help="IPv4 only.")]
Ipv6Option = Annotated[bool, typer.Option("-6", "--ipv6", help="IPv6 only.")]
AllowInterfaceOption = Annotated[
    list[str] | None, typer.Option("--allow-interface", metavar="PATTERN", help="Only these, as 'eth*'. Repeatable.")
]
DenyInterfaceOption = Annotated[
    list[str] | None, typer.Option("--deny-interface", metavar="PATTERN", help="Not these. Repeatable.")
]
AllowNetworkOption = Annotated[
    list[str] | None, typer.Option("--allow-network", metavar="NETWORK", help="Only addresses in it. Repeatable.")
]
DenyNetworkOption = Annotated[
    list[str] | None, typer.Option("--deny-network", metavar="NETWORK", help="No address in it. Repeatable.")
]
ModeOption = Annotated[Mode, typer.Option(help="What may be known of this machine: RFC 8828 section 5.2.")]
LoopbackOption = Annotated[Loopback, typer.Option(help="When to use loopback addresses.")]
PortsOption = Annotated[str | None, typer.Option(metavar="FIRST-LAST", help="Local ports to use.")]
TimeoutOption = Annotated[float, typer.Option(min=0.1, max=120, help="Seconds for all of it.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for scripts.")]


@app.callback()
def _ice() -> None:
    """See how ICE finds a path, or why it does not."""


@app.command(
    "explain",
    epilog="Examples:  [bold]webrtc ice explain --server stun:stun.example.org[/]  from here ·  "
    "[bold]webrtc ice explain --server turn:turn.example.org --username me --credential @file --relay-only[/]  through "
    "the relay ·  [bold]webrtc ice explain report.json[/]  what a program saved ·  Exit codes: 0 connected, and all "
    "servers answered; 1 not connected, or a server refused; 2 wrong usage; 3 a server gave no answer; 130 Ctrl-C",
)
def explain_command(
    file: FileArgument = None,
    server: ServerOption = None,
    username: UsernameOption = None,
    credential: CredentialOption = None,
    relay_only: RelayOption = False,
    tcp: TcpOption = False,
    mdns: MdnsOption = False,
    ca_file: CaFileOption = None,
    ipv4: Ipv4Option = False,
    ipv6: Ipv6Option = False,
    allow_interface: AllowInterfaceOption = None,
    deny_interface: DenyInterfaceOption = None,
    allow_network: AllowNetworkOption = None,
    deny_network: DenyNetworkOption = None,
    mode: ModeOption = "all",
    loopback: LoopbackOption = "fallback",
    ports: PortsOption = None,
    timeout: TimeoutOption = 20.0,
    as_json: JsonOption = False,
) -> None:
    """Explain how ICE found a path, or why it did not.

    Connects two peer connections of this machine to each other and shows servers, times, candidates and pairs: whether
    sockets, servers and policies do what they should, not whether somebody else can be reached. For that, have the
    program that fails save its report, and give it as FILE.
    """
    output = Output(as_json=as_json)
    if file is not None:
        raise typer.Exit(run(_explain_file(file, output)))
    if ipv4 and ipv6:
        raise typer.BadParameter("-4 and -6 exclude each other")
    try:
        policy = AddressPolicy(
            mode=mode,
            families=(4,) if ipv4 else (6,) if ipv6 else (4, 6),
            allow_interfaces=tuple(allow_interface or ()),
            deny_interfaces=tuple(deny_interface or ()),
            allow_networks=tuple(allow_network or ()),
            deny_networks=tuple(deny_network or ()),
            use_loopback=loopback,
            ports=None if ports is None else parse_ports(ports),
        )
        configuration = RTCConfiguration(
            _servers(server or [], username, credential),
            iceTransportPolicy="relay" if relay_only else "all",
            addresses=policy,
            iceTcp=tcp,
            mdnsCandidates=mdns,
            caFile=None if ca_file is None else str(ca_file),
        )
        parse_servers(configuration.iceServers)
    except LocalError as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.Exit(run(_explain_machine(configuration, timeout, output)))


def _servers(urls: list[str], username: str | None, credential: str | None) -> list[RTCIceServer]:
    if not any(url.lower().startswith("turn") for url in urls):
        return [RTCIceServer(url) for url in urls]
    if not username:
        raise typer.BadParameter(f"a TURN server needs --username, or {USER_VARIABLE}")
    if credential is None:
        if not sys.stdin.isatty():
            raise typer.BadParameter(f"a TURN server needs --credential @FILE, or {PASSWORD_VARIABLE}")
        credential = typer.prompt("Credential", hide_input=True, err=True)
    return [RTCIceServer(url, username, password_of(credential)) for url in urls]


# -- a report ----------------------------------------------------------------------------------------------------------


async def _explain_file(file: Path, output: Output) -> int:
    try:
        if str(file) == "-":
            data = sys.stdin.buffer.read(MAX_REPORT)
        else:
            with file.open("rb") as opened:
                data = opened.read(MAX_REPORT)
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror or error}") from error
    try:
        statistics = statistics_from_json(data)
    except ParseError as error:
        raise CommandError(
            f"{file} is no report: {error.detail or error.reason}. Save it with ice.statistics_to_json(pc.iceReport())"
        ) from error
    _print_report(output, statistics, None)
    return 0


# -- this machine ------------------------------------------------------------------------------------------------------


async def _explain_machine(configuration: RTCConfiguration, patience: float, output: Output) -> int:
    trial = Trial(configuration)
    with output.console.status("connecting"):
        await trial.run(patience)
    results = trial.results()
    _print_servers(output, results, trial.notes)
    _print_steps(output, _steps(trial))
    for side, statistics in trial.reports.items():
        if output.as_json or side == "offering":
            _print_report(output, statistics, side)
    report = trial.reports["offering"]
    selected = next((pair for pair in report.pairs if pair.selected), None)
    over = None if selected is None else [_at(selected.local), _at(selected.remote)]
    text = f"[bold green]connected[/] over {escape(' to '.join(over))}" if trial.connected and over else None
    output.report("result", text, connected=trial.connected, state=report.state, selected=over)
    if not trial.connected:
        raise CommandError(f"not connected: {trial.error or _where_it_stopped(report, patience)}")
    failed = [result for result in results if result.ok is False]
    if failed:
        text = "; ".join(f"{result.url}: {result.text}" for result in failed)
        raise CommandError(
            f"connected, but {len(failed)} of {len(results)} servers failed: {text}",
            NO_ANSWER if all(result.code == NOT_REACHED for result in failed) else CANNOT,
        )
    return 0


def _where_it_stopped(report: Statistics, patience: float) -> str:
    if all(candidate.hidden for candidate in report.local_candidates):
        return "there is no candidate here that may be told; see servers and hints"
    return f"ICE is {report.state} after {patience:g} s; see the hints"


def _steps(trial: Trial) -> list[tuple[str, float | None]]:
    report = trial.reports["offering"]
    reached, start = report.milestones, report.milestones.started or 0.0

    def known(kind: str) -> float | None:
        times = [c.known_at for c in report.local_candidates if c.type == kind and c.known_at is not None]
        return min(times, default=None)

    def since(time: float | None) -> float | None:
        return None if time is None else time - start

    return [
        ("host candidates", known("host")),
        ("server-reflexive", known("srflx")),
        ("relay", known("relay")),
        ("gathering complete", since(reached.gathered)),
        ("first valid pair", since(reached.first_valid)),
        ("nominated", since(reached.nominated)),
        ("DTLS", trial.times.get("dtls")),
        ("data channel open", trial.times.get("open")),
    ]


# -- words -------------------------------------------------------------------------------------------------------------


def _at(candidate: CandidateStatistics) -> str:
    host = f"[{candidate.host}]" if ":" in candidate.host else candidate.host
    return f"{candidate.type} {host}:{candidate.port}/{candidate.transport}"


def _print_servers(output: Output, results: list[ServerResult], notes: list[str]) -> None:
    if results and not output.as_json:
        output.console.print("[bold]servers[/]")
    width = max((len(result.url) for result in results), default=0)
    colours = {True: "green", False: "red", None: "dim"}
    for result in results:
        output.report(
            "server",
            f"  {escape(result.url.ljust(width))}  [{colours[result.ok]}]{escape(result.text)}[/]",
            url=result.url,
            ok=result.ok,
            message=result.text,
            error_code=result.code,
            addresses=result.addresses,
        )
    for note in notes:
        output.report("note", f"  [dim]{escape(note)}[/]", message=note)


def _print_steps(output: Output, steps: list[tuple[str, float | None]]) -> None:
    if not output.as_json:
        output.console.print("[bold]steps, ms after the start[/]")
    for name, seconds in steps:
        shown = "-" if seconds is None else f"{seconds * 1e3:.1f}"
        ms = None if seconds is None else round(seconds * 1e3, 3)
        output.report("step", f"  {name:<20} {shown:>8}", name=name, ms=ms)


def _print_report(output: Output, statistics: Statistics, side: str | None) -> None:
    if not output.as_json:
        sys.stdout.write(explain(statistics, colour=output.console.is_terminal and not output.console.no_color) + "\n")
        return
    fields: dict[str, Any] = {} if side is None else {"side": side}
    advice = [{"reason": hint.reason, "text": hint.text, "advice": hint.advice} for hint in hints(statistics)]
    output.report("report", statistics=json.loads(statistics_to_json(statistics)), hints=advice, **fields)
