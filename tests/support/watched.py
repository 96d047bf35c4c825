"""Run a command, and tell what the machine does when it stands still: `python3 -m tests.support.watched make test`.

It stands still when the tests' journal (tests/conftest.py) has had no line for `STILL` seconds, longer than any timeout
of a test. Then the threads that want the processors are listed, and whatever the tests began is killed, so that they go
on and name the test; if that does not help, their own processes are, the second time. After `LIMIT` seconds all ends.

It needs nothing but Python, and asks for the processors before all else: on a machine where nothing else gets its turn,
it should.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

JOURNAL = Path(__file__).parents[2] / "build" / "tests.journal"
STILL = 280.0  # seconds
LIMIT = 45 * 60.0  # seconds; three times what the tests take
LOOK = 5.0  # seconds
THREADS = 60  # so many are listed


def descendants(root):
    """Process ids below `root` by generations: its children first."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    generations = [[root]]
    while generations[-1]:
        generations.append([pid for pid, parent in parents.items() if parent in generations[-1]])
    return generations[1:-1]


def command_line(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def below_pytest(root):
    """The workers of pytest-xdist under `root`, and what the tests themselves began."""
    for generation in [[root], *descendants(root)]:
        for pid in generation:
            if " -m pytest" in command_line(pid) and "bash" not in command_line(pid):  # of make
                workers, *rest = descendants(pid) or [[]]
                return workers, [pid for younger in rest for pid in younger]
    return [], []


def tell(*lines):
    print(*lines, sep="\n", flush=True)  # noqa: T201


def diagnose(why):
    tell(f"== {why}", *running())
    for path in ("loadavg", "pressure/cpu", "pressure/io", "pressure/memory"):
        with contextlib.suppress(OSError):
            tell(f"{path}: {Path('/proc', path).read_text().strip()}")
    columns = "stat,pid,tid,ppid,cls,rtprio,ni,psr,pcpu,etimes,wchan:20,comm"
    listed = subprocess.run(["ps", "-eLo", columns, "--sort=-pcpu"], check=False, capture_output=True, text=True)
    lines = listed.stdout.splitlines()
    wanting = [line for line in lines if line[0] in "RDT"]
    tell(*lines[:20], f"{len(wanting)} of {len(lines)} threads do not sleep:", *wanting[:THREADS])


def running():
    """What the journal says has begun and not ended."""
    found = []
    with contextlib.suppress(OSError):
        for line in JOURNAL.read_text().splitlines():
            _, what, test = line.split(maxsplit=2)
            if what == "begins":
                found.append(line)
            elif what == "ended":
                found = [other for other in found if not other.endswith(test)]
    return found


def kill(pids):
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def come_first():
    """Ask for a place before all others, for this process and not for what it begins."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(50))


def main(command, *, still=STILL, limit=LIMIT, look=LOOK):
    """Return the command's exit code, 124 if it was ended."""
    come_first()
    with contextlib.suppress(OSError):
        JOURNAL.unlink()
    begun = last = time.monotonic()
    length, struck = -1, 0
    child = subprocess.Popen(command)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(timeout=look)
        now = time.monotonic()
        current = JOURNAL.stat().st_size if JOURNAL.exists() else -1
        if current < 0 or current != length:
            length, last, struck = current, now, 0
        if now - begun > limit:
            diagnose(f"not done after {limit:.0f} s")
            kill(pid for generation in descendants(child.pid) for pid in generation)
            child.kill()
            return 124
        if now - last > still:
            diagnose(f"nothing has happened for {still:.0f} s")
            workers, others = below_pytest(child.pid)
            kill(workers + others if struck else others)
            last, struck = now - still + min(still, 60.0), struck + 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
