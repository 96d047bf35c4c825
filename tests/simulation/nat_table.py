# ruff: noqa: T201  it prints a table
"""Which path two agents find through every pair of NATs, in virtual time.

`python -m tests.simulation.nat_table > docs/tables/nat.md` writes the page. It is deterministic: a change of the page
is a change of behaviour.
"""

from stack.testing import Dependence, NatBehavior

from .support import KINDS, TURN, TURN_TCP, AgentCall, Internet, Kind, call_between

SECONDS = 20.0
HEAD = """# Through NATs

Printed by `python -m tests.simulation.nat_table`: two ICE agents, a STUN and a TURN server, every pair of NATs, in
virtual time. *srflx, prflx* is the selected pair of the controlling side: its own candidate and the other one's, both
direct. *relay* means that the TURN server is on the path.

`tests/simulation/test_nat_table.py` derives from RFC 4787's terms what has to come out: a hole can be punched if both
sides come from ports that the STUN server has seen, or if the only side whose port is known does not filter by port.

## Two sites

Rows are the controlling side's, columns the other one's.
"""
SAME = """
## One site

Both behind the same NAT, which keeps its hosts from each other (guests' wireless networks do), or both in homes of
their own behind the same carrier's NAT.

"""
BLOCKED = """
## Where UDP is blocked

Only streams leave the site; TURN over TCP is what is left. The other side is behind a port-restricted NAT.

"""


def describe(path):
    """The cell of a path."""
    if path is None:
        return "none"
    return "relay" if "relay" in path else ", ".join(path)


def path_between(kind_a, kind_b, *, relay=TURN):
    """What two kinds come to."""
    call = call_between(kind_a, kind_b, relay=relay)
    call.connect(SECONDS)
    return describe(call.path)


def behind_one_nat(filtering, *, hairpinning, carrier, relay=TURN):
    """What two sides of one NAT come to that do not reach each other inside."""
    network = Internet()
    behavior = NatBehavior(filtering=filtering, hairpinning=hairpinning)
    outer = network.nat("NAT", "198.51.100.200", behavior=behavior, isolated=not carrier)
    hosts = []
    for number, name in enumerate(("a", "b"), 2):
        realm = outer.inside
        if carrier:
            realm = network.nat(f"{name}'s home", f"100.64.0.{number}", outside=realm).inside
        hosts.append(network.host(name, "192.168.1.2" if carrier else f"192.168.1.{number}", realm=realm))
    call = AgentCall(network, *hosts, relay=relay)
    call.connect(SECONDS)
    return describe(call.path)


def behind_firewall(*, relays):
    """What a side whose UDP is blocked comes to."""
    network = Internet()
    network.add_turn_over_tcp()
    blocked, _ = network.place(Kind("firewall", (NatBehavior(blocks_udp=True),)), "a")
    other, _ = network.place(Kind("home", (NatBehavior(),)), "b")
    call = AgentCall(network, blocked, other, relay=relays)
    call.connect(SECONDS)
    return describe(call.path)


def rows(relay=TURN):
    """The table of two sites, head first."""
    yield ["", *(kind.name for kind in KINDS)]
    for kind in KINDS:
        yield [kind.name, *(path_between(kind, other, relay=relay) for other in KINDS)]


def one_site(relay=TURN):
    """The table of one site, head first."""
    yield ["filtering", "without hairpinning", "with hairpinning", "two homes, without", "two homes, with"]
    for filtering in Dependence:
        cells = [
            behind_one_nat(filtering, hairpinning=hairpinning, carrier=carrier, relay=relay)
            for carrier in (False, True)
            for hairpinning in (False, True)
        ]
        yield [filtering.value, *cells]


def blocked():
    """The table of blocked sites, head first."""
    yield ["TURN over UDP only", "TURN over TCP too"]
    yield [behind_firewall(relays=(TURN, TURN)), behind_firewall(relays=(TURN_TCP, TURN))]


def markdown(lines):
    """A table of a head and rows."""
    head, *body = lines
    table = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in table) + "\n"


def page():
    """The whole page."""
    return HEAD + "\n" + markdown(rows()) + SAME + markdown(one_site()) + BLOCKED + markdown(blocked())


if __name__ == "__main__":
    print(page(), end="")
