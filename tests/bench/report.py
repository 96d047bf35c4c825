"""What was measured, for machines (build/bench.json) and for people."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

import stack

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "bench.json"
PACKAGES = [ROOT / "build" / folder / "node_modules" for folder in ("partners/npm", "npm")]


def machine(peers):
    """What the numbers depend on."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "date": datetime.now(UTC).date().isoformat(),
        "ours": stack.__version__,
        "peers": {peer: version(peer) for peer in sorted(peers)},
    }


def version(peer):
    """The version of a peer: of its package in Python or Node, or of a program that has none."""
    try:
        return metadata.version(peer)
    except metadata.PackageNotFoundError:
        found = [package for folder in PACKAGES if (package := folder / peer / "package.json").exists()]
        return json.loads(found[0].read_text())["version"] if found else "of the system"


def cpu_model():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def write(rows, peers):
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine(peers), "results": rows}, indent=2) + "\n")


def number(value):
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 or not value else f"{value:.4f}"


def style(row):
    """The color of a row: whether ours is better; none without a peer."""
    if row["ratio"] is None:
        return None
    return "green" if (row["ratio"] >= 1) == (row["better"] == "higher") else "red"


def theirs(row):
    """Their value and who they are, for the table of the README."""
    return f"{number(row['theirs'])} ({row['peer']})" if row["peer"] else "-"


def show(rows):
    table = Table(Column("what", no_wrap=True), "unit", "better", "ours", "theirs", "peer", "ratio")
    for row in rows:
        cells = (row["name"], row["unit"], row["better"], number(row["ours"]), number(row["theirs"]))
        table.add_row(*cells, row["peer"] or "-", number(row["ratio"]), style=style(row))
    console = Console()
    console.print(table)
    console.print(f"written to {RESULTS.relative_to(ROOT)}")


def markdown():
    """The last results as a table, with the machine under it."""
    data = json.loads(RESULTS.read_text())
    lines = ["| what | unit | better | ours | theirs | ratio |", "| --- | --- | --- | ---: | ---: | ---: |"]
    lines += [
        f"| {row['name']} | {row['unit']} | {row['better']} | {number(row['ours'])} "
        f"| {theirs(row)} | {number(row['ratio'])} |"
        for row in data["results"]
    ]
    m = data["machine"]
    peers = ", ".join(f"{name} {version}" for name, version in m["peers"].items())
    lines += ["", f"{m['date']}, {m['cpu']}, {m['cores']} cores, {m['python']}, {m['kernel']}; {peers}."]
    return "\n".join(lines)
