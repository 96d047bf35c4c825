"""Noticing within a fraction of a second that a path went dark, without traffic of our own while all is well.

While we send, something comes back: acknowledgements, reports, media. When nothing did for some round trips, or a
consent check stays unanswered, the selected pair is probed, and the others with it; what answers takes over.
"""

from typing import Final

from ..core import Timers

SILENCE: Final = "silence"
PROBE: Final = "probe"

MINIMUM_SILENCE: Final = 0.3
"""Seconds: receivers may delay acknowledgements by 0.2 s (RFC 9260 section 6.2), and radio links stall for moments."""
MAXIMUM_SILENCE: Final = 1.0
_SILENT_RTTS: Final = 3
MINIMUM_WAIT: Final = 0.25
"""Seconds that the selected pair has for an answer to a probe, at least; the same at most for a new round, doubled."""
MAXIMUM_WAIT: Final = 2.0
_WAIT_RTTS: Final = 2
PROBES: Final = 3
"""Probes on the selected pair in that time: all of them lost by chance is rare on a path that works."""


class Liveness:
    """When to doubt the selected pair, and the timing of the probes.

    Args:
        timers: Of the machine; the two names above are used.

    Attributes:
        heard_at: When something came over the selected pair.
        probing: Whether probes are under way.
        began: When this round of them began.
        first: When the first round began.
    """

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self.heard_at = float("-inf")
        self.probing = False
        self.began = self.first = float("-inf")
        self._silence = MINIMUM_SILENCE
        self._wait = MINIMUM_WAIT
        self._rounds = 0
        self._left = 0
        self._watching = False

    def sent(self, now: float, rtt: float | None) -> None:
        """Take note that data leaves now: something is to come back."""
        if self._watching or self._rounds:
            return
        self._watching = True
        self._silence = min(max(_SILENT_RTTS * (rtt or 0.0), MINIMUM_SILENCE), MAXIMUM_SILENCE)
        self._timers.set(SILENCE, now + self._silence)

    def doubtful(self, now: float) -> bool:
        """Tell, when `SILENCE` is due, whether nothing was heard since data was sent."""
        self._watching = False
        return now - self.heard_at >= self._silence

    def expect(self, now: float, rtt: float | None) -> None:
        """Take note that a consent check leaves now: without an answer probes begin when `PROBE` is due."""
        if not self._rounds:
            self._timers.set_default(PROBE, now + _patience(rtt))

    def begin(self, now: float, rtt: float | None) -> None:
        """Begin a round of probes; each one that nobody answers makes the next one longer."""
        self._wait = min(_patience(rtt) * 2**self._rounds, MAXIMUM_WAIT)
        if not self._rounds:
            self.first = now
        self._rounds += self._wait < MAXIMUM_WAIT or not self._rounds
        self.probing = True
        self.began = now
        self._left = PROBES - 1
        self._timers.set(PROBE, now + self._wait / PROBES)

    def probe_again(self, now: float) -> bool:
        """Tell, when `PROBE` is due in a round, whether the selected pair gets one more probe; if not it is over."""
        self.probing = self._left > 0
        self._left -= 1
        if self.probing:
            self._timers.set(PROBE, now + self._wait / PROBES)
        return self.probing

    def stop(self) -> None:
        """Take note that the selected pair answers, or is another one."""
        self.probing = self._watching = False
        self._rounds = 0
        self._timers.cancel(SILENCE)
        self._timers.cancel(PROBE)


def _patience(rtt: float | None) -> float:
    return min(max(_WAIT_RTTS * (rtt or 0.0), MINIMUM_WAIT), MAXIMUM_WAIT)
