"""What is known about a NAT, and what follows from it: RFC 4787 sections 4 and 5."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from ..core import Address


class Behavior(StrEnum):
    """How a NAT maps or filters: RFC 4787 sections 4.1 and 5."""

    ENDPOINT_INDEPENDENT = "endpoint-independent"
    ADDRESS_DEPENDENT = "address-dependent"
    ADDRESS_AND_PORT_DEPENDENT = "address-and-port-dependent"
    DEPENDENT = "address-dependent or address-and-port-dependent"
    UNKNOWN = "unknown"

    @property
    def possible(self) -> "tuple[Behavior, ...]":
        """The behaviours of the RFC that this can be."""
        match self:
            case Behavior.DEPENDENT:
                return _THREE[1:]
            case Behavior.UNKNOWN:
                return _THREE
        return (self,)


_THREE: Final = (Behavior.ENDPOINT_INDEPENDENT, Behavior.ADDRESS_DEPENDENT, Behavior.ADDRESS_AND_PORT_DEPENDENT)
_INDEPENDENT, _BY_ADDRESS, _BY_PORT = _THREE


class NatName(StrEnum):
    """The names that people use, most of them from RFC 3489 section 5."""

    OPEN_INTERNET = "open internet"
    SYMMETRIC_FIREWALL = "symmetric firewall"
    FULL_CONE = "full cone NAT"
    ADDRESS_RESTRICTED = "address-restricted cone NAT"
    PORT_RESTRICTED = "port-restricted cone NAT"
    CONE = "cone NAT"
    SYMMETRIC = "symmetric NAT"
    NAT = "NAT"
    UDP_BLOCKED = "UDP blocked"


class Expectation(StrEnum):
    """Whether two ends that exchange candidates over ICE get a connection without a relay."""

    DIRECT = "direct"
    RELAY = "relay"
    UNCERTAIN = "uncertain"


class Nat(NamedTuple):
    """One NAT as RFC 4787 has it; without one, mapping is endpoint-independent."""

    mapping: Behavior
    filtering: Behavior


PEERS: Final[dict[NatName, Nat | None]] = {
    NatName.OPEN_INTERNET: Nat(_INDEPENDENT, _INDEPENDENT),
    NatName.SYMMETRIC_FIREWALL: Nat(_INDEPENDENT, _BY_PORT),
    NatName.FULL_CONE: Nat(_INDEPENDENT, _INDEPENDENT),
    NatName.ADDRESS_RESTRICTED: Nat(_INDEPENDENT, _BY_ADDRESS),
    NatName.PORT_RESTRICTED: Nat(_INDEPENDENT, _BY_PORT),
    NatName.SYMMETRIC: Nat(_BY_PORT, _BY_PORT),
    NatName.UDP_BLOCKED: None,
}
"""What the names of a peer's NAT mean; None where no UDP passes."""


def can_connect(one: Nat, other: Nat) -> bool:
    """Tell whether ICE connects two ends directly, when both know their server-reflexive addresses.

    A check must arrive, and its response must come from where the check went to (RFC 8445 section 7.2.5.2.1).

    Args:
        one: With one of the three behaviours of the RFC each.
        other: The same.
    """
    independent = [nat for nat in (one, other) if nat.mapping is _INDEPENDENT]
    if len(independent) == 2:
        return True  # both addresses are right, and what both send opens both filters
    if len(independent) == 1:
        # The dependent side comes from a port that nobody has seen before.
        return independent[0].filtering is not _BY_PORT
    # Both come from unseen ports: the first check has to pass a filter that lets strangers in, the one it triggers a
    # filter that does not look at ports, and one side must answer from the port that it was asked at.
    return _BY_ADDRESS in {one.mapping, other.mapping} and any(
        first.filtering is _INDEPENDENT and second.filtering is not _BY_PORT
        for first, second in ((one, other), (other, one))
    )


@dataclass(slots=True)
class NatReport:
    """What the tests of RFC 5780 found; it holds for the moment, and NATs change under load (section 4).

    Args:
        local: The socket that was tested.
        mapped: Its address as the server saw it, None if no UDP came back.
        mapping: How the NAT maps.
        filtering: How it filters.
        hairpinning: Whether it carries packets from inside to its own outer addresses (RFC 4787 section 6); None if
            that was not tested, or there is no NAT.
        lifetime: Seconds that a mapping without traffic was seen to live at least, and to be gone after (None if it
            outlived the test); None if that was not tested, or the server cannot help.
        other_address: The server's OTHER-ADDRESS.
        software: What the server calls itself.
        rtt: Round-trip time, seconds, None if it is unclear.
        notes: In plain words, what could not be found out and why.
    """

    local: Address
    mapped: Address | None = None
    mapping: Behavior = Behavior.UNKNOWN
    filtering: Behavior = Behavior.UNKNOWN
    hairpinning: bool | None = None
    lifetime: tuple[float, float | None] | None = None
    other_address: Address | None = None
    software: str = ""
    rtt: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def behind_nat(self) -> bool | None:
        """Whether there is a NAT; None if no UDP came back."""
        return None if self.mapped is None else self.mapped[:2] != self.local[:2]

    @property
    def port_preserved(self) -> bool | None:
        """Whether the NAT kept the port; None if no UDP came back."""
        return None if self.mapped is None else self.mapped.port == self.local.port

    @property
    def name(self) -> NatName:
        """What people call it."""
        if self.mapped is None:
            return NatName.UDP_BLOCKED
        if not self.behind_nat:
            dependent = self.filtering in {_BY_ADDRESS, _BY_PORT}
            return NatName.SYMMETRIC_FIREWALL if dependent else NatName.OPEN_INTERNET
        if self.mapping is Behavior.UNKNOWN:
            return NatName.NAT
        if self.mapping is not _INDEPENDENT:
            return NatName.SYMMETRIC
        names = {
            _INDEPENDENT: NatName.FULL_CONE,
            _BY_ADDRESS: NatName.ADDRESS_RESTRICTED,
            _BY_PORT: NatName.PORT_RESTRICTED,
        }
        return names.get(self.filtering, NatName.CONE)

    def expectation(self, peer: Nat | None) -> Expectation:
        """Tell whether a direct connection can be expected with a peer behind `peer`, None where UDP is blocked."""
        if self.mapped is None or peer is None:
            return Expectation.RELAY
        answers = {
            can_connect(Nat(mapping, filtering), Nat(peer_mapping, peer_filtering))
            for mapping in self.mapping.possible
            for filtering in self.filtering.possible
            for peer_mapping in peer.mapping.possible
            for peer_filtering in peer.filtering.possible
        }
        if len(answers) == 2:
            return Expectation.UNCERTAIN
        return Expectation.DIRECT if answers == {True} else Expectation.RELAY

    def expectations(self, names: Iterable[NatName] = tuple(PEERS)) -> dict[NatName, Expectation]:
        """Return what to expect with peers behind each kind of NAT."""
        return {name: self.expectation(PEERS[name]) for name in names}
