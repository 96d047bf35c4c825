"""Order and strictness of the whole suite.

Tests that talk to another implementation or to a browser, or that share the machine's multicast groups, run last and
one at a time, whatever the number of workers, so that they do not disturb each other. The former skip where what they
need is missing, unless WEBRTC_STACK_REQUIRE_INTEROP is 1: then a skip is a failure, because on the machine that judges
a change nothing may go untested. One of them that fails is run once more, and the end of the output names it: what
failed may be the other program, or the machine that runs two of them and a browser on two cores.

Failures are told when they happen, and what begins and ends is written to a journal: a run that is ended from outside
has then said what failed, and what was running.
"""

import fcntl
import os
import time
from pathlib import Path

import pytest

STRICT = os.environ.get("WEBRTC_STACK_REQUIRE_INTEROP") == "1"
LOCK = Path(__file__).parents[1] / "build" / "tests.lock"
JOURNAL = LOCK.with_suffix(".journal")  # read by tests/support/watched.py


def talks_to_others(item):
    return item.get_closest_marker("interop") is not None or item.get_closest_marker("browser") is not None


def runs_alone(item):
    return talks_to_others(item) or item.get_closest_marker("alone") is not None


def pytest_collection_modifyitems(items):
    items.sort(key=runs_alone)
    for item in filter(talks_to_others, items):
        item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outside of pytest-timeout: waiting is not the test's time
def pytest_runtest_protocol(item):
    if not runs_alone(item):
        return (yield)
    # A lock and not an xdist_group: it holds between any processes, and groups need names changed behind pytest's back.
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)


class Told:
    """Of the process that prints, with or without workers."""

    def __init__(self, config):
        JOURNAL.parent.mkdir(exist_ok=True)
        self.journal = JOURNAL.open("w")
        self.plugins = config.pluginmanager

    def write(self, what, nodeid):
        print(time.strftime("%H:%M:%S"), what, nodeid, file=self.journal, flush=True)

    def pytest_runtest_logstart(self, nodeid):
        self.write("begins", nodeid)

    def pytest_runtest_logfinish(self, nodeid):
        self.write("ended", nodeid)

    def pytest_runtest_logreport(self, report):
        if report.outcome not in ("passed", "skipped"):
            self.write(report.outcome, report.nodeid)
            terminal = self.plugins.get_plugin("terminalreporter")
            terminal.write_line(f"\n{report.outcome}: {report.nodeid}\n{report.longreprtext}")


def pytest_configure(config):
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(Told(config))


def forbid_skip(report):
    if STRICT and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped although WEBRTC_STACK_REQUIRE_INTEROP=1: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if talks_to_others(item):
        forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    forbid_skip(report)  # a module that skips itself could hold such tests: nobody would know
    return report
