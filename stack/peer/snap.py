"""SCTP's INIT chunks in the descriptions: `a=sctp-init`, which saves two round trips before a data channel is open.

Source: draft-hancke-tsvwg-snap-00 (SNAP).
"""

import base64
import binascii
from collections.abc import Callable
from typing import Final, TypeAlias

from .. import sctp, sdp
from ..core import ParseError, RandomBytes

MAX_EARLY: Final = 64
"""Packets kept of a peer that was told our INIT, and whose answer is slower than they are."""

LocalInit: TypeAlias = Callable[[], sctp.Init]
"""Returns the INIT of our association, the same each time."""


class Start:
    """What is known of an association before there is one.

    Args:
        random_bytes: Source of randomness.
        config: Settings of the association.

    Attributes:
        beginning: Its numbers, once the peer may have been told of them.
        remote_init: The peer's INIT, if there need be no handshake.
    """

    def __init__(self, random_bytes: RandomBytes, config: sctp.Config) -> None:
        self._random_bytes = random_bytes
        self._config = config
        self._early: list[bytes] = []
        self.beginning: sctp.Beginning | None = None
        self.remote_init: sctp.Init | None = None

    def local_init(self) -> sctp.Init:
        """Return the INIT that the association will have, or has."""
        if self.beginning is None:
            self.beginning = sctp.Beginning.choose(self._random_bytes)
        return self.beginning.init(self._config)

    def keep(self, packet: bytes) -> bool:
        """Keep a packet of a peer that knows our INIT and whose answer is on its way; return whether it was."""
        kept = self.beginning is not None and len(self._early) < MAX_EARLY
        if kept:
            self._early.append(packet)
        return kept

    def take_early(self) -> list[bytes]:
        """Return what was kept, and forget it."""
        early, self._early = self._early, []
        return early


def write(init: sctp.Init) -> str:
    """Return the value of `a=sctp-init`."""
    return base64.b64encode(sctp.serialize_init_chunk(init)).decode()


def read(media: sdp.MediaDescription) -> sctp.Init | None:
    """Return the INIT in a data section; None if there is none, or one that nobody understands.

    Deviates: section 5.3 of the draft has a malformed one fail the whole description. Without it, the handshake that
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
