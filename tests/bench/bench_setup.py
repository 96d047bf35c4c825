"""How long it takes to get connected."""

import statistics

from .pair import Pair
from .registry import Metric, benchmark


@benchmark(Metric("setup", "ms", "lower"), peer="aiortc")
async def setup(stack, quick):
    """From creation until two channels are open on both sides; the first one, cold, does not count."""
    times = []
    async with Pair(stack, stack) as pair:
        for _ in range(4 if quick else 16):
            times.append(await pair.connect())
            await pair.disconnect()
    return {"setup": statistics.median(times[1:])}
