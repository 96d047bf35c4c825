"""Data channels under load, between two processes of one machine.

As a program it is a peer of `tests.bench.peer` with one command more: `ping_loaded` count, size, rate, bulk_size.
"""

import argparse
import asyncio
import contextlib
import sys

from tests.interop import stacks

from .awake import awake
from .bench_datachannel import SETTLE
from .pair import Pair, PeerProcess
from .peer import Peer
from .registry import Metric, benchmark

LOAD = 5_000_000  # bit/s of bulk on the other channel
BULK_SIZE = 16384


class LoadedPeer(Peer):
    """A peer that can ping while it sends bulk at a rate."""

    async def ping_loaded(self, count, size, rate, bulk_size):
        load = asyncio.create_task(self.load(rate, bulk_size))
        try:
            await self.ping(count, size)
        finally:
            load.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await load

    async def load(self, rate, size):
        channel, payload = self.channels["bulk"], bytes(size)
        clock = asyncio.get_running_loop().time
        channel.send("begin")
        due = clock()
        while True:
            channel.send(payload)
            due += size * 8 / rate
            await asyncio.sleep(max(due - clock(), 0))


class LoadedPeerProcess(PeerProcess):
    """A running `LoadedPeer`."""

    def arguments(self):
        return [sys.executable, "-m", __spec__.name, "--stack", self.stack]


class LoadedPair(Pair):
    """A pair whose offerer can ping under load."""

    def __init__(self, offerer, answerer):
        super().__init__(offerer, answerer)
        self.offerer = LoadedPeerProcess(offerer)
        self.offerer.other, self.answerer.other = self.answerer, self.offerer

    async def ping_loaded(self, count, size=64):
        self.offerer.command("ping_loaded", count=count, size=size, rate=LOAD, bulk_size=BULK_SIZE)
        return await self.offerer.answer("rtts")


@benchmark(Metric("datachannel-rtt-p99-loaded", "us", "lower"), peer="aiortc")
async def loaded(stack, quick):
    """64 bytes there and back on one channel while the pinging side sends 5 Mbit/s of bulk on another."""
    async with LoadedPair(stack, stack) as pair:
        await pair.connect()
        await asyncio.sleep(SETTLE)
        with awake():
            rtts = await pair.ping_loaded(500 if quick else 5000)
    return {"datachannel-rtt-p99-loaded": rtts["p99"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stack", choices=stacks.MODULES, required=True)

    async def run():
        await LoadedPeer(parser.parse_args().stack).serve()

    asyncio.run(run())


if __name__ == "__main__":
    main()
