"""`webrtc log`: the structured event log of a connection, drawn as a timeline.

A log is JSON lines, one object per event: `time` (seconds of any clock that only goes forward), `layer` (`ice`, `dtls`,
`sctp` ...), `event` (past tense, `candidate-gathered`), and whatever else belongs to it; `connection` tells several
connections apart. What the commands print with `--json` is such a log too, without layers.
"""

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Annotated, Any, Final

import typer
from rich.markup import escape

from .common import CANNOT, Output, fail

MAX_LINE: Final = 1 << 20
"""Characters of one line: an event that holds a description of the largest size, escaped twice."""
MAX_TIME: Final = 1e15
"""Seconds: past it a double does not tell milliseconds apart."""
MAX_VALUE: Final = 120
"""Characters of a value that the timeline shows."""
MAX_KINDS: Final = 1000
"""Kinds of events that a summary counts; the rest is counted together."""

_COLOURS: Final = {
    "signaling": "magenta",
    "peer": "magenta",
    "ice": "cyan",
    "stun": "cyan",
    "turn": "blue",
    "dtls": "yellow",
    "srtp": "yellow",
    "sctp": "green",
    "datachannel": "green",
    "rtp": "bright_blue",
    "bwe": "bright_blue",
}
_OWN: Final = frozenset({"time", "layer", "event", "connection"})
_BAD_EVENT: Final = re.compile(r"fail|error|lost|timeout|timed-out|dropped|refused|closed").search

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Read the event log of a connection.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(slots=True)
class Entry:
    """One event of a log.

    Attributes:
        time: Seconds.
        layer: Which layer said it; `-` if the log does not tell.
        event: What happened.
        connection: Which connection, or None.
        fields: Everything else.
    """

    time: float
    layer: str
    event: str
    connection: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def read_log(lines: Iterable[str], bad: list[int]) -> Iterator[Entry]:
    """Yield the events of a log; empty lines count for nothing.

    Args:
        lines: JSON objects.
        bad: The numbers of lines that are no events are appended to it, from 1.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        entry = _entry(line) if len(line) <= MAX_LINE else None
        if entry is None:
            bad.append(number)
        else:
            yield entry


def _entry(line: str) -> Entry | None:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    time, event = found.get("time"), found.get("event")
    if isinstance(time, bool) or not isinstance(time, int | float) or not isinstance(event, str):
        return None
    if not abs(time) < MAX_TIME:  # nor is NaN
        return None
    connection = found.get("connection")
    return Entry(
        float(time),
        str(found.get("layer", "-")),
        event,
        None if connection is None else str(connection),
        {name: value for name, value in found.items() if name not in _OWN},
    )


@dataclass(slots=True)
class Filter:
    """Which events are wanted; an empty list wants all.

    Attributes:
        layers: Layers.
        events: Patterns such as `candidate-*`.
        connections: Connections.
        begin: Seconds after the first event of the log.
        end: The same.
    """

    layers: list[str]
    events: list[str]
    connections: list[str]
    begin: float
    end: float

    def wants(self, entry: Entry, start: float) -> bool:
        """Whether to show an event of a log that began at `start`."""
        return (
            self.begin <= entry.time - start <= self.end
            and (not self.layers or entry.layer in self.layers)
            and (not self.events or any(fnmatchcase(entry.event, pattern) for pattern in self.events))
            and (not self.connections or entry.connection in self.connections)
        )


FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="JSON lines; - reads standard input as it comes.")]


@app.callback()
def _log() -> None:
    """Read the event log of a connection."""


@app.command(
    "show",
    epilog="Examples:  [bold]webrtc log show call.jsonl[/] ·  [bold]webrtc log show call.jsonl --layer ice --layer "
    "dtls --to 2[/]  the first two seconds ·  [bold]tail -f call.jsonl | webrtc log show -[/] ·  Exit codes: 0 shown, "
    "1 it cannot be read or there is no event in it",
)
def show_command(
    file: FileArgument,
    layer: Annotated[list[str] | None, typer.Option(help="Only this layer. Repeatable.")] = None,
    event: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Only events like this, as 'candidate-*'. Repeatable.")
    ] = None,
    connection: Annotated[list[str] | None, typer.Option(help="Only this connection. Repeatable.")] = None,
    begin: Annotated[float, typer.Option("--from", metavar="SECONDS", help="After the first event.")] = -math.inf,
    end: Annotated[float, typer.Option("--to", metavar="SECONDS", help="After the first event.")] = math.inf,
    gap: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Point out when nothing happens for longer.")
    ] = 1,
    summary: Annotated[bool, typer.Option("--summary", help="Count the events instead of showing them.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line, for scripts.")] = False,
) -> None:
    """Show a log as a timeline, in milliseconds after its first event."""
    wanted = Filter(layer or [], event or [], connection or [], begin, end)
    output = Output(as_json=as_json)
    bad: list[int] = []
    timeline = _Summary(output) if summary else _Timeline(output, gap)
    start: float | None = None
    for entry in _entries(file, bad):
        start = entry.time if start is None else start
        if wanted.wants(entry, start):
            timeline.add(entry, start)
    timeline.finish()
    if bad:
        text = f"{len(bad)} lines are no events, the first one is line {bad[0]}"
        output.report("unreadable", f"[yellow]{text}[/]", lines=len(bad), first=bad[0])
    if start is None:
        fail(f"there is no event in {_name(file)}: it wants JSON lines with time, layer and event", CANNOT)


def _name(file: str) -> str:
    return "standard input" if file == "-" else file


def _entries(file: str, bad: list[int]) -> Iterator[Entry]:
    try:
        if file == "-":
            yield from read_log(_lines(sys.stdin), bad)
        else:
            with Path(file).open(encoding="utf-8", errors="replace") as opened:
                yield from read_log(_lines(opened), bad)
    except OSError as error:
        fail(f"{_name(file)} cannot be read: {error.strerror or error}")


def _lines(file: IO[str]) -> Iterator[str]:
    """Yield the lines, of those that are too long only enough to see that."""
    while line := file.readline(MAX_LINE + 1):
        yield line
        while len(line) > MAX_LINE and not line.endswith("\n"):
            line = file.readline(MAX_LINE + 1)


class _Timeline:
    """One line for each event.

    Args:
        output: Where to.
        gap: Seconds of silence that are pointed out.
    """

    def __init__(self, output: Output, gap: float) -> None:
        self._output, self._gap = output, gap
        self._last: float | None = None

    def add(self, entry: Entry, start: float) -> None:
        """Show an event of a log that began at `start`."""
        silence = 0.0 if self._last is None else entry.time - self._last
        self._last = entry.time
        offset = entry.time - start
        if self._output.as_json:
            self._output.report(
                "entry",
                name=entry.event,
                layer=entry.layer,
                connection=entry.connection,
                seconds=round(offset, 6),
                at=entry.time,
                fields=entry.fields,
            )
            return
        if silence > self._gap:
            self._output.console.print(f"[dim]{'':>12}  ... nothing for {silence:.1f} s[/]")
        colour = _COLOURS.get(entry.layer, "default")
        style = "bold red" if _BAD_EVENT(entry.event) else "bold"
        who = f"[dim]{_word(entry.connection)}[/] " if entry.connection is not None else ""
        values = " ".join(f"[dim]{_word(name)}=[/]{_word(value)}" for name, value in entry.fields.items())
        text = (
            f"{offset * 1e3:12.1f}  {who}[{colour}]{_word(entry.layer).ljust(11)}[/] [{style}]{_word(entry.event)}[/]"
        )
        self._output.console.print(f"{text}  {values}".rstrip())

    def finish(self) -> None:
        """Nothing is left to say."""


class _Summary:
    """How often each event was there, and when first and last."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._counts: Counter[tuple[str, str]] = Counter()
        self._times: dict[tuple[str, str], tuple[float, float]] = {}

    def add(self, entry: Entry, start: float) -> None:
        """Count an event."""
        key = entry.layer, entry.event
        if key not in self._counts and len(self._counts) >= MAX_KINDS:
            key = "-", "others"
        offset = entry.time - start
        first, _ = self._times.get(key, (offset, offset))
        self._counts[key] += 1
        self._times[key] = first, offset

    def finish(self) -> None:
        """Print the table, by layer and time."""
        if self._counts and not self._output.as_json:
            self._output.console.print(f"[bold]{'count':>8} {'first ms':>12} {'last ms':>12}  layer       event[/]")
        for key in sorted(self._counts, key=lambda key: (key[0], self._times[key])):
            layer, event = key
            first, last = self._times[key]
            colour = _COLOURS.get(layer, "default")
            name = f"[{colour}]{_word(layer).ljust(11)}[/] {_word(event)}"
            self._output.report(
                "count",
                f"{self._counts[key]:8} {first * 1e3:12.1f} {last * 1e3:12.1f}  {name}",
                layer=layer,
                name=event,
                count=self._counts[key],
                first=round(first, 6),
                last=round(last, 6),
            )


def _word(value: object) -> str:
    """Return a value as it may be shown: short, on one line, and without effect on the terminal."""
    text = value if isinstance(value, str) else _json(value)
    text = text if text.isprintable() else json.dumps(text)
    return escape(text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}...")


def _json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "..."
