"""What we tell senders that know more than REMB: when each of their packets arrived."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from .. import rtp
from .reports import TRANSPORT_CC
from .transceiver import Transceiver

FEEDBACK_INTERVAL: Final = 0.05
"""Seconds between reports on packets: what a sender needs to notice a full path within the next picture or two."""

Generator: TypeAlias = rtp.TransportFeedbackGenerator


class Reporting:
    """Reports on the packets of all receivers of a transport, of the kind that was agreed.

    Args:
        ssrc: Sender SSRC of the reports.

    Attributes:
        generator: Makes them; None until a section that we receive has agreed to some.
    """

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._extension_id: int | None = None
        self.generator: Generator | None = None

    def configure(self, transceivers: Sequence[Transceiver], now: float) -> None:
        """Take note of what a negotiation has agreed on."""
        agreed = (t for t in transceivers if t.receiver is not None and t.reports == TRANSPORT_CC)
        extension_id = next((t.extensions[rtp.TRANSPORT_CC] for t in agreed), None)
        if extension_id is None or extension_id == self._extension_id:
            return
        if self.generator is not None:
            self.generator.close(now)
        self._extension_id = extension_id
        self.generator = rtp.TransportFeedbackGenerator(
            ssrc=self._ssrc, extension_id=extension_id, interval=FEEDBACK_INTERVAL
        )

    def receive_packet(self, transceiver: Transceiver, packet: rtp.Packet, now: float) -> None:
        """Take note of a packet that has arrived.

        One with a number is reported on whatever codec it is of: who numbers it counts what is missing as lost.
        """
        if self.generator is not None and transceiver.extensions.get(rtp.TRANSPORT_CC) == self._extension_id:
            self.generator.receive_packet(packet, now)
