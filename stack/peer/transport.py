"""One bundled path: ICE below, DTLS over it, SRTP keyed from DTLS, SCTP and data channels inside DTLS.

This is the pump. What comes in is classified (RFC 7983), decrypted and handed up in batches; what goes out is
gathered at drain time, media before data, so that a file transfer never delays video or controls.
"""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from .. import datachannel, dtls, ice, sctp, srtp
from ..core import Address, Datagram, LocalError, Machine, PeerError, RandomBytes
from ..datachannel.wire import DCEP
from ..demux import DTLS, RTCP, RTP, STUN, UNKNOWN, classify
from . import snap
from .configuration import Configuration
from .errors import OperationError
from .ice_transport import IceTransport
from .relays import RelayLost, RelayMoved
from .secure_media import SecureMedia
from .transport_events import CandidateGathered, DtlsStateChanged, Event, GatheringCompleted, IceStateChanged

MAX_EARLY_DTLS: Final = 8
"""Datagrams kept of a peer whose ClientHello is here before its description; a post-quantum hello takes two."""

DTLS_MIN_TIMEOUT: Final = 0.05  # the RTT that ICE measured, twice, within these bounds: quick, and sane on a satellite
DTLS_MAX_TIMEOUT: Final = 3.0

_FULL: Final = "the send buffer is full: wait for bufferedamountlow before sending more"

EXPORTER_LABEL: Final = b"EXTRACTOR-dtls_srtp"  # RFC 5764 section 4.2


def aggregate(ice_state: str, dtls_state: str) -> str:
    """Return W3C's RTCPeerConnectionState (W3C WebRTC section 4.3.3) of the two states.

    Deviates: W3C has no state for a peer that said goodbye; here it is `closed`, as in aiortc.
    """
    if "failed" in {ice_state, dtls_state}:
        return "failed"
    if dtls_state == "closed":
        return "closed"
    if ice_state == "disconnected":
        return "disconnected"
    if ice_state in {"connected", "completed"} and dtls_state == "connected":
        return "connected"
    return "new" if ice_state == dtls_state == "new" else "connecting"


class Transport(Machine[Datagram, Datagram, Event]):
    """ICE, DTLS, SRTP, SCTP and data channels over one path.

    Args:
        controlling: Whether this side controls ICE (RFC 8445 section 6.1.1).
        certificate: Ours, for DTLS.
        random_bytes: Source of randomness.
        configuration: Settings of all layers.

    Attributes:
        stirred: Whether `poll` would have anything to look at.
    """

    def __init__(
        self,
        *,
        controlling: bool,
        certificate: dtls.Certificate,
        random_bytes: RandomBytes,
        configuration: Configuration,
    ) -> None:
        super().__init__()
        self._random_bytes = random_bytes
        self.certificate = certificate
        self._configuration = configuration
        self.path = IceTransport(controlling=controlling, random_bytes=random_bytes, configuration=configuration)
        self.ice = self.path.agent
        self.dtls: dtls.Connection | None = None
        self.sctp: sctp.Association | None = None
        self.sctp_start = snap.Start(random_bytes, configuration.sctp)
        self.channels = datachannel.Endpoint()
        self._layers: list[IceTransport | dtls.Connection | sctp.Association | datachannel.Endpoint]
        self._layers = [self.path, self.channels]
        self.stirred = True
        self._resetting: set[int] = set()  # streams whose reset was asked for; no more than there are streams
        self._holding: set[datachannel.Channel] = set()  # those who are behind; no more than there are channels
        self.dtls_state = "new"
        self.ice_state = "new"
        self.path_changes = 0
        self._dtls_started = False
        self._log = configuration.packet_log
        self.media = SecureMedia(self._log, encrypts_extensions=configuration.encrypt_extensions)
        self._early_dtls: deque[bytes] = deque(maxlen=MAX_EARLY_DTLS)
        self._dtls_out: list[bytes] = []
        self._final: list[Datagram] = []
        self._addresses: tuple[Address, Address] | None = None  # of the pair selected last
        self._outage = False  # since then no path was found to work
        self._closed = False
        self._up = False  # all that there is to be: then nothing comes of sending but that it is sent

    # -- set-up ------------------------------------------------------------------------------------------------

    def start_dtls(self, role: str, fingerprints: Sequence[dtls.Fingerprint], now: float) -> None:
        """Fix the DTLS role (`client` or `server`) and whom to expect; the handshake begins when ICE has a pair."""
        if self.dtls is not None:
            return
        now = self._clamp(now)
        self.dtls = dtls.Connection(
            "client" if role == "client" else "server",
            certificate=self.certificate,
            random_bytes=self._random_bytes,
            config=self._configuration.dtls,
            remote_fingerprints=list(fingerprints),
            keylog=self._configuration.keylog,
        )
        self._layers.append(self.dtls)
        self.stirred = True
        self.channels.set_role(is_dtls_client=role == "client")
        for data in self._early_dtls:
            self.dtls.receive_datagram(data, now)
        self._early_dtls.clear()
        self._start_dtls_if_possible(now)

    def start_sctp(
        self, remote_port: int, max_message_size: int, now: float, *, remote_init: sctp.Init | None = None
    ) -> None:
        """Create the association that starts once DTLS is connected.

        Args:
            remote_port: The peer's `a=sctp-port`.
            max_message_size: The peer's `a=max-message-size` in bytes, 0 for any.
            now: The time.
            remote_init: The peer's INIT, if it was told ours too, so that they need not be sent.
        """
        now = self._clamp(now)
        self.channels.set_max_message_size(max_message_size)
        if self.sctp is None:
            self.sctp = sctp.Association(
                random_bytes=self._random_bytes,
                config=self._configuration.sctp_for(remote_port),
                beginning=self.sctp_start.beginning,
            )
            self.sctp_start.remote_init = remote_init
            self._up = False
            self._layers.append(self.sctp)
            self.stirred = True
            if self.dtls_state == "connected":
                self.sctp.associate(now, remote_init)
                for packet in self.sctp_start.take_early():
                    self.sctp.receive_datagram(packet, now)

    def send_message(self, channel: datachannel.Channel, data: bytes | str, now: float) -> None:
        """Queue a message of an open channel.

        Raises:
            OperationError: The send buffer is full, or the message is larger than the peer takes.
        """
        now = self._clamp(now)
        association = self.sctp
        try:
            message = self.channels.compose(channel, data)
        except LocalError as error:
            raise OperationError(str(error)) from error
        if association is None:
            raise OperationError(_FULL)
        # At once, so that what is buffered is counted in one place; behind the OPEN, if that has not gone yet.
        if self.channels.outbox:
            self._push_messages(association, now)
        try:
            self._push(association, message, now)
        except LocalError as error:  # the association ended under it, or has no room
            if not association.can_buffer(len(message.data)):
                raise OperationError(_FULL) from error
            self._dropped["message-without-association"] += 1
        channel.messages_sent += 1
        channel.bytes_sent += len(message.data) if data else 0

    def close_channel(self, channel: datachannel.Channel, now: float) -> None:
        """Close a channel once what was sent on it is delivered."""
        self.channels.close_channel(channel, self._clamp(now))
        self.stirred = True
        if self.sctp is None:  # nothing was sent: it is closed already, and no packet will come that says so
            self._take_channel_events()

    def buffered_amount(self, channel: datachannel.Channel) -> int:
        """Bytes of user data sent on a channel that have not left yet."""
        if self.sctp is None or channel.id is None or channel.state == "closed":
            return 0  # the id of a closed channel may be another one's by now
        return self.sctp.buffered_amount(channel.id, besides=DCEP)

    def hold(self, channel: datachannel.Channel) -> None:
        """Take nothing more from the association until `release`: the window that all channels share closes."""
        if channel.state != "closed":
            self._holding.add(channel)

    def release(self, channel: datachannel.Channel) -> None:
        """Undo `hold`; the next drain brings what has waited."""
        self.stirred |= channel in self._holding
        self._holding.discard(channel)

    @property
    def max_rtp_size(self) -> int:
        """Bytes that an RTP packet may have before protection, so that the datagram fits the path."""
        return self._configuration.mtu - 40  # tag and index of the largest profile, and room for a changed MKI

    @property
    def dropped(self) -> Counter[str]:
        """Of this transport and all its layers."""
        total = Counter(self._dropped)
        total.update(self.media.dropped)
        for layer, machine in (("ice", self.path), ("dtls", self.dtls), ("sctp", self.sctp), ("data", self.channels)):
            if machine is not None:
                total.update({f"{layer}-{reason}": count for reason, count in machine.dropped.items()})
        return total

    def count_drop(self, reason: str) -> None:
        """Count something that the user of this transport had to drop."""
        self._dropped[reason] += 1

    # -- input -------------------------------------------------------------------------------------------------

    def receive_datagram(self, datagram: Datagram, now: float) -> None:
        """Take out of its relay what came through one, then classify by the first byte (RFC 7983 section 7)."""
        if now > self._now:  # as `_clamp` does
            self._now = now
        now = self._now
        if self._closed:
            return
        self.stirred = True
        if self.path.relays.table and self.path.relays.owns(datagram):
            for inner in self.path.receive_relayed(datagram, now):
                self._receive(inner, now)
            self._after_ice(now)
        else:
            self._receive(datagram, now)

    def receive_batch(self, datagrams: Sequence[Datagram], now: float) -> None:
        """Take what a socket had, in order; a run of DTLS or RTP on one path is looked up once and opened together."""
        now = self._clamp(now)
        run: list[bytes] = []
        last: Datagram | None = None  # what came last, if it is in the run
        of = UNKNOWN
        for datagram in datagrams:
            kind = classify(datagram.data)
            if last is None or kind != of or datagram.remote is not last.remote or datagram.local is not last.local:
                self._receive_run(run, of, now)
                if not self._goes_with_others(kind) or not self.ice.takes(now, datagram.local, datagram.remote):
                    run, last = [], None
                    self.receive_datagram(datagram, now)
                    continue
                run, of = [], kind
                self.stirred = True
            last = datagram
            run.append(datagram.data)
        self._receive_run(run, of, now)

    def _goes_with_others(self, kind: int) -> bool:
        usable = kind == RTP or (kind == DTLS and self.dtls is not None)
        return usable and not self.path.relays.table and not self._closed

    def _receive_run(self, run: Sequence[bytes], kind: int, now: float) -> None:
        if not run:
            return
        if kind == RTP:
            self.media.receive_rtp(run)
        elif self.dtls is not None:
            self.dtls.receive_batch(run, now)

    def _receive(self, datagram: Datagram, now: float) -> None:
        data = datagram.data
        kind = classify(data)
        if kind == STUN:
            if self._log is not None:
                self._log(False, "stun", data)
            self.ice.receive_datagram(datagram, now)
            self._after_ice(now)  # the DTLS flight that a valid pair allows leaves with the answer to the check
        elif not self.ice.takes(now, datagram.local, datagram.remote):
            self._dropped["unvalidated-path"] += 1
        elif kind == DTLS:
            if self.dtls is None:
                if len(self._early_dtls) == MAX_EARLY_DTLS:
                    self._dropped["too-much-early-dtls"] += 1
                self._early_dtls.append(data)  # the oldest makes room for it
            else:
                self.dtls.receive_datagram(data, now)
        elif kind in {RTP, RTCP}:
            self.media.receive(data, kind)
        else:
            self._dropped["unknown-protocol"] += 1

    # -- output ------------------------------------------------------------------------------------------------

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """STUN first, then media, then everything inside DTLS."""
        if now > self._now:  # as `_clamp` does
            self._now = now
        now = self._now
        if self.stirred and not self._closed:
            self._pump(now)
        out, self._final = self._final, []
        if self._closed:
            return out
        relays = self.path.relays
        if self.ice.outgoing or relays.table or relays.outgoing:
            out += self.path.datagrams_to_send(now)
        first = len(out)
        if self._log is not None:
            for datagram in out:
                self._log(True, "stun", datagram.data)
        pair, media = self.ice.selected_pair, self.media
        if pair is None:
            self._dropped["no-path"] += len(media.take())
            return out
        local, remote = pair.local, pair.remote
        if media.out:
            out += [Datagram(data, remote, local) for data in media.take()]
        if self.dtls is not None:
            out += [Datagram(data, remote, local) for data in self._dtls_datagrams(self.dtls, now)]
        if len(out) > first:
            self.ice.data_sent(now)
        if out and (first or not self._up or self._resetting or (self.sctp is not None and self.sctp.has_events())):
            self.stirred = True  # what has left may have ended something: a stream, the association
        return out[:first] + self.path.wrap(out[first:], now) if relays.table else out

    def _dtls_datagrams(self, connection: dtls.Connection, now: float) -> list[bytes]:
        association = self.sctp
        if association is not None and self.dtls_state == "connected":
            packets = association.datagrams_to_send(now)
            if packets:
                if self._log is not None:
                    for packet in packets:
                        self._log(True, "sctp", packet)
                connection.send_batch(packets, now)
        out = connection.datagrams_to_send(now)
        if self._dtls_out:
            out, self._dtls_out = self._dtls_out + out, []
        return out

    # -- the pump ----------------------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        """Pass time to every layer."""
        now = self._clamp(now)
        if self._closed:
            return
        for machine in self._layers:
            machine.handle_timer(now)
        self.stirred = True
        self._pump(now)

    def next_timer(self) -> float | None:
        """The earliest of all layers."""
        if self._closed:
            return None
        deadline: float | None = None
        for machine in self._layers:
            due = machine.next_timer()
            if due is not None and (deadline is None or due < deadline):
                deadline = due
        return deadline

    def _after_ice(self, now: float) -> None:
        while (event := self.path.next_event()) is not None:
            match event:
                case ice.CandidateGathered(candidate):
                    self._events.append(CandidateGathered(candidate))
                case ice.GatheringCompleted():
                    self._events.append(GatheringCompleted())
                case ice.RestartNeeded():
                    self._outage = True
                    self._events.append(event)
                case (
                    ice.CandidateRemoved() | ice.ResolutionRequested() | ice.ServerFailed() | RelayLost() | RelayMoved()
                ):
                    self._events.append(event)
                case ice.PairSelected(pair):
                    self._path_selected(pair, now)
                case ice.StateChanged(state):
                    self.ice_state = state
                    self._events.append(IceStateChanged(state))
                case _:
                    pass
        self._start_dtls_if_possible(now)

    def _path_selected(self, pair: ice.Pair, now: float) -> None:
        """Tell SCTP when the packets go another way, or go again: it must not wait for what it knows of the old one."""
        before, self._addresses = self._addresses, (pair.local, pair.remote)
        self.path_changes += before != self._addresses
        outage, self._outage = self._outage, False
        if self.sctp is not None and before is not None and (outage or before != self._addresses):
            self.sctp.path_changed(now)

    def _start_dtls_if_possible(self, now: float) -> None:
        if self._dtls_started or self.dtls is None or self.ice.selected_pair is None:
            return
        self._dtls_started = True
        if (rtt := self.ice.rtt) is not None:
            self.dtls.set_initial_timeout(min(max(2 * rtt, DTLS_MIN_TIMEOUT), DTLS_MAX_TIMEOUT))
        self._set_dtls_state("connecting")
        self.dtls.start(now)

    def _set_dtls_state(self, state: str, error: PeerError | None = None) -> None:
        if self.dtls_state != state:
            self.dtls_state = state
            self._events.append(DtlsStateChanged(state, error))

    def stir(self) -> None:
        """Say that a layer was given a command from outside, so that the next poll looks at what came of it."""
        self.stirred = True

    def poll(self, now: float) -> None:
        """Move what happened inside to where `next_event` finds it; costs nothing when nothing has."""
        if now > self._now:  # as `_clamp` does
            self._now = now
        if self.stirred and not self._closed:
            self._pump(self._now)

    def _pump(self, now: float) -> None:
        self.stirred = False
        if not self._dtls_started or self.ice.has_events() or self.path.has_events():
            self._after_ice(now)
        connection = self.dtls
        if connection is None:
            return
        if self.dtls_state != "connected":
            # Before events: an alert that says why the handshake failed must leave before its terminal event is taken.
            self._dtls_out += connection.datagrams_to_send(now)
        closed: dtls.Closed | None = None
        while connection.has_events():
            match event := connection.next_event():
                case dtls.HandshakeCompleted(profile):
                    self._secured(connection, profile, now)
                case dtls.Closed():
                    closed = event
        self._pump_application_data(connection, now)
        if closed is not None:  # after the data that came before it
            if self._holding and self.sctp is not None:
                self._holding.clear()
                self._pump_data(self.sctp, now)
            self._secure_transport_closed(closed.error, now)

    def _pump_application_data(self, connection: dtls.Connection, now: float) -> None:
        association = self.sctp
        if association is None:
            for packet in connection.take_application_data():
                if not self.sctp_start.keep(packet):
                    self._dropped["data-without-association"] += 1
            return
        for packet in connection.take_application_data():
            if self._log is not None:
                self._log(False, "sctp", packet)
            association.receive_datagram(packet, now)
        self._pump_data(association, now)

    def _pump_data(self, association: sctp.Association, now: float) -> None:
        channels = self.channels
        resets: list[int] = []
        while association.has_events() and not self._holding:
            event = association.next_event()
            if type(event) is sctp.MessageReceived:  # nearly all of them
                message = channels.take_message(event.stream_id, event.ppid, event.data, now)
                if message is None:
                    continue
                if channels.has_events():  # of what came before it, as that the channel is there
                    resets += self._take_channel_events()
                self._events.append(message)
                continue
            match event:
                case sctp.Established(outbound_streams, inbound_streams):
                    self._up = True
                    channels.set_connected(now, streams=min(outbound_streams, inbound_streams))
                case sctp.StreamsReset(stream_ids):
                    for stream_id in stream_ids:
                        channels.stream_reset_by_peer(stream_id, now)
                case sctp.OutgoingStreamsReset(stream_ids):
                    self._resetting.difference_update(stream_ids)
                    for stream_id in stream_ids:
                        channels.outgoing_reset_done(stream_id, now)
                case sctp.Closed(error):
                    self._up = False
                    channels.abort(now, error)
        # Events first: a reset asked for by the application goes behind the data that it sent before.
        if channels.has_events():
            resets += self._take_channel_events()
        if channels.outbox:
            self._push_messages(association, now)
        if resets:
            try:
                association.reset_streams(resets, now)
                self._resetting.update(resets)
            except LocalError:  # it is ending, and every stream with it
                self._dropped["reset-without-association"] += 1
            self.stirred = True  # a stream with nothing to send may be reset by now

    def _push_messages(self, association: sctp.Association, now: float) -> None:
        for message in self.channels.datagrams_to_send(now):
            try:
                self._push(association, message, now)
            except LocalError:  # the association ended under it
                self._dropped["message-without-association"] += 1

    @staticmethod
    def _push(association: sctp.Association, message: datachannel.Message, now: float) -> None:
        lifetime = message.max_packet_life_time
        association.send(
            message.stream_id,
            message.ppid,
            message.data,
            now,
            ordered=message.ordered,
            max_retransmits=message.max_retransmits,
            lifetime=None if lifetime is None else lifetime / 1000,
            priority=message.priority or 1,  # aiortc opens with priority 0, a weight needs at least 1
            replace_key="latest" if message.latest else None,
        )

    def _take_channel_events(self) -> list[int]:
        """Move channel events up; return the streams whose reset was asked for."""
        resets = []
        while self.channels.has_events():
            event = self.channels.next_event()
            if isinstance(event, datachannel.ResetRequested):
                resets.append(event.stream_id)
            elif event is not None and not isinstance(event, datachannel.Closed):
                self._events.append(event)
                if isinstance(event, datachannel.ChannelClosed):
                    self.release(event.channel)
        return resets

    # -- DTLS outcomes -----------------------------------------------------------------------------------------

    def _secured(self, connection: dtls.Connection, profile: int | None, now: float) -> None:
        if profile is not None:
            material = connection.export_keying_material(EXPORTER_LABEL, srtp.keying_material_length(profile))
            for data in self.media.set_keys(profile, material, is_client=connection.role == "client"):
                self.media.receive(data, classify(data))
        self._set_dtls_state("connected")
        self._up = self.sctp is None
        if self.sctp is not None:
            self.sctp.associate(now, self.sctp_start.remote_init)

    def _secure_transport_closed(self, error: PeerError | None, now: float) -> None:
        if error is None and self.dtls_state != "connected":
            error = PeerError("dtls", "closed-in-handshake", "the peer closed before the handshake was complete")
        self.media.forget_keys()
        self._up = False
        if self.sctp is not None:
            self.sctp.abort(now)  # nothing carries it any more: its timers must not run on
        self.channels.abort(now, error)
        self._take_channel_events()
        if error is None and self.dtls is not None:  # the peer is gone for good, and so is the path to it
            pair = self.ice.selected_pair
            if pair is not None:
                self._dtls_out += self.dtls.datagrams_to_send(now)
                last = [Datagram(data, pair.remote, pair.local) for data in self._dtls_out]
                self._final += self.path.wrap(last, now)
            self._dtls_out.clear()
            self._close_path(now)
            self._after_ice(now)
        self._set_dtls_state("failed" if error else "closed", error)

    # -- the end -----------------------------------------------------------------------------------------------

    def _close_path(self, now: float) -> None:
        self.path.close(now)
        self._final += self.path.relays.datagrams_to_send(now)

    def close(self, now: float) -> None:
        """Abort the association, say close_notify, stop ICE; what tells the peer so leaves with the next drain."""
        now = self._clamp(now)
        if self._closed:
            return
        if self.sctp is not None:
            self.sctp.abort(now)
        last = self.datagrams_to_send(now)
        pair = self.ice.selected_pair
        if self.dtls is not None:
            self.dtls.close(now)
            closing = self.dtls.datagrams_to_send(now)
            if pair is not None:
                last += self.path.wrap([Datagram(data, pair.remote, pair.local) for data in closing], now)
        self._final = last
        self._close_path(now)
        self.channels.abort(now, None)
        self._take_channel_events()
        self._closed = True
        self._set_dtls_state("closed")
