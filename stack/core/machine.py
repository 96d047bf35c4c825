"""The interface of every protocol machine: state and timers, no clock, no sockets.

Do one thing (receive, timer, or a command), then drain `datagrams_to_send`, then `next_event` until None, then ask
`next_timer`. Draining late is legal: that is how batching works. The laws that hold are in docs/design.md and are
run over every machine by tests/contract.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeAlias, TypeVar

from .errors import LocalError

In = TypeVar("In")
Out = TypeVar("Out")
Event = TypeVar("Event")

RandomBytes: TypeAlias = Callable[[int], bytes]
"""`random_bytes(n)` returns n random bytes; `os.urandom` in production, a seeded generator in tests."""


class Timers:
    """A small table of named deadlines, in seconds of the machine's clock."""

    __slots__ = ("_deadlines", "_next", "_stale")

    def __init__(self) -> None:
        self._deadlines: dict[Hashable, float] = {}
        self._next: float | None = None
        self._stale = False

    def __contains__(self, name: Hashable) -> bool:
        return name in self._deadlines

    def set(self, name: Hashable, deadline: float) -> None:
        """Arm `name`, or move it."""
        if not self._stale:
            old = self._deadlines.get(name)
            if self._next is None or deadline <= self._next:
                self._next = deadline
            elif old is not None and old == self._next:
                self._stale = True
        self._deadlines[name] = deadline

    def set_default(self, name: Hashable, deadline: float) -> bool:
        """Arm `name` unless it is armed already; return whether it was not."""
        if name in self._deadlines:
            return False
        self._deadlines[name] = deadline
        if not self._stale and (self._next is None or deadline < self._next):
            self._next = deadline
        return True

    def cancel(self, *names: Hashable) -> None:
        """Disarm `names`; no error if one is not armed."""
        for name in names:
            deadline = self._deadlines.pop(name, None)
            if deadline is not None and deadline == self._next:
                self._stale = True

    def clear(self) -> None:
        """Disarm everything."""
        self._deadlines.clear()
        self._next = None
        self._stale = False

    def deadline(self, name: Hashable) -> float | None:
        """Return when `name` is due, or None."""
        return self._deadlines.get(name)

    def next_deadline(self) -> float | None:
        """Return the earliest deadline, or None."""
        if self._stale:
            self._next = min(self._deadlines.values(), default=None)
            self._stale = False
        return self._next

    def expire(self, now: float) -> list[Hashable]:
        """Disarm what is due at `now` and return the names, earliest first."""
        first = self.next_deadline()
        if first is None or first > now:
            return []
        due = sorted((item for item in self._deadlines.items() if item[1] <= now), key=lambda item: item[1])
        for name, _ in due:
            del self._deadlines[name]
        self._stale = True
        return [name for name, _ in due]


class Machine(ABC, Generic[In, Out, Event]):
    """Base of all machines.

    Attributes:
        has_events: Called, it returns how many events wait; the queue's own method, since a composition asks its parts
            several times per packet.
    """

    def __init__(self) -> None:
        self._dropped: Counter[str] = Counter()
        self._events: deque[Event] = deque()
        self.has_events: Callable[[], int] = self._events.__len__
        self._timers = Timers()
        self._now = float("-inf")

    @property
    def dropped(self) -> Counter[str]:
        """How many inputs were dropped, by reason. A composition adds up its parts, as `layer-reason`."""
        return self._dropped

    def _clamp(self, now: float) -> float:
        """Return `now`, never earlier than an earlier call said (law 10).

        Every public method with `now` calls it, or does the same where each message passes, or leaves it to the machine
        that it hands its argument to.
        """
        if now > self._now:
            self._now = now
        return self._now

    def _emit_bounded(self, event: Event, limit: int, reason: str = "event-queue-full") -> None:
        """Report an event; if `limit` of them wait already, which nobody takes, the oldest goes and is counted."""
        if len(self._events) >= limit:
            self._events.popleft()
            self._dropped[reason] += 1
        self._events.append(event)

    @abstractmethod
    def receive_datagram(self, datagram: In, now: float) -> None:
        """Take one datagram from the network. Never raises; what is unusable is counted in `dropped`."""

    @abstractmethod
    def handle_timer(self, now: float) -> None:
        """Do what is due at `now`. Harmless when nothing is."""

    @abstractmethod
    def datagrams_to_send(self, now: float) -> list[Out]:
        """Return what must go out now, in order, and forget it. Datagrams are built here, at drain time."""

    @abstractmethod
    def close(self, now: float) -> None:
        """Begin to close in an orderly way; a deadline of the machine's own bounds how long that takes. Idempotent."""

    def next_event(self) -> Event | None:
        """Return the oldest event not yet taken, or None."""
        return self._events.popleft() if self._events else None

    def next_timer(self) -> float | None:
        """Return when `handle_timer` wants to be called, or None. Pure."""
        return self._timers.next_deadline()


def check_seconds(name: str, value: float) -> float:
    """Return `value` if it is a usable, positive duration in seconds.

    Raises:
        LocalError: If it is not.
    """
    if not 0 < value < float("inf"):
        raise LocalError(f"{name} must be a positive number of seconds, not {value!r}")
    return value
