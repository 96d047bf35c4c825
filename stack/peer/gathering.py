"""Where we can be reached, and where the peer can: the half of the peer connection that deals with addresses.

The shell says which sockets, streams and servers there are; candidates come out. Remote candidates and restarts of ICE
are here too. `PeerConnection` adds what is said about media and data.
"""

from collections.abc import Sequence

from .. import dtls, ice, sdp
from ..core import Address, Datagram, Machine, ParseError, RandomBytes
from ..ice.candidate import generate_parameters
from . import events
from .candidates import to_ice, to_sdp
from .configuration import Configuration
from .errors import InvalidStateError, SdpSyntaxError
from .relays import TurnServer
from .session import Session
from .signaling import Applied
from .transport import Transport
from .transport_events import CandidateGathered, GatheringCompleted


class Gathering(Machine[Datagram, Datagram, events.Event]):
    """Sockets in, candidates out; see `PeerConnection`."""

    session: Session
    transport: Transport
    configuration: Configuration
    _random_bytes: RandomBytes

    def __init__(self) -> None:
        super().__init__()
        self.ice_gathering_state = "new"
        self._local_candidates: list[sdp.Candidate] = []
        self._held: list[CandidateGathered | GatheringCompleted] = []
        self._before_restart: tuple[list[sdp.Candidate], str, str] | None = None
        self._remote_ufrag = ""
        self._closed = False

    # -- what the shell has ------------------------------------------------------------------------------------

    @property
    def wants_sockets(self) -> bool:
        """Whether gathering was asked for and the shell should bind sockets."""
        return self.ice_gathering_state == "gathering"

    def add_local_address(
        self,
        address: Address,
        now: float,
        *,
        interface: str = "",
        network_cost: int = 0,
        tcp_type: str | None = None,
        mdns_name: str | None = None,
        hidden: bool = False,
    ) -> None:
        """A socket is bound at this address: offer it as a host candidate.

        Args:
            address: Of the socket; a TCP listener's has the transport `tcp`, an active TCP candidate's port 9 too.
            now: The time.
            interface: Name of its network interface.
            network_cost: How much we would rather use another network, 0..999 (RFC 8421 leaves it to policy).
            tcp_type: `active` or `passive` (RFC 6544).
            mdns_name: Signalled in place of the address (draft-ietf-mmusic-mdns-ice-candidates).
            hidden: Whether it is never signalled (RFC 8828 section 5.2).

        Raises:
            LocalError: See `ice.Agent.add_local_address`.
        """
        if self._gathering_ended(now):
            return
        self.transport.path.add_local_address(
            address,
            self._now,
            interface=interface,
            network_cost=network_cost,
            tcp_type=tcp_type,
            mdns_name=mdns_name,
            hidden=hidden,
        )
        self._look()

    def remove_local_address(self, address: Address, now: float) -> None:
        """The socket is gone; another path is taken if one is known."""
        if self._gathering_ended(now):
            return
        self.transport.path.remove_local_address(address, self._now)
        self._look()

    def add_stun_server(self, address: Address, now: float) -> None:
        """Ask this server from every socket for its server-reflexive address.

        Raises:
            LocalError: It is known already, or there are too many.
        """
        if self._gathering_ended(now):
            return
        self.transport.path.add_stun_server(address, self._now)
        self._look()

    def add_turn_server(self, server: TurnServer, now: float) -> None:
        """Have this server relay, over UDP from every socket, present and future.

        Raises:
            LocalError: It is known already, not reached over UDP, or there are too many.
        """
        if self._gathering_ended(now):
            return
        self.transport.path.add_turn_server(server, self._now)
        self._look()

    def forget_server(self, address: Address, now: float) -> None:
        """Use a STUN or TURN server no more from the next restart of ICE on; one that is not known is ignored."""
        if self._gathering_ended(now):
            return
        self.transport.path.forget_server(address, self._now)
        self._look()

    def add_turn_stream(self, base: Address, server: TurnServer, now: float) -> None:
        """A TCP or TLS connection from `base` to this server is open: have it relay.

        Raises:
            LocalError: It is known already, or no stream.
        """
        if self._gathering_ended(now):
            return
        self.transport.path.add_turn_stream(base, server, self._now)
        self._look()

    def stream_closed(self, base: Address, now: float) -> None:
        """A connection to a TURN server is gone."""
        if self._gathering_ended(now):
            return
        self.transport.path.stream_closed(base, self._now)
        self._look()

    def path_closed(self, local: Address, remote: Address, now: float) -> None:
        """The stream of an ICE-TCP pair has ended, or could not be opened."""
        if self._gathering_ended(now):
            return
        self.transport.ice.path_closed(local, remote, self._now)
        self._look()

    def end_local_addresses(self, now: float) -> None:
        """Everything there is at present was added; `IceGatheringStateChanged` follows when all servers answered."""
        if self._gathering_ended(now):
            return
        self.transport.path.end_local_addresses(self._now)
        self._look()

    def name_resolved(self, name: str, hosts: Sequence[str], now: float) -> None:
        """Answer a `ResolutionRequested`: the addresses of `name`, none if it is not known."""
        if self._gathering_ended(now):
            return
        self.transport.ice.name_resolved(name, hosts, self._now)
        self._look()

    def _gathering_ended(self, now: float) -> bool:
        """Whether the connection ended while the shell was still looking up names: nothing is gathered any more."""
        self._clamp(now)
        return self._closed or self.transport.ice_state == "closed"

    def _look(self) -> None:
        self.transport.stir()
        self._take_transport_events()

    def _take_transport_events(self, *, silent: bool = False) -> None:
        raise NotImplementedError

    # -- our candidates ----------------------------------------------------------------------------------------

    def _start_gathering(self) -> None:
        if self.ice_gathering_state == "new":
            self._set_gathering_state("gathering")

    def _set_gathering_state(self, state: str) -> None:
        if state != self.ice_gathering_state:
            self.ice_gathering_state = state
            self._events.append(events.IceGatheringStateChanged(state))

    def _on_candidates(self, event: CandidateGathered | GatheringCompleted | ice.CandidateRemoved) -> None:
        match event:
            case ice.CandidateRemoved(gone):
                self._local_candidates = [known for known in self._local_candidates if not _same(known, gone)]
            case _ if self.session.signaling_state == "have-remote-offer" and self.session.restarting:
                self._held.append(event)  # the peer knows nothing of this generation before our answer is set
            case CandidateGathered(found):
                candidate = to_sdp(found, self.session.ufrag)
                self._local_candidates.append(candidate)
                self._candidate_event(candidate)
            case GatheringCompleted():
                self._candidate_event(None)
                self._set_gathering_state("complete")

    def _release_candidates(self) -> None:
        held, self._held = self._held, []
        for event in held:
            self._on_candidates(event)

    def _candidate_event(self, candidate: sdp.Candidate | None) -> None:
        index, section = next(((n, s) for n, s in enumerate(self.session.sections) if not s.rejected), (0, None))
        self._events.append(events.IceCandidateGathered(candidate, section.mid if section else "0", index))

    # -- the peer's --------------------------------------------------------------------------------------------

    def add_remote_candidate(self, candidate: str | None, now: float, *, ufrag: str | None = None) -> None:
        """Take a trickled candidate (RFC 8838); None or an empty string ends them.

        Raises:
            InvalidStateError: There is no remote description yet.
            SdpSyntaxError: The candidate is malformed.
        """
        if self._closed:
            raise InvalidStateError("the peer connection is closed")
        now = self._clamp(now)
        if self.session.remote is None:
            raise InvalidStateError("set the remote description before adding candidates")
        self.transport.stir()
        if not candidate:
            if self.transport.ice_state != "closed":
                self.transport.ice.end_of_remote_candidates(now)
            return
        try:
            parsed = sdp.Candidate.parse(candidate)
        except ParseError as error:
            raise SdpSyntaxError(f"malformed candidate: {error}") from error
        if (ufrag or parsed.ufrag or self._remote_ufrag) != self._remote_ufrag:
            self._dropped["candidate-of-another-generation"] += 1
            return
        if self.transport.ice_state == "closed":  # the peer has said goodbye; what it said before may still arrive
            self._dropped["candidate-after-the-end"] += 1
            return
        self.transport.ice.add_remote_candidate(to_ice(parsed), now)

    def _restart_transport(self, now: float) -> None:
        """Begin a new generation of ICE; data goes on over the old path until the new one has a valid pair."""
        if self.transport.ice_state == "closed":
            return
        self._before_restart = self._local_candidates, self._remote_ufrag, self.ice_gathering_state
        self._local_candidates = []
        self._held.clear()
        if self.ice_gathering_state == "complete":
            self._set_gathering_state("gathering")
        self.transport.path.restart(ice.Parameters(self.session.ufrag, self.session.pwd), now)
        self._look()

    def _undo_restart(self, now: float) -> None:
        """Go back to the generation of ICE before the last restart, which was rolled back."""
        if self.transport.ice_state == "closed" or self._before_restart is None:
            return
        self._local_candidates, self._remote_ufrag, state = self._before_restart
        self._before_restart = None
        self._held.clear()
        self.transport.path.undo_restart(now)
        self._set_gathering_state(state)
        self._look()

    def _forget_peer(self, now: float) -> None:
        """Begin ICE again: the first offer of a peer, to which it had begun to speak, was rolled back."""
        if self.transport.ice_state == "closed":
            return
        parameters = generate_parameters(self._random_bytes)
        self.session.ufrag, self.session.pwd = parameters.ufrag, parameters.pwd
        self._remote_ufrag = ""
        self._restart_transport(now)

    def _apply_transport(self, applied: Applied, remote: sdp.MediaDescription, now: float) -> None:
        agent = self.transport.ice
        # Before the parameters, so that checks of the peer's that came early are found to be from one of these.
        for candidate in remote.candidates:
            agent.add_remote_candidate(to_ice(candidate), now)
        ufrag, pwd = applied.session.ice_parameters_of(remote)
        if ufrag and pwd and (ufrag != self._remote_ufrag or agent.remote_parameters is None):
            self._remote_ufrag = ufrag
            renomination = "renomination" in applied.session.ice_options_of(remote)
            parameters = ice.Parameters(ufrag, pwd, lite=applied.session.ice_lite, renomination=renomination)
            if applied.session.ice_pacing:
                parameters.pacing_interval = applied.session.ice_pacing / 1000
            agent.set_remote_parameters(parameters, now)
        if remote.end_of_candidates:
            agent.end_of_remote_candidates(now)
        if applied.role is not None:
            fingerprints = [dtls.Fingerprint(f.algorithm, f.value) for f in applied.session.fingerprints_of(remote)]
            self.transport.start_dtls(applied.role, fingerprints, now)


def _same(known: sdp.Candidate, gone: ice.Candidate) -> bool:
    return (known.transport, known.host, known.port, known.type, known.related_port) == (
        gone.transport,
        gone.host,
        gone.port,
        gone.type,
        gone.related_port,
    )
