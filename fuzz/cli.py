"""Event logs as `webrtc log show` reads them.

Invariants: reading raises nothing; each line that is not empty is either one event or one bad line; what an event holds
can be shown on one line, printable and short.
"""

import math

from stack.cli.log import MAX_VALUE, _word, read_log


def check_log(data: bytes) -> None:
    """Reading a log and putting its values into words."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    bad = []
    entries = list(read_log(lines, bad))
    if len(entries) + len(bad) != sum(bool(line.strip()) for line in lines):
        raise ValueError("a line was lost")
    for entry in entries:
        if not math.isfinite(entry.time):
            raise ValueError("a time that is none")
        for value in (entry.layer, entry.event, *entry.fields, *entry.fields.values()):
            shown = _word(value)
            if not shown.isprintable() or len(shown) > 2 * MAX_VALUE + 10:
                raise ValueError(f"{shown!r} cannot be shown")


TARGETS = {"cli-log": check_log}
