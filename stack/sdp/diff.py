"""How two descriptions differ in meaning: order counts only where it has one."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from .media import MediaDescription
from .session import SessionDescription
from .values import Codec
from .writer import lines_of

Change: TypeAlias = Literal["added", "removed", "changed"]

_SECRET: Final = "a=ice-pwd:"  # noqa: S105  the beginning of a line, no password
_KEYED: Final = ("a=ice-ufrag", _SECRET[:-1], "a=setup", "a=tls-id", "a=mid", "a=sctp-port", "a=max-message-size",
                 "a=sctp-init", "a=ptime", "a=maxptime", "a=rtcp", "a=ice-pacing", "a=msid-semantic", "a=simulcast",
                 "a=ice-options", "a=framerate", "c=", "o=", "s=", "t=", "i=", "u=")  # fmt: skip
_DIRECTIONS: Final = ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive")
_CODEC_LINES: Final = ("a=rtpmap:", "a=fmtp:", "a=rtcp-fb:")
MAX_SHOWN: Final = 200
"""Characters of a value that a difference shows."""


@dataclass(slots=True)
class Difference:
    """One difference in meaning.

    Attributes:
        where: `session`, or the section: `video, mid 1`.
        change: `added`, `removed` or `changed`.
        what: What it is about, such as `a=setup` or `format VP8/90000`.
        old: As it was; None if it was not there. Passwords are cut out.
        new: As it is; None if it is not there any more.
    """

    where: str
    change: Change
    what: str
    old: str | None = None
    new: str | None = None


def diff(old: SessionDescription, new: SessionDescription) -> list[Difference]:
    """Return how `new` differs from `old`: the session first, then the sections in the order of `new`.

    Sections are the same if they have the same mid, or, without mid, the same place. The order of attributes,
    candidates, sources, header extensions and feedback means nothing; the order of formats, of the items of groups and
    of the sections does.
    """
    old_lines, old_sections = lines_of(old)
    new_lines, new_sections = lines_of(new)
    differences = list(_levels("session", old_lines, new_lines))
    before = {_key(media, index): index for index, media in enumerate(old.media)}
    after = {_key(media, index): index for index, media in enumerate(new.media)}
    common = [key for key in after if key in before]
    for key, index in after.items():
        where = _name(new.media[index], index)
        if key not in before:
            differences.append(Difference(where, "added", "section", None, _cut(new_sections[index][0])))
            continue
        other = before[key]
        differences += _sections(where, old.media[other], new.media[index])
        differences += _levels(where, old_sections[other][1:], new_sections[index][1:])
    for key, index in before.items():
        if key not in after:
            gone = _name(old.media[index], index)
            differences.append(Difference(gone, "removed", "section", _cut(old_sections[index][0])))
    if [key for key in before if key in after] != common:
        differences.append(Difference("session", "changed", "order of sections", _names(old.media), _names(new.media)))
    return differences


def _key(media: MediaDescription, index: int) -> tuple[str, object]:
    return ("index", index) if media.mid is None else ("mid", media.mid)


def _name(media: MediaDescription, index: int) -> str:
    return f"{media.kind}, mid {media.mid}" if media.mid is not None else f"{media.kind}, section {index + 1}"


def _names(sections: Sequence[MediaDescription]) -> str:
    return _cut(" ".join(media.mid or "-" for media in sections))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _sections(where: str, old: MediaDescription, new: MediaDescription) -> Iterator[Difference]:
    """Compare the `m=` lines and the formats."""
    for what, before, after in (
        ("kind", old.kind, new.kind),
        ("port", _port(old), _port(new)),
        ("protocol", old.protocol, new.protocol),
    ):
        if before != after:
            yield Difference(where, "changed", what, before, after)
    if not (old.codecs or new.codecs):
        if old.formats != new.formats:
            yield Difference(where, "changed", "formats", " ".join(old.formats), " ".join(new.formats))
        return
    yield from _codecs(where, old, new)


def _port(media: MediaDescription) -> str:
    return f"{media.port}" + (" (refused)" if media.is_rejected else "")


def _codecs(where: str, old: MediaDescription, new: MediaDescription) -> Iterator[Difference]:
    before, after = _by_meaning(old), _by_meaning(new)
    for meaning, codec in before.items():
        name = f"format {meaning}"
        other = after.get(meaning)
        if other is None:
            yield Difference(where, "removed", name, str(codec.payload_type))
            continue
        if codec.payload_type != other.payload_type:
            yield Difference(
                where, "changed", f"{name}: payload type", str(codec.payload_type), str(other.payload_type)
            )
        for feedback in codec.feedback:
            if feedback not in other.feedback:
                yield Difference(where, "removed", f"{name}: feedback", " ".join(filter(None, feedback)))
        for feedback in other.feedback:
            if feedback not in codec.feedback:
                yield Difference(where, "added", f"{name}: feedback", None, " ".join(filter(None, feedback)))
    for meaning, codec in after.items():
        if meaning not in before:
            yield Difference(where, "added", f"format {meaning}", None, str(codec.payload_type))
    kept = [meaning for meaning in before if meaning in after]
    now = [meaning for meaning in after if meaning in before]
    if kept != now:
        yield Difference(where, "changed", "preference of formats", _cut(", ".join(kept)), _cut(", ".join(now)))


def _by_meaning(media: MediaDescription) -> dict[str, Codec]:
    """Return the formats by what they are, for payload types are only numbers."""
    found: dict[str, Codec] = {}
    for codec in media.codecs:
        meaning = _meaning(codec)
        apt = codec.parameters.get("apt")
        original = media.codec(int(apt)) if apt and apt.isascii() and apt.isdigit() and len(apt) < 4 else None
        if codec.name.lower() == "rtx" and original is not None:
            meaning = f"rtx of {_meaning(original)}"
        while meaning in found:
            meaning += " again"
        found[meaning] = codec
    return found


def _meaning(codec: Codec) -> str:
    text = f"{codec.name}/{codec.clock_rate}"
    if (codec.channels or 1) != 1:
        text += f"/{codec.channels}"
    parameters = sorted(
        f"{name.lower()}={value}" if value is not None else name.lower() for name, value in codec.parameters.items()
    )
    if codec.raw_parameters is not None:
        parameters.append(codec.raw_parameters)
    return f"{text.lower()} {';'.join(parameters)}".rstrip()


def _levels(where: str, old: list[str], new: list[str]) -> Iterator[Difference]:
    """Compare the lines of one level as two sets; those that stand for one value are changed, not replaced."""
    before, after = list(map(_without_order, _others(old))), list(map(_without_order, _others(new)))
    come: dict[str, deque[str]] = {}  # by what they give the value of; the others each by themselves
    for line in _minus(after, before):
        come.setdefault(_keyed(line) or line, deque()).append(line)
    for line in _minus(before, after):
        name = _keyed(line)
        successors = come.get(name) if name is not None else None
        if successors:
            yield Difference(where, "changed", name or "", _shown(line), _shown(successors.popleft()))
        else:
            yield Difference(where, "removed", _title(line), _shown(line))
    for rest in come.values():
        for line in rest:
            yield Difference(where, "added", _title(line), None, _shown(line))


def _others(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith(_CODEC_LINES)]


def _without_order(line: str) -> str:
    if line.startswith("a=ice-options:"):
        name, _, options = line.partition(":")
        return f"{name}:{' '.join(sorted(options.split(' ')))}"
    return line


def _minus(lines: list[str], others: list[str]) -> list[str]:
    left = list(others)
    counted: dict[str, int] = {}
    for line in left:
        counted[line] = counted.get(line, 0) + 1
    remaining = []
    for line in lines:
        if counted.get(line, 0):
            counted[line] -= 1
        else:
            remaining.append(line)
    return remaining


def _keyed(line: str) -> str | None:
    """Return what a line gives the value of, if there is one of them in a level."""
    if line in _DIRECTIONS:
        return "direction"
    if line.startswith(("a=extmap:", "a=group:", "b=")):
        return line.replace("/", " ").split(" ")[0] if line[0] == "a" else line.partition(":")[0]
    name = _title(line)
    return name if name in _KEYED else None


def _title(line: str) -> str:
    return line.partition(":")[0] if line.startswith("a=") else line[:2]


def _shown(line: str) -> str:
    if line.startswith((_SECRET, "a=crypto:", "k=")):
        return "(not shown)"
    if line in _DIRECTIONS:
        return line[2:]
    return _cut(line.partition(":")[2] if line.startswith("a=") and ":" in line else line[2:])
