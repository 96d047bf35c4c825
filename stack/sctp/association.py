"""An SCTP association as a machine: packets in, packets out, timers, the state machine of RFC 9260 section 4."""

from collections.abc import Callable
from typing import Final

from ..core import LocalError, ParseError, PeerError, RandomBytes
from ..core.crc32c import crc32c
from . import wire
from .context import (
    CLOSE_TIMER,
    HEARTBEAT_TIMER,
    MTU_TIMER,
    PROBE_TIMER,
    RECONFIG_TIMER,
    SACK_TIMER,
    T1,
    T2,
    T3,
    AbortAssociation,
    Config,
    Context,
    State,
)
from .events import Closed, Established, Event, MessageReceived, Restarted
from .handshake import Beginning, Handshake, Peer, PeerRestarted
from .heartbeat import Heartbeat
from .inbound import ITEM_OVERHEAD, Inbound
from .interface import Interface
from .outbound import Outbound
from .path_mtu import PathMtu
from .reconfig import Reconfig
from .shutdown import Shutdown

_unpack_chunk = wire.CHUNK.unpack_from
_unpack_checksum = wire.CHECKSUM.unpack_from
_USER_ABORT: Final = wire.serialize_parameter(wire.CAUSE_USER_ABORT)
_SETTING_UP: Final = frozenset({State.CLOSED, State.COOKIE_WAIT, State.COOKIE_ECHOED})

WINDOW_UPDATE_DELAY: Final = 0.001  # seconds: lets one SACK tell of many messages taken at once

_Handler = Callable[[bytes, int, int, int], None]


class Association(Interface):
    """One SCTP association over a single path, as WebRTC runs it over DTLS (RFC 8261).

    Both ends may call `associate`; the collision ends in one association. Messages may be sent before it is up.

    Args:
        random_bytes: Randomness for tags, TSNs, the cookie key and heartbeats.
        config: Settings.
        beginning: Verification tag and initial TSN, if the peer was told of them before.

    Source: RFC 9260, RFC 3758, RFC 6525, RFC 7496, RFC 9653.
    """

    def __init__(
        self,
        *,
        random_bytes: RandomBytes,
        config: Config = Config(),  # noqa: B008  it is frozen
        beginning: Beginning | None = None,
    ) -> None:
        super().__init__()
        self._config = config
        self._context = Context(config, random_bytes, self._timers, self._dropped, self._events)
        self._handshake = Handshake(self._context, self._on_agreed, self._on_established, beginning)
        self._outbound = Outbound(self._context, self._handshake.local_tsn)
        self._inbound: Inbound | None = None
        self._unread: tuple[bytes, int, int, float] | None = None  # a SACK: its packet, from where to where, and when
        self._unread_advance = -1  # what `Outbound.plain_advance` says of it
        self._unread_others = False  # whether it stands for earlier ones too
        self._sack_delayed = False  # whether `SACK_TIMER` may be armed
        self._data_kind = wire.DATA  # and what takes it
        self._receive_data: _Handler = self._receive_unwelcome_data
        self._reconfig: Reconfig | None = None
        self._terminated = False
        self._closing = False
        self._errors = 0  # association error counter (RFC 9260 section 8.1)
        self._shutdown = Shutdown(self._context, self._outbound)
        self._heartbeat = Heartbeat(self._context, self._outbound)
        self._path_mtu = PathMtu(self._context, self._outbound)
        self._expect_tag(self._handshake.local_tag)
        self._handlers: dict[int, _Handler] = {
            wire.DATA: self._receive_unwelcome_data,
            wire.I_DATA: self._receive_unwelcome_data,
            wire.INIT: self._receive_init_with_tag,
            wire.INIT_ACK: self._receive_init_ack,
            wire.HEARTBEAT: self._receive_heartbeat,
            wire.HEARTBEAT_ACK: self._receive_heartbeat_ack,
            wire.ABORT: self._receive_abort,
            wire.SHUTDOWN: self._receive_shutdown,
            wire.SHUTDOWN_ACK: self._receive_shutdown_ack,
            wire.ERROR: self._receive_error,
            wire.COOKIE_ECHO: self._receive_cookie_echo,
            wire.COOKIE_ACK: self._receive_cookie_ack,
            wire.SHUTDOWN_COMPLETE: self._receive_shutdown_complete,
            wire.RE_CONFIG: self._receive_reconfig,
            wire.PAD: lambda _data, _offset, _end, _flags: None,  # RFC 4820 section 3: it only fills
            wire.FORWARD_TSN: self._receive_forward_tsn,
            wire.I_FORWARD_TSN: self._receive_i_forward_tsn,
        }
        self._timer_handlers: dict[object, Callable[[float], None]] = {
            T1: self._on_t1,
            T2: self._on_t2,
            T3: self._on_t3,
            SACK_TIMER: self._on_sack_timer,
            RECONFIG_TIMER: self._on_reconfig_timer,
            HEARTBEAT_TIMER: self._on_heartbeat_timer,
            MTU_TIMER: self._on_mtu_timer,
            CLOSE_TIMER: self._on_close_timer,
        } | self._outbound.timer_handlers()

    def _expect_tag(self, tag: int) -> None:
        """Take packets with this verification tag from now on (RFC 9260 section 8.5)."""
        self._head = wire.PORTS_AND_TAG.pack(self._config.remote_port, self._config.local_port, tag)
        self._head_crc = crc32c(self._head + bytes(4))

    # Beginning and end

    def associate(self, now: float, remote: wire.Init | None = None) -> None:
        """Begin to set the association up. Harmless when the peer was faster.

        Args:
            now: Current time, seconds.
            remote: The INIT of the peer, if each side was told the other's in the descriptions: then it is up at once.

        Raises:
            LocalError: If it was closed.

        Source: RFC 9260 section 5.1, draft-hancke-tsvwg-snap-00 section 6.
        """
        self._clamp(now)
        if self._terminated:
            raise LocalError("closed")
        if self._context.state is State.CLOSED:
            if remote is None:
                self._handshake.start()
            else:
                self._handshake.skip(remote)

    def close(self, now: float) -> None:
        """Shut down in an orderly way: what is queued is sent first, within `Config.close_deadline`. Idempotent.

        Source: RFC 9260 section 9.2.
        """
        now = self._clamp(now)
        if self._terminated or self._closing:
            return
        self._read_sack()
        self._closing = True
        if self._context.state in _SETTING_UP:
            self._abort(None)
            return
        self._shutdown.begin(now)

    def abort(self, now: float, reason: str = "") -> None:
        """End at once: what is queued is lost, the peer gets an ABORT. Idempotent.

        Args:
            now: Current time, seconds.
            reason: Told to the peer, for people; at most 256 bytes of UTF-8 are sent.

        Source: RFC 9260 section 9.1.
        """
        self._clamp(now)
        if not self._terminated:
            self._abort(None, wire.serialize_parameter(wire.CAUSE_USER_ABORT, reason.encode()[:256]))

    def next_timer(self) -> float | None:
        """Return when `handle_timer` wants to be called, or None."""
        # The timer that finds losses at the tail comes soon enough for a SACK without news of any.
        if self._unread is not None and (self._unread_advance < 0 or PROBE_TIMER not in self._timers):
            self._read_sack()
        return super().next_timer()

    def next_event(self) -> Event | None:
        """Return the oldest event not yet taken, or None. Taking messages makes room in the receive window."""
        if not self._events:
            return None
        event = self._events.popleft()
        inbound = self._inbound
        if type(event) is not MessageReceived or inbound is None:
            return event
        if inbound.taken(len(event.data)) and not self._terminated:
            inbound.unacknowledged_packets += 1
            self._sack_delayed = True
            self._timers.set(SACK_TIMER, self._now + WINDOW_UPDATE_DELAY)
        return event

    # Packets in

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take one SCTP packet.

        Source: RFC 9260 section 6.8, section 6.10 and section 8.5.
        """
        if now > self._now:  # as `_clamp` does
            self._now = now
        if self._terminated:
            self._dropped["closed"] += 1
            return
        if len(datagram) < wire.HEADER_SIZE + 4:
            self._dropped["truncated"] += 1
            return
        if not datagram.startswith(self._head):
            self._receive_unusual(datagram)
            return
        checksum = _unpack_checksum(datagram, 8)[0]
        if checksum or not self._config.zero_checksum:
            body, offset = datagram[12:], 0
            if crc32c(body, self._head_crc) != checksum:
                self._dropped["bad-checksum"] += 1
                return
        else:  # RFC 9653 section 5.3: we announced that we accept it
            body, offset = datagram, 12
        stats = self._context.stats
        stats.packets_received += 1
        stats.bytes_received += len(datagram)
        self._receive_chunks(body, offset)

    def _receive_chunks(self, body: bytes, offset: int) -> None:
        """Process the chunks of a packet from `offset` on."""
        end, with_data = len(body), False
        try:
            while offset < end:
                if end - offset < 4:
                    self._dropped["truncated"] += 1
                    break
                kind, flags, length = _unpack_chunk(body, offset)
                stop = offset + length
                if length < 4 or stop > end:
                    self._dropped["bad-chunk-length"] += 1
                    break
                if kind == self._data_kind and self._context.receiving:
                    self._receive_data(body, offset + 4, stop, flags)
                    with_data = True
                elif kind == wire.SACK:
                    self._receive_sack(body, offset + 4, stop)
                elif not self._receive_control(kind, flags, body, offset, stop):
                    break
                offset = stop + 3 & ~3
        except AbortAssociation as error:
            self._abort(PeerError("sctp", error.reason), wire.serialize_parameter(error.cause, error.value))
            return
        if with_data and self._inbound is not None:
            self._inbound.unacknowledged_packets += 1
            if self._context.state is State.SHUTDOWN_SENT:  # RFC 9260 section 9.2: acknowledge and repeat the SHUTDOWN
                self._inbound.sack_now = self._shutdown.due = True

    def _receive_control(self, kind: int, flags: int, data: bytes, offset: int, end: int) -> bool:
        """Process one chunk that is neither DATA nor SACK; return whether to go on with the packet."""
        handler = self._handlers.get(kind)
        self._read_sack()
        if handler is None:
            return self._receive_unknown(kind, data, offset, end)
        try:
            handler(data, offset + 4, end, flags)
        except ParseError as error:
            self._dropped[error.reason] += 1
        return not self._terminated

    def _receive_unknown(self, kind: int, data: bytes, offset: int, end: int) -> bool:
        """The two highest bits of an unknown type say what to do (RFC 9260 section 3.2)."""
        self._dropped["unknown-chunk"] += 1
        if kind & 0x40 and self._handshake.peer_tag:
            cause = wire.serialize_parameter(wire.CAUSE_UNRECOGNIZED_CHUNK, data[offset:end])
            self._context.queue(wire.serialize_chunk(wire.ERROR, 0, cause))
        return bool(kind & 0x80)

    def _receive_unusual(self, datagram: bytes) -> None:
        """Take a packet without our verification tag.

        Source: RFC 9260 section 8.5.1.
        """
        self._read_sack()
        # Deviates: section 8.4 answers out of the blue packets; inside DTLS there is nobody else to be told.
        source, destination, tag, _ = wire.HEADER.unpack_from(datagram)
        if (source, destination) != (self._config.remote_port, self._config.local_port):
            self._dropped["wrong-port"] += 1
            return
        if crc32c(datagram[:8] + bytes(4) + datagram[12:]) != _unpack_checksum(datagram, 8)[0]:
            self._dropped["bad-checksum"] += 1
            return
        kind, flags, length = _unpack_chunk(datagram, wire.HEADER_SIZE)
        end = wire.HEADER_SIZE + length
        if length < 4 or end > len(datagram):
            self._dropped["bad-chunk-length"] += 1
            return
        start = wire.HEADER_SIZE + 4
        reflected = flags & wire.FLAG_TAG_REFLECTED and tag and tag == self._handshake.peer_tag
        try:
            if kind == wire.INIT and not tag:
                if (end + 3 & ~3) < len(datagram):  # RFC 9260 section 3.3.2: it is alone
                    self._dropped["bundled-init"] += 1
                else:
                    self._handshake.receive_init(datagram, start, end, self._now)
            elif kind == wire.COOKIE_ECHO:
                if self._take_cookie(datagram, start, end, tag):
                    self._receive_chunks(datagram, end + 3 & ~3)
            elif kind == wire.ABORT and reflected:
                self._receive_abort(datagram, start, end, flags)
            elif kind == wire.SHUTDOWN_COMPLETE and reflected:
                self._receive_shutdown_complete(datagram, start, end, flags)
            else:
                self._dropped["bad-verification-tag"] += 1
        except ParseError as error:
            self._dropped[error.reason] += 1

    # Chunks

    def _receive_unwelcome_data(self, _data: bytes, _offset: int, _end: int, _flags: int) -> None:
        """DATA or I-DATA before there is an association, after the end, or of the kind that was not agreed on."""
        if self._inbound is not None and self._context.receiving:
            raise AbortAssociation("wrong-kind-of-data", wire.CAUSE_PROTOCOL_VIOLATION)  # RFC 8260 section 2.2.3
        raise ParseError("unexpected-chunk", "DATA")

    def _receive_init_with_tag(self, _data: bytes, _offset: int, _end: int, _flags: int) -> None:
        raise ParseError("bad-verification-tag", "INIT")

    def _receive_init_ack(self, data: bytes, offset: int, end: int, _flags: int) -> None:
        self._handshake.receive_init_ack(data, offset, end)

    def _receive_cookie_echo(self, data: bytes, offset: int, end: int, _flags: int) -> None:
        self._take_cookie(data, offset, end, self._handshake.local_tag)

    def _take_cookie(self, data: bytes, offset: int, end: int, tag: int) -> bool:
        """Process a cookie; return whether it restarted the association, so that what follows it belongs to that."""
        try:
            self._handshake.receive_cookie_echo(data, offset, end, tag, self._now)
        except PeerRestarted as restart:
            if not self._config.accept_restart:
                self._abort(PeerError("sctp", "peer-restarted"))
                return False
            self._expect_tag(restart.cookie.local_tag)
            self._shutdown.forget()
            self._handshake.restart(restart.cookie)
            if self._closing:
                self._shutdown.begin(self._now)
            else:
                self._timers.cancel(CLOSE_TIMER)
            return True
        return False

    def _receive_cookie_ack(self, _data: bytes, _offset: int, _end: int, _flags: int) -> None:
        self._handshake.receive_cookie_ack()

    def _receive_sack(self, data: bytes, offset: int, end: int) -> None:
        """Keep a SACK until it matters what it says: not before the answer of the application has left, mostly.

        Deviates: RFC 9260 section 6.2.1 processes each; of plain ones that wait the last is processed for all.
        """
        if self._inbound is None:
            self._dropped["unexpected-chunk"] += 1
            return
        waiting = self._reconfig is not None and self._reconfig.waiting
        advance = -1 if waiting else self._outbound.plain_advance(data, offset, end)
        if self._unread is not None:
            if 0 <= self._unread_advance < advance:
                self._unread_others = True
            else:
                self._read_sack()
                advance = -1 if waiting else self._outbound.plain_advance(data, offset, end)
        self._unread = (data, offset, end, self._now)
        self._unread_advance = advance

    def _read_sack(self) -> None:
        """Process the SACK that waits for it, if there is one."""
        if self._unread is None:
            return
        data, offset, end, then = self._unread
        others, self._unread, self._unread_others = self._unread_others, None, False
        try:
            if self._outbound.receive_sack(data, offset, end, then, others=others):
                self._errors = 0
        except ParseError as error:
            self._dropped[error.reason] += 1

    def _receive_heartbeat(self, data: bytes, offset: int, end: int, _flags: int) -> None:
        if self._inbound is None:
            raise ParseError("unexpected-chunk", "HEARTBEAT")
        self._context.queue(wire.serialize_chunk(wire.HEARTBEAT_ACK, 0, data[offset:end]))

    def _receive_heartbeat_ack(self, data: bytes, offset: int, end: int, _flags: int) -> None:
        if not self._path_mtu.receive_ack(data[offset:end]):
            self._heartbeat.receive_ack(data[offset:end], self._now)
        self._errors = 0

    def _receive_abort(self, data: bytes, offset: int, end: int, _flags: int) -> None:
        if self._context.state is State.CLOSED:
            raise ParseError("unexpected-chunk", "ABORT")
        self._terminate(PeerError("sctp", "aborted-by-peer", wire.describe_causes(data, offset, end)))

    def _receive_error(self, data: bytes, offset: int, end: int, _flags: int) -> None:
        causes = wire.parse_causes(data, offset, end)
        if self._context.state is State.COOKIE_ECHOED and any(kind == wire.CAUSE_STALE_COOKIE for kind, _ in causes):
            # Deviates: section 5.2.6 lets us try again; a cookie is stale only after a minute, and by then T1 gave up.
            self._terminate(PeerError("sctp", "stale-cookie"))

    def _receive_shutdown(self, data: bytes, offset: int, end: int, _flags: int) -> None:
        if self._inbound is None:
            raise ParseError("unexpected-chunk", "SHUTDOWN")
        self._shutdown.receive(data, offset, end, self._now)

    def _receive_shutdown_ack(self, _data: bytes, _offset: int, _end: int, _flags: int) -> None:
        if self._context.state not in {State.SHUTDOWN_SENT, State.SHUTDOWN_ACK_SENT}:
            raise ParseError("unexpected-chunk", "SHUTDOWN ACK")
        tag = self._handshake.peer_tag
        self._terminate(None)
        self._context.queue_alone(wire.serialize_chunk(wire.SHUTDOWN_COMPLETE, 0), tag)

    def _receive_shutdown_complete(self, _data: bytes, _offset: int, _end: int, _flags: int) -> None:
        if self._context.state is not State.SHUTDOWN_ACK_SENT:
            raise ParseError("unexpected-chunk", "SHUTDOWN COMPLETE")
        self._terminate(None)

    def _receive_reconfig(self, data: bytes, offset: int, end: int, _flags: int) -> None:
        if self._reconfig is None:
            raise ParseError("unexpected-chunk", "RE-CONFIG")
        self._reconfig.receive(data, offset, end)

    def _forwardable(self, *, interleaving: bool) -> Inbound:
        """Return what takes a FORWARD-TSN or, with interleaving, an I-FORWARD-TSN (RFC 8260 section 2.3.1)."""
        inbound = self._inbound
        if inbound is None or not self._context.receiving:
            raise ParseError("unexpected-chunk", "FORWARD-TSN")
        if inbound.interleaving != interleaving:
            raise AbortAssociation("wrong-kind-of-data", wire.CAUSE_PROTOCOL_VIOLATION)
        return inbound

    def _receive_forward_tsn(self, data: bytes, offset: int, end: int, _flags: int) -> None:
        self._forwardable(interleaving=False).receive_forward_tsn(*wire.parse_forward_tsn(data, offset, end))

    def _receive_i_forward_tsn(self, data: bytes, offset: int, end: int, _flags: int) -> None:
        self._forwardable(interleaving=True).receive_i_forward_tsn(*wire.parse_i_forward_tsn(data, offset, end))

    # Packets out

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Build the packets that may leave now: answers and SACK first, then data, as many as the windows allow.

        Source: RFC 9260 section 6.1, section 6.2 and section 6.10.
        """
        if now > self._now:  # as `_clamp` does
            self._now = now
        now, context = self._now, self._context
        writer = context.writer
        if self._handshake.due and not self._terminated and self._handshake.transmit(now) and self._config.early_data:
            self._outbound.transmit_early(writer, now, again=self._handshake.repeated)
        if context.alone:
            for chunk, tag in context.alone:
                writer.alone(chunk, tag)
            context.alone.clear()
        inbound = self._inbound
        if inbound is not None and not self._terminated:
            self._transmit(inbound, now)
        packets = writer.take()
        if packets:
            context.stats.packets_sent += len(packets)
            context.stats.bytes_sent += sum(map(len, packets))
        return packets

    def _transmit(self, inbound: Inbound, now: float) -> None:
        context, outbound = self._context, self._outbound
        anyway = outbound.sends_anyway and context.state is State.ESTABLISHED
        if self._unread is not None and not anyway:
            self._read_sack()
        writer = context.writer
        sending = context.sending
        if inbound.sack_now or inbound.unacknowledged_packets:
            # RFC 9260 section 6.2: at least every second packet, at once beyond gaps, and with data that goes anyway.
            if inbound.sack_now or inbound.unacknowledged_packets > 1 or anyway or (sending and outbound.can_send):
                writer.add(inbound.sack())
                if self._sack_delayed:
                    self._sack_delayed = False
                    self._timers.cancel(SACK_TIMER)
            else:
                self._sack_delayed = True
                self._timers.set_default(SACK_TIMER, now + self._config.delayed_ack)
        if context.control:
            for chunk in context.control:
                writer.add(chunk)
            context.control.clear()
        if sending:  # RFC 9260 section 6.10: control chunks first; usrsctp aborts when one follows DATA
            if self._reconfig is not None:
                request = self._reconfig.transmit(now)
                if request is not None:
                    writer.add(request)
            if self._path_mtu.searching or outbound.vanished:
                self._path_mtu.transmit(now)
            outbound.transmit(now, writer, anyway=anyway)
        if context.state is not State.ESTABLISHED:
            self._shutdown.transmit(inbound, now)

    # Timers

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        now = self._clamp(now)
        self._read_sack()
        for name in self._timers.expire(now):
            if not self._terminated:
                self._timer_handlers[name](now)

    def _on_t1(self, _now: float) -> None:
        if self._handshake.handle_t1():
            self._terminate(PeerError("sctp", "handshake-timeout"))

    def _on_t2(self, _now: float) -> None:
        self._shutdown.handle_t2()
        self._count_error()

    def _on_t3(self, now: float) -> None:
        if self._outbound.handle_t3(now):
            self._count_error()

    def _on_sack_timer(self, _now: float) -> None:
        if self._inbound is not None:
            self._inbound.sack_now = True

    def _on_reconfig_timer(self, _now: float) -> None:
        if self._reconfig is not None and self._reconfig.handle_timer():
            self._count_error()

    def _on_heartbeat_timer(self, now: float) -> None:
        if self._heartbeat.handle_timer(now):
            self._count_error()

    def _on_mtu_timer(self, _now: float) -> None:
        self._path_mtu.handle_timer()

    def _on_close_timer(self, _now: float) -> None:
        """The shutdown took too long.

        Deviates: RFC 9260 section 9.2 goes on as long as the peer answers; section 9.1 allows an ABORT at any time.
        """
        self._abort(None)

    def _count_error(self) -> None:
        """Count towards Association.Max.Retrans (RFC 9260 section 8.1)."""
        self._errors += 1
        if self._errors > self._config.association_max_retransmits:
            self._terminate(PeerError("sctp", "peer-unreachable"))

    # The ends

    def _on_agreed(self, peer: Peer) -> None:
        self._outbound.agree(
            streams=min(self._config.outbound_streams, peer.inbound_streams),
            a_rwnd=peer.a_rwnd,
            partial_reliability=peer.forward_tsn,
            interleaving=peer.interleaving,
        )

    def _on_established(self, peer: Peer) -> None:
        context, outbound = self._context, self._outbound
        restarted = self._inbound is not None
        if restarted:  # what it has not acknowledged it will never: RFC 9260 section 5.2.4.1
            outbound.restart(self._handshake.local_tsn)
            self._errors = 0
            if self._reconfig is not None:
                self._reconfig.restart()
        self._on_agreed(peer)
        inbound_streams = min(self._config.inbound_streams, peer.outbound_streams)
        inbound = Inbound(context, peer.initial_tsn, inbound_streams, interleaving=peer.interleaving)
        # Messages that nobody has taken yet count in the window of the new association too.
        inbound.held = sum(len(e.data) + ITEM_OVERHEAD for e in self._events if isinstance(e, MessageReceived))
        self._inbound = inbound
        self._data_kind = wire.I_DATA if peer.interleaving else wire.DATA
        self._receive_data = inbound.receive_i_data if peer.interleaving else inbound.receive_data
        self._timers.cancel(SACK_TIMER)
        self._timers.cancel(RECONFIG_TIMER)
        self._reconfig = Reconfig(context, outbound, inbound, self._handshake.local_tsn, peer)
        self._heartbeat.start(self._now)
        kind = Restarted if restarted else Established
        self._events.append(kind(outbound.streams, inbound_streams))

    def _abort(self, error: PeerError | None, cause: bytes = _USER_ABORT) -> None:
        """Tell the peer and end (RFC 9260 section 9.1)."""
        tag = self._handshake.peer_tag
        self._terminate(error)
        if tag:
            self._context.queue_alone(wire.serialize_chunk(wire.ABORT, 0, cause), tag)

    def _terminate(self, error: PeerError | None) -> None:
        if self._terminated:
            return
        self._terminated = True
        self._unread = None
        if self._context.state is not State.CLOSED:
            self._context.enter(State.CLOSED)
        self._context.alone.clear()
        self._context.control.clear()
        self._timers.clear()
        self._events.append(Closed(error))
