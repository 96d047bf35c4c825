"""SCTP's INIT chunks in the descriptions: `a=sctp-init`, which saves two round trips before a data channel is open.

Source: draft-hancke-tsvwg-snap-00 (SNAP).
"""

import base64
import binascii
from collections.abc import Callable
from typing import TypeAlias

from .. import sctp, sdp
from ..core import ParseError

LocalInit: TypeAlias = Callable[[], sctp.Init]
"""Returns the INIT of our association, the same each time."""


def write(init: sctp.Init) -> str:
    """Return the value of `a=sctp-init`."""
    return base64.b64encode(sctp.serialize_init_chunk(init)).decode()


def read(media: sdp.MediaDescription) -> sctp.Init | None:
    """Return the INIT in a data section; None if there is none, or one that nobody understands.

    Deviates: section 4.3 of the draft has a malformed one fail the whole description. Without it, the handshake that
    there was before does as well.
    """
    if media.sctp_init is None:
        return None
    try:
        return sctp.parse_init_chunk(base64.b64decode(media.sctp_init, validate=True))
    except (binascii.Error, ValueError, ParseError):
        return None


def agreed(ours: sdp.MediaDescription, theirs: sdp.MediaDescription) -> sctp.Init | None:
    """Return the peer's INIT if both descriptions have one, so that the association needs no handshake.

    A peer that gives ours back has copied what it does not understand, as libdatachannel does with all attributes.
    """
    return read(theirs) if ours.sctp_init not in {None, theirs.sctp_init} else None
