# ruff: noqa: T201  a command line prints
"""Feed hostile input to every parser and machine.

    python -m fuzz                                 every target for 10 seconds
    python -m fuzz --only stun-message --seconds 600
    python -m fuzz --list                          the names of all targets
    python -m fuzz --replay build/fuzz/sctp-packet-3f2a91c0.bin

An input that breaks an invariant is made as small as possible and written to build/fuzz, with the command that
replays it. Once mended, put it into fuzz/corpus/<target>/, where the tests replay it for ever. With atheris
installed (pip install atheris) the search is guided by coverage; without it Hypothesis mutates the corpus.
"""

import argparse
import hashlib
import importlib.util
import subprocess
import sys
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from . import CORPUS, Check, inputs, seeds, targets

FOUND = Path(__file__).parents[1] / "build" / "fuzz"
BATCH = 500  # inputs between two looks at the clock


def keep(target: str, data: bytes) -> Path:
    """Write an input that broke something, named after its target."""
    FOUND.mkdir(parents=True, exist_ok=True)
    path = FOUND / f"{target}-{hashlib.sha256(data).hexdigest()[:8]}.bin"
    path.write_bytes(data)
    return path


def search(target: str, check: Check, seconds: float) -> tuple[int, bytes | None]:
    """Try inputs until the time is up or one breaks the check; return how many, and the smallest that did."""
    tried, last = 0, b""

    def one(data: bytes) -> None:
        nonlocal tried, last
        tried, last = tried + 1, data
        check(data)

    quiet = settings(
        max_examples=BATCH,
        deadline=None,
        database=None,
        print_blob=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    run = quiet(given(inputs(target))(one))
    end = time.monotonic() + seconds
    try:
        for path in seeds(target):
            one(path.read_bytes())
        while time.monotonic() < end:
            run()
    except Exception:  # noqa: BLE001  whatever the check raises is what we look for
        traceback.print_exc()
        return tried, last  # Hypothesis ends on the smallest input it found
    return tried, None


def search_by_coverage(target: str, seconds: float) -> Path | None:
    """Run atheris over one target, in a process of its own because it never returns; return what broke the check."""
    grown = FOUND / "corpus" / target  # what atheris adds stays out of the repository
    grown.mkdir(parents=True, exist_ok=True)
    begun = time.time()
    command = [sys.executable, "-m", "fuzz.by_coverage", target, f"-max_total_time={max(1, int(seconds))}"]
    command += [f"-artifact_prefix={FOUND / target}-", "-verbosity=0", "-print_final_stats=0", str(grown)]
    command += [str(CORPUS / target)] if seeds(target) else []
    if subprocess.run(command, check=False).returncode == 0:
        return None
    return max((p for p in FOUND.glob(f"{target}-*") if p.stat().st_mtime >= begun - 1), default=FOUND, key=_age)


def _age(path: Path) -> float:
    return path.stat().st_mtime


def replay(path: Path) -> int:
    """Run the target that a kept input is named after."""
    name, check = max(
        ((n, c) for n, c in targets().items() if path.name.startswith(f"{n}-") or path.parent.name == n),
        key=lambda found: len(found[0]),
        default=(None, None),
    )
    if name is None or check is None:
        print(f"no target is called as {path.name} begins, nor as its folder", file=sys.stderr)
        return 2
    check(path.read_bytes())
    print(f"{name}: its invariant holds")
    return 0


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="these targets and no others")
    parser.add_argument("--seconds", type=float, default=10, help="for each target (default: 10)")
    parser.add_argument("--list", action="store_true", help="the names of all targets")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one kept input")
    options = parser.parse_args()
    if options.replay:
        return replay(options.replay)
    found = targets()
    if options.list:
        print("\n".join(found))
        return 0
    only = [name for name in options.only.split(",") if name] or list(found)
    if unknown := set(only) - set(found):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are: {', '.join(found)}")
    guided = importlib.util.find_spec("atheris") is not None
    broken = []
    for name in only:
        print(f"{name}: ", end="", flush=True)
        if guided:
            kept = search_by_coverage(name, options.seconds)
        else:
            tried, bad = search(name, found[name], options.seconds)
            kept = None if bad is None else keep(name, bad)
            print(f"{tried} inputs", end=", ")
        print("fine" if kept is None else f"BROKEN: python -m fuzz --replay {kept}")
        if kept is not None:
            broken.append(name)
    return 1 if broken else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)
