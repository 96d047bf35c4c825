"""The transports of a connection, to look at: SCTP over DTLS over ICE (W3C WebRTC sections 5.5, 5.6 and 6.1)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import sctp
from ..media.events import EventTarget
from ..peer.candidates import to_sdp
from .descriptions import RTCIceCandidate

if TYPE_CHECKING:
    from .. import ice
    from ..peer import PeerConnection


@dataclass(frozen=True, slots=True)
class RTCIceParameters:
    """One side's ICE credentials (W3C RTCIceParameters).

    Args:
        usernameFragment: The ufrag.
        password: The password.
        iceLite: Whether that side is a lite implementation.
    """

    usernameFragment: str | None = None
    password: str | None = field(default=None, repr=False)
    iceLite: bool = False


@dataclass(frozen=True, slots=True)
class RTCIceCandidatePair:
    """A path (W3C RTCIceCandidatePair).

    Args:
        local: Our end.
        remote: The peer's.
    """

    local: RTCIceCandidate
    remote: RTCIceCandidate


class RTCIceTransport(EventTarget):
    """ICE of a connection. Events: `statechange`, `gatheringstatechange`."""

    def __init__(self, machine: "PeerConnection") -> None:
        super().__init__()
        self._machine = machine

    @property
    def component(self) -> str:
        """`rtp`: RTP and RTCP share it."""
        return "rtp"

    @property
    def role(self) -> str:
        """`controlling` or `controlled`."""
        return "controlling" if self._machine.transport.ice.controlling else "controlled"

    @property
    def state(self) -> str:
        """W3C RTCIceTransportState."""
        return self._machine.ice_connection_state

    @property
    def gatheringState(self) -> str:
        """`new`, `gathering` or `complete`."""
        return self._machine.ice_gathering_state

    def getLocalCandidates(self) -> list[RTCIceCandidate]:
        """Return those that the peer is told of."""
        agent = self._machine.transport.ice
        ufrag = agent.local_parameters.ufrag
        return [_candidate(found, ufrag) for found in agent.local_candidates if not found.hidden]

    def getRemoteCandidates(self) -> list[RTCIceCandidate]:
        """Return the peer's."""
        agent = self._machine.transport.ice
        ufrag = "" if agent.remote_parameters is None else agent.remote_parameters.ufrag
        return [_candidate(found, ufrag) for found in agent.remote_candidates]

    def getSelectedCandidatePair(self) -> RTCIceCandidatePair | None:
        """Return the path in use."""
        agent = self._machine.transport.ice
        pair, peer = agent.selected_pair, agent.remote_parameters
        if pair is None:
            return None
        return RTCIceCandidatePair(
            _candidate(pair.local_candidate, agent.local_parameters.ufrag),
            _candidate(pair.remote_candidate, "" if peer is None else peer.ufrag),
        )

    def getLocalParameters(self) -> RTCIceParameters:
        """Return our credentials."""
        return _parameters(self._machine.transport.ice.local_parameters)

    def getRemoteParameters(self) -> RTCIceParameters | None:
        """Return the peer's credentials, once it has told them."""
        found = self._machine.transport.ice.remote_parameters
        return None if found is None else _parameters(found)


class RTCDtlsTransport(EventTarget):
    """DTLS of a connection. Events: `statechange`.

    Attributes:
        iceTransport: What it runs over.
    """

    def __init__(self, machine: "PeerConnection", ice_transport: RTCIceTransport) -> None:
        super().__init__()
        self._machine = machine
        self.iceTransport = ice_transport

    @property
    def transport(self) -> RTCIceTransport:
        """The same as `iceTransport`, under the name that programs in Python know it by."""
        return self.iceTransport

    @property
    def state(self) -> str:
        """`new`, `connecting`, `connected`, `closed` or `failed`."""
        return self._machine.transport.dtls_state

    def getRemoteCertificates(self) -> list[bytes]:
        """Return the peer's certificate in DER, nothing until it has been seen."""
        connection = self._machine.transport.dtls
        certificate = None if connection is None else connection.peer_certificate
        return [] if certificate is None else [certificate]


class RTCSctpTransport(EventTarget):
    """SCTP of a connection, which carries its data channels. Events: `statechange`.

    Attributes:
        transport: What it runs over.
    """

    def __init__(self, machine: "PeerConnection", dtls_transport: RTCDtlsTransport) -> None:
        super().__init__()
        self._machine = machine
        self.transport = dtls_transport

    @property
    def state(self) -> str:
        """`connecting`, `connected` or `closed`."""
        association = self._machine.transport.sctp
        if association is not None and association.state is sctp.State.ESTABLISHED:
            return "connected"
        over = (
            association is not None and association.state is sctp.State.CLOSED and self.transport.state == "connected"
        )
        return "closed" if over or self.transport.state in {"closed", "failed"} else "connecting"

    @property
    def maxMessageSize(self) -> float:
        """Bytes of the largest message that the peer takes; infinity for any."""
        return self._machine.transport.channels.max_message_size or float("inf")

    @property
    def maxChannels(self) -> int | None:
        """How many data channels there may be at once; None until that is agreed."""
        association = self._machine.transport.sctp
        return None if association is None or self.state != "connected" else association.outbound_streams


class Transports:
    """Those of one connection, which change all at once: everything shares one path (RFC 9143).

    Args:
        machine: Of the connection.
    """

    def __init__(self, machine: "PeerConnection") -> None:
        self._machine = machine
        self._ice = RTCIceTransport(machine)
        self.dtls = RTCDtlsTransport(machine, self._ice)
        self._sctp = RTCSctpTransport(machine, self.dtls)
        self._told = self._states()

    @property
    def sctp(self) -> RTCSctpTransport | None:
        """None while no data channel is wanted."""
        return self._sctp if self._machine.session.wants_data or self._machine.transport.sctp is not None else None

    def _states(self) -> tuple[str, str, str, str]:
        return self._ice.state, self._ice.gatheringState, self.dtls.state, self._sctp.state

    def update(self) -> None:
        """Fire the events that are due."""
        before, self._told = self._told, self._states()
        targets = (self._ice, self._ice, self.dtls, self._sctp)
        names = ("statechange", "gatheringstatechange", "statechange", "statechange")
        for target, name, old, new in zip(targets, names, before, self._told, strict=True):
            if old != new:
                target.dispatch(name)


def _candidate(found: "ice.Candidate", ufrag: str) -> RTCIceCandidate:
    written = to_sdp(found, ufrag)
    written.host, written.ufrag = found.mdns_name or found.host, ufrag or None
    return RTCIceCandidate(written.serialize(), usernameFragment=ufrag or None)


def _parameters(found: "ice.Parameters") -> RTCIceParameters:
    return RTCIceParameters(found.ufrag, found.pwd, found.lite)
