"""The ICE agent with the relays below it: what the pump sees as one machine that finds and keeps the path."""

from collections import Counter

from .. import ice
from ..core import Address, Datagram, LocalError, Machine, RandomBytes
from .configuration import Configuration
from .relays import RelayAllocated, RelayLost, RelayMoved, Relays, TurnServer


class IceTransport(Machine[Datagram, Datagram, ice.Event | RelayLost | RelayMoved]):
    """W3C's RTCIceTransport: an agent, and relayed addresses for it.

    Args:
        controlling: Whether this side controls ICE (RFC 8445 section 6.1.1).
        random_bytes: Source of randomness.
        configuration: Settings of all layers.
    """

    def __init__(self, *, controlling: bool, random_bytes: RandomBytes, configuration: Configuration) -> None:
        super().__init__()
        self.agent = ice.Agent(controlling=controlling, random_bytes=random_bytes, config=configuration.ice)
        self.relays = Relays(random_bytes=random_bytes, timeout=configuration.ice.gathering_timeout)
        self._relay_only = self._wants_relay_only = configuration.ice_transport_policy == "relay"
        self._relay_only_before = self._relay_only
        self._addresses: set[Address] = set()  # that the agent may have for itself
        self._unasked: list[Address] = []  # STUN servers, while only relays are used
        self._begun = self._ended = self._told = self._releasing = False

    @property
    def dropped(self) -> Counter[str]:
        """Of the agent and the relays."""
        total = Counter(self.agent.dropped)
        total.update({f"relay-{reason}": count for reason, count in self.relays.dropped.items()})
        return total

    @property
    def relay_only(self) -> bool:
        """Whether nothing but relays is used (W3C's `iceTransportPolicy`).

        What is set is so from the next restart on, unless there is no local address yet (RFC 8829 section 4.1.18).
        Those that were added while only relays were used are to be added again after that.
        """
        return self._relay_only

    @relay_only.setter
    def relay_only(self, value: bool) -> None:
        self._wants_relay_only = value
        if not self._begun:
            self._relay_only = value

    @property
    def policy_changes(self) -> bool:
        """Whether the next restart changes `relay_only`."""
        return self._wants_relay_only != self._relay_only

    @property
    def local_addresses_ended(self) -> bool:
        """Whether no more addresses and servers are to come."""
        return self._ended

    # -- addresses ---------------------------------------------------------------------------------------------

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
        """Use a bound socket; see `ice.Agent.add_local_address`. If only relays may be used, it just leads to them."""
        now = self._clamp(now)
        self._begun = True
        if not self._relay_only:
            self.agent.add_local_address(
                address,
                now,
                interface=interface,
                network_cost=network_cost,
                tcp_type=tcp_type,
                mdns_name=mdns_name,
                hidden=hidden,
            )
            self._addresses.add(address)
        if address.transport == "udp":
            self.relays.add_base(address, now)
        self._after_relays(now)

    def remove_local_address(self, address: Address, now: float) -> None:
        """Take note that a socket is gone, and what it led to."""
        now = self._clamp(now)
        self.relays.remove_base(address, now)
        self._addresses.discard(address)
        self.agent.remove_local_address(address, now)
        self._after_relays(now)

    def add_stun_server(self, address: Address, now: float) -> None:
        """Ask a STUN server from all sockets; not while only relays may be used."""
        now = self._clamp(now)
        if not self._relay_only:
            self.agent.add_stun_server(address, now)
        elif address not in self._unasked and len(self._unasked) < ice.MAX_STUN_SERVERS:
            self._unasked.append(address)

    def forget_server(self, address: Address, now: float) -> None:
        """Use a STUN or TURN server no more from the next restart on; what data goes through stays until then.

        Allocations on it are given back as soon as data takes another path.
        """
        self._clamp(now)
        self.relays.forget_server(address)
        self._unasked = [known for known in self._unasked if known != address]
        if self.agent.state != "closed":
            self.agent.forget_stun_server(address)

    def add_turn_server(self, server: TurnServer, now: float) -> None:
        """Use a TURN server over UDP from all sockets, present and future; it is asked as STUN server too.

        Raises:
            LocalError: See `Relays.add_server`.
        """
        now = self._clamp(now)
        self.relays.add_server(server, now)
        try:
            self.add_stun_server(server.address, now)
        except LocalError:  # known as STUN server already, or there are enough of them
            self._dropped["turn-not-asked-as-stun"] += 1
        self._after_relays(now)

    def add_turn_stream(self, base: Address, server: TurnServer, now: float) -> None:
        """Use a stream that was opened to a TURN server.

        Raises:
            LocalError: See `Relays.add_stream`.
        """
        now = self._clamp(now)
        self.relays.add_stream(base, server, now)
        self._after_relays(now)

    def stream_closed(self, base: Address, now: float) -> None:
        """Take note that a stream to a TURN server is gone."""
        now = self._clamp(now)
        self.relays.remove_base(base, now)
        self._after_relays(now)

    def expect_local_addresses(self) -> None:
        """Say that more servers come: a restart that follows is to wait for `end_local_addresses` again."""
        self._ended = False

    def end_local_addresses(self, now: float) -> None:
        """Say that no more addresses and servers come; the agent hears of it when the relays have settled."""
        now = self._clamp(now)
        self._ended = True
        self._after_relays(now)

    def restart(self, parameters: ice.Parameters, now: float) -> None:
        """Begin a new generation with these credentials, on the same sockets and relays (RFC 8445 section 9).

        It obeys what was said of servers and of `relay_only` since the one before.
        """
        now = self._clamp(now)
        self._relay_only_before, self._relay_only = self._relay_only, self._wants_relay_only
        without = set(self.relays.retired)
        if self._relay_only:  # of whose addresses the relays' candidates say nothing either
            without |= self._addresses | self.relays.bases
        self.agent.restart(now, parameters, without=without)
        if not self._relay_only:
            for server in self._unasked:
                self.agent.add_stun_server(server, now)
            self._unasked.clear()
        self._told, self._releasing = False, True
        self._after_relays(now)

    def undo_restart(self, now: float) -> None:
        """Go back to the generation before; see `ice.Agent.undo_restart`."""
        now = self._clamp(now)
        self.agent.undo_restart(now)
        self._relay_only = self._relay_only_before
        self._told, self._releasing = True, False
        self._after_relays(now)

    # -- traffic -----------------------------------------------------------------------------------------------

    def receive_datagram(self, datagram: Datagram, now: float) -> None:
        """Take a STUN datagram of the agent's."""
        self.agent.receive_datagram(datagram, self._clamp(now))

    def receive_relayed(self, datagram: Datagram, now: float) -> list[Datagram]:
        """Take a datagram that `relays.owns`; return what peers sent inside it."""
        now = self._clamp(now)
        self.relays.receive_datagram(datagram, now)
        inner = self.relays.take()
        self._after_relays(now)
        return inner

    def wrap(self, datagrams: list[Datagram], now: float) -> list[Datagram]:
        """Return datagrams as they leave the sockets; see `Relays.wrap`."""
        return self.relays.wrap(datagrams, now)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """What the relays and the agent have to say, wrapped."""
        now = self._clamp(now)
        out = self.agent.datagrams_to_send(now)
        return (
            self.relays.datagrams_to_send(now) + self.wrap(out, now)
            if self.relays.table or self.relays.outgoing
            else out
        )

    def handle_timer(self, now: float) -> None:
        """Pass time to both."""
        now = self._clamp(now)
        self.relays.handle_timer(now)
        self._after_relays(now)
        self.agent.handle_timer(now)

    def next_timer(self) -> float | None:
        """The earlier of both."""
        a, b = self.agent.next_timer(), self.relays.next_timer()
        if a is None or b is None:
            return b if a is None else a
        return min(a, b)

    def next_event(self) -> ice.Event | RelayLost | RelayMoved | None:
        """What the agent reports, and what the shell should know of the relays."""
        return self._events.popleft() if self._events else self.agent.next_event()

    def _after_relays(self, now: float) -> None:
        """Tell the agent what became of the relays; give back those that nobody wants, once data goes elsewhere."""
        if self._releasing:
            selected = self.agent.selected_pair
            self.relays.release(now, but=None if selected is None else selected.local)
            self._releasing = bool(self.relays.retired)
        while (event := self.relays.next_event()) is not None:
            match event:
                case RelayAllocated(relayed, base, mapped, server):
                    self._offer(relayed, base, mapped, server, now)
                case RelayLost(relayed, _, _):
                    if relayed is not None and self.agent.state != "closed":
                        self.agent.remove_local_address(relayed, now)
                    self._events.append(event)
                case RelayMoved():
                    self._events.append(event)
        if self._ended and not self._told and self.relays.settled and self.agent.state != "closed":
            self._told = True
            self.agent.end_local_addresses(now)

    def _offer(self, relayed: Address, base: Address, mapped: Address | None, server: TurnServer, now: float) -> None:
        try:
            self.agent.add_relayed_address(
                relayed,
                now,
                base=base,
                mapped=None if self._relay_only else mapped,  # nothing but the relay is to be known (W3C)
                server=server.address,
                protocol=server.protocol,
            )
        except LocalError:  # too many, or the agent was closed while the server was asked
            self._dropped["relay-not-offered"] += 1

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self, now: float) -> None:
        """Stop the agent and give the relays back; what tells the servers leaves with the next drain."""
        now = self._clamp(now)
        self.relays.close(now)
        self.agent.close(now)
        self._events.clear()
