"""RTP of all transceivers over one transport: which packet belongs to whom, and who may send (RFC 9143 section 9.2)."""

from collections.abc import Iterator
from typing import Final, TypeAlias

from .. import rtp
from ..core import ParseError, RandomBytes
from .configuration import Configuration
from .transceiver import Transceiver, receives, sends
from .transport import Transport

MAX_ROUTES: Final = 256
"""SSRCs remembered per connection; a peer that invents new ones is no longer followed past that."""


RTP_OVERHEAD: Final = 60
"""Bytes of an RTP packet beside its payload: header 12, our header extensions up to 46, and the RTX number 2."""

RtpMachine: TypeAlias = rtp.Sender | rtp.Receiver | rtp.TransportFeedbackGenerator


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
        self._by_ssrc: dict[int, Transceiver] = {}
        self._by_mid: dict[str, Transceiver] = {}
        self._by_payload_type: dict[int, Transceiver | None] = {}
        self._mid_id: int | None = None
        self._feedback: rtp.TransportFeedbackGenerator | None = None
        self._transport_sequence = 0
        self._local_ssrc = int.from_bytes(random_bytes(4), "big")

    # -- negotiation -------------------------------------------------------------------------------------------

    def configure(self, transceivers: list[Transceiver], now: float) -> None:
        """Start and stop senders and receivers as the negotiation decided."""
        self._transceivers = list(transceivers)
        self._by_mid.clear()
        self._by_payload_type.clear()
        self._by_ssrc.clear()  # learned again from the next packets, in which the peer's MID tells
        for transceiver in transceivers:
            direction = transceiver.current_direction
            if transceiver.stopped or not transceiver.codecs:
                direction = "inactive"
            self._configure_sender(transceiver, wanted=sends(direction), now=now)
            self._configure_receiver(transceiver, wanted=receives(direction), now=now)
            if transceiver.receiver is None or transceiver.mid is None:
                continue
            self._by_mid[transceiver.mid] = transceiver
            self._mid_id = transceiver.extensions.get(rtp.MID, self._mid_id)
            for ssrc in transceiver.remote_ssrcs:
                self._remember(ssrc, transceiver)
            for item in transceiver.codecs:
                known = self._by_payload_type.get(item.payload_type, transceiver)
                # A payload type of two sections identifies neither (RFC 9143 section 9.2).
                self._by_payload_type[item.payload_type] = transceiver if known is transceiver else None
                if item.rtx_payload_type is not None:
                    self._by_payload_type.setdefault(item.rtx_payload_type, transceiver)

    def _configure_sender(self, transceiver: Transceiver, *, wanted: bool, now: float) -> None:
        if not wanted:
            if transceiver.sender is not None:
                transceiver.sender.close(now)
                self._forward(transceiver.sender, now)
                transceiver.sender = None
            return
        if transceiver.sender is not None:
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
            extension_map=rtp.ExtensionMap(transceiver.extensions),
            rtx_ssrc=transceiver.rtx_ssrc if rtx is not None else None,
            rtx_payload_type=rtx,
            max_payload=self._transport.max_rtp_size - RTP_OVERHEAD,
            ntp_offset=configuration.ntp_offset,
            playout_delay=configuration.playout_delay,
            next_transport_sequence=self._next_transport_sequence
            if rtp.TRANSPORT_CC in transceiver.extensions
            else None,
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
            remb="goog-remb" in feedback and "transport-cc" not in feedback,
            reduced_size=True,  # every description of ours has a=rtcp-rsize, and no browser lacks it
        )
        extension = transceiver.extensions.get(rtp.TRANSPORT_CC)
        if extension is not None and "transport-cc" in feedback and self._feedback is None:
            self._feedback = rtp.TransportFeedbackGenerator(ssrc=self._local_ssrc, extension_id=extension)

    def _next_transport_sequence(self) -> int:
        self._transport_sequence = (self._transport_sequence + 1) & 0xFFFF
        return self._transport_sequence

    # -- packets -----------------------------------------------------------------------------------------------

    def receive(self, now: float) -> None:
        """Take what the transport decrypted and give each packet to its receiver; RTCP to all, which filter by SSRC."""
        transport = self._transport
        for data in transport.take_rtp():
            transceiver = self._route(data)
            if transceiver is None or transceiver.receiver is None:
                transport.count_drop("rtp-unrouted")
                continue
            if self._feedback is not None:
                self._feedback.receive_datagram(data, now)
            transceiver.receiver.receive_datagram(data, now)
        for data in transport.take_rtcp():
            for machine in self._machines():
                machine.receive_datagram(data, now)
        rtt = transport.ice.rtt
        if rtt is not None:
            for transceiver in self._transceivers:
                if transceiver.receiver is not None:
                    transceiver.receiver.rtt = rtt

    def _route(self, data: bytes) -> Transceiver | None:
        """RFC 9143 section 9.2: known SSRC, else the MID of the packet, else a payload type that one section has."""
        if len(data) < 12:
            return None
        ssrc = int.from_bytes(data[8:12], "big")
        transceiver = self._by_ssrc.get(ssrc)
        if transceiver is not None:
            return transceiver
        if self._mid_id is not None and data[0] & 0x10:
            try:
                mid = rtp.Packet.parse(data).extensions.get(self._mid_id)
            except ParseError:
                return None
            if mid is not None:
                transceiver = self._by_mid.get(mid.decode("ascii", "replace"))
        if transceiver is None:
            transceiver = self._by_payload_type.get(data[1] & 0x7F)
        if transceiver is not None:
            self._remember(ssrc, transceiver)
        return transceiver

    def _remember(self, ssrc: int, transceiver: Transceiver) -> None:
        if len(self._by_ssrc) < MAX_ROUTES:
            self._by_ssrc[ssrc] = transceiver

    def send(self, now: float) -> None:
        """Move what senders and receivers want to send to the transport."""
        if not self._transport.can_send_media:
            return
        for machine in self._machines():
            self._forward(machine, now)

    def _forward(self, machine: RtpMachine, now: float) -> None:
        packets = machine.datagrams_to_send(now)
        if packets:
            self._transport.send_media(packets)

    def _machines(self) -> Iterator[RtpMachine]:
        for transceiver in self._transceivers:
            if transceiver.sender is not None:
                yield transceiver.sender
            if transceiver.receiver is not None:
                yield transceiver.receiver
        if self._feedback is not None:
            yield self._feedback

    def handle_timer(self, now: float) -> None:
        """Pass time on."""
        for machine in self._machines():
            machine.handle_timer(now)

    def next_timer(self) -> float | None:
        """The earliest deadline; none before media can be sent, since nothing could leave."""
        if not self._transport.can_send_media:
            return None
        return min((due for machine in self._machines() if (due := machine.next_timer()) is not None), default=None)

    def close(self, now: float) -> None:
        """Say BYE on every stream."""
        for machine in self._machines():
            machine.close(now)
        self.send(now)
