"""A simulated network in virtual time: hosts with interfaces, NATs before them, and lines that lose and delay.

Everything is decided by one seed, and every datagram that is sent is delivered, on its way, or counted in `lost`.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ..core import Address, Datagram, DropPacket, LocalError, Machine
from .conditions import Conditions, Pipe
from .link import MAX_STEPS_AT_ONE_INSTANT, LivelockError
from .nat import PORT_RESTRICTED, NatBehavior
from .topology import Gateway, Host, Interface, Process, Realm, is_loopback, make_gateway

MAX_HOPS: Final = 16
"""Realms that a datagram may enter: more than that is a loop, as with IP's time to live."""
STREAM_TIMEOUT: Final = 0.2
"""Seconds until a lost part of a stream is sent again, doubled each time: what Linux takes at least."""
MAX_STREAM_LOSSES: Final = 8
"""Losses in a row after which a part of a stream is gone: 51 s by the doubling above."""


class Packet(NamedTuple):
    """A datagram on its way.

    Args:
        data: The payload.
        source: Where it comes from, as seen in this realm.
        target: Where it goes to, as seen in this realm.
        hops: Realms that it has entered.
    """

    data: bytes
    source: Address
    target: Address
    hops: int = 0


class Hop(NamedTuple):
    """One line of a trace.

    Args:
        time: Virtual time, seconds.
        place: Name of a host, a NAT or a realm.
        what: `sent`, `translated`, `delivered`, or why it was lost.
        source: As seen there.
        target: As seen there.
        data: The payload.
    """

    time: float
    place: str
    what: str
    source: Address
    target: Address
    data: bytes

    def __str__(self) -> str:
        return f"{self.time:10.4f} {self.place:12} {self.source} > {self.target} {len(self.data)} bytes: {self.what}"


class Network:
    """Hosts, NATs and lines, with a clock of their own.

    Args:
        seed: Decides every random choice of the network.
        start: Virtual time at the beginning, seconds.
        keep_trace: Whether to keep `trace`.

    Attributes:
        now: Virtual time, seconds.
        internet: The realm that all the others lead to.
        sent: Datagrams that machines have sent.
        duplicated: Copies that lines have made.
        delivered: Datagrams, copies among them, that machines have received.
        lost: Why the others did not arrive.
        trace: What happened to each datagram where, when it is kept.
    """

    def __init__(self, *, seed: int = 0, start: float = 1000.0, keep_trace: bool = False) -> None:
        self.now = start
        self.internet = Realm("internet")
        self.sent = 0
        self.duplicated = 0
        self.delivered = 0
        self.lost: Counter[str] = Counter()
        self.trace: list[Hop] = []
        self.hosts: list[Host] = []
        self._keep_trace = keep_trace
        self._random = random.Random(seed)
        self._in_flight: list[tuple[float, int, Callable[[Packet], None], Packet]] = []
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._order = 0
        self._last_of_stream: dict[tuple[Pipe, Address, Address], float] = {}

    @property
    def in_flight(self) -> int:
        """Datagrams on their way: `sent + duplicated == delivered + lost.total() + in_flight`."""
        return len(self._in_flight)

    # -- building ----------------------------------------------------------------------------------------------

    def host(
        self, name: str, *addresses: str, realm: Realm | None = None, conditions: Conditions | None = None
    ) -> Host:
        """Add a host.

        Args:
            name: For traces.
            addresses: Of its first interface `eth0`, in canonical form; without any it has no interface yet.
            realm: Where that leads; the internet if None.
            conditions: Of its line, both ways; 10 ms each way and nothing else if None.

        Raises:
            LocalError: An address is none, or taken.
        """
        host = Host(name)
        if addresses:
            host.add_interface("eth0", realm or self.internet, *addresses, conditions=conditions)
        self.hosts.append(host)
        return host

    def nat(
        self,
        name: str,
        *addresses: str,
        behavior: NatBehavior = PORT_RESTRICTED,
        outside: Realm | None = None,
        isolated: bool = False,
        conditions: Conditions | None = None,
    ) -> Gateway:
        """Add a NAT; what is behind it goes into its `inside`.

        Args:
            name: For traces.
            addresses: External ones, one of each family at most. A family without is not translated, only filtered:
                without any it is a firewall.
            behavior: RFC 4787's.
            outside: Where its external addresses are; the internet if None, the inside of another NAT to nest them.
            isolated: Whether the hosts inside are kept from each other.
            conditions: Of its line to the outside, both ways; a perfect one if None.

        Raises:
            LocalError: An address is none, or taken.
        """
        outside = outside or self.internet
        return make_gateway(name, addresses, behavior, outside, self._random, isolated=isolated, conditions=conditions)

    def call_at(self, time: float, function: Callable[[], object]) -> None:
        """Call a function at a virtual time.

        Raises:
            LocalError: That is over.
        """
        if time < self.now:
            raise LocalError(f"{time} is before {self.now}")
        self._order += 1
        heapq.heappush(self._calls, (time, self._order, function))

    # -- running -----------------------------------------------------------------------------------------------

    def step(self) -> bool:
        """Drain all machines, then advance to what happens next. Return False when nothing is left to do."""
        self.drain()
        next_time = self._next_time()
        if next_time is None:
            return False
        self._advance(next_time)
        return True

    def run(self, until: Callable[[], bool] | None = None, *, seconds: float = 60.0) -> bool:
        """Step until `until()` holds, nothing is left to do, or `seconds` of virtual time have passed.

        Returns:
            Whether `until()` holds at the end (True when no condition was given).

        Raises:
            LivelockError: If the machines stay busy without time passing.
        """
        end = self.now + seconds
        steps, instant = 0, self.now
        self.drain()
        while until is None or not until():
            next_time = self._next_time()
            if next_time is None or next_time > end:
                self.now = end
                break
            self._advance(next_time)
            steps = steps + 1 if self.now == instant else 0
            instant = self.now
            if steps > MAX_STEPS_AT_ONE_INSTANT:
                raise LivelockError(f"{steps} steps at {self.now}")
        return True if until is None else until()

    def drain(self) -> None:
        """Take what the machines want to send, and their events, until nothing more comes of it.

        Raises:
            LivelockError: If there is no end to it.
        """
        for _ in range(MAX_STEPS_AT_ONE_INSTANT):
            if not sum(self._drain(process) for host in self.hosts for process in list(host.processes)):
                return
        raise LivelockError(f"callbacks without end at {self.now}")

    def _drain(self, process: Process) -> bool:
        """Return whether a callback was called, so that any machine may have more to send."""
        for datagram in process.machine.datagrams_to_send(self.now):
            self._send(process, datagram)
        events = []
        while (event := process.machine.next_event()) is not None:
            events.append(event)
        process.events += events
        if process.on_event is not None:
            for event in events:
                process.on_event(event)
        return bool(events) and process.on_event is not None

    def _machines(self) -> list[Machine[Datagram, Datagram, Any]]:
        return [process.machine for host in self.hosts for process in host.processes]

    def _next_time(self) -> float | None:
        times = [time for machine in self._machines() if (time := machine.next_timer()) is not None]
        times += [queue[0][0] for queue in (self._in_flight, self._calls) if queue]
        return min(times, default=None)

    def _advance(self, time: float) -> None:
        self.now = max(self.now, time)
        while self._calls and self._calls[0][0] <= self.now:
            heapq.heappop(self._calls)[2]()
        while self._in_flight and self._in_flight[0][0] <= self.now:
            _, _, arrive, packet = heapq.heappop(self._in_flight)
            self._try(arrive, packet)
        for machine in self._machines():
            due = machine.next_timer()
            if due is not None and due <= self.now:
                machine.handle_timer(self.now)
        self.drain()

    # -- a datagram's way --------------------------------------------------------------------------------------

    def _try(self, step: Callable[[Packet], None], packet: Packet) -> None:
        """Take a packet one step further, or count why it is lost."""
        try:
            step(packet)
        except DropPacket as drop:
            self.lost[drop.reason] += 1
            self._note("network", drop.reason, packet)

    def _send(self, process: Process, datagram: Datagram) -> None:
        self.sent += 1
        packet = Packet(datagram.data, datagram.local, datagram.remote)
        self._note(process.host.name, "sent", packet)
        self._try(lambda packet: self._leave(process, packet), packet)

    def _leave(self, process: Process, packet: Packet) -> None:
        host = process.host
        packet = packet._replace(source=host.source(process, packet.source, packet.target))
        if host.owns(packet.target.host):
            self._carry(None, lambda packet: self._deliver(host, packet), packet)
            return
        interface = host.interface_of(packet.source.host)
        if interface is None or is_loopback(packet.target.host):
            raise DropPacket("no-route")
        if interface.dark:
            raise DropPacket("interface-dark")
        self._carry(interface.sending, lambda packet: self._enter(interface.realm, packet, interface), packet)

    def _carry(self, pipe: Pipe | None, arrive: Callable[[Packet], None], packet: Packet) -> None:
        """Put a packet on a line; None is a perfect one."""
        times = [self.now] if pipe is None else self._arrivals(pipe, packet)
        self.duplicated += len(times) - 1
        for time in times:
            self._order += 1
            heapq.heappush(self._in_flight, (time, self._order, arrive, packet))

    def _arrivals(self, pipe: Pipe, packet: Packet) -> list[float]:
        size = len(packet.data)
        if packet.target.transport != "tcp":
            return pipe.carry(size, self.now, self._random)
        # A stream repeats what is lost, and holds back what is behind it.
        late = 0.0
        for attempt in range(MAX_STREAM_LOSSES):
            try:
                arrives = pipe.carry(size, self.now, self._random)[0] + late
            except DropPacket:
                late += STREAM_TIMEOUT * 2**attempt
                continue
            key = (pipe, packet.source, packet.target)
            arrives = self._last_of_stream[key] = max(arrives, self._last_of_stream.get(key, arrives))
            return [arrives]
        raise DropPacket("stream-broken")

    def _enter(self, realm: Realm, packet: Packet, origin: Interface | Gateway) -> None:
        """Find the way on in a realm."""
        if packet.hops >= MAX_HOPS:
            raise DropPacket("hop-limit")
        packet = packet._replace(hops=packet.hops + 1)
        owner = realm.owner(packet.target.host)
        if owner is None:
            if realm.gateway is None or realm.gateway is origin:
                raise DropPacket("no-route")
            self._outwards(realm.gateway, packet)
        elif isinstance(owner, Gateway):
            self._carry(owner.receiving, lambda packet: self._inwards(owner, packet), packet)
        elif realm.isolated and isinstance(origin, Interface):
            raise DropPacket("isolated")
        else:
            self._carry(owner.receiving, lambda packet: self._arrive(owner, packet), packet)

    def _outwards(self, gateway: Gateway, packet: Packet) -> None:
        table = gateway.table
        hairpin = packet.target.host in table.hosts.values()
        if hairpin and not table.behavior.hairpinning:
            raise DropPacket("hairpin-refused")
        packet = packet._replace(source=table.outbound(packet.source, packet.target, self.now))
        self._note(gateway.name, "translated", packet)
        if hairpin:  # RFC 4787 section 6: the source that the other one sees is the external one
            self._inwards(gateway, packet)
        else:
            self._carry(gateway.sending, lambda packet: self._enter(gateway.outside, packet, gateway), packet)

    def _inwards(self, gateway: Gateway, packet: Packet) -> None:
        packet = packet._replace(target=gateway.table.inbound(packet.source, packet.target, self.now))
        self._note(gateway.name, "translated", packet)
        self._enter(gateway.inside, packet, gateway)

    def _arrive(self, interface: Interface, packet: Packet) -> None:
        if interface.dark:
            raise DropPacket("interface-dark")
        for host in self.hosts:
            if host.interface_of(packet.target.host) is interface:
                self._deliver(host, packet)
                return
        raise DropPacket("host-unreachable")

    def _deliver(self, host: Host, packet: Packet) -> None:
        process, local = host.receiver(packet.source, packet.target)
        self.delivered += 1
        self._note(host.name, "delivered", packet)
        process.machine.receive_datagram(Datagram(packet.data, packet.source, local), self.now)

    def _note(self, place: str, what: str, packet: Packet) -> None:
        if self._keep_trace:
            self.trace.append(Hop(self.now, place, what, packet.source, packet.target, packet.data))
