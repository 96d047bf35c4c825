"""A small sender: packets at a rate, reported on by a path that one describes."""

import itertools

from stack.bwe import Closed, Estimator, Kind, PacedPacket, ProbeRequested, TargetBitrateChanged

START = 1000.0
SIZE = 1200


def events_of(machine, kind=None):
    """Take all events, of a kind."""
    found = []
    while (event := machine.next_event()) is not None:
        if kind is None or isinstance(event, kind):
            found.append(event)
    return found


def video(size=SIZE, *, keyframe=False, first=True, stream="v", item=None):
    return PacedPacket(item, size, Kind.VIDEO, stream, keyframe, first)


def frame(packets, *, keyframe=False, stream="v", size=SIZE):
    """The packets of a frame."""
    return [video(size, keyframe=keyframe, first=index == 0, stream=stream, item=index) for index in range(packets)]


def packet(kind, size=SIZE, item=None):
    return PacedPacket(item, size, kind)


class Feed:
    """Sends at the target, or at a rate, and reports each 50 ms.

    path: (time sent, number) -> seconds that the packet takes, None if it is lost.
    """

    def __init__(self, estimator, path=lambda sent, number: 0.05, *, offset=500.0):
        self.estimator, self.path, self.offset = estimator, path, offset
        self.now = START
        self.numbers = itertools.count(65000)
        self.pending = []
        self.targets = []

    def run(self, seconds, rate=None, *, reports=True):
        estimator = self.estimator
        end, next_report, next_packet = self.now + seconds, self.now + 0.05, self.now
        while self.now < end:
            self.now = min(next_report, next_packet)
            due = estimator.next_timer()
            if due is not None and due <= self.now:
                estimator.handle_timer(self.now)
            if self.now >= next_packet:
                number = next(self.numbers)
                estimator.packet_sent(number & 0xFFFF, SIZE, self.now)
                took = self.path(self.now, number)
                self.pending.append((number, self.now, took))
                next_packet += SIZE * 8 / (rate or estimator.target_bitrate)
            if self.now >= next_report:
                next_report += 0.05
                # What was lost is reported when the packets after it are.
                ready = [entry for entry in self.pending if entry[1] + (entry[2] or 0.05) + 0.05 <= self.now]
                self.pending = [entry for entry in self.pending if entry not in ready]
                if reports and ready:
                    estimator.feedback(
                        [
                            (number & 0xFFFF, None if took is None else sent + took + self.offset)
                            for number, sent, took in ready
                        ],
                        self.now,
                    )
            while (event := estimator.next_event()) is not None:
                match event:
                    case TargetBitrateChanged(target, _):
                        self.targets.append((self.now, target))
                    case ProbeRequested() | Closed():
                        pass


def estimator(**options):
    """One with its first clusters taken."""
    made = Estimator(**options)
    events_of(made)
    return made
