"""RTP of all transceivers over one transport: which packet belongs to whom, and who may send (RFC 9143 section 9.2)."""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from .. import rtp
from ..core import LocalError, ParseError, RandomBytes
from .configuration import Configuration
from .layers import Layer, Reception
from .remb import RembFeedback
from .reporting import Generator, Reporting
from .reports import TRANSPORT_CC
from .selection import Selection
from .sending import Sending
from .transceiver import Transceiver, receives, sends
from .transport import Transport

RTP_OVERHEAD: Final = 60
"""Bytes of an RTP packet beside its payload: header 12, our header extensions up to 46, and the RTX number 2; beside
these a rid takes its length and two."""

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
        self._layers: list[Layer] = []  # that have a sender
        self._demultiplexer: rtp.Demultiplexer[Transceiver] = rtp.Demultiplexer()
        self.sending = Sending(configuration)
        self._remb = RembFeedback(configuration.bitrates)
        self._path_changes = 0
        self._dropped: Counter[str] = Counter()
        self._reporting = Reporting(int.from_bytes(random_bytes(4), "big"), configuration.ntp_offset)
        self._next_transport_sequence = itertools.count(1).__next__  # of which 16 bits count
        self._machines: list[RtpMachine] = []

    # -- negotiation -------------------------------------------------------------------------------------------

    def configure(self, transceivers: list[Transceiver], now: float) -> None:
        """Start and stop senders and receivers as the negotiation decided."""
        self._transceivers = [transceiver for transceiver in transceivers if not transceiver.stopped]
        before, self._layers = self._layers, []
        for transceiver in transceivers:
            direction = transceiver.current_direction
            if transceiver.stopped or not transceiver.codecs:
                direction = "inactive"
            if sends(direction):
                self._layers += transceiver.layers
                self._configure_senders(transceiver)
            self._configure_receivers(transceiver, wanted=receives(direction), now=now)
        kept = {id(layer) for layer in self._layers}
        for layer in before:
            if layer.sender is not None and id(layer) not in kept:
                self._end(layer.sender, now)
                layer.sender = layer.target_bitrate = None
        self._configure_routes()
        self._transport.media.encrypt_extensions({t.extensions[uri] for t in self._transceivers for uri in t.encrypted})
        self._reporting.configure(self._transceivers, now)
        self.sending.configure(self._transceivers, now)
        self._remb.configure(self._transceivers)
        self._machines = [*self._streams()]
        if self._reporting.generator is not None:
            self._machines.append(self._reporting.generator)

    def _configure_routes(self) -> None:
        """What was learned is kept: a peer says in its first packets only where they belong."""
        before = self._demultiplexer
        self._dropped += before.dropped
        receiving = [transceiver for transceiver in self._transceivers if transceiver.receptions]
        identifiers = {uri: number for transceiver in receiving for uri, number in transceiver.extensions.items()}
        self._demultiplexer = rtp.Demultiplexer(rtp.ExtensionMap(identifiers))
        taken: set[int] = set()
        for transceiver in receiving:
            types = {item.payload_type for item in transceiver.codecs}
            types |= {item.rtx_payload_type for item in transceiver.codecs if item.rtx_payload_type is not None}
            ssrcs = set(transceiver.remote_ssrcs) - taken  # an SSRC that two sections claim is the first one's
            taken |= ssrcs
            try:
                self._demultiplexer.add(
                    transceiver,
                    mid=transceiver.mid,
                    rids=transceiver.remote_rids,
                    payload_types=types,
                    ssrcs=ssrcs,
                )
            except LocalError:
                self._dropped["too-many-ssrcs"] += 1
        self._demultiplexer.take_over(before)

    def _end(self, machine: RtpMachine, now: float) -> None:
        machine.close(now)
        self._forward(machine, now)

    def _configure_senders(self, transceiver: Transceiver) -> None:
        extensions = rtp.ExtensionMap(transceiver.extensions)
        numbers = self._next_transport_sequence if transceiver.reports == TRANSPORT_CC else None
        for layer in transceiver.layers:
            if layer.sender is None:
                layer.sender = self._new_sender(transceiver, layer)
            elif layer.sender.payload_type != transceiver.codecs[0].payload_type:
                layer.sender.use_codec(**_codec_of(transceiver, layer))
            layer.sender.map_extensions(extensions, numbers)

    def _new_sender(self, transceiver: Transceiver, layer: Layer) -> rtp.Sender:
        configuration = self._configuration
        rid = layer.rid if transceiver.simulcast else None
        return rtp.Sender(
            ssrc=layer.ssrc,
            **_codec_of(transceiver, layer),
            cname=self._cname,
            random_bytes=self._random_bytes,
            mid=transceiver.mid,
            rid=rid,
            max_payload=self._transport.max_rtp_size - RTP_OVERHEAD - (0 if rid is None else len(rid) + 2),
            ntp_offset=configuration.ntp_offset,
            playout_delay=configuration.playout_delay,
        )

    def _configure_receivers(self, transceiver: Transceiver, *, wanted: bool, now: float) -> None:
        rids: tuple[str | None, ...] = (transceiver.remote_rids or (None,)) if wanted else ()
        receptions = transceiver.receptions
        for rid in [rid for rid in receptions if rid not in rids]:
            self._end(receptions.pop(rid).receiver, now)
        if any(rid not in receptions for rid in rids) or not transceiver.remote_rids:
            transceiver.selection = Selection(transceiver.remote_rids) if wanted and transceiver.remote_rids else None
        codecs, rtx = _codecs_of(transceiver), _rtx_of(transceiver)
        for rid in rids:
            known = receptions.get(rid)
            if known is not None and known.receiver.clock_rate != transceiver.codecs[0].codec.clock_rate:
                self._end(known.receiver, now)
                known = None
            if known is None:
                receptions[rid] = Reception(rid, self._new_receiver(transceiver, rid))
            else:
                known.receiver.renegotiate(codecs, rtx, rtp.ExtensionMap(transceiver.extensions))

    def _new_receiver(self, transceiver: Transceiver, rid: str | None) -> rtp.Receiver:
        feedback = set(transceiver.codecs[0].codec.feedback)
        known = transceiver.remote_ssrcs
        return rtp.Receiver(
            # Reports on each encoding have a source of their own, whose end is not that of the others.
            local_ssrc=transceiver.ssrc if rid is None else int.from_bytes(self._random_bytes(4), "big"),
            remote_ssrc=known[0] if len(known) == 1 and rid is None else None,
            codecs=_codecs_of(transceiver),
            rtx=_rtx_of(transceiver),
            extension_map=rtp.ExtensionMap(transceiver.extensions),
            random_bytes=self._random_bytes,
            cname=self._cname,
            nack="nack" in feedback,
            pli="nack pli" in feedback,
            fir="ccm fir" in feedback,
            remb="goog-remb" in feedback and transceiver.reports is None,
            reduced_size=True,  # every description of ours has a=rtcp-rsize, and no browser lacks it
        )

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
                for reception in transceiver.receptions.values():
                    reception.receiver.rtt = rtt

    def _receive_packet(self, data: bytes, now: float) -> None:
        try:
            packet = rtp.Packet.parse(data)
        except ParseError as error:
            self._transport.count_drop(f"rtp-{error.reason}")
            return
        destination = self._demultiplexer.destination_of(packet)
        if destination is None or (reception := destination.route.receptions.get(destination.rid)) is None:
            self._transport.count_drop("rtp-unrouted")
            return
        receiver = reception.receiver
        self._reporting.receive_packet(destination.route, packet, now)
        self._remb.receive_packet(receiver, packet, len(data), now)
        reception.payload_type = packet.payload_type
        receiver.receive_packet(packet, now, data)

    def _receive_report(self, data: bytes, now: float) -> None:
        """Give a compound to all: each looks for its SSRC."""
        try:
            packets = rtp.parse_rtcp(data)
        except ParseError as error:
            self._transport.count_drop(f"rtcp-{error.reason}")
            return
        for machine in self._streams():
            machine.receive_rtcp(packets, now)
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
            self._transport.media.send_rtp(packets)
        for machine in self._machines:
            self._forward(machine, now)

    def _forward(self, machine: RtpMachine, now: float) -> None:
        packets = machine.datagrams_to_send(now)
        if packets:
            self._transport.media.send(packets)

    def _streams(self) -> Iterator[rtp.Sender | rtp.Receiver]:
        for transceiver in self._transceivers:
            for layer in transceiver.layers:
                if layer.sender is not None:
                    yield layer.sender
            for reception in transceiver.receptions.values():
                yield reception.receiver

    def handle_timer(self, now: float) -> None:
        """Pass time on."""
        for machine in self._machines:
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
            *(machine.next_timer() for machine in self._machines),
        ]
        return min((due for due in times if due is not None), default=None)

    def close(self, now: float) -> None:
        """Say BYE on every stream."""
        self.sending.close(now)
        self._remb.close(now)
        for machine in self._machines:
            machine.close(now)
        self.send(now)


def _codec_of(transceiver: Transceiver, layer: Layer) -> dict[str, Any]:
    """Return what an `rtp.Sender` is to know of the codec: the first one that was agreed."""
    item = transceiver.codecs[0]
    return {
        "payload_type": item.payload_type,
        "clock_rate": item.codec.clock_rate,
        "mime": item.codec.mime_type,
        "parameters": {key: value or "" for key, value in item.remote_parameters.items()},
        "rtx_ssrc": None if item.rtx_payload_type is None else layer.rtx_ssrc,
        "rtx_payload_type": item.rtx_payload_type,
    }


def _codecs_of(transceiver: Transceiver) -> dict[int, tuple[str, int]]:
    return {item.payload_type: (item.codec.mime_type, item.codec.clock_rate) for item in transceiver.codecs}


def _rtx_of(transceiver: Transceiver) -> dict[int, int]:
    items = transceiver.codecs
    return {item.rtx_payload_type: item.payload_type for item in items if item.rtx_payload_type is not None}
