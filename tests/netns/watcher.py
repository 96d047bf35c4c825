"""A machine that watches its network and publishes and resolves names, told what to do line by line."""

import asyncio
import json
import sys

from stack.aio.interfaces import AddressPolicy, local_addresses
from stack.aio.mdns import Resolver
from stack.aio.network_monitor import NetworkMonitor

POLICY = AddressPolicy(use_loopback="never")


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def told(addresses):
    return [[entry.host, entry.outgoing] for entry in addresses]


async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    monitor = NetworkMonitor(lambda addresses: say(addresses=told(addresses)), POLICY)
    resolver = Resolver(local_addresses(POLICY))
    say(addresses=told(monitor.addresses), polling=monitor.is_polling)
    while text := await reader.readline():
        match json.loads(text):
            case {"do": "publish", "host": host}:
                say(answer="publish", value=resolver.publish(host))
            case {"do": "resolve", "name": name}:
                say(answer="resolve", value=await resolver.resolve(name, 3))
    monitor.close()
    resolver.close()


if __name__ == "__main__":
    asyncio.run(main())
