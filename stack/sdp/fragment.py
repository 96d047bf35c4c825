"""What is trickled: the body `application/trickle-ice-sdpfrag`, RFC 8840 section 9.

>>> Fragment.parse(body).media[0].candidates
>>> Fragment.of(session).serialize()
"""

from dataclasses import dataclass, field
from typing import Final

from ..core import LocalError
from .media import MediaDescription
from .parser import parse_fragment_into
from .session import SessionDescription
from .values import Group
from .writer import join_lines

MEDIA_TYPE: Final = "application/trickle-ice-sdpfrag"
"""RFC 8840 section 12.2."""


@dataclass(slots=True)
class Fragment:
    """ICE parameters and candidates on their way after the description: RFC 8840 section 9.2.

    Attributes:
        groups: Which sections share a transport.
        ice_lite: RFC 8839 section 5.3.
        ice_pacing: Milliseconds, or None.
        ice_options: At session level.
        ice_ufrag: At session level, or None.
        ice_pwd: At session level, or None.
        end_of_candidates: Whether no more will come for any section.
        media: The pseudo sections. Of each only the `m=` line, `mid`, ICE parameters, `rtcp`, `rtcp-mux`,
            `rtcp-mux-only`, `candidates` and `end_of_candidates` are written.
    """

    groups: list[Group] = field(default_factory=list)
    ice_lite: bool = False
    ice_pacing: int | None = None
    ice_options: list[str] = field(default_factory=list)
    ice_ufrag: str | None = None
    ice_pwd: str | None = None
    end_of_candidates: bool = False
    media: list[MediaDescription] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> "Fragment":
        """Parse a body; what else than ICE it holds is ignored, as RFC 8840 section 9.2 has it.

        Raises:
            LineError: A line is wrong.
            ParseError: The text is too large, by the limits of descriptions.
        """
        session = SessionDescription()
        parse_fragment_into(session, text)
        return cls._from(session, session.media)

    @classmethod
    def of(cls, session: SessionDescription) -> "Fragment":
        """Return what a description says about ICE: all sections with a transport of their own.

        These are, of each BUNDLE group, its first one that is not refused, and those in no group (RFC 9143 section
        7.2.1).
        """
        bundled = {
            item
            for group in session.groups
            if group.semantics == "BUNDLE"
            for item in [mid for mid in group.items if mid in {m.mid for m in session.media if not m.is_rejected}][1:]
        }
        return cls._from(
            session, [media for media in session.media if not media.is_rejected and media.mid not in bundled]
        )

    @classmethod
    def _from(cls, session: SessionDescription, media: list[MediaDescription]) -> "Fragment":
        return cls(
            [group for group in session.groups if group.semantics == "BUNDLE"],
            session.ice_lite,
            session.ice_pacing,
            list(session.ice_options),
            session.ice_ufrag,
            session.ice_pwd,
            session.end_of_candidates,
            [_only_ice(section) for section in media],
        )

    def ice_parameters_of(self, media: MediaDescription) -> tuple[str | None, str | None]:
        """Return ufrag and password that hold for a section, each None if it is nowhere."""
        return media.ice_ufrag or self.ice_ufrag, media.ice_pwd or self.ice_pwd

    def serialize(self) -> str:
        """Return the body, with CRLF line ends.

        Raises:
            LocalError: If a value holds a line break or a NUL, or there is nothing to write.
        """
        lines = [f"a=group:{' '.join([group.semantics, *group.items])}" for group in self.groups]
        if self.ice_lite:
            lines.append("a=ice-lite")
        if self.ice_pacing is not None:
            lines.append(f"a=ice-pacing:{self.ice_pacing}")
        lines += _credentials(self)
        if self.end_of_candidates:
            lines.append("a=end-of-candidates")
        for media in self.media:
            lines += _section(media)
        if not lines:
            raise LocalError("a fragment without ICE parameters and sections says nothing")
        return join_lines(lines)


def _only_ice(media: MediaDescription) -> MediaDescription:
    return MediaDescription(
        media.kind,
        media.port,
        media.protocol,
        list(media.formats) or [str(codec.payload_type) for codec in media.codecs],
        connection=None,
        mid=media.mid,
        ice_ufrag=media.ice_ufrag,
        ice_pwd=media.ice_pwd,
        ice_options=list(media.ice_options),
        rtcp_mux=media.rtcp_mux,
        rtcp_mux_only=media.rtcp_mux_only,
        candidates=list(media.candidates),
        end_of_candidates=media.end_of_candidates,
    )


def _credentials(level: Fragment | MediaDescription) -> list[str]:
    lines = [f"a=ice-options:{' '.join(level.ice_options)}"] if level.ice_options else []
    if level.ice_ufrag is not None:
        lines.append(f"a=ice-ufrag:{level.ice_ufrag}")
    if level.ice_pwd is not None:
        lines.append(f"a=ice-pwd:{level.ice_pwd}")
    return lines


def _section(media: MediaDescription) -> list[str]:
    lines = [f"m={media.kind} {media.port} {media.protocol} {' '.join(media.formats)}"]
    if media.mid is not None:
        lines.append(f"a=mid:{media.mid}")
    lines += _credentials(media)
    if media.rtcp_mux:
        lines.append("a=rtcp-mux")
    if media.rtcp_mux_only:
        lines.append("a=rtcp-mux-only")
    lines += [f"a={candidate.serialize()}" for candidate in media.candidates]
    if media.end_of_candidates:
        lines.append("a=end-of-candidates")
    return lines
