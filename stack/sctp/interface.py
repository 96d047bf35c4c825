"""What the user of an association sees and commands, but for its beginning and its end."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable

from ..core import LocalError, Machine
from .context import MAX_STREAMS, T1, T2, Config, Context, State, Stats
from .events import Event
from .inbound import Inbound
from .outbound import Outbound
from .path_mtu import PathMtu
from .reconfig import Reconfig
from .streams import DEFAULT_PRIORITY, Message


class Interface(Machine[bytes, bytes, Event]):
    """The part of `Association` that does not look at packets."""

    _closing: bool
    _config: Config
    _context: Context
    _errors: int
    _inbound: Inbound | None
    _outbound: Outbound
    _reconfig: Reconfig | None
    _path_mtu: PathMtu
    _terminated: bool

    @abstractmethod
    def _read_sack(self) -> None: ...

    @property
    def _informed(self) -> Outbound:
        """The sending half, once it knows what the peer has acknowledged."""
        self._read_sack()
        return self._outbound

    @property
    def dropped(self) -> Counter[str]:
        """How many inputs were dropped, by reason."""
        self._read_sack()
        return self._dropped

    @property
    def state(self) -> State:
        """Where the association stands."""
        return self._context.state

    @property
    def stats(self) -> Stats:
        """Counters; live, not a copy."""
        self._read_sack()
        return self._context.stats

    @property
    def cwnd(self) -> int:
        """Congestion window, bytes."""
        return self._informed.congestion.cwnd

    @property
    def ssthresh(self) -> int:
        """Slow start threshold, bytes."""
        return self._informed.congestion.ssthresh

    @property
    def srtt(self) -> float | None:
        """Smoothed round trip time, seconds; None before the first measurement."""
        return self._informed.rto.srtt

    @property
    def rto(self) -> float:
        """Retransmission timeout, seconds."""
        return self._informed.rto.rto

    @property
    def outstanding_bytes(self) -> int:
        """Bytes in flight, chunk headers included."""
        return self._informed.flight

    @property
    def peer_rwnd(self) -> int:
        """The peer's advertised receive window, bytes."""
        return self._informed.peer_rwnd

    @property
    def packet_size(self) -> int:
        """Largest SCTP packet that is sent now, bytes: `Config.max_packet_size`, or what the path is known to carry."""
        return self._context.packet_size

    @property
    def total_buffered(self) -> int:
        """Bytes of messages not sent for the first time yet, over all streams."""
        return self._outbound.scheduler.buffered

    @property
    def outbound_streams(self) -> int:
        """Stream ids below this can be sent on: the wish until the association is up, then what was agreed."""
        return self._outbound.streams

    @property
    def sends_zero_checksum(self) -> bool:
        """Whether packets leave without a checksum, as agreed with the peer (RFC 9653)."""
        return self._context.writer.zero_checksum

    def can_buffer(self, size: int) -> bool:
        """Tell whether `send` has room for a message of `size` bytes now."""
        return self._outbound.scheduler.has_room(size)

    def buffered_amount(self, stream_id: int, *, besides: int | None = None) -> int:
        """Return the bytes of the stream's messages that were not sent for the first time yet.

        Args:
            stream_id: Which stream.
            besides: Payload protocol identifier of a message that does not count while it is the next one: that of a
                protocol which opens the stream before its user has it.
        """
        stream = self._outbound.scheduler.streams.get(stream_id)
        if stream is None or not stream.buffered:
            return 0
        first = stream.current or (stream.queue[0] if stream.queue else None)
        if first is None or first.ppid != besides:
            return stream.buffered
        return stream.buffered - (len(first.data) - first.offset)

    def send(
        self,
        stream_id: int,
        ppid: int,
        data: bytes,
        now: float,
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        lifetime: float | None = None,
        priority: int = DEFAULT_PRIORITY,
        replace_key: Hashable = None,
    ) -> None:
        """Queue a message. It leaves with the drains that follow, as the windows allow.

        Args:
            stream_id: Outgoing stream.
            ppid: Payload protocol identifier, 32 bits.
            data: 1 byte or more.
            now: Current time, seconds.
            ordered: Whether it is delivered in order within its stream.
            max_retransmits: How often a fragment may be sent again before the message is given up.
            lifetime: Seconds after which the message is given up.
            priority: Weight of the stream against others that have something to send.
            replace_key: If a message of this stream with an equal key still waits, none of it sent, this one takes its
                place in the queue, with its own options. None replaces nothing and is never replaced.

        Raises:
            LocalError: `closed`, `closing`, `no-such-stream`, `stream-resetting`, `empty-message`, `bad-argument`,
                `send-buffer-full`.

        Source: RFC 9260 section 11.1.5, RFC 7496 section 3.
        """
        if now > self._now:  # as `_clamp` does
            self._now = now
        now = self._now
        if self._terminated or self._closing or self._context.state is State.SHUTDOWN_RECEIVED:
            raise LocalError("closed" if self._terminated else "closing")
        if not 0 <= stream_id < self._outbound.streams:
            raise LocalError("no-such-stream")
        if not data:
            raise LocalError("empty-message")
        if not 0 <= ppid <= 0xFFFFFFFF or priority < 1 or not (replace_key is None or _is_hashable(replace_key)):
            raise LocalError("bad-argument")
        if (max_retransmits is not None and max_retransmits < 0) or (lifetime is not None and not lifetime >= 0):
            raise LocalError("bad-argument")
        scheduler = self._outbound.scheduler
        known = scheduler.streams.get(stream_id)
        if known is not None and known.resetting:
            raise LocalError("stream-resetting")
        old = None if replace_key is None else scheduler.waiting(stream_id, replace_key)
        if not (scheduler.has_room(len(data)) if old is None else scheduler.has_room_instead(old, len(data))):
            raise LocalError("send-buffer-full")
        stream = known or scheduler.stream(stream_id)
        expires = None if lifetime is None else now + lifetime
        message = Message(stream, ppid, bytes(data), ordered, max_retransmits, expires, priority, replace_key)
        if old is None:
            scheduler.push(message)
        else:
            scheduler.replace(old, message)

    def reset_streams(self, stream_ids: Iterable[int], now: float) -> None:
        """Reset outgoing streams once all they were given is acknowledged; `OutgoingStreamsReset` tells the outcome.

        Until then nothing can be sent on them. A stream that is being reset already is left out.

        Raises:
            LocalError: `not-established` or `no-such-stream`.

        Source: RFC 6525 section 5.1.2.
        """
        self._clamp(now)
        self._read_sack()
        wanted = list(dict.fromkeys(stream_ids))
        if self._reconfig is None or not self._context.sending:
            raise LocalError("not-established")
        if any(not 0 <= stream_id < self._outbound.streams for stream_id in wanted):
            raise LocalError("no-such-stream")
        streams = self._outbound.scheduler.streams
        self._reconfig.reset([i for i in wanted if i not in streams or not streams[i].resetting])

    def add_streams(self, now: float, *, outgoing: int = 0, incoming: int = 0) -> None:
        """Ask the peer for more streams; `StreamsAdded` tells the outcome.

        Args:
            now: Current time, seconds.
            outgoing: How many more to send on.
            incoming: How many more to receive on.

        Raises:
            LocalError: `not-established`, `bad-argument`, or `too-many-streams`: more than the 65535 that there are.

        Source: RFC 6525 section 5.1.5 and section 5.1.6.
        """
        self._clamp(now)
        self._read_sack()
        if self._reconfig is None or self._inbound is None or not self._context.sending:
            raise LocalError("not-established")
        if outgoing < 0 or incoming < 0:
            raise LocalError("bad-argument")
        more_out, more_in = self._reconfig.asked
        if (
            self._outbound.streams + more_out + outgoing > MAX_STREAMS
            or self._inbound.streams + more_in + incoming > MAX_STREAMS
        ):
            raise LocalError("too-many-streams")
        self._reconfig.add(outgoing, incoming)

    def path_changed(self, now: float) -> None:
        """Forget what is known of the path, which is another one from now on, and do not wait for its slow timers."""
        now = self._clamp(now)
        self._read_sack()
        self._errors = 0
        self._path_mtu.restart()
        self._outbound.path_changed()
        for name in (T1, T2):
            if name in self._timers:
                self._timers.set(name, now)


def _is_hashable(key: object) -> bool:
    try:
        hash(key)
    except TypeError:
        return False
    return True
