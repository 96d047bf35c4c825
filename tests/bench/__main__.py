# ruff: noqa: T201  a command line prints
"""Measure this stack against others, on this machine, alternating.

python -m tests.bench                                  everything, three runs of each
python -m tests.bench --only setup,datachannel-bulk    some of it
python -m tests.bench --quick                          short trials: does it work at all?
python -m tests.bench --markdown                       the last results as a table for the README
"""

import argparse
import asyncio
import inspect
import statistics
import sys

from . import report
from .registry import PeerMissingError, load_all


async def measure(bench, side, quick):
    result = bench.measure(side, quick)
    return await result if inspect.isawaitable(result) else result


async def run_one(bench, wanted, runs, quick):
    """Alternate ours and theirs, if there is a peer; return one row of the report for each wanted metric."""
    sides = {side: [] for side in ("ours", bench.peer) if side is not None}
    for run in range(runs):
        for side, values in sides.items():
            print(f"  {' '.join(wanted)}: {side}, run {run + 1} of {runs}", file=sys.stderr, flush=True)
            try:
                values.append(await measure(bench, side, quick))
            except PeerMissingError as error:
                print(f"  {' '.join(wanted)}: no {side} here: {error}", file=sys.stderr, flush=True)
        sides = {side: values for side, values in sides.items() if values}
    rows = []
    for metric in bench.metrics:
        if metric.name in wanted:
            medians = {side: statistics.median(v[metric.name] for v in values) for side, values in sides.items()}
            ours, theirs = medians["ours"], medians.get(bench.peer)
            rows.append(
                {
                    "name": metric.name,
                    "unit": metric.unit,
                    "better": metric.better,
                    "ours": ours,
                    "peer": bench.peer,
                    "theirs": theirs,
                    "ratio": ours / theirs if theirs else None,
                }
            )
    return rows


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="these results and no others")
    parser.add_argument("--runs", type=int, default=3, help="trials of each side; the median counts (default: 3)")
    parser.add_argument("--quick", action="store_true", help="short trials, for a look; not for comparing")
    parser.add_argument("--list", action="store_true", help="the names of all results")
    parser.add_argument("--markdown", action="store_true", help="print the last results, measure nothing")
    options = parser.parse_args(arguments)
    if options.markdown:
        print(report.markdown())
        return 0
    benches = load_all()
    names = [metric.name for bench in benches for metric in bench.metrics]
    if options.list:
        print("\n".join(names))
        return 0
    only = [name for name in options.only.split(",") if name] or names
    if unknown := set(only) - set(names):
        parser.error(f"no such result: {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    if options.runs < 1:
        parser.error("at least one run")
    return asyncio.run(run_all(benches, only, options))


async def run_all(benches, only, options):
    rows, failed = [], False
    for bench in benches:
        wanted = [metric.name for metric in bench.metrics if metric.name in only]
        if not wanted:
            continue
        try:
            rows += await run_one(bench, wanted, options.runs, options.quick)
        except Exception as error:  # noqa: BLE001  one that fails must not lose the others
            failed = True
            print(f"  {' '.join(wanted)}: failed: {type(error).__name__}: {error}", file=sys.stderr)
    report.write(rows, {bench.peer for bench in benches if bench.peer is not None})
    report.show(rows)
    return int(failed)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
