"""The one timer that a machine needs of the event loop."""

import asyncio
from collections.abc import Callable


class MachineTimer:
    """Keeps one handle, and moves it only when the deadline comes nearer: a late one just finds nothing due.

    Args:
        next_timer: The machine's.
        now: The machine's clock, seconds.
        on_due: Called with the time when the machine has something to do.
    """

    __slots__ = ("_at", "_closed", "_handle", "_next_timer", "_now", "_on_due")

    def __init__(
        self, next_timer: Callable[[], float | None], now: Callable[[], float], on_due: Callable[[float], None]
    ) -> None:
        self._next_timer = next_timer
        self._now = now
        self._on_due = on_due
        self._handle: asyncio.TimerHandle | None = None
        self._at = 0.0
        self._closed = False

    @property
    def armed(self) -> bool:
        """Whether the loop will call."""
        return self._handle is not None

    def arm(self) -> None:
        """Look at the machine's deadline; to be called after whatever may have changed it."""
        due = self._next_timer()
        if due is None or self._closed:
            return
        if self._handle is not None:
            if self._at <= due:
                return
            self._handle.cancel()
        self._at = due
        self._handle = asyncio.get_running_loop().call_later(max(0.0, due - self._now()), self._fire)

    def _fire(self) -> None:
        self._handle, now = None, self._now()
        due = self._next_timer()
        if due is None or due > now:  # put off since: under load nearly always, and packets wait meanwhile
            self.arm()
        else:
            self._on_due(now)

    def close(self) -> None:
        """Call no more."""
        self._closed = True
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
