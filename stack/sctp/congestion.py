"""Congestion control (RFC 9260 section 7.2), as one object that can be replaced.

Who brings another algorithm implements `CongestionControl` and gives it to `Association` through `Config`.
"""

from typing import Final, Protocol

INITIAL_PACKETS: Final = 10
"""Deviates: RFC 9260 section 7.2.1 says min(4*PMDCS, max(2*PMDCS, 4404)); ten packets is what RFC 6928 gave TCP and
what browsers do, so that a data channel's first message does not wait for round trips."""

MINIMUM_PACKETS: Final = 4  # RFC 9260 section 7.2.3: ssthresh = max(cwnd / 2, 4 * PMDCS)


class CongestionControl(Protocol):
    """What `Outbound` asks of a congestion controller. All sizes are bytes.

    Attributes:
        cwnd: Congestion window.
        ssthresh: Slow start threshold.
        in_recovery: Whether fast recovery is on.
    """

    cwnd: int
    ssthresh: int
    in_recovery: bool

    def on_acknowledged(self, acknowledged: int, cumulative_tsn: int, now: float, *, limited: bool) -> None:
        """Take that `acknowledged` bytes left the network and the cumulative TSN advanced to `cumulative_tsn`.

        `limited` tells whether the window was what kept the sender from sending more.
        """
        ...

    def on_delivered(
        self, size: int, rtt: float | None, newest: int, next_packet: int, now: float, *, limited: bool
    ) -> None:
        """Take that a SACK, whether it advanced the cumulative TSN or not, acknowledged `size` bytes more.

        `rtt` is the round trip that it measured, seconds, if any; `newest` the highest number of a packet known to have
        arrived; `next_packet` the one that is sent next. Called before `on_lost` and `on_acknowledged` for that SACK.
        """
        ...

    def on_lost(self, packet: int, next_packet: int, highest_tsn: int, now: float, size: int = 0) -> None:
        """Take that `size` bytes were lost, packet number `packet` last.

        `next_packet` and `highest_tsn` are the state of the sender.
        """
        ...

    def on_spurious(self) -> None:
        """Take that what `on_lost` told of last was late and not lost."""
        ...

    def on_timeout(self, now: float) -> None:
        """Take that T3-rtx expired."""
        ...

    def on_idle(self, timeouts: int) -> None:
        """Take that nothing was sent for this many RTOs."""
        ...

    def on_packet_size(self, size: int) -> None:
        """Take that full packets carry `size` bytes of user data from now on."""
        ...


class Reno:
    """Slow start, congestion avoidance and fast recovery with byte counting.

    Args:
        packet_size: User data of a full packet (PMDCS), bytes.

    Source: RFC 9260 section 7.2.
    """

    __slots__ = ("_partial", "_pmdcs", "_recovery_exit", "_recovery_packet", "_undo", "cwnd", "in_recovery", "ssthresh")

    def __init__(self, packet_size: int) -> None:
        self._pmdcs = packet_size
        self._partial = 0  # partial_bytes_acked
        self._recovery_exit = 0
        self._recovery_packet = -1
        self._undo: tuple[int, int] | None = None  # cwnd and ssthresh before this recovery
        self.cwnd = INITIAL_PACKETS * packet_size
        self.ssthresh = 1 << 30
        self.in_recovery = False

    def on_acknowledged(self, acknowledged: int, cumulative_tsn: int, now: float, *, limited: bool) -> None:  # noqa: ARG002  others use the time
        """Grow the window, or leave fast recovery.

        Source: RFC 9260 section 7.2.1 and section 7.2.2.
        """
        if self.in_recovery:
            if cumulative_tsn >= self._recovery_exit:
                self.in_recovery = False
                self._partial = 0
                self._undo = None
            return
        if not limited:
            return
        if self.cwnd <= self.ssthresh:
            # Deviates: section 7.2.1 adds at most one PMDCS per SACK. A receiver that batches sends one SACK for tens
            # of packets; counting all bytes (RFC 3465 without its limit) keeps slow start doubling per round trip.
            self.cwnd += acknowledged
            return
        self._partial += acknowledged
        if self._partial >= self.cwnd:
            self._partial -= self.cwnd
            self.cwnd += self._pmdcs

    def on_delivered(
        self, size: int, rtt: float | None, newest: int, next_packet: int, now: float, *, limited: bool
    ) -> None:
        """Nothing: this controller counts what is acknowledged cumulatively, and knows no delay."""

    def on_lost(self, packet: int, next_packet: int, highest_tsn: int, now: float, size: int = 0) -> None:  # noqa: ARG002  others use these
        """Halve the window, once per flight.

        Source: RFC 9260 section 7.2.3 and section 7.2.4.
        """
        if packet < self._recovery_packet:
            return
        self._recovery_packet = next_packet
        self._recovery_exit = highest_tsn
        self.in_recovery = True
        self._undo = self.cwnd, self.ssthresh
        self.ssthresh = max(self.cwnd // 2, MINIMUM_PACKETS * self._pmdcs)
        self.cwnd = self.ssthresh
        self._partial = 0

    def on_spurious(self) -> None:
        """Take the last reduction back.

        Source: RFC 4015 section 3.
        """
        if self._undo is not None:
            self.cwnd, self.ssthresh = self._undo
            self._undo = None
            self.in_recovery = False

    def on_timeout(self, now: float) -> None:  # noqa: ARG002  others use the time
        """Start over from one packet.

        Source: RFC 9260 section 7.2.3.
        """
        self.ssthresh = max(self.cwnd // 2, MINIMUM_PACKETS * self._pmdcs)
        self.cwnd = self._pmdcs
        self.in_recovery = False
        self._undo = None
        self._partial = 0

    def on_idle(self, timeouts: int) -> None:
        """Halve the window once per idle RTO, since what it knows of the path grows old.

        Source: RFC 9260 section 7.2.1.
        """
        floor = min(self.cwnd, MINIMUM_PACKETS * self._pmdcs)
        self.cwnd = max(self.cwnd >> min(timeouts, 32), floor)

    def on_packet_size(self, size: int) -> None:
        """Count in packets of `size` bytes of user data from now on."""
        self._pmdcs = size
