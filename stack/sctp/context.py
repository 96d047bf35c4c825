"""What the parts of an association share: configuration, state, counters, timers and the queues of control chunks."""

import enum
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..core import LocalError, RandomBytes, Timers
from .congestion import CongestionControl
from .delay_aware import DelayAwareCubic
from .events import Event
from .wire import DATA_HEADER_SIZE, HEADER_SIZE, PacketWriter

# Timers of RFC 9260 section 16 (T1-init and T1-cookie never run together), and ours.
T1: Final = "T1"
T2: Final = "T2"
T3: Final = "T3"
SACK_TIMER: Final = "SACK"
RECONFIG_TIMER: Final = "RECONFIG"
HEARTBEAT_TIMER: Final = "HEARTBEAT"
CLOSE_TIMER: Final = "CLOSE"
LOSS_TIMER: Final = "LOSS"  # what was overtaken becomes lost
PROBE_TIMER: Final = "PROBE"  # the tail
PACE_TIMER: Final = "PACE"
MTU_TIMER: Final = "MTU"

MAX_CONTROL_CHUNKS: Final = 64
"""Answers (HEARTBEAT ACK, ERROR, INIT ACK ...) that may wait for a drain: a drain follows every batch of datagrams, and
a peer that provokes more than one answer per packet of a batch only wants us busy."""

MAX_STREAMS: Final = 65535  # the most that the 16-bit counts of INIT can say


class State(enum.Enum):
    """States of an association (RFC 9260 section 4)."""

    CLOSED = "closed"
    COOKIE_WAIT = "cookie-wait"
    COOKIE_ECHOED = "cookie-echoed"
    ESTABLISHED = "established"
    SHUTDOWN_PENDING = "shutdown-pending"
    SHUTDOWN_SENT = "shutdown-sent"
    SHUTDOWN_RECEIVED = "shutdown-received"
    SHUTDOWN_ACK_SENT = "shutdown-ack-sent"


TRANSITIONS: Final[dict[State, dict[State, str]]] = {
    State.CLOSED: {
        State.COOKIE_WAIT: "ASSOCIATE: send INIT, start T1-init",
        State.ESTABLISHED: "valid COOKIE ECHO: send COOKIE ACK",
    },
    State.COOKIE_WAIT: {
        State.COOKIE_ECHOED: "INIT ACK: send COOKIE ECHO, start T1-cookie",
        State.ESTABLISHED: "valid COOKIE ECHO of a peer that associates too: send COOKIE ACK",
        State.CLOSED: "ABORT received or sent, or T1-init expired too often",
    },
    State.COOKIE_ECHOED: {
        State.ESTABLISHED: "COOKIE ACK, or valid COOKIE ECHO",
        State.CLOSED: "ABORT received or sent, or T1-cookie expired too often",
    },
    State.ESTABLISHED: {
        State.ESTABLISHED: "valid COOKIE ECHO of a peer that has restarted: send COOKIE ACK",
        State.SHUTDOWN_PENDING: "close",
        State.SHUTDOWN_RECEIVED: "SHUTDOWN",
        State.CLOSED: "ABORT received or sent, or the peer is unreachable",
    },
    State.SHUTDOWN_PENDING: {
        State.ESTABLISHED: "valid COOKIE ECHO of a peer that has restarted: send COOKIE ACK, then shut down again",
        State.SHUTDOWN_SENT: "nothing outstanding: send SHUTDOWN, start T2",
        State.SHUTDOWN_RECEIVED: "SHUTDOWN",
        State.CLOSED: "ABORT received or sent, or the deadline passed",
    },
    State.SHUTDOWN_SENT: {
        State.ESTABLISHED: "valid COOKIE ECHO of a peer that has restarted: send COOKIE ACK, then shut down again",
        State.SHUTDOWN_ACK_SENT: "SHUTDOWN of a peer that closes too: send SHUTDOWN ACK",
        State.CLOSED: "SHUTDOWN ACK: send SHUTDOWN COMPLETE; or ABORT, or the deadline passed",
    },
    State.SHUTDOWN_RECEIVED: {
        State.ESTABLISHED: "valid COOKIE ECHO of a peer that has restarted: send COOKIE ACK",
        State.SHUTDOWN_ACK_SENT: "nothing outstanding: send SHUTDOWN ACK, start T2",
        State.CLOSED: "ABORT received or sent, or the deadline passed",
    },
    State.SHUTDOWN_ACK_SENT: {
        State.CLOSED: "SHUTDOWN COMPLETE or SHUTDOWN ACK, or the deadline passed",
    },
}
"""The association's state machine as it is drawn in RFC 9260 section 4: from, to, and why."""


_RECEIVING: Final = frozenset({State.ESTABLISHED, State.SHUTDOWN_PENDING, State.SHUTDOWN_SENT})
_SENDING: Final = frozenset({State.ESTABLISHED, State.SHUTDOWN_PENDING, State.SHUTDOWN_RECEIVED})


@dataclass(frozen=True)
class Config:
    """Settings of an association. Times are seconds, sizes are bytes.

    Attributes:
        local_port: Own SCTP port (`a=sctp-port`, RFC 8841).
        remote_port: The peer's SCTP port.
        max_packet_size: Largest SCTP packet that is sent, a multiple of 4. 1160 with a DTLS 1.2 AES-GCM record around
            it (37), UDP (8) and IPv6 (40) makes 1245: it fits the 1280 that every IPv6 path carries, with room left
            for a TURN header, and gives full packets 1132 bytes of user data.
        path_mtu_limit: Largest SCTP packet that path MTU discovery (RFC 8899) may find, a multiple of 4: what the local
            interface takes, less what the layers below add. `max_packet_size` is where it starts and falls back to.
            None for no discovery: it needs sockets that do not let packets be fragmented.
        a_rwnd: Receive buffer. 4 MiB lets 300 Mbit/s flow over 100 ms.
        outbound_streams: Streams to ask for.
        inbound_streams: Streams to accept.
        rto_initial: RTO before the first measurement. Deviates: RFC 9260 section 16 says 1 s; a lost INIT would delay
            every channel by that.
        rto_min: Deviates: RFC 9260 section 16 says 1 s, which makes a lost last packet cost a second; acknowledgement
            of the last packet is asked for at once (the I bit), so 0.2 s is safe.
        rto_max: Deviates: RFC 9260 section 16 says 60 s; a peer that comes back should not be waited for that long.
        max_init_retransmits: Max.Init.Retransmits (RFC 9260 section 16).
        association_max_retransmits: Association.Max.Retrans (RFC 9260 section 16).
        heartbeat_interval: HB.interval (RFC 9260 section 16).
        delayed_ack: How long a lone packet may wait for its SACK: below our own `rto_min`, and below the 200 ms of
            RFC 9260 section 6.2.
        max_message_size: Largest message that is accepted (`a=max-message-size`, RFC 8841). At most `a_rwnd`.
        cookie_lifetime: Valid.Cookie.Life (RFC 9260 section 16).
        close_deadline: How long an orderly shutdown may take before it becomes an ABORT.
        zero_checksum: Whether the layer below is DTLS, so that it detects every error and checksums may be left out
            where the peer agrees (RFC 9653, error detection method 1). Set it to False over anything else.
        accept_restart: Whether a peer that has lost its state may set the association up anew (`Restarted`). If not,
            that ends it, `peer-restarted`.
        early_data: Whether data goes with COOKIE ECHO, one round trip earlier.
        interleaving: Whether to offer I-DATA (RFC 8260), so that a message need not wait for the fragments of another
            one. It is used if the peer offers it too.
        congestion: Makes the congestion controller, given the user data of a full packet: `DelayAwareCubic`, `Cubic`,
            `Reno` (RFC 9260 section 7.2 to the letter), or one of your own.
    """

    local_port: int = 5000
    remote_port: int = 5000
    max_packet_size: int = 1160
    path_mtu_limit: int | None = None
    a_rwnd: int = 4 * 1024 * 1024
    outbound_streams: int = MAX_STREAMS
    inbound_streams: int = MAX_STREAMS
    rto_initial: float = 0.5
    rto_min: float = 0.2
    rto_max: float = 10.0
    max_init_retransmits: int = 8
    association_max_retransmits: int = 10
    heartbeat_interval: float = 30.0
    delayed_ack: float = 0.1
    max_message_size: int = 256 * 1024
    cookie_lifetime: float = 60.0
    close_deadline: float = 3.0
    zero_checksum: bool = True
    accept_restart: bool = True
    early_data: bool = True
    interleaving: bool = True
    congestion: Callable[[int], CongestionControl] = DelayAwareCubic

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            LocalError: If one is out of its range.
        """
        if not (0 < self.local_port < 65536 and 0 < self.remote_port < 65536):
            raise LocalError("SCTP ports must be 1..65535")
        if self.max_packet_size % 4 or not 512 <= self.max_packet_size <= 65532:
            raise LocalError("max_packet_size must be a multiple of 4 in 512..65532")
        limit = self.path_mtu_limit
        if limit is not None and (limit % 4 or not self.max_packet_size <= limit <= 65532):
            raise LocalError("path_mtu_limit must be a multiple of 4 in max_packet_size..65532")
        if not (0 < self.outbound_streams <= MAX_STREAMS and 0 < self.inbound_streams <= MAX_STREAMS):
            raise LocalError("stream counts must be 1..65535")
        if not 0 < self.max_message_size <= self.a_rwnd < 1 << 31:
            raise LocalError("max_message_size must be positive and at most a_rwnd, which must be below 2**31")
        if not 0 < self.rto_min <= self.rto_initial <= self.rto_max:
            raise LocalError("0 < rto_min <= rto_initial <= rto_max must hold")
        if min(self.heartbeat_interval, self.delayed_ack, self.cookie_lifetime, self.close_deadline) <= 0:
            raise LocalError("durations must be positive")

    @property
    def max_payload(self) -> int:
        """User data of a full packet, bytes."""
        return self.max_packet_size - HEADER_SIZE - DATA_HEADER_SIZE


@dataclass(slots=True)
class Stats:
    """Counters since the beginning."""

    packets_sent: int = 0
    packets_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    retransmits: int = 0
    fast_retransmits: int = 0
    timeouts: int = 0
    probes: int = 0
    abandoned: int = 0


class AbortAssociation(Exception):  # noqa: N818  an instruction to the association
    """The peer did what only an ABORT answers.

    Args:
        reason: Slug for `PeerError`.
        cause: Error cause code (RFC 9260 section 3.3.10).
        value: The cause's value.
    """

    def __init__(self, reason: str, cause: int, value: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause
        self.value = value


class Context:
    """Shared by the parts of one association.

    Args:
        config: Settings.
        random_bytes: Randomness.
        timers: The machine's timers.
        dropped: The machine's drop counters.
        events: The machine's event queue.
    """

    __slots__ = (
        "alone",
        "config",
        "control",
        "dropped",
        "events",
        "packet_size",
        "random_bytes",
        "receiving",
        "sending",
        "state",
        "stats",
        "timers",
        "writer",
    )

    def __init__(
        self,
        config: Config,
        random_bytes: RandomBytes,
        timers: Timers,
        dropped: Counter[str],
        events: deque[Event],
    ) -> None:
        self.config = config
        self.random_bytes = random_bytes
        self.timers = timers
        self.dropped = dropped
        self.events = events
        self.stats = Stats()
        self.state = State.CLOSED
        self.receiving = False  # whether DATA is welcome; asked for every packet
        self.sending = False  # whether DATA may leave; the same
        self.packet_size = config.max_packet_size  # largest packet that is sent now; path MTU discovery moves it
        self.writer = PacketWriter(config.local_port, config.remote_port, config.max_packet_size)
        self.control: list[bytes] = []
        self.alone: list[tuple[bytes, int]] = []

    def enter(self, state: State) -> None:
        """Change to `state`; every change goes through here, and is in `TRANSITIONS`."""
        self.state = state
        self.receiving = state in _RECEIVING
        self.sending = state in _SENDING

    def queue(self, chunk: bytes) -> None:
        """Queue a control chunk; it may be bundled with others."""
        if len(self.control) >= MAX_CONTROL_CHUNKS:
            self.dropped["control-queue-full"] += 1
        elif len(chunk) > self.config.max_packet_size - HEADER_SIZE:
            self.dropped["answer-too-long"] += 1  # it echoes a chunk longer than our packets may be
        else:
            self.control.append(chunk)

    def queue_alone(self, chunk: bytes, tag: int) -> None:
        """Queue a chunk for a packet of its own with verification tag `tag`."""
        if len(self.alone) >= MAX_CONTROL_CHUNKS:
            self.dropped["control-queue-full"] += 1
        elif len(chunk) > self.config.max_packet_size - HEADER_SIZE:
            self.dropped["answer-too-long"] += 1
        else:
            self.alone.append((chunk, tag))
