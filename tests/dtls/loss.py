"""How long a handshake takes when datagrams are lost, for every pattern of up to three: the table of the DTLS page.

python -m tests.dtls.loss
"""

import itertools
import statistics

from stack import dtls
from stack.testing import Conditions, Link

from .support import pair

DELAY = 0.025  # seconds one way: a round trip of 50 ms
MAX_LOST = 3
# (bytes of a datagram, first timeout in seconds): without anything known, as ICE sets it, and cut small.
CASES = ((1200, 1.0), (1200, 0.1), (400, 0.1))
LAST_LOST = {1200: 12, 400: 18}  # datagrams counted both ways beyond which three losses cannot reach


def seconds(lost, mtu, timeout):
    """The virtual time until both ends have completed when the datagrams with these numbers are lost."""
    counter = itertools.count()
    client, server = pair(config=dtls.Config(mtu=mtu, initial_timeout=timeout))
    tamper = lambda sender, index, data: [] if next(counter) in lost else [data]  # noqa: E731
    link = Link(client, server, Conditions(delay=DELAY), tamper=tamper, start=0.0)
    client.start(0.0)
    server.start(0.0)
    if not link.run(lambda: client.handshake_complete and server.handshake_complete, seconds=30):
        raise RuntimeError(f"not connected: {lost} of datagrams of {mtu} bytes")
    return link.now


def rows():
    for mtu, timeout in CASES:
        for count in range(MAX_LOST + 1):
            times = [seconds(lost, mtu, timeout) for lost in itertools.combinations(range(LAST_LOST[mtu]), count)]
            yield mtu, timeout, count, len(times), statistics.median(times), max(times)


def table():
    lines = [
        "| datagrams up to | first timeout | lost | patterns | median | longest |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {mtu} bytes | {timeout:g} s | {count} | {patterns} | {median:.2f} s | {longest:.2f} s |"
        for mtu, timeout, count, patterns, median, longest in rows()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())  # noqa: T201  it is what this is for
