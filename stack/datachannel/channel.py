"""The values of the layer: channels, the messages that carry them, and events."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..core import PeerError

State: TypeAlias = Literal["connecting", "open", "closing", "closed"]


@dataclass(slots=True)
class Message:
    """One user message of the association below, with what it must know to carry it.

    Args:
        stream_id: Stream, 0..65534.
        ppid: Payload protocol identifier.
        data: The message, never empty on the wire.
        ordered: Whether it is delivered in order with the others of its stream.
        max_retransmits: Retransmissions at most; None for no limit.
        max_packet_life_time: Milliseconds after which it may be given up; None for no limit.
        priority: Weight among the streams (RFC 8831 section 6.4).
        latest: Whether it replaces the user messages of its stream that have not begun to leave.
    """

    stream_id: int
    ppid: int
    data: bytes
    ordered: bool = True
    max_retransmits: int | None = None
    max_packet_life_time: float | None = None
    priority: int = 256
    latest: bool = False


class Channel:
    """A data channel. Made by `Endpoint.open` or announced by the peer; read it, write to nothing but `latest`.

    Attributes:
        id: Stream identifier; None until the DTLS role is known, for a channel opened in band.
        label: Name, not necessarily unique.
        protocol: Subprotocol, or empty.
        ordered: Whether messages are delivered in order.
        max_retransmits: Retransmissions of a message at most, or None.
        max_packet_life_time: Milliseconds for which a message may be transmitted, or None.
        negotiated: Whether both sides agreed on it out of band, so that no DCEP message is sent.
        priority: Weight among the channels.
        state: `connecting`, `open`, `closing` or `closed`.
        awaits_ack: Whether the peer has yet to answer our DATA_CHANNEL_OPEN.
        send_ordered: Whether messages are sent in order for now; an unordered channel does so until it is answered.
        reset_by_peer: Whether the peer has reset its stream.
        error: Why the channel is closing or closed, unless that is in the orderly way.
        latest: Whether a message replaces those before it that have not begun to leave.
        messages_sent: How many were handed to the association; bytes_sent is their payload, octets.
        messages_received: How many came; bytes_received is their payload, octets.
    """

    __slots__ = (
        "awaits_ack",
        "bytes_received",
        "bytes_sent",
        "error",
        "id",
        "label",
        "latest",
        "max_packet_life_time",
        "max_retransmits",
        "messages_received",
        "messages_sent",
        "negotiated",
        "ordered",
        "priority",
        "protocol",
        "reset_by_peer",
        "send_ordered",
        "state",
    )

    def __init__(
        self,
        label: str,
        protocol: str,
        *,
        ordered: bool,
        max_retransmits: int | None,
        max_packet_life_time: int | None,
        negotiated: bool,
        id: int | None,  # noqa: A002  the name in the W3C API
        priority: int,
    ) -> None:
        self.id = id
        self.label = label
        self.protocol = protocol
        self.ordered = ordered
        self.max_retransmits = max_retransmits
        self.max_packet_life_time = max_packet_life_time
        self.negotiated = negotiated
        self.priority = priority
        self.state: State = "connecting"
        self.awaits_ack = False
        self.send_ordered = ordered
        self.reset_by_peer = False
        self.error: PeerError | None = None
        self.latest = False
        self.messages_sent = self.bytes_sent = self.messages_received = self.bytes_received = 0

    def __repr__(self) -> str:
        return f"Channel(id={self.id}, label={self.label!r}, state={self.state!r})"


@dataclass(slots=True)
class ChannelAnnounced:
    """The peer opened a channel; it is open, and `ChannelOpened` follows."""

    channel: Channel


@dataclass(slots=True)
class ChannelOpened:
    """Messages may be sent."""

    channel: Channel


@dataclass(slots=True)
class MessageReceived:
    """A message came: `str` if the peer sent a string, `bytes` otherwise."""

    channel: Channel
    data: str | bytes


@dataclass(slots=True)
class ChannelClosing:
    """A channel began to close, and not because of `close_channel`: the peer wants it or violated the protocol."""

    channel: Channel


@dataclass(slots=True)
class ChannelClosed:
    """A channel is closed; its id may be used again.

    Args:
        channel: The channel.
        error: Why, unless it was closed in the orderly way.
    """

    channel: Channel
    error: PeerError | None = None


@dataclass(slots=True)
class ResetRequested:
    """Reset this outgoing stream (RFC 6525) behind what was sent on it; then call `outgoing_reset_done`."""

    stream_id: int


@dataclass(slots=True)
class Closed:
    """The endpoint is at its end; nothing comes after this.

    Args:
        error: Why, unless it was closed locally.
    """

    error: PeerError | None = None


Event: TypeAlias = (
    ChannelAnnounced | ChannelOpened | MessageReceived | ChannelClosing | ChannelClosed | ResetRequested | Closed
)
