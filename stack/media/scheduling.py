"""Keeps a library from putting itself before everything else on the machine."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_TASKS = Path("/proc/self/task")


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Give back to the calling thread the scheduling policy that it has now, and give it to all threads begun within.

    SVT-AV1 asks for the highest real-time priority when it is opened, and root is given it: the thread that opens it,
    the threads and the programs that this one starts from then on. What runs so leaves the processors to nobody, and a
    vehicle must hear its driver whatever its encoder does.
    """
    if not hasattr(os, "sched_setscheduler"):  # only Linux has it
        yield
        return
    policy, parameter, before = os.sched_getscheduler(0), os.sched_getparam(0), _threads()
    try:
        yield
    finally:
        for thread in {threading.get_native_id(), *_threads() - before}:
            with contextlib.suppress(OSError):  # it has ended, or may not be told
                os.sched_setscheduler(thread, policy, parameter)


def _threads() -> set[int]:
    try:
        return {int(task.name) for task in _TASKS.iterdir()}
    except OSError:
        return set()
