"""Seeded randomness in the shape that machines take it."""

import random

from ..core import RandomBytes


def seeded_random_bytes(seed: int | str) -> RandomBytes:
    """Return a `random_bytes` function that gives the same bytes for the same seed. For tests only: not secret."""
    return random.Random(seed).randbytes
