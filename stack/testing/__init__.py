"""Tools for testing protocols without a network: seeded randomness, and a link between two machines in virtual time."""

from .link import Conditions, Link, LivelockError
from .randomness import seeded_random_bytes

__all__ = ["Conditions", "Link", "LivelockError", "seeded_random_bytes"]
