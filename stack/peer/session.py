"""JSEP (RFC 8829): the signaling state and the descriptions, as a pure state machine without transports."""

from collections.abc import Callable, Sequence
from typing import Final

from .. import dtls, ice, sdp
from ..core import ParseError, RandomBytes
from ..ice.candidate import generate_parameters
from . import simulcast, snap
from .codecs import HEADER_EXTENSIONS, negotiate
from .errors import InvalidAccessError, InvalidModificationError, InvalidStateError, SdpSyntaxError
from .extensions import form_of, usable
from .reports import TRANSPORT_CC, agreed, choose, limit
from .signaling import (
    NOT_ASSOCIATED,
    TRANSITIONS,
    Applied,
    Association,
    Checkpoint,
    Described,
    Description,
    Section,
)
from .transceiver import Transceiver, direction_of, receives, reverse, sends
from .writing import MAX_SECTIONS, Writing

MEDIA_PROTOCOLS: Final = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "TCP/TLS/RTP/SAVPF"})
DATA_PROTOCOLS: Final = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP"})
DEFAULT_REMOTE_MESSAGE_SIZE: Final = 65536  # RFC 8841 section 6.1: when a=max-message-size is absent


class Session(Writing):
    """Signaling state, transceivers and descriptions of one peer connection.

    Args:
        random_bytes: Source of randomness, for the session id.
        fingerprints: Of our certificate.
        cname: RTCP canonical name, also announced in `a=ssrc`.
        new_transceiver: Makes a transceiver of (kind, direction) for a section that the peer offers.
        max_message_size: What we announce, bytes.
        ice_options: What we announce as `a=ice-options` (RFC 8839 section 5.6).
        ice_lite: Whether our agent is lite.
        ice_pacing: Ta that we propose, milliseconds (RFC 8839 section 5.5); None for the usual 50.
        bundle_policy: W3C's RTCBundlePolicy.
        packet_reports: Kinds of reports on single packets that we are willing to use, best first.
        encrypt_extensions: Whether header extensions are to be encrypted where the peer can (RFC 6904).
        sctp_init: Returns the INIT to tell in our descriptions; None if it is not to be told.

    Attributes:
        restart_wanted: Whether the next offer restarts ICE (W3C restartIce).
        restarting: Whether the exchange under way does.
    """

    def __init__(
        self,
        *,
        random_bytes: RandomBytes,
        fingerprints: list[dtls.Fingerprint],
        cname: str,
        new_transceiver: Callable[[str, str], Transceiver],
        max_message_size: int,
        ice_options: Sequence[str] = ("trickle",),
        ice_lite: bool = False,
        ice_pacing: int | None = None,
        bundle_policy: str = "max-bundle",
        packet_reports: Sequence[str] = (TRANSPORT_CC,),
        encrypt_extensions: bool = False,
        sctp_init: snap.LocalInit | None = None,
    ) -> None:
        super().__init__(
            random_bytes=random_bytes,
            fingerprints=fingerprints,
            cname=cname,
            max_message_size=max_message_size,
            ice_options=ice_options,
            ice_lite=ice_lite,
            ice_pacing=ice_pacing,
            bundle_policy=bundle_policy,
            packet_reports=packet_reports,
            encrypt_extensions=encrypt_extensions,
            sctp_init=sctp_init,
        )
        self._new_transceiver = new_transceiver
        self._checkpoint: Checkpoint | None = None
        self._proposed: list[Section] = []  # by whoever offered; what an answer is held against
        self._remote_credentials: tuple[str | None, str | None] | None = None

    @property
    def needs_negotiation(self) -> bool:
        """Whether, in the state stable, something is wanted that was not negotiated (W3C WebRTC section 4.7.3)."""
        if self.restart_wanted and any(not section.is_refused for section in self.sections):
            return True
        if self.wants_data and not any(section.is_data for section in self.sections):
            return not self._is_data_refused
        known = {id(section.transceiver): index for index, section in enumerate(self.sections)}
        return any(
            self._is_unsettled(transceiver, known.get(id(transceiver)))
            for transceiver in self.transceivers
            if not transceiver.stopped
        )

    @property
    def _is_data_refused(self) -> bool:
        """Whether the peer has said no to data channels, which asking again would not change."""
        return any(section.kind == "application" for section in self.sections)

    def _is_unsettled(self, transceiver: Transceiver, index: int | None) -> bool:
        if index is None or self.current_local is None or self.current_remote is None:
            return not transceiver.stopping
        section, wanted = self.sections[index], transceiver.direction
        if section.is_refused:
            return not section.rejected
        media = self.current_local.session.media[index]
        ours = media.direction or "sendrecv"
        remote = self.current_remote.session
        theirs = reverse(remote.direction_of(remote.media[index]))
        if sends(wanted) and sends(ours) and [(m.stream, m.track) for m in media.msids] != transceiver.msids:
            return True
        if self.current_local.type == "offer":
            return wanted not in {ours, theirs}
        return ours != direction_of(send=sends(wanted) and sends(theirs), receive=receives(wanted) and receives(theirs))

    # -- applying ----------------------------------------------------------------------------------------------

    def check_transition(self, who: str, kind: str) -> str:
        """Return the state that follows.

        Raises:
            InvalidStateError: If the description does not fit the state.
        """
        state = TRANSITIONS.get((self.signaling_state, who, kind))
        if state is None:
            raise InvalidStateError(f"cannot set a {who} {kind} in state {self.signaling_state}")
        return state

    def set_local(self, description: Description) -> Applied | None:
        """RFC 8829 section 5.9. Returns what was decided if this completes the exchange, even for the time being."""
        kind = description.type
        state = self.check_transition("local", kind)
        created = self._created.get(f"{'answer' if kind == 'pranswer' else kind}\n{description.sdp}")
        if created is None:
            raise InvalidModificationError(
                f"set the {kind} that the last create call returned, unchanged (RFC 8829 section 5.4)"
            )
        self._remember_stable()
        local, self.sections = created
        if kind == "offer":
            self._proposed = self.sections
            if self._next_parameters is not None:
                self._begin_restart(self._next_parameters)
        if kind != "pranswer":
            self._created = {}
        self._version += 1
        self.pending_local = Described(kind, local)
        self._associate()
        return self._enter(state)

    def parse(self, description: Description) -> sdp.SessionDescription:
        """Parse a description of the peer's.

        Raises:
            SdpSyntaxError: It is malformed; the message names the line.
        """
        try:
            return sdp.SessionDescription.parse(description.sdp)
        except ParseError as error:
            raise SdpSyntaxError(f"the remote {description.type} is malformed: {error}") from error

    def set_remote(self, description: Description) -> Applied:
        """RFC 8829 section 5.10. Returns what the peer's description says about the transport."""
        kind = description.type
        state = self.check_transition("remote", kind)
        remote = self.parse(description)
        sections = self._sections_for_offer(remote) if kind == "offer" else self._check_answer(remote)
        transport = self._transport_section(remote, sections)
        credentials = self._remote_credentials
        if transport is not None:
            self._check_transport(remote, transport, kind)
            credentials = remote.ice_parameters_of(transport)
        self._remember_stable()
        if transport is not None:
            if kind == "offer" and self._remote_credentials not in {None, credentials}:
                self._begin_restart(generate_parameters(self._random_bytes))  # RFC 8839 section 4.4.2.1
            self._remote_credentials = credentials
        self.sections = sections
        self.pending_remote = Described(kind, remote)
        if kind == "offer":
            self._proposed = sections
            self._created = {}
        self._associate()
        if kind == "offer":
            for section, media in zip(sections, remote.media, strict=True):
                if section.transceiver is not None and not section.is_refused:
                    simulcast.propose(section.transceiver, media, self._random_bytes)
        return self._enter(state) or Applied(remote, transport)

    def _associate(self) -> None:
        """Tell the transceivers to which section they belong."""
        for index, section in enumerate(self.sections):
            transceiver = section.transceiver
            if transceiver is None:
                continue
            transceiver.mid, transceiver.mline_index = section.mid, index
            if transceiver not in self.transceivers:
                self.transceivers.append(transceiver)

    def _enter(self, state: str) -> Applied | None:
        self.signaling_state = state
        local, remote = self.local_described, self.remote_described
        if state not in {"stable", "have-local-pranswer", "have-remote-pranswer"} or not local or not remote:
            return None
        applied = self._complete(local, remote)
        if state == "stable":
            self.current_local, self.current_remote = local, remote
            self.pending_local = self.pending_remote = self._checkpoint = None
            self.restarting = False
            if all(section.rejected for section in self.sections):
                self.restart_wanted = (
                    True  # the transport has ended with its last section: another one needs a new path
                )
        return applied

    def _begin_restart(self, parameters: ice.Parameters) -> None:
        self.ufrag, self.pwd = parameters.ufrag, parameters.pwd
        self._next_parameters = None
        self.restarting, self.restart_wanted = True, False

    # -- rolling back ------------------------------------------------------------------------------------------

    def _remember_stable(self) -> None:
        if self.signaling_state == "stable":
            self._checkpoint = Checkpoint(
                self.sections,
                {id(transceiver): Association.of(transceiver) for transceiver in self.transceivers},
                self.ufrag,
                self.pwd,
                self._remote_credentials,
            )

    def rollback(self, who: str) -> list[Transceiver]:
        """Abandon the offer, ours or the peer's (RFC 8829 section 5.7).

        Returns the transceivers that only the peer's offer had made, which are gone.

        Raises:
            InvalidStateError: There is no offer, or it was answered, if only for the time being.
        """
        self.check_transition(who, "rollback")
        checkpoint = self._checkpoint
        if checkpoint is None:
            raise InvalidStateError("there is nothing to roll back")
        gone = []
        for transceiver in list(self.transceivers):
            checkpoint.associations.get(id(transceiver), NOT_ASSOCIATED).restore(transceiver)
            if id(transceiver) not in checkpoint.associations and transceiver.is_peers:
                self.transceivers.remove(transceiver)
                transceiver.stopping = transceiver.stopped = True
                gone.append(transceiver)
        if self.restarting and self.pending_local is not None:
            self.restart_wanted = True  # our own offer was to restart: the next one still is
        self.sections = checkpoint.sections
        self.ufrag, self.pwd = checkpoint.ufrag, checkpoint.pwd
        self._remote_credentials = checkpoint.remote_credentials
        self.pending_local = self.pending_remote = self._checkpoint = self._next_parameters = None
        self.restarting = False
        self._created = {}
        self.signaling_state = "stable"
        return gone

    def drop_stopped(self) -> None:
        """Forget the transceivers that have ended, in the state stable (W3C WebRTC section 4.4.1.5)."""
        for section in self.sections:
            if section.transceiver is not None and section.transceiver.stopped:
                section.transceiver.mid = section.transceiver.mline_index = None
                section.transceiver = None
        self.transceivers = [transceiver for transceiver in self.transceivers if not transceiver.stopped]

    # -- what the peer's description says ----------------------------------------------------------------------

    def _check_transport(self, remote: sdp.SessionDescription, transport: sdp.MediaDescription, kind: str) -> None:
        """Refuse what could not be applied, before anything is changed."""
        known = self._remote_credentials
        changed = known is not None and known != remote.ice_parameters_of(transport)
        if changed and kind != "offer" and not self.restarting:
            raise InvalidAccessError("the answer restarts ICE, which only an offer may (RFC 8839 section 4.4.3)")
        setup = remote.setup_of(transport)
        if kind != "offer" and self.dtls_role is None and setup not in {"active", "passive"}:
            raise InvalidAccessError(f"a=setup:{setup} is not allowed in an answer (RFC 8842 section 5.3)")

    def _sections_for_offer(self, remote: sdp.SessionDescription) -> list[Section]:
        if len(remote.media) < len(self.sections):
            raise InvalidAccessError("the offer has fewer sections than the session (RFC 3264 section 8)")
        if len(remote.media) > MAX_SECTIONS:
            raise InvalidAccessError(f"the offer has more than {MAX_SECTIONS} sections")
        bundle = next((group.items for group in remote.groups if group.semantics == "BUNDLE"), [])
        sections: list[Section] = []
        taken: set[int] = set()
        for index, media in enumerate(remote.media):
            mid = media.mid if media.mid is not None else str(index)
            if any(section.mid == mid for section in sections):
                raise InvalidAccessError(f"two sections have the mid {mid}")
            known = self.sections[index] if index < len(self.sections) else None
            if known is not None and not known.rejected and known.mid != mid:
                raise InvalidAccessError(f"section {index} was {known.mid} and is {mid} now (RFC 8829 section 5.10)")
            section = Section(mid, media.kind)
            section.rejected = not self._acceptable(media, sections, bundle)
            if known is not None and not known.rejected:
                section.transceiver = known.transceiver  # also of one that is to end
            elif not section.rejected and media.kind != "application":
                section.transceiver = self._transceiver_for(media, remote, taken)
            if not section.rejected and section.transceiver is not None:
                section.rejected = not negotiate(section.transceiver.preferences, media)
            taken.add(id(section.transceiver))
            sections.append(section)
        return sections

    @staticmethod
    def _acceptable(media: sdp.MediaDescription, before: list[Section], bundle: list[str]) -> bool:
        if media.is_rejected:
            return False
        active = [section for section in before if not section.rejected]
        if active and (media.mid not in bundle or active[0].mid not in bundle):
            return False  # max-bundle (RFC 8829 section 4.1.1): what cannot share the transport is refused
        if media.kind == "application":
            return media.protocol in DATA_PROTOCOLS and not any(section.is_data for section in active)
        return media.kind in HEADER_EXTENSIONS and media.protocol in MEDIA_PROTOCOLS and media.rtcp_mux

    def _transceiver_for(
        self, media: sdp.MediaDescription, remote: sdp.SessionDescription, taken: set[int]
    ) -> Transceiver:
        """RFC 8829 section 5.10: a free one made by addTrack if the peer would receive it, or a new one."""
        for known in self.transceivers:
            free = known.mid is None and not known.stopping and id(known) not in taken
            if free and known.kind == media.kind and known.added_by_track and receives(remote.direction_of(media)):
                return known
        transceiver = self._new_transceiver(media.kind, "recvonly")
        transceiver.is_peers = True
        return transceiver

    def _check_answer(self, remote: sdp.SessionDescription) -> list[Section]:
        if len(remote.media) != len(self._proposed):
            raise InvalidAccessError(
                f"the answer has {len(remote.media)} sections, the offer {len(self._proposed)} (RFC 3264 section 6)"
            )
        bundle = next((group.items for group in remote.groups if group.semantics == "BUNDLE"), [])
        sections: list[Section] = []
        for section, media in zip(self._proposed, remote.media, strict=True):
            if media.kind != section.kind or (media.mid is not None and media.mid != section.mid):
                raise InvalidAccessError(f"the answer's section {section.mid} does not match the offer's")
            rejected = section.rejected or media.is_rejected
            carrying = next((other.mid for other in sections if not other.rejected), None)
            if carrying is not None and not rejected and not {carrying, section.mid} <= set(bundle):
                raise InvalidAccessError(
                    f"the answer does not bundle section {section.mid} with {carrying}: a second transport is not "
                    "supported; the peer must know BUNDLE (RFC 9143)"
                )
            sections.append(Section(section.mid, section.kind, section.transceiver, rejected))
        return sections

    @staticmethod
    def _transport_section(remote: sdp.SessionDescription, sections: list[Section]) -> sdp.MediaDescription | None:
        """Return the section whose transport everything shares, checked for what a transport needs."""
        for section, media in zip(sections, remote.media, strict=True):
            if section.rejected:
                continue
            if not remote.fingerprints_of(media):
                raise InvalidAccessError(f"section {section.mid} has no a=fingerprint (RFC 8842 section 5.1)")
            ufrag, pwd = remote.ice_parameters_of(media)
            if not ufrag or not pwd:
                raise InvalidAccessError(f"section {section.mid} has no a=ice-ufrag or a=ice-pwd")
            return media
        return None

    def _complete(self, ours: Described, theirs: Described) -> Applied:
        """Both descriptions are there: decide roles, directions, codecs and extensions."""
        local, remote = ours.session, theirs.session
        final = "pranswer" not in {ours.type, theirs.type}
        refused = [
            section.rejected or mine.is_rejected for section, mine in zip(self.sections, local.media, strict=True)
        ]
        if final:
            for section, rejected in zip(self.sections, refused, strict=True):
                section.rejected = rejected
        transport = self._transport_section(remote, self.sections)
        applied = Applied(remote, transport)
        if transport is not None:
            applied.role = self.dtls_role = self._decide_role(ours, remote, transport)
        answering = ours.type != "offer"
        reports = self._reports_to_answer(remote) if answering else choose(self._reports_to_offer(), remote.media)
        for section, rejected, mine, media in zip(self.sections, refused, local.media, remote.media, strict=True):
            transceiver = section.transceiver
            if section.kind == "application" and not rejected:
                applied.data, applied.sctp_init = media, snap.agreed(mine, media)
                if final and self._sctp_init_agreed is None:
                    self._sctp_init_agreed = applied.sctp_init is not None
            elif transceiver is not None and rejected:
                transceiver.current_direction = "inactive"
                transceiver.stopping = transceiver.stopping or final
                transceiver.stopped = final
            elif transceiver is not None:
                self._settle(transceiver, mine, media, remote, reports, answering=answering)
        return applied

    def _decide_role(self, ours: Described, remote: sdp.SessionDescription, transport: sdp.MediaDescription) -> str:
        if self.dtls_role is not None:
            return self.dtls_role
        if ours.type != "offer":
            setup = next(media.setup for media in ours.session.media if media.setup)
            return "client" if setup == "active" else "server"
        return "server" if remote.setup_of(transport) == "active" else "client"

    def _settle(
        self,
        transceiver: Transceiver,
        ours: sdp.MediaDescription,
        theirs: sdp.MediaDescription,
        remote: sdp.SessionDescription,
        reports: str | None,
        *,
        answering: bool,
    ) -> None:
        we = ours.direction or "sendrecv"
        they = reverse(remote.direction_of(theirs))
        transceiver.current_direction = direction_of(
            send=sends(we) and sends(they), receive=receives(we) and receives(they)
        )
        if answering:
            codecs = self._codecs_to_answer(transceiver, theirs)
        else:
            codecs = negotiate([item.codec for item in self._codecs_to_offer(transceiver)], theirs)
        forms = usable(theirs.extmaps, {form_of(ext) for ext in ours.extmaps})
        transceiver.codecs, transceiver.extension_forms = limit(codecs, forms, {reports})
        transceiver.reports = agreed(reports, transceiver.codecs, transceiver.extensions, theirs)
        groups = [group.ssrcs for group in theirs.ssrc_groups if group.semantics == "FID"]
        repairs = {ssrc for group in groups for ssrc in group[1:]}
        transceiver.remote_ssrcs = tuple(s.ssrc for s in theirs.ssrcs if s.ssrc not in repairs)
        transceiver.remote_streams = tuple(msid.stream for msid in theirs.msids if msid.stream != "-")
        transceiver.remote_track_id = theirs.msids[0].track or "" if theirs.msids else ""
        simulcast.settle(transceiver, ours, theirs, self._random_bytes)
