"""The order of local addresses: RFC 8421."""

from collections.abc import Sequence
from itertools import groupby

from ..core import LocalError
from .candidate import MAX_NETWORK_COST, ip_of

_STEP = 256  # between two addresses: room for those that appear later, and 8 is what a TCP preference can tell apart


def local_preferences(hosts: Sequence[str], network_costs: Sequence[int] | None = None) -> list[int]:
    """Return a local preference for each address: IPv6 and IPv4 by turns, expensive networks last.

    RFC 8421 section 4: (N4 + N6) / N4 addresses of IPv6 come before each one of IPv4. Section 3: addresses on
    unreliable networks come at the end and are not intermingled with the others.

    Args:
        hosts: IP addresses, in the order of the caller's preference.
        network_costs: 0..1023 for each of them; all alike if None.

    Returns:
        Local preferences, 0..65535, all different, in the order of `hosts`.

    Raises:
        LocalError: Not an IP address, not as many costs as hosts, or a cost out of range.
    """
    costs = [0] * len(hosts) if network_costs is None else network_costs
    if len(costs) != len(hosts) or any(not 0 <= cost <= MAX_NETWORK_COST for cost in costs):
        raise LocalError(f"each host has a cost of 0 to {MAX_NETWORK_COST}")
    families = {}
    for host in hosts:
        ip = ip_of(host)
        if ip is None:
            raise LocalError(f"{host!r} is no IP address")
        families[host] = ip.version
    ranked: list[int] = []
    by_cost = sorted(range(len(hosts)), key=lambda index: costs[index])
    for _, group in groupby(by_cost, key=lambda index: costs[index]):
        indexes = list(group)
        ranked += _intermingle(
            [index for index in indexes if families[hosts[index]] == 6],
            [index for index in indexes if families[hosts[index]] == 4],
        )
    step = min(_STEP, 0x10000 // max(1, len(hosts)))
    preferences = [0] * len(hosts)
    for rank, index in enumerate(ranked):
        preferences[index] = max(0, 0xFFFF - step * rank)
    return preferences


def _intermingle(v6: list[int], v4: list[int]) -> list[int]:
    if not v4:
        return v6
    head_start = (len(v4) + len(v6)) // len(v4)
    ranked: list[int] = []
    while v6 or v4:
        ranked += v6[:head_start]
        ranked += v4[:1]
        v6, v4 = v6[head_start:], v4[1:]
    return ranked
