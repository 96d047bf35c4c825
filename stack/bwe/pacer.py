"""Lets packets go one after the other instead of frame by frame, the urgent ones first."""

from collections import deque
from typing import Any, Final

from ..core import LocalError, Machine
from .events import Closed, KeyframeNeeded, Kind, PacedPacket, PacerEvent, ProbeCluster

MAX_QUEUE_TIME: Final = 0.4
"""Seconds that video may wait: later a picture is worth less than the next keyframe."""
BURST: Final = 0.02
"""Seconds of the pacing rate that leave at once: 50 ms of the target, which is an ordinary frame at 30 a second. Spread
thinner it arrives no earlier, and each wake-up costs as much as some packets."""
KEYFRAME_FACTOR: Final = 0.6
"""Of the pacing rate while a keyframe leaves that is not urgent: what is sent faster than the path carries queues in
it, in front of everybody's audio."""
MAX_QUEUED_PACKETS: Final = 8192
"""Of one stream and kind: two frames of the largest size; reached only when nobody drains."""
MAX_DROPPED: Final = 8192
"""Dropped packets that nobody has taken back: all of a full queue; the oldest go."""
MAX_STREAMS: Final = 256
"""Streams of video; more than a connection has transceivers and encodings."""
MAX_CLUSTERS: Final = 8
"""Clusters that wait; the estimator asks for two at most at a time."""
CLUSTER_WAIT: Final = 3.0
"""Seconds that a cluster waits for something to be sent."""
CLUSTER_TIME: Final = 1.0
"""Seconds that a cluster may take once it has begun: some hundredths mostly, more at the lowest bitrates."""
PROBE_TICK: Final = 0.002
"""Seconds of a cluster's bitrate in one burst of padding."""
STARVED_TICK: Final = 0.005
"""Seconds after which a cluster with nothing to send asks for padding again."""
MAX_DEBT_TIME: Final = 0.5
"""Seconds of the pacing rate that unpaced packets may overdraw."""
MAX_PACKET: Final = 65_535
"""Bytes of a datagram."""
ASK_AGAIN: Final = 1.0
"""Seconds after which a keyframe that did not come is asked for again."""
MAX_PENDING_EVENTS: Final = 64
"""When nobody takes them; the oldest go."""
PADDING_PACKET: Final = 250
"""Bytes, about those of one packet of padding: less is not asked for."""
PACING_RATE: Final = 750_000.0
"""Bit/s until told: what the estimator starts with."""

_AUDIO, _VIDEO = Kind.AUDIO, Kind.VIDEO  # looked up per packet
_NAMES = {kind: kind.name.lower() for kind in Kind}


class _Video:
    """What waits of one stream of video."""

    __slots__ = ("asked_at", "needs_keyframe", "packets", "stream")

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.packets: deque[PacedPacket] = deque()
        self.asked_at = float("-inf")
        self.needs_keyframe = False  # what comes before the next one is of no use


class Pacer(Machine[PacedPacket, PacedPacket, PacerEvent]):
    """A queue per priority before a rate.

    RTCP and audio leave at once, and what they take is taken from the others. Then come retransmissions, then video,
    the streams in turn, then padding. Packets come out of `datagrams_to_send`.

    Args:
        pacing_rate: Bit/s.
        max_queue_time: Seconds that video and retransmissions may wait.
        burst: Seconds of the pacing rate that leave at once.
    """

    def __init__(
        self, *, pacing_rate: float = PACING_RATE, max_queue_time: float = MAX_QUEUE_TIME, burst: float = BURST
    ) -> None:
        super().__init__()
        if not 0 < max_queue_time < float("inf") or not 0 < burst <= max_queue_time:
            raise LocalError(f"queue time {max_queue_time} s, burst {burst} s")
        self._rate = self._pace = _check_rate(pacing_rate)  # the latter while a keyframe leaves
        self._max_queue_time = max_queue_time
        self._burst = burst
        self._queues: dict[Kind, deque[PacedPacket]] = {kind: deque() for kind in Kind if kind != Kind.VIDEO}
        self._urgent = (self._queues[Kind.RTCP], self._queues[Kind.AUDIO])
        self._retransmissions, self._padding = self._queues[Kind.RETRANSMISSION], self._queues[Kind.PADDING]
        self._videos: dict[Any, _Video] = {}
        self._turn: deque[_Video] = deque()  # streams that have packets waiting, the next one first
        self._dropped_packets: deque[PacedPacket] = deque(maxlen=MAX_DROPPED)
        self._bytes = 0  # of what is paced and waits
        self._keyframe_packets = 0
        self._debt = 0.0  # bytes sent beyond the rate
        self._debt_at = 0.0
        self._clusters: deque[tuple[ProbeCluster, float]] = deque()
        self._cluster: ProbeCluster | None = None
        self._cluster_bytes = self._cluster_packets = 0
        self._cluster_began = 0.0
        self._closed = False

    # -- what it says ------------------------------------------------------------------------------------------

    @property
    def queued_packets(self) -> int:
        """Packets that wait."""
        return sum(len(q) for q in self._queues.values()) + sum(len(video.packets) for video in self._videos.values())

    @property
    def queued_bytes(self) -> int:
        """Bytes of retransmissions, video and padding that wait."""
        return self._bytes

    @property
    def probing(self) -> bool:
        """Whether a cluster waits or leaves."""
        return self._cluster is not None or bool(self._clusters)

    def queue_time(self, now: float) -> float:
        """Seconds that the oldest paced packet has waited; pure."""
        oldest = [q[0].queued_at for q in self._queues.values() if q]
        oldest += [video.packets[0].queued_at for video in self._turn]
        return max(max(now, self._now) - min(oldest), 0.0) if oldest else 0.0

    # -- what it is told ---------------------------------------------------------------------------------------

    def set_pacing_rate(self, pacing_rate: float, now: float) -> None:
        """Set the rate, bit/s.

        Raises:
            LocalError: If it is not positive.
        """
        rate = _check_rate(pacing_rate)
        now = self._clamp(now)
        self._pay(now)
        self._rate = self._pace = rate
        self._schedule(now)

    def send(self, packet: PacedPacket, now: float) -> None:
        """Queue a packet.

        Raises:
            LocalError: If its size is out of range, it is of too many streams, or the pacer is closed.
        """
        if self._closed:
            raise LocalError("the pacer is closed")
        if not 0 < packet.size <= MAX_PACKET:
            raise LocalError(f"a packet of {packet.size} bytes")
        kind = packet.kind
        if kind != _VIDEO:
            queue = self._queues[kind]
            now = self._clamp(now)
            if len(queue) >= MAX_QUEUED_PACKETS:
                self._lose(queue.popleft(), "queue-full")
            queue.append(packet)
        else:
            video = self._video(packet.stream)
            now = self._clamp(now)
            if not self._take_video(video, packet, now):
                return
        packet.queued_at = now
        packet.probe = None
        if kind > _AUDIO:
            self._bytes += packet.size
        if self._bytes == packet.size or kind <= _AUDIO:  # otherwise the schedule stands
            self._schedule(now)

    def let_pass(self, stream: Any, size: int, now: float) -> bool:
        """Tell whether packets of `size` bytes together may leave now without being sent through here, and count them.

        They may where nothing else waits and all of them would leave with the next drain. Not for keyframes.

        Args:
            stream: Of video, as in the packets.
            size: Bytes of all.
            now: Seconds.
        """
        now = self._clamp(now)
        video = self._videos.get(stream)
        if self._closed or self._bytes or self.probing or any(self._urgent) or (video and video.needs_keyframe):
            return False
        self._pay(now)
        self._pace = self._rate
        if self._debt + size > self._rate * self._burst / 8:
            return False
        self._debt += size
        return True

    def _video(self, stream: Any) -> _Video:
        video = self._videos.get(stream)
        if video is None:
            if len(self._videos) >= MAX_STREAMS:
                raise LocalError(f"more than {MAX_STREAMS} streams; see remove_stream")
            video = self._videos[stream] = _Video(stream)
        return video

    def _take_video(self, video: _Video, packet: PacedPacket, now: float) -> bool:
        """Queue video, unless a picture is missing before it."""
        if video.needs_keyframe:
            if not (packet.keyframe and packet.first):
                self._dropped["video-before-keyframe"] += 1
                if now - video.asked_at > ASK_AGAIN:
                    self._ask(video, now)
                return False
            video.needs_keyframe = False
        if len(video.packets) >= MAX_QUEUED_PACKETS:
            self._skip_to_keyframe(video, "video-queue-full", now)
            return self._take_video(video, packet, now)
        if not video.packets:
            self._turn.append(video)
        video.packets.append(packet)
        self._keyframe_packets += packet.keyframe
        return True

    def remove_stream(self, stream: Any, now: float) -> None:
        """Forget a stream of video; what waits of it is counted as dropped."""
        now = self._clamp(now)
        video = self._videos.pop(stream, None)
        if video is None:
            return
        for packet in video.packets:
            self._keyframe_packets -= packet.keyframe
            self._lose(packet, "removed")
        if video.packets:
            self._turn.remove(video)
        self._schedule(now)

    def probe(self, cluster: ProbeCluster, now: float) -> None:
        """Send a cluster as soon as something can be sent.

        Raises:
            LocalError: If its bitrate is not positive, or the pacer is closed.
        """
        _check_rate(cluster.bitrate)
        if self._closed:
            raise LocalError("the pacer is closed")
        now = self._clamp(now)
        if len(self._clusters) >= MAX_CLUSTERS:
            self._clusters.popleft()
            self._dropped["probe-full"] += 1
        self._clusters.append((cluster, now + CLUSTER_WAIT))
        self._schedule(now)

    def padding_needed(self, now: float) -> int:
        """Return how many bytes of padding to `send` now so that a cluster does not stop; 0 mostly.

        Ask after each drain. Only once video has been sent is there anything to pad with; before that, do not answer.
        """
        now = self._clamp(now)
        cluster = self._cluster
        if self._closed or self._bytes:
            return 0
        if cluster is None:
            # A cluster with nothing to send begins with padding.
            return max(int(self._clusters[0][0].bitrate * PROBE_TICK / 8), PADDING_PACKET) if self._clusters else 0
        if now < self._cluster_due():
            return 0
        missing = max(cluster.size - self._cluster_bytes, PADDING_PACKET)
        return max(min(int(cluster.bitrate * PROBE_TICK / 8), missing), PADDING_PACKET)

    def take_dropped(self) -> list[PacedPacket]:
        """Return the packets that waited and were dropped since the last call, for whoever has to leave a gap for them.

        Video that `send` refused because a keyframe is missing is not among them: the gap is there already.
        """
        dropped = list(self._dropped_packets)
        self._dropped_packets.clear()
        return dropped

    def receive_datagram(self, datagram: PacedPacket, now: float) -> None:  # noqa: ARG002  the interface's
        """Nothing comes from the network here."""
        self._clamp(now)
        self._dropped["unexpected"] += 1

    # -- time --------------------------------------------------------------------------------------------------

    def handle_timer(self, now: float) -> None:
        """Let time pass; what may leave then comes out of the next drain."""
        now = self._clamp(now)
        if not self._timers.expire(now):
            return
        if self._cluster is not None or self._clusters:
            self._expire_clusters(now)
        if self._bytes:
            self._timers.set("send", now + PROBE_TICK)  # until the drain that follows
        else:
            self._schedule(now, after=True)

    def datagrams_to_send(self, now: float) -> list[PacedPacket]:
        """Return the packets whose turn it is."""
        now = self._clamp(now)
        out: list[PacedPacket] = []
        self._pay(now)
        for queue in self._urgent:
            while queue:
                packet = queue.popleft()
                self._debt += packet.size
                out.append(packet)
        if not self._bytes:
            if out:
                self._schedule(now)
            return out
        self._drop_late(now)
        self._pace = self._current_rate(now)
        while self._bytes and (self._cluster is not None or self._clusters):
            self._release_probe(out, now)
            if self._cluster is not None:
                break
        if self._cluster is None:
            self._release(out)
        self._schedule(now)
        return out

    def _pay(self, now: float) -> None:
        """Work off the debt."""
        most = self._rate * MAX_DEBT_TIME / 8
        self._debt = max(0.0, min(self._debt, most) - (now - self._debt_at) * self._pace / 8)
        self._debt_at = now

    def _release(self, out: list[PacedPacket]) -> None:
        allowed = self._pace * self._burst / 8 + 1.0  # a byte for what rounding leaves
        while self._bytes and self._debt <= allowed:
            packet = self._next()
            self._debt += packet.size
            out.append(packet)
            if packet.keyframe and not self._keyframe_packets:
                self._pace = self._rate
                allowed = self._pace * self._burst / 8 + 1.0

    def _current_rate(self, now: float) -> float:
        """The pacing rate, or less while a keyframe leaves that has time."""
        rate = self._rate
        if not self._keyframe_packets:
            return rate
        left = self._max_queue_time / 2 - self.queue_time(now)
        needed = self._bytes * 8 / left if left > 0 else rate
        return min(rate, max(rate * KEYFRAME_FACTOR, needed))

    def _release_probe(self, out: list[PacedPacket], now: float) -> None:
        """Send as a cluster at its bitrate, whatever the debt."""
        if self._cluster is None:
            self._cluster, _ = self._clusters.popleft()
            self._cluster_bytes = self._cluster_packets = 0
            self._cluster_began = now
        cluster = self._cluster
        while self._bytes and self._cluster_due() <= now:
            packet = self._next()
            packet.probe = cluster.id
            self._debt += packet.size
            self._cluster_bytes += packet.size
            self._cluster_packets += 1
            out.append(packet)
            if self._cluster_bytes >= cluster.size and self._cluster_packets >= cluster.packets:
                self._cluster = None
                return

    def _cluster_due(self) -> float:
        """When the next packets of the cluster may leave."""
        if self._cluster is None:
            return self._now
        return self._cluster_began + self._cluster_bytes * 8 / self._cluster.bitrate

    def _next(self) -> PacedPacket:
        """Take the next paced packet; there is one."""
        if self._retransmissions:
            packet = self._retransmissions.popleft()
        elif self._turn:
            video = self._turn.popleft()
            packet = video.packets.popleft()
            if video.packets:
                self._turn.append(video)
            self._keyframe_packets -= packet.keyframe
        else:
            packet = self._padding.popleft()
        self._bytes -= packet.size
        return packet

    # -- dropping ----------------------------------------------------------------------------------------------

    def _drop_late(self, now: float) -> None:
        """Keep the queue bounded in time."""
        oldest = now - self._max_queue_time
        for queue in (self._retransmissions, self._padding):
            while queue and queue[0].queued_at < oldest:
                self._lose(queue.popleft(), "late")
        for video in list(self._turn):
            behind = _keyframe_at_head(video.packets)
            if behind < len(video.packets) and video.packets[behind].queued_at < oldest:
                self._skip_to_keyframe(video, "video-late", now)

    def _skip_to_keyframe(self, video: _Video, reason: str, now: float) -> None:
        """Drop what waits up to the last keyframe; one that is leaving goes on, or it would be asked for again."""
        packets = list(video.packets)
        head = 0 if packets[0].first else _keyframe_at_head(video.packets)
        end = next((i for i in range(len(packets) - 1, head - 1, -1) if packets[i].keyframe and packets[i].first), None)
        if end is None:
            head = _keyframe_at_head(video.packets)
            end = len(packets)
            video.needs_keyframe = True
        if reason == "video-queue-full":
            head = 0  # whatever it is, it does not get through
        for packet in packets[head:end]:
            self._keyframe_packets -= packet.keyframe
            self._bytes -= packet.size
            self._dropped[reason] += 1
            self._dropped_packets.append(packet)
        video.packets = deque(packets[:head] + packets[end:])
        if not video.packets:
            self._turn.remove(video)
        if video.needs_keyframe:
            self._ask(video, now)

    def _ask(self, video: _Video, now: float) -> None:
        video.asked_at = now
        self._emit(KeyframeNeeded(video.stream))

    def _lose(self, packet: PacedPacket, why: str) -> None:
        if packet.kind > _AUDIO:
            self._bytes -= packet.size
        self._dropped[f"{_NAMES[packet.kind]}-{why}"] += 1
        self._dropped_packets.append(packet)

    # -- when next ---------------------------------------------------------------------------------------------

    def _expire_clusters(self, now: float) -> None:
        if self._cluster is not None and now >= self._cluster_began + CLUSTER_TIME:
            self._cluster = None
            self._dropped["probe-starved"] += 1
        while self._clusters and self._clusters[0][1] <= now:
            self._clusters.popleft()
            self._dropped["probe-starved"] += 1

    def _schedule(self, now: float, *, after: bool = False) -> None:
        """Say when to be drained next; with `after` later than now, because what is due is about to be drained."""
        due = float("inf")
        if self._urgent[0] or self._urgent[1]:
            due = now
        elif self._cluster is not None:
            # With nothing to send it is asked for padding, tick by tick.
            due = max(self._cluster_due(), now if self._bytes else now + STARVED_TICK)
            due = min(due, self._cluster_began + CLUSTER_TIME)
        elif self._bytes:
            # All of a burst at a time: a wake-up costs as much as some packets.
            debt = self._debt - (now - self._debt_at) * self._pace / 8
            due = now if self._clusters or debt <= self._pace * self._burst / 8 else now + debt * 8 / self._pace
        elif self._clusters:
            due = self._clusters[0][1]
        if after:
            due = max(due, now + PROBE_TICK)
        if due == float("inf"):
            self._timers.cancel("send")
        else:
            self._timers.set("send", due)

    def close(self, now: float) -> None:
        """End: what waits is dropped and counted."""
        self._clamp(now)
        if self._closed:
            return
        for queue in self._queues.values():
            while queue:
                self._lose(queue.popleft(), "closed")
        for video in self._videos.values():
            for packet in video.packets:
                self._lose(packet, "closed")
        self._closed = True
        self._videos.clear()
        self._turn.clear()
        self._clusters.clear()
        self._cluster = None
        self._keyframe_packets = 0
        self._timers.clear()
        self._emit(Closed())

    def _emit(self, event: PacerEvent) -> None:
        if event not in self._events:
            self._emit_bounded(event, MAX_PENDING_EVENTS, "events-full")


def _keyframe_at_head(packets: deque[PacedPacket]) -> int:
    """How many packets belong to the keyframe that the queue begins with; 0 if it begins with another frame."""
    count = 0
    for packet in packets:
        if not packet.keyframe or (packet.first and count):
            break
        count += 1
    return count


def _check_rate(rate: float) -> float:
    if not 0 < rate < float("inf"):
        raise LocalError(f"a rate of {rate} bit/s")
    return float(rate)
