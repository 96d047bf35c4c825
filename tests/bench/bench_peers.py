"""Many idle RTCPeerConnections in one process, each with an open data channel: memory and CPU time of each.

python -m tests.bench.bench_peers --stack ours --connections 500 --seconds 15
"""

import argparse
import asyncio
import contextlib
import json
import resource
import sys
import time

from tests.interop import stacks

from .bench_connection_memory import SETTLE, connect
from .bench_datachannel_memory import resident
from .pair import ROOT
from .registry import Metric, benchmark

CONNECTIONS, QUICK_CONNECTIONS = 500, 40
IDLE, QUICK_IDLE = 15.0, 6.0  # seconds watched: ICE asks for consent every 5 (RFC 7675)
SOCKETS = 8  # file descriptors that a connection may take


def allow_files(count):
    """Ask for so many file descriptors, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


async def measure(stack, connections, seconds):
    """KB per connection, and the share of a core that one takes while nothing is sent, in percent."""
    allow_files(connections * SOCKETS)
    made = [await connect(stack)]  # pays for imports, caches and the first arenas
    await asyncio.sleep(SETTLE)
    before = resident()
    made += [await connect(stack) for _ in range(connections // 2)]
    await asyncio.sleep(SETTLE)
    size = resident() - before
    begun, cpu = time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    share = (time.process_time() - cpu) / (time.monotonic() - begun)
    states = [connection.connectionState for pair in made for connection in pair]
    for pair in made:
        for connection in pair:
            await connection.close()
    if set(states) != {"connected"}:
        raise RuntimeError(f"{len(states) - states.count('connected')} of {len(states)} connections were lost")
    return {"peer-memory": size / connections / 1024, "peer-idle-cpu": share / len(states) * 100}


@benchmark(Metric("peer-memory", "KB", "lower"), Metric("peer-idle-cpu", "% of a core", "lower"), peer="aiortc")
async def peers(stack, quick):
    """Both per connection, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, "--stack", stack,
        "--connections", str(QUICK_CONNECTIONS if quick else CONNECTIONS),
        "--seconds", str(QUICK_IDLE if quick else IDLE),
        stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the measuring process ended with {process.returncode}")
    return json.loads(output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stack", choices=stacks.MODULES, required=True)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--seconds", type=float, default=IDLE)
    options = parser.parse_args()
    sys.stdout.write(json.dumps(asyncio.run(measure(options.stack, options.connections, options.seconds))) + "\n")


if __name__ == "__main__":
    main()
