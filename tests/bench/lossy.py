"""A `Pair` with a bad network between its processes: their descriptions name a relay instead of each other."""

import asyncio
import sys

from .pair import ROOT, Pair


class Relay:
    """A running `tests.bench.relay`."""

    def __init__(self, host, delay, loss, seed):
        self.host, self.options = host, (str(delay), str(loss), str(seed))

    async def start(self):
        delay, loss, seed = self.options
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.relay",
            "--host", self.host, "--delay", delay, "--loss", loss, "--seed", seed,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
        self.ports = [int(port) for port in (await self.process.stdout.readline()).split()]

    async def stop(self):
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 3)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


def hosts(sdp):
    """The IPv4 addresses of the host candidates over UDP."""
    found = []
    for line in sdp.splitlines():
        words = line.split()
        if line.startswith("a=candidate:") and words[2].lower() == "udp" and words[7] == "host" and "." in words[4]:
            found.append(words[4])
    return [host for host in found if host.replace(".", "").isdigit()]


def through(sdp, host, port):
    """The description with one candidate, the relay's, in the place of all others."""
    lines, placed = [], False
    for line in sdp.splitlines():
        if not line.startswith("a=candidate:"):
            lines.append(line)
        elif not placed:
            placed = True
            lines.append(f"a=candidate:1 1 udp 2130706431 {host} {port} typ host")
    return "\r\n".join(lines) + "\r\n"


class LossyPair(Pair):
    """A pair whose datagrams take `delay` seconds each way, of which the share `loss` is lost."""

    def __init__(self, offerer, answerer, *, delay, loss, seed=1):
        super().__init__(offerer, answerer)
        self.network = delay, loss, seed
        self.relay = None
        self.offerer.tamper, self.answerer.tamper = self.from_offerer, self.from_answerer

    async def from_offerer(self, sdp):
        host = hosts(sdp)[0]
        self.relay = Relay(host, *self.network)
        await self.relay.start()
        return through(sdp, host, self.relay.ports[0])  # the answerer sends there

    async def from_answerer(self, sdp):
        return through(sdp, self.relay.host, self.relay.ports[1])

    async def stop(self, *, at_once):
        await super().stop(at_once=at_once)
        if self.relay is not None:
            await self.relay.stop()
