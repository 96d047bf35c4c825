"""A TURN client over TCP or TLS whose relay sends back what it gets, told what to do line by line."""

import asyncio
import json
import os
import sys
import time

from stack.aio.streams import StreamSockets
from stack.core import Address, Datagram
from stack.turn import Allocated, Client, Closed, PermissionCreated, frame


def say(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Relayer:
    def __init__(self, local, host, port, name, ca_file, user, password):
        self.server = Address(host, port, "tcp")
        self.sockets = StreamSockets(
            asyncio.get_running_loop(),
            self._on_batch,
            on_closed=lambda *_: say(closed=dict(self.sockets.dropped)),
            ca_file=ca_file,
        )
        self.local = self.sockets.connect_turn(local, self.server, name)
        self.client = Client(self.server, user, password, random_bytes=os.urandom, reliable=True)
        self.client.start(time.monotonic())
        self.flush()

    def _on_batch(self, batch):
        for datagram in batch:
            self.client.receive_datagram(datagram.data, time.monotonic())
        self.flush()

    def flush(self):
        now = time.monotonic()
        for data, source in self.client.take_data():
            self.client.send(data, source, now)
        while (event := self.client.next_event()) is not None:
            match event:
                case Allocated():
                    say(relayed=list(event.relayed[:2]))
                case PermissionCreated():
                    say(permitted=True)
                case Closed():
                    say(ended=str(event.error))
        out = self.client.datagrams_to_send(now)
        self.sockets.send([Datagram(frame(data), self.server, self.local) for data in out])

    def permit(self, host):
        self.client.create_permission(host, time.monotonic())
        self.flush()


async def main():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    relayer = None
    while text := await reader.readline():
        match json.loads(text):
            case {"do": "start", **options}:
                relayer = Relayer(**options)
            case {"do": "permit", "host": host}:
                relayer.permit(host)
    if relayer is not None:
        relayer.sockets.close()


if __name__ == "__main__":
    asyncio.run(main())
