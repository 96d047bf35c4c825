"""A DTLS 1.2 connection: the machine around the handshake and the record layer."""

from collections.abc import Callable, Sequence
from typing import Final, Literal

from ..core import DropPacket, LocalError, Machine, ParseError, PeerError, RandomBytes
from ..core.machine import check_seconds
from .certificate import Certificate, Fingerprint
from .client import ClientHandshake
from .config import Closed, Config, ConnectionState, Event, HandshakeCompleted
from .flights import RETRANSMIT, FlightSender
from .handshake import Handshake, HandshakeFailure
from .reassembly import Fragment, Message, Reassembler, parse_fragments
from .record import RecordWriter, Unprotect, UnprotectRun, new_reader, new_writer
from .server import ServerHandshake
from .wire import (
    DTLS_1_0,
    DTLS_1_2,
    EPOCH_SHIFT,
    HEADER,
    HEADER_SIZE,
    MAX_PLAINTEXT,
    Alert,
    AlertLevel,
    ContentType,
    HandshakeType,
    alert_name,
)

# Datagrams kept from before `start`: a client's hello is two of them, and is repeated every second.
MAX_HELD_DATAGRAMS: Final = 8
# Records of the epoch that has not begun: a Finished that overtook, and data right behind it.
MAX_FUTURE_RECORDS: Final = 16
# RFC 5705 section 4 keeps these for TLS itself.
_RESERVED_LABELS: Final = frozenset({b"client finished", b"server finished", b"master secret", b"key expansion"})
_GIVE_UP: Final = "give-up"

_unpack_header = HEADER.unpack_from
_CONTENT_TYPES: Final = frozenset(int(kind) for kind in ContentType)
_APPLICATION_DATA: Final = int(ContentType.APPLICATION_DATA)
_HANDSHAKE: Final = int(ContentType.HANDSHAKE)
_ALERT: Final = int(ContentType.ALERT)
_MAX_CIPHERTEXT: Final = MAX_PLAINTEXT + 1024  # RFC 5246 section 6.2.3


_CONNECTED: Final = ConnectionState.CONNECTED


def _no_keys_yet(_record: bytes, _content_type: int, _number: int) -> bytes:
    raise DropPacket("unexpected-epoch")


class Connection(Machine[bytes, bytes, Event]):
    """One end of a DTLS 1.2 association over one path.

    Args:
        role: `client` speaks first, `server` waits.
        certificate: Ours; both ends show one (RFC 8827 section 6.5).
        random_bytes: Source of randomness.
        config: Settings.
        remote_fingerprints: The peer's certificate must match one of these (RFC 8122 section 6.2). None if they are
            not known yet: the handshake does not complete until `set_remote_fingerprints`.
        keylog: Receives lines in the format of NSS key logs, which reveal the secrets; for debugging.

    Raises:
        LocalError: If the role is neither.
    """

    def __init__(
        self,
        role: Literal["client", "server"],
        *,
        certificate: Certificate,
        random_bytes: RandomBytes,
        config: Config = Config(),  # noqa: B008  frozen
        remote_fingerprints: Sequence[Fingerprint] | None = None,
        keylog: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        if role not in {"client", "server"}:
            raise LocalError(f"role must be client or server, not {role!r}")
        self._role = role
        self._config = config
        kind = ClientHandshake if role == "client" else ServerHandshake
        self._handshake: Handshake = kind(certificate, config, random_bytes, remote_fingerprints, keylog)
        self._fingerprints = None if remote_fingerprints is None else tuple(remote_fingerprints)
        self._state = ConnectionState.NEW
        self._handshake_complete = False
        self._over = False
        self._flights = FlightSender(self._timers, config.mtu, config.initial_timeout, config.max_timeout)
        self._reassembler = Reassembler()
        self._repeat_on = -1  # message_seq whose repetition means that our flight was lost
        self._writers: list[RecordWriter] = [RecordWriter()]
        self._write_epoch = 0
        self._unprotect: Unprotect = _no_keys_yet
        self._unprotect_run: UnprotectRun | None = None
        self._read_epoch = 0
        self._read_keys: tuple[bytes, bytes] | None = None
        self._change_cipher_spec_seen = False
        self._held: list[bytes] = []
        self._future: list[bytes] = []
        self._received: list[bytes] = []
        self._received_bytes = 0
        self._max_received = config.max_pending_application_data
        self._max_received_bytes = config.max_pending_application_bytes
        self._max_queued = config.max_queued_application_data
        self._queued: list[bytes] = []
        self._refuse_renegotiation = False
        self._last_alert: bytes | None = None

    @property
    def role(self) -> Literal["client", "server"]:
        """Which end this is."""
        return self._role

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands."""
        return self._state

    @property
    def handshake_complete(self) -> bool:
        """Whether `HandshakeCompleted` was reported; stays true after closing."""
        return self._handshake_complete

    @property
    def cipher_suite(self) -> int | None:
        """Number of the negotiated cipher suite, or None before there is one."""
        suite = self._handshake.suite
        return None if suite is None else suite.id

    @property
    def srtp_profile(self) -> int | None:
        """Negotiated SRTP protection profile, or None."""
        return self._handshake.srtp_profile

    @property
    def application_protocol(self) -> str | None:
        """Application protocol negotiated by ALPN, or None."""
        return self._handshake.application_protocol

    @property
    def peer_certificate(self) -> bytes | None:
        """The peer's certificate in DER, or None; not verified before `handshake_complete`."""
        return self._handshake.peer_certificate

    @property
    def record_overhead(self) -> int | None:
        """Bytes that a datagram of application data grows by, or None before the keys are known."""
        return self._writers[1].overhead if len(self._writers) > 1 else None

    def set_initial_timeout(self, seconds: float) -> None:
        """Set the first retransmission timeout, for example to twice the round-trip time that ICE has measured.

        Args:
            seconds: Replaces `Config.initial_timeout`.

        Raises:
            LocalError: If the handshake has begun or the value is not positive.
        """
        check_seconds("initial timeout", seconds)
        if self._state is not ConnectionState.NEW:
            raise LocalError("the handshake has begun")
        self._flights.initial_timeout = seconds

    def set_remote_fingerprints(self, fingerprints: Sequence[Fingerprint], now: float) -> None:
        """Say what the peer's certificate must match; a handshake that waited for it completes or fails.

        Raises:
            LocalError: If other fingerprints were set before, or the connection is over.
        """
        now = self._clamp(now)
        self._check_open()
        fingerprints = tuple(fingerprints)
        if self._fingerprints is not None:
            if fingerprints != self._fingerprints:
                raise LocalError("the peer's fingerprints cannot change within a connection")
            return
        self._fingerprints = fingerprints
        try:
            self._handshake.set_remote_fingerprints(fingerprints)
        except HandshakeFailure as failure:
            self._fail(failure)
            return
        self._after_handshake(now)

    def start(self, now: float) -> None:
        """Begin the handshake: the client sends its hello, the server takes up what has arrived already.

        Raises:
            LocalError: If it has begun, or the connection is over.
        """
        now = self._clamp(now)
        self._check_open()
        if self._state is not ConnectionState.NEW:
            raise LocalError("the handshake has begun")
        self._state = ConnectionState.CONNECTING
        self._timers.set(_GIVE_UP, now + self._config.handshake_timeout)
        self._handshake.start()
        self._after_handshake(now)
        held, self._held = self._held, []
        for datagram in held:
            self.receive_datagram(datagram, now)

    def send(self, data: bytes, now: float) -> None:
        """Queue one datagram of application data; it leaves as one record in one datagram.

        Args:
            data: At most 2**14 bytes (RFC 5246 section 6.2.1).
            now: Seconds.

        Raises:
            LocalError: If the handshake is not complete, the data is too long, or the queue is full because nobody
                drains it.
        """
        self.send_batch((data,), now)

    def send_batch(self, batch: Sequence[bytes], now: float) -> None:
        """Queue datagrams of application data, all or none.

        Args:
            batch: What `send` takes, in order.
            now: Seconds.

        Raises:
            LocalError: What `send` raises.
        """
        if now > self._now:  # as `_clamp` does
            self._now = now
        if self._state is not _CONNECTED:
            raise LocalError(f"cannot send while {self._state}")
        for data in batch:
            if len(data) > MAX_PLAINTEXT:
                raise LocalError(f"at most {MAX_PLAINTEXT} bytes fit in a record, not {len(data)}")
        if len(self._queued) + len(batch) > self._max_queued:
            raise LocalError("too much application data is waiting to be drained")
        self._queued += batch

    def take_application_data(self) -> list[bytes]:
        """Return the application data received since the last call, one item per record, oldest first."""
        if not self._handshake_complete:
            return []
        received, self._received, self._received_bytes = self._received, [], 0
        return received

    def export_keying_material(self, label: bytes | str, length: int, context: bytes | None = None) -> bytes:
        """Return keying material bound to this connection, RFC 5705 section 4.

        Args:
            label: Who asks, for example `EXTRACTOR-dtls_srtp`.
            length: Bytes wanted.
            context: Further input; an empty one differs from None.

        Raises:
            LocalError: If the handshake is not complete, or an argument is not allowed.
        """
        keys = self._handshake.keys
        if not self._handshake_complete or keys is None:
            raise LocalError("the handshake is not complete")
        raw = label.encode() if isinstance(label, str) else label
        if raw in _RESERVED_LABELS:
            raise LocalError(f"label {label!r} is reserved")
        if length <= 0 or (context is not None and len(context) > 0xFFFF):
            raise LocalError("length must be positive and the context shorter than 2**16 bytes")
        return keys.export(raw, length, context)

    def close(self, now: float) -> None:
        """End the connection: a close_notify alert is the last datagram (RFC 5246 section 7.2.1). Idempotent."""
        self._clamp(now)
        if not self._over:
            self._end(None, None if self._state is ConnectionState.NEW else Alert.CLOSE_NOTIFY)

    def next_event(self) -> Event | None:
        """Return the oldest event not yet taken, or None. Datagrams not drained before `Closed` are lost."""
        event = super().next_event()
        if isinstance(event, Closed):
            self._flights.clear()
            self._queued.clear()
            self._last_alert = None
        return event

    def handle_timer(self, now: float) -> None:
        """Retransmit, or give up."""
        now = self._clamp(now)
        for name in self._timers.expire(now):
            if name == _GIVE_UP:
                self._end(PeerError("dtls", "timeout", f"in {self._handshake.state}"), None)
                return
            if name == RETRANSMIT:
                self._flights.handle_timeout(now)

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return the datagrams that must leave: handshake flights, application data, alerts, in this order."""
        if now > self._now:  # as `_clamp` does
            self._now = now
        datagrams = self._flights.datagrams(self._writers) if self._flights.due else []
        if self._queued:
            queued, self._queued = self._queued, []
            writer = self._writers[1]
            datagrams += writer.protect(_APPLICATION_DATA, queued)
            if writer.number >= writer.end and self._state is _CONNECTED:
                self._end(PeerError("dtls", "sequence-exhausted"), Alert.CLOSE_NOTIFY)
        if self._refuse_renegotiation:
            self._refuse_renegotiation = False
            datagrams += self._writers[1].protect(_ALERT, [bytes((AlertLevel.WARNING, Alert.NO_RENEGOTIATION))])
        if self._last_alert is not None:
            datagrams += self._writers[self._write_epoch].protect(_ALERT, [self._last_alert])
            self._last_alert = None
        return datagrams

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take one datagram: one record or several (RFC 6347 section 4.1.1)."""
        if now > self._now:  # as `_clamp` does
            self._now = now
        size = len(datagram)
        # One record of application data that fills its datagram is what bulk transfer consists of: the short way.
        if self._handshake_complete and size >= HEADER_SIZE and not self._over:
            kind, version, number, length = _unpack_header(datagram, 0)
            if kind == _APPLICATION_DATA and version == DTLS_1_2 and length + HEADER_SIZE == size:
                try:
                    self._keep(self._unprotect(datagram, kind, number))
                except DropPacket as drop:
                    self.dropped[drop.reason] += 1
                return
        if self._over:
            self.dropped["closed"] += 1
        elif not datagram:
            self.dropped["empty"] += 1
        elif self._state is ConnectionState.NEW:
            self._hold(datagram)
        else:
            self._receive_records(datagram, self._now)

    def receive_batch(self, datagrams: Sequence[bytes], now: float) -> None:
        """Take what a socket had, in order; faster than one by one where it is application data."""
        now = self._clamp(now)
        at = 0
        while at < len(datagrams):
            if self._unprotect_run is not None and self._handshake_complete and not self._over:
                contents, done = self._unprotect_run(datagrams[at:] if at else datagrams, self.dropped)
                for content in contents:
                    self._keep(content)
                at += done
                if at == len(datagrams):
                    return
            self.receive_datagram(datagrams[at], now)
            at += 1

    def _receive_records(self, datagram: bytes, now: float) -> None:
        offset, size = 0, len(datagram)
        while offset < size and not self._over:
            start = offset
            if size - start < HEADER_SIZE:
                self.dropped["truncated"] += 1
                return
            kind, version, number, length = _unpack_header(datagram, start)
            offset = start + HEADER_SIZE + length
            if kind not in _CONTENT_TYPES:
                self.dropped["bad-content-type"] += 1
                return
            if offset > size:
                self.dropped["truncated"] += 1
                return
            epoch = number >> EPOCH_SHIFT
            if version != DTLS_1_2 and (version != DTLS_1_0 or epoch):
                self.dropped["bad-version"] += 1
            elif epoch != self._read_epoch:
                self._on_other_epoch(kind, epoch, datagram[start:offset])
            elif epoch:
                self._on_protected(datagram[start:offset], kind, number, now)
            else:
                self._on_plaintext(kind, datagram[start + HEADER_SIZE : offset], now)

    def _on_protected(self, record: bytes, kind: int, number: int, now: float) -> None:
        try:
            content = self._unprotect(record, kind, number)
        except DropPacket as drop:
            self.dropped[drop.reason] += 1
            return
        if kind != _APPLICATION_DATA:
            self._on_content(kind, content, now)
            return
        self._keep(content)

    def _keep(self, content: bytes) -> None:
        # Before the Finished is checked it waits, and is not given out: RFC 6347 section 4.1 allows it to overtake.
        pending = self._received_bytes + len(content)
        if len(self._received) >= self._max_received or pending > self._max_received_bytes:
            self.dropped["application-data-overflow"] += 1
            return
        self._received.append(content)
        self._received_bytes = pending

    def _hold(self, datagram: bytes) -> None:
        self._held.append(datagram)
        if len(self._held) > MAX_HELD_DATAGRAMS:
            del self._held[0]
            self.dropped["held-overflow"] += 1

    def _on_other_epoch(self, kind: int, epoch: int, record: bytes) -> None:
        if epoch == 1 and self._read_epoch == 0:
            if len(self._future) < MAX_FUTURE_RECORDS:
                self._future.append(record)
                self._check_early_finished([record])
            else:
                self.dropped["future-epoch-overflow"] += 1
        elif epoch == 0:
            # Once records are protected, plaintext can be anybody's: retransmissions at best, forged alerts at worst.
            self.dropped["unauthenticated-alert" if kind == _ALERT else "old-epoch"] += 1
        else:
            self.dropped["unexpected-epoch"] += 1

    def _on_plaintext(self, kind: int, content: bytes, now: float) -> None:
        if len(content) > MAX_PLAINTEXT:
            self.dropped["record-overflow"] += 1
        elif kind == _APPLICATION_DATA:
            self.dropped["unprotected-application-data"] += 1
        else:
            self._on_content(kind, content, now)

    def _on_content(self, kind: int, content: bytes, now: float) -> None:
        if kind == _HANDSHAKE:
            self._on_handshake(content, now)
        elif kind == _ALERT:
            self._on_alert(content)
        else:
            self._on_change_cipher_spec(content, now)

    def _on_alert(self, content: bytes) -> None:
        if len(content) != 2 or content[0] not in {AlertLevel.WARNING, AlertLevel.FATAL}:
            self.dropped["bad-alert"] += 1
            return
        level, description = content
        if description == Alert.CLOSE_NOTIFY:
            self._end(None, Alert.CLOSE_NOTIFY)
        elif level == AlertLevel.FATAL:
            self._end(PeerError("dtls", "peer-alert", alert_name(description)), None)
        # Other warnings ask for nothing.

    def _on_change_cipher_spec(self, content: bytes, now: float) -> None:
        if content != b"\x01":
            self.dropped["bad-change-cipher-spec"] += 1
            return
        # It carries no number, so one that has overtaken is remembered; it takes effect only where it is due.
        self._change_cipher_spec_seen = True
        self._change_read_epoch(now)

    def _check_early_finished(self, records: list[bytes]) -> None:
        """Fail if a Finished that opens has the number of the message that is due: the peer has left that one out.

        Mostly this is CertificateVerify. One that was only lost leaves a gap in the numbers, and is waited for.
        """
        ends, suite = self._read_keys, self._handshake.suite
        if ends is None or suite is None or self._handshake.finished_is_due:
            return
        for record in records:
            try:  # a reader of its own: the record is opened again when its epoch has begun
                kind, _, number, _ = _unpack_header(record, 0)
                content = new_reader(1, suite, *ends, 64)[0](record, kind, number)
                fragments = parse_fragments(content) if kind == _HANDSHAKE else []
            except (DropPacket, ParseError):
                continue
            for fragment in fragments:
                if fragment.type == HandshakeType.FINISHED and fragment.sequence == self._reassembler.next_sequence:
                    self._fail(HandshakeFailure("unexpected-message", f"finished in {self._handshake.state}"))
                    return

    def _change_read_epoch(self, now: float) -> None:
        if not self._change_cipher_spec_seen or self._read_epoch or not self._handshake.finished_is_due:
            return
        self._read_epoch = 1
        self._read_keys = None
        self._reassembler.clear()  # nothing that came unprotected may become part of the Finished
        future, self._future = self._future, []
        for record in future:
            self.receive_datagram(record, now)

    def _on_handshake(self, content: bytes, now: float) -> None:
        try:
            fragments = parse_fragments(content)
        except ParseError:
            self.dropped["bad-fragment"] += 1
            return
        for fragment in fragments:
            if self._over:
                return
            if self._handshake_complete:
                self._on_late_fragment(fragment, now)
            elif fragment.sequence < self._reassembler.next_sequence:
                self._on_repeated(fragment, now)
            elif not self._on_fragment(fragment, now):
                return

    def _on_repeated(self, fragment: Fragment, now: float) -> None:
        self.dropped["repeated-message"] += 1
        if fragment.sequence == self._repeat_on:
            self._flights.asked_again(now)

    def _on_late_fragment(self, fragment: Fragment, now: float) -> None:
        renegotiation = HandshakeType.HELLO_REQUEST if self._role == "client" else HandshakeType.CLIENT_HELLO
        if fragment.type == renegotiation:
            # RFC 5746 section 4.5 and RFC 5246 section 7.2.2: refuse, and go on.
            self.dropped["renegotiation"] += 1
            self._refuse_renegotiation = True
        elif fragment.sequence < self._reassembler.next_sequence:
            self._on_repeated(fragment, now)
        else:
            self.dropped["late-message"] += 1

    def _on_fragment(self, fragment: Fragment, now: float) -> bool:
        """Take a piece of what is due or ahead; tell whether the rest of its record is worth looking at."""
        try:
            self._reassembler.add(fragment)
        except DropPacket as drop:
            self.dropped[drop.reason] += 1
            return False  # whoever sends more than fits, or contradicts itself, does so a hundred times in a datagram
        while not self._over and (message := self._reassembler.next_message()) is not None:
            self._on_message(message, now)
        return True

    def _on_message(self, message: Message, now: float) -> None:
        try:
            if message.type == HandshakeType.FINISHED and not self._read_epoch:
                raise HandshakeFailure("unexpected-message", "finished before change_cipher_spec")  # noqa: TRY301  one exit
            self._handshake.handle(message)
        except HandshakeFailure as failure:
            self._fail(failure)
            return
        self._after_handshake(now)

    def _after_handshake(self, now: float) -> None:
        """Carry out what a step of the handshake has decided."""
        handshake = self._handshake
        if handshake.keys is not None and len(self._writers) == 1:
            self._install_keys()
            self._check_early_finished(self._future)
            if self._over:
                return
        if handshake.suite is not None:
            self._writers[0].version = DTLS_1_2
        if handshake.flight is not None:
            flight, handshake.flight = handshake.flight, None
            self._flights.begin(flight, now)
            self._repeat_on = self._reassembler.next_sequence - 1
            if flight.finished is not None:
                self._write_epoch = 1
        elif handshake.peer_finished:
            self._flights.answered()
        if handshake.complete and not self._handshake_complete:
            self._complete()
        self._change_read_epoch(now)

    def _install_keys(self) -> None:
        keys, suite = self._handshake.keys, self._handshake.suite
        if keys is None or suite is None:
            return
        ends = [(keys.client_key, keys.client_iv), (keys.server_key, keys.server_iv)]
        ours, peers = ends if self._role == "client" else ends[::-1]
        self._writers.append(new_writer(1, suite, *ours))
        self._read_keys = peers
        self._unprotect, self._unprotect_run = new_reader(1, suite, *peers, self._config.replay_window)

    def _complete(self) -> None:
        suite, certificate = self._handshake.suite, self._handshake.peer_certificate
        if suite is None or certificate is None:
            return
        self._timers.cancel(_GIVE_UP)
        self._state = ConnectionState.CONNECTED
        self._handshake_complete = True
        self._events.append(HandshakeCompleted(self._handshake.srtp_profile, suite.id, certificate))

    def _check_open(self) -> None:
        if self._over:
            raise LocalError(f"the connection is {self._state}")

    def _fail(self, failure: HandshakeFailure) -> None:
        self._end(PeerError("dtls", failure.reason, failure.detail), failure.alert)

    def _end(self, error: PeerError | None, alert: Alert | None) -> None:
        """Report the end, with a last alert that leaves if datagrams are drained before the event is taken."""
        self._over = True
        self._state = ConnectionState.CLOSED if error is None else ConnectionState.FAILED
        self._timers.clear()
        self._reassembler.clear()
        self._held.clear()
        self._future.clear()
        self._refuse_renegotiation = False
        if error is not None:  # an orderly end lets a last flight and data go before the alert
            self._flights.clear()
            self._queued.clear()
        if alert is not None:
            level = AlertLevel.FATAL if error is not None and alert is not Alert.CLOSE_NOTIFY else AlertLevel.WARNING
            self._last_alert = bytes((level, alert))
        self._events.append(Closed(error))
