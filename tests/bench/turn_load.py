"""The load of the TURN benchmark: a process with a client, its peer, and channel data between them, on plain sockets.

Arguments: server's port, packets, packets in flight. Prints JSON: packets relayed per second, packets lost.
"""

import json
import os
import select
import socket
import sys
import time

from stack.core import Address
from stack.turn import ChannelBound, Client, wire

HOST = "127.0.0.1"
USER, PASSWORD = "driver", "secret"
SIZE = 1000  # bytes of a payload
CLIENTS = 4


class Pair:
    """A client with a channel to its peer."""

    def __init__(self, server):
        self.peer = bound()
        self.socket = bound()
        self.socket.connect(server[:2])
        self.client = Client(server, USER, PASSWORD, random_bytes=os.urandom, rto=0.2)
        self.client.start(time.monotonic())
        address = Address(*self.peer.getsockname())
        asked, end = False, time.monotonic() + 10
        while True:
            now = time.monotonic()
            if now > end:
                raise TimeoutError(self.client.dropped)
            self.client.handle_timer(now)
            for data in self.client.datagrams_to_send(now):
                try:
                    self.socket.send(data)
                except ConnectionRefusedError:  # the server is about to start
                    time.sleep(0.05)
            if select.select([self.socket], [], [], 0.05)[0]:
                try:
                    self.client.receive_datagram(self.socket.recv(65535), time.monotonic())
                except ConnectionRefusedError:
                    time.sleep(0.05)
            if self.client.relayed is not None and not asked:
                asked = True
                self.client.bind_channel(address, now)
            while (event := self.client.next_event()) is not None:
                if isinstance(event, ChannelBound):
                    self.relayed = self.client.relayed[:2]
                    return

    def burst(self, count):
        """Send `count` packets each way; return how many arrived."""
        message, payload = wire.channel_data(wire.FIRST_CHANNEL, bytes(SIZE)), bytes(SIZE)
        for _ in range(count):
            self.socket.send(message)
            self.peer.sendto(payload, self.relayed)


def bound():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.bind((HOST, 0))
    return made


def drain(sock):
    """Take what is there; return how many datagrams."""
    count = 0
    try:
        while True:
            sock.recv(2048, socket.MSG_DONTWAIT)
            count += 1
    except BlockingIOError:
        return count


def main(port, packets, window):
    pairs = [Pair(Address(HOST, port)) for _ in range(CLIENTS)]
    sockets = [sock for pair in pairs for sock in (pair.socket, pair.peer)]
    burst = window // len(sockets)
    sent = received = 0
    begin = time.perf_counter()
    while sent < packets:
        for pair in pairs:
            pair.burst(burst)
        sent += burst * len(sockets)
        # As many in flight as fit every queue: what is lost is lost by the relay.
        end = time.perf_counter() + 0.2
        while received < sent and time.perf_counter() < end:
            for sock in select.select(sockets, [], [], 0.02)[0]:
                received += drain(sock)
    seconds = time.perf_counter() - begin
    sys.stdout.write(json.dumps({"rate": received / seconds, "lost": sent - received, "received": received}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
