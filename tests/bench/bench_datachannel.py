"""Data channels between two processes of one machine, over its own host addresses."""

import asyncio

from .awake import awake
from .pair import Pair
from .registry import Metric, benchmark

SETTLE = 0.3  # seconds after connecting in which both sides finish what connecting began


@benchmark(
    Metric("datachannel-bulk", "Mbit/s", "higher"),
    Metric("datachannel-cpu-per-gb", "CPU s/GB", "lower"),
    peer="aiortc",
)
async def bulk(stack, quick):
    """16 KiB messages on a reliable ordered channel; CPU of the sender and the receiver together."""
    async with Pair(stack, stack) as pair:
        await pair.connect()
        await asyncio.sleep(SETTLE)
        sent, received = await pair.bulk(seconds=1 if quick else 5)
    return {
        "datachannel-bulk": received["bytes"] * 8 / received["seconds"] / 1e6,
        "datachannel-cpu-per-gb": (sent["cpu"] + received["cpu"]) / (received["bytes"] / 1e9),
    }


@benchmark(
    Metric("datachannel-rtt-p50", "us", "lower"),
    Metric("datachannel-rtt-p99", "us", "lower"),
    peer="aiortc",
)
async def rtt(stack, quick):
    """64 bytes there and back, unordered and without retransmission, one at a time on an idle connection."""
    async with Pair(stack, stack) as pair:
        await pair.connect()
        await asyncio.sleep(SETTLE)
        with awake():
            rtts = await pair.ping(500 if quick else 5000)
    return {"datachannel-rtt-p50": rtts["p50"], "datachannel-rtt-p99": rtts["p99"]}
