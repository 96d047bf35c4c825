"""Tools for testing protocols without a network: seeded randomness, and a link between two machines in virtual time."""

from .link import Conditions, Link, LivelockError
from .pcap import PcapWriter
from .randomness import seeded_random_bytes

__all__ = ["Conditions", "Link", "LivelockError", "PcapWriter", "seeded_random_bytes"]
