"""Remote candidates with mDNS names: draft-ietf-mmusic-mdns-ice-candidates."""

import re
from typing import Final

from .candidate import Candidate

MAX_NAMES: Final = 16
"""Names that wait to be resolved. A browser makes one for each address of its host."""
MAX_CANDIDATES_PER_NAME: Final = 8
"""Candidates of one name: one for each port, over UDP and TCP."""

# Section 3.2.2 of the draft: only names of the form that section 3.1.1 makes, so that nobody can have us send checks
# to devices with well-known names.
_NAME: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local", re.IGNORECASE | re.ASCII)


def is_mdns_name(host: str) -> bool:
    """Tell whether a candidate's host is a name that may be resolved."""
    return _NAME.fullmatch(host) is not None


class Resolution:
    """Candidates by the name that they wait for."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[str, list[Candidate]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, candidate: Candidate) -> str | None:
        """Let a candidate wait.

        Returns:
            The name if it must be asked for now, else None.

        Raises:
            OverflowError: There is no room.
        """
        name = candidate.host.lower()
        known = self._waiting.get(name)
        if known is None:
            if len(self._waiting) >= MAX_NAMES:
                raise OverflowError
            self._waiting[name] = [candidate]
            return name
        if len(known) >= MAX_CANDIDATES_PER_NAME:
            raise OverflowError
        known.append(candidate)
        return None

    def take(self, name: str) -> list[Candidate]:
        """Return and forget the candidates of a name."""
        return self._waiting.pop(name.lower(), [])

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()
