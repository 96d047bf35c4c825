"""No encoder puts itself before everything else on the machine."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from stack.media import create_encoder, scheduling

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="only Linux has it")


def policies():
    """The scheduling policy of each thread of this process."""
    return {int(task.name): os.sched_getscheduler(int(task.name)) for task in Path("/proc/self/task").iterdir()}


@pytest.mark.parametrize("mime", ["video/H264", "video/VP8", "video/VP9", "video/AV1"])
def test_all_threads_stay_as_they_were(mime):
    """Run by root, as on many a small machine, SVT-AV1 takes the highest priority if it is let."""
    assert set(policies().values()) == {os.SCHED_OTHER}
    encoder = create_encoder(mime, 320, 240, hardware=False)
    for number in range(3):
        encoder.encode_frame(np.full((240, 320, 3), 50 * number, np.uint8), number * 3000)
        assert set(policies().values()) == {os.SCHED_OTHER}


def test_only_what_began_within_is_changed(monkeypatch):
    told = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda thread, policy, _parameter: told.append((thread, policy)))
    done, begun = threading.Event(), []
    with scheduling.kept():
        thread = threading.Thread(target=done.wait)
        thread.start()
        begun.append(thread.native_id)
    done.set()
    thread.join()
    assert sorted(told) == sorted((thread, os.SCHED_OTHER) for thread in [threading.get_native_id(), *begun])


def test_what_may_not_be_changed_is_left(monkeypatch):
    def refuse(*_arguments):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with scheduling.kept():
        pass
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
