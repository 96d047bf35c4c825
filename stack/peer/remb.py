"""What we tell senders that know only REMB: how much arrives without queueing (draft-alvestrand-rmcat-remb)."""

from collections.abc import Sequence

from .. import bwe, rtp
from .transceiver import Transceiver


class RembFeedback:
    """Estimates for the receivers of a transport whose senders get no report on single packets.

    Args:
        bitrates: Smallest, first and largest estimate, bit/s.
    """

    def __init__(self, bitrates: tuple[int, int, int]) -> None:
        self._bitrates = bitrates
        self._estimator: bwe.RemoteEstimator | None = None
        self._receivers: dict[int, tuple[rtp.Receiver, int | None]] = {}

    def configure(self, transceivers: Sequence[Transceiver]) -> None:
        """Take note of which receivers want it, after a negotiation."""
        self._receivers = {
            id(reception.receiver): (reception.receiver, transceiver.extensions.get(rtp.ABS_SEND_TIME))
            for transceiver in transceivers
            for reception in transceiver.receptions.values()
            if reception.receiver.sends_remb
        }
        if self._receivers and self._estimator is None:
            low, start, high = self._bitrates
            self._estimator = bwe.RemoteEstimator(min_bitrate=low, start_bitrate=start, max_bitrate=high)

    def receive_packet(self, receiver: rtp.Receiver, packet: rtp.Packet, size: int, now: float) -> None:
        """Take note of a packet that has arrived."""
        known = self._receivers.get(id(receiver))
        if known is None or self._estimator is None:
            return
        value = None if known[1] is None else packet.extensions.get(known[1])
        sent = int.from_bytes(value, "big") if value is not None and len(value) == 3 else None
        self._estimator.packet_received(packet.ssrc, size, now, abs_send_time=sent)
        self._tell(now)

    def _tell(self, now: float) -> None:
        estimator = self._estimator
        while estimator is not None and (event := estimator.next_event()) is not None:
            if isinstance(event, bwe.BitrateEstimated):
                for receiver, _ in self._receivers.values():  # each speaks for its own stream
                    receiver.request_bitrate(max(event.bitrate // len(self._receivers), 1), now)

    def handle_timer(self, now: float) -> None:
        """Pass time on."""
        if self._estimator is not None:
            self._estimator.handle_timer(now)
            self._tell(now)

    def next_timer(self) -> float | None:
        """When the next estimate is due."""
        return None if self._estimator is None else self._estimator.next_timer()

    def close(self, now: float) -> None:
        """Tell nobody any more."""
        self._receivers.clear()
        if self._estimator is not None:
            self._estimator.close(now)
            self._estimator = None
