"""`webrtc sdp`: what does this session description offer, what is wrong with it, how do two of them differ?"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import typer
from rich.markup import escape

from ..core import ParseError
from ..sdp import LineError, SessionDescription
from ..sdp.diff import diff
from ..sdp.explain import explain
from ..sdp.lint import RULES, Finding, lint
from .common import CANNOT, CommandError, Output, fail

MAX_FILE: Final = 2 << 20
"""Bytes of a file that are read: the longest description, in characters of four bytes, within JSON."""

Kind = Literal["offer", "answer"]
_COLOURS: Final = {"error": "red", "warning": "yellow", "info": "cyan"}
_MARKS: Final = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow")}

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Read session descriptions: explain, check, compare.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

FileArgument = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help='A description: its text, or JSON with an "sdp" in it as RTCSessionDescription has; - reads standard '
        "input.",
    ),
]
TypeOption = Annotated[
    Kind | None, typer.Option("--type", help="Check it as this; JSON says it itself. Some rules hold for one only.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for scripts.")]


class Source(NamedTuple):
    """A description as it was given.

    Attributes:
        name: Of the file, for messages.
        text: The description.
        kind: Whether it is an offer or an answer, if that is known.
    """

    name: str
    text: str
    kind: Kind | None


@app.callback()
def _sdp() -> None:
    """Read session descriptions: explain, check, compare."""


@app.command(
    "explain",
    epilog="Examples:  [bold]webrtc sdp explain offer.sdp[/] ·  [bold]pbpaste | webrtc sdp explain -[/]",
)
def explain_command(file: FileArgument, as_json: JsonOption = False) -> None:
    """Say in plain words what a description offers.

    Sections, formats, directions, transport, security, candidates; lines that are wrong are left out and named. Exit
    codes: 0 explained, 1 cannot be read, or a line is wrong.
    """
    output = Output(as_json=as_json)
    source = _read(file)
    session, errors = _parse(source)
    for passage in explain(session):
        text = "\n".join(f"  {escape(point)}" for point in passage.points)
        output.report(
            "passage", f"[bold]{escape(passage.title)}[/]\n{text}", title=passage.title, points=passage.points
        )
    for error in errors:
        place = f"{source.name}:{error.line_number}"
        output.report(
            "error",
            f"[red]{escape(place)}: {escape(error.explanation)}[/]\n    [dim]{escape(error.line)}[/]",
            line=error.line_number,
            reason=error.reason,
            message=error.explanation,
            content=error.line,
        )
    raise typer.Exit(CANNOT if errors else 0)


@app.command(
    "lint",
    epilog="Examples:  [bold]webrtc sdp lint offer.sdp --type offer[/] ·  [bold]webrtc sdp lint --rules[/]  all rules  "
    "·  Exit codes: 0 no errors, 1 errors or it cannot be read, 2 wrong usage",
)
def lint_command(
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="As for explain.")] = None,
    kind: TypeOption = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", metavar="RULE", help="Leave this rule out. Repeatable.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="List all rules and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a description: what is wrong or unwise, in which line, and which specification says so."""
    output = Output(as_json=as_json)
    if rules:
        _print_rules(output)
        return
    if file is None:
        raise typer.BadParameter("name a FILE, or - for standard input")
    ignored = set(ignore or ())
    if unknown := sorted(name for name in ignored - set(RULES) if not name.startswith("syntax-")):
        raise typer.BadParameter(f"no such rule: {', '.join(unknown)}; webrtc sdp lint --rules lists them")
    source = _read(file)
    try:
        findings = lint(source.text, kind or source.kind)
    except ParseError as error:
        fail(f"{source.name}: {error.detail}")
    findings = [finding for finding in findings if finding.rule not in ignored]
    for finding in findings:
        _print_finding(output, source.name, finding)
    counts = {severity: sum(finding.severity == severity for finding in findings) for severity in _COLOURS}
    colour = next((_COLOURS[severity] for severity in _COLOURS if counts[severity]), "green")
    words = ", ".join(f"{count} {severity}{'s' if count != 1 and severity != 'info' else ''}"
                      for severity, count in counts.items())  # fmt: skip
    output.report("result", f"[{colour}]{words}[/]", **counts)
    raise typer.Exit(CANNOT if counts["error"] or (strict and counts["warning"]) else 0)


@app.command(
    "diff",
    epilog="Examples:  [bold]webrtc sdp diff before.sdp after.sdp[/] ·  Exit codes: 0 the same meaning, 1 different, "
    "or one cannot be read",
)
def diff_command(
    old: Annotated[str, typer.Argument(metavar="A", help="As for explain.")],
    new: Annotated[str, typer.Argument(metavar="B", help="As for explain.")],
    as_json: JsonOption = False,
) -> None:
    """Compare what two descriptions mean.

    Sections are paired by their mid, formats by what they are and not by their number. The order of formats and of
    sections counts, that of attributes and candidates does not.
    """
    if old == new == "-":
        raise typer.BadParameter("standard input can be read once only")
    output = Output(as_json=as_json)
    sessions = []
    for source in (_read(old), _read(new)):
        session, errors = _parse(source)
        if errors:
            fail(f"{source.name}:{errors[0].line_number}: {errors[0].explanation}; webrtc sdp lint says more")
        sessions.append(session)
    differences = diff(*sessions)
    where = None
    for item in differences:
        if item.where != where and not as_json:
            output.console.print(f"[bold]{escape(item.where)}[/]")
            where = item.where
        mark, colour = _MARKS[item.change]
        values = " -> ".join(escape(value) for value in (item.old, item.new) if value is not None)
        output.report(
            "difference",
            f"  [{colour}]{mark} {escape(item.what)}[/]  {values}",
            where=item.where,
            change=item.change,
            what=item.what,
            old=item.old,
            new=item.new,
        )
    output.report("result", None if differences else "no difference in meaning", differences=len(differences))
    raise typer.Exit(CANNOT if differences else 0)


# -- reading -----------------------------------------------------------------------------------------------------------


def _read(file: str) -> Source:
    """Return the description in a file.

    Raises:
        Exit: It cannot be read.
    """
    name = "standard input" if file == "-" else file
    try:
        if file == "-":
            data = sys.stdin.buffer.read(MAX_FILE + 1)
        else:
            with Path(file).open("rb") as opened:
                data = opened.read(MAX_FILE + 1)
    except OSError as error:
        fail(f"{name} cannot be read: {error.strerror or error}")
    if len(data) > MAX_FILE:
        fail(f"{name} is larger than any description: more than {MAX_FILE} bytes")
    text = data.decode("utf-8", "replace").lstrip("\ufeff")
    try:
        return _from_json(name, text) if text.lstrip()[:1] == "{" else Source(name, text, None)
    except CommandError as error:
        fail(str(error))


def _from_json(name: str, text: str) -> Source:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{name} begins like JSON, but is none: {error}") from error
    sdp = found.get("sdp")
    if isinstance(sdp, dict):  # {"sdp": {"type": ..., "sdp": ...}}, as the W3C's examples signal it
        found, sdp = sdp, sdp.get("sdp")
    if not isinstance(sdp, str):
        raise CommandError(f'{name} is JSON without an "sdp"')
    kind = found.get("type")
    return Source(name, sdp, kind if kind in {"offer", "answer"} else None)


def _parse(source: Source) -> tuple[SessionDescription, list[LineError]]:
    """Return a description and what is wrong with its lines.

    Raises:
        Exit: It is too large.
    """
    errors: list[LineError] = []
    try:
        return SessionDescription.parse(source.text, errors=errors), errors
    except ParseError as error:
        fail(f"{source.name}: {error.detail}")


# -- words -------------------------------------------------------------------------------------------------------------


def _print_rules(output: Output) -> None:
    width = max(map(len, RULES))
    for known in sorted(RULES.values(), key=lambda known: known.id):
        colour = _COLOURS[known.severity]
        text = f"{known.id.ljust(width)}  [{colour}]{known.severity.ljust(7)}[/]  {known.title} ({known.source})"
        output.report("rule", text, id=known.id, severity=known.severity, title=known.title, source=known.source)


def _print_finding(output: Output, name: str, finding: Finding) -> None:
    colour = _COLOURS[finding.severity]
    place = escape(f"{name}:{finding.line}")
    text = f"{place}: [{colour}]{finding.severity}[/] [bold]{finding.rule}[/]: {escape(finding.message)}"
    output.report(
        "finding",
        f"{text} [dim]({finding.source})[/]" + (f"\n    [dim]{escape(finding.text)}[/]" if finding.text else ""),
        file=name,
        line=finding.line,
        rule=finding.rule,
        severity=finding.severity,
        source=finding.source,
        message=finding.message,
        content=finding.text,
    )
