"""The rate that losses allow, in two ways.

With feedback on each packet losses are told apart: those that the path makes at any rate, and those that come of
sending more than it carries. Of a few candidate rates the likeliest is taken, given what was lost at which rate; that
is the way of today's libwebrtc. With fractions from receiver reports only, the rule of draft-ietf-rmcat-gcc section 6.
"""

from collections import deque
from math import log
from typing import NamedTuple

OBSERVATION_TIME = 0.25  # seconds of sending in one observation, as libwebrtc does
MAX_OBSERVATIONS = 20  # 5 s: what was lost before says nothing of now
MIN_OBSERVATIONS = 3
RECENCY = 0.9  # weight of an observation relative to the next one
INITIAL_INHERENT_LOSS = 0.01
MIN_INHERENT_LOSS = 1e-3
INHERENT_LOSS_OFFSET = 0.05  # loss beyond this is inherent the less, the higher the rate:
INHERENT_LOSS_BALANCE = 75_000.0  # bit/s for each unit of loss beyond; libwebrtc's
FACTORS = (1.02, 1.0, 0.95)  # of the rate: the candidates
INCREASE_FACTOR = 1.3  # of what arrives: the rate may not rise beyond it
HOLD = 0.3  # seconds after a decrease without increase
LINEAR_BIAS, LOG_BIAS = 0.0002, 0.02  # per kbit/s: of two equally likely rates the higher
NEWTON_STEP = 0.75
TINY = 1e-6

LOW_LOSS, HIGH_LOSS = 0.02, 0.1  # draft-ietf-rmcat-gcc section 6
REPORT_INCREASE = 1.05
REPORT_DECREASE_INTERVAL = 0.3  # seconds, and a round trip: until a decrease shows in a report


class Observation(NamedTuple):
    """What became of the packets of a short time."""

    packets: int
    lost: int
    rate: float  # bit/s that they were sent at


class LossController:
    """Likeliest rate by losses of single packets.

    Attributes:
        bitrate: Bit/s; None while losses do not limit.
        average_loss: Of the observations, the later the more; 0..1.
    """

    __slots__ = (
        "_begin", "_bytes", "_decreased_at", "_inherent", "_last", "_lost", "_observations", "_packets",
        "average_loss", "bitrate",
    )  # fmt: skip

    def __init__(self) -> None:
        self.bitrate: float | None = None
        self.average_loss = 0.0
        self._inherent = INITIAL_INHERENT_LOSS
        self._observations: deque[Observation] = deque(maxlen=MAX_OBSERVATIONS)
        self._decreased_at = float("-inf")
        self._begin: float | None = None
        self._last = 0.0
        self._packets = self._lost = self._bytes = 0

    def feedback(self, packets: int, lost: int, size: int, first_sent: float, last_sent: float) -> bool:
        """Take the packets of one report.

        Args:
            packets: Reported on.
            lost: Of them.
            size: Of all of them, bytes.
            first_sent: When the first was sent, seconds.
            last_sent: When the last was sent, seconds.

        Returns:
            Whether an observation is complete and `update` has something to say.
        """
        if self._begin is None:
            self._begin = first_sent
        self._last = max(self._last, last_sent)
        self._packets += packets
        self._lost += lost
        self._bytes += size
        duration = self._last - self._begin
        if duration < OBSERVATION_TIME:
            return False
        self._observations.append(Observation(self._packets, self._lost, self._bytes * 8 / duration))
        self._begin = self._last
        self._packets = self._lost = self._bytes = 0
        return True

    def update(self, ceiling: float, acknowledged: float | None, now: float) -> None:
        """Choose among rates, when an observation was added.

        Args:
            ceiling: What the delay allows, bit/s.
            acknowledged: What arrives, bit/s.
            now: Seconds.
        """
        observations = self._observations
        lost = packets = 0.0
        weight = 1.0
        for observation in reversed(observations):
            lost += weight * observation.lost
            packets += weight * observation.packets
            weight *= RECENCY
        self.average_loss = lost / packets if packets else 0.0
        if len(observations) < MIN_OBSERVATIONS:
            return
        if not lost:
            self.bitrate = None
            self._inherent = max(self._inherent * RECENCY, MIN_INHERENT_LOSS)
            return
        current = ceiling if self.bitrate is None else min(self.bitrate, ceiling)
        candidates = {min(current * factor, ceiling) for factor in FACTORS}
        if acknowledged is not None:
            candidates.add(min(acknowledged, ceiling))
            highest = max(current, INCREASE_FACTOR * acknowledged)
            candidates.add(min(ceiling, highest))
            candidates = {min(candidate, highest) for candidate in candidates}
        if now - self._decreased_at < HOLD:
            candidates = {min(candidate, current) for candidate in candidates}
        score, inherent, best = max((*self._score(candidate), candidate) for candidate in candidates)
        if score > float("-inf"):
            self._inherent = inherent
        best = min(best, self._bound())
        if best < current:
            self._decreased_at = now
        self.bitrate = best if best < ceiling else None

    def _bound(self) -> float:
        """The rate at which so much loss may still be the path's own."""
        if self.average_loss <= INHERENT_LOSS_OFFSET:
            return float("inf")
        return INHERENT_LOSS_BALANCE / (self.average_loss - INHERENT_LOSS_OFFSET)

    def _score(self, bandwidth: float) -> tuple[float, float]:
        """Return the log likelihood of what was observed if the path carries `bandwidth`, and its inherent loss."""
        inherent = self._refine(self._inherent, bandwidth)
        kbps = bandwidth / 1000.0
        bias = LINEAR_BIAS * kbps + LOG_BIAS * log(1.0 + kbps)
        score, weight = 0.0, 1.0
        for packets, lost, rate in reversed(self._observations):
            loss = inherent + (1.0 - inherent) * (rate - bandwidth) / rate if rate > bandwidth else inherent
            loss = min(max(loss, TINY), 1.0 - TINY)
            score += weight * (lost * log(loss) + (packets - lost) * log(1.0 - loss) + bias * packets)
            weight *= RECENCY
        return score, inherent

    def _refine(self, inherent: float, bandwidth: float) -> float:
        """One step of Newton towards the likeliest inherent loss."""
        first = second = 0.0
        weight = 1.0
        for packets, lost, rate in reversed(self._observations):
            loss = inherent + (1.0 - inherent) * (rate - bandwidth) / rate if rate > bandwidth else inherent
            loss = min(max(loss, TINY), 1.0 - TINY)
            received = packets - lost
            first += weight * (lost / loss - received / (1.0 - loss))
            second -= weight * (lost / (loss * loss) + received / ((1.0 - loss) * (1.0 - loss)))
            weight *= RECENCY
        if second < 0:
            inherent -= NEWTON_STEP * first / second
        highest = INHERENT_LOSS_OFFSET + INHERENT_LOSS_BALANCE / max(bandwidth, 1.0)
        return min(max(inherent, MIN_INHERENT_LOSS), max(highest, MIN_INHERENT_LOSS), 1.0 - TINY)


class ReportedLoss:
    """Rate by the fraction that a receiver report says was lost: draft-ietf-rmcat-gcc section 6."""

    __slots__ = ("_decreased_at",)

    def __init__(self) -> None:
        self._decreased_at = float("-inf")

    def update(self, bitrate: float, fraction_lost: float, rtt: float, now: float) -> float:
        """Return the next rate.

        Args:
            bitrate: The rate now, bit/s.
            fraction_lost: 0..1.
            rtt: Seconds.
            now: Seconds.
        """
        if fraction_lost < LOW_LOSS:
            return bitrate * REPORT_INCREASE
        if fraction_lost <= HIGH_LOSS or now - self._decreased_at < REPORT_DECREASE_INTERVAL + rtt:
            return bitrate
        self._decreased_at = now
        return bitrate * (1.0 - 0.5 * fraction_lost)
