"""Finds out from arrival times whether a queue is growing (draft-ietf-rmcat-gcc section 5).

Packets sent together are a group. From group to group the difference between how far apart they arrived and how far
apart they were sent is the change of the delay. A line is fitted to the sum of these changes; its slope, amplified, is
compared with a threshold that adapts to what the path does anyhow, so that flows which fill queues do not starve us.
"""

from collections import deque
from operator import mul

from .events import Usage

GROUP_LENGTH = 0.005  # seconds of sending that make one group: draft-ietf-rmcat-gcc section 5.2
MAX_BURST = 0.1  # seconds; a longer group would hide a growing queue
MAX_GAP = 3.0  # seconds between groups in either clock; after that the delays have nothing to do with each other
MAX_REORDERED_GROUPS = 3  # in a row: then the other clock has jumped back
WINDOW = 20  # groups in the regression, as libwebrtc does
SMOOTHING = 0.9  # weight of the past in the smoothed delay, as libwebrtc does
GAIN = 4.0  # of the slope, as libwebrtc does
MAX_DELTAS = 60  # groups that the slope is multiplied with at most, as libwebrtc does
REBASE_AFTER = 1000.0  # seconds; sums of squares of larger times would lose digits

INITIAL_THRESHOLD = 12.5
MIN_THRESHOLD, MAX_THRESHOLD = 6.0, 600.0
K_UP, K_DOWN = 0.0087, 0.039  # per ms: up slowly, or the threshold would outrun the delay; libwebrtc's
MAX_ADAPT_OFFSET = 15.0  # beyond the threshold: a spike of a route change must not raise it
MAX_ADAPT_TIME = 100.0  # ms
OVERUSE_TIME = 0.010  # seconds that the trend must stay above: draft-ietf-rmcat-gcc section 5.4


class DelayDetector:
    """Judges the path by the delay of packets, given in the order in which they were sent.

    Attributes:
        usage: The verdict.
        trend: The amplified slope that it was reached by.
        threshold: That it is compared with.
    """

    __slots__ = (
        "_accumulated",
        "_arrived",
        "_delays",
        "_deltas",
        "_first_arrived",
        "_first_sent",
        "_last_update",
        "_origin",
        "_overuse_count",
        "_overuse_time",
        "_previous",
        "_reordered",
        "_sent",
        "_slope",
        "_smoothed",
        "_times",
        "threshold",
        "trend",
        "usage",
    )  # fmt: skip

    def __init__(self) -> None:
        self.threshold = INITIAL_THRESHOLD
        self._times: deque[float] = deque(maxlen=WINDOW)
        self._delays: deque[float] = deque(maxlen=WINDOW)
        self.reset()

    def reset(self) -> None:
        """Begin anew; only the threshold is kept, which says something of the path and not of the moment."""
        self.usage = Usage.NORMAL
        self.trend = 0.0
        self._first_sent: float | None = None
        self._first_arrived = self._sent = self._arrived = 0.0
        self._previous: tuple[float, float] | None = None
        self._reordered = 0
        self._times.clear()
        self._delays.clear()
        self._accumulated = self._smoothed = self._slope = 0.0
        self._deltas = 0
        self._origin: float | None = None
        self._last_update: float | None = None
        self._overuse_time: float | None = None
        self._overuse_count = 0

    def packet(self, sent: float, received: float) -> None:
        """Take one packet.

        Args:
            sent: Seconds of the sender's clock.
            received: Seconds of the receiver's clock.
        """
        first = self._first_sent
        if first is None:
            self._begin_group(sent, received)
            return
        if sent < first:
            return  # of an earlier group; what it had to say is said
        arrival = received - self._arrived
        if sent - first <= GROUP_LENGTH or self._is_burst(sent - self._sent, arrival, received):
            self._sent = max(self._sent, sent)
            self._arrived = max(self._arrived, received)
            return
        if sent - self._sent > MAX_GAP or abs(arrival) > MAX_GAP:
            self.reset()
            self._begin_group(sent, received)
            return
        previous = self._previous
        if previous is not None:
            arrival_delta = self._arrived - previous[1]
            if arrival_delta < 0:
                self._reordered += 1
                if self._reordered >= MAX_REORDERED_GROUPS:
                    self.reset()
                self._begin_group(sent, received)
                return
            self._reordered = 0
            self._group(arrival_delta, self._sent - previous[0], self._arrived)
        self._previous = (self._sent, self._arrived)
        self._begin_group(sent, received)

    def _begin_group(self, sent: float, received: float) -> None:
        self._first_sent = self._sent = sent
        self._first_arrived = self._arrived = received

    def _is_burst(self, send_delta: float, arrival_delta: float, received: float) -> bool:
        """Whether a packet was held up behind its group: it came right after, though sent well after."""
        return (
            arrival_delta < send_delta and arrival_delta <= GROUP_LENGTH and received - self._first_arrived < MAX_BURST
        )

    def _group(self, arrival_delta: float, send_delta: float, arrived: float) -> None:
        if self._origin is None:
            self._origin = arrived
        time = arrived - self._origin
        times, delays = self._times, self._delays
        self._accumulated += arrival_delta - send_delta
        self._smoothed = SMOOTHING * self._smoothed + (1.0 - SMOOTHING) * self._accumulated
        if time > REBASE_AFTER and len(times) == WINDOW:
            shift = times[0]
            self._times = times = deque([at - shift for at in times], WINDOW)
            self._origin += shift
            time -= shift
        times.append(time)
        delays.append(self._smoothed)
        self._deltas += 1
        slope = self._slope
        if len(times) == WINDOW:
            mean_time, mean_delay = sum(times) / WINDOW, sum(delays) / WINDOW
            spread = sum(map(mul, times, times)) - WINDOW * mean_time * mean_time
            if spread > 0:
                slope = (sum(map(mul, times, delays)) - WINDOW * mean_time * mean_delay) / spread
        self._judge(slope, send_delta, arrived)

    def _judge(self, slope: float, send_delta: float, arrived: float) -> None:
        self.trend = trend = min(self._deltas, MAX_DELTAS) * slope * GAIN
        if self._deltas < 2:
            self.usage = Usage.NORMAL
        elif trend > self.threshold:
            self._overuse_time = send_delta / 2 if self._overuse_time is None else self._overuse_time + send_delta
            self._overuse_count += 1
            if self._overuse_time > OVERUSE_TIME and self._overuse_count > 1 and slope >= self._slope:
                self._overuse_time, self._overuse_count = 0.0, 0
                self.usage = Usage.OVERUSE
        else:
            self._overuse_time, self._overuse_count = None, 0
            self.usage = Usage.UNDERUSE if trend < -self.threshold else Usage.NORMAL
        self._slope = slope
        self._adapt(abs(trend), arrived)

    def _adapt(self, trend: float, arrived: float) -> None:
        """Move the threshold towards what the trend is."""
        last = arrived if self._last_update is None else self._last_update
        self._last_update = arrived
        if trend > self.threshold + MAX_ADAPT_OFFSET:
            return
        gain = K_DOWN if trend < self.threshold else K_UP
        elapsed = min((arrived - last) * 1000.0, MAX_ADAPT_TIME)
        threshold = self.threshold + gain * (trend - self.threshold) * elapsed
        self.threshold = min(max(threshold, MIN_THRESHOLD), MAX_THRESHOLD)
