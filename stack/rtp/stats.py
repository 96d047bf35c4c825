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
        total_rtt: Sum of all round trips measured, seconds.
        rtt_measurements: How many those were.
        header_bytes_sent: Octets of RTP headers, extensions and padding, of all packets.
        key_frames_sent: Keyframes among `frames_sent`.
        padding_packets: Packets of padding only.
        padding_bytes: Octets of padding in those.
        total_packet_send_delay: Sum of the seconds that packets waited in a pacer.
        fec_packets_sent: Repair packets.
        fec_bytes_sent: Payload octets of those.
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
    total_rtt: float = 0.0
    rtt_measurements: int = 0
    header_bytes_sent: int = 0
    key_frames_sent: int = 0
    padding_packets: int = 0
    padding_bytes: int = 0
    total_packet_send_delay: float = 0.0
    fec_packets_sent: int = 0
    fec_bytes_sent: int = 0


@dataclass(slots=True)
class InboundStatistics:
    """What a receiver knows, at one instant, in the units of the W3C's `RTCInboundRtpStreamStats`.

    Attributes:
        ssrc: The stream; None before its first packet.
        packets_received: Retransmissions not included.
        packets_lost: Expected less received; negative with duplicates.
        jitter: Seconds.
        bytes_received: Payload octets.
        header_bytes_received: Octets of headers, extensions and padding.
        last_packet_received: Seconds of the machine's clock, or None.
        frames_received: Whole frames.
        frames_dropped: Frames that were incomplete, malformed, or not decodable without a keyframe.
        key_frames_received: Keyframes among `frames_received`.
        packets_discarded: Packets of frames that were given up, late ones and duplicates.
        packets_recovered: Packets that came by retransmission only.
        retransmitted_packets_received: Packets of the retransmission stream.
        retransmitted_bytes_received: Payload octets of those.
        fec_packets_received: Packets of forward error correction.
        fec_packets_recovered: Packets that those repaired.
        nack_count: NACK messages sent.
        pli_count: PLI messages sent.
        fir_count: FIR messages sent.
        round_trip_time: Last one measured by DLRR, seconds, or None.
        total_round_trip_time: Sum of all, seconds.
        round_trip_time_measurements: How many those were.
        jitter_buffer_delay: Seconds that frames waited, whole, to be handed on: the sum of all.
        jitter_buffer_target_delay: Target of the smoothing when each frame was handed on, seconds: the sum of all.
        jitter_buffer_emitted_count: Frames handed on by the smoothing.
        remote_packets_sent: Of the last sender report, or None.
        remote_bytes_sent: Of the last sender report, or None.
        remote_timestamp: NTP time of the last sender report, seconds, or None.
    """

    ssrc: int | None
    packets_received: int
    packets_lost: int
    jitter: float
    bytes_received: int
    header_bytes_received: int
    last_packet_received: float | None
    frames_received: int
    frames_dropped: int
    key_frames_received: int
    packets_discarded: int
    packets_recovered: int
    retransmitted_packets_received: int
    retransmitted_bytes_received: int
    fec_packets_received: int
    fec_packets_recovered: int
    nack_count: int
    pli_count: int
    fir_count: int
    round_trip_time: float | None
    total_round_trip_time: float
    round_trip_time_measurements: int
    jitter_buffer_delay: float
    jitter_buffer_target_delay: float
    jitter_buffer_emitted_count: int
    remote_packets_sent: int | None = None
    remote_bytes_sent: int | None = None
    remote_timestamp: float | None = None


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
        plis: PLI messages sent.
        firs: FIR messages sent.
        keyframes_received: Keyframes among `frames_received`.
        header_bytes_received: Octets of headers, extensions and padding of `packets_received`, as far as told.
        retransmitted_packets: Packets of the retransmission stream, padding included.
        retransmitted_bytes: Payload octets of those.
        rtt: Last round trip that DLRR told, seconds; None before the first.
        total_rtt: Sum of all round trips measured, seconds.
        rtt_measurements: How many those were.
        fec_packets: Packets of forward error correction.
        fec_recovered: Packets that those repaired.
        last_packet: When the last packet arrived, seconds; None before the first.
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
        "fec_packets",
        "fec_recovered",
        "firs",
        "frames_dropped",
        "frames_received",
        "header_bytes_received",
        "highest",
        "jitter",
        "keyframes_received",
        "last_packet",
        "nacks",
        "packets_received",
        "packets_recovered",
        "plis",
        "retransmitted_bytes",
        "retransmitted_packets",
        "rtt",
        "rtt_measurements",
        "total_rtt",
    )

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self.packets_received = self.bytes_received = self.packets_recovered = 0
        self.frames_received = self.frames_dropped = self.keyframes_received = 0
        self.nacks = self.plis = self.firs = self.fec_packets = self.fec_recovered = 0
        self.retransmitted_packets = self.retransmitted_bytes = self.header_bytes_received = 0
        self.rtt: float | None = None
        self.total_rtt = 0.0
        self.rtt_measurements = 0
        self.last_packet: float | None = None
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
