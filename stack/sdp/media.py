"""One section of a description: an `m=` line and what belongs to it."""

from dataclasses import dataclass, field

from . import details
from .candidate import Candidate
from .values import (
    Attribute,
    Bandwidth,
    Codec,
    Connection,
    ExtMap,
    Fingerprint,
    Msid,
    Rid,
    Rtcp,
    Simulcast,
    SsrcDescription,
    SsrcGroup,
)


@dataclass(slots=True)
class MediaDescription:
    """A media section, RFC 8866 section 5.14.

    What may also stand at session level (ICE, fingerprints, setup, direction) is here only if it stood in the section;
    ask the `..._of` methods of `SessionDescription` for what holds.

    Attributes:
        kind: `audio`, `video`, `application`, or another.
        port: Of the `m=` line.
        protocol: Such as `UDP/TLS/RTP/SAVPF` or `UDP/DTLS/SCTP`.
        formats: As written: payload types, or `webrtc-datachannel`. If it is empty, `serialize` writes the payload
            types of `codecs`.
        port_count: After the slash of the port, or None.
        title: `i=`, or None.
        connection: `c=`; None if the section has none. A new section has the placeholder of RFC 8829 section 5.2.1.
        bandwidth: `b=` lines.
        mid: RFC 5888 section 4.
        direction: One of `DIRECTIONS`, or None.
        rtcp_mux: RFC 5761 section 5.1.3.
        rtcp_mux_only: RFC 8858 section 3.
        rtcp_rsize: RFC 5506 section 5.1.
        rtcp: RFC 3605, or None.
        bundle_only: RFC 9143 section 6.
        ice_ufrag: RFC 8839 section 5.4.
        ice_pwd: RFC 8839 section 5.4.
        ice_options: RFC 8839 section 5.6.
        candidates: RFC 8839 section 5.1, without those that it wants ignored; these are in `attributes`.
        end_of_candidates: RFC 8840 section 8.1.
        fingerprints: RFC 8122 section 5.
        setup: `actpass`, `active`, `passive` or `holdconn` (RFC 4145 section 4), or None.
        tls_id: RFC 8842 section 4.
        sctp_port: RFC 8841 section 5.
        max_message_size: Bytes, 0 for no limit (RFC 8841 section 6); None if absent, which means 64 KiB.
        sctp_init: draft-hancke-tsvwg-snap-00, an INIT chunk in base64.
        extmap_allow_mixed: RFC 8285 section 6.
        extmaps: RFC 8285 section 5.
        codecs: The formats of an RTP section in the order of the `m=` line, without those that nothing describes.
        msids: RFC 8830.
        ssrcs: RFC 5576 section 4.1.
        ssrc_groups: RFC 5576 section 4.2.
        rids: RFC 8851; lines that it wants discarded are in `attributes`.
        simulcast: RFC 8853, or None.
        ptime: Milliseconds, RFC 8866 section 6.4.
        maxptime: Milliseconds, RFC 8866 section 6.5.
        attributes: All other attributes, in order.
        other_lines: Further `c=` lines and `k=`, as (letter, value).
    """

    kind: str
    port: int
    protocol: str
    formats: list[str] = field(default_factory=list)
    port_count: int | None = None
    title: str | None = None
    connection: Connection | None = field(default_factory=Connection)
    bandwidth: list[Bandwidth] = field(default_factory=list)
    mid: str | None = None
    direction: str | None = None
    rtcp_mux: bool = False
    rtcp_mux_only: bool = False
    rtcp_rsize: bool = False
    rtcp: Rtcp | None = None
    bundle_only: bool = False
    ice_ufrag: str | None = None
    ice_pwd: str | None = None
    ice_options: list[str] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    end_of_candidates: bool = False
    fingerprints: list[Fingerprint] = field(default_factory=list)
    setup: str | None = None
    tls_id: str | None = None
    sctp_port: int | None = None
    max_message_size: int | None = None
    sctp_init: str | None = None
    extmap_allow_mixed: bool = False
    extmaps: list[ExtMap] = field(default_factory=list)
    codecs: list[Codec] = field(default_factory=list)
    msids: list[Msid] = field(default_factory=list)
    ssrcs: list[SsrcDescription] = field(default_factory=list)
    ssrc_groups: list[SsrcGroup] = field(default_factory=list)
    rids: list[Rid] = field(default_factory=list)
    simulcast: Simulcast | None = None
    ptime: float | None = None
    maxptime: float | None = None
    attributes: list[Attribute] = field(default_factory=list)
    other_lines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_rejected(self) -> bool:
        """Whether port 0 means that the section is refused or removed (RFC 9143 section 7.2.2 has the exception)."""
        return self.port == 0 and not self.bundle_only

    def codec(self, payload_type: int) -> Codec | None:
        """Return the format with this payload type, or None."""
        return next((codec for codec in self.codecs if codec.payload_type == payload_type), None)

    @property
    def label(self) -> str | None:
        """`a=label`, RFC 4574 section 5, or None."""
        return details.label(self.attributes)

    @property
    def content(self) -> list[str]:
        """The items of `a=content`, such as `slides`: RFC 4796 section 5."""
        return details.content(self.attributes)

    @property
    def frame_rate(self) -> float | None:
        """`a=framerate`, frames per second (RFC 8866 section 6.13), or None."""
        return details.frame_rate(self.attributes)

    @property
    def image_attributes(self) -> list[details.ImageAttribute]:
        """The `a=imageattr` lines, RFC 6236 section 3.1.1."""
        return details.image_attributes(self.attributes)

    @property
    def sctp_maps(self) -> list[details.SctpMap]:
        """The `a=sctpmap` lines of drafts older than RFC 8841."""
        return details.sctp_maps(self.attributes)

    @property
    def cryptos(self) -> list[details.Crypto]:
        """The `a=crypto` lines (RFC 4568) without the keys, which RFC 8827 section 6.5 forbids to use."""
        return details.cryptos(self.attributes)
