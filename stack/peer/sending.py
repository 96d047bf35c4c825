"""What leaves of all RTP senders of a transport: in which order, how fast, and how much the path carries.

The senders hand out packets without bytes, the pacer says when each leaves, and only then it gets its numbers. The
estimator is told of each and of the peer's reports, and says what the encoders may produce together.
"""

from collections.abc import Sequence
from typing import Final

from .. import bwe, rtp
from ..rtp.sender import MAX_PADDING_BYTES
from .allocation import allocate
from .awaited import Awaited
from .configuration import Configuration
from .layers import Layer
from .reports import CCFB
from .transceiver import Transceiver

AUDIO_BITRATE: Final = 50_000
"""bit/s set aside for each audio stream with its headers: it is not asked to send less."""

SRTP_OVERHEAD: Final = 16
"""Octets that protection adds: the tag of AEAD, 10 with HMAC-SHA1 (RFC 7714 section 13, RFC 3711 section 4.2)."""

KINDS: Final = {
    rtp.PacketKind.AUDIO: bwe.Kind.AUDIO,
    rtp.PacketKind.RETRANSMISSION: bwe.Kind.RETRANSMISSION,
    rtp.PacketKind.VIDEO: bwe.Kind.VIDEO,
    rtp.PacketKind.PADDING: bwe.Kind.PADDING,
}


class Sending:
    """Pacer and estimator of one transport, and the senders before them.

    Args:
        configuration: Bitrates, and how long video may wait.

    Attributes:
        estimator: Made with the first sender: whether the peer reports on each packet is known only then.
        pacer: See `stack.bwe`.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self.pacer = bwe.Pacer(max_queue_time=configuration.max_send_delay)
        self.estimator: bwe.Estimator | None = None
        self._senders: dict[int, tuple[Transceiver, rtp.Sender]] = {}
        self._reported = False  # whether the estimate follows reports on single packets
        self._has_begun = False  # to send video
        self._numbers = 0  # of packets if it does not
        self._awaited = Awaited()  # if it follows those of RFC 8888
        self._keyframes: set[int] = set()
        self._shared = 0  # the target that was divided last

    def configure(self, transceivers: Sequence[Transceiver], now: float) -> None:
        """Take note of which transceivers send, after a negotiation."""
        before = self._senders
        self._senders = {}
        for transceiver in transceivers:
            for layer in transceiver.layers:
                if layer.sender is not None:
                    self._senders[layer.ssrc] = transceiver, layer.sender
        for ssrc in before.keys() - self._senders.keys():
            self.pacer.remove_stream(ssrc, now)
        reported = self._is_reported()
        if self._senders and (self.estimator is None or reported != self._reported):
            self._estimate(now, reported=reported)
        self._shared = 0

    def _is_reported(self) -> bool:
        """Whether reports on single packets tell what the path carries.

        Of video they must cover all: from reports on less than that an estimate does not rise beyond the rest.
        """
        of_video = [t.reports is not None for t, _ in self._senders.values() if t.kind == "video"]
        return all(of_video) if of_video else any(t.reports is not None for t, _ in self._senders.values())

    def _estimate(self, now: float, *, reported: bool) -> None:
        """Begin to estimate, from reports on single packets or without; again when a negotiation has changed that."""
        low, start, high = self._configuration.bitrates
        if self.estimator is not None:
            start = self.estimator.target_bitrate
        self._reported = reported
        self._awaited = Awaited()
        self.estimator = bwe.Estimator(
            min_bitrate=low, start_bitrate=start, max_bitrate=high, transport_feedback=reported
        )
        self.pacer.set_pacing_rate(self.estimator.pacing_rate, now)

    @property
    def target_bitrate(self) -> int | None:
        """What the path carries, bit/s; None before anything can be sent."""
        return None if self.estimator is None else self.estimator.target_bitrate

    # -- what comes in -----------------------------------------------------------------------------------------

    def receive_rtcp(self, packets: Sequence[rtp.RtcpPacket], now: float) -> None:
        """Look for what tells about the path; the senders have seen the packets before."""
        estimator = self.estimator
        if estimator is None:
            return
        for packet in packets:
            if isinstance(packet, rtp.TransportFeedback):
                if self._reported:
                    estimator.feedback(packet.arrivals(), now)
            elif isinstance(packet, rtp.CongestionFeedback):
                if self._reported:
                    estimator.feedback(self._awaited.arrivals(packet), now)
            elif isinstance(packet, rtp.ReceiverReport | rtp.SenderReport):
                for block in packet.reports:
                    if block.ssrc in self._senders:
                        sender = self._senders[block.ssrc][1]
                        estimator.report_block(block.fraction_lost / 256, sender.rtt, now)
            elif isinstance(packet, rtp.Remb):
                estimator.remb(packet.bitrate, now)

    def path_changed(self, now: float) -> None:
        """Packets take another way from now on."""
        if self.estimator is not None:
            self.estimator.path_changed(now)

    # -- what goes out -----------------------------------------------------------------------------------------

    def release(self, now: float) -> list[bytes]:
        """Return the RTP packets whose turn it is."""
        estimator, pacer = self.estimator, self.pacer
        if estimator is None:
            return []
        self._obey(now)
        waiting = [(ssrc, *known) for ssrc, known in self._senders.items() if known[1].has_output]
        if len(waiting) == 1 and (frame := self._let_pass(*waiting[0], estimator, now)):
            return frame
        out: list[bytes] = []
        for ssrc, transceiver, sender in waiting:
            apart = self._is_apart(transceiver)
            packets = sender.packets_to_send(now)
            if packets and transceiver.kind == "video" and not self._has_begun:
                self._has_begun = True
                estimator.expect_more(now)
                self._obey(now)
            for packet in packets:
                if apart:
                    out.append(sender.serialize(packet, now))
                else:
                    pacer.send(_paced(packet, ssrc), now)
        while True:
            due = pacer.datagrams_to_send(now)
            out += [data for paced in due if (data := self._leave(paced, estimator, now)) is not None]
            self._obey(now)
            if not due and not self._pad(pacer.padding_needed(now), now):
                return out

    def _let_pass(
        self, ssrc: int, transceiver: Transceiver, sender: rtp.Sender, estimator: bwe.Estimator, now: float
    ) -> list[bytes]:
        """Return a frame of video that would leave at once whole, as nearly all do; nothing if it would not.

        What the pacer does for each packet, and what is done for each around it, is most of what it costs to send.
        """
        size = sender.octets_at_once
        if not size or not self._has_begun or transceiver.kind != "video":
            return []
        if not self.pacer.let_pass(ssrc, size + sender.queued_packets * SRTP_OVERHEAD, now):
            return []
        packets, numbers = sender.frames_to_send(now)
        if not self._reported or transceiver.reports == CCFB:
            numbers = [self._number(transceiver, ssrc, data[2] << 8 | data[3]) for data in packets]
        if numbers:
            sizes = [len(data) + SRTP_OVERHEAD for data in packets]
            estimator.packets_sent(list(zip(numbers, sizes, strict=True)), now)
        return packets

    def _number(self, transceiver: Transceiver, ssrc: int, sequence_number: int) -> int:
        """Number a packet for the estimator where it has no transport-wide sequence number."""
        if self._reported and transceiver.reports == CCFB:
            return self._awaited.add(ssrc, sequence_number)
        self._numbers = (self._numbers + 1) & 0xFFFF
        return self._numbers

    def _is_apart(self, transceiver: Transceiver) -> bool:
        """Whether this is sound that the target does not include, as the peer reports on packets of video only.

        It leaves at once: counted as what the target allows, it would leave nothing to video on a narrow path, and
        with nothing to report on the target would stay there.
        """
        return self._reported and transceiver.kind == "audio" and transceiver.reports is None

    def _leave(self, paced: bwe.PacedPacket, estimator: bwe.Estimator, now: float) -> bytes | None:
        """Give a packet its bytes; None if its sender has stopped since."""
        ssrc, packet = paced.item
        known = self._senders.get(ssrc)
        if known is None:
            return None
        data = known[1].serialize(packet, now)
        number = packet.transport_sequence_number
        if not self._reported or known[0].reports == CCFB:
            number = self._number(known[0], packet.ssrc, packet.sequence_number or 0)
        if number is None:
            return data  # the peer reports on others only, and a number of ours would be taken for one of theirs
        estimator.packet_sent(number, len(data) + SRTP_OVERHEAD, now, probe=paced.probe)
        return data

    def _pad(self, size: int, now: float) -> bool:
        """Have a sender of video make packets for a probe that has nothing else to send; tell whether it did."""
        if not size:
            return False
        for ssrc, (transceiver, sender) in self._senders.items():
            if transceiver.kind != "video" or transceiver.reports is None:
                continue
            packets = sender.padding(min(size, MAX_PADDING_BYTES), now)
            for packet in packets:
                self.pacer.send(_paced(packet, ssrc), now)
            if packets:
                return True
        return False

    def _obey(self, now: float) -> None:
        """Carry out what estimator and pacer say."""
        estimator, pacer = self.estimator, self.pacer
        while estimator is not None and (event := estimator.next_event()) is not None:
            if isinstance(event, bwe.TargetBitrateChanged):
                pacer.set_pacing_rate(event.pacing_rate, now)
            elif isinstance(event, bwe.ProbeRequested) and self._has_begun:  # sound alone cannot fill a cluster
                pacer.probe(event.cluster, now)
        while (dropped := pacer.next_event()) is not None:
            if isinstance(dropped, bwe.KeyframeNeeded) and dropped.stream in self._senders:
                self._keyframes.add(dropped.stream)
        lost: dict[int, list[rtp.Outgoing]] = {}
        for paced in pacer.take_dropped():
            ssrc, packet = paced.item
            lost.setdefault(ssrc, []).append(packet)
        for ssrc, packets in lost.items():
            if ssrc in self._senders:  # a gap in the numbers, so that nobody takes what follows for complete
                self._senders[ssrc][1].discard(packets, now)

    # -- what the encoders are told ----------------------------------------------------------------------------

    def take_targets(self) -> list[tuple[Transceiver, Layer, int]]:
        """Return the bitrate of each encoding of video, if what the path carries has changed since this was asked last.

        The transceivers have equal shares but for their limits; see `allocation` for the encodings of one.
        """
        if self.estimator is None or (target := self.estimator.target_bitrate) == self._shared:
            return []
        self._shared = target
        senders = {id(transceiver): transceiver for transceiver, _ in self._senders.values()}.values()
        videos = [transceiver for transceiver in senders if transceiver.kind == "video"]
        audios = [t for t in senders if t.kind == "audio" and not self._is_apart(t)]
        left = target - AUDIO_BITRATE * len(audios)
        shares: list[tuple[Transceiver, Layer, int]] = []
        # Those who may send little first, so that what they leave is the others'.
        videos.sort(key=lambda transceiver: _limit(transceiver.max_bitrate))
        for index, transceiver in enumerate(videos):
            share = max(left // (len(videos) - index), self._configuration.bitrates[0] // max(len(videos), 1))
            if transceiver.max_bitrate is not None:
                share = min(share, transceiver.max_bitrate)
            left -= share
            layers = transceiver.layers
            parts = allocate(layers, share) if transceiver.simulcast else [share]
            shares += [(transceiver, layer, part) for layer, part in zip(layers, parts, strict=True)]
        return shares

    def take_keyframe_requests(self) -> list[tuple[Transceiver, Layer]]:
        """Return the streams of which pictures were dropped here, so that only a key frame helps."""
        if not self._keyframes:
            return []
        wanted, self._keyframes = self._keyframes, set()
        transceivers = {id(transceiver): transceiver for transceiver, _ in self._senders.values()}.values()
        return [(t, layer) for t in transceivers for layer in t.layers if layer.ssrc in wanted]

    def share_again(self) -> None:
        """Have `take_targets` report once more: a stream's own limit has changed."""
        self._shared = 0

    # -- time --------------------------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        """Pass time on."""
        self.pacer.handle_timer(now)
        if self.estimator is not None:
            self.estimator.handle_timer(now)

    def close(self, now: float) -> None:
        """Forget what waits: the senders say BYE."""
        self._senders.clear()
        self.pacer.close(now)
        if self.estimator is not None:
            self.estimator.close(now)
            self.estimator = None

    def next_timer(self) -> float | None:
        """The earlier deadline of both."""
        times = [self.pacer.next_timer(), self.estimator.next_timer() if self.estimator is not None else None]
        return min((time for time in times if time is not None), default=None)


def _paced(packet: rtp.Outgoing, ssrc: int) -> bwe.PacedPacket:
    return bwe.PacedPacket(
        (ssrc, packet), packet.size + SRTP_OVERHEAD, KINDS[packet.kind], ssrc, packet.keyframe, packet.first
    )


def _limit(bitrate: int | None) -> float:
    return float("inf") if bitrate is None else bitrate
