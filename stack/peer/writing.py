"""Offers and answers as we write them (RFC 8829 sections 5.2 and 5.3): the first half of `Session`.

One BUNDLE group carries everything. With the policy `max-bundle` only the first section of a first offer has a
transport, the others are bundle-only; with `balanced` and `max-compat` they all have the same one.
"""

from collections.abc import Sequence
from typing import Final

from .. import dtls, ice, sdp
from ..core import RandomBytes
from ..ice.candidate import generate_parameters
from . import simulcast, snap
from .codecs import HEADER_EXTENSIONS, NegotiatedCodec, describe, negotiate, offered, renumbered
from .errors import InvalidStateError
from .extensions import Form, describe_extensions, forms_of, usable
from .layers import Layer
from .reports import CCFB, CCFB_LINE, choose, kinds_of, limit
from .signaling import Described, Description, Section
from .transceiver import Transceiver, direction_of, receives, reverse, sends

MAX_SECTIONS: Final = 64
"""m-sections of one session; browsers manage some hundreds, one peer of a vehicle needs a handful."""

SCTP_PORT: Final = 5000  # RFC 8841 section 5.1: the usual value


class Writing:
    """State of a session, and the descriptions that follow from it; see `Session`."""

    def __init__(
        self,
        *,
        random_bytes: RandomBytes,
        fingerprints: list[dtls.Fingerprint],
        cname: str,
        max_message_size: int,
        ice_options: Sequence[str],
        ice_lite: bool,
        ice_pacing: int | None,
        bundle_policy: str,
        packet_reports: Sequence[str],
        encrypt_extensions: bool,
        sctp_init: snap.LocalInit | None,
    ) -> None:
        self.signaling_state = "stable"
        self.transceivers: list[Transceiver] = []
        self.sections: list[Section] = []
        self.current_local: Described | None = None
        self.pending_local: Described | None = None
        self.current_remote: Described | None = None
        self.pending_remote: Described | None = None
        self.wants_data = False
        self.dtls_role: str | None = None
        self.ufrag = self.pwd = ""
        self.restart_wanted = self.restarting = False
        self._next_parameters: ice.Parameters | None = None  # of the offer that will restart ICE
        self._fingerprints = [sdp.Fingerprint(fp.algorithm, fp.value) for fp in fingerprints]
        self._cname = cname
        self._max_message_size = max_message_size
        self._ice_options = list(ice_options)
        self._ice_lite = ice_lite
        self._ice_pacing = ice_pacing
        self._bundle_policy = bundle_policy
        self._packet_reports = tuple(packet_reports)
        self._encrypt_extensions = encrypt_extensions
        self._sctp_init = sctp_init
        self._sctp_init_agreed: bool | None = None  # once there are data channels
        self._random_bytes = random_bytes
        self._session_id = int.from_bytes(random_bytes(8), "big") >> 2  # RFC 8829 section 5.2.1: 62 random bits
        self._version = 0
        self._created: dict[str, tuple[sdp.SessionDescription, list[Section]]] = {}

    @property
    def local_described(self) -> Described | None:
        """Ours: the pending one if there is one (W3C localDescription)."""
        return self.pending_local or self.current_local

    @property
    def remote_described(self) -> Described | None:
        """The peer's: the pending one if there is one (W3C remoteDescription)."""
        return self.pending_remote or self.current_remote

    @property
    def local(self) -> sdp.SessionDescription | None:
        """What ours says."""
        return described.session if (described := self.local_described) else None

    @property
    def remote(self) -> sdp.SessionDescription | None:
        """What the peer's says."""
        return described.session if (described := self.remote_described) else None

    # -- creating ----------------------------------------------------------------------------------------------

    def create_offer(self) -> Description:
        """RFC 8829 section 5.2."""
        if self.signaling_state not in {"stable", "have-local-offer"}:
            raise InvalidStateError(f"cannot create an offer in state {self.signaling_state}")
        sections = self._sections_to_offer()
        alive = any(not section.is_refused for section in sections)
        if self.restart_wanted and alive and self.local is not None and self._next_parameters is None:
            self._next_parameters = generate_parameters(self._random_bytes)
        description = self._skeleton(sections)
        first = True
        for section in sections:
            media = self._offered(section)
            if not section.is_refused:
                if not first and not self.sections and self._bundle_policy == "max-bundle":
                    media.port, media.bundle_only = 0, True  # RFC 9143 section 7.2.2
                first = False
            description.media.append(media)
        return self._remember("offer", description, sections)

    def _sections_to_offer(self) -> list[Section]:
        """The present ones, and new ones in place of those that were rejected, or at the end: section 5.2.2."""
        sections = [Section(s.mid, s.kind, s.transceiver, s.rejected) for s in self.sections]
        known = {id(section.transceiver) for section in sections if section.transceiver}
        wanted: list[tuple[str, Transceiver | None]] = [
            (transceiver.kind, transceiver)
            for transceiver in self.transceivers
            if id(transceiver) not in known and not transceiver.stopping
        ]
        if self.wants_data and not any(section.is_data for section in sections):
            wanted.append(("application", None))
        used = {section.mid for section in sections}
        free = [index for index, section in enumerate(sections) if section.rejected]
        for kind, transceiver in wanted:
            mid = next(str(n) for n in range(len(used) + 1) if str(n) not in used)
            used.add(mid)
            section = Section(mid, kind, transceiver)
            if free:
                sections[free.pop(0)] = section
            else:
                sections.append(section)
        if len(sections) > MAX_SECTIONS:
            raise InvalidStateError(f"more than {MAX_SECTIONS} sections")
        return sections

    def create_answer(self) -> Description:
        """RFC 8829 section 5.3."""
        if self.signaling_state not in {"have-remote-offer", "have-local-pranswer"} or self.remote is None:
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
        mids = [s.mid for s in sections if not s.is_refused]
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
        elif section.transceiver is not None and not section.is_refused:
            transceiver = section.transceiver
            extensions = self._extensions_to_offer(transceiver)
            codecs = self._codecs_to_offer(transceiver)
            reports = self._reports_to_offer()
            media = self._media(section, transceiver, *limit(codecs, extensions, reports), transceiver.direction)
            if CCFB in reports:
                media.attributes.append(CCFB_LINE)
            simulcast.offer(transceiver, media)
        else:
            return _rejected(section.mid, section.kind, "UDP/TLS/RTP/SAVPF", ["0"])
        media.setup = "actpass"  # RFC 8842 section 5.2, in every offer
        if section.rejected:
            media.port = 0
        return media

    def _reports_to_offer(self) -> tuple[str, ...]:
        """What was agreed, or all that we are willing to."""
        known = self._known_reports
        return self._packet_reports if known is None else (known,)

    def _reports_to_answer(self, remote: sdp.SessionDescription) -> str | None:
        """RFC 8888 section 6: only one, and the same as before where it is offered again."""
        known = self._known_reports
        wanted = self._packet_reports if known is None else (known, *self._packet_reports)
        return choose(wanted, remote.media)

    @property
    def _known_reports(self) -> str | None:
        return next((known.reports for known in self.transceivers if known.reports is not None), None)

    def _extensions_to_offer(self, transceiver: Transceiver) -> dict[Form, int]:
        """Those that were agreed; in a section that is new, under the numbers that they have in the others.

        MID is read before a packet's section is known (RFC 9143 section 9.2), so a number means one thing everywhere.
        """
        if transceiver.extensions:
            return transceiver.extension_forms
        numbers = {form: number for other in self.transceivers for form, number in other.extension_forms.items()}
        for kind in HEADER_EXTENSIONS:
            for form in self._extension_forms(kind):
                if form not in numbers:
                    numbers[form] = next(number for number in range(1, 256) if number not in numbers.values())
        return {form: numbers[form] for form in self._extension_forms(transceiver.kind)}

    def _extension_forms(self, kind: str) -> list[Form]:
        return forms_of(HEADER_EXTENSIONS[kind], encrypt=self._encrypt_extensions)

    def _codecs_to_offer(self, transceiver: Transceiver) -> list[NegotiatedCodec]:
        """What was agreed, or what was chosen since (RFC 8829 section 5.2.2)."""
        if transceiver.codecs and not transceiver.preferences_set:
            return list(transceiver.codecs)
        described = [media for known in (self.remote, self.local) if known is not None for media in known.media]
        return renumbered(offered(transceiver.preferences), described) or list(transceiver.codecs)

    def _answered(self, section: Section, remote: sdp.MediaDescription) -> sdp.MediaDescription:
        if section.is_refused:
            return _rejected(section.mid, section.kind, remote.protocol, remote.formats)
        if section.kind == "application":
            media = self._data_media(section, remote)
            media.protocol, media.formats = remote.protocol, list(remote.formats)
        else:
            transceiver = section.transceiver
            if transceiver is None or self.remote is None:
                return _rejected(section.mid, section.kind, remote.protocol, remote.formats)
            codecs = self._codecs_to_answer(transceiver, remote)
            extensions = usable(remote.extmaps, self._extension_forms(section.kind))
            theirs = reverse(self.remote.direction_of(remote))
            direction = direction_of(
                send=sends(theirs) and sends(transceiver.direction),
                receive=receives(theirs) and receives(transceiver.direction),
            )
            chosen = self._reports_to_answer(self.remote)
            media = self._media(section, transceiver, *limit(codecs, extensions, {chosen}), direction)
            media.protocol = remote.protocol
            if chosen == CCFB and CCFB in kinds_of(remote):
                media.attributes.append(CCFB_LINE)
            simulcast.answer(transceiver, remote, media)
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

    def _data_media(self, section: Section, offered: sdp.MediaDescription | None = None) -> sdp.MediaDescription:
        """Describe data channels, as an answer to what was offered if something was."""
        media = self._base(section, "UDP/DTLS/SCTP")
        media.formats = ["webrtc-datachannel"]
        media.sctp_port = SCTP_PORT
        media.max_message_size = self._max_message_size
        # An association that was set up without is not told of it later, one that was set up with it always is.
        wanted = self._sctp_init_agreed is not False and (offered is None or snap.read(offered) is not None)
        if self._sctp_init is not None and wanted:
            media.sctp_init = snap.write(self._sctp_init())
        return media

    def _media(
        self,
        section: Section,
        transceiver: Transceiver,
        codecs: list[NegotiatedCodec],
        extensions: dict[Form, int],
        direction: str,
    ) -> sdp.MediaDescription:
        media = self._base(section, "UDP/TLS/RTP/SAVPF")
        media.codecs = describe(codecs)
        media.formats = [str(codec.payload_type) for codec in media.codecs]
        media.direction = direction
        media.rtcp_mux = media.rtcp_rsize = True
        media.extmaps = describe_extensions(extensions)
        if sends(direction):
            media.msids = [sdp.Msid(stream, track) for stream, track in transceiver.msids]
            if not transceiver.simulcast:  # whose packets say themselves what they are (RFC 8853 section 5.5)
                self._name_sources(media, transceiver.layers[0])
        return media

    def _name_sources(self, media: sdp.MediaDescription, layer: Layer) -> None:
        """Say which SSRCs we send with (RFC 5576)."""
        media.ssrcs = [sdp.SsrcDescription(layer.ssrc, {"cname": self._cname})]
        if any(codec.name == "rtx" for codec in media.codecs):
            media.ssrcs.append(sdp.SsrcDescription(layer.rtx_ssrc, {"cname": self._cname}))
            media.ssrc_groups = [sdp.SsrcGroup("FID", [layer.ssrc, layer.rtx_ssrc])]


def _rejected(mid: str, kind: str, protocol: str, formats: list[str]) -> sdp.MediaDescription:
    """RFC 8829 section 5.3.1: a rejected section is a zero port and little else."""
    media = sdp.MediaDescription(kind=kind, port=0, protocol=protocol)
    media.mid = mid
    media.formats = list(formats)
    media.direction = "inactive" if kind != "application" else None
    return media
