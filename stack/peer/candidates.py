"""Candidates between the layers: `stack.ice` has its own, `stack.sdp` has the text."""

from typing import Final

from .. import ice, sdp

_FIELDS: Final = (
    "foundation",
    "component",
    "transport",
    "priority",
    "host",
    "port",
    "type",
    "related_host",
    "related_port",
    "tcp_type",
)


def to_sdp(candidate: ice.Candidate, ufrag: str) -> sdp.Candidate:
    """Return a gathered candidate as it is signalled, tied to its ICE generation by `ufrag` (RFC 8840 section 4.1)."""
    return sdp.Candidate(**{name: getattr(candidate, name) for name in _FIELDS}, ufrag=ufrag)


def to_ice(candidate: sdp.Candidate) -> ice.Candidate:
    """Return a signalled candidate as the agent takes it."""
    return ice.Candidate(**{name: getattr(candidate, name) for name in _FIELDS})
