"""The rate that the delay allows: increase, hold, decrease (draft-ietf-rmcat-gcc section 5.5)."""

from math import ceil, sqrt

from .events import Usage

BETA = 0.85  # of what arrives, after overuse: draft-ietf-rmcat-gcc section 5.5
INCREASE_PER_SECOND = 1.08  # factor while the capacity is not known: draft-ietf-rmcat-gcc section 5.5
MIN_INCREASE = 1000.0  # bit/s per update of a multiplicative increase
MIN_ADDITIVE_INCREASE = 4000.0  # bit/s per second, as libwebrtc does
RESPONSE_TIME = 0.1  # seconds beyond the round trip until an increase shows: draft-ietf-rmcat-gcc section 5.5
FRAMES_PER_SECOND = 30.0  # assumed where the size of a packet is
PACKET_BITS = 1200 * 8.0
HEADROOM_FACTOR, HEADROOM = 1.5, 10_000.0  # a rate may pass what arrives by so much: not tested, so not believed
MIN_DECREASE_INTERVAL = 0.15  # seconds: what arrives is sampled so often; a short path must not decrease more often
MAX_DECREASE_INTERVAL = 0.3  # seconds; between the two the round trip decides
CAPACITY_SMOOTHING = 0.05
MIN_DEVIATION, MAX_DEVIATION = 0.4, 2.5  # normalised variance of the capacity, kbit/s; libwebrtc's
INITIAL_RTT = 0.2  # seconds


class LinkCapacity:
    """What arrived when the path was full: an average, and how far it strays.

    Attributes:
        estimate: Kbit/s; None if not known.
    """

    __slots__ = ("_deviation", "estimate")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget it: the path has changed."""
        self.estimate: float | None = None
        self._deviation = MIN_DEVIATION

    def overuse(self, bitrate: float) -> None:
        """Take what arrived, bit/s, while the path was overused."""
        sample = bitrate / 1000.0
        if self.estimate is None:
            self.estimate = sample
        else:
            self.estimate += CAPACITY_SMOOTHING * (sample - self.estimate)
        error = self.estimate - sample
        normalised = error * error / max(self.estimate, 1.0)
        deviation = (1 - CAPACITY_SMOOTHING) * self._deviation + CAPACITY_SMOOTHING * normalised
        self._deviation = min(max(deviation, MIN_DEVIATION), MAX_DEVIATION)

    def bounds(self) -> tuple[float, float]:
        """Three standard deviations below and above, bit/s."""
        if self.estimate is None:
            return 0.0, float("inf")
        reach = 3.0 * sqrt(self._deviation * self.estimate)
        return max(self.estimate - reach, 0.0) * 1000.0, (self.estimate + reach) * 1000.0


class RateControl:
    """Additive or multiplicative increase, multiplicative decrease.

    Args:
        bitrate: To begin with, bit/s.

    Attributes:
        bitrate: Bit/s; the owner may set it, and keeps it in bounds.
        rtt: Seconds; the owner sets it.
        min_rtt: The lowest lately, seconds; the owner sets it.
        decreased_at: When it was last decreased, seconds.
    """

    __slots__ = ("_capacity", "_increasing", "_updated_at", "bitrate", "decreased_at", "min_rtt", "rtt")

    def __init__(self, bitrate: float) -> None:
        self.bitrate = bitrate
        self.rtt = self.min_rtt = INITIAL_RTT
        self.decreased_at = float("-inf")
        self._capacity = LinkCapacity()
        self._increasing = False
        self._updated_at: float | None = None

    def update(self, usage: Usage, acknowledged: float | None, now: float) -> bool:
        """Take the verdict of the delay.

        Args:
            usage: The verdict.
            acknowledged: What arrives, bit/s; None if not known.
            now: Seconds.

        Returns:
            Whether the bitrate was decreased.
        """
        last, self._updated_at = self._updated_at, now
        if usage == Usage.OVERUSE:
            return self._decrease(acknowledged, now)
        if usage == Usage.UNDERUSE:
            self._increasing = False  # queues drain; let them
            return False
        if not self._increasing:
            self._increasing = True
            return False
        if last is not None:
            self._increase(acknowledged, now - last)
        return False

    def _decrease(self, acknowledged: float | None, now: float) -> bool:
        self._increasing = False
        interval = min(max(self.rtt, MIN_DECREASE_INTERVAL), MAX_DECREASE_INTERVAL)
        fell = acknowledged is not None and acknowledged < self.bitrate / 2
        if now - self.decreased_at < interval and not fell:
            return False
        wanted = BETA * (self.bitrate if acknowledged is None else acknowledged)
        if wanted > self.bitrate and self._capacity.estimate is not None:
            # More arrives than we send on purpose: then the known capacity is the better measure.
            wanted = BETA * self._capacity.estimate * 1000.0
        decreased = wanted < self.bitrate
        self.bitrate = min(self.bitrate, wanted)
        if acknowledged is not None:
            low, _ = self._capacity.bounds()
            if acknowledged < low:
                self._capacity.reset()
            self._capacity.overuse(acknowledged)
        self.decreased_at = now
        return decreased

    def _increase(self, acknowledged: float | None, elapsed: float) -> None:
        if acknowledged is not None and acknowledged > self._capacity.bounds()[1]:
            self._capacity.reset()
        if self._capacity.estimate is None:
            growth = max(self.bitrate * (INCREASE_PER_SECOND ** min(elapsed, 1.0) - 1.0), MIN_INCREASE)
        else:
            growth = self.additive_increase() * min(elapsed, 1.0)
        wanted = self.bitrate + growth
        if acknowledged is not None:
            wanted = min(wanted, HEADROOM_FACTOR * acknowledged + HEADROOM)
        self.bitrate = max(self.bitrate, wanted)

    def additive_increase(self) -> float:
        """Bit/s per second near the capacity: half a packet or so per response time."""
        frame = self.bitrate / FRAMES_PER_SECOND
        packet = frame / ceil(frame / PACKET_BITS) if frame > 0 else PACKET_BITS
        return max(MIN_ADDITIVE_INCREASE, packet / (self.rtt + RESPONSE_TIME))

    def measured(self, bitrate: float, now: float) -> None:
        """Take a bitrate that a probe has measured, bit/s."""
        self.bitrate = bitrate
        self._updated_at = now
        self._capacity.reset()
