"""How much arrives at the other end: the acknowledged bitrate."""

INITIAL_WINDOW = 0.25  # seconds until the first estimate: a start is uneven, but a full path cannot wait
WINDOW = 0.15  # seconds of one sample afterwards, as libwebrtc does
MAX_WINDOW = 1.0  # seconds of one sample where the path, or one end of it, stands still now and then
MAX_SILENCE = 2.0  # seconds without an arrival; what was before says nothing of what is
UNCERTAINTY = 10.0  # how much a sample that differs is distrusted, as libwebrtc does
INITIAL_VARIANCE = 50.0
CHANGE_VARIANCE = 200.0  # added when a change is expected, as libwebrtc does
DRIFT = 5.0  # variance that a sample's time adds: the rate may have changed


class AcknowledgedBitrate:
    """Samples of what arrived, weighed by how much they can be trusted.

    Attributes:
        bitrate: Bit/s; None until enough has arrived.
        sample: The last whole sample alone, bit/s; follows a change at once.
    """

    __slots__ = ("_begin", "_bytes", "_last", "_resumed", "_variance", "bitrate", "sample")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.bitrate: float | None = None
        self.sample: float | None = None
        self._begin: float | None = None
        self._last = 0.0
        self._resumed = float("-inf")  # when the last silence of more than a window ended
        self._bytes = 0
        self._variance = INITIAL_VARIANCE

    def interrupt(self) -> None:
        """Begin the sample anew: for a while nothing could arrive."""
        self._begin = None
        self._bytes = 0

    def expect_change(self) -> None:
        """Trust the next samples more than the past: another rate is about to be sent."""
        self._variance += CHANGE_VARIANCE

    def packet(self, received: float, size: int) -> None:
        """Take one packet of `size` bytes that arrived at `received`, seconds of the receiver's clock."""
        begin = self._begin
        if begin is None:
            self._begin = self._last = received
            return  # what came before the window began is not counted
        if received < begin or received - self._last > MAX_SILENCE:
            if abs(received - self._last) > MAX_SILENCE:
                self._begin, self._bytes, self._last = received, 0, received
            else:
                self._bytes += size
            return
        self._bytes += size
        if received - self._last > WINDOW:
            # A sample that ended here would count the silence and not what it held up, which comes now.
            self._resumed = received
        self._last = max(self._last, received)
        elapsed = received - begin
        window = WINDOW if self.bitrate is not None else INITIAL_WINDOW
        if elapsed >= window and (received - self._resumed >= window or elapsed >= MAX_WINDOW):
            self._take(self._bytes * 8.0 / elapsed)
            self._begin, self._bytes = received, 0

    def _take(self, sample: float) -> None:
        """Weigh a sample against the estimate by their variances, in kbit/s."""
        self.sample = sample
        if self.bitrate is None:
            self.bitrate = sample
            return
        estimate = self.bitrate / 1000.0
        value = sample / 1000.0
        uncertainty = UNCERTAINTY * abs(estimate - value) / max(estimate, 1.0)
        sample_variance = max(uncertainty * uncertainty, 1e-6)
        variance = self._variance + DRIFT
        estimate = (sample_variance * estimate + variance * value) / (sample_variance + variance)
        self._variance = sample_variance * variance / (sample_variance + variance)
        self.bitrate = estimate * 1000.0
