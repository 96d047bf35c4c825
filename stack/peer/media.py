"""RTP of all transceivers over one transport: which packet belongs to whom, and who may send (RFC 9143 section 9.2)."""

from collections import Counter
from collections.abc import Iterator
from typing import Final, TypeAlias

from .. import rtp
from ..core import LocalError, ParseError, RandomBytes
from .configuration import Configuration
from .remb import RembFeedback
from .reporting import Generator, Reporting
from .reports import TRANSPORT_CC
from .sending import Sending
from .transceiver import Transceiver, receives, sends
from .transport import Transport

RTP_OVERHEAD: Final = 60
"""Bytes of an RTP packet beside its payload: header 12, our header extensions up to 46, and the RTX number 2."""

RtpMachine: TypeAlias = rtp.Sender | rtp.Receiver | Generator


class Media:
    """Owns the RTP senders and receivers of a connection and routes packets to them.

    Args:
        transport: Where packets go.
        random_bytes: Source of randomness.
        cname: RTCP canonical name.
        configuration: Settings.
    """

    def __init__(
        self, transport: Transport, *, random_bytes: RandomBytes, cname: str, configuration: Configuration
    ) -> None:
        self._configuration = configuration
        self._transport = transport
        self._random_bytes = random_bytes
        self._cname = cname
        self._transceivers: list[Transceiver] = []
        self._demultiplexer: rtp.Demultiplexer[Transceiver] = rtp.Demultiplexer()
        self.sending = Sending(configuration)
        self._remb = RembFeedback(configuration.bitrates)
        self._path_changes = 0
        self._dropped: Counter[str] = Counter()
        self._reporting = Reporting(int.from_bytes(random_bytes(4), "big"), configuration.ntp_offset)
        self._transport_sequence = 0

    # -- negotiation -------------------------------------------------------------------------------------------

    def configure(self, transceivers: list[Transceiver], now: float) -> None:
        """Start and stop senders and receivers as the negotiation decided."""
        self._transceivers = [transceiver for transceiver in transceivers if not transceiver.stopped]
        for transceiver in transceivers:
            direction = transceiver.current_direction
            if transceiver.stopped or not transceiver.codecs:
                direction = "inactive"
            self._configure_sender(transceiver, wanted=sends(direction), now=now)
            self._configure_receiver(transceiver, wanted=receives(direction), now=now)
        self._configure_routes()
        self._transport.media.encrypt_extensions({t.extensions[uri] for t in self._transceivers for uri in t.encrypted})
        self._reporting.configure(self._transceivers, now)
        self.sending.configure(self._transceivers, now)
        self._remb.configure(self._transceivers)

    def _configure_routes(self) -> None:
        """What was learned is learned again from the next packets, in which the peer's MID tells."""
        self._dropped += self._demultiplexer.dropped
        receiving = [transceiver for transceiver in self._transceivers if transceiver.receiver is not None]
        identifiers = {uri: number for transceiver in receiving for uri, number in transceiver.extensions.items()}
        self._demultiplexer = rtp.Demultiplexer(rtp.ExtensionMap(identifiers))
        taken: set[int] = set()
        for transceiver in receiving:
            types = {item.payload_type for item in transceiver.codecs}
            types |= {item.rtx_payload_type for item in transceiver.codecs if item.rtx_payload_type is not None}
            ssrcs = set(transceiver.remote_ssrcs) - taken  # an SSRC that two sections claim is the first one's
            taken |= ssrcs
            try:
                self._demultiplexer.add(transceiver, mid=transceiver.mid, payload_types=types, ssrcs=ssrcs)
            except LocalError:
                self._dropped["too-many-ssrcs"] += 1

    def _configure_sender(self, transceiver: Transceiver, *, wanted: bool, now: float) -> None:
        if not wanted:
            if transceiver.sender is not None:
                transceiver.sender.close(now)
                self._forward(transceiver.sender, now)
                transceiver.sender = None
            return
        extensions = rtp.ExtensionMap(transceiver.extensions)
        numbers = self._next_transport_sequence if transceiver.reports == TRANSPORT_CC else None
        if transceiver.sender is not None:
            transceiver.sender.map_extensions(extensions, numbers)
            return
        item, configuration = transceiver.codecs[0], self._configuration
        rtx = item.rtx_payload_type
        transceiver.sender = rtp.Sender(
            ssrc=transceiver.ssrc,
            payload_type=item.payload_type,
            clock_rate=item.codec.clock_rate,
            mime=item.codec.mime_type,
            cname=self._cname,
            random_bytes=self._random_bytes,
            mid=transceiver.mid,
            extension_map=extensions,
            parameters={key: value or "" for key, value in item.remote_parameters.items()},
            rtx_ssrc=transceiver.rtx_ssrc if rtx is not None else None,
            rtx_payload_type=rtx,
            max_payload=self._transport.max_rtp_size - RTP_OVERHEAD,
            ntp_offset=configuration.ntp_offset,
            playout_delay=configuration.playout_delay,
            next_transport_sequence=numbers,
        )

    def _configure_receiver(self, transceiver: Transceiver, *, wanted: bool, now: float) -> None:
        if not wanted:
            if transceiver.receiver is not None:
                transceiver.receiver.close(now)
                self._forward(transceiver.receiver, now)
                transceiver.receiver = None
            return
        if transceiver.receiver is not None:
            return
        feedback = set(transceiver.codecs[0].codec.feedback)
        transceiver.receiver = rtp.Receiver(
            local_ssrc=transceiver.ssrc,
            remote_ssrc=transceiver.remote_ssrcs[0] if len(transceiver.remote_ssrcs) == 1 else None,
            codecs={item.payload_type: (item.codec.mime_type, item.codec.clock_rate) for item in transceiver.codecs},
            rtx={i.rtx_payload_type: i.payload_type for i in transceiver.codecs if i.rtx_payload_type is not None},
            extension_map=rtp.ExtensionMap(transceiver.extensions),
            random_bytes=self._random_bytes,
            cname=self._cname,
            nack="nack" in feedback,
            pli="nack pli" in feedback,
            fir="ccm fir" in feedback,
            remb="goog-remb" in feedback and transceiver.reports is None,
            reduced_size=True,  # every description of ours has a=rtcp-rsize, and no browser lacks it
        )

    def _next_transport_sequence(self) -> int:
        self._transport_sequence = (self._transport_sequence + 1) & 0xFFFF
        return self._transport_sequence

    # -- packets -----------------------------------------------------------------------------------------------

    def receive(self, now: float) -> None:
        """Take what the transport decrypted and give each packet to its receiver; RTCP to all, which filter by SSRC."""
        transport = self._transport
        for data in transport.media.take_rtp():
            self._receive_packet(data, now)
        for data in transport.media.take_rtcp():
            self._receive_report(data, now)
        rtt = transport.ice.rtt
        if rtt is not None:
            for transceiver in self._transceivers:
                if transceiver.receiver is not None:
                    transceiver.receiver.rtt = rtt

    def _receive_packet(self, data: bytes, now: float) -> None:
        try:
            packet = rtp.Packet.parse(data)
        except ParseError as error:
            self._transport.count_drop(f"rtp-{error.reason}")
            return
        destination = self._demultiplexer.destination_of(packet)
        if destination is None or destination.route.receiver is None:
            self._transport.count_drop("rtp-unrouted")
            return
        self._reporting.receive_packet(destination.route, packet, now)
        self._remb.receive_packet(destination.route, packet, len(data), now)
        destination.route.received_payload_type = packet.payload_type
        destination.route.receiver.receive_packet(packet, now, data)

    def _receive_report(self, data: bytes, now: float) -> None:
        """Give a compound to all: each looks for its SSRC."""
        try:
            packets = rtp.parse_rtcp(data)
        except ParseError as error:
            self._transport.count_drop(f"rtcp-{error.reason}")
            return
        for transceiver in self._transceivers:
            if transceiver.sender is not None:
                transceiver.sender.receive_rtcp(packets, now)
            if transceiver.receiver is not None:
                transceiver.receiver.receive_rtcp(packets, now)
        for packet in packets:
            if isinstance(packet, rtp.SourceDescription):
                self._demultiplexer.receive_description(packet)
        self.sending.receive_rtcp(packets, now)

    def send(self, now: float) -> None:
        """Move what senders and receivers want to send to the transport, as far as its turn has come."""
        if not self._transport.media.can_send:
            return
        if self._transport.path_changes != self._path_changes:
            self._path_changes = self._transport.path_changes
            self.sending.path_changed(now)
        packets = self.sending.release(now)
        if packets:
            self._transport.media.send(packets)
        for machine in self._machines():
            self._forward(machine, now)

    def _forward(self, machine: RtpMachine, now: float) -> None:
        packets = machine.datagrams_to_send(now)
        if packets:
            self._transport.media.send(packets)

    def _machines(self) -> Iterator[RtpMachine]:
        for transceiver in self._transceivers:
            if transceiver.sender is not None:
                yield transceiver.sender
            if transceiver.receiver is not None:
                yield transceiver.receiver
        if self._reporting.generator is not None:
            yield self._reporting.generator

    def handle_timer(self, now: float) -> None:
        """Pass time on."""
        for machine in self._machines():
            machine.handle_timer(now)
        self.sending.handle_timer(now)
        self._remb.handle_timer(now)

    def next_timer(self) -> float | None:
        """The earliest deadline; none before media can be sent, since nothing could leave."""
        if not self._transport.media.can_send:
            return None
        times = [
            self.sending.next_timer(),
            self._remb.next_timer(),
            *(machine.next_timer() for machine in self._machines()),
        ]
        return min((due for due in times if due is not None), default=None)

    def close(self, now: float) -> None:
        """Say BYE on every stream."""
        self.sending.close(now)
        self._remb.close(now)
        for machine in self._machines():
            machine.close(now)
        self.send(now)
