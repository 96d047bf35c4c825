"""A call between two programs, with the test as the signalling channel."""

import asyncio
from contextlib import asynccontextmanager


class Call:
    """Two peers and the tasks that carry their descriptions and candidates.

    Args:
        offerer: The program that offers.
        answerer: The other one.
    """

    def __init__(self, offerer, answerer):
        self.programs = (offerer, answerer)
        self._opened = {program: asyncio.Event() for program in self.programs}
        self.reports = []
        self.freeze = 0.0  # the longest time without a frame of video, until `gaps` was last asked
        self.frames = 0  # how many came between the last two times
        self._carriers = [
            asyncio.create_task(self._carry(offerer, answerer)),
            asyncio.create_task(self._carry(answerer, offerer)),
        ]

    async def _carry(self, source, target):
        early = []  # candidates found before the description was out
        while (line := await source.reports.get()) is not None:
            self.reports.append(line)
            match line:
                case {"candidate": candidate} if early is None:
                    target.tell("add", candidate=candidate)
                case {"candidate": candidate}:
                    early.append(candidate)
                case {"description": description}:
                    target.tell("describe", description=description)
                    for candidate in early or ():
                        target.tell("add", candidate=candidate)
                    early = None
                case {"open": _}:
                    self._opened[source].set()

    async def connected(self, seconds=20):
        """Wait until the channel is open at both ends."""
        opened = asyncio.gather(*(event.wait() for event in self._opened.values()))
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait({opened, *self._carriers}, return_when=asyncio.FIRST_COMPLETED)
            assert opened.done(), f"a program has ended: {self.reports}"
        finally:
            opened.cancel()

    async def gaps(self):
        """Return the longest time without an answer since this was asked last, and how many came; the worse end's."""
        found = [await program.ask("gap") for program in self.programs]
        self.freeze = max(self.freeze, *(entry["freeze"] for entry in found))
        self.frames = min(entry["frames"] for entry in found)
        return max(entry["longest"] for entry in found), min(entry["count"] for entry in found)

    async def flow(self, seconds=0.5):
        """Wait, and return how many answers came in that time at the end that got fewer."""
        await self.gaps()
        await asyncio.sleep(seconds)
        return (await self.gaps())[1]

    async def end(self):
        """End both programs."""
        await asyncio.gather(*(program.end() for program in self.programs))
        await asyncio.gather(*self._carriers)


@asynccontextmanager
async def call(offering, answering, servers, *, video=False):
    """Begin a call between two machines; it need not be connected yet."""
    made = Call(await offering.program("peer"), await answering.program("peer"))
    try:
        made.programs[1].tell("start", servers=servers, offer=False, video=video)
        made.programs[0].tell("start", servers=servers, offer=True, video=video)
        yield made
    finally:
        await made.end()
