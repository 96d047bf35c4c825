"""Reception statistics (RFC 3550 appendices A.1, A.3 and A.8) and what senders count."""

from dataclasses import dataclass

from ..core import unwrap16
from .rtcp import ReportBlock

MAX_DROPOUT = 3000  # RFC 3550 appendix A.1: a larger jump ahead is a restart or a stranger
MAX_MISORDER = 1000  # so far behind a packet may come: RFC 3550 appendix A.1 says 100, for 50 packets/s; video has 500

_HALF = 0x80000000


def ntp_timestamp(seconds: float) -> int:
    """Return an NTP time in seconds as 64-bit fixed point (RFC 3550 section 4)."""
    return int(seconds * 4294967296.0) & 0xFFFFFFFFFFFFFFFF


def compact_ntp(seconds: float) -> int:
    """Return the middle 32 bits of an NTP time: units of 1/65536 s (RFC 3550 section 4)."""
    return int(seconds * 65536.0) & 0xFFFFFFFF


@dataclass(slots=True)
class SenderStatistics:
    """What a sender has sent, and what the other end says about it.

    Attributes:
        frames_sent: Frames handed to the network.
        packets_sent: RTP packets of the stream, retransmissions not included.
        bytes_sent: Payload octets of those.
        retransmitted: Packets sent again.
        retransmitted_bytes: Payload octets of those.
        nacks: NACK messages received.
        plis: PLI messages received.
        firs: FIR messages received.
        keyframes_requested: How many `KeyframeRequested` came of them.
        fraction_lost: Of the last report, 0..1.
        packets_lost: Of the last report, cumulative.
        jitter: Of the last report, seconds.
        rtt: Last round trip, seconds; None before the first.
    """

    frames_sent: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    retransmitted: int = 0
    retransmitted_bytes: int = 0
    nacks: int = 0
    plis: int = 0
    firs: int = 0
    keyframes_requested: int = 0
    fraction_lost: float = 0.0
    packets_lost: int = 0
    jitter: float = 0.0
    rtt: float | None = None


class ReceiverStatistics:
    """What a receiver knows of one stream.

    Args:
        clock_rate: Of the media clock, Hz.

    Attributes:
        packets_received: Late ones and duplicates included, retransmissions not.
        bytes_received: Payload octets of those.
        packets_recovered: Packets that came by retransmission.
        frames_received: Frames delivered.
        frames_dropped: Frames that were incomplete, malformed, or not decodable without a keyframe.
        nacks: NACK messages sent.
        plis: PLI or FIR messages sent.
        jitter: RFC 3550 appendix A.8, timestamp units.
        highest: Extended highest sequence number, -1 before the first packet.
    """

    __slots__ = (
        "_bad_sequence_number",
        "_base",
        "_clock_rate",
        "_expected_prior",
        "_received",
        "_received_prior",
        "_transit",
        "bytes_received",
        "frames_dropped",
        "frames_received",
        "highest",
        "jitter",
        "nacks",
        "packets_received",
        "packets_recovered",
        "plis",
    )

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self.packets_received = self.bytes_received = self.packets_recovered = 0
        self.frames_received = self.frames_dropped = self.nacks = self.plis = 0
        self.jitter = 0.0
        self._bad_sequence_number = -1
        self.highest = -1
        self._restart(0)
        self.highest = -1

    def _restart(self, sequence_number: int) -> None:
        # Starting at the second cycle lets packets from before the first one unwrap to positive numbers.
        self._base = self.highest = sequence_number + 0x10000
        self._received = self._received_prior = self._expected_prior = 0
        self._transit: int | None = None
        self._bad_sequence_number = -1

    def received(self, sequence_number: int, timestamp: int, size: int, now: float) -> tuple[int, bool] | None:
        """Count a packet (RFC 3550 appendix A.1).

        # Deviates: no probation; that a packet was authenticated says more than two in sequence.

        Args:
            sequence_number: As received, 16 bits.
            timestamp: As received, 32 bits.
            size: Payload octets.
            now: When it arrived, seconds.

        Returns:
            Its extended sequence number and whether the stream (re)started with it, or None if the number is out of
            range and the packet must be ignored.
        """
        restarted = False
        if self.highest < 0:
            self._restart(sequence_number)
            extended, restarted = self.highest, True
        else:
            extended = unwrap16(sequence_number, self.highest)
            ahead = extended - self.highest
            if ahead >= MAX_DROPOUT or ahead < -MAX_MISORDER:
                if sequence_number != self._bad_sequence_number:
                    self._bad_sequence_number = (sequence_number + 1) & 0xFFFF
                    return None
                # Two in sequence: the other side restarted.
                self._restart(sequence_number)
                extended, restarted = self.highest, True
            elif ahead > 0:
                self.highest = extended
        self._received += 1
        self.packets_received += 1
        self.bytes_received += size
        transit = (int(now * self._clock_rate) - timestamp) & 0xFFFFFFFF
        if self._transit is not None:
            difference = (transit - self._transit) & 0xFFFFFFFF
            if difference >= _HALF:
                difference = 0x100000000 - difference
            self.jitter += (difference - self.jitter) / 16.0
        self._transit = transit
        return extended, restarted

    @property
    def packets_lost(self) -> int:
        """Packets expected less packets received; negative with duplicates (RFC 3550 appendix A.3)."""
        return 0 if self.highest < 0 else self.highest - self._base + 1 - self._received

    def report(self, ssrc: int, lsr: int = 0, dlsr: int = 0) -> ReportBlock:
        """Return the report block for `ssrc` and begin the next interval (RFC 3550 appendix A.3)."""
        expected = self.highest - self._base + 1
        expected_interval = expected - self._expected_prior
        lost_interval = expected_interval - (self._received - self._received_prior)
        self._expected_prior, self._received_prior = expected, self._received
        fraction = 0
        if expected_interval > 0 and lost_interval > 0:
            fraction = min(255, (lost_interval << 8) // expected_interval)
        highest = (self.highest - 0x10000) & 0xFFFFFFFF
        return ReportBlock(ssrc, fraction, expected - self._received, highest, int(self.jitter), lsr, dlsr)
