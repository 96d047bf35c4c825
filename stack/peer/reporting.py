"""What we tell senders that know more than REMB: when each of their packets arrived."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from .. import rtp
from .reports import CCFB, TRANSPORT_CC
from .transceiver import Transceiver, receives

FEEDBACK_INTERVAL: Final = 0.05
"""Seconds between reports on packets: what a sender needs to notice a full path within the next picture or two."""

Generator: TypeAlias = rtp.TransportFeedbackGenerator | rtp.CongestionFeedbackGenerator


class Reporting:
    """Reports on the packets of all receivers of a transport, of the kind that was agreed.

    Args:
        ssrc: Sender SSRC of the reports.
        ntp_offset: Seconds to add to `now` for NTP time, which RFC 8888's have.

    Attributes:
        generator: Makes them; None until a section that we receive has agreed to some.
    """

    def __init__(self, ssrc: int, ntp_offset: float) -> None:
        self._ssrc, self._ntp_offset = ssrc, ntp_offset
        self._known: tuple[str, int | None] | None = None  # the kind, and the number of the extension
        self.generator: Generator | None = None

    def configure(self, transceivers: Sequence[Transceiver], now: float) -> None:
        """Take note of what a negotiation has agreed on."""
        wanted = next(
            (
                (transceiver.reports, transceiver.extensions.get(rtp.TRANSPORT_CC))
                for transceiver in transceivers
                if receives(transceiver.current_direction) and transceiver.reports is not None
            ),
            None,
        )
        if wanted is None or wanted == self._known:
            return
        if self.generator is not None:
            self.generator.close(now)
        self._known = wanted
        kind, extension_id = wanted
        if kind == CCFB:
            self.generator = rtp.CongestionFeedbackGenerator(
                ssrc=self._ssrc, ntp_offset=self._ntp_offset, interval=FEEDBACK_INTERVAL
            )
        elif kind == TRANSPORT_CC and extension_id is not None:
            self.generator = rtp.TransportFeedbackGenerator(
                ssrc=self._ssrc, extension_id=extension_id, interval=FEEDBACK_INTERVAL
            )

    def receive_packet(self, transceiver: Transceiver, packet: rtp.Packet, now: float) -> None:
        """Take note of a packet that has arrived.

        One with a number is reported on whatever codec it is of: who numbers it counts what is missing as lost.
        """
        if self.generator is not None and (transceiver.reports == CCFB or rtp.TRANSPORT_CC in transceiver.extensions):
            self.generator.receive_packet(packet, now)
