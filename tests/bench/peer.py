"""One peer of a measured pair, in a process of its own: commands come as JSON lines, answers go as JSON lines.

| command | answer |
| --- | --- |
| `connect` role, channels | the offerer's `description` sdp, type; later `opened` created, at (monotonic) |
| `description` sdp, kind | the answerer's `description` |
| `bulk` size, seconds | `sent` bytes, cpu; the other peer says `received` bytes, seconds, cpu |
| `ping` count, size | `rtts` p50, p99, lost |
| `disconnect` | `disconnected` |
| `exit` | |

    python -m tests.bench.peer --stack ours
"""

import argparse
import asyncio
import json
import resource
import sys
import time
import traceback

from tests.interop import stacks

HIGH_WATER = 1 << 20  # bytes that the sender of a bulk transfer keeps queued at most
LOW_WATER = HIGH_WATER // 2
PING_PATIENCE = 1.0  # seconds until a ping on the unreliable channel counts as lost


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def say(kind, **values):
    sys.stdout.write(json.dumps({"kind": kind, **values}) + "\n")
    sys.stdout.flush()


def percentile(ordered, percent):
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


class Peer:
    """The connection of this process and what is measured over its channels, `bulk` and `ping`."""

    def __init__(self, stack):
        self.stack = stack
        self.channels = {}
        self.pong = None
        self.receipt = asyncio.Event()
        self.low = asyncio.Event()

    async def connect(self, role, channels):
        self.role, self.expected, self.channels = role, {c["label"] for c in channels}, {}
        self.open = set()
        self.created = time.monotonic()
        self.pc = stacks.new_connection(self.stack)
        if role == "answer":
            self.pc.on("datachannel", self.adopt)
            return
        for options in channels:
            self.adopt(self.pc.createDataChannel(**options))
        await self.pc.setLocalDescription(await self.pc.createOffer())
        self.say_description()

    async def description(self, sdp, kind):
        await self.pc.setRemoteDescription(stacks.description(self.stack, sdp, kind))
        if kind == "offer":
            await self.pc.setLocalDescription(await self.pc.createAnswer())
            self.say_description()

    def say_description(self):
        local = self.pc.localDescription
        say("description", sdp=local.sdp, type=local.type)

    def adopt(self, channel):
        label = channel.label
        self.channels[label] = channel
        if label == "bulk":
            channel.bufferedAmountLowThreshold = LOW_WATER
            channel.on("bufferedamountlow", self.low.set)
            channel.on("message", self.on_bulk)
        else:
            channel.on("message", self.on_ping)
        if channel.readyState == "open":
            self.on_open(label)
        else:
            channel.on("open", lambda: self.on_open(label))

    def on_open(self, label):
        self.open.add(label)
        if self.open == self.expected:
            say("opened", created=self.created, at=time.monotonic())

    # Bulk: text marks the begin and the end, everything between them counts.

    def on_bulk(self, message):
        if isinstance(message, bytes):
            self.received += len(message)
        elif message == "begin":
            self.received, self.begun, self.cpu_at_begin = 0, time.monotonic(), cpu_seconds()
        elif message == "end":
            seconds, cpu = time.monotonic() - self.begun, cpu_seconds() - self.cpu_at_begin
            say("received", bytes=self.received, seconds=seconds, cpu=cpu)
            self.channels["bulk"].send("receipt")
        elif message == "receipt":
            self.receipt.set()

    async def bulk(self, size, seconds):
        channel, payload, sent = self.channels["bulk"], bytes(size), 0
        self.receipt.clear()
        cpu = cpu_seconds()
        channel.send("begin")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            channel.send(payload)
            sent += size
            if channel.bufferedAmount > HIGH_WATER:
                self.low.clear()
                await self.low.wait()
        channel.send("end")
        await self.receipt.wait()
        say("sent", bytes=sent, cpu=cpu_seconds() - cpu)

    # Ping: one message of `size` bytes at a time, sent back by the answerer.

    def on_ping(self, message):
        if self.role == "answer":
            self.channels["ping"].send(message)
        elif self.pong:
            self.pong(message)

    async def ping(self, count, size):
        channel, padding, clock = self.channels["ping"], bytes(size - 4), time.perf_counter_ns
        done = asyncio.get_running_loop().create_future()
        rtts, lost, number, at = [], 0, 0, 0

        def send():
            nonlocal number, at
            number += 1
            at = clock()
            channel.send(number.to_bytes(4, "big") + padding)

        def on_pong(message):
            now = clock()
            if int.from_bytes(message[:4], "big") != number:
                return  # a late answer to one that was given up
            rtts.append(now - at)
            if number < count:
                send()
            elif not done.done():
                done.set_result(None)

        self.pong = on_pong
        send()
        while not done.done():
            before = number
            await asyncio.wait([done], timeout=PING_PATIENCE)
            if number == before and not done.done():
                lost += 1
                send()
        self.pong = None
        rtts.sort()
        say("rtts", p50=percentile(rtts, 50) / 1e3, p99=percentile(rtts, 99) / 1e3, lost=lost)

    async def disconnect(self):
        await self.pc.close()
        say("disconnected")

    async def serve(self):
        reader = asyncio.StreamReader(limit=1 << 20)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        commands = asyncio.Queue()
        work = asyncio.create_task(self.obey(commands))
        say("ready")
        while line := await reader.readline():  # the end of the input, at any time, is the end of the process
            command = json.loads(line)
            if command["do"] == "exit":
                break
            commands.put_nowait(command)
        work.cancel()

    async def obey(self, commands):
        while True:
            command = await commands.get()
            what = command.pop("do")
            try:
                await getattr(self, what)(**command)
            except Exception:  # noqa: BLE001  whatever it is, the parent must hear of it
                say("error", error=traceback.format_exc())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stack", choices=stacks.MODULES, required=True)

    async def run():
        await Peer(parser.parse_args().stack).serve()

    asyncio.run(run())


if __name__ == "__main__":
    main()
