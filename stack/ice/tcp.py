"""Candidates over TCP: RFC 6544. Streams and their framing (RFC 4571) are below the agent."""

from typing import Final

ACTIVE_PORT: Final = 9
"""The port of every active candidate: RFC 6544 section 4.5."""

_DIRECTION_PREFERENCES: Final = {"active": 6, "passive": 4}  # of host candidates: RFC 6544 section 4.2
_OPPOSITE: Final = {"active": "passive", "passive": "active"}


def tcp_local_preference(tcp_type: str, local_preference: int) -> int:
    """Return the local preference with the direction in its upper three bits: RFC 6544 section 4.2.

    Args:
        tcp_type: `active` or `passive`.
        local_preference: 0..65535, of which the upper thirteen bits are left.
    """
    return _DIRECTION_PREFERENCES[tcp_type] << 13 | local_preference >> 3


def checks_can_begin(local_tcp_type: str | None, remote_tcp_type: str | None) -> bool:
    """Tell whether a pair gets into the checklist: RFC 6544 section 6.2.

    None stands for UDP. A passive candidate is never checked from: the pair appears with the first request that
    comes over a connection that the other side has opened.
    """
    return local_tcp_type != "passive" and remote_tcp_type == _OPPOSITE.get(local_tcp_type or "")


def opposite(tcp_type: str | None) -> str | None:
    """Return the type of the other end of a connection."""
    return _OPPOSITE.get(tcp_type or "")
