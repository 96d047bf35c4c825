"""A bulk transfer over a bad network: 50 ms there and back, one datagram of a hundred lost each way, no rate limit."""

import asyncio

from .lossy import LossyPair
from .native import NAME
from .registry import Metric, benchmark

DELAY = 0.025  # seconds, one way
LOSS = 0.01
SECONDS, QUICK_SECONDS = 15, 4
SETTLE = 0.5  # seconds: ten round trips


async def transfer(stack, quick, delay=DELAY, loss=LOSS):
    """Mbit/s of 16 KiB messages on a reliable ordered channel."""
    async with LossyPair(stack, stack, delay=delay, loss=loss) as pair:
        await pair.connect()
        await asyncio.sleep(SETTLE)
        _, received = await pair.bulk(seconds=QUICK_SECONDS if quick else SECONDS)
    return received["bytes"] * 8 / received["seconds"] / 1e6


@benchmark(Metric("datachannel-bulk-lossy", "Mbit/s", "higher"), peer="aiortc")
async def lossy(stack, quick):
    return {"datachannel-bulk-lossy": await transfer(stack, quick)}


@benchmark(Metric("datachannel-bulk-lossy-native", "Mbit/s", "higher"), peer=NAME)
async def lossy_native(stack, quick):
    return {"datachannel-bulk-lossy-native": await transfer(stack, quick)}
