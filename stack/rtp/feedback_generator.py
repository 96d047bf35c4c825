"""What tells a sender when the packets of a whole transport arrived, whatever the form of the reports."""

from abc import abstractmethod
from collections.abc import Sequence

from ..core import LocalError, Machine, ParseError
from .events import Closed
from .packet import Packet
from .rtcp import RtcpPacket, serialize


class FeedbackGenerator(Machine[bytes, bytes, Closed]):
    """Collects the arrivals of one transport and reports them: the first new one arms a timer of `interval`.

    Args:
        ssrc: Sender SSRC of the feedback: any local one.
        interval: Seconds between reports.
    """

    def __init__(self, ssrc: int, interval: float) -> None:
        super().__init__()
        if not 0.0 < interval < float("inf"):
            raise LocalError(f"an interval of {interval} s")
        self.ssrc = ssrc
        self._interval = interval
        self._due = False
        self._closed = False

    def receive_datagram(self, datagram: bytes, now: float) -> None:
        """Take an RTP packet as it came."""
        now = self._clamp(now)
        try:
            packet = Packet.parse(datagram)
        except ParseError as error:
            self.dropped[error.reason] += 1
            return
        self.receive_packet(packet, now)

    @abstractmethod
    def receive_packet(self, packet: Packet, now: float) -> None:
        """Take an RTP packet already parsed."""

    def handle_timer(self, now: float) -> None:
        """Make a report due."""
        if self._timers.expire(self._clamp(now)):
            self._due = True

    def datagrams_to_send(self, now: float) -> list[bytes]:
        """Return the reports that are due, one RTCP packet per datagram."""
        now = self._clamp(now)
        if not self._due:
            return []
        self._due = False
        return [serialize([report]) for report in self._reports(now)]

    @abstractmethod
    def _reports(self, now: float) -> Sequence[RtcpPacket]:
        """Return what came since the last reports, each small enough for a datagram."""

    def close(self, now: float) -> None:
        """End at once: nobody waits for feedback about a transport that is closing."""
        self._clamp(now)
        if self._closed:
            return
        self._closed = True
        self._due = False
        self._timers.clear()
        self._forget_all()
        self._events.append(Closed())

    @abstractmethod
    def _forget_all(self) -> None:
        """Let go of all arrivals."""
