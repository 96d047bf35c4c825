"""The sender's estimate of what the path carries: draft-ietf-rmcat-gcc, with what libwebrtc made of it since."""

from collections.abc import Sequence
from math import isfinite
from typing import Never

from ..core import LocalError, Machine
from .application import ApplicationLimited
from .delay import DelayDetector
from .drain import Drain
from .events import Closed, EstimatorEvent, ProbeRequested, TargetBitrateChanged, Usage
from .loss import LossController, ReportedLoss
from .outage import Outages
from .probing import (
    APPLICATION_INTERVAL,
    CARRIED,
    FIRST_FACTORS,
    INTERVAL,
    NEXT_FACTOR,
    Measurement,
    Probing,
)
from .queue_delay import QueueDelay
from .rate_control import RateControl
from .throughput import AcknowledgedBitrate

MIN_BITRATE, START_BITRATE, MAX_BITRATE = 30_000, 300_000, 10_000_000
"""Bit/s unless told otherwise: speech; what libwebrtc starts with; more than a camera's stream."""
MAX_HISTORY = 8192
"""Packets whose report is awaited: 10 s of 8 Mbit/s, and too few of the sequence numbers for one to be mistaken."""
HISTORY_TIME = 10.0
"""Seconds after which nobody reports on a packet any more."""
MAX_PENDING_EVENTS = 64
"""When nobody takes them; the oldest go. Changes of the target are merged."""
PACING_FACTOR = 2.5
"""Of the target: frames leave faster than they come, so that the next one does not wait; as libwebrtc does."""
CAREFUL_FACTOR, CAREFUL_TIME = 1.1, 0.5
"""The same for some seconds after a queue was emptied: what has meanwhile queued here must not go there at once."""
CHANGE = 0.01
"""By which the target must differ for an event, relative: an encoder does not follow less."""
FEEDBACK_TIMEOUT = 0.5
"""Seconds, and three round trips, without feedback before the rate is halved; feedback comes every 0.25 s at least."""
FIRST_FEEDBACK_TIMEOUT = 1.5
"""Seconds until the first feedback: the receiver has to hear of the stream first."""
REPORT_TIMEOUT = 5.0
"""The same where there are only receiver reports, which come every second or so."""
BACK_OFF = 0.5
"""Of the rate, at each time-out: RFC 8083 would have it stop; live control of a vehicle must not."""
LITTLE_DELAY = 0.015
"""Seconds in queues: a trend that has not led to more is jitter. # Deviates: draft-ietf-rmcat-gcc section 5.4 looks at
the trend alone, and gives up 15 % each time that it errs."""
COMPETING_DELAY = 0.075
"""The same while others fill the queue, whom it would not make wait less if we sent less."""
CONFIRM = 1.15
"""Of the rate: a cluster that filled the path and got more than this is followed by one at what it got."""
QUIET_DELAY = 0.030
"""Seconds in queues; with less a probe does no harm."""
MAX_RTT = 10.0
"""Seconds; more is a mistake of the report."""


class _Sent:
    """A packet whose report is awaited."""

    __slots__ = ("at", "lost", "probe", "size", "total")

    def __init__(self, size: int, at: float, probe: int | None, total: int) -> None:
        self.size = size
        self.at = at
        self.probe = probe
        self.total = total  # bytes sent up to and with this one
        self.lost = False


class Estimator(Machine[Sequence[tuple[int, float | None]], Never, EstimatorEvent]):
    """Decides how much may be sent, from reports about what was.

    Tell it of every packet at the moment it leaves, and of every report; take the events. It sends nothing itself.

    Args:
        min_bitrate: Bit/s below which the target never falls.
        start_bitrate: Bit/s to begin with.
        max_bitrate: Bit/s above which the target never rises.
        transport_feedback: Whether reports on single packets were negotiated. Without them losses in receiver reports
            and REMB decide.
    """

    def __init__(
        self,
        *,
        min_bitrate: float = MIN_BITRATE,
        start_bitrate: float = START_BITRATE,
        max_bitrate: float = MAX_BITRATE,
        transport_feedback: bool = True,
    ) -> None:
        super().__init__()
        _check_bounds(min_bitrate, start_bitrate, max_bitrate)
        self._min, self._start, self._max = float(min_bitrate), float(start_bitrate), float(max_bitrate)
        self._transport_feedback = transport_feedback
        self._history: dict[int, _Sent] = {}
        self._last_number = 0x10000  # unwrapped
        self._total_sent = self._total_reported = 0  # bytes, the latter up to the last packet of all reports
        self._last_reported = -1
        self._sent_at = self._path_since = float("-inf")
        self._detector = DelayDetector()
        self._throughput = AcknowledgedBitrate()
        self._queue = QueueDelay()
        self._rate = RateControl(float(start_bitrate))
        self._drain = Drain()
        self._loss = LossController()
        self._outages = Outages()
        self._reported_loss = ReportedLoss()
        self._application = ApplicationLimited()
        self._probing = Probing()
        self._remb = float("inf")
        self._rtt: float | None = None
        self._awaiting = False  # a report, for packets sent after the last one reported on
        self._heard = False
        self._before_outage = 0.0
        self._probed_start = False
        self._closed = False
        self._target = self._announced = float(start_bitrate)
        self._announced_pacing = self.pacing_rate
        self._probe_start()

    # -- what it says ------------------------------------------------------------------------------------------

    @property
    def target_bitrate(self) -> int:
        """Bit/s for everything that is sent."""
        return int(self._target)

    @property
    def pacing_rate(self) -> int:
        """Bit/s for the pacer."""
        return int(self._target * self._pacing_factor())

    def _pacing_factor(self) -> float:
        if self._drain.active:
            return 1.0
        return CAREFUL_FACTOR if self._now < self._drain.ended_at + CAREFUL_TIME else PACING_FACTOR

    @property
    def acknowledged_bitrate(self) -> int | None:
        """Bit/s that arrive; None if not known."""
        bitrate = self._throughput.bitrate
        return None if bitrate is None else int(bitrate)

    @property
    def rtt(self) -> float | None:
        """Round trip, seconds; None if not known."""
        return self._rtt

    @property
    def queue_delay(self) -> float:
        """Seconds that packets wait in queues of the path."""
        return self._queue.delay

    @property
    def loss(self) -> float:
        """Fraction of packets lost lately, 0..1."""
        return self._loss.average_loss

    @property
    def usage(self) -> Usage:
        """What the delay says of the path."""
        return self._detector.usage

    @property
    def application_limited(self) -> bool:
        """Whether less is sent than may be."""
        return self._application.limited

    @property
    def in_flight(self) -> int:
        """Bytes sent after the last packet that was reported on."""
        return self._total_sent - self._total_reported

    # -- what it is told ---------------------------------------------------------------------------------------

    def set_bounds(self, min_bitrate: float, start_bitrate: float, max_bitrate: float) -> None:
        """Set the bounds; `start_bitrate` counts only before the first packet, and for `expect_more`.

        Raises:
            LocalError: If they are not 0 < min <= start <= max, bit/s.
        """
        _check_bounds(min_bitrate, start_bitrate, max_bitrate)
        if self._closed:
            raise LocalError("the estimator is closed")
        self._min, self._start, self._max = float(min_bitrate), float(start_bitrate), float(max_bitrate)
        if not self._probed_start:
            self._rate.bitrate = float(start_bitrate)
            self._probe_start()
        self._publish()

    def expect_more(self, now: float) -> None:
        """Look for what the path carries as at the start: a stream begins that wants more than all before it.

        How the little that was sent arrived says what that little was, and nothing of what the path carries.
        """
        self._clamp(now)
        if self._closed:
            return
        self._loss = LossController()
        self._drain = Drain()
        self._detector.reset()
        self._throughput.reset()
        self._rate.bitrate = min(max(self._rate.bitrate, self._start), self._max)
        self._probe_start()
        self._publish()

    def packet_sent(self, sequence_number: int, size: int, now: float, *, probe: int | None = None) -> None:
        """Note that a packet leaves.

        Args:
            sequence_number: By which reports will name it, 16 bits.
            size: Bytes.
            now: Seconds.
            probe: The cluster that it left with.

        Raises:
            LocalError: If the size is not positive or the estimator is closed.
        """
        self.packets_sent(((sequence_number, size),), now, probe=probe)

    def packets_sent(self, packets: Sequence[tuple[int, int]], now: float, *, probe: int | None = None) -> None:
        """Note that packets leave together, a frame for example: the same as `packet_sent` for each, for less.

        Args:
            packets: Number and size of each; see `packet_sent`.
            now: Seconds.
            probe: See `packet_sent`.

        Raises:
            LocalError: If a size is not positive or the estimator is closed.
        """
        if self._closed or min([size for _, size in packets], default=1) <= 0:
            raise LocalError("the estimator is closed" if self._closed else "a packet without bytes")
        now = self._clamp(now)
        history = self._history
        if not self._total_sent and packets:
            self._last_number = 0x10000 + (packets[0][0] & 0xFFFF)
        last, before, total = self._last_number, self._total_sent, self._total_sent
        for sequence_number, size in packets:
            number = last + ((sequence_number - last + 0x8000) & 0xFFFF) - 0x8000
            last = max(last, number)
            if len(history) >= MAX_HISTORY:
                del history[next(iter(history))]
                self._dropped["history-full"] += 1
            total += size
            history[number] = _Sent(size, now, probe, total)
        self._last_number, self._total_sent, self._sent_at = last, total, now
        if probe is None:
            self._application.sent(total - before, self._target, now)
        if not self._awaiting:
            self._awaiting = self._probed_start = True
            self._timers.set("feedback", now + self._timeout())

    def _timeout(self) -> float:
        if not self._transport_feedback:
            return REPORT_TIMEOUT
        base = FEEDBACK_TIMEOUT if self._heard else FIRST_FEEDBACK_TIMEOUT
        return base + 3.0 * min(self._rtt or 0.0, 1.0)

    def receive_datagram(self, datagram: Sequence[tuple[int, float | None]], now: float) -> None:
        """The same as `feedback`."""
        self.feedback(datagram, now)

    def feedback(self, results: Sequence[tuple[int, float | None]], now: float) -> None:
        """Take one report about packets.

        Args:
            results: `PacketResult` or other pairs (sequence number, seconds of the receiver's clock or None), in the
                order of the sequence numbers. What was not sent, or was reported before, is counted and passed over.
            now: Seconds.
        """
        now = self._clamp(now)
        if self._closed:
            self._dropped["closed"] += 1
            return
        history, last_number = self._history, self._last_number
        detect, acknowledge = self._detector.packet, self._throughput.packet
        one_way = float("inf")
        packets = lost = size = run = excused = 0
        first_sent = last_sent = now
        last_received, last_arrival = None, 0.0
        path_since = self._path_since
        highest, highest_total = self._last_reported, self._total_reported
        for number, received in results:
            key = last_number + ((number - last_number + 0x8000) & 0xFFFF) - 0x8000
            sent = history.get(key)
            if sent is None:
                self._dropped["unknown-packet"] += 1
                continue
            at = sent.at
            if received is None:
                if sent.lost:
                    continue  # said before
                sent.lost = True
                lost += 1
                run += 1
            elif not isfinite(received):
                self._dropped["bad-time"] += 1
                continue
            else:
                del history[key]
                if sent.lost:
                    lost -= 1  # it was only late
                    continue
                if at > path_since:
                    if run:
                        if last_received is not None:
                            self._outages.arrived(last_received, last_arrival)
                        excused += self._excuse(run, at, received)
                        run = 0
                    if received - at < one_way:
                        one_way = received - at
                    detect(at, received)
                    acknowledge(received, sent.size)
                    if sent.probe is not None:
                        self._probing.packet(sent.probe, sent.size, at, received)
                    last_received, last_arrival = at, received
            if key > highest:
                highest, highest_total = key, sent.total
            packets += 1
            size += sent.size
            last_sent = at
            if packets == 1:
                first_sent = at
        if packets:
            self._last_reported, self._total_reported = highest, max(highest_total, self._total_reported)
            self._reported(packets - excused, max(lost - excused, 0), size, first_sent, last_sent, now)
        if last_received is not None:
            self._outages.arrived(last_received, last_arrival)
            self._arrived(one_way, now - last_received, now)
        self._publish()

    def _excuse(self, lost: int, sent: float, received: float) -> int:
        """Return how many of so many losses in a row say nothing of the rate; nor does the time without arrivals."""
        if not self._outages.explains(lost, sent, received):
            return 0
        self._throughput.interrupt()
        return lost

    def _reported(self, packets: int, lost: int, size: int, first_sent: float, last_sent: float, now: float) -> None:
        """The path of reports is alive: losses, and the time-out."""
        outage = self._before_outage
        self._heard = True
        self._awaiting = self._last_number > self._last_reported
        self._before_outage = 0.0
        self._timers.cancel("feedback")
        if self._awaiting:
            self._timers.set("feedback", now + self._timeout())
        self._drop_old(now)
        if self._loss.feedback(packets, lost, size, first_sent, last_sent):
            self._loss.update(self._rate.bitrate, self._throughput.bitrate, now)
        if outage:
            self._probe(outage, now)

    def _drop_old(self, now: float) -> None:
        """Forget packets that nobody will report on any more."""
        history = self._history
        while history:
            number, sent = next(iter(history.items()))
            if sent.at >= now - HISTORY_TIME:
                return
            del history[number]

    def _arrived(self, one_way: float, rtt: float, now: float) -> None:
        """Packets have arrived: delay, throughput and probes say how to go on."""
        self._note_rtt(rtt)
        self._queue.update(one_way, now)
        rate, acknowledged = self._rate, self._throughput.bitrate
        usage = self._detector.usage
        sample = self._throughput.sample
        ignored = COMPETING_DELAY if self._drain.competing(now) else LITTLE_DELAY
        if usage == Usage.OVERUSE and self._queue.delay < ignored:
            usage = Usage.NORMAL
        if sample is not None and self._drain.sudden(self._queue, self._target, sample, now):
            usage = Usage.OVERUSE
        if usage == Usage.OVERUSE and acknowledged is not None:
            acknowledged = sample  # what a full path carries, it carries at every moment
        decreased = rate.update(usage, acknowledged, now)
        results = self._probing.results()
        for measurement in results:
            self._measured(measurement, now)
        rate.min_rtt = max(rtt - self._queue.delay, 0.0)
        if self._drain.update(self._queue, rate, sample, self.in_flight, now, decreased=decreased):
            self._detector.reset()
        rate.bitrate = min(max(rate.bitrate, self._min), self._max)
        self._probe_again(now)

    def _measured(self, measurement: Measurement, now: float) -> None:
        if self._detector.usage == Usage.OVERUSE and not measurement.initial:
            return
        measured, rate = measurement.bitrate, self._rate
        if measured > rate.bitrate and (measurement.initial or not measurement.saturated):
            rate.measured(min(measured, self._max), now)
            self._throughput.expect_change()
            if self._loss.bitrate is None and measured > CARRIED * measurement.probed:
                self._probe(NEXT_FACTOR * measured, now)
        elif measurement.saturated and rate.bitrate < measured <= CONFIRM * rate.bitrate:
            rate.bitrate = measured
        elif measurement.saturated and measured > rate.bitrate:
            # A full path shares by what is sent: that a cluster got so much does not mean that a stream would.
            self._probe(measured, now)
        elif measurement.saturated and measured < rate.bitrate and self._throughput.bitrate is not None:
            # Not even more than it carries got through faster than this.
            rate.bitrate = max(measured, min(rate.bitrate, self._throughput.bitrate))
        elif measurement.initial and self._throughput.bitrate is None:
            rate.bitrate = measured

    def _note_rtt(self, rtt: float) -> None:
        if 0.0 <= rtt <= MAX_RTT:
            self._rtt = rtt if self._rtt is None else self._rtt + (rtt - self._rtt) / 8.0  # RFC 6298 section 2
            self._rate.rtt = self._rtt

    def round_trip(self, rtt: float, now: float) -> None:
        """Take a round trip measured elsewhere, seconds; what cannot be one is counted and passed over."""
        self._clamp(now)
        if not 0.0 <= rtt <= MAX_RTT:
            self._dropped["bad-rtt"] += 1
        elif not self._heard or not self._transport_feedback:
            self._note_rtt(rtt)

    def report_block(self, fraction_lost: float, rtt: float | None, now: float) -> None:
        """Take a report block of a receiver report; with feedback on single packets it says nothing new.

        Args:
            fraction_lost: 0..1 since the last report.
            rtt: Seconds, if known.
            now: Seconds.
        """
        now = self._clamp(now)
        if self._closed or not 0.0 <= fraction_lost <= 1.0:
            self._dropped["closed" if self._closed else "bad-report"] += 1
            return
        if rtt is not None:
            self.round_trip(rtt, now)
        if self._transport_feedback:
            return
        self._hear_report(now)
        self._rate.bitrate = self._reported_loss.update(self._rate.bitrate, fraction_lost, self._rtt or 0.0, now)
        self._publish()

    def remb(self, bitrate: float, now: float) -> None:
        """Take a receiver's estimate, bit/s: the target does not exceed it."""
        now = self._clamp(now)
        if self._closed or not bitrate >= 0:
            self._dropped["closed" if self._closed else "bad-remb"] += 1
            return
        self._remb = float(bitrate)
        if not self._transport_feedback:
            self._hear_report(now)
        self._publish()

    def _hear_report(self, now: float) -> None:
        self._heard = True
        self._awaiting = False
        self._timers.cancel("feedback")
        self._drop_old(now)

    def path_changed(self, now: float) -> None:
        """Packets take another way from now on: delays and losses of the old one say nothing."""
        self._path_since = self._clamp(now)
        self._detector = DelayDetector()
        self._queue = QueueDelay()
        self._loss = LossController()
        self._outages = Outages()
        self._throughput.reset()
        self._drain = Drain()
        self._rtt = None
        self._publish()

    # -- time --------------------------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        """Back off when no feedback comes."""
        now = self._clamp(now)
        if not self._timers.expire(now):
            return
        timeout = self._timeout()
        if self._sent_at < now - timeout:
            self._awaiting = False  # nothing was sent that could be reported on
            return
        self._before_outage = max(self._before_outage, self._target)
        self._rate.bitrate = max(self._min, min(self._rate.bitrate, self._target) * BACK_OFF)
        self._throughput.reset()
        self._detector.reset()
        self._timers.set("feedback", now + timeout)
        self._drop_old(now)
        self._publish()

    def datagrams_to_send(self, now: float) -> list[Never]:
        """Nothing: it sends nothing itself."""
        self._clamp(now)
        return []

    def close(self, now: float) -> None:
        """End."""
        self._clamp(now)
        if self._closed:
            return
        self._closed = True
        self._timers.clear()
        self._history.clear()
        self._probing.forget()
        self._events.append(Closed())

    # -- what follows ------------------------------------------------------------------------------------------

    def _probe_start(self) -> None:
        self._probing.forget()
        kept = [event for event in self._events if not isinstance(event, ProbeRequested)]
        self._events.clear()
        self._events.extend(kept)
        for factor in FIRST_FACTORS:
            self._probe(factor * self._rate.bitrate, max(self._now, 0.0), initial=True)

    def _probe(self, bitrate: float, now: float, *, initial: bool = False) -> None:
        """Ask for a cluster, unless it would tell nothing that may be used."""
        bitrate = min(bitrate, self._max * 1.2)
        settled = self._rate.bitrate >= self._max or bitrate <= self._rate.bitrate * 1.05
        if settled or not self._transport_feedback:
            return
        cluster = self._probing.cluster(bitrate, now, initial=initial)
        if cluster is not None:
            self._emit(ProbeRequested(cluster))

    def _probe_again(self, now: float) -> None:
        """Ask now and then whether there is more than the target."""
        probing = self._probing
        probing.expire(now)
        limited = self._application.limited
        if now < probing.next_at + (APPLICATION_INTERVAL - INTERVAL if limited else 0.0) or probing.waiting:
            return
        quiet = self._detector.usage == Usage.NORMAL and self._queue.delay < QUIET_DELAY and not self._drain.active
        settled = now - self._rate.decreased_at > INTERVAL / 2
        if quiet and settled and self._loss.bitrate is None and self._rate.bitrate < self._max:
            self._probe(NEXT_FACTOR * self._rate.bitrate, now)

    def _publish(self) -> None:
        """Put the parts together and say what changed."""
        rate = self._rate.bitrate
        if self._loss.bitrate is not None:
            rate = min(rate, self._loss.bitrate)
        rate = min(rate, self._remb)
        if self._drain.active:
            rate = min(rate, self._drain.bitrate)
        self._target = target = min(max(rate, self._min), self._max)
        pacing = self.pacing_rate
        changed = abs(target - self._announced) > CHANGE * self._announced or target in {self._min, self._max}
        if (changed and target != self._announced) or abs(pacing - self._announced_pacing) > 0.1 * pacing:
            self._announced, self._announced_pacing = target, pacing
            self._emit(TargetBitrateChanged(self.target_bitrate, pacing))

    def _emit(self, event: EstimatorEvent) -> None:
        events = self._events
        if isinstance(event, TargetBitrateChanged) and events and isinstance(events[-1], TargetBitrateChanged):
            events[-1] = event
            return
        self._emit_bounded(event, MAX_PENDING_EVENTS, "events-full")


def _check_bounds(min_bitrate: float, start_bitrate: float, max_bitrate: float) -> None:
    if not 0 < min_bitrate <= start_bitrate <= max_bitrate < float("inf"):
        raise LocalError(f"bitrates of {min_bitrate}, {start_bitrate} and {max_bitrate} bit/s")
