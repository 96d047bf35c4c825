"""Two machines joined by a simulated link, in virtual time.

A `Link` moves what each machine sends to the other one with delay, loss, duplication, reordering and a rate limit,
calls timers when they are due, and collects events. Everything is decided by one seed.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..core import Datagram, DropPacket, Machine
from .conditions import Conditions, Pipe

MAX_STEPS_AT_ONE_INSTANT = 10_000  # more than that without time passing is a livelock, not progress


class LivelockError(RuntimeError):
    """The machines kept each other busy without time passing."""


@dataclass(slots=True)
class _Direction:
    pipe: Pipe
    sent: int = 0
    lost: int = 0
    events: list[Any] = field(default_factory=list)


class Link:
    """Joins machine `a` to machine `b`.

    Args:
        a: One machine; its input and output are bytes or `Datagram`.
        b: The other one.
        conditions: Applied to both directions; `back` overrides the direction from b to a.
        back: See `conditions`.
        seed: Decides every random choice of the link.
        tamper: Called as `tamper(sender, index, data)` for each datagram, sender 0 for a and 1 for b, index counted
            from 0 per sender; returns the list of payloads that go on instead (an empty list loses it).
        start: Virtual time at the beginning, seconds.

    Attributes:
        now: Virtual time, seconds.
        events: Two lists, what a and b have reported.
        trace: `(time, sender, bytes)` of everything sent, when `keep_trace` was set.
    """

    def __init__(
        self,
        a: Machine[Any, Any, Any],
        b: Machine[Any, Any, Any],
        conditions: Conditions | None = None,
        *,
        back: Conditions | None = None,
        seed: int = 0,
        tamper: Callable[[int, int, bytes], list[bytes]] | None = None,
        start: float = 1000.0,
        keep_trace: bool = False,
    ) -> None:
        conditions = conditions or Conditions()
        self.machines = (a, b)
        self.now = start
        self.trace: list[tuple[float, int, bytes]] = []
        self._keep_trace = keep_trace
        self._directions = (_Direction(Pipe(conditions)), _Direction(Pipe(back or conditions)))
        self._random = random.Random(seed)
        self._tamper = tamper
        self._in_flight: list[tuple[float, int, int, Any]] = []
        self._order = 0

    @property
    def events(self) -> tuple[list[Any], list[Any]]:
        """What a and b have reported so far."""
        return self._directions[0].events, self._directions[1].events

    @property
    def lost(self) -> int:
        """Datagrams lost so far, both ways."""
        return self._directions[0].lost + self._directions[1].lost

    def step(self) -> bool:
        """Drain both machines, then advance to the next arrival or timer. Return False when nothing is left to do."""
        self.drain()
        times = [t for machine in self.machines if (t := machine.next_timer()) is not None]
        if self._in_flight:
            times.append(self._in_flight[0][0])
        if not times:
            return False
        self.now = max(self.now, min(times))
        while self._in_flight and self._in_flight[0][0] <= self.now:
            _, _, receiver, item = heapq.heappop(self._in_flight)
            self.machines[receiver].receive_datagram(item, self.now)
        for machine in self.machines:
            due = machine.next_timer()
            if due is not None and due <= self.now:
                machine.handle_timer(self.now)
        self.drain()
        return True

    def run(self, until: Callable[[], bool] | None = None, *, seconds: float = 60.0) -> bool:
        """Step until `until()` holds, nothing is left to do, or `seconds` of virtual time have passed.

        Returns:
            Whether `until()` holds at the end (True when no condition was given).

        Raises:
            LivelockError: If the machines stay busy without time passing.
        """
        end = self.now + seconds
        steps, instant = 0, self.now
        self.drain()
        while until is None or not until():
            times = [t for machine in self.machines if (t := machine.next_timer()) is not None]
            if self._in_flight:
                times.append(self._in_flight[0][0])
            if not times or min(times) > end:
                self.now = end
                break
            self.step()
            steps = steps + 1 if self.now == instant else 0
            instant = self.now
            if steps > MAX_STEPS_AT_ONE_INSTANT:
                raise LivelockError(f"{steps} steps at {self.now}")
        return True if until is None else until()

    def drain(self) -> None:
        """Move what the machines want to send onto the link, and collect their events."""
        for sender, machine in enumerate(self.machines):
            for item in machine.datagrams_to_send(self.now):
                self._send(sender, item)
            events = self._directions[sender].events
            while (event := machine.next_event()) is not None:
                events.append(event)

    def _send(self, sender: int, item: Any) -> None:
        direction = self._directions[sender]
        index = direction.sent
        direction.sent += 1
        data = item.data if isinstance(item, Datagram) else item
        if self._keep_trace:
            self.trace.append((self.now, sender, data))
        payloads = [data] if self._tamper is None else self._tamper(sender, index, data)
        if not payloads:
            direction.lost += 1
        for payload in payloads:
            flipped = Datagram(payload, item.local, item.remote) if isinstance(item, Datagram) else payload
            self._carry(sender, flipped, len(payload))

    def _carry(self, sender: int, item: Any, size: int) -> None:
        direction = self._directions[sender]
        try:
            arrivals = direction.pipe.carry(size, self.now, self._random)
        except DropPacket:
            direction.lost += 1
            return
        for arrives in arrivals:
            self._order += 1
            heapq.heappush(self._in_flight, (arrives, self._order, 1 - sender, item))
