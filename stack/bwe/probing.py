"""When to probe, and what a probe has measured."""

from dataclasses import dataclass

from .events import ProbeCluster

DURATION = 0.015  # seconds of a cluster at the start, as libwebrtc does
LATER_DURATION = 0.025  # seconds of the others: frames in between and jitter blur a shorter one
MIN_PACKETS = 5
FIRST_FACTORS = (3.0, 6.0)  # of the start bitrate, as libwebrtc does
NEXT_FACTOR = 2.0  # of what was measured
CARRIED = 0.7  # of the cluster's bitrate: measured more, it is worth going on
APPLICATION_INTERVAL = 5.0  # seconds between probes of an application that does not use its target
INTERVAL = 1.5  # seconds between probes otherwise: a path that got better is found within as much
MAX_PENDING_CLUSTERS = 8  # whose results are awaited; more are requested at a time by nothing here
PENDING_TIME = 6.0  # seconds a result is waited for: the pacer's patience and a long round trip
MIN_RESULT_PACKETS = 4
MIN_RECEIVED = 0.8  # of packets and bytes
MAX_SPREAD = 1.0  # seconds; a cluster takes some milliseconds
MAX_SPEEDUP = 2.0  # of arriving over sending: more is not an effect of the path
UNSATURATED = 0.9  # of arriving over sending: less, and the path was full
SATURATED_SHARE = 0.95  # of what a full path carried


class _Pending:
    """A cluster whose packets are on their way."""

    __slots__ = (
        "bitrate", "expires", "first_arrived", "first_sent", "first_size", "initial", "last_arrived", "last_sent",
        "last_size", "packets", "received", "received_bytes", "size",
    )  # fmt: skip

    def __init__(self, cluster: ProbeCluster, expires: float, *, initial: bool) -> None:
        self.bitrate = cluster.bitrate
        self.packets = cluster.packets
        self.size = cluster.size
        self.initial = initial
        self.expires = expires
        self.received = self.received_bytes = 0
        self.first_sent = self.first_arrived = float("inf")
        self.last_sent = self.last_arrived = float("-inf")
        self.first_size = 0  # of the packet that arrived first
        self.last_size = 0  # of the packet that was sent last


@dataclass(slots=True)
class Measurement:
    """What a cluster has shown.

    Args:
        bitrate: Bit/s that the path can carry.
        saturated: Whether the path carried less than was sent.
        probed: Bit/s that the cluster was sent at.
        initial: Whether it was one of the start.
    """

    bitrate: float
    saturated: bool
    probed: float
    initial: bool


class Probing:
    """Makes clusters and reads their results."""

    __slots__ = ("_next_id", "_pending", "next_at")

    def __init__(self) -> None:
        self._next_id = 0
        self._pending: dict[int, _Pending] = {}
        self.next_at = float("-inf")

    @property
    def waiting(self) -> bool:
        """Whether results are awaited."""
        return bool(self._pending)

    def cluster(self, bitrate: float, now: float, *, initial: bool = False) -> ProbeCluster | None:
        """Make a cluster and await its result; None if too many are awaited."""
        if len(self._pending) >= MAX_PENDING_CLUSTERS:
            return None
        self._next_id += 1
        size = int(bitrate * (DURATION if initial else LATER_DURATION) / 8)
        cluster = ProbeCluster(self._next_id, int(bitrate), MIN_PACKETS, max(size, 1))
        self._pending[cluster.id] = _Pending(cluster, now + PENDING_TIME, initial=initial)
        self.next_at = now + INTERVAL
        return cluster

    def forget(self) -> None:
        """Await nothing any more."""
        self._pending.clear()

    def expire(self, now: float) -> None:
        """Give up on clusters that were not sent or not reported."""
        for cluster_id in [i for i, pending in self._pending.items() if pending.expires <= now]:
            del self._pending[cluster_id]

    def packet(self, cluster_id: int, size: int, sent: float, received: float) -> None:
        """Take a packet of a cluster that has arrived."""
        pending = self._pending.get(cluster_id)
        if pending is None:
            return
        pending.received += 1
        pending.received_bytes += size
        if received < pending.first_arrived:
            pending.first_arrived, pending.first_size = received, size
        if sent >= pending.last_sent:
            pending.last_sent, pending.last_size = sent, size
        pending.first_sent = min(pending.first_sent, sent)
        pending.last_arrived = max(pending.last_arrived, received)

    def results(self) -> list[Measurement]:
        """Return what the clusters have shown of which enough has arrived, and forget these."""
        found: list[Measurement] = []
        for cluster_id, pending in list(self._pending.items()):
            needed = max(MIN_RESULT_PACKETS, pending.packets * MIN_RECEIVED)
            if pending.received < needed or pending.received_bytes < pending.size * MIN_RECEIVED:
                continue
            del self._pending[cluster_id]
            measurement = self._measure(pending)
            if measurement is not None:
                found.append(measurement)
        return found

    @staticmethod
    def _measure(pending: _Pending) -> Measurement | None:
        sending = pending.last_sent - pending.first_sent
        arriving = pending.last_arrived - pending.first_arrived
        if not 0 < sending <= MAX_SPREAD or not 0 < arriving <= MAX_SPREAD:
            return None
        send_rate = (pending.received_bytes - pending.last_size) * 8 / sending
        arrival_rate = (pending.received_bytes - pending.first_size) * 8 / arriving
        if arrival_rate > MAX_SPEEDUP * send_rate:
            return None
        saturated = arrival_rate < UNSATURATED * send_rate
        bitrate = SATURATED_SHARE * arrival_rate if saturated else min(send_rate, arrival_rate)
        return Measurement(bitrate, saturated, pending.bitrate, pending.initial)
