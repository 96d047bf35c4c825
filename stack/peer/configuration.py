"""Settings of a peer connection, for all its layers."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from ..dtls import Config as DtlsConfig
from ..ice import Config as IceConfig
from ..sctp import Config as SctpConfig
from .secure_media import PacketLog

DEFAULT_MTU: Final = 1200
"""Bytes of a UDP payload that pass nearly every path (RFC 8835 section 5 leaves it to the implementation)."""

DTLS_OVERHEAD: Final = 37  # record header 13, explicit nonce 8, tag 16 (RFC 5288 section 3)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings; the defaults suit a browser on the other end.

    Args:
        ice: Settings of the ICE agent; by default with what both sides must agree to, faster checks and renomination.
        dtls: Settings of the DTLS connection.
        sctp: Settings of the association; ports and packet size are filled in here.
        mtu: Largest UDP payload, bytes.
        path_mtu: Largest UDP payload to look for on the path, for data channels (RFC 8899): 1472 on Ethernet over IPv4,
            8972 with jumbo frames. None keeps to `mtu`. Needs sockets that do not let packets be fragmented.
        max_message_size: What we announce as `a=max-message-size`, bytes.
        ntp_offset: Seconds to add to `now` for NTP time (RFC 3550 section 4), for sender reports.
        playout_delay: Smallest and largest playout delay to ask of the receiver of our video, seconds; (0, 0) makes a
            browser show every frame at once. None leaves it to the receiver.
        ice_transport_policy: `all`, or `relay` to be reached through TURN servers only, so that the peer learns no
            address of ours (W3C RTCIceTransportPolicy).
        bundle_policy: W3C's RTCBundlePolicy. There is one transport whatever it says; with `max-bundle` the sections of
            our first offer after the first one say so, and a peer without BUNDLE refuses them at once.
        bitrates: Smallest, first and largest bit/s of all media that we send; what the path carries decides between
            the first and the last.
        packet_reports: Reports on single packets to offer and to accept, best first: `transport-cc`, which browsers
            know, and `ccfb`, those of RFC 8888. Without any, REMB and receiver reports decide on bitrates.
        encrypt_extensions: Whether to offer header extensions encrypted too (RFC 6904), and to prefer that.
        sctp_init: Whether to tell the start of SCTP in the descriptions, which saves two round trips with a peer that
            does so too (`a=sctp-init`, SNAP).
        max_send_delay: Seconds that video may wait to leave before it is dropped up to the next key frame.
        packet_log: Called with every packet in cleartext, see `secure_media.PacketLog`; None for none. For debugging:
            what a peer says in confidence goes there.
        keylog: Called with NSS key-log lines, so that a capture can be decrypted; None keeps secrets secret.
    """

    ice: IceConfig = field(default_factory=lambda: IceConfig(pacing_interval=0.02, renomination=True))
    dtls: DtlsConfig = field(default_factory=DtlsConfig)
    sctp: SctpConfig = field(default_factory=SctpConfig)
    mtu: int = DEFAULT_MTU
    path_mtu: int | None = None
    max_message_size: int = 262144
    ntp_offset: float = 0.0
    playout_delay: tuple[float, float] | None = None
    ice_transport_policy: Literal["all", "relay"] = "all"
    bundle_policy: Literal["balanced", "max-compat", "max-bundle"] = "max-bundle"
    bitrates: tuple[int, int, int] = (50_000, 500_000, 12_000_000)
    packet_reports: tuple[Literal["transport-cc", "ccfb"], ...] = ("transport-cc",)
    encrypt_extensions: bool = False
    sctp_init: bool = True
    max_send_delay: float = 0.4
    packet_log: PacketLog | None = None
    keylog: Callable[[str], None] | None = None

    def sctp_for(self, remote_port: int) -> SctpConfig:
        """Return the SCTP settings for a peer on `remote_port`, packets sized to fit a DTLS record in the MTU."""
        size = (self.mtu - DTLS_OVERHEAD) & ~3
        return dataclasses.replace(
            self.sctp,
            accept_restart=False,  # a peer that has lost its state has lost its DTLS keys too: this is another one
            remote_port=remote_port,
            max_packet_size=size,
            path_mtu_limit=None if self.path_mtu is None else max(size, (self.path_mtu - DTLS_OVERHEAD) & ~3),
            max_message_size=max(self.sctp.max_message_size, self.max_message_size),
        )
