"""Tools for testing protocols without a network, in virtual time: seeded randomness, a link, a network with NATs.

What there is, and an example, is in docs/layers/testing.md.
"""

from .conditions import Conditions, Pipe
from .link import Link, LivelockError
from .nat import (
    ADDRESS_RESTRICTED,
    FULL_CONE,
    PORT_RESTRICTED,
    SYMMETRIC,
    Dependence,
    NatBehavior,
    NatTable,
)
from .network import Hop, Network
from .pcap import PcapWriter
from .randomness import seeded_random_bytes
from .responder import Responder
from .topology import Gateway, Host, Interface, Process, Realm

__all__ = [
    "ADDRESS_RESTRICTED",
    "FULL_CONE",
    "PORT_RESTRICTED",
    "SYMMETRIC",
    "Conditions",
    "Dependence",
    "Gateway",
    "Hop",
    "Host",
    "Interface",
    "Link",
    "LivelockError",
    "NatBehavior",
    "NatTable",
    "Network",
    "PcapWriter",
    "Pipe",
    "Process",
    "Realm",
    "Responder",
    "seeded_random_bytes",
]
