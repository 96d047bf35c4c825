"""What is wrong with which line."""

from typing import Final

from ..core import ParseError

MAX_EXCERPT: Final = 120
"""Characters of a wrong line that its error shows: enough for a candidate, and one line on most terminals."""

_SECRETS: Final = ("a=ice-pwd:", "a=crypto:", "k=")
"""How lines begin that hold a password or a key, which must not get into logs."""


class LineError(ParseError):
    """One line of a description is wrong, or what should have come before it is missing.

    Args:
        reason: Stable slug.
        line_number: From 1.
        line: The line; it is shortened, and passwords and keys are cut out of it.
        detail: What is wrong with it.

    Attributes:
        line_number: From 1; one more than there are lines if the end came too early.
        line: For people to look at.
        explanation: What is wrong, without the place.
    """

    def __init__(self, reason: str, line_number: int, line: str, detail: str) -> None:
        name = line.partition(":")[0][:40] if line[:2] == "a=" else line[:2]
        super().__init__(reason, f"line {line_number}: {name}: {detail}" if line else f"line {line_number}: {detail}")
        self.line_number = line_number
        self.line = shortened(line)
        self.explanation = detail


def shortened(line: str) -> str:
    """Return a line without secrets, and short enough for an error message."""
    for start in _SECRETS:
        if line.startswith(start):
            return f"{start}..."
    return line if len(line) <= MAX_EXCERPT else f"{line[:MAX_EXCERPT]}..."
