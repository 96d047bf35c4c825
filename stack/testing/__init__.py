"""Tools for testing protocols without a network: seeded randomness, and a link between two machines in virtual time."""

from .link import Conditions, Link, Livelock
from .randomness import seeded_random_bytes

__all__ = ["Conditions", "Link", "Livelock", "seeded_random_bytes"]
