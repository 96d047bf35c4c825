"""Which reports on single packets both sides of an m-section agree on."""

from collections.abc import Mapping, Sequence
from typing import Final

from .. import rtp
from .codecs import NegotiatedCodec

TRANSPORT_CC: Final = "transport-cc"
"""By transport-wide sequence numbers: draft-holmer-rmcat-transport-wide-cc-extensions-01."""


def reports_on(codecs: Sequence[NegotiatedCodec], extensions: Mapping[str, int]) -> str | None:
    """Return what was agreed for a section, by what it sends with: its first codec; None for nothing."""
    numbered = rtp.TRANSPORT_CC in extensions
    return TRANSPORT_CC if numbered and codecs and TRANSPORT_CC in codecs[0].codec.feedback else None
