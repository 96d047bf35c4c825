"""Which packets the peer's RFC 8888 reports speak of: they name streams, the estimator counts packets."""

from typing import Final

from .. import rtp

MAX_AWAITED: Final = 8192
"""Packets that were not reported as received: as many as the estimator remembers. The oldest go."""

_TIMESTAMPS: Final = 1 << 32  # RFC 8888 section 3.1: the middle half of an NTP time
_UNIT: Final = 1 / 65536  # seconds of one


class Awaited:
    """Numbers packets in the order in which they leave, and finds the numbers of those that a report names."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        self._last = 0
        self._reported_at: int | None = None  # the newest report's timestamp, unwrapped

    def __len__(self) -> int:
        """Packets that are awaited."""
        return len(self._numbers)

    def add(self, ssrc: int, sequence_number: int) -> int:
        """Return the number of a packet that leaves, 16 bits."""
        numbers = self._numbers
        key = ssrc, sequence_number
        numbers.pop(key, None)
        if len(numbers) >= MAX_AWAITED:
            del numbers[next(iter(numbers))]
        self._last = numbers[key] = self._last + 1
        return self._last & 0xFFFF

    def arrivals(self, report: rtp.CongestionFeedback) -> list[tuple[int, float | None]]:
        """Return number and arrival, seconds of the peer's clock, of the packets that a report tells something new of.

        They are in the order in which they left. What was reported as received before is not among them: reports
        overlap (RFC 8888 section 3.1).
        """
        since = self._turns(report.report_timestamp) * _TIMESTAMPS * _UNIT
        numbers = self._numbers
        found: list[tuple[int, float | None]] = []
        for ssrc, sequence_number, arrival, _ in report.arrivals():
            key = ssrc, sequence_number
            number = numbers.get(key)
            if number is None:
                continue
            if arrival is None:
                found.append((number, None))
            else:
                del numbers[key]
                found.append((number, since + arrival))
        found.sort(key=_number_of)
        return [(number & 0xFFFF, arrival) for number, arrival in found]

    def _turns(self, timestamp: int) -> int:
        """How often the clock, which has 18 hours, has turned since the first report."""
        last = timestamp if self._reported_at is None else self._reported_at
        half = _TIMESTAMPS // 2
        now = last + (timestamp - last + half) % _TIMESTAMPS - half
        self._reported_at = max(last, now)
        return now // _TIMESTAMPS


def _number_of(result: tuple[int, float | None]) -> int:
    return result[0]
