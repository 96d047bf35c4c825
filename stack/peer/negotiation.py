"""What is agreed with the peer: descriptions in both directions, and what follows from them (RFC 8829).

`Session` knows what descriptions mean; here the transport and the media are told, and the application hears of it.
"""

from .. import sdp
from . import events
from .errors import InvalidStateError
from .gathering import Gathering
from .media import Media
from .session import DEFAULT_REMOTE_MESSAGE_SIZE
from .signaling import Applied, Described, Description
from .transceiver import sends


class Negotiation(Gathering):
    """Offers and answers of a connection; see `PeerConnection`."""

    media: Media

    def __init__(self) -> None:
        super().__init__()
        self._announced: set[int] = set()
        self._announced_signaling_state = "stable"
        self._sending: dict[int, list[object]] = {}  # codec and SSRCs of the transceivers that send
        self._negotiation_needed = False

    @property
    def signaling_state(self) -> str:
        """W3C's RTCSignalingState."""
        return "closed" if self._closed else self.session.signaling_state

    @property
    def needs_negotiation(self) -> bool:
        """Whether an offer is needed and can be made now: what `NegotiationNeeded` has said may be over since."""
        return self._negotiation_needed and self.session.signaling_state == "stable" and not self._closed

    def _check_open(self) -> None:
        if self._closed:
            raise InvalidStateError("the peer connection is closed")

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
                self._sending.pop(id(transceiver), None)
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
                applied.data.sctp_port or 5000,
                DEFAULT_REMOTE_MESSAGE_SIZE if size is None else size,
                now,
                remote_init=applied.sctp_init,
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

    # -- what the application hears ------------------------------------------------------------------------------

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
            key, before = id(transceiver), self._sending.get(id(transceiver))
            now: list[object] = []
            if transceiver.sender is not None:
                now = [transceiver.codecs[0].codec.mime_type, *(layer.ssrc for layer in transceiver.layers)]
            if before and now != before:
                del self._sending[key]
                self._events.append(events.SendingStopped(transceiver))
            if now and now != before:
                self._sending[key] = now
                transceiver.has_sent = True
                codec = transceiver.codecs[0].codec
                self._events.append(events.SendingStarted(transceiver, codec.mime_type, codec.clock_rate))

    def _update_negotiation_needed(self) -> None:
        """W3C WebRTC section 4.7.3.1."""
        if self.session.signaling_state != "stable":
            return  # looked at again when it is
        if not self.session.needs_negotiation:
            self._negotiation_needed = False
        elif not self._negotiation_needed:
            self._negotiation_needed = True
            self._events.append(events.NegotiationNeeded())


def _written(described: Described | None) -> Description | None:
    return None if described is None else Description(described.type, described.session.serialize())
