"""RTP and RTCP of a transport between their senders and receivers and SRTP (RFC 5764, RFC 5761)."""

from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from .. import srtp
from ..core import DropPacket
from ..demux import RTP

MAX_EARLY_RTP: Final = 64
"""Media packets kept while the keys do not exist yet: the first frame or so."""
MAX_PENDING_RTP: Final = 4096
"""Decrypted media packets waiting for the connection to take them; drained after every batch."""

PacketLog: TypeAlias = Callable[[bool, str, bytes], object]
"""Called with each packet in cleartext: whether it leaves, its protocol (`rtp`, `rtcp`, `sctp`, `stun`), its bytes."""


def _is_rtcp(packet: bytes) -> bool:
    """Tell RTCP from RTP (RFC 5761 section 4)."""
    return 192 <= packet[1] <= 223


class SecureMedia:
    """Protects what leaves and unprotects what comes, once there are keys.

    Args:
        packet_log: See `PacketLog`; None for none.
        encrypts_extensions: Whether `encrypt_extensions` will be of use.

    Attributes:
        profile: Number of the SRTP protection profile; None before there are keys.
        dropped: Packets by reason.
        rtp: What `take_rtp` would return; `rtcp` and `out` are what `take_rtcp` and `take` would.
    """

    def __init__(self, packet_log: PacketLog | None = None, *, encrypts_extensions: bool = False) -> None:
        self.profile: int | None = None
        self.dropped: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()  # what SRTP has just dropped, not yet in `dropped`
        self._sender: srtp.Sender | None = None
        self._receiver: srtp.Receiver | None = None
        self._local: tuple[bytes, bytes] | None = None  # key and salt until there is something to protect
        self._remote: tuple[bytes, bytes] | None = None  # and to unprotect: connections for data alone never need them
        self._log = packet_log
        self._encrypted: set[int] | None = set() if encrypts_extensions else None
        self._early: deque[bytes] = deque()
        self.rtp: deque[bytes] = deque()
        self.rtcp: deque[bytes] = deque()
        self.out: list[bytes] = []

    def set_keys(self, profile: int, material: bytes, *, is_client: bool) -> list[bytes]:
        """Take what the handshake exported; returns what came before, to be classified again."""
        local_key, local_salt, remote_key, remote_salt = srtp.split_keying_material(
            profile, material, is_client=is_client
        )
        self.profile = profile
        self._local, self._remote = (local_key, local_salt), (remote_key, remote_salt)
        self._sender = self._receiver = None
        early, self._early = self._early, deque()
        return list(early)

    def encrypt_extensions(self, ids: Collection[int]) -> None:
        """Encrypt the header extensions with these ids, 1 to 255, from now on, and decrypt them (RFC 6904)."""
        if self._encrypted is not None:
            self._encrypted.clear()
            self._encrypted.update(ids)

    def forget_keys(self) -> None:
        """Neither protect nor unprotect any more."""
        self._sender = self._receiver = self._local = self._remote = None

    def _new_receiver(self) -> srtp.Receiver | None:
        if self._remote is not None and self.profile is not None:
            self._receiver = srtp.Receiver(self.profile, *self._remote, encrypted_extensions=self._encrypted)
            self._remote = None
        return self._receiver

    def _new_sender(self) -> srtp.Sender | None:
        if self._local is not None and self.profile is not None:
            self._sender = srtp.Sender(self.profile, *self._local, encrypted_extensions=self._encrypted)
            self._local = None
        return self._sender

    # -- in ----------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, kind: int) -> None:
        """Take a packet that was classified as `demux.RTP` or `demux.RTCP`."""
        if kind == RTP:
            self.receive_rtp((data,))
            return
        receiver = self._receiver or self._new_receiver()
        if receiver is None:
            self._keep(self._early, (data,), MAX_EARLY_RTP, "too-much-early-media")
            return
        try:
            plain = receiver.unprotect_rtcp(data)
        except DropPacket as drop:
            self.dropped[f"srtp-{drop.reason}"] += 1
            return
        if self._log is not None:
            self._log(False, "rtcp", plain)
        self._keep(self.rtcp, (plain,), MAX_PENDING_RTP, "too-much-media")

    def receive_rtp(self, batch: Sequence[bytes]) -> None:
        """Take packets that were classified as `demux.RTP`, in order."""
        receiver = self._receiver or self._new_receiver()
        if receiver is None:
            self._keep(self._early, batch, MAX_EARLY_RTP, "too-much-early-media")
            return
        packets = receiver.unprotect_batch(batch, self._refused)
        if self._refused:
            self._count_refused()
        if self._log is not None:
            for plain in packets:
                self._log(False, "rtp", plain)
        self._keep(self.rtp, packets, MAX_PENDING_RTP, "too-much-media")

    def _count_refused(self) -> None:
        for reason, count in self._refused.items():
            self.dropped[f"srtp-{reason}"] += count
        self._refused.clear()

    def _keep(self, queue: deque[bytes], batch: Sequence[bytes], limit: int, reason: str) -> None:
        """Queue what is live: the oldest makes room for it."""
        queue.extend(batch)
        while len(queue) > limit:
            queue.popleft()
            self.dropped[reason] += 1

    def take_rtp(self) -> list[bytes]:
        """Return and forget the RTP packets that came in, decrypted."""
        packets = list(self.rtp)
        self.rtp.clear()
        return packets

    def take_rtcp(self) -> list[bytes]:
        """Return and forget the RTCP packets that came in, decrypted."""
        packets = list(self.rtcp)
        self.rtcp.clear()
        return packets

    # -- out ---------------------------------------------------------------------------------------------------

    @property
    def can_send(self) -> bool:
        """Whether there are keys."""
        return self._sender is not None or self._local is not None

    def send(self, packets: Sequence[bytes]) -> None:
        """Protect RTP and RTCP packets, told apart by RFC 5761 section 4, for the next `take`."""
        # Senders and receivers give their reports apart from the media: packets of both kinds seldom come together.
        if not any(map(_is_rtcp, packets)):
            self.send_rtp(packets)
            return
        if (sender := self._sender_of(packets)) is None:
            return
        for packet in packets:
            try:
                self.out.append(sender.protect_rtcp(packet) if _is_rtcp(packet) else sender.protect(packet))
            except DropPacket as drop:
                self.dropped[f"srtp-{drop.reason}"] += 1

    def send_rtp(self, packets: Sequence[bytes]) -> None:
        """Protect RTP packets for the next `take`."""
        if (sender := self._sender_of(packets)) is None:
            return
        self.out += sender.protect_batch(packets, self._refused)
        if self._refused:
            self._count_refused()

    def _sender_of(self, packets: Sequence[bytes]) -> srtp.Sender | None:
        """Return what protects packets, which are logged; or None, and they are counted."""
        sender = self._sender or self._new_sender()
        if sender is None:
            self.dropped["media-before-keys"] += len(packets)
        elif self._log is not None:
            for packet in packets:
                self._log(True, "rtcp" if _is_rtcp(packet) else "rtp", packet)
        return sender

    def take(self) -> list[bytes]:
        """Return and forget what is protected and has not left."""
        out, self.out = self.out, []
        return out
