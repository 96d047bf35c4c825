"""Associations that share a bottleneck: several machines that look like one to a `Link`."""

from stack.core import Machine
from stack.sctp import Association, Config, MessageReceived
from stack.testing import Conditions, Link, seeded_random_bytes

SIZE = 16_384


class Bundle(Machine):
    """Machines whose packets travel together, each behind a byte that says whose it is."""

    def __init__(self, machines):
        super().__init__()
        self.machines = machines
        self.received = [0] * len(machines)

    def receive_datagram(self, datagram, now):
        self.machines[datagram[0]].receive_datagram(datagram[1:], now)

    def handle_timer(self, now):
        for machine in self.machines:
            due = machine.next_timer()
            if due is not None and due <= now:
                machine.handle_timer(now)

    def datagrams_to_send(self, now):
        """Take turns, packet by packet, so that nobody has the queue for itself."""
        rows = [[bytes([i]) + p for p in m.datagrams_to_send(now)] for i, m in enumerate(self.machines)]
        longest = max(map(len, rows))
        return [row[at] for at in range(longest) for row in rows if at < len(row)]

    def next_event(self):
        for index, machine in enumerate(self.machines):
            while (event := machine.next_event()) is not None:
                if isinstance(event, MessageReceived):
                    self.received[index] += len(event.data)

    def next_timer(self):
        return min((t for m in self.machines if (t := m.next_timer()) is not None), default=None)

    def close(self, now):
        for machine in self.machines:
            machine.close(now)


def share(controllers, conditions, seconds, *, warm_up=0.0, starts=None, seed=1, on_step=None):
    """Let senders with these controllers fill a link for `seconds`; return what each delivered after `warm_up`, Mbit/s.

    starts: when each begins, seconds.
    on_step: called with the link every 100 ms after `warm_up`.
    """
    ends = [
        Bundle(
            [
                Association(random_bytes=seeded_random_bytes(f"{seed}{side}{i}"), config=Config(congestion=controller))
                for i, controller in enumerate(controllers)
            ]
        )
        for side in "ab"
    ]
    link = Link(*ends, conditions, back=Conditions(delay=conditions.delay, loss=conditions.loss), seed=seed)
    begin, data = link.now, bytes(SIZE)
    starts = starts or [0.0] * len(controllers)
    marks = None
    while link.now < begin + seconds:
        for start, machine in zip(starts, ends[0].machines, strict=True):
            if link.now < begin + start:
                continue
            machine.associate(link.now)
            while machine.total_buffered < 4_000_000:
                machine.send(1, 53, data, link.now)
        link.run(seconds=0.1)
        if link.now >= begin + warm_up:
            marks = marks or list(ends[1].received)
            if on_step:
                on_step(link)
    return [(now - then) * 8 / (seconds - warm_up) / 1e6 for now, then in zip(ends[1].received, marks, strict=True)]


def backlog(link):
    """Seconds that a packet waits at the bottleneck now."""
    return max(link._directions[0].pipe._busy_until - link.now, 0.0)
