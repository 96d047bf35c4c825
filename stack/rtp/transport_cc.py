"""Tells the sender of a whole transport when its packets arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01).

One generator serves all streams of a transport, because the sequence numbers are the transport's.
"""

from ..core import LocalError, ParseError, unwrap16
from .extensions import unpack_transport_cc
from .feedback_generator import FeedbackGenerator
from .packet import Packet
from .transport_feedback import (
    DELTA_UNIT,
    MAX_DELTA,
    MIN_DELTA,
    TICKS_PER_REFERENCE,
    TransportFeedback,
)

FEEDBACK_INTERVAL = 0.1  # seconds, what libwebrtc does by default
ARRIVALS_SECONDS = 0.5  # how long an arrival may still be reported with a straggler's
MAX_ARRIVALS = 4096  # 0.5 s of 80 Mbit/s
MAX_STATUSES_PER_FEEDBACK = 400  # two octets each make 0.9 kB at worst: one datagram
MAX_GAP = 3000  # sequence numbers; a longer jump is a restart, and reporting what lies between would say nothing


class TransportFeedbackGenerator(FeedbackGenerator):
    """Collects arrivals of one transport and reports them ten times a second.

    Feed it RTP datagrams, or, cheaper, sequence numbers of packets parsed elsewhere.

    Args:
        ssrc: Sender SSRC of the feedback: any local one.
        extension_id: Identifier of the transport-wide sequence number in received packets.
        interval: Seconds between feedback messages.
    """

    def __init__(self, *, ssrc: int, extension_id: int, interval: float = FEEDBACK_INTERVAL) -> None:
        super().__init__(ssrc, interval)
        self._extension_id = extension_id
        self._media_ssrc = 0
        self._arrivals: dict[int, float] = {}
        self._highest: int | None = None
        self._begin = 0  # the first sequence number that the next feedback reports
        self._feedback_count = 0

    def receive_packet(self, packet: Packet, now: float) -> None:
        """Take an RTP packet already parsed; without the extension there is nothing to note."""
        now = self._clamp(now)
        try:
            value = packet.extensions.get(self._extension_id)
            sequence_number = None if value is None else unpack_transport_cc(value)
        except ParseError as error:
            self.dropped[error.reason] += 1
            return
        if sequence_number is not None:
            self.receive_sequence_number(sequence_number, packet.ssrc, now)

    def receive_sequence_number(self, sequence_number: int, media_ssrc: int, now: float) -> None:
        """Note that a packet arrived.

        Args:
            sequence_number: Transport-wide, 16 bits.
            media_ssrc: The packet's stream.
            now: When, seconds.

        Raises:
            LocalError: If the sequence number has more than 16 bits.
        """
        if not 0 <= sequence_number <= 0xFFFF:
            raise LocalError(f"a transport-wide sequence number has 16 bits: {sequence_number}")
        now = self._clamp(now)
        if self._closed:
            self.dropped["closed"] += 1
            return
        highest = self._highest
        extended = sequence_number + 0x10000 if highest is None else unwrap16(sequence_number, highest)
        if highest is None or abs(extended - highest) > MAX_GAP:
            self._arrivals.clear()
            self._highest = self._begin = extended
        elif extended in self._arrivals:
            self.dropped["duplicate"] += 1
            return
        else:
            self._highest = max(highest, extended)
            self._begin = min(self._begin, extended)
        if len(self._arrivals) >= MAX_ARRIVALS:
            self._forget(self._arrivals_oldest_half())
            self.dropped["arrivals-full"] += 1
        self._arrivals[extended] = now
        self._begin = max(self._begin, self._highest - MAX_GAP) if self._highest is not None else self._begin
        self._media_ssrc = media_ssrc
        self._timers.set_default("report", now + self._interval)

    def _arrivals_oldest_half(self) -> list[int]:
        return sorted(self._arrivals)[: MAX_ARRIVALS // 2]

    def _forget(self, numbers: list[int]) -> None:
        for number in numbers:
            del self._arrivals[number]
        if numbers:
            self._begin = max(self._begin, max(numbers) + 1)

    def _reports(self, now: float) -> list[TransportFeedback]:
        reports: list[TransportFeedback] = []
        while self._highest is not None and self._begin <= self._highest:
            feedback = self._feedback(self._begin, self._highest)
            if feedback is None:
                break
            reports.append(feedback)
        self._begin = (self._highest or 0) + 1
        old = now - ARRIVALS_SECONDS
        for number in [number for number, arrival in self._arrivals.items() if arrival < old]:
            del self._arrivals[number]
        return reports

    def _feedback(self, begin: int, end: int) -> TransportFeedback | None:
        """Build one message of what arrived in begin..end and move on past what it covers."""
        arrivals = self._arrivals
        first = next((number for number in range(begin, end + 1) if number in arrivals), None)
        if first is None:
            return None
        # A long silence before the first arrival is left out: who sent them knows what was not reported.
        begin = max(begin, first - MAX_STATUSES_PER_FEEDBACK // 2)
        ticks = int(arrivals[first] / DELTA_UNIT)
        reference = ticks // TICKS_PER_REFERENCE
        previous = reference * TICKS_PER_REFERENCE
        deltas: list[int | None] = []
        for number in range(begin, min(end + 1, begin + MAX_STATUSES_PER_FEEDBACK)):
            arrival = arrivals.get(number)
            if arrival is None:
                deltas.append(None)
                continue
            delta = int(arrival / DELTA_UNIT) - previous
            if not MIN_DELTA <= delta <= MAX_DELTA:
                break
            deltas.append(delta)
            previous += delta
        self._begin = begin + len(deltas)
        signed = (reference + 0x800000 & 0xFFFFFF) - 0x800000
        feedback = TransportFeedback(self.ssrc, self._media_ssrc, begin & 0xFFFF, signed, self._feedback_count, deltas)
        self._feedback_count = self._feedback_count + 1 & 0xFF
        return feedback

    def _forget_all(self) -> None:
        self._arrivals.clear()
