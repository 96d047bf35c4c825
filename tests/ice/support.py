"""What the ICE tests share: two agents on a link, and a small network with NATs and STUN servers in virtual time."""

import heapq
import random
from dataclasses import dataclass, field

from stack.core import Address, Datagram
from stack.ice import Agent, Candidate, Config, candidate_priority
from stack.stun import BINDING, Class, Message, binding_response, short_term_key
from stack.testing import seeded_random_bytes

A = Address("10.0.0.1", 1001)
B = Address("10.0.0.2", 1002)
STUN_SERVER = Address("198.51.100.1", 3478)


def agent(name="a", *, controlling=True, **config):
    return Agent(controlling=controlling, random_bytes=seeded_random_bytes(name), config=Config(**config))


def two(seed=1, **config):
    return agent(f"a{seed}", **config), agent(f"b{seed}", controlling=False, **config)


def host(address, priority=None, **changes):
    """A remote host candidate."""
    values = {
        "foundation": "1",
        "component": 1,
        "transport": "udp",
        "priority": candidate_priority("host", 65535) if priority is None else priority,
        "host": address.host,
        "port": address.port,
        "type": "host",
    }
    return Candidate(**(values | changes))


def introduce(a, b, now):
    """Give both sides each other's parameters and candidates, all at once."""
    a.set_remote_parameters(b.local_parameters, now)
    b.set_remote_parameters(a.local_parameters, now)
    for one, other in ((a, b), (b, a)):
        for candidate in other.local_candidates:
            one.add_remote_candidate(candidate, now)
        one.end_of_remote_candidates(now)


def start(a, b, now):
    """One address each, then everything signalled at once."""
    for machine, address in ((a, A), (b, B)):
        machine.add_local_address(address, now)
        machine.end_local_addresses(now)
    introduce(a, b, now)


def drain_events(machine):
    events = []
    while (event := machine.next_event()) is not None:
        events.append(event)
    return events


def request(to, *, username=None, key=None, tid=bytes(12), signed=True, **attributes):
    """A Binding request of an unknown peer `to` this agent, as bytes."""
    local = to.local_parameters
    attributes = {"username": username or f"{local.ufrag}:peer", "priority": 100, "ice_controlled": 1} | attributes
    message = Message(BINDING, Class.REQUEST, tid, **attributes)
    return message.serialize(key=(key or short_term_key(local.pwd)) if signed else None)


def deliver(machine, data, now, *, local=A, remote=B):
    """Give it a datagram and return what it sends at once, parsed."""
    machine.receive_datagram(Datagram(data, remote, local), now)
    return sent(machine, now)


def sent(machine, now):
    return [Message.parse(datagram.data) for datagram in machine.datagrams_to_send(now)]


@dataclass
class Nat:
    """A NAT with one public address; `restricted` filters by address and port, `symmetric` maps by target too."""

    host: str
    restricted: bool = True
    symmetric: bool = False
    outside: dict = field(default_factory=dict)
    inside: dict = field(default_factory=dict)
    open: set = field(default_factory=set)

    def out(self, source, target):
        key = (source, target) if self.symmetric else source
        if key not in self.outside:
            self.outside[key] = Address(self.host, 40000 + len(self.outside))
            self.inside[self.outside[key]] = source
        self.open.add((self.outside[key], target))
        return self.outside[key]

    def back(self, source, target):
        allowed = not (self.restricted or self.symmetric) or (target, source) in self.open
        return self.inside.get(target) if allowed else None


class Network:
    """Agents, each behind a NAT of its own or none, and STUN servers, in virtual time.

    passes: predicate (source, target) as seen on the public side; what it refuses is lost.
    """

    def __init__(self, *agents, nats=None, servers=(), delay=0.05, loss=0.0, seed=0):
        self.agents = agents
        self.nats = list(nats or [None] * len(agents))
        self.servers = set(servers)
        self.now = 1000.0
        self.delay, self.loss = delay, loss
        self.passes = lambda source, target: True
        self.events = [[] for _ in agents]
        self.trace = []
        self._random = random.Random(seed)
        self._flying = []
        self._order = 0

    def drain(self):
        for index, machine in enumerate(self.agents):
            for datagram in machine.datagrams_to_send(self.now):
                nat = self.nats[index]
                target = datagram.remote
                source = nat.out(datagram.local, target) if nat else datagram.local
                self.trace.append((self.now, index, datagram))
                self._carry(source, target, datagram.data)
            self.events[index] += drain_events(machine)

    def _carry(self, source, target, data):
        if self.passes(source, target) and self._random.random() >= self.loss:
            self._order += 1
            heapq.heappush(self._flying, (self.now + self.delay, self._order, source, target, data))

    def _arrive(self, source, target, data):
        if target in self.servers:
            response = binding_response(data, source)
            if response is not None:
                self._carry(target, source, response)
            return
        for machine, nat in zip(self.agents, self.nats, strict=True):
            local = target if nat is None else nat.back(source, target)
            if local is not None and any(c.type == "host" and c.address == local for c in machine.local_candidates):
                machine.receive_datagram(Datagram(data, source, local), self.now)

    def run(self, until=None, seconds=60.0):
        end = self.now + seconds
        self.drain()
        while until is None or not until():
            times = [t for machine in self.agents if (t := machine.next_timer()) is not None]
            times += [self._flying[0][0]] if self._flying else []
            if not times or min(times) > end:
                self.now = end
                break
            self.now = max(self.now, min(times))
            while self._flying and self._flying[0][0] <= self.now:
                _, _, source, target, data = heapq.heappop(self._flying)
                self._arrive(source, target, data)
            for machine in self.agents:
                if (due := machine.next_timer()) is not None and due <= self.now:
                    machine.handle_timer(self.now)
            self.drain()
        return True if until is None else until()

    def signal(self):
        """Signal parameters and trickle everything that has been and will be gathered, without delay."""
        a, b = self.agents
        a.set_remote_parameters(b.local_parameters, self.now)
        b.set_remote_parameters(a.local_parameters, self.now)
        for one, other in ((a, b), (b, a)):
            for candidate in one.local_candidates:
                if candidate.type != "prflx":
                    other.add_remote_candidate(candidate, self.now)


DATA = b"\x80data"  # no STUN: its first byte is that of RTP


class TwoPaths(Network):
    """Two agents with two addresses each on two networks that do not touch, and data that flows both ways.

    dark: (network, sender) of the directions that lose everything.
    arrivals: for each side, when data came that it could take.
    """

    HOSTS = (("10.1.0.1", "10.2.0.1"), ("10.1.0.2", "10.2.0.2"))

    def __init__(self, *, seed=1, delays=(0.05, 0.05), loss=0.0, costs=(0, 0), told=True, talkers=(0, 1), **config):
        a, b = two(seed, **config)
        super().__init__(a, b, loss=loss, seed=seed)
        self.delays = list(delays)
        self.dark = set()
        self.talkers, self.told = set(talkers), told
        self.arrivals = ([], [])
        self.passes = self._passes
        self.locals = [[Address(host, 1000 + side) for host in hosts] for side, hosts in enumerate(self.HOSTS)]
        for machine, addresses in zip((a, b), self.locals, strict=True):
            for address, cost in zip(addresses, costs, strict=True):
                machine.add_local_address(address, self.now, network_cost=cost, interface=f"if{address.host[3]}")
            machine.end_local_addresses(self.now)
        self.signal()
        for machine in (a, b):
            machine.end_of_remote_candidates(self.now)

    @staticmethod
    def network_of(address):
        return int(address.host[3]) - 1

    @staticmethod
    def side_of(address):
        return int(address.host[-1]) - 1

    def _passes(self, source, target):
        same = self.network_of(source) == self.network_of(target)
        return same and (self.network_of(source), self.side_of(source)) not in self.dark

    def _carry(self, source, target, data):
        self.delay = self.delays[self.network_of(target)]
        super()._carry(source, target, data)

    def _arrive(self, source, target, data):
        side = self.side_of(target)
        machine = self.agents[side]
        if data != DATA:
            machine.receive_datagram(Datagram(data, source, target), self.now)
        elif machine.accepts(target, source):
            self.arrivals[side].append(self.now)
            machine.data_received(self.now, *((target, source) if self.told else ()))

    def settle(self, seconds=15):
        """Connect, and give the spare pairs time to be checked."""
        assert self.run(lambda: all(machine.state == "completed" for machine in self.agents))
        self.talk(seconds)
        for side in self.events:
            side.clear()
        return self

    def talk(self, seconds, until=None):
        """Let data flow each 20 ms over whatever pair is selected."""
        end = self.now + seconds
        while self.now < end and not (until and until()):
            for side in self.talkers:
                machine = self.agents[side]
                if (pair := machine.selected_pair) is not None:
                    machine.data_sent(self.now)
                    self._carry(pair.local, pair.remote, DATA)
            self.run(lambda: False, seconds=0.02)

    def gap(self, side, since):
        """How long nothing came after `since`."""
        times = [t for t in self.arrivals[side] if t > since]
        return min(times) - since if times else float("inf")

    def networks(self):
        """Which network each side sends on."""
        return [self.network_of(m.selected_pair.local) for m in self.agents if m.selected_pair]


def answer_all(machine, now, key, *, deaf=(), seconds=0.5):
    """Be a peer that answers each check at once, but for those to the addresses in `deaf`; return the time."""
    end = now + seconds
    while True:
        for datagram in machine.datagrams_to_send(now):
            message = Message.parse(datagram.data)
            if message.message_class is Class.REQUEST and datagram.remote not in deaf:
                answer = Message(BINDING, Class.SUCCESS, message.transaction_id, xor_mapped_address=datagram.local)
                machine.receive_datagram(Datagram(answer.serialize(key=key), datagram.remote, datagram.local), now)
        due = machine.next_timer()
        if due is None or due > end:
            return end
        now = due
        machine.handle_timer(now)
