"""What an agent sends from: sockets and allocations, and how they are shown to the other side."""

from dataclasses import dataclass, replace
from typing import Final

from .candidate import Candidate, unspecified

MAX_NETWORK_COST: Final = 999
_STEP: Final = 60  # local preferences per unit of network cost, so that more addresses than that differ by cost only


@dataclass(slots=True)
class Base:
    """A socket or an allocation.

    Args:
        candidate: Its host or relayed candidate, as it is.
        interface: Name of the network interface.
        network_cost: How much we would rather use another network, 0..999.
        hidden: Whether its address is never signalled: RFC 8828 section 5.2, mode 3.
        mdns_name: What is signalled in place of the address: draft-ietf-mmusic-mdns-ice-candidates section 3.1.
    """

    candidate: Candidate
    interface: str = ""
    network_cost: int = 0
    hidden: bool = False
    mdns_name: str | None = None

    def signalled(self, candidate: Candidate) -> Candidate | None:
        """Return how one of this base's candidates is shown to the other side; None if it is not."""
        if not self.hidden and self.mdns_name is None:
            return candidate
        if candidate.type == "host":
            return None if self.mdns_name is None else replace(candidate, host=self.mdns_name)
        return replace(candidate, related_host=unspecified(candidate.host), related_port=0)


def default_preference(network_cost: int, index: int) -> int:
    """Return the local preference of the `index`th address: cheap networks first, then in the order of arrival."""
    return max(0xFFFF - min(network_cost, MAX_NETWORK_COST) * _STEP - index % _STEP, 0)
