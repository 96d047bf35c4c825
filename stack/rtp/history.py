"""What was sent lately and may be asked for again, bounded by time, number and octets."""

from collections import deque
from typing import TypeAlias

HISTORY_SECONDS = 1.0  # later a live frame is worth nothing
HISTORY_PACKETS = 2048  # HISTORY_SECONDS of 18 Mbit/s
HISTORY_BYTES = 2 << 20  # HISTORY_SECONDS of 16 Mbit/s, whatever the size of packets
RETRANSMISSION_RATIO = 0.5  # octets that may be sent again per octet sent: more would feed a congestion
RETRANSMISSION_BURST = 100_000  # octets: a lost keyframe can be repaired at once
ON_ITS_WAY = 0.75  # of a round trip; browsers ask again every round trip, which may be shorter than the one we know


Sent: TypeAlias = tuple[int, int, int, bytes, float]
"""A packet that was sent: sequence number, second octet (marker and payload type), timestamp, what is kept, when.

What is kept is its payload; or the whole packet, where it will be sent again as it was."""


class History:
    """The packets of one stream that may be sent again, and how much of that is allowed."""

    __slots__ = ("_allowance", "_octets", "_order", "_packets", "_resent")

    def __init__(self) -> None:
        self._packets: dict[int, Sent] = {}
        self._order: deque[Sent] = deque()
        self._octets = 0
        self._resent: dict[int, float] = {}
        self._allowance = float(RETRANSMISSION_BURST)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def octets(self) -> int:
        """Octets kept."""
        return self._octets

    def add(self, packets: list[Sent], octets: int) -> None:
        """Remember packets just sent, of `octets` of payload together."""
        self._order.extend(packets)
        for packet in packets:
            self._packets[packet[0]] = packet
            self._octets += len(packet[3])
        self._allowance = min(RETRANSMISSION_BURST, self._allowance + RETRANSMISSION_RATIO * octets)
        self.forget(packets[-1][4] if packets else float("-inf"))

    def forget(self, now: float) -> None:
        """Forget what is too old or too much."""
        order, packets, oldest = self._order, self._packets, now - HISTORY_SECONDS
        while order and (order[0][4] < oldest or len(order) > HISTORY_PACKETS or self._octets > HISTORY_BYTES):
            packet = order.popleft()
            self._octets -= len(packet[3])
            if packets.get(packet[0]) is packet:
                del packets[packet[0]]
                self._resent.pop(packet[0], None)

    def take(self, sequence_number: int, now: float, rtt: float) -> tuple[Sent | None, str]:
        """Return the packet to send again, or None and why not.

        The reasons are `nack-too-old`, `nack-repeated` and `retransmission-limit`.

        Args:
            sequence_number: 16 bits.
            now: Seconds.
            rtt: Round trip in seconds: what was sent again since may still be on its way.
        """
        packet = self._packets.get(sequence_number)
        if packet is None or now - packet[4] > HISTORY_SECONDS:
            return None, "nack-too-old"
        resent_at = self._resent.get(sequence_number)
        if resent_at is not None and (now - resent_at < rtt * ON_ITS_WAY or resent_at == now):
            return None, "nack-repeated"
        if self._allowance < len(packet[3]):
            return None, "retransmission-limit"
        self._allowance -= len(packet[3])
        self._resent[sequence_number] = now
        return packet, ""

    def newest(self, count: int) -> list[Sent]:
        """Return up to `count` packets, the newest first."""
        order = self._order
        return [order[-1 - index] for index in range(min(count, len(order)))]
