"""Order and strictness of the whole suite.

Tests that talk to another implementation or to a browser, or that share the machine's multicast groups, run last and
one at a time, whatever the number of workers, so that they do not disturb each other. The former skip where what they
need is missing, unless WEBRTC_STACK_REQUIRE_INTEROP is 1: then a skip is a failure, because on the machine that judges
a change nothing may go untested.
"""

import fcntl
import os
from pathlib import Path

import pytest

STRICT = os.environ.get("WEBRTC_STACK_REQUIRE_INTEROP") == "1"
LOCK = Path(__file__).parents[1] / "build" / "tests.lock"


def talks_to_others(item):
    return item.get_closest_marker("interop") is not None or item.get_closest_marker("browser") is not None


def runs_alone(item):
    return talks_to_others(item) or item.get_closest_marker("alone") is not None


def pytest_collection_modifyitems(items):
    items.sort(key=runs_alone)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outside of pytest-timeout: waiting is not the test's time
def pytest_runtest_protocol(item):
    if not runs_alone(item):
        return (yield)
    # A lock and not an xdist_group: it holds between any processes, and groups need names changed behind pytest's back.
    LOCK.parent.mkdir(exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return (yield)


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
