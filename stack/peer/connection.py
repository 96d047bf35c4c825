"""The peer connection without I/O: JSEP on top, one transport below, media and data in between.

The shell (`stack.aio`) binds sockets, feeds datagrams and time, and carries out what the events say. A whole
negotiation and session runs in virtual time with nothing but two of these and a `stack.testing.Link`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from .. import datachannel, dtls, ice, rtp, sdp
from ..core import Datagram, PeerError, RandomBytes
from . import events
from .codecs import Codec
from .configuration import Configuration
from .errors import InvalidAccessError, InvalidStateError, OperationError
from .gathering import Gathering
from .media import Media
from .session import DEFAULT_REMOTE_MESSAGE_SIZE, Session
from .signaling import Applied, Described, Description
from .transceiver import DIRECTIONS, Transceiver, direction_of, receives, sends
from .transport import CandidateGathered, DtlsStateChanged, GatheringCompleted, IceStateChanged, Transport, aggregate

MAX_TRANSCEIVERS: Final = 64
"""As many as a session may have sections (RFC 8829 ties the two together)."""


class PeerConnection(Gathering):
    """A WebRTC peer connection as a machine.

    Args:
        certificate: Our DTLS certificate.
        random_bytes: Source of randomness.
        configuration: Settings of all layers.
    """

    def __init__(
        self, *, certificate: dtls.Certificate, random_bytes: RandomBytes, configuration: Configuration | None = None
    ) -> None:
        super().__init__()
        self._random_bytes = random_bytes
        self.configuration = configuration or Configuration()
        self._cname = random_bytes(12).hex()  # RFC 7022 section 4.2: short-term persistent, 96 random bits
        self.transport = Transport(
            controlling=True,
            certificate=certificate,
            random_bytes=random_bytes,
            configuration=self.configuration,
        )
        self.media = Media(
            self.transport, random_bytes=random_bytes, cname=self._cname, configuration=self.configuration
        )
        pacing = self.transport.ice.local_parameters.pacing_interval
        self.session = Session(
            random_bytes=random_bytes,
            fingerprints=[certificate.fingerprint("sha-256")],
            cname=self._cname,
            new_transceiver=self._new_transceiver,
            max_message_size=self.configuration.max_message_size,
            ice_options=("trickle", "renomination") if self.configuration.ice.renomination else ("trickle",),
            ice_lite=self.configuration.ice.lite,
            ice_pacing=None if pacing is None else round(pacing * 1000),
            bundle_policy=self.configuration.bundle_policy,
        )
        parameters = self.transport.ice.local_parameters
        self.session.ufrag, self.session.pwd = parameters.ufrag, parameters.pwd
        self.ice_connection_state = "new"
        self.connection_state = "new"
        self._announced: set[int] = set()
        self._announced_signaling_state = "stable"
        self._sending: set[int] = set()
        self._negotiation_needed = False
        self._error: PeerError | None = None
        self._terminal_pending = False

    # -- what the application asks for -------------------------------------------------------------------------

    @property
    def signaling_state(self) -> str:
        """W3C's RTCSignalingState."""
        return "closed" if self._closed else self.session.signaling_state

    @property
    def needs_negotiation(self) -> bool:
        """Whether an offer is needed and can be made now: what `NegotiationNeeded` has said may be over since."""
        return self._negotiation_needed and self.session.signaling_state == "stable" and not self._closed

    @property
    def transceivers(self) -> tuple[Transceiver, ...]:
        """All transceivers, in order of creation."""
        return tuple(self.session.transceivers)

    def add_transceiver(
        self,
        kind: str,
        direction: str = "sendrecv",
        *,
        stream_id: str = "",
        track_id: str = "",
        has_track: bool = False,
    ) -> Transceiver:
        """Add a transceiver (RFC 8829 section 4.1.6).

        Args:
            kind: `audio` or `video`.
            direction: What we want to do.
            stream_id: Our stream's id for the peer's msid; made up when empty.
            track_id: Our track's id; made up when empty.
            has_track: Whether there is something to send already.
        """
        self._check_open()
        if kind not in {"audio", "video"}:
            raise InvalidAccessError(f"kind must be 'audio' or 'video', not {kind!r}")
        if direction not in DIRECTIONS:
            raise InvalidAccessError(f"direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}")
        transceiver = self._new_transceiver(kind, direction)
        transceiver.stream_id = stream_id or transceiver.stream_id
        transceiver.track_id = track_id or transceiver.track_id
        transceiver.has_track = has_track
        self.session.transceivers.append(transceiver)
        self._update_negotiation_needed()
        return transceiver

    def add_track(self, kind: str, *, stream_id: str = "", track_id: str = "") -> Transceiver:
        """Send a track: reuse a transceiver that never sent, or add one (W3C addTrack, RFC 8829 section 4.1.5)."""
        self._check_open()
        for transceiver in self.session.transceivers:
            if (
                transceiver.kind == kind
                and not transceiver.has_track
                and not transceiver.stopping
                and not transceiver.has_sent
            ):
                transceiver.direction = direction_of(send=True, receive=receives(transceiver.direction))
                transceiver.stream_id = stream_id or transceiver.stream_id
                transceiver.track_id = track_id or transceiver.track_id
                break
        else:
            transceiver = self.add_transceiver(kind, "sendrecv", stream_id=stream_id, track_id=track_id)
        transceiver.has_track = transceiver.added_by_track = True
        transceiver.is_peers = False
        self._update_negotiation_needed()
        return transceiver

    def remove_track(self, transceiver: Transceiver) -> None:
        """Send nothing any more (W3C removeTrack); takes effect with the next negotiation."""
        self._check_open()
        transceiver.has_track = False
        if not transceiver.stopping and sends(transceiver.direction):
            transceiver.direction = direction_of(send=False, receive=receives(transceiver.direction))
            self._update_negotiation_needed()

    def stop_transceiver(self, transceiver: Transceiver) -> None:
        """End a transceiver: its section is rejected by the next description (W3C stop); idempotent."""
        self._check_open()
        if transceiver.stopping:
            return
        transceiver.stopping = True
        transceiver.has_track = False
        transceiver.direction = "inactive"
        if transceiver.mid is None:
            transceiver.stopped = True
            self.session.transceivers.remove(transceiver)
        self._update_negotiation_needed()

    def set_direction(self, transceiver: Transceiver, direction: str) -> None:
        """Change what we want; takes effect with the next negotiation."""
        self._check_open()
        if direction not in DIRECTIONS:
            raise InvalidAccessError(f"direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}")
        if transceiver.stopping:
            raise InvalidStateError("the transceiver is stopped")
        transceiver.direction = direction
        self._update_negotiation_needed()

    def set_codec_preferences(self, transceiver: Transceiver, codecs: Sequence[Codec]) -> None:
        """Choose codecs and their order (W3C setCodecPreferences)."""
        self._check_open()
        if not codecs or any(codec.kind != transceiver.kind for codec in codecs):
            raise InvalidAccessError(f"give at least one codec, all of kind {transceiver.kind}")
        transceiver.preferences = list(codecs)
        transceiver.preferences_set = True

    def create_data_channel(
        self,
        label: str,
        now: float,
        *,
        protocol: str = "",
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_packet_life_time: int | None = None,
        negotiated: bool = False,
        channel_id: int | None = None,
        priority: int = 256,
    ) -> datachannel.Channel:
        """Open a data channel (W3C createDataChannel); `max_packet_life_time` is in milliseconds."""
        self._check_open()
        self.transport.stir()
        channel = self.transport.channels.open(
            label,
            protocol=protocol,
            ordered=ordered,
            max_retransmits=max_retransmits,
            max_packet_life_time=max_packet_life_time,
            negotiated=negotiated,
            id=channel_id,
            priority=priority,
            now=self._clamp(now),
        )
        if not self.session.wants_data:
            self.session.wants_data = True
            self._update_negotiation_needed()
        return channel

    def send(self, channel: datachannel.Channel, data: bytes | str, now: float) -> None:
        """Send a message on an open channel.

        Raises:
            InvalidStateError: The channel is not open.
            OperationError: The send buffer is full, or the message is larger than the peer takes.
        """
        if channel.state != "open":
            raise InvalidStateError(f"data channel {channel.label!r} is {channel.state}, not open")
        self.transport.send_message(channel, data, self._clamp(now))

    def close_channel(self, channel: datachannel.Channel, now: float) -> None:
        """Close a channel once what was sent on it is delivered."""
        self.transport.close_channel(channel, self._clamp(now))

    def buffered_amount(self, channel: datachannel.Channel) -> int:
        """Bytes sent on the channel that have not left yet (W3C bufferedAmount)."""
        return self.transport.buffered_amount(channel)

    def send_frame(
        self,
        transceiver: Transceiver,
        data: bytes,
        timestamp: int,
        now: float,
        *,
        keyframe: bool | None = None,
        capture_time: float | None = None,
    ) -> bool:
        """Send one encoded frame; returns whether it could be sent now.

        Args:
            transceiver: On which to send.
            data: The encoded frame (Annex B for H.264).
            timestamp: In units of the codec's clock rate.
            now: The time.
            keyframe: Whether it can be decoded alone; looked up in the bitstream when None.
            capture_time: When it was captured, on the same clock as `now`.
        """
        now = self._clamp(now)
        if self._closed or transceiver.sender is None or not self.transport.can_send_media:
            return False
        timestamp = (timestamp + transceiver.timestamp_offset) & 0xFFFFFFFF
        transceiver.sender.send_frame(data, timestamp, now, keyframe=keyframe, capture_time=capture_time)
        return True

    # -- negotiation -------------------------------------------------------------------------------------------

    def restart_ice(self) -> None:
        """Have the next offer look for new paths (W3C restartIce, RFC 8445 section 9); `NegotiationNeeded` follows.

        What flows goes on over the old path until there is a new one. Before the first negotiation nothing happens.
        """
        self._check_open()
        if self.session.local is None:
            return
        self.session.restart_wanted = True
        self._update_negotiation_needed()

    def create_offer(self) -> Description:
        """RFC 8829 section 5.2.

        Raises:
            InvalidStateError: If closed, or in a state that takes no offer, or there is nothing to offer.
        """
        self._check_open()
        return self.session.create_offer()

    def create_answer(self) -> Description:
        """RFC 8829 section 5.3."""
        self._check_open()
        return self.session.create_answer()

    def set_local_description(self, description: Description | None, now: float) -> None:
        """Apply our own description; None, or one without a text, creates the one that the state asks for (W3C).

        Raises:
            InvalidStateError: It does not fit the signaling state.
            InvalidModificationError: It is not what was created last.
        """
        self._check_open()
        now = self._clamp(now)
        if description is not None and description.type == "rollback":
            self._roll_back("local", now)
            return
        if description is None or not description.sdp:
            description = self._create(None if description is None else description.type)
        offer, first = description.type == "offer", self._is_new
        applied = self.session.set_local(description)
        if first and offer:
            self.transport.ice.set_controlling(True)
        self._announce_signaling_state()
        if any(not section.is_refused for section in self.session.sections):
            self._start_gathering()
        if offer and self.session.restarting:
            self._restart_transport(now)
        self._release_candidates()
        if applied is not None:
            self._apply(applied, now, final=True)
        self._settle()

    def _create(self, kind: str | None) -> Description:
        answering = self.session.signaling_state in {"have-remote-offer", "have-local-pranswer"}
        kind = kind or ("answer" if answering else "offer")
        return self.create_offer() if kind == "offer" else Description(kind, self.create_answer().sdp)

    @property
    def _is_new(self) -> bool:
        """Whether there is no description yet."""
        return self.session.local_described is None and self.session.remote_described is None

    def set_remote_description(self, description: Description, now: float) -> None:
        """Apply the peer's description.

        An offer that crosses ours takes its place: ours is rolled back (RFC 8829 section 4.1.10.2 and W3C's perfect
        negotiation).

        Raises:
            InvalidStateError: It does not fit the signaling state.
            SdpSyntaxError: It is malformed; the message names the line.
            InvalidAccessError: It is well-formed but not acceptable.
        """
        self._check_open()
        now = self._clamp(now)
        if description.type == "rollback":
            self._roll_back("remote", now)
            return
        offer = description.type == "offer"
        if offer and self.session.signaling_state == "have-local-offer":
            self.session.parse(description)  # what is no description rolls nothing back
            self._roll_back("local", now, settled=False)
        first = self._is_new
        applied = self.session.set_remote(description)
        if first and offer:
            self.transport.ice.set_controlling(applied.session.ice_lite)
        elif offer and self.session.restarting:
            self._restart_transport(now)
        self._announce_signaling_state()
        self._apply(applied, now, final=not offer)
        if offer:
            self._announce_tracks(applied.session)
        self._settle()

    def _roll_back(self, who: str, now: float, *, settled: bool = True) -> None:
        """Abandon the offer that is pending; `settled` if another description does not follow at once."""
        restarted, answered = self.session.restarting, self.session.pending_remote is not None
        gone = self.session.rollback(who)
        if restarted:
            self._undo_restart(now)
        elif answered and self._is_new:  # ICE has begun with a peer that is none: begin anew
            self._forget_peer(now)
        for transceiver in gone:
            if id(transceiver) in self._announced:
                self._announced.discard(id(transceiver))
                self._events.append(events.TrackRemoved(transceiver))
        if answered and self.session.current_remote is not None:
            self._announce_tracks(self.session.current_remote.session)
        self._announce_signaling_state()
        if settled:
            self._settle()

    def _settle(self) -> None:
        """In the state stable, forget what has ended and see whether something is left to negotiate."""
        if self.session.signaling_state != "stable":
            return
        for transceiver in self.session.transceivers:
            if transceiver.stopped:
                self._announced.discard(id(transceiver))
                self._sending.discard(id(transceiver))
                self._events.append(events.TransceiverStopped(transceiver))
        self.session.drop_stopped()
        self._negotiation_needed = False
        self._update_negotiation_needed()

    def _apply(self, applied: Applied, now: float, *, final: bool) -> None:
        self.transport.stir()
        remote = applied.remote
        if remote is not None and self.transport.ice_state != "closed":
            self._apply_transport(applied, remote, now)
        if applied.data is not None:
            size = applied.data.max_message_size
            self.transport.start_sctp(
                applied.data.sctp_port or 5000, DEFAULT_REMOTE_MESSAGE_SIZE if size is None else size, now
            )
        if final:
            self.media.configure(self.session.transceivers, now)
            self._announce_tracks(applied.session)
            self._announce_sending()

    # -- descriptions ------------------------------------------------------------------------------------------

    @property
    def local_description(self) -> Description | None:
        """Ours, with the candidates gathered so far (RFC 8829 section 4.1.14)."""
        return self._with_candidates(self.session.local_described)

    @property
    def current_local_description(self) -> Description | None:
        """Ours of the last exchange that was completed."""
        return self._with_candidates(self.session.current_local)

    @property
    def pending_local_description(self) -> Description | None:
        """Ours of the exchange under way."""
        return self._with_candidates(self.session.pending_local)

    def _with_candidates(self, described: Described | None) -> Description | None:
        if described is None:
            return None
        media = next((m for m in described.session.media if not m.is_rejected), None)
        if media is not None and described is self.session.local_described:
            media.candidates = list(self._local_candidates)
            media.end_of_candidates = self.ice_gathering_state == "complete"
        return _written(described)

    @property
    def remote_description(self) -> Description | None:
        """The peer's, as applied."""
        return _written(self.session.remote_described)

    @property
    def current_remote_description(self) -> Description | None:
        """The peer's of the last exchange that was completed."""
        return _written(self.session.current_remote)

    @property
    def pending_remote_description(self) -> Description | None:
        """The peer's of the exchange under way."""
        return _written(self.session.pending_remote)

    @property
    def peer_can_trickle(self) -> bool | None:
        """Whether the peer's description allows candidates after it (RFC 8838 section 4); None before there is one."""
        remote = self.session.remote
        if remote is None:
            return None
        return any("trickle" in remote.ice_options_of(media) for media in remote.media if not media.is_rejected)

    @property
    def dropped(self) -> Counter[str]:
        """Of this connection and all its layers."""
        total = self._dropped + self.transport.dropped
        for transceiver in self.session.transceivers:
            for machine in (transceiver.sender, transceiver.receiver):
                if machine is not None:
                    total.update({f"rtp-{reason}": count for reason, count in machine.dropped.items()})
        return total

    # -- the machine -------------------------------------------------------------------------------------------

    def receive_datagram(self, datagram: Datagram, now: float) -> None:
        """Take one UDP payload; see `stack.peer.transport`."""
        if self._closed:
            return
        self.transport.receive_datagram(datagram, self._clamp(now))

    def handle_timer(self, now: float) -> None:
        """Pass time to transport and media."""
        now = self._clamp(now)
        if self._closed:
            return
        self.transport.handle_timer(now)
        self.media.handle_timer(now)
        self._take_transport_events()
        self._take_media_events()

    def poll(self, now: float) -> None:
        """Bring what was received up to where `next_event` finds it, before anything is sent.

        Optional: `datagrams_to_send` does it too. A shell that polls and dispatches events first lets an answer of
        the application leave in the same packet as the acknowledgement of the question.
        """
        now = self._clamp(now)
        if self._closed:
            return
        self.media.receive(now)
        self._take_transport_events()
        self._take_media_events()

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Everything that must leave now."""
        now = self._clamp(now)
        if not self._closed:
            self.media.receive(now)
            self.media.send(now)
        out = self.transport.datagrams_to_send(now)
        self._take_transport_events()
        self._take_media_events()
        if self._terminal_pending:
            self._terminal_pending = False
            self._events.append(events.Closed(self._error))
        return out

    def next_timer(self) -> float | None:
        """The earliest deadline of all layers."""
        if self._closed:
            return None
        if not self.session.transceivers:
            return self.transport.next_timer()
        a, b = self.transport.next_timer(), self.media.next_timer()
        if a is None or b is None:
            return b if a is None else a
        return min(a, b)

    def close(self, now: float) -> None:
        """Say BYE, ABORT and close_notify; they leave with the next drain, and `Closed` follows it."""
        now = self._clamp(now)
        if self._closed:
            return
        if self.transport.dtls_state == "connected":
            self.media.close(now)
        self.transport.close(now)
        self._take_transport_events(silent=True)
        self._closed = True
        self._terminal_pending = True
        self.ice_connection_state = self.connection_state = "closed"

    # -- events ------------------------------------------------------------------------------------------------

    def _take_transport_events(self, *, silent: bool = False) -> None:
        transport = self.transport
        if self._closed:
            return
        transport.poll(self._now)
        while (event := transport.next_event()) is not None:
            if type(event) is datachannel.MessageReceived:  # nearly all of them
                self._events.append(event)
                continue
            match event:
                case CandidateGathered() | GatheringCompleted() | ice.CandidateRemoved():
                    self._on_candidates(event)
                case IceStateChanged(state):
                    if state != self.ice_connection_state and not silent:
                        self.ice_connection_state = state
                        self._events.append(events.IceConnectionStateChanged(state))
                        self._update_connection_state()
                case DtlsStateChanged(_, error):
                    self._error = self._error or error
                    if not silent:
                        self._update_connection_state()
                case _:
                    self._events.append(event)

    def _update_connection_state(self) -> None:
        state = aggregate(self.transport.ice_state, self.transport.dtls_state)
        if state == "failed" and self._error is None:
            self._error = PeerError("ice", "no-path", "no candidate pair works, or consent to send has expired")
        elif state == "connected":
            self._error = None
        if state != self.connection_state:
            self.connection_state = state
            self._events.append(events.ConnectionStateChanged(state, self._error if state == "failed" else None))

    def _take_media_events(self) -> None:
        for transceiver in self.session.transceivers:
            if transceiver.receiver is not None:
                while (received := transceiver.receiver.next_event()) is not None:
                    if isinstance(received, rtp.FrameReceived):
                        self._events.append(events.MediaReceived(transceiver, received))
            if transceiver.sender is not None:
                while (reported := transceiver.sender.next_event()) is not None:
                    if isinstance(reported, rtp.KeyframeRequested):
                        self._events.append(events.KeyframeRequested(transceiver))
                    elif isinstance(reported, rtp.BitrateEstimated):
                        self._events.append(events.TargetBitrateChanged(transceiver, reported.bitrate))

    def _announce_signaling_state(self) -> None:
        if self.session.signaling_state != self._announced_signaling_state:
            self._announced_signaling_state = self.session.signaling_state
            self._events.append(events.SignalingStateChanged(self.session.signaling_state))

    def _announce_tracks(self, remote: sdp.SessionDescription) -> None:
        """W3C: a track event as soon as the peer's description says that it may send."""
        for section, media in zip(self.session.sections, remote.media, strict=False):
            transceiver = section.transceiver
            if transceiver is None:
                continue
            sending = not section.rejected and sends(remote.direction_of(media))
            known = id(transceiver) in self._announced
            if sending and not known:
                self._announced.add(id(transceiver))
                transceiver.remote_streams = tuple(msid.stream for msid in media.msids if msid.stream != "-")
                transceiver.remote_track_id = (media.msids[0].track or "") if media.msids else ""
                self._events.append(events.TrackAdded(transceiver, transceiver.remote_streams))
            elif known and not sending:
                self._announced.discard(id(transceiver))
                self._events.append(events.TrackRemoved(transceiver))

    def _announce_sending(self) -> None:
        for transceiver in self.session.transceivers:
            key, sending = id(transceiver), transceiver.sender is not None
            if sending and key not in self._sending:
                self._sending.add(key)
                transceiver.has_sent = True
                codec = transceiver.codecs[0].codec
                self._events.append(events.SendingStarted(transceiver, codec.mime_type, codec.clock_rate))
            elif not sending and key in self._sending:
                self._sending.discard(key)
                self._events.append(events.SendingStopped(transceiver))

    def _update_negotiation_needed(self) -> None:
        """W3C WebRTC section 4.7.3.1."""
        if self.session.signaling_state != "stable":
            return  # looked at again when it is
        if not self.session.needs_negotiation:
            self._negotiation_needed = False
        elif not self._negotiation_needed:
            self._negotiation_needed = True
            self._events.append(events.NegotiationNeeded())

    # -- helpers -----------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidStateError("the peer connection is closed")

    def _new_transceiver(self, kind: str, direction: str) -> Transceiver:
        if len(self.session.transceivers) >= MAX_TRANSCEIVERS:
            raise OperationError(f"more than {MAX_TRANSCEIVERS} transceivers")
        return Transceiver.create(kind, direction, self._random_bytes)


def _written(described: Described | None) -> Description | None:
    return None if described is None else Description(described.type, described.session.serialize())
