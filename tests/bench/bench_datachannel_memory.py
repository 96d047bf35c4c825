"""What associations with a data channel keep in memory, in a process of its own.

python -m tests.bench.bench_datachannel_memory --associations 1000 --bytes 1000000000
"""

import argparse
import asyncio
import gc
import json
import os
import sys
from pathlib import Path

from stack import datachannel, sctp

from .pair import ROOT
from .registry import Metric, benchmark

ASSOCIATIONS, QUICK_ASSOCIATIONS = 1000, 100
TRANSFER, QUICK_TRANSFER = 1_000_000_000, 50_000_000  # bytes
WARM_UP = 0.2  # share of the transfer after which memory must not grow any more
MESSAGE = bytes(16384)
PATIENCE = 10.0  # virtual seconds that connecting may take
BUFFERED = 1 << 20  # bytes that wait in the sender at most


class End:
    """An association and the channels on it, as `stack.peer.Transport` has them, without ICE and DTLS."""

    def __init__(self, is_dtls_client):
        self.sctp = sctp.Association(random_bytes=os.urandom)
        self.channels = datachannel.Endpoint(is_dtls_client=is_dtls_client)
        self.received = 0

    def pump(self, now):
        """Move what there is between the two layers; return the packets that leave."""
        while (event := self.sctp.next_event()) is not None:
            match event:
                case sctp.MessageReceived(stream_id, ppid, data):
                    self.channels.receive_message(stream_id, ppid, data, now)
                case sctp.Established():
                    self.channels.set_connected(now)
        while (event := self.channels.next_event()) is not None:
            if isinstance(event, datachannel.MessageReceived):
                self.received += len(event.data)
        for message in self.channels.datagrams_to_send(now):
            self.sctp.send(message.stream_id, message.ppid, message.data, now)
        return self.sctp.datagrams_to_send(now)


class Couple:
    """Two ends of one association, and the time."""

    def __init__(self):
        self.now = 0.0
        self.ends = End(is_dtls_client=True), End(is_dtls_client=False)
        for end in self.ends:
            end.sctp.associate(0.0)
        self.channel = self.ends[0].channels.open("memory", now=0.0)
        while self.channel.awaits_ack or self.channel.state != "open":
            self.step()
            if self.now > PATIENCE:
                raise ConnectionError("the association did not come about")
        for _ in range(4):
            self.step()

    def step(self):
        """One way there and back; a millisecond, in which delayed SACKs and the pacer come to their right."""
        self.now += 0.001
        for end, other in (self.ends, self.ends[::-1]):
            end.sctp.handle_timer(self.now)
            for packet in end.pump(self.now):
                other.sctp.receive_datagram(packet, self.now)

    def transfer(self, size):
        near, far = self.ends
        target = far.received + size
        while far.received < target:
            while near.sctp.total_buffered < BUFFERED:
                near.channels.send(self.channel, MESSAGE, self.now)
                near.pump(self.now)
            self.step()
        while near.sctp.total_buffered or near.sctp.outstanding_bytes:
            self.step()


def resident():
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(associations, size):
    first = Couple()  # pays for imports, caches and the first arenas
    before = resident()
    idle = [Couple() for _ in range(associations // 2)]
    per_association = (resident() - before) / associations
    first.transfer(int(size * WARM_UP))
    before = resident()
    first.transfer(size - int(size * WARM_UP))
    return {"kb": per_association / 1024, "growth": max(resident() - before, 0) / 1024, "idle": len(idle)}


@benchmark(
    Metric("datachannel-memory", "KB/association", "lower"),
    Metric("datachannel-memory-growth", "KB", "lower"),
)
async def memory(stack, quick):
    """1,000 idle associations with an open channel each; and how much 1 GB through one of them leaves behind."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__,
        "--associations", str(QUICK_ASSOCIATIONS if quick else ASSOCIATIONS),
        "--bytes", str(QUICK_TRANSFER if quick else TRANSFER),
        stdout=asyncio.subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the measuring process ended with {process.returncode}")
    found = json.loads(output)
    return {"datachannel-memory": found["kb"], "datachannel-memory-growth": found["growth"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--associations", type=int, default=ASSOCIATIONS)
    parser.add_argument("--bytes", type=int, default=TRANSFER)
    options = parser.parse_args()
    sys.stdout.write(json.dumps(measure(options.associations, options.bytes)) + "\n")


if __name__ == "__main__":
    main()
