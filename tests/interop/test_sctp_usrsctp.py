"""Associations with usrsctp, in virtual time: `usrsctp_scenarios` says what each one does."""

import ctypes.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.interop

both_roles = pytest.mark.parametrize("we_associate", [True, False], ids=["client", "server"])
both_chunks = pytest.mark.parametrize("interleaving", [False, True], ids=["data", "i-data"])
PATIENCE = 60  # seconds for a scenario; most take one


def run(scenario, **options):
    """Run a scenario in a process of its own: usrsctp is one state for all sockets, and may abort."""
    if ctypes.util.find_library("usrsctp") is None:
        pytest.skip("no libusrsctp: apt-get install libusrsctp-dev")
    command = [sys.executable, "-m", "tests.interop.usrsctp_scenarios", scenario, json.dumps(options)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@both_roles
@both_chunks
@pytest.mark.parametrize("lossy", [False, True], ids=["clean", "lossy"])
def test_messages_of_all_sizes_both_ways(we_associate, interleaving, lossy):
    run("messages_of_all_sizes_both_ways", we_associate=we_associate, interleaving=interleaving, lossy=lossy)


@both_chunks
def test_order_within_a_stream_and_none_without(interleaving):
    run("order_within_a_stream_and_none_without", interleaving=interleaving)


@both_chunks
@pytest.mark.parametrize("policy", [{"max_retransmits": 0}, {"lifetime": 0.06}], ids=["retransmits", "lifetime"])
def test_partial_reliability_loses_something_and_the_rest_arrives(interleaving, policy):
    run("partial_reliability_loses_something_and_the_rest_arrives", interleaving=interleaving, policy=policy)


@both_chunks
@pytest.mark.parametrize("who", ["we_reset_streams", "usrsctp_resets_streams"])
def test_streams_are_reset(who, interleaving):
    run(who, interleaving=interleaving)


@pytest.mark.parametrize(
    "scenario",
    [
        "streams_are_added_both_ways",
        "usrsctp_resets_the_association",
        "usrsctp_restarts",
        "we_restart",
        "path_mtu_probes_are_answered",
    ],
)
def test_what_happens_seldom(scenario):
    run(scenario)


@both_roles
def test_both_shut_down(we_associate):
    run("both_shut_down", we_associate=we_associate)
