"""What a NAT remembers and decides: RFC 4787, and RFC 5382 for streams. No network is needed to use it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from ..core import Address, DropPacket, LocalError

MAX_PERMITTED: Final = 256
"""Remote ends that one mapping lets in; the one not used for longest is forgotten. A call has some tens."""


class Dependence(Enum):
    """On how much of a remote address something depends: RFC 4787 section 4.1 for mapping, section 5 for filtering."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"

    def key(self, remote: Address) -> tuple[str | int, ...]:
        """Return what remote addresses that count as the same have in common."""
        if self is Dependence.ENDPOINT_INDEPENDENT:
            return ()
        return (remote.host,) if self is Dependence.ADDRESS_DEPENDENT else (remote.host, remote.port)


@dataclass(frozen=True, slots=True)
class NatBehavior:
    """How a NAT, or a firewall, behaves.

    Args:
        mapping: What gets an external address and port of its own: RFC 4787 section 4.1.
        filtering: Who may send to a mapping: RFC 4787 section 5.
        hairpinning: Whether two inside may reach each other through the outside: RFC 4787 section 6. They see each
            other's external address and port.
        port_preservation: Whether the internal port is taken outside too where it is free: RFC 4787 section 4.2.1.
        port_parity: Whether even ports stay even and odd ones odd: RFC 4787 section 4.2.2.
        timeout: Seconds until an unused UDP mapping ends: RFC 4787 section 4.3 has 300 as its recommendation, 120 as
            its minimum; devices with 30 are common.
        tcp_timeout: The same for streams: RFC 5382 section 5.
        inbound_refresh: Whether what comes in keeps a mapping alive too: RFC 4787 section 4.3.
        max_mappings: At a time; what would need another one is lost.
        ports: First and last external port.
        blocks_udp: Whether all UDP is refused, as many company firewalls do.

    Raises:
        LocalError: A number is out of its range.
    """

    mapping: Dependence = Dependence.ENDPOINT_INDEPENDENT
    filtering: Dependence = Dependence.ADDRESS_AND_PORT_DEPENDENT
    hairpinning: bool = False
    port_preservation: bool = False
    port_parity: bool = False
    timeout: float = 300.0
    tcp_timeout: float = 7440.0
    inbound_refresh: bool = False
    max_mappings: int = 4096
    ports: tuple[int, int] = (1024, 65535)
    blocks_udp: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        first, last = self.ports
        if not 0 < first < last <= 0xFFFF:
            raise LocalError("ports are a first and a later last one, of 1 to 65535")
        if self.max_mappings < 1 or min(self.timeout, self.tcp_timeout) <= 0:
            raise LocalError("max_mappings and the timeouts are positive")


# The names of RFC 3489 section 5, which everybody uses.
FULL_CONE: Final = NatBehavior(filtering=Dependence.ENDPOINT_INDEPENDENT)
ADDRESS_RESTRICTED: Final = NatBehavior(filtering=Dependence.ADDRESS_DEPENDENT)
PORT_RESTRICTED: Final = NatBehavior()
SYMMETRIC: Final = NatBehavior(mapping=Dependence.ADDRESS_AND_PORT_DEPENDENT)


@dataclass(slots=True)
class _Mapping:
    key: tuple[Address, tuple[str | int, ...]]
    internal: Address
    external: Address
    used: float
    permitted: dict[tuple[str | int, ...], float] = field(default_factory=dict)


class NatTable:
    """The mappings of one NAT.

    Families without an external host are not translated, only filtered: that is a firewall.

    Args:
        behavior: How it behaves.
        hosts: External host by family, 4 and 6.
        rng: Source of ports.
    """

    def __init__(self, behavior: NatBehavior, hosts: Mapping[int, str], rng: random.Random) -> None:
        self.behavior = behavior
        self.hosts = dict(hosts)
        self._random = rng
        self._by_key: dict[tuple[Address, tuple[str | int, ...]], _Mapping] = {}
        self._by_external: dict[Address, _Mapping] = {}

    def __len__(self) -> int:
        """How many mappings there are, ended ones that nobody has asked for since among them."""
        return len(self._by_key)

    def translates(self, host: str) -> bool:
        """Tell whether addresses of this family are translated."""
        return family_of(host) in self.hosts

    def outbound(self, source: Address, target: Address, now: float) -> Address:
        """Send from inside to outside.

        Returns:
            The external address that it comes from.

        Raises:
            DropPacket: `udp-blocked`, `nat-full` or `nat-ports-exhausted`.
        """
        self._check_transport(source)
        key = (source, self.behavior.mapping.key(target) if self.translates(source.host) else ())
        mapping = self._by_key.get(key)
        if mapping is not None and self._is_over(mapping.used, source, now):
            self._remove(mapping)
            mapping = None
        if mapping is None:
            mapping = self._create(key, now)
        mapping.used = now
        self._permit(mapping, target, now)
        return mapping.external

    def inbound(self, source: Address, target: Address, now: float) -> Address:
        """Send from outside to one of the external addresses.

        Returns:
            The internal address that it goes to.

        Raises:
            DropPacket: `udp-blocked`, `nat-no-mapping`, or `nat-filtered` where a mapping does not let this source in.
        """
        self._check_transport(target)
        mapping = self._by_external.get(target)
        if mapping is None or self._is_over(mapping.used, target, now):
            raise DropPacket("nat-no-mapping")
        permitted = mapping.permitted.get(self.behavior.filtering.key(source))
        if permitted is None or self._is_over(permitted, target, now):
            raise DropPacket("nat-filtered")
        if self.behavior.inbound_refresh:
            mapping.used = now
            self._permit(mapping, source, now)
        return mapping.internal

    def clear(self) -> None:
        """Forget everything, as a reboot does."""
        self._by_key.clear()
        self._by_external.clear()

    def _check_transport(self, address: Address) -> None:
        if self.behavior.blocks_udp and address.transport == "udp":
            raise DropPacket("udp-blocked")

    def _is_over(self, used: float, address: Address, now: float) -> bool:
        return now - used >= (self.behavior.timeout if address.transport == "udp" else self.behavior.tcp_timeout)

    def _permit(self, mapping: _Mapping, remote: Address, now: float) -> None:
        key = self.behavior.filtering.key(remote)
        mapping.permitted.pop(key, None)  # so that the dictionary is in order of use
        mapping.permitted[key] = now
        if len(mapping.permitted) > MAX_PERMITTED:
            del mapping.permitted[next(iter(mapping.permitted))]

    def _create(self, key: tuple[Address, tuple[str | int, ...]], now: float) -> _Mapping:
        if len(self._by_key) >= self.behavior.max_mappings:
            for old in [m for m in self._by_key.values() if self._is_over(m.used, m.internal, now)]:
                self._remove(old)
            if len(self._by_key) >= self.behavior.max_mappings:
                raise DropPacket("nat-full")
        mapping = _Mapping(key, key[0], self._external(key[0], now), now)
        self._by_key[key] = self._by_external[mapping.external] = mapping
        return mapping

    def _external(self, internal: Address, now: float) -> Address:
        host = self.hosts.get(family_of(internal.host))
        if host is None:
            return internal
        preserved = Address(host, internal.port, internal.transport)
        if self.behavior.port_preservation and self._is_free(preserved, now):
            return preserved
        first, last = self.behavior.ports
        count = last - first + 1
        begin = self._random.randrange(count)
        for offset in range(count):
            port = first + (begin + offset) % count
            external = Address(host, port, internal.transport)
            parity = not self.behavior.port_parity or port % 2 == internal.port % 2
            if parity and self._is_free(external, now):
                return external
        raise DropPacket("nat-ports-exhausted")

    def _is_free(self, external: Address, now: float) -> bool:
        mapping = self._by_external.get(external)
        if mapping is not None and self._is_over(mapping.used, external, now):
            self._remove(mapping)
            return True
        return mapping is None

    def _remove(self, mapping: _Mapping) -> None:
        del self._by_key[mapping.key]
        del self._by_external[mapping.external]


@lru_cache(maxsize=1024)
def family_of(host: str) -> int:
    """Return 4 or 6.

    Raises:
        LocalError: It is no IP address.
    """
    try:
        return ip_address(host).version
    except ValueError as error:
        raise LocalError(str(error)) from error
