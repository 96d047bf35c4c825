"""The states of a connection as W3C has them: what an attribute says is what the last event of that name has told."""

import asyncio
from collections.abc import Callable

from ..core import Address
from ..media.events import EventTarget
from ..peer import InvalidStateError, OperationError, PeerConnection, events
from ..peer.signaling import Description
from .descriptions import RTCIceCandidate, RTCIceCandidateError, RTCSessionDescription


class States(EventTarget):
    """States, descriptions and candidates of `RTCPeerConnection`.

    The machine is ahead of what it has reported: gathering may be complete before anybody was told that it has begun.

    Args:
        machine: What they are states of.
    """

    def __init__(self, machine: PeerConnection) -> None:
        super().__init__()
        self._machine = machine
        self._signaling_state = "stable"
        self._gathering_state = self._ice_connection_state = self._connection_state = "new"
        self._gathered = asyncio.Event()
        self._held: list[Callable[[], object]] | None = None  # what comes after `setLocalDescription` has returned

    @property
    def signalingState(self) -> str:
        """`stable`, `have-local-offer` or `-pranswer`, `have-remote-offer` or `-pranswer`, or `closed`."""
        return self._machine.signaling_state if self._is_over else self._signaling_state

    @property
    def iceGatheringState(self) -> str:
        """`new`, `gathering` or `complete`."""
        return self._machine.ice_gathering_state if self._is_over else self._gathering_state

    @property
    def iceConnectionState(self) -> str:
        """`new`, `checking`, `connected`, `completed`, `disconnected`, `failed` or `closed`."""
        return self._machine.ice_connection_state if self._is_over else self._ice_connection_state

    @property
    def connectionState(self) -> str:
        """`new`, `connecting`, `connected`, `disconnected`, `failed` or `closed`."""
        return self._machine.connection_state if self._is_over else self._connection_state

    @property
    def _is_over(self) -> bool:
        return self._machine.signaling_state == "closed"

    def _check_open(self) -> None:
        if self._is_over:
            raise InvalidStateError("the peer connection is closed")

    @property
    def localDescription(self) -> RTCSessionDescription | None:
        """Ours, with the candidates known so far."""
        return _description(self._machine.local_description)

    @property
    def remoteDescription(self) -> RTCSessionDescription | None:
        """The peer's."""
        return _description(self._machine.remote_description)

    @property
    def currentLocalDescription(self) -> RTCSessionDescription | None:
        """Ours of the last exchange that was completed."""
        return _description(self._machine.current_local_description)

    @property
    def pendingLocalDescription(self) -> RTCSessionDescription | None:
        """Ours of the exchange under way."""
        return _description(self._machine.pending_local_description)

    @property
    def currentRemoteDescription(self) -> RTCSessionDescription | None:
        """The peer's of the last exchange that was completed."""
        return _description(self._machine.current_remote_description)

    @property
    def pendingRemoteDescription(self) -> RTCSessionDescription | None:
        """The peer's of the exchange under way."""
        return _description(self._machine.pending_remote_description)

    @property
    def canTrickleIceCandidates(self) -> bool | None:
        """Whether the peer takes candidates one by one; None before its first description."""
        return self._machine.peer_can_trickle

    def _check_candidate(self, candidate: RTCIceCandidate) -> None:
        """Refuse one of a section or of a generation that the remote description has not (W3C WebRTC section 4.4.1.8).

        Deviates: one that names no section is taken, since there is one transport.
        """
        described = [d for d in (self._machine.session.pending_remote, self._machine.session.current_remote) if d]
        if not described or self._is_over:
            return  # the machine says so
        newest = described[0].session.media
        mid, index = candidate.sdpMid, candidate.sdpMLineIndex
        mids = [str(n) if media.mid is None else media.mid for n, media in enumerate(newest)]
        if mid is not None:
            if mid not in mids:
                raise OperationError(f"the remote description has no section {mid!r}, only {', '.join(mids)}")
            index = mids.index(mid)
        elif index is not None and not 0 <= index < len(newest):
            raise OperationError(f"the remote description has {len(newest)} sections, and none at {index}")
        known = {
            d.session.ice_parameters_of(media)[0]
            for d in described
            for media in (d.session.media if index is None else d.session.media[index : index + 1])
        }
        if candidate.usernameFragment and candidate.usernameFragment not in known:
            raise OperationError(f"no remote description has the ufrag {candidate.usernameFragment!r}")

    # -- what the machine reports ------------------------------------------------------------------------------

    def _on_signaling_state(self, event: events.SignalingStateChanged) -> None:
        self._signaling_state = event.state
        self.dispatch("signalingstatechange")

    def _on_ice_connection_state(self, event: events.IceConnectionStateChanged) -> None:
        self._ice_connection_state = event.state
        self.dispatch("iceconnectionstatechange")

    def _on_gathering_state(self, event: events.IceGatheringStateChanged) -> None:
        def tell() -> None:
            self._gathering_state = event.state
            self.dispatch("icegatheringstatechange")

        self._later(tell)

    def _on_candidate(self, event: events.IceCandidateGathered) -> None:
        found = event.candidate
        if found is None:
            self._gathered.set()
            self._later(lambda: self.dispatch("icecandidate", None))
            return
        candidate = RTCIceCandidate(found.serialize(), event.mid, event.mline_index, found.ufrag)
        self._later(lambda: self.dispatch("icecandidate", candidate))

    def _fail_server(self, url: str, code: int, reason: str, base: Address | None = None) -> None:
        address, port = base[:2] if base is not None else (None, None)
        self.dispatch("icecandidateerror", RTCIceCandidateError(url, code, reason, address, port))

    def _hold(self) -> None:
        """Keep what gathering finds until this turn of the loop is over.

        W3C has candidates after `setLocalDescription` is done, so that whoever awaits it signals the description first.
        """
        if self._held is None and self.listeners("icecandidate"):
            self._held = []
            asyncio.get_running_loop().call_soon(self._release)

    def _later(self, report: Callable[[], object]) -> None:
        if self._held is None:
            report()
        else:
            self._held.append(report)

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for report in held:
            report()


def _description(description: Description | None) -> RTCSessionDescription | None:
    return None if description is None else RTCSessionDescription(description.sdp, description.type)
