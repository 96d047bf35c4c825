"""A chunk that was sent, for as long as it is not acknowledged cumulatively."""

from typing import Final

from .streams import Message

IN_FLIGHT: Final = 0
ACKED: Final = 1
LOST: Final = 2  # waits to be sent again
ABANDONED: Final = 3


class Sent:
    """A DATA chunk with a TSN.

    Attributes:
        chunk: As on the wire, padded.
        size: Its length: what it counts for in flight size.
        message: The message it belongs to.
        packet: Number of the packet that carried it last.
        sent_at: When that was.
        state: IN_FLIGHT, ACKED, LOST or ABANDONED.
        transmissions: How often it was sent.
    """

    __slots__ = ("chunk", "message", "packet", "sent_at", "size", "state", "transmissions")

    def __init__(self, chunk: bytes, size: int, message: Message, packet: int, sent_at: float) -> None:
        self.chunk = chunk
        self.size = size
        self.message = message
        self.packet = packet
        self.sent_at = sent_at
        self.state = IN_FLIGHT
        self.transmissions = 1
