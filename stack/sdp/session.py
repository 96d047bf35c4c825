"""A whole description, and which session-level values hold for a section."""

from dataclasses import dataclass, field

from .errors import LineError
from .media import MediaDescription
from .parser import parse_into
from .values import Attribute, Bandwidth, Connection, ExtMap, Fingerprint, Group, Origin, Timing
from .writer import write


@dataclass(slots=True)
class SessionDescription:
    """A session description, RFC 8866 section 5.

    Attributes:
        version: `v=`, always 0.
        origin: `o=`.
        name: `s=`.
        connection: `c=` of the session, or None.
        bandwidth: `b=` lines.
        timing: The first `t=` line.
        groups: RFC 5888 section 5.
        msid_semantic: As written, for example `WMS *`; obsolete, but implementations send it.
        extmap_allow_mixed: RFC 8285 section 6; at session level.
        extmaps: RFC 8285 section 5; at session level.
        ice_lite: RFC 8839 section 5.3.
        ice_pacing: Milliseconds between two new checks: RFC 8839 section 5.5.
        ice_options: RFC 8839 section 5.6; at session level.
        ice_ufrag: RFC 8839 section 5.4; at session level.
        ice_pwd: RFC 8839 section 5.4; at session level.
        end_of_candidates: RFC 8840 section 8.1; at session level.
        fingerprints: RFC 8122 section 5; at session level.
        setup: RFC 4145 section 4; at session level.
        direction: RFC 8866 section 6.7; at session level.
        media: The sections, in order.
        attributes: All other session-level attributes, in order.
        other_lines: Other session-level lines (i, u, e, p, r, z, k, further t), as (letter, value), in order.
    """

    version: int = 0
    origin: Origin = field(default_factory=Origin)
    name: str = "-"
    connection: Connection | None = None
    bandwidth: list[Bandwidth] = field(default_factory=list)
    timing: Timing = field(default_factory=Timing)
    groups: list[Group] = field(default_factory=list)
    msid_semantic: str | None = None
    extmap_allow_mixed: bool = False
    extmaps: list[ExtMap] = field(default_factory=list)
    ice_lite: bool = False
    ice_pacing: int | None = None
    ice_options: list[str] = field(default_factory=list)
    ice_ufrag: str | None = None
    ice_pwd: str | None = None
    end_of_candidates: bool = False
    fingerprints: list[Fingerprint] = field(default_factory=list)
    setup: str | None = None
    direction: str | None = None
    media: list[MediaDescription] = field(default_factory=list)
    attributes: list[Attribute] = field(default_factory=list)
    other_lines: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str, *, errors: list[LineError] | None = None) -> "SessionDescription":
        """Parse a description; line ends may be CRLF or LF.

        Args:
            text: The description.
            errors: For tools that show all that is wrong at once: if it is given, what is wrong is appended to it and
                left out, instead of the first error being raised. A negotiation must not use that.

        Raises:
            LineError: The reason is a slug such as `bad-fingerprint`; it names the line.
            ParseError: The text as a whole is too large.
        """
        session = cls()
        parse_into(session, text, errors)
        return session

    def serialize(self) -> str:
        """Return the text, in canonical order with CRLF line ends.

        Raises:
            LocalError: If a value holds a line break or a NUL and would become lines of its own.
        """
        return write(self)

    def ice_parameters_of(self, media: MediaDescription) -> tuple[str | None, str | None]:
        """Return ufrag and password that hold for a section, each None if it is nowhere (RFC 8839 section 5.4)."""
        return (
            self.ice_ufrag if media.ice_ufrag is None else media.ice_ufrag,
            self.ice_pwd if media.ice_pwd is None else media.ice_pwd,
        )

    def ice_options_of(self, media: MediaDescription) -> list[str]:
        """Return the ICE options of both levels, without repetition (RFC 8839 section 5.6)."""
        return list(dict.fromkeys([*self.ice_options, *media.ice_options]))

    def fingerprints_of(self, media: MediaDescription) -> list[Fingerprint]:
        """Return the section's fingerprints, or else the session's (RFC 8122 section 5)."""
        return list(media.fingerprints or self.fingerprints)

    def setup_of(self, media: MediaDescription) -> str | None:
        """Return the DTLS role that holds for a section, or None if it is nowhere (RFC 4145 section 4)."""
        return self.setup if media.setup is None else media.setup

    def direction_of(self, media: MediaDescription) -> str:
        """Return the direction of a section; `sendrecv` if it is nowhere (RFC 8866 section 6.7)."""
        return media.direction or self.direction or "sendrecv"

    def extmaps_of(self, media: MediaDescription) -> list[ExtMap]:
        """Return the section's header extensions, or else the session's: RFC 8285 section 5 forbids a mixture."""
        return list(media.extmaps or self.extmaps)

    def extmap_allow_mixed_of(self, media: MediaDescription) -> bool:
        """Whether one- and two-byte header extensions may be mixed in a section (RFC 8285 section 6)."""
        return media.extmap_allow_mixed or self.extmap_allow_mixed

    def end_of_candidates_of(self, media: MediaDescription) -> bool:
        """Whether no further candidates will come for a section (RFC 8840 section 8.1)."""
        return media.end_of_candidates or self.end_of_candidates
