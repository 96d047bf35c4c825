"""How soon a path is noticed to be dark: nothing comes back although something was sent.

There are two signs: a consent check that is not answered in time, and data that leaves while nothing arrives. Either
starts probing: the selected pair first, a little later the spare ones too. What answers decides.
"""

from typing import Final

from ..core import Timers

SILENCE: Final = "silence"
UNANSWERED: Final = "unanswered"
PROBE: Final = "probe"

# Silence of one-way media is broken by RTCP each second or so only: probing must stay cheap, and a switch within a
# second of darkness leaves no more time than this at a round-trip time of 100 ms.
_SILENCE_RTTS: Final = 3
_SILENCE_MIN: Final = 0.3
_ANSWER_RTTS: Final = 2
_ANSWER_MIN: Final = 0.25
_DARK_RTTS: Final = 2  # of probing without an answer: three probes at least were lost by then
_DARK_MIN: Final = 0.2
_FIRST_RTTS: Final = 1.2  # after the first probe, which mostly finds that all is well
_PROBE_MIN: Final = 0.05  # between the others; half a round trip where that is more
_PROBE_MAX: Final = 1.0
_QUICK_PROBES: Final = 4  # the interval doubles afterwards
_SPARES_FROM: Final = 2  # the probe with which the spare pairs are asked too
_UNKNOWN_RTT: Final = 0.1


class Liveness:
    """Watches the selected pair.

    Args:
        timers: Of the machine; the three names above are used.

    Attributes:
        suspected_at: When probing began, None while all is well.
        waiting_since: When data left after which nothing has been heard yet.
    """

    __slots__ = ("_by_silence", "_probes", "_timers", "suspected_at", "waiting_since")

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self.suspected_at: float | None = None
        self.waiting_since: float | None = None
        self._by_silence = False
        self._probes = 0

    def sent(self, now: float, rtt: float | None) -> None:
        """Take note that data leaves, after which nothing was sent before an answer."""
        self.waiting_since = now
        self._timers.set_default(SILENCE, now + _window(rtt, _SILENCE_RTTS, _SILENCE_MIN))

    def asked(self, now: float, rtt: float | None) -> None:
        """Take note that a consent check leaves."""
        if self.suspected_at is None:
            self._timers.set_default(UNANSWERED, now + _window(rtt, _ANSWER_RTTS, _ANSWER_MIN))

    def is_silent(self, now: float, rtt: float | None) -> bool:
        """Handle the timer `SILENCE`: tell whether nothing was heard for too long; else wait on if data was sent."""
        if self.waiting_since is None:
            return False
        due = self.waiting_since + _window(rtt, _SILENCE_RTTS, _SILENCE_MIN)
        if now >= due:
            return True
        self._timers.set(SILENCE, due)
        return False

    def suspect(self, now: float, *, by_silence: bool) -> None:
        """Begin to probe."""
        self.suspected_at = now
        self._by_silence = by_silence
        self._probes = 0
        self._timers.cancel(UNANSWERED)

    def probed(self, now: float, rtt: float | None) -> bool:
        """Take note that the selected pair is probed now; tell whether the spare ones are to be probed too."""
        self._probes += 1
        rtt = rtt or _UNKNOWN_RTT
        interval = max(_PROBE_MIN, rtt * _FIRST_RTTS if self._probes == 1 else rtt / 2)
        interval = min(interval * 2 ** max(0, self._probes - _QUICK_PROBES), max(interval, _PROBE_MAX))
        self._timers.set(PROBE, now + interval)
        return self._probes > _SPARES_FROM

    def is_dark(self, now: float, rtt: float | None) -> bool:
        """Tell whether enough probes of the selected pair have found nobody."""
        return self.suspected_at is not None and now - self.suspected_at >= _window(rtt, _DARK_RTTS, _DARK_MIN)

    def heard(self) -> None:
        """Take note that something has arrived on the selected pair: silence is over, not the lack of answers."""
        self.waiting_since = None
        if self.suspected_at is not None and self._by_silence:
            self.calm()

    def calm(self) -> None:
        """Take note that the selected pair has answered, or that another one is selected."""
        self.suspected_at = self.waiting_since = None
        for name in (SILENCE, UNANSWERED, PROBE):
            self._timers.cancel(name)


def _window(rtt: float | None, factor: float, minimum: float) -> float:
    return max(minimum, factor * (rtt or _UNKNOWN_RTT))
