"""A worker thread with a short queue: what a live codec runs on."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

MAX_WAITING: Final = 3  # jobs; at 30 frames per second a tenth of a second, older live video is worth nothing


class Worker:
    """Runs jobs one after the other on one thread; when too many wait, the oldest is dropped.

    Args:
        name: Of the thread, for people who look at a stack dump.
        waiting: How many jobs may wait.

    Attributes:
        dropped: Jobs that were thrown away because newer ones came.
    """

    def __init__(self, name: str, waiting: int = MAX_WAITING) -> None:
        self.dropped = 0
        self._jobs: deque[Callable[[], None]] = deque()
        self._waiting = waiting
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue `job`, which must not raise; returns at once. Ignored after `close`."""
        with self._wake:
            if self._closed:
                return
            if len(self._jobs) >= self._waiting:
                self._jobs.popleft()
                self.dropped += 1
            self._jobs.append(job)
            self._wake.notify()

    def close(self, timeout: float = 1.0) -> None:
        """Forget what waits, let the running job end, and join the thread for at most `timeout` seconds."""
        with self._wake:
            self._closed = True
            self._jobs.clear()
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._jobs and not self._closed:
                    self._wake.wait()
                if self._closed:
                    return
                job = self._jobs.popleft()
            job()
