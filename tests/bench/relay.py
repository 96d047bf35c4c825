"""A bad network between two peers of one machine: a relay that delays and loses, since the kernel may have no netem.

It has one socket for each side. What a side sends to its socket leaves, later or not at all, by the other one, to where
the other side last sent from. It runs in a process of its own:

    python -m tests.bench.relay --host 127.0.0.1 --delay 0.025 --loss 0.01 --seed 1

It prints its two ports, and ends with its standard input.
"""

import argparse
import random
import select
import socket
import sys
import time
from collections import deque

MAX_WAITING = 65536  # datagrams on the way in one direction
BUFFER = 4 * 1024 * 1024  # of a socket: a burst must not be lost by accident
READS = 64  # datagrams in a row from one side


class Direction:
    """Datagrams on their way from one socket to the other."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.waiting = deque()


def open_socket(host):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    for option, forced in ((socket.SO_RCVBUF, 33), (socket.SO_SNDBUF, 32)):  # SO_RCVBUFFORCE, SO_SNDBUFFORCE
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, BUFFER)
        except OSError:  # not root, or not Linux
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


def relay(host, delay, loss, seed):
    """Relay until the standard input ends."""
    rng = random.Random(seed)
    first, second = open_socket(host), open_socket(host)
    sys.stdout.write(f"{first.getsockname()[1]} {second.getsockname()[1]}\n")
    sys.stdout.flush()
    directions = {first: Direction(first, second), second: Direction(second, first)}
    addresses = {}
    while True:
        now = time.monotonic()
        due = None
        for direction in directions.values():
            waiting = direction.waiting
            while waiting and waiting[0][0] <= now:
                forward(direction.sink, waiting.popleft()[1], addresses)
            if waiting and (due is None or waiting[0][0] < due):
                due = waiting[0][0]
        readable, _, _ = select.select([sys.stdin, *directions], [], [], None if due is None else max(due - now, 0))
        if sys.stdin in readable and not sys.stdin.readline():
            return
        for sock in readable:
            if sock in directions:
                receive(sock, directions[sock].waiting, addresses, rng, delay, loss)


def receive(sock, waiting, addresses, rng, delay, loss):
    for _ in range(READS):
        try:
            data, addresses[sock] = sock.recvfrom(65536)
        except BlockingIOError:
            return
        except OSError:  # an ICMP error about something sent earlier
            continue
        if rng.random() >= loss and len(waiting) < MAX_WAITING:
            waiting.append((time.monotonic() + delay, data))


def forward(sink, data, addresses):
    target = addresses.get(sink)
    if target is not None:  # else the other side has not been heard of yet; ICE asks again
        try:
            sink.sendto(data, target)
        except OSError:
            return


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", required=True)
    parser.add_argument("--delay", type=float, required=True, help="seconds, one way")
    parser.add_argument("--loss", type=float, required=True, help="0..1, each way")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    relay(options.host, options.delay, options.loss, options.seed)


if __name__ == "__main__":
    main()
