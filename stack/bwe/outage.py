"""Tells losses of a moment in which nothing arrived from those of a path that is full.

# Deviates: today's libwebrtc takes them all for losses of its rate: after 0.3 s of a dead radio at 6 Mbit/s it would
# send 1.5 Mbit/s, and be back after five seconds. Sending less would have lost them as well.
"""

MIN_LOST = 3  # in a row; fewer cost the estimate little
MIN_GAP = 0.040  # seconds without an arrival: more than frames and jitter leave
SHARE = 0.8  # of the time in which they were sent: a full queue goes on delivering, so that what follows comes sooner
LONGEST = 1.0  # seconds from the first loss; after that it is the path as it now is
PAUSE = 5.0  # seconds from one to the next: more often, a policer may let bursts through and drop the rest


class Outages:
    """Looks at every run of losses together with the arrivals around it."""

    __slots__ = ("_began", "_received", "_sent")

    def __init__(self) -> None:
        self._sent = self._received = 0.0
        self._began = float("-inf")

    def arrived(self, sent: float, received: float) -> None:
        """Take a packet that has arrived: the last of a report, and the one before a run of losses.

        Args:
            sent: Seconds of our clock.
            received: Seconds of the receiver's clock.
        """
        self._sent, self._received = sent, received

    def explains(self, lost: int, sent: float, received: float) -> bool:
        """Tell whether packets were lost because for a moment nothing got through.

        Args:
            lost: Packets in a row.
            sent: When the first one after them was sent, seconds of our clock.
            received: When it arrived, seconds of the receiver's clock.
        """
        begin, gap = self._sent, sent - self._sent
        if lost < MIN_LOST or gap < MIN_GAP or received - self._received < SHARE * gap:
            return False
        if begin - self._began >= PAUSE:
            self._began = begin
        return sent - self._began <= LONGEST
