"""What a simulated network is made of: realms, the hosts in them, and the NATs between them."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final, Union

from ..core import Address, Datagram, DropPacket, LocalError, Machine
from .conditions import Conditions, Pipe
from .nat import NatBehavior, NatTable, family_of

ACTIVE_PORT: Final = 9
"""The port of a TCP address from which connections are opened as needed: RFC 6544 section 4.5."""
FIRST_EPHEMERAL_PORT: Final = 49152
"""Of the connections opened so: RFC 6335 section 6."""


class Realm:
    """Hosts that reach each other without translation: the internet, or what is behind a NAT.

    Args:
        name: For traces.
        isolated: Whether the hosts in it are kept from each other, as in a guests' wireless network.
    """

    def __init__(self, name: str, *, isolated: bool = False) -> None:
        self.name = name
        self.isolated = isolated
        self.gateway: Gateway | None = None
        self._owners: dict[str, Interface | Gateway] = {}
        self._inner: list[Gateway] = []

    def owner(self, host: str) -> Union["Interface", "Gateway", None]:
        """Return what has this address here, or leads inwards to it; None if nothing does."""
        found = self._owners.get(host)
        if found is None:
            found = next((gateway for gateway in self._inner if gateway.routes(host)), None)
        return found

    def claim(self, host: str, owner: Union["Interface", "Gateway"]) -> None:
        """Give an address to an owner.

        Raises:
            LocalError: It is no IP address, or taken.
        """
        family_of(host)
        if host in self._owners:
            raise LocalError(f"{host} is taken in {self.name}")
        self._owners[host] = owner

    def release(self, host: str) -> None:
        """Take an address back."""
        del self._owners[host]


class Gateway:
    """A NAT, a firewall, or both: it joins an inside realm to an outside one.

    Args:
        name: For traces.
        inside: The realm that it serves.
        outside: The realm that it has its external addresses in.
        table: Its mappings.
        conditions: Of the line to the outside, both ways; None for a perfect one.
    """

    def __init__(
        self, name: str, inside: Realm, outside: Realm, table: NatTable, conditions: Conditions | None = None
    ) -> None:
        self.name = name
        self.inside = inside
        self.outside = outside
        self.table = table
        self.sending = Pipe(conditions) if conditions else None
        self.receiving = Pipe(conditions) if conditions else None
        inside.gateway = self
        outside._inner.append(self)  # noqa: SLF001  the two are one structure
        for host in table.hosts.values():
            outside.claim(host, self)

    @property
    def behavior(self) -> NatBehavior:
        """How it behaves; may be replaced at any time."""
        return self.table.behavior

    @behavior.setter
    def behavior(self, behavior: NatBehavior) -> None:
        self.table.behavior = behavior

    def reboot(self, *addresses: str) -> None:
        """Forget all mappings, and come back with other external addresses where some are given.

        Raises:
            LocalError: An address is none, or taken.
        """
        if addresses:
            hosts = _by_family(addresses)
            for host in self.table.hosts.values():
                self.outside.release(host)
            for host in hosts.values():
                self.outside.claim(host, self)
            self.table.hosts = hosts
        self.table.clear()

    def routes(self, host: str) -> bool:
        """Tell whether it leads to an address inside without translating it."""
        return not self.table.translates(host) and self.inside.owner(host) is not None


class Interface:
    """A host's interface: addresses in a realm, and the line that leads there.

    Attributes:
        sending: The line out of the host; its conditions may be replaced at any time.
        receiving: The line into it.
        dark: While set, whatever enters or leaves is lost without a word, and nobody is told.
    """

    def __init__(self, name: str, realm: Realm, addresses: tuple[str, ...], conditions: Conditions) -> None:
        self.name = name
        self.realm = realm
        self.sending = Pipe(conditions)
        self.receiving = Pipe(conditions)
        self.dark = False
        self._addresses: tuple[str, ...] = ()
        self.set_addresses(*addresses)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its IP addresses; none once it is removed."""
        return self._addresses

    def address(self, port: int, *, family: int = 4, transport: str = "udp") -> Address:
        """Return the transport address of its first address of a family.

        Raises:
            LocalError: It has none.
        """
        for host in self._addresses:
            if family_of(host) == family:
                return Address(host, port, transport)
        raise LocalError(f"{self.name} has no IPv{family} address")

    def set_addresses(self, *addresses: str, realm: Realm | None = None) -> None:
        """Change its addresses, and the realm where one is given; without any it is gone from the network.

        Raises:
            LocalError: One is none, or taken; nothing has changed then.
        """
        old, old_realm = self._addresses, self.realm
        for host in old:
            old_realm.release(host)
        self.realm = realm or old_realm
        self._addresses = ()
        try:
            for host in addresses:
                self.realm.claim(host, self)
                self._addresses += (host,)
        except LocalError:
            for host in self._addresses:
                self.realm.release(host)
            self.realm, self._addresses = old_realm, old
            for host in old:
                old_realm.claim(host, self)
            raise

    def set_conditions(self, sending: Conditions, receiving: Conditions | None = None) -> None:
        """Change what the line does; both ways the same unless two are given."""
        self.sending.conditions = sending
        self.receiving.conditions = receiving or sending


@dataclass(slots=True, eq=False)
class Process:
    """A machine that runs on a host.

    Args:
        machine: Its input and output are `Datagram`.
        host: Where it runs.
        on_event: Called with each event, if set.
        events: What it has reported.
        sockets: Where it is bound; while there are none, it gets all that no other process of the host is bound to.
    """

    machine: Machine[Datagram, Datagram, Any]
    host: "Host"
    on_event: Callable[[Any], None] | None = None
    events: list[Any] = field(default_factory=list)
    sockets: set[Address] = field(default_factory=set)

    def bind(self, address: Address, *, listening: bool = False) -> Address:
        """Bind a socket; a TCP socket either listens, or opens a connection to whom it sends.

        Raises:
            LocalError: The host does not have the address, or it is in use.
        """
        self.host.bind(address, self, listening=listening)
        self.sockets.add(address)
        return address

    def unbind(self, address: Address) -> None:
        """Close a socket, with its connections.

        Raises:
            LocalError: It is not bound.
        """
        if address not in self.sockets:
            raise LocalError(f"{address} is not bound")
        self.sockets.discard(address)
        self.host.unbind(address)

    def stop(self) -> None:
        """End it at once, as a crash does."""
        for address in list(self.sockets):
            self.unbind(address)
        self.host.processes.remove(self)


class Host:
    """A computer: interfaces, and the processes on it.

    A datagram leaves through the interface that has its source address, wherever it goes.

    Args:
        name: For traces.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.interfaces: dict[str, Interface] = {}
        self.processes: list[Process] = []
        self._bound: dict[Address, Process] = {}
        self._listening: set[Address] = set()
        self._connections: dict[tuple[Address, Address], Address] = {}
        self._active: dict[tuple[Address, Address], Address] = {}
        self._next_port = FIRST_EPHEMERAL_PORT

    @property
    def interface(self) -> Interface:
        """The first interface."""
        return next(iter(self.interfaces.values()))

    def add_interface(
        self, name: str, realm: Realm, *addresses: str, conditions: Conditions | None = None
    ) -> Interface:
        """Give it another interface.

        Args:
            name: For example `wifi`.
            realm: Where it leads.
            addresses: IP addresses in canonical form.
            conditions: Of the line, both ways; 10 ms each way and nothing else if None.

        Raises:
            LocalError: The name or an address is taken.
        """
        if name in self.interfaces:
            raise LocalError(f"{self.name} has an interface {name}")
        interface = self.interfaces[name] = Interface(name, realm, addresses, conditions or Conditions())
        return interface

    def remove_interface(self, name: str) -> None:
        """Take an interface away with its addresses; what is on the way to it is lost.

        Raises:
            LocalError: There is none.
        """
        if name not in self.interfaces:
            raise LocalError(f"{self.name} has no interface {name}")
        self.interfaces.pop(name).set_addresses()

    def address(self, port: int, *, family: int = 4, transport: str = "udp") -> Address:
        """Return the transport address of the first interface.

        Raises:
            LocalError: It has none of that family.
        """
        return self.interface.address(port, family=family, transport=transport)

    def run(
        self,
        machine: Machine[Datagram, Datagram, Any],
        *sockets: Address,
        on_event: Callable[[Any], None] | None = None,
    ) -> Process:
        """Run a machine on it.

        Args:
            machine: Its input and output are `Datagram`.
            sockets: Where it is bound, TCP ones as listeners; everywhere if none are given.
            on_event: Called with each event.

        Raises:
            LocalError: A socket cannot be bound.
        """
        process = Process(machine, self, on_event)
        for address in sockets:
            process.bind(address, listening=address.transport == "tcp")
        self.processes.append(process)
        return process

    def interface_of(self, host: str) -> Interface | None:
        """Return which interface has this address."""
        return next((found for found in self.interfaces.values() if host in found.addresses), None)

    def owns(self, host: str) -> bool:
        """Tell whether an address is its own, loopback too."""
        return is_loopback(host) or self.interface_of(host) is not None

    def bind(self, address: Address, process: Process, *, listening: bool = False) -> None:
        """See `Process.bind`."""
        if not self.owns(address.host):
            raise LocalError(f"{self.name} does not have {address.host}")
        if address in self._bound:
            raise LocalError(f"{address} is in use on {self.name}")
        self._bound[address] = process
        if listening:
            self._listening.add(address)

    def unbind(self, address: Address) -> None:
        """See `Process.unbind`."""
        self._bound.pop(address, None)
        self._listening.discard(address)
        for ends in [ends for ends, local in self._connections.items() if local == address]:
            del self._connections[ends]
        for ends in [ends for ends in self._active if ends[0] == address]:
            del self._active[ends]

    def source(self, process: Process, local: Address, remote: Address) -> Address:
        """Return the address that a datagram of a process really comes from.

        Raises:
            DropPacket: `no-source-address`, `not-bound`, or `no-connection` for a listener that nobody connected to.
        """
        if not self.owns(local.host):
            raise DropPacket("no-source-address")
        if process.sockets and local not in process.sockets:
            raise DropPacket("not-bound")
        if local.transport != "tcp":
            return local
        if local.port == ACTIVE_PORT:
            source = self._active.get((local, remote))
            if source is None:
                source = self._active[local, remote] = Address(local.host, self._next_port, "tcp")
                self._next_port += 1
                self._connections[source, remote] = local
            return source
        if (local, remote) not in self._connections:
            if local in self._listening:
                raise DropPacket("no-connection")
            self._connections[local, remote] = local
        return local

    def receiver(self, source: Address, target: Address) -> tuple[Process, Address]:
        """Return the process that gets a datagram, and the local address that it gets it at.

        Raises:
            DropPacket: `port-unreachable`, or `connection-refused` for a stream that nobody listens for.
        """
        local = target
        if target.transport == "tcp":
            found = self._connections.get((target, source))
            if found is None and self._bound and target not in self._listening:
                raise DropPacket("connection-refused")
            local = self._connections[target, source] = found or target
        process = self._bound.get(local)
        if process is None:
            process = next((process for process in self.processes if not process.sockets), None)
        if process is None:
            raise DropPacket("port-unreachable")
        return process, local


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Tell whether an address is one of the host's own, whatever the host."""
    return ip_address(host).is_loopback


def make_gateway(
    name: str,
    addresses: tuple[str, ...],
    behavior: NatBehavior,
    outside: Realm,
    rng: random.Random,
    *,
    isolated: bool,
    conditions: Conditions | None,
) -> Gateway:
    """Build a gateway and the realm behind it."""
    table = NatTable(behavior, _by_family(addresses), rng)
    return Gateway(name, Realm(f"behind {name}", isolated=isolated), outside, table, conditions)


def _by_family(addresses: tuple[str, ...]) -> dict[int, str]:
    hosts = {family_of(host): host for host in addresses}
    if len(hosts) != len(addresses):
        raise LocalError("one external address of each family at most")
    return hosts
