"""A receiver's estimate of what the path to it carries, for senders that have only REMB to go by.

draft-alvestrand-rmcat-remb-03 and draft-ietf-rmcat-gcc section 3: the same detector and rate control as the sender's,
by the absolute send time of each packet.
"""

from typing import Never

from ..core import LocalError, Machine
from .delay import DelayDetector
from .estimator import MAX_BITRATE, MIN_BITRATE, START_BITRATE
from .events import BitrateEstimated, Closed, RemoteEstimatorEvent
from .rate_control import RateControl
from .throughput import AcknowledgedBitrate

SEND_TIME_BITS = 24
SEND_TIME_UNIT = 2.0**-18  # seconds: abs-send-time is 6.18 fixed-point seconds
INTERVAL = 1.0  # seconds between estimates: draft-alvestrand-rmcat-remb-03 wants RTCP's rate
DECREASE = 0.97  # of the last estimate: less is said at once
MAX_SOURCES = 64  # SSRCs of one REMB: it has eight bits for their number, and no transport so many streams
SOURCE_TIME = 2.0  # seconds after which a silent SSRC is not named any more
MAX_PENDING_EVENTS = 16  # when nobody takes them; the oldest go
MAX_GAP = 2.0  # seconds without a packet after which detection begins anew


class RemoteEstimator(Machine[Never, Never, RemoteEstimatorEvent]):
    """Estimates by arrivals, and says when a REMB should go out.

    Args:
        min_bitrate: Bit/s below which no estimate falls.
        start_bitrate: Bit/s to begin with.
        max_bitrate: Bit/s above which no estimate rises.
        interval: Seconds between estimates.
    """

    def __init__(
        self,
        *,
        min_bitrate: float = MIN_BITRATE,
        start_bitrate: float = START_BITRATE,
        max_bitrate: float = MAX_BITRATE,
        interval: float = INTERVAL,
    ) -> None:
        super().__init__()
        if not 0 < min_bitrate <= start_bitrate <= max_bitrate < float("inf") or not 0 < interval < float("inf"):
            raise LocalError(f"bitrates of {min_bitrate}, {start_bitrate}, {max_bitrate} bit/s each {interval} s")
        self._min, self._max = float(min_bitrate), float(max_bitrate)
        self._interval = interval
        self._detector = DelayDetector()
        self._throughput = AcknowledgedBitrate()
        self._rate = RateControl(float(start_bitrate))
        self._sources: dict[int, float] = {}
        self._last_send_time: int | None = None  # unwrapped
        self._last_arrival = float("-inf")
        self._said = float("inf")
        self._closed = False

    @property
    def bitrate(self) -> int:
        """Bit/s."""
        return int(self._rate.bitrate)

    @property
    def ssrcs(self) -> tuple[int, ...]:
        """The streams that it is about."""
        return tuple(self._sources)

    def packet_received(
        self, ssrc: int, size: int, now: float, *, abs_send_time: int | None = None, send_time: float | None = None
    ) -> None:
        """Take a packet that has just arrived.

        Args:
            ssrc: Its stream.
            size: Bytes.
            now: Seconds; when it arrived.
            abs_send_time: The extension's 24 bits, if the packet has it.
            send_time: Otherwise when it was sent, seconds of any clock. Without either it only counts as throughput.

        Raises:
            LocalError: If the size is not positive.
        """
        if size <= 0:
            raise LocalError(f"a packet of {size} bytes")
        now = self._clamp(now)
        if self._closed:
            self._dropped["closed"] += 1
            return
        if ssrc in self._sources or len(self._sources) < MAX_SOURCES:
            self._sources[ssrc] = now
        else:
            self._dropped["sources-full"] += 1
        if now - self._last_arrival > MAX_GAP:
            self._detector.reset()
        self._last_arrival = now
        self._throughput.packet(now, size)
        if abs_send_time is not None:
            send_time = self._unwrap(abs_send_time)
        if send_time is not None:
            self._detector.packet(send_time, now)
            decreased = self._rate.update(self._detector.usage, self._throughput.bitrate, now)
            self._rate.bitrate = min(max(self._rate.bitrate, self._min), self._max)
            if decreased and self._rate.bitrate < DECREASE * self._said:
                self._say(now)
        self._timers.set_default("estimate", now + self._interval)

    def _unwrap(self, value: int) -> float:
        last = value if self._last_send_time is None else self._last_send_time
        half = 1 << (SEND_TIME_BITS - 1)
        self._last_send_time = time = last + ((value - last + half) & (2 * half - 1)) - half
        return time * SEND_TIME_UNIT

    def round_trip(self, rtt: float, now: float) -> None:
        """Take the round trip, seconds; what cannot be one is counted and passed over."""
        self._clamp(now)
        if 0.0 <= rtt < float("inf"):
            self._rate.rtt = rtt
        else:
            self._dropped["bad-rtt"] += 1

    def receive_datagram(self, datagram: object, now: float) -> None:  # noqa: ARG002  the interface's
        """Datagrams are not taken: see `packet_received`."""
        self._clamp(now)
        self._dropped["unexpected"] += 1

    def handle_timer(self, now: float) -> None:
        """Say the estimate, as long as packets come."""
        now = self._clamp(now)
        if not self._timers.expire(now):
            return
        for ssrc in [ssrc for ssrc, heard in self._sources.items() if heard < now - SOURCE_TIME]:
            del self._sources[ssrc]
        if self._sources:
            self._say(now)

    def _say(self, now: float) -> None:
        self._said = self._rate.bitrate
        self._timers.set("estimate", now + self._interval)
        self._emit_bounded(BitrateEstimated(self.bitrate, self.ssrcs), MAX_PENDING_EVENTS, "events-full")

    def datagrams_to_send(self, now: float) -> list[Never]:
        """Nothing: a REMB is the RTP receiver's to send."""
        self._clamp(now)
        return []

    def close(self, now: float) -> None:
        """End."""
        self._clamp(now)
        if self._closed:
            return
        self._closed = True
        self._timers.clear()
        self._sources.clear()
        self._events.append(Closed())
