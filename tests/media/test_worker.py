"""The worker: in order, bounded, and gone when it is closed."""

import threading

from stack.media import Worker
from stack.media.worker import MAX_WAITING


def test_jobs_run_in_order_on_the_one_thread():
    worker, done, names = Worker("w"), [], set()
    finished = threading.Event()
    gate = threading.Event()
    worker.submit(gate.wait)
    for number in range(MAX_WAITING - 1):
        worker.submit(lambda number=number: (done.append(number), names.add(threading.current_thread().name)))
    worker.submit(finished.set)
    gate.set()
    assert finished.wait(5)
    assert done == list(range(MAX_WAITING - 1))
    assert names == {"w"}
    worker.close()


def test_the_oldest_waiting_job_is_dropped():
    worker, done = Worker("w", waiting=2), []
    running, gate, finished = threading.Event(), threading.Event(), threading.Event()
    worker.submit(lambda: (running.set(), gate.wait()))
    assert running.wait(5)
    for number in range(5):
        worker.submit(lambda number=number: done.append(number))
    assert worker.dropped == 3
    gate.set()
    worker.submit(finished.set)
    assert finished.wait(5)
    assert done in ([3, 4], [4])  # the last submit may still have found the queue full
    worker.close()


def test_after_close_nothing_runs_and_the_thread_is_gone():
    worker, done = Worker("short-lived"), []
    worker.close()
    worker.submit(lambda: done.append(1))
    assert not any(thread.name == "short-lived" for thread in threading.enumerate())
    assert done == []
