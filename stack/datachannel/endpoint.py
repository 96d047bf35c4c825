"""All data channels of one association (RFC 8831, RFC 8832)."""

from typing import Final

from ..core import LocalError, Machine, ParseError, PeerError
from .channel import (
    Channel,
    ChannelAnnounced,
    ChannelClosed,
    ChannelClosing,
    ChannelOpened,
    Closed,
    Event,
    Message,
    MessageReceived,
    ResetRequested,
)
from .wire import (
    BINARY,
    BINARY_EMPTY,
    BINARY_PARTIAL,
    DCEP,
    STRING,
    STRING_EMPTY,
    STRING_PARTIAL,
    Ack,
    ArgumentError,
    Open,
    parse,
    serialize,
)

MAX_STREAM_ID: Final = 65534  # RFC 8832 section 6 with 65535 streams, the most that SCTP can negotiate
MAX_CHANNELS: Final = 1024  # what browsers allow; a channel costs about 300 bytes and the peer opens them for free
MAX_PENDING_MESSAGES: Final = 65536  # between two drains; a caller that never lets the pump run must hear of it
MAX_PENDING_BYTES: Final = 16 * 1024 * 1024  # the same, and the size of Chromium's send buffer
MAX_PENDING_RESETS: Final = 1024  # refusals under way; a peer that floods with bad OPENs gets no more answers
DEFAULT_MAX_MESSAGE_SIZE: Final = 262144  # bytes; what browsers announce, and SDP overrides (RFC 8841 section 6)
CLOSE_TIMEOUT: Final = 5.0  # seconds: several retransmissions of a stream reset at SCTP's initial RTO of 1 s

_UNLIMITED: Final = 1 << 62
_ONE_ZERO: Final = b"\0"  # stands for an empty message: RFC 8831 section 6.6


class Endpoint(Machine[Message, Message, Event]):
    """One end of an association's data channels.

    The holder moves messages between this machine and the association, and tells it of stream resets. Drain
    `datagrams_to_send` before events: then everything sent on a channel is in the association when
    `ResetRequested` arrives.

    Args:
        is_dtls_client: DTLS role, which decides between even and odd ids; None until `set_role`.
        max_channels: Channels at a time, whoever opened them; 1..65535.
        max_message_size: Largest message that the peer takes, bytes; 0 for no limit.

    Attributes:
        outbox: Messages that the next drain returns.

    Raises:
        LocalError: If a number is out of range.
    """

    def __init__(
        self,
        *,
        is_dtls_client: bool | None = None,
        max_channels: int = MAX_CHANNELS,
        max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE,
    ) -> None:
        super().__init__()
        if not 1 <= max_channels <= MAX_STREAM_ID + 1:
            raise LocalError(f"max_channels must be 1..{MAX_STREAM_ID + 1}, not {max_channels}")
        self._is_dtls_client = is_dtls_client
        self._max_channels = max_channels
        self._max_message_size = 0
        self.set_max_message_size(max_message_size)
        self._channels: dict[int, Channel] = {}
        self._without_id: list[Channel] = []
        self._resetting: set[int] = set()
        self._streams = MAX_STREAM_ID + 1
        self.outbox: list[Message] = []
        self._pending_bytes = 0
        self._connected = False
        self._closing = False
        self._closed = False

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All channels that are not closed."""
        return (*self._channels.values(), *self._without_id)

    @property
    def max_message_size(self) -> int:
        """Largest message that the peer takes, bytes; 0 for no limit."""
        return 0 if self._max_message_size == _UNLIMITED else self._max_message_size

    # What the layers below tell

    def set_role(self, is_dtls_client: bool) -> None:
        """Set the DTLS role: the client opens channels with even ids, the server with odd ones (RFC 8832 section 6).

        Raises:
            LocalError: If the other role was set before.
        """
        if self._is_dtls_client is not None:
            if self._is_dtls_client != is_dtls_client:
                raise LocalError("the DTLS role is set already")
            return
        self._is_dtls_client = is_dtls_client
        waiting, self._without_id = self._without_id, []
        for channel in waiting:
            channel.id = self._free_id()
            if channel.id is None:
                self._finish(channel, PeerError("datachannel", "no-stream"))
                continue
            self._channels[channel.id] = channel
            if self._connected:
                self._establish(channel)

    def set_max_message_size(self, max_message_size: int) -> None:
        """Set the largest message that the peer takes, bytes; 0 for no limit (RFC 8841 section 6).

        Raises:
            LocalError: If it is negative.
        """
        if max_message_size < 0:
            raise LocalError(f"max_message_size must not be negative: {max_message_size}")
        self._max_message_size = max_message_size or _UNLIMITED

    def set_connected(self, now: float, *, streams: int = MAX_STREAM_ID + 1) -> None:
        """The association is up: open all channels that wait for it.

        Args:
            now: Seconds.
            streams: Streams that were negotiated, the fewer of the two directions; channels with ids beyond them
                are closed with an error.
        """
        self._clamp(now)
        if self._connected or self._closed:
            return
        self._connected = True
        self._streams = min(streams, MAX_STREAM_ID + 1)
        for channel_id, channel in list(self._channels.items()):
            if channel_id < self._streams:
                self._establish(channel)
            else:
                self._finish(channel, PeerError("datachannel", "no-stream"))

    def stream_reset_by_peer(self, stream_id: int, now: float) -> None:
        """The peer reset its outgoing stream: it closes the channel, or answers our reset (RFC 8831 section 6.7)."""
        self._clamp(now)
        channel = self._channels.get(stream_id)
        if channel is None or channel.state == "connecting":
            return
        channel.reset_by_peer = True
        if channel.state == "open":
            # RFC 8832 section 6: a reset instead of an ACK refuses the channel.
            error = PeerError("datachannel", "open-refused") if channel.awaits_ack else None
            self._begin_closing(channel, error)
        self._finish_if_reset(channel)

    def outgoing_reset_done(self, stream_id: int, now: float) -> None:
        """The outgoing stream for which `ResetRequested` was reported is reset."""
        self._clamp(now)
        self._resetting.discard(stream_id)
        channel = self._channels.get(stream_id)
        if channel is not None:
            self._finish_if_reset(channel)

    def abort(self, now: float, error: PeerError | None = None) -> None:
        """The association is gone: close all channels at once, with an error if there is one."""
        self._clamp(now)
        if self._closed:
            return
        for channel in self.channels:
            self._finish(channel, error)
        self._end(error)

    # What the application wants

    def open(
        self,
        label: str,
        *,
        protocol: str = "",
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_packet_life_time: int | None = None,
        negotiated: bool = False,
        id: int | None = None,  # noqa: A002  the name in the W3C API
        priority: int = 256,
        now: float,
    ) -> Channel:
        """Open a channel, in band (RFC 8832) or as negotiated out of band (RFC 8831 section 6.5).

        The channel is open as soon as its DATA_CHANNEL_OPEN is queued on an established association: user messages
        may follow it at once, and go ordered until the peer has answered (RFC 8832 section 6).

        Args:
            label: Name, up to 65535 bytes of UTF-8.
            protocol: Subprotocol, up to 65535 bytes of UTF-8.
            ordered: Whether messages are delivered in order.
            max_retransmits: Retransmissions of a message at most; None for no limit.
            max_packet_life_time: Milliseconds for which a message may be transmitted; None for no limit.
            negotiated: Whether the peer opens the same channel by itself; then `id` is needed.
            id: Stream identifier, 0..65534; as in W3C it has no meaning unless `negotiated`.
            priority: Weight among the channels: 128, 256, 512 or 1024.
            now: Seconds.

        Raises:
            ArgumentError: If an argument is out of range, or both limits are set.
            LocalError: If the id is used, no id is left, there are too many channels, or the endpoint closes.
        """
        if self._closing or self._closed:
            raise LocalError("the endpoint is closed")
        request = Open(label, protocol, ordered, max_retransmits, max_packet_life_time, priority)
        serialize(request)
        if len(self._channels) + len(self._without_id) >= self._max_channels:
            raise LocalError(f"there are {self._max_channels} channels already")
        if negotiated:
            self._check_negotiated_id(id)
        else:
            id = self._free_id()  # noqa: A001  the argument's name
            if id is None and self._is_dtls_client is not None:
                raise LocalError("no stream id is left")
        self._clamp(now)
        channel = _channel_of(request, id, negotiated=negotiated)
        if id is None:
            self._without_id.append(channel)
            return channel
        self._channels[id] = channel
        if self._connected:
            self._establish(channel)
        return channel

    def send(self, channel: Channel, data: bytes | str, now: float) -> None:
        """Send one message.

        Args:
            channel: A channel that is open.
            data: A string, or bytes; either may be empty.
            now: Seconds.

        Raises:
            LocalError: If the channel is not open, the message is larger than the peer takes, or too much was sent
                since the last drain.
        """
        message = self.compose(channel, data)
        if len(self.outbox) >= MAX_PENDING_MESSAGES or self._pending_bytes >= MAX_PENDING_BYTES:
            raise LocalError("too much was sent since the last drain")
        self._clamp(now)
        self._pending_bytes += len(message.data) if data else 0
        self.outbox.append(message)

    def compose(self, channel: Channel, data: bytes | str) -> Message:
        """Return what `send` would queue, for a holder that hands it to the association at once, in order.

        Args:
            channel: A channel that is open.
            data: A string, or bytes; either may be empty.

        Raises:
            LocalError: If the channel is not open, or the message is larger than the peer takes.
        """
        channel_id = channel.id
        if channel_id is None or channel.state != "open" or self._channels.get(channel_id) is not channel:
            raise LocalError(f"{channel!r} is not open here")
        if isinstance(data, str):
            payload, ppid, empty = _encode(data), STRING, STRING_EMPTY
        else:
            payload, ppid, empty = bytes(data) if type(data) is not bytes else data, BINARY, BINARY_EMPTY
        size = len(payload)
        if size > self._max_message_size:
            raise LocalError(f"the message has {size} bytes, the peer takes {self._max_message_size}")
        if not size:
            payload, ppid = _ONE_ZERO, empty
        return Message(
            channel_id,
            ppid,
            payload,
            channel.send_ordered,
            channel.max_retransmits,
            channel.max_packet_life_time,
            channel.priority,
            channel.latest,
        )

    def close_channel(self, channel: Channel, now: float) -> None:
        """Close a channel behind what was sent on it (RFC 8831 section 6.7). No error if it is closing or closed."""
        self._clamp(now)
        if channel.state == "connecting" and channel in self.channels:
            self._finish(channel, None)
        elif channel.state == "open" and channel.id is not None and self._channels.get(channel.id) is channel:
            channel.state = "closing"
            self._request_reset(channel.id)

    # Machine

    def receive_datagram(self, datagram: Message, now: float) -> None:
        """Take one user message from the association; only stream, ppid and data are looked at."""
        self.receive_message(datagram.stream_id, datagram.ppid, datagram.data, now)

    def receive_message(self, stream_id: int, ppid: int, data: bytes, now: float) -> None:
        """Take one user message from the association.

        Args:
            stream_id: Stream it came on.
            ppid: Its payload protocol identifier.
            data: The whole message.
            now: Seconds.
        """
        event = self.take_message(stream_id, ppid, data, now)
        if event is not None:
            self._events.append(event)

    def take_message(self, stream_id: int, ppid: int, data: bytes, now: float) -> MessageReceived | None:
        """Do what `receive_message` does, but return the event, for a holder that has taken all those before it.

        Returns:
            The event of a user message; None if it is none, or of no use.
        """
        if now > self._now:  # as `_clamp` does
            self._now = now
        channel = self._channels.get(stream_id)
        if channel is None or channel.state != "open" or ppid == DCEP:
            self._receive_otherwise(channel, stream_id, ppid, data)
            return None
        content: bytes | str
        if ppid == BINARY:
            content = data
        elif ppid == STRING:
            try:
                content = data.decode()
            except UnicodeDecodeError:
                self.dropped["bad-utf8"] += 1
                return None
        elif ppid == BINARY_EMPTY:
            content = b""
        elif ppid == STRING_EMPTY:
            content = ""
        else:
            # Deviates: RFC 8831 section 6.6 would close the channel; one message less harms the application less.
            self.dropped["deprecated-ppid" if ppid in {BINARY_PARTIAL, STRING_PARTIAL} else "unknown-ppid"] += 1
            return None
        if channel.awaits_ack:
            self._acknowledge(channel)
        channel.messages_received += 1
        channel.bytes_received += len(data) if content else 0
        return MessageReceived(channel, content)

    def handle_timer(self, now: float) -> None:
        """Give up waiting for stream resets, if `close` was called long enough ago."""
        if self._timers.expire(self._clamp(now)):
            self.abort(now)

    def datagrams_to_send(self, now: float) -> list[Message]:
        """Return the user messages that must go to the association, in order."""
        self._clamp(now)
        outbox, self.outbox = self.outbox, []
        self._pending_bytes = 0
        return outbox

    def close(self, now: float) -> None:
        """Close all channels in the orderly way; `Closed` follows within `CLOSE_TIMEOUT` seconds. Idempotent."""
        now = self._clamp(now)
        if self._closing or self._closed:
            return
        self._closing = True
        for channel in self.channels:
            self.close_channel(channel, now)
        if self._channels:
            self._timers.set("close", now + CLOSE_TIMEOUT)
        else:
            self._end(None)

    # Opening

    def _free_id(self) -> int | None:
        """Return the lowest unused id of our parity; None if there is none, or no role yet."""
        if self._is_dtls_client is None:
            return None
        first = 0 if self._is_dtls_client else 1
        used, resetting = self._channels, self._resetting
        return next((i for i in range(first, self._streams, 2) if i not in used and i not in resetting), None)

    def _check_negotiated_id(self, channel_id: int | None) -> None:
        if channel_id is None:
            raise ArgumentError("a negotiated channel needs an id")
        if not 0 <= channel_id < self._streams:
            raise ArgumentError(f"the id must be 0..{self._streams - 1}, not {channel_id}")
        if channel_id in self._channels or channel_id in self._resetting:
            raise LocalError(f"id {channel_id} is used")

    def _establish(self, channel: Channel) -> None:
        channel.state = "open"
        if not channel.negotiated and channel.id is not None:
            channel.awaits_ack = channel.send_ordered = True
            request = Open(
                channel.label,
                channel.protocol,
                channel.ordered,
                channel.max_retransmits,
                channel.max_packet_life_time,
                channel.priority,
            )
            self.outbox.append(Message(channel.id, DCEP, serialize(request), priority=channel.priority))
        self._events.append(ChannelOpened(channel))

    @staticmethod
    def _acknowledge(channel: Channel) -> None:
        channel.awaits_ack = False
        channel.send_ordered = channel.ordered

    # Receiving what is not a user message on an open channel

    def _receive_otherwise(self, channel: Channel | None, stream_id: int, ppid: int, data: bytes) -> None:
        if self._closed or not self._connected:
            self.dropped["closed" if self._closed else "not-connected"] += 1
        elif ppid == DCEP:
            self._receive_dcep(channel, stream_id, data)
        else:
            # Deviates: RFC 8832 section 6 would reset an unused stream. But a negotiated channel's first messages
            # may come before the application here has opened its end, and the reset would kill it.
            self.dropped["unknown-stream" if channel is None else "channel-closing"] += 1

    def _receive_dcep(self, channel: Channel | None, stream_id: int, data: bytes) -> None:
        try:
            message = parse(data)
        except ParseError as error:
            self._refuse(channel, stream_id, error.reason)
            return
        if isinstance(message, Open):
            self._receive_open(channel, stream_id, message)
        elif channel is not None and channel.awaits_ack and channel.state == "open":
            self._acknowledge(channel)
        else:
            self.dropped["unexpected-ack"] += 1

    def _receive_open(self, channel: Channel | None, stream_id: int, message: Open) -> None:
        if self._closing:
            self.dropped["closing"] += 1
            return
        if channel is not None and channel.state == "closing" and channel.reset_by_peer:
            # The peer reuses the stream, so our reset has arrived there even if we do not know yet.
            self._resetting.discard(stream_id)
            self._finish_if_reset(channel)
            channel = None
        if channel is not None or stream_id in self._resetting:
            self._refuse(channel, stream_id, "stream-in-use")
        elif not 0 <= stream_id < self._streams:
            self.dropped["bad-stream-id"] += 1
        elif self._is_dtls_client is not None and stream_id & 1 == (not self._is_dtls_client):
            self._refuse(None, stream_id, "wrong-parity")
        elif len(self._channels) + len(self._without_id) >= self._max_channels:
            self._refuse(None, stream_id, "too-many-channels")
        else:
            self._accept(stream_id, message)

    def _accept(self, stream_id: int, message: Open) -> None:
        channel = self._channels[stream_id] = _channel_of(message, stream_id, negotiated=False)
        channel.state = "open"
        self.outbox.append(Message(stream_id, DCEP, serialize(Ack()), priority=message.priority))
        self._events.append(ChannelAnnounced(channel))
        self._events.append(ChannelOpened(channel))

    def _refuse(self, channel: Channel | None, stream_id: int, reason: str) -> None:
        """Count a bad DCEP message and close what it was about (RFC 8832 section 6)."""
        self.dropped[reason] += 1
        if channel is None:
            if 0 <= stream_id < self._streams and len(self._resetting) < MAX_PENDING_RESETS:
                self._request_reset(stream_id)
        elif channel.state == "open":
            self._begin_closing(channel, PeerError("datachannel", reason))

    # Closing

    def _request_reset(self, stream_id: int) -> None:
        if stream_id not in self._resetting:
            self._resetting.add(stream_id)
            self._events.append(ResetRequested(stream_id))

    def _begin_closing(self, channel: Channel, error: PeerError | None) -> None:
        channel.state = "closing"
        channel.error = error
        self._events.append(ChannelClosing(channel))
        if channel.id is not None:
            self._request_reset(channel.id)

    def _finish_if_reset(self, channel: Channel) -> None:
        if channel.state == "closing" and channel.reset_by_peer and channel.id not in self._resetting:
            self._finish(channel, channel.error)
            if self._closing and not self._channels:
                self._end(None)

    def _finish(self, channel: Channel, error: PeerError | None) -> None:
        channel.state = "closed"
        channel.error = error
        if channel in self._without_id:
            self._without_id.remove(channel)
        elif channel.id is not None and self._channels.get(channel.id) is channel:
            del self._channels[channel.id]
        self._events.append(ChannelClosed(channel, error))

    def _end(self, error: PeerError | None) -> None:
        self._closed = True
        self._timers.clear()
        self.outbox.clear()
        self._resetting.clear()
        self._events.append(Closed(error))


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise LocalError("the string holds a lone surrogate and has no UTF-8 form") from None


def _channel_of(request: Open, channel_id: int | None, *, negotiated: bool) -> Channel:
    return Channel(
        request.label,
        request.protocol,
        ordered=request.ordered,
        max_retransmits=request.max_retransmits,
        max_packet_life_time=request.max_packet_life_time,
        negotiated=negotiated,
        id=channel_id,
        priority=request.priority,
    )
