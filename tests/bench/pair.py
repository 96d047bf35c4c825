"""Two peers in processes of their own, their descriptions relayed by this one."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHANNELS = [{"label": "bulk", "ordered": True}, {"label": "ping", "ordered": False, "maxRetransmits": 0}]
PATIENCE = 60.0  # seconds for any single answer of a peer


class PeerProcessError(Exception):
    """A peer said `error`, or ended."""


class PeerProcess:
    """A running `python -m tests.bench.peer`."""

    def __init__(self, stack):
        self.stack = stack
        self.answers = asyncio.Queue()
        self.other = None
        self.reading = None

    def arguments(self):
        return [sys.executable, "-m", "tests.bench.peer", "--stack", self.stack]

    async def start(self):
        self.process = await asyncio.create_subprocess_exec(
            *self.arguments(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20, cwd=ROOT,
            start_new_session=True,  # Ctrl-C is for the parent, which ends its peers
        )  # fmt: skip
        self.reading = asyncio.create_task(self.read())
        await self.answer("ready")

    async def read(self):
        while line := await self.process.stdout.readline():
            message = json.loads(line)
            if message["kind"] == "description":
                self.other.command("description", sdp=await self.tamper(message["sdp"]), kind=message["type"])
            else:
                self.answers.put_nowait(message)
        self.answers.put_nowait({"kind": "error", "error": "the process ended"})

    async def tamper(self, sdp):
        """What the other one is told instead of our description."""
        return sdp

    def command(self, what, **values):
        self.process.stdin.write((json.dumps({"do": what, **values}) + "\n").encode())

    async def answer(self, kind):
        async with asyncio.timeout(PATIENCE):
            while True:
                message = await self.answers.get()
                if message["kind"] == "error":
                    raise PeerProcessError(f"{self.stack}: {message['error']}")
                if message["kind"] == kind:
                    return message

    async def stop(self, *, at_once):
        with contextlib.suppress(ConnectionError, ProcessLookupError):
            if at_once:
                self.process.kill()
            else:
                self.command("exit")
            try:
                await asyncio.wait_for(self.process.wait(), 3)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
        await self.reading


class Pair:
    """An offerer and an answerer, as an async context manager.

    async with Pair("ours", "aiortc") as pair:
        await pair.connect()
        await pair.bulk(seconds=3)
    """

    def __init__(self, offerer, answerer):
        self.offerer, self.answerer = self.process(offerer), self.process(answerer)
        self.offerer.other, self.answerer.other = self.answerer, self.offerer

    @staticmethod
    def process(stack):
        """A peer that is not started yet."""
        if stack == "node-datachannel":
            from .native import NativeProcess

            return NativeProcess(stack)
        return PeerProcess(stack)

    async def __aenter__(self):
        try:
            await asyncio.gather(self.offerer.start(), self.answerer.start())
        except BaseException:
            await self.stop(at_once=True)
            raise
        return self

    async def __aexit__(self, error, *details):
        await self.stop(at_once=error is not None)

    async def stop(self, *, at_once):
        await asyncio.gather(*(peer.stop(at_once=at_once) for peer in (self.offerer, self.answerer) if peer.reading))

    async def connect(self):
        """Connect anew; return the ms from creation until all channels are open on both sides."""
        self.answerer.command("connect", role="answer", channels=CHANNELS)
        self.offerer.command("connect", role="offer", channels=CHANNELS)
        sides = await self.answers("opened")
        # One monotonic clock serves all processes of a machine.
        return (max(s["at"] for s in sides) - min(s["created"] for s in sides)) * 1e3

    async def disconnect(self):
        for peer in (self.offerer, self.answerer):
            peer.command("disconnect")
        await self.answers("disconnected")

    async def answers(self, kind):
        """What both say; if one of them fails, that."""
        try:
            async with asyncio.TaskGroup() as tasks:
                both = [tasks.create_task(peer.answer(kind)) for peer in (self.offerer, self.answerer)]
        except ExceptionGroup as group:
            raise group.exceptions[0] from None  # the other one was only waiting
        return [task.result() for task in both]

    async def bulk(self, seconds, size=16384):
        """The offerer sends for some seconds; return (its account, the answerer's account)."""
        self.offerer.command("bulk", size=size, seconds=seconds)
        received = await self.answerer.answer("received")
        return await self.offerer.answer("sent"), received

    async def ping(self, count, size=64):
        self.offerer.command("ping", count=count, size=size)
        return await self.offerer.answer("rtts")
