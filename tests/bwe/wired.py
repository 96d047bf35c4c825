"""The machines of stack.bwe as the contract's tests and the fuzz targets drive them: by bytes."""

import struct

from stack.bwe import Closed, Estimator, Kind, PacedPacket, Pacer, ProbeCluster, RemoteEstimator
from stack.core import Machine

RESULT = struct.Struct("!Hf")


def results_of(data):
    """Read results: six octets each, sequence number and time; 0 stands for lost."""
    whole = data[: len(data) - len(data) % RESULT.size]
    return [(number, time or None) for number, time in RESULT.iter_unpack(whole)]


class WiredEstimator(Estimator):
    """Takes reports as bytes; what is too short for a result is counted."""

    def receive_datagram(self, datagram, now):
        if len(datagram) < RESULT.size:
            self._clamp(now)
            self.dropped["truncated"] += 1
            return
        self.feedback(results_of(datagram), now)


class WiredPacer(Pacer):
    """Hands out bytes: of each packet, what it carries."""

    def datagrams_to_send(self, now):
        return [packet.item for packet in super().datagrams_to_send(now)]


class WiredRemote(RemoteEstimator):
    """Takes packets as bytes: abs-send-time in the first three."""

    def receive_datagram(self, datagram, now):
        if len(datagram) < 4:
            super().receive_datagram(datagram, now)
            return
        self.packet_received(datagram[3], len(datagram), now, abs_send_time=int.from_bytes(datagram[:3], "big"))


class Partner(Machine):
    """Tells an estimator of packets sent each 10 ms, or sends packets, and each 50 ms a report."""

    def __init__(self, estimator=None):
        super().__init__()
        self.estimator = estimator
        self.number = self.reported = 0
        self.begun = None
        self.out = []

    def start(self, now):
        if self.begun is None:
            self.begun = now
            self._timers.set("send", now)
            self._timers.set("report", now + 0.05)

    def receive_datagram(self, datagram, now):
        self._clamp(now)

    def handle_timer(self, now):
        for name in self._timers.expire(self._clamp(now)):
            if name == "send":
                self.send(now)
                self._timers.set("send", now + 0.01)
            else:
                results = [(n & 0xFFFF, n * 0.01 + 1.0) for n in range(self.reported, self.number)]
                self.reported = self.number
                if results and self.estimator is not None:
                    self.out.append(b"".join(RESULT.pack(*result) for result in results))
                self._timers.set("report", now + 0.05)

    def send(self, now):
        if self.estimator is None:
            self.out.append((int(now * 2**18) & 0xFFFFFF).to_bytes(3, "big") + bytes(100))
        elif not self.estimator._closed:
            self.estimator.packet_sent(self.number & 0xFFFF, 1200, now)
            self.number += 1

    def datagrams_to_send(self, now):
        out, self.out = self.out, []
        return out

    def close(self, now):
        self._timers.clear()
        self.out = []
        if self.begun is not None:
            self.begun = None
            self._events.append(Closed())


def fill(pacer, now, count=12):
    """Queue a keyframe, urgent packets and a cluster."""
    pacer.probe(ProbeCluster(1, 2_000_000, 5, 4000), now)
    for index in range(count):
        pacer.send(PacedPacket(b"v" * 1200, 1200, Kind.VIDEO, "v", True, index == 0), now)
    pacer.send(PacedPacket(b"a" * 60, 60, Kind.AUDIO), now)
    pacer.send(PacedPacket(b"r" * 1200, 1200, Kind.RETRANSMISSION), now)
