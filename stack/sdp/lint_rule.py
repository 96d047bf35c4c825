"""What the rules of `lint` have in common: how they are registered, and what they look at."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .media import MediaDescription
from .parser import split_lines
from .session import SessionDescription

if TYPE_CHECKING:
    from .errors import LineError

Severity: TypeAlias = Literal["error", "warning", "info"]
Kind: TypeAlias = Literal["offer", "answer"]
Hit: TypeAlias = tuple[int, str]
Check: TypeAlias = Callable[["Context"], Iterator[Hit]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        id: Stable slug.
        severity: `error`: a WebRTC endpoint refuses it, or it cannot work; `warning`: it may not work, or a
            specification forbids it; `info`: worth knowing.
        source: Specification and section.
        title: What is wrong in general.
    """

    id: str
    severity: Severity
    source: str
    title: str


class Context:
    """A description and its lines.

    Args:
        text: The description.
        kind: Whether it is an offer or an answer; None if that is unknown.

    Raises:
        ParseError: It is too large.
    """

    def __init__(self, text: str, kind: Kind | None) -> None:
        self.text = text
        self.kind = kind
        self.errors: list[LineError] = []
        self.session = SessionDescription.parse(text, errors=self.errors)
        self.lines = split_lines(text, [])
        unread = {error.line_number for error in self.errors if error.reason == "bad-media"}
        self.starts = [n for n, line in enumerate(self.lines, 1) if line.startswith("m=") and n not in unread]
        headers = [number for number, line in enumerate(self.lines, 1) if line.startswith("m=")]
        self._ends = dict(zip(headers, [*headers[1:], len(self.lines) + 1], strict=False))
        self._bundles: dict[str, list[str]] = {}
        self._tagged: dict[str, MediaDescription] = {}
        self._group()
        self.first_header = headers[0] if headers else len(self.lines) + 1

    def _group(self) -> None:
        """Find the BUNDLE group of each section, and the first section of the group that is not refused."""
        sections = {media.mid: media for media in self.session.media if media.mid is not None}
        for group in self.session.groups:
            if group.semantics != "BUNDLE":
                continue
            members = [item for item in group.items if item in sections]
            tagged = next((sections[item] for item in members if not sections[item].is_rejected), None)
            for item in members:
                self._bundles.setdefault(item, group.items)
                if tagged is not None:
                    self._tagged.setdefault(item, tagged)

    def range_of(self, section: int | None) -> range:
        """Return the numbers of the lines of a section, or of the session level."""
        if section is None:
            return range(1, self.first_header)
        start = self.starts[section]
        return range(start, self._ends[start])

    def find(self, section: int | None, *starts: str) -> list[int]:
        """Return the numbers of the lines of one level that begin like this."""
        return [number for number in self.range_of(section) if self.lines[number - 1].startswith(starts)]

    def at(self, section: int | None, *starts: str) -> int:
        """Return the first line of a level that begins like this, or else the first line of the level."""
        found = self.find(section, *starts)
        return found[0] if found else self.range_of(section)[0] if self.lines else 1

    def section_of(self, line: int) -> int | None:
        """Return the index of the section that a line belongs to."""
        return next((i for i, start in enumerate(self.starts) if start <= line < self._ends[start]), None)

    def sections(self) -> Iterator[tuple[int, MediaDescription]]:
        """Yield index and section of all that are not refused."""
        return ((index, media) for index, media in enumerate(self.session.media) if not media.is_rejected)

    def rtp_sections(self) -> Iterator[tuple[int, MediaDescription]]:
        """Yield index and section of all that carry RTP and are not refused."""
        return ((index, media) for index, media in self.sections() if "RTP/" in media.protocol)

    def bundle_of(self, media: MediaDescription) -> list[str]:
        """Return the items of the BUNDLE group that a section is in, or nothing."""
        return [] if media.mid is None else self._bundles.get(media.mid, [])

    def carries_transport(self, media: MediaDescription) -> bool:
        """Whether a section must have ICE and DTLS parameters of its own, or of the session.

        The others of a bundle need not once it is negotiated (RFC 9143 section 7.1.3), which their port shows.
        """
        tagged = self._tagged.get(media.mid or "", media)
        return media is tagged or not (media.bundle_only or media.port == tagged.port)


RULES: Final[dict[str, Rule]] = {}
"""All rules by identifier. Wrong lines are reported as `syntax-` and the reason of their `LineError`."""

CHECKS: Final[list[tuple[Rule, Check]]] = []


def rule(identifier: str, severity: Severity, source: str, title: str) -> Callable[[Check], Check]:
    """Register the decorated function, which yields (line, message), as a rule."""

    def register(check: Check) -> Check:
        RULES[identifier] = Rule(identifier, severity, source, title)
        CHECKS.append((RULES[identifier], check))
        return check

    return register
