"""Kinds of NATs, agents with a relay behind them, and the servers that they ask, on a network in virtual time."""

from dataclasses import dataclass

from stack import ice, turn
from stack.core import Address
from stack.peer import Configuration
from stack.peer.ice_transport import IceTransport
from stack.peer.relays import TurnServer
from stack.stun import binding_response
from stack.testing import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    Conditions,
    Dependence,
    NatBehavior,
    Network,
    Responder,
    seeded_random_bytes,
)

STUN = Address("192.0.2.1", 3478)
TURN = Address("192.0.2.2", 3478)
TURN_TCP = TURN._replace(transport="tcp")
USER, PASSWORD = "driver", "secret"
# TURN servers relay to public hosts only, and these are what simulations have in their place: RFC 5737, RFC 3849.
PUBLIC = ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
HOME = "192.168.1.2"  # of every host behind a NAT: two homes look alike


@dataclass(frozen=True)
class Kind:
    """What a host is behind: NATs, the one nearest to it first."""

    name: str
    nats: tuple[NatBehavior, ...]

    @property
    def mapping(self):
        """Of all NATs together: the most dependent one's."""
        return strictest(nat.mapping for nat in self.nats)

    @property
    def filtering(self):
        """Of all NATs together: the strictest one's."""
        return strictest(nat.filtering for nat in self.nats)


def strictest(dependences):
    order = list(Dependence)
    return max(dependences, key=order.index, default=Dependence.ENDPOINT_INDEPENDENT)


def symmetric(filtering):
    return NatBehavior(mapping=Dependence.ADDRESS_AND_PORT_DEPENDENT, filtering=filtering)


KINDS = (
    Kind("public", ()),
    Kind("full cone", (FULL_CONE,)),
    Kind("address-restricted", (ADDRESS_RESTRICTED,)),
    Kind("port-restricted", (PORT_RESTRICTED,)),
    Kind("symmetric, open filter", (symmetric(Dependence.ENDPOINT_INDEPENDENT),)),
    Kind("symmetric, address filter", (symmetric(Dependence.ADDRESS_DEPENDENT),)),
    Kind("symmetric", (SYMMETRIC,)),
    Kind("home behind carrier NAT", (PORT_RESTRICTED, PORT_RESTRICTED)),
    Kind("home behind symmetric carrier NAT", (PORT_RESTRICTED, SYMMETRIC)),
)


def turn_server(address):
    """This server, for whoever wants to be relayed."""
    return TurnServer(address, USER, PASSWORD, protocol=address.transport)


class Internet(Network):
    """A network with a STUN and a TURN server."""

    def __init__(self, *, seed=0, server_delay=0.01, **options):
        super().__init__(seed=seed, **options)
        near = Conditions(delay=server_delay)
        self.stun = self.host("stun", STUN.host, conditions=near).run(Responder(binding_response), STUN)
        self.turn = self._relay(near, seed)
        self.turn_tcp = None
        self._places = 0

    def _relay(self, near, seed):
        host = self.host("turn", TURN.host, conditions=near)
        return self._turn_process(host, TURN, seed)

    def _turn_process(self, host, address, seed, **options):
        configuration = turn.ServerConfiguration(
            realm="example.org",
            relay_hosts=(TURN.host,),
            users={USER: PASSWORD},
            allowed_peers=PUBLIC,
            **options,
        )
        server = turn.Server(configuration, random_bytes=seeded_random_bytes(f"turn {address} {seed}"))
        process = host.run(server, address)

        def opens_relays(event):
            match event:
                case turn.RelayRequested(relayed):
                    process.bind(relayed)
                    server.relay_opened(relayed, self.now)
                case turn.RelayReleased(relayed) if relayed in process.sockets:
                    process.unbind(relayed)

        process.on_event = opens_relays
        return process

    def add_turn_over_tcp(self, seed=0):
        """Another server beside the first one, for TCP clients: it relays from ports of its own."""
        self.turn_tcp = self._turn_process(self.turn.host, TURN_TCP, seed, ports=(20000, 29999))

    def place(self, kind, name, *, conditions=None):
        """A host behind NATs of this kind; returns host and the NATs, the nearest one first."""
        self._places += 1
        outside, nats = self.internet, []
        for level, behavior in enumerate(reversed(kind.nats)):
            last = level == len(kind.nats) - 1
            address = f"198.51.100.{self._places}" if level == 0 else f"100.64.0.{self._places}"
            nat = self.nat(f"{name}'s {'NAT' if last else 'carrier'}", address, behavior=behavior, outside=outside)
            nats.insert(0, nat)
            outside = nat.inside
        address = HOME if nats else f"203.0.113.{self._places}"
        return self.host(name, address, realm=outside, conditions=conditions), nats


class Side(IceTransport):
    """What finds the path of a peer connection, alone: an ICE agent and its relays."""

    def __init__(self, name, *, controlling, seed=0, **config):
        super().__init__(
            controlling=controlling,
            random_bytes=seeded_random_bytes(f"{name} {seed}"),
            configuration=Configuration(ice=ice.Config(**config)),
        )

    def receive_datagram(self, datagram, now):
        inner = self.receive_relayed(datagram, now) if self.relays.owns(datagram) else [datagram]
        for unwrapped in inner:
            super().receive_datagram(unwrapped, now)


class AgentCall:
    """Two agents on two hosts, told about each other by trickle; signaling takes `signaling` seconds."""

    def __init__(self, network, a, b, *, seed=0, signaling=0.02, stun=True, relay=None, **config):
        self.network = network
        self.signaling = signaling
        self.sides = tuple(
            Side(name, controlling=not index, seed=seed, **config) for index, name in enumerate(("a", "b"))
        )
        self.processes = tuple(
            host.run(side, on_event=lambda event, index=index: self._on_event(index, event))
            for index, (host, side) in enumerate(zip((a, b), self.sides, strict=True))
        )
        relays = relay if type(relay) is tuple else (relay, relay)  # one for each side
        for index, process in enumerate(self.processes):
            self._gather(index, process, stun, relays[index])
        for side, other in (self.sides, self.sides[::-1]):
            parameters = other.agent.local_parameters
            self._signal(
                lambda side=side, parameters=parameters: side.agent.set_remote_parameters(parameters, self.now)
            )

    def _gather(self, index, process, stun, relay):
        side, now = self.sides[index], self.network.now
        sockets = [
            process.bind(interface.address(5000 + number))
            for number, interface in enumerate(process.host.interfaces.values())
        ]
        for socket in sockets:
            side.add_local_address(socket, now)
        if stun:
            side.add_stun_server(STUN, now)
        if relay is not None and relay.transport == "udp":
            side.add_turn_server(turn_server(relay), now)
        elif relay is not None:
            stream = process.bind(process.host.address(6000, transport="tcp"))
            side.add_turn_stream(stream, turn_server(relay), now)
        side.end_local_addresses(now)

    @property
    def now(self):
        return self.network.now

    @property
    def agents(self):
        return tuple(side.agent for side in self.sides)

    def _signal(self, function):
        self.network.call_at(self.now + self.signaling, function)

    def _on_event(self, index, event):
        other = self.agents[1 - index]
        match event:
            case ice.CandidateGathered(candidate):
                self._signal(lambda: other.add_remote_candidate(candidate, self.now))
            case ice.GatheringCompleted():
                self._signal(lambda: other.end_of_remote_candidates(self.now))

    @property
    def connected(self):
        """Whether both sides have agreed on a path."""
        return all(agent.state == "completed" for agent in self.agents)

    def connect(self, seconds=20.0):
        return self.network.run(lambda: self.connected, seconds=seconds)

    @property
    def path(self):
        """Types of the two candidates of the selected pair as the controlling side has it, or None."""
        pair = self.agents[0].selected_pair
        return None if pair is None else (pair.local_candidate.type, pair.remote_candidate.type)


def call_between(kind_a, kind_b, *, seed=0, relay=None, conditions=None):
    """Two agents behind NATs of two kinds."""
    network = Internet(seed=seed)
    a, _ = network.place(kind_a, "a", conditions=conditions)
    b, _ = network.place(kind_b, "b", conditions=conditions)
    return AgentCall(network, a, b, seed=seed, relay=relay)
