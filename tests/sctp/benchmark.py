# ruff: noqa: T201  it prints what it measured
"""How fast two associations in one process shovel messages, without a network: `python -m tests.sctp.benchmark`.

The time is that of both ends together: fragmentation, checksums, reassembly, SACKs, congestion control.
"""

import random
import time

from stack.sctp import Association, Config
from stack.testing import seeded_random_bytes


def shovel(total, size, *, batch=32, loss=0.0, window=None, config=Config()):  # noqa: B008  it is frozen
    """Send `total` bytes in messages of `size`; return (seconds, the sender's counters).

    batch: packets that the receiver takes between two drains, as a socket that is read in batches does.
    loss: probability of loss, both ways.
    window: congestion window to begin with, bytes.
    """
    rng = random.Random(1)
    a, b = (Association(random_bytes=seeded_random_bytes(seed), config=config) for seed in (1, 2))
    now = 0.0
    a.associate(now)
    for _ in range(3):
        for sender, receiver in ((a, b), (b, a)):
            for packet in sender.datagrams_to_send(now):
                receiver.receive_datagram(packet, now)
    a.next_event(), b.next_event()
    if window:
        a._outbound.congestion.cwnd = window
    data = bytes(size)
    sent = got = 0
    start = time.perf_counter()
    while got < total:
        while sent < total and a.total_buffered < 8_000_000 and a.can_buffer(size):
            a.send(1, 53, data, now)
            sent += size
        now += 0.0001
        packets = a.datagrams_to_send(now)
        if not packets:
            now = max(now, min(t for t in (a.next_timer(), b.next_timer()) if t is not None))
            a.handle_timer(now)
            b.handle_timer(now)
        for at in range(0, max(len(packets), 1), batch):
            for packet in packets[at : at + batch]:
                if not loss or rng.random() >= loss:
                    b.receive_datagram(packet, now)
            answers = b.datagrams_to_send(now)
            while (event := b.next_event()) is not None:
                got += len(event.data)
            for packet in answers:
                if not loss or rng.random() >= loss:
                    a.receive_datagram(packet, now)
    return time.perf_counter() - start, a.stats


def report(name, total, size, **options):
    """Measure three times and print the best."""
    seconds, stats = min((shovel(total, size, **options) for _ in range(3)), key=lambda result: result[0])
    packets = stats.packets_sent
    print(
        f"{name:42} {total * 8 / seconds / 1e6:7.0f} Mbit/s {seconds / packets * 1e6:6.2f} us/packet "
        f"{total / size / seconds / 1e3:7.0f}k messages/s {stats.retransmits:6} retransmits"
    )


def main():
    """Print a table."""
    report("16 KiB messages", 64 << 20, 16384)
    report("16 KiB messages, SACK per 2 packets", 64 << 20, 16384, batch=2)
    checked = Config(zero_checksum=False)
    report("16 KiB messages, with checksums", 64 << 20, 16384, config=checked)
    report("256 KiB messages", 64 << 20, 262_144)
    report("1 packet per message", 64 << 20, 1132)
    report("100-byte messages", 8 << 20, 100)
    report("16 KiB messages, 1 % loss, 4 MiB window", 32 << 20, 16384, loss=0.01, window=4 << 20)
    report("16 KiB messages, 5 % loss, SACK per 2", 16 << 20, 16384, loss=0.05, window=4 << 20, batch=2)


if __name__ == "__main__":
    main()
