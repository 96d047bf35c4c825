"""RTCDataChannel: W3C's names, and what programs in Python expect beside them: `send_wait`, `drain`, `async for`."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from ..core import PeerError
from ..datachannel import Channel
from ..media.events import EventTarget
from ..peer import InvalidStateError, NotSupportedError, OperationError

if TYPE_CHECKING:
    from .peer_connection import RTCPeerConnection
    from .transports import RTCSctpTransport

logger = logging.getLogger(__name__)

MAX_UNHEARD: Final = 65536
"""Messages kept until somebody listens or reads, as many as a sender may queue; past that the oldest are dropped."""

MAX_UNHEARD_BYTES: Final = 16 * 1024 * 1024
"""Bytes (of text: characters) of such messages: more than a listener that comes a moment late can have missed."""

MAX_UNREAD_BYTES: Final = 4 * 1024 * 1024
"""Bytes that an `async for` may be behind before the peer has to wait: as much as SCTP's receive window."""

MAX_UNREAD: Final = 16384
"""Messages that it may be behind."""

READER_PATIENCE: Final = 10.0
"""Seconds for which a reader may take nothing while everybody waits for it; then its channel ends, not the others."""

SEND_HIGH_WATER: Final = 1024 * 1024
"""Bytes buffered on a channel from which `send_wait` and `drain` wait: some round trips of a fast network."""

SEND_LOW_WATER: Final = SEND_HIGH_WATER // 2
"""Bytes at which they go on: early enough for the network never to run dry, late enough to send in batches."""

PRIORITIES: Final = {"very-low": 128, "low": 256, "medium": 512, "high": 1024}
"""W3C's RTCPriorityType and the weights of RFC 8831 section 6.4."""

_DETAILS: Final = {"dtls": "dtls-failure", "sctp": "sctp-failure"}


class RTCError(OperationError):
    """Why a data channel failed (W3C RTCError).

    Args:
        error: What the layers below say.

    Attributes:
        errorDetail: `data-channel-failure`, `dtls-failure` or `sctp-failure`.
        reason: The layer's own word for it, for example `open-refused`.
    """

    def __init__(self, error: PeerError) -> None:
        super().__init__(str(error))
        self.errorDetail = _DETAILS.get(error.layer, "data-channel-failure")
        self.reason = error.reason


class RTCDataChannel(EventTarget):
    """A data channel.

    Events: `open`, `message` (str or bytes), `bufferedamountlow`, `closing`, `close`, and before it `error` (RTCError).

    Messages go to the listeners of `message`; while an `async for` runs over the channel, to that alone; until there
    is either they are kept. `dropped` counts those that were not.
    """

    def __init__(self, connection: "RTCPeerConnection", channel: Channel) -> None:
        super().__init__()
        self._connection = connection
        self._transport = connection._machine.transport  # noqa: SLF001  each knows what is inside the other
        self._channel = channel
        self._threshold = 0
        self._above = False
        self._low_heard = False
        self._drains: dict[asyncio.Future[None], int] = {}
        self._unheard: deque[bytes | str] = deque()
        self._unheard_bytes = 0
        self._listening = False
        self._readers = 0
        self._arrivals: set[asyncio.Future[None]] = set()
        self._patience: asyncio.TimerHandle | None = None
        self._taken = False
        self._ended = False
        self._failure: RTCError | None = None
        self.dropped = 0
        self.on("new_listener", self._on_new_listener)

    def __repr__(self) -> str:
        return f"RTCDataChannel(id={self.id}, label={self.label!r}, readyState={self.readyState!r})"

    # -- W3C attributes ----------------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """The label."""
        return self._channel.label

    @property
    def protocol(self) -> str:
        """The subprotocol."""
        return self._channel.protocol

    @property
    def id(self) -> int | None:
        """The stream, None until the DTLS role is known."""
        return self._channel.id

    @property
    def ordered(self) -> bool:
        """Whether messages come in order."""
        return self._channel.ordered

    @property
    def maxRetransmits(self) -> int | None:
        """How often a message is sent again at the most."""
        return self._channel.max_retransmits

    @property
    def maxPacketLifeTime(self) -> int | None:
        """For how many milliseconds a message is tried."""
        return self._channel.max_packet_life_time

    @property
    def negotiated(self) -> bool:
        """Whether both sides agreed on the id by other means."""
        return self._channel.negotiated

    @property
    def readyState(self) -> str:
        """`connecting`, `open`, `closing` or `closed`."""
        return self._channel.state

    @property
    def priority(self) -> str:
        """`very-low`, `low`, `medium` or `high` (RFC 8831 section 6.4)."""
        return next((name for name, weight in PRIORITIES.items() if self._channel.priority <= weight), "high")

    @property
    def transport(self) -> "RTCSctpTransport | None":
        """What it runs over, the same for all channels of the connection."""
        return self._connection.sctp

    @property
    def binaryType(self) -> str:
        """`arraybuffer`: binary messages come as bytes."""
        return "arraybuffer"

    @binaryType.setter
    def binaryType(self, value: str) -> None:
        if value == "blob":
            raise NotSupportedError("binary messages come as bytes; there are no blobs in Python")
        if value != "arraybuffer":
            raise TypeError(f"binaryType must be 'arraybuffer', not {value!r}")

    @property
    def bufferedAmount(self) -> int:
        """Bytes sent that have not left yet. Deviates: 0 once the channel is closed, where W3C keeps the number."""
        return self._transport.buffered_amount(self._channel)

    @property
    def bufferedAmountLowThreshold(self) -> int:
        """At or below how many buffered bytes `bufferedamountlow` fires."""
        return self._threshold

    @bufferedAmountLowThreshold.setter
    def bufferedAmountLowThreshold(self, value: int) -> None:
        if not 0 <= value <= 0xFFFFFFFF:
            raise ValueError(f"bufferedAmountLowThreshold must be 0..4294967295, not {value}")
        self._threshold = value
        if self._low_heard:
            self._watch()

    @property
    def error(self) -> RTCError | None:
        """Why the channel failed, if it did."""
        if self._failure is None and self._channel.error is not None:
            self._failure = RTCError(self._channel.error)
        return self._failure

    @property
    def latest(self) -> bool:
        """Whether a message that is sent replaces those of this channel that have not begun to leave.

        For what is worth nothing as soon as there is something newer: controls, telemetry. Ours, not W3C's; the peer
        need not know.
        """
        return self._channel.latest

    @latest.setter
    def latest(self, value: bool) -> None:
        self._channel.latest = bool(value)

    # -- sending -----------------------------------------------------------------------------------------------

    def send(self, data: bytes | bytearray | memoryview | str) -> None:
        """Send a message.

        Raises:
            TypeError: It is neither bytes nor str.
            InvalidStateError: The channel is not open.
            OperationError: The send buffer is full, or the message is larger than the peer takes.
        """
        if type(data) is not bytes and not isinstance(data, (bytes, str)):
            if not isinstance(data, bytearray | memoryview):
                raise TypeError(f"a message is bytes or str, not {type(data).__name__}")
            data = bytes(data)
        self._connection.send_message(self._channel, data)
        if self._low_heard:
            self._watch()

    async def send_wait(self, data: bytes | bytearray | memoryview | str) -> None:
        """Send a message, after waiting until there is room: `SEND_HIGH_WATER` bytes at most are buffered before it.

        A loop of `await channel.send_wait(chunk)` sends as fast as the network and the peer take it, with bounded
        memory. Below the limit it returns without giving the event loop a turn.

        Raises:
            TypeError: It is neither bytes nor str.
            InvalidStateError: The channel is not open, or closed while waiting.
            OperationError: The message is larger than the peer takes.
        """
        while self.bufferedAmount > SEND_HIGH_WATER or not self._association_has_room(data):
            await self._fall_to(SEND_LOW_WATER)
        self.send(data)

    async def drain(self, to: int | None = None) -> None:
        """Wait until there is room to send again, as `asyncio.StreamWriter.drain` does.

        Args:
            to: Wait until no more bytes than this are buffered; 0 for all of them to have left. If it is not given,
                return at once up to `SEND_HIGH_WATER`, else wait for `SEND_LOW_WATER`.

        Raises:
            InvalidStateError: The channel is closed, or closes before.
        """
        if self._ended:
            raise self._closed_while_waiting()
        if to is None:
            to = SEND_LOW_WATER if self.bufferedAmount > SEND_HIGH_WATER else SEND_HIGH_WATER
        while self.bufferedAmount > to:
            await self._fall_to(to)

    async def _fall_to(self, mark: int) -> None:
        """Wait for the drain after which `mark` bytes or less are buffered."""
        if self.readyState not in {"open", "closing"}:
            raise self._closed_while_waiting()
        future = asyncio.get_running_loop().create_future()
        self._drains[future] = mark
        self._connection._draining.add(self)  # noqa: SLF001  the same
        try:
            await future
        finally:
            self._drains.pop(future, None)

    def _closed_while_waiting(self) -> InvalidStateError:
        reason = f": {self.error}" if self.error is not None else ""
        return InvalidStateError(f"data channel {self.label!r} is {self.readyState}, its buffer drains no more{reason}")

    def _association_has_room(self, data: bytes | bytearray | memoryview | str) -> bool:
        association = self._transport.sctp
        if association is None or self.readyState != "open" or not association.total_buffered:
            return True  # what `send` refuses must get there
        return association.can_buffer(len(data) if isinstance(data, bytes) else 4 * len(data))  # bytes of a character

    def close(self) -> None:
        """Close once what was sent is delivered; `close` fires when both sides have."""
        self._connection.close_channel(self._channel)

    # -- receiving ---------------------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        """Yield messages until the channel closes; if it fails, raise its RTCError behind the last of them.

        A reliable channel loses nothing: when the reader is `MAX_UNREAD_BYTES` or `MAX_UNREAD` messages behind, the
        association's receive window closes and the peer waits, and with it every channel of the connection. A reader
        that takes nothing for `READER_PATIENCE` seconds then loses its channel (`reader-stalled`). On a channel with
        limited reliability the oldest messages make room instead. Several readers share the messages.
        """
        self._readers += 1
        try:
            while True:
                while self._unheard:
                    yield self._take()
                if self._ended:
                    break
                future = asyncio.get_running_loop().create_future()
                self._arrivals.add(future)
                try:
                    await future
                finally:
                    self._arrivals.discard(future)
            if self.error is not None:
                raise self.error
        finally:
            self._readers -= 1
            if not self._readers:
                self._release()
                self._bound(MAX_UNHEARD, MAX_UNHEARD_BYTES)
                self._catch_up()

    def _take(self) -> bytes | str:
        data = self._unheard.popleft()
        self._unheard_bytes -= len(data)
        self._taken = True
        if (
            self._patience is not None
            and 2 * self._unheard_bytes <= MAX_UNREAD_BYTES
            and 2 * len(self._unheard) <= MAX_UNREAD
        ):
            self._release()
        return data

    def _bound(self, messages: int, size: int) -> None:
        """Let the oldest messages make room for the newest."""
        while len(self._unheard) > messages or self._unheard_bytes > size:
            self._unheard_bytes -= len(self._unheard.popleft())
            self.dropped += 1

    def _hold(self) -> None:
        """Let the peer wait for the reader."""
        if self._patience is None and not self._ended:
            self._transport.hold(self._channel)
            self._wait_for_reader()

    def _wait_for_reader(self) -> None:
        self._taken = False
        self._patience = asyncio.get_running_loop().call_later(READER_PATIENCE, self._lose_patience)

    def _lose_patience(self) -> None:
        if self._taken:
            self._wait_for_reader()
            return
        logger.warning("%r: nobody reads its messages; it is closed for the sake of the others", self)
        self._channel.error = PeerError("datachannel", "reader-stalled", f"{len(self._unheard)} messages are unread")
        self._release()
        self.close()

    def _release(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
            self._transport.release(self._channel)
            self._connection._driver.schedule_flush()  # noqa: SLF001  the same

    # -- called by the connection ------------------------------------------------------------------------------

    @property
    def above_threshold(self) -> bool:
        """Whether the connection must call `check_threshold` after each drain."""
        return self._above or bool(self._drains)

    def deliver(self, data: bytes | str) -> None:
        """Hand a message to the application, or keep it until there is a listener."""
        if self._listening and not self._readers and not self._unheard:
            EventTarget.dispatch(self, "message", data)
            return
        self._unheard.append(data)
        self._unheard_bytes += len(data)
        if not self._readers:
            self._bound(MAX_UNHEARD, MAX_UNHEARD_BYTES)
            return
        self._wake_readers()
        if self._unheard_bytes > MAX_UNREAD_BYTES or len(self._unheard) > MAX_UNREAD:
            if self.maxRetransmits is None and self.maxPacketLifeTime is None:
                self._hold()
            else:
                self._bound(MAX_UNREAD, MAX_UNREAD_BYTES)

    def check_threshold(self) -> bool:
        """Wake who waits and fire `bufferedamountlow` where due; return whether somebody heard who may send now."""
        amount = self._transport.buffered_amount(self._channel)
        if self._drains:
            for future, mark in self._drains.items():
                if amount <= mark and not future.done():
                    future.set_result(None)
        if not self._above or amount > self._threshold:
            return False
        self._above = False
        return self._low_heard and self.dispatch("bufferedamountlow")

    def dispatch(self, name: str, *args: Any) -> bool:
        """Call the handlers; what ends the channel ends those who wait for it too."""
        if name == "error":
            args = (self.error,)
        elif name == "close":
            self._end()
        return super().dispatch(name, *args)

    def _end(self) -> None:
        self._ended = True
        self._release()
        for future in self._drains:
            if not future.done():
                future.set_exception(self._closed_while_waiting())
        self._wake_readers()

    def _wake_readers(self) -> None:
        for future in self._arrivals:
            if not future.done():
                future.set_result(None)

    def _watch(self) -> None:
        """See to it that `bufferedamountlow` fires, if there is a fall to come: needless while nobody listens."""
        if not self._above and self.bufferedAmount > self._threshold:
            self._above = True
            self._connection._draining.add(self)  # noqa: SLF001  the same

    def _on_new_listener(self, event: str, _listener: Any) -> None:
        if event == "bufferedamountlow":
            self._low_heard = True
            self._watch()
        elif event == "message" and not self._listening:
            self._listening = True
            self._catch_up()

    def _catch_up(self) -> None:
        if self._listening and self._unheard:
            asyncio.get_running_loop().call_soon(self._deliver_unheard)

    def _deliver_unheard(self) -> None:
        while self._unheard and not self._readers:
            self.dispatch("message", self._take())
