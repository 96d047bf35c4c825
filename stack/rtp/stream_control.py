"""What the RTCP sides of senders and of receivers share."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from ..core import Machine, RandomBytes
from .rtcp import RtcpPacket
from .stats import compact_ntp

Event = TypeVar("Event")

RTCP_INTERVAL = 1.0  # seconds, randomised by 0.5 .. 1.5 (RFC 3550 section 6.3.1); RFC 4585 allows less than 5
INITIAL_RTT = 0.1  # seconds, until a report tells
MAX_RTT = 10.0  # seconds; a report that says more is wrong


class StreamControl(Machine[bytes, bytes, Event]):
    """One end of one stream.

    Args:
        clock_rate: Media clock, Hz.
        random_bytes: Source of report times.
        ntp_offset: Seconds to add to `now` to get NTP time.
        max_events: How many wait when nobody takes them; the oldest go.
    """

    def __init__(self, *, clock_rate: int, random_bytes: RandomBytes, ntp_offset: float, max_events: int) -> None:
        super().__init__()
        self._clock_rate = clock_rate
        self._random_bytes = random_bytes
        self._ntp_offset = ntp_offset
        self._max_events = max_events
        self._report_due = self._bye_due = False
        self._closed = False
        self._handlers = self._rtcp_handlers()

    @property
    def clock_rate(self) -> int:
        """Of the media clock, Hz."""
        return self._clock_rate

    @abstractmethod
    def _rtcp_handlers(self) -> Mapping[type, Callable[..., None]]:
        """Return what takes each kind of RTCP packet, with `now`; the others are passed over."""

    def receive_rtcp(self, packets: Sequence[RtcpPacket], now: float) -> None:
        """Take a compound already parsed: parse once, hand it to every stream of the transport."""
        now = self._clamp(now)
        if self._closed:
            self.dropped["closed"] += 1
            return
        for packet in packets:
            handler = self._handlers.get(type(packet))
            if handler is not None:
                handler(packet, now)

    def _report_interval(self) -> float:
        return RTCP_INTERVAL * (0.5 + int.from_bytes(self._random_bytes(2), "big") / 65536.0)

    def _round_trip(self, reference: int, delay: int, now: float) -> float | None:
        """Return the round trip in seconds, or None if it cannot be one.

        RFC 3550 section 6.4.1, RFC 3611 section 4.5: A - LSR - DLSR.

        Args:
            reference: When the report left that is answered, middle 32 bits of NTP time.
            delay: How long it lay at the other end, 1/65536 s.
            now: Seconds.
        """
        units = (compact_ntp(now + self._ntp_offset) - reference - delay) & 0xFFFFFFFF
        rtt = (units - 0x100000000 if units >= 0x80000000 else units) / 65536.0
        # Rounding can make it slightly negative.
        return max(rtt, 0.0) if -0.1 < rtt <= MAX_RTT else None

    def _emit(self, event: Event) -> None:
        self._emit_bounded(event, self._max_events)
