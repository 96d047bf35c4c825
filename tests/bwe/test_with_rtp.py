"""The chain that a peer builds: rtp.Sender, pacer, wire, arrivals, transport feedback, estimator."""

import itertools
import random

from stack import rtp
from stack.bwe import Estimator, Kind, PacedPacket, Pacer, ProbeRequested, TargetBitrateChanged
from stack.rtp import rtcp
from stack.testing import Conditions, Pipe, seeded_random_bytes

KINDS = {
    rtp.PacketKind.AUDIO: Kind.AUDIO,
    rtp.PacketKind.RETRANSMISSION: Kind.RETRANSMISSION,
    rtp.PacketKind.VIDEO: Kind.VIDEO,
    rtp.PacketKind.PADDING: Kind.PADDING,
}
START = 1000.0
EXTENSIONS = rtp.ExtensionMap({rtp.TRANSPORT_CC: 3})


class Chain:
    """One video stream over a pipe, and its reports 20 ms later."""

    def __init__(self, conditions):
        numbers = itertools.count(1)
        self.sender = rtp.Sender(
            ssrc=1, payload_type=96, clock_rate=90_000, mime="video/VP8", cname="c",
            random_bytes=seeded_random_bytes(1),
            extension_map=EXTENSIONS, rtx_ssrc=2, rtx_payload_type=97,
            next_transport_sequence=lambda: next(numbers) & 0xFFFF,
        )  # fmt: skip
        self.estimator = Estimator(start_bitrate=300_000, max_bitrate=3_000_000)
        self.pacer = Pacer(pacing_rate=self.estimator.pacing_rate)
        self.reporter = rtp.TransportFeedbackGenerator(ssrc=9, extension_id=3, interval=0.05)
        self.pipe, self.random = Pipe(conditions), random.Random(1)
        self.on_the_way, self.reports, self.now = [], [], START
        self.keyframes = self.discarded = self.received = 0

    def queue(self, packets):
        for packet in packets:
            kind = KINDS[packet.kind]
            self.pacer.send(
                PacedPacket(packet, packet.size, kind, packet.ssrc, packet.keyframe, packet.first), self.now
            )

    def flush(self):
        now, estimator, pacer, sender = self.now, self.estimator, self.pacer, self.sender
        while (event := estimator.next_event()) is not None:
            match event:
                case TargetBitrateChanged(_, pacing_rate):
                    pacer.set_pacing_rate(pacing_rate, now)
                case ProbeRequested(cluster):
                    pacer.probe(cluster, now)
        self.queue(sender.packets_to_send(now))
        while True:
            for packet in pacer.datagrams_to_send(now):
                datagram = sender.serialize(packet.item, now)
                estimator.packet_sent(packet.item.transport_sequence_number, len(datagram), now, probe=packet.probe)
                arrives = self.pipe.carry(len(datagram), now, self.random)
                self.on_the_way += [(arrival, datagram) for arrival in arrives]
            wanted = pacer.padding_needed(now)
            padding = sender.padding(wanted, now) if wanted else []
            if not padding:
                break
            self.queue(padding)
        dropped = [packet.item for packet in pacer.take_dropped()]
        if dropped:
            sender.discard(dropped, now)
            self.discarded += len(dropped)

    def run(self, seconds):
        """Steps of a millisecond."""
        begin, estimator = self.now, self.estimator
        for step in range(round(seconds * 1000)):
            self.now = now = begin + step / 1000
            if step % 33 == 0:
                size = int(estimator.target_bitrate * 0.95 * 0.033 / 8)
                keyframe = self.keyframes == 0
                self.keyframes += keyframe
                self.sender.send_frame(
                    (b"\x10" if keyframe else b"\x11") + b"\x00\x00\x9d\x01\x2a\x00\x05\xd0\x02" + bytes(size),
                    int(now * 90_000), now, keyframe=keyframe,
                )  # fmt: skip
            self.pacer.handle_timer(now)
            estimator.handle_timer(now)
            for item in [item for item in self.on_the_way if item[0] <= now]:
                self.on_the_way.remove(item)
                self.received += 1
                self.reporter.receive_datagram(item[1], item[0])
            self.reporter.handle_timer(now)
            self.reports += [(now + 0.02, report) for report in self.reporter.datagrams_to_send(now)]
            while self.reports and self.reports[0][0] <= now:
                (feedback,) = rtcp.parse(self.reports.pop(0)[1])
                estimator.feedback(feedback.arrivals(), now)
            self.flush()


def test_the_target_finds_the_capacity():
    chain = Chain(Conditions(delay=0.02, rate=1_500_000, queue=60_000))
    chain.run(8.0)
    assert 1_000_000 < chain.estimator.target_bitrate < 1_600_000
    assert chain.estimator.queue_delay < 0.1
    assert chain.estimator.dropped.total() == 0
    assert chain.received > 500


def test_padding_probes_beyond_what_the_encoder_makes():
    chain = Chain(Conditions(delay=0.02, rate=3_000_000, queue=100_000))
    chain.run(1.0)
    assert chain.sender.stats.padding_packets + chain.sender.stats.retransmitted > 0
    assert chain.estimator.target_bitrate > 900_000
