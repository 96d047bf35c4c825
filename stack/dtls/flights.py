"""Flights: messages that leave together and are retransmitted together (RFC 6347 section 4.2.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..core import Timers
from .reassembly import Message
from .record import RecordWriter
from .wire import FRAGMENT_HEADER_SIZE, ContentType

RETRANSMIT: Final = "retransmit"
# A flight that was asked for again leaves no sooner than this after it last left, so that duplicated or forged
# fragments cannot make us send more than 40 flights a second. Half of the shortest timer that ICE asks for.
MIN_RETRANSMIT_INTERVAL: Final = 0.025
# RFC 6347 section 4.1.1.1: back off to a smaller record size when retransmissions go unanswered. 548 bytes of UDP
# payload fit the 576-byte datagrams that every IPv4 path carries.
FALLBACK_MTU: Final = 548
RETRANSMISSIONS_BEFORE_FALLBACK: Final = 2


@dataclass(slots=True)
class Flight:
    """What leaves together.

    Args:
        messages: Handshake messages of epoch 0.
        finished: The Finished message, which ChangeCipherSpec precedes and epoch 1 protects, or None.
        timed: Whether an answer is expected, so that a timer retransmits it.
    """

    messages: list[Message]
    finished: Message | None = None
    timed: bool = True

    def datagrams(self, mtu: int, writers: Sequence[RecordWriter]) -> list[bytes]:
        """Cut the messages into fragments, wrap them in fresh records and bundle these into datagrams.

        Args:
            mtu: Most bytes of one datagram.
            writers: The record writers by epoch.
        """
        bundle = _Bundle(mtu)
        for message in self.messages:
            _fragment(message, writers[0], bundle)
        if self.finished is not None:
            bundle.add(writers[0].protect(ContentType.CHANGE_CIPHER_SPEC, [b"\x01"])[0])
            _fragment(self.finished, writers[1], bundle)
        return bundle.finish()


class _Bundle:
    """Collects records into datagrams of at most `mtu` bytes."""

    __slots__ = ("_datagrams", "_mtu", "_records", "_size")

    def __init__(self, mtu: int) -> None:
        self._mtu = mtu
        self._datagrams: list[bytes] = []
        self._records: list[bytes] = []
        self._size = 0

    def room(self) -> int:
        return self._mtu - self._size

    def add(self, record: bytes) -> None:
        if len(record) > self.room():
            self.flush()
        self._records.append(record)
        self._size += len(record)

    def flush(self) -> None:
        if self._records:
            self._datagrams.append(b"".join(self._records))
        self._records, self._size = [], 0

    def finish(self) -> list[bytes]:
        self.flush()
        return self._datagrams


def _fragment(message: Message, writer: RecordWriter, bundle: _Bundle) -> None:
    header = message.serialize()[: FRAGMENT_HEADER_SIZE - 6]
    overhead = writer.overhead + FRAGMENT_HEADER_SIZE
    body, offset = message.body, 0
    while True:
        left = len(body) - offset
        # A sliver at the end of a datagram costs another header: begin a new datagram unless a fair piece fits.
        if bundle.room() < overhead + min(left, 64):
            bundle.flush()
        size = max(1, min(left, bundle.room() - overhead)) if left else 0
        piece = header + offset.to_bytes(3, "big") + size.to_bytes(3, "big") + body[offset : offset + size]
        bundle.add(writer.protect(ContentType.HANDSHAKE, [piece])[0])
        offset += size
        if offset >= len(body):
            return


class FlightSender:
    """Holds the current flight, its retransmission timer and the smaller MTU of bad times.

    Args:
        timers: Where to arm `RETRANSMIT`.
        mtu: Most bytes of one datagram.
        initial_timeout: First timeout of each flight, seconds.
        max_timeout: Longest timeout, seconds.

    Attributes:
        due: Whether the flight waits to be drained.
    """

    __slots__ = (
        "_flight",
        "_last_sent",
        "_max_timeout",
        "_mtu",
        "_retransmissions",
        "_timeout",
        "_timers",
        "due",
        "initial_timeout",
    )

    def __init__(self, timers: Timers, mtu: int, initial_timeout: float, max_timeout: float) -> None:
        self._timers = timers
        self._mtu = mtu
        self.initial_timeout = initial_timeout
        self._max_timeout = max_timeout
        self._flight: Flight | None = None
        self.due = False
        self._timeout = initial_timeout
        self._retransmissions = 0
        self._last_sent = float("-inf")

    def begin(self, flight: Flight, now: float) -> None:
        """Send a new flight; it replaces the one before, which the peer has thereby acknowledged."""
        self._flight = flight
        self._retransmissions = 0
        # Deviates: RFC 6347 section 4.2.4.1 retains a doubled timer for the next flight; resetting it, as OpenSSL
        # and BoringSSL do, saves seconds of connection setup after a single loss.
        self._timeout = self.initial_timeout
        self._send(now)

    def _send(self, now: float) -> None:
        self.due = True
        self._last_sent = now
        if self._flight is not None and self._flight.timed:
            self._timers.set(RETRANSMIT, now + self._timeout)
        else:
            self._timers.cancel(RETRANSMIT)

    def handle_timeout(self, now: float) -> None:
        """Send the flight again and double the timer."""
        self._timeout = min(self._timeout * 2, max(self._max_timeout, self.initial_timeout))
        self._retransmissions += 1
        self._send(now)

    def asked_again(self, now: float) -> None:
        """The peer has repeated the flight that this one answers: ours was lost, so send it again."""
        if self._flight is not None and now - self._last_sent >= MIN_RETRANSMIT_INTERVAL:
            self._send(now)

    def answered(self) -> None:
        """The peer's next flight is here: stop the timer."""
        self._timers.cancel(RETRANSMIT)

    def clear(self) -> None:
        """Forget the flight."""
        self._flight = None
        self.due = False

    def datagrams(self, writers: Sequence[RecordWriter]) -> list[bytes]:
        """Return the datagrams of the flight if it is due."""
        if not self.due or self._flight is None:
            return []
        self.due = False
        mtu = self._mtu
        if self._retransmissions > RETRANSMISSIONS_BEFORE_FALLBACK:
            mtu = min(mtu, FALLBACK_MTU)
        return self._flight.datagrams(mtu, writers)
