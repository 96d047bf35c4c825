"""Which packets are missing, and when to ask for them again (RFC 4585 section 6.2.1)."""

from dataclasses import dataclass

MAX_MISSING = 250  # their NACK fits one datagram (1 kB), and a longer gap needs a keyframe anyway
MAX_REQUESTS = 10  # per packet; then it is lost, or the sender has forgotten it
ENOUGH_REQUESTS = 3  # before a packet is given up: at 5 % of loss each way 1 in 1000 has no answer to any of them
REORDERING_DELAY = 0.01  # seconds before the first request: reordering is rarely longer on one path
MAX_REORDERING_DELAY = 0.05  # seconds; where reordering is longer, needless requests cost less than waiting
REORDERING_DECAY = 0.05  # of the way back to REORDERING_DELAY, per packet that was missing and came
MIN_REPEAT_INTERVAL = 0.02  # seconds; an RTT below this says little about the next one
REPEAT_FACTOR = 1.25
"""Of the round trip between requests: libwebrtc ignores one that comes within a round trip, as it knows it, of its last
answer. At exactly one of ours every second request was lost on Chromium, and repair with it."""


@dataclass(slots=True)
class _Missing:
    since: float
    due: float
    expires: float
    useless: float
    requests: int = 0


class MissingPackets:
    """The bounded list of packets that have not arrived, by extended sequence number. Add in ascending order.

    Attributes:
        tolerance: Seconds before a packet is asked for: a little more than reordering took lately.
    """

    __slots__ = ("_deadline", "_missing", "_stale", "tolerance")

    def __init__(self) -> None:
        self._missing: dict[int, _Missing] = {}
        self._deadline: float | None = None
        self._stale = False
        self.tolerance = REORDERING_DELAY

    def __len__(self) -> int:
        return len(self._missing)

    def __contains__(self, extended: int) -> bool:
        return extended in self._missing

    def add(self, extended: int, now: float, lifetime: float, longest: float = 0.0) -> None:
        """Note that a packet is missing; the oldest is forgotten when there are too many.

        Args:
            extended: Extended sequence number.
            now: Seconds.
            lifetime: Seconds until it is given up.
            longest: The same if by then it was not asked for `ENOUGH_REQUESTS` times.
        """
        if len(self._missing) >= MAX_MISSING:
            self._missing.pop(next(iter(self._missing)))
        self._missing[extended] = _Missing(now, now + self.tolerance, now + lifetime, now + max(lifetime, longest))
        self._stale = True

    def remove(self, extended: int) -> None:
        """Note that a packet arrived."""
        if self._missing.pop(extended, None) is not None:
            self._stale = True

    def overtaken(self, extended: int, now: float) -> None:
        """Note that a packet arrived by itself, not as a retransmission: others had overtaken it."""
        entry = self._missing.pop(extended, None)
        if entry is None:
            return
        self._stale = True
        late = min((now - entry.since) * 1.25, MAX_REORDERING_DELAY)
        calmer = self.tolerance - (self.tolerance - REORDERING_DELAY) * REORDERING_DECAY
        self.tolerance = max(late, calmer, REORDERING_DELAY)

    def remove_before(self, extended: int) -> None:
        """Forget what lies before `extended`; entries are in ascending order, because gaps appear at the end."""
        missing = self._missing
        while missing and (first := next(iter(missing))) < extended:
            del missing[first]
            self._stale = True

    def clear(self) -> None:
        """Forget everything."""
        self._missing.clear()
        self._deadline, self._stale = None, False

    def deadline(self) -> float | None:
        """Return when the next request is due, or None."""
        if self._stale:
            self._deadline = min((entry.due for entry in self._missing.values()), default=None)
            self._stale = False
        return self._deadline

    def hope(self, extended: int) -> float | None:
        """Return until when an answer may be on its way; None after more than `ENOUGH_REQUESTS` requests.

        A process that had to wait for its processor has asked less often than the time that went by says.
        """
        entry = self._missing.get(extended)
        return min(entry.due, entry.useless) if entry is not None and entry.requests <= ENOUGH_REQUESTS else None

    def due(self, now: float, rtt: float) -> list[int]:
        """Return what to ask for at `now`, in order, and schedule the repetitions; forget what is hopeless."""
        repeat = now + max(rtt * REPEAT_FACTOR, MIN_REPEAT_INTERVAL)
        wanted = []
        for number, entry in list(self._missing.items()):
            if entry.due > now:
                continue
            if now >= entry.useless or entry.requests >= (MAX_REQUESTS if now < entry.expires else ENOUGH_REQUESTS):
                del self._missing[number]
                continue
            entry.requests += 1
            entry.due = repeat
            wanted.append(number)
        self._stale = True
        return sorted(wanted)
