"""Commands as JSON lines on stdin, replies on stdout, for partners in Python: a method of the peer for each command."""

import asyncio
import inspect
import json
import sys
import traceback


def say(**message):
    print(json.dumps(message), flush=True)  # noqa: T201  this is the interface


async def obey(peer, request):
    try:
        result = getattr(peer, request["command"])(**request["argument"])
        if inspect.isawaitable(result):
            result = await result
        say(id=request["id"], result=result)
    except Exception:  # noqa: BLE001  whoever asked is told
        say(id=request["id"], error=traceback.format_exc())


async def serve(peer, version):
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say(version=version)
    while line := await reader.readline():
        await obey(peer, json.loads(line))
