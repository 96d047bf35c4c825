"""What JSEP speaks of (RFC 8829 section 3.2): states and their transitions, descriptions, sections."""

from dataclasses import dataclass
from typing import Final, Self

from .. import sctp, sdp
from .layers import Layer
from .transceiver import Transceiver

TRANSITIONS: Final[dict[tuple[str, str, str], str]] = {
    # (state, who, type) -> state; RFC 8829 section 3.2
    ("stable", "local", "offer"): "have-local-offer",
    ("stable", "remote", "offer"): "have-remote-offer",
    ("have-local-offer", "local", "offer"): "have-local-offer",
    ("have-local-offer", "remote", "pranswer"): "have-remote-pranswer",
    ("have-local-offer", "remote", "answer"): "stable",
    ("have-remote-pranswer", "remote", "pranswer"): "have-remote-pranswer",
    ("have-remote-pranswer", "remote", "answer"): "stable",
    ("have-remote-offer", "remote", "offer"): "have-remote-offer",
    ("have-remote-offer", "local", "pranswer"): "have-local-pranswer",
    ("have-remote-offer", "local", "answer"): "stable",
    ("have-local-pranswer", "local", "pranswer"): "have-local-pranswer",
    ("have-local-pranswer", "local", "answer"): "stable",
    # Rolling back has the same effect on either side, whoever has offered (section 5.7).
    ("have-local-offer", "local", "rollback"): "stable",
    ("have-local-offer", "remote", "rollback"): "stable",
    ("have-remote-offer", "local", "rollback"): "stable",
    ("have-remote-offer", "remote", "rollback"): "stable",
}


@dataclass(frozen=True, slots=True)
class Description:
    """A session description as it is signalled.

    Args:
        type: `offer`, `pranswer`, `answer` or `rollback`.
        sdp: The text; empty for `rollback`.
    """

    type: str
    sdp: str


@dataclass(frozen=True, slots=True)
class Described:
    """A description that was applied.

    Args:
        type: `offer`, `pranswer` or `answer`.
        session: What it says.
    """

    type: str
    session: sdp.SessionDescription


@dataclass(slots=True)
class Section:
    """One m-section of the session: media when it has a transceiver, data otherwise; rejected when neither."""

    mid: str
    kind: str
    transceiver: Transceiver | None = None
    rejected: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether our descriptions reject it: it was rejected before, or its transceiver is being stopped."""
        return self.rejected or (self.transceiver is not None and self.transceiver.stopping)

    @property
    def is_data(self) -> bool:
        """Whether data channels run here."""
        return self.kind == "application" and not self.rejected


@dataclass(slots=True)
class Applied:
    """What a remote or final description decided, for the connection to act on.

    Attributes:
        session: The peer's whole description.
        remote: The peer's section that carries the transport.
        role: Our DTLS role, `client` or `server`, once known.
        data: The peer's data section, if agreed.
        sctp_init: The peer's INIT, if there need be no handshake of SCTP.
    """

    session: sdp.SessionDescription
    remote: sdp.MediaDescription | None
    role: str | None = None
    data: sdp.MediaDescription | None = None
    sctp_init: sctp.Init | None = None


@dataclass(frozen=True, slots=True)
class Association:
    """To which section a transceiver belonged, and what was known of the peer's side of it.

    `layers` is its one encoding without a rid, which the offer may turn into several; None if it had others.
    """

    mid: str | None
    mline_index: int | None
    remote_ssrcs: tuple[int, ...]
    remote_streams: tuple[str, ...]
    remote_track_id: str
    layers: tuple[Layer, ...] | None = None

    @classmethod
    def of(cls, transceiver: Transceiver) -> Self:
        """Take note of a transceiver's."""
        return cls(
            transceiver.mid,
            transceiver.mline_index,
            transceiver.remote_ssrcs,
            transceiver.remote_streams,
            transceiver.remote_track_id,
            None if transceiver.simulcast else tuple(transceiver.layers),
        )

    def restore(self, transceiver: Transceiver) -> None:
        """Give it back."""
        transceiver.mid, transceiver.mline_index = self.mid, self.mline_index
        transceiver.remote_ssrcs, transceiver.remote_streams = self.remote_ssrcs, self.remote_streams
        transceiver.remote_track_id = self.remote_track_id
        if self.layers is not None and transceiver.simulcast:  # W3C's LastStableRidlessSendEncodings
            transceiver.layers, transceiver.simulcast = list(self.layers), False


NOT_ASSOCIATED: Final = Association(None, None, (), (), "")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The session as it was in the state stable, to which a rollback leads (RFC 8829 section 5.7)."""

    sections: list[Section]
    associations: dict[int, Association]
    ufrag: str
    pwd: str
    remote_credentials: tuple[str | None, str | None] | None
