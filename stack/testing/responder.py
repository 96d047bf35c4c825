"""A machine that answers each datagram by a function: a STUN server, or an echo."""

from collections.abc import Callable
from typing import Final

from ..core import Address, Datagram, Machine

MAX_ANSWERS: Final = 10_000
"""Between two drains, and a network drains after every step: more than that is a loop."""


class Responder(Machine[Datagram, Datagram, None]):
    """Answers what it receives, back to where it came from.

    Args:
        answer: Given payload and source; returns the answer, or None for none. `stun.binding_response` makes it a
            STUN server.
    """

    def __init__(self, answer: Callable[[bytes, Address], bytes | None]) -> None:
        super().__init__()
        self._answer = answer
        self._outgoing: list[Datagram] = []
        self._closed = False

    def receive_datagram(self, datagram: Datagram, now: float) -> None:
        """Answer it."""
        self._clamp(now)
        if self._closed:
            self.dropped["closed"] += 1
        elif len(self._outgoing) >= MAX_ANSWERS:
            self.dropped["send-queue-full"] += 1
        else:
            answer = self._answer(datagram.data, datagram.remote)
            if answer is None:
                self.dropped["not-answered"] += 1
            else:
                self._outgoing.append(Datagram(answer, datagram.remote, datagram.local))

    def handle_timer(self, now: float) -> None:
        """Nothing is ever due."""
        self._clamp(now)

    def datagrams_to_send(self, now: float) -> list[Datagram]:
        """Return the answers."""
        self._clamp(now)
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def close(self, now: float) -> None:
        """Answer no more."""
        self._clamp(now)
        self._closed = True
        self._outgoing.clear()
