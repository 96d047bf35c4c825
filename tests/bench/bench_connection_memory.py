"""What an idle RTCPeerConnection with an open data channel keeps in memory, in a process of its own.

python -m tests.bench.bench_connection_memory --stack ours --pairs 50
"""

import argparse
import asyncio
import sys

from tests.interop import stacks

from .bench_datachannel_memory import resident
from .pair import ROOT
from .registry import Metric, benchmark

PAIRS, QUICK_PAIRS = 50, 10
SETTLE = 0.5  # seconds in which what connecting began comes to its end


async def connect(stack):
    """Two connections of this process with a channel between them."""
    offerer, answerer = stacks.new_connection(stack), stacks.new_connection(stack)
    channel = offerer.createDataChannel("memory")
    await stacks.negotiate(offerer, answerer)
    await stacks.opened(channel)
    return offerer, answerer


async def measure(stack, pairs):
    """KB per connection."""
    made = [await connect(stack)]  # pays for imports, caches and the first arenas
    await asyncio.sleep(SETTLE)
    before = resident()
    made += [await connect(stack) for _ in range(pairs)]
    await asyncio.sleep(SETTLE)
    size = resident() - before
    for pair in made:
        for connection in pair:
            await connection.close()
    return size / (2 * pairs) / 1024


@benchmark(Metric("connection-memory", "KB", "lower"), peer="aiortc")
async def memory(stack, quick):
    """Everything from the sockets up, per connection."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, "--stack", stack, "--pairs", str(QUICK_PAIRS if quick else PAIRS),
        stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the measuring process ended with {process.returncode}")
    return {"connection-memory": float(output)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stack", choices=stacks.MODULES, required=True)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args()
    sys.stdout.write(f"{asyncio.run(measure(options.stack, options.pairs))}\n")


if __name__ == "__main__":
    main()
