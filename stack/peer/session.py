"""JSEP (RFC 8829): the signaling state and the descriptions, as a pure state machine without transports.

One BUNDLE group carries everything, so offers follow the `max-bundle` policy: the first section has the transport,
the others are bundle-only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from .. import dtls, ice, rtp, sdp
from ..core import ParseError, RandomBytes
from ..ice.candidate import generate_parameters
from .codecs import HEADER_EXTENSIONS, NegotiatedCodec, describe, negotiate, offered, without_transport_cc
from .errors import InvalidAccessError, InvalidModificationError, InvalidStateError, NotSupportedError, SdpSyntaxError
from .transceiver import Transceiver, direction_of, receives, reverse, sends

MAX_SECTIONS: Final = 64
"""m-sections of one session; browsers manage some hundreds, one peer of a vehicle needs a handful."""

MEDIA_PROTOCOLS: Final = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "TCP/TLS/RTP/SAVPF"})
DATA_PROTOCOLS: Final = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP"})
SCTP_PORT: Final = 5000  # RFC 8841 section 5.1: the usual value
DEFAULT_REMOTE_MESSAGE_SIZE: Final = 65536  # RFC 8841 section 6.1: when a=max-message-size is absent

TRANSITIONS: Final[dict[tuple[str, str, str], str]] = {
    # (state, who, type) -> state; RFC 8829 section 3.2
    ("stable", "local", "offer"): "have-local-offer",
    ("stable", "remote", "offer"): "have-remote-offer",
    ("have-local-offer", "local", "offer"): "have-local-offer",
    ("have-local-offer", "remote", "answer"): "stable",
    ("have-remote-offer", "remote", "offer"): "have-remote-offer",
    ("have-remote-offer", "local", "answer"): "stable",
}


@dataclass(frozen=True, slots=True)
class Description:
    """A session description as it is signalled.

    Args:
        type: `offer` or `answer`.
        sdp: The text.
    """

    type: str
    sdp: str


@dataclass(slots=True)
class Section:
    """One m-section of the session: media when it has a transceiver, data otherwise; rejected when neither."""

    mid: str
    kind: str
    transceiver: Transceiver | None = None
    rejected: bool = False

    @property
    def is_data(self) -> bool:
        """Whether data channels run here."""
        return self.kind == "application" and not self.rejected


@dataclass(slots=True)
class Applied:
    """What a remote or final description decided, for the connection to act on.

    Attributes:
        remote: The peer's section that carries the transport.
        session: The peer's whole description.
        role: Our DTLS role, `client` or `server`, once known.
        data: The peer's data section, if agreed.
    """

    session: sdp.SessionDescription
    remote: sdp.MediaDescription | None
    role: str | None = None
    data: sdp.MediaDescription | None = None


class Session:
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
    ) -> None:
        self.signaling_state = "stable"
        self.transceivers: list[Transceiver] = []
        self.sections: list[Section] = []
        self.wants_data = False
        self.dtls_role: str | None = None
        self.ufrag = self.pwd = ""
        self.restart_wanted = self.restarting = False
        self._next_parameters: ice.Parameters | None = None  # of the offer that will restart ICE
        self.local: sdp.SessionDescription | None = None
        self.remote: sdp.SessionDescription | None = None
        self.local_type = self.remote_type = ""
        self._fingerprints = [sdp.Fingerprint(fp.algorithm, fp.value) for fp in fingerprints]
        self._cname = cname
        self._new_transceiver = new_transceiver
        self._max_message_size = max_message_size
        self._ice_options = list(ice_options)
        self._ice_lite = ice_lite
        self._ice_pacing = ice_pacing
        self._random_bytes = random_bytes
        self._session_id = int.from_bytes(random_bytes(8), "big") >> 2  # RFC 8829 section 5.2.1: 62 random bits
        self._version = 0
        self._created: dict[str, tuple[sdp.SessionDescription, list[Section]]] = {}
        self._remote_credentials: tuple[str | None, str | None] | None = None

    @property
    def needs_negotiation(self) -> bool:
        """Whether, in the state stable, something is wanted that was not negotiated (W3C WebRTC section 4.7.3)."""
        if self.restart_wanted:
            return True
        if self.wants_data and not any(section.kind == "application" for section in self.sections):
            return True
        known = {id(section.transceiver): index for index, section in enumerate(self.sections)}
        return any(
            self._is_unsettled(transceiver, known.get(id(transceiver)))
            for transceiver in self.transceivers
            if not transceiver.stopped
        )

    def _is_unsettled(self, transceiver: Transceiver, index: int | None) -> bool:
        if index is None or self.local is None or self.remote is None:
            return True
        section, wanted = self.sections[index], transceiver.direction
        if section.rejected:
            return False
        ours = self.local.media[index].direction or "sendrecv"
        theirs = reverse(self.remote.direction_of(self.remote.media[index]))
        if self.local_type == "offer":
            return wanted not in {ours, theirs}
        return ours != direction_of(send=sends(wanted) and sends(theirs), receive=receives(wanted) and receives(theirs))

    # -- creating ----------------------------------------------------------------------------------------------

    def create_offer(self) -> Description:
        """RFC 8829 section 5.2."""
        if self.signaling_state not in {"stable", "have-local-offer"}:
            raise InvalidStateError(f"cannot create an offer in state {self.signaling_state}")
        sections = [Section(s.mid, s.kind, s.transceiver, s.rejected) for s in self.sections]
        known = {id(s.transceiver) for s in sections if s.transceiver}
        used = {s.mid for s in sections}

        def next_mid() -> str:
            mid = next(str(n) for n in range(len(used) + 1) if str(n) not in used)
            used.add(mid)
            return mid

        for transceiver in self.transceivers:
            if id(transceiver) not in known and not transceiver.stopped:
                section = Section(next_mid(), transceiver.kind, transceiver)
                sections.append(section)
        if self.wants_data and not any(s.is_data for s in sections):
            sections.append(Section(next_mid(), "application"))
        if len(sections) > MAX_SECTIONS:
            raise InvalidStateError(f"more than {MAX_SECTIONS} sections")
        if self.restart_wanted and self.local is not None and self._next_parameters is None:
            self._next_parameters = generate_parameters(self._random_bytes)
        description = self._skeleton(sections)
        first = True
        for section in sections:
            media = self._offered(section)
            if not section.rejected:
                if not first and not self.sections:
                    media.port, media.bundle_only = 0, True  # RFC 9143 section 7.2.2
                first = False
            description.media.append(media)
        return self._remember("offer", description, sections)

    def create_answer(self) -> Description:
        """RFC 8829 section 5.3."""
        if self.signaling_state != "have-remote-offer" or self.remote is None:
            raise InvalidStateError(
                f"cannot create an answer in state {self.signaling_state}; set a remote offer first"
            )
        description = self._skeleton(self.sections)
        for section, remote in zip(self.sections, self.remote.media, strict=True):
            description.media.append(self._answered(section, remote))
        return self._remember("answer", description, self.sections)

    def _remember(self, kind: str, description: sdp.SessionDescription, sections: list[Section]) -> Description:
        text = description.serialize()
        self._created = {f"{kind}\n{text}": (description, sections)}
        return Description(kind, text)

    def _skeleton(self, sections: list[Section]) -> sdp.SessionDescription:
        description = sdp.SessionDescription(
            origin=sdp.Origin(session_id=self._session_id, session_version=self._version + 1),
            msid_semantic="WMS *",
            extmap_allow_mixed=True,
            ice_lite=self._ice_lite,
            ice_pacing=self._ice_pacing,
        )
        mids = [s.mid for s in sections if not s.rejected]
        if mids:
            description.groups = [sdp.Group("BUNDLE", mids)]
        return description

    def _base(self, section: Section, protocol: str) -> sdp.MediaDescription:
        media = sdp.MediaDescription(kind=section.kind, port=9, protocol=protocol)
        media.mid = section.mid
        media.ice_ufrag, media.ice_pwd = self.ufrag, self.pwd
        if self._next_parameters is not None:
            media.ice_ufrag, media.ice_pwd = self._next_parameters.ufrag, self._next_parameters.pwd
        media.ice_options = list(self._ice_options)
        media.fingerprints = list(self._fingerprints)
        return media

    def _offered(self, section: Section) -> sdp.MediaDescription:
        if section.kind == "application":
            media = self._data_media(section)
        elif section.transceiver is not None:
            transceiver = section.transceiver
            extensions = transceiver.extensions or {
                uri: number for number, uri in enumerate(HEADER_EXTENSIONS[section.kind], 1)
            }
            codecs = self._codecs_to_offer(transceiver)
            media = self._media(section, transceiver, codecs, extensions, transceiver.direction)
        else:
            return _rejected(section.mid, section.kind, "UDP/TLS/RTP/SAVPF", ["0"])
        media.setup = "actpass"  # RFC 8842 section 5.2, in every offer
        if section.rejected:
            media.port = 0
        return media

    @staticmethod
    def _codecs_to_offer(transceiver: Transceiver) -> list[NegotiatedCodec]:
        # A payload type once agreed keeps its meaning (RFC 3264 section 8.3.2), so a renegotiation offers those.
        return list(transceiver.codecs) or offered(transceiver.preferences)

    def _answered(self, section: Section, remote: sdp.MediaDescription) -> sdp.MediaDescription:
        if section.rejected:
            return _rejected(section.mid, section.kind, remote.protocol, remote.formats)
        if section.kind == "application":
            media = self._data_media(section)
            media.protocol, media.formats = remote.protocol, list(remote.formats)
        else:
            transceiver = section.transceiver
            if transceiver is None or self.remote is None:
                return _rejected(section.mid, section.kind, remote.protocol, remote.formats)
            codecs = self._codecs_to_answer(transceiver, remote)
            extensions = _usable(remote.extmaps, set(HEADER_EXTENSIONS[section.kind]))
            theirs = reverse(self.remote.direction_of(remote))
            direction = direction_of(
                send=sends(theirs) and sends(transceiver.direction),
                receive=receives(theirs) and receives(transceiver.direction),
            )
            media = self._media(section, transceiver, codecs, extensions, direction)
            media.protocol = remote.protocol
        media.setup = self._setup_to_answer(remote)
        return media

    @staticmethod
    def _codecs_to_answer(transceiver: Transceiver, remote: sdp.MediaDescription) -> list[NegotiatedCodec]:
        codecs = negotiate(transceiver.preferences, remote)
        if transceiver.preferences_set:
            rank = {codec.mime_type: n for n, codec in reversed(list(enumerate(transceiver.preferences)))}
            codecs.sort(key=lambda item: rank[item.codec.mime_type])
        return codecs

    def _setup_to_answer(self, remote: sdp.MediaDescription) -> str:
        """RFC 8842 section 5.3: active unless the role is taken or already ours."""
        if self.dtls_role is not None:
            return "active" if self.dtls_role == "client" else "passive"
        setup = self.remote.setup_of(remote) if self.remote else "actpass"
        return "passive" if setup == "active" else "active"

    def _data_media(self, section: Section) -> sdp.MediaDescription:
        media = self._base(section, "UDP/DTLS/SCTP")
        media.formats = ["webrtc-datachannel"]
        media.sctp_port = SCTP_PORT
        media.max_message_size = self._max_message_size
        return media

    def _media(
        self,
        section: Section,
        transceiver: Transceiver,
        codecs: list[NegotiatedCodec],
        extensions: dict[str, int],
        direction: str,
    ) -> sdp.MediaDescription:
        media = self._base(section, "UDP/TLS/RTP/SAVPF")
        if not receives(direction):
            # Not implemented: congestion control from transport-wide feedback. As a sender we follow REMB instead,
            # which browsers only send when transport-cc is not agreed; as a receiver we serve both.
            codecs = [without_transport_cc(item) for item in codecs]
            extensions = {uri: number for uri, number in extensions.items() if uri != rtp.TRANSPORT_CC}
        media.codecs = describe(codecs)
        media.formats = [str(codec.payload_type) for codec in media.codecs]
        media.direction = direction
        media.rtcp_mux = media.rtcp_rsize = True
        media.extmaps = [sdp.ExtMap(number, uri) for uri, number in extensions.items()]
        if sends(direction):
            media.msids = [sdp.Msid(transceiver.stream_id, transceiver.track_id)]
            media.ssrcs = [sdp.SsrcDescription(transceiver.ssrc, {"cname": self._cname})]
            if any(codec.rtx_payload_type is not None for codec in codecs):
                media.ssrcs.append(sdp.SsrcDescription(transceiver.rtx_ssrc, {"cname": self._cname}))
                media.ssrc_groups = [sdp.SsrcGroup("FID", [transceiver.ssrc, transceiver.rtx_ssrc])]
        return media

    # -- applying ----------------------------------------------------------------------------------------------

    def check_transition(self, who: str, kind: str) -> str:
        """Return the state that follows.

        Raises:
            InvalidStateError: If the description does not fit the state.
            NotSupportedError: For provisional answers and rollback.
        """
        if kind in {"pranswer", "rollback"}:
            raise NotSupportedError(f"descriptions of type {kind} are not implemented yet")
        state = TRANSITIONS.get((self.signaling_state, who, kind))
        if state is None:
            raise InvalidStateError(f"cannot set a {who} {kind} in state {self.signaling_state}")
        return state

    def set_local(self, description: Description) -> Applied | None:
        """RFC 8829 section 5.9. Returns what was decided when this completes the exchange."""
        state = self.check_transition("local", description.type)
        created = self._created.get(f"{description.type}\n{description.sdp}")
        if created is None:
            raise InvalidModificationError(
                f"set the {description.type} that the last create call returned, unchanged (RFC 8829 section 5.4)"
            )
        self.local, self.sections = created
        self.local_type = description.type
        if description.type == "offer" and self._next_parameters is not None:
            self._begin_restart(self._next_parameters)
        self._version += 1
        self._created = {}
        for index, section in enumerate(self.sections):
            if section.transceiver is not None:
                section.transceiver.mid, section.transceiver.mline_index = section.mid, index
        self._enter(state)
        return self._complete(self.local, self.remote) if state == "stable" and self.remote else None

    def _enter(self, state: str) -> None:
        self.signaling_state = state
        if state == "stable":
            self.restarting = False

    def _begin_restart(self, parameters: ice.Parameters) -> None:
        self.ufrag, self.pwd = parameters.ufrag, parameters.pwd
        self._next_parameters = None
        self.restarting, self.restart_wanted = True, False

    def set_remote(self, description: Description) -> Applied:
        """RFC 8829 section 5.10. Returns what the peer's description says about the transport."""
        state = self.check_transition("remote", description.type)
        try:
            remote = sdp.SessionDescription.parse(description.sdp)
        except ParseError as error:
            raise SdpSyntaxError(f"the remote {description.type} is malformed: {error}") from error
        sections = self._sections_for_offer(remote) if description.type == "offer" else self._check_answer(remote)
        transport = self._transport_section(remote, sections)
        if transport is not None:
            self._check_transport(remote, transport, description.type)
            credentials = remote.ice_parameters_of(transport)
            if description.type == "offer" and self._remote_credentials not in {None, credentials}:
                self._begin_restart(generate_parameters(self._random_bytes))  # RFC 8839 section 4.4.2.1
            self._remote_credentials = credentials
        self.sections, self.remote, self.remote_type = sections, remote, description.type
        for index, section in enumerate(sections):
            transceiver = section.transceiver
            if transceiver is None:
                continue
            transceiver.mid, transceiver.mline_index = section.mid, index
            if transceiver not in self.transceivers:
                self.transceivers.append(transceiver)
        self._enter(state)
        if state == "stable" and self.local is not None:
            return self._complete(self.local, remote)
        return Applied(remote, transport)

    def _check_transport(self, remote: sdp.SessionDescription, transport: sdp.MediaDescription, kind: str) -> None:
        """Refuse what could not be applied, before anything is changed."""
        known = self._remote_credentials
        changed = known is not None and known != remote.ice_parameters_of(transport)
        if changed and kind == "answer" and not self.restarting:
            raise InvalidAccessError("the answer restarts ICE, which only an offer may (RFC 8839 section 4.4.3)")
        setup = remote.setup_of(transport)
        if kind == "answer" and self.dtls_role is None and setup not in {"active", "passive"}:
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
            section = Section(mid, media.kind)
            section.rejected = not self._acceptable(media, sections, bundle)
            if not section.rejected and media.kind != "application":
                section.transceiver = self._transceiver_for(index, media, remote, taken)
                section.rejected = section.transceiver is None
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
        self, index: int, media: sdp.MediaDescription, remote: sdp.SessionDescription, taken: set[int]
    ) -> Transceiver | None:
        """RFC 8829 section 5.10: the associated transceiver, or a free one made by addTrack, or a new one."""
        if index < len(self.sections) and self.sections[index].transceiver is not None:
            known = self.sections[index].transceiver
        else:
            wanted = receives(remote.direction_of(media))
            known = next(
                (
                    t
                    for t in self.transceivers
                    if t.kind == media.kind
                    and t.mid is None
                    and not t.stopped
                    and t.added_by_track
                    and wanted
                    and id(t) not in taken
                ),
                None,
            )
        transceiver = known or self._new_transceiver(media.kind, "recvonly")
        return transceiver if negotiate(transceiver.preferences, media) else None

    def _check_answer(self, remote: sdp.SessionDescription) -> list[Section]:
        if len(remote.media) != len(self.sections):
            raise InvalidAccessError(
                f"the answer has {len(remote.media)} sections, the offer {len(self.sections)} (RFC 3264 section 6)"
            )
        sections = []
        for section, media in zip(self.sections, remote.media, strict=True):
            if media.kind != section.kind or (media.mid is not None and media.mid != section.mid):
                raise InvalidAccessError(f"the answer's section {section.mid} does not match the offer's")
            rejected = section.rejected or media.is_rejected
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

    def _complete(self, local: sdp.SessionDescription, remote: sdp.SessionDescription) -> Applied:
        """Both descriptions are there: decide roles, directions, codecs and extensions."""
        transport = self._transport_section(remote, self.sections)
        applied = Applied(remote, transport)
        if transport is not None:
            applied.role = self.dtls_role = self._decide_role(local, remote, transport)
        for section, ours, theirs in zip(self.sections, local.media, remote.media, strict=True):
            if section.kind == "application":
                if not section.rejected:
                    applied.data = theirs
            elif section.transceiver is not None:
                self._settle(section, section.transceiver, ours, theirs, remote)
        return applied

    def _decide_role(
        self, local: sdp.SessionDescription, remote: sdp.SessionDescription, transport: sdp.MediaDescription
    ) -> str:
        if self.dtls_role is not None:
            return self.dtls_role
        if self.local_type == "answer":
            ours = next(m.setup for m in local.media if m.setup)
            return "client" if ours == "active" else "server"
        return "server" if remote.setup_of(transport) == "active" else "client"

    def _settle(
        self,
        section: Section,
        transceiver: Transceiver,
        ours: sdp.MediaDescription,
        theirs: sdp.MediaDescription,
        remote: sdp.SessionDescription,
    ) -> None:
        if section.rejected or ours.is_rejected:
            transceiver.current_direction = "inactive"
            transceiver.stopped = transceiver.stopped or section.rejected
            return
        we = ours.direction or "sendrecv"
        they = reverse(remote.direction_of(theirs))
        transceiver.current_direction = direction_of(
            send=sends(we) and sends(they), receive=receives(we) and receives(they)
        )
        if self.local_type == "answer":
            transceiver.codecs = self._codecs_to_answer(transceiver, theirs)
        else:
            transceiver.codecs = negotiate([item.codec for item in self._codecs_to_offer(transceiver)], theirs)
        transceiver.extensions = _usable(theirs.extmaps, {ext.uri for ext in ours.extmaps})
        groups = [group.ssrcs for group in theirs.ssrc_groups if group.semantics == "FID"]
        repairs = {ssrc for group in groups for ssrc in group[1:]}
        transceiver.remote_ssrcs = tuple(s.ssrc for s in theirs.ssrcs if s.ssrc not in repairs)
        transceiver.remote_streams = tuple(msid.stream for msid in theirs.msids if msid.stream != "-")
        transceiver.remote_track_id = theirs.msids[0].track or "" if theirs.msids else ""


def _usable(extmaps: list[sdp.ExtMap], wanted: set[str]) -> dict[str, int]:
    """Return the header extensions that can be used, URI to id.

    RFC 8285 section 4.2 reserves 15 in the one-byte form; section 7 offers ids from 4096 on for the answerer to choose
    others. Not implemented: choosing. Those, and whoever comes second with an id, go without.
    """
    found: dict[str, int] = {}
    for ext in extmaps:
        if ext.uri in wanted and 1 <= ext.id <= 255 and ext.id != 15 and ext.id not in found.values():
            found[ext.uri] = ext.id
    return found


def _rejected(mid: str, kind: str, protocol: str, formats: list[str]) -> sdp.MediaDescription:
    """RFC 8829 section 5.3.1: a rejected section is a zero port and little else."""
    media = sdp.MediaDescription(kind=kind, port=0, protocol=protocol)
    media.mid = mid
    media.formats = list(formats)
    media.direction = "inactive" if kind != "application" else None
    return media
