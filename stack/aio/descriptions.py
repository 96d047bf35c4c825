"""W3C dictionaries of the API: descriptions, candidates, configuration."""

from dataclasses import dataclass, field

from .. import sdp
from ..core import ParseError
from ..peer import SdpSyntaxError


@dataclass(slots=True)
class RTCSessionDescription:
    """A session description.

    Args:
        sdp: The text.
        type: `offer` or `answer`.

    Raises:
        ValueError: For another type.
    """

    sdp: str
    type: str

    def __post_init__(self) -> None:
        if self.type not in {"offer", "pranswer", "answer", "rollback"}:
            raise ValueError(f"type must be 'offer' or 'answer', not {self.type!r}")


@dataclass(slots=True)
class RTCIceCandidate:
    """A candidate as it is signalled (W3C RTCIceCandidate).

    Args:
        candidate: The text `candidate:...`; empty for end-of-candidates.
        sdpMid: Which m-section it belongs to.
        sdpMLineIndex: The same by position.
        usernameFragment: The ICE generation it belongs to.
    """

    candidate: str = ""
    sdpMid: str | None = None
    sdpMLineIndex: int | None = None
    usernameFragment: str | None = None

    @property
    def _parsed(self) -> sdp.Candidate:
        try:
            return sdp.Candidate.parse(self.candidate)
        except ParseError as error:
            raise SdpSyntaxError(f"malformed candidate: {error}") from error

    @property
    def foundation(self) -> str:
        """The foundation (RFC 8445 section 5.1.1.3)."""
        return self._parsed.foundation

    @property
    def address(self) -> str:
        """The IP address or name."""
        return self._parsed.host

    @property
    def port(self) -> int:
        """The port."""
        return self._parsed.port

    @property
    def protocol(self) -> str:
        """`udp` or `tcp`."""
        return self._parsed.transport

    @property
    def priority(self) -> int:
        """The priority."""
        return self._parsed.priority

    @property
    def type(self) -> str:
        """`host`, `srflx`, `prflx` or `relay`."""
        return self._parsed.type

    def toJSON(self) -> dict[str, str | int | None]:
        """Return what a browser's `new RTCIceCandidate()` takes."""
        return {
            "candidate": self.candidate,
            "sdpMid": self.sdpMid,
            "sdpMLineIndex": self.sdpMLineIndex,
            "usernameFragment": self.usernameFragment,
        }


@dataclass(slots=True)
class RTCIceServer:
    """A STUN server (RFC 7064). Not implemented: TURN servers are ignored, with a warning in the log.

    Args:
        urls: One URL or several, for example `stun:stun.example.org:3478`.
        username: For TURN.
        credential: For TURN.
    """

    urls: str | list[str]
    username: str | None = None
    credential: str | None = None


@dataclass(slots=True)
class RTCConfiguration:
    """Configuration of a connection.

    Args:
        iceServers: STUN servers; none by default.
        playoutDelay: Ours, not W3C's: smallest and largest playout delay to ask of whoever receives our video,
            seconds. (0, 0) makes a browser show each frame at once; None leaves it to the receiver.
    """

    iceServers: list[RTCIceServer] = field(default_factory=list)
    playoutDelay: tuple[float, float] | None = None
