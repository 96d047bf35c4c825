"""RTCDataChannel."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..datachannel import Channel
from .events import EventTarget

if TYPE_CHECKING:
    from .peer_connection import RTCPeerConnection

MAX_UNHEARD: Final = 1024
"""Messages kept until somebody listens to `message`; past that the oldest are dropped and counted."""

MAX_UNHEARD_BYTES: Final = 16 * 1024 * 1024
"""Bytes (of text: characters) of such messages: more than a listener that comes a moment late can have missed."""


class RTCDataChannel(EventTarget):
    """A data channel. Events: `open`, `message` (str or bytes), `bufferedamountlow`, `closing`, `close`, `error`."""

    def __init__(self, connection: "RTCPeerConnection", channel: Channel) -> None:
        super().__init__()
        self._connection = connection
        self._channel = channel
        self._threshold = 0
        self._unheard: deque[bytes | str] = deque()
        self._unheard_bytes = 0
        self._listening = False
        self.dropped = 0
        self.above_threshold = False
        self.on("new_listener", self._on_new_listener)

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
    def bufferedAmount(self) -> int:
        """Bytes sent that have not left yet."""
        return self._connection.buffered_amount(self._channel)

    @property
    def bufferedAmountLowThreshold(self) -> int:
        """At or below how many buffered bytes `bufferedamountlow` fires."""
        return self._threshold

    @bufferedAmountLowThreshold.setter
    def bufferedAmountLowThreshold(self, value: int) -> None:
        if not 0 <= value <= 0xFFFFFFFF:
            raise ValueError(f"bufferedAmountLowThreshold must be 0..4294967295, not {value}")
        self._threshold = value

    # -- actions -----------------------------------------------------------------------------------------------

    def send(self, data: bytes | bytearray | memoryview | str) -> None:
        """Send a message.

        Raises:
            TypeError: It is neither bytes nor str.
            InvalidStateError: The channel is not open.
            OperationError: The send buffer is full, or the message is larger than the peer takes.
        """
        if not isinstance(data, bytes | str):
            if not isinstance(data, bytearray | memoryview):
                raise TypeError(f"a message is bytes or str, not {type(data).__name__}")
            data = bytes(data)
        self._connection.send_message(self, self._channel, data)

    def close(self) -> None:
        """Close once what was sent is delivered; `close` fires when both sides have."""
        self._connection.close_channel(self._channel)

    # -- called by the connection ------------------------------------------------------------------------------

    def deliver(self, data: bytes | str) -> None:
        """Hand a message to the application, or keep it until there is a listener."""
        if self._listening and not self._unheard:
            self.dispatch("message", data)
            return
        self._unheard.append(data)
        self._unheard_bytes += len(data)
        while len(self._unheard) > MAX_UNHEARD or self._unheard_bytes > MAX_UNHEARD_BYTES:
            self._unheard_bytes -= len(self._unheard.popleft())
            self.dropped += 1

    def check_threshold(self) -> bool:
        """Fire `bufferedamountlow` if what is buffered fell to the threshold; return whether anybody heard."""
        if self.bufferedAmount > self._threshold:
            return False
        self.above_threshold = False
        return self.dispatch("bufferedamountlow")

    def _on_new_listener(self, event: str, _listener: Any) -> None:
        if event == "message" and not self._listening:
            self._listening = True
            if self._unheard:
                asyncio.get_running_loop().call_soon(self._deliver_unheard)

    def _deliver_unheard(self) -> None:
        while self._unheard:
            data = self._unheard.popleft()
            self._unheard_bytes -= len(data)
            self.dispatch("message", data)
