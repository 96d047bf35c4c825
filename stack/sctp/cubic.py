"""CUBIC congestion control (RFC 9438, formerly RFC 8312): the window is a cubic function of the time since a loss."""

from typing import Final

from .congestion import Reno

_C: Final = 0.4  # RFC 9438 section 4.1, packets per second cubed
BETA: Final = 0.7  # RFC 9438 section 4.6
_ALPHA: Final = 3 * (1 - BETA) / (1 + BETA)  # RFC 9438 section 4.3: what makes the Reno-friendly window fair to Reno
_MINIMUM_PACKETS: Final = 4


class Cubic(Reno):
    """Slow start as `Reno`; then growth that depends on time and not on the round trip, and a milder decrease.

    Use it with `Config(congestion=Cubic)`.

    Args:
        packet_size: User data of a full packet (PMDCS), bytes.

    Source: RFC 9438 section 4.
    """

    __slots__ = ("_epoch", "_estimate", "_origin", "_time_to_origin", "_w_max")

    def __init__(self, packet_size: int) -> None:
        super().__init__(packet_size)
        self._w_max = 0.0  # window before the last decrease, packets
        self._epoch: float | None = None  # when this congestion avoidance began
        self._origin = 0.0  # window at which the curve is flat, packets
        self._time_to_origin = 0.0  # K, seconds
        self._estimate = 0.0  # what Reno would have, packets

    def on_acknowledged(self, acknowledged: int, cumulative_tsn: int, now: float, *, limited: bool) -> None:
        """Grow the window towards the curve, or leave fast recovery.

        Deviates: RFC 9438 section 4.2 aims at the curve one round trip ahead; a controller here is not told the round
        trip, and is behind by that.

        Source: RFC 9438 section 4.2 to section 4.5.
        """
        if self.in_recovery or self.cwnd < self.ssthresh:
            super().on_acknowledged(acknowledged, cumulative_tsn, now, limited=limited)
            return
        if limited:
            self._grow(acknowledged, now)
        else:
            self._pause()

    def _pause(self) -> None:
        """Let time in which the window was not used not count (RFC 9438 section 5.8)."""
        self._epoch = None

    def _grow(self, acknowledged: int, now: float) -> None:
        window = self.cwnd / self._pmdcs
        if self._epoch is None:
            self._epoch = now
            self._origin = max(self._w_max, window)
            self._time_to_origin = ((self._origin - window) / _C) ** (1 / 3)
            self._estimate = window
        share = acknowledged / self.cwnd
        self._estimate += (_ALPHA if self._estimate < self._w_max else 1.0) * share
        target = self._origin + _C * (now - self._epoch - self._time_to_origin) ** 3
        target = max(min(target, 1.5 * window), self._estimate)
        if target > window:
            self.cwnd += int((target - window) * share * self._pmdcs) + 1

    def on_lost(self, packet: int, next_packet: int, highest_tsn: int, now: float, size: int = 0) -> None:
        """Reduce the window to 70 %, once per flight.

        Source: RFC 9438 section 4.6 and section 4.7.
        """
        before = self.cwnd
        super().on_lost(packet, next_packet, highest_tsn, now, size)
        if self.cwnd != before:
            self._reduce(before)
            self.cwnd = self.ssthresh

    def on_timeout(self, now: float) -> None:
        """Start over from one packet.

        Source: RFC 9438 section 4.8.
        """
        before = self.cwnd
        super().on_timeout(now)
        self._reduce(before)

    def _reduce(self, before: int) -> None:
        window = before / self._pmdcs
        # Fast convergence (section 4.7): below the last maximum others want more, so make room.
        self._w_max = window * (1 + BETA) / 2 if window < self._w_max else window
        self.ssthresh = max(int(before * BETA), _MINIMUM_PACKETS * self._pmdcs)
        self._epoch = None
