"""How soon a path is noticed to be dark: nothing comes back although something was sent.

There are two signs: a consent check that is not answered in time, and data that leaves while nothing arrives. Either
starts probing: the selected pair first, a little later the spare ones too. What answers decides. When the other side
uses another pair meanwhile, it may have moved: then less silence is enough, and the spare pairs are probed at once.
"""

from typing import Final

from ..core import Timers

SILENCE: Final = "silence"
UNANSWERED: Final = "unanswered"
PROBE: Final = "probe"
OUTAGE: Final = "outage"

# Silence of one-way media is broken by RTCP each second or so only: probing must stay cheap, and a switch within a
# second of darkness leaves no more time than this at a round-trip time of 100 ms.
_SILENCE_RTTS: Final = 3
_SILENCE_MIN: Final = 0.3
_ANSWER_RTTS: Final = 2
_ANSWER_MIN: Final = 0.25
_DARK_RTTS: Final = 2  # of probing without an answer: three probes at least were lost by then
_DARK_MIN: Final = 0.2
_HINTED_SILENCE_MIN: Final = 0.15  # the same when the other side uses another pair
_HINTED_DARK_RTTS: Final = 1.5
_HINTED_DARK_MIN: Final = 0.1
_OUTAGE_RTTS: Final = 6  # of silence, in which all pairs were probed several times
_OUTAGE_MIN: Final = 2.0  # less is a moment in a tunnel or at a cell's edge, for which nobody should signal
_FIRST_RTTS: Final = 1.2  # after the first probe, which mostly finds that all is well
_PROBE_MIN: Final = 0.05  # between the others; half a round trip where that is more
_PROBE_MAX: Final = 1.0
_QUICK_PROBES: Final = 4  # the interval doubles afterwards
_SPARES_FROM: Final = 2  # the probe with which the spare pairs are asked too
_UNKNOWN_RTT: Final = 0.1


class Liveness:
    """Watches the selected pair.

    Args:
        timers: Of the machine; the names above are used.

    Attributes:
        suspected_at: When probing began, None while all is well.
        waiting_since: When data left after which nothing has been heard yet.
        watched: Whether the timer `SILENCE` runs.
        asked_at: When the last consent check left.
    """

    __slots__ = (
        "_by_silence",
        "_hinted",
        "_hinted_for",
        "_probes",
        "_timers",
        "asked_at",
        "suspected_at",
        "waiting_since",
        "watched",
    )

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self.suspected_at: float | None = None
        self.waiting_since: float | None = None
        self.watched = False
        self.asked_at = float("-inf")
        self._by_silence = False
        self._hinted = False
        self._hinted_for: float | None = None  # the silence, by its beginning, in which the other pair was used
        self._probes = 0

    def sent(self, now: float, rtt: float | None) -> None:
        """Take note that data leaves, after which nothing was sent before an answer."""
        self.waiting_since = now
        if not self.watched:
            self.watched = True
            self._timers.set_default(SILENCE, now + _window(rtt, _SILENCE_RTTS, _SILENCE_MIN))

    def asked(self, now: float, rtt: float | None) -> None:
        """Take note that a consent check leaves."""
        if self.suspected_at is None:
            self.asked_at = now
            self._timers.set_default(UNANSWERED, now + _window(rtt, _ANSWER_RTTS, _ANSWER_MIN))

    def is_silent(self, now: float, rtt: float | None) -> bool:
        """Handle the timer `SILENCE`: tell whether nothing was heard for too long; else wait on if data was sent."""
        self.watched = False
        if self.waiting_since is None:
            return False
        minimum = _HINTED_SILENCE_MIN if self._hinted_for == self.waiting_since else _SILENCE_MIN
        due = self.waiting_since + _window(rtt, _SILENCE_RTTS, minimum)
        if now >= due:
            return True
        self._timers.set(SILENCE, due)
        self.watched = True
        return False

    def hint(self, now: float, rtt: float | None) -> bool:
        """Take note that the other side uses another pair; tell whether the selected one was silent for long enough."""
        if self.suspected_at is not None:
            self._hinted = True
            return False
        if self.waiting_since is None:
            return False
        self._hinted_for = self.waiting_since
        return self.is_silent(now, rtt)

    def suspect(self, now: float, since: float, rtt: float | None, *, by_silence: bool) -> None:
        """Begin to probe; `since` is when something left that was not answered."""
        self._hinted = self._hinted_for is not None and self._hinted_for == self.waiting_since
        self.suspected_at = now
        self._by_silence = by_silence
        self._probes = 0
        self._timers.cancel(UNANSWERED)
        probed = now + _window(rtt, _DARK_RTTS, _DARK_MIN)  # timers may be late: nothing is told without a try
        self._timers.set(OUTAGE, max(probed, since + _window(rtt, _OUTAGE_RTTS, _OUTAGE_MIN)))

    def probed(self, now: float, rtt: float | None) -> bool:
        """Take note that the selected pair is probed now; tell whether the spare ones are to be probed too."""
        self._probes += 1
        rtt = rtt or _UNKNOWN_RTT
        interval = max(_PROBE_MIN, rtt * _FIRST_RTTS if self._probes == 1 else rtt / 2)
        interval = min(interval * 2 ** max(0, self._probes - _QUICK_PROBES), max(interval, _PROBE_MAX))
        self._timers.set(PROBE, now + interval)
        return self._hinted or self._probes > _SPARES_FROM

    def is_dark(self, now: float, rtt: float | None) -> bool:
        """Tell whether enough probes of the selected pair have found nobody."""
        if self.suspected_at is None:
            return False
        factor, minimum = (_HINTED_DARK_RTTS, _HINTED_DARK_MIN) if self._hinted else (_DARK_RTTS, _DARK_MIN)
        return now - self.suspected_at >= _window(rtt, factor, minimum)

    def heard(self) -> None:
        """Take note that something has arrived on the selected pair: silence is over, not the lack of answers."""
        self.waiting_since = None
        if self.suspected_at is not None and self._by_silence:
            self.calm()

    def calm(self) -> None:
        """Take note that the selected pair has answered, or that another one is selected."""
        self.suspected_at = self.waiting_since = self._hinted_for = None
        self.watched = False
        for name in (SILENCE, UNANSWERED, PROBE, OUTAGE):
            self._timers.cancel(name)


def _window(rtt: float | None, factor: float, minimum: float) -> float:
    return max(minimum, factor * (rtt or _UNKNOWN_RTT))
