"""Runs a peer connection machine on asyncio: sockets in batches, one timer, one flush per turn of the loop."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from ..core import Datagram
from ..peer import Event, PeerConnection
from .descriptions import RTCConfiguration
from .machine_timer import MachineTimer
from .network import Network

logger = logging.getLogger(__name__)

MAX_ROUNDS: Final = 4
"""Times that handlers may answer at once before the loop gets a turn, so that an echo cannot starve it."""


class Driver:
    """Moves datagrams, time and events between one machine and the event loop.

    Args:
        machine: What to run.
        configuration: Servers, and which addresses may be used.
        report: Called with each event.
        after_events: Called when something may have left; returns whether it did what may need another round.
        report_error: Called with an exception of one of our tasks.
    """

    now = staticmethod(time.monotonic)

    def __init__(
        self,
        machine: PeerConnection,
        configuration: RTCConfiguration,
        report: Callable[[Event], None],
        after_events: Callable[[], bool],
        report_error: Callable[[BaseException], None],
    ) -> None:
        self._machine = machine
        self._report = report
        self._after_events = after_events
        self._report_error = report_error
        self.network = Network(
            machine, configuration, on_batch=self._on_batch, flush=self.schedule_flush, spawn=self.spawn
        )
        self._timer = MachineTimer(machine.next_timer, self.now, self._on_due)
        self._scheduled = False
        self._flushing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = False

    # -- sockets and tasks -------------------------------------------------------------------------------------

    def gather(self) -> None:
        """Bind sockets and ask servers, if that was not done yet: host candidates must not wait for anything."""
        self.network.open(self.now())

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Run a task whose exceptions are heard and which ends with the connection."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report_error(error)

    # -- the pump ----------------------------------------------------------------------------------------------

    def _on_batch(self, batch: list[Datagram]) -> None:
        self._machine.receive_batch(batch, self.now())
        self.flush()

    def _on_due(self, now: float) -> None:
        self._machine.handle_timer(now)
        self.flush()

    def schedule_flush(self) -> None:
        """Flush at the end of this turn of the loop, so that what is sent in one turn leaves together."""
        if self._scheduled or self._flushing or self.closed:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # made before the loop runs; setting a description flushes
            return
        self._scheduled = True
        loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send what is due, report what happened, arm the timer."""
        self._scheduled = False
        if self._flushing or self.closed:
            return
        self._flushing = True
        machine, busy = self._machine, False
        try:
            # First, so that an answer leaves in the same packet as the acknowledgement; but while the connection is
            # being made the peer waits for what is to be sent, and nobody can answer yet.
            if machine.connection_state == "connected":
                machine.poll(self.now())
                self._report_events()
            for _ in range(MAX_ROUNDS):
                datagrams = machine.datagrams_to_send(self.now())
                if datagrams:
                    self.network.send(datagrams)
                busy = self._report_events()
                busy = self._after_events() or busy
                if not busy:
                    break
        finally:
            self._flushing = False
        if busy:
            self.schedule_flush()
        self._timer.arm()

    def _report_events(self) -> bool:
        """Report all events; return whether there were any."""
        machine, busy = self._machine, False
        while machine.has_events() and (event := machine.next_event()) is not None:
            busy = True
            self._report(event)
        return busy

    # -- the end -----------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Send the last datagrams, then free sockets, timer and tasks."""
        self._machine.close(self.now())
        self._flushing = False  # a handler of the flush that is running may be the one who closes
        self.flush()
        self.closed = True
        self._timer.close()
        self.network.close()
        current = asyncio.current_task()
        ending = [task for task in self._tasks if task is not current]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
