"""What an association reports."""

from dataclasses import dataclass
from typing import TypeAlias

from ..core import PeerError


@dataclass(slots=True)
class Established:
    """The association is up.

    Attributes:
        outbound_streams: Stream ids below this can be sent on.
        inbound_streams: Stream ids below this can arrive.
    """

    outbound_streams: int
    inbound_streams: int


@dataclass(slots=True)
class MessageReceived:
    """A whole user message arrived.

    Attributes:
        stream_id: Its stream.
        ppid: Payload protocol identifier.
        data: The message.
    """

    stream_id: int
    ppid: int
    data: bytes


@dataclass(slots=True)
class StreamsReset:
    """The peer reset its outgoing streams, which are ours to receive on (RFC 6525 section 5.2.2)."""

    stream_ids: tuple[int, ...]


@dataclass(slots=True)
class OutgoingStreamsReset:
    """The peer answered a reset of our outgoing streams (RFC 6525 section 5.2.7).

    Attributes:
        stream_ids: The streams.
        ok: Whether they were reset; if not, they go on with the sequence numbers they had.
    """

    stream_ids: tuple[int, ...]
    ok: bool


@dataclass(slots=True)
class StreamsAdded:
    """The association has more streams, or the peer refused to have them (RFC 6525 section 5.2.5 to section 5.2.7).

    Attributes:
        outbound_streams: Stream ids below this can be sent on now.
        inbound_streams: Stream ids below this can arrive now.
        ok: False if what we asked for was refused.
    """

    outbound_streams: int
    inbound_streams: int
    ok: bool


@dataclass(slots=True)
class Restarted:
    """The peer has lost its state and set the association up anew (RFC 9260 section 5.2.4.1).

    What it had not acknowledged may be lost, what waits is sent to it; sequence numbers begin at 0.

    Attributes:
        outbound_streams: Stream ids below this can be sent on.
        inbound_streams: Stream ids below this can arrive.
    """

    outbound_streams: int
    inbound_streams: int


@dataclass(slots=True)
class Closed:
    """Terminal: the association is over.

    Attributes:
        error: Why, or None after an orderly shutdown or an own abort.
    """

    error: PeerError | None


Event: TypeAlias = (
    Established | MessageReceived | StreamsReset | OutgoingStreamsReset | StreamsAdded | Restarted | Closed
)
